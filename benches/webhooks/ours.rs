//! The real public door, put together as `serve` does, over a store in a file.

use std::{net::SocketAddr, path::Path, time::Duration};

use suppressd::{
    clock::Clock,
    http::{
        body::{Bodies, BodyLimits},
        listen::{Limits, Listener},
        public,
    },
    inbox::Inbox,
    intake::{
        Intake,
        handshake::TokenVault,
        relevance::{Known, OurSources},
    },
    lifecycle::Lifecycle,
    metrics::Metrics,
    store::{Store as _, sqlite::SqliteStore},
};

use crate::deliveries::{DATABASE, SOURCE, TOKEN};

/// The default of `serve.intake_queue`.
const APPENDS_MAX: usize = 4_096;

/// How often the housekeeping of `serve` tries the writer.
const PROBED_EVERY: Duration = Duration::from_secs(2);

/// Serves the public door over a new database at `db`.
pub(crate) async fn start(db: &Path, lifecycle: &Lifecycle) -> SocketAddr {
    let (clock, metrics) = (Clock::system(), Metrics::default());
    let store = SqliteStore::open(db, APPENDS_MAX, clock.now()).unwrap();
    let sources = OurSources::default();
    sources.set(Known { data_sources: [SOURCE].into(), databases: [DATABASE].into(), complete: true });
    let vault = TokenVault::configured(vec![TOKEN.parse().unwrap()]);
    let intake = Intake::new(Inbox::new(store.clone()), vault, sources, clock, metrics.clone());
    let router = public::router(intake, Bodies::new(BodyLimits::default()), metrics.clone());
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = listener.address();
    lifecycle.spawn("listener", listener.serve(router, Limits::PUBLIC, metrics, lifecycle.clone()));
    let stop = lifecycle.soft.clone();
    lifecycle.spawn("probe", async move {
        while stop.run_until_cancelled(tokio::time::sleep(PROBED_EVERY)).await.is_some() {
            store.foreign_commits().await.unwrap();
        }
    });
    address
}
