//! Sweeps: the past ones, the differences that one found, and asking for a new one.

use chrono::{DateTime, Utc};

use crate::{
    lookup::{
        Lookup,
        listing::{ListedDrift, ListedSweep},
    },
    model::sweep::{Drift, SweepId, SweepOrder},
    store::{Rows, Store, StoreError},
};

/// As many sweeps may wait or run: each of them asks Notion for everything.
pub const OPEN_MAX: u32 = 16;

/// What became of the wish for a sweep.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    /// It waits; a running `serve` takes it up.
    New(ListedSweep),
    /// One that does just this waits or runs already.
    Already(ListedSweep),
    /// [`OPEN_MAX`] sweeps wait or run: nothing was noted.
    TooMany,
}

impl<S: Store> Lookup<S> {
    /// Lists sweeps, newest first.
    pub async fn sweeps(&self, limit: u32) -> Result<Vec<ListedSweep>, StoreError> {
        let sweeps = self.store().read(move |rows| rows.sweeps(limit)).await?;
        Ok(sweeps.into_iter().map(ListedSweep::from).collect())
    }

    /// Returns a sweep with at most `limit` of the differences that it found; `None` where there is no such sweep.
    pub async fn drift(&self, sweep: SweepId, limit: u32) -> Result<Option<ListedDrift>, StoreError> {
        self.store()
            .read(move |rows| {
                let Some(found) = rows.sweep(sweep)? else { return Ok(None) };
                // Those of a dry run are only in its report.
                if let Some(report) = found.report.as_ref().filter(|report| report.dry_run) {
                    let classed = |it: &Drift| Drift { class: it.told.class(), ..it.clone() };
                    let differences = report.differences.iter().take(limit as usize).map(classed).collect();
                    let differences_total = report.drift.total();
                    return Ok(Some(ListedDrift { sweep: found.into(), differences_total, differences }));
                }
                Ok(Some(ListedDrift {
                    sweep: found.into(),
                    differences_total: rows.drift_counts(sweep)?.total(),
                    differences: rows.drift(sweep, limit)?,
                }))
            })
            .await
    }

    /// Asks for a sweep, unless one that does the same waits or runs already. A dry run is always a new one: it says
    /// how things are now.
    pub async fn ask_sweep(&self, order: SweepOrder) -> Result<Asked, StoreError> {
        let now = self.clock.now();
        self.store().write(move |rows| ask(rows, &order, now)).await
    }
}

fn ask(rows: &mut dyn Rows, order: &SweepOrder, now: DateTime<Utc>) -> Result<Asked, StoreError> {
    let open = rows.open_sweeps(OPEN_MAX)?;
    let is_full = open.len() >= OPEN_MAX as usize;
    let mut same = open.into_iter().filter(|sweep| !order.dry_run && sweep.order.does_the_same_as(order));
    if let Some(sweep) = same.next() {
        return Ok(Asked::Already(sweep.into()));
    }
    if is_full {
        return Ok(Asked::TooMany);
    }
    let id = rows.ask_sweep(order, now)?;
    let asked = rows.sweep(id)?.map(ListedSweep::from);
    asked.map(Asked::New).ok_or_else(|| StoreError::Corrupt {
        table: "suppressd_sweeps",
        column: "sweep",
        row: id.to_string(),
    })
}
