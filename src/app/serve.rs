//! `serve`: the receiver, the worker, the lookup, and what keeps them in order.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::{
    app::{
        AppError, Clients, cache, clients,
        gauges::{self, Running},
        housekeeping, lookup_over,
        mcp::Within,
        reload::{self, Reach},
        rights, shown,
        statsd::Teller,
        store,
        sweeping::{Nightly, Sweeping},
        vault, worker_settings,
    },
    cache::Cache,
    causes::told,
    clock::Clock,
    config::{Config, Service},
    http::{
        body::{Bodies, BodyLimits},
        listen::{Limits, Listener},
        private::{self, Private},
        public,
    },
    inbox::Inbox,
    intake::{
        Intake,
        relevance::{Known, OurSources},
    },
    lifecycle::{Lifecycle, notify},
    lookup::{Lookup, followers::Followers, scrape::Scrape},
    mcp::doors,
    metrics::Metrics,
    model::id::TableId,
    notion::{Notion, client::Client},
    sources::{Resolved, SourceSettings, Sources},
    store::{Exclusive, sqlite::SqliteStore},
    sweep::{SweepSettings, Sweeper, schedule::Daily},
    worker::{Report, Worker, WorkerHealth},
};

/// The worker beats at least every few seconds; a look of its own may take as long as a request.
const WORKER_PATIENCE: Duration = Duration::from_mins(1);

/// How often the names in memory are brought up to date.
const NAMES_ROUND: Duration = Duration::from_secs(2);

/// Notion is asked as often as there is work; its silence is no news.
const NOTION_PATIENCE: Duration = Duration::MAX;

/// A running `serve`.
#[derive(Debug)]
pub struct Serving {
    /// The address that Notion delivers to.
    pub public: SocketAddr,
    /// The address for everybody else.
    pub private: SocketAddr,
    /// Whether no delivery can be verified yet: Notion has not sent its token.
    pub awaits_token: bool,
    /// The store behind it.
    pub store: SqliteStore,
    /// What this process counts.
    pub metrics: Metrics,
    /// What each look brings.
    pub reports: broadcast::Receiver<Report>,
    /// What settings can change while it runs.
    pub reach: Reach,
}

