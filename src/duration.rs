//! Durations as people write and read them.

use std::time::Duration;

/// Text that is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write a whole number and its unit, such as 90s, 15m, 24h or 7d")]
pub struct InvalidDuration;

/// Reads a number with its unit: `90s`, `15m`, `24h`, `7d`.
pub fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    let units = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];
    let (number, unit) = units
        .into_iter()
        .find_map(|(letter, seconds)| Some((text.trim().strip_suffix(letter)?, seconds)))
        .ok_or(InvalidDuration)?;
    let number: u64 = number.parse().map_err(|_not_a_number: std::num::ParseIntError| InvalidDuration)?;
    number.checked_mul(unit).map(Duration::from_secs).ok_or(InvalidDuration)
}

/// Writes so many seconds in their largest whole unit: «3 minutes».
pub fn told(seconds: u64) -> String {
    let (count, unit) = match seconds {
        ..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_number_and_a_unit() {
        for (text, seconds) in [("0s", 0), ("90s", 90), ("15m", 900), ("24h", 86_400), (" 7d ", 604_800)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "s", "90", "-1s", "1.5h", "1 h", "7w", "99999999999999999999s", "999999999999999999d"] {
            assert_eq!(parse(text), Err(InvalidDuration), "{text}");
        }
    }
}
