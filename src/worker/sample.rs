//! What is skipped, put to the test: samples are looked at all the same, and a wrong skip turns the filter off.

use tracing::{info, warn};

use crate::{
    causes::told,
    model::{
        entry::CachedPage,
        id::{DataSourceId, PageId},
        sighting::Sighting,
    },
    notion::Notion,
    sources::filter::{self, WrongSkip},
    store::{Rows, Store, StoreError, StoredEvent},
    worker::Worker,
};

/// Pages with a key in common that are seen to at once; more than these have no common key that means anything.
const RIVALS_MAX: u32 = 100;

/// What a look at a sample says of the relevance filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tested {
    /// Nothing against it.
    Held,
    /// The filter of this source is off: here is why.
    Failed(DataSourceId, WrongSkip),
}

impl<S: Store, N: Notion> Worker<S, N> {
    /// Makes the samples wait whose time has come.
    pub(super) async fn take_up_samples(&self) {
        let now = self.clock.now();
        // Mostly there are none, and then the loop must not wait for whoever writes into the file.
        let taken_up = match self.store().read(move |rows| rows.samples_are_due(now)).await {
            Ok(true) => self.store().write(move |rows| rows.take_up_samples(now)).await,
            due => due.map(|_none| 0),
        };
        match taken_up {
            Ok(0) => (),
            Ok(samples) => info!(samples, "{samples} skipped events are looked at all the same, as a sample"),
            Err(error) => warn!("cannot take up samples of skipped events: {}", told(&error)),
        }
    }

    /// Tests the filter, if nothing but samples asked for this look: what they should have said has not changed.
    pub(super) fn test(
        &self,
        rows: &mut dyn Rows,
        event: &StoredEvent,
        known: &CachedPage,
        sighting: &Sighting,
    ) -> Result<Option<Tested>, StoreError> {
        let Some(subject) = event.subject.filter(|_| event.is_sample) else { return Ok(None) };
        if !rows.only_samples_wait(subject)? {
            return Ok(None);
        }
        let changed = filter::untold(rows, event.occurred_at, known, sighting)?;
        if changed.is_empty() {
            return Ok(Some(Tested::Held));
        }
        let wrong = WrongSkip { found_at: self.clock.now(), event: event.event_id.clone(), page: known.id, changed };
        let was_on = filter::turn_off(rows, known.source, wrong.clone())?;
        Ok(Some(if was_on { Tested::Failed(known.source, wrong) } else { Tested::Held }))
    }

    /// Counts a test; what failed turns the filter off for the intake too, now that the fact is in the store.
    pub(super) fn note_test(&self, tested: &Tested) {
        self.metrics.looks_at_samples.count();
        if let Tested::Failed(source, wrong) = tested {
            self.sources.filter().turn_off(*source, wrong);
            self.metrics.skips_wrong.count();
        }
    }
}

/// Lets the newest skipped event of every page wait that claims a key which `page` claims too.
///
/// Which of them the key shows goes by the later edit, and of an edit that was skipped the cache does not know. What
/// happens to a page while its key is claimed by another one is not skipped.
pub(super) fn take_up_rivals(rows: &mut dyn Rows, page: PageId) -> Result<(), StoreError> {
    for (rival, seen_at) in rows.rivals_of(page, RIVALS_MAX)? {
        if let Some(skipped) = rows.newest_skipped(rival, seen_at)? {
            rows.unskip(&skipped.event_id)?;
        }
    }
    Ok(())
}
