//! The budget of one token: how many requests may be sent, when, and whose turn it is.
//!
//! Notion allows a connection 180 requests (600 on larger plans) in a fixed window of 60 s, to be spent at once if one
//! likes, and does not tell when its windows start (LIM). The budget therefore keeps a log of its grants and never
//! allows more than the limit in **any** 60 s, which holds for every alignment. The rules, all in [`ledger`]:
//!
//! 1. A grant counts for 61 s rather than 60: requests are counted where they arrive, and do not all travel equally
//!    long.
//! 2. `Retry-After` stops everybody for all of its time; the longest one asked for wins.
//! 3. Webhook work goes first, since people wait for it. While both wait, every tenth grant goes to a sweep
//!    nevertheless: a CRM that is edited all day long would otherwise never be proven complete, and a cache that no
//!    sweep has proven may not say «clear». A tenth of 180 requests is 1,800 rows a minute.
//! 4. Within one priority, who came first goes first.
//!
//! Nobody drives the budget: the one whose turn it is takes the grant in the same poll that returns it. An `acquire`
//! that is dropped has therefore either returned or taken nothing, and gives its place in the line free.

mod ledger;

use std::{
    num::NonZeroU16,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::{
    clock::Clock,
    metrics::Metrics,
    notion::{
        Priority,
        budget::ledger::{Ledger, Ticket, Turn},
    },
};

/// The budget of one token. Clones share it: everybody who uses the token holds one.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    ledger: Mutex<Ledger>,
    /// Told whenever the first of the line may be another one.
    moved_up: Notify,
    clock: Clock,
    metrics: Metrics,
}

/// What a budget says of itself; enough to go on from after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetState {
    /// Requests that may be sent in any 60 s.
    pub limit: u16,
    /// Requests that count against it now.
    pub spent: usize,
    /// When the last of them stops counting; `None` where none does.
    pub resets_at: Option<DateTime<Utc>>,
    /// When the next request may be sent; `None` where it may be at once.
    pub next_grant_at: Option<DateTime<Utc>>,
    /// Until when Notion asked everybody to wait, where that lies ahead.
    pub paused_until: Option<DateTime<Utc>>,
}

impl Budget {
    /// Returns an unspent budget of `limit` requests in any 60 s.
    pub fn new(limit: NonZeroU16, clock: Clock, metrics: Metrics) -> Self {
        let ledger = Mutex::new(Ledger::new(limit, clock.now()));
        Self(Arc::new(Shared { ledger, moved_up: Notify::new(), clock, metrics }))
    }

    /// Waits until one request may be sent, and counts it as sent. To drop this future before it returns costs
    /// nothing and holds up nobody.
    pub async fn acquire(&self, priority: Priority) {
        let mut place = Place { shared: &self.0, ticket: self.0.lock().line_up(priority), waits_since: None };
        loop {
            // Made before the turn is looked at, so that no move is missed in between.
            let moved_up = self.0.moved_up.notified();
            match place.try_take() {
                Turn::Granted => return,
                Turn::Behind => moved_up.await,
                Turn::FirstAt(at) => tokio::select! {
                    () = self.0.clock.sleep_until(at) => {}
                    () = moved_up => {}
                },
            }
        }
    }

    /// Returns whether both are the same one.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Stops everybody for `retry_after` from now, or for as long as an earlier pause still lasts if that is longer.
    pub fn pause(&self, retry_after: Duration) {
        let mut ledger = self.0.lock();
        ledger.pause(retry_after, self.0.clock.now());
    }

    /// Returns what is spent and until when.
    pub fn state(&self) -> BudgetState {
        let mut ledger = self.0.lock();
        ledger.state(self.0.clock.now())
    }

