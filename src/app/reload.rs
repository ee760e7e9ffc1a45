//! Settings that are read anew while `serve` runs, on SIGHUP.
//!
//! All of them are read and checked before any is taken: with a single problem those from before go on to count, wholly.
//! What is taken, and in which order:
//!
//! 1. **Shared hosts and hard statuses**, since only this can fail, when the store does not take it. No answer is more
//!    lenient in between than before or after, and no request waits: `cache/rederive.rs` argues that.
//! 2. **The log level.**
//! 3. **Verification tokens**: a delivery is held against the tokens that count when its body has come. Those of a source
//!    that the settings do not have any more count until the restart, as the source is served until then.
//! 4. **The admin token**, unless that would open a door to others that was started closed: whether it is needed
//!    depends on the address that is listened on, and not on the one that a restart would take.
//! 5. **Tokens for Notion**. A question that is on its way is seen through; if it is refused, that is said of the old
//!    token and closes nothing (`sources/gate.rs`). A gate that is closed opens, and what is put off is tried at once. A
//!    token that takes the place of one that nobody uses any more keeps its budget, pause and all: most often it is a new
//!    one of the same connection, for which Notion counts on.
//! 6. The entries follow, before it is said that this is over.
//!
//! One reading is seen through before the next begins. A signal that comes meanwhile, or at the start, is kept, several
//! as one; during a stop none is heeded.

mod judge;

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use secrecy::ExposeSecret as _;
use tokio::{
    signal::unix::Signal,
    sync::{Mutex, Notify},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

pub use crate::app::reload::judge::{Judged, judge};
use crate::{
    app::{housekeeping::Budgets, source_settings},
    cache::{Cache, Derivation},
    causes::told,
    clock::Clock,
    config::{Config, Flags, SourceAccess},
    http::private::AdminToken,
    intake::handshake::TokenVault,
    lookup::{
        Lookup,
        reloaded::{RELOADED, ReloadOutcome, Reloaded},
    },
    metrics::{
        Metrics,
        label::{Part, Reload},
    },
    model::id::TableId,
    notion::{budget::Budget, client::Client},
    sources::{SourceSettings, Sources},
    store::{Store as _, StoreError, sqlite::SqliteStore},
};

/// So many problems are told and kept: who has more has named the wrong file.
const PROBLEMS_MAX: usize = 20;

/// What of a running `serve` settings can change.
#[derive(Debug, Clone)]
pub struct Reach {
    pub(super) private: SocketAddr,
    pub(super) store: SqliteStore,
    pub(super) vault: TokenVault,
    pub(super) admin_token: AdminToken,
    pub(super) sources: Sources<Client>,
    /// Each source as it was started, with its client.
    pub(super) asking: Vec<(SourceSettings, Client)>,
    pub(super) budgets: Budgets,
    pub(super) cache: Cache,
    pub(super) lookup: Lookup<SqliteStore>,
    /// Whether this process has the right to the work by now.
    pub(super) may_work: Arc<AtomicBool>,
    pub(super) metrics: Metrics,
    pub(super) clock: Clock,
    pub(super) hastened: Arc<Notify>,
}

/// Reads one variable of the environment.
pub type Environment = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Makes other directives of the log filter count, or says why that cannot be.
pub type LogFilter = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// Hears of each reading, for whoever has to tell others of it.
pub trait Observer: Send + Sync {
    /// It begins.
    fn reloading(&self) {}

    /// It is over, however it ended: everything that is to count does.
    fn ready(&self) {}
}

/// Nobody hears of it.
impl Observer for () {}

/// From where settings are read anew, and who is told.
pub struct Means {
    /// What was said on the command line; it beats everything else still.
    pub flags: Flags,
    /// The environment. It stays as it is, but the files that it names may have changed.
    pub environment: Environment,
    /// The filter of the log.
    pub log: LogFilter,
    /// Who hears of it.
    pub observer: Box<dyn Observer>,
}

impl fmt::Debug for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Means").field("flags", &self.flags).finish_non_exhaustive()
    }
}

/// Reads the settings anew.
#[derive(Debug)]
pub struct Reloader {
    reach: Reach,
    means: Means,
    /// The settings that it was started with: what needs a restart is compared with these.
    started: Config,
    /// The settings that were taken last, with every source that is served, whether or not it is in the file still.
    taken: Mutex<Config>,
}

