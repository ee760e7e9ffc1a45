//! How times are written: as Python's `isoformat` in the published table, as microseconds in our own.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

/// Writes a time as the pipeline does: always six digits, always `+00:00`, so that text order is time order.
pub(crate) fn isoformat(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, false)
}

/// Reads a time of the published table; also without the fraction, which Python leaves out where it is zero.
pub(crate) fn from_isoformat(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc())
}

/// Writes a time for our own tables.
pub(crate) const fn micros(at: DateTime<Utc>) -> i64 {
    at.timestamp_micros()
}

/// Reads a time of our own tables; every number is one.
pub(crate) fn from_micros(micros: i64) -> DateTime<Utc> {
    let farthest = if micros < 0 { DateTime::<Utc>::MIN_UTC } else { DateTime::<Utc>::MAX_UTC };
    DateTime::UNIX_EPOCH.checked_add_signed(TimeDelta::microseconds(micros)).unwrap_or(farthest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_pipeline_writes_them() {
        let at = from_micros(1_767_700_800_000_000);
        assert_eq!(isoformat(at), "2026-01-06T12:00:00.000000+00:00");
        assert_eq!(from_isoformat("2026-01-06T12:00:00+00:00"), Some(at));
        assert_eq!(from_micros(micros(at)), at);
    }
}
