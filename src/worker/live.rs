//! The queue in figures, for whoever asks from outside the loop.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The queue in figures.
#[derive(Debug, Default)]
pub struct Live {
    waiting: AtomicUsize,
    looks: AtomicUsize,
}

impl Live {
    /// Returns how many subjects wait in the queue.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Returns how many looks run; one of them can be at many subjects.
    pub fn looks(&self) -> usize {
        self.looks.load(Ordering::Relaxed)
    }

    pub(super) fn note(&self, waiting: usize, looks: usize) {
        self.waiting.store(waiting, Ordering::Relaxed);
        self.looks.store(looks, Ordering::Relaxed);
    }
}
