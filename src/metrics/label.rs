//! Labels whose values are words of a list: a wrong one cannot be written, and their number is bounded.

use crate::model::event::EventKind;

/// A label, by the type of its values.
pub trait Label: Copy + 'static {
    /// Its name.
    const NAME: &'static str;

    /// Lists its values, each at its place.
    fn all() -> impl Iterator<Item = Self>;

    /// Returns the place of a value among all.
    fn place(self) -> usize;

    /// Returns the word that stands for a value.
    fn word(self) -> &'static str;
}

macro_rules! labels {
    ($($(#[doc = $about:literal])+ $label:ident = $name:literal {
        $($(#[doc = $meaning:literal])+ $value:ident = $word:literal,)*
    })*) => {$(
        $(#[doc = $about])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $label {
            $($(#[doc = $meaning])+ $value,)*
        }

        impl Label for $label {
            const NAME: &'static str = $name;

            fn all() -> impl Iterator<Item = Self> {
                [$(Self::$value,)*].into_iter()
            }

            fn place(self) -> usize {
                self as usize
            }

            fn word(self) -> &'static str {
                match self {
                    $(Self::$value => $word,)*
                }
            }
        }
    )*};
}

labels! {
    /// What became of a delivery that was signed correctly.
    Answer = "answer" {
        /// It is a new event that waits.
        Accepted = "accepted",
        /// It was here before.
        Duplicate = "duplicate",
        /// It was here before, was given again, and waits once more.
        Reopened = "reopened",
        /// It asks for nothing, and is kept.
        Ignored = "ignored",
        /// It touched nothing that a row depends on, and is kept.
        Skipped = "skipped",
        /// It could not be read, and is kept.
        Unreadable = "unreadable",
    }
    /// Why a delivery was refused.
    Refused = "reason" {
        /// Its signature is missing or wrong (401).
        Signature = "signature",
        /// Its body is over the bound (413).
        TooLarge = "too_large",
        /// Its body did not arrive in time, or broke off (408, 400).
        BrokenOff = "broken_off",
        /// It could not be made durable (503).
        NotDurable = "not_durable",
    }
    /// What became of a handshake.
    Shaken = "answer" {
        /// Its token was stored.
        Taken = "taken",
        /// It was answered and ignored, because a token is known.
        Ignored = "ignored",
    }
    /// What Notion was asked for.
    Endpoint = "endpoint" {
        /// A page.
        Page = "page",
        /// A page of the results of a query.
        Query = "query",
        /// The schema of a data source.
        DataSource = "data_source",
        /// A database, for its data sources.
        Database = "database",
        /// Whose token it is.
        User = "user",
        /// Something to be changed.
        Update = "update",
    }
    /// What pages were fetched by.
    FetchedBy = "by" {
        /// A question about one page.
        Page = "page",
        /// A query about many pages that events named.
        Query = "query",
        /// Whatever a sweep asked.
        Sweep = "sweep",
    }
    /// What a look at a page brought.
    Snapshot = "outcome" {
        /// It changed an entry.
        Changed = "changed",
        /// It confirmed what was known.
        Unchanged = "unchanged",
        /// It was older than what was applied.
        Stale = "stale",
        /// It took a page out of its source: trashed, moved out, gone.
        Removed = "removed",
        /// Notion no longer shows the page, and nobody said that it was deleted.
        Missing = "missing",
    }
    /// What a query about many pages brought for one of them.
    GroupPage = "outcome" {
        /// Its events are settled.
        Settled = "settled",
        /// It is fetched by itself.
        Left = "left",
    }
    /// Where something went wrong.
    Part = "part" {
        /// Deliveries that could not be kept.
        Intake = "intake",
        /// Looks whose events were parked, or of which could not be stored what came of them.
        Worker = "worker",
        /// What sweeps could not do.
        Sweep = "sweep",
        /// The database, asked beside the work.
        Store = "store",
        /// Requests to Notion that failed, but for 404 and rate limits.
        Notion = "notion",
        /// Questions that the database did not answer.
        Lookup = "lookup",
        /// Settings that were read again and refused.
        Settings = "settings",
    }
    /// Where a company was asked for.
    LookupDoor = "door" {
        /// The private address.
        Http = "http",
        /// A tool of the MCP server.
        Mcp = "mcp",
    }
    /// What was answered.
    Said = "verdict" {
        /// Do not push.
        Suppressed = "suppressed",
        /// Push.
        Clear = "clear",
        /// What is known is too old.
        Stale = "stale",
        /// No verdict: the question names nothing, or the database did not answer.
        Error = "error",
    }
    /// What became of settings that were read again.
    Reload = "outcome" {
        /// They hold.
        Taken = "taken",
        /// They are wrong: the old ones go on to hold.
        Refused = "refused",
    }
}

/// The kind of an event; what Notion added later, or nobody could read, is `other`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventType(usize);

impl EventType {
    /// A kind that this version does not know.
    pub const OTHER: Self = Self(EventKind::KNOWN.len());
}

impl From<&EventKind> for EventType {
    fn from(kind: &EventKind) -> Self {
        EventKind::KNOWN.iter().position(|known| known == kind).map_or(Self::OTHER, Self)
    }
}

impl Label for EventType {
    const NAME: &'static str = "type";

    fn all() -> impl Iterator<Item = Self> {
        (0..=Self::OTHER.0).map(Self)
    }

    fn place(self) -> usize {
        self.0
    }

    fn word(self) -> &'static str {
        EventKind::KNOWN.get(self.0).map_or("other", EventKind::name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn check<L: Label>(count: usize) {
        let words: BTreeSet<_> = L::all().map(Label::word).collect();
        assert_eq!(words.len(), count, "{}", L::NAME);
        assert!(L::all().enumerate().all(|(nth, value)| value.place() == nth), "{}", L::NAME);
    }

    #[test]
    fn each_value_has_a_place_and_a_word_of_its_own() {
        check::<EventType>(32);
        check::<Answer>(6);
        check::<Endpoint>(6);
        check::<Part>(7);
        assert_eq!(EventType::from(&EventKind::PageMoved).word(), "page.moved");
        assert_eq!(EventType::from(&EventKind::Other("page.teleported".to_owned())).word(), "other");
    }
}
