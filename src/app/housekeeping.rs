//! What goes on beside the work: noticing other processes, saying how it stands, forgetting what is old.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::{select, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    app::delta,
    causes::told,
    clock::Clock,
    config::Retention,
    inbox::Inbox,
    lifecycle::health::{self, Health, State},
    lookup::status::{RUNNING, Running, Trouble},
    metrics::{
        Metrics,
        label::{Part, Refused},
    },
    notion::{
        Notion,
        budget::{Budget, BudgetState},
    },
    sources::{SourceStanding, Sources},
    store::{Cutoffs, Rows, Store, StoreError},
    worker::live::Live,
};

/// How often the writer is tried and other processes' commits are looked for.
const ROUND: Duration = Duration::from_secs(2);

/// The writer is tried once a round; a disk may take a while for it.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// The budgets of all tokens that are used.
pub type Budgets = Arc<ArcSwap<Vec<Budget>>>;

/// The fact under which the budgets are kept between two runs.
const BUDGETS: &str = "budgets";

/// The fact under which a command that asked beside a running `serve` says what it spent.
const BESIDE: &str = "budgets_beside";

/// How often this process says how it stands, where nothing turned worse or better before.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// How often old events are looked for.
const PRUNED_EVERY: Duration = Duration::from_mins(5);

/// The fact under which the time stands as of which was forgotten last.
const FORGOTTEN_AS_OF: &str = "forgotten_as_of";

/// How far that time may go ahead at once: where the clock was set far ahead by mistake, little is forgotten before
/// somebody notices.
const FORGOTTEN_AHEAD_MAX: TimeDelta = TimeDelta::hours(12);

/// For how long a delivery that could not be made durable counts against the writer.
const NOT_DURABLE_FOR: Duration = Duration::from_secs(30);

/// Rows that one step of forgetting takes: a few milliseconds of the writer, between two commits of the intake.
const PRUNED_AT_ONCE: u32 = 200;

/// Notes of changed names that are kept. An index that is further behind is built anew.
const RENAMED_KEPT: u32 = 100_000;

/// The wait between two steps of forgetting, so that the intake has most of the writer.
const BETWEEN_STEPS: Duration = Duration::from_millis(50);

/// Steps of forgetting in one round, so that everything else here goes on: the next round continues.
const STEPS_PER_ROUND: u32 = 20;

/// Whether this is the last word of a `serve`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    Running,
    Stopped,
}

/// Keeps a running `serve` in order.
#[derive(Debug)]
pub struct Housekeeper<S, N> {
    /// The inbox, to wake it for what other processes put there.
    pub inbox: Inbox<S>,
    /// The sources: what says which edits of them need no look, of which another process may find that it is wrong, and
    /// what is wrong with them.
    pub sources: Sources<N>,
    /// The queue in figures.
    pub live: Arc<Live>,
    /// The budget of each token; the settings can change them.
    pub budgets: Budgets,
    /// How long things are kept.
    pub retention: Retention,
    /// The time.
    pub clock: Clock,
    /// How the parts are.
    pub health: Health,
    /// What is counted.
    pub metrics: Metrics,
}

