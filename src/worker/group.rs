//! One look at many pages: a query of their source, read page by page, applied as any other look is.
//!
//! Each page of results is one transaction, which also settles or puts off the events of the pages that it shows, so
//! that a crash costs the rest of the query and nothing else. Rows that nobody waits for are applied too. What the
//! query leaves open goes back to the queue, to be queried again or fetched (`worker/planner.rs` says which).

use std::{collections::HashMap, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::{
    cache::{Applied, Outcome},
    causes::told,
    metrics::label::GroupPage,
    model::{
        entry::{Cause, Door},
        event::{EventKind, Subject},
        id::PageId,
        page::Snapshot,
    },
    notion::{Notion, NotionError, Priority, Query, QueryPage, Window},
    sources::{Resolved, error::AskError},
    store::{Delay, Rows, Store, StoreError, StoredEvent},
    worker::{
        Report, Worker, WorkerHealth,
        apply::{self, Looked, Seen, TakenIn},
        planner::{self, Asked, Due, Fate, Group, Plan, ROWS_AT_ONCE, Wanted},
        queue::{Ended, Look},
        retry::{self, Verdict},
        sample::take_up_rivals,
        whereabouts::named_source,
    },
};

/// Why the events of a page wait although it was applied: an index showed it that may not have seen them.
const TRAILING: &str = "a query showed the page, which may trail it: asked once more";

/// Why the events of a page wait that a query left out.
const NOT_SHOWN: &str = "a query did not show what the event told: asked once more";

/// How a look at many pages ended.
#[derive(Debug, Default)]
pub(super) struct GroupEnded {
    /// How it ended for each of them.
    pub(super) ended: Vec<(Subject, Ended)>,
    /// Pages that are to be fetched although no event asks for it, and when.
    pub(super) doubted: Vec<(PageId, DateTime<Utc>)>,
}

/// How far a query was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// To its end, or until every page was seen.
    Whole,
    /// Until more rows were read than it is worth, or Notion gave no more.
    Cut,
}

impl<S: Store, N: Notion> Worker<S, N> {
    /// Plans how pages that are due are looked at.
    pub(super) async fn plan(&self, due: Vec<Look>, query_min: usize) -> Result<Plan, StoreError> {
        let tables = self.sources.resolved();
        let facts = self.store().read(move |rows| {
            let pages = due.into_iter().filter_map(|look| Some((look, apply::page_of(look.subject)?)));
            pages.map(|(look, page)| facts(rows, look, page, &tables)).collect::<Result<_, _>>()
        });
        Ok(planner::plan(facts.await?, query_min))
    }

    /// Looks at many pages; whatever comes of it is stored when this returns.
    pub(super) async fn look_at_group(&self, group: Group, health: &WorkerHealth) -> GroupEnded {
        let began = Instant::now();
        let mut round = Round::of(&group);
        let read = self.read_results(&group, &mut round).await;
        self.tell_health(health, read.is_ok());
        let asked = Asked { at: round.asked_at.unwrap_or_else(|| self.clock.now()), ..self.asked() };
        let left: Vec<Wanted> = round.left.drain().map(|(_, wanted)| wanted).collect();
        match &read {
            Ok(Reach::Whole) => self.leave(left, asked, &mut round.ended).await,
            Ok(Reach::Cut) => round.ended.extend(left.iter().map(|left| (left.look.subject, Ended::Singly))),
            Err(error) => {
                let ended = self.fail_group(&left, error);
                round.ended.extend(left.iter().map(|left| (left.look.subject, ended(left.look))));
            }
        }
        let count = |wanted: &dyn Fn(&Ended) -> bool| round.ended.iter().filter(|(_, ended)| wanted(ended)).count();
        let settled = count(&|ended| matches!(ended, Ended::Done));
        let singly = count(&|ended| matches!(ended, Ended::Singly));
        self.metrics.group_pages.add(GroupPage::Settled, settled as u64);
        self.metrics.group_pages.add(GroupPage::Left, singly as u64);
        info!(
            duration_ms = began.elapsed().as_millis(),
            "asked {} about {} pages at once: {settled} are settled, {singly} are to be fetched",
            group.source,
            group.pages.len()
        );
        GroupEnded { ended: round.ended, doubted: round.doubted }
    }

