//! The inbox: durable first, then wake.
//!
//! An accepted event is a row before anybody hears of it. Then its subject is put into the arrivals, from which the
//! worker fills its queue. Arrivals are only a wake-up: they live in memory, are bounded, and where they overflow or
//! are lost in a crash the worker finds the same subjects in the store.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Notify;

use crate::{
    model::event::Subject,
    store::{Appended, NewEvent, Seq, Store, StoreError},
};

/// As many subjects can arrive before the worker takes them up. Beyond that it is told to ask the store.
const ARRIVALS_MAX: usize = 10_000;

/// The durable log of accepted events, with a bell.
#[derive(Debug, Clone)]
pub struct Inbox<S> {
    store: S,
    bell: Arc<Bell>,
}

#[derive(Debug, Default)]
struct Bell {
    arrivals: Mutex<Arrivals>,
    rung: Notify,
}

/// What has arrived since the worker last looked.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// Each subject with the newest event about it.
    pub subjects: HashMap<Subject, Seq>,
    /// Whether there is more than that: only the store knows what.
    pub overflowed: bool,
}

impl<S: Store> Inbox<S> {
    /// Opens the inbox over `store`.
    pub fn new(store: S) -> Self {
        Self { store, bell: Arc::default() }
    }

    /// Returns the store that holds the events.
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// Accepts an event: when this returns, it is on the disk, and only then does the worker hear of it.
    pub async fn accept(&self, event: NewEvent) -> Result<Appended, StoreError> {
        let subject = event.subject;
        let appended = self.store.append(event).await?;
        if let (Some(subject), Appended::Waiting(seq) | Appended::Reopened(seq)) = (subject, appended) {
            self.bell.ring(subject, seq);
        }
        Ok(appended)
    }

    /// Tells the worker that events may wait which did not come through this process.
    pub fn wake(&self) {
        self.bell.lock().overflowed = true;
        self.bell.rung.notify_one();
    }

    /// Waits until something has arrived, and takes it.
    pub async fn arrivals(&self) -> Arrivals {
        loop {
            // Interest is registered before the look, so that nothing slips through between the two.
            let rung = self.bell.rung.notified();
            let arrivals = std::mem::take(&mut *self.bell.lock());
            if arrivals != Arrivals::default() {
                return arrivals;
            }
            rung.await;
        }
    }
}

impl Bell {
    fn ring(&self, subject: Subject, seq: Seq) {
        {
            let mut arrivals = self.lock();
            if arrivals.subjects.len() < ARRIVALS_MAX || arrivals.subjects.contains_key(&subject) {
                let newest = arrivals.subjects.entry(subject).or_insert(seq);
                *newest = seq.max(*newest);
            } else {
                arrivals.overflowed = true;
            }
        }
        self.rung.notify_one();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Arrivals> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
