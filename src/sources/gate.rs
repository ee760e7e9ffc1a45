//! Whether Notion may be asked about a source, and what a person has to mend before it answers.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

use crate::{
    causes::told,
    notion::NotionError,
    sources::error::{AskError, REFUSED_PAUSE},
};

/// Notion's code for a token that is wrong as a whole (ERR).
const UNAUTHORIZED: &str = "unauthorized";

/// The gate of one source: closed for a while after its token was refused.
#[derive(Debug)]
pub(super) struct Gate {
    /// The name of the source, for people.
    name: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Told by the monotonic clock, so that setting the other one neither opens nor locks it.
    closed_until: Option<Instant>,
    /// Whether anything was shown since the last refusal.
    shown: bool,
    refusal: Option<String>,
    /// How often the token was replaced: a refusal of an earlier one says nothing of this one.
    tokens: u64,
    unreadable: Option<String>,
}

impl Gate {
    pub(super) fn of(name: &str) -> Self {
        Self { name: name.to_owned(), state: Mutex::default() }
    }

    /// Opens it, because the token is another one.
    pub(super) fn reopen(&self) {
        let mut state = self.state();
        let (tokens, unreadable) = (state.tokens + 1, state.unreadable.take());
        *state = State { tokens, unreadable, ..State::default() };
    }

    /// Returns what a person has to mend, if anything.
    pub(super) fn problem(&self) -> Option<String> {
        let state = self.state();
        state.refusal.clone().or_else(|| state.unreadable.clone())
    }

    /// Returns whether Notion refuses the token.
    pub(super) fn is_refused(&self) -> bool {
        self.state().refusal.is_some()
    }

    /// Remembers whether the schema could be read, as far as that is for a person to mend.
    pub(super) fn note(&self, failed: Option<&AskError>) {
        let problem = match failed {
            None => None,
            Some(
                error @ (AskError::Ambiguous(_)
                | AskError::Replaced { .. }
                | AskError::Twin { .. }
                | AskError::Unmappable(_)
                | AskError::Notion(
                    NotionError::NotFound | NotionError::Rejected { .. } | NotionError::Unreadable(_),
                )),
            ) => Some(format!("source {}: {}", self.name, told(error))),
            Some(_) => return,
        };
        self.state().unreadable = problem;
    }

    /// Asks Notion unless the token was refused a moment ago; one question at a time then finds out whether it still is.
    pub(super) async fn guard<T>(
        &self,
        now: DateTime<Utc>,
        question: impl Future<Output = Result<T, NotionError>>,
    ) -> Result<T, AskError> {
        let asked_with = {
            let mut state = self.state();
            let closed_for = state.closed_until.map(|until| until.saturating_duration_since(Instant::now()));
            match closed_for {
                None => (),
                // This question is the probe: the others wait for what comes of it.
                Some(Duration::ZERO) => state.close(),
                Some(wait) => {
                    return Err(AskError::Gated { until: now + TimeDelta::from_std(wait).unwrap_or_default() });
                }
            }
            state.tokens
        };
        let answer = question.await;
        let mut state = self.state();
        if matches!(answer, Err(NotionError::Refused { .. })) && state.tokens != asked_with {
            return Err(AskError::Gated { until: now });
        }
        match &answer {
            // A page of its own may be withheld from the token. That is seen by others being shown in between.
            Err(NotionError::Refused { code, .. }) if code != UNAUTHORIZED && state.shown => state.shown = false,
            Err(error @ NotionError::Refused { .. }) => {
                state.close();
                state.refusal = Some(format!("source {}: {}", self.name, told(error)));
            }
            // Whoever could not ask has not learnt whether the token is taken.
            Err(NotionError::Unavailable(_) | NotionError::RateLimited { .. }) => (),
            Ok(_) => (state.closed_until, state.refusal, state.shown) = (None, None, true),
            Err(_) => (state.closed_until, state.refusal) = (None, None),
        }
        drop(state);
        Ok(answer?)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn close(&mut self) {
        self.closed_until = Some(Instant::now() + REFUSED_PAUSE.to_std().unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> NotionError {
        NotionError::Refused { code: UNAUTHORIZED.to_owned(), message: String::new() }
    }

    async fn ask(gate: &Gate, answer: Result<(), NotionError>) -> Result<(), AskError> {
        gate.guard(DateTime::UNIX_EPOCH, async { answer }).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_token_opens_the_gate_and_a_refusal_of_the_old_one_does_not_close_it() {
        let gate = Gate::of("deals");
        ask(&gate, Err(refused())).await.unwrap_err();
        assert!(matches!(ask(&gate, Ok(())).await, Err(AskError::Gated { .. })) && gate.problem().is_some());
        gate.reopen();
        assert_eq!(gate.problem(), None);
        // It was asked with the old token, and answered after the new one had come.
        let late = gate.guard(DateTime::UNIX_EPOCH, async {
            gate.reopen();
            Err::<(), _>(refused())
        });
        let late = late.await;
        assert!(matches!(late, Err(AskError::Gated { until }) if until == DateTime::UNIX_EPOCH), "{late:?}");
        ask(&gate, Ok(())).await.unwrap();
        ask(&gate, Err(refused())).await.unwrap_err();
        assert!(gate.problem().is_some(), "the new one can be refused as well");
    }
}
