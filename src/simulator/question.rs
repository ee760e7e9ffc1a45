//! What a request asks for, by its method and path.

use crate::{
    model::id::{DataSourceId, DatabaseId, PageId},
    simulator::shape::Refusal,
};

/// A request that the simulated API understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    /// `GET /v1/pages/{id}`.
    Page(PageId),
    /// `GET /v1/databases/{id}`.
    Database(DatabaseId),
    /// `GET /v1/data_sources/{id}`.
    DataSource(DataSourceId),
    /// `POST /v1/data_sources/{id}/query`.
    Query(DataSourceId),
    /// `PATCH /v1/data_sources/{id}`.
    Update(DataSourceId),
    /// `GET /v1/users/me`.
    Me,
}

/// A part of the API that is counted and disturbed on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// Retrieve a page.
    Page,
    /// Retrieve a database.
    Database,
    /// Retrieve a data source.
    DataSource,
    /// Query a data source.
    Query,
    /// Update a data source.
    Update,
    /// Retrieve the token's own user.
    Me,
    /// Anything that the API does not have.
    Unknown,
}

impl Question {
    /// Reads a request.
    pub(crate) fn read(method: &str, path: &str) -> Result<Self, Refusal> {
        let segments: Vec<_> = path.trim_start_matches('/').split('/').collect();
        match (method, segments.as_slice()) {
            ("GET", ["v1", "pages", id]) => id.parse().map(Self::Page).or(Err("page_id")),
            ("GET", ["v1", "databases", id]) => id.parse().map(Self::Database).or(Err("database_id")),
            ("GET", ["v1", "data_sources", id]) => id.parse().map(Self::DataSource).or(Err("data_source_id")),
            ("POST", ["v1", "data_sources", id, "query"]) => id.parse().map(Self::Query).or(Err("data_source_id")),
            ("PATCH", ["v1", "data_sources", id]) => id.parse().map(Self::Update).or(Err("data_source_id")),
            ("GET", ["v1", "users", "me"]) => Ok(Self::Me),
            _ => return Err(Refusal::new(400, "invalid_request_url", "Invalid request URL.")),
        }
        .map_err(|name| {
            let message = format!("path failed validation: path.{name} should be a valid uuid.");
            Refusal::new(400, "validation_error", message)
        })
    }

    pub(crate) const fn endpoint(self) -> Endpoint {
        match self {
            Self::Page(_) => Endpoint::Page,
            Self::Database(_) => Endpoint::Database,
            Self::DataSource(_) => Endpoint::DataSource,
            Self::Query(_) => Endpoint::Query,
            Self::Update(_) => Endpoint::Update,
            Self::Me => Endpoint::Me,
        }
    }

    pub(crate) const fn page(self) -> Option<PageId> {
        match self {
            Self::Page(id) => Some(id),
            _ => None,
        }
    }
}
