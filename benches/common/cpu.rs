//! What this process has spent: a figure that other programs on the machine disturb less than the time of day.

use std::{fs, time::Duration};

/// Returns user and system time of all threads, in the hundredths of a second in which Linux tells them.
pub(crate) fn spent() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let (_name, fields) = stat.rsplit_once(") ").unwrap();
    let hundredths: u64 = fields.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(hundredths * 10)
}

/// Returns the microseconds of `spent` for each of `items`.
pub(crate) fn each(spent: Duration, items: usize) -> f64 {
    spent.as_secs_f64() * 1e6 / items as f64
}
