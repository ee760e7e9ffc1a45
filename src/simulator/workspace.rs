//! A workspace as people work in it: what they can do to pages, and what Notion tells of it.
//!
//! Every operation takes effect at once and notes the events that Notion would send. Some changes tell nothing at
//! all: archiving, and whatever concerns permissions.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use fastrand::Rng;
use tokio::sync::Notify;

use crate::{
    clock::Clock,
    model::{
        event::EventKind,
        id::{DataSourceId, DatabaseId, PageId},
    },
    simulator::{
        draft::Draft,
        event::{Detail, Entity, Event},
        identity::Identity,
        schema::{Kind, PropertyId, TITLE_ID, encoded},
        value::Value,
        world::{Access, Home, Outcome, Shelf, World, minute},
    },
};

/// A simulated workspace with one database of one data source, laid out as a CRM. Cheap to clone.
#[derive(Clone)]
pub struct Workspace(Arc<Inside>);

struct Inside {
    clock: Clock,
    habits: Habits,
    identity: Identity,
    world: Mutex<World>,
    told: Notify,
}

/// What is not known of Notion and can therefore be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Habits {
    /// What tells that a title was edited.
    pub title_edit: TitleEdit,
    /// Whether trashing and restoring move `last_edited_time`.
    pub trash_is_an_edit: bool,
    /// Whether the status is of the type `status` or `select`.
    pub status: Kind,
}

/// What tells that the title of a row was edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TitleEdit {
    /// `page.content_updated`, as in the documentation's own example («WH»).
    ContentUpdated,
    /// `page.properties_updated`, naming `title`.
    PropertiesUpdated,
}

impl Default for Habits {
    fn default() -> Self {
        Self { title_edit: TitleEdit::ContentUpdated, trash_is_an_edit: true, status: Kind::Status }
    }
}

impl Workspace {
    /// Opens a workspace without pages. The same seed gives the same ids.
    pub fn new(clock: Clock, seed: u64, habits: Habits) -> Self {
        let mut rng = Rng::with_seed(seed);
        let identity = Identity::invent(&mut rng);
        let mut world = World::empty(rng);
        world.found(&identity, habits.status, to_millisecond(clock.now()));
        Self(Arc::new(Inside { clock, habits, identity, world: Mutex::new(world), told: Notify::new() }))
    }

    /// Returns who is who.
    pub fn identity(&self) -> &Identity {
        &self.0.identity
    }

    /// Returns the database of the CRM.
    pub fn database(&self) -> DatabaseId {
        self.0.identity.database
    }

    /// Returns the data source of the CRM.
    pub fn data_source(&self) -> DataSourceId {
        self.0.identity.data_source
    }

    /// Returns how Notion is taken to behave where that is not known.
    pub fn habits(&self) -> Habits {
        self.0.habits
    }

    /// Returns the clock that the workspace lives by.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Creates a page: `page.created`.
    pub fn create(&self, draft: Draft) -> PageId {
        self.act(|world, now| {
            let (id, home) = world.write_page(draft, self.data_source(), now);
            world.tell(EventKind::PageCreated, Entity::Page(id), Detail::None, now);
            world.tell_rows_changed(home, id, now);
            id
        })
    }

    /// Puts a page where it has been since `at`, before anybody subscribed to anything: no event.
    pub fn place(&self, draft: Draft, at: DateTime<Utc>) -> PageId {
        self.act(|world, _| world.write_page(draft, self.data_source(), to_millisecond(at)).0)
    }

    /// Writes into a page: `page.properties_updated`, and for the title what [`Habits::title_edit`] says.
    ///
    /// A page in the trash cannot be edited. Writing what is there already tells nothing.
    pub fn edit(&self, page: PageId, draft: Draft) -> Outcome {
        let title_edit = self.0.habits.title_edit;
        self.act(|world, now| {
            let Some(live) = world.live(page) else { return Outcome::Refused };
            let values = world.written(live.home, &live.values, draft, now);
            let mut changed: Vec<_> = changed_ids(&live.values, &values);
            let outcome = world.change(page, now, |version| {
                if !changed.is_empty() {
                    version.edited = minute(now);
                    version.values = Arc::new(values);
                }
            });
            if title_edit == TitleEdit::ContentUpdated && changed.iter().any(|id| &**id == TITLE_ID) {
                changed.retain(|id| &**id != TITLE_ID);
                let blocks = Detail::Blocks(vec![page.uuid()]);
                world.tell(EventKind::PageContentUpdated, Entity::Page(page), blocks, now);
            }
            if !changed.is_empty() {
                let ids = Detail::Properties(changed.iter().map(|id| encoded(id)).collect());
                world.tell(EventKind::PagePropertiesUpdated, Entity::Page(page), ids, now);
            }
            outcome
        })
    }

