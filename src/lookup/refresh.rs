//! A younger proof: asking for pages to be fetched, and waiting for that.
//!
//! Who asks only notes the wish. Whoever has the right to ask Notion fetches the page, within the one budget of the
//! token: a `serve`, or the command that asks.

use std::{collections::BTreeMap, time::Duration};

use chrono::TimeDelta;
use tokio::time::Instant;

use crate::{
    causes::told,
    lookup::{Lookup, ground::Answered},
    model::id::PageId,
    store::{Store, StoreError},
};

/// As many pages may be wanted at once; further ones are answered by what is known.
const WANTED_MAX: usize = 1000;

/// How often it is looked whether the pages have been fetched.
const ROUND: Duration = Duration::from_millis(50);

/// Pages that could not be had, and why.
pub(super) type Failed = BTreeMap<PageId, String>;

impl<S: Store> Lookup<S> {
    /// Has pages fetched, and returns those that could not be had within `wait`.
    ///
    /// Where the wish cannot be noted, what is known is an answer all the same.
    pub(super) async fn fetched(&self, mut pages: Vec<PageId>, wait: Duration) -> Failed {
        pages.sort_unstable();
        pages.dedup();
        match self.try_fetched(pages.clone(), wait).await {
            Ok(failed) => failed,
            Err(error) => pages.into_iter().map(|page| (page, told(&error))).collect(),
        }
    }

    async fn try_fetched(&self, mut pages: Vec<PageId>, wait: Duration) -> Result<Failed, StoreError> {
        let mut failed: Failed =
            pages.drain(pages.len().min(WANTED_MAX)..).map(|page| (page, "too many at once".to_owned())).collect();
        let until = Instant::now() + wait;
        self.want(pages.clone(), wait).await?;
        loop {
            let waiting;
            (waiting, failed) = self.outcome(pages, failed).await?;
            pages = waiting;
            if pages.is_empty() || Instant::now() >= until {
                break;
            }
            tokio::time::sleep(ROUND.min(until - Instant::now())).await;
        }
        failed.extend(pages.into_iter().map(|page| (page, format!("it took longer than {:.2} s", wait.as_secs_f64()))));
        Ok(failed)
    }

    async fn want(&self, pages: Vec<PageId>, wait: Duration) -> Result<(), StoreError> {
        let now = self.clock.now();
        let until = TimeDelta::from_std(wait).ok().and_then(|wait| now.checked_add_signed(wait)).unwrap_or(now);
        self.store
            .write(move |rows| {
                rows.forget_refreshes(now)?;
                pages.into_iter().try_for_each(|page| rows.ask_refresh(page, now, until))
            })
            .await
    }

    /// Returns the pages that are still waited for, and those that could not be had.
    async fn outcome(&self, pages: Vec<PageId>, mut failed: Failed) -> Result<(Vec<PageId>, Failed), StoreError> {
        self.store
            .read(move |rows| {
                let mut waiting = Vec::new();
                for page in pages {
                    match rows.refresh(page)? {
                        None => (),
                        Some(refresh) => match refresh.failed {
                            Some(why) => drop(failed.insert(page, why)),
                            None => waiting.push(page),
                        },
                    }
                }
                Ok((waiting, failed))
            })
            .await
    }
}

/// Adds to an answer that is still stale why its pages could not be had.
pub(super) fn explain(answer: &mut Answered, failed: &Failed) {
    if let Some(why) = answer.fetchable.iter().find_map(|page| failed.get(page)) {
        answer.verdict.reason = format!("{}; fetching its page failed: {why}", answer.verdict.reason);
    }
}
