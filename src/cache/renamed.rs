//! Writing a page, and noting where its name changes or whether it is a row: the index of names follows these notes.

use crate::{
    model::{
        entry::{CachedPage, Standing},
        page::Role,
    },
    store::{Rows, StoreError},
};

/// Writes a page that was `earlier`, and notes it where lookups by name must learn of it.
pub(super) fn put(rows: &mut dyn Rows, earlier: Option<&CachedPage>, page: &CachedPage) -> Result<(), StoreError> {
    rows.put_page(page)?;
    if earlier.and_then(listed_name) == listed_name(page) { Ok(()) } else { rows.note_renamed(page.id) }
}

/// Returns the name by which a page is found.
fn listed_name(page: &CachedPage) -> Option<&str> {
    page.values.get(Role::CompanyName).filter(|_| page.standing == Standing::Listed)
}
