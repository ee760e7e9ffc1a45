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
    model::{
        id::DataSourceId,
        sweep::{AskedBy, SweepId, SweepOrder, SweepProgress, SweepReport, SweepState},
    },
    notion::Notion,
    sources::Sources,
    store::{Rows, Store as _, StoreError, StoredSweep, sqlite::SqliteStore},
    sweep::{Running, Sweeper, schedule::Daily},
};

/// How often a running sweep says how far it is, and it is looked for what is due.
const ROUND: Duration = Duration::from_secs(1);

/// A complete sweep that began longer ago is too old.
const COMPLETE_WITHIN: TimeDelta = TimeDelta::days(1);

/// A source whose proof is older needs a sweep, although one of all sources was complete since: a little longer than from
/// one daily sweep to the next.
const PROVEN_WITHIN: TimeDelta = TimeDelta::hours(26);

/// As many past sweeps are looked through for the last try.
const SWEEPS_LOOKED_THROUGH: u32 = 50;

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
#[derive(Debug, Clone)]
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
        let asked = order.clone();
        let id = copy.write(move |rows| rows.ask_sweep(&asked, now)).await?;
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

    /// Lists the sources by name, with what each is known to be.
    fn configured(&self) -> Vec<(String, Option<DataSourceId>)> {
        let named = |nth| (self.sources.name(nth).to_owned(), self.sources.data_source(nth));
        (0..self.sources.count()).map(named).collect()
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
                let configured = self.configured();
                let needed = self.sweeping.store.read(move |rows| needed(rows, &configured, now)).await?;
                let order = match (is_daily, needed) {
                    (true, _) => SweepOrder::by(AskedBy::Schedule),
                    (false, Some(sources)) => SweepOrder::by(AskedBy::Need).only(sources),
                    (false, None) => return Ok(()),
                };
                let asked = order.clone();
                (self.sweeping.store.write(move |rows| rows.ask_sweep(&asked, now)).await?, order)
            }
        };
        let asked_by = order.asked_by.name();
        info!(sweep = id.0, asked_by, sources = order.sources.join(", "), "sweep {id} begins");
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
            if let Some(diagnosis) = report.diagnosis.as_ref().filter(|_| report.drift.total() > 0) {
                if diagnosis.subscription_suspect {
                    warn!(sweep = id.0, "{}", diagnosis.sentence);
                } else {
                    info!(sweep = id.0, "{}", diagnosis.sentence);
                }
            }
            if report.outcome != SweepState::Complete
                && let Some(error) = report.errors.first()
            {
                warn!(sweep = id.0, errors = report.errors_count, "sweep {id} is not complete: {error}");
            }
        }
        Ok(())
    }
}

