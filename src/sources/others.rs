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

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use uuid::Uuid;

    use super::*;
    use crate::{
        model::id::{DataSourceId, DatabaseId, PageId},
        store::sqlite::SqliteStore,
    };

    fn now() -> DateTime<Utc> {
        "2026-09-01T10:00:00Z".parse().unwrap()
    }

    fn source(n: u128) -> DataSourceId {
        DataSourceId::from_uuid(Uuid::from_u128(n))
    }

    fn page(parent: Parent) -> Page {
        Page {
            id: PageId::from_uuid(Uuid::from_u128(7)),
            parent,
            created_time: now(),
            last_edited_time: now(),
            in_trash: false,
            is_archived: false,
            url: None,
            properties: Vec::new(),
        }
    }

    /// Two sources that were swept, of which this process knows the first.
    #[tokio::test]
    async fn what_moves_to_a_source_of_others_is_not_taken_for_gone_while_that_counts_as_proven() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("cache.db"), 1, now()).unwrap();
        let stored = |n: u128| StoredSource {
            id: source(n),
            name: None,
            database: Some(DatabaseId::from_uuid(Uuid::from_u128(n + 10))),
            schema: "{}".to_owned(),
            mapping: "{}".to_owned(),
            hard: "[]".to_owned(),
            resolved_at: now(),
            watermark: None,
            retired_at: None,
        };
        let (first, second) = (stored(1), stored(2));
        let swept = store.write(move |rows| {
            for source in [&first, &second] {
                rows.put_source(source)?;
                rows.set_watermark(source.id, now())?;
            }
            Ok(())
        });
        swept.await.unwrap();
        let (others, ours) = (Others::default(), vec![TableId::DataSource(source(1))]);
        others.learn(&store, ours.clone(), false).await.unwrap();
        let held = |parent| others.hold(&page(parent));
        assert!(held(Parent::DataSource(source(2))) && held(Parent::Database(stored(2).database.unwrap())));
        assert!(
            !held(Parent::DataSource(source(1))) && !held(Parent::DataSource(source(3))) && !held(Parent::Elsewhere)
        );
        assert_eq!(store.read(configured::noted).await.unwrap(), ours);

        others.learn(&store, ours, true).await.unwrap();
        assert!(!others.hold(&page(Parent::DataSource(source(2)))), "nothing is proven of it any more");
        let stored = store.read(|rows| rows.sources()).await.unwrap();
        let watermarks: Vec<_> = stored.iter().map(|stored| (stored.id, stored.watermark)).collect();
        assert_eq!(watermarks, [(source(1), Some(now())), (source(2), None)]);
    }
}
