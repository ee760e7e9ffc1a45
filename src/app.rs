//! Wiring: the only place that picks adapters and joins parts.

pub mod asking;
mod beside;
pub mod copies;
pub mod demo;
pub mod doctor;
pub mod gauges;
pub mod housekeeping;
pub mod mcp;
pub mod reconcile;
pub mod reload;
pub mod replay;
mod rights;
pub mod schema;
pub mod serve;
mod statsd;
mod sweeping;

use std::{collections::BTreeMap, num::NonZeroU16, path::Path, time::Duration};

use chrono::TimeDelta;
use secrecy::ExposeSecret as _;

use crate::{
    cache::{Cache, CacheSettings},
    clock::Clock,
    config::{Config, SourceAccess, SourceConfig, Subscription},
    derive::{InvalidSharedHosts, Rules, SharedHosts, mapping::Names, winner::HardStatuses},
    http::listen::ListenError,
    intake::{
        handshake::TokenVault,
        replay::ReplayError,
        token_file::{TokenFile, TokenFileError},
    },
    lookup::{Lookup, LookupSettings},
    metrics::Metrics,
    notion::{
        budget::Budget,
        client::{Client, ClientError, ClientSettings, UnknownVersion},
        recorded::RecordedError,
        signature::{InvalidToken, VerificationToken},
    },
    sources::{SourceSettings, Sources},
    store::{StoreError, sqlite::SqliteStore},
    worker::{WorkerSettings, planner::QUERY_MIN},
};

/// How long after a look that Notion may not have been ready for a page is looked at once more.
const SETTLE_AFTER: TimeDelta = TimeDelta::seconds(60);

