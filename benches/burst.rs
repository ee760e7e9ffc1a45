//! What a bulk edit costs: requests, and seconds until every row is fresh, with queries and without them.
//!
//! People edit every row of a CRM at once; every edit becomes an event in the inbox. Notion answers in 50 ms and allows
//! 180 requests a minute. Ours: the worker as it is. The floor to hold it against is the same worker without its
//! planner, which asks for each page: it takes as many minutes as the budget makes it.
//!
//! `cargo bench --bench burst`, with `-- --quick` for 120 pages only, which a minute's budget holds.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark tells its figures, and dies where it cannot"
)]

use std::{num::NonZeroU16, time::Duration};

use chrono::TimeDelta;
use suppressd::{
    cache::{Cache, CacheSettings},
    clock::Clock,
    derive::{Rules, mapping::Names, winner::HardStatuses},
    inbox::Inbox,
    lifecycle::health::Health,
    metrics::Metrics,
    model::{
        entry::{Door, STATUS_UNKNOWN},
        event::{EventKind, Subject},
        id::{PageId, TableId},
        key::Key,
    },
    notion::{
        budget::Budget,
        client::{ApiVersion, Client, ClientSettings},
    },
    simulator::{
        Settings, Simulator,
        api::Manner,
        draft::{changes, company},
        event::Entity,
    },
    sources::{SourceSettings, Sources},
    store::{Disposition, NewEvent, Published, Store as _, StoreError, sqlite::SqliteStore},
    worker::{Worker, WorkerHealth, WorkerSettings, planner::QUERY_MIN},
};
use tokio::time::{Instant, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long the simulated Notion takes for an answer.
const LATENCY: Duration = Duration::from_millis(50);

/// How far queries are taken to trail, as by default.
const INDEX_LAG: TimeDelta = TimeDelta::seconds(60);

/// How often the table is asked how many rows are fresh.
const ROUND: Duration = Duration::from_millis(20);

/// Longer than the budget makes 500 pages take.
const PATIENCE: Duration = Duration::from_mins(8);

/// What one run took.
struct Took {
    requests_fresh: u64,
    fresh: Duration,
    requests_settled: u64,
    settled: Duration,
}

#[tokio::main]
async fn main() {
    let pages = if std::env::args().any(|word| word == "--quick") { 120 } else { 500 };
    let mut both = Vec::new();
    for (name, query_min) in [("with queries", Some(QUERY_MIN)), ("page by page", None)] {
        let took = run(pages, query_min).await;
        println!(
            "{name:<13} {pages} pages fresh after {:6.1} s and {:4} requests, settled after {:6.1} s and {:4} requests",
            took.fresh.as_secs_f64(),
            took.requests_fresh,
            took.settled.as_secs_f64(),
            took.requests_settled,
        );
        both.push(took);
    }
    if let [ours, floor] = both.as_slice() {
        println!(
            "page by page / with queries: {:.1} times the seconds until fresh, {:.1} times the requests in all",
            floor.fresh.as_secs_f64() / ours.fresh.as_secs_f64(),
            f64::from(u32::try_from(floor.requests_settled).unwrap())
                / f64::from(u32::try_from(ours.requests_settled).unwrap()),
        );
    }
}

async fn run(pages: usize, query_min: Option<usize>) -> Took {
    let manner = Manner { latency: LATENCY, ..Manner::default() };
    let simulator = Simulator::start(Settings { manner, ..Settings::default() }).await.unwrap();
    let (workspace, clock, metrics) = (simulator.workspace().clone(), Clock::system(), Metrics::default());
    let an_hour_ago = clock.now() - TimeDelta::hours(1);
    let website = |n: usize| format!("acme-{n}.com");
    let ids: Vec<PageId> = (0..pages)
        .map(|n| workspace.place(company("Acme").website(&website(n)).status("Sourced"), an_hour_ago))
        .collect();

    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("cache.db"), 10_000, clock.now()).unwrap();
    let inbox = Inbox::new(store.clone());
    let sources = sources(&simulator, &clock, &metrics);
    let cache = Cache::new(CacheSettings { ttl: TimeDelta::days(7), index_lag: INDEX_LAG, rules: Rules::default() });
    let worker = Worker::new(
        inbox.clone(),
        sources,
        cache,
        (clock.clone(), metrics),
        WorkerSettings { concurrency: 4, settle_after: TimeDelta::seconds(60), query_min },
    );
    let (health, stop) = (Health::default(), CancellationToken::new());
    let health =
        WorkerHealth { worker: health.part("worker", Duration::MAX), notion: health.part("notion", Duration::MAX) };
    let tasks = TaskTracker::new();
    tasks.spawn(worker.run(stop.clone(), health));
    tasks.close();

    let began = Instant::now();
    for id in &ids {
        workspace.edit(*id, changes().status("Passed"));
    }
    tell(&simulator, &inbox, &clock).await;
    let keys: Vec<Key> = (0..pages).map(|n| Key::try_from(format!("domain:{}", website(n))).unwrap()).collect();
    let took = timeout(PATIENCE, async {
        while !all_fresh(&store, keys.clone()).await.unwrap() {
            tokio::time::sleep(ROUND).await;
        }
        let (fresh, requests_fresh) = (began.elapsed(), simulator.tally().total());
        while !store.read(|rows| rows.waiting(1)).await.unwrap().is_empty() {
            tokio::time::sleep(ROUND).await;
        }
        Took { requests_fresh, fresh, requests_settled: simulator.tally().total(), settled: began.elapsed() }
    });
    let took = took.await.unwrap();
    stop.cancel();
    tasks.wait().await;
    simulator.stop().await;
    took
}

