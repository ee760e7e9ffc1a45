//! A worker on a stage: a real store that can be made to fail, and a Notion that answers by a script.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use suppressd::{
    cache::{Cache, CacheSettings},
    clock::Clock,
    derive::{Rules, mapping::Names, winner::HardStatuses},
    inbox::Inbox,
    lifecycle::health::Health,
    metrics::Metrics,
    model::{
        entry::Door,
        event::Subject,
        id::{DataSourceId, PageId, TableId},
        page::{Page, Parent, Property, Schema, SchemaProperty, Snapshot, Value, View},
    },
    notion::{Notion, NotionError, Priority, Query, QueryPage, Window},
    sources::{SourceSettings, Sources},
    store::{
        Appended, Disposition, EventFilter, EventState, Exclusive, NewEvent, Rows, Store, StoreError, StoredEvent,
        sqlite::SqliteStore,
    },
    worker::{Worker, WorkerHealth, WorkerSettings, planner::QUERY_MIN},
};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

/// The first configured source.
pub(crate) const SOURCE: DataSourceId = DataSourceId::from_uuid(Uuid::from_u128(1));

/// The second one, where a test has two.
pub(crate) const OTHER_SOURCE: DataSourceId = DataSourceId::from_uuid(Uuid::from_u128(2));

/// How long after a doubtful look a page is looked at once more.
pub(crate) const SETTLE_AFTER: TimeDelta = TimeDelta::seconds(60);

/// How far a query is taken to trail the live page.
pub(crate) const INDEX_LAG: TimeDelta = TimeDelta::seconds(60);

/// When the play begins.
pub(crate) fn start() -> DateTime<Utc> {
    "2026-01-06T12:00:00Z".parse().unwrap()
}

pub(crate) fn page_id(n: u128) -> PageId {
    PageId::from_uuid(Uuid::from_u128(0x1000 + n))
}

/// A store that refuses to write while it is told to.
#[derive(Debug, Clone)]
pub(crate) struct Flaky {
    pub(crate) inner: SqliteStore,
    pub(crate) refuses: Arc<AtomicBool>,
}

impl Store for Flaky {
    async fn append(&self, event: NewEvent) -> Result<Appended, StoreError> {
        self.inner.append(event).await
    }

    async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Rows) -> Result<T, StoreError> + Send + 'static,
    {
        if self.refuses.load(Ordering::Relaxed) {
            return Err(StoreError::Full);
        }
        self.inner.write(work).await
    }

    async fn read<T, F>(&self, question: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Rows) -> Result<T, StoreError> + Send + 'static,
    {
        self.inner.read(question).await
    }

    fn read_blocking<T>(&self, question: impl FnOnce(&mut dyn Rows) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.inner.read_blocking(question)
    }

    async fn foreign_commits(&self) -> Result<i64, StoreError> {
        self.inner.foreign_commits().await
    }

    fn exclusive(&self, task: &str) -> Result<Option<Exclusive>, StoreError> {
        self.inner.exclusive(task)
    }

    fn is_taken(&self, task: &str) -> Result<bool, StoreError> {
        self.inner.is_taken(task)
    }
}

/// The rows that the index shows to the nth query, counted from 1.
type Index = dyn Fn(usize) -> Result<Vec<Page>, NotionError> + Send + Sync;

/// What the script says to the nth look at a page, counted from 1 in the order of the looks of that page.
type Script = dyn Fn(PageId, usize) -> Result<Page, NotionError> + Send + Sync;

/// Notion by a script, for one token.
#[derive(Clone)]
pub(crate) struct Scripted {
    clock: Clock,
    source: DataSourceId,
    roles: Vec<&'static str>,
    script: Arc<Script>,
    index: Arc<Index>,
    /// How long an answer takes.
    takes: Duration,
    looks: Arc<Mutex<HashMap<PageId, usize>>>,
    /// The pages of results that were asked for.
    asked: Arc<Mutex<Vec<Query>>>,
    /// Looks at each page that run, and the most there ever were.
    running: Arc<Mutex<(HashMap<PageId, usize>, usize)>>,
    /// Whether the token is refused.
    pub(crate) refused: Arc<AtomicBool>,
    /// Whether the source is hidden.
    pub(crate) hidden: Arc<AtomicBool>,
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

impl Scripted {
    pub(crate) fn new(script: impl Fn(PageId, usize) -> Result<Page, NotionError> + Send + Sync + 'static) -> Self {
        Self {
            clock: Clock::following_tokio(start()),
            source: SOURCE,
            roles: vec!["Website", "Status", "Crunchbase"],
            script: Arc::new(script),
            index: Arc::new(|_| Err(NotionError::NotFound)),
            asked: Arc::default(),
            takes: Duration::from_millis(25),
            looks: Arc::default(),
            running: Arc::default(),
            refused: Arc::default(),
            hidden: Arc::default(),
        }
    }

