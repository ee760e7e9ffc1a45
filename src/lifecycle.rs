//! How the program runs and stops: parts are spawned here, and one of them ending stops all of them.
//!
//! There are two stops. The **soft** one, the first signal, means: take no new work, finish what is claimed. The
//! **hard** one, a second signal or the end of the grace period, means: end now. Everything acknowledged is on the
//! disk before it is acknowledged, so a hard stop loses work that is then done again, and nothing else.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    select,
    signal::unix::{Signal, SignalKind, signal},
    task::JoinError,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info, warn};

use crate::lifecycle::health::Health;

pub mod health;
pub mod notify;

/// How long a soft stop may take, unless something else is asked for.
pub const GRACE: Duration = Duration::from_secs(10);

/// After a hard stop a part has this long to notice. It is waiting somewhere, so it notices at once, or never.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// The running of all parts. Clones are handles to the same one.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    /// Cancelled when no new work is to be taken.
    pub soft: CancellationToken,
    /// Cancelled when everything is to end as it is; never before [`Lifecycle::soft`].
    pub hard: CancellationToken,
    /// How each part is.
    pub health: Health,
    /// Cancelled when every part has ended but those that are to be the last, or when they are not waited for any more.
    pub over: CancellationToken,
    tracker: TaskTracker,
    last: TaskTracker,
    crashed: Arc<Mutex<Option<&'static str>>>,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every part finished what it had claimed.
    Stopped,
    /// Some part did not finish in time, or was not given the time.
    Forced,
    /// This part failed, which stopped the others.
    Crashed(&'static str),
}

impl Lifecycle {
    /// Runs `part` until it returns.
    ///
    /// A part that panics or returns before a stop was asked for has crashed: that stops everything.
    pub fn spawn(&self, name: &'static str, part: impl Future<Output = ()> + Send + 'static) {
        let running = self.tracker.spawn(part);
        let lifecycle = self.clone();
        drop(self.tracker.spawn(async move { lifecycle.judge(name, &running.await) }));
    }

    /// Runs `part` beyond the end of all others: it has a moment after [`Lifecycle::over`], to tell what they did last.
    pub fn spawn_last(&self, name: &'static str, part: impl Future<Output = ()> + Send + 'static) {
        let running = self.last.spawn(part);
        let lifecycle = self.clone();
        drop(self.last.spawn(async move { lifecycle.judge(name, &running.await) }));
    }

    /// Asks every part to finish what it has claimed, as the first signal does.
    pub fn stop(&self) {
        self.soft.cancel();
    }

    /// Waits for SIGINT, SIGTERM, [`Lifecycle::stop`] or a crash, and then for the parts to end.
    ///
    /// They have `grace` for that; a second signal cuts it short. Before this is called a signal ends the process at
    /// once, which is as safe as any other crash.
    pub async fn run_until_stopped(&self, grace: Duration) -> Ended {
        match Signals::listen() {
            Ok(signals) => select! {
                ended = self.wind_down(grace) => ended,
                () = self.heed(signals) => Ended::Forced,
            },
            Err(error) => {
                self.crash("signals");
                error!(error = &error as &dyn std::error::Error, "cannot listen for signals");
                self.wind_down(grace).await
            }
        }
    }

    async fn wind_down(&self, grace: Duration) -> Ended {
        self.soft.cancelled().await;
        info!("stopping: finishing what is claimed, for at most {} s", grace.as_secs());
        self.tracker.close();
        let finished = select! {
            biased;
            () = self.tracker.wait() => true,
            () = self.hard.cancelled() => false,
            () = tokio::time::sleep(grace) => false,
        };
        if !finished {
            warn!("stopping now: not every part has finished");
            self.hard.cancel();
            if timeout(LAST_MOMENT, self.tracker.wait()).await.is_err() {
                warn!("not every part has ended");
            }
        }
        self.over.cancel();
        self.last.close();
        if timeout(LAST_MOMENT, self.last.wait()).await.is_err() {
            warn!("not everything could be told before the end");
        }
        match *self.lock_crashed() {
            Some(part) => Ended::Crashed(part),
            None if finished => Ended::Stopped,
            None => Ended::Forced,
        }
    }

    async fn heed(&self, mut signals: Signals) {
        while signals.next().await {
            self.signalled();
        }
    }

    /// Makes the first signal a soft stop and every later one a hard stop.
    fn signalled(&self) {
        if self.soft.is_cancelled() {
            self.hard.cancel();
        } else {
            self.soft.cancel();
        }
    }

    /// Looks at how a part ended. A crash stops everything before it is logged: the log may be what fails.
    fn judge(&self, part: &'static str, ended: &Result<(), JoinError>) {
        match ended {
            Ok(()) if self.soft.is_cancelled() => (),
            Ok(()) => {
                self.crash(part);
                error!(part, "the {part} ended without being asked to");
            }
            Err(panic) => {
                self.crash(part);
                error!(part, error = panic as &dyn std::error::Error, "the {part} panicked");
            }
        }
    }

