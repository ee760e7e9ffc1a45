//! One look at one subject, to its end: what it brought is stored, counted and told when it returns.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{debug, error, info, warn};

use crate::{
    cache::{Applied, Outcome},
    causes::told,
    metrics::label::{Part, Snapshot},
    model::event::Subject,
    notion::Notion,
    sources::error::AskError,
    store::{Delay, Rows, Store, StoreError},
    worker::{
        Report, Worker, WorkerHealth,
        apply::{self, Looked},
        queue::{Ended, Look},
        retry::{self, Verdict},
    },
};

/// How long a look is put off whose failure could not even be stored.
const UNSTORED_PAUSE: TimeDelta = TimeDelta::seconds(30);

impl<S: Store, N: Notion> Worker<S, N> {
    /// Looks at one subject; whatever comes of it is stored when this returns.
    pub(super) async fn look(&self, look: Look, health: &WorkerHealth) -> Ended {
        let began = tokio::time::Instant::now();
        let looked = match apply::page_of(look.subject) {
            Some(page) => self.look_at_page(page, look).await,
            None => self.look_at_sources(look).await,
        };
        let took = began.elapsed();
        if let Err(error @ AskError::Crowded) = &looked
            && let Verdict::RetryAt { due_at, attempts } =
                retry::verdict(error, look.attempts, self.clock.now(), fastrand::f64())
        {
            // It was not looked at: nobody was asked.
            return Ended::Again { due_at, attempts };
        }
        self.tell_health(health, looked.is_ok());
        let ended = match &looked {
            Ok(looked) => {
                self.note(look.subject, &looked.outcome, took);
                self.note_settled(&looked.settled);
                if let Some(tested) = &looked.tested {
                    self.note_test(tested);
                }
                looked.again_at.map_or(Ended::Done, |due_at| Ended::Again { due_at, attempts: 0 })
            }
            Err(error) => self.fail(look, error).await,
        };
        // Nobody may be watching.
        drop(self.reports.send(Report { subject: look.subject, looked: looked.map_err(|e| told(&e)), took }));
        ended
    }

    /// Says how Notion is. One source that works does not make up for another one that does not.
    pub(super) fn tell_health(&self, health: &WorkerHealth, is_well: bool) {
        match self.sources.problem() {
            Some(problem) => health.notion.failing(problem),
            None if is_well => health.notion.well(),
            None => (),
        }
    }

    /// Reads the schemas again, and settles the events that asked for it.
    async fn look_at_sources(&self, look: Look) -> Result<Looked, AskError> {
        let read = self.sources.resolve(self.store(), self.clock.now()).await;
        // What the others say counts, whichever cannot be read.
        self.learn().await?;
        read?;
        let settled = self.store().write(move |rows| rows.settle(look.subject, look.through)).await?;
        Ok(Looked { outcome: Applied::Unchanged.into(), again_at: None, event: None, tested: None, settled })
    }

    /// Stores what becomes of a look that failed.
    async fn fail(&self, look: Look, error: &AskError) -> Ended {
        let now = self.clock.now();
        self.metrics.looks_failed.count();
        let verdict = retry::verdict(error, look.attempts, now, fastrand::f64());
        let verdict = match look.subject {
            Subject::Page(_) => verdict,
            Subject::Sources => verdict.never_parked(now, look.attempts),
        };
        match verdict {
            Verdict::RetryAt { due_at, attempts } => {
                if matches!(error, AskError::Notion(_)) {
                    self.metrics.notion_retries.count();
                }
                warn!(
                    subject = %look.subject, attempts, "cannot look at {}, trying again in {} s: {}",
                    look.subject, (due_at - now).num_seconds(), told(error),
                );
                // A wait that everybody shares is not the event's own, and is not worth a write.
                if attempts != look.attempts {
                    let delay = Delay { due_at, attempts, reason: told(error) };
                    self.store_failure(look, move |rows| rows.put_off(look.subject, look.through, &delay)).await;
                }
                Ended::Again { due_at, attempts }
            }
            Verdict::Parked(reason) => self.park(look, reason).await,
            Verdict::Settled => Ended::Done,
        }
    }

    pub(super) async fn park(&self, look: Look, reason: String) -> Ended {
        error!(
            subject = %look.subject,
            "parked the events of {}: {reason}; `suppressd events retry` takes them up again", look.subject
        );
        self.metrics.looks_parked.count();
        self.metrics.errors.count(Part::Worker);
        if self.store_failure(look, move |rows| rows.park(look.subject, look.through, &reason)).await {
            return Ended::Done;
        }
        // It waits still, and whoever waits has a place in the queue.
        Ended::Again { due_at: self.clock.now() + UNSTORED_PAUSE, attempts: look.attempts }
    }

    /// Stores a failure; returns whether that succeeded.
    async fn store_failure<F>(&self, look: Look, work: F) -> bool
    where
        F: FnOnce(&mut dyn Rows) -> Result<u64, StoreError> + Send + 'static,
    {
        let stored = self.store().write(work).await;
        if let Err(error) = &stored {
            self.metrics.errors.count(Part::Worker);
            error!(subject = %look.subject, "cannot store why a look failed: {}", told(error));
        }
        stored.is_ok()
    }

    /// Counts how long events waited whose work is done.
    pub(super) fn note_settled(&self, received_at: &[DateTime<Utc>]) {
        let now = self.clock.now();
        for at in received_at {
            self.metrics.event_to_row.observe((now - *at).to_std().unwrap_or_default());
        }
    }

    /// Counts and logs what a look brought.
    pub(super) fn note(&self, subject: Subject, outcome: &Outcome, took: Duration) {
        let applied = outcome.applied;
        match applied {
            Applied::Inserted | Applied::Updated => self.metrics.snapshots.count(Snapshot::Changed),
            Applied::Unchanged | Applied::Doubtful => self.metrics.snapshots.count(Snapshot::Unchanged),
            Applied::Stale => self.metrics.snapshots.count(Snapshot::Stale),
            Applied::Removed => self.metrics.snapshots.count(Snapshot::Removed),
            Applied::Missing => self.metrics.snapshots.count(Snapshot::Missing),
        }
        let duration_ms = took.as_millis();
        let entries = outcome.changes.len();
        match applied {
            Applied::Missing => warn!(
                subject = %subject, duration_ms,
                "Notion answers 404 for {}: it is gone or no longer shared, its entries stay until they expire", subject
            ),
            quiet if apply::is_quiet(quiet) => {
                debug!(subject = %subject, outcome = applied.name(), duration_ms, "looked at {}", subject);
            }
            _ => info!(
                subject = %subject, outcome = applied.name(), entries.changed = entries, duration_ms,
                "applied {}: {}, {entries} entries changed", subject, applied.name()
            ),
        }
    }
}
