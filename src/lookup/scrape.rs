//! One look at every series, for whoever watches: what this process counts, what the store says, and how the parts are.
//!
//! Whoever asks while the store is read shares the next reading, so that a crowd costs two. What goes through whole tables is
//! counted again only once it is fifty times as old as counting took, and then at most a minute old: it takes a fiftieth
//! of one processor at the very most, and where there is little to count it is as good as new.
//!
//! A store that does not answer keeps nobody waiting for longer than [`PATIENCE`], and at most one thread.

use std::{fmt, sync::Arc, time::Duration};

use prometheus::proto::MetricFamily;
use tokio::{sync::Mutex, task::spawn_blocking, time::Instant, time::timeout};
use tracing::warn;

pub use crate::lookup::figures::SourceNames;
use crate::{
    causes::told,
    lookup::{Lookup, figures},
    metrics::{
        Metrics,
        label::Part,
        process,
        state::{BUILD_INFO, Reading, STATSD_LEFT_OUT_TOTAL, STORE_READABLE},
    },
    store::{Store, StoreError},
};

/// How long the store is waited for. Prometheus gives up after 10 s.
const PATIENCE: Duration = Duration::from_secs(3);

/// Counts are as old as this many times what counting took.
const AGE_PER_COST: u32 = 50;

/// Counts are no older than this.
const AGE_MAX: Duration = Duration::from_mins(1);

/// Tells how the parts of the program are. May block on the disk for a moment.
pub type Parts = Box<dyn Fn(&mut Reading) + Send + Sync>;

/// Reads every series. Clones share what they read.
#[derive(Debug)]
pub struct Scrape<S>(Arc<Shared<S>>);

struct Shared<S> {
    lookup: Lookup<S>,
    metrics: Metrics,
    names: Arc<SourceNames>,
    parts: Parts,
    kept: Arc<Mutex<Kept>>,
}

/// What was read last.
#[derive(Debug, Default)]
struct Kept {
    begun_at: Option<Instant>,
    reading: Reading,
    counted: Option<Counted>,
}

#[derive(Debug)]
struct Counted {
    at: Instant,
    took: Duration,
    reading: Reading,
}

impl Counted {
    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < (self.took * AGE_PER_COST).min(AGE_MAX)
    }
}

/// What there was to see.
#[derive(Debug)]
pub struct Seen {
    /// What was read.
    pub reading: Reading,
    /// Why the store could not be read, if so.
    pub unread: Option<String>,
}

impl Seen {
    /// Makes what is there to see without a store.
    pub fn unread(why: String, parts: &Parts) -> Self {
        let mut reading = always(false);
        parts(&mut reading);
        Self { reading, unread: Some(why) }
    }
}

fn always(is_readable: bool) -> Reading {
    let mut reading = Reading::default();
    reading.whether(&STORE_READABLE, [], is_readable);
    reading.set(&BUILD_INFO, [env!("CARGO_PKG_VERSION")], 1.0);
    reading
}

impl<S> Clone for Scrape<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> fmt::Debug for Shared<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrape").field("names", &self.names).finish_non_exhaustive()
    }
}

impl<S: Store> Scrape<S> {
    /// Looks at what `metrics` counts, at the store of `lookup`, and at `parts`.
    pub fn new(lookup: Lookup<S>, metrics: Metrics, names: SourceNames, parts: Parts) -> Self {
        let kept = Arc::default();
        Self(Arc::new(Shared { lookup, metrics, names: Arc::new(names), parts, kept }))
    }

    /// Looks at the store of `lookup` alone, and at what nobody counts.
    pub fn alone(lookup: Lookup<S>) -> Self {
        Self::new(lookup, Metrics::default(), SourceNames::default(), Box::new(|_| ()))
    }

    /// Returns what counts.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Returns every series, in the order of the names.
    pub async fn families(&self) -> Vec<MetricFamily> {
        let mut seen = self.state().await;
        seen.reading.count(&STATSD_LEFT_OUT_TOTAL, [], self.0.metrics.left_out());
        process::read(&mut seen.reading);
        self.0.metrics.families(seen.reading)
    }

    /// Reads what is so whichever process did it.
    pub async fn state(&self) -> Seen {
        let stored = timeout(PATIENCE, self.stored()).await;
        let unread = match &stored {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(told(error)),
            Err(_elapsed) => Some(format!("the database did not answer within {} s", PATIENCE.as_secs())),
        };
        if let Some(why) = &unread {
            self.0.metrics.errors.count(Part::Store);
            warn!("cannot read how it stands, for those who watch: {why}");
        }
        let mut reading = stored.ok().and_then(Result::ok).unwrap_or_default();
        reading.extend(always(unread.is_none()));
        let shared = Arc::clone(&self.0);
        let parts = spawn_blocking(move || {
            let mut reading = Reading::default();
            (shared.parts)(&mut reading);
            reading
        });
        if let Ok(Ok(parts)) = timeout(PATIENCE, parts).await {
            reading.extend(parts);
        }
        Seen { reading, unread }
    }

    async fn stored(&self) -> Result<Reading, StoreError> {
        let asked_at = Instant::now();
        let mut kept = Arc::clone(&self.0.kept).lock_owned().await;
        if kept.begun_at.is_some_and(|begun_at| begun_at >= asked_at) {
            return Ok(kept.reading.clone());
        }
        let (names, now) = (Arc::clone(&self.0.names), self.0.lookup.clock.now());
        // Whoever is not waited for any more keeps its turn: the next one waits for it, and not on a thread of its own.
        let read = self.0.lookup.store().read(move |rows| {
            let begun_at = Instant::now();
            let mut reading = figures::at_once(rows, &names, now)?;
            if !kept.counted.as_ref().is_some_and(|counted| counted.is_fresh(begun_at)) {
                let at = Instant::now();
                let counts = figures::counted(rows, &names, now)?;
                kept.counted = Some(Counted { at, took: at.elapsed(), reading: counts });
            }
            if let Some(counted) = &kept.counted {
                reading.extend(counted.reading.clone());
            }
            (kept.begun_at, kept.reading) = (Some(begun_at), reading.clone());
            Ok(reading)
        });
        read.await
    }
}