/// Returns the sources that need a sweep, because their proof or the last complete sweep is too old and the last try is
/// not too young; none of them stands for all. One that cannot be read does not have the others read again and again.
fn needed(
    rows: &mut dyn Rows,
    configured: &[(String, Option<DataSourceId>)],
    now: DateTime<Utc>,
) -> Result<Option<Vec<String>>, StoreError> {
    let is_younger = |at: DateTime<Utc>, than: TimeDelta| at <= now && now - at < than;
    let stored = rows.sources()?;
    let unproven_within = |span: TimeDelta| {
        let is_proven = |id: DataSourceId| {
            let stored = stored.iter().find(|stored| stored.id == id && stored.retired_at.is_none());
            stored.and_then(|stored| stored.watermark).is_some_and(|at| is_younger(at, span))
        };
        let unproven = configured.iter().filter(|(_, id)| !id.is_some_and(is_proven));
        unproven.map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    let is_complete = rows.last_complete_sweep()?.is_some_and(|at| is_younger(at, COMPLETE_WITHIN));
    if is_complete && unproven_within(PROVEN_WITHIN).is_empty() {
        return Ok(None);
    }
    let mut wanted = unproven_within(COMPLETE_WITHIN);
    if wanted.len() == configured.len() {
        wanted.clear();
    }
    let tried = |sweep: &StoredSweep| {
        let sources = &sweep.order.sources;
        let is_of_these = sources.is_empty() || sources.iter().any(|name| wanted.contains(name));
        !sweep.order.dry_run && sweep.state.is_over() && is_of_these
    };
    let last = rows.sweeps(SWEEPS_LOOKED_THROUGH)?.into_iter().find(tried);
    Ok(last.is_none_or(|last| may_be_tried_again(&last, now)).then_some(wanted))
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

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        model::sweep::{DriftCounts, SweepCounts},
        store::StoredSource,
    };

    const HOUR: TimeDelta = TimeDelta::hours(1);

    fn now() -> DateTime<Utc> {
        "2026-01-06T12:00:00Z".parse().unwrap()
    }

    fn id(n: u128) -> DataSourceId {
        DataSourceId::from_uuid(Uuid::from_u128(n))
    }

    struct World {
        _folder: tempfile::TempDir,
        store: SqliteStore,
    }

    impl World {
        /// Two sources that sweeps have proven so long ago, if they have.
        async fn proven(ago: [Option<TimeDelta>; 2]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = SqliteStore::open(&folder.path().join("cache.db"), 1, now()).unwrap();
            let written = store.write(move |rows| {
                for (n, ago) in (1..).zip(ago) {
                    rows.put_source(&StoredSource {
                        id: id(n),
                        name: None,
                        database: None,
                        schema: "{}".to_owned(),
                        mapping: "{}".to_owned(),
                        hard: "[]".to_owned(),
                        resolved_at: now(),
                        watermark: None,
                        retired_at: None,
                    })?;
                    if let Some(ago) = ago {
                        rows.set_watermark(id(n), now() - ago)?;
                    }
                }
                Ok(())
            });
            written.await.unwrap();
            Self { _folder: folder, store }
        }

        /// A sweep of these sources, or of all, ended so long ago.
        async fn swept(self, sources: &[&str], outcome: SweepState, ago: TimeDelta) -> Self {
            let sources: Vec<_> = sources.iter().map(|name| (*name).to_owned()).collect();
            let at = now() - ago;
            let report = SweepReport {
                sweep: None,
                outcome,
                dry_run: false,
                started_at: at,
                completed_at: at,
                duration_seconds: 0.0,
                counts: SweepCounts::default(),
                diagnosis: None,
                drift: DriftCounts::none(),
                errors_count: 0,
                errors: Vec::new(),
                notes: Vec::new(),
                sources: Vec::new(),
                differences: Vec::new(),
            };
            let written = self.store.write(move |rows| {
                let sweep = rows.ask_sweep(&SweepOrder::by(AskedBy::Need).only(sources), at)?;
                rows.begin_sweep(sweep, at)?;
                rows.end_sweep(sweep, &report)
            });
            written.await.unwrap();
            self
        }

        async fn check(&self, expected: Option<&[&str]>) {
            let configured = [("one".to_owned(), Some(id(1))), ("two".to_owned(), Some(id(2)))];
            let found = self.store.read(move |rows| needed(rows, &configured, now())).await.unwrap();
            let expected = expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
            assert_eq!(found, expected);
        }
    }

    #[tokio::test]
    async fn only_a_source_whose_proof_is_too_old_is_swept_again() {
        let (young, old) = (Some(HOUR), Some(HOUR * 25));
        World::proven([None, None]).await.check(Some(&[])).await;
        World::proven([old, old]).await.check(Some(&[])).await;
        let partial = World::proven([young, old]).await.swept(&[], SweepState::Partial, HOUR * 2).await;
        partial.check(Some(&["two"])).await;
        let mended = World::proven([young, young]).await.swept(&["two"], SweepState::Complete, HOUR).await;
        mended.check(Some(&[])).await;
        let complete = World::proven([young, young]).await.swept(&[], SweepState::Complete, HOUR).await;
        complete.check(None).await;
        let remapped = World::proven([young, None]).await.swept(&[], SweepState::Complete, HOUR).await;
        remapped.check(Some(&["two"])).await;
        // The lag of the index makes a proof a little older than its sweep.
        let nightly = World::proven([old, old]).await.swept(&[], SweepState::Complete, HOUR * 23).await;
        nightly.check(None).await;
    }

    #[tokio::test]
    async fn a_source_that_failed_is_tried_again_after_an_hour_whatever_another_one_does() {
        let proven = || World::proven([Some(HOUR), Some(HOUR * 25)]);
        let minutes = TimeDelta::minutes;
        let failed = proven().await.swept(&["two"], SweepState::Failed, minutes(59)).await;
        failed.swept(&["one"], SweepState::Complete, minutes(5)).await.check(None).await;
        let failed = proven().await.swept(&["two"], SweepState::Failed, minutes(61)).await;
        failed.swept(&["one"], SweepState::Failed, minutes(5)).await.check(Some(&["two"])).await;
        proven().await.swept(&[], SweepState::Partial, minutes(59)).await.check(None).await;
    }
}
