//! Sweeps over simulated workspaces, asked over real HTTP, in time that only passes when somebody sleeps.

use std::{
    collections::BTreeMap,
    fmt,
    num::NonZeroU16,
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::types::ValueRef;
use secrecy::SecretString;
use suppressd::{
    cache::{Applied, Cache, CacheSettings},
    clock::Clock,
    derive::{Rules, mapping::Names, winner::HardStatuses},
    lookup::{Lookup, LookupSettings, Question, Terms},
    metrics::Metrics,
    model::{
        entry::{CachedPage, Cause, Door},
        id::{DataSourceId, PageId, TableId},
        page::{Schema, Snapshot},
        sweep::{AskedBy, Drift, SweepId, SweepOrder, SweepProgress, SweepReport},
        verdict::Verdict,
    },
    notion::{
        Notion, NotionError, Priority, Query, QueryPage,
        budget::Budget,
        client::{ApiVersion, Client, ClientSettings},
    },
    simulator::{
        Settings, Simulator,
        api::Manner,
        budget::Budget as SimulatedBudget,
        draft::company,
        workspace::{Habits, Workspace},
    },
    sources::{SourceSettings, Sources},
    store::{Store as _, sqlite::SqliteStore},
    sweep::{Running, SweepSettings, Sweeper},
};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::pipeline;

/// How long rows count.
pub(crate) const TTL: TimeDelta = TimeDelta::days(7);

/// How far queries may trail the live pages.
pub(crate) const INDEX_LAG: TimeDelta = TimeDelta::seconds(60);

/// How long each request takes.
const REQUEST: Duration = Duration::from_millis(10);

/// When the clock of a world begins.
pub(crate) fn start() -> DateTime<Utc> {
    "2026-01-06T12:00:30Z".parse().unwrap()
}

/// Lets this much time pass.
pub(crate) async fn pass(time: TimeDelta) {
    tokio::time::sleep(time.to_std().unwrap()).await;
}

/// What happens after the nth query was answered, and before the sweep hears of the answer.
type Between = dyn Fn(usize) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

/// A client whose requests keep the paused time from running on until they are answered. It remembers all queries.
#[derive(Clone)]
pub(crate) struct Watched {
    client: Client,
    budget: Budget,
    clock: Clock,
    watch: Arc<Watch>,
}

/// What was asked of one workspace, by whatever process.
#[derive(Default)]
pub(crate) struct Watch {
    queries: Mutex<Vec<Query>>,
    running: AtomicUsize,
    most_at_once: AtomicUsize,
    between: Mutex<Option<Arc<Between>>>,
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watched")
    }
}

impl Watched {
    /// Asks in a time that passes, and gets the answer in one that does not.
    async fn held<T>(&self, question: impl Future<Output = T> + Send) -> T {
        tokio::time::sleep(REQUEST).await;
        while let Some(at) = self.budget.state().next_grant_at.filter(|at| *at > self.clock.now()) {
            self.clock.sleep_until(at).await;
        }
        let (answered, waits) = mpsc::channel::<()>();
        // Tokio's paused time does not run on while a blocking task does.
        drop(tokio::task::spawn_blocking(move || waits.recv()));
        let answer = question.await;
        drop(answered);
        answer
    }
}

impl Notion for Watched {
    async fn page(&self, id: PageId, priority: Priority) -> Result<Snapshot, NotionError> {
        self.held(self.client.page(id, priority)).await
    }

    async fn schemas(&self, table: TableId, priority: Priority) -> Result<Vec<Schema>, NotionError> {
        self.held(self.client.schemas(table, priority)).await
    }

    async fn query(&self, query: &Query, priority: Priority) -> Result<QueryPage, NotionError> {
        let running = self.watch.running.fetch_add(1, Ordering::Relaxed) + 1;
        self.watch.most_at_once.fetch_max(running, Ordering::Relaxed);
        let answer = self.held(self.client.query(query, priority)).await;
        self.watch.running.fetch_sub(1, Ordering::Relaxed);
        let nth = {
            let mut queries = self.watch.queries.lock().unwrap();
            queries.push(query.clone());
            queries.len()
        };
        let between = self.watch.between.lock().unwrap().clone();
        if let Some(between) = between {
            between(nth).await;
        }
        answer
    }
}

