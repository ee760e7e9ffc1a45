//! Up to when one sweep has proven all sources together.
//!
//! Sweeps of single sources prove rows, but no absence: a page that moves from one source to another between two of them is
//! seen by neither.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    model::id::DataSourceId,
    store::{Rows, StoreError},
};

/// The fact that says it.
const WHOLE: &str = "swept_together";

/// What one complete sweep has proven of some sources together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Together {
    /// The sources.
    pub sources: BTreeSet<DataSourceId>,
    /// Up to when.
    pub until: DateTime<Utc>,
}

/// Writes down what a complete sweep has proven.
pub fn note(rows: &mut dyn Rows, together: &Together) -> Result<(), StoreError> {
    let Ok(json) = serde_json::to_string(together) else { return Ok(()) };
    rows.put_fact(WHOLE, &json)
}

/// Returns up to when one sweep has proven all of `sources` together, if one ever has.
pub fn until(rows: &mut dyn Rows, sources: &BTreeSet<DataSourceId>) -> Result<Option<DateTime<Utc>>, StoreError> {
    let noted = rows.fact(WHOLE)?.and_then(|json| serde_json::from_str::<Together>(&json).ok());
    Ok(noted.filter(|together| together.sources.is_superset(sources)).map(|together| together.until))
}