    /// Has a page show other values without being edited, as a formula or a rollup does that follows another page: no event.
    pub fn recompute(&self, page: PageId, draft: Draft) -> Outcome {
        self.act(|world, now| {
            let Some(live) = world.live(page) else { return Outcome::Refused };
            let values = world.written(live.home, &live.values, draft, now);
            world.change(page, now, |version| version.values = Arc::new(values))
        })
    }

    /// Writes a note below the properties: `page.content_updated`.
    pub fn edit_content(&self, page: PageId) -> Outcome {
        self.act(|world, now| {
            if world.live(page).is_none() {
                return Outcome::Refused;
            }
            let block = Detail::Blocks(vec![world.uuid()]);
            world.change(page, now, |version| version.edited = minute(now));
            world.tell(EventKind::PageContentUpdated, Entity::Page(page), block, now);
            Outcome::Changed
        })
    }

    /// Moves a page into the trash: `page.deleted`.
    pub fn trash(&self, page: PageId) -> Outcome {
        self.shelve(page, Shelf::Live, Shelf::Trash)
    }

    /// Takes a page out of the trash: `page.undeleted`.
    pub fn restore(&self, page: PageId) -> Outcome {
        self.shelve(page, Shelf::Trash, Shelf::Live)
    }

    /// Removes a page from the trash, after which it cannot be read any more: no event of its own.
    pub fn purge(&self, page: PageId) -> Outcome {
        self.shelve(page, Shelf::Trash, Shelf::Purged)
    }

    /// Archives a page: it is hidden from plain queries, but stays a row. No event («QDS»).
    pub fn archive(&self, page: PageId) -> Outcome {
        self.act(|world, now| world.change(page, now, |version| version.is_archived = true))
    }

    /// Takes a page back from the archive: no event.
    pub fn unarchive(&self, page: PageId) -> Outcome {
        self.act(|world, now| world.change(page, now, |version| version.is_archived = false))
    }

    /// Locks a page: `page.locked`.
    pub fn lock(&self, page: PageId) -> Outcome {
        self.set_lock(page, true, EventKind::PageLocked)
    }

    /// Unlocks a page: `page.unlocked`.
    pub fn unlock(&self, page: PageId) -> Outcome {
        self.set_lock(page, false, EventKind::PageUnlocked)
    }

    /// Hides a page from the connection, or shows it again: no event.
    pub fn set_access(&self, page: PageId, access: Access) -> Outcome {
        self.act(|world, now| world.change(page, now, |version| version.access = access))
    }

    /// Moves a page: `page.moved`, which names the new place.
    ///
    /// In another data source it keeps the values of properties of the same name and type, and under a plain page its
    /// title only («PAGE»).
    pub fn move_to(&self, page: PageId, home: Home) -> Outcome {
        self.act(|world, now| {
            let Some(live) = world.live(page).filter(|_| world.has_home(home)) else { return Outcome::Refused };
            let values = world.carried(&live, home, now);
            let outcome = world.change(page, now, |version| {
                if version.home != home {
                    version.home = home;
                    version.edited = minute(now);
                    version.values = Arc::new(values);
                }
            });
            if outcome == Outcome::Changed {
                world.tell(EventKind::PageMoved, Entity::Page(page), Detail::None, now);
                world.tell_rows_changed(live.home, page, now);
                world.tell_rows_changed(home, page, now);
            }
            outcome
        })
    }