/// Starts everything that `config` asks for. Whoever waits for `lifecycle` then sees it through.
pub async fn start(config: &Config, lifecycle: &Lifecycle, clock: &Clock) -> Result<Serving, AppError> {
    let service = config.service()?;
    let public = Listener::bind(config.serve.listen).await?;
    let private = Listener::bind(config.serve.admin_listen).await?;
    let serving = (public.address(), private.address());
    let reach = open(config, &service, serving.1, clock).await?;
    let Reach { store, sources, cache, lookup, metrics, budgets, may_work, .. } = reach.clone();
    let awaits_token = reach.vault.tokens().await.is_empty();
    let serves = rights::to_serve(&store).await?.ok_or_else(|| AppError::AlreadyServed(shown(&config.db_path)))?;
    reload::begin(&store).await?;
    let inbox = Inbox::new(store.clone());
    let configured = sources.settings();
    let workspaces = service.sources.iter().map(|access| access.source.workspace);
    let ours = OurSources::filtered_by(sources.filter().clone()).within(workspaces);
    ours.set(known(&configured, &[]));
    let scrape = watched(config, lifecycle, &reach);
    let intake = Intake::new(inbox.clone(), reach.vault.clone(), ours.clone(), clock.clone(), metrics.clone());
    let nightly = nightly(config, &store, (sources.clone(), cache.clone()), (clock.clone(), metrics.clone()));
    let worker = Worker::new(inbox.clone(), sources, cache, (clock.clone(), metrics.clone()), worker_settings(config));
    let reach = Reach { hastened: worker.hastened(), ..reach };

    let keeper = housekeeping::Housekeeper {
        inbox,
        sources: nightly.sources.clone(),
        live: worker.live(),
        budgets: Arc::clone(&budgets),
        retention: config.retention.clone(),
        clock: clock.clone(),
        health: lifecycle.health.clone(),
        metrics: metrics.clone(),
    };
    let health = WorkerHealth {
        worker: lifecycle.health.part("worker", WORKER_PATIENCE),
        notion: lifecycle.health.part("notion", NOTION_PATIENCE),
    };
    let writer = lifecycle.health.part("writer", housekeeping::PATIENCE);
    let bodies = Bodies::new(BodyLimits::default());
    let public_routes = public::router(intake, bodies.clone(), metrics.clone());
    lifecycle.spawn("names", follow_names(lookup.clone(), lifecycle.soft.clone()));
    let within = Within {
        config: Arc::new(config.clone()),
        clock: clock.clone(),
        lookup: lookup.clone(),
        sources: nightly.sources.clone(),
        metrics: metrics.clone(),
        may_ask: Arc::clone(&may_work),
    };
    let mcp = doors::router(within, &lifecycle.soft, &lifecycle.hard);
    let followers = Followers::new(lifecycle.soft.clone());
    let inside = Private { lookup, health: lifecycle.health.clone(), bodies, scrape };
    let private_routes = private::router(inside, followers.clone(), reach.admin_token.clone(), mcp);

    housekeeping::restore_budgets(&store, &budgets.load_full()).await?;
    let reports = worker.reports();
    lifecycle.spawn("sources", follow(worker.known_sources(), configured, ours, lifecycle.soft.clone()));
    lifecycle.spawn("housekeeping", keeper.run(writer, lifecycle.soft.clone()));
    lifecycle.spawn("changes", followers.watch(store.clone()));
    spawn_work(lifecycle, &store, (serves, may_work), (worker, health), nightly);
    lifecycle
        .spawn("private listener", private.serve(private_routes, Limits::PRIVATE, metrics.clone(), lifecycle.clone()));
    lifecycle.spawn("public listener", public.serve(public_routes, Limits::PUBLIC, metrics.clone(), lifecycle.clone()));
    Ok(Serving { public: serving.0, private: serving.1, awaits_token, store, metrics, reports, reach })
}

/// Opens what the settings name, and what they can change later.
async fn open(config: &Config, service: &Service, private: SocketAddr, clock: &Clock) -> Result<Reach, AppError> {
    let (vault, metrics) = (vault(config, &service.verification_tokens)?, Metrics::default());
    let store = opened(config, clock).await?;
    let lookup = lookup_over(store.clone(), config, clock)?;
    let Clients { sources, budgets } = clients(config, &service.sources, clock, &metrics)?;
    let asking = sources.iter().map(|(source, client)| (source.clone(), client.clone())).collect();
    Ok(Reach {
        private,
        store,
        vault,
        admin_token: service.admin_token.clone().into(),
        sources: Sources::new(sources),
        asking,
        budgets: Arc::new(ArcSwap::from_pointee(budgets)),
        cache: cache(config)?,
        lookup,
        may_work: Arc::default(),
        metrics,
        clock: clock.clone(),
        hastened: Arc::default(),
    })
}

/// Makes what those see who watch, and has it told to `StatsD` where the settings name one.
fn watched(config: &Config, lifecycle: &Lifecycle, reach: &Reach) -> Scrape<SqliteStore> {
    let running = Running {
        sources: reach.sources.clone(),
        clients: reach.asking.iter().map(|(source, client)| (source.name.clone(), client.clone())).collect(),
        health: lifecycle.health.clone(),
        vault: reach.vault.clone(),
    };
    let parts = running.parts(config.db_path.clone());
    let scrape = Scrape::new(reach.lookup.clone(), reach.metrics.clone(), gauges::names(config), parts);
    if let Some(settings) = config.statsd.clone() {
        lifecycle.spawn_last("statsd", Teller::new(settings, scrape.clone()).run(lifecycle.over.clone()));
    }
    scrape
}

