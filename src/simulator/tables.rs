//! What people do to the tables of a workspace: databases, data sources, their properties and options.

use std::{collections::BTreeSet, sync::Arc};

use chrono::{DateTime, Utc};

use crate::{
    model::{
        event::EventKind,
        id::{DataSourceId, DatabaseId},
    },
    simulator::{
        event::{Detail, Entity, SchemaChange},
        identity::Identity,
        schema::{Kind, Property, Schema, encoded},
        workspace::Workspace,
        world::{Access, DataSource, Database, Home, Outcome, World, minute},
    },
};

impl Workspace {
    /// Adds a data source, laid out as a CRM with ids of its own, to the database: `data_source.created`.
    pub fn add_data_source(&self, title: &str) -> DataSourceId {
        let (database, status) = (self.database(), self.habits().status);
        self.act(|world, now| {
            let id = DataSourceId::from_uuid(world.uuid());
            let schema = Schema::crm(&mut world.rng, status);
            world.data_sources.insert(id, DataSource::new(id, database, title, schema, now));
            world.tell(EventKind::DataSourceCreated, Entity::DataSource(id), Detail::None, now);
            id
        })
    }

    /// Adds a property: `data_source.schema_updated`.
    pub fn add_property(&self, table: DataSourceId, name: &str, kind: Kind) -> Outcome {
        self.act(|world, now| {
            let property = Property::new(&mut world.rng, name, kind);
            let id = property.encoded_id();
            world.change_schema(table, now, |schema| {
                if schema.named(name).is_some() || kind == Kind::Title {
                    return None;
                }
                schema.properties.push(property);
                Some(SchemaChange { id, name: name.to_owned(), action: "created" })
            })
        })
    }

    /// Renames a property, which keeps its id: `data_source.schema_updated`.
    pub fn rename_property(&self, table: DataSourceId, from: &str, to: &str) -> Outcome {
        self.act(|world, now| {
            world.change_schema(table, now, |schema| {
                if schema.named(to).is_some() {
                    return None;
                }
                let property = schema.named_mut(from)?;
                to.clone_into(&mut property.name);
                Some(SchemaChange { id: property.encoded_id(), name: to.to_owned(), action: "updated" })
            })
        })
    }

    /// Changes the type of a property, which keeps its id: `data_source.schema_updated`.
    pub fn retype_property(&self, table: DataSourceId, name: &str, kind: Kind) -> Outcome {
        self.act(|world, now| {
            world.change_schema(table, now, |schema| {
                let property = schema.named_mut(name).filter(|property| property.kind != kind)?;
                property.kind = kind;
                property.choices.clear();
                Some(SchemaChange { id: property.encoded_id(), name: name.to_owned(), action: "updated" })
            })
        })
    }

    /// Deletes a property, and its values from every page: `data_source.schema_updated`. The title cannot be deleted.
    pub fn delete_property(&self, table: DataSourceId, name: &str) -> Outcome {
        self.act(|world, now| {
            world.change_schema(table, now, |schema| {
                let at = schema.properties.iter().position(|it| it.name == name && it.kind != Kind::Title)?;
                let gone = schema.properties.remove(at);
                Some(SchemaChange { id: encoded(&gone.id), name: gone.name, action: "deleted" })
            })
        })
    }

    /// Renames an option of a select or status: every page that has it shows the new name, though none was edited.
    pub fn rename_option(&self, table: DataSourceId, property: &str, from: &str, to: &str) -> Outcome {
        self.act(|world, now| {
            world.change_schema(table, now, |schema| {
                let property = schema.named_mut(property)?;
                let choice = property.choices.iter_mut().find(|choice| choice.name == from)?;
                to.clone_into(&mut choice.name);
                Some(SchemaChange { id: property.encoded_id(), name: property.name.clone(), action: "updated" })
            })
        })
    }

    /// Moves a data source into the trash, where it cannot be queried: `data_source.deleted`.
    pub fn trash_data_source(&self, table: DataSourceId) -> Outcome {
        self.shelve_data_source(table, true, EventKind::DataSourceDeleted)
    }

    /// Takes a data source out of the trash: `data_source.undeleted`.
    pub fn restore_data_source(&self, table: DataSourceId) -> Outcome {
        self.shelve_data_source(table, false, EventKind::DataSourceUndeleted)
    }

    /// Hides the whole database from the connection, or shows it again: no event («HELP»).
    pub fn set_database_access(&self, database: DatabaseId, access: Access) -> Outcome {
        self.act(|world, _| match world.databases.get_mut(&database) {
            None => Outcome::Refused,
            Some(database) if database.access == access => Outcome::Unchanged,
            Some(database) => {
                database.access = access;
                Outcome::Changed
            }
        })
    }

    fn shelve_data_source(&self, table: DataSourceId, in_trash: bool, kind: EventKind) -> Outcome {
        self.act(|world, now| {
            let Some(data_source) = world.data_sources.get_mut(&table) else { return Outcome::Refused };
            if data_source.in_trash == in_trash {
                return Outcome::Unchanged;
            }
            data_source.in_trash = in_trash;
            world.tell(kind, Entity::DataSource(table), Detail::None, now);
            Outcome::Changed
        })
    }
}

impl World {
    /// Founds the database of a workspace and its first data source: no event, nobody is there yet.
    pub(crate) fn found(&mut self, identity: &Identity, status: Kind, now: DateTime<Utc>) {
        let database = Database {
            id: identity.database,
            title: "Deal Flow".to_owned(),
            page: identity.page,
            created: now,
            access: Access::Shared,
        };
        self.databases.insert(database.id, database);
        let schema = Schema::crm(&mut self.rng, status);
        let table = DataSource::new(identity.data_source, identity.database, "Companies", schema, now);
        self.data_sources.insert(table.id, table);
    }

    /// Returns whether a page can be moved to `home`; any plain page will do, as most of a workspace is not simulated.
    pub(crate) fn has_home(&self, home: Home) -> bool {
        match home {
            Home::DataSource(id) => self.data_sources.contains_key(&id),
            Home::Page(_) => true,
        }
    }

    fn change_schema(
        &mut self,
        id: DataSourceId,
        now: DateTime<Utc>,
        work: impl FnOnce(&mut Schema) -> Option<SchemaChange>,
    ) -> Outcome {
        let Some(data_source) = self.data_sources.get_mut(&id) else { return Outcome::Refused };
        let Some(change) = work(Arc::make_mut(&mut data_source.schema)) else { return Outcome::Refused };
        data_source.edited = minute(now);
        self.tell_schema_changed(id, change, now);
        Outcome::Changed
    }
}

impl DataSource {
    fn new(id: DataSourceId, database: DatabaseId, title: &str, schema: Schema, now: DateTime<Utc>) -> Self {
        Self {
            id,
            database,
            title: title.to_owned(),
            created: minute(now),
            edited: minute(now),
            in_trash: false,
            schema: Arc::new(schema),
            by_creation: BTreeSet::new(),
            by_edit: BTreeSet::new(),
        }
    }
}
