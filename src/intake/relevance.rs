//! Which events are about our sources, and touch what rows depend on. Everything that a connection can see arrives
//! (WH), so most need not do either.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError, RwLock},
};

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{
    model::{
        event::{Concern, Event, EventKind, EventParent},
        id::{DataSourceId, DatabaseId},
    },
    sources::filter::{Filter, JUDGED_AFTER},
    store::Disposition,
};

/// Of so many events that are skipped, one is looked at all the same, to find out whether skipping is right. Nothing is
/// lost by the wait before that, since the other ones are never looked at.
const SKIPPED_PER_SAMPLE: u64 = 20;

/// The tables that are ours, as far as they are known now. Clones share what they know.
#[derive(Debug, Clone, Default)]
pub struct OurSources {
    known: Arc<RwLock<Known>>,
    filter: Filter,
    /// The workspaces of all sources; `None` where one of them may be in any.
    workspaces: Option<Arc<BTreeSet<Uuid>>>,
}

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
    /// Skips what `filter` says needs no look; without one nothing is skipped.
    pub fn filtered_by(filter: Filter) -> Self {
        Self { known: Arc::default(), filter, workspaces: None }
    }

    /// Takes over in which workspaces the sources are; `None` for one that may be in any.
    #[must_use]
    pub fn within(self, workspaces: impl IntoIterator<Item = Option<Uuid>>) -> Self {
        let workspaces: Option<BTreeSet<_>> = workspaces.into_iter().collect();
        Self { workspaces: workspaces.filter(|all| !all.is_empty()).map(Arc::new), ..self }
    }

    /// Replaces what is known.
    pub fn set(&self, known: Known) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// Says what is to become of `event`, received now. Where it cannot be told yet whether a table is ours, it is looked at: that
    /// costs a request, and the page itself says where it stands.
    pub fn disposition(&self, event: &Event, now: DateTime<Utc>) -> Disposition {
        // An event about a page can name something else: there is nothing to fetch then.
        if event.subject.is_none() {
            return Disposition::Ignore;
        }
        if let Some(source) = self.is_irrelevant(event) {
            return Disposition::Skip { source, sampled_at: is_sample(&event.id).then_some(now + JUDGED_AFTER) };
        }
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let is_foreign = self.is_foreign(event);
        match event.kind.concern() {
            // A table of ours is ours, whatever the settings say of its workspace.
            Concern::Page if known.holds(event.parent) => Disposition::Look,
            Concern::Page if !is_foreign && known.may_hold(event.parent) => Disposition::Look,
            // It may have been moved or thrown out of a source of ours.
            Concern::Page => Disposition::LookIfKnown,
            Concern::Sources if known.is_of_ours(event.parent) => Disposition::Look,
            Concern::Sources if !is_foreign && known.may_concern(event) => Disposition::Look,
            Concern::Sources | Concern::Nothing => Disposition::Ignore,
        }
    }

    /// Returns whether an event is from a workspace in which no source is.
    fn is_foreign(&self, event: &Event) -> bool {
        let (Some(ours), Some(workspace)) = (&self.workspaces, event.workspace) else { return false };
        !ours.contains(&workspace)
    }

    /// Returns the source of ours in which an edit touched nothing that a row depends on.
    fn is_irrelevant(&self, event: &Event) -> Option<DataSourceId> {
        // A database may hold other sources, so that it does not say by which schema the ids are to be read.
        let EventParent::DataSource(source) = event.parent else { return None };
        let is_edit = event.kind == EventKind::PagePropertiesUpdated;
        (is_edit && self.filter.skips(source, &event.updated_properties)).then_some(source)
    }
}

/// Goes by the id, so that every delivery of an event decides alike.
fn is_sample(event: &str) -> bool {
    let digest = Sha256::digest(event);
    let number = digest.iter().take(8).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    number % SKIPPED_PER_SAMPLE == 0
}

impl Known {
    fn holds(&self, parent: EventParent) -> bool {
        match parent {
            EventParent::DataSource(id) => self.data_sources.contains(&id),
            EventParent::Database(id) => self.databases.contains(&id),
            EventParent::Elsewhere | EventParent::Unsaid => false,
        }
    }

    fn may_hold(&self, parent: EventParent) -> bool {
        match parent {
            EventParent::DataSource(_) | EventParent::Database(_) => self.holds(parent) || !self.complete,
            EventParent::Elsewhere => false,
            EventParent::Unsaid => true,
        }
    }