/// One simulated workspace with the connection to it.
pub(crate) struct Crm {
    pub(crate) simulator: Simulator,
    watch: Arc<Watch>,
}

impl Crm {
    pub(crate) fn workspace(&self) -> &Workspace {
        self.simulator.workspace()
    }

    /// Lets something happen after each query from now on; the count of queries begins anew.
    pub(crate) fn between<F>(&self, then: impl Fn(usize) -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.watch.queries.lock().unwrap().clear();
        *self.watch.between.lock().unwrap() = Some(Arc::new(move |nth| Box::pin(then(nth))));
    }

    /// Lets nothing happen any more.
    pub(crate) fn undisturbed(&self) {
        *self.watch.between.lock().unwrap() = None;
    }

    /// Takes the queries since the last time, and the most that ran at once.
    pub(crate) fn take_queries(&self) -> (Vec<Query>, usize) {
        let most = self.watch.most_at_once.swap(0, Ordering::Relaxed);
        (std::mem::take(&mut *self.watch.queries.lock().unwrap()), most)
    }
}

/// How a world is made.
pub(crate) struct Making {
    /// How many workspaces, each with a token of its own.
    pub(crate) crms: usize,
    /// More rows than this are not given for one query.
    pub(crate) rows_max: usize,
    pub(crate) habits: Habits,
    /// Windows side by side.
    pub(crate) windows: usize,
}

impl Default for Making {
    fn default() -> Self {
        Self { crms: 1, rows_max: 10_000, habits: Habits::default(), windows: 4 }
    }
}

/// Workspaces, a database file, and one process after the other that sweeps.
pub(crate) struct World {
    pub(crate) crms: Vec<Crm>,
    pub(crate) process: Process,
    pub(crate) folder: TempDir,
    windows: usize,
}

/// What a process holds.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) store: SqliteStore,
    pub(crate) sources: Sources<Watched>,
    pub(crate) cache: Cache,
    pub(crate) clock: Clock,
    pub(crate) sweeper: Sweeper<SqliteStore, Watched>,
}

impl World {
    /// One workspace, and nothing unusual.
    pub(crate) async fn new() -> Self {
        Self::with(Making::default()).await
    }

