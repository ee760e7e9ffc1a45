//! suppressd within another program: ask a cache, and sweep, without a process beside it.
//!
//! What is asked here gives the very verdict that HTTP, MCP and the command line give. A cache that `suppressd serve`
//! keeps fresh can be asked at the same time: the file is shared.
//!
//! Settings are those of the program, by the names of its environment variables (`suppressd config print --help` lists
//! them); see [`Settings`]. [`SuppressionCache::open`] takes those that ship; who has hard statuses, shared hosts or ages
//! of their own opens with `SuppressionCache::with(&Settings::from_environment()?)`.
//!
//! # Sweep a CRM into a cache
//!
//! ```
//! use suppressd::{library::{self, Settings}, simulator::{Simulator, draft::company}};
//!
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("cache.db");
//! // A Notion workspace inside this program; with a real one, leave out `NOTION_BASE_URL`.
//! let notion = Simulator::start(Default::default()).await?;
//! notion.workspace().create(company("Acme Robotics").website("acme.ai").status("Passed"));
//!
//! let settings = Settings::of([
//!     ("SUPPRESSD_DB_PATH", path.display().to_string()),
//!     ("NOTION_BASE_URL", notion.base_url()),
//!     ("NOTION_API_KEY", notion.token().to_owned()),
//!     ("NOTION_DATABASE_ID", notion.workspace().database().to_string()),
//! ])?;
//! let report = library::sweep(&settings, Default::default()).await?;
//! assert_eq!((report.outcome.name(), report.counts.entries_synced), ("complete", 1));
//! # Ok(()) }
//! ```
//!
//! # Open a cache and check
//!
//! ```
//! # use suppressd::{library::{self, Settings}, simulator::{Simulator, draft::company}};
//! use suppressd::library::{Answer, Firmness, SuppressionCache};
//!
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("cache.db");
//! # let notion = Simulator::start(Default::default()).await?;
//! # notion.workspace().create(company("Acme Robotics").website("acme.ai").status("Passed"));
//! # let settings = Settings::of([
//! #     ("SUPPRESSD_DB_PATH", path.display().to_string()),
//! #     ("NOTION_BASE_URL", notion.base_url()),
//! #     ("NOTION_API_KEY", notion.token().to_owned()),
//! #     ("NOTION_DATABASE_ID", notion.workspace().database().to_string()),
//! # ])?;
//! # library::sweep(&settings, Default::default()).await?;
//! let cache = SuppressionCache::open(&path)?;
//! let verdict = cache.check("https://www.acme.ai/about")?;
//! assert_eq!(verdict.verdict, Answer::Suppressed);
//! assert_eq!(verdict.matched.map(|matched| matched.firmness), Some(Firmness::Hard));
//! assert_eq!(cache.check("domain:nobody.example")?.verdict, Answer::Clear);
//! # Ok(()) }
//! ```
//!
//! # Check a company
//!
//! ```
//! # use suppressd::{library::{self, Settings}, simulator::{Simulator, draft::company}};
//! use suppressd::library::{Answer, Company, SuppressionCache};
//!
//! # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("cache.db");
//! # let notion = Simulator::start(Default::default()).await?;
//! # notion.workspace().create(company("Acme Robotics").website("acme.ai").status("Passed"));
//! # let settings = Settings::of([
//! #     ("SUPPRESSD_DB_PATH", path.display().to_string()),
//! #     ("NOTION_BASE_URL", notion.base_url()),
//! #     ("NOTION_API_KEY", notion.token().to_owned()),
//! #     ("NOTION_DATABASE_ID", notion.workspace().database().to_string()),
//! # ])?;
//! # library::sweep(&settings, Default::default()).await?;
//! let cache = SuppressionCache::open(&path)?;
//! let found = Company { website: Some("https://app.acme.ai".to_owned()), ..Company::default() };
//! assert_eq!(cache.check_company(&found)?.verdict, Answer::Suppressed);
//! # Ok(()) }
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use tokio_util::sync::CancellationToken;

