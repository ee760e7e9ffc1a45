//! The published table as the pipeline sees it: a plain SQLite client that knows nothing of suppressd.

use std::path::Path;

use rusqlite::Connection;
use serde_json::Value as Json;

/// A row of `suppression_cache`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    /// `canonical_key`.
    pub(crate) key: String,
    /// `notion_page_id`.
    pub(crate) page: String,
    /// `status`.
    pub(crate) status: String,
    /// `company_name`.
    pub(crate) company: Option<String>,
    /// `cached_at`, as text.
    pub(crate) cached_at: String,
    /// `expires_at`, as text.
    pub(crate) expires_at: String,
    /// `metadata`, parsed; what somebody else wrote in another form, as it stands.
    pub(crate) metadata: Json,
}

impl Row {
    /// Key, page and status: what a winner decides.
    pub(crate) fn face(self) -> (String, String, String) {
        (self.key, self.page, self.status)
    }
}

/// Opens the file as any other program would.
#[expect(clippy::disallowed_methods, reason = "the pipeline does not open the file by our rules")]
pub(crate) fn connect(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
    connection
}

/// Reads all rows, in the order of their keys.
pub(crate) fn rows(path: &Path) -> Vec<Row> {
    let connection = connect(path);
    let mut rows = connection
        .prepare(
            "SELECT canonical_key, notion_page_id, status, company_name, cached_at, expires_at, metadata \
             FROM suppression_cache ORDER BY canonical_key",
        )
        .unwrap();
    let rows = rows.query_map([], |row| {
        Ok(Row {
            key: row.get(0)?,
            page: row.get(1)?,
            status: row.get(2)?,
            company: row.get(3)?,
            cached_at: row.get(4)?,
            expires_at: row.get(5)?,
            metadata: row
                .get::<_, Option<String>>(6)?
                .map_or(Json::Null, |metadata| serde_json::from_str(&metadata).unwrap_or(Json::String(metadata))),
        })
    });
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}
