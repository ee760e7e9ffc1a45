//! What all answers of one view rest on, and the answer that follows from it for some keys.
//!
//! Whatever is not proven recently enough is `stale`, and the reason names the way out. An instant that is still to come
//! proves nothing: the clock was set since it was written.

use std::{cell::OnceCell, collections::BTreeMap};

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    derive::winner::HardStatuses,
    model::{
        id::{DataSourceId, DatabaseId, TableId},
        key::{Candidate, Key, Prefix},
        verdict::{Answer, Firmness, Match, Verdict},
    },
    nearest::nearest,
    store::{Backing, Held, Proof, Rows, StoreError},
};

/// How far ahead of our clock another's may go before what it wrote is not believed.
const AHEAD_MAX: TimeDelta = TimeDelta::minutes(5);

/// How long events may wait before what they may tell of is doubtful. While Notion answers, an event waits for seconds,
/// or for a minute where its page is looked at twice; after a failure for up to five, the longest wait between two tries.
const WAIT_MAX: TimeDelta = TimeDelta::minutes(15);

/// The answers of one view of the rows.
pub(super) struct Ground {
    now: DateTime<Utc>,
    max_age: TimeDelta,
    sources: BTreeMap<DataSourceId, Source>,
    /// A table of the settings of which nothing is stored.
    unknown: Option<TableId>,
    /// Since when events wait; asked for once, and only where an answer depends on it.
    waiting_since: OnceCell<Option<DateTime<Utc>>>,
}

struct Source {
    database: Option<DatabaseId>,
    watermark: Option<DateTime<Utc>>,
    hard: HardStatuses,
}

/// A row that a candidate met, and up to when it is proven.
struct Met {
    matched: Match,
    fresh_as_of: Option<DateTime<Utc>>,
    problem: Option<&'static str>,
}

const FOREIGN_EXPIRED: &str = "the row was written by another program and has expired: run `suppressd reconcile`";
const EXPIRED: &str = "the row has expired without being confirmed: run `suppressd reconcile`";
const TOO_OLD: &str = "the row was last proven longer ago than asked for: run `suppressd reconcile`";
const TOO_OLD_AND_MISSING: &str = "the row was last proven longer ago than asked for, and Notion answers 404 for its \
    page: share the page with the connection again, then run `suppressd reconcile`";
const AHEAD: &str = "the row was last proven at a time that is still to come, so the clock was set and that proves \
    nothing: run `suppressd reconcile`";

const ABSENT: &str = "no page of the CRM holds any of the keys";
const ABSENT_BY_NAME: &str = "no page of the CRM that holds no other key has this name: pages with a domain or another \
                              key are not compared by name";
const ABSENT_TOO_OLD: &str = "no row, but the last complete sweep is older than asked for: run `suppressd reconcile`";
const ABSENT_AHEAD: &str = "no row, but the last complete sweep lies at a time that is still to come, so the clock was \
    set and that proves nothing: run `suppressd reconcile`";
const ABSENT_UNPROVEN: &str =
    "no row, and no complete sweep yet that would prove its absence: run `suppressd reconcile`";

impl Ground {
    pub(super) fn read(
        rows: &mut dyn Rows,
        now: DateTime<Utc>,
        max_age: TimeDelta,
        tables: &[TableId],
    ) -> Result<Self, StoreError> {
        let mut sources = BTreeMap::new();
        for stored in rows.sources()?.into_iter().filter(|stored| stored.retired_at.is_none()) {
            let hard = serde_json::from_str(&stored.hard).map_err(|_unreadable| StoreError::Corrupt {
                table: "suppressd_sources",
                column: "hard",
                row: stored.id.to_string(),
            })?;
            sources.insert(stored.id, Source { database: stored.database, watermark: stored.watermark, hard });
        }
        let is_known = |table: &TableId| sources.iter().any(|(id, source)| means(*table, *id, source.database));
        let unknown = tables.iter().find(|table| !is_known(table)).copied();
        Ok(Self { now, max_age, sources, unknown, waiting_since: OnceCell::new() })
    }

