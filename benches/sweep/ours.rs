//! The sweep itself, put together as `reconcile` does, over a store in a file.

use std::{num::NonZeroU16, path::Path, time::Duration};

use chrono::TimeDelta;
use suppressd::{
    cache::{Cache, CacheSettings},
    clock::Clock,
    derive::{Rules, mapping::Names, winner::HardStatuses},
    metrics::Metrics,
    model::{
        id::TableId,
        sweep::{AskedBy, SweepOrder, SweepProgress, SweepReport},
    },
    notion::{
        budget::Budget,
        client::{ApiVersion, Client, ClientSettings},
    },
    sources::{SourceSettings, Sources},
    store::{Store as _, sqlite::SqliteStore},
    sweep::{Running, SweepSettings, Sweeper},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::notion::Notion;

/// The default of `sweep.windows`.
const WINDOWS: usize = 4;

/// Sweeps all that `notion` holds into the file at `db`, and returns what the sweep says of itself.
pub(crate) async fn sweep(notion: &Notion, db: &Path) -> SweepReport {
    let (clock, metrics) = (Clock::system(), Metrics::default());
    let store = SqliteStore::open(db, 1, clock.now()).unwrap();
    // More than the settings let through, and more than a sweep asks.
    let budget = Budget::new(NonZeroU16::MAX, clock.clone(), metrics.clone());
    let settings = ClientSettings {
        base_url: notion.base_url.parse().unwrap(),
        token: notion.token.clone().into(),
        version: ApiVersion::default(),
        timeout: Duration::from_mins(1),
    };
    let client = Client::new(settings, budget, clock.clone(), metrics.clone()).unwrap();
    let source = SourceSettings {
        name: "crm".to_owned(),
        table: TableId::DataSource(notion.data_source.parse().unwrap()),
        names: Names::default(),
        hard: HardStatuses::default(),
    };
    let sources = Sources::new([(source, client)]);
    sources.recall(&store).await.unwrap();
    let cache = Cache::new(CacheSettings {
        ttl: TimeDelta::days(7),
        index_lag: TimeDelta::seconds(60),
        rules: Rules::default(),
    });
    let settings = SweepSettings { windows: WINDOWS };
    let sweeper = Sweeper::new(store.clone(), sources, cache, (clock.clone(), metrics), settings);

    let (order, now) = (SweepOrder::by(AskedBy::Command), clock.now());
    let asked = order.clone();
    let id = store.write(move |rows| rows.ask_sweep(&asked, now)).await.unwrap();
    store.write(move |rows| rows.begin_sweep(id, now)).await.unwrap();
    let (progress, _heard) = watch::channel(SweepProgress::default());
    let report = sweeper.run(&Running { id, order, progress, stop: CancellationToken::new() }).await.unwrap();
    let ended = report.clone();
    store.write(move |rows| rows.end_sweep(id, &ended)).await.unwrap();
    report
}