/// Returns whether every key has the status that was written; the last of them are asked first.
async fn all_fresh(store: &SqliteStore, keys: Vec<Key>) -> Result<bool, StoreError> {
    store
        .read(move |rows| {
            for key in keys.iter().rev() {
                let status = match rows.entry(key)? {
                    Some(Published::Entry(entry)) => entry.status,
                    Some(Published::Foreign { .. }) | None => STATUS_UNKNOWN.to_owned(),
                };
                if status != "Passed" {
                    return Ok(false);
                }
            }
            Ok(true)
        })
        .await
}

/// The CRM of the simulated Notion, asked with its token and a budget of its own.
fn sources(simulator: &Simulator, clock: &Clock, metrics: &Metrics) -> Sources<Client> {
    let settings = ClientSettings {
        base_url: simulator.base_url().parse().unwrap(),
        token: simulator.token().into(),
        version: ApiVersion::default(),
        timeout: Duration::from_secs(10),
    };
    let budget = Budget::new(NonZeroU16::new(180).unwrap(), clock.clone(), metrics.clone());
    let client = Client::new(settings, budget, clock.clone(), metrics.clone()).unwrap();
    let source = SourceSettings {
        name: "crm".to_owned(),
        table: TableId::DataSource(simulator.workspace().data_source()),
        names: Names::default(),
        hard: HardStatuses::default(),
    };
    Sources::new([(source, client)])
}

/// Puts an event for every edit into the inbox.
async fn tell(simulator: &Simulator, inbox: &Inbox<SqliteStore>, clock: &Clock) {
    for event in simulator.workspace().take_events() {
        if let (Entity::Page(page), EventKind::PagePropertiesUpdated) = (event.entity, &event.kind) {
            let new = NewEvent {
                event_id: event.id.to_string(),
                kind: event.kind.name().to_owned(),
                subject: Some(Subject::Page(page)),
                occurred_at: event.at,
                received_at: clock.now(),
                door: Door::Webhook,
                disposition: Disposition::Look,
                body: b"{}".to_vec(),
            };
            inbox.accept(new).await.unwrap();
        }
    }
}
