//! Events and sweeps as they are listed, whoever asks for them; never a body.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    model::sweep::{Drift, SweepProgress, SweepReport, SweepState},
    store::{StoredEvent, StoredSweep},
};

/// An event for machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
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

/// A sweep for machines.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ListedSweep {
    /// Its number.
    pub sweep: i64,
    /// Who wanted it.
    pub asked_by: &'static str,
    /// Whether it only said what it would change.
    pub dry_run: bool,
    /// The sources that it was for; empty where it was for all.
    pub sources: Vec<String>,
    /// Where it is in its life: `asked`, `running`, `complete`, `partial` or `failed`.
    pub outcome: SweepState,
    /// When it was asked for.
    pub asked_at: DateTime<Utc>,
    /// When it began, if it has.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended, if it has.
    pub completed_at: Option<DateTime<Utc>>,
    /// How far it is, while it runs.
    pub progress: Option<SweepProgress>,
    /// What came of it; nothing where its process died.
    pub report: Option<SweepReport>,
    /// Whether its process died before it could say what came of it: `outcome` and `report` tell machines.
    #[serde(skip)]
    pub died: bool,
}

/// A sweep with the differences that it found.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ListedDrift {
    /// The sweep.
    #[serde(flatten)]
    pub sweep: ListedSweep,
    /// How many differences it found.
    pub differences_total: u64,
    /// They, by page, as far as they were asked for.
    pub differences: Vec<Drift>,
}

impl From<StoredSweep> for ListedSweep {
    fn from(sweep: StoredSweep) -> Self {
        Self {
            died: sweep.died(),
            sweep: sweep.id.0,
            asked_by: sweep.order.asked_by.name(),
            dry_run: sweep.order.dry_run,
            sources: sweep.order.sources,
            outcome: sweep.state,
            asked_at: sweep.asked_at,
            started_at: sweep.started_at,
            completed_at: sweep.completed_at,
            progress: sweep.progress,
            report: sweep.report,
        }
    }
}
