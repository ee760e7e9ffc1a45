//! The program as `serve` puts it together, without sockets: it is started on a file, killed, and started anew.

use std::{
    num::NonZeroU16,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::TimeDelta;
use secrecy::SecretString;
use suppressd::{
    cache::{Cache, CacheSettings},
    derive::{Rules, mapping::Names, winner::HardStatuses},
    inbox::Inbox,
    intake::{
        Intake, Receipt,
        handshake::TokenVault,
        relevance::{Known, OurSources},
    },
    lifecycle::health::Health,
    lookup::{Lookup, LookupSettings},
    metrics::Metrics,
    model::{entry::Door, id::TableId},
    notion::{
        budget::{Budget, BudgetState},
        client::{ApiVersion, Client, ClientSettings},
        signature::VerificationToken,
    },
    simulator::offline::Offline,
    sources::{SourceSettings, Sources},
    store::sqlite::SqliteStore,
    sweep::{SweepSettings, Sweeper},
    worker::{Worker, WorkerHealth, WorkerSettings},
};
use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::simulation::{
    clocks::Clocks,
    disk::{Disk, Weather},
    line::{Line, Shown},
    sweep::Sweeps,
};

/// Who asks Notion.
pub(crate) type Asker = Client<Line>;

/// How long after a doubtful look a page is looked at once more, as in `serve`.
const SETTLE_AFTER: TimeDelta = TimeDelta::seconds(60);

/// What does not change from one start to the next.
pub(crate) struct Plan {
    pub(crate) notion: Arc<Offline>,
    pub(crate) clocks: Clocks,
    pub(crate) shown: Shown,
    pub(crate) weather: Arc<Weather>,
    /// The sources, as the settings name them.
    pub(crate) tables: Vec<TableId>,
    pub(crate) budget: NonZeroU16,
    /// How long the client waits for an answer.
    pub(crate) timeout: Duration,
    pub(crate) concurrency: usize,
    /// From how many pages on they share a query; few, since there are few.
    pub(crate) query_min: Option<usize>,
}

/// A running program.
pub(crate) struct Program {
    pub(crate) file: PathBuf,
    pub(crate) disk: Disk,
    pub(crate) door: Entrance,
    pub(crate) sweeps: Sweeps,
    pub(crate) lookup: Lookup<Disk>,
    pub(crate) worker: Worker<Disk, Asker>,
    budget: Budget,
    tasks: Vec<JoinHandle<()>>,
}

/// The door of one process: whoever stands in it when the process is killed gets no answer.
#[derive(Debug, Clone)]
pub(crate) struct Entrance {
    intake: Intake<Disk>,
    killed: CancellationToken,
}

impl Entrance {
    /// Ends everybody who stands in it.
    pub(crate) fn close(&self) {
        self.killed.cancel();
    }

    /// Hands a delivery in, and returns the status that the receiver answers with.
    pub(crate) async fn receive(&self, body: &str, signature: Option<&str>) -> Option<u16> {
        let received = self.intake.receive(body.as_bytes(), signature, Door::Webhook);
        Some(match self.killed.run_until_cancelled(received).await? {
            Receipt::Refused => 401,
            Receipt::NotDurable => 503,
            Receipt::Accepted
            | Receipt::Duplicate
            | Receipt::Reopened
            | Receipt::Ignored
            | Receipt::Skipped
            | Receipt::Unreadable
            | Receipt::Handshake(_) => 200,
        })
    }
}

impl Program {
    /// Starts on a file, knowing what the last run has spent of the budget.
    pub(crate) fn start(plan: &Plan, file: &Path, spent: Option<&BudgetState>) -> Self {
        let (clock, metrics) = (plan.clocks.ours.clone(), Metrics::default());
        let disk = open(plan, file);
        let inbox = Inbox::new(disk.clone());
        let budget = Budget::new(plan.budget, clock.clone(), metrics.clone());
        if let Some(spent) = spent {
            budget.restore(spent);
        }
        let line = Line::new(plan.notion.wire(), plan.clocks.notion.clone(), plan.shown.clone());
        let settings = ClientSettings {
            base_url: "http://notion.invalid".parse().unwrap(),
            token: SecretString::from(plan.notion.token()),
            version: ApiVersion::default(),
            timeout: plan.timeout,
        };
        let client = Client::over(line, settings, budget.clone(), clock.clone(), metrics.clone()).unwrap();
        let sources = Sources::new(plan.tables.iter().map(|table| (source(*table), client.clone())));
        let cache = Cache::new(CacheSettings {
            ttl: TimeDelta::days(7),
            index_lag: TimeDelta::seconds(60),
            rules: Rules::default(),
        });
        let settings =
            WorkerSettings { concurrency: plan.concurrency, settle_after: SETTLE_AFTER, query_min: plan.query_min };
        let sweeper = Sweeper::new(
            disk.clone(),
            sources.clone(),
            cache.clone(),
            (clock.clone(), metrics.clone()),
            SweepSettings { windows: plan.concurrency.min(4) },
        );
        let sweeps = Sweeps::new(disk.clone(), sweeper, plan.clocks.clone());
        let filter = sources.filter().clone();
        let worker = Worker::new(inbox.clone(), sources, cache, (clock.clone(), metrics), settings);
        let settings =
            LookupSettings { max_age: TimeDelta::days(7), rules: Rules::default(), tables: plan.tables.clone() };
        let lookup = Lookup::new(disk.clone(), clock, settings);

        let (door, ours) = door(plan, inbox, OurSources::filtered_by(filter));
        let mut learnt = worker.known_sources();
        let tables = plan.tables.clone();
        let tasks = TaskTracker::new();
        let follow = tasks.spawn(async move {
            while learnt.changed().await.is_ok() {
                let resolved = learnt.borrow_and_update().clone();
                ours.set(Known {
                    data_sources: resolved.iter().map(|table| table.data_source).collect(),
                    databases: resolved.iter().filter_map(|table| table.database).collect(),
                    complete: resolved.len() == tables.len(),
                });
            }
        });
        let health = Health::default();
        let part = |name| health.part(name, Duration::MAX);
        let health = WorkerHealth { worker: part("worker"), notion: part("notion") };
        let work = tasks.spawn(worker.clone().run(CancellationToken::new(), health));
        Self { file: file.to_owned(), disk, door, sweeps, lookup, worker, budget, tasks: vec![follow, work] }
    }

    /// Kills it, wherever it is; returns what it has spent of the budget, and what kept living.
    pub(crate) async fn kill(self) -> (BudgetState, Result<(), String>) {
        let Self { file: _, disk, door, sweeps, lookup, worker, budget, tasks } = self;
        door.close();
        drop((door, lookup, worker));
        sweeps.kill().await;
        for task in tasks {
            task.abort();
            drop(task.await);
        }
        let state = budget.state();
        for _ in 0..100 {
            if disk.handles() == 1 {
                return (state, Ok(()));
            }
            tokio::task::yield_now().await;
        }
        (state, Err(format!("{} handles outlive a killed program", disk.handles() - 1)))
    }
}

/// Another process that takes deliveries into the same file, such as a second receiver: nobody rings for its events.
pub(crate) fn second_door(plan: &Plan, file: &Path) -> Entrance {
    door(plan, Inbox::new(open(plan, file)), OurSources::default()).0
}

fn open(plan: &Plan, file: &Path) -> Disk {
    let store = SqliteStore::open(file, 100, plan.clocks.ours.now()).unwrap();
    Disk::new(store, Arc::clone(&plan.weather))
}

fn door(plan: &Plan, inbox: Inbox<Disk>, ours: OurSources) -> (Entrance, OurSources) {
    let vault = TokenVault::configured(vec![VerificationToken::new(plan.notion.verification_token()).unwrap()]);
    let intake = Intake::new(inbox, vault, ours.clone(), plan.clocks.ours.clone(), Metrics::default());
    (Entrance { intake, killed: CancellationToken::new() }, ours)
}

fn source(table: TableId) -> SourceSettings {
    SourceSettings { name: "crm".to_owned(), table, names: Names::default(), hard: HardStatuses::default() }
}

/// The doors that are open now: none while the program is down.
#[derive(Debug, Clone, Default)]
pub(crate) struct Doors(Arc<Mutex<Vec<Entrance>>>);

impl Doors {
    pub(crate) fn set(&self, doors: Vec<Entrance>) {
        *self.0.lock().unwrap() = doors;
    }

    /// Any of them.
    pub(crate) fn any(&self) -> Option<Entrance> {
        let doors = self.0.lock().unwrap();
        fastrand::choice(doors.iter()).cloned()
    }
}
