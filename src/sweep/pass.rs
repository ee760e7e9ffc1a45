//! One pass over the rows of a source, or over its archived rows: in windows side by side, 100 rows at a time.

use std::sync::{Arc, PoisonError};

use tokio::task::JoinSet;

use crate::{
    cache::{Applied, Current},
    model::{entry::Standing, id::PageId, key::Strength, page::Snapshot, sighting::Sighting},
    notion::{
        Notion, NotionError, Priority,
        scan::{Batch, Scan, ScanError},
    },
    sources::error::AskError,
    store::Store,
    sweep::{
        patience::Patience,
        source::{Ground, SourceSweep, Trouble},
        windows::{self, Span},
    },
};

/// Failures of one question after which fewer rows are asked for at once (QDS).
const FAILURES_BEFORE_LESS: u32 = 2;

/// What became of the rows of one batch.
#[derive(Debug, Default)]
struct Taken {
    applied: Vec<(Applied, Option<Strength>)>,
    /// Rows that a query shows otherwise than the page did a moment ago: the page decides.
    doubtful: Vec<PageId>,
}

impl<S: Store, N: Notion> SourceSweep<S, N> {
    /// Reads all rows, or all archived ones, and applies them.
    pub(super) async fn pass(self: &Arc<Self>, ground: &Ground, archived: bool) -> Result<(), Trouble> {
        let data_source = ground.table.data_source;
        let parts = if archived {
            vec![Span::WHOLE]
        } else {
            let seams = self.sweeper.store.read(move |rows| windows::recalled(rows, data_source)).await?;
            windows::parted(&seams, ground.listed_before, self.sweeper.settings.windows)
        };
        let mut running = JoinSet::new();
        for part in parts {
            let (sweep, ground) = (Arc::clone(self), ground.clone());
            running.spawn(async move { sweep.window(&ground, archived, part).await });
        }
        let mut outcome = Ok(());
        while let Some(ended) = running.join_next().await {
            let ended = ended.unwrap_or_else(|died| Err(Trouble::Stuck(format!("a window broke off: {died}"))));
            // What cannot be had ends the others too, since they would find the same; what is hidden does not.
            if matches!(&ended, Err(trouble) if !matches!(trouble, Trouble::Stuck(_))) {
                return ended;
            }
            outcome = outcome.and(ended);
        }
        outcome
    }

    /// Reads one window to its end.
    async fn window(&self, ground: &Ground, archived: bool, part: Span) -> Result<(), Trouble> {
        let data_source = ground.table.data_source;
        let notion = self.sweeper.sources.notion(data_source).ok_or(AskError::Unresolved)?;
        let mut scan = Scan::new(notion, data_source, archived, Priority::Sweep).within(part.since, part.until);
        let (mut patience, mut failures) = (Patience::default(), 0);
        loop {
            match self.answer(scan.next()).await? {
                Ok(None) => return Ok(()),
                Ok(Some(batch)) => {
                    patience.answered();
                    failures = 0;
                    scan.ask_for_more();
                    self.take(ground, batch).await?;
                }
                Err(stuck @ ScanError::Stuck(_)) => return Err(Trouble::Stuck(stuck.to_string())),
                Err(ScanError::Notion(error)) => {
                    failures += 1;
                    if failures >= FAILURES_BEFORE_LESS && matches!(error, NotionError::Unavailable(_)) {
                        scan.ask_for_less();
                    }
                    self.bear(&mut patience, error.into()).await?;
                }
            }
        }
    }

    /// Applies a batch, and asks for the pages of it that a query cannot decide.
    async fn take(&self, ground: &Ground, batch: Batch) -> Result<(), Trouble> {
        self.tally.fetched(batch.snapshots.len() + batch.unread.len());
        let (snapshots, unread) = self.not_yet_seen(batch);
        let (changed, mut taken) = self.compare(ground, snapshots).await?;
        if !changed.is_empty() {
            let more = self.apply(ground, changed).await?;
            taken.applied.extend(more.applied);
            taken.doubtful.extend(more.doubtful);
        }
        for (applied, strength) in taken.applied {
            self.tally.applied(applied, strength);
        }
        for page in taken.doubtful.into_iter().chain(unread) {
            self.ask_shown(ground, page).await?;
        }
        Ok(())
    }

    /// Leaves out the pages that another window gave, and marks the rest as seen.
    fn not_yet_seen(&self, batch: Batch) -> (Vec<Snapshot>, Vec<PageId>) {
        let mut seen = self.seen();
        let snapshots: Vec<_> = batch.snapshots.into_iter().filter(|snapshot| seen.insert(snapshot.page.id)).collect();
        let unread = batch.unread.into_iter().filter(|page| seen.insert(*page)).collect();
        drop(seen);
        let mut seams = self.seams.lock().unwrap_or_else(PoisonError::into_inner);
        snapshots.iter().filter(|snapshot| !snapshot.page.is_archived).for_each(|snapshot| {
            seams.add(snapshot.page.created_time);
        });
        drop(seams);
        (snapshots, unread)
    }

    /// Reads which rows are as the cache has them; most are, and cost no write.
    async fn compare(&self, ground: &Ground, snapshots: Vec<Snapshot>) -> Result<(Vec<Sighting>, Taken), Trouble> {
        let (sources, cache, cause) = (self.sweeper.sources.clone(), self.sweeper.cache.clone(), ground.cause.clone());
        let (now, table) = (self.sweeper.clock.now(), Arc::clone(&ground.table));
        let compared = self
            .sweeper
            .store
            .read(move |rows| {
                let (mut changed, mut taken) = (Vec::new(), Taken::default());
                for snapshot in snapshots {
                    let earlier = rows.page(snapshot.page.id)?;
                    let sighting = match sources.sighting(&snapshot, earlier.as_ref().map(|known| known.source)) {
                        Ok(sighting) => sighting,
                        Err(error) => return Ok(Err(error)),
                    };
                    // A row that contradicts the question, and one of which nobody knows the keys: the page decides.
                    let is_odd = sighting.standing != Standing::Listed;
                    if is_odd || (earlier.is_none() && !table.mapping.unsaid(&sighting.values).is_empty()) {
                        taken.doubtful.push(sighting.page);
                        continue;
                    }
                    match cache.current(rows, (earlier, &sighting), &cause, now)? {
                        Some(Current { strength }) => taken.applied.push((Applied::Unchanged, strength)),
                        None => changed.push(sighting),
                    }
                }
                Ok(Ok((changed, taken)))
            })
            .await?;
        Ok(compared?)
    }

    /// Applies what is not as the cache has it, in one transaction.
    async fn apply(&self, ground: &Ground, sightings: Vec<Sighting>) -> Result<Taken, Trouble> {
        let (ground, now) = (ground.clone(), self.sweeper.clock.now());
        let taken = self.sweeper.store.write(move |rows| {
            let mut taken = Taken::default();
            for sighting in &sightings {
                let outcome = ground.apply(rows, sighting, now)?;
                match outcome.applied {
                    Applied::Doubtful => taken.doubtful.push(sighting.page),
                    applied => taken.applied.push((applied, outcome.strength)),
                }
            }
            Ok(taken)
        });
        Ok(taken.await?)
    }
}
