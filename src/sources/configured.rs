//! Which tables the settings of the working process name: written down for whoever asks without settings of their own.
//!
//! A source of which nothing was ever read has no row anywhere. Who only has the database could not know that it is
//! missing, and would take an absence for proven that nobody has looked for there.

use crate::{
    model::id::TableId,
    store::{Rows, StoreError},
};

/// The fact that lists them.
const CONFIGURED: &str = "configured_tables";

/// Writes down the tables, where that is news.
pub(super) fn note(rows: &mut dyn Rows, tables: &[TableId]) -> Result<(), StoreError> {
    let Ok(json) = serde_json::to_string(tables) else { return Ok(()) };
    if rows.fact(CONFIGURED)?.as_ref() == Some(&json) {
        return Ok(());
    }
    rows.put_fact(CONFIGURED, &json)
}

/// Returns the tables that were written down last; none where none ever were.
pub fn noted(rows: &mut dyn Rows) -> Result<Vec<TableId>, StoreError> {
    Ok(rows.fact(CONFIGURED)?.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default())
}