impl<S: Store, N: Notion> Housekeeper<S, N> {
    /// Keeps house until `stop`.
    pub async fn run(self, writer: health::Part, stop: CancellationToken) {
        let is_due = |last: Option<Instant>, every| last.is_none_or(|at| at.elapsed() >= every);
        let (mut seen, mut told_at, mut pruned_at, mut unwritten) = (None, None, None, None);
        let (mut told_of, mut spent_beside) = (BTreeMap::new(), None);
        let (mut refused, mut refused_at) = (0, None);
        loop {
            let commits = self.inbox.store().foreign_commits().await;
            if let Ok(commits) = commits
                && seen.replace(commits).is_some_and(|before| before != commits)
            {
                self.inbox.wake();
                self.reread_filter().await;
                take_over_spent(self.inbox.store(), &self.budgets.load_full(), &mut spent_beside).await;
            }
            let problems = problems(&self.health);
            if is_due(told_at, TOLD_EVERY) || told_of != problems {
                (told_at, told_of) = (Some(Instant::now()), problems);
                unwritten = self.tell(self.clock.now(), Stands::Running).await.err();
            }
            let refused_by_now = self.metrics.deliveries_refused.get(Refused::NotDurable);
            if std::mem::replace(&mut refused, refused_by_now) < refused_by_now {
                refused_at = Some(Instant::now());
            }
            // Only a write shows that the disk is full, and only a write of that kind that the inbox is damaged.
            match commits.err().as_ref().or(unwritten.as_ref()) {
                Some(error) => writer.failing(told(error)),
                None if refused_at.is_some_and(|at| at.elapsed() < NOT_DURABLE_FOR) => {
                    writer.failing("deliveries could not be made durable: the log says why");
                }
                None => writer.well(),
            }
            if is_due(pruned_at, PRUNED_EVERY) {
                let is_done = self.prune(self.clock.now(), &stop).await;
                pruned_at = is_done.then(Instant::now);
            }
            select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(ROUND) => (),
            }
        }
        // A word that is lost here is only missing in `status`.
        drop(self.tell(self.clock.now(), Stands::Stopped).await);
    }

    async fn reread_filter(&self) {
        if let Err(error) = self.sources.filter().reread(self.inbox.store()).await {
            warn!("cannot read whether the relevance filter is on: {}", told(&error));
        }
    }

    /// Writes down how it stands, for `status` and for the next run.
    async fn tell(&self, now: DateTime<Utc>, stands: Stands) -> Result<(), StoreError> {
        let running = Running {
            at: now,
            stopped: stands == Stands::Stopped,
            pid: std::process::id(),
            queue: self.live.waiting(),
            looks: self.live.looks(),
            budgets: self
                .budgets
                .load()
                .iter()
                .filter_map(|budget| serde_json::to_value(budget.state()).ok())
                .collect(),
            problems: problems(&self.health),
            sources: self.sources.standings().into_iter().filter_map(trouble).collect(),
        };
        let Ok(json) = serde_json::to_string(&running) else { return Ok(()) };
        let written = self.inbox.store().write(move |rows| rows.put_fact(RUNNING, &json)).await;
        let written = written.and(keep_budgets(self.inbox.store(), &self.budgets.load_full()).await);
        if let Err(error) = &written {
            self.metrics.errors.count(Part::Store);
            warn!("cannot write down how it stands: {}", told(error));
        }
        written
    }

    /// Forgets some of what is older than its retention, a little at a time; returns whether that was all.
    async fn prune(&self, now: DateTime<Utc>, stop: &CancellationToken) -> bool {
        let now = match self.inbox.store().write(move |rows| forgotten_as_of(rows, now)).await {
            Ok(as_of) => as_of,
            Err(error) => {
                self.metrics.errors.count(Part::Store);
                warn!("cannot forget old events: {}", told(&error));
                return true;
            }
        };
        let cutoffs = Cutoffs {
            bodies_before: now - delta(self.retention.bodies),
            events_before: now - delta(self.retention.ids),
            changes_before: now - delta(self.retention.changes),
            sweeps_before: now - delta(self.retention.sweeps),
        };
        for _ in 0..STEPS_PER_ROUND {
            if stop.is_cancelled() {
                break;
            }
            let forget = move |rows: &mut dyn Rows| {
                Ok(rows.prune(&cutoffs, PRUNED_AT_ONCE)? + rows.forget_renamed(RENAMED_KEPT, PRUNED_AT_ONCE)?)
            };
            match self.inbox.store().write(forget).await {
                Ok(0) => return true,
                Ok(_) => tokio::time::sleep(BETWEEN_STEPS).await,
                Err(error) => {
                    self.metrics.errors.count(Part::Store);
                    warn!("cannot forget old events: {}", told(&error));
                    return true;
                }
            }
        }
        false
    }
}

/// Returns the time as of which to forget, and writes it down: now, or not far ahead of the last time.
fn forgotten_as_of(rows: &mut dyn Rows, now: DateTime<Utc>) -> Result<DateTime<Utc>, StoreError> {
    let last = rows.fact(FORGOTTEN_AS_OF)?.and_then(|at| at.parse::<DateTime<Utc>>().ok());
    let as_of = last.map_or(now, |last| now.min(last + FORGOTTEN_AHEAD_MAX));
    rows.put_fact(FORGOTTEN_AS_OF, &as_of.to_rfc3339())?;
    Ok(as_of)
}

/// Takes over what an earlier run spent, so that nobody spends the same minute twice.
pub(super) async fn restore_budgets<S: Store>(store: &S, budgets: &[Budget]) -> Result<(), StoreError> {
    if let Some(kept) = store.read(|rows| rows.fact(BUDGETS)).await? {
        restore(&kept, budgets);
    }
    Ok(())
}

