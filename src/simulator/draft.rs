//! What a person writes into a page: the values of a new one, or the changes to one that is there.

use crate::{
    model::{id::DataSourceId, page::Role},
    simulator::{
        schema::{Property, Schema},
        value::Value,
    },
};

/// Values to be written into a page, by role or by the name of the property.
///
/// What the schema does not have is left out, as nobody can type into a column that is not there.
#[derive(Debug, Clone, Default, PartialEq)]
#[must_use]
pub struct Draft {
    pub(crate) data_source: Option<DataSourceId>,
    fields: Vec<(Field, Value)>,
}

#[derive(Debug, Clone, PartialEq)]
enum Field {
    Role(Role),
    Named(String),
}

/// Begins the page of a company.
pub fn company(name: &str) -> Draft {
    changes().name(name)
}

/// Begins changes to a page.
pub fn changes() -> Draft {
    Draft::default()
}

impl Draft {
    /// Sets the company's name, which is the page's title.
    pub fn name(self, name: &str) -> Self {
        self.set(Role::CompanyName, name)
    }

    /// Sets the website.
    pub fn website(self, website: &str) -> Self {
        self.set(Role::Website, website)
    }

    /// Sets the status, by its name.
    pub fn status(self, status: &str) -> Self {
        self.set(Role::Status, status)
    }

    /// Sets the keys that people write down themselves.
    pub fn canonical_key(self, key: &str) -> Self {
        self.set(Role::CanonicalKey, key)
    }

    /// Sets the location.
    pub fn location(self, location: &str) -> Self {
        self.set(Role::Location, location)
    }

    /// Sets the property that plays `role`.
    pub fn set(mut self, role: Role, value: impl Into<Value>) -> Self {
        self.fields.push((Field::Role(role), value.into()));
        self
    }

    /// Empties the property that plays `role`.
    pub fn clear(self, role: Role) -> Self {
        self.set(role, Value::Empty)
    }

    /// Sets the property that is called `name` now.
    pub fn property(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.push((Field::Named(name.to_owned()), value.into()));
        self
    }

    /// Puts a new page into another data source than the workspace's first.
    pub const fn within(mut self, data_source: DataSourceId) -> Self {
        self.data_source = Some(data_source);
        self
    }

    /// Pairs each value with the property of `schema` that it goes into.
    pub(crate) fn resolve(self, schema: &Schema) -> Vec<(&Property, Value)> {
        let pairs = self.fields.into_iter().filter_map(|(field, value)| {
            let property = match field {
                Field::Role(role) => schema.playing(role),
                Field::Named(name) => schema.named(&name),
            };
            Some((property?, value))
        });
        pairs.collect()
    }
}
