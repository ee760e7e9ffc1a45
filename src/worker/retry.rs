//! What becomes of a look that failed: decided here, as a value, and nowhere else.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    causes::told,
    notion::NotionError,
    sources::error::{AskError, REFUSED_PAUSE},
};

/// What becomes of the events that a look was to settle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Their work is done.
    Settled,
    /// Their subject is looked at again.
    RetryAt {
        /// Not before this instant.
        due_at: DateTime<Utc>,
        /// How often it has failed by now.
        attempts: u32,
    },
    /// Nobody works on them until a person asks for it.
    Parked(String),
}

impl Verdict {
    /// Puts off what would be parked: for what the work on everything else rests on.
    #[must_use]
    pub fn never_parked(self, now: DateTime<Utc>, attempts: u32) -> Self {
        match self {
            Self::Parked(_) => Self::RetryAt { due_at: now + BACKOFF_MAX, attempts },
            other => other,
        }
    }
}

/// The first wait after a failure; it doubles with every further one.
const BACKOFF_MIN: TimeDelta = TimeDelta::seconds(1);

/// The longest wait between two tries, so that a long outage ends for us soon after it ends.
pub const BACKOFF_MAX: TimeDelta = TimeDelta::minutes(5);

/// Tries while Notion does not answer: with the waits above about six hours, after which the sweep is the better way.
const ATTEMPTS_UNAVAILABLE: u32 = 80;

/// Tries while Notion's answer cannot be read: it may be half an answer, but more often it stays as it is.
const ATTEMPTS_UNREADABLE: u32 = 6;

/// How long a page waits that may stand in a source that was never read. Each try costs one request.
const UNJUDGED_PAUSE: TimeDelta = TimeDelta::seconds(60);

/// How long a page waits for its turn where enough others of its source are asked for.
const CROWDED_PAUSE: TimeDelta = TimeDelta::seconds(1);

/// How long a page waits for the schema of its source.
const UNRESOLVED_PAUSE: TimeDelta = TimeDelta::seconds(2);

/// Decides what becomes of a look that failed for the `attempts + 1`-th time. `jitter` is from 0 to 1.
pub fn verdict(error: &AskError, attempts: u32, now: DateTime<Utc>, jitter: f64) -> Verdict {
    let again = |attempts_max: u32| match attempts + 1 {
        failed if failed >= attempts_max => Verdict::Parked(format!("failed {failed} times: {}", told(error))),
        failed => Verdict::RetryAt { due_at: now + backoff(attempts, jitter), attempts: failed },
    };
    // Waits that everybody shares are nobody's failure: they do not count as attempts.
    let later = |wait: TimeDelta| Verdict::RetryAt { due_at: now + wait + BACKOFF_MIN.mul(jitter), attempts };
    match error {
        AskError::Notion(NotionError::RateLimited { retry_after }) => {
            later(TimeDelta::from_std(*retry_after).unwrap_or(BACKOFF_MAX))
        }
        AskError::Notion(NotionError::Refused { .. }) => later(REFUSED_PAUSE),
        AskError::Gated { until } => later((*until - now).max(TimeDelta::zero())),
        AskError::Unresolved => later(UNRESOLVED_PAUSE),
        AskError::Unjudged => later(UNJUDGED_PAUSE),
        AskError::Crowded => later(CROWDED_PAUSE),
        AskError::Notion(NotionError::Rejected { .. }) => Verdict::Parked(told(error)),
        AskError::Notion(NotionError::Unreadable(_)) => again(ATTEMPTS_UNREADABLE),
        AskError::Notion(NotionError::NotFound | NotionError::CursorRefused | NotionError::Unavailable(_)) => {
            again(ATTEMPTS_UNAVAILABLE)
        }
        // These hold until somebody acts, and are asked for anew then.
        AskError::Store(_) | AskError::Ambiguous(_) | AskError::Replaced { .. } | AskError::Unmappable(_) => {
            again(u32::MAX)
        }
        AskError::Twin { .. } => again(u32::MAX),
    }
}

/// Returns the wait after `attempts` failures: doubled each time, bounded, and spread over its upper half.
fn backoff(attempts: u32, jitter: f64) -> TimeDelta {
    let doubled = BACKOFF_MIN.checked_mul(1_i32 << attempts.min(20)).unwrap_or(BACKOFF_MAX).min(BACKOFF_MAX);
    doubled / 2 + (doubled / 2).mul(jitter)
}

trait Mul {
    fn mul(self, factor: f64) -> Self;
}

impl Mul for TimeDelta {
    /// Takes a share of a span; what does not fit a number of milliseconds is not asked for here.
    fn mul(self, factor: f64) -> Self {
        self.to_std().ok().and_then(|span| Self::from_std(span.mul_f64(factor.clamp(0.0, 1.0))).ok()).unwrap_or(self)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn unavailable() -> AskError {
        NotionError::Unavailable("connection reset".into()).into()
    }

    fn wait(error: &AskError, attempts: u32) -> Option<(i64, u32)> {
        match verdict(error, attempts, DateTime::UNIX_EPOCH, 1.0) {
            Verdict::RetryAt { due_at, attempts } => Some((due_at.timestamp(), attempts)),
            Verdict::Settled | Verdict::Parked(_) => None,
        }
    }

    #[test]
    fn waits_double_and_are_bounded() {
        let waits: Vec<_> = (0..ATTEMPTS_UNAVAILABLE).map(|attempts| wait(&unavailable(), attempts)).collect();
        assert_eq!(waits[0], Some((1, 1)));
        assert_eq!(waits[1], Some((2, 2)));
        assert_eq!(waits[5], Some((32, 6)));
        assert_eq!(waits[20], Some((300, 21)));
        assert_eq!(waits[79], None, "the last failure parks");
        let total: i64 = waits.iter().flatten().map(|(seconds, _)| seconds).sum();
        assert!((5 * 3600..8 * 3600).contains(&total), "{total} s are about six hours");
    }

    #[test]
    fn jitter_keeps_at_least_half_of_a_wait() {
        let Verdict::RetryAt { due_at, .. } = verdict(&unavailable(), 4, DateTime::UNIX_EPOCH, 0.0) else {
            panic!("it is tried again")
        };
        assert_eq!(due_at.timestamp(), 8);
    }

    #[test]
    fn a_long_rate_limit_is_kept_in_full_and_counts_for_nothing() {
        let limited = NotionError::RateLimited { retry_after: Duration::from_mins(15) }.into();
        assert_eq!(wait(&limited, 7), Some((901, 7)));
    }

    #[test]
    fn a_refused_token_burns_no_event() {
        let refused = NotionError::Refused { code: "unauthorized".to_owned(), message: String::new() }.into();
        assert_eq!(wait(&refused, ATTEMPTS_UNAVAILABLE + 5), Some((61, ATTEMPTS_UNAVAILABLE + 5)));
    }

    #[test]
    fn a_wrong_question_is_not_asked_twice() {
        let rejected =
            NotionError::Rejected { status: 400, code: "validation_error".to_owned(), message: "no".to_owned() };
        assert_eq!(wait(&rejected.into(), 0), None);
    }
}