/// Opens the database, which takes long where a newer program brings a large one up to date.
async fn opened(config: &Config, clock: &Clock) -> Result<SqliteStore, AppError> {
    let (config, clock) = (config.clone(), clock.clone());
    let opening = tokio::task::spawn_blocking(move || store(&config, &clock));
    match notify::starting("opening the database", opening).await {
        Ok(opened) => opened,
        Err(died) => Err(AppError::Opening(died)),
    }
}

fn nightly(
    config: &Config,
    store: &SqliteStore,
    (sources, cache): (Sources<Client>, Cache),
    (clock, metrics): (Clock, Metrics),
) -> Nightly<Client> {
    let settings = SweepSettings { windows: config.sweep.windows };
    let sweeper = Sweeper::new(store.clone(), sources.clone(), cache, (clock.clone(), metrics), settings);
    Nightly {
        sweeping: Sweeping { store: store.clone(), sweeper, clock },
        sources,
        daily: config.sweep.at.map(|at| Daily { at, zone: config.sweep.zone }),
    }
}

/// Starts what needs the right to the work: the worker and the sweeps.
fn spawn_work<N: Notion>(
    lifecycle: &Lifecycle,
    store: &SqliteStore,
    (serves, may_ask): (Exclusive, Arc<AtomicBool>),
    (worker, health): (Worker<SqliteStore, N>, WorkerHealth),
    nightly: Nightly<N>,
) {
    let (has_right, mut right) = watch::channel(None);
    let (stop, store) = (lifecycle.soft.clone(), store.clone());
    lifecycle.spawn("worker", async move {
        let Some(right) = stop.run_until_cancelled(right_to_work(&store, &health)).await else { return };
        may_ask.store(true, Ordering::Relaxed);
        let right = Arc::new((right, serves));
        has_right.send_replace(Some(Arc::clone(&right)));
        tokio::join!(worker.clone().run(stop.clone(), health), worker.refresh(stop));
        drop(has_right);
        drop(right);
    });
    let stop = lifecycle.soft.clone();
    lifecycle.spawn("sweeps", async move {
        // It keeps the right for as long as it works.
        let Ok(right) = right.wait_for(Option::is_some).await.map(|right| right.clone()) else { return };
        nightly.run(stop).await;
        drop(right);
    });
}

/// Waits for the right to work: a command may have it, which will be over or gives way.
async fn right_to_work(store: &SqliteStore, health: &WorkerHealth) -> Exclusive {
    loop {
        health.worker.beat();
        match rights::to_work(store) {
            Ok(Some(right)) => return right,
            Ok(None) => health.notion.failing("another suppressd command works on the database"),
            Err(error) => health.notion.failing(told(&error)),
        }
        tokio::time::sleep(rights::ROUND).await;
    }
}

/// Keeps the names of the companies in memory, so that no question waits until they are read.
async fn follow_names(lookup: Lookup<SqliteStore>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        // Who asks hears of it himself.
        if let Err(error) = lookup.follow_names().await {
            debug!("cannot read the names of the companies: {}", told(&error));
        }
        stop.run_until_cancelled(tokio::time::sleep(NAMES_ROUND)).await;
    }
}

/// Tells the intake which tables are ours, whenever the worker has learnt more of them.
async fn follow(
    mut learnt: watch::Receiver<Vec<Arc<Resolved>>>,
    configured: Vec<SourceSettings>,
    ours: OurSources,
    stop: CancellationToken,
) {
    while let Some(Ok(())) = stop.run_until_cancelled(learnt.changed()).await {
        ours.set(known(&configured, &learnt.borrow_and_update()));
    }
}

/// Joins what the settings name with what Notion has told.
pub(super) fn known(configured: &[SourceSettings], resolved: &[Arc<Resolved>]) -> Known {
    let mut known = Known { complete: resolved.len() == configured.len(), ..Known::default() };
    for source in configured {
        match source.table {
            TableId::DataSource(id) => drop(known.data_sources.insert(id)),
            TableId::Database(id) => drop(known.databases.insert(id)),
        }
    }
    for table in resolved {
        known.data_sources.insert(table.data_source);
        known.databases.extend(table.database);
    }
    known
}
