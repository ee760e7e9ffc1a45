//! Where a page may stand: what decides whose token asks for it first.

use std::sync::Arc;

use crate::{
    model::{
        event::{EventParent, Subject},
        id::{DataSourceId, PageId},
    },
    notion::{
        Notion,
        payload::{self, Delivery},
    },
    sources::Resolved,
    store::{Rows, Seq, Store, StoreError},
    worker::Worker,
};

/// Where a page may stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Whereabouts {
    /// The source in which the cache knows it.
    pub(super) known_in: Option<DataSourceId>,
    /// The source that the newest event names, before the one in which the cache knows it.
    pub(super) likely: Vec<DataSourceId>,
}

impl<S: Store, N: Notion> Worker<S, N> {
    /// Returns where a page may stand, by the cache and by what waits for it.
    pub(super) async fn whereabouts(&self, page: PageId) -> Result<Whereabouts, StoreError> {
        let tables = self.sources.resolved();
        // Where there is only one, it is asked in any case.
        let is_one_of = self.sources.count() > 1;
        self.store()
            .read(move |rows| {
                let known_in = rows.page(page)?.map(|known| known.source);
                let named = match rows.newest_waiting(Subject::Page(page))?.filter(|_| is_one_of) {
                    Some(event) => named_source(rows, event.seq, &tables)?,
                    None => None,
                };
                let mut likely: Vec<_> = named.into_iter().chain(known_in).collect();
                likely.dedup();
                Ok(Whereabouts { known_in, likely })
            })
            .await
    }
}

/// Returns the source that an event names, if it is one of ours. It is a hint: where the page is not there, it is
/// fetched.
pub(super) fn named_source(
    rows: &mut dyn Rows,
    seq: Seq,
    tables: &[Arc<Resolved>],
) -> Result<Option<DataSourceId>, StoreError> {
    let body = rows.bodies(Seq(seq.0 - 1), 1)?.into_iter().find(|(found, _)| *found == seq);
    let Some((_, body)) = body else { return Ok(None) };
    let Delivery::Event(event) = payload::read(&body) else { return Ok(None) };
    let named = tables.iter().find(|table| match event.parent {
        EventParent::DataSource(id) => id == table.data_source,
        EventParent::Database(id) => Some(id) == table.database,
        EventParent::Elsewhere | EventParent::Unsaid => false,
    });
    Ok(named.map(|table| table.data_source))
}
