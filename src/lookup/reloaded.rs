//! What came of reading the settings anew in a running `serve`, as it keeps it for `status`.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::store::{Rows, StoreError};

/// The fact under which it is kept; empty since a start, which reads everything.
pub const RELOADED: &str = "settings_reload";

/// What came of reading the settings anew. Names settings, and never says a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reloaded {
    /// When they were read.
    pub at: DateTime<Utc>,
    /// Whether they were taken.
    pub outcome: ReloadOutcome,
    /// The settings that are others now.
    pub changed: Vec<String>,
    /// The settings that differ from those that count and are taken by a restart only.
    pub needs_restart: Vec<String>,
    /// Everything that is wrong with them, where they were refused.
    pub problems: Vec<String>,
}

/// Whether settings that were read anew were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReloadOutcome {
    /// They count.
    Taken,
    /// Those from before go on to count, wholly.
    Refused,
}

/// Returns what came of it the last time since the start.
pub(super) fn last(rows: &mut dyn Rows) -> Result<Option<Reloaded>, StoreError> {
    Ok(rows.fact(RELOADED)?.and_then(|json| serde_json::from_str(&json).ok()))
}