    pub(crate) fn with_source(self, source: DataSourceId, roles: &[&'static str]) -> Self {
        Self { source, roles: roles.to_vec(), ..self }
    }

    /// Answers queries too, from what `index` holds.
    pub(crate) fn with_index(
        self,
        index: impl Fn(usize) -> Result<Vec<Page>, NotionError> + Send + Sync + 'static,
    ) -> Self {
        Self { index: Arc::new(index), ..self }
    }

    pub(crate) fn taking(self, takes: Duration) -> Self {
        Self { takes, ..self }
    }

    /// How often a page was asked for.
    pub(crate) fn looks(&self, page: PageId) -> usize {
        self.looks.lock().unwrap().get(&page).copied().unwrap_or(0)
    }

    /// How often any page was asked for.
    pub(crate) fn all_looks(&self) -> usize {
        self.looks.lock().unwrap().values().sum()
    }

    /// Every page of results that was asked for.
    pub(crate) fn asked(&self) -> Vec<Query> {
        self.asked.lock().unwrap().clone()
    }

    /// The most looks at one page at the same time.
    pub(crate) fn most_at_once(&self) -> usize {
        self.running.lock().unwrap().1
    }

    /// Counts a look as running until what this returns is dropped.
    fn enter(&self, page: PageId) -> Running {
        let mut running = self.running.lock().unwrap();
        let now = running.0.entry(page).or_default();
        *now += 1;
        let now = *now;
        running.1 = running.1.max(now);
        Running { page, running: Arc::clone(&self.running) }
    }

    fn may(&self) -> Result<(), NotionError> {
        if self.refused.load(Ordering::Relaxed) {
            return Err(NotionError::Refused { code: "unauthorized".to_owned(), message: String::new() });
        }
        Ok(())
    }
}

struct Running {
    page: PageId,
    running: Arc<Mutex<(HashMap<PageId, usize>, usize)>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        *self.running.lock().unwrap().0.entry(self.page).or_default() -= 1;
    }
}

impl Notion for Scripted {
    async fn page(&self, id: PageId, _priority: Priority) -> Result<Snapshot, NotionError> {
        let _running = self.enter(id);
        let observed_at = self.clock.now();
        let nth = {
            let mut looks = self.looks.lock().unwrap();
            let nth = looks.entry(id).or_default();
            *nth += 1;
            *nth
        };
        let answer = self.may().and_then(|()| (self.script)(id, nth));
        tokio::time::sleep(self.takes).await;
        Ok(Snapshot { page: answer?, observed_at, view: View::Page })
    }

    async fn schemas(&self, _table: TableId, _priority: Priority) -> Result<Vec<Schema>, NotionError> {
        self.may()?;
        if self.hidden.load(Ordering::Relaxed) {
            return Err(NotionError::NotFound);
        }
        let property = |name: &&str| SchemaProperty {
            id: (*name).to_owned(),
            name: (*name).to_owned(),
            kind: "rich_text".to_owned(),
            options: Vec::new(),
        };
        let title = SchemaProperty {
            id: "title".to_owned(),
            name: "Company Name".to_owned(),
            kind: "title".to_owned(),
            options: Vec::new(),
        };
        let properties = std::iter::once(title).chain(self.roles.iter().map(property)).collect();
        Ok(vec![Schema {
            data_source: self.source,
            database: None,
            title: "CRM".to_owned(),
            properties,
            unmapped: Vec::new(),
        }])
    }

