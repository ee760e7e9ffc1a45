//! The sweep of one source, from its schema to its watermark.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use chrono::{DateTime, TimeDelta, Utc};
use tracing::warn;

use crate::{
    cache::Cache,
    causes::told,
    model::{
        entry::Cause,
        id::{DataSourceId, PageId},
        sweep::{SourceReport, SweepId, SweepState},
    },
    notion::{Notion, NotionError, Priority},
    sources::{Resolved, error::AskError},
    store::{Store, StoreError},
    sweep::{Running, Sweeper, patience::Patience, tally::Tally, windows::Seams},
};

/// The sweep of one source; shared by the windows that are read side by side.
#[derive(Debug)]
pub(super) struct SourceSweep<S, N> {
    pub(super) sweeper: Sweeper<S, N>,
    pub(super) running: Running,
    pub(super) tally: Arc<Tally>,
    pub(super) seams: Mutex<Seams>,
    nth: usize,
    /// Every page that was looked at: 16 bytes each, the only thing that grows with the source.
    seen: Mutex<HashSet<PageId>>,
    /// Pages that could not be had, while the rest could.
    missed_out: AtomicUsize,
}

/// What a source is and was when its sweep began.
#[derive(Debug, Clone)]
pub(super) struct Ground {
    pub(super) id: SweepId,
    pub(super) cache: Cache,
    pub(super) table: Arc<Resolved>,
    pub(super) started_at: DateTime<Utc>,
    pub(super) cause: Cause,
    /// Until when complete sweeps had proven it, if they had.
    pub(super) proven_before: Option<DateTime<Utc>>,
    /// Whether differences are recorded. Before the first complete sweep the cache is not expected to be right, so that
    /// only a dry run tells them.
    pub(super) records_drift: bool,
    pub(super) listed_before: u64,
    /// How often its mapping had changed by then.
    remapped: u64,
}

/// What the complete sweep of a source has proven.
#[derive(Debug, Clone, Copy)]
pub(super) struct Proven {
    pub(super) data_source: DataSourceId,
    /// Every row of it, up to this instant.
    pub(super) until: DateTime<Utc>,
}

/// Why the sweep of a source ends before it is complete.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// Notion or the store gave something up.
    #[error(transparent)]
    Asking(#[from] AskError),
    /// Notion shows only some of the rows.
    #[error("{0}")]
    Stuck(String),
    /// The mapping is another one than at the beginning: what was read before was read wrongly.
    #[error("its mapping changed in the middle of the sweep")]
    Remapped,
    /// So many pages are gone at once that something else is the more likely reason.
    #[error(
        "{missing} or more of {listed} known pages answer 404: that looks like a page that is no longer shared. Share it with \
         the connection again, or say `reconcile --accept-missing` if the pages were really deleted"
    )]
    Implausible {
        /// Pages that answer 404 since this sweep.
        missing: usize,
        /// Pages that were known before it.
        listed: u64,
    },
    /// Some pages could not be had; each was told.
    #[error("some pages could not be read")]
    Incomplete,
    /// Somebody asked for the end.
    #[error("stopped before its end")]
    Stopped,
}

/// Pages that may be missed out before the rest is given up as well.
const MISSED_OUT_MAX: usize = 20;

/// Notion's code for an object that the token may not see (ERR).
const RESTRICTED: &str = "restricted_resource";

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Asking(error.into())
    }
}

impl<S: Store, N: Notion> SourceSweep<S, N> {
    pub(super) fn new(sweeper: &Sweeper<S, N>, nth: usize, running: &Running, tally: &Arc<Tally>) -> Self {
        Self {
            sweeper: sweeper.clone(),
            running: running.clone(),
            tally: Arc::clone(tally),
            seams: Mutex::default(),
            nth,
            seen: Mutex::default(),
            missed_out: AtomicUsize::new(0),
        }
    }

