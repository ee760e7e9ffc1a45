//! `demo`: the whole program at work on a simulated Notion, and a judgement of what it made of it.

use std::{collections::BTreeMap, io, path::PathBuf, time::Duration};

use chrono::{DateTime, Utc};
use serde::Serialize;
use tempfile::TempDir;
use tokio::sync::broadcast;

use crate::{
    app::{
        AppError,
        serve::{self, Serving},
    },
    clock::Clock,
    config::{Config, Flags},
    derive::{self, Rules, winner::HardStatuses},
    lifecycle::{Ended, Lifecycle},
    metrics::{
        Metrics,
        label::{Answer, Endpoint, Snapshot},
    },
    model::{
        id::PageId,
        page::Role,
        sweep::{AskedBy, SweepId, SweepOrder, SweepReport},
    },
    simulator::{
        Access, Settings, Simulator,
        api::Manner,
        budget::Budget,
        faults::Fault,
        scenario::{Happening, Scenario},
        webhooks::{Delivering, Webhooks},
    },
    store::{Published, Store as _, sqlite::SqliteStore},
    worker::Report,
};

/// What the simulated Notion grants in a minute: more than Notion does, so that there is something to see.
const REQUESTS_PER_MINUTE: u32 = 3_000;

/// How long Notion takes for an answer here.
const LATENCY: Duration = Duration::from_millis(25);

/// The name of the database in the folder of the demonstration.
const DATABASE: &str = "demo.db";

/// How long it may take until everything that was told is settled.
const SETTLE_MAX: Duration = Duration::from_secs(30);

/// How often it is asked whether it is.
const SETTLE_ROUND: Duration = Duration::from_millis(50);

/// A running demonstration.
#[derive(Debug)]
pub struct Demo {
    simulator: Simulator,
    webhooks: Webhooks,
    scenario: Scenario,
    lifecycle: Lifecycle,
    serving: Serving,
    happenings: u64,
    first_sweep: SweepReport,
    clock: Clock,
    /// Holds the database; goes with the demonstration.
    folder: TempDir,
}

