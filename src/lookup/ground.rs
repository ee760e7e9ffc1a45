//! What all answers of one view rest on, and the answer that follows from it for some keys.
//!
//! Whatever is not proven recently enough is `stale`, and the reason names the way out. An instant that is still to come
//! proves nothing: the clock was set since it was written.

use std::{cell::OnceCell, collections::BTreeMap, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    derive::winner::HardStatuses,
    lookup::doubt::{AHEAD_MAX, Doubts},
    model::{
        entry::{CachedPage, Door},
        id::{DataSourceId, DatabaseId, PageId, TableId},
        key::{Candidate, Key, Prefix},
        verdict::{Answer, Firmness, Match, RestsOn, Verdict},
    },
    nearest::nearest,
    sources::{configured, whole},
    store::{Backing, Held, Proof, Rows, StoreError},
};

/// The answers of one view of the rows.
pub(super) struct Ground {
    now: DateTime<Utc>,
    max_age: TimeDelta,
    sources: BTreeMap<DataSourceId, Source>,
    /// The tables of the settings.
    tables: Vec<TableId>,
    /// A table of the settings, or of those of the process that works, of which nothing is stored.
    unknown: OnceCell<Option<TableId>>,
    doubts: Doubts,
}

struct Source {
    database: Option<DatabaseId>,
    watermark: Option<DateTime<Utc>>,
    hard: HardStatuses,
}

/// A row that a candidate met, and up to when it is proven.
struct Met {
    matched: Match,
    proof: Option<Proven>,
    problem: Option<&'static str>,
    /// The page, where a fetch of it can give a younger proof.
    fetchable: Option<PageId>,
}

/// Up to when something is proven, and by what.
#[derive(Debug, Clone, Copy)]
struct Proven {
    at: DateTime<Utc>,
    by: Option<RestsOn>,
}

/// An answer, and the pages of which a fetch may make it a better one.
pub(super) struct Answered {
    pub(super) verdict: Verdict,
    pub(super) fetchable: Vec<PageId>,
}

const FOREIGN_EXPIRED: &str = "the row was written by another program and has expired: run `suppressd reconcile`";
const EXPIRED: &str = "the row has expired without being confirmed: run `suppressd reconcile`";
const TOO_OLD: &str = "the row was last proven longer ago than asked for: run `suppressd reconcile`";
const TOO_OLD_AND_MISSING: &str = "the row was last proven longer ago than asked for, and Notion answers 404 for its \
    page: share the page with the connection again, then run `suppressd reconcile`";
const AHEAD: &str = "the row was last proven at a time that is still to come, so the clock was set and that proves \
    nothing: run `suppressd reconcile`";

const ABSENT: &str = "no page of the CRM holds any of the keys";
const ABSENT_BY_NAME: &str = "no page of the CRM has this name for a key, which pages with a domain or another key never \
                              have";
const ABSENT_TOO_OLD: &str = "no row, but the last complete sweep is older than asked for: run `suppressd reconcile`";
const ABSENT_AHEAD: &str = "no row, but the last complete sweep lies at a time that is still to come, so the clock was \
    set and that proves nothing: run `suppressd reconcile`";
const ABSENT_UNPROVEN: &str =
    "no row, and no complete sweep yet that would prove its absence: run `suppressd reconcile`";

impl Ground {
    pub(super) fn read(
        rows: &mut dyn Rows,
        (now, max_age): (DateTime<Utc>, TimeDelta),
        tables: &[TableId],
        rules: Arc<str>,
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
        let (tables, unknown) = (tables.to_vec(), OnceCell::new());
        Ok(Self { now, max_age, sources, tables, unknown, doubts: Doubts::of(rules) })
    }

    fn unknown(&self, rows: &mut dyn Rows) -> Result<Option<TableId>, StoreError> {
        if let Some(known) = self.unknown.get() {
            return Ok(*known);
        }
        let is_known = |table: &TableId| self.sources.iter().any(|(id, source)| table.is_of(*id, source.database));
        let noted = configured::noted(rows)?;
        let unknown = self.tables.iter().chain(&noted).find(|table| !is_known(table)).copied();
        Ok(*self.unknown.get_or_init(|| unknown))
    }

