//! The rules of the budget, as plain data that is told the time.

use std::{collections::VecDeque, num::NonZeroU16, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};

use crate::notion::{Priority, budget::BudgetState, failure::RETRY_AFTER_MAX};

/// How long a grant counts: Notion's 60 s and one more, for requests that travel unequally long.
const COUNTS_FOR: TimeDelta = TimeDelta::seconds(61);

/// So many webhook grants in a row pass over a waiting sweep, and then it is the sweep's turn.
const PASSED_OVER_MAX: u8 = 9;

/// What was granted, and who waits.
#[derive(Debug)]
pub(crate) struct Ledger {
    limit: NonZeroU16,
    /// When each request that still counts was granted, oldest first.
    grants: VecDeque<DateTime<Utc>>,
    paused_until: Option<DateTime<Utc>>,
    webhooks: VecDeque<Ticket>,
    sweeps: VecDeque<Ticket>,
    /// How many webhook grants have passed over the waiting sweeps.
    passed_over: u8,
    tickets: u64,
    /// The last time that was told.
    told: DateTime<Utc>,
}

/// A place in the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    number: u64,
    priority: Priority,
}

/// Whether a ticket has its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It had: the request is counted, the ticket is used up.
    Granted,
    /// It is the first of the line, and there is nothing to give before this.
    FirstAt(DateTime<Utc>),
    /// Another ticket goes before it.
    Behind,
}

impl Ledger {
    /// Returns a ledger without grants.
    pub(crate) const fn new(limit: NonZeroU16, now: DateTime<Utc>) -> Self {
        Self {
            limit,
            grants: VecDeque::new(),
            paused_until: None,
            webhooks: VecDeque::new(),
            sweeps: VecDeque::new(),
            passed_over: 0,
            tickets: 0,
            told: now,
        }
    }

