//! Seats: how many pages of one source are looked at at once.
//!
//! A source whose token has spent its budget, or whose answers do not come, keeps each look waiting. Where there are
//! several sources, each has as many seats as there may be looks, and pages of which nobody knows the source have as
//! many together: there is always a look free for the others.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::model::id::DataSourceId;

/// The seats of all sources. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Seats(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// How many each source has.
    each: usize,
    /// How many looks there may be in all.
    looks: usize,
    taken: Mutex<BTreeMap<Option<DataSourceId>, usize>>,
}

/// A seat that is taken, until this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Seats,
    of: Option<DataSourceId>,
}

impl Seats {
    /// Gives each of so many sources so many seats; the only one may have all.
    pub(super) fn new(sources: usize, each: usize) -> Self {
        let (each, looks) = if sources > 1 { (each, each.saturating_mul(sources + 1)) } else { (usize::MAX, each) };
        Self(Arc::new(Shared { each, looks, taken: Mutex::default() }))
    }

    /// Returns how many looks there may be in all.
    pub(super) fn looks(&self) -> usize {
        self.0.looks
    }

    /// Takes a seat of a source, or of the pages of which nobody knows it, if one is free.
    pub(super) fn take(&self, of: Option<DataSourceId>) -> Option<Seat> {
        let mut taken = self.taken();
        let taken = taken.entry(of).or_default();
        (*taken < self.0.each).then(|| {
            *taken += 1;
            Seat { seats: self.clone(), of }
        })
    }

    fn taken(&self) -> MutexGuard<'_, BTreeMap<Option<DataSourceId>, usize>> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(taken) = self.seats.taken().get_mut(&self.of) {
            *taken = taken.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const fn source(n: u128) -> DataSourceId {
        DataSourceId::from_uuid(Uuid::from_u128(n))
    }

    #[test]
    fn a_source_that_takes_all_its_seats_leaves_looks_to_the_others() {
        let seats = Seats::new(2, 2);
        let first = [seats.take(Some(source(1))), seats.take(Some(source(1)))];
        assert!(first.iter().all(Option::is_some) && seats.take(Some(source(1))).is_none());
        let others: Vec<_> =
            [Some(source(2)), Some(source(2)), None, None].map(|of| seats.take(of)).into_iter().flatten().collect();
        assert_eq!((others.len(), seats.looks()), (4, 6));
        drop(first);
        assert!(seats.take(Some(source(1))).is_some());
    }

    #[test]
    fn the_only_source_has_every_look() {
        let seats = Seats::new(1, 2);
        let taken: Vec<_> = (0..9).filter_map(|_| seats.take(Some(source(1)))).collect();
        assert_eq!((taken.len(), seats.looks()), (9, 2));
    }
}
