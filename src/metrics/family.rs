//! What a series is made of: numbers that any thread counts without waiting, resolved before anybody counts.

use std::{
    collections::BTreeMap,
    marker::PhantomData,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prometheus::proto::{self, LabelPair, Metric};

use crate::metrics::{
    counter::Counter,
    label::{Endpoint, Label},
    observed::Observers,
};

/// What kind of series it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows while the process lives.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How long things took, counted by how long.
    Histogram,
}

/// What a family is made from.
#[derive(Debug)]
pub(super) struct Making<'a> {
    pub(super) name: &'static str,
    pub(super) bounds: &'static [f64],
    pub(super) observers: &'a Observers,
}

/// A family of series of one name.
pub(super) trait Family {
    const KIND: Kind = Kind::Counter;

    fn make(making: &Making<'_>) -> Self;

    fn labels() -> Vec<&'static str>;

    fn metrics(&self) -> Vec<Metric>;
}

impl Family for Counter {
    fn make(_: &Making<'_>) -> Self {
        Self::default()
    }

    fn labels() -> Vec<&'static str> {
        Vec::new()
    }

    fn metrics(&self) -> Vec<Metric> {
        vec![counted(&[], self.get())]
    }
}

/// Seconds that only grow.
#[derive(Debug, Default)]
pub struct Seconds(Counter);

impl Seconds {
    /// Adds a time.
    pub fn add(&self, time: Duration) {
        self.0.add(nanos(time));
    }

    /// Returns the whole time.
    pub fn get(&self) -> Duration {
        Duration::from_nanos(self.0.get())
    }
}

impl Family for Seconds {
    fn make(_: &Making<'_>) -> Self {
        Self::default()
    }

    fn labels() -> Vec<&'static str> {
        Vec::new()
    }

    fn metrics(&self) -> Vec<Metric> {
        vec![counter(&[], self.get().as_secs_f64())]
    }
}

/// A counter for each value of a label.
#[derive(Debug)]
pub struct Counters<L> {
    counters: Box<[Counter]>,
    label: PhantomData<L>,
}

impl<L: Label> Counters<L> {
    /// Counts one more.
    pub fn count(&self, value: L) {
        self.add(value, 1);
    }

    /// Counts `n` more.
    pub fn add(&self, value: L, n: u64) {
        if let Some(counter) = self.counters.get(value.place()) {
            counter.add(n);
        }
    }

    /// Returns the number.
    pub fn get(&self, value: L) -> u64 {
        self.counters.get(value.place()).map_or(0, Counter::get)
    }
}

impl<L: Label> Family for Counters<L> {
    fn make(_: &Making<'_>) -> Self {
        Self { counters: L::all().map(|_| Counter::default()).collect(), label: PhantomData }
    }

    fn labels() -> Vec<&'static str> {
        vec![L::NAME]
    }

    fn metrics(&self) -> Vec<Metric> {
        L::all().map(|value| counted(&[(L::NAME, value.word())], self.get(value))).collect()
    }
}

/// A counter for each pair of the values of two labels.
#[derive(Debug)]
pub struct CounterPairs<A, B> {
    rows: Box<[Counters<B>]>,
    label: PhantomData<A>,
}

impl<A: Label, B: Label> CounterPairs<A, B> {
    /// Counts one more.
    pub fn count(&self, first: A, second: B) {
        if let Some(row) = self.rows.get(first.place()) {
            row.count(second);
        }
    }

    /// Counts `n` more.
    pub fn add(&self, first: A, second: B, n: u64) {
        if let Some(row) = self.rows.get(first.place()) {
            row.add(second, n);
        }
    }

    /// Returns the number.
    pub fn get(&self, first: A, second: B) -> u64 {
        self.rows.get(first.place()).map_or(0, |row| row.get(second))
    }

    /// Returns the sum over all values of the first label.
    pub fn all(&self, second: B) -> u64 {
        self.rows.iter().map(|row| row.get(second)).sum()
    }
}

impl<A: Label, B: Label> Family for CounterPairs<A, B> {
    fn make(making: &Making<'_>) -> Self {
        Self { rows: A::all().map(|_| Counters::make(making)).collect(), label: PhantomData }
    }

    fn labels() -> Vec<&'static str> {
        vec![A::NAME, B::NAME]
    }

    fn metrics(&self) -> Vec<Metric> {
        let pairs = A::all().flat_map(|first| B::all().map(move |second| (first, second)));
        pairs
            .map(|(first, second)| {
                counted(&[(A::NAME, first.word()), (B::NAME, second.word())], self.get(first, second))
            })
            .collect()
    }
}

/// Requests by what was asked for and the status of the answer: Notion decides which statuses there are.
#[derive(Debug)]
pub struct Requests(Mutex<BTreeMap<(Endpoint, Option<u16>), u64>>);

impl Requests {
    /// Statuses that are shown before they were ever seen, so that the first one is an increase.
    const SHOWN: [Option<u16>; 10] =
        [None, Some(200), Some(400), Some(401), Some(403), Some(404), Some(429), Some(500), Some(503), Some(529)];

    /// Counts one more; `None` is a request without an answer.
    pub fn count(&self, endpoint: Endpoint, status: Option<u16>) {
        // What is no status of HTTP is none.
        let status = status.filter(|status| (100..600).contains(status));
        *self.lock().entry((endpoint, status)).or_default() += 1;
    }

    /// Returns the number.
    pub fn get(&self, endpoint: Endpoint, status: Option<u16>) -> u64 {
        self.lock().get(&(endpoint, status)).copied().unwrap_or_default()
    }

    /// Returns how many were answered with this status, whatever was asked for.
    pub fn all(&self, status: Option<u16>) -> u64 {
        Endpoint::all().map(|endpoint| self.get(endpoint, status)).sum()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(Endpoint, Option<u16>), u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Family for Requests {
    fn make(_: &Making<'_>) -> Self {
        let shown = Endpoint::all().flat_map(|endpoint| Self::SHOWN.map(|status| ((endpoint, status), 0)));
        Self(Mutex::new(shown.collect()))
    }

    fn labels() -> Vec<&'static str> {
        vec![Endpoint::NAME, "status"]
    }

    fn metrics(&self) -> Vec<Metric> {
        let counts = self.lock().clone();
        counts
            .into_iter()
            .map(|((endpoint, status), count)| {
                let status = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
                counted(&[(Endpoint::NAME, endpoint.word()), ("status", &status)], count)
            })
            .collect()
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "a counter that is off by one in 10^16 is right enough")]
fn counted(labels: &[(&str, &str)], count: u64) -> Metric {
    counter(labels, count as f64)
}

/// Makes one series of a counter.
pub(super) fn counter(labels: &[(&str, &str)], value: f64) -> Metric {
    let mut metric = Metric::from_label(labels.iter().map(|(name, word)| pair(name, word)).collect());
    let mut counter = proto::Counter::default();
    counter.set_value(value);
    metric.set_counter(counter);
    metric
}

/// Makes a label of a series.
pub(super) fn pair(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}
