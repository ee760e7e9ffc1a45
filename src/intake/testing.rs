//! What tests of the doors need: a store that only appends, deliveries, and signatures.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use chrono::DateTime;
use serde_json::json;

use crate::{
    clock::Clock,
    inbox::Inbox,
    intake::{Intake, handshake::TokenVault, relevance::OurSources},
    metrics::Metrics,
    model::entry::Door,
    notion::signature::{VerificationToken, sign},
    store::{Appended, Disposition, Exclusive, NewEvent, Rows, Seq, Store, StoreError},
};

/// The token of most tests.
pub(crate) const TOKEN: &str = "secret_of_the_tests";

/// Keeps events in memory, and can be full.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    pub(crate) events: Arc<Mutex<Vec<NewEvent>>>,
    pub(crate) full: Arc<AtomicBool>,
}

impl Store for Memory {
    async fn append(&self, event: NewEvent) -> Result<Appended, StoreError> {
        if self.full.load(Ordering::Relaxed) {
            return Err(StoreError::Full);
        }
        let mut events = self.events.lock().unwrap();
        if let Some(at) = events.iter().position(|other| other.event_id == event.event_id) {
            let seq = Seq(at.try_into().unwrap());
            return Ok(if event.door == Door::Replay { Appended::Reopened(seq) } else { Appended::Duplicate });
        }
        let (seq, disposition) = (Seq(events.len().try_into().unwrap()), event.disposition);
        events.push(event);
        Ok(if disposition == Disposition::Look { Appended::Waiting(seq) } else { Appended::Kept(seq) })
    }

    async fn write<T, F>(&self, _work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Rows) -> Result<T, StoreError> + Send + 'static,
    {
        Err(StoreError::Full)
    }

    async fn read<T, F>(&self, _question: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Rows) -> Result<T, StoreError> + Send + 'static,
    {
        Err(StoreError::Full)
    }

    fn read_blocking<T>(
        &self,
        _question: impl FnOnce(&mut dyn Rows) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        Err(StoreError::Full)
    }

    async fn foreign_commits(&self) -> Result<i64, StoreError> {
        Ok(0)
    }

    fn exclusive(&self, _task: &str) -> Result<Option<Exclusive>, StoreError> {
        Ok(None)
    }

    fn is_taken(&self, _task: &str) -> Result<bool, StoreError> {
        Ok(false)
    }
}

/// Opens the door to `store` for whoever knows a token of `vault`.
pub(crate) fn intake(store: &Memory, vault: TokenVault, metrics: &Metrics) -> Intake<Memory> {
    let clock = Clock::following_tokio(DateTime::UNIX_EPOCH);
    Intake::new(Inbox::new(store.clone()), vault, OurSources::default(), clock, metrics.clone())
}

/// Makes a token.
pub(crate) fn token(text: &str) -> VerificationToken {
    VerificationToken::new(text).unwrap()
}

/// Signs with the token of most tests.
pub(crate) fn signed(body: &str) -> String {
    sign(body.as_bytes(), &token(TOKEN))
}

/// Makes the body of an event.
pub(crate) fn event(id: &str, kind: &str) -> String {
    json!({
        "id": id,
        "timestamp": "2026-09-01T10:11:12.345Z",
        "type": kind,
        "entity": {"id": "3296958a-07b8-53ee-b6a8-a1cc71849e2b", "type": kind.split('.').next()},
        "data": {},
        "attempt_number": 1,
    })
    .to_string()
}

/// Makes the body of a handshake.
pub(crate) fn handshake(token: &str) -> String {
    json!({"verification_token": token}).to_string()
}
