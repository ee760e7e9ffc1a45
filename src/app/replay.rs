//! `replay`: stored events through the same door, and then the same work.
//!
//! Where a `serve` runs on the same database it has the right to the work, and with it the one budget. Then the
//! events are only put into the inbox, and this process waits until the other has settled them. Recorded pages cannot
//! be handed over, so with them nothing is put anywhere.

use std::{path::PathBuf, time::Duration};

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    app::{
        AppError, Clients, cache, clients, housekeeping,
        rights::{self, Turn},
        serve::known,
        shown, source_settings, store, worker_settings,
    },
    clock::Clock,
    config::Config,
    derive::{mapping::Names, winner::HardStatuses},
    inbox::Inbox,
    intake::{
        Intake,
        handshake::TokenVault,
        relevance::OurSources,
        replay::{self, Replay, Replayed},
    },
    lifecycle::Lifecycle,
    metrics::Metrics,
    model::id::TableId,
    notion::{Notion, budget::Budget, client::Client, recorded::Recorded, signature::VerificationToken},
    sources::{SourceSettings, Sources},
    store::{EventState, Exclusive, Store as _, sqlite::SqliteStore},
    worker::{Worker, WorkerHealth, WorkerSettings},
};

/// How often it is asked whether anything still waits.
const ROUND: Duration = Duration::from_millis(50);

/// What is to be replayed.
#[derive(Debug, Clone)]
pub struct Order {
    /// Files and folders of bodies.
    pub paths: Vec<PathBuf>,
    /// What the inbox kept.
    pub from_inbox: bool,
    /// A folder of recorded pages that stands in for Notion.
    pub pages: Option<PathBuf>,
}

/// How it stands with a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Progress {
    /// What became of the bodies.
    #[serde(flatten)]
    pub replayed: Replayed,
    /// Events that still wait, of this replay or another origin.
    pub waiting: u64,
    /// Events that are parked, of this replay or another origin.
    pub parked: u64,
    /// Whether another process does the work.
    pub served_elsewhere: bool,
    /// Whether a stop came before every body was given.
    pub broken_off: bool,
}

/// Replays, and works until nothing waits or a stop is asked for. `told` hears how it stands.
pub async fn run(
    config: &Config,
    order: &Order,
    lifecycle: &Lifecycle,
    clock: &Clock,
    told: impl FnMut(Progress),
) -> Result<Progress, AppError> {
    // Whatever is wrong with the order is told before anything is written.
    let files = replay::files(&order.paths)?;
    let recorded = order.pages.as_ref().map(|folder| Recorded::read(folder, clock.clone())).transpose()?;
    if recorded.is_none() && !config.db_path.exists() {
        // Nobody serves a database that is not there, so this process would have to ask Notion.
        config.notion()?;
    }
    let store = store(config, clock)?;
    let right = loop {
        match rights::turn(&store)? {
            Turn::Ours(right) => break Some(right),
            Turn::Served => break None,
            Turn::Busy if lifecycle.soft.is_cancelled() => break None,
            // Another command, which will be over.
            Turn::Busy => tokio::time::sleep(rights::ROUND).await,
        }
    };
    let kept = store.clone();
    let run = |settings, budgets| Run { config, order, files, lifecycle, clock, store, settings, budgets };
    let settings = worker_settings(config);
    match (recorded, right) {
        (Some(_), None) => Err(AppError::ServedWhileRecorded(shown(&config.db_path))),
        // A recorded page will not say anything else a minute later, and costs no request.
        (Some(recorded), Some(right)) => {
            let sources = recorded_sources(config, &recorded);
            let settings = WorkerSettings { settle_after: TimeDelta::zero(), query_min: None, ..settings };
            run(settings, Vec::new()).run(sources, Some(right), told).await
        }
        (None, Some(right)) => {
            let Clients { sources, budgets } = clients(config, &config.notion()?, clock, &Metrics::default())?;
            housekeeping::restore_budgets(&kept, &budgets).await?;
            run(settings, budgets).run(sources, Some(right), told).await
        }
        // Who only hands over need not know how to ask Notion.
        (None, None) => run(settings, Vec::new()).run(Vec::<(_, Client)>::new(), None, told).await,
    }
}