    /// Takes the events that nobody has taken yet, in the order in which they were made.
    pub fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut self.lock_world().events)
    }

    /// Waits until an event has been made since the last wait.
    pub async fn told(&self) {
        self.0.told.notified().await;
    }

    /// Does something to the world at one instant, and wakes who waits for events.
    pub(crate) fn act<T>(&self, work: impl FnOnce(&mut World, DateTime<Utc>) -> T) -> T {
        let now = to_millisecond(self.0.clock.now());
        let mut world = self.lock_world();
        let result = work(&mut world, now);
        if !world.events.is_empty() {
            self.0.told.notify_one();
        }
        result
    }

    /// Looks at the world.
    pub(crate) fn look<T>(&self, question: impl FnOnce(&World) -> T) -> T {
        question(&self.lock_world())
    }

    fn shelve(&self, page: PageId, from: Shelf, to: Shelf) -> Outcome {
        let is_an_edit = self.0.habits.trash_is_an_edit;
        self.act(|world, now| {
            let Some(home) = world.pages.get(&page).filter(|page| page.live.shelf == from).map(|page| page.live.home)
            else {
                return Outcome::Refused;
            };
            let outcome = world.change(page, now, |version| {
                version.shelf = to;
                if is_an_edit {
                    version.edited = minute(now);
                }
            });
            let kind = match to {
                Shelf::Live => EventKind::PageUndeleted,
                Shelf::Trash => EventKind::PageDeleted,
                Shelf::Purged => return outcome,
            };
            world.tell(kind, Entity::Page(page), Detail::None, now);
            world.tell_rows_changed(home, page, now);
            outcome
        })
    }

    fn set_lock(&self, page: PageId, locked: bool, kind: EventKind) -> Outcome {
        self.act(|world, now| {
            let outcome = world.change(page, now, |version| version.is_locked = locked);
            if outcome == Outcome::Changed {
                world.tell(kind, Entity::Page(page), Detail::None, now);
            }
            outcome
        })
    }

    fn lock_world(&self) -> MutexGuard<'_, World> {
        self.0.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Workspace {
    /// Says which workspace it is; its pages may be many.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workspace").field("identity", self.identity()).finish_non_exhaustive()
    }
}

/// Notion's finest time is the millisecond.
fn to_millisecond(at: DateTime<Utc>) -> DateTime<Utc> {
    at.duration_trunc(TimeDelta::milliseconds(1)).unwrap_or(at)
}

/// Lists the properties whose values differ.
fn changed_ids(before: &BTreeMap<PropertyId, Value>, after: &BTreeMap<PropertyId, Value>) -> Vec<PropertyId> {
    let ids = before.keys().chain(after.keys().filter(|id| !before.contains_key(*id)));
    ids.filter(|id| before.get(*id) != after.get(*id)).map(Arc::clone).collect()
}

#[cfg(test)]
mod tests {
    use crate::{
        model::page::Role,
        simulator::draft::{changes, company},
    };

    use super::*;

    fn workspace() -> Workspace {
        Workspace::new(Clock::system(), 1, Habits::default())
    }