/// Forgets what was said of the settings before this start, which has read everything.
pub(super) async fn begin(store: &SqliteStore) -> Result<(), StoreError> {
    store.write(|rows| rows.put_fact(RELOADED, "")).await
}

impl Reloader {
    /// Makes one for what runs with the settings `started`.
    pub fn new(reach: Reach, started: Config, means: Means) -> Self {
        Self { reach, means, taken: Mutex::new(started.clone()), started }
    }

    /// Reads them at each signal, until `stop`.
    pub async fn heed(self, mut hangups: Signal, stop: CancellationToken) {
        while let Some(Some(())) = stop.run_until_cancelled(hangups.recv()).await {
            stop.run_until_cancelled(self.reload()).await;
        }
        // Where no signal can come any more, there is nothing to heed, which is no reason to stop everything.
        stop.cancelled().await;
    }

    /// Reads them once, and says what came of it.
    pub async fn reload(&self) -> Reloaded {
        let mut taken = self.taken.lock().await;
        self.means.observer.reloading();
        let read = Config::read(&self.means.flags, &self.means.environment);
        let read = read.map_err(|problems| problems.iter().map(ToString::to_string).collect());
        let judged = read.and_then(|config: Config| {
            judge(&config)?;
            let counts = config.with_what_is_served(&taken, &self.started);
            Ok((judge(&counts)?, counts, config))
        });
        let reloaded = match judged {
            Ok((judged, counts, config)) => self.take(&mut taken, judged, (counts, &config)).await,
            Err(problems) => Err(problems),
        };
        let reloaded = self.tell(reloaded).await;
        if reloaded.outcome == ReloadOutcome::Taken {
            self.follow().await;
        }
        self.means.observer.ready();
        reloaded
    }

    /// Takes what can be taken of `config`, which counts with the sources that are served still; returns the names of what
    /// has changed and of what needs a restart.
    async fn take(
        &self,
        taken: &mut Config,
        judged: Judged,
        (counts, config): (Config, &Config),
    ) -> Result<Names, Vec<String>> {
        let changed: Vec<_> = counts.differences(taken).into_iter().filter(|it| it.is_live).map(|it| it.name).collect();
        let waiting = config.differences(&self.started).into_iter().filter(|it| !it.is_live).map(|it| it.name);
        let mut names = Names { changed, needs_restart: waiting.collect() };
        self.take_rules(&judged).await.map_err(|error| vec![format!("they cannot be taken now: {}", told(&error))])?;
        if config.log.filter != taken.log.filter
            && let Err(why) = (self.means.log)(&config.log.filter)
        {
            warn!("the log filter stays as it was: {why}");
        }
        if names.changed.iter().any(|changed| changed.contains("verification_token")) {
            self.reach.vault.take(&judged.vault);
        }
        if names.changed.iter().any(|changed| changed == "serve.admin_token") {
            if judged.admin_token.is_some() || self.reach.private.ip().is_loopback() {
                self.reach.admin_token.take(judged.admin_token);
            } else {
                names.changed.retain(|name| name != "serve.admin_token");
                names.needs_restart.push("serve.admin_token".to_owned());
            }
        }
        self.take_tokens(&judged.sources);
        *taken = counts;
        Ok(names)
    }

    /// Takes shared hosts and hard statuses.
    async fn take_rules(&self, judged: &Judged) -> Result<(), StoreError> {
        let Reach { cache, sources, lookup, store, may_work, .. } = &self.reach;
        let settings = judged.sources.iter().map(|access| source_settings(&access.source));
        let hard: BTreeMap<_, _> = settings.map(|source| (source.table, source.hard)).collect();
        let rules = judged.rules.clone();
        let aim = Derivation { rules: rules.clone(), hard: sources.hard_with(&hard).into_iter().collect() };
        let works = || may_work.load(Ordering::Relaxed) && !sources.resolved().is_empty();
        let switch = || {
            for (table, hard) in &hard {
                sources.take_hard(*table, hard);
            }
            lookup.take_rules(rules);
        };
        cache.adopt(store, aim, works, switch).await
    }

