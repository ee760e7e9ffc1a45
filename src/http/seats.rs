//! The seats of a listener: how many connections are open at once, and who gives way to a newcomer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::metrics::Metrics;

/// All seats of a listener.
#[derive(Debug)]
pub(super) struct Seats {
    max: usize,
    taken: Mutex<Vec<Arc<Seat>>>,
    /// Rung when a seat is given back.
    freed: Notify,
}

/// The seat of one connection.
#[derive(Debug)]
pub(super) struct Seat {
    standing: Mutex<Standing>,
    give_way: CancellationToken,
}

#[derive(Debug, Clone, Copy)]
struct Standing {
    turn: Turn,
    since: Instant,
}

/// Who has to do something next. Of two connections the lesser one has to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Turn {
    /// The other side: its request is not all here, or it has to take the answer.
    Theirs,
    /// We: what it sent so far was never looked at.
    Unheard,
    /// We: its request is here and not answered.
    Ours,
}

/// A seat as long as its connection is open.
#[derive(Debug)]
pub(super) struct Seated {
    seat: Arc<Seat>,
    seats: Arc<Seats>,
}

impl Seats {
    /// Makes this many seats.
    pub(super) fn new(max: usize) -> Self {
        Self { max, taken: Mutex::default(), freed: Notify::new() }
    }

    /// Waits for a seat. Somebody has to leave where all are taken, and is counted.
    pub(super) async fn sit(self: &Arc<Self>, metrics: &Metrics) -> Seated {
        loop {
            let (seat, crowded_out) = self.take();
            if crowded_out {
                metrics.connections_crowded_out.count();
            }
            if let Some(seat) = seat {
                return Seated { seat, seats: Arc::clone(self) };
            }
            self.freed.notified().await;
        }
    }

    /// Takes a seat if one is free, else shows somebody out unless somebody is leaving; says whether it did.
    fn take(&self) -> (Option<Arc<Seat>>, bool) {
        let mut taken = lock(&self.taken);
        if taken.len() < self.max {
            let standing = Standing { turn: Turn::Unheard, since: Instant::now() };
            let seat = Arc::new(Seat { standing: Mutex::new(standing), give_way: CancellationToken::new() });
            taken.push(Arc::clone(&seat));
            return (Some(seat), false);
        }
        if taken.iter().any(|seat| seat.give_way.is_cancelled()) {
            return (None, false);
        }
        let leaving = taken.iter().min_by_key(|seat| {
            let standing = lock(&seat.standing);
            (standing.turn, standing.since)
        });
        leaving.inspect(|seat| seat.show_out());
        (None, leaving.is_some())
    }
}

impl Seat {
    /// Resolves when somebody else needs the seat.
    pub(super) fn give_way(&self) -> WaitForCancellationFutureOwned {
        self.give_way.clone().cancelled_owned()
    }

    /// Has the connection leave.
    pub(super) fn show_out(&self) {
        self.give_way.cancel();
    }

    /// Says whether it is our turn.
    pub(super) fn waits_for_us(&self) -> bool {
        lock(&self.standing).turn != Turn::Theirs
    }

    /// Notes that all was looked at that came so far.
    pub(super) fn listened(&self) {
        let mut standing = lock(&self.standing);
        if standing.turn == Turn::Unheard {
            standing.turn = Turn::Theirs;
        }
    }

    /// Notes that a request begins, or that something was said: an answer, or more of one.
    pub(super) fn moved(&self) {
        lock(&self.standing).since = Instant::now();
    }

    /// Notes whose turn it is from now on.
    pub(super) fn pass(&self, turn: Turn) {
        *lock(&self.standing) = Standing { turn, since: Instant::now() };
    }
}

impl Seated {
    /// Returns the seat.
    pub(super) const fn seat(&self) -> &Arc<Seat> {
        &self.seat
    }
}

impl Drop for Seated {
    /// Gives the seat back.
    fn drop(&mut self) {
        lock(&self.seats.taken).retain(|seat| !Arc::ptr_eq(seat, &self.seat));
        self.seats.freed.notify_one();
    }
}

/// What is locked here is never half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
