//! Which events are about our sources. Everything that a connection can see arrives (WH), so most need not be.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError, RwLock},
};

use crate::{
    model::{
        event::{Concern, Event, EventKind, EventParent},
        id::{DataSourceId, DatabaseId},
    },
    store::Disposition,
};

/// The tables that are ours, as far as they are known now. Clones share what they know.
#[derive(Debug, Clone, Default)]
pub struct OurSources(Arc<RwLock<Known>>);

/// What is known of our tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Our data sources: the configured ones, and those of configured databases.
    pub data_sources: BTreeSet<DataSourceId>,
    /// The databases around them.
    pub databases: BTreeSet<DatabaseId>,
    /// Whether that is all: Notion has told the data sources of every configured database, and the other way round.
    pub complete: bool,
}

impl OurSources {
    /// Replaces what is known.
    pub fn set(&self, known: Known) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// Says what is to become of `event`. Where it cannot be told yet whether a table is ours, it is looked at: that
    /// costs a request, and the page itself says where it stands.
    pub fn disposition(&self, event: &Event) -> Disposition {
        // An event about a page can name something else: there is nothing to fetch then.
        if event.subject.is_none() {
            return Disposition::Ignore;
        }
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match event.kind.concern() {
            Concern::Page if known.may_hold(event.parent) => Disposition::Look,
            // It may have been moved or thrown out of a source of ours.
            Concern::Page => Disposition::LookIfKnown,
            Concern::Sources if known.may_concern(event) => Disposition::Look,
            Concern::Sources | Concern::Nothing => Disposition::Ignore,
        }
    }
}

impl Known {
    fn may_hold(&self, parent: EventParent) -> bool {
        match parent {
            EventParent::DataSource(id) => self.data_sources.contains(&id) || !self.complete,
            EventParent::Database(id) => self.databases.contains(&id) || !self.complete,
            EventParent::Elsewhere => false,
            EventParent::Unsaid => true,
        }
    }

    /// Goes by the bare id: Notion calls one id a data source here and a database there (its samples of
    /// `data_source.schema_updated` and `database.schema_updated`, EV).
    fn may_concern(&self, event: &Event) -> bool {
        let table = match event.parent {
            EventParent::DataSource(id) => id.uuid(),
            EventParent::Database(id) => id.uuid(),
            EventParent::Elsewhere | EventParent::Unsaid => return true,
        };
        let is_ours = self.data_sources.contains(&DataSourceId::from_uuid(table))
            || self.databases.contains(&DatabaseId::from_uuid(table));
        // It may have come into a database of ours, which the event does not name.
        let is_new = matches!(
            event.kind,
            EventKind::DataSourceCreated | EventKind::DataSourceUndeleted | EventKind::DataSourceMoved
        );
        is_ours || is_new || !self.complete
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;
    use crate::model::event::Subject;

    const OURS: Uuid = Uuid::from_u128(1);
    const OUR_DATABASE: Uuid = Uuid::from_u128(2);
    const FOREIGN: Uuid = Uuid::from_u128(9);

    fn our_sources(complete: bool) -> OurSources {
        let sources = OurSources::default();
        sources.set(Known {
            data_sources: [DataSourceId::from_uuid(OURS)].into(),
            databases: [DatabaseId::from_uuid(OUR_DATABASE)].into(),
            complete,
        });
        sources
    }

    fn check(sources: &OurSources, kind: &str, parent: EventParent, expected: Disposition) {
        let event = Event {
            id: "e".to_owned(),
            kind: EventKind::from_name(kind),
            occurred_at: DateTime::UNIX_EPOCH,
            subject: Some(Subject::Sources),
            parent,
            updated_properties: vec![],
            attempt: 1,
        };
        assert_eq!(sources.disposition(&event), expected, "{kind} in {parent:?}");
    }

    fn in_source(id: Uuid) -> EventParent {
        EventParent::DataSource(DataSourceId::from_uuid(id))
    }

    fn in_database(id: Uuid) -> EventParent {
        EventParent::Database(DatabaseId::from_uuid(id))
    }

    #[test]
    fn a_page_of_ours_is_looked_at_and_another_one_only_if_it_was_ours() {
        let sources = our_sources(true);
        for kind in ["page.created", "page.moved", "page.deleted", "page.content_updated"] {
            check(&sources, kind, in_source(OURS), Disposition::Look);
            check(&sources, kind, in_database(OUR_DATABASE), Disposition::Look);
            check(&sources, kind, EventParent::Unsaid, Disposition::Look);
            check(&sources, kind, in_source(FOREIGN), Disposition::LookIfKnown);
            check(&sources, kind, in_database(FOREIGN), Disposition::LookIfKnown);
            check(&sources, kind, EventParent::Elsewhere, Disposition::LookIfKnown);
        }
    }

    #[test]
    fn a_table_that_may_yet_turn_out_to_be_ours_is_looked_at() {
        for sources in [our_sources(false), OurSources::default()] {
            check(&sources, "page.created", in_source(FOREIGN), Disposition::Look);
            check(&sources, "page.created", in_database(FOREIGN), Disposition::Look);
            check(&sources, "page.created", EventParent::Elsewhere, Disposition::LookIfKnown);
            check(&sources, "data_source.schema_updated", in_source(FOREIGN), Disposition::Look);
            check(&sources, "comment.created", in_source(OURS), Disposition::Ignore);
        }
    }

    #[test]
    fn only_our_tables_are_read_again_whatever_they_are_called() {
        let sources = our_sources(true);
        for kind in ["data_source.schema_updated", "data_source.deleted", "database.schema_updated", "database.moved"] {
            for id in [OURS, OUR_DATABASE] {
                check(&sources, kind, in_source(id), Disposition::Look);
                check(&sources, kind, in_database(id), Disposition::Look);
            }
            check(&sources, kind, in_source(FOREIGN), Disposition::Ignore);
            check(&sources, kind, in_database(FOREIGN), Disposition::Ignore);
            check(&sources, kind, EventParent::Unsaid, Disposition::Look);
        }
    }

    #[test]
    fn a_table_that_may_have_come_into_our_database_is_looked_at() {
        let sources = our_sources(true);
        for kind in ["data_source.created", "data_source.undeleted", "data_source.moved"] {
            check(&sources, kind, in_source(FOREIGN), Disposition::Look);
        }
        check(&sources, "database.undeleted", in_database(FOREIGN), Disposition::Ignore);
    }

    #[test]
    fn what_no_row_depends_on_is_ignored() {
        let sources = our_sources(true);
        for kind in ["page.locked", "comment.created", "view.deleted", "data_source.content_updated", "page.teleported"]
        {
            check(&sources, kind, in_source(OURS), Disposition::Ignore);
        }
    }

    #[test]
    fn what_names_nothing_to_look_at_is_ignored() {
        let event = Event {
            id: "e".to_owned(),
            kind: EventKind::PageCreated,
            occurred_at: DateTime::UNIX_EPOCH,
            subject: None,
            parent: EventParent::Unsaid,
            updated_properties: vec![],
            attempt: 1,
        };
        assert_eq!(our_sources(true).disposition(&event), Disposition::Ignore);
    }
}
