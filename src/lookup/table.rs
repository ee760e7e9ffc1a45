//! What is stored of a table, as far as its pages are judged by it: the options of its status, the names of its properties.

use std::collections::BTreeSet;

use crate::{
    derive::{
        mapping::Mapping,
        winner::{self, HardStatuses},
    },
    model::{
        id::DataSourceId,
        page::{Role, Schema},
    },
    store::StoredSource,
};

/// A source, as its pages are judged by it.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) id: DataSourceId,
    pub(super) title: String,
    pub(super) status: Status,
    /// Hard statuses of the settings that are none of the options.
    pub(super) hard_unknown: Vec<String>,
    mapping: Option<Mapping>,
}

/// What a table says of the statuses that its pages may have.
#[derive(Debug)]
pub(super) enum Status {
    /// No property gives it.
    Unmapped,
    /// Its property takes any text, or is not known.
    Any,
    /// Its property has these options, in the form in which statuses are compared.
    Options(BTreeSet<String>),
}

impl Table {
    pub(super) fn of(stored: &StoredSource) -> Self {
        let schema: Option<Schema> = serde_json::from_str(&stored.schema).ok();
        let mapping: Option<Mapping> = serde_json::from_str(&stored.mapping).ok();
        let status = status(schema.as_ref(), mapping.as_ref());
        let hard: Option<HardStatuses> = serde_json::from_str(&stored.hard).ok();
        let hard_unknown = match (&status, stored.retired_at) {
            (Status::Options(options), None) => {
                let hard = hard.map(Vec::<String>::from).unwrap_or_default();
                hard.into_iter().filter(|hard| !options.contains(hard)).collect()
            }
            _ => Vec::new(),
        };
        Self {
            id: stored.id,
            title: schema.map(|schema| schema.title).unwrap_or_default(),
            status,
            hard_unknown,
            mapping,
        }
    }

    /// Returns the name of the property that plays a role.
    pub(super) fn property(&self, role: Role) -> &str {
        let mapped = self.mapping.as_ref().and_then(|mapping| mapping.get(role));
        mapped.map_or_else(|| role.name(), |property| property.name.as_str())
    }
}

fn status(schema: Option<&Schema>, mapping: Option<&Mapping>) -> Status {
    let (Some(schema), Some(mapping)) = (schema, mapping) else { return Status::Any };
    let Some(mapped) = mapping.get(Role::Status) else { return Status::Unmapped };
    let property = schema.properties.iter().find(|property| property.id == mapped.id);
    match property {
        Some(property) if matches!(property.kind.as_str(), "select" | "status") && !property.options.is_empty() => {
            Status::Options(property.options.iter().map(|option| winner::comparable(option)).collect())
        }
        _ => Status::Any,
    }
}