use crate::{
    app::{
        self, AppError, asking,
        reconcile::{self, Reconciled},
    },
    clock::Clock,
    config::{self, Config, Flags, Problems},
    lookup::Lookup,
    model::sweep::{AskedBy, SweepOrder},
    store::{StoreError, sqlite::SqliteStore},
};
pub use crate::{
    lookup::{
        LookupError, Question, Terms,
        explain::Explanation,
        issues::{IssueKind, Issues},
    },
    model::{
        sweep::{SweepReport, SweepState},
        verdict::{Answer, Company, Firmness, Verdict},
    },
};

/// Why something has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings are not what they should be; says all that is wrong.
    #[error(transparent)]
    Settings(#[from] Problems),
    /// There is no file.
    #[error("there is no database at {0}: let `suppressd serve` or `library::sweep` make it, or name another")]
    NoDatabase(PathBuf),
    /// The file cannot be used.
    #[error("cannot work with {path}: is it suppressd's database or the pipeline's, and may you read and write it?")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: AppError,
    },
    /// The cache cannot be used, or Notion cannot be asked.
    #[error(transparent)]
    App(#[from] AppError),
    /// The question names nothing that a key could be made of, or the database does not answer.
    #[error(transparent)]
    Lookup(#[from] LookupError),
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::App(error.into())
    }
}

/// Every setting of the program, checked.
#[derive(Debug, Clone)]
pub struct Settings(Config);

impl Settings {
    /// Reads settings by the names of their environment variables; the environment itself is not looked at. A settings
    /// file is named by `SUPPRESSD_CONFIG`.
    pub fn of<N: Into<String>, V: Into<String>>(settings: impl IntoIterator<Item = (N, V)>) -> Result<Self, Error> {
        let given: BTreeMap<String, String> =
            settings.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Ok(Self(Config::read(&Flags::new(), &|name: &str| given.get(name).cloned())?))
    }

    /// Reads the settings as the program does: from the environment, and the settings file that it names.
    pub fn from_environment() -> Result<Self, Error> {
        Ok(Self(Config::read(&Flags::new(), &config::environment)?))
    }
}

/// A cache to ask. Cheap to clone; clones share the open file.
#[derive(Debug, Clone)]
pub struct SuppressionCache {
    lookup: Lookup<SqliteStore>,
    config: Config,
    clock: Clock,
}

impl SuppressionCache {
    /// Opens the cache in a file that is there, with the settings that ship.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::with(&Settings::of([("SUPPRESSD_DB_PATH", path.as_ref().display().to_string())])?)
    }

    /// Opens the cache that the settings name; it must be there.
    pub fn with(settings: &Settings) -> Result<Self, Error> {
        let (clock, path) = (Clock::system(), settings.0.db_path.clone());
        // Why it cannot be looked at is told when it is opened.
        if matches!(path.try_exists(), Ok(false)) {
            return Err(Error::NoDatabase(path));
        }
        let lookup = app::lookup(&settings.0, &clock).map_err(|error| match error {
            source @ AppError::Store(_) => Error::Unusable { path, source },
            other => other.into(),
        })?;
        Ok(Self { lookup, config: settings.0.clone(), clock })
    }

    /// Says whether the company may be pushed that a key, a web address or a domain names. Blocks on the disk.
    pub fn check(&self, text: &str) -> Result<Verdict, Error> {
        self.only_answer(Question::Text(text.to_owned()))
    }

    /// Says whether a company may be pushed of which some things are known. Blocks on the disk.
    pub fn check_company(&self, company: &Company) -> Result<Verdict, Error> {
        self.only_answer(Question::Company(Box::new(company.clone())))
    }

    /// Answers many questions from one view of the cache, in their order: a question that gives no key has its own
    /// error. Blocks on the disk.
    pub fn check_all(&self, questions: &[Question]) -> Result<Vec<Result<Verdict, LookupError>>, Error> {
        Ok(self.lookup.answer_blocking(questions, None)?)
    }

    /// As [`SuppressionCache::check_all`], but on other terms: with a younger proof, for which Notion is asked.
    pub async fn check_on(
        &self,
        questions: Vec<Question>,
        terms: Terms,
    ) -> Result<Vec<Result<Verdict, LookupError>>, Error> {
        Ok(asking::answer(&self.config, questions, terms, &self.clock).await?)
    }

    /// Says why a key, a web address or a domain is answered as it is, with at most `limit` changes of each key.
    pub async fn explain(&self, text: &str, limit: u32) -> Result<Explanation, Error> {
        Ok(self.lookup.explain(text.to_owned(), limit).await?)
    }

    /// Lists what a person should mend, at most `limit` of the kinds that are named, or of all where none is.
    pub async fn issues(&self, kinds: &[IssueKind], limit: u32) -> Result<Issues, Error> {
        let kinds: BTreeSet<IssueKind> = kinds.iter().copied().collect();
        Ok(self.lookup.issues(kinds, None, limit).await?)
    }

    fn only_answer(&self, question: Question) -> Result<Verdict, Error> {
        let answer = self.lookup.answer_blocking(&[question], None)?.pop();
        Ok(answer.unwrap_or_else(|| Err(LookupError::Unanswerable("nothing was asked".to_owned())))?)
    }
}