/// The recorded data sources, with the settings of those that are configured.
fn recorded_sources(config: &Config, recorded: &Recorded) -> Vec<(SourceSettings, Recorded)> {
    let configured: Vec<_> = config.sources().unwrap_or_default().iter().map(source_settings).collect();
    let settings = |id| {
        configured.iter().find(|source| source.table == TableId::DataSource(id)).cloned().unwrap_or_else(|| {
            SourceSettings {
                name: "recorded".to_owned(),
                table: TableId::DataSource(id),
                names: Names::default(),
                hard: HardStatuses::new(config.hard_statuses()),
            }
        })
    };
    recorded.data_sources().map(|id| (settings(id), recorded.clone())).collect()
}

struct Run<'a> {
    config: &'a Config,
    order: &'a Order,
    files: Vec<PathBuf>,
    lifecycle: &'a Lifecycle,
    clock: &'a Clock,
    store: SqliteStore,
    settings: WorkerSettings,
    budgets: Vec<Budget>,
}

impl Run<'_> {
    /// Gives all bodies, then works where `right` says that this process may, else waits for the other.
    async fn run<N: Notion>(
        self,
        sources: Vec<(SourceSettings, N)>,
        right: Option<Exclusive>,
        mut told: impl FnMut(Progress),
    ) -> Result<Progress, AppError> {
        let metrics = Metrics::default();
        let inbox = Inbox::new(self.store.clone());
        let configured: Vec<_> = sources.iter().map(|(source, _)| source.clone()).collect();
        let sources = Sources::new(sources);
        sources.recall(&self.store).await?;
        // Nothing that a person asks for is skipped.
        let ours = OurSources::default();
        if right.is_some() {
            // As far as an earlier run has learnt which tables are ours. A page of any other one may be ours: it is
            // asked. Who only hands over leaves all of that to the other.
            ours.set(known(&configured, &sources.resolved()));
        }
        let mut replay = self.replay(&inbox, ours, &metrics)?;
        let given = self.lifecycle.soft.run_until_cancelled(self.give(&mut replay)).await;
        let broken_off = given.transpose()?.is_none();
        let stop = CancellationToken::new();
        let worker = Worker::new(inbox, sources, cache(self.config)?, (self.clock.clone(), metrics), self.settings);
        let health = WorkerHealth {
            worker: self.lifecycle.health.part("worker", Duration::MAX),
            notion: self.lifecycle.health.part("notion", Duration::MAX),
        };
        let mut work = std::pin::pin!(async {
            if right.is_some() {
                worker.run(stop.clone(), health).await;
            } else {
                stop.cancelled().await;
            }
        });
        loop {
            let progress = self.progress(replay.done(), right.is_none()).await?;
            told(progress);
            if progress.waiting == 0 || self.lifecycle.soft.is_cancelled() {
                break;
            }
            tokio::select! {
                () = &mut work => (),
                () = tokio::time::sleep(ROUND) => (),
                () = self.lifecycle.soft.cancelled() => (),
            }
        }
        stop.cancel();
        work.await;
        if !self.budgets.is_empty() {
            housekeeping::keep_budgets(&self.store, &self.budgets).await?;
        }
        // What had begun has been finished meanwhile.
        Ok(Progress { broken_off, ..self.progress(replay.done(), right.is_none()).await? })
    }

    /// Opens a door of its own, with a token that nobody else knows.
    fn replay(
        &self,
        inbox: &Inbox<SqliteStore>,
        ours: OurSources,
        metrics: &Metrics,
    ) -> Result<Replay<SqliteStore>, AppError> {
        let token = VerificationToken::new(&format!("replay_{}", Uuid::new_v4()))?;
        let vault = TokenVault::configured(vec![token.clone()]);
        let intake = Intake::new(inbox.clone(), vault, ours, self.clock.clone(), metrics.clone());
        Ok(Replay::new(intake, token))
    }

    async fn give(&self, replay: &mut Replay<SqliteStore>) -> Result<(), AppError> {
        replay.files(&self.files).await?;
        if self.order.from_inbox {
            replay.inbox(&self.store).await?;
        }
        Ok(())
    }

    async fn progress(&self, replayed: Replayed, served_elsewhere: bool) -> Result<Progress, AppError> {
        let tally = self.store.read(|rows| rows.tally()).await?;
        let count = |wanted| tally.by_state.iter().find(|(state, _)| *state == wanted).map_or(0, |(_, count)| *count);
        Ok(Progress {
            replayed,
            waiting: count(EventState::Waiting),
            parked: count(EventState::Parked),
            served_elsewhere,
            broken_off: false,
        })
    }
}
