//! How one source fits, in parts: its roles, its statuses, what is wrong.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::page::Role;

/// How one source fits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SourceFit {
    /// Its name in the settings, or its id where they do not name it.
    pub name: String,
    /// Its data source, where that is known.
    pub data_source: Option<String>,
    /// Its title in Notion.
    pub title: Option<String>,
    /// Where the schema was read; null where there is none to judge.
    pub read_from: Option<ReadFrom>,
    /// When it was read.
    pub read_at: Option<DateTime<Utc>>,
    /// How many seconds ago that was.
    pub age_seconds: Option<u64>,
    /// Every role, with the property that plays it.
    pub roles: Vec<RoleFit>,
    /// The options of the status, as the CRM offers them.
    pub statuses: Vec<StatusFit>,
    /// Hard statuses of the settings that are no option of the status: no company can have them.
    pub hard_without_option: Vec<Missing>,
    /// What is wrong: rows of this source are missing or say something else until somebody mends it.
    pub problems: Vec<String>,
    /// What a person may want to know.
    pub hints: Vec<String>,
}

/// Where a schema was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReadFrom {
    /// From Notion, just now.
    Notion,
    /// From the database: as it was read last.
    Stored,
}

/// A role, and the property that plays it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RoleFit {
    /// The role.
    pub role: Role,
    /// The name that is looked for; null where the settings map nothing.
    pub wanted: Option<String>,
    /// How the property was found.
    pub found: Found,
    /// The property.
    pub property: Option<PropertyFit>,
    /// Whether its type can give what the role needs; null where no property plays the role.
    pub fits: Option<bool>,
    /// A property that may be meant, where none has the wanted name.
    pub did_you_mean: Option<String>,
}

/// How the property of a role was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// By its name.
    ByName,
    /// By its id: none has the wanted name.
    ById,
    /// It is the title, which stands in for the company's name.
    AsTitle,
    /// No property plays the role.
    Missing,
    /// The settings map nothing.
    Off,
}

/// A property.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PropertyFit {
    /// Its id, which survives a rename.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Notion's name of its type.
    #[serde(rename = "type")]
    pub kind: String,
}

/// An option of the status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StatusFit {
    /// Its name.
    pub name: String,
    /// Whether it is in the hard list: companies with it are to be left alone.
    pub hard: bool,
}

/// A name that is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Missing {
    /// The name.
    pub name: String,
    /// The one that may be meant.
    pub did_you_mean: Option<String>,
}
