//! Pages of which somebody wants a younger proof: fetched beside the queue, since somebody waits for the answer.
//!
//! No event asked for these looks, and none is settled by them. What a page shows is applied as after any other look.

use std::{collections::BTreeSet, time::Duration};

use tokio::{select, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    cache::Applied,
    causes::told,
    model::{
        entry::{Cause, Door},
        event::Subject,
        id::PageId,
    },
    notion::Notion,
    store::{Store, StoreError},
    worker::{Worker, apply::Seen, sample::take_up_rivals},
};

/// How often the store is asked what is wanted: any process may want something.
const ROUND: Duration = Duration::from_millis(100);

/// As many pages are read from the store at once.
const WANTED_AT_ONCE: u32 = 100;

const NOT_FOUND: &str = "Notion answers 404 for it: share the page with the connection again";

impl<S: Store, N: Notion> Worker<S, N> {
    /// Fetches the pages of which a younger proof is wanted, until `stop`.
    pub async fn refresh(self, stop: CancellationToken) {
        let (mut looks, mut running) = (JoinSet::new(), BTreeSet::new());
        loop {
            for page in self.wanted().await {
                if running.len() < self.settings.concurrency && running.insert(page) {
                    let worker = self.clone();
                    looks.spawn(async move {
                        worker.refresh_page(page).await;
                        page
                    });
                }
            }
            select! {
                () = stop.cancelled() => return,
                Some(looked) = looks.join_next() => match looked {
                    Ok(page) => drop(running.remove(&page)),
                    Err(died) => {
                        warn!("a look for a younger proof died: {}", told(&died));
                        // Which one it was is not told: those that go on are begun anew at worst.
                        running.clear();
                    }
                },
                () = tokio::time::sleep(ROUND) => (),
            }
        }
    }

    async fn wanted(&self) -> Vec<PageId> {
        let now = self.clock.now();
        let wanted = self.store().read(move |rows| rows.wanted_refreshes(now, WANTED_AT_ONCE)).await;
        wanted.unwrap_or_else(|error| {
            warn!("cannot read what is wanted anew: {}", told(&error));
            Vec::new()
        })
    }

    async fn refresh_page(&self, page: PageId) {
        let began = tokio::time::Instant::now();
        let seen = match self.whereabouts(page).await {
            Ok(whereabouts) => self.see(page, whereabouts).await,
            Err(error) => Err(error.into()),
        };
        let done = match seen {
            Ok(seen) => self.apply_refresh(page, seen, began.elapsed()).await,
            Err(error) => {
                let why = told(&error);
                warn!(page = %page, "cannot fetch page {page} for a younger proof: {why}");
                self.store().write(move |rows| rows.fail_refresh(page, &why)).await
            }
        };
        if let Err(error) = done {
            warn!(page = %page, "cannot store what a look for a younger proof brought: {}", told(&error));
        }
    }

    async fn apply_refresh(&self, page: PageId, seen: Seen, took: Duration) -> Result<(), StoreError> {
        let (cache, now) = (self.cache.clone(), self.clock.now());
        let outcome = self
            .store()
            .write(move |rows| {
                let cause = Cause { door: Door::Lookup, id: "a younger proof was asked for".to_owned() };
                let outcome = match seen {
                    Seen::Shown(sighting) => {
                        rows.end_refresh(page)?;
                        cache.apply(rows, &sighting, &cause, now)?
                    }
                    Seen::NotFound(absence) => {
                        rows.fail_refresh(page, NOT_FOUND)?;
                        cache.miss(rows, absence, now)?
                    }
                };
                if matches!(outcome.applied, Applied::Inserted | Applied::Updated) {
                    take_up_rivals(rows, page)?;
                }
                Ok(outcome)
            })
            .await?;
        self.note(Subject::Page(page), &outcome, took);
        Ok(())
    }
}
