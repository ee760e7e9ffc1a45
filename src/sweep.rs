//! The sweep: every page of every source, so that the cache is right whatever the webhooks told.
//!
//! Each source by itself ([`source`]), side by side with the others, so that none waits for one that does not answer:
//! its schema, its rows and its archived rows ([`pass`]), 100 at a time through [`Cache::apply`], and then, one by one, the
//! pages that the cache knows and no query showed ([`absent`]). Only where all of that succeeded is the source proven, and
//! only where all sources are does anything expire: a sweep of some sources lets nothing go.

mod absent;
mod drift;
mod page;
mod pass;
mod patience;
pub mod schedule;
mod source;
mod tally;
mod windows;

use std::sync::Arc;

use chrono::TimeDelta;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    cache::Cache,
    causes::told,
    clock::Clock,
    metrics::Metrics,
    model::{
        entry::{Cause, Door},
        sweep::{
            Drift, DriftCounts, SourceReport, SweepId, SweepOrder, SweepProgress, SweepReport, SweepState,
            diagnosis::{Diagnosis, Evidence, diagnosis},
        },
    },
    notion::Notion,
    sources::{
        Sources,
        whole::{self, Together},
    },
    store::{Store, StoreError},
    sweep::{
        source::{Proven, SourceSweep},
        tally::Tally,
    },
};

/// Rows that one step of cleaning or renewing takes: a few milliseconds of the writer.
const CLEANED_AT_ONCE: u32 = 200;

/// Differences that one step of judging writes.
const JUDGED_AT_ONCE: usize = 500;

/// Differences that the report of a dry run names.
const DIFFERENCES_SHOWN: u32 = 100;

/// What a sweep keeps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepSettings {
    /// Windows that are read side by side, and pages that are asked for at once.
    pub windows: usize,
}

/// Sweeps the sources. Clones share everything.
#[derive(Debug)]
pub struct Sweeper<S, N> {
    store: S,
    sources: Sources<N>,
    cache: Cache,
    clock: Clock,
    metrics: Metrics,
    settings: SweepSettings,
}

impl<S: Clone, N> Clone for Sweeper<S, N> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            sources: self.sources.clone(),
            cache: self.cache.clone(),
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            settings: self.settings,
        }
    }
}

/// One sweep that runs: its number, its orders, and whom it tells.
#[derive(Debug, Clone)]
pub struct Running {
    /// Its number.
    pub id: SweepId,
    /// What it is to do.
    pub order: SweepOrder,
    /// Hears how far it is.
    pub progress: watch::Sender<SweepProgress>,
    /// Ends it before its time: what it has applied stays, and nothing is removed or expires.
    pub stop: CancellationToken,
}

impl<S: Store, N: Notion> Sweeper<S, N> {
    /// Makes a sweeper of its parts.
    pub fn new(
        store: S,
        sources: Sources<N>,
        cache: Cache,
        (clock, metrics): (Clock, Metrics),
        settings: SweepSettings,
    ) -> Self {
        Self { store, sources, cache, clock, metrics, settings }
    }

    /// Returns the same sweeper over another store, for a dry run: what it learns, nobody else hears of.
    #[must_use]
    pub fn over<T: Store>(&self, store: T) -> Sweeper<T, N> {
        Sweeper {
            store,
            sources: self.sources.apart(),
            cache: self.cache.clone(),
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            settings: self.settings,
        }
    }

    /// Sweeps every source that is meant, and says what came of it. Only the store itself can make it fail as a whole.
    pub async fn run(&self, running: &Running) -> Result<SweepReport, StoreError> {
        let tally = Arc::new(Tally::new(running, self.clock.now(), &self.metrics));
        let ttl = running.order.ttl_days.map(|days| TimeDelta::days(days.into()));
        let sweeper =
            Self { cache: ttl.map_or_else(|| self.cache.clone(), |ttl| self.cache.with_ttl(ttl)), ..self.clone() };

        let is_whole = running.order.sources.is_empty();
        self.sources.note(&self.store, is_whole).await?;
        let (sources, proven) = sweeper.sweep_each(running, &tally).await;
        let outcome = overall(&sources);
        if outcome == SweepState::Complete && is_whole {
            self.note_whole(&proven).await?;
            self.clean(running, &tally).await?;
        } else {
            self.renew().await?;
        }
        if !running.order.dry_run {
            self.sources.filter().reread(&self.store).await?;
        }
        let (drift, diagnosis) = self.judge_drift(running.id).await?;
        // Not before it is judged what had become of the events that should have told the differences.
        for Proven { data_source, until } in proven {
            self.store.write(move |rows| rows.settle_parked(data_source, until)).await?;
        }
        // What was not seen may differ in any way.
        let diagnosis = Some(diagnosis).filter(|_| outcome == SweepState::Complete);
        let report = tally.report(outcome, self.clock.now(), (drift, diagnosis), sources);
        if !running.order.dry_run {
            return Ok(report);
        }
        // Nothing else will be left of it.
        let id = running.id;
        let differences = self.store.read(move |rows| rows.drift(id, DIFFERENCES_SHOWN)).await?;
        Ok(SweepReport { differences, ..report })
    }

