//! Settings: whatever the file says, all that is wrong is told, and what is printed reads again as what it was.

use std::{collections::BTreeMap, fs};

use suppressd::config::{Config, Flags};

/// What nobody may ever be shown.
const SECRET: &str = "ntn_never_to_be_shown";

/// Reads the text before the first zero as a settings file, with the lines behind it as variables, `NAME=value`.
pub fn settings(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    // What names other files to read could name any.
    if text.contains("_FILE")
        || text.contains("_DIRECTORY")
        || text.contains("SUPPRESSD_CONFIG")
        || text.contains("ntn_")
    {
        return;
    }
    let (file, variables) = text.split_once('\0').unwrap_or((text, ""));
    let mut variables: BTreeMap<&str, &str> = variables.lines().filter_map(|line| line.split_once('=')).collect();
    variables.insert("NOTION_API_KEY", SECRET);
    let found = match read(file, &variables) {
        Ok(found) => found,
        Err(told) => {
            assert!(!told.is_empty() && !told.contains(SECRET), "{told}");
            return;
        }
    };
    for told in [found.notion().err(), found.service().err()].into_iter().flatten() {
        assert!(!told.to_string().contains(SECRET), "{told}");
    }
    let printed = found.print();
    assert!(!printed.contains(SECRET) && !format!("{found:?}").contains(SECRET), "{printed}");
    // Secrets are not in the file, so they stay where they are.
    let secrets = variables.into_iter().filter(|(name, _)| !is_setting(name)).collect();
    let again = read(&printed, &secrets).unwrap_or_else(|told| panic!("{told}\nwhere this was printed:\n{printed}"));
    assert_eq!(table(&again.print()), table(&printed), "printed and read again");
}

/// Whether a variable is shown in the file when it is printed.
fn is_setting(name: &str) -> bool {
    name.starts_with("SUPPRESSD_") && !name.ends_with("_TOKEN")
        || name.starts_with("NOTION_") && !(name.ends_with("_KEY") || name.contains("_TOKEN"))
}

fn table(text: &str) -> toml::Table {
    text.parse().unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn read(file: &str, variables: &BTreeMap<&str, &str>) -> Result<Config, String> {
    thread_local! {
        static FOLDER: tempfile::TempDir = tempfile::tempdir().unwrap();
    }
    let path = FOLDER.with(|folder| folder.path().join("suppressd.toml"));
    fs::write(&path, file).unwrap();
    let flags = Flags::from([("config", path.display().to_string())]);
    Config::read(&flags, &|name| variables.get(name).map(|value| (*value).to_owned())).map_err(|told| told.to_string())
}
