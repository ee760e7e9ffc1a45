//! One check: what was looked at, what was found, and how to mend it.

use schemars::JsonSchema;
use serde::Serialize;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Check {
    /// What it belongs to.
    pub group: Group,
    /// What was looked at.
    pub name: String,
    /// How it is.
    pub state: State,
    /// What was found; of what was skipped, why.
    pub found: String,
    /// What to do; null where nothing is to be done.
    pub fix: Option<String>,
}

/// What a check belongs to, in the order in which they are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Variables, the settings file.
    Settings,
    /// The tokens, the clock, the tables.
    Notion,
    /// The properties and statuses of each source.
    Schema,
    /// Deliveries: the token that signs them, whether they come.
    Webhook,
    /// The database file and what is in it.
    Database,
    /// Who may read what, and the room that is left.
    Files,
    /// Who works on the database.
    Processes,
}

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As it should be.
    Well,
    /// It was not looked at, or there is nothing to look at.
    Skipped,
    /// It asks for attention.
    Warning,
    /// It does not work.
    Failed,
}

impl Group {
    /// Every group.
    pub const ALL: [Self; 7] =
        [Self::Settings, Self::Notion, Self::Schema, Self::Webhook, Self::Database, Self::Files, Self::Processes];

    /// Returns the word for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Notion => "notion",
            Self::Schema => "schema",
            Self::Webhook => "webhook",
            Self::Database => "database",
            Self::Files => "files",
            Self::Processes => "processes",
        }
    }

    /// Says that something is as it should be.
    pub(super) fn well(self, name: impl Into<String>, found: impl Into<String>) -> Check {
        Check { group: self, name: name.into(), state: State::Well, found: found.into(), fix: None }
    }

    /// Says why something was not looked at.
    pub(super) fn skipped(self, name: impl Into<String>, why: impl Into<String>) -> Check {
        Check { state: State::Skipped, ..self.well(name, why) }
    }

    /// Says that something asks for attention, and how to mend it.
    pub(super) fn warning(self, name: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) -> Check {
        Check { state: State::Warning, fix: Some(fix.into()), ..self.well(name, found) }
    }

    /// Says that something does not work, and how to mend it.
    pub(super) fn failed(self, name: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) -> Check {
        Check { state: State::Failed, fix: Some(fix.into()), ..self.well(name, found) }
    }
}

impl State {
    /// Returns the word for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Well => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}
