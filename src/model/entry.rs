//! What the cache holds: pages as last applied, their claims, the published entries, and why each changed.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{
    id::{DataSourceId, PageId},
    key::{Key, Origin},
    page::{Values, View},
};

/// A page as it was last applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedPage {
    /// The page.
    pub id: PageId,
    /// The source it was read through.
    pub source: DataSourceId,
    /// Whether it is a row of the source.
    pub standing: Standing,
    /// Its last edit, to the minute.
    pub last_edited_time: DateTime<Utc>,
    /// The instant before the request that showed it; for queries already set back by the lag of the index.
    pub observed_at: DateTime<Utc>,
    /// Where it was read.
    pub view: View,
    /// Which door brought that sighting; `None` where an older version stored it.
    pub seen_by: Option<Door>,
    /// Since when Notion has answered 404 for it, if it does.
    pub missing_since: Option<DateTime<Utc>>,
    /// Since when complete sweeps do not find it: only then it is left to expire.
    pub unfound_since: Option<DateTime<Utc>>,
    /// Its address, for people.
    pub url: Option<String>,
    /// Its mapped values.
    pub values: Values,
}

/// Whether a page is a row of its source, and on what proof it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It is a row: its claims count.
    Listed,
    /// It was seen in the trash.
    Trashed,
    /// It was seen under another parent.
    MovedOut,
    /// Notion said `page.deleted`, then 404.
    Gone,
    /// Complete sweeps did not find it for as long as its rows counted.
    Lost,
}

impl Standing {
    /// Returns the name under which a standing is stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::Trashed => "trashed",
            Self::MovedOut => "moved_out",
            Self::Gone => "gone",
            Self::Lost => "lost",
        }
    }

    /// Reads a name that [`Standing::name`] gave.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Listed, Self::Trashed, Self::MovedOut, Self::Gone, Self::Lost]
            .into_iter()
            .find(|standing| standing.name() == name)
    }
}

/// One page's claim on a key, with what decides between rivals and what the row would say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The claimed key.
    pub key: Key,
    /// Which property gave it.
    pub origin: Origin,
    /// The claiming page.
    pub page: CachedPage,
}

/// A row of the published table `suppression_cache`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key, unique in the table.
    pub key: Key,
    /// The page that won the key.
    pub page: PageId,
    /// The CRM's status, [`STATUS_UNKNOWN`] where it is empty.
    pub status: String,
    /// The company's name.
    pub company_name: Option<String>,
    /// When the row was last confirmed in writing.
    pub cached_at: DateTime<Utc>,
    /// When the row stops to count, unless it is confirmed before.
    pub expires_at: DateTime<Utc>,
    /// What stands behind it.
    pub metadata: Metadata,
}

/// What a row says where the CRM's status is empty.
pub const STATUS_UNKNOWN: &str = "Unknown";

/// The JSON in the `metadata` column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The website as the CRM has it.
    pub website: Option<String>,
    /// Which door brought the news: `webhook`, `sweep`, `replay` or `lookup`.
    pub synced_from: String,
    /// The data source.
    pub source: DataSourceId,
    /// Which property gave the key.
    pub key_origin: String,
    /// `strong` or `weak`.
    pub key_strength: String,
    /// The page's last edit.
    pub last_edited_time: DateTime<Utc>,
    /// The page's address.
    pub page_url: Option<String>,
}

/// Why an entry changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cause {
    /// Which door brought the news.
    pub door: Door,
    /// The event's id, the sweep's number, or what else names it.
    pub id: String,
}

/// The ways by which news reach the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Door {
    /// A signed delivery.
    Webhook,
    /// A reconciliation.
    Sweep,
    /// A stored event, given again.
    Replay,
    /// Rules or settings changed, and the stored values were read anew.
    Settings,
    /// Somebody asked for a younger proof, and the page was fetched for that.
    Lookup,
}

impl Door {
    /// Returns the name under which a door is stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Sweep => "sweep",
            Self::Replay => "replay",
            Self::Settings => "settings",
            Self::Lookup => "lookup",
        }
    }

    /// Reads a name that [`Door::name`] gave.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Webhook, Self::Sweep, Self::Replay, Self::Settings, Self::Lookup]
            .into_iter()
            .find(|door| door.name() == name)
    }
}

/// One change of an entry, for the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// When it was applied.
    pub changed_at: DateTime<Utc>,
    /// The entry's key.
    pub key: Key,
    /// What the entry said before; `None` where there was none.
    pub from: Option<Face>,
    /// What it says now; `None` where it went.
    pub to: Option<Face>,
    /// Why.
    pub cause: Cause,
}

/// What people see of an entry; an entry changes when this does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Face {
    /// The winning page.
    pub page: PageId,
    /// The status.
    pub status: String,
    /// The company's name.
    pub company_name: Option<String>,
    /// The data source, whose list decides whether the status is hard; `None` where an older version recorded it.
    #[serde(default)]
    pub source: Option<DataSourceId>,
    /// The page's address; `None` also where an older version recorded it.
    #[serde(default)]
    pub page_url: Option<String>,
}

impl Entry {
    /// Returns what people see of this entry.
    pub fn face(&self) -> Face {
        Face {
            page: self.page,
            status: self.status.clone(),
            company_name: self.company_name.clone(),
            source: Some(self.metadata.source),
            page_url: self.metadata.page_url.clone(),
        }
    }
}