    /// Takes tokens for Notion.
    fn take_tokens(&self, accesses: &[SourceAccess]) {
        let Reach { asking, sources, budgets, metrics, clock, .. } = &self.reach;
        let token_of = |table: TableId| accesses.iter().find(|access| access.source.table == table);
        let kept: Vec<Budget> = asking
            .iter()
            .filter(|(_, client)| accesses.iter().any(|access| client.has_token(&access.api_key)))
            .map(|(_, client)| client.budget())
            .collect();
        let is_in = |budgets: &[Budget], budget: &Budget| budgets.iter().any(|other| other.is(budget));
        let before: Vec<_> = asking.iter().map(|(_, client)| client.apart()).collect();
        let mut by_token: BTreeMap<&str, Budget> = BTreeMap::new();
        let mut used: Vec<Budget> = Vec::new();
        let mut has_new = false;
        for (SourceSettings { table, .. }, client) in asking {
            let Some(SourceAccess { api_key, .. }) =
                token_of(*table).filter(|access| !client.has_token(&access.api_key))
            else {
                used.push(client.budget());
                continue;
            };
            let own = client.budget();
            let known = before.iter().find(|other| other.has_token(api_key)).map(Client::budget);
            let budget = by_token.get(api_key.expose_secret()).cloned().or(known).unwrap_or_else(|| {
                let is_free = !is_in(&kept, &own) && !is_in(&used, &own);
                if is_free { own } else { Budget::new(judge::limit(&self.started), clock.clone(), metrics.clone()) }
            });
            by_token.insert(api_key.expose_secret(), budget.clone());
            used.push(budget.clone());
            if let Err(error) = client.take_token(api_key.clone(), budget) {
                // What is judged can be sent.
                error!("the token for Notion stays as it was: {}", told(&error));
                continue;
            }
            sources.reopen(*table);
            has_new = true;
        }
        let mut all: Vec<Budget> = Vec::new();
        for budget in used {
            if !is_in(&all, &budget) {
                all.push(budget);
            }
        }
        budgets.store(Arc::new(all));
        if has_new {
            self.reach.hastened.notify_one();
        }
    }

    /// Has the entries follow rules and statuses, where this process works on them.
    async fn follow(&self) {
        let Reach { cache, sources, store, may_work, clock, hastened, .. } = &self.reach;
        if !may_work.load(Ordering::Relaxed) || sources.resolved().is_empty() {
            return;
        }
        match cache.rederive(store, clock.now()).await {
            Ok(0) => (),
            Ok(n) => info!(entries.changed = n, "rules or settings have changed: {n} entries follow them"),
            Err(error) => {
                warn!("the entries cannot follow the settings yet, and it is tried again: {}", told(&error));
                hastened.notify_one();
            }
        }
    }

    /// Says what came of it: in the log, as a figure, and for `status`.
    async fn tell(&self, outcome: Result<Names, Vec<String>>) -> Reloaded {
        let (at, metrics) = (self.reach.clock.now(), &self.reach.metrics);
        let reloaded = match outcome {
            Ok(Names { changed, needs_restart }) => {
                metrics.settings_reloads.count(Reload::Taken);
                let named = if changed.is_empty() { "nothing has changed".to_owned() } else { changed.join(", ") };
                info!("the settings are read anew and taken: {named}");
                if !needs_restart.is_empty() {
                    warn!("needs a restart: {}", needs_restart.join(", "));
                }
                Reloaded { at, outcome: ReloadOutcome::Taken, changed, needs_restart, problems: Vec::new() }
            }
            Err(problems) => {
                let problems = first(problems);
                metrics.settings_reloads.count(Reload::Refused);
                metrics.errors.count(Part::Settings);
                error!("the settings are refused, and those from before go on to count: {}", problems.join("; "));
                let (changed, needs_restart) = (Vec::new(), Vec::new());
                Reloaded { at, outcome: ReloadOutcome::Refused, changed, needs_restart, problems }
            }
        };
        if let Ok(json) = serde_json::to_string(&reloaded)
            && let Err(error) = self.reach.store.write(move |rows| rows.put_fact(RELOADED, &json)).await
        {
            warn!("cannot write down what came of the settings: {}", told(&error));
        }
        reloaded
    }
}

/// Keeps so many problems as somebody reads, and says how many more there are.
fn first(mut problems: Vec<String>) -> Vec<String> {
    let more = problems.len().saturating_sub(PROBLEMS_MAX);
    if more > 0 {
        problems.truncate(PROBLEMS_MAX);
        problems.push(format!("and {more} more"));
    }
    problems
}

/// Settings, by name.
#[derive(Debug, Default)]
struct Names {
    changed: Vec<String>,
    needs_restart: Vec<String>,
}