    /// Notes the first crash, which is the cause of those that follow from it, and stops everything.
    fn crash(&self, part: &'static str) {
        self.lock_crashed().get_or_insert(part);
        self.soft.cancel();
    }

    fn lock_crashed(&self) -> std::sync::MutexGuard<'_, Option<&'static str>> {
        self.crashed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for a signal; false when no more can come.
    async fn next(&mut self) -> bool {
        select! {
            signal = self.interrupt.recv() => signal.is_some(),
            signal = self.terminate.recv() => signal.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_soft_stop_lets_claimed_work_finish() {
        let lifecycle = Lifecycle::default();
        let soft = lifecycle.soft.clone();
        let (done, finished) = tokio::sync::oneshot::channel();
        lifecycle.spawn("worker", async move {
            soft.cancelled().await;
            tokio::time::sleep(Duration::from_secs(9)).await;
            done.send(()).unwrap();
        });
        lifecycle.stop();
        assert_eq!(lifecycle.run_until_stopped(GRACE).await, Ended::Stopped);
        finished.await.unwrap();
        assert!(!lifecycle.hard.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_to_be_the_last_ends_after_everything_else() {
        let lifecycle = Lifecycle::default();
        let (soft, over) = (lifecycle.soft.clone(), lifecycle.over.clone());
        let (done, finished) = tokio::sync::oneshot::channel();
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let last = told.clone();
        lifecycle.spawn_last("teller", async move {
            over.cancelled().await;
            last.send("told").unwrap();
            done.send(()).unwrap();
        });
        lifecycle.spawn("worker", async move {
            soft.cancelled().await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            told.send("worked").unwrap();
        });
        lifecycle.stop();
        assert_eq!(lifecycle.run_until_stopped(GRACE).await, Ended::Stopped);
        finished.await.unwrap();
        assert_eq!((heard.recv().await, heard.recv().await), (Some("worked"), Some("told")));
    }

    #[tokio::test(start_paused = true)]
    async fn the_grace_period_ends_in_a_hard_stop() {
        let lifecycle = Lifecycle::default();
        let hard = lifecycle.hard.clone();
        lifecycle.spawn("worker", async move { hard.cancelled().await });
        lifecycle.stop();
        let before = tokio::time::Instant::now();
        assert_eq!(lifecycle.run_until_stopped(GRACE).await, Ended::Forced);
        assert_eq!(before.elapsed(), GRACE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_signal_does_not_wait_for_the_grace_period() {
        let lifecycle = Lifecycle::default();
        lifecycle.spawn("deaf", pending());
        lifecycle.signalled();
        lifecycle.signalled();
        let before = tokio::time::Instant::now();
        assert_eq!(lifecycle.run_until_stopped(GRACE).await, Ended::Forced);
        assert_eq!(before.elapsed(), LAST_MOMENT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_panics_stops_the_others_and_is_named() {
        let lifecycle = Lifecycle::default();
        let soft = lifecycle.soft.clone();
        lifecycle.spawn("http", async move { soft.cancelled().await });
        lifecycle.spawn("worker", async { panic!("a bug") });
        assert_eq!(lifecycle.run_until_stopped(GRACE).await, Ended::Crashed("worker"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_ends_unasked_has_crashed() {
        let lifecycle = Lifecycle::default();
        lifecycle.spawn("worker", async {});
        assert_eq!(lifecycle.run_until_stopped(GRACE).await, Ended::Crashed("worker"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_crash_stops_everything_even_where_the_log_fails() {
        let broken = || -> io::Stderr { panic!("no log") };
        let log = tracing_subscriber::fmt().with_max_level(tracing::Level::ERROR).with_writer(broken).finish();
        let _until_the_end = tracing::subscriber::set_default(log);
        let lifecycle = Lifecycle::default();
        let soft = lifecycle.soft.clone();
        lifecycle.spawn("http", async move { soft.cancelled().await });
        lifecycle.spawn("worker", async { panic!("a bug") });
        let ended = timeout(GRACE, lifecycle.run_until_stopped(GRACE)).await;
        assert_eq!(ended, Ok(Ended::Crashed("worker")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_crash_while_stopping_is_still_a_crash() {
        let lifecycle = Lifecycle::default();
        let soft = lifecycle.soft.clone();
        lifecycle.spawn("worker", async move {
            soft.cancelled().await;
            panic!("a bug");
        });
        lifecycle.stop();
        assert_eq!(lifecycle.run_until_stopped(GRACE).await, Ended::Crashed("worker"));
    }
}
