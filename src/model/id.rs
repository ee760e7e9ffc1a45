//! Identifiers of Notion's objects: UUIDs, read with or without dashes, written with them.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Text that is not one of Notion's identifiers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a Notion id (32 hexadecimal digits, with or without dashes)")]
pub struct InvalidId(pub String);

macro_rules! id {
    ($(#[doc = $text:literal])+ $name:ident) => {
        $(#[doc = $text])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID that is known to name such an object.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// Returns the UUID.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                parse(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "format": "uuid",
                    "description": concat!($($text),+),
                })
            }
        }
    };
}

id! {
    /// A page: one row of the CRM.
    PageId
}
id! {
    /// A data source: the table that holds the rows, with its schema.
    DataSourceId
}
id! {
    /// A database: the container of one or several data sources. Not interchangeable with [`DataSourceId`].
    DatabaseId
}

/// What an operator names: a data source, or the database around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableId {
    /// One data source.
    DataSource(DataSourceId),
    /// A database, as in the address of its page.
    Database(DatabaseId),
}

impl TableId {
    /// Returns whether this means the data source of this id, which lies in this database. The two have different ids, and
    /// people mix them up.
    pub fn is_of(self, source: DataSourceId, database: Option<DatabaseId>) -> bool {
        let meant = match self {
            Self::DataSource(id) => id.uuid(),
            Self::Database(id) => id.uuid(),
        };
        source.uuid() == meant || database.is_some_and(|database| database.uuid() == meant)
    }
}

/// Reads the plain and the hyphenated form and nothing else that the `uuid` crate would take.
fn parse(text: &str) -> Result<Uuid, InvalidId> {
    let text = text.trim();
    let invalid = || InvalidId(text.chars().take(80).collect());
    match text.len() {
        32 | 36 => Uuid::try_parse(text).map_err(|_not_a_uuid| invalid()),
        _ => Err(invalid()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashed_and_undashed_ids_are_one() {
        let dashed: PageId = "3296958a-07b8-53ee-b6a8-a1cc71849e2b".parse().unwrap();
        let plain: PageId = "3296958A07B853EEB6A8A1CC71849E2B".parse().unwrap();
        assert_eq!(dashed, plain);
        assert_eq!(plain.to_string(), "3296958a-07b8-53ee-b6a8-a1cc71849e2b");
    }

    #[test]
    fn other_forms_of_a_uuid_are_refused() {
        for text in ["", "{3296958a-07b8-53ee-b6a8-a1cc71849e2b}", "urn:uuid:3296958a-07b8-53ee-b6a8-a1cc71849e2b", "x"]
        {
            assert!(text.parse::<PageId>().is_err(), "{text}");
        }
    }
}