    /// Answers by the first candidate whose row is proven; by a row that is not where there is no better one.
    pub(super) fn verdict(&self, rows: &mut dyn Rows, candidates: Vec<Candidate>) -> Result<Answered, StoreError> {
        let mut doubtful: Option<(Met, &'static str)> = None;
        let mut fetchable = Vec::new();
        for candidate in &candidates {
            let Some(held) = rows.held(&candidate.key)? else { continue };
            let met = self.meet(held, &candidate.key);
            let Some(problem) = met.problem else {
                let reason = suppressed(&met.matched);
                let verdict = self.answer((Answer::Suppressed, reason), Some(met.matched), met.proof, candidates);
                return Ok(Answered { verdict, fetchable: Vec::new() });
            };
            fetchable.extend(met.fetchable.filter(|page| !fetchable.contains(page)));
            doubtful = doubtful.or(Some((met, problem)));
        }
        let verdict = match doubtful {
            Some((met, problem)) => {
                self.answer((Answer::Stale, problem.to_owned()), Some(met.matched), met.proof, candidates)
            }
            None => self.absent(rows, candidates)?,
        };
        Ok(Answered { verdict, fetchable })
    }

    fn answer(
        &self,
        (verdict, reason): (Answer, String),
        matched: Option<Match>,
        proof: Option<Proven>,
        candidates: Vec<Candidate>,
    ) -> Verdict {
        Verdict {
            verdict,
            reason,
            matched,
            possible: Vec::new(),
            fresh_as_of: proof.map(|proof| proof.at),
            age_seconds: proof.map(|proof| (self.now - proof.at).num_seconds().try_into().unwrap_or(0)),
            rests_on: proof.and_then(|proof| proof.by),
            candidates,
            unusable: Vec::new(),
        }
    }

    fn meet(&self, held: Held, key: &Key) -> Met {
        let fetchable = held.page.filter(|_| held.backing.as_ref().is_some_and(|backing| backing.proof.is_some()));
        let (proof, problem) = match &held.backing {
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
            proof,
            problem,
            fetchable,
        }
    }

    /// Returns up to when an entry is proven, and why that is not enough.
    fn proof(&self, backing: &Backing, expires_at: Option<DateTime<Utc>>) -> (Option<Proven>, Option<&'static str>) {
        let brought = rests_on(Door::from_name(&backing.synced_from));
        let (seen, is_missing) = match backing.proof {
            Some(Proof { observed_at, seen_by, missing_since }) => {
                (Proven { at: observed_at, by: rests_on(seen_by).or(brought) }, missing_since.is_some())
            }
            None => (Proven { at: backing.cached_at, by: brought }, false),
        };
        // A page that answers 404 is contradicted: no sweep proves it.
        let swept_at = self.sources.get(&backing.source).and_then(|source| source.watermark);
        let swept_at = swept_at.filter(|_| backing.proof.is_some() && !is_missing);
        let swept = swept_at.map(|at| Proven { at, by: Some(RestsOn::Sweep) });
        let proof = [swept, Some(seen)].into_iter().flatten().filter(|proof| !self.is_ahead(proof.at));
        let proof = proof.max_by_key(|proof| proof.at);
        let problem = match proof {
            _ if !self.counts(expires_at) => Some(EXPIRED),
            None => Some(AHEAD),
            Some(proof) if self.now - proof.at <= self.max_age => None,
            Some(_) if is_missing => Some(TOO_OLD_AND_MISSING),
            Some(_) => Some(TOO_OLD),
        };
        (proof, problem)
    }

    /// No row: clear, if a complete sweep of every source is young enough to say so, and nothing speaks against it.
    fn absent(&self, rows: &mut dyn Rows, candidates: Vec<Candidate>) -> Result<Verdict, StoreError> {
        let swept = self.swept(rows)?;
        let ahead = self.sources.values().filter_map(|source| source.watermark).any(|at| self.is_ahead(at));
        if let Some((prefix, meant)) = misspelt(&candidates) {
            let reason =
                format!("no row begins with `{prefix}:`, which may be meant for `{}:`: ask with that", meant.name());
            return Ok(self.answer((Answer::Stale, reason), None, None, candidates));
        }
        if let Some(prefix) = unheld(rows, &candidates)? {
            let known = Prefix::KNOWN.iter().map(Prefix::name).collect::<Vec<_>>().join(", ");
            let reason =
                format!("no row at all begins with `{prefix}:`: the prefixes are {known}, and those of the CRM");
            return Ok(self.answer((Answer::Stale, reason), None, None, candidates));
        }
        let by_name = candidates.iter().all(|candidate| candidate.key.prefix() == Prefix::NameLoc);
        let absent = if by_name { ABSENT_BY_NAME } else { ABSENT };
        let unknown = self.unknown(rows)?;
        let (verdict, reason, fresh_as_of) = match swept {
            None => (Answer::Stale, ABSENT_UNPROVEN.to_owned(), None),
            Some(_) if let Some(table) = unknown => (Answer::Stale, never_swept(table), None),
            Some(_) if ahead => (Answer::Stale, ABSENT_AHEAD.to_owned(), None),
            Some(at) if self.now - at > self.max_age => (Answer::Stale, ABSENT_TOO_OLD.to_owned(), swept),
            Some(at) => match self.doubts.against(rows, &candidates, (at, self.now))? {
                Some(doubt) => (Answer::Stale, doubt, swept),
                None => (Answer::Clear, absent.to_owned(), swept),
            },
        };
        let proof = fresh_as_of.map(|at| Proven { at, by: Some(RestsOn::Sweep) });
        Ok(self.answer((verdict, reason), None, proof, candidates))
    }

    /// Returns whether the status of a page is hard, by the settings of its source.
    pub(super) fn is_hard(&self, page: &CachedPage) -> bool {
        self.sources.get(&page.source).is_some_and(|source| source.hard.holds(page))
    }

    fn counts(&self, expires_at: Option<DateTime<Utc>>) -> bool {
        expires_at.is_some_and(|at| at > self.now)
    }

    fn is_ahead(&self, at: DateTime<Utc>) -> bool {
        at - self.now > AHEAD_MAX
    }

    /// Returns up to when complete sweeps have proven every source, so that no row means that there is none.
    pub(super) fn swept_until(&self, rows: &mut dyn Rows) -> Result<Option<DateTime<Utc>>, StoreError> {
        let unknown = self.unknown(rows)?;
        Ok(self.swept(rows)?.filter(|_| unknown.is_none()))
    }

    /// Returns up to when a complete sweep has proven every source; where they are several, one sweep of all of them.
    fn swept(&self, rows: &mut dyn Rows) -> Result<Option<DateTime<Utc>>, StoreError> {
        // A source that was never swept comes first.
        let each = self.sources.values().map(|source| source.watermark).min().flatten();
        if self.sources.len() < 2 || each.is_none() {
            return Ok(each);
        }
        let together = whole::until(rows, &self.sources.keys().copied().collect())?;
        Ok(each.zip(together).map(|(each, together)| each.min(together)))
    }

    /// Returns how firmly a company with this status is to be left alone.
    pub(super) fn firmness(&self, source: Option<DataSourceId>, status: &str) -> Firmness {
        let is_hard = match source {
            Some(source) => self.sources.get(&source).is_some_and(|source| source.hard.is_hard(status)),
            None => self.sources.values().any(|source| source.hard.is_hard(status)),
        };
        if is_hard { Firmness::Hard } else { Firmness::Soft }
    }
}

fn never_swept(table: TableId) -> String {
    let (kind, id) = match table {
        TableId::DataSource(id) => ("data source", id.to_string()),
        TableId::Database(id) => ("database", id.to_string()),
    };
    format!("no row, but the {kind} {id} of the settings has never been swept: run `suppressd reconcile`")
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

/// Returns a prefix of somebody's own where the question gives nothing else and no row has it: a word that was made up, and
/// by which nobody could ever be found.
fn unheld(rows: &mut dyn Rows, candidates: &[Candidate]) -> Result<Option<String>, StoreError> {
    let mut unheld = None;
    for candidate in candidates {
        let Prefix::Other(name) = candidate.key.prefix() else { return Ok(None) };
        if rows.prefix_is_held(&name)? {
            return Ok(None);
        }
        unheld = Some(name);
    }
    Ok(unheld)
}

fn suppressed(matched: &Match) -> String {
    let company = matched.company_name.as_deref().unwrap_or("a company without a name");
    let firmness = match matched.firmness {
        Firmness::Hard => "do not touch it",
        Firmness::Soft => "it is in the pipeline",
    };
    ["the CRM holds ", company, " with status ", &matched.status, ": ", firmness].concat()
}

/// Settings bring no proof: they read again what was stored.
const fn rests_on(door: Option<Door>) -> Option<RestsOn> {
    match door {
        Some(Door::Webhook) => Some(RestsOn::Webhook),
        Some(Door::Sweep) => Some(RestsOn::Sweep),
        Some(Door::Replay) => Some(RestsOn::Replay),
        Some(Door::Lookup) => Some(RestsOn::Lookup),
        Some(Door::Settings) | None => None,
    }
}
