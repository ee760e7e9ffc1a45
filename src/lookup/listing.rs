//! An event as it is listed, whoever asks for it; never its body.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::store::StoredEvent;

/// An event for machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedEvent {
    /// Notion's id of it, or the digest of a body without one.
    pub event_id: String,
    /// What happened.
    pub kind: String,
    /// What it asks to be looked at.
    pub subject: Option<String>,
    /// Where it is in its life.
    pub state: &'static str,
    /// Through which door it came.
    pub door: &'static str,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// When it was received.
    pub received_at: DateTime<Utc>,
    /// How often its look has failed.
    pub attempts: u32,
    /// When it is looked at next, if it was put off.
    pub due_at: Option<DateTime<Utc>>,
    /// Why it was put off or parked.
    pub reason: Option<String>,
}

impl From<&StoredEvent> for ListedEvent {
    fn from(event: &StoredEvent) -> Self {
        Self {
            event_id: event.event_id.clone(),
            kind: event.kind.clone(),
            subject: event.subject.map(|subject| subject.to_string()),
            state: event.state.name(),
            door: event.door.name(),
            occurred_at: event.occurred_at,
            received_at: event.received_at,
            attempts: event.attempts,
            due_at: event.due_at,
            reason: event.reason.clone(),
        }
    }
}
