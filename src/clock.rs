//! The one clock: whoever needs the time is handed it, and tests hand out another.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

/// Tells the time. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Clock(Kind);

#[derive(Debug, Clone)]
enum Kind {
    System,
    Following { epoch: DateTime<Utc>, since: Instant },
}

impl Clock {
    /// Returns the clock of the machine.
    pub const fn system() -> Self {
        Self(Kind::System)
    }

    /// Returns a clock that starts at `epoch` and moves with tokio's time, so that a paused test moves everything at once.
    pub fn following_tokio(epoch: DateTime<Utc>) -> Self {
        Self(Kind::Following { epoch, since: Instant::now() })
    }

    /// Returns the present time.
    pub fn now(&self) -> DateTime<Utc> {
        match self.0 {
            #[expect(clippy::disallowed_methods, reason = "this is the clock that everybody else asks")]
            Kind::System => Utc::now(),
            Kind::Following { epoch, since } => epoch + TimeDelta::from_std(since.elapsed()).unwrap_or(TimeDelta::MAX),
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
