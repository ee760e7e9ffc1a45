//! Sweeps of the running program: now and then while everything goes wrong, and one in the end that must be complete.

use std::time::Duration;

use suppressd::{
    model::sweep::{AskedBy, SweepId, SweepOrder, SweepProgress, SweepReport, SweepState},
    store::{Store as _, StoreError},
    sweep::{Running, Sweeper},
};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::simulation::{clocks::Clocks, disk::Disk, program::Asker};

/// A sweep that runs; nobody else sweeps meanwhile.
type Task = JoinHandle<Result<SweepReport, StoreError>>;

/// What sweeps in one process.
pub(crate) struct Sweeps {
    disk: Disk,
    sweeper: Sweeper<Disk, Asker>,
    clocks: Clocks,
    running: Option<Task>,
}

/// In calm, a sweep takes no longer than this: it may still wait for the end of a pause.
const PATIENCE: Duration = Duration::from_hours(3);

impl Sweeps {
    pub(crate) const fn new(disk: Disk, sweeper: Sweeper<Disk, Asker>, clocks: Clocks) -> Self {
        Self { disk, sweeper, clocks, running: None }
    }

    /// Begins a sweep unless one runs, and does not wait for it; returns whether it did.
    pub(crate) fn begin(&mut self) -> bool {
        let is_free = self.running.as_ref().is_none_or(Task::is_finished);
        if is_free {
            self.running = Some(self.start());
        }
        is_free
    }

    /// Sweeps to the end; what ran already is waited for.
    pub(crate) async fn finish(&mut self) -> Result<(), String> {
        if let Some(running) = self.running.take() {
            drop(timeout(PATIENCE, running).await.map_err(|_elapsed| "a sweep never ends".to_owned())?);
        }
        sleep(Duration::from_mins(3)).await;
        let ended = timeout(PATIENCE, self.start()).await.map_err(|_elapsed| "the last sweep never ends".to_owned())?;
        match ended {
            Ok(Ok(report)) if report.outcome == SweepState::Complete => Ok(()),
            other => Err(format!("the last sweep was not complete: {other:?}")),
        }
    }

    /// Ends everything at once.
    pub(crate) async fn kill(self) {
        if let Some(running) = self.running {
            running.abort();
            drop(running.await);
        }
    }

    fn start(&self) -> Task {
        let (disk, sweeper, clocks) = (self.disk.clone(), self.sweeper.clone(), self.clocks.clone());
        TaskTracker::new().spawn(async move {
            // People who clean up purge many pages at once; whoever sweeps here knows.
            let order = SweepOrder { accept_missing: true, ..SweepOrder::by(AskedBy::Command) };
            let (asked, now) = (order.clone(), clocks.ours.now());
            let id: SweepId = disk
                .write(move |rows| {
                    rows.abandon_sweeps(now)?;
                    let id = rows.ask_sweep(&asked, now)?;
                    rows.begin_sweep(id, now)?;
                    Ok(id)
                })
                .await?;
            let (progress, _) = watch::channel(SweepProgress::default());
            let running = Running { id, order, progress, stop: CancellationToken::new() };
            let report = Box::pin(sweeper.run(&running)).await?;
            let ended = report.clone();
            disk.write(move |rows| rows.end_sweep(id, &ended)).await?;
            Ok(report)
        })
    }
}