    /// Does `deed` to a page that is there, and compares what is told.
    #[track_caller]
    fn check<T>(deed: impl FnOnce(&Workspace, PageId) -> T, expected: &[&str]) {
        let workspace = workspace();
        let page = workspace.create(company("Amber Kiln").website("https://amber-kiln.example").status("Sourced"));
        workspace.take_events();
        deed(&workspace, page);
        let told: Vec<_> = workspace.take_events();
        assert_eq!(told.iter().map(|event| event.kind.name()).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn every_change_makes_the_events_that_notion_makes() {
        check(|w, _| w.create(company("Quill Weir")), &["page.created", "data_source.content_updated"]);
        check(|w, page| w.edit(page, changes().status("Passed")), &["page.properties_updated"]);
        check(|w, page| w.edit(page, changes().name("Amber Forge")), &["page.content_updated"]);
        check(
            |w, page| w.edit(page, changes().name("Amber Forge").status("Lost")),
            &["page.content_updated", "page.properties_updated"],
        );
        check(Workspace::edit_content, &["page.content_updated"]);
        check(Workspace::trash, &["page.deleted", "data_source.content_updated"]);
        check(Workspace::lock, &["page.locked"]);
        check(|w, page| w.move_to(page, Home::Page(w.identity().page)), &["page.moved", "data_source.content_updated"]);
        let table = Workspace::data_source;
        check(|w, _| w.rename_property(table(w), "Website", "Homepage"), &["data_source.schema_updated"]);
        check(|w, _| w.delete_property(table(w), "Website"), &["data_source.schema_updated"]);
        check(|w, _| w.trash_data_source(table(w)), &["data_source.deleted"]);
        check(
            |w, page| w.edit(page, changes().status("Snoozed")),
            &["data_source.schema_updated", "page.properties_updated"],
        );
    }

    #[test]
    fn some_changes_tell_nothing() {
        check(|w, page| w.edit(page, changes().status("Sourced")), &[]);
        check(Workspace::archive, &[]);
        check(|w, page| w.set_access(page, Access::Unshared), &[]);
        check(|w, _| w.set_database_access(w.database(), Access::Unshared), &[]);
        check(|w, _| w.place(company("Quill Weir"), w.clock().now()), &[]);
        check(
            |w, page| {
                w.trash(page);
                w.take_events();
                assert_eq!(w.purge(page), Outcome::Changed);
            },
            &[],
        );
    }

    #[test]
    fn an_edit_names_its_properties_encoded() {
        let workspace = workspace();
        let page = workspace.create(company("Amber Kiln"));
        workspace.take_events();
        workspace.edit(page, changes().website("https://amber-kiln.example"));
        let events = workspace.take_events();
        assert_eq!(events[0].detail, Detail::Properties(vec!["f%5C%5C%3Ap".to_owned()]));
        assert_eq!(
            events[0].parent,
            crate::simulator::event::Parent::Row(workspace.database(), workspace.data_source())
        );
    }

    #[test]
    fn a_title_edit_can_be_told_as_a_property() {
        let habits = Habits { title_edit: TitleEdit::PropertiesUpdated, ..Habits::default() };
        let workspace = Workspace::new(Clock::system(), 1, habits);
        let page = workspace.create(company("Amber Kiln"));
        workspace.take_events();
        workspace.edit(page, changes().name("Amber Forge"));
        assert_eq!(workspace.take_events()[0].detail, Detail::Properties(vec!["title".to_owned()]));
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        let workspace = workspace();
        let page = workspace.create(company("Amber Kiln"));
        assert_eq!(workspace.restore(page), Outcome::Refused);
        assert_eq!(workspace.purge(page), Outcome::Refused);
        workspace.trash(page);
        assert_eq!(workspace.edit(page, changes().status("Passed")), Outcome::Refused);
        assert_eq!(workspace.move_to(page, Home::Page(page)), Outcome::Refused);
        assert_eq!(workspace.delete_property(workspace.data_source(), "Company Name"), Outcome::Refused);
    }

    #[test]
    fn a_page_takes_along_what_its_new_home_has_a_place_for() {
        let workspace = workspace();
        let second = workspace.add_data_source("Passed on");
        workspace.delete_property(second, "Website");
        let page = workspace.create(company("Amber Kiln").website("https://amber-kiln.example").status("Snoozed"));
        workspace.move_to(page, Home::DataSource(second));
        let values = workspace.truth(page).unwrap().values;
        assert_eq!(values.get(Role::Status), Some("Snoozed"));
        assert_eq!(values.get(Role::Website), None);
        workspace.move_to(page, Home::Page(workspace.identity().page));
        let values = workspace.truth(page).unwrap().values;
        assert_eq!((values.get(Role::CompanyName), values.get(Role::Status)), (Some("Amber Kiln"), None));
        assert!(workspace.rows(second).is_empty());
    }

    #[test]
    fn a_renamed_option_shows_on_every_page() {
        let workspace = workspace();
        let page = workspace.create(company("Amber Kiln").status("Passed"));
        workspace.rename_option(workspace.data_source(), "Status", "Passed", "Declined");
        assert_eq!(workspace.truth(page).unwrap().values.get(Role::Status), Some("Declined"));
    }

    #[test]
    fn a_seed_gives_the_same_ids() {
        let ids = |seed| {
            let workspace = Workspace::new(Clock::system(), seed, Habits::default());
            (workspace.identity().clone(), workspace.create(company("Amber Kiln")))
        };
        assert_eq!(ids(1), ids(1));
        assert_ne!(ids(1), ids(2));
    }
}
