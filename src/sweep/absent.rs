//! Pages that the cache knows and no query showed: asked for one by one, since absence alone proves nothing.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::task::JoinSet;

use crate::{
    cache::Applied,
    model::{id::PageId, key::Strength},
    notion::Notion,
    store::{ListedPage, Store},
    sweep::{
        page::Asked,
        source::{Ground, SourceSweep, Trouble},
    },
};

/// Pages that are read from the store at once.
const READ_AT_ONCE: u32 = 1_000;

/// Pages that may answer 404 in any source, however small. What people delete is in the trash for a month, and seen there.
const MISSING_PLAUSIBLE: usize = 3;

/// Beyond that, one page in so many; those that earlier sweeps did not find count as well, or the rest would go bit by bit.
const MISSING_ONE_IN: u64 = 5;

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
            // Not only at the end: with a request for each of many pages that takes hours.
            if unfound.new > 0 {
                self.plausible(ground, unfound.pages.len())?;
            }
        }
    }

    /// Doubts that so many pages are gone at once, unless somebody has said so.
    fn plausible(&self, ground: &Ground, missing: usize) -> Result<(), Trouble> {
        let listed = ground.listed_before;
        let plausible = MISSING_PLAUSIBLE.max(usize::try_from(listed / MISSING_ONE_IN).unwrap_or(usize::MAX));
        if missing > plausible && !self.running.order.accept_missing {
            return Err(Trouble::Implausible { missing, listed });
        }
        Ok(())
    }

    fn is_absent(&self, ground: &Ground, page: &ListedPage) -> bool {
        let now = self.sweeper.clock.now();
        !was_seen_between(ground.started_at, now, page.observed_at) && !self.seen().contains(&page.id)
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

    async fn strength(&self, page: PageId) -> Result<Option<Strength>, Trouble> {
        let cache = self.sweeper.cache.clone();
        Ok(self.sweeper.store.read(move |rows| cache.strength(rows, page)).await?)
    }
}

/// Whatever was seen since the sweep began needs no other proof. What seems to have been seen later than now was seen
/// before the clock was set back.
fn was_seen_between(started_at: DateTime<Utc>, now: DateTime<Utc>, observed_at: DateTime<Utc>) -> bool {
    (started_at..=now).contains(&observed_at)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_page_seen_before_the_clock_was_set_back_is_asked_for() {
        let (started_at, second) = (DateTime::UNIX_EPOCH, TimeDelta::seconds(1));
        let now = started_at + second * 10;
        for (observed_at, seen) in
            [(started_at - second, false), (started_at, true), (now, true), (now + second, false)]
        {
            assert_eq!(was_seen_between(started_at, now, observed_at), seen, "{observed_at}");
        }
    }
}
