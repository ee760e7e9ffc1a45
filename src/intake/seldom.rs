//! A warning that strangers can cause must not fill the log: one a minute, with the number of those held back.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How far apart two warnings of one kind are.
const APART: Duration = Duration::from_mins(1);

/// Lets the first one through, then one a minute.
#[derive(Debug, Default)]
pub(crate) struct Seldom(Mutex<Turns>);

#[derive(Debug, Default)]
struct Turns {
    last: Option<Instant>,
    held_back: u64,
}

impl Seldom {
    /// Returns how many were held back since the last turn, or `None` where it is not yet time for another.
    pub(crate) fn turn(&self) -> Option<u64> {
        let now = Instant::now();
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.last.is_some_and(|last| now < last + APART) {
            turns.held_back += 1;
            return None;
        }
        turns.last = Some(now);
        Some(std::mem::take(&mut turns.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_gives_one_turn_a_minute_and_is_counted() {
        let seldom = Seldom::default();
        assert_eq!(seldom.turn(), Some(0));
        assert_eq!([seldom.turn(), seldom.turn()], [None, None]);
        tokio::time::advance(APART).await;
        assert_eq!(seldom.turn(), Some(2));
        tokio::time::advance(APART).await;
        assert_eq!(seldom.turn(), Some(0));
    }
}
