//! What Notion tells: one webhook delivery is one event, and an event is only ever a hint.

use std::fmt;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::model::id::{DataSourceId, DatabaseId, PageId};

/// One event as it was read from a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Notion's id of the event, the same in every delivery attempt. Kept as text: nothing depends on its form.
    pub id: String,
    /// What happened.
    pub kind: EventKind,
    /// When the change happened, to the millisecond; for order and figures only, never for truth.
    pub occurred_at: DateTime<Utc>,
    /// What the event asks to be looked at.
    pub subject: Option<Subject>,
    /// Where the page stood when the event was made, as far as the event says it. For a table's own events
    /// (`data_source.*`, `database.*`): the table itself.
    pub parent: EventParent,
    /// The workspace that it is from, if the event says so.
    pub workspace: Option<Uuid>,
    /// The percent-decoded ids of the properties that changed (`page.properties_updated` only).
    pub updated_properties: Vec<String>,
    /// Which attempt at delivery this is, from 1 to 8.
    pub attempt: u8,
}

/// Where an event says that its page stands (`data.parent`), or which table it is about (`entity`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventParent {
    /// In this data source (subscription version 2025-09-03 and later).
    DataSource(DataSourceId),
    /// In this database; older subscriptions do not name the data source.
    Database(DatabaseId),
    /// Somewhere that is not a database: a page, a block, the workspace.
    Elsewhere,
    /// The event does not say.
    Unsaid,
}

/// A thing to look at; the queue has one place for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// Fetch this page and apply what it shows.
    Page(PageId),
    /// Read schema and mapping of every configured source again.
    Sources,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Page(page) => page.fmt(f),
            Self::Sources => f.write_str("sources"),
        }
    }
}

impl std::str::FromStr for Subject {
    type Err = crate::model::id::InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "sources" => Ok(Self::Sources),
            page => page.parse().map(Self::Page),
        }
    }
}

macro_rules! kinds {
    ($($variant:ident = $name:literal => $concern:ident,)*) => {
        /// The kinds of event that Notion documents, and whatever it sends beyond them.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum EventKind {
            $(
                #[doc = concat!("`", $name, "`.")]
                $variant,
            )*
            /// A kind that Notion added later.
            Other(String),
        }

        impl EventKind {
            /// Every kind that this version knows.
            pub const KNOWN: &[Self] = &[$(Self::$variant,)*];

            /// Reads Notion's name; never fails, because an unknown kind must still be acknowledged.
            pub fn from_name(name: &str) -> Self {
                match name {
                    $($name => Self::$variant,)*
                    other => Self::Other(other.to_owned()),
                }
            }

            /// Returns Notion's name.
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other(name) => name,
                }
            }

            /// Returns what an event of this kind asks for.
            pub fn concern(&self) -> Concern {
                match self {
                    $(Self::$variant => Concern::$concern,)*
                    Self::Other(_) => Concern::Nothing,
                }
            }
        }
    };
}

/// What an event of some kind asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concern {
    /// Its page may give other keys, another status, or may be gone: fetch it.
    Page,
    /// The table itself changed: read schema and mapping again.
    Sources,
    /// Nothing that a row depends on.
    Nothing,
}

// A title edit may come as `content_updated` only. Rows that are added to or removed from a data source have
// `page.*` events of their own, so `content_updated` of a table asks for nothing.
kinds! {
    PageCreated = "page.created" => Page,
    PagePropertiesUpdated = "page.properties_updated" => Page,
    PageContentUpdated = "page.content_updated" => Page,
    PageMoved = "page.moved" => Page,
    PageDeleted = "page.deleted" => Page,
    PageUndeleted = "page.undeleted" => Page,
    PageLocked = "page.locked" => Nothing,
    PageUnlocked = "page.unlocked" => Nothing,
    PageTranscriptDeleted = "page.transcription_block.transcript_deleted" => Nothing,
    DataSourceCreated = "data_source.created" => Sources,
    DataSourceDeleted = "data_source.deleted" => Sources,
    DataSourceUndeleted = "data_source.undeleted" => Sources,
    DataSourceMoved = "data_source.moved" => Sources,
    DataSourceContentUpdated = "data_source.content_updated" => Nothing,
    DataSourceSchemaUpdated = "data_source.schema_updated" => Sources,
    DatabaseCreated = "database.created" => Nothing,
    DatabaseMoved = "database.moved" => Sources,
    DatabaseDeleted = "database.deleted" => Sources,
    DatabaseUndeleted = "database.undeleted" => Sources,
    DatabaseContentUpdated = "database.content_updated" => Nothing,
    DatabaseSchemaUpdated = "database.schema_updated" => Sources,
    CommentCreated = "comment.created" => Nothing,
    CommentUpdated = "comment.updated" => Nothing,
    CommentDeleted = "comment.deleted" => Nothing,
    ViewCreated = "view.created" => Nothing,
    ViewUpdated = "view.updated" => Nothing,
    ViewDeleted = "view.deleted" => Nothing,
    FileUploadCreated = "file_upload.created" => Nothing,
    FileUploadCompleted = "file_upload.completed" => Nothing,
    FileUploadExpired = "file_upload.expired" => Nothing,
    FileUploadFailed = "file_upload.upload_failed" => Nothing,
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_31_kinds_are_known_by_name() {
        assert_eq!(EventKind::KNOWN.len(), 31);
        for kind in EventKind::KNOWN {
            assert_eq!(&EventKind::from_name(kind.name()), kind);
        }
    }

    #[test]
    fn an_unknown_kind_keeps_its_name_and_asks_for_nothing() {
        let kind = EventKind::from_name("page.teleported");
        assert_eq!(kind.name(), "page.teleported");
        assert_eq!(kind.concern(), Concern::Nothing);
    }
}
