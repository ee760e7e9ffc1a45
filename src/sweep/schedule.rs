//! When the daily sweep is due: an hour of somebody's clock, through summer and winter.

use chrono::{DateTime, Days, Local, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

/// A time of the day in some zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Daily {
    /// The time of the day.
    pub at: NaiveTime,
    /// The zone; `None` for that of this machine.
    pub zone: Option<Tz>,
}

impl Daily {
    /// Returns the first time after `now`. An hour that the clocks leave out comes when they go on; one that they go
    /// through twice comes the first time.
    pub fn next_after(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self.zone {
            Some(zone) => next_after(self.at, &zone, now),
            None => next_after(self.at, &Local, now),
        }
    }
}

fn next_after<Z: TimeZone>(at: NaiveTime, zone: &Z, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let today = now.with_timezone(zone).date_naive();
    let days = (0..3).filter_map(|days| today.checked_add_days(Days::new(days)));
    days.filter_map(|day| {
        // Clocks go forward by an hour at most where anybody lives.
        let times = [day.and_time(at), day.and_time(at) + TimeDelta::hours(1)];
        times.into_iter().find_map(|time| zone.from_local_datetime(&time).earliest())
    })
    .map(|at| at.to_utc())
    .find(|at| *at > now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(zone: &str, at: &str, now: &str) -> String {
        let daily = Daily { at: at.parse().unwrap(), zone: Some(zone.parse().unwrap()) };
        daily.next_after(now.parse().unwrap()).unwrap().to_rfc3339()
    }

    #[test]
    fn it_comes_once_a_day_by_the_clock_of_the_zone() {
        assert_eq!(next("UTC", "03:00:00", "2026-01-06T02:59:59Z"), "2026-01-06T03:00:00+00:00");
        assert_eq!(next("UTC", "03:00:00", "2026-01-06T03:00:00Z"), "2026-01-07T03:00:00+00:00");
        assert_eq!(next("Europe/Berlin", "03:00:00", "2026-01-06T12:00:00Z"), "2026-01-07T02:00:00+00:00");
        assert_eq!(next("Europe/Berlin", "03:00:00", "2026-07-06T12:00:00Z"), "2026-07-07T01:00:00+00:00");
        // Already tomorrow there.
        assert_eq!(next("Pacific/Auckland", "03:00:00", "2026-01-06T12:00:00Z"), "2026-01-06T14:00:00+00:00");
    }

    #[test]
    fn an_hour_that_is_left_out_or_comes_twice_is_one_time() {
        assert_eq!(next("America/New_York", "02:30:00", "2026-03-08T00:00:00Z"), "2026-03-08T07:30:00+00:00");
        let first = "2026-11-01T05:30:00+00:00";
        assert_eq!(next("America/New_York", "01:30:00", "2026-11-01T00:00:00Z"), first);
        assert_eq!(next("America/New_York", "01:30:00", first), "2026-11-02T06:30:00+00:00");
    }

    #[test]
    fn this_machine_has_a_zone_as_well() {
        let daily = Daily { at: NaiveTime::MIN, zone: None };
        let now: DateTime<Utc> = "2026-01-06T12:00:00Z".parse().unwrap();
        assert!(daily.next_after(now).is_some_and(|at| at > now && at - now <= TimeDelta::hours(25)));
    }
}