    pub(crate) async fn with(making: Making) -> Self {
        let clock = Clock::following_tokio(start());
        let mut crms = Vec::new();
        for nth in 0..making.crms {
            let budget = SimulatedBudget { requests: 1_000_000, ..SimulatedBudget::default() };
            let manner = Manner { budget, rows_max: making.rows_max, ..Manner::default() };
            let settings = Settings { clock: clock.clone(), seed: nth as u64 + 1, habits: making.habits, manner };
            let simulator = Simulator::start(settings).await.unwrap();
            crms.push(Crm { simulator, watch: Arc::default() });
        }
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("cache.db"), 100, start()).unwrap();
        let process = process(store, &crms, &(0..making.crms).collect::<Vec<_>>(), &clock, making.windows).await;
        Self { crms, process, folder, windows: making.windows }
    }

    /// Ends the process, and starts another one by another clock, with these of the workspaces in its settings.
    pub(crate) async fn restart(&mut self, clock: Clock, crms: &[usize]) {
        let store = self.process.store.clone();
        self.process = process(store, &self.crms, crms, &clock, self.windows).await;
    }

    /// Ends the process, and starts another one with two sources in its settings: both of the first workspace.
    pub(crate) async fn restart_with_both(&mut self, second: DataSourceId) {
        let (store, clock) = (self.process.store.clone(), self.process.clock.clone());
        let crm = self.crm();
        let tables = [crm.workspace().data_source(), second].map(|table| (crm, TableId::DataSource(table)));
        self.process = process_over(store, &tables, &clock, self.windows).await;
    }

    /// Starts another process beside the one that is there.
    pub(crate) async fn another(&self) -> Process {
        let store = SqliteStore::open(&self.database(), 100, self.now()).unwrap();
        process(store, &self.crms, &(0..self.crms.len()).collect::<Vec<_>>(), &self.process.clock, self.windows).await
    }

    /// The first workspace.
    pub(crate) fn crm(&self) -> &Crm {
        self.crms.first().unwrap()
    }

    pub(crate) fn workspace(&self) -> &Workspace {
        self.crm().workspace()
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.process.clock.now()
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("cache.db")
    }

    /// Puts a page into the first workspace that has been there for a day.
    pub(crate) fn page(&self, n: usize) -> PageId {
        let draft = company(&format!("Company {n}")).website(&format!("https://company-{n}.com")).status("Sourced");
        self.workspace().place(draft, start() - TimeDelta::days(1) + TimeDelta::minutes(i64::try_from(n).unwrap()))
    }

    /// Puts so many pages there.
    pub(crate) fn pages(&self, n: usize) -> Vec<PageId> {
        (0..n).map(|n| self.page(n)).collect()
    }

    /// Sweeps, and says what came of it.
    pub(crate) async fn sweep(&self) -> SweepReport {
        self.process.sweep(SweepOrder::by(AskedBy::Command), CancellationToken::new()).await.1
    }

    pub(crate) async fn sweep_by(&self, order: SweepOrder) -> SweepReport {
        self.process.sweep(order, CancellationToken::new()).await.1
    }

    /// Sweeps, and lists the differences that were found.
    pub(crate) async fn drift(&self) -> (SweepReport, Vec<Drift>) {
        let (id, report) = self.process.sweep(SweepOrder::by(AskedBy::Command), CancellationToken::new()).await;
        (report, self.process.store.read(move |rows| rows.drift(id, 10_000)).await.unwrap())
    }

    /// Key, page and status of all published rows.
    pub(crate) fn rows(&self) -> Vec<(String, String, String)> {
        pipeline::rows(&self.database()).into_iter().map(pipeline::Row::face).collect()
    }

    /// Keys that another program finds suppressed now.
    pub(crate) fn suppressed(&self) -> Vec<String> {
        let now = isoformat(self.now());
        let rows = pipeline::rows(&self.database()).into_iter();
        rows.filter(|row| row.expires_at > now).map(|row| row.key).collect()
    }

    /// When the row of a key stops to count.
    pub(crate) fn expires_at(&self, key: &str) -> Option<DateTime<Utc>> {
        let rows = pipeline::rows(&self.database()).into_iter();
        rows.filter(|row| row.key == key).map(|row| row.expires_at.parse().unwrap()).next()
    }

    /// Everything that is in the tables of the cache and the inbox, as text.
    pub(crate) fn digest(&self) -> BTreeMap<&'static str, Vec<String>> {
        let tables =
            ["suppression_cache", "suppressd_pages", "suppressd_claims", "suppressd_changes", "suppressd_inbox"];
        tables.into_iter().map(|table| (table, self.table(table))).collect()
    }

    /// The rows of one table, as text.
    pub(crate) fn table(&self, table: &str) -> Vec<String> {
        let connection = pipeline::connect(&self.database());
        let mut statement = connection.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2")).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            let cells = (0..columns).map(|column| match row.get_ref_unwrap(column) {
                ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                other => format!("{other:?}"),
            });
            Ok(cells.collect::<Vec<_>>().join(" | "))
        });
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    }

    /// Does something to the file as another program does.
    pub(crate) fn meddle(&self, sql: &str) -> usize {
        pipeline::connect(&self.database()).execute(sql, []).unwrap()
    }

    /// Up to when the first source is proven.
    pub(crate) async fn watermark(&self) -> Option<DateTime<Utc>> {
        self.watermark_of(0).await
    }

    pub(crate) async fn watermark_of(&self, crm: usize) -> Option<DateTime<Utc>> {
        let id = self.crms.get(crm).unwrap().workspace().data_source();
        let sources = self.process.store.read(|rows| rows.sources()).await.unwrap();
        sources.into_iter().find(|source| source.id == id).and_then(|source| source.watermark)
    }

    /// A page as the cache knows it.
    pub(crate) async fn cached(&self, page: PageId) -> CachedPage {
        self.process.store.read(move |rows| rows.page(page)).await.unwrap().unwrap()
    }

    /// What the program answers to a question for a key.
    pub(crate) async fn verdict(&self, key: &str) -> Verdict {
        let Process { store, clock, .. } = self.process.clone();
        let settings = LookupSettings { max_age: TTL, rules: Rules::default(), tables: Vec::new() };
        let lookup = Lookup::new(store, clock, settings);
        let answers = lookup.answer(vec![Question::Text(key.to_owned())], Terms::default()).await.unwrap();
        answers.into_iter().next().unwrap().unwrap()
    }
}