    /// Reads the query page by page, and applies what it shows.
    async fn read_results(&self, group: &Group, round: &mut Round) -> Result<Reach, AskError> {
        let mut cursor = None;
        for _ in 0..group.result_pages_max() {
            let (began, asked_at) = (Instant::now(), self.clock.now());
            let query = Query {
                data_source: group.source,
                window: Window::EditedSince(group.since),
                archived: false,
                cursor: cursor.clone(),
                page_size: ROWS_AT_ONCE,
            };
            self.metrics.group_queries.count();
            let results = self.sources.query(&query, asked_at, Priority::Webhook).await?;
            round.asked_at.get_or_insert(asked_at);
            let QueryPage { snapshots, unread, next_cursor, capped } = results;
            self.apply_results(snapshots, round, began.elapsed()).await?;
            for page in unread {
                round.end(page, Ended::Singly);
            }
            if round.left.is_empty() {
                return Ok(Reach::Whole);
            }
            match next_cursor {
                None if capped => return Ok(Reach::Cut),
                None => return Ok(Reach::Whole),
                next if next == cursor => {
                    return Err(NotionError::Unreadable("the cursor does not move on".to_owned()).into());
                }
                next => cursor = next,
            }
        }
        Ok(Reach::Cut)
    }

    /// Applies one page of results, and settles or puts off the events of the pages that wait, in one transaction.
    async fn apply_results(&self, shown: Vec<Snapshot>, round: &mut Round, took: Duration) -> Result<(), AskError> {
        let rows_shown: Vec<_> = shown
            .into_iter()
            .map(|snapshot| {
                let look = round.left.get(&snapshot.page.id).map(|left| left.look);
                (snapshot, look)
            })
            .collect();
        let worker = self.clone();
        let applied = self.store().write(move |rows| {
            rows_shown
                .iter()
                .filter_map(|(snapshot, look)| worker.apply_row(rows, snapshot, *look).transpose())
                .collect()
        });
        let applied: Vec<AppliedRow> = applied.await?;
        for row in applied {
            self.note(Subject::Page(row.page), &row.outcome, took);
            self.note_settled(&row.settled);
            let again_at = match row.fate {
                Fate::Again(at) => Some(at),
                Fate::Settled | Fate::Missed | Fate::Singly => None,
            };
            match row.look {
                Some(look) => {
                    round.shown(row.page, look, row.fate);
                    let looked = Ok(Looked {
                        outcome: row.outcome,
                        again_at,
                        event: row.event,
                        tested: None,
                        settled: row.settled,
                    });
                    // Nobody may be watching.
                    drop(self.reports.send(Report { subject: look.subject, looked, took }));
                }
                None if row.outcome.applied == Applied::Doubtful => {
                    round.doubted.push((row.page, self.asked().doubted()));
                }
                None => (),
            }
        }
        Ok(())
    }

    /// Applies one row; `None` where nobody can say what it means.
    fn apply_row(
        &self,
        rows: &mut dyn Rows,
        snapshot: &Snapshot,
        look: Option<Look>,
    ) -> Result<Option<AppliedRow>, StoreError> {
        let asked = Asked { at: snapshot.observed_at, ..self.asked() };
        let page = snapshot.page.id;
        let known_in = rows.page(page)?.map(|known| known.source);
        let Ok(sighting) = self.sources.sighting(snapshot, known_in) else { return Ok(None) };
        let Some(look) = look else {
            let cause = Cause { door: Door::Webhook, id: "a query for other pages".to_owned() };
            let outcome = self.cache.apply(rows, &sighting, &cause, asked.now)?;
            if matches!(outcome.applied, Applied::Inserted | Applied::Updated) {
                take_up_rivals(rows, page)?;
            }
            let fate = Fate::Settled;
            return Ok(Some(AppliedRow { page, look: None, outcome, event: None, fate, settled: Vec::new() }));
        };
        let seen = Seen::Shown(Box::new(sighting));
        let TakenIn { outcome, event, known, tested: _ } = self.take_in(rows, &seen, look, asked.now)?;
        let fate = match &event {
            _ if outcome.applied == Applied::Doubtful => Fate::Singly,
            Some(event) => asked.shown(event.occurred_at, seen.may_be_behind(event, known.as_ref())),
            // Another process has settled it.
            None => Fate::Settled,
        };
        let mut settled = Vec::new();
        match fate {
            Fate::Settled => settled = rows.settle(look.subject, look.through)?,
            Fate::Again(due_at) => {
                let delay = Delay { due_at, attempts: look.attempts, reason: TRAILING.to_owned() };
                rows.put_off(look.subject, look.through, &delay)?;
            }
            Fate::Missed | Fate::Singly => (),
        }
        Ok(Some(AppliedRow { page, look: Some(look), outcome, event, fate, settled }))
    }

