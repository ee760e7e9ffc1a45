//! Sweeps in rows: what is asked for, what came of it, and what a complete one proves.

use chrono::{DateTime, Utc};

use crate::{
    model::{
        entry::CachedPage,
        id::{DataSourceId, PageId},
        sweep::{Drift, DriftCounts, SweepId, SweepOrder, SweepProgress, SweepReport, SweepState, diagnosis::Evidence},
    },
    store::StoreError,
};

/// Sweeps and drift.
pub trait SweepRows {
    /// Asks for a sweep.
    fn ask_sweep(&mut self, order: &SweepOrder, now: DateTime<Utc>) -> Result<SweepId, StoreError>;

    /// Returns the sweep that was asked for first and has not begun.
    fn next_sweep(&mut self) -> Result<Option<StoredSweep>, StoreError>;

    /// Returns a sweep.
    fn sweep(&mut self, id: SweepId) -> Result<Option<StoredSweep>, StoreError>;

    /// Lists sweeps, newest first.
    fn sweeps(&mut self, limit: u32) -> Result<Vec<StoredSweep>, StoreError>;

    /// Lists the sweeps that are asked for or run, in the order in which they were asked for.
    fn open_sweeps(&mut self, limit: u32) -> Result<Vec<StoredSweep>, StoreError>;

    /// Returns the last sweep that ended, however it did.
    fn last_sweep(&mut self) -> Result<Option<StoredSweep>, StoreError>;

    /// Returns when the last complete sweep of all sources began that was no dry run.
    fn last_complete_sweep(&mut self) -> Result<Option<DateTime<Utc>>, StoreError>;

    /// Notes that a sweep begins.
    fn begin_sweep(&mut self, id: SweepId, now: DateTime<Utc>) -> Result<(), StoreError>;

    /// Notes how far a sweep is.
    fn tell_sweep(&mut self, id: SweepId, progress: &SweepProgress) -> Result<(), StoreError>;

    /// Notes what came of a sweep.
    fn end_sweep(&mut self, id: SweepId, report: &SweepReport) -> Result<(), StoreError>;

    /// Puts a sweep back that somebody else is to begin anew.
    fn give_back_sweep(&mut self, id: SweepId) -> Result<(), StoreError>;

    /// Notes of every sweep that seems to run that it failed: whoever has the right to the work knows that nobody else
    /// works. Returns how many there were.
    fn abandon_sweeps(&mut self, now: DateTime<Utc>) -> Result<u64, StoreError>;

    /// Notes differences that a sweep found.
    fn record_drift(&mut self, sweep: SweepId, drift: &[Drift]) -> Result<(), StoreError>;

    /// Finds out which differences of a sweep an event had told, from the inbox. Reads only.
    fn judge_drift(&mut self, sweep: SweepId) -> Result<Vec<Drift>, StoreError>;

    /// Lists the differences that a sweep found.
    fn drift(&mut self, sweep: SweepId, limit: u32) -> Result<Vec<Drift>, StoreError>;

    /// Counts the differences that a sweep found.
    fn drift_counts(&mut self, sweep: SweepId) -> Result<DriftCounts, StoreError>;

    /// Puts together what the differences of a judged sweep, and the events up to `now`, say of each other.
    fn drift_evidence(&mut self, sweep: SweepId, now: DateTime<Utc>) -> Result<Evidence, StoreError>;

    /// Returns the report of the last sweep that was no dry run and could say what came of it.
    fn last_report(&mut self) -> Result<Option<SweepReport>, StoreError>;

    /// Sets the instant up to which a complete sweep has proven every row of a source.
    fn set_watermark(&mut self, source: DataSourceId, at: DateTime<Utc>) -> Result<(), StoreError>;

    /// Takes back what complete sweeps have proven of a source.
    fn drop_watermark(&mut self, source: DataSourceId) -> Result<(), StoreError>;

    /// Lists the rows of a source that the cache knows, in the order of their ids, from after `after`.
    fn listed(
        &mut self,
        source: DataSourceId,
        after: Option<PageId>,
        limit: u32,
    ) -> Result<Vec<ListedPage>, StoreError>;

    /// Counts the rows of a source that the cache knows.
    fn count_listed(&mut self, source: DataSourceId) -> Result<u64, StoreError>;

    /// Lists pages that may be let go: complete sweeps do not find them, they were last seen before `seen_before`, and
    /// no row of theirs counts at `now`.
    fn lost(
        &mut self,
        seen_before: DateTime<Utc>,
        now: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<CachedPage>, StoreError>;

    /// Lets the rows count for longer that are about to expire and about which nobody has said anything: those of keys
    /// that some page claims of which no complete sweep has lost sight.
    fn renew_entries(&mut self, renewal: &Renewal, limit: u32) -> Result<u64, StoreError>;

    /// Deletes rows that have expired and that no page claims: somebody else wrote them. Returns how many; where that
    /// is less than `limit`, these were the last ones.
    fn clean_unclaimed(&mut self, now: DateTime<Utc>, limit: u32) -> Result<u64, StoreError>;

    /// Settles the parked events about pages of `source` that happened before `before`: a complete sweep has seen what
    /// they told. Returns how many.
    fn settle_parked(&mut self, source: DataSourceId, before: DateTime<Utc>) -> Result<u64, StoreError>;
}

/// A sweep as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredSweep {
    /// Its number.
    pub id: SweepId,
    /// When it was asked for.
    pub asked_at: DateTime<Utc>,
    /// What it is to do.
    pub order: SweepOrder,
    /// Where it is in its life.
    pub state: SweepState,
    /// When it began, if it has.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended, if it has.
    pub completed_at: Option<DateTime<Utc>>,
    /// How far it is, or was when it was last told.
    pub progress: Option<SweepProgress>,
    /// What came of it; nothing where its process died.
    pub report: Option<SweepReport>,
}

impl StoredSweep {
    /// Returns whether its process died before it could say what came of it.
    pub const fn died(&self) -> bool {
        self.state.is_over() && self.report.is_none()
    }
}

/// A row of a source that the cache knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedPage {
    /// The page.
    pub id: PageId,
    /// The instant before the request that showed it; for queries already set back by the lag of the index.
    pub observed_at: DateTime<Utc>,
    /// Since when complete sweeps do not find it.
    pub unfound_since: Option<DateTime<Utc>>,
}

/// Which rows are to count for longer, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal {
    /// Rows that have expired by now are left as they are.
    pub now: DateTime<Utc>,
    /// Rows that expire until this are about to.
    pub expiring_until: DateTime<Utc>,
    /// They then expire here.
    pub expires_at: DateTime<Utc>,
}
