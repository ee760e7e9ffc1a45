//! Notion as the rest of the program sees it: a port of three questions, and what can come of asking them.
//!
//! What is known of the API, and how surely, stands beside each fact that the adapter relies on.

pub mod budget;
pub mod client;
pub mod failure;
pub mod json;
pub mod page_json;
pub mod payload;
pub(crate) mod property_id;
pub mod recorded;
pub mod scan;
pub mod schema;
pub mod signature;
pub mod transport;

use std::{error::Error as StdError, time::Duration};

use chrono::{DateTime, Utc};

use crate::model::{
    id::{DataSourceId, PageId, TableId},
    page::{Schema, Snapshot},
};

/// The questions that are asked of Notion. Every answer is bounded in time.
pub trait Notion: Clone + Send + Sync + 'static {
    /// Retrieves one page as it is now.
    fn page(&self, id: PageId, priority: Priority) -> impl Future<Output = Result<Snapshot, NotionError>> + Send;

    /// Reads the schemas behind `table`: one for a data source, one for each data source of a database.
    fn schemas(
        &self,
        table: TableId,
        priority: Priority,
    ) -> impl Future<Output = Result<Vec<Schema>, NotionError>> + Send;

    /// Reads up to 100 rows of a data source, in the order of their creation.
    fn query(&self, query: &Query, priority: Priority) -> impl Future<Output = Result<QueryPage, NotionError>> + Send;
}

/// Whose turn it is when the budget is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Priority {
    /// Work that an event asked for: first.
    Webhook,
    /// Work of a sweep: afterwards, but never starved.
    Sweep,
}

/// One page of results to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The data source.
    pub data_source: DataSourceId,
    /// Only rows with this creation or edit time.
    pub window: Window,
    /// Archived rows instead of the others; Notion never gives both at once.
    pub archived: bool,
    /// Where the last page of results ended.
    pub cursor: Option<String>,
    /// At most this many rows, up to 100.
    pub page_size: u8,
}

/// The rows a query is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// All of them.
    Everything,
    /// Those created at or after this instant.
    CreatedSince(DateTime<Utc>),
    /// Those created at or before `until`, and at or after `since` where that is given.
    CreatedUntil {
        /// The first instant.
        since: Option<DateTime<Utc>>,
        /// The last instant.
        until: DateTime<Utc>,
    },
    /// Those edited at or after this instant, oldest edit first.
    EditedSince(DateTime<Utc>),
}

/// One page of results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryPage {
    /// The rows that could be read.
    pub snapshots: Vec<Snapshot>,
    /// Rows that could not be read whole: they are to be fetched one by one.
    pub unread: Vec<PageId>,
    /// Where to go on; `None` at the end.
    pub next_cursor: Option<String>,
    /// Whether Notion stopped at its cap (`request_status: incomplete`), so that rows are missing behind the last one.
    pub capped: bool,
}

/// Why a question got no answer, by what the asker can do about it.
#[derive(Debug, thiserror::Error)]
pub enum NotionError {
    /// The object is gone **or** not shared with the connection: Notion does not tell these apart.
    #[error("Notion knows no such object, or does not share it with this connection")]
    NotFound,
    /// Nobody may ask before this much time has passed.
    #[error("Notion asks to wait {} s", retry_after.as_secs())]
    RateLimited {
        /// How long, in full.
        retry_after: Duration,
    },
    /// The token is refused, blocked, or lacks a capability: asking again changes nothing until a person acts.
    #[error("Notion refuses this token ({code}): {message}")]
    Refused {
        /// Notion's code: `unauthorized`, `restricted_resource`, `public_api_request_blocked`.
        code: String,
        /// Notion's message.
        message: String,
    },
    /// The cursor is no longer taken: start the window again.
    #[error("Notion no longer takes this cursor")]
    CursorRefused,
    /// The question itself is wrong: the same question gets the same answer.
    #[error("Notion rejects the request ({status} {code}): {message}")]
    Rejected {
        /// The HTTP status.
        status: u16,
        /// Notion's code.
        code: String,
        /// Notion's message.
        message: String,
    },
    /// Notion answered with something that is not a whole object of the expected kind.
    #[error("Notion answered with something unreadable: {0}")]
    Unreadable(String),
    /// No answer, or one that says «later»: the network, a time-out, 5xx, 409, an edge proxy.
    #[error("Notion cannot be reached")]
    Unavailable(#[source] Box<dyn StdError + Send + Sync>),
}
