//! Who is who in a simulated workspace: the ids and names that answers and events are full of.

use fastrand::Rng;
use uuid::Uuid;

use crate::{
    model::id::{DataSourceId, DatabaseId, PageId},
    simulator::event::Subscription,
};

/// The fixed things of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The workspace.
    pub workspace: Uuid,
    /// The workspace's name.
    pub workspace_name: String,
    /// The connection; errors name it by the id of its bot user («REC»).
    pub integration: Uuid,
    /// The connection's name.
    pub integration_name: String,
    /// The webhook subscription.
    pub subscription: Uuid,
    /// The person who makes all changes.
    pub person: Uuid,
    /// The plain page that everything stands on.
    pub page: PageId,
    /// The database of the CRM.
    pub database: DatabaseId,
    /// The data source of the CRM.
    pub data_source: DataSourceId,
}

impl Identity {
    /// Invents a workspace.
    pub(crate) fn invent(rng: &mut Rng) -> Self {
        Self {
            workspace: uuid(rng),
            workspace_name: "Fictional Ventures".to_owned(),
            integration: uuid(rng),
            integration_name: "suppressd".to_owned(),
            subscription: uuid(rng),
            person: uuid(rng),
            page: PageId::from_uuid(uuid(rng)),
            database: DatabaseId::from_uuid(uuid(rng)),
            data_source: DataSourceId::from_uuid(uuid(rng)),
        }
    }

    /// Returns what the events of this workspace say of their origin.
    pub fn subscription(&self) -> Subscription {
        Subscription {
            id: self.subscription,
            workspace: self.workspace,
            workspace_name: self.workspace_name.clone(),
            integration: self.integration,
            author: self.person,
        }
    }
}

/// Invents an identifier.
pub(crate) fn uuid(rng: &mut Rng) -> Uuid {
    uuid::Builder::from_random_bytes(rng.u128(..).to_be_bytes()).into_uuid()
}
