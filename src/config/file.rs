//! The settings file: found, read, and searched for what nobody reads.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use crate::{
    config::{
        problem::{Fault, Origin, Problem},
        settings::{self, Kind},
    },
    files,
    nearest::nearest,
};

/// Where the file is looked for when nobody names it.
const PATH: &str = "suppressd.toml";

/// Settings files are not larger than this.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The settings file as it was read; empty where there is none.
#[derive(Debug)]
pub(crate) struct ConfigFile {
    pub(crate) path: PathBuf,
    pub(crate) table: Table,
    /// Whether it could be read, or there is none; else what it says is not known.
    pub(crate) is_known: bool,
}

impl ConfigFile {
    /// Reads the file that somebody named, or `./suppressd.toml` if it is there.
    pub(crate) fn open(named: Option<(String, Origin)>, problems: &mut Vec<Problem>) -> Self {
        let (path, origin) = match named {
            Some((path, origin)) => (PathBuf::from(path), Some(origin)),
            None => (PathBuf::from(PATH), None),
        };
        let table = match (read(&path), origin) {
            (Ok(text), _) => parse(&path, &text, problems),
            (Err(error), None) if error.kind() == io::ErrorKind::NotFound => Some(Table::new()),
            (Err(error), origin) => {
                let place = origin.map_or_else(|| path.display().to_string(), |origin| origin.place("config"));
                let what = format!("names a file that cannot be read ({}: {error})", path.display());
                problems.push(Problem::new(place, Fault::new(what, "name a readable file of settings, or none")));
                None
            }
        };
        Self { path, is_known: table.is_some(), table: table.unwrap_or_default() }
    }

    /// Returns what the file says under `key`, `section.name`.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        match key.split_once('.') {
            Some((section, name)) => self.table.get(section)?.as_table()?.get(name),
            None => self.table.get(key),
        }
    }

    /// Finds keys that nobody reads, and secrets, which do not belong here.
    pub(crate) fn strays(&self) -> Vec<Problem> {
        let sections: BTreeSet<&str> = settings::ALL.iter().filter_map(|setting| setting.section().0).collect();
        let mut problems = Vec::new();
        for (key, value) in &self.table {
            match value {
                _ if key == settings::SOURCE => (),
                Value::Table(section) if sections.contains(key.as_str()) => {
                    let keys = section.keys().map(|name| format!("{key}.{name}"));
                    problems.extend(keys.filter_map(|key| self.stray(&key)));
                }
                _ if sections.contains(key.as_str()) => {
                    let fault =
                        Fault::new(format!("has the type {}", value.type_str()), format!("write a section, [{key}]"));
                    problems.push(self.problem(key, fault));
                }
                _ => problems.extend(self.stray(key)),
            }
        }
        problems
    }

    fn stray(&self, key: &str) -> Option<Problem> {
        let Some(setting) = settings::ALL.iter().find(|setting| setting.key == key) else {
            return Some(self.problem(key, unknown(key, settings::ALL.iter().map(|setting| setting.key))));
        };
        let variable = setting.variables.first()?;
        (setting.kind == Kind::Secret).then(|| self.problem(key, misplaced_secret(variable)))
    }

    /// Says what is wrong with a value of this file.
    pub(crate) fn problem(&self, key: &str, fault: Fault) -> Problem {
        Problem::new(Origin::File(self.path.clone()).place(key), fault)
    }
}

/// Says that nobody reads `key`, and which of `known` may have been meant.
pub(crate) fn unknown<'a>(key: &str, known: impl IntoIterator<Item = &'a str>) -> Fault {
    let mend = match nearest(key, known) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "take it out; `suppressd config print --help` lists every setting".to_owned(),
    };
    Fault::new("is not a setting", mend)
}

/// Says where a secret belongs instead.
pub(crate) fn misplaced_secret(variable: &str) -> Fault {
    let mend = format!("set {variable} in the environment, or {variable}_FILE to the path of a file of mode 0600");
    Fault::new("is a secret, which does not belong in this file", mend)
}

fn read(path: &Path) -> io::Result<String> {
    files::text(files::open(path)?, FILE_BYTES_MAX)
}

/// Reads TOML. What is wrong names the line but does not repeat it, as others would: a secret may stand there.
fn parse(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Option<Table> {
    let noted = |error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let what = format!("is not TOML ({})", error.message());
        problems.push(Problem::new(format!("{} line {line}", path.display()), Fault::new(what, "mend that line")));
    };
    text.parse().map_err(noted).ok()
}