    /// Sweeps, and says how far that came and what it has proven.
    pub(super) async fn run(self) -> (SourceReport, Option<Proven>) {
        let name = self.sweeper.sources.name(self.nth).to_owned();
        let sweep = Arc::new(self);
        let (data_source, swept) = match sweep.begin().await {
            Ok(ground) => (Some(ground.table.data_source), sweep.sweep(&ground).await),
            Err(trouble) => (None, Err(trouble)),
        };
        let pages = sweep.seen().len() as u64;
        let mut error = None;
        let (outcome, proven) = match swept {
            Ok(proven) => (SweepState::Complete, Some(proven)),
            Err(trouble) => {
                let why = match (&trouble, sweep.tally.trouble(sweep.nth)) {
                    (Trouble::Incomplete, _) => None,
                    (Trouble::Stopped, Some(why)) => {
                        Some(format!("{}; it waited because of this: {why}", told(&trouble)))
                    }
                    _ => Some(told(&trouble)),
                };
                error = Some(why.clone().unwrap_or_else(|| told(&trouble)));
                if let Some(why) = why {
                    sweep.tally.error(format!("source {name}: {why}"));
                }
                sweep.tally.troubled(sweep.nth, None);
                (if pages == 0 { SweepState::Failed } else { SweepState::Partial }, None)
            }
        };
        (SourceReport { name, data_source, outcome, pages, error }, proven)
    }

    /// Reads the schema, and what the cache holds of the source.
    async fn begin(&self) -> Result<Ground, Trouble> {
        let Sweeper { store, sources, cache, clock, .. } = &self.sweeper;
        self.tally.doing(&format!("reading the schema of {}", sources.name(self.nth)));
        let read = self.persist(|| sources.read(self.nth, store, clock.now(), Priority::Sweep)).await?;
        read.note.into_iter().for_each(|note| self.tally.note(note));
        cache.learn_from(|| sources.hard());
        cache.rederive(store, clock.now()).await?;
        let data_source = read.table.data_source;
        let (proven_before, listed_before, remapped) = store
            .read(move |rows| {
                let stored = rows.sources()?.into_iter().find(|stored| stored.id == data_source);
                let watermark = stored.and_then(|stored| stored.watermark);
                Ok((watermark, rows.count_listed(data_source)?, rows.remapped(data_source)?))
            })
            .await?;
        self.tally.expect(proven_before.map(|_| listed_before));
        Ok(Ground {
            id: self.running.id,
            cache: cache.clone(),
            table: read.table,
            started_at: clock.now(),
            cause: self.running.cause(),
            proven_before,
            records_drift: proven_before.is_some() || self.running.order.dry_run,
            listed_before,
            remapped,
        })
    }

    async fn sweep(self: &Arc<Self>, ground: &Ground) -> Result<Proven, Trouble> {
        self.tally.doing(&format!("reading the rows of {}", self.sweeper.sources.name(self.nth)));
        // Where Notion shows only some of the rows, the archived ones can be had all the same; else nothing more can.
        let rows = match self.pass(ground, false).await {
            rows @ (Ok(()) | Err(Trouble::Stuck(_))) => rows,
            Err(trouble) => return Err(trouble),
        };
        let archived = self.pass(ground, true).await;
        rows.and(archived)?;
        self.whole()?;
        self.tally.doing("asking for pages that no query showed");
        let unfound = self.ask_absent(ground).await?;
        self.whole()?;
        self.prove(ground, unfound.pages).await
    }

    /// Notes what a complete scan has proven.
    async fn prove(&self, ground: &Ground, unfound: Vec<PageId>) -> Result<Proven, Trouble> {
        let Sweeper { store, cache, clock, .. } = &self.sweeper;
        let (data_source, remapped) = (ground.table.data_source, ground.remapped);
        let until = proven_until(ground.started_at, cache.settings().index_lag);
        let seams = std::mem::take(&mut *self.seams.lock().unwrap_or_else(PoisonError::into_inner));
        let noted = store.write(move |rows| {
            // Another process may have learnt another one, and this one again.
            if rows.remapped(data_source)? != remapped {
                return Ok(false);
            }
            seams.store(rows, data_source)?;
            rows.set_watermark(data_source, until)?;
            Ok(true)
        });
        if !noted.await? {
            return Err(Trouble::Remapped);
        }
        let (now, before) = (clock.now(), ground.proven_before);
        for some in unfound.chunks(100) {
            let (cache, some) = (cache.clone(), some.to_vec());
            store.write(move |rows| cache.lose_sight(rows, &some, before, now)).await?;
        }
        Ok(Proven { data_source, until })
    }