    /// Sweeps each source that is meant, all at once; returns what came of each, in the order of the settings, and what
    /// is proven.
    async fn sweep_each(&self, running: &Running, tally: &Arc<Tally>) -> (Vec<SourceReport>, Vec<Proven>) {
        let is_meant = |nth: &usize| running.order.is_about(self.sources.name(*nth));
        let mut sweeps = JoinSet::new();
        for nth in (0..self.sources.count()).filter(is_meant) {
            let sweep = SourceSweep::new(self, nth, running, tally);
            sweeps.spawn(async move { (nth, sweep.run().await) });
        }
        let (mut reports, mut proven) = (Vec::new(), Vec::new());
        while let Some(swept) = sweeps.join_next().await {
            let (nth, (report, proof)) = match swept {
                Ok(swept) => swept,
                // Nobody knows which one it was: those that are missing in the report are not complete.
                Err(died) => {
                    tally.error(format!("the sweep of a source broke off: {}", told(&died)));
                    continue;
                }
            };
            proven.extend(proof);
            info!(
                source.name = report.name,
                pages = report.pages,
                "swept source {}: {}",
                report.name,
                report.outcome.name()
            );
            reports.push((nth, report));
        }
        let known: Vec<_> = (0..self.sources.count()).map(|nth| self.sources.name(nth)).collect();
        for nth in (0..self.sources.count()).filter(is_meant) {
            if !reports.iter().any(|(swept, _)| *swept == nth) {
                reports.push((nth, unswept(self.sources.name(nth), "its sweep broke off")));
            }
        }
        for name in running.order.sources.iter().filter(|name| !known.contains(&name.as_str())) {
            let why = format!("the settings of whoever sweeps have no such source, but {}", known.join(", "));
            tally.error(format!("source {name}: {why}"));
            reports.push((usize::MAX, unswept(name, &why)));
        }
        reports.sort_by_key(|(nth, _)| *nth);
        (reports.into_iter().map(|(_, report)| report).collect(), proven)
    }

    /// Writes down up to when this sweep has proven all sources together.
    async fn note_whole(&self, proven: &[Proven]) -> Result<(), StoreError> {
        let sources = proven.iter().map(|it| it.data_source).collect();
        let Some(until) = proven.iter().map(|it| it.until).min() else { return Ok(()) };
        self.store.write(move |rows| whole::note(rows, &Together { sources, until })).await
    }

    /// Deletes what has expired, after a complete sweep of all sources.
    async fn clean(&self, running: &Running, tally: &Tally) -> Result<(), StoreError> {
        tally.doing("cleaning what has expired");
        let kept: Vec<_> = self.sources.resolved().iter().map(|table| table.data_source).collect();
        let now = self.clock.now();
        self.store.write(move |rows| rows.retire_sources(&kept, now)).await?;
        loop {
            let (cache, cause) = (self.cache.clone(), running.cause());
            let gone = self.store.write(move |rows| cache.let_go(rows, &cause, now, CLEANED_AT_ONCE)).await?;
            tally.cleaned(gone.entries);
            if gone.pages < CLEANED_AT_ONCE.into() {
                break;
            }
        }
        loop {
            let gone = self.store.write(move |rows| rows.clean_unclaimed(now, CLEANED_AT_ONCE)).await?;
            tally.cleaned(gone);
            if gone < CLEANED_AT_ONCE.into() {
                return Ok(());
            }
        }
    }

    /// Lets rows count for longer that are about to expire, because nobody can be asked about them. To be called now
    /// and then while the program runs, and after every sweep that was not complete. Returns how many.
    pub async fn renew(&self) -> Result<u64, StoreError> {
        let mut renewed = 0;
        loop {
            let (cache, now) = (self.cache.clone(), self.clock.now());
            let n = self.store.write(move |rows| cache.renew(rows, now, CLEANED_AT_ONCE)).await?;
            renewed += n;
            if n < CLEANED_AT_ONCE.into() {
                break;
            }
        }
        if renewed > 0 {
            warn!(
                entries.renewed = renewed,
                "nobody could be asked about {renewed} rows that were about to expire: they count for longer"
            );
        }
        Ok(renewed)
    }

    /// Finds out which differences an event had told, counts them, and says what they mean.
    async fn judge_drift(&self, sweep: SweepId) -> Result<(DriftCounts, Diagnosis), StoreError> {
        let judged: Vec<Drift> = self.store.read(move |rows| rows.judge_drift(sweep)).await?;
        for some in judged.chunks(JUDGED_AT_ONCE) {
            let some = some.to_vec();
            self.store.write(move |rows| rows.record_drift(sweep, &some)).await?;
        }
        let now = self.clock.now();
        let judged = self.store.read(move |rows| {
            let counts = rows.drift_counts(sweep)?;
            let is_none = counts.total() == 0;
            let evidence = if is_none { Evidence::default() } else { rows.drift_evidence(sweep, now)? };
            Ok((counts, diagnosis(&evidence)))
        });
        judged.await
    }
}

impl Running {
    fn cause(&self) -> Cause {
        Cause { door: Door::Sweep, id: self.id.to_string() }
    }
}

fn unswept(name: &str, why: &str) -> SourceReport {
    let (name, error) = (name.to_owned(), Some(why.to_owned()));
    SourceReport { name, data_source: None, outcome: SweepState::Failed, pages: 0, error }
}

/// Returns how all of it ended: whatever is not complete everywhere is partial, unless nothing was seen anywhere.
fn overall(sources: &[SourceReport]) -> SweepState {
    let all = |wanted| sources.iter().all(|source| source.outcome == wanted);
    match () {
        () if sources.is_empty() || all(SweepState::Failed) => SweepState::Failed,
        () if all(SweepState::Complete) => SweepState::Complete,
        () => SweepState::Partial,
    }
}
