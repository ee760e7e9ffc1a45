//! Sources that only others have in their settings: what moves there is a row to them.
//!
//! A process that knows fewer sources than the database would take a page that moves into one of the others for gone, and
//! their sweeps, which were before, still seem to prove that there is no such page.

use std::sync::{Arc, PoisonError, RwLock};

use crate::{
    model::{
        id::TableId,
        page::{Page, Parent},
    },
    sources::configured,
    store::{Store, StoreError, StoredSource},
};

/// The sources of others of which the database says up to when they are proven.
#[derive(Debug, Clone, Default)]
pub(super) struct Others(Arc<RwLock<Vec<StoredSource>>>);

impl Others {
    /// Writes down which tables are ours, and learns which others there are. With `alone`, what is proven of these is
    /// taken back.
    pub(super) async fn learn<S: Store>(&self, store: &S, ours: Vec<TableId>, alone: bool) -> Result<(), StoreError> {
        let others = store.write(move |rows| {
            configured::note(rows, &ours)?;
            let mut others = rows.sources()?;
            others.retain(|stored| {
                let is_ours = ours.iter().any(|table| table.is_of(stored.id, stored.database));
                stored.retired_at.is_none() && stored.watermark.is_some() && !is_ours
            });
            if alone {
                others.drain(..).try_for_each(|stored| rows.drop_watermark(stored.id))?;
            }
            Ok(others)
        });
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = others.await?;
        Ok(())
    }

    /// Returns whether a page stands in one of them.
    pub(super) fn hold(&self, page: &Page) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).iter().any(|other| match page.parent {
            Parent::DataSource(id) => id == other.id,
            Parent::Database(id) => Some(id) == other.database,
            Parent::Elsewhere => false,
        })
    }
}
