//! Whether a sighting would change anything: what a sweep asks of most pages, without a write.

use chrono::{DateTime, Utc};

use crate::{
    cache::{
        Cache, best,
        order::{self, Order},
        publish::{self, News, Plan},
    },
    model::{entry::Cause, id::PageId, key::Strength, page::View, sighting::Sighting},
    store::{Rows, StoreError},
};

/// A page that is just as the cache has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Current {
    /// How strong its best key is; `None` where it holds none.
    pub strength: Option<Strength>,
}

impl Cache {
    /// Returns how strong the best key is that a page claims; `None` where it claims none.
    pub fn strength(&self, rows: &mut dyn Rows, page: PageId) -> Result<Option<Strength>, StoreError> {
        Ok(best(&rows.claims_of(page)?))
    }

    /// Returns whether [`Cache::apply`] would find everything as it is, and write nothing. Writes nothing itself.
    ///
    /// Nothing is derived: the stored claims are those of the stored values, since [`Cache::rederive`] follows the rules.
    pub fn current(
        &self,
        rows: &mut dyn Rows,
        sighting: &Sighting,
        cause: &Cause,
        now: DateTime<Utc>,
    ) -> Result<Option<Current>, StoreError> {
        let Some(earlier) = rows.page(sighting.page)?.filter(|_| sighting.view == View::Query) else { return Ok(None) };
        if order::is_to_come(earlier.observed_at, now) {
            return Ok(None);
        }
        let page = sighting.following(Some(&earlier), self.settings.index_lag);
        let order = order::judge(Some(&earlier), &page, sighting, self.settings.index_lag, now);
        if order != Order::Newer || !earlier.says_the_same_as(&page) {
            return Ok(None);
        }
        let claims = rows.claims_of(page.id)?;
        for claim in &claims {
            let news = News { page: page.id, cause, now };
            if !matches!(publish::plan(self, rows, &claim.key, &news)?, Plan::Leave) {
                return Ok(None);
            }
        }
        Ok(Some(Current { strength: best(&claims) }))
    }
}