    /// Gives the rows of the window in the order of their last edit, a hundred at a time.
    async fn query(&self, query: &Query, _priority: Priority) -> Result<QueryPage, NotionError> {
        let observed_at = self.clock.now();
        let nth = {
            let mut asked = self.asked.lock().unwrap();
            asked.push(query.clone());
            asked.len()
        };
        let Window::EditedSince(since) = query.window else { return Err(NotionError::NotFound) };
        let answer = self.may().and_then(|()| (self.index)(nth));
        tokio::time::sleep(self.takes).await;
        let mut rows = answer?;
        rows.retain(|row| row.last_edited_time >= since && !row.in_trash && row.is_archived == query.archived);
        rows.sort_by_key(|row| (row.last_edited_time, row.id));
        let from: usize = query.cursor.as_ref().map_or(0, |cursor| cursor.parse().unwrap());
        let (all, to) = (rows.len(), from + usize::from(query.page_size));
        let snapshots = rows.into_iter().skip(from).take(usize::from(query.page_size));
        Ok(QueryPage {
            snapshots: snapshots.map(|page| Snapshot { page, observed_at, view: View::Query }).collect(),
            unread: Vec::new(),
            next_cursor: (to < all).then(|| to.to_string()),
            capped: false,
        })
    }
}

/// A row of a source, edited at `edited`, with a website and whatever else is given.
pub(crate) fn row(page: PageId, source: DataSourceId, edited: DateTime<Utc>, values: &[(&str, &str)]) -> Page {
    let property = |(name, text): &(&str, &str)| Property {
        id: (*name).to_owned(),
        name: (*name).to_owned(),
        value: Value::text(text),
    };
    Page {
        id: page,
        parent: Parent::DataSource(source),
        created_time: start(),
        last_edited_time: edited,
        in_trash: false,
        is_archived: false,
        url: None,
        properties: values.iter().map(property).collect(),
    }
}

/// A running worker and what is around it.
pub(crate) struct Stage {
    pub(crate) folder: TempDir,
    pub(crate) store: Flaky,
    pub(crate) inbox: Inbox<Flaky>,
    pub(crate) clock: Clock,
    pub(crate) health: Health,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
    pub(crate) metrics: Metrics,
    /// Whether pages may share a query.
    pub(crate) query_min: Option<usize>,
    /// What tells the worker that started last of a new token.
    pub(crate) new_token: Mutex<Option<Box<dyn Fn() + Send>>>,
    notions: Vec<Scripted>,
}

impl Stage {
    /// Sets the stage; the worker does not run yet.
    pub(crate) fn set(notions: &[&Scripted]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let inner = SqliteStore::open(&folder.path().join("cache.db"), 100, start()).unwrap();
        let store = Flaky { inner, refuses: Arc::default() };
        Self {
            inbox: Inbox::new(store.clone()),
            clock: notions.first().map_or_else(Clock::system, |notion| notion.clock.clone()),
            health: Health::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            metrics: Metrics::default(),
            query_min: Some(QUERY_MIN),
            new_token: Mutex::default(),
            notions: notions.iter().map(|notion| (*notion).clone()).collect(),
            folder,
            store,
        }
    }

    /// Starts the worker.
    pub(crate) fn run(&self) {
        drop(self.run_over(self.inbox.clone()));
    }

    /// Starts the worker over another handle, as a process does that did not accept the events itself.
    pub(crate) fn run_over(&self, inbox: Inbox<Flaky>) -> JoinHandle<()> {
        let settings = |notion: &Scripted| SourceSettings {
            name: "crm".to_owned(),
            table: TableId::DataSource(notion.source),
            names: Names::default(),
            hard: HardStatuses::default(),
        };
        let sources = Sources::new(self.notions.iter().map(|notion| (settings(notion), notion.clone())));
        let taught = sources.clone();
        let cache =
            Cache::new(CacheSettings { ttl: TimeDelta::days(7), index_lag: INDEX_LAG, rules: Rules::default() });
        let worker = Worker::new(
            inbox,
            sources,
            cache,
            (self.clock.clone(), self.metrics.clone()),
            WorkerSettings { concurrency: 4, settle_after: SETTLE_AFTER, query_min: self.query_min },
        );
        let hastened = worker.hastened();
        *self.new_token.lock().unwrap() = Some(Box::new(move || {
            taught.settings().iter().for_each(|source| taught.reopen(source.table));
            hastened.notify_one();
        }));
        let health = WorkerHealth {
            worker: self.health.part("worker", Duration::MAX),
            notion: self.health.part("notion", Duration::MAX),
        };
        self.tasks.spawn(worker.run(self.stop.clone(), health))
    }

    /// An event about a page that happened now.
    pub(crate) fn event(&self, id: &str, page: PageId, kind: &str) -> NewEvent {
        NewEvent {
            event_id: id.to_owned(),
            kind: kind.to_owned(),
            subject: Some(Subject::Page(page)),
            occurred_at: self.clock.now(),
            received_at: self.clock.now(),
            door: Door::Webhook,
            disposition: Disposition::Look,
            body: b"{}".to_vec(),
        }
    }

    pub(crate) async fn accept(&self, id: &str, page: PageId, kind: &str) -> Appended {
        self.inbox.accept(self.event(id, page, kind)).await.unwrap()
    }

    /// Lets this much time pass.
    pub(crate) async fn pass(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    /// Ids and states of all events, oldest first.
    pub(crate) async fn events(&self) -> Vec<(String, EventState)> {
        let stored = self.stored_events().await;
        stored.into_iter().map(|event| (event.event_id, event.state)).collect()
    }

    pub(crate) async fn stored_events(&self) -> Vec<StoredEvent> {
        let mut events = self.store.inner.read(|rows| rows.events(EventFilter::All, 10_000)).await.unwrap();
        events.reverse();
        events
    }

    /// Key and page of every published row.
    pub(crate) fn rows(&self) -> Vec<(String, String)> {
        let rows = crate::pipeline::rows(&self.folder.path().join("cache.db"));
        rows.into_iter().map(|row| (row.key, row.page)).collect()
    }

    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