/// What is wished of a sweep. The default is nothing special.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SweepWish {
    /// Only say what it would change.
    pub dry_run: bool,
    /// How many days the rows that it confirms are to count, where that is not what the settings say.
    pub ttl_days: Option<u32>,
    /// Take many pages that answer 404 at once for gone, where that would be taken for a fault.
    pub accept_missing: bool,
    /// Sweep only these sources, by their names in the settings; all where none is named. Nothing expires after that.
    pub sources: Vec<String>,
}

/// Reads the whole CRM once, and makes the cache right; makes the file where there is none.
///
/// While a `serve` runs on the database, that does the work. The report says what came of it, also where the sweep was
/// not complete: look at its `outcome`.
pub async fn sweep(settings: &Settings, wish: SweepWish) -> Result<SweepReport, Error> {
    let SweepWish { dry_run, ttl_days, accept_missing, sources } = wish;
    let order = SweepOrder { dry_run, ttl_days, accept_missing, ..SweepOrder::by(AskedBy::Command) }.only(sources);
    loop {
        // Nobody stops this lifecycle.
        let swept =
            reconcile::run(&settings.0, order.clone(), &CancellationToken::new(), &Clock::system(), |_| ()).await?;
        if let Reconciled::Ended(report) = swept {
            return Ok(*report);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_opened_is_named_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache.db");
        let told = SuppressionCache::open(&path).unwrap_err().to_string();
        assert!(told.contains(&path.display().to_string()) && told.contains("`library::sweep` make it"), "{told}");
        assert!(!path.exists());
        std::fs::write(&path, "no database, and longer than the head of one".repeat(100)).unwrap();
        let told = SuppressionCache::open(&path).unwrap_err().to_string();
        assert!(told.contains(&path.display().to_string()) && told.contains("may you read"), "{told}");
    }

    #[tokio::test]
    async fn a_key_is_explained_and_issues_are_listed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache.db");
        drop(SqliteStore::open(&path, 1, Clock::system().now()).unwrap());
        let cache = SuppressionCache::open(&path).unwrap();
        let explanation = cache.explain("https://www.acme.ai", 5).await.unwrap();
        assert!(explanation.keys.iter().any(|key| key.key.as_str() == "domain:acme.ai"), "{explanation:?}");
        assert!(matches!(cache.explain("???", 5).await, Err(Error::Lookup(LookupError::Unanswerable(_)))));
        let issues = cache.issues(&[IssueKind::Missing], 5).await.unwrap();
        assert_eq!(issues.counts.keys().collect::<Vec<_>>(), [&IssueKind::Missing]);
    }
}