/// Why something could not be started.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database was not opened to the end, by a bug.
    #[error("the database was not opened: please report what the log says")]
    Opening(#[source] tokio::task::JoinError),
    /// Settings are missing.
    #[error(transparent)]
    Config(#[from] crate::config::Problems),
    /// A configured shared host is none.
    #[error(transparent)]
    SharedHosts(#[from] InvalidSharedHosts),
    /// A configured verification token is none.
    #[error(
        "NOTION_VERIFICATION_TOKEN, or what a source names as `verification_token_env`, cannot be used: set it to what \
         Notion sent, or unset it"
    )]
    VerificationToken(#[from] InvalidToken),
    /// The configured version of the API is none that is spoken.
    #[error(transparent)]
    Version(#[from] UnknownVersion),
    /// The stored verification token cannot be used.
    #[error(transparent)]
    TokenFile(#[from] TokenFileError),
    /// Notion cannot be asked with these settings.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Another process works on the database.
    #[error("another suppressd works on {0}: stop it, or name another file with --db-path")]
    AlreadyServed(String),
    /// Another process works on the database, and would ask Notion instead of the recorded pages.
    #[error(
        "another suppressd works on {0} and would fetch the pages from Notion: stop it, leave --pages out, or name \
         another file with --db-path"
    )]
    ServedWhileRecorded(String),
    /// No room for the copy that a dry run changes.
    #[error(
        "cannot make a copy for the dry run: make room in the folder for temporary files, or name another with TMPDIR"
    )]
    DryRun(#[source] std::io::Error),
    /// No source of the settings is called so.
    #[error("there is no source {name:?} in the settings, but {known}: name one of these")]
    UnknownSource {
        /// The name that was given.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// A recorded folder cannot stand in for Notion.
    #[error(transparent)]
    Recorded(#[from] RecordedError),
    /// A copy was not made, or not taken.
    #[error(transparent)]
    Copy(Box<copies::CopyError>),
    /// A replay broke off.
    #[error(transparent)]
    Replay(#[from] ReplayError),
}

impl From<copies::CopyError> for AppError {
    fn from(error: copies::CopyError) -> Self {
        Self::Copy(Box::new(error))
    }
}

/// Opens the lookup on a database that is there, for commands that only ask.
pub fn lookup(config: &Config, clock: &Clock) -> Result<Lookup<SqliteStore>, AppError> {
    lookup_over(SqliteStore::open_for_reading(&config.db_path)?, config, clock)
}

/// Opens the database for reading and writing, made anew where need be.
pub fn store(config: &Config, clock: &Clock) -> Result<SqliteStore, AppError> {
    let store = SqliteStore::open(&config.db_path, config.serve.intake_queue, clock.now())?;
    if config.checkpoints_left {
        store.leave_checkpoints()?;
    }
    Ok(store)
}

fn lookup_over(store: SqliteStore, config: &Config, clock: &Clock) -> Result<Lookup<SqliteStore>, AppError> {
    // Who only asks needs none of Notion's settings, and then what is stored is all that counts.
    let sources = config.sources().unwrap_or_default();
    let tables = sources.iter().map(|source| source.table).collect();
    let settings = LookupSettings { max_age: delta(config.max_age), rules: rules(config)?, tables };
    let named = sources.into_iter().map(|source| (source.name, source.table));
    Ok(Lookup::new(store, clock.clone(), settings).naming(named))
}

/// Returns how values become keys.
pub fn rules(config: &Config) -> Result<Rules, AppError> {
    Ok(Rules { shared_hosts: SharedHosts::default().with_extra(&config.shared_hosts)? })
}

/// Returns where a handshake keeps the token of a subscription.
pub fn token_file(subscription: &Subscription) -> TokenFile {
    TokenFile::new(&subscription.token_path)
}

fn cache(config: &Config) -> Result<Cache, AppError> {
    Ok(Cache::new(CacheSettings {
        ttl: delta(config.ttl),
        index_lag: delta(config.api.index_lag),
        rules: rules(config)?,
    }))
}

const fn worker_settings(config: &Config) -> WorkerSettings {
    WorkerSettings { concurrency: config.api.concurrency, settle_after: SETTLE_AFTER, query_min: Some(QUERY_MIN) }
}

/// Returns the tokens that sign deliveries: the configured ones of all subscriptions, and of those without one the token
/// that a handshake stored.
fn vault(config: &Config, configured: &[secrecy::SecretString]) -> Result<TokenVault, AppError> {
    let tokens = configured.iter().map(|token| VerificationToken::new(token.expose_secret()));
    let subscriptions = config.subscriptions();
    let kept = subscriptions.iter().filter(|subscription| !subscription.is_configured).map(token_file);
    Ok(TokenVault::new(tokens.collect::<Result<_, _>>()?, kept)?)
}

/// The sources with the clients that ask about them, and the budget of each token.
struct Clients {
    sources: Vec<(SourceSettings, Client)>,
    budgets: Vec<Budget>,
}

/// Makes a client for each token, with one budget each, whatever the number of sources that share it.
fn clients(config: &Config, sources: &[SourceAccess], clock: &Clock, metrics: &Metrics) -> Result<Clients, AppError> {
    let mut by_token: BTreeMap<&str, Client> = BTreeMap::new();
    let mut made = Clients { sources: Vec::new(), budgets: Vec::new() };
    for access in sources {
        let token = access.api_key.expose_secret();
        if !by_token.contains_key(token) {
            let budget = Budget::new(budget_limit(config), clock.clone(), metrics.clone());
            let settings = ClientSettings {
                base_url: config.api.base_url.clone(),
                token: access.api_key.clone(),
                version: config.api.version.parse()?,
                timeout: config.api.timeout,
            };
            by_token.insert(token, Client::new(settings, budget.clone(), clock.clone(), metrics.clone())?);
            made.budgets.push(budget);
        }
        if let Some(client) = by_token.get(token) {
            // Settings can give one of them another token.
            made.sources.push((source_settings(&access.source), client.apart()));
        }
    }
    Ok(made)
}

/// What a command needs to ask Notion, with all that earlier runs have learnt.
struct Asking {
    sources: Sources<Client>,
    cache: Cache,
    budgets: Vec<Budget>,
    metrics: Metrics,
}

impl Asking {
    async fn prepare(config: &Config, store: &SqliteStore, clock: &Clock) -> Result<Self, AppError> {
        let metrics = Metrics::default();
        let Clients { sources, budgets } = clients(config, &config.notion()?, clock, &metrics)?;
        housekeeping::restore_budgets(store, &budgets).await?;
        let sources = Sources::new(sources);
        sources.recall(store).await?;
        let cache = cache(config)?;
        // All of them, before anything is derived: of a source that nobody knows every status is soft.
        cache.learn_from(|| sources.hard());
        Ok(Self { sources, cache, budgets, metrics })
    }
}

fn source_settings(source: &SourceConfig) -> SourceSettings {
    SourceSettings {
        name: source.name.clone(),
        table: source.table,
        names: Names::from(source.properties.clone()),
        hard: HardStatuses::new(&source.hard_statuses),
    }
}

/// The settings let through 1 to 6,000.
fn budget_limit(config: &Config) -> NonZeroU16 {
    u16::try_from(config.api.requests_per_minute).ok().and_then(NonZeroU16::new).unwrap_or(NonZeroU16::MIN)
}

/// Settings are bounded far below what a span of time can hold.
fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
