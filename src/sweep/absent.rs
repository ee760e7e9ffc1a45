//! Pages that the cache knows and no query showed: asked for one by one, since absence alone proves nothing.

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::{
    cache::Applied,
    model::id::PageId,
    notion::Notion,
    store::{ListedPage, Store},
    sweep::{
        page::Asked,
        source::{Ground, SourceSweep, Trouble},
    },
};

/// Pages that are read from the store at once.
const READ_AT_ONCE: u32 = 1_000;

/// The pages that nobody finds.
#[derive(Debug, Default)]
pub(super) struct Unfound {
    /// All of them.
    pub(super) pages: Vec<PageId>,
    /// How many of them earlier sweeps did find.
    pub(super) new: usize,
}

impl<S: Store, N: Notion> SourceSweep<S, N> {
    /// Asks for every page that the cache lists and this sweep has not come to; returns those that answer 404.
    pub(super) async fn ask_absent(self: &Arc<Self>, ground: &Ground) -> Result<Unfound, Trouble> {
        let data_source = ground.table.data_source;
        let (mut unfound, mut after) = (Unfound::default(), None);
        loop {
            let listed = self.sweeper.store.read(move |rows| rows.listed(data_source, after, READ_AT_ONCE)).await?;
            let Some(last) = listed.last() else { return Ok(unfound) };
            after = Some(last.id);
            let absent: Vec<_> = listed.into_iter().filter(|page| self.is_absent(ground, page)).collect();
            self.ask_some(ground, absent, &mut unfound).await?;
        }
    }

    /// Whatever was seen since the sweep began needs no other proof.
    fn is_absent(&self, ground: &Ground, page: &ListedPage) -> bool {
        page.observed_at < ground.started_at && !self.seen().contains(&page.id)
    }

    /// Asks for pages, a few at once.
    async fn ask_some(
        self: &Arc<Self>,
        ground: &Ground,
        pages: Vec<ListedPage>,
        unfound: &mut Unfound,
    ) -> Result<(), Trouble> {
        let mut asking = JoinSet::new();
        let mut pages = pages.into_iter();
        loop {
            while asking.len() < self.sweeper.settings.windows.max(1)
                && let Some(page) = pages.next()
            {
                let (sweep, ground) = (Arc::clone(self), ground.clone());
                asking.spawn(async move { (page, sweep.ask(&ground, page.id).await) });
            }
            let Some(ended) = asking.join_next().await else { return Ok(()) };
            let (page, asked) = ended.map_err(|died| Trouble::Stuck(format!("a question broke off: {died}")))?;
            self.seen().insert(page.id);
            if asked? == Asked::NotFound {
                self.tally.applied(Applied::Missing, self.strength(page.id).await?);
                unfound.new += usize::from(page.unfound_since.is_none());
                unfound.pages.push(page.id);
            }
        }
    }

    async fn strength(&self, page: PageId) -> Result<Option<crate::model::key::Strength>, Trouble> {
        let cache = self.sweeper.cache.clone();
        Ok(self.sweeper.store.read(move |rows| cache.strength(rows, page)).await?)
    }
}
