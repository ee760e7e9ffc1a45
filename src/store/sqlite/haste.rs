//! Whether a read may be done on a thread that must not be kept: as long as reads are quick.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// A brief read that takes longer has waited for the disk.
const QUICK: Duration = Duration::from_millis(10);

/// So many reads are done elsewhere after one that was not quick, before the next one shows whether the disk still is slow.
const ELSEWHERE: u32 = 200;

/// How many reads are still to be done elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Haste(AtomicU32);

impl Haste {
    /// Returns whether the next read may be done here.
    pub(crate) fn is_fit(&self) -> bool {
        let left = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        left.is_err()
    }

    /// Takes notice of how long a read took here.
    pub(crate) fn note(&self, took: Duration) {
        if took > QUICK {
            self.0.store(ELSEWHERE, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_slow_read_the_next_ones_are_done_elsewhere() {
        let haste = Haste::default();
        assert!(haste.is_fit() && haste.is_fit());
        haste.note(QUICK);
        assert!(haste.is_fit());
        haste.note(QUICK * 2);
        assert!((0..ELSEWHERE).all(|_| !haste.is_fit()));
        assert!(haste.is_fit());
    }
}
