//! The budget of one connection: so many requests in a fixed window, spendable at once («LIM»).

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// How many requests a connection may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// In one window.
    pub requests: u32,
    /// How long a window lasts; the first request after its end opens the next one.
    pub window: Duration,
}

impl Default for Budget {
    /// The figures for plans below Business.
    fn default() -> Self {
        Self { requests: 180, window: Duration::from_mins(1) }
    }
}

/// What has been spent in the present window.
#[derive(Debug, Default)]
pub(crate) struct Spent {
    opened: Option<DateTime<Utc>>,
    requests: u32,
}

impl Spent {
    /// Spends one request, or says how many whole seconds it is until the window ends.
    pub(crate) fn spend(&mut self, budget: Budget, now: DateTime<Utc>) -> Result<(), u64> {
        let window = TimeDelta::from_std(budget.window).unwrap_or(TimeDelta::MAX);
        let left = self.opened.map_or(TimeDelta::zero(), |opened| window - (now - opened));
        if left <= TimeDelta::zero() {
            *self = Self { opened: Some(now), requests: 0 };
        }
        if self.requests < budget.requests {
            self.requests += 1;
            return Ok(());
        }
        Err(left.to_std().unwrap_or_default().as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_can_be_spent_at_once_and_then_ends() {
        let budget = Budget { requests: 3, window: Duration::from_mins(1) };
        let start: DateTime<Utc> = "2026-07-04T09:00:30Z".parse().unwrap();
        let mut spent = Spent::default();
        let mut at = |seconds: f64| {
            #[expect(clippy::cast_possible_truncation, reason = "whole milliseconds")]
            let offset = TimeDelta::milliseconds((seconds * 1_000.0) as i64);
            spent.spend(budget, start + offset)
        };
        assert_eq!([at(0.0), at(0.0), at(1.0)], [Ok(()); 3]);
        assert_eq!(at(1.0), Err(59));
        assert_eq!(at(58.5), Err(2));
        assert_eq!(at(60.0), Ok(()), "the window opened with its first request");
        assert_eq!([at(119.0), at(119.0)], [Ok(()); 2]);
        assert_eq!(at(119.0), Err(1));
    }
}
