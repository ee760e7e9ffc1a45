//! The loop over the queue: several subjects at once, never one of them twice at once.
//!
//! Events reach it by two ways. What this process accepts rings the inbox's bell. What it did not hear of — events of
//! an earlier run, of another process, or more than the bell could carry — is read from the store, now and then without
//! being asked to. Either way it is the store that says what is still to do, so that a crash at any moment costs a look
//! and nothing else.

pub mod apply;
mod group;
pub mod live;
mod look;
mod looks;
pub mod planner;
mod prepare;
pub mod queue;
mod refresh;
pub mod retry;
pub mod sample;
mod seats;
mod whereabouts;

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use tokio::{
    select,
    sync::{Notify, broadcast, watch},
    task::JoinError,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    cache::Cache,
    causes::told,
    clock::Clock,
    inbox::{Arrivals, Inbox},
    lifecycle::health::Part,
    metrics::Metrics,
    model::event::Subject,
    notion::Notion,
    sources::{Resolved, Sources},
    store::{Seq, Store},
    worker::{
        apply::Looked,
        group::GroupEnded,
        live::Live,
        looks::{Looks, Taken},
        prepare::Prepared,
        queue::{Ended, Queue},
        seats::Seats,
    },
};

/// Subjects that the queue holds; what is beyond waits in the store. About 20 MB when full.
const QUEUE_CAPACITY: usize = 100_000;

/// Subjects that are read from the store at once: as many as the queue holds, so that none that are put off hide others.
const TAKEN_UP_AT_ONCE: u32 = 100_000;

/// The longest time between two turns of the loop, so that its silence is a sign.
const TURN_MAX: Duration = Duration::from_secs(5);

/// How often the store is asked what waits, whether anybody rang or not. It finds what nobody rang for: an event whose
/// sender hung up while it was synced is kept, and when it is sent again it is a duplicate.
const TAKEN_UP_EVERY: Duration = Duration::from_secs(10);

/// How long a stop waits for the looks that run. One that waits for its turn at Notion can wait for hours; it has
/// written nothing, and the next start begins it anew.
const FINISHED_WITHIN: Duration = Duration::from_secs(5);

/// Reports that a slow listener may be behind; beyond that it misses some.
const REPORTS_KEPT: usize = 1_024;

/// What the worker is to keep to.
#[derive(Debug, Clone, Copy)]
pub struct WorkerSettings {
    /// Subjects that are looked at at once; of each source, where there are several.
    pub concurrency: usize,
    /// How long after a look that Notion may not have been ready for the page is looked at once more.
    pub settle_after: TimeDelta,
    /// From how many pages on that are due they share a query; `None` where they never do.
    pub query_min: Option<usize>,
}

/// The worker. Clones share everything.
#[derive(Debug)]
pub struct Worker<S, N> {
    inbox: Inbox<S>,
    sources: Sources<N>,
    cache: Cache,
    clock: Clock,
    metrics: Metrics,
    settings: WorkerSettings,
    live: Arc<Live>,
    seats: Seats,
    reports: broadcast::Sender<Report>,
    hastened: Arc<Notify>,
}

impl<S: Clone, N> Clone for Worker<S, N> {
    fn clone(&self) -> Self {
        Self {
            inbox: self.inbox.clone(),
            sources: self.sources.clone(),
            cache: self.cache.clone(),
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            settings: self.settings,
            live: Arc::clone(&self.live),
            seats: self.seats.clone(),
            reports: self.reports.clone(),
            hastened: Arc::clone(&self.hastened),
        }
    }
}

/// What one look brought, for whoever watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What was looked at.
    pub subject: Subject,
    /// What it brought; the reason where it brought nothing.
    pub looked: Result<Looked, String>,
    /// How long it took.
    pub took: Duration,
}

/// How the worker says how it is.
#[derive(Debug)]
pub struct WorkerHealth {
    /// The loop itself.
    pub worker: Part,
    /// Whether Notion takes our tokens and shows the sources.
    pub notion: Part,
}

impl<S: Store, N: Notion> Worker<S, N> {
    /// Makes a worker of its parts.
    pub fn new(
        inbox: Inbox<S>,
        sources: Sources<N>,
        cache: Cache,
        (clock, metrics): (Clock, Metrics),
        settings: WorkerSettings,
    ) -> Self {
        let (reports, _) = broadcast::channel(REPORTS_KEPT);
        let seats = Seats::new(sources.count(), settings.concurrency);
        Self {
            inbox,
            sources,
            cache,
            clock,
            metrics,
            settings,
            live: Arc::default(),
            seats,
            reports,
            hastened: Arc::default(),
        }
    }

