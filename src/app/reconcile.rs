//! `reconcile`: one sweep now, here or by the `serve` that runs on the same database.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{
    app::{
        AppError, Asking, housekeeping,
        rights::{self, Turn},
        store,
        sweeping::{CarriedOut, Job, Sweeping},
    },
    clock::Clock,
    config::Config,
    lookup::sweeps::OPEN_MAX,
    model::sweep::{SweepId, SweepOrder, SweepProgress, SweepReport, SweepState},
    notion::{budget::Budget, client::Client},
    store::{Store as _, StoredSweep, sqlite::SqliteStore},
    sweep::{SweepSettings, Sweeper},
};

/// How often it is asked how far the sweep of another process is.
const ROUND: Duration = Duration::from_millis(250);

/// How often it is written down what is spent.
const KEPT_EVERY: Duration = Duration::from_secs(5);

/// How it stands with a sweep, for whoever waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// How far it is.
    pub progress: SweepProgress,
    /// Who does the work.
    pub by: By,
}

/// Who does the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// This process.
    Us,
    /// The `serve` that runs on the database.
    Serve,
    /// Nobody yet: another command has the right to the work.
    Nobody,
}

/// What came of asking for a sweep.
#[derive(Debug)]
pub enum Reconciled {
    /// It ended.
    Ended(Box<SweepReport>),
    /// A stop came first; where a `serve` does the work, it goes on with it.
    Stopped,
}

/// Refuses names that are none of a source of the settings.
pub fn known(config: &Config, sources: &[String]) -> Result<(), AppError> {
    if sources.is_empty() {
        return Ok(());
    }
    let known: Vec<_> = config.sources()?.into_iter().map(|source| source.name).collect();
    match sources.iter().find(|name| !known.contains(name)) {
        None => Ok(()),
        Some(name) => Err(AppError::UnknownSource { name: name.clone(), known: known.join(", ") }),
    }
}

/// Sweeps once, and waits for the end. `told` hears how it stands.
pub async fn run(
    config: &Config,
    order: SweepOrder,
    stop: &CancellationToken,
    clock: &Clock,
    told: impl FnMut(&Standing),
) -> Result<Reconciled, AppError> {
    if !config.db_path.exists() {
        // Nobody serves a database that is not there, so this process will have to ask Notion.
        config.notion()?;
    }
    known(config, &order.sources)?;
    run_over(&store(config, clock)?, config, (order, stop), clock, told).await
}

/// The same over a store that is open, also where the `serve` that has the right to the work is this process.
pub(super) async fn run_over(
    store: &SqliteStore,
    config: &Config,
    (order, stop): (SweepOrder, &CancellationToken),
    clock: &Clock,
    mut told: impl FnMut(&Standing),
) -> Result<Reconciled, AppError> {
    let mut asked: Option<SweepId> = None;
    while !stop.is_cancelled() {
        match rights::turn(store)? {
            Turn::Ours(_right) => {
                let run = Run::prepare(config, store, clock).await?;
                if !order.dry_run {
                    asked = Some(ask(store, order.clone(), asked, clock).await?);
                }
                if let CarriedOut::Ended(report) = run.sweep((order.clone(), stop), asked, &mut told).await? {
                    return Ok(Reconciled::Ended(report));
                }
            }
            Turn::Busy => told(&Standing { progress: SweepProgress::default(), by: By::Nobody }),
            Turn::Served => {
                let sweep = match asked {
                    Some(id) => store.read(move |rows| rows.sweep(id)).await?,
                    None => None,
                };
                // Its process may have died over it.
                if sweep.as_ref().is_none_or(StoredSweep::died) {
                    asked = Some(ask(store, order.clone(), asked, clock).await?);
                }
                if let Some(report) = sweep.as_ref().and_then(|sweep| sweep.report.clone()) {
                    return Ok(Reconciled::Ended(Box::new(report)));
                }
                let progress = sweep.and_then(|sweep| sweep.progress).unwrap_or_default();
                told(&Standing { progress, by: By::Serve });
            }
        }
        let _stopped = stop.run_until_cancelled(tokio::time::sleep(ROUND)).await;
    }
    Ok(Reconciled::Stopped)
}

/// Returns the sweep that stands for this order: the one that was asked for, unless its process died.
async fn ask(
    store: &SqliteStore,
    order: SweepOrder,
    asked: Option<SweepId>,
    clock: &Clock,
) -> Result<SweepId, AppError> {
    let now = clock.now();
    let id = store
        .write(move |rows| {
            if let Some(id) = asked
                && let Some(sweep) = rows.sweep(id)?
                && !sweep.died()
            {
                return Ok(id);
            }
            // One that waits to begin does as well; one that runs may have read what has changed since.
            let same = |sweep: &StoredSweep| {
                sweep.state == SweepState::Asked && !order.dry_run && sweep.order.does_the_same_as(&order)
            };
            match rows.open_sweeps(OPEN_MAX)?.into_iter().find(same) {
                Some(sweep) => Ok(sweep.id),
                None => rows.ask_sweep(&order, now),
            }
        })
        .await?;
    Ok(id)
}

/// A sweep by this process.
struct Run {
    sweeping: Sweeping<Client>,
    budgets: Vec<Budget>,
}

impl Run {
    async fn prepare(config: &Config, store: &SqliteStore, clock: &Clock) -> Result<Self, AppError> {
        let Asking { sources, cache, budgets, metrics } = Asking::prepare(config, store, clock).await?;
        let settings = SweepSettings { windows: config.sweep.windows };
        let sweeper = Sweeper::new(store.clone(), sources, cache, (clock.clone(), metrics), settings);
        let now = clock.now();
        store.write(move |rows| rows.abandon_sweeps(now)).await?;
        Ok(Self { sweeping: Sweeping { store: store.clone(), sweeper, clock: clock.clone() }, budgets })
    }

    /// Sweeps, and gives way to a `serve` that is started meanwhile.
    async fn sweep(
        &self,
        (order, stop): (SweepOrder, &CancellationToken),
        asked: Option<SweepId>,
        told: &mut impl FnMut(&Standing),
    ) -> Result<CarriedOut, AppError> {
        let store = &self.sweeping.store;
        let round = |progress: &SweepProgress| {
            told(&Standing { progress: progress.clone(), by: By::Us });
            Ok(rights::is_served(store)?)
        };
        let keeps = async {
            loop {
                tokio::time::sleep(KEPT_EVERY).await;
                // What is lost here is spent twice at worst.
                drop(housekeeping::keep_budgets(store, &self.budgets).await);
            }
        };
        let sweeping = async {
            match asked {
                Some(id) if !order.dry_run => self.sweeping.carry_out(Job { id, order, stop }, round).await,
                // Nobody but this process needs to know of it.
                _ => self.sweeping.rehearse(order, stop, round, |_| async { Ok(()) }).await,
            }
        };
        let carried_out = tokio::select! {
            carried_out = sweeping => carried_out,
            () = keeps => Ok(CarriedOut::GivenWay),
        };
        housekeeping::keep_budgets(store, &self.budgets).await?;
        carried_out
    }
}
