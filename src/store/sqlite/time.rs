//! How times are written: as Python's `isoformat` in the published table, as microseconds in our own.

use chrono::{DateTime, NaiveDate, SecondsFormat, TimeDelta, Utc};

/// Writes a time as the pipeline does: always six digits, always `+00:00`, so that text order is time order.
pub(crate) fn isoformat(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, false)
}

/// Reads a time of the published table; also without the fraction, which Python leaves out where it is zero.
pub(crate) fn from_isoformat(text: &str) -> Option<DateTime<Utc>> {
    from_our_isoformat(text).or_else(|| Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc()))
}

/// Reads what [`isoformat`] writes, digit by digit: every answer reads two of these. Nothing else is taken.
fn from_our_isoformat(text: &str) -> Option<DateTime<Utc>> {
    let (day, clock) = text.strip_suffix("+00:00")?.split_once('T')?;
    let [y0, y1, y2, y3, b'-', o0, o1, b'-', d0, d1] = *day.as_bytes() else { return None };
    let [h0, h1, b':', m0, m1, b':', s0, s1, b'.', fraction @ ..] = clock.as_bytes() else { return None };
    let (year, month, day) = (number(&[y0, y1, y2, y3])?, number(&[o0, o1])?, number(&[d0, d1])?);
    let (hour, minute, second) = (number(&[*h0, *h1])?, number(&[*m0, *m1])?, number(&[*s0, *s1])?);
    let micros = if fraction.len() == 6 { number(fraction)? } else { return None };
    let date = NaiveDate::from_ymd_opt(year.try_into().ok()?, month, day)?;
    Some(date.and_hms_micro_opt(hour, minute, second, micros)?.and_utc())
}

/// Reads digits of ASCII: few enough to fit.
fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u32::from(digit - b'0'))?;
        Some(number * 10 + digit)
    })
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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_written_as_the_pipeline_writes_them() {
        let at = from_micros(1_767_700_800_000_000);
        assert_eq!(isoformat(at), "2026-01-06T12:00:00.000000+00:00");
        assert_eq!(from_isoformat("2026-01-06T12:00:00+00:00"), Some(at));
        assert_eq!(from_micros(micros(at)), at);
    }

    fn slowly(text: &str) -> Option<DateTime<Utc>> {
        DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc())
    }

    #[test]
    fn times_that_are_nearly_as_we_write_them_are_read_as_ever() {
        for text in [
            "2026-01-06T12:00:60.000000+00:00",
            "2026-02-29T12:00:00.000000+00:00",
            "2026-13-01T12:00:00.000000+00:00",
            "2026-01-06T24:00:00.000000+00:00",
            "2026-01-06T12:00:00.1234567+00:00",
            "2026-01-06T12:00:00.123+00:00",
            "2026-01-06T12:00:00.000000+01:00",
            "2026-01-06T12:00:00.000000Z",
            "2026-01-06 12:00:00.000000+00:00",
            "2026-01-06T12:00:00.00000x+00:00",
            "０026-01-06T12:00:00.000000+00:00",
            "",
        ] {
            assert_eq!(from_isoformat(text), slowly(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn times_are_read_digit_by_digit_as_by_the_book(micros in -62_135_596_800_000_000_i64..253_402_300_800_000_000) {
            let text = isoformat(from_micros(micros));
            prop_assert_eq!(from_our_isoformat(&text), Some(from_micros(micros)));
            prop_assert_eq!(slowly(&text), Some(from_micros(micros)));
        }

        #[test]
        fn what_looks_like_a_time_is_one_by_the_book_too(text in "[0-9]{4}-[0-1][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]\\.[0-9]{5,7}[+-]00:00") {
            prop_assert_eq!(from_isoformat(&text), slowly(&text));
        }
    }
}
