//! Carrying out sweeps that were asked for, and asking for those that are due.

use std::{pin::pin, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::{select, sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    app::AppError,
    causes::told,
    clock::Clock,
    lookup::status::NEXT_SWEEP,
    model::sweep::{AskedBy, SweepId, SweepOrder, SweepProgress, SweepReport, SweepState},
    notion::Notion,
    sources::Sources,
    store::{Rows, Store as _, StoreError, StoredSweep, sqlite::SqliteStore},
    sweep::{Running, Sweeper, schedule::Daily},
};

/// How often a running sweep says how far it is, and it is looked for what is due.
const ROUND: Duration = Duration::from_secs(1);

/// A complete sweep that began longer ago is too old.
const COMPLETE_WITHIN: TimeDelta = TimeDelta::days(1);

/// After a sweep that was not complete the next one is not tried before this.
const TRIED_AGAIN_AFTER: TimeDelta = TimeDelta::hours(1);

/// How often rows are looked for that are about to expire.
const RENEWED_EVERY: Duration = Duration::from_mins(10);

/// Sweeps, for whoever has the right to the work.
#[derive(Debug, Clone)]
pub(super) struct Sweeping<N> {
    pub(super) store: SqliteStore,
    pub(super) sweeper: Sweeper<SqliteStore, N>,
    pub(super) clock: Clock,
}

/// A sweep to carry out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job<'a> {
    pub(super) id: SweepId,
    pub(super) order: SweepOrder,
    /// Ends it before its time.
    pub(super) stop: &'a CancellationToken,
}

/// What came of carrying out a sweep.
#[derive(Debug)]
pub(super) enum CarriedOut {
    /// It ended.
    Ended(Box<SweepReport>),
    /// Somebody else is to begin it anew.
    GivenWay,
}

impl<N: Notion> Sweeping<N> {
    /// Carries out a sweep that was asked for; `gives_way` is asked now and then whether somebody else should.
    pub(super) async fn carry_out(
        &self,
        Job { id, order, stop }: Job<'_>,
        mut round: impl FnMut(&SweepProgress) -> Result<bool, AppError>,
    ) -> Result<CarriedOut, AppError> {
        let now = self.clock.now();
        self.store.write(move |rows| rows.begin_sweep(id, now)).await?;
        let tell = |progress: SweepProgress| self.store.write(move |rows| rows.tell_sweep(id, &progress));
        let mut carried_out = if order.dry_run {
            self.rehearse(order, stop, &mut round, tell).await?
        } else {
            follow(&self.sweeper, Job { id, order, stop }, &mut round, tell).await?
        };
        match &mut carried_out {
            CarriedOut::Ended(report) => {
                report.sweep = Some(id);
                let report = report.clone();
                self.store.write(move |rows| rows.end_sweep(id, &report)).await?;
            }
            CarriedOut::GivenWay => self.store.write(move |rows| rows.give_back_sweep(id)).await?,
        }
        Ok(carried_out)
    }

    /// Sweeps a copy of the cache, and throws the copy away: the same work, the same report, and nothing is changed.
    pub(super) async fn rehearse<W>(
        &self,
        order: SweepOrder,
        stop: &CancellationToken,
        round: impl FnMut(&SweepProgress) -> Result<bool, AppError>,
        tell: impl FnMut(SweepProgress) -> W,
    ) -> Result<CarriedOut, AppError>
    where
        W: Future<Output = Result<(), StoreError>>,
    {
        let folder = tempfile::Builder::new().prefix("suppressd-dry-run-").tempdir().map_err(AppError::DryRun)?;
        let (store, path, now) = (self.store.clone(), folder.path().join("cache.db"), self.clock.now());
        let copy = blocking(move || store.copy_to(&path, now)).await?;
        let id = copy.write(move |rows| rows.ask_sweep(&order, now)).await?;
        follow(&self.sweeper.over(copy), Job { id, order, stop }, round, tell).await
    }
}

/// Runs a sweep to its end, and tells every second how far it is.
async fn follow<N: Notion, W>(
    sweeper: &Sweeper<SqliteStore, N>,
    Job { id, order, stop }: Job<'_>,
    mut round: impl FnMut(&SweepProgress) -> Result<bool, AppError>,
    mut tell: impl FnMut(SweepProgress) -> W,
) -> Result<CarriedOut, AppError>
where
    W: Future<Output = Result<(), StoreError>>,
{
    let (progress, heard) = watch::channel(SweepProgress::default());
    let running = Running { id, order, progress, stop: stop.child_token() };
    let mut work = pin!(sweeper.run(&running));
    let mut gives_way = false;
    loop {
        select! {
            report = &mut work => {
                let report = report?;
                // What was complete before it heard of that is complete.
                let is_over = report.outcome == SweepState::Complete || !gives_way;
                return Ok(if is_over { CarriedOut::Ended(Box::new(report)) } else { CarriedOut::GivenWay });
            }
            () = tokio::time::sleep(ROUND) => {
                let progress = heard.borrow().clone();
                if !gives_way && round(&progress)? {
                    gives_way = true;
                    running.stop.cancel();
                }
                if let Err(error) = tell(progress).await {
                    warn!("cannot write down how far the sweep is: {}", told(&error));
                }
            }
        }
    }
}

