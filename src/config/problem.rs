//! What is wrong with the settings: where it stands, what it is, and how to mend it.

use std::{collections::HashSet, fmt, path::PathBuf};

/// As many problems are told at once; who has more has named the wrong file.
const TOLD_MAX: usize = 50;

/// Everything that is wrong with the settings, so that it can be mended in one go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Problem {
    place: String,
    fault: Fault,
}

/// What is wrong with a value, wherever it came from; never repeats anything that may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Fault {
    what: String,
    mend: String,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    File(PathBuf),
    Variable(String),
    Flag(&'static str),
    NamedFile { variable: String, path: PathBuf },
    Credential(PathBuf),
}

impl Problems {
    /// Collects problems, each once: sources may share what is missing.
    pub(crate) fn new(problems: Vec<Problem>) -> Self {
        let mut known = HashSet::new();
        let first: Vec<bool> = problems.iter().map(|problem| known.insert(problem)).collect();
        Self(problems.into_iter().zip(first).filter_map(|(problem, first)| first.then_some(problem)).collect())
    }

    /// Returns each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [only] => write!(f, "the settings have a problem\n  {only}"),
            all => {
                write!(f, "the settings have {} problems", all.len())?;
                all.iter().take(TOLD_MAX).try_for_each(|problem| write!(f, "\n  {problem}"))?;
                match all.len().saturating_sub(TOLD_MAX) {
                    0 => Ok(()),
                    more => write!(f, "\n  and {more} more"),
                }
            }
        }
    }
}

impl Problem {
    pub(crate) fn new(place: impl Into<String>, fault: Fault) -> Self {
        Self { place: place.into(), fault }
    }
}

impl Problem {
    /// Says what is wrong, and where.
    pub fn found(&self) -> String {
        format!("{} {}", self.place, self.fault.what)
    }

    /// Says how to mend it.
    pub fn mend(&self) -> &str {
        &self.fault.mend
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.place, self.fault.what, self.fault.mend)
    }
}

impl Fault {
    /// Joins a predicate («is not a number») and an imperative («write …»).
    pub(crate) fn new(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { what: what.into(), mend: mend.into() }
    }
}

impl Origin {
    /// Names the place of a setting for people who are to mend it.
    pub(crate) fn place(&self, key: &str) -> String {
        match self {
            Self::Default => format!("the default of `{key}`"),
            Self::File(path) => format!("`{key}` in {}", path.display()),
            Self::Variable(name) => format!("{name} (environment)"),
            Self::Flag(flag) => (*flag).to_owned(),
            Self::NamedFile { variable, path } => format!("{} ({variable})", path.display()),
            Self::Credential(path) => format!("{} (credential)", path.display()),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Variable(name) => write!(f, "environment {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::NamedFile { variable, path } => write!(f, "file {}, named by {variable}", path.display()),
            Self::Credential(path) => write!(f, "credential {}", path.display()),
        }
    }
}

/// As many characters of a wrong value are repeated at most.
const QUOTE_CHARS_MAX: usize = 80;

/// Repeats a wrong value, shortened; or only says that it is there, where it looks like one of Notion's secrets.
pub(crate) fn quote(text: &str) -> String {
    if ["ntn_", "secret_"].iter().any(|mark| text.contains(mark)) {
        return "[redacted]".to_owned();
    }
    format!("{:?}", text.chars().take(QUOTE_CHARS_MAX).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_problems_are_counted_soon_and_the_first_of_them_told() {
        let problem = |at: u32| Problem::new(format!("`key{at}`"), Fault::new("is not a setting", "take it out"));
        let started = tokio::time::Instant::now();
        let problems = Problems::new((0..60_000).chain(0..60_000).map(problem).collect());
        assert!(started.elapsed() < std::time::Duration::from_secs(5), "{:?}", started.elapsed());
        let told = problems.to_string();
        assert!(told.starts_with("the settings have 60000 problems\n  `key0` is"), "{told}");
        assert!(told.ends_with("\n  and 59950 more"), "{told}");
        assert_eq!(told.lines().count(), 1 + TOLD_MAX + 1);
    }

    #[test]
    fn a_value_that_looks_like_a_token_is_not_repeated() {
        assert_eq!(quote("https://notion.so/ntn_123"), "[redacted]");
        assert_eq!(quote("a\nb"), r#""a\nb""#);
        assert_eq!(quote(&"x".repeat(500)).len(), QUOTE_CHARS_MAX + 2);
    }
}