impl Process {
    /// Asks for a sweep, runs it, and notes how it ended.
    pub(crate) async fn sweep(&self, order: SweepOrder, stop: CancellationToken) -> (SweepId, SweepReport) {
        let (asked, now) = (order.clone(), self.clock.now());
        let begin = self.store.write(move |rows| {
            let id = rows.ask_sweep(&asked, now)?;
            rows.begin_sweep(id, now)?;
            Ok(id)
        });
        let id = begin.await.unwrap();
        let progress = watch::Sender::new(SweepProgress::default());
        let report = Box::pin(self.sweeper.run(&Running { id, order, progress, stop })).await.unwrap();
        let ended = report.clone();
        self.store.write(move |rows| rows.end_sweep(id, &ended)).await.unwrap();
        (id, report)
    }

    /// Looks at a page as the worker does for an event.
    pub(crate) async fn look(&self, page: PageId) -> Applied {
        let known_in = self.store.read(move |rows| Ok(rows.page(page)?.map(|known| known.source))).await.unwrap();
        let snapshot = self.sources.page(page, known_in, self.clock.now(), Priority::Webhook).await.unwrap();
        let sighting = self.sources.sighting(&snapshot, known_in).unwrap();
        let (cache, now) = (self.cache.clone(), self.clock.now());
        let cause = Cause { door: Door::Webhook, id: "an event".to_owned() };
        self.store.write(move |rows| cache.apply(rows, &sighting, &cause, now)).await.unwrap().applied
    }
}

async fn process(store: SqliteStore, crms: &[Crm], watched: &[usize], clock: &Clock, windows: usize) -> Process {
    let watched = watched.iter().filter_map(|nth| crms.get(*nth));
    let tables: Vec<_> = watched.map(|crm| (crm, TableId::Database(crm.workspace().database()))).collect();
    process_over(store, &tables, clock, windows).await
}

async fn process_over(store: SqliteStore, tables: &[(&Crm, TableId)], clock: &Clock, windows: usize) -> Process {
    let metrics = Metrics::default();
    let configured = tables.iter().enumerate().map(|(nth, (crm, table))| {
        let Crm { simulator, watch } = crm;
        let budget = Budget::new(NonZeroU16::new(6_000).unwrap(), clock.clone(), metrics.clone());
        let settings = ClientSettings {
            base_url: simulator.base_url().parse().unwrap(),
            token: SecretString::from(simulator.token().to_owned()),
            version: ApiVersion::default(),
            timeout: Duration::from_hours(1),
        };
        let client = Client::new(settings, budget.clone(), clock.clone(), metrics.clone()).unwrap();
        let source = SourceSettings {
            name: format!("crm {nth}"),
            table: *table,
            names: Names::default(),
            hard: HardStatuses::default(),
        };
        (source, Watched { client, budget, clock: clock.clone(), watch: Arc::clone(watch) })
    });
    let sources = Sources::new(configured);
    sources.recall(&store).await.unwrap();
    let cache = Cache::new(CacheSettings { ttl: TTL, index_lag: INDEX_LAG, rules: Rules::default() });
    cache.learn_from(|| sources.hard());
    let sweeper = Sweeper::new(
        store.clone(),
        sources.clone(),
        cache.clone(),
        (clock.clone(), metrics),
        SweepSettings { windows },
    );
    Process { store, sources, cache, clock: clock.clone(), sweeper }
}

/// Python's form of a time, as the published table has it.
pub(crate) fn isoformat(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string()
}
