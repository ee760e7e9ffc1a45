//! How each part of the program is: what `readyz` and `doctor` report.
//!
//! A part says that it is alive by beating. One that stops to beat is silent, and one whose handle is gone has ended,
//! however it ended: nobody has to remember to report a failure for it to be seen.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;

/// The health of all parts. Clones are handles to the same one.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<Vec<Arc<Pulse>>>>);

/// A part's own handle; dropping it says that the part has ended.
#[derive(Debug)]
pub struct Part(Arc<Pulse>);

/// How one part is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PartReport {
    /// The part.
    pub name: &'static str,
    /// How it is.
    #[serde(flatten)]
    pub state: State,
}

/// How a part is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// It does its work.
    Well,
    /// It has not been heard of for longer than it should take.
    Silent {
        /// Since when, in seconds.
        seconds: u64,
    },
    /// It is alive and cannot do its work.
    Failing {
        /// Why.
        reason: String,
    },
    /// It is no more.
    Ended,
}

#[derive(Debug)]
struct Pulse {
    name: &'static str,
    patience: Duration,
    condition: Mutex<Condition>,
}

#[derive(Debug)]
struct Condition {
    beaten_at: Instant,
    failing: Option<String>,
    ended: bool,
}

impl Health {
    /// Adds a part that must beat at least once every `patience`; `Duration::MAX` is for one that only has to be there.
    /// A part of the same name is replaced.
    pub fn part(&self, name: &'static str, patience: Duration) -> Part {
        let condition = Mutex::new(Condition { beaten_at: Instant::now(), failing: None, ended: false });
        let pulse = Arc::new(Pulse { name, patience, condition });
        let mut pulses = self.lock();
        pulses.retain(|other| other.name != name);
        pulses.push(Arc::clone(&pulse));
        Part(pulse)
    }

    /// Says how each part is at `now`, in the order in which they were added.
    pub fn report(&self, now: Instant) -> Vec<PartReport> {
        self.lock().iter().map(|pulse| PartReport { name: pulse.name, state: pulse.state(now) }).collect()
    }

    /// Says whether every part is well at `now`.
    pub fn is_ready(&self, now: Instant) -> bool {
        self.lock().iter().all(|pulse| pulse.state(now) == State::Well)
    }

    /// Says whether no part hangs or has ended at `now`. One that says that it cannot do its work is alive.
    pub fn is_alive(&self, now: Instant) -> bool {
        self.lock().iter().all(|pulse| matches!(pulse.state(now), State::Well | State::Failing { .. }))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Pulse>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    /// Says that the part is alive.
    pub fn beat(&self) {
        self.0.lock().beaten_at = Instant::now();
    }

    /// Says that the part is alive and cannot do its work, and why.
    pub fn failing(&self, reason: impl Into<String>) {
        let mut condition = self.0.lock();
        condition.beaten_at = Instant::now();
        condition.failing = Some(reason.into());
    }

    /// Says that the part is alive and does its work.
    pub fn well(&self) {
        let mut condition = self.0.lock();
        condition.beaten_at = Instant::now();
        condition.failing = None;
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.0.lock().ended = true;
    }
}

impl Pulse {
    /// Returns the worst that can be said of the part.
    fn state(&self, now: Instant) -> State {
        let condition = self.lock();
        let silence = now.saturating_duration_since(condition.beaten_at);
        match &condition.failing {
            _ if condition.ended => State::Ended,
            _ if silence > self.patience => State::Silent { seconds: silence.as_secs() },
            Some(reason) => State::Failing { reason: reason.clone() },
            None => State::Well,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Condition> {
        self.condition.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn check(health: &Health, expected: &[(&'static str, State)]) {
        let now = Instant::now();
        let expected: Vec<_> = expected.iter().map(|(name, state)| PartReport { name, state: state.clone() }).collect();
        assert_eq!(health.report(now), expected);
        assert_eq!(health.is_ready(now), expected.iter().all(|part| part.state == State::Well));
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_stops_to_beat_is_silent_until_it_beats_again() {
        let health = Health::default();
        let worker = health.part("worker", PATIENCE);
        tokio::time::advance(PATIENCE).await;
        check(&health, &[("worker", State::Well)]);
        tokio::time::advance(Duration::from_secs(1)).await;
        check(&health, &[("worker", State::Silent { seconds: 31 })]);
        worker.beat();
        check(&health, &[("worker", State::Well)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_part_is_alive_until_it_says_that_it_is_well() {
        let health = Health::default();
        let worker = health.part("worker", PATIENCE);
        worker.failing("the token is refused");
        worker.beat();
        check(&health, &[("worker", State::Failing { reason: "the token is refused".to_owned() })]);
        worker.well();
        check(&health, &[("worker", State::Well)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_whose_handle_is_gone_has_ended() {
        let health = Health::default();
        let worker = health.part("worker", PATIENCE);
        let sweep = health.part("sweep", PATIENCE);
        drop(worker);
        check(&health, &[("worker", State::Ended), ("sweep", State::Well)]);
        let again = health.part("worker", PATIENCE);
        check(&health, &[("sweep", State::Well), ("worker", State::Well)]);
        drop((sweep, again));
    }
}
