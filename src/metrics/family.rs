//! What a series is made of: numbers that any thread counts without waiting, resolved before anybody counts.

use std::{
    collections::BTreeMap,
    marker::PhantomData,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus::proto::{self, LabelPair, Metric};

use crate::metrics::{
    label::{Endpoint, Label},
    observed::{Observed, Observers},
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

/// How long things took.
#[derive(Debug)]
pub struct Histogram {
    name: &'static str,
    label: Option<(&'static str, &'static str)>,
    bounds: &'static [f64],
    /// How many took at most as long as each bound, and longer than the one before; the last one: longer than all.
    buckets: Box<[Counter]>,
    sum: Seconds,
    observers: Observers,
}

impl Histogram {
    fn of(making: &Making<'_>, label: Option<(&'static str, &'static str)>) -> Self {
        Self {
            name: making.name,
            label,
            bounds: making.bounds,
            buckets: (0..=making.bounds.len()).map(|_| Counter::default()).collect(),
            sum: Seconds::default(),
            observers: making.observers.clone(),
        }
    }

    /// Counts something that took this long.
    pub fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let place = self.bounds.iter().position(|bound| seconds <= *bound).unwrap_or(self.bounds.len());
        if let Some(bucket) = self.buckets.get(place) {
            bucket.count();
        }
        self.sum.add(took);
        self.observers.tell(|| Observed { name: self.name, label: self.label, seconds });
    }

    /// Returns how many were counted.
    pub fn observed(&self) -> u64 {
        self.buckets.iter().map(Counter::get).sum()
    }

    fn metric(&self) -> Metric {
        let mut histogram = proto::Histogram::default();
        let mut count = 0;
        let mut buckets = Vec::with_capacity(self.bounds.len());
        for (nth, counter) in self.buckets.iter().enumerate() {
            count += counter.get();
            if let Some(bound) = self.bounds.get(nth) {
                let mut bucket = proto::Bucket::default();
                bucket.set_upper_bound(*bound);
                bucket.set_cumulative_count(count);
                buckets.push(bucket);
            }
        }
        histogram.set_bucket(buckets);
        histogram.set_sample_count(count);
        histogram.set_sample_sum(self.sum.get().as_secs_f64());
        let mut metric = Metric::from_label(self.label.iter().map(|(name, word)| pair(name, word)).collect());
        metric.set_histogram(histogram);
        metric
    }
}

impl Family for Histogram {
    const KIND: Kind = Kind::Histogram;

    fn make(making: &Making<'_>) -> Self {
        Self::of(making, None)
    }

    fn labels() -> Vec<&'static str> {
        Vec::new()
    }

    fn metrics(&self) -> Vec<Metric> {
        vec![self.metric()]
    }
}

/// How long things took, for each value of a label.
#[derive(Debug)]
pub struct Histograms<L> {
    histograms: Box<[Histogram]>,
    label: PhantomData<L>,
}

impl<L: Label> Histograms<L> {
    /// Counts something that took this long.
    pub fn observe(&self, value: L, took: Duration) {
        if let Some(histogram) = self.histograms.get(value.place()) {
            histogram.observe(took);
        }
    }

    /// Returns how many were counted.
    pub fn observed(&self, value: L) -> u64 {
        self.histograms.get(value.place()).map_or(0, Histogram::observed)
    }
}

impl<L: Label> Family for Histograms<L> {
    const KIND: Kind = Kind::Histogram;

    fn make(making: &Making<'_>) -> Self {
        let histograms = L::all().map(|value| Histogram::of(making, Some((L::NAME, value.word()))));
        Self { histograms: histograms.collect(), label: PhantomData }
    }

    fn labels() -> Vec<&'static str> {
        vec![L::NAME]
    }

    fn metrics(&self) -> Vec<Metric> {
        self.histograms.iter().map(Histogram::metric).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_exactly_a_bound_counts_as_at_most_that() {
        let making = Making { name: "x", bounds: &[0.1, 1.0], observers: &Observers::default() };
        let histogram = Histogram::make(&making);
        for millis in [50, 100, 101, 1_000, 5_000] {
            histogram.observe(Duration::from_millis(millis));
        }
        let metric = histogram.metric();
        let shown = metric.get_histogram();
        let cumulative: Vec<_> = shown.get_bucket().iter().map(proto::Bucket::cumulative_count).collect();
        assert_eq!((cumulative, shown.get_sample_count()), (vec![2, 4], 5));
        assert!((shown.get_sample_sum() - 6.251).abs() < 1e-9);
    }
}
