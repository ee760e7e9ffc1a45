//! What a simulated workspace holds: databases, data sources, and every page with its latest versions.
//!
//! A page keeps its earlier versions for a while, because Notion shows them: a query is answered from an index that
//! trails the live page, and so may be a read. Each data source has its rows in two orders, by creation and by edit,
//! with one place for each version that is kept; whoever walks an order skips the places that are not those of the
//! version to be shown.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use fastrand::Rng;
use uuid::Uuid;

use crate::{
    model::{
        event::EventKind,
        id::{DataSourceId, DatabaseId, PageId},
    },
    simulator::{
        event::{Detail, Entity, Event, Parent},
        identity,
        schema::{PropertyId, Schema},
        value::Value,
    },
};

/// As many earlier versions of a page are kept.
const EARLIER_MAX: usize = 8;

/// Everything in the workspace.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) databases: BTreeMap<DatabaseId, Database>,
    pub(crate) data_sources: BTreeMap<DataSourceId, DataSource>,
    pub(crate) pages: HashMap<PageId, Page>,
    pub(crate) events: Vec<Event>,
}

/// A container of data sources.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    pub(crate) id: DatabaseId,
    pub(crate) title: String,
    /// The plain page that it stands on.
    pub(crate) page: PageId,
    /// To the millisecond, unlike the times of pages.
    pub(crate) created: DateTime<Utc>,
    pub(crate) access: Access,
}

/// A table, with its rows in two orders.
#[derive(Debug)]
pub(crate) struct DataSource {
    pub(crate) id: DataSourceId,
    pub(crate) database: DatabaseId,
    pub(crate) title: String,
    pub(crate) created: DateTime<Utc>,
    pub(crate) edited: DateTime<Utc>,
    pub(crate) in_trash: bool,
    pub(crate) schema: Arc<Schema>,
    pub(crate) by_creation: Places,
    pub(crate) by_edit: Places,
}

/// Rows in the order of one of their times.
pub(crate) type Places = BTreeSet<(DateTime<Utc>, PageId)>;

/// A page, with the versions that somebody may still see.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) id: PageId,
    /// The exact instant.
    pub(crate) born: DateTime<Utc>,
    pub(crate) live: Arc<Version>,
    earlier: VecDeque<Arc<Version>>,
}

/// A page as it was from one instant until the next version.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Version {
    /// Since when the page is so, exactly.
    pub(crate) since: DateTime<Utc>,
    /// What Notion gives as `last_edited_time`: floored to the minute, and not moved by every change.
    pub(crate) edited: DateTime<Utc>,
    pub(crate) home: Home,
    pub(crate) shelf: Shelf,
    pub(crate) access: Access,
    pub(crate) is_archived: bool,
    pub(crate) is_locked: bool,
    pub(crate) values: Arc<BTreeMap<PropertyId, Value>>,
}

/// Where a page stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Home {
    /// It is a row of this data source.
    DataSource(DataSourceId),
    /// It stands under this plain page, and has no properties but its title.
    Page(PageId),
}

/// Whether a page is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Shelf {
    /// It is.
    Live,
    /// It is in the trash: no query shows it, but it can be read.
    Trash,
    /// It is gone from the trash too.
    Purged,
}

/// Whether the connection may see a thing. No event tells a change of it («HELP»).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// It may.
    Shared,
    /// It may not: the thing looks as if it did not exist.
    Unshared,
}

/// What became of an operation on the workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Something is different now.
    Changed,
    /// It was so before; Notion tells nothing.
    Unchanged,
    /// It cannot be done: there is no such thing, or not in that state.
    Refused,
}

/// A page as the connection is shown it.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) id: PageId,
    pub(crate) created: DateTime<Utc>,
    pub(crate) version: Arc<Version>,
    /// The database that it is a row of, if it is one.
    pub(crate) database: Option<DatabaseId>,
    pub(crate) schema: Arc<Schema>,
}

