//! Secrets: from the environment, a file that it names, or systemd; never from the settings file.

use std::{
    io,
    path::{Path, PathBuf},
};

use secrecy::SecretString;

use crate::{
    config::problem::{Fault, Origin, Problem},
    files,
};

/// Files of secrets are not larger than this; what is larger is something else.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// A secret, as far as there is one. That one cannot be read is a problem only for those who need it.
#[derive(Debug, Clone)]
pub(crate) enum Secret {
    Unset,
    Set { value: SecretString, origin: Origin },
    Unusable(Problem),
}

impl Secret {
    /// Looks for a secret under each of its names, and as the credential that is called as the first, in lower case.
    pub(crate) fn find(names: &[&str], variable: impl Fn(&str) -> Option<String>) -> Self {
        for name in names {
            if let Some(text) = variable(name) {
                return Self::check(&text, Origin::Variable((*name).to_owned()));
            }
            let by_file = format!("{name}_FILE");
            if let Some(path) = variable(&by_file).map(PathBuf::from) {
                return Self::read(&path, Origin::NamedFile { variable: by_file, path: path.clone() })
                    .unwrap_or_else(|origin| Self::unusable(&origin, "is not there", "name a file that is"));
            }
        }
        let credential = variable("CREDENTIALS_DIRECTORY")
            .zip(names.first())
            .map(|(directory, name)| Path::new(&directory).join(name.to_lowercase()));
        match credential {
            Some(path) => Self::read(&path, Origin::Credential(path.clone())).unwrap_or(Self::Unset),
            None => Self::Unset,
        }
    }

    /// Returns the secret if there is one, and the problem where it cannot be used.
    pub(crate) fn get(&self) -> Result<Option<&SecretString>, &Problem> {
        match self {
            Self::Unset => Ok(None),
            Self::Set { value, .. } => Ok(Some(value)),
            Self::Unusable(problem) => Err(problem),
        }
    }

    /// Returns the file that it was read from, if it was, and whether it is a credential of systemd's.
    pub(crate) fn file(&self) -> Option<(&Path, bool)> {
        match self {
            Self::Set { origin: Origin::NamedFile { path, .. }, .. } => Some((path, false)),
            Self::Set { origin: Origin::Credential(path), .. } => Some((path, true)),
            _ => None,
        }
    }

    /// Reads a secret from a file; gives `origin` back where there is no such file.
    fn read(path: &Path, origin: Origin) -> Result<Self, Origin> {
        match files::open(path).and_then(|file| files::text(file, SECRET_BYTES_MAX)) {
            Ok(text) => Ok(Self::check(&text, origin)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(origin),
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::FileTooLarge) => {
                let mend = "name the file that holds nothing but the token";
                Ok(Self::unusable(&origin, &format!("is {error}"), mend))
            }
            Err(error) => {
                let mend = "let the user that runs suppressd read it (mode 0600, and its owner)";
                Ok(Self::unusable(&origin, &format!("cannot be read ({error})"), mend))
            }
        }
    }

    /// Takes what can stand in an HTTP header.
    fn check(text: &str, origin: Origin) -> Self {
        let text = text.trim();
        if text.is_empty() {
            Self::unusable(&origin, "is empty", "write the token into it, or leave it out")
        } else if text.chars().all(|c| c.is_ascii_graphic()) {
            Self::Set { value: text.into(), origin }
        } else {
            Self::unusable(&origin, "holds blanks or letters that no token has", "copy the token again, alone")
        }
    }

    fn unusable(origin: &Origin, what: &str, mend: &str) -> Self {
        Self::Unusable(Problem::new(origin.place(""), Fault::new(what, mend)))
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, fs};

    use secrecy::ExposeSecret as _;

    use super::*;

    fn find(variables: &[(&str, &str)]) -> Secret {
        let variables: HashMap<_, _> = variables.iter().copied().collect();
        Secret::find(&["NOTION_API_KEY", "NOTION_TOKEN"], |name| variables.get(name).map(|text| (*text).to_owned()))
    }

    fn exposed(secret: &Secret) -> Option<&str> {
        secret.get().unwrap().map(SecretString::expose_secret)
    }

    #[test]
    fn a_secret_comes_from_a_variable_a_named_file_or_a_credential_in_this_order() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        fs::write(&file, "ntn_file\n").unwrap();
        fs::write(folder.path().join("notion_api_key"), "ntn_credential").unwrap();
        let (file, folder) = (file.to_str().unwrap(), folder.path().to_str().unwrap());
        let all = [
            ("NOTION_API_KEY", "ntn_first"),
            ("NOTION_API_KEY_FILE", file),
            ("NOTION_TOKEN", "ntn_second"),
            ("CREDENTIALS_DIRECTORY", folder),
        ];
        for (from, wanted) in [(0, "ntn_first"), (1, "ntn_file"), (2, "ntn_second"), (3, "ntn_credential")] {
            assert_eq!(exposed(&find(&all[from..])), Some(wanted));
        }
        assert_eq!(exposed(&find(&[])), None);
    }

    #[test]
    fn a_credential_that_is_not_there_is_no_problem_and_a_named_file_is() {
        assert!(matches!(find(&[("CREDENTIALS_DIRECTORY", "/nowhere")]), Secret::Unset));
        let problem = find(&[("NOTION_TOKEN_FILE", "/nowhere/token")]).get().unwrap_err().to_string();
        assert!(problem.starts_with("/nowhere/token (NOTION_TOKEN_FILE) is not there"), "{problem}");
    }

    #[test]
    fn what_is_no_file_or_too_large_for_a_token_is_refused() {
        let large = tempfile::NamedTempFile::new().unwrap();
        fs::write(large.path(), "x".repeat(64 * 1024 + 1)).unwrap();
        for (path, told) in [("/dev/zero", "is not a regular file"), (large.path().to_str().unwrap(), "than 64 KiB")] {
            let problem = find(&[("NOTION_TOKEN_FILE", path)]).get().unwrap_err().to_string();
            assert!(problem.starts_with(path) && problem.contains(told), "{problem}");
        }
    }

    #[test]
    fn what_cannot_be_a_token_is_refused_unseen() {
        for text in ["two words", "tökén", "line\nbreak"] {
            let problem = find(&[("NOTION_TOKEN", text)]).get().unwrap_err().to_string();
            assert!(problem.starts_with("NOTION_TOKEN (environment)") && !problem.contains(text), "{problem}");
        }
    }
}
