//! Durations as people write them, and instants as people read them.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::cli::output::counted;

/// Text that is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write a whole number and its unit, such as 90s, 15m, 24h or 7d")]
pub struct InvalidDuration;

/// Reads a number with its unit: `90s`, `15m`, `24h`, `7d`.
pub fn duration(text: &str) -> Result<Duration, InvalidDuration> {
    let units = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];
    let (number, unit) = units
        .into_iter()
        .find_map(|(letter, seconds)| Some((text.trim().strip_suffix(letter)?, seconds)))
        .ok_or(InvalidDuration)?;
    let number: u64 = number.parse().map_err(|_not_a_number: std::num::ParseIntError| InvalidDuration)?;
    number.checked_mul(unit).map(Duration::from_secs).ok_or(InvalidDuration)
}

/// Writes an instant in UTC, and how long ago it was: «2026-01-06 12:00:00 UTC, 3 minutes ago».
pub fn instant(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    format!("{}, {}", at.format("%Y-%m-%d %H:%M:%S UTC"), relative(at, now))
}

/// Writes how long ago an instant was, or how far off it is, in its largest whole unit.
pub fn relative(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (now - at).num_seconds();
    match seconds {
        0 => "just now".to_owned(),
        1.. => format!("{} ago", span(seconds.unsigned_abs())),
        _ => format!("in {}", span(seconds.unsigned_abs())),
    }
}

/// Writes so many seconds in their largest whole unit.
pub fn span(seconds: u64) -> String {
    match seconds {
        count @ ..60 => counted(count, "second"),
        count @ 60..3600 => counted(count / 60, "minute"),
        count @ 3600..86_400 => counted(count / 3600, "hour"),
        count => counted(count / 86_400, "day"),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn instants_are_told_from_now() {
        let now: DateTime<Utc> = "2026-01-06T12:03:00Z".parse().unwrap();
        for (seconds_ago, told) in [
            (0, "just now"),
            (1, "1 second ago"),
            (59, "59 seconds ago"),
            (60, "1 minute ago"),
            (3599, "59 minutes ago"),
            (3600, "1 hour ago"),
            (86_399, "23 hours ago"),
            (86_400, "1 day ago"),
            (40 * 86_400, "40 days ago"),
            (-1, "in 1 second"),
            (-7200, "in 2 hours"),
            (-7 * 86_400, "in 7 days"),
        ] {
            assert_eq!(relative(now - TimeDelta::seconds(seconds_ago), now), told, "{seconds_ago}");
        }
        assert_eq!(instant(now - TimeDelta::minutes(3), now), "2026-01-06 12:00:00 UTC, 3 minutes ago");
        assert_eq!(relative(now - TimeDelta::milliseconds(999), now), "just now");
    }

    #[test]
    fn durations_have_a_number_and_a_unit() {
        for (text, seconds) in [("0s", 0), ("90s", 90), ("15m", 900), ("24h", 86_400), (" 7d ", 604_800)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "s", "90", "-1s", "1.5h", "1 h", "7w", "99999999999999999999s", "999999999999999999d"] {
            assert_eq!(duration(text), Err(InvalidDuration), "{text}");
        }
    }
}
