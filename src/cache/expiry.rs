//! What time does to rows: it clears none while we run, unless complete sweeps do not find the page.

use chrono::{DateTime, Utc};

use crate::{
    cache::{Cache, renamed},
    model::{
        entry::{CachedPage, Cause, Entry, Standing},
        id::PageId,
    },
    store::{Published, Renewal, Rows, StoreError},
};

impl Cache {
    /// Lets rows count for longer that are about to expire because nobody could be asked about them: at most `limit`.
    ///
    /// They get half of the TTL, and only once less than a quarter is left, so that healthy rows are never touched.
    /// Their proof does not become younger by that: verdicts say `stale` once it is too old.
    pub fn renew(&self, rows: &mut dyn Rows, now: DateTime<Utc>, limit: u32) -> Result<u64, StoreError> {
        let ttl = self.settings.ttl;
        rows.renew_entries(&Renewal { now, expiring_until: now + ttl / 4, expires_at: now + ttl / 2 }, limit)
    }

    /// Notes of pages that a complete sweep did not find them: they answer 404, and from now on their rows may expire.
    /// The sweep before it did find them, and had proven them until `proven_before`.
    pub fn lose_sight(
        &self,
        rows: &mut dyn Rows,
        pages: &[PageId],
        proven_before: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        for page in pages {
            let known = rows.page(*page)?.filter(|known| {
                known.standing == Standing::Listed && known.missing_since.is_some() && known.unfound_since.is_none()
            });
            if let Some(known) = known {
                let observed_at = proven_before.filter(|at| *at <= now).unwrap_or_default().max(known.observed_at);
                rows.put_page(&CachedPage { unfound_since: Some(now), observed_at, ..known })?;
                self.bring_back(rows, *page, now)?;
            }
        }
        Ok(())
    }

    /// Gives the rows of a page the time that they should have, where they were written in what is now the future.
    fn bring_back(&self, rows: &mut dyn Rows, page: PageId, now: DateTime<Utc>) -> Result<(), StoreError> {
        for claim in rows.claims_of(page)? {
            if let Some(Published::Entry(row)) = rows.entry(&claim.key)?
                && row.page == page
                && row.cached_at > now
            {
                rows.put_entry(&Entry { cached_at: now, expires_at: now + self.settings.ttl, ..*row })?;
            }
        }
        Ok(())
    }

    /// Lets pages go whose rows have expired, so that the next claim takes over; returns how many pages, and how many
    /// rows went or passed to another page. For complete sweeps only. At most `limit` pages.
    pub fn let_go(
        &self,
        rows: &mut dyn Rows,
        cause: &Cause,
        now: DateTime<Utc>,
        limit: u32,
    ) -> Result<LetGo, StoreError> {
        let mut let_go = LetGo::default();
        for page in rows.lost(now - self.settings.ttl, now, limit)? {
            let lost = CachedPage { standing: Standing::Lost, ..page.clone() };
            renamed::put(rows, Some(&page), &lost)?;
            let_go.pages += 1;
            let_go.entries += self.settle_claims(rows, &lost, cause, now)?.1.len() as u64;
        }
        Ok(let_go)
    }
}

/// What was let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LetGo {
    /// Pages.
    pub pages: u64,
    /// Rows that they held.
    pub entries: u64,
}