    /// Waits for an answer, unless somebody asks for the end.
    pub(super) async fn answer<T: Send>(&self, question: impl Future<Output = T> + Send) -> Result<T, Trouble> {
        self.running.stop.run_until_cancelled(question).await.ok_or(Trouble::Stopped)
    }

    /// Asks one question until it is answered, as long as to ask again is any use.
    pub(super) async fn persist<T, F>(&self, mut question: impl FnMut() -> F + Send) -> Result<T, Trouble>
    where
        T: Send,
        F: Future<Output = Result<T, AskError>> + Send,
    {
        let mut patience = Patience::default();
        loop {
            match self.answer(question()).await? {
                Ok(answer) => return Ok(answer),
                Err(error) => self.bear(&mut patience, error).await?,
            }
        }
    }

    /// Bears a failure by waiting, as long as to ask again is any use.
    pub(super) async fn bear(&self, patience: &mut Patience, error: AskError) -> Result<(), Trouble> {
        let Some(wait) = patience.failed(&error, self.sweeper.clock.now(), fastrand::f64()) else {
            return Err(error.into());
        };
        if matches!(error, AskError::Notion(_)) {
            self.sweeper.metrics.notion_retries.count();
        }
        let why = told(&error);
        warn!("the sweep asks again in {:.1} s: {why}", wait.as_secs_f64());
        self.tally.troubled(self.nth, Some(why));
        self.answer(tokio::time::sleep(wait)).await?;
        self.tally.troubled(self.nth, None);
        Ok(())
    }

    /// Notes a page that could not be had, while the rest can; each was asked for some minutes long, so that not many
    /// are borne.
    pub(super) fn miss_out(&self, page: PageId, why: &str) -> Result<(), Trouble> {
        self.tally.error(format!("page {page}: {why}"));
        let missed_out = self.missed_out.fetch_add(1, Ordering::Relaxed) + 1;
        if missed_out < MISSED_OUT_MAX { Ok(()) } else { Err(Trouble::Incomplete) }
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, HashSet<PageId>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn whole(&self) -> Result<(), Trouble> {
        if self.missed_out.load(Ordering::Relaxed) > 0 { Err(Trouble::Incomplete) } else { Ok(()) }
    }
}

/// Returns the instant up to which a sweep that began at `started_at` proves what it saw: the index of queries may
/// trail the live pages by this much.
fn proven_until(started_at: DateTime<Utc>, index_lag: TimeDelta) -> DateTime<Utc> {
    started_at.checked_sub_signed(index_lag).unwrap_or(started_at)
}

/// Returns whether an error is about one page, so that others can still be had.
pub(super) fn is_of_the_page(error: &AskError) -> bool {
    match error {
        AskError::Notion(NotionError::NotFound | NotionError::Rejected { .. } | NotionError::Unreadable(_)) => true,
        // A page of its own may be withheld from the token.
        AskError::Notion(NotionError::Refused { code, .. }) => code == RESTRICTED,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_withheld_of_one_page_says_nothing_of_the_others() {
        let refused =
            |code: &str| AskError::Notion(NotionError::Refused { code: code.to_owned(), message: String::new() });
        assert!(is_of_the_page(&refused("restricted_resource")));
        assert!(!is_of_the_page(&refused("unauthorized")));
        assert!(is_of_the_page(&NotionError::NotFound.into()));
        assert!(!is_of_the_page(&NotionError::Unavailable("down".into()).into()));
    }
}
