//! How values get into pages: what a draft becomes under a schema, and what a page takes along when it moves.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};

use crate::{
    model::{
        event::EventKind,
        id::{DataSourceId, PageId},
    },
    simulator::{
        draft::Draft,
        event::{Detail, Entity, SchemaChange},
        schema::{Kind, PropertyId},
        value::Value,
        world::{Access, Home, Page, Shelf, Version, World, minute},
    },
};

/// The values of a page by the ids of their properties; what is empty is not in it.
type Values = BTreeMap<PropertyId, Value>;

impl World {
    /// Adds a page that says what `draft` says, to `data_source` unless the draft names another one.
    pub(crate) fn write_page(&mut self, draft: Draft, data_source: DataSourceId, at: DateTime<Utc>) -> (PageId, Home) {
        let id = PageId::from_uuid(self.uuid());
        let home = Home::DataSource(draft.data_source.unwrap_or(data_source));
        let values = Arc::new(self.written(home, &Values::new(), draft, at));
        let version = Version {
            since: at,
            edited: minute(at),
            home,
            shelf: Shelf::Live,
            access: Access::Shared,
            is_archived: false,
            is_locked: false,
            values,
        };
        self.add(Page::new(id, version));
        (id, home)
    }

    /// Returns `values` with what `draft` writes over them.
    pub(crate) fn written(&mut self, home: Home, values: &Values, draft: Draft, now: DateTime<Utc>) -> Values {
        let schema = self.schema(home);
        let mut values = values.clone();
        for (property, value) in draft.resolve(&schema) {
            self.write(&mut values, home, (&property.id, property.kind, value), now);
        }
        values
    }

    /// Returns what a page takes along into `home`: the values of properties of the same name and type.
    pub(crate) fn carried(&mut self, live: &Version, home: Home, now: DateTime<Utc>) -> Values {
        let (from, to) = (self.schema(live.home), self.schema(home));
        let mut values = Values::new();
        for old in &from.properties {
            let same = to
                .properties
                .iter()
                .find(|new| new.kind == old.kind && (new.name == old.name || new.kind == Kind::Title));
            let (Some(new), Some(value)) = (same, live.values.get(&old.id)) else { continue };
            let value = match value {
                Value::Choice(_) => value.text(old).map_or(Value::Empty, Value::Text),
                other => other.clone(),
            };
            self.write(&mut values, home, (&new.id, new.kind, value), now);
        }
        values
    }

    /// Returns the live version of a page that people can work on.
    pub(crate) fn live(&self, id: PageId) -> Option<Arc<Version>> {
        let live = &self.pages.get(&id)?.live;
        (live.shelf == Shelf::Live).then(|| Arc::clone(live))
    }

    /// Tells that a data source has got or lost a row; plain pages, which tell it too, are not simulated.
    pub(crate) fn tell_rows_changed(&mut self, home: Home, row: PageId, at: DateTime<Utc>) {
        if let Home::DataSource(id) = home {
            let detail = Detail::Blocks(vec![row.uuid()]);
            self.tell(EventKind::DataSourceContentUpdated, Entity::DataSource(id), detail, at);
        }
    }

    /// Tells that one property of a schema has changed.
    pub(crate) fn tell_schema_changed(&mut self, id: DataSourceId, change: SchemaChange, at: DateTime<Utc>) {
        self.tell(EventKind::DataSourceSchemaUpdated, Entity::DataSource(id), Detail::Schema(vec![change]), at);
    }

    fn write(
        &mut self,
        values: &mut Values,
        home: Home,
        (id, kind, value): (&PropertyId, Kind, Value),
        now: DateTime<Utc>,
    ) {
        let value = match (home, value) {
            (Home::DataSource(table), Value::Text(name)) if kind.has_options() => self.choose(table, id, &name, now),
            (_, value) => value,
        };
        if value == Value::Empty {
            values.remove(id);
        } else {
            values.insert(Arc::clone(id), value);
        }
    }

    /// Finds the option called `name`, and adds it where there is none: that changes the schema.
    fn choose(&mut self, table: DataSourceId, id: &PropertyId, name: &str, now: DateTime<Utc>) -> Value {
        let Some(data_source) = self.data_sources.get_mut(&table) else { return Value::Empty };
        let Some(property) = Arc::make_mut(&mut data_source.schema).with_id_mut(id) else { return Value::Empty };
        let (choice, added) = property.choose(&mut self.rng, name);
        if added {
            let change = SchemaChange { id: property.encoded_id(), name: property.name.clone(), action: "updated" };
            self.tell_schema_changed(table, change, now);
        }
        Value::Choice(choice)
    }
}
