//! A page as it was seen, or missed.

use chrono::{DateTime, Utc};

use crate::model::{
    entry::Standing,
    id::{DataSourceId, PageId},
    page::{Values, View},
};

/// A page as it was seen, reduced to what the cache depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The page.
    pub page: PageId,
    /// The source through which it was seen.
    pub source: DataSourceId,
    /// Whether it is a row of that source.
    pub standing: Standing,
    /// Its last edit, to the minute.
    pub last_edited_time: DateTime<Utc>,
    /// The instant before the request that showed it.
    pub observed_at: DateTime<Utc>,
    /// Where it was seen.
    pub view: View,
    /// Its address, for people.
    pub url: Option<String>,
    /// Its mapped values.
    pub values: Values,
}

/// A page for which Notion answered 404.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Absence {
    /// The page.
    pub page: PageId,
    /// The instant before the request.
    pub observed_at: DateTime<Utc>,
}
