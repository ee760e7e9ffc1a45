//! The one clock: whoever needs the time is handed it, and tests hand out another.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

/// Tells the time. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Clock(Kind);

#[derive(Debug, Clone)]
enum Kind {
    System,
    Following { epoch: DateTime<Utc>, since: Instant, hands: Hands },
}

/// The hands of a clock that follows tokio's time: with them a test sets it, as people and daemons set a machine's.
#[derive(Debug, Clone, Default)]
pub struct Hands(Arc<AtomicI64>);

impl Clock {
    /// Returns the clock of the machine.
    pub const fn system() -> Self {
        Self(Kind::System)
    }

    /// Returns a clock that starts at `epoch` and moves with tokio's time, so that a paused test moves everything at once.
    pub fn following_tokio(epoch: DateTime<Utc>) -> Self {
        Self::with_hands(epoch).0
    }

    /// As [`Clock::following_tokio`], with the hands by which the clock and its clones are set.
    pub fn with_hands(epoch: DateTime<Utc>) -> (Self, Hands) {
        let hands = Hands::default();
        (Self(Kind::Following { epoch, since: Instant::now(), hands: hands.clone() }), hands)
    }

    /// Returns the present time.
    pub fn now(&self) -> DateTime<Utc> {
        match &self.0 {
            #[expect(clippy::disallowed_methods, reason = "this is the clock that everybody else asks")]
            Kind::System => Utc::now(),
            Kind::Following { epoch, since, hands } => {
                *epoch + hands.turned() + TimeDelta::from_std(since.elapsed()).unwrap_or(TimeDelta::MAX)
            }
        }
    }

    /// Sleeps until `at`; returns at once where that has passed.
    pub async fn sleep_until(&self, at: DateTime<Utc>) {
        tokio::time::sleep(self.until(at)).await;
    }

    /// Returns how long it is until `at`, zero where that has passed.
    pub fn until(&self, at: DateTime<Utc>) -> Duration {
        (at - self.now()).to_std().unwrap_or(Duration::ZERO)
    }
}

impl Hands {
    /// Sets the clock forward by this much, or back by a negative span.
    pub fn turn(&self, by: TimeDelta) {
        self.0.fetch_add(by.num_milliseconds(), Ordering::Relaxed);
    }

    /// Returns how far the clock has been set, in all.
    pub fn turned(&self) -> TimeDelta {
        TimeDelta::milliseconds(self.0.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_clock_is_set_with_all_of_its_clones() {
        let epoch = "2026-01-06T12:00:00Z".parse().unwrap();
        let (clock, hands) = Clock::with_hands(epoch);
        let other = clock.clone();
        tokio::time::advance(Duration::from_secs(5)).await;
        hands.turn(TimeDelta::hours(-2));
        assert_eq!(other.now(), epoch + TimeDelta::seconds(5) - TimeDelta::hours(2));
        assert_eq!(clock.until(epoch), Duration::from_secs(2 * 3_600 - 5));
        hands.turn(TimeDelta::hours(3));
        assert_eq!((clock.now(), hands.turned()), (epoch + TimeDelta::seconds(3_605), TimeDelta::hours(1)));
    }
}