    /// Goes to the end of the line of `priority`.
    pub(crate) fn line_up(&mut self, priority: Priority) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket { number: self.tickets, priority };
        self.line(priority).push_back(ticket);
        ticket
    }

    /// Counts a request, if it is this ticket's turn and one may be sent.
    pub(crate) fn try_take(&mut self, ticket: Ticket, now: DateTime<Utc>) -> Turn {
        self.tell(now);
        if self.first() != Some(ticket) {
            return Turn::Behind;
        }
        if let Some(at) = self.next_grant_at() {
            return Turn::FirstAt(at);
        }
        self.leave(ticket);
        self.passed_over = match ticket.priority {
            Priority::Webhook if !self.sweeps.is_empty() => self.passed_over.saturating_add(1),
            Priority::Webhook | Priority::Sweep => 0,
        };
        self.grants.push_back(now);
        Turn::Granted
    }

    /// Goes out of the line, if it is still in it.
    pub(crate) fn leave(&mut self, ticket: Ticket) {
        self.line(ticket.priority).retain(|other| *other != ticket);
    }

    /// Grants nothing before `retry_after` from now, nor before an earlier pause ends.
    pub(crate) fn pause(&mut self, retry_after: Duration, now: DateTime<Utc>) {
        self.tell(now);
        let until = TimeDelta::from_std(retry_after).ok().and_then(|wait| now.checked_add_signed(wait));
        self.paused_until = self.paused_until.max(Some(until.unwrap_or(DateTime::<Utc>::MAX_UTC)));
    }

    /// Returns what is spent and until when.
    pub(crate) fn state(&mut self, now: DateTime<Utc>) -> BudgetState {
        self.tell(now);
        BudgetState {
            limit: self.limit.get(),
            spent: self.grants.len(),
            resets_at: self.grants.back().map(|last| *last + COUNTS_FOR),
            next_grant_at: self.next_grant_at(),
            paused_until: self.paused_until,
        }
    }

    /// Adds what `state` has spent, as if all of it were its last grant; what it says of a time farther ahead than it
    /// could have meant is cut, since then the clock was set.
    pub(crate) fn restore(&mut self, state: &BudgetState, now: DateTime<Utc>) {
        self.tell(now);
        let earliest = DateTime::<Utc>::MIN_UTC;
        let granted_at =
            state.resets_at.map_or(now, |at| at.checked_sub_signed(COUNTS_FOR).unwrap_or(earliest).min(now));
        // More than the limit stops everything just as long as the limit does.
        let spent = state.spent.min(usize::from(self.limit.get()));
        self.grants.extend(std::iter::repeat_n(granted_at, spent));
        self.grants.make_contiguous().sort_unstable();
        let latest = TimeDelta::from_std(RETRY_AFTER_MAX).ok().and_then(|wait| now.checked_add_signed(wait));
        let paused_until = state.paused_until.map(|until| latest.map_or(until, |latest| until.min(latest)));
        self.paused_until = self.paused_until.max(paused_until);
        self.tell(now);
    }

    /// Forgets what no longer counts. A clock that was set back takes everything along, so that nobody waits for the
    /// difference; one that was set forward cannot be told from time that passed.
    fn tell(&mut self, now: DateTime<Utc>) {
        let set_back_by = self.told - now;
        if set_back_by > TimeDelta::zero() {
            self.grants.iter_mut().chain(self.paused_until.as_mut()).for_each(|at| *at -= set_back_by);
        }
        self.told = now;
        self.paused_until = self.paused_until.filter(|until| *until > now);
        while self.grants.front().is_some_and(|oldest| *oldest + COUNTS_FOR <= now) {
            self.grants.pop_front();
        }
    }

    /// When the next request may be sent; `None` where it may be at once.
    fn next_grant_at(&self) -> Option<DateTime<Utc>> {
        let in_the_way = self.grants.len().checked_sub(usize::from(self.limit.get()));
        let free_at = in_the_way.and_then(|index| self.grants.get(index)).map(|grant| *grant + COUNTS_FOR);
        free_at.max(self.paused_until)
    }

    /// Whose turn it is.
    fn first(&self) -> Option<Ticket> {
        let (webhook, sweep) = (self.webhooks.front(), self.sweeps.front());
        let (first, second) = if self.passed_over < PASSED_OVER_MAX { (webhook, sweep) } else { (sweep, webhook) };
        first.or(second).copied()
    }

    const fn line(&mut self, priority: Priority) -> &mut VecDeque<Ticket> {
        match priority {
            Priority::Webhook => &mut self.webhooks,
            Priority::Sweep => &mut self.sweeps,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn start() -> DateTime<Utc> {
        "2026-09-01T10:00:00Z".parse().unwrap()
    }

    fn ledger(limit: u16) -> Ledger {
        Ledger::new(NonZeroU16::new(limit).unwrap(), start())
    }

    /// Grants as much as there is to give now, and says to whom.
    fn grant_all(ledger: &mut Ledger, now: DateTime<Utc>) -> Vec<Priority> {
        let mut granted = Vec::new();
        while let Some(ticket) = ledger.first() {
            match ledger.try_take(ticket, now) {
                Turn::Granted => granted.push(ticket.priority),
                Turn::FirstAt(_) => break,
                Turn::Behind => panic!("the first is not behind anybody"),
            }
        }
        granted
    }

    #[test]
    fn every_tenth_grant_goes_to_a_waiting_sweep() {
        let mut ledger = ledger(180);
        for _ in 0..60 {
            ledger.line_up(Priority::Webhook);
        }
        for _ in 0..5 {
            ledger.line_up(Priority::Sweep);
        }
        let granted = grant_all(&mut ledger, start());
        let sweeps: Vec<usize> =
            (1..).zip(&granted).filter(|(_, priority)| **priority == Priority::Sweep).map(|(n, _)| n).collect();
        assert_eq!(sweeps, [10, 20, 30, 40, 50]);
        assert_eq!(granted.len(), 65);
    }

    #[test]
    fn a_sweep_that_left_does_not_hold_up_a_webhook() {
        let mut ledger = ledger(180);
        let sweep = ledger.line_up(Priority::Sweep);
        for _ in 0..12 {
            ledger.line_up(Priority::Webhook);
        }
        for _ in 0..9 {
            let first = ledger.first().unwrap();
            assert_eq!(ledger.try_take(first, start()), Turn::Granted);
        }
        assert_eq!(ledger.first(), Some(sweep));
        ledger.leave(sweep);
        assert_eq!(grant_all(&mut ledger, start()), [Priority::Webhook; 3]);
    }

    #[test]
    fn a_clock_that_is_set_back_makes_nobody_wait_longer() {
        let mut ledger = ledger(1);
        ledger.line_up(Priority::Webhook);
        assert_eq!(grant_all(&mut ledger, start()).len(), 1);
        ledger.pause(Duration::from_secs(90), start());
        let set_back = start() - TimeDelta::hours(1);
        let state = ledger.state(set_back);
        assert_eq!(state.resets_at, Some(set_back + COUNTS_FOR));
        assert_eq!(state.paused_until, Some(set_back + TimeDelta::seconds(90)));
    }

    #[test]
    fn a_state_from_another_time_stops_nobody_for_ever() {
        let mut ledger = ledger(2);
        let far = start() + TimeDelta::days(4000);
        let state = BudgetState {
            limit: 600,
            spent: usize::MAX,
            resets_at: Some(far),
            next_grant_at: Some(far),
            paused_until: Some(far),
        };
        ledger.restore(&state, start());
        let state = ledger.state(start());
        assert_eq!((state.limit, state.spent), (2, 2));
        assert_eq!(state.resets_at, Some(start() + COUNTS_FOR));
        assert_eq!(state.paused_until, Some(start() + RETRY_AFTER_MAX));
    }

    #[test]
    fn a_state_from_an_impossible_time_is_taken_for_the_nearest_possible_one() {
        for (at, spent) in [(DateTime::<Utc>::MIN_UTC, 0), (DateTime::<Utc>::MAX_UTC, 2)] {
            let mut ledger = ledger(2);
            let state = BudgetState {
                limit: 2,
                spent: 2,
                resets_at: Some(at),
                next_grant_at: Some(at),
                paused_until: Some(at),
            };
            ledger.restore(&state, start());
            assert_eq!(ledger.state(start()).spent, spent, "{at}");
            let paused_until = ledger.state(start()).paused_until;
            assert_eq!(paused_until, (at > start()).then(|| start() + RETRY_AFTER_MAX), "{at}");
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        LineUp(Priority),
        Leave(usize),
        Grant,
        Pass(i64),
        Pause(u64),
        Restart,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => prop_oneof![Just(Priority::Webhook), Just(Priority::Sweep)].prop_map(Step::LineUp),
            1 => (0_usize..4).prop_map(Step::Leave),
            4 => Just(Step::Grant),
            4 => (0_i64..30_000).prop_map(Step::Pass),
            1 => (0_u64..100).prop_map(Step::Pause),
            1 => Just(Step::Restart),
        ]
    }

    proptest! {
        #[test]
        fn no_minute_holds_more_than_the_limit_and_no_grant_falls_into_a_pause(
            limit in 1_u16..5,
            steps in prop::collection::vec(step(), 1..200),
        ) {
            let mut ledger = ledger(limit);
            let (mut now, mut granted, mut paused_until) = (start(), Vec::new(), start());
            for step in steps {
                match step {
                    Step::LineUp(priority) => drop(ledger.line_up(priority)),
                    Step::Leave(index) => {
                        if let Some(ticket) = ledger.webhooks.get(index).copied() {
                            ledger.leave(ticket);
                        }
                    }
                    Step::Grant => {
                        let grants = grant_all(&mut ledger, now).len();
                        prop_assert!(grants == 0 || paused_until <= now);
                        granted.extend(std::iter::repeat_n(now, grants));
                    }
                    Step::Pass(milliseconds) => now += TimeDelta::milliseconds(milliseconds),
                    Step::Pause(seconds) => {
                        ledger.pause(Duration::from_secs(seconds), now);
                        paused_until = paused_until.max(now + Duration::from_secs(seconds));
                    }
                    Step::Restart => {
                        let state = ledger.state(now);
                        let mut next = Ledger::new(ledger.limit, now);
                        next.restore(&state, now);
                        ledger = next;
                    }
                }
            }
            for (from, first) in granted.iter().enumerate() {
                let within = granted[from..].iter().take_while(|at| **at - *first < TimeDelta::minutes(1)).count();
                prop_assert!(within <= usize::from(limit), "{within} grants in the minute from {first}");
            }
        }

        #[test]
        fn whoever_waits_is_granted_as_soon_as_the_ledger_says(limit in 1_u16..5, waiting in 1_usize..20) {
            let mut ledger = ledger(limit);
            for _ in 0..waiting {
                ledger.line_up(Priority::Sweep);
            }
            let (mut now, mut granted, mut last_grant) = (start(), 0, start());
            while granted < waiting {
                granted += grant_all(&mut ledger, now).len();
                last_grant = now;
                now = ledger.state(now).next_grant_at.unwrap_or(now);
            }
            let rounds = (waiting - 1) / usize::from(limit);
            prop_assert_eq!(last_grant, start() + COUNTS_FOR * i32::try_from(rounds).unwrap());
        }
    }
}