    /// Takes over what an earlier process has spent, before the first [`Budget::acquire`]. Its grants are all taken to
    /// be as late as its last one, so the two together stay below the limit.
    pub fn restore(&self, state: &BudgetState) {
        let mut ledger = self.0.lock();
        ledger.restore(state, self.0.clock.now());
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Ledger> {
        // Every change of the ledger is whole before anything could panic.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the line, given free when dropped.
struct Place<'a> {
    shared: &'a Shared,
    ticket: Ticket,
    waits_since: Option<DateTime<Utc>>,
}

impl Place<'_> {
    fn try_take(&mut self) -> Turn {
        let mut ledger = self.shared.lock();
        // Asked under the lock, so that the ledger sees times in order.
        let now = self.shared.clock.now();
        let turn = ledger.try_take(self.ticket, now);
        if turn != Turn::Granted && self.waits_since.is_none() {
            self.waits_since = Some(now);
            self.shared.metrics.notion_budget_waits.count();
        }
        turn
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.shared.lock().leave(self.ticket);
        self.shared.moved_up.notify_waiters();
        if let Some(since) = self.waits_since {
            let waited = (self.shared.clock.now() - since).to_std().unwrap_or_default();
            self.shared.metrics.notion_budget_wait.add(waited);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use chrono::TimeDelta;
    use tokio::time::{advance, timeout};
    use tokio_util::task::TaskTracker;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(61);

    fn budget(limit: u16) -> (Budget, Clock, Metrics) {
        let clock = Clock::following_tokio("2026-09-01T10:00:00Z".parse().unwrap());
        let metrics = Metrics::default();
        (Budget::new(NonZeroU16::new(limit).unwrap(), clock.clone(), metrics.clone()), clock, metrics)
    }

    /// Whether a request may be sent without any wait.
    async fn is_free(budget: &Budget) -> bool {
        timeout(Duration::ZERO, budget.acquire(Priority::Webhook)).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_is_spendable_at_once_and_then_everybody_waits() {
        let (budget, clock, metrics) = budget(3);
        let start = clock.now();
        for _ in 0..3 {
            budget.acquire(Priority::Sweep).await;
        }
        assert_eq!(clock.now(), start);
        assert_eq!(metrics.notion_budget_waits.get(), 0);
        budget.acquire(Priority::Webhook).await;
        assert!(clock.now() - start >= TimeDelta::seconds(60), "{}", clock.now());
        assert_eq!(metrics.notion_budget_waits.get(), 1);
        assert_eq!(metrics.notion_budget_wait.get(), (clock.now() - start).to_std().unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_pause_holds_in_full_for_everybody() {
        let (budget, clock, _metrics) = budget(180);
        let start = clock.now();
        budget.pause(Duration::from_mins(10));
        budget.clone().pause(Duration::from_secs(5));
        assert_eq!(budget.state().paused_until, Some(start + TimeDelta::minutes(10)));
        tokio::join!(budget.acquire(Priority::Sweep), budget.acquire(Priority::Webhook));
        assert!(clock.now() >= start + TimeDelta::minutes(10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_also_holds_for_who_waits_already() {
        let (budget, clock, _metrics) = budget(1);
        let start = clock.now();
        budget.acquire(Priority::Webhook).await;
        let waiting = budget.acquire(Priority::Webhook);
        let pausing = async {
            advance(Duration::from_secs(50)).await;
            budget.pause(Duration::from_secs(100));
        };
        tokio::join!(waiting, pausing);
        assert!(clock.now() >= start + TimeDelta::seconds(150));
    }

    #[tokio::test(start_paused = true)]
    async fn webhooks_go_first_and_a_sweep_is_never_starved() {
        let (budget, _clock, _metrics) = budget(1);
        budget.acquire(Priority::Webhook).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let tasks = TaskTracker::new();
        let lines = [(Priority::Sweep, 3), (Priority::Webhook, 25)];
        for (priority, number) in lines.into_iter().flat_map(|(priority, n)| (0..n).map(move |i| (priority, i))) {
            let (budget, order) = (budget.clone(), Arc::clone(&order));
            tasks.spawn(async move {
                budget.acquire(priority).await;
                order.lock().unwrap().push((priority, number));
            });
            tokio::task::yield_now().await;
        }
        tasks.close();
        tasks.wait().await;
        let order = order.lock().unwrap().clone();
        let of = |wanted| order.iter().filter(move |(priority, _)| *priority == wanted).map(|(_, number)| *number);
        assert!(of(Priority::Webhook).eq(0..25), "{order:?}");
        assert!(of(Priority::Sweep).eq(0..3), "{order:?}");
        let turns: Vec<usize> =
            (1..).zip(&order).filter(|(_, (priority, _))| *priority == Priority::Sweep).map(|(turn, _)| turn).collect();
        assert_eq!(turns, [10, 20, 28]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_away_neither_spends_nor_holds_up() {
        let (budget, _clock, _metrics) = budget(1);
        budget.acquire(Priority::Webhook).await;
        {
            let mut first = pin!(budget.acquire(Priority::Webhook));
            let mut second = pin!(budget.acquire(Priority::Webhook));
            assert!(timeout(Duration::from_secs(1), first.as_mut()).await.is_err());
            assert!(timeout(Duration::from_secs(1), second.as_mut()).await.is_err());
        }
        advance(MINUTE).await;
        assert_eq!(budget.state().spent, 0);
        assert!(is_free(&budget).await);
        assert!(!is_free(&budget).await);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_behind_one_that_goes_away_moves_up() {
        let (budget, _clock, _metrics) = budget(1);
        budget.acquire(Priority::Webhook).await;
        let first = timeout(Duration::from_secs(30), budget.acquire(Priority::Webhook));
        let second = timeout(MINUTE, budget.acquire(Priority::Sweep));
        let (first, second) = tokio::join!(first, second);
        assert!(first.is_err());
        assert!(second.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_restart_does_not_spend_twice() {
        let (before, clock, metrics) = budget(2);
        before.acquire(Priority::Webhook).await;
        before.pause(Duration::from_secs(5));
        advance(Duration::from_secs(6)).await;
        let stored = serde_json::to_string(&before.state()).unwrap();

        let after = Budget::new(NonZeroU16::new(2).unwrap(), clock, metrics);
        after.restore(&serde_json::from_str(&stored).unwrap());
        assert_eq!(after.state(), before.state());
        assert!(is_free(&after).await);
        assert!(!is_free(&after).await);
        advance(MINUTE).await;
        assert!(is_free(&after).await);
    }
}
