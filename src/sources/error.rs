//! Why a source gave nothing.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{model::id::DataSourceId, notion::NotionError, store::StoreError};

/// Why a source gave nothing that can be used.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Notion gave no answer that can be used.
    #[error(transparent)]
    Notion(#[from] NotionError),
    /// The database did not take what Notion answered.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The token of the source was refused a moment ago: nobody asks before somebody had time to mend that.
    #[error("the token was refused; it is tried again later")]
    Gated {
        /// When it is tried again.
        until: DateTime<Utc>,
    },
    /// The schema of the source was never read, so that no page of it can be understood.
    #[error("the schema of the source is not known yet")]
    Unresolved,
    /// The page may stand in a source whose schema was never read, so that nobody can say whether it is ours.
    #[error("the page may stand in a source whose schema is not known yet")]
    Unjudged,
    /// The configured database does not say which table is meant.
    #[error("the database holds {} data sources ({}): name one with NOTION_DATA_SOURCE_ID", .0.len(), .0.join(", "))]
    Ambiguous(Vec<String>),
    /// The configured database holds another data source than before, and only that.
    #[error(
        "the data source {known} that was watched is gone from the database or no longer shared, and {found} is there \
         instead: share it again, or name the other one with NOTION_DATA_SOURCE_ID"
    )]
    Replaced {
        /// The one that was watched.
        known: DataSourceId,
        /// The one that is there, with its name.
        found: String,
    },
    /// Another source of the settings is this data source already.
    #[error(
        "it is the data source {id}, which the source {name} is already: name every table once, the database or its \
         data source"
    )]
    Twin {
        /// The data source.
        id: DataSourceId,
        /// The other source.
        name: String,
    },
    /// As many looks at pages of this source run as may: the others have their turn first.
    #[error("enough pages of its source are asked for at once")]
    Crowded,
    /// The schema lacks what every source must have.
    #[error("the schema cannot be used: {0}")]
    Unmappable(String),
}

/// How long a refused token is left in peace. Each try costs one request.
pub const REFUSED_PAUSE: TimeDelta = TimeDelta::seconds(60);
