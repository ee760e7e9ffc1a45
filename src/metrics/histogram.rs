//! How long things took, counted by how long.

use std::{marker::PhantomData, time::Duration};

use prometheus::proto::{self, Metric};

use crate::metrics::{
    counter::Counter,
    family::{Family, Kind, Making, Seconds, pair},
    label::Label,
    observed::{Observed, Observers},
};

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
