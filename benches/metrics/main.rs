//! A scrape with 100,000 entries and 1,000,000 events, through the real private door, beside a bare route that answers the same
//! bytes; a scrape that has to count everything; and what one delivery costs to be counted.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a step that fails should end the run where it fails"
)]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

#[path = "../common/cpu.rs"]
mod cpu;
#[path = "../common/filled.rs"]
mod filled;
#[path = "../http/load.rs"]
mod load;
#[path = "../common/rounds.rs"]
mod rounds;

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use axum::{Router, body::Bytes, http::header, response::IntoResponse as _, routing::get};
use chrono::TimeDelta;
use rusqlite::Connection;
use suppressd::{
    clock::Clock,
    derive::Rules,
    http::{
        body::{Bodies, BodyLimits},
        listen::{Limits, Listener},
        private::{self, Private},
    },
    lifecycle::Lifecycle,
    lookup::{
        Lookup, LookupSettings,
        followers::Followers,
        scrape::{Scrape, SourceNames},
    },
    metrics::{
        CONTENT_TYPE, Metrics,
        counter::Counter,
        label::{Answer, EventType},
    },
    model::id::TableId,
    store::sqlite::SqliteStore,
};

use crate::{
    filled::{SOURCE, fill},
    load::Load,
    rounds::{Rounds, Work},
};

/// Events in the inbox.
const EVENTS: u32 = 1_000_000;

fn main() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (clock, path) = (Clock::system(), folder.path().join("cache.db"));
    let store = SqliteStore::open(&path, 1, clock.now()).unwrap();
    fill(&store, clock.now());
    receive(&path, clock.now().timestamp_micros());
    let settings = LookupSettings {
        max_age: TimeDelta::days(7),
        rules: Rules::default(),
        tables: vec![TableId::DataSource(SOURCE)],
    };
    let lookup = Lookup::new(store, clock, settings);
    let names = || SourceNames(vec![("crm".to_owned(), TableId::DataSource(SOURCE))]);
    let scrape = Scrape::new(lookup.clone(), Metrics::default(), names(), Box::new(|_| ()));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();

    let lifecycle = Lifecycle::default();
    let (health, bodies) = (lifecycle.health.clone(), Bodies::new(BodyLimits::default()));
    let inside = Private { lookup: lookup.clone(), health, bodies, scrape };
    let router = private::router(inside, Followers::new(lifecycle.soft.clone()), None, Router::new());
    let ours = runtime.block_on(serve(router, &lifecycle));
    let requests = Arc::new(vec![b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()]);
    for connections in [1, 16] {
        let mut asked = Load::new(ours, connections, &requests);
        let answer = asked.body();
        println!("\n{} bytes are answered", answer.len());
        let bare = runtime.block_on(serve(bare(answer.into()), &lifecycle));
        let mut floor = Load::new(bare, connections, &requests);
        Rounds::asked_for().compare(
            &format!("GET /metrics, {connections} at once; what goes through whole tables is counted now and then"),
            vec![Work::new("floor: a bare route, the same bytes", || floor.run(5)), Work::new("ours", || asked.run(5))],
        );
    }
    Rounds::asked_for().compare(
        "a scrape that counts everything, in process",
        vec![Work::new("ours", || {
            let scrape = Scrape::new(lookup.clone(), Metrics::default(), names(), Box::new(|_| ()));
            runtime.block_on(scrape.families()).len().min(1)
        })],
    );
    count();
    lifecycle.hard.cancel();
}

/// What is counted of one delivery: beside as many bare additions, and while somebody listens.
fn count() {
    let (bare, metrics, heard) = ([(); 8].map(|()| Counter::default()), Metrics::default(), Metrics::default());
    let mut listener = heard.listen();
    let one = |metrics: &Metrics| {
        metrics.events_received.count(EventType::OTHER, Answer::Accepted);
        metrics.event_delivery_lag.observe(Duration::from_millis(800));
        metrics.event_acknowledged.observe(Duration::from_millis(3));
    };
    Rounds::asked_for().compare(
        "what is counted of one delivery",
        vec![
            Work::new("floor: five bare additions", || {
                (0..1_000).for_each(|_| bare.iter().take(5).for_each(Counter::count));
                1_000
            }),
            Work::new("ours", || {
                (0..1_000).for_each(|_| one(&metrics));
                1_000
            }),
            Work::new("ours, told to StatsD", || {
                (0..1_000).for_each(|_| one(&heard));
                while listener.try_recv().is_ok() {}
                1_000
            }),
        ],
    );
}

/// Fills the inbox: most events are settled, and some are not.
#[expect(clippy::disallowed_methods, reason = "only to fill it")]
fn receive(path: &Path, now: i64) {
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch(&format!(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {EVENTS}) \
             INSERT INTO suppressd_inbox (event_id, kind, subject, occurred_at, received_at, door, state, body) \
             SELECT printf('%08x-07b8-53ee-b6a8-a1cc71849e2b', n), 'page.properties_updated', \
               printf('%08x-0000-4000-8000-a1cc71849e2b', n % 100000), {now}, {now}, 'webhook', \
               CASE WHEN n % 1000 = 0 THEN 'waiting' WHEN n % 1000 = 1 THEN 'parked' WHEN n % 10 = 2 THEN 'ignored' \
                 WHEN n % 10 = 3 THEN 'skipped' ELSE 'settled' END, \
               CASE WHEN n > {EVENTS} / 3 THEN randomblob(900) END FROM n"
        ))
        .unwrap();
}

async fn serve(router: Router, lifecycle: &Lifecycle) -> SocketAddr {
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = listener.address();
    lifecycle.spawn("listener", listener.serve(router, Limits::PRIVATE, Metrics::default(), lifecycle.clone()));
    address
}

/// The floor: the same bytes.
fn bare(answer: Bytes) -> Router {
    Router::new()
        .route("/metrics", get(async move || ([(header::CONTENT_TYPE, CONTENT_TYPE)], answer.clone()).into_response()))
}