    /// Says what becomes of the pages that the query did not show as their events told.
    async fn leave(&self, left: Vec<Wanted>, asked: Asked, ended: &mut Vec<(Subject, Ended)>) {
        let missed = left.len();
        let mut put_off = Vec::new();
        for Wanted { look, happened_at, .. } in left {
            match asked.missed(happened_at, look.queries, missed) {
                Fate::Again(due_at) => {
                    put_off.push((look, due_at));
                    ended.push((look.subject, Ended::Queried { due_at, attempts: look.attempts }));
                }
                Fate::Settled | Fate::Missed | Fate::Singly => ended.push((look.subject, Ended::Singly)),
            }
        }
        if put_off.is_empty() {
            return;
        }
        let stored = self.store().write(move |rows| {
            for (look, due_at) in put_off {
                let delay = Delay { due_at, attempts: look.attempts, reason: NOT_SHOWN.to_owned() };
                rows.put_off(look.subject, look.through, &delay)?;
            }
            Ok(())
        });
        // They wait all the same, in memory; after a restart they would be asked about at once.
        if let Err(error) = stored.await {
            warn!("cannot store why pages wait: {}", told(&error));
        }
    }

    /// Says what becomes of the pages of a query that failed. None of them is to blame for it, so that it counts as a
    /// query and not as a failure of theirs: after a few of these they are fetched.
    fn fail_group(&self, left: &[Wanted], error: &AskError) -> impl Fn(Look) -> Ended + use<S, N> {
        self.metrics.looks_failed.count();
        warn!("cannot look at {} pages at once: {}", left.len(), told(error));
        let failed_before = left.iter().map(|left| u32::from(left.look.queries)).max().unwrap_or_default();
        let verdict = retry::verdict(error, failed_before, self.clock.now(), fastrand::f64());
        if let (AskError::Notion(_), Verdict::RetryAt { .. }) = (error, &verdict) {
            self.metrics.notion_retries.count();
        }
        move |look| match verdict {
            // A wait that everybody shares.
            Verdict::RetryAt { due_at, attempts } if attempts == failed_before => {
                Ended::Again { due_at, attempts: look.attempts }
            }
            Verdict::RetryAt { due_at, .. } => Ended::Queried { due_at, attempts: look.attempts },
            Verdict::Parked(_) | Verdict::Settled => Ended::Singly,
        }
    }

    fn asked(&self) -> Asked {
        let now = self.clock.now();
        let query_min = self.settings.query_min.unwrap_or(usize::MAX);
        Asked { at: now, now, index_lag: self.cache.settings().index_lag, query_min }
    }
}

/// A row as it was applied.
struct AppliedRow {
    page: PageId,
    /// The look that waits for it, if one does.
    look: Option<Look>,
    outcome: Outcome,
    event: Option<StoredEvent>,
    fate: Fate,
    /// When each event was received whose work is done by it.
    settled: Vec<DateTime<Utc>>,
}

/// A query under way.
struct Round {
    /// The pages that it has not answered for yet.
    left: HashMap<PageId, Wanted>,
    ended: Vec<(Subject, Ended)>,
    doubted: Vec<(PageId, DateTime<Utc>)>,
    /// When the first page of results was asked for.
    asked_at: Option<DateTime<Utc>>,
}

impl Round {
    fn of(group: &Group) -> Self {
        let left = group.pages.iter().map(|wanted| (wanted.page, *wanted)).collect();
        Self { left, ended: Vec::new(), doubted: Vec::new(), asked_at: None }
    }

    /// Notes what becomes of a page that was shown.
    fn shown(&mut self, page: PageId, look: Look, fate: Fate) {
        let ended = match fate {
            Fate::Settled => Ended::Done,
            Fate::Again(due_at) => Ended::Queried { due_at, attempts: look.attempts },
            Fate::Singly => Ended::Singly,
            // A row that is edited while the query is read moves on, and is shown once more.
            Fate::Missed => return,
        };
        self.end(page, ended);
    }

    fn end(&mut self, page: PageId, ended: Ended) {
        if let Some(wanted) = self.left.remove(&page) {
            self.ended.push((wanted.look.subject, ended));
        }
    }
}

/// Reads what decides how a page is looked at.
fn facts(rows: &mut dyn Rows, look: Look, page: PageId, tables: &[Arc<Resolved>]) -> Result<Due, StoreError> {
    let known = rows.page(page)?;
    let event = rows.newest_waiting(look.subject)?;
    let source = match (&known, &event, tables) {
        (Some(known), ..) => tables.iter().map(|table| table.data_source).find(|source| *source == known.source),
        (None, _, [only]) => Some(only.data_source),
        (None, Some(event), tables) => named_source(rows, event.seq, tables)?,
        (None, None, _) => None,
    };
    Ok(Due {
        look,
        page,
        source,
        standing: known.map(|known| known.standing),
        needs_page: event
            .as_ref()
            .is_some_and(|event| event.is_sample || event.reason.as_deref() == Some(apply::UNSETTLED)),
        event: event.map(|event| (event.occurred_at, EventKind::from_name(&event.kind))),
    })
}
