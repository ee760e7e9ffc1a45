//! Those who wait for changes: one part watches the store for all of them, and only while somebody waits.

use std::{sync::Arc, time::Duration};

use tokio::{
    select,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    causes::told,
    store::{FeedState, Store},
};

/// Followers at once. Each has a connection, of which the private door has 256.
pub const FOLLOWERS_MAX: usize = 64;

/// How often the newest change is looked for while somebody waits: one short read, whatever the number of followers.
const ROUND: Duration = Duration::from_millis(200);

/// The wait after the store gave nothing.
const AFTER_FAILURE: Duration = Duration::from_secs(2);

/// All followers of a process. Clones are handles to the same ones.
#[derive(Debug, Clone)]
pub struct Followers {
    seats: Arc<Semaphore>,
    seen: watch::Sender<Option<FeedState>>,
    waiting: watch::Sender<usize>,
    stop: CancellationToken,
}

/// The seat of one follower.
#[derive(Debug)]
pub struct Follower {
    seen: watch::Receiver<Option<FeedState>>,
    waiting: watch::Sender<usize>,
    stop: CancellationToken,
    /// What the feed was called when he was last woken.
    name: Option<String>,
    _seat: OwnedSemaphorePermit,
}

/// What ended the waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// There may be something new.
    News,
    /// The program stops.
    Stopping,
}

/// Every seat is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{FOLLOWERS_MAX} others wait for changes, and no more can: try again later")]
pub struct TooMany;

impl Followers {
    /// Makes room for followers that all go at `stop`.
    pub fn new(stop: CancellationToken) -> Self {
        Self {
            seats: Arc::new(Semaphore::new(FOLLOWERS_MAX)),
            seen: watch::Sender::new(None),
            waiting: watch::Sender::new(0),
            stop,
        }
    }

    /// Takes a seat; it is given back when it is dropped.
    pub fn sit(&self) -> Result<Follower, TooMany> {
        let seat = Arc::clone(&self.seats).try_acquire_owned().map_err(|_taken| TooMany)?;
        let (seen, waiting, stop) = (self.seen.subscribe(), self.waiting.clone(), self.stop.clone());
        let name = seen.borrow().as_ref().map(|it| it.id.clone());
        Ok(Follower { seen, waiting, stop, name, _seat: seat })
    }

    /// Returns how many seats are taken.
    pub fn seated(&self) -> usize {
        FOLLOWERS_MAX.saturating_sub(self.seats.available_permits())
    }

    /// Watches the store for those who wait, until the program stops. What other processes change is seen too.
    pub async fn watch<S: Store>(self, store: S) {
        let stop = self.stop.clone();
        stop.run_until_cancelled(async {
            let mut waiting = self.waiting.subscribe();
            loop {
                // Cannot fail: the sender is ours.
                drop(waiting.wait_for(|count| *count > 0).await);
                tokio::time::sleep(self.look(&store).await).await;
            }
        })
        .await;
    }

    /// Looks once; returns how long to wait before the next time.
    async fn look<S: Store>(&self, store: &S) -> Duration {
        match store.read(|rows| rows.feed()).await {
            Ok(state) => {
                self.seen.send_if_modified(|seen| {
                    let is_new = seen.as_ref() != Some(&state);
                    *seen = Some(state);
                    is_new
                });
                ROUND
            }
            Err(error) => {
                warn!("cannot see whether entries have changed: {}", told(&error));
                AFTER_FAILURE
            }
        }
    }
}

impl Follower {
    /// Waits until there may be a change after `seq`, which the follower has read from his seat, or until the feed may
    /// have got another name since.
    pub async fn wait(&mut self, seq: u64) -> Woken {
        let _waits = Waits::beginning(&self.waiting);
        loop {
            if let Some(seen) = self.seen.borrow_and_update().as_ref() {
                // What was seen last may be older than what he has read: a smaller number is no news.
                let is_renamed = self.name.as_ref() != Some(&seen.id);
                if is_renamed || seen.newest > seq {
                    self.name = Some(seen.id.clone());
                    return Woken::News;
                }
            }
            select! {
                biased;
                () = self.stop.cancelled() => return Woken::Stopping,
                seen = self.seen.changed() => if seen.is_err() { return Woken::Stopping },
            }
        }
    }
}

/// Counts somebody as waiting until it is dropped.
struct Waits(watch::Sender<usize>);

impl Waits {
    fn beginning(waiting: &watch::Sender<usize>) -> Self {
        waiting.send_modify(|count| *count += 1);
        Self(waiting.clone())
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}