    /// Returns the queue in figures.
    pub fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live)
    }

    /// Returns what each look brings from now on.
    pub fn reports(&self) -> broadcast::Receiver<Report> {
        self.reports.subscribe()
    }

    /// Returns what makes the worker try at once whatever is put off, and read the sources anew: their tokens are others.
    pub fn hastened(&self) -> Arc<Notify> {
        Arc::clone(&self.hastened)
    }

    /// Returns what is known of the sources, now and whenever that changes.
    pub fn known_sources(&self) -> watch::Receiver<Vec<Arc<Resolved>>> {
        self.sources.watch()
    }

    /// Works until `stop`; then finishes what it has taken, as far as Notion lets it.
    pub async fn run(self, stop: CancellationToken, health: WorkerHealth) {
        let Some(prepared) = stop.run_until_cancelled(self.prepare(&health)).await else { return };
        let health = Arc::new(health);
        let mut queue = Queue::new(QUEUE_CAPACITY);
        let mut looks = Looks::default();
        if prepared == Prepared::FromStore {
            queue.offer(Subject::Sources, Seq(0), self.clock.now());
        }
        let mut taken_up_at: Option<Instant> = None;
        loop {
            if queue.wants_more() || taken_up_at.is_none_or(|at| at.elapsed() >= TAKEN_UP_EVERY) {
                taken_up_at = Some(Instant::now());
                self.take_up(&mut queue).await;
            }
            if let Some(query_min) = self.settings.query_min {
                self.gather(&mut queue, &mut looks, query_min).await;
            }
            self.start_looks(&mut queue, &mut looks, &health);
            health.worker.beat();
            let turn = self.turn(&queue, &looks);
            select! {
                biased;
                () = stop.cancelled() => break,
                Some(ended) = looks.running.join_next_with_id() => self.end(&mut queue, looks.ended(ended)).await,
                () = self.hastened.notified() => {
                    queue.offer(Subject::Sources, Seq(0), self.clock.now());
                    queue.hasten(self.clock.now());
                }
                arrivals = self.inbox.arrivals() => self.arrive(&mut queue, arrivals).await,
                () = tokio::time::sleep(turn) => (),
            }
        }
        let finish = async {
            while let Some(ended) = looks.running.join_next_with_id().await {
                self.end(&mut queue, looks.ended(ended)).await;
            }
        };
        if timeout(FINISHED_WITHIN, finish).await.is_err() {
            info!("left {} looks to the next start: Notion has not answered", looks.taken.len());
            looks.running.shutdown().await;
        }
    }

    /// Reads from the store what waits.
    async fn take_up(&self, queue: &mut Queue) {
        self.take_up_samples().await;
        match self.store().read(|rows| rows.waiting(TAKEN_UP_AT_ONCE)).await {
            Ok(waiting) => {
                let now = self.clock.now();
                for subject in &waiting {
                    queue.restore(subject, now);
                }
                // A full answer may have been cut off. What it named leaves the store when it is settled.
                if waiting.len() >= TAKEN_UP_AT_ONCE as usize {
                    queue.ask_again();
                }
            }
            Err(error) => {
                warn!("cannot read what waits: {}", told(&error));
                queue.ask_again();
            }
        }
    }

    async fn arrive(&self, queue: &mut Queue, arrivals: Arrivals) {
        let now = self.clock.now();
        for (subject, through) in arrivals.subjects {
            queue.offer(subject, through, now);
        }
        if arrivals.overflowed {
            self.take_up(queue).await;
        }
    }

    /// Returns for how long there is nothing to do, unless something arrives or ends.
    fn turn(&self, queue: &Queue, looks: &Looks) -> Duration {
        let gathered = looks.gathered_in().unwrap_or(TURN_MAX);
        let due = queue.next_due(looks.which()).map_or(TURN_MAX, |due_at| self.clock.until(due_at));
        let due = if looks.taken.len() < self.seats.looks() { due } else { TURN_MAX };
        due.min(gathered).min(TURN_MAX)
    }

    /// Holds back pages that are due while more of a burst come in, and then plans how they are looked at.
    async fn gather(&self, queue: &mut Queue, looks: &mut Looks, query_min: usize) {
        let Some(due) = looks.gathered(queue, self.clock.now(), query_min) else { return };
        match self.plan(due, query_min).await {
            Ok(plan) => {
                for subject in plan.singly {
                    queue.single_out(subject);
                }
                for mut group in plan.groups {
                    group.pages.retain(|wanted| queue.take_this(wanted.look.subject).is_some());
                    looks.planned.push_back(group);
                }
            }
            // They are still due, and gathered once more.
            Err(error) => warn!("cannot read what is known of the pages that are due: {}", told(&error)),
        }
    }

    fn start_looks(&self, queue: &mut Queue, looks: &mut Looks, health: &Arc<WorkerHealth>) {
        while looks.taken.len() < self.seats.looks() {
            let (worker, health) = (self.clone(), Arc::clone(health));
            if let Some((group, seat)) = looks.next_group(&self.seats) {
                let taken = Taken::Group(group.pages.iter().map(|wanted| wanted.look.subject).collect());
                let task = looks.running.spawn(async move {
                    let _seat = seat;
                    worker.look_at_group(group, &health).await
                });
                looks.taken.insert(task.id(), taken);
            } else if let Some(look) = queue.take(looks.which(), self.clock.now()) {
                let task = looks.running.spawn(async move {
                    let ended = vec![(look.subject, worker.look(look, &health).await)];
                    GroupEnded { ended, doubted: Vec::new() }
                });
                looks.taken.insert(task.id(), Taken::One(look));
            } else {
                break;
            }
        }
        self.live.note(queue.waiting(), looks.taken.len());
    }

    /// Ends a look. One that panicked parks its events, so that they do not bring the worker down again and again; the
    /// pages of a query that panicked are fetched, so that only the one that is to blame is parked.
    async fn end(&self, queue: &mut Queue, (taken, ended): (Option<Taken>, Result<GroupEnded, JoinError>)) {
        let Some(taken) = taken else { return };
        let GroupEnded { ended, doubted } = match (ended, taken) {
            (Ok(ended), _) => ended,
            (Err(_panicked), Taken::One(look)) => {
                let parked = self.park(look, "the program failed on it; please report this".to_owned()).await;
                GroupEnded { ended: vec![(look.subject, parked)], doubted: Vec::new() }
            }
            (Err(_panicked), Taken::Group(subjects)) => {
                let ended = subjects.into_iter().map(|subject| (subject, Ended::Singly)).collect();
                GroupEnded { ended, doubted: Vec::new() }
            }
        };
        let now = self.clock.now();
        for (subject, ended) in ended {
            queue.end(subject, ended, now);
        }
        for (page, due_at) in doubted {
            queue.doubt(page, due_at);
        }
    }

    const fn store(&self) -> &S {
        self.inbox.store()
    }
}
