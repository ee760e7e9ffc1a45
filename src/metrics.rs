//! Every series that the program counts, in one struct. The doc comment of a field is its help text.
//!
//! Gauges of the inbox and the cache are not here: they are read from the store by whoever asks, so that they are
//! right after a restart too.

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::Serialize;

/// The counters of this process. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Arc<Counters>);

impl Deref for Metrics {
    type Target = Counters;

    fn deref(&self) -> &Counters {
        &self.0
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts one more.
    pub fn count(&self) {
        self.add(1);
    }

    /// Counts `n` more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Returns the number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[doc = $help:literal])+ $name:ident,)*) => {
        /// The counters themselves.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[doc = $help])+ pub $name: Counter,)*
        }

        /// What the counters said at one moment.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize)]
        pub struct Counts {
            $($(#[doc = $help])+ pub $name: u64,)*
        }

        impl Counters {
            /// Reads every counter.
            pub fn snapshot(&self) -> Counts {
                Counts { $($name: self.$name.get(),)* }
            }
        }
    };
}

counters! {
    /// Deliveries that became a waiting event.
    deliveries_accepted,
    /// Deliveries of an event that was here before.
    deliveries_duplicate,
    /// Stored events that were given again and wait once more.
    deliveries_reopened,
    /// Deliveries that ask for nothing, kept without work.
    deliveries_ignored,
    /// Deliveries of edits that touched nothing a row depends on, kept without work.
    deliveries_skipped,
    /// Deliveries that were signed correctly and could not be read, kept without work.
    deliveries_unreadable,
    /// Deliveries without a signature, or with a wrong one (401).
    deliveries_refused,
    /// Deliveries with a body over the bound (413).
    deliveries_too_large,
    /// Deliveries whose body did not arrive in time or broke off (408, 400).
    deliveries_broken_off,
    /// Deliveries that could not be made durable (503).
    deliveries_not_durable,
    /// Connections that gave way to newer ones, because too many were open.
    connections_crowded_out,
    /// Handshakes whose token was stored.
    handshakes_taken,
    /// Handshakes that were answered and ignored, because a token is known.
    handshakes_ignored,
    /// Questions that Notion answered.
    fetches_ok,
    /// Questions that Notion answered with 404.
    fetches_not_found,
    /// Questions that Notion answered with 429 or 529.
    fetches_rate_limited,
    /// Questions for which Notion refused the token.
    fetches_refused,
    /// Questions that Notion rejected, or answered with something unreadable.
    fetches_rejected,
    /// Questions without an answer: the network, a time-out, a failing server.
    fetches_unavailable,
    /// Questions of sweeps among all of these.
    sweep_questions,
    /// Questions of sweeps without a whole answer.
    sweep_questions_failed,
    /// Questions that had to wait for the budget.
    budget_waits,
    /// For how long they waited in all, in milliseconds.
    budget_wait_milliseconds,
    /// Snapshots that changed an entry.
    snapshots_changed,
    /// Snapshots that confirmed what was known.
    snapshots_unchanged,
    /// Snapshots older than what was applied, which changed nothing.
    snapshots_stale,
    /// Snapshots that took a page out of its source: trashed, moved out, gone.
    snapshots_removed,
    /// Looks at a page that Notion no longer shows and nobody said to be deleted.
    snapshots_missing,
    /// Looks at a page only because an event that was skipped is a sample.
    looks_at_samples,
    /// Skips that turned out to be wrong: each turned the filter of its source off.
    skips_wrong,
    /// Looks that failed, whatever became of their events.
    looks_failed,
    /// Looks whose events were parked.
    looks_parked,
    /// Pages of results that were asked for to look at many pages at once.
    group_queries,
    /// Pages whose events such a query settled.
    group_pages_settled,
    /// Pages that were left to be fetched by themselves after such a query.
    group_pages_left,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_count_together() {
        let metrics = Metrics::default();
        let other = metrics.clone();
        other.deliveries_accepted.count();
        metrics.deliveries_accepted.add(2);
        assert_eq!(other.deliveries_accepted.get(), 3);
        let json = serde_json::to_value(metrics.snapshot()).unwrap();
        assert_eq!(json.get("deliveries_accepted"), Some(&3.into()));
        assert_eq!(json.get("deliveries_refused"), Some(&0.into()));
    }
}
