//! Two clocks: Notion's, which is right, and ours, which is set forward and back.

use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use suppressd::clock::{Clock, Hands};

/// Both clocks, in one tokio time. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Clocks {
    /// The right time.
    pub(crate) notion: Clock,
    /// What the program takes for it.
    pub(crate) ours: Clock,
    hands: Hands,
    /// How far ours was ahead, each value once.
    ahead: Arc<Mutex<Vec<TimeDelta>>>,
}

impl Clocks {
    pub(crate) fn start(epoch: DateTime<Utc>) -> Self {
        let (ours, hands) = Clock::with_hands(epoch);
        let ahead = Arc::new(Mutex::new(vec![TimeDelta::zero()]));
        Self { notion: Clock::following_tokio(epoch), ours, hands, ahead }
    }

    /// Sets our clock.
    pub(crate) fn turn(&self, by: TimeDelta) {
        self.hands.turn(by);
        self.ahead.lock().unwrap().push(self.hands.turned());
    }

    /// Whether our clock was ever set.
    pub(crate) fn was_set(&self) -> bool {
        self.ahead.lock().unwrap().len() > 1
    }

    /// The earliest instant at Notion that our clock can have called `at`.
    pub(crate) fn earliest_at_notion(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        let ahead = self.ahead.lock().unwrap().iter().max().copied().unwrap_or_default();
        at - ahead
    }
}
