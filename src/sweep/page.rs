//! One page: applied as a sweep applies it, or asked for where no query can decide it.

use chrono::{DateTime, Utc};

use crate::{
    cache::{Applied, Outcome},
    causes::told,
    model::{
        entry::{Change, Standing},
        event::Subject,
        id::{DataSourceId, PageId},
        page::Snapshot,
        sighting::{Absence, Sighting},
        sweep::{Drift, Told},
    },
    notion::{Notion, NotionError, Priority},
    sources::{error::AskError, filter},
    store::{Rows, Store, StoreError},
    sweep::{
        Sweeper, drift,
        source::{Ground, SourceSweep, Trouble, is_of_the_page},
    },
};

/// What asking for one page gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// It was shown and applied.
    Shown,
    /// Notion answers 404.
    NotFound,
    /// It could not be had; that was told.
    Unreadable,
}

impl Ground {
    /// Applies a sighting, and records in which way the cache was different.
    pub(super) fn apply(
        &self,
        rows: &mut dyn Rows,
        sighting: &Sighting,
        now: DateTime<Utc>,
    ) -> Result<Outcome, StoreError> {
        let earlier = if self.records_drift { rows.page(sighting.page)? } else { None };
        let outcome = self.cache.apply(rows, sighting, &self.cause, now)?;
        if self.records_drift {
            let mut changes = outcome.changes.clone();
            for page in passed_on(rows, sighting.page, &changes)? {
                changes.retain(|change| change.from.as_ref().is_none_or(|from| from.page != page));
            }
            if let Some(drift) =
                drift::found(earlier.as_ref(), sighting, (outcome.applied, &changes), (now, self.proven_before))
            {
                // By the end of the sweep the worker may have looked at it.
                let waits = rows.newest_waiting(Subject::Page(sighting.page))?.is_some();
                let told = if waits { Told::Waiting } else { drift.told };
                rows.record_drift(self.id, &[Drift { told, class: told.class(), ..drift }])?;
                if let Some(earlier) = &earlier {
                    filter::blame(rows, earlier, sighting, now)?;
                }
            }
        }
        // What is older than what was applied says nothing of the keys that the page holds.
        if outcome.applied == Applied::Stale {
            return Ok(Outcome { strength: self.cache.strength(rows, sighting.page)?, ..outcome });
        }
        Ok(outcome)
    }
}

/// Lists the pages that have let a key pass to this one since no complete sweep finds them: no event could tell that.
fn passed_on(rows: &mut dyn Rows, to: PageId, changes: &[Change]) -> Result<Vec<PageId>, StoreError> {
    let mut pages = Vec::new();
    for from in changes.iter().filter_map(|change| change.from.as_ref()).filter(|from| from.page != to) {
        if rows.page(from.page)?.is_some_and(|page| page.unfound_since.is_some()) {
            pages.push(from.page);
        }
    }
    Ok(pages)
}

impl<S: Store, N: Notion> SourceSweep<S, N> {
    /// Asks for a page that a query named but did not decide.
    pub(super) async fn ask_shown(&self, ground: &Ground, page: PageId) -> Result<(), Trouble> {
        if self.ask(ground, page).await? == Asked::NotFound {
            self.miss_out(
                page,
                "a query names it, and it answers 404: share it with the connection, or mend its access",
            )?;
        }
        Ok(())
    }

    /// Asks for one page and applies what it shows.
    pub(super) async fn ask(&self, ground: &Ground, page: PageId) -> Result<Asked, Trouble> {
        let known_in = self.sweeper.store.read(move |rows| Ok(rows.page(page)?.map(|known| known.source))).await?;
        let asked_in = known_in.or(Some(ground.table.data_source));
        let asked_at = self.sweeper.clock.now();
        let Sweeper { sources, clock, .. } = &self.sweeper;
        match self.persist(|| sources.page(page, asked_in, clock.now(), Priority::Sweep)).await {
            Ok(snapshot) => self.show(ground, &snapshot, known_in).await.map(|()| Asked::Shown),
            Err(Trouble::Asking(AskError::Notion(NotionError::NotFound))) => {
                let (cache, now) = (self.sweeper.cache.clone(), self.sweeper.clock.now());
                let absence = Absence { page, observed_at: asked_at };
                self.sweeper.store.write(move |rows| cache.miss(rows, absence, now)).await?;
                Ok(Asked::NotFound)
            }
            Err(Trouble::Asking(error)) if is_of_the_page(&error) => {
                self.miss_out(page, &told(&error))?;
                Ok(Asked::Unreadable)
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// Applies what a page that was known in `known_in` shows.
    async fn show(&self, ground: &Ground, snapshot: &Snapshot, known_in: Option<DataSourceId>) -> Result<(), Trouble> {
        self.tally.fetched(1);
        let page = snapshot.page.id;
        let sighting = self.sweeper.sources.sighting(snapshot, known_in)?;
        let unsaid = ground.table.mapping.unsaid(&sighting.values);
        if known_in.is_none() && sighting.standing == Standing::Listed && !unsaid.is_empty() {
            let roles: Vec<_> = unsaid.iter().map(|role| role.name()).collect();
            self.tally
                .note(format!("page {page}: Notion does not show its {}, which may give a key", roles.join(", ")));
        }
        let (ground, now) = (ground.clone(), self.sweeper.clock.now());
        let outcome = self.sweeper.store.write(move |rows| ground.apply(rows, &sighting, now)).await?;
        self.tally.applied(outcome.applied, outcome.strength);
        Ok(())
    }
}