    /// Goes by the bare id: Notion calls one id a data source here and a database there (its samples of
    /// `data_source.schema_updated` and `database.schema_updated`, EV).
    fn is_of_ours(&self, table: EventParent) -> bool {
        let table = match table {
            EventParent::DataSource(id) => id.uuid(),
            EventParent::Database(id) => id.uuid(),
            EventParent::Elsewhere | EventParent::Unsaid => return false,
        };
        self.data_sources.contains(&DataSourceId::from_uuid(table))
            || self.databases.contains(&DatabaseId::from_uuid(table))
    }

    fn may_concern(&self, event: &Event) -> bool {
        if matches!(event.parent, EventParent::Elsewhere | EventParent::Unsaid) {
            return true;
        }
        // It may have come into a database of ours, which the event does not name.
        let is_new = matches!(
            event.kind,
            EventKind::DataSourceCreated | EventKind::DataSourceUndeleted | EventKind::DataSourceMoved
        );
        self.is_of_ours(event.parent) || is_new || !self.complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        derive::mapping::{self, Names},
        model::{
            event::Subject,
            id::PageId,
            page::{Schema, SchemaProperty},
        },
        sources::filter::{Basis, WrongSkip},
    };

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
            workspace: None,
            updated_properties: vec![],
            attempt: 1,
        };
        assert_eq!(sources.disposition(&event, DateTime::UNIX_EPOCH), expected, "{kind} in {parent:?}");
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

    /// A source with the mapped properties «title» and «url», and the unmapped ones «notes» and «a,b».
    fn filter(kind: &str) -> Filter {
        let property = |id: &str, name: &str, kind: &str| SchemaProperty {
            id: id.to_owned(),
            name: name.to_owned(),
            kind: kind.to_owned(),
            options: vec![],
        };
        let schema = Schema {
            data_source: DataSourceId::from_uuid(OURS),
            database: None,
            title: String::new(),
            unmapped: Vec::new(),
            properties: vec![
                property("title", "Company Name", "title"),
                property("url", "Website", kind),
                property("notes", "Notes", "rich_text"),
                property("a,b", "Score", "formula"),
            ],
        };
        let mapping = mapping::resolve(&schema, &Names::default(), None).unwrap().mapping;
        Filter::on_from_the_start(schema.data_source, Basis::of(&schema, &mapping))
    }

    fn edit(kind: &str, parent: EventParent, updated: &[&str]) -> Event {
        let page = PageId::from_uuid(Uuid::from_u128(7));
        Event {
            id: "e".to_owned(),
            kind: EventKind::from_name(kind),
            occurred_at: DateTime::UNIX_EPOCH,
            subject: Some(Subject::Page(page)),
            parent,
            workspace: None,
            updated_properties: updated.iter().map(|id| (*id).to_owned()).collect(),
            attempt: 1,
        }
    }

    #[test]
    fn only_an_edit_of_nothing_but_known_and_unmapped_properties_in_a_source_of_ours_is_skipped() {
        let sources = OurSources::filtered_by(filter("url"));
        sources.set(our_sources(true).known.read().unwrap().clone());
        let check = |kind, parent, updated: &[&str], skipped| {
            let disposition = sources.disposition(&edit(kind, parent, updated), DateTime::UNIX_EPOCH);
            let is_skipped = matches!(disposition, Disposition::Skip { .. });
            assert_eq!(is_skipped, skipped, "{kind} of {updated:?} in {parent:?}: {disposition:?}");
        };
        let (updated, ours) = ("page.properties_updated", in_source(OURS));
        check(updated, ours, &["notes"], true);
        check(updated, ours, &["notes", "a,b"], true);
        check(updated, ours, &["notes", "url"], false);
        check(updated, ours, &["title"], false);
        check(updated, ours, &["unheard of"], false);
        check(updated, ours, &[], false);
        for parent in [in_source(FOREIGN), in_database(OUR_DATABASE), EventParent::Elsewhere, EventParent::Unsaid] {
            check(updated, parent, &["notes"], false);
        }
        for kind in EventKind::KNOWN.iter().filter(|kind| **kind != EventKind::PagePropertiesUpdated) {
            check(kind.name(), ours, &["notes"], false);
        }
        let wrong = WrongSkip {
            found_at: DateTime::UNIX_EPOCH,
            event: "e".to_owned(),
            page: PageId::from_uuid(FOREIGN),
            changed: vec![],
        };
        sources.filter.turn_off(DataSourceId::from_uuid(OURS), &wrong);
        check(updated, ours, &["notes"], false);
    }

    #[test]
    fn nothing_is_skipped_where_a_mapped_property_changes_unedited_or_nothing_is_known() {
        let edit = edit("page.properties_updated", in_source(OURS), &["notes"]);
        let kinds = ["formula", "rollup", "relation", "created_by", "last_edited_time", "unique_id", "telepathy"];
        for filter in kinds.map(filter).into_iter().chain([Filter::default()]) {
            let disposition = OurSources::filtered_by(filter).disposition(&edit, DateTime::UNIX_EPOCH);
            assert_eq!(disposition, Disposition::Look);
        }
    }

    #[test]
    fn about_one_in_twenty_is_a_sample_and_always_the_same() {
        let samples: Vec<_> = (0..2000).filter(|n| is_sample(&n.to_string())).collect();
        assert!((60..140).contains(&samples.len()), "{}", samples.len());
        assert_eq!(samples[..3], [0, 9, 10], "they are the same in every version");
        let sources = OurSources::filtered_by(filter("url"));
        for n in [8, 9] {
            let event = Event { id: n.to_string(), ..edit("page.properties_updated", in_source(OURS), &["notes"]) };
            let sampled_at = (n == 9).then_some(DateTime::UNIX_EPOCH + JUDGED_AFTER);
            let expected = Disposition::Skip { source: DataSourceId::from_uuid(OURS), sampled_at };
            assert_eq!(sources.disposition(&event, DateTime::UNIX_EPOCH), expected);
        }
    }

    #[test]
    fn what_comes_from_a_workspace_that_nobody_configured_is_not_ours_unless_it_names_a_table_or_a_page_of_ours() {
        let workspace = |n| Some(Uuid::from_u128(n));
        let sources = |complete, workspaces: &[Option<Uuid>]| {
            let sources = our_sources(complete).within(workspaces.iter().copied());
            move |kind: &str, parent, workspace| {
                let event = Event { workspace, ..edit(kind, parent, &[]) };
                sources.disposition(&event, DateTime::UNIX_EPOCH)
            }
        };
        let (look, if_known) = (Disposition::Look, Disposition::LookIfKnown);
        let says = sources(false, &[workspace(1), workspace(2)]);
        for (of, parent, expected) in [
            (1, in_source(FOREIGN), look),
            (2, EventParent::Unsaid, look),
            (3, in_source(FOREIGN), if_known),
            (3, in_database(FOREIGN), if_known),
            (3, EventParent::Unsaid, if_known),
            // The settings may be wrong about the workspace; the table is ours all the same.
            (3, in_source(OURS), look),
            (3, in_database(OUR_DATABASE), look),
        ] {
            assert_eq!(says("page.created", parent, workspace(of)), expected, "{of} {parent:?}");
        }
        assert_eq!(says("page.created", in_source(FOREIGN), None), look, "it does not say where it is from");
        for (kind, parent, expected) in [
            ("data_source.created", in_source(FOREIGN), Disposition::Ignore),
            ("data_source.schema_updated", EventParent::Unsaid, Disposition::Ignore),
            ("data_source.schema_updated", in_source(OURS), look),
            ("database.moved", in_source(OUR_DATABASE), look),
        ] {
            assert_eq!(says(kind, parent, workspace(3)), expected, "{kind} {parent:?}");
        }
        // One source that may be anywhere leaves every workspace ours.
        let says = sources(false, &[workspace(1), None]);
        assert_eq!(says("page.created", in_source(FOREIGN), workspace(3)), look);
        assert_eq!(sources(false, &[])("page.created", in_source(FOREIGN), workspace(3)), look);
    }

    #[test]
    fn what_names_nothing_to_look_at_is_ignored() {
        let event = Event {
            id: "e".to_owned(),
            kind: EventKind::PageCreated,
            occurred_at: DateTime::UNIX_EPOCH,
            subject: None,
            parent: EventParent::Unsaid,
            workspace: None,
            updated_properties: vec![],
            attempt: 1,
        };
        assert_eq!(our_sources(true).disposition(&event, DateTime::UNIX_EPOCH), Disposition::Ignore);
    }
}
