//! Single values on their way to who wants each of them. Who counts never waits: what finds no room is left out.

use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc;

use crate::metrics::counter::Counter;

/// As many values may wait to be taken; more than these are left out, and counted.
const WAITING_MAX: usize = 16_384;

/// How long one thing took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observed {
    /// The name of the series.
    pub name: &'static str,
    /// Its label and the value of that, where it has one.
    pub label: Option<(&'static str, &'static str)>,
    /// How long.
    pub seconds: f64,
}

/// Who wants to hear of each value, if anybody does. Clones are handles to the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct Observers(Arc<Listening>);

#[derive(Debug, Default)]
struct Listening {
    sender: OnceLock<mpsc::Sender<Observed>>,
    left_out: Counter,
}

impl Observers {
    /// Tells of every value from now on. Only the first one that listens hears anything.
    pub(super) fn listen(&self) -> mpsc::Receiver<Observed> {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        // One that is already there goes on; the new one is closed.
        drop(self.0.sender.set(sender));
        receiver
    }

    /// Tells of a value, if anybody listens.
    pub(super) fn tell(&self, observed: impl FnOnce() -> Observed) {
        if let Some(sender) = self.0.sender.get()
            && sender.try_send(observed()).is_err()
        {
            self.0.left_out.count();
        }
    }

    /// Returns how many values found no room.
    pub(super) fn left_out(&self) -> u64 {
        self.0.left_out.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_is_left_out_and_counted() {
        let observers = Observers::default();
        let observed = || Observed { name: "x", label: None, seconds: 1.0 };
        observers.tell(observed);
        assert_eq!(observers.left_out(), 0);
        let mut listener = observers.listen();
        for _ in 0..WAITING_MAX + 3 {
            observers.tell(observed);
        }
        assert_eq!(observers.left_out(), 3);
        assert_eq!(listener.try_recv().unwrap(), observed());
    }
}
