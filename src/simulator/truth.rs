//! What is really in a workspace, for tests to hold against what others believe.

use chrono::{DateTime, Utc};

use crate::{
    model::{
        id::{DataSourceId, PageId},
        page::{Role, Values},
    },
    simulator::{
        schema::Schema,
        value::Value,
        workspace::Workspace,
        world::{Access, Home, Page, Shelf, Version},
    },
};

/// One page as it really is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TruthPage {
    /// The page.
    pub id: PageId,
    /// Where it stands.
    pub home: Home,
    /// Whether it is in the trash; a page that is gone from there too is no truth any more.
    pub in_trash: bool,
    /// Whether it is archived.
    pub archived: bool,
    /// Whether the connection may see it.
    pub access: Access,
    /// What its properties say, by what they are for. A property that was deleted says nothing.
    pub values: Values,
    /// Its last edit, to the minute.
    pub last_edited: DateTime<Utc>,
}

impl Workspace {
    /// Returns every row of a data source, those in the trash too, in the order of their ids.
    pub fn rows(&self, data_source: DataSourceId) -> Vec<TruthPage> {
        let home = Home::DataSource(data_source);
        let mut rows: Vec<_> = self.look(|world| {
            let schema = world.schema(home);
            let there = |page: &&Page| page.live.home == home && page.live.shelf != Shelf::Purged;
            world.pages.values().filter(there).map(|page| truth(page.id, &page.live, &schema)).collect()
        });
        rows.sort_unstable_by_key(|row| row.id);
        rows
    }

    /// Returns the properties of a data source.
    pub fn schema(&self, data_source: DataSourceId) -> Option<Schema> {
        self.look(|world| Some((*world.data_sources.get(&data_source)?.schema).clone()))
    }

    /// Returns one page, unless it is gone for good.
    pub fn truth(&self, id: PageId) -> Option<TruthPage> {
        self.look(|world| {
            let live = &world.pages.get(&id)?.live;
            (live.shelf != Shelf::Purged).then(|| truth(id, live, &world.schema(live.home)))
        })
    }
}

fn truth(id: PageId, live: &Version, schema: &Schema) -> TruthPage {
    let mut values = Values::default();
    for role in Role::ALL {
        if let Some(property) = schema.playing(role) {
            let value = live.values.get(&property.id).unwrap_or(&Value::Empty);
            values.set(role, value.truth(property));
        }
    }
    TruthPage {
        id,
        home: live.home,
        in_trash: live.shelf == Shelf::Trash,
        archived: live.is_archived,
        access: live.access,
        values,
        last_edited: live.edited,
    }
}
