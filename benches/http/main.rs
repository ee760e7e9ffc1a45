//! Questions per second through the real private door over 100,000 rows, beside a bare route that answers the same bytes
//! to everybody through a listener of the same kind.
//!
//! Both doors run in this process on a multi-threaded runtime as `serve` has it; the load comes from one thread of its
//! own.
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
mod load;
#[path = "../common/rounds.rs"]
mod rounds;

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    http::header,
    response::IntoResponse as _,
    routing::{get, post},
};
use chrono::TimeDelta;
use suppressd::{
    clock::Clock,
    derive::Rules,
    http::{
        body::{Bodies, BodyLimits},
        listen::{Limits, Listener},
        private::{self, Private},
    },
    lifecycle::Lifecycle,
    lookup::{Lookup, LookupSettings, followers::Followers, scrape::Scrape},
    metrics::Metrics,
    model::id::TableId,
    store::sqlite::SqliteStore,
};

use crate::{
    filled::{ROWS, SOURCE, fill},
    load::Load,
    rounds::{Rounds, Work},
};

/// Questions that are on their way at once.
const CONNECTIONS: usize = 16;

/// Different requests of each kind.
const REQUESTS: usize = 10_000;

/// Companies of one list.
const COMPANIES: usize = 1_000;

fn main() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let clock = Clock::system();
    let store = SqliteStore::open(&folder.path().join("cache.db"), 1, clock.now()).unwrap();
    fill(&store, clock.now());
    let settings = LookupSettings {
        max_age: TimeDelta::days(7),
        rules: Rules::default(),
        tables: vec![TableId::DataSource(SOURCE)],
    };
    let lookup = Lookup::new(store, clock, settings);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let lifecycle = Lifecycle::default();
    let bodies = Bodies::new(BodyLimits::default());
    let scrape = Scrape::alone(lookup.clone());
    let inside = Private { lookup, health: lifecycle.health.clone(), bodies, scrape };
    let router = private::router(inside, Followers::new(lifecycle.soft.clone()), None, Router::new());
    let ours = runtime.block_on(serve(router, &lifecycle));

    let mut rng = fastrand::Rng::with_seed(7);
    let mut get = |first| {
        requests(REQUESTS, || {
            format!(
                "GET /v1/suppression/domain:company-{}.com HTTP/1.1\r\nHost: localhost\r\n\r\n",
                first + rng.u128(..ROWS)
            )
        })
    };
    let (held, absent) = (get(0), get(ROWS));
    let mut list = || {
        let company = |rng: &mut fastrand::Rng| format!(r#"{{"key":"domain:company-{}.com"}}"#, rng.u128(..ROWS * 2));
        let body: Vec<String> = (0..COMPANIES).map(|_| company(&mut rng)).collect();
        let body = format!("[{}]", body.join(","));
        let length = body.len();
        format!(
            "POST /v1/check HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    };
    let lists = requests(50, &mut list);

    for (what, requests, connections, each) in [
        ("GET /v1/suppression/{key} that is held", &held, CONNECTIONS, 100),
        ("GET /v1/suppression/{key} that is held, one connection", &held, 1, 400),
        ("GET /v1/suppression/{key} that is not held", &absent, CONNECTIONS, 100),
        ("POST /v1/check with 1,000 companies, half of them held", &lists, 4, 2),
    ] {
        let mut asked = Load::new(ours, connections, requests);
        let answer = asked.body();
        println!(
            "\n{} bytes are answered, such as {}",
            answer.len(),
            String::from_utf8_lossy(&answer[..answer.len().min(120)])
        );
        let bare = runtime.block_on(serve(bare(answer.into()), &lifecycle));
        let mut floor = Load::new(bare, connections, requests);
        Rounds::asked_for().compare(
            what,
            vec![
                Work::new("floor: a bare route, the same bytes", || floor.run(each)),
                Work::new("ours", || asked.run(each)),
            ],
        );
    }
    lifecycle.hard.cancel();
}

fn requests(count: usize, mut request: impl FnMut() -> String) -> Arc<Vec<Vec<u8>>> {
    Arc::new((0..count).map(|_| request().into_bytes()).collect())
}

async fn serve(router: Router, lifecycle: &Lifecycle) -> SocketAddr {
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = listener.address();
    lifecycle.spawn("listener", listener.serve(router, Limits::PRIVATE, Metrics::default(), lifecycle.clone()));
    address
}

/// The floor: whatever is asked, the same bytes.
fn bare(answer: Bytes) -> Router {
    let json = || [(header::CONTENT_TYPE, "application/json")];
    let (one, many) = (answer.clone(), answer);
    Router::new()
        .route("/v1/suppression/{*key}", get(async move || (json(), one.clone()).into_response()))
        .route("/v1/check", post(async move |_body: Bytes| (json(), many.clone()).into_response()))
}
