//! How often one question is asked again before a sweep gives it up.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::{notion::NotionError, sources::error::AskError};

/// Failures in a row after which a question is given up. With the waits between them that is about three minutes.
const FAILURES_MAX: u32 = 8;

/// The same for an answer that cannot be read: it may be half an answer, but more often it stays as it is.
const UNREADABLE_MAX: u32 = 4;

/// The longest wait between two tries.
const WAIT_MAX: Duration = Duration::from_mins(1);

/// So often one question may be put off by a rate limit, which is nobody's failure.
const PUT_OFF_MAX: u32 = 100;

/// What one question has been through.
#[derive(Debug, Default)]
pub(super) struct Patience {
    failures: u32,
    put_off: u32,
}

impl Patience {
    /// Notes that it was answered.
    pub(super) const fn answered(&mut self) {
        *self = Self { failures: 0, put_off: 0 };
    }

    /// Notes that it failed; returns how long to wait before it is asked again, or `None` where that is no use.
    /// `jitter` is from 0 to 1.
    pub(super) fn failed(&mut self, error: &AskError, now: DateTime<Utc>, jitter: f64) -> Option<Duration> {
        match error {
            AskError::Notion(NotionError::RateLimited { retry_after }) => self.put_off(*retry_after),
            AskError::Gated { until } => self.put_off((*until - now).to_std().unwrap_or_default()),
            AskError::Notion(NotionError::Unreadable(_)) => self.again(UNREADABLE_MAX, jitter),
            AskError::Notion(NotionError::Unavailable(_) | NotionError::CursorRefused) | AskError::Store(_) => {
                self.again(FAILURES_MAX, jitter)
            }
            AskError::Notion(NotionError::NotFound | NotionError::Refused { .. } | NotionError::Rejected { .. })
            | AskError::Unresolved
            | AskError::Unjudged
            | AskError::Crowded
            | AskError::Twin { .. }
            | AskError::Ambiguous(_)
            | AskError::Replaced { .. }
            | AskError::Unmappable(_) => None,
        }
    }

    fn put_off(&mut self, wait: Duration) -> Option<Duration> {
        self.put_off += 1;
        (self.put_off <= PUT_OFF_MAX).then_some(wait)
    }

    fn again(&mut self, failures_max: u32, jitter: f64) -> Option<Duration> {
        self.failures += 1;
        let doubled = Duration::from_secs(1_u64 << (self.failures - 1).min(6)).min(WAIT_MAX);
        (self.failures < failures_max).then(|| doubled / 2 + (doubled / 2).mul_f64(jitter.clamp(0.0, 1.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unavailable() -> AskError {
        NotionError::Unavailable("connection reset".into()).into()
    }

    #[test]
    fn waits_double_and_end() {
        let mut patience = Patience::default();
        let waits: Vec<_> = (0..8).map(|_| patience.failed(&unavailable(), DateTime::UNIX_EPOCH, 1.0)).collect();
        let seconds: Vec<_> = waits.iter().map(|wait| wait.map(|wait| wait.as_secs())).collect();
        assert_eq!(seconds, [Some(1), Some(2), Some(4), Some(8), Some(16), Some(32), Some(60), None]);
    }

    #[test]
    fn an_answer_in_between_starts_anew() {
        let mut patience = Patience::default();
        for _ in 0..7 {
            assert!(patience.failed(&unavailable(), DateTime::UNIX_EPOCH, 0.0).is_some());
        }
        patience.answered();
        assert_eq!(patience.failed(&unavailable(), DateTime::UNIX_EPOCH, 0.0), Some(Duration::from_millis(500)));
    }

    #[test]
    fn a_rate_limit_is_waited_for_in_full_and_is_no_failure() {
        let mut patience = Patience::default();
        let limited = NotionError::RateLimited { retry_after: Duration::from_mins(15) }.into();
        for _ in 0..20 {
            assert_eq!(patience.failed(&limited, DateTime::UNIX_EPOCH, 0.0), Some(Duration::from_mins(15)));
        }
        assert!(patience.failed(&unavailable(), DateTime::UNIX_EPOCH, 0.0).is_some());
    }

    #[test]
    fn what_stays_wrong_is_not_asked_again() {
        let refused = NotionError::Refused { code: "unauthorized".to_owned(), message: String::new() };
        for error in [AskError::Notion(refused), AskError::Notion(NotionError::NotFound), AskError::Unresolved] {
            assert_eq!(Patience::default().failed(&error, DateTime::UNIX_EPOCH, 0.0), None, "{error}");
        }
    }
}
