//! One page, from the request to the rows: fetch, derive, apply, settle.

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};

use crate::{
    cache::{Applied, Outcome},
    model::{
        entry::{CachedPage, Cause, Door, Standing},
        event::{EventKind, Subject},
        id::PageId,
        page::View,
        sighting::{Absence, Sighting},
    },
    notion::{Notion, NotionError, Priority},
    sources::error::AskError,
    store::{Delay, Rows, Seq, Store, StoreError, StoredEvent},
    worker::{
        Worker,
        queue::Look,
        sample::{Tested, take_up_rivals},
        whereabouts::Whereabouts,
    },
};

/// Why the events of a page wait although it was applied: it was older than they are.
pub(super) const UNSETTLED: &str = "the page was older than its event: looked at once more";

/// What a look at a page brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// What became of the page.
    pub outcome: Outcome,
    /// When it is looked at once more, because Notion may not have settled yet.
    pub again_at: Option<DateTime<Utc>>,
    /// The newest event that asked for the look.
    pub event: Option<StoredEvent>,
    /// What it says of the relevance filter, if a sample asked for it.
    pub tested: Option<Tested>,
    /// When each event was received whose work is done by it, samples aside.
    pub settled: Vec<DateTime<Utc>>,
}

impl<S: Store, N: Notion> Worker<S, N> {
    /// Looks at one page and applies what it shows.
    pub(super) async fn look_at_page(&self, page: PageId, look: Look) -> Result<Looked, AskError> {
        let whereabouts = self.whereabouts(page).await?;
        let Some(seat) = self.seats.take(whereabouts.likely.first().copied()) else { return Err(AskError::Crowded) };
        let seen = self.see(page, whereabouts).await?;
        drop(seat);
        let worker = self.clone();
        Ok(self.store().write(move |rows| worker.apply(rows, &seen, look)).await?)
    }

    /// Asks for a page, and says what that showed.
    pub(super) async fn see(&self, page: PageId, whereabouts: Whereabouts) -> Result<Seen, AskError> {
        let Whereabouts { known_in, likely } = whereabouts;
        let asked_at = self.clock.now();
        match self.sources.page_of(page, &likely, asked_at, Priority::Webhook).await {
            Ok(snapshot) => Ok(Seen::Shown(Box::new(self.sources.sighting(&snapshot, known_in)?))),
            Err(AskError::Notion(NotionError::NotFound)) => Ok(Seen::NotFound(Absence { page, observed_at: asked_at })),
            Err(error) => Err(error),
        }
    }

    /// Applies what was seen and settles the events that asked for it, in one transaction.
    fn apply(&self, rows: &mut dyn Rows, seen: &Seen, look: Look) -> Result<Looked, StoreError> {
        let now = self.clock.now();
        let TakenIn { outcome, event, known, tested } = self.take_in(rows, seen, look, now)?;
        let again_at =
            event.as_ref().and_then(|event| seen.again_at(event, known.as_ref(), now, self.settings.settle_after));
        let mut settled = Vec::new();
        match again_at {
            Some(due_at) => {
                let delay = Delay { due_at, attempts: 0, reason: UNSETTLED.to_owned() };
                rows.put_off(look.subject, look.through, &delay)?;
            }
            None => settled = rows.settle(look.subject, look.through)?,
        }
        Ok(Looked { outcome, again_at, event, tested, settled })
    }

    /// Applies what was seen; what becomes of the events is left to the caller.
    pub(super) fn take_in(
        &self,
        rows: &mut dyn Rows,
        seen: &Seen,
        look: Look,
        now: DateTime<Utc>,
    ) -> Result<TakenIn, StoreError> {
        let newest = rows.newest_waiting(look.subject)?;
        let known = rows.page(seen.page())?;
        let cause = cause(newest.as_ref(), look.through);
        let tested = match (&newest, &known, seen) {
            // What a query shows may trail what was skipped.
            (Some(event), Some(known), Seen::Shown(sighting)) if sighting.view == View::Page => {
                self.test(rows, event, known, sighting)?
            }
            _ => None,
        };
        let outcome = match seen {
            Seen::Shown(sighting) if never_was_ours(sighting, known.as_ref(), newest.as_ref()) => {
                Applied::Unchanged.into()
            }
            Seen::Shown(sighting) => self.cache.apply(rows, sighting, &cause, now)?,
            Seen::NotFound(absence) if says_deleted(rows, newest.as_ref(), known.as_ref())? => {
                self.cache.bury(rows, *absence, &cause, now)?
            }
            Seen::NotFound(absence) => self.cache.miss(rows, *absence, now)?,
        };
        if matches!(outcome.applied, Applied::Inserted | Applied::Updated) {
            take_up_rivals(rows, seen.page())?;
        }
        Ok(TakenIn { outcome, event: newest, known, tested })
    }
}

