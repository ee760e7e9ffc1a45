//! What happened in the workspace, in the form in which Notion tells it («WH», «EV»).

use std::iter;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::model::{
    event::EventKind,
    id::{DataSourceId, DatabaseId, PageId},
};

/// The API version of the simulated subscription; the newest payloads are the same as those of 2025-09-03 («UP26»).
const SUBSCRIPTION_VERSION: &str = "2026-03-11";

/// One event: what an aggregation leaves of it is told in one delivery, tried up to eight times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its id, the same in every attempt.
    pub id: Uuid,
    /// What happened.
    pub kind: EventKind,
    /// When it happened, to the millisecond.
    pub at: DateTime<Utc>,
    /// What it happened to.
    pub entity: Entity,
    /// Where that stood just after.
    pub parent: Parent,
    /// What else is told.
    pub detail: Detail,
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Entity {
    /// A page.
    Page(PageId),
    /// A data source.
    DataSource(DataSourceId),
    /// A database.
    Database(DatabaseId),
}

/// Where the entity of an event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parent {
    /// A row of this data source, in this database.
    Row(DatabaseId, DataSourceId),
    /// In this database.
    Database(DatabaseId),
    /// Under this page.
    Page(PageId),
}

/// What an event tells beyond its entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detail {
    /// Nothing.
    None,
    /// The percent-encoded ids of the properties that changed; no values («EV»).
    Properties(Vec<String>),
    /// The blocks or rows that changed.
    Blocks(Vec<Uuid>),
    /// The properties of a schema that changed.
    Schema(Vec<SchemaChange>),
}

/// One change of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaChange {
    /// The percent-encoded id of the property.
    pub id: String,
    /// Its name after the change.
    pub name: String,
    /// `created`, `updated` or `deleted`.
    pub action: &'static str,
}

/// Who tells, and to whom: what is the same in every event of one subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The subscription.
    pub id: Uuid,
    /// The workspace.
    pub workspace: Uuid,
    /// The workspace's name.
    pub workspace_name: String,
    /// The connection that the events go to.
    pub integration: Uuid,
    /// The person who makes all changes.
    pub author: Uuid,
}

impl Event {
    /// Writes the body of one attempt at delivery.
    pub fn body(&self, subscription: &Subscription, attempt: u8) -> Json {
        let detail = match &self.detail {
            Detail::None => None,
            Detail::Properties(ids) => Some(("updated_properties", json!(ids))),
            Detail::Blocks(ids) => {
                let kind = if matches!(self.entity, Entity::Page(_)) { "block" } else { "page" };
                Some(("updated_blocks", ids.iter().map(|id| json!({"id": id, "type": kind})).collect()))
            }
            Detail::Schema(changes) => Some(("updated_properties", changes.iter().map(SchemaChange::json).collect())),
        };
        let data: Json = iter::once(("parent", self.parent.json())).chain(detail).collect();
        json!({
            "id": self.id,
            "timestamp": self.at.to_rfc3339_opts(SecondsFormat::Millis, true),
            "workspace_id": subscription.workspace,
            "workspace_name": subscription.workspace_name,
            "subscription_id": subscription.id,
            "integration_id": subscription.integration,
            "type": self.kind.name(),
            "authors": [{"id": subscription.author, "type": "person"}],
            "attempt_number": attempt,
            "api_version": SUBSCRIPTION_VERSION,
            "entity": self.entity.json(),
            "data": data,
        })
    }

    /// Returns the page that the event is about.
    pub const fn page(&self) -> Option<PageId> {
        match self.entity {
            Entity::Page(page) => Some(page),
            Entity::DataSource(_) | Entity::Database(_) => None,
        }
    }
}

impl Entity {
    fn json(self) -> Json {
        match self {
            Self::Page(id) => json!({"id": id, "type": "page"}),
            Self::DataSource(id) => json!({"id": id, "type": "data_source"}),
            Self::Database(id) => json!({"id": id, "type": "database"}),
        }
    }
}

impl Parent {
    /// A row names its database first and its data source beside it («UP25»); REST answers do it the other way round.
    fn json(self) -> Json {
        match self {
            Self::Row(database, data_source) => {
                json!({"id": database, "type": "database", "data_source_id": data_source})
            }
            Self::Database(id) => json!({"id": id, "type": "database"}),
            Self::Page(id) => json!({"id": id, "type": "page"}),
        }
    }
}

impl SchemaChange {
    fn json(&self) -> Json {
        json!({"id": self.id, "name": self.name, "action": self.action})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription() -> Subscription {
        Subscription {
            id: Uuid::from_u128(1),
            workspace: Uuid::from_u128(2),
            workspace_name: "Fictional Ventures".to_owned(),
            integration: Uuid::from_u128(3),
            author: Uuid::from_u128(4),
        }
    }

    #[test]
    fn a_row_is_told_with_its_database_and_its_data_source() {
        let event = Event {
            id: Uuid::from_u128(9),
            kind: EventKind::PagePropertiesUpdated,
            at: "2026-09-01T10:11:12.345Z".parse().unwrap(),
            entity: Entity::Page(PageId::from_uuid(Uuid::from_u128(5))),
            parent: Parent::Row(DatabaseId::from_uuid(Uuid::from_u128(6)), DataSourceId::from_uuid(Uuid::from_u128(7))),
            detail: Detail::Properties(vec!["f%5C%5C%3Ap".to_owned()]),
        };
        let expected = json!({
            "id": "00000000-0000-0000-0000-000000000009",
            "timestamp": "2026-09-01T10:11:12.345Z",
            "workspace_id": "00000000-0000-0000-0000-000000000002",
            "workspace_name": "Fictional Ventures",
            "subscription_id": "00000000-0000-0000-0000-000000000001",
            "integration_id": "00000000-0000-0000-0000-000000000003",
            "type": "page.properties_updated",
            "authors": [{"id": "00000000-0000-0000-0000-000000000004", "type": "person"}],
            "attempt_number": 2,
            "api_version": "2026-03-11",
            "entity": {"id": "00000000-0000-0000-0000-000000000005", "type": "page"},
            "data": {
                "parent": {
                    "id": "00000000-0000-0000-0000-000000000006",
                    "type": "database",
                    "data_source_id": "00000000-0000-0000-0000-000000000007",
                },
                "updated_properties": ["f%5C%5C%3Ap"],
            },
        });
        assert_eq!(event.body(&subscription(), 2), expected);
    }

    #[test]
    fn a_changed_schema_is_told_property_by_property() {
        let database = DatabaseId::from_uuid(Uuid::from_u128(6));
        let event = Event {
            id: Uuid::from_u128(9),
            kind: EventKind::DataSourceSchemaUpdated,
            at: "2026-09-01T10:11:12Z".parse().unwrap(),
            entity: Entity::DataSource(DataSourceId::from_uuid(Uuid::from_u128(7))),
            parent: Parent::Database(database),
            detail: Detail::Schema(vec![SchemaChange {
                id: "wX%7Bd".to_owned(),
                name: "Blurb".to_owned(),
                action: "updated",
            }]),
        };
        let body = event.body(&subscription(), 1);
        assert_eq!(body["timestamp"], "2026-09-01T10:11:12.000Z");
        assert_eq!(body["entity"]["type"], "data_source");
        assert_eq!(
            body["data"],
            json!({
                "parent": {"id": database, "type": "database"},
                "updated_properties": [{"id": "wX%7Bd", "name": "Blurb", "action": "updated"}],
            })
        );
    }
}
