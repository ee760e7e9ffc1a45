//! What was asked of the simulated API: how often, by whom at once, and how much in one window of the budget.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};

use crate::{model::id::PageId, simulator::question::Endpoint};

/// Counts of requests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tally {
    window: TimeDelta,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    total: u64,
    by_endpoint: HashMap<Endpoint, u64>,
    by_page: HashMap<PageId, Fetches>,
    recent: VecDeque<DateTime<Utc>>,
    most_in_a_window: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Fetches {
    total: u64,
    present: u32,
    most_at_once: u32,
}

/// A request that is being answered; it counts as present until this is dropped.
#[derive(Debug)]
pub(crate) struct Presence {
    tally: Tally,
    page: Option<PageId>,
}

impl Tally {
    pub(crate) fn new(window: Duration) -> Self {
        let window = TimeDelta::from_std(window).unwrap_or(TimeDelta::MAX);
        Self { window, counts: Arc::default() }
    }

    /// Returns how many requests came, whatever was answered.
    pub fn total(&self) -> u64 {
        self.lock().total
    }

    /// Returns how many requests came to one endpoint.
    pub fn of(&self, endpoint: Endpoint) -> u64 {
        self.lock().by_endpoint.get(&endpoint).copied().unwrap_or_default()
    }

    /// Returns how often one page was fetched.
    pub fn of_page(&self, page: PageId) -> u64 {
        self.lock().by_page.get(&page).copied().unwrap_or_default().total
    }

    /// Returns how many fetches of one and the same page ever ran at once.
    pub fn most_at_once(&self) -> u32 {
        self.lock().by_page.values().map(|fetches| fetches.most_at_once).max().unwrap_or_default()
    }

    /// Returns the most requests that came within any span as long as a window of the budget, wherever it begins.
    pub fn most_in_a_window(&self) -> usize {
        self.lock().most_in_a_window
    }

    /// Notes that a request has come.
    pub(crate) fn arrive(&self, endpoint: Endpoint, page: Option<PageId>, now: DateTime<Utc>) -> Presence {
        let mut counts = self.lock();
        counts.total += 1;
        *counts.by_endpoint.entry(endpoint).or_default() += 1;
        if let Some(page) = page {
            let fetches = counts.by_page.entry(page).or_default();
            fetches.total += 1;
            fetches.present += 1;
            fetches.most_at_once = fetches.most_at_once.max(fetches.present);
        }
        counts.recent.push_back(now);
        while counts.recent.front().is_some_and(|first| now - *first >= self.window) {
            counts.recent.pop_front();
        }
        counts.most_in_a_window = counts.most_in_a_window.max(counts.recent.len());
        drop(counts);
        Presence { tally: self.clone(), page }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if let Some(page) = self.page
            && let Some(fetches) = self.tally.lock().by_page.get_mut(&page)
        {
            fetches.present = fetches.present.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_most_requests_are_found_wherever_the_window_begins() {
        let tally = Tally::new(Duration::from_mins(1));
        let start: DateTime<Utc> = "2026-07-04T09:00:00Z".parse().unwrap();
        for second in [0, 50, 59, 60, 61, 200] {
            drop(tally.arrive(Endpoint::Me, None, start + TimeDelta::seconds(second)));
        }
        assert_eq!(tally.most_in_a_window(), 4, "those at 50, 59, 60 and 61 s");
        assert_eq!((tally.total(), tally.of(Endpoint::Me), tally.of(Endpoint::Page)), (6, 6, 0));
    }

    #[test]
    fn fetches_of_one_page_at_once_are_seen() {
        let tally = Tally::new(Duration::from_mins(1));
        let [one, other] = [1, 2].map(|n| PageId::from_uuid(Uuid::from_u128(n)));
        let now = "2026-07-04T09:00:00Z".parse().unwrap();
        let first = tally.arrive(Endpoint::Page, Some(one), now);
        let second = tally.arrive(Endpoint::Page, Some(other), now);
        assert_eq!(tally.most_at_once(), 1);
        let third = tally.arrive(Endpoint::Page, Some(one), now);
        drop((first, second, third));
        drop(tally.arrive(Endpoint::Page, Some(one), now));
        assert_eq!((tally.most_at_once(), tally.of_page(one), tally.of_page(other)), (2, 3, 1));
    }
}