/// The part of `serve` that sweeps.
#[derive(Debug)]
pub(super) struct Nightly<N> {
    pub(super) sweeping: Sweeping<N>,
    pub(super) sources: Sources<N>,
    pub(super) daily: Option<Daily>,
}

impl<N: Notion> Nightly<N> {
    /// Sweeps when it is due or asked for, and lets rows count for longer that nobody could be asked about; until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        let Sweeping { store, clock, .. } = &self.sweeping;
        let mut is_tidy = false;
        let mut due_at = self.daily.and_then(|daily| daily.next_after(clock.now()));
        self.announce(due_at).await;
        let mut renewed_at: Option<Instant> = None;
        loop {
            if renewed_at.is_none_or(|at| at.elapsed() >= RENEWED_EVERY) {
                renewed_at = Some(Instant::now());
                if let Err(error) = self.sweeping.sweeper.renew().await {
                    warn!("cannot let rows count for longer: {}", told(&error));
                }
            }
            // Only this part carries out sweeps here: one that still seems to run has broken off.
            if !is_tidy {
                let now = clock.now();
                is_tidy = store.write(move |rows| rows.abandon_sweeps(now)).await.is_ok();
            }
            let is_known = !self.sources.resolved().is_empty();
            if !is_known && due_at.is_some_and(|at| at <= clock.now()) {
                warn!("a sweep is due, and Notion has not told the schema of any source yet: it waits for that");
                due_at = self.daily.and_then(|daily| daily.next_after(clock.now()));
            }
            if is_known
                && is_tidy
                && let Err(error) = self.turn(&mut due_at, &stop).await
            {
                warn!("cannot sweep: {}", told(&error));
                is_tidy = false;
            }
            select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(ROUND) => (),
            }
        }
    }

    /// Writes down when the next daily sweep is due, for `status`.
    async fn announce(&self, due_at: Option<DateTime<Utc>>) {
        let told_at = due_at.map(|at| at.to_rfc3339()).unwrap_or_default();
        // A word that is lost here is only missing in `status`.
        drop(self.sweeping.store.write(move |rows| rows.put_fact(NEXT_SWEEP, &told_at)).await);
    }

    /// Asks for what is due, and carries out what was asked for first.
    async fn turn(&self, due_at: &mut Option<DateTime<Utc>>, stop: &CancellationToken) -> Result<(), AppError> {
        let now = self.sweeping.clock.now();
        let daily = self.daily;
        // A clock that was set back far must not put the next one off for as long.
        let is_daily = due_at.is_some_and(|at| at <= now || at - now > TimeDelta::hours(26));
        if is_daily {
            *due_at = daily.and_then(|daily| daily.next_after(now));
            self.announce(*due_at).await;
        }
        let asked = self.sweeping.store.read(move |rows| rows.next_sweep()).await?;
        let (id, order) = match asked {
            Some(asked) => (asked.id, asked.order),
            None if daily.is_none() => return Ok(()),
            None => {
                let needed = self.sweeping.store.read(move |rows| is_needed(rows, now)).await?;
                let asked_by = match (is_daily, needed) {
                    (true, _) => AskedBy::Schedule,
                    (false, true) => AskedBy::Need,
                    (false, false) => return Ok(()),
                };
                let order = SweepOrder::by(asked_by);
                (self.sweeping.store.write(move |rows| rows.ask_sweep(&order, now)).await?, order)
            }
        };
        info!(sweep = id.0, asked_by = order.asked_by.name(), "sweep {id} begins");
        if let CarriedOut::Ended(report) = self.sweeping.carry_out(Job { id, order, stop }, |_| Ok(false)).await? {
            info!(
                sweep = id.0,
                outcome = report.outcome.name(),
                drift = report.drift.total(),
                "sweep {id} {}: {} pages, {} differences, {} of which no event had told",
                report.outcome.name(),
                report.counts.entries_processed,
                report.drift.total(),
                report.drift.untold(),
            );
            if report.outcome != SweepState::Complete
                && let Some(error) = report.errors.first()
            {
                warn!(sweep = id.0, errors = report.errors_count, "sweep {id} is not complete: {error}");
            }
        }
        Ok(())
    }
}

/// Returns whether no complete sweep is young enough, and the last try is not too young.
fn is_needed(rows: &mut dyn Rows, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let is_young = |at: DateTime<Utc>| at <= now && now - at < COMPLETE_WITHIN;
    let complete = rows.last_complete_sweep()?.is_some_and(is_young);
    let proven = rows.sources()?.iter().all(|source| source.retired_at.is_some() || source.watermark.is_some());
    if complete && proven {
        return Ok(false);
    }
    let last = rows.sweeps(10)?.into_iter().find(|sweep| !sweep.order.dry_run && sweep.state.is_over());
    Ok(last.is_none_or(|last| may_be_tried_again(&last, now)))
}

fn may_be_tried_again(last: &StoredSweep, now: DateTime<Utc>) -> bool {
    let is_long_ago = |ended: DateTime<Utc>| ended > now || now - ended >= TRIED_AGAIN_AFTER;
    // A sweep that died may be made up for at once.
    last.state == SweepState::Complete
        || last.died()
        || last.report.as_ref().is_some_and(|report| is_long_ago(report.completed_at))
}

/// Runs what blocks on the disk elsewhere.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, AppError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(died) => Err(AppError::DryRun(std::io::Error::other(died))),
    }
}
