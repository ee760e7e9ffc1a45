//! What speaks against an absence that a sweep has proven: what came since, and what the rows do not show.

use std::{cell::OnceCell, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    cache,
    model::key::Candidate,
    store::{Rows, StoreError},
};

/// How far ahead of our clock another's may go before what it wrote is not believed.
pub(super) const AHEAD_MAX: TimeDelta = TimeDelta::minutes(5);

/// How long events may wait before what they may tell of is doubtful. While Notion answers, an event waits for seconds,
/// or for a minute where its page is looked at twice; after a failure for up to five, the longest wait between two tries.
const WAIT_MAX: TimeDelta = TimeDelta::minutes(15);

const PARKED: &str = "no row, but events have been parked since the last complete sweep, and may tell of one: see \
    `suppressd events list --state parked`, then run `suppressd reconcile`";
const ROW_GONE: &str = "no row, but a page of the CRM claims the key, so another program deleted the row: run \
    `suppressd reconcile`";

const DERIVED_OTHERWISE: &str = "no row, but the rows were made by other rules than those that read the question: `shared_hosts` \
    has changed, and they follow within seconds. Ask again then; where this stays, send the running serve a SIGHUP, or give \
    whoever asks the same settings";

/// What all questions of one view share. Asked for once, and only where an answer depends on it.
#[derive(Debug)]
pub(super) struct Doubts {
    /// The rules that read the questions, by their fingerprint.
    rules: Arc<str>,
    /// Whether all entries are derived by these.
    by_these_rules: OnceCell<bool>,
    /// Since when events wait.
    waiting_since: OnceCell<Option<DateTime<Utc>>>,
    /// When the last event came of those that are parked.
    parked_until: OnceCell<Option<DateTime<Utc>>>,
}

impl Doubts {
    /// Returns the doubts about absences of keys that these rules gave.
    pub(super) fn of(rules: Arc<str>) -> Self {
        Self { rules, by_these_rules: OnceCell::new(), waiting_since: OnceCell::new(), parked_until: OnceCell::new() }
    }

    /// Returns what speaks against the absence of some keys that complete sweeps have proven up to `swept`.
    pub(super) fn against(
        &self,
        rows: &mut dyn Rows,
        candidates: &[Candidate],
        (swept, now): (DateTime<Utc>, DateTime<Utc>),
    ) -> Result<Option<String>, StoreError> {
        if !once(&self.by_these_rules, || cache::derived_by(rows, &self.rules))? {
            return Ok(Some(DERIVED_OTHERWISE.to_owned()));
        }
        let waits_too_long = |at: &DateTime<Utc>| now - *at > WAIT_MAX || *at - now > AHEAD_MAX;
        if let Some(since) = once(&self.waiting_since, || rows.oldest_waiting())?.filter(waits_too_long) {
            return Ok(Some(waiting(since)));
        }
        // Given up, it was not looked at: what it tells, the cache does not know.
        if once(&self.parked_until, || rows.newest_parked())?.is_some_and(|at| at > swept) {
            return Ok(Some(PARKED.to_owned()));
        }
        for candidate in candidates {
            if rows.count_claims_on(&candidate.key)?.total > 0 {
                return Ok(Some(ROW_GONE.to_owned()));
            }
        }
        Ok(None)
    }
}

/// Reads a value when it is first needed.
fn once<T: Copy>(cell: &OnceCell<T>, read: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    if let Some(known) = cell.get() {
        return Ok(*known);
    }
    let read = read()?;
    Ok(*cell.get_or_init(|| read))
}

fn waiting(since: DateTime<Utc>) -> String {
    let since = since.format("%Y-%m-%d %H:%M:%S UTC");
    format!("no row, but events have been waiting since {since}, and may tell of one: run `suppressd status`")
}