/// Why there is no demonstration.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The program itself did not start.
    #[error(transparent)]
    App(#[from] AppError),
    /// The settings of the demonstration were refused.
    #[error(transparent)]
    Config(#[from] crate::config::Problems),
    /// No port or no folder could be had.
    #[error("cannot prepare the demonstration")]
    Io(#[from] io::Error),
    /// No client for the deliveries.
    #[error("cannot deliver the events of the demonstration")]
    Webhooks(#[from] reqwest::Error),
    /// A sweep did not end.
    #[error("the sweep of the demonstration did not come to its end in time")]
    Sweep,
    /// The database could not be compared.
    #[error("cannot compare the cache with the workspace")]
    Store(#[from] crate::store::StoreError),
}

/// How the demonstration ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Changes that people made in the workspace.
    pub changes_made: u64,
    /// Differences that the last sweep found: what no event had told.
    pub differences_swept: u64,
    /// Companies in the workspace at the end.
    pub companies: usize,
    /// Rows that the cache has.
    pub rows: usize,
    /// Differences between the cache and what the workspace says; empty where all is right.
    pub differences: Vec<String>,
    /// Whether everything was settled in time.
    pub settled: bool,
    /// Requests that the simulated Notion answered.
    pub notion_requests: u64,
    /// The most requests for one page at the same time: never more than one.
    pub fetches_of_a_page_at_once: u32,
    /// What the program counted.
    pub counts: Counts,
}

/// What the program counted until one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Deliveries that became a waiting event.
    pub deliveries_accepted: u64,
    /// Deliveries of an event that was here before.
    pub deliveries_duplicate: u64,
    /// Pages that were fetched one by one.
    pub pages_fetched: u64,
    /// Looks that changed a row.
    pub snapshots_changed: u64,
    /// Looks that took a page out of its source.
    pub snapshots_removed: u64,
}

impl Counts {
    /// Reads what `metrics` say now.
    pub fn of(metrics: &Metrics) -> Self {
        let received = &metrics.events_received;
        Self {
            deliveries_accepted: received.all(Answer::Accepted),
            deliveries_duplicate: received.all(Answer::Duplicate),
            pages_fetched: metrics.notion_requests.get(Endpoint::Page, Some(200)),
            snapshots_changed: metrics.snapshots.get(Snapshot::Changed),
            snapshots_removed: metrics.snapshots.get(Snapshot::Removed),
        }
    }
}

impl Demo {
    /// Starts a workspace that has had `companies` for a while and the program beside it, and waits for its first sweep.
    ///
    /// With `admin_token` the private address asks for it.
    pub async fn start(seed: u64, companies: u32, admin_token: Option<&str>, clock: Clock) -> Result<Self, DemoError> {
        let folder = tempfile::Builder::new().prefix("suppressd-demo-").tempdir()?;
        let budget = Budget { requests: REQUESTS_PER_MINUTE, ..Budget::default() };
        let manner = Manner { budget, latency: LATENCY, ..Manner::default() };
        let settings = Settings { clock: clock.clone(), seed, manner, ..Settings::default() };
        let simulator = Simulator::start(settings).await?;
        let mut scenario = Scenario::new(seed);
        scenario.populate(simulator.workspace(), companies as usize);
        // Now and then Notion fails, as it does.
        let mishaps = [(Fault::Status(503), 0.02), (Fault::Truncated, 0.01), (Fault::Reset, 0.01)];
        simulator.faults().at_random(seed, mishaps);

        let lifecycle = Lifecycle::default();
        let config = config(&simulator, &folder, admin_token)?;
        let serving = serve::start(&config, &lifecycle, &clock).await?;
        let target = format!("http://{}/webhooks/notion", serving.public);
        let manner = Delivering {
            lost_percent: 5,
            doubled_percent: 10,
            shuffled: true,
            delay_max: LATENCY * 10,
            ..Delivering::default()
        };
        let webhooks = simulator.webhooks(&target, manner)?;
        simulator.deliver_in_background(&webhooks);
        let first_sweep = sweep_of(&serving.store, SweepId(1)).await?;
        Ok(Self { simulator, webhooks, scenario, lifecycle, serving, happenings: 0, first_sweep, clock, folder })
    }

    /// Makes one change in the workspace.
    pub fn step(&mut self) -> Happening {
        self.happenings += 1;
        self.scenario.step(self.simulator.workspace())
    }

    /// Returns what each look of the program brings from now on.
    pub fn reports(&self) -> broadcast::Receiver<Report> {
        self.serving.reports.resubscribe()
    }

    /// Returns the database file, which other commands can be tried on meanwhile.
    pub fn database(&self) -> PathBuf {
        self.folder.path().join(DATABASE)
    }

    /// Returns the running program.
    pub const fn serving(&self) -> &Serving {
        &self.serving
    }

    /// Returns the stop of the program.
    pub const fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }

    /// Returns what the sweep brought that the program made by itself when it started.
    pub const fn first_sweep(&self) -> &SweepReport {
        &self.first_sweep
    }

    /// Waits until everything that was told is settled, sweeps for what was not, and compares the cache with the
    /// workspace.
    pub async fn finish(self) -> Result<(Summary, Ended), DemoError> {
        let settled = tokio::time::timeout(SETTLE_MAX, self.settled()).await.unwrap_or(Ok(false))?;
        let (order, now) = (SweepOrder::by(AskedBy::Api), self.clock.now());
        let sweep = self.serving.store.write(move |rows| rows.ask_sweep(&order, now)).await?;
        let sweep = sweep_of(&self.serving.store, sweep).await?;
        let expected = self.expected();
        let found = self.found(expected.keys().cloned().collect()).await?;
        let summary = Summary {
            changes_made: self.happenings,
            differences_swept: sweep.drift.total(),
            companies: self.companies(),
            rows: found.rows,
            differences: differences(&expected, &found),
            settled,
            notion_requests: self.simulator.tally().total(),
            fetches_of_a_page_at_once: self.simulator.tally().most_at_once(),
            counts: Counts::of(&self.serving.metrics),
        };
        self.lifecycle.stop();
        let ended = self.lifecycle.run_until_stopped(crate::lifecycle::GRACE).await;
        self.simulator.stop().await;
        Ok((summary, ended))
    }

    async fn settled(&self) -> Result<bool, DemoError> {
        loop {
            // The deliveries first: what they brought is then in the inbox.
            if self.webhooks.waiting() == 0 && self.serving.store.read(|rows| rows.waiting(1)).await?.is_empty() {
                return Ok(true);
            }
            tokio::time::sleep(SETTLE_ROUND).await;
        }
    }

    fn companies(&self) -> usize {
        self.rows().count()
    }

    /// The pages that are rows of the CRM and may be seen.
    fn rows(&self) -> impl Iterator<Item = crate::simulator::truth::TruthPage> {
        let workspace = self.simulator.workspace();
        let rows = workspace.rows(workspace.data_source());
        rows.into_iter().filter(|row| !row.in_trash && row.access == Access::Shared)
    }

    /// What the rows of the cache should say, by the workspace alone.
    fn expected(&self) -> BTreeMap<String, Face> {
        let hard = HardStatuses::default();
        let mut winners: BTreeMap<String, (Rank, Face)> = BTreeMap::new();
        for row in self.rows() {
            let status = row.values.get(Role::Status).unwrap_or("Unknown").to_owned();
            let rank = (hard.is_hard(&status), row.last_edited, std::cmp::Reverse(row.id));
            for candidate in derive::values_candidates(&row.values, &Rules::default()).candidates {
                let claim = (rank, (row.id, status.clone()));
                let winner = winners.entry(candidate.key.to_string()).or_insert_with(|| claim.clone());
                if claim.0 > winner.0 {
                    *winner = claim;
                }
            }
        }
        winners.into_iter().map(|(key, (_, face))| (key, face)).collect()
    }

    async fn found(&self, expected: Vec<String>) -> Result<Found, DemoError> {
        let now = self.clock.now();
        let found = self.serving.store.read(move |rows| {
            let mut faces = BTreeMap::new();
            for key in expected.into_iter().filter_map(|key| crate::model::key::Key::try_from(key).ok()) {
                if let Some(Published::Entry(entry)) = rows.entry(&key)? {
                    faces.insert(key.to_string(), (entry.page, entry.status));
                }
            }
            let rows = usize::try_from(rows.cache_tally(now)?.entries).unwrap_or(usize::MAX);
            Ok(Found { rows, faces })
        });
        Ok(found.await?)
    }
}

/// Waits for the end of a sweep.
async fn sweep_of(store: &SqliteStore, sweep: SweepId) -> Result<SweepReport, DemoError> {
    let ended = async {
        loop {
            if let Some(report) = store.read(move |rows| rows.sweep(sweep)).await?.and_then(|sweep| sweep.report) {
                return Ok(report);
            }
            tokio::time::sleep(SETTLE_ROUND).await;
        }
    };
    tokio::time::timeout(SETTLE_MAX, ended).await.unwrap_or(Err(DemoError::Sweep))
}

/// What decides between two claims.
type Rank = (bool, DateTime<Utc>, std::cmp::Reverse<PageId>);

/// Who holds a key, and with which status.
type Face = (PageId, String);

struct Found {
    rows: usize,
    faces: BTreeMap<String, Face>,
}

fn differences(expected: &BTreeMap<String, Face>, found: &Found) -> Vec<String> {
    let surplus = found.rows.saturating_sub(found.faces.len());
    let surplus = (surplus > 0).then(|| format!("{surplus} rows have keys that nobody holds"));
    expected
        .iter()
        .filter_map(|(key, (page, status))| match found.faces.get(key) {
            None => Some(format!("{key} is missing: {page} holds it")),
            Some(face) if *face != (*page, status.clone()) => {
                Some(format!("{key} says {} of {}, the workspace {status} of {page}", face.1, face.0))
            }
            Some(_) => None,
        })
        .chain(surplus)
        .collect()
}

fn config(simulator: &Simulator, folder: &TempDir, admin_token: Option<&str>) -> Result<Config, DemoError> {
    let mut environment: BTreeMap<&str, String> = BTreeMap::from([
        ("NOTION_API_KEY", simulator.token().to_owned()),
        ("NOTION_DATABASE_ID", simulator.workspace().database().to_string()),
        ("NOTION_BASE_URL", simulator.base_url()),
        ("NOTION_VERIFICATION_TOKEN", simulator.verification_token().to_owned()),
        ("NOTION_REQUESTS_PER_MINUTE", REQUESTS_PER_MINUTE.to_string()),
        // The index of the demo is never behind.
        ("NOTION_INDEX_LAG_SECONDS", "0".to_owned()),
        ("SUPPRESSD_DB_PATH", folder.path().join(DATABASE).display().to_string()),
        ("SUPPRESSD_LISTEN", "127.0.0.1:0".to_owned()),
        ("SUPPRESSD_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
    ]);
    if let Some(token) = admin_token {
        environment.insert("SUPPRESSD_ADMIN_TOKEN", token.to_owned());
    }
    Ok(Config::read(&Flags::new(), &|name: &str| environment.get(name).cloned())?)
}
