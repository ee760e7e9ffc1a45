//! The history of an entry: what changed, when, and why, in words and in parts.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    model::{
        entry::{Cause, Door, Face},
        key::Key,
    },
    store::{Rows, StoreError},
};

/// The changes of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct History {
    /// The changes, newest first.
    pub history: Vec<ListedChange>,
    /// Whether older changes are known than were asked for.
    pub has_older: bool,
    /// Changes before this are forgotten; `None` where none is missing, as far as can be known.
    pub nothing_known_before: Option<DateTime<Utc>>,
}

/// A change of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ListedChange {
    /// When it was applied.
    pub changed_at: DateTime<Utc>,
    /// What the row said before; `None` where there was none.
    pub from: Option<Face>,
    /// What it said then; `None` where it went.
    pub to: Option<Face>,
    /// Why.
    pub cause: ListedCause,
}

/// Why an entry changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ListedCause {
    /// Which door brought the news.
    pub door: Door,
    /// In words.
    pub told: String,
    /// The event that told of the page, if one did.
    pub event_id: Option<String>,
    /// What happened by that event.
    pub event_kind: Option<String>,
    /// When that happened; `None` where the event is forgotten.
    pub event_occurred_at: Option<DateTime<Utc>>,
    /// The number of the sweep that found it, if one did.
    pub sweep: Option<i64>,
}

/// Reads the newest changes of the entry of a key, at most `changes_max`. `is_published`: there is a row of ours.
pub(super) fn read(
    rows: &mut dyn Rows,
    key: &Key,
    is_published: bool,
    changes_max: u32,
) -> Result<History, StoreError> {
    let mut changes = rows.changes_of(key, changes_max.saturating_add(1))?;
    let has_older = changes.len() > changes_max as usize;
    changes.truncate(changes_max as usize);
    let nothing_known_before = match changes.last() {
        _ if has_older => None,
        // The row was there before: how it came to be is forgotten.
        Some(oldest) => oldest.from.as_ref().map(|_| oldest.changed_at),
        None if is_published => rows.first_change()?,
        None => None,
    };
    let mut history = Vec::with_capacity(changes.len());
    for change in changes {
        let mut cause = cause(&change.cause);
        if let Some(event) = &cause.event_id {
            cause.event_occurred_at = rows.event(event)?.map(|event| event.occurred_at);
        }
        history.push(ListedChange { changed_at: change.changed_at, from: change.from, to: change.to, cause });
    }
    Ok(History { history, has_older, nothing_known_before })
}

/// Takes a cause apart. Of a look that events asked for, its id is the newest event and its kind.
fn cause(Cause { door, id }: &Cause) -> ListedCause {
    let event = match door {
        // Notion's kinds all have a point; what else is said here has none.
        Door::Webhook | Door::Replay => id.rsplit_once(' ').filter(|(_, kind)| kind.contains('.')),
        Door::Sweep | Door::Settings | Door::Lookup => None,
    };
    let sweep = id.parse().ok().filter(|_| *door == Door::Sweep);
    let told = match (door, event) {
        (Door::Replay, Some((event, kind))) => format!("event {event} ({kind}) was replayed"),
        (_, Some((event, kind))) => format!("Notion told of it with event {event} ({kind})"),
        (Door::Sweep, None) => format!("sweep {id} found it"),
        (Door::Settings, None) => "the rules or settings changed, and the stored values were read anew".to_owned(),
        (Door::Lookup, None) => "the page was fetched because somebody asked for a younger proof".to_owned(),
        (Door::Replay, None) => format!("a replay: {id}"),
        (Door::Webhook, None) => format!("events asked for a look: {id}"),
    };
    let (event_id, event_kind) = event.map(|(id, kind)| (id.to_owned(), kind.to_owned())).unzip();
    ListedCause { door: *door, told, event_id, event_kind, event_occurred_at: None, sweep }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_taken_apart_as_it_was_put_together() {
        let check = |door, id: &str, event: Option<(&str, &str)>, sweep, told: &str| {
            let cause = cause(&Cause { door, id: id.to_owned() });
            assert_eq!((cause.event_id.as_deref(), cause.event_kind.as_deref()), event.unzip(), "{id}");
            assert_eq!((cause.sweep, cause.told.as_str()), (sweep, told), "{id}");
        };
        let event = Some(("3296958a", "page.created"));
        check(
            Door::Webhook,
            "3296958a page.created",
            event,
            None,
            "Notion told of it with event 3296958a (page.created)",
        );
        check(Door::Replay, "3296958a page.created", event, None, "event 3296958a (page.created) was replayed");
        let spaced = Some(("an id", "page.later_kind"));
        check(
            Door::Webhook,
            "an id page.later_kind",
            spaced,
            None,
            "Notion told of it with event an id (page.later_kind)",
        );
        let told = "events asked for a look: a query for other pages";
        check(Door::Webhook, "a query for other pages", None, None, told);
        check(Door::Webhook, "inbox 12", None, None, "events asked for a look: inbox 12");
        check(Door::Sweep, "12", None, Some(12), "sweep 12 found it");
        check(
            Door::Settings,
            "a page.b",
            None,
            None,
            "the rules or settings changed, and the stored values were read anew",
        );
        let told = "the page was fetched because somebody asked for a younger proof";
        check(Door::Lookup, "a younger proof was asked for", None, None, told);
    }
}