/// What was applied, and what decides whether that settles the events.
pub(super) struct TakenIn {
    /// What became of the page.
    pub(super) outcome: Outcome,
    /// The newest event that waits for it.
    pub(super) event: Option<StoredEvent>,
    /// The page as it was known before.
    pub(super) known: Option<CachedPage>,
    /// What it says of the relevance filter, where it was a sample.
    pub(super) tested: Option<Tested>,
}

/// What a request for a page showed.
pub(super) enum Seen {
    Shown(Box<Sighting>),
    NotFound(Absence),
}

impl Seen {
    const fn page(&self) -> PageId {
        match self {
            Self::Shown(sighting) => sighting.page,
            Self::NotFound(absence) => absence.page,
        }
    }

    /// Returns when the page is to be looked at once more, if Notion may not have settled when it was asked.
    ///
    /// That is done once for an event. A look that something else asked for in between does not count as it.
    fn again_at(
        &self,
        event: &StoredEvent,
        known: Option<&CachedPage>,
        now: DateTime<Utc>,
        settle_after: TimeDelta,
    ) -> Option<DateTime<Utc>> {
        // Planned farther ahead than anything ever is, it was before the clock was set back.
        let planned = event.due_at.filter(|_| event.reason.as_deref() == Some(UNSETTLED));
        let planned = planned.map(|due_at| due_at.min(now + settle_after));
        let due_at = planned.unwrap_or(now + settle_after);
        let is_over = planned.is_some_and(|due_at| due_at <= now);
        (!is_over && self.may_be_behind(event, known)).then_some(due_at)
    }

    /// Returns whether Notion may not have settled yet: the page is older than the event's minute, or is not there.
    ///
    /// What an event says is not doubted where the page shows it, and doubted where the page shows the contrary. The
    /// entries of a known page that answers 404 stay, so that nothing is lost there.
    pub(super) fn may_be_behind(&self, event: &StoredEvent, known: Option<&CachedPage>) -> bool {
        let Self::Shown(sighting) = self else { return known.is_none() && !is(event, &EventKind::PageDeleted) };
        let was_listed = known.is_some_and(|known| known.standing == Standing::Listed);
        let minute = event.occurred_at.duration_trunc(TimeDelta::minutes(1)).unwrap_or(event.occurred_at);
        match sighting.standing {
            Standing::Trashed if is(event, &EventKind::PageDeleted) => false,
            Standing::Trashed if is(event, &EventKind::PageUndeleted) => true,
            Standing::MovedOut if is(event, &EventKind::PageMoved) && was_listed => false,
            _ => sighting.last_edited_time < minute,
        }
    }
}

/// Returns whether a page stands outside our sources and was never seen in one. It is not kept, or every later event
/// about it would be looked at; unless it may just have left, before it was seen.
fn never_was_ours(sighting: &Sighting, known: Option<&CachedPage>, event: Option<&StoredEvent>) -> bool {
    let may_have_left = event.is_some_and(|event| is(event, &EventKind::PageMoved));
    sighting.standing == Standing::MovedOut && known.is_none() && !may_have_left
}

/// Only `page.deleted` makes a 404 a proof, where nothing newer contradicts it: another event, the page itself, or a
/// complete sweep, which does not write down each page that it sees unchanged.
fn says_deleted(
    rows: &mut dyn Rows,
    newest: Option<&StoredEvent>,
    known: Option<&CachedPage>,
) -> Result<bool, StoreError> {
    let Some(event) = newest.filter(|event| is(event, &EventKind::PageDeleted)) else { return Ok(false) };
    let Some(known) = known else { return Ok(true) };
    let swept_at = match known.missing_since {
        Some(_) => None,
        None => {
            rows.sources()?.into_iter().find(|source| source.id == known.source).and_then(|source| source.watermark)
        }
    };
    Ok(swept_at.max(Some(known.observed_at)) <= Some(event.occurred_at))
}

fn is(event: &StoredEvent, kind: &EventKind) -> bool {
    event.kind == kind.name()
}

/// Names the newest event as the cause; it may have been settled by another process meanwhile.
fn cause(newest: Option<&StoredEvent>, through: Seq) -> Cause {
    match newest {
        Some(event) => Cause { door: event.door, id: format!("{} {}", event.event_id, event.kind) },
        None => Cause { door: Door::Webhook, id: format!("inbox {}", through.0) },
    }
}

/// Returns the page of a subject that is one.
pub(super) const fn page_of(subject: Subject) -> Option<PageId> {
    match subject {
        Subject::Page(page) => Some(page),
        Subject::Sources => None,
    }
}

/// Returns whether a look left everything as it was.
pub(super) const fn is_quiet(applied: Applied) -> bool {
    matches!(applied, Applied::Unchanged | Applied::Stale | Applied::Missing)
}
