//! On which terms an answer is wanted, as every door reads them.

use std::time::Duration;

use chrono::TimeDelta;

use crate::duration::{self, InvalidDuration};

/// The youngest proof that can be asked for: a fetch takes its time, so that none is younger than nothing.
const MAX_AGE_MIN: Duration = Duration::from_secs(1);

/// The longest age that is understood; it lies before there was a CRM.
const MAX_AGE_MAX: Duration = Duration::from_hours(24 * 36_500);

/// For how long a younger proof is waited for, where nothing else is said.
const WAIT_DEFAULT: Duration = Duration::from_secs(10);

/// For how long somebody may be kept waiting who asks over a network.
const ASKED_WAIT_MAX: Duration = Duration::from_mins(1);

/// On which terms an answer is wanted. The default is what the settings say, from the cache alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terms {
    /// A proof that is older than this makes an answer stale; `None` stands for what the settings say.
    pub max_age: Option<TimeDelta>,
    /// For how long a younger proof is waited for, where one fetch of a page can give it, at most [`Terms::WAIT_MAX`].
    /// Zero: Notion is not asked.
    pub wait: Duration,
}

/// Terms on which nothing can be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTerms {
    /// A text is no duration.
    #[error(transparent)]
    Duration(#[from] InvalidDuration),
    /// No proof is as young as this.
    #[error("at least 1s: no proof is younger")]
    TooYoung,
    /// The age is longer than anything is old.
    #[error("at most 36500d")]
    TooOld,
    /// Nobody is kept waiting for so long.
    #[error("at most 60s")]
    TooLong,
    /// There is nothing to wait for.
    #[error("wait means something together with max_age only: say how old the proof may be")]
    WaitForNothing,
}

impl Terms {
    /// Nobody waits for longer, whatever is said: no clock holds the end of every duration.
    pub const WAIT_MAX: Duration = Duration::from_hours(24 * 365);

    /// Joins what was asked for, and adds what was not.
    pub fn of(max_age: Option<Duration>, wait: Option<Duration>) -> Result<Self, InvalidTerms> {
        let Some(age) = max_age else {
            return wait.map_or_else(|| Ok(Self::default()), |_| Err(InvalidTerms::WaitForNothing));
        };
        let max_age = TimeDelta::from_std(age).map_err(|_out_of_range| InvalidTerms::TooOld)?;
        Ok(Self { max_age: Some(max_age), wait: wait.unwrap_or(WAIT_DEFAULT) })
    }
}

/// Reads how old a proof may be, such as `15m`.
pub fn max_age(text: &str) -> Result<Duration, InvalidTerms> {
    match duration::parse(text)? {
        age if age < MAX_AGE_MIN => Err(InvalidTerms::TooYoung),
        age if age > MAX_AGE_MAX => Err(InvalidTerms::TooOld),
        age => Ok(age),
    }
}

/// Reads how long to wait over a network, such as `5s`.
pub fn wait(text: &str) -> Result<Duration, InvalidTerms> {
    let wait = duration::parse(text)?;
    if wait > ASKED_WAIT_MAX { Err(InvalidTerms::TooLong) } else { Ok(wait) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_read_within_their_bounds() {
        let seconds = Duration::from_secs;
        assert_eq!((max_age("1s"), max_age("7d")), (Ok(seconds(1)), Ok(seconds(7 * 86_400))));
        assert_eq!((max_age("0s"), max_age("0d")), (Err(InvalidTerms::TooYoung), Err(InvalidTerms::TooYoung)));
        assert_eq!(max_age("36501d"), Err(InvalidTerms::TooOld));
        assert_eq!(max_age("soon"), Err(InvalidTerms::Duration(InvalidDuration)));
        assert_eq!(
            (wait("0s"), wait("1m"), wait("61s")),
            (Ok(seconds(0)), Ok(seconds(60)), Err(InvalidTerms::TooLong))
        );
    }

    #[test]
    fn a_wait_needs_an_age_and_an_age_brings_a_wait() {
        let seconds = Duration::from_secs;
        assert_eq!(Terms::of(None, None), Ok(Terms::default()));
        assert_eq!(Terms::of(None, Some(seconds(5))), Err(InvalidTerms::WaitForNothing));
        let terms = |wait| Ok(Terms { max_age: Some(TimeDelta::minutes(15)), wait });
        assert_eq!(Terms::of(Some(seconds(900)), None), terms(seconds(10)));
        assert_eq!(Terms::of(Some(seconds(900)), Some(seconds(0))), terms(seconds(0)));
    }
}
