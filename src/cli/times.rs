//! Instants and spans of time as people read them.

use chrono::{DateTime, Utc};

pub use crate::duration::told as span;

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
}