fn restore(kept: &str, budgets: &[Budget]) {
    let earlier: Vec<BudgetState> = serde_json::from_str(kept).unwrap_or_default();
    for (budget, state) in budgets.iter().zip(&earlier) {
        budget.restore(state);
    }
}

/// Writes down what was spent beside a running `serve`: what `budgets` say beyond `before`, which were not used.
pub(super) async fn tell_spent<S: Store>(store: &S, budgets: &[Budget], before: &[Budget]) -> Result<(), StoreError> {
    let mut states: Vec<BudgetState> = budgets.iter().map(Budget::state).collect();
    for (state, before) in states.iter_mut().zip(before) {
        state.spent = state.spent.saturating_sub(before.state().spent);
    }
    let Ok(json) = serde_json::to_string(&states) else { return Ok(()) };
    store.write(move |rows| rows.put_fact(BESIDE, &json)).await
}

/// Counts as spent what a command has asked beside this process, once. `known` is what was counted last.
async fn take_over_spent<S: Store>(store: &S, budgets: &[Budget], known: &mut Option<String>) {
    let Ok(Some(spent)) = store.read(|rows| rows.fact(BESIDE)).await else { return };
    if known.as_ref() != Some(&spent) {
        restore(&spent, budgets);
        *known = Some(spent);
    }
}

/// Writes down what is spent, for the next run.
pub(super) async fn keep_budgets<S: Store>(store: &S, budgets: &[Budget]) -> Result<(), StoreError> {
    let states: Vec<BudgetState> = budgets.iter().map(Budget::state).collect();
    let Ok(json) = serde_json::to_string(&states) else { return Ok(()) };
    store.write(move |rows| rows.put_fact(BUDGETS, &json)).await
}

fn trouble(SourceStanding { name, is_refused, problem }: SourceStanding) -> Option<(String, Trouble)> {
    problem.map(|what| (name, Trouble { what, is_refused }))
}

/// Says what is wrong with each part that is not well.
fn problems(health: &Health) -> BTreeMap<String, String> {
    let reports = health.report(Instant::now());
    let problem = |state| match state {
        State::Well => None,
        State::Silent { seconds } => Some(format!("not heard of for {seconds} s")),
        State::Failing { reason } => Some(reason),
        State::Ended => Some("ended".to_owned()),
    };
    reports.into_iter().filter_map(|part| Some((part.name.to_owned(), problem(part.state)?))).collect()
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::*;
    use crate::{notion::Priority, store::sqlite::SqliteStore};

    #[tokio::test]
    async fn a_clock_that_is_far_ahead_lets_little_be_forgotten_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let now: DateTime<Utc> = "2026-11-22T12:00:00Z".parse().unwrap();
        let store = SqliteStore::open(&folder.path().join("cache.db"), 1, now).unwrap();
        let as_of = async |at| store.write(move |rows| forgotten_as_of(rows, at)).await.unwrap();
        assert_eq!(as_of(now).await, now);
        let later = now + TimeDelta::minutes(5);
        assert_eq!(as_of(later).await, later);
        let years = now + TimeDelta::days(730);
        assert_eq!(as_of(years).await, later + FORGOTTEN_AHEAD_MAX);
        assert_eq!(as_of(later).await, later, "the clock was set right again");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_spent_beside_a_serve_counts_once() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::with_hands("2026-01-06T12:00:00Z".parse().unwrap()).0;
        let store = SqliteStore::open(&folder.path().join("cache.db"), 1, clock.now()).unwrap();
        let budget = || vec![Budget::new(NonZeroU16::new(180).unwrap(), clock.clone(), Metrics::default())];
        let (serve, command, unused) = (budget(), budget(), budget());
        for _ in 0..5 {
            serve[0].acquire(Priority::Sweep).await;
        }
        keep_budgets(&store, &serve).await.unwrap();
        for budgets in [&command, &unused] {
            restore_budgets(&store, budgets).await.unwrap();
        }
        for _ in 0..3 {
            command[0].acquire(Priority::Webhook).await;
        }
        tell_spent(&store, &command, &unused).await.unwrap();
        let mut known = None;
        for _ in 0..2 {
            take_over_spent(&store, &serve, &mut known).await;
            assert_eq!(serve[0].state().spent, 8);
        }
    }
}