impl World {
    /// Begins with nothing.
    pub(crate) fn empty(rng: Rng) -> Self {
        Self {
            rng,
            databases: BTreeMap::new(),
            data_sources: BTreeMap::new(),
            pages: HashMap::new(),
            events: Vec::new(),
        }
    }

    /// Invents an identifier.
    pub(crate) fn uuid(&mut self) -> Uuid {
        identity::uuid(&mut self.rng)
    }

    /// Adds a page.
    pub(crate) fn add(&mut self, page: Page) {
        self.enlist(&page);
        self.pages.insert(page.id, page);
    }

    /// Changes a page by adding a version, and says whether it is different now.
    pub(crate) fn change(&mut self, id: PageId, now: DateTime<Utc>, work: impl FnOnce(&mut Version)) -> Outcome {
        let Some(mut page) = self.pages.remove(&id) else { return Outcome::Refused };
        let mut next = Version::clone(&page.live);
        work(&mut next);
        let outcome = if next == *page.live {
            Outcome::Unchanged
        } else {
            next.since = now;
            if let Some(forgotten) = page.succeed(next) {
                self.delist(&page, &forgotten);
            }
            self.enlist(&page);
            Outcome::Changed
        };
        self.pages.insert(id, page);
        outcome
    }

    /// Notes an event.
    pub(crate) fn tell(&mut self, kind: EventKind, entity: Entity, detail: Detail, at: DateTime<Utc>) {
        if let Some(parent) = self.parent(entity) {
            let id = self.uuid();
            self.events.push(Event { id, kind, at, entity, parent, detail });
        }
    }

    /// Shows a page in one of its versions; `None` where the connection may not see it or it is gone.
    pub(crate) fn show(&self, page: &Page, version: &Arc<Version>) -> Option<Shown> {
        let database = match version.home {
            Home::DataSource(id) => Some(self.shared_data_source(id)?.database),
            Home::Page(_) => None,
        };
        let seen = version.shelf != Shelf::Purged && version.access == Access::Shared;
        seen.then(|| Shown {
            id: page.id,
            created: minute(page.born),
            version: Arc::clone(version),
            database,
            schema: self.schema(version.home),
        })
    }

    /// Returns the properties that a page has in `home`.
    pub(crate) fn schema(&self, home: Home) -> Arc<Schema> {
        let table = match home {
            Home::DataSource(id) => self.data_sources.get(&id),
            Home::Page(_) => None,
        };
        table.map_or_else(|| Arc::new(Schema::plain()), |table| Arc::clone(&table.schema))
    }

    /// Returns a database that the connection may see.
    pub(crate) fn shared_database(&self, id: DatabaseId) -> Option<&Database> {
        self.databases.get(&id).filter(|database| database.access == Access::Shared)
    }

    /// Returns a data source that the connection may see; access is managed for the database as a whole («FAQ25»).
    pub(crate) fn shared_data_source(&self, id: DataSourceId) -> Option<&DataSource> {
        self.data_sources.get(&id).filter(|data_source| self.shared_database(data_source.database).is_some())
    }

    fn parent(&self, entity: Entity) -> Option<Parent> {
        match entity {
            Entity::Page(id) => match self.pages.get(&id)?.live.home {
                Home::DataSource(home) => Some(Parent::Row(self.data_sources.get(&home)?.database, home)),
                Home::Page(home) => Some(Parent::Page(home)),
            },
            Entity::DataSource(id) => Some(Parent::Database(self.data_sources.get(&id)?.database)),
            Entity::Database(id) => Some(Parent::Page(self.databases.get(&id)?.page)),
        }
    }

    /// Gives the live version its places.
    fn enlist(&mut self, page: &Page) {
        if let Home::DataSource(home) = page.live.home
            && let Some(data_source) = self.data_sources.get_mut(&home)
        {
            data_source.by_creation.insert((minute(page.born), page.id));
            data_source.by_edit.insert((page.live.edited, page.id));
        }
    }

