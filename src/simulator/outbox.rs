//! What waits to be delivered, what mischief happens to it before, and what became of the rest.

use std::{collections::HashMap, mem, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use uuid::Uuid;

use crate::{
    model::event::EventKind,
    simulator::{aggregation::aggregate, event::Event},
};

/// As often as this an event is tried in all («EV»).
const ATTEMPTS_MAX: u8 = 8;

/// How a subscription delivers.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivering {
    /// The kinds that the operator ticked; `None` for all of them.
    pub kinds: Option<Vec<EventKind>>,
    /// Events of one entity within this time become one, or none.
    pub aggregate: Option<Duration>,
    /// How many of a hundred events are lost on the way, although «at most once» is only the aim.
    pub lost_percent: u8,
    /// How many of a hundred events come twice.
    pub doubled_percent: u8,
    /// Whether what waits is delivered in any order.
    pub shuffled: bool,
    /// Events wait up to this long before their first attempt.
    pub delay_max: Duration,
    /// The wait before the second attempt; it doubles from there. Notion's own reaches about a day.
    pub backoff: Duration,
    /// An endpoint that has not answered by then has not acknowledged.
    pub timeout: Duration,
    /// As many deliveries run at once.
    pub at_once: usize,
}

impl Default for Delivering {
    /// Everything, in order, one by one, without mischief.
    fn default() -> Self {
        Self {
            kinds: None,
            aggregate: None,
            lost_percent: 0,
            doubled_percent: 0,
            shuffled: false,
            delay_max: Duration::ZERO,
            backoff: Duration::from_millis(200),
            timeout: Duration::from_secs(10),
            at_once: 1,
        }
    }
}

/// What was acknowledged of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// The event.
    pub event: Event,
    /// How often it was; more than once where it came twice.
    pub times: u32,
    /// When it first was.
    pub at: DateTime<Utc>,
}

/// The events of one subscription.
#[derive(Debug)]
pub(crate) struct Outbox {
    manner: Delivering,
    rng: Rng,
    /// Told, but still open to aggregation.
    told: Vec<Event>,
    waiting: Vec<Waiting>,
    /// How many were taken out and not written down yet.
    on_their_way: usize,
    pub(crate) acknowledged: HashMap<Uuid, Acknowledged>,
    pub(crate) lost: Vec<Event>,
    pub(crate) given_up: Vec<Event>,
}

/// An attempt that is to be made.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub(crate) event: Event,
    pub(crate) attempt: u8,
    due: DateTime<Utc>,
}

/// Which of what waits is delivered.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Which {
    Everything,
    Some(usize),
    Due,
}

impl Outbox {
    pub(crate) fn new(manner: Delivering, seed: u64) -> Self {
        Self {
            manner,
            rng: Rng::with_seed(seed),
            told: Vec::new(),
            waiting: Vec::new(),
            on_their_way: 0,
            acknowledged: HashMap::new(),
            lost: Vec::new(),
            given_up: Vec::new(),
        }
    }

    /// Takes in what the workspace has told, and takes out what is to be delivered now.
    pub(crate) fn take(&mut self, told: Vec<Event>, which: Which, now: DateTime<Utc>) -> Vec<Waiting> {
        self.told.extend(told);
        self.close_windows(which, now);
        if self.manner.shuffled {
            self.rng.shuffle(&mut self.waiting);
        }
        let taken: Vec<_> = match which {
            Which::Everything => mem::take(&mut self.waiting),
            Which::Some(n) => self.waiting.drain(..n.min(self.waiting.len())).collect(),
            Which::Due => self.waiting.extract_if(.., |waiting| waiting.due <= now).collect(),
        };
        self.on_their_way += taken.len();
        taken
    }

    /// Writes down what became of an attempt; any 2xx acknowledges.
    pub(crate) fn note(&mut self, made: &Waiting, status: Option<u16>, now: DateTime<Utc>) {
        self.on_their_way = self.on_their_way.saturating_sub(1);
        let event = made.event.clone();
        if status.is_some_and(|status| (200..300).contains(&status)) {
            let first = Acknowledged { event, times: 0, at: now };
            self.acknowledged.entry(made.event.id).or_insert(first).times += 1;
        } else if made.attempt >= ATTEMPTS_MAX {
            self.given_up.push(event);
        } else {
            let wait = self.manner.backoff * 2_u32.pow(u32::from(made.attempt) - 1);
            self.waiting.push(Waiting { event, attempt: made.attempt + 1, due: now + span(wait) });
        }
    }

    /// Returns when something is due next.
    pub(crate) fn next_due(&self) -> Option<DateTime<Utc>> {
        let window = span(self.manner.aggregate.unwrap_or_default());
        let closing = self.told.iter().map(|event| event.at + window);
        self.waiting.iter().map(|waiting| waiting.due).chain(closing).min()
    }

    /// Returns how much waits, first or again, or is on its way.
    pub(crate) const fn len(&self) -> usize {
        self.told.len() + self.waiting.len() + self.on_their_way
    }

    /// Makes deliveries of what was told: aggregated, sorted out, lost, doubled and delayed.
    fn close_windows(&mut self, which: Which, now: DateTime<Utc>) {
        let mut events = mem::take(&mut self.told);
        if let Some(window) = self.manner.aggregate {
            // Whoever delivers without regard to the time does not wait for a window either.
            let open_since = matches!(which, Which::Due).then(|| now - span(window));
            (events, self.told) = aggregate(events, window, open_since);
        }
        for event in events {
            if self.manner.kinds.as_ref().is_some_and(|kinds| !kinds.contains(&event.kind)) {
                continue;
            }
            if self.rng.u8(..100) < self.manner.lost_percent {
                self.lost.push(event);
                continue;
            }
            let copies = if self.rng.u8(..100) < self.manner.doubled_percent { 2 } else { 1 };
            for _ in 0..copies {
                let due = now + span(self.manner.delay_max.mul_f64(self.rng.f64()));
                self.waiting.push(Waiting { event: event.clone(), attempt: 1, due });
            }
        }
    }
}

fn span(time: Duration) -> TimeDelta {
    TimeDelta::from_std(time).unwrap_or_default()
}
