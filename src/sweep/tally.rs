//! What a sweep counts while it runs, and how far it says that it is.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, Utc};
use tokio::{sync::watch, time::Instant};
use tracing::debug;

use crate::{
    cache::Applied,
    metrics::{Metrics, label::Part},
    model::{
        key::Strength,
        sweep::{DriftCounts, SourceReport, SweepCounts, SweepProgress, SweepReport, SweepState, diagnosis::Diagnosis},
    },
    sweep::Running,
};

/// Errors and notes that are kept in words.
const ERRORS_KEPT: usize = 10;

/// Pages after which the rate says something about the rest.
const PAGES_TO_TELL_A_RATE: u64 = 200;

/// Counts for one sweep, from several tasks.
#[derive(Debug)]
pub(super) struct Tally {
    counts: Mutex<Counts>,
    progress: watch::Sender<SweepProgress>,
    dry_run: bool,
    started_at: DateTime<Utc>,
    began: Instant,
    metrics: Metrics,
    /// What the metrics said of questions and failures before.
    before: (u64, u64),
}

#[derive(Debug, Default)]
struct Counts {
    sweep: SweepCounts,
    errors_count: u64,
    errors: Vec<String>,
    notes: Vec<String>,
    doing: String,
    /// Why it waits, while it does, by the number of the source.
    troubles: BTreeMap<usize, String>,
    expected: u64,
    /// Whether every source could be expected to be as large as it was.
    expected_known: bool,
}

impl Tally {
    pub(super) fn new(running: &Running, started_at: DateTime<Utc>, metrics: &Metrics) -> Self {
        let before = (metrics.sweep_questions.get(), metrics.sweep_questions_failed.get());
        let counts = Mutex::new(Counts { expected_known: true, ..Counts::default() });
        Self {
            counts,
            progress: running.progress.clone(),
            dry_run: running.order.dry_run,
            started_at,
            began: Instant::now(),
            metrics: metrics.clone(),
            before,
        }
    }

    /// Says what is done now, for people.
    pub(super) fn doing(&self, what: &str) {
        what.clone_into(&mut self.lock().doing);
        self.tell();
    }

    /// Says why it waits before it asks again about the `nth` source, and that it does so no more.
    pub(super) fn troubled(&self, nth: usize, why: Option<String>) {
        match why {
            Some(why) => drop(self.lock().troubles.insert(nth, why)),
            None => drop(self.lock().troubles.remove(&nth)),
        }
        self.tell();
    }

    /// Returns why it waits with the `nth` source, if it does.
    pub(super) fn trouble(&self, nth: usize) -> Option<String> {
        self.lock().troubles.get(&nth).cloned()
    }

    /// Takes in how many pages a source had when it was last known; `None` where it never was.
    pub(super) fn expect(&self, pages: Option<u64>) {
        let mut counts = self.lock();
        counts.expected += pages.unwrap_or(0);
        counts.expected_known &= pages.is_some();
    }

    /// Counts pages that Notion gave.
    pub(super) fn fetched(&self, pages: usize) {
        self.lock().sweep.notion_pages_fetched += pages as u64;
        self.tell();
    }

    /// Counts what became of one page.
    pub(super) fn applied(&self, applied: Applied, strength: Option<Strength>) {
        let mut counts = self.lock();
        let counts = &mut counts.sweep;
        counts.entries_processed += 1;
        match strength {
            Some(Strength::Strong) => counts.entries_with_strong_key += 1,
            Some(Strength::Weak) => counts.entries_with_weak_key += 1,
            None => counts.entries_without_canonical_key += 1,
        }
        if strength.is_some() {
            counts.entries_with_canonical_key += 1;
            counts.entries_synced += 1;
        }
        *match applied {
            Applied::Inserted => &mut counts.pages_inserted,
            Applied::Updated => &mut counts.pages_updated,
            Applied::Removed => &mut counts.pages_removed,
            Applied::Missing => &mut counts.pages_missing,
            Applied::Unchanged | Applied::Stale | Applied::Doubtful => &mut counts.pages_unchanged,
        } += 1;
    }

    /// Counts rows that were deleted because they had expired.
    pub(super) fn cleaned(&self, entries: u64) {
        self.lock().sweep.entries_expired_cleaned += entries;
    }

    /// Notes what went wrong for good.
    pub(super) fn error(&self, what: String) {
        debug!("sweep: {what}");
        self.metrics.errors.count(Part::Sweep);
        let mut counts = self.lock();
        counts.errors_count += 1;
        if counts.errors.len() < ERRORS_KEPT {
            counts.errors.push(what);
        }
    }

    /// Notes what a person should know, though it is no error.
    pub(super) fn note(&self, what: String) {
        let mut counts = self.lock();
        if counts.notes.len() < ERRORS_KEPT {
            counts.notes.push(what);
        }
    }

    /// Puts everything together.
    pub(super) fn report(
        &self,
        outcome: SweepState,
        completed_at: DateTime<Utc>,
        (drift, diagnosis): (DriftCounts, Option<Diagnosis>),
        sources: Vec<SourceReport>,
    ) -> SweepReport {
        let (notion_requests, notion_errors) = self.questions();
        let mut counts = self.lock();
        SweepReport {
            sweep: None,
            outcome,
            dry_run: self.dry_run,
            started_at: self.started_at,
            completed_at,
            duration_seconds: self.began.elapsed().as_secs_f64(),
            counts: SweepCounts { notion_requests, notion_errors, ..counts.sweep },
            drift,
            diagnosis,
            errors_count: counts.errors_count,
            errors: std::mem::take(&mut counts.errors),
            notes: std::mem::take(&mut counts.notes),
            sources,
            differences: Vec::new(),
        }
    }

    /// Returns how many questions were asked, and how many failed.
    fn questions(&self) -> (u64, u64) {
        let now = (self.metrics.sweep_questions.get(), self.metrics.sweep_questions_failed.get());
        (now.0 - self.before.0, now.1 - self.before.1)
    }

    fn tell(&self) {
        let counts = self.lock();
        let pages = counts.sweep.notion_pages_fetched;
        let pages_expected = counts.expected_known.then_some(counts.expected).filter(|expected| *expected >= pages);
        let progress = SweepProgress {
            doing: match counts.troubles.values().next() {
                Some(why) => format!("{}, trying again ({why})", counts.doing),
                None => counts.doing.clone(),
            },
            pages,
            pages_expected,
            requests: self.questions().0,
            remaining_seconds: pages_expected.and_then(|expected| remaining(pages, expected, self.began)),
        };
        drop(counts);
        // Nobody may be listening.
        drop(self.progress.send_replace(progress));
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns how long the rest will take at the rate so far; nothing before the rate means something.
fn remaining(pages: u64, expected: u64, began: Instant) -> Option<u64> {
    if pages < PAGES_TO_TELL_A_RATE {
        return None;
    }
    let left = expected.saturating_sub(pages);
    let seconds = u64::try_from(began.elapsed().as_millis()).ok()?.saturating_mul(left) / pages / 1_000;
    Some(seconds)
}