    /// Takes the places away that only a forgotten version had.
    fn delist(&mut self, page: &Page, forgotten: &Version) {
        if let Home::DataSource(home) = forgotten.home
            && let Some(data_source) = self.data_sources.get_mut(&home)
        {
            let at_home = || page.versions().filter(|version| version.home == forgotten.home);
            if at_home().next().is_none() {
                data_source.by_creation.remove(&(minute(page.born), page.id));
            }
            if !at_home().any(|version| version.edited == forgotten.edited) {
                data_source.by_edit.remove(&(forgotten.edited, page.id));
            }
        }
    }
}

impl Page {
    /// Makes a page in its first version.
    pub(crate) fn new(id: PageId, version: Version) -> Self {
        Self { id, born: version.since, live: Arc::new(version), earlier: VecDeque::new() }
    }

    /// Returns the version that was the live one at `at`, as far back as versions are kept.
    pub(crate) fn at(&self, at: DateTime<Utc>) -> Option<&Arc<Version>> {
        let oldest = self.earlier.front().unwrap_or(&self.live);
        let newest = self.versions().find(|version| version.since <= at);
        if self.born <= at { newest.or(Some(oldest)) } else { None }
    }

    /// Returns the version before the live one; the live one where there was none.
    pub(crate) fn before(&self) -> &Arc<Version> {
        self.earlier.back().unwrap_or(&self.live)
    }

    /// Returns the kept versions, newest first.
    fn versions(&self) -> impl Iterator<Item = &Arc<Version>> {
        std::iter::once(&self.live).chain(self.earlier.iter().rev())
    }

    /// Makes `next` the live version, and returns the one that is no longer kept.
    fn succeed(&mut self, next: Version) -> Option<Arc<Version>> {
        self.earlier.push_back(std::mem::replace(&mut self.live, Arc::new(next)));
        if self.earlier.len() > EARLIER_MAX { self.earlier.pop_front() } else { None }
    }
}

/// Floors a time to the minute, as Notion does with the times of pages («REC»).
pub(crate) fn minute(at: DateTime<Utc>) -> DateTime<Utc> {
    let seconds = at.timestamp();
    DateTime::from_timestamp(seconds - seconds.rem_euclid(60), 0).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn version(since: DateTime<Utc>) -> Version {
        Version {
            since,
            edited: minute(since),
            home: Home::Page(PageId::from_uuid(Uuid::nil())),
            shelf: Shelf::Live,
            access: Access::Shared,
            is_archived: false,
            is_locked: false,
            values: Arc::default(),
        }
    }

    #[test]
    fn times_are_floored_to_the_minute() {
        let at: DateTime<Utc> = "2026-07-04T09:08:59.999Z".parse().unwrap();
        assert_eq!(minute(at), "2026-07-04T09:08:00Z".parse::<DateTime<Utc>>().unwrap());
    }

    #[test]
    fn a_page_is_seen_as_it_was_then() {
        let born: DateTime<Utc> = "2026-07-04T09:08:10Z".parse().unwrap();
        let second = |n| born + TimeDelta::seconds(n);
        let mut page = Page::new(PageId::from_uuid(Uuid::nil()), version(born));
        page.succeed(version(second(10)));
        page.succeed(version(second(20)));
        let seen = |n| page.at(second(n)).map(|version| version.since);
        assert_eq!(seen(-1), None);
        assert_eq!(seen(9), Some(born));
        assert_eq!(seen(10), Some(second(10)));
        assert_eq!(seen(99), Some(second(20)));
        assert_eq!(page.before().since, second(10));
    }

    #[test]
    fn earlier_versions_are_bounded() {
        let born: DateTime<Utc> = "2026-07-04T09:08:10Z".parse().unwrap();
        let mut page = Page::new(PageId::from_uuid(Uuid::nil()), version(born));
        for n in 1..100 {
            page.succeed(version(born + TimeDelta::seconds(n)));
        }
        assert_eq!(page.versions().count(), EARLIER_MAX + 1);
        assert!(page.at(born).is_some(), "the oldest one that is kept stands in");
    }
}