    /// Answers by the first candidate whose row is proven; by a row that is not where there is no better one.
    pub(super) fn verdict(&self, rows: &mut dyn Rows, candidates: Vec<Candidate>) -> Result<Verdict, StoreError> {
        let mut doubtful: Option<(Met, &'static str)> = None;
        for candidate in &candidates {
            let Some(held) = rows.held(&candidate.key)? else { continue };
            let met = self.meet(held, &candidate.key);
            match met.problem {
                None => return Ok(suppressed(met, candidates)),
                Some(problem) if doubtful.is_none() => doubtful = Some((met, problem)),
                Some(_) => (),
            }
        }
        Ok(match doubtful {
            Some((met, problem)) => Verdict {
                verdict: Answer::Stale,
                reason: problem.to_owned(),
                matched: Some(met.matched),
                fresh_as_of: met.fresh_as_of,
                candidates,
            },
            None => self.absent(rows, candidates)?,
        })
    }

    fn meet(&self, held: Held, key: &Key) -> Met {
        let (fresh_as_of, problem) = match &held.backing {
            Some(backing) => self.proof(backing, held.expires_at),
            None => (None, (!self.counts(held.expires_at)).then_some(FOREIGN_EXPIRED)),
        };
        let firmness = self.firmness(held.backing.as_ref().map(|backing| backing.source), &held.status);
        let (synced_from, page_url) = match held.backing {
            Some(backing) => (backing.synced_from, backing.page_url),
            None => ("other".to_owned(), None),
        };
        Met {
            matched: Match {
                key: key.clone(),
                strength: key.prefix().strength(),
                firmness,
                status: held.status,
                company_name: held.company_name,
                page: held.page,
                page_url,
                synced_from,
                expires_at: held.expires_at,
            },
            fresh_as_of,
            problem,
        }
    }

    /// Returns up to when an entry is proven, and why that is not enough.
    fn proof(
        &self,
        backing: &Backing,
        expires_at: Option<DateTime<Utc>>,
    ) -> (Option<DateTime<Utc>>, Option<&'static str>) {
        let swept_at = || self.sources.get(&backing.source).and_then(|source| source.watermark);
        let (seen_at, swept_at, missing) = match backing.proof {
            // A page that answers 404 is contradicted: no sweep proves it.
            Some(Proof { observed_at, missing_since: Some(_) }) => (observed_at, None, true),
            Some(Proof { observed_at, missing_since: None }) => (observed_at, swept_at(), false),
            None => (backing.cached_at, None, false),
        };
        let proven_at = [Some(seen_at), swept_at].into_iter().flatten().filter(|at| !self.is_ahead(*at)).max();
        let problem = match proven_at {
            _ if !self.counts(expires_at) => Some(EXPIRED),
            None => Some(AHEAD),
            Some(at) if self.now - at <= self.max_age => None,
            Some(_) if missing => Some(TOO_OLD_AND_MISSING),
            Some(_) => Some(TOO_OLD),
        };
        (proven_at, problem)
    }

    /// No row: clear, if a complete sweep of every source is young enough to say so, and no event waits for too long.
    fn absent(&self, rows: &mut dyn Rows, candidates: Vec<Candidate>) -> Result<Verdict, StoreError> {
        let watermarks = || self.sources.values().map(|source| source.watermark);
        // A source that was never swept comes first.
        let swept = watermarks().min().flatten();
        let ahead = watermarks().flatten().any(|at| self.is_ahead(at));
        if let Some((prefix, meant)) = misspelt(&candidates) {
            let reason =
                format!("no row begins with `{prefix}:`, which may be meant for `{}:`: ask with that", meant.name());
            return Ok(Verdict { verdict: Answer::Stale, reason, matched: None, fresh_as_of: None, candidates });
        }
        let by_name = candidates.iter().all(|candidate| candidate.key.prefix() == Prefix::NameLoc);
        let absent = if by_name { ABSENT_BY_NAME } else { ABSENT };
        let (verdict, reason, fresh_as_of) = match swept {
            None => (Answer::Stale, ABSENT_UNPROVEN.to_owned(), None),
            Some(_) if let Some(table) = self.unknown => (Answer::Stale, never_swept(table), None),
            Some(_) if ahead => (Answer::Stale, ABSENT_AHEAD.to_owned(), None),
            Some(at) if self.now - at > self.max_age => (Answer::Stale, ABSENT_TOO_OLD.to_owned(), swept),
            Some(_) => match self.waiting_too_long(rows)? {
                Some(since) => (Answer::Stale, waiting(since), swept),
                None => (Answer::Clear, absent.to_owned(), swept),
            },
        };
        Ok(Verdict { verdict, reason, matched: None, fresh_as_of, candidates })
    }

    /// Returns since when events wait, where that is too long: what they tell, the cache does not know.
    fn waiting_too_long(&self, rows: &mut dyn Rows) -> Result<Option<DateTime<Utc>>, StoreError> {
        let since = if let Some(since) = self.waiting_since.get() {
            *since
        } else {
            let since = rows.oldest_waiting()?;
            *self.waiting_since.get_or_init(|| since)
        };
        Ok(since.filter(|at| self.now - *at > WAIT_MAX || self.is_ahead(*at)))
    }

    fn counts(&self, expires_at: Option<DateTime<Utc>>) -> bool {
        expires_at.is_some_and(|at| at > self.now)
    }

    fn is_ahead(&self, at: DateTime<Utc>) -> bool {
        at - self.now > AHEAD_MAX
    }

    fn firmness(&self, source: Option<DataSourceId>, status: &str) -> Firmness {
        let is_hard = match source {
            Some(source) => self.sources.get(&source).is_some_and(|source| source.hard.is_hard(status)),
            None => self.sources.values().any(|source| source.hard.is_hard(status)),
        };
        if is_hard { Firmness::Hard } else { Firmness::Soft }
    }
}

/// Returns whether the settings mean this source by `table`. A database and its data source have different ids, and
/// people mix them up; the client looks for the other kind too.
fn means(table: TableId, source: DataSourceId, database: Option<DatabaseId>) -> bool {
    let meant = match table {
        TableId::DataSource(id) => id.uuid(),
        TableId::Database(id) => id.uuid(),
    };
    source.uuid() == meant || database.is_some_and(|database| database.uuid() == meant)
}

fn never_swept(table: TableId) -> String {
    let (kind, id) = match table {
        TableId::DataSource(id) => ("data source", id.to_string()),
        TableId::Database(id) => ("database", id.to_string()),
    };
    format!("no row, but the {kind} {id} of the settings has never been swept: run `suppressd reconcile`")
}

fn waiting(since: DateTime<Utc>) -> String {
    let since = since.format("%Y-%m-%d %H:%M:%S UTC");
    format!("no row, but events have been waiting since {since}, and may tell of one: run `suppressd status`")
}

/// Returns a prefix that is nearly one of those that the program knows, and that one: to say clear to it would be wrong
/// where it is a slip of the pen.
fn misspelt(candidates: &[Candidate]) -> Option<(String, Prefix)> {
    candidates.iter().find_map(|candidate| match candidate.key.prefix() {
        Prefix::Other(name) => {
            let meant = nearest(&name, Prefix::KNOWN.iter().map(Prefix::name)).map(Prefix::from_name)?;
            Some((name, meant))
        }
        _ => None,
    })
}

fn suppressed(met: Met, candidates: Vec<Candidate>) -> Verdict {
    let company = met.matched.company_name.as_deref().unwrap_or("a company without a name");
    let firmness = match met.matched.firmness {
        Firmness::Hard => "do not touch it",
        Firmness::Soft => "it is in the pipeline",
    };
    Verdict {
        verdict: Answer::Suppressed,
        reason: format!("the CRM holds {company} with status {}: {firmness}", met.matched.status),
        fresh_as_of: met.fresh_as_of,
        matched: Some(met.matched),
        candidates,
    }
}
