//! The one question that every door asks: may this company be pushed?
//!
//! HTTP and the command line ask here and nowhere else, so that they cannot differ. The keys of a question are made
//! by the very functions that make the keys of a page.

pub mod listing;
pub mod status;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    clock::Clock,
    derive::{self, Derived, Rules, winner::HardStatuses},
    model::{
        entry::Entry,
        id::DataSourceId,
        key::{Candidate, Key},
        verdict::{Answer, Company, Firmness, Match, Verdict},
    },
    store::{EventFilter, Proof, Published, Rows, Store, StoreError, StoredEvent},
};

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// A key, an address or a host, as a person types it.
    Text(String),
    /// What is known of a company.
    Company(Box<Company>),
}

/// How answers are given.
#[derive(Debug, Clone)]
pub struct LookupSettings {
    /// A proof that is older than this makes an answer stale.
    pub max_age: TimeDelta,
    /// How values become keys.
    pub rules: Rules,
}

/// Answers questions from the store. Cheap to clone where the store is.
#[derive(Debug, Clone)]
pub struct Lookup<S> {
    store: S,
    clock: Clock,
    settings: LookupSettings,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// The question names nothing that a key could be made of.
    #[error("{0}")]
    Unanswerable(String),
    /// The store gave nothing.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<S: Store> Lookup<S> {
    /// Opens the lookup over `store`.
    pub const fn new(store: S, clock: Clock, settings: LookupSettings) -> Self {
        Self { store, clock, settings }
    }

    /// Returns the store that is asked.
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// Answers questions, all from one consistent view, in their order.
    pub async fn answer(
        &self,
        questions: Vec<Question>,
        max_age: Option<TimeDelta>,
    ) -> Result<Vec<Result<Verdict, LookupError>>, StoreError> {
        let lookup = self.clone();
        self.store.read(move |rows| lookup.answer_from(rows, &questions, max_age)).await
    }

    /// As [`Lookup::answer`], on the calling thread.
    pub fn answer_blocking(
        &self,
        questions: &[Question],
        max_age: Option<TimeDelta>,
    ) -> Result<Vec<Result<Verdict, LookupError>>, StoreError> {
        self.store.read_blocking(|rows| self.answer_from(rows, questions, max_age))
    }

    /// Lists events, newest first.
    pub async fn events(&self, filter: EventFilter, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        self.store.read(move |rows| rows.events(filter, limit)).await
    }

    fn answer_from(
        &self,
        rows: &mut dyn Rows,
        questions: &[Question],
        max_age: Option<TimeDelta>,
    ) -> Result<Vec<Result<Verdict, LookupError>>, StoreError> {
        let ground = Ground::read(rows, self.clock.now(), max_age.unwrap_or(self.settings.max_age))?;
        questions
            .iter()
            .map(|question| match self.candidates(question) {
                Ok(candidates) => ground.verdict(rows, candidates).map(Ok),
                Err(error) => Ok(Err(error)),
            })
            .collect()
    }

    fn candidates(&self, question: &Question) -> Result<Vec<Candidate>, LookupError> {
        let Derived { candidates, unused, .. } = match question {
            Question::Text(text) => derive::text_candidates(text, &self.settings.rules),
            Question::Company(company) => derive::company_candidates(company, &self.settings.rules),
        };
        match (candidates.is_empty(), unused.first()) {
            (false, _) => Ok(candidates),
            (true, Some(unused)) => Err(LookupError::Unanswerable(unused.to_string())),
            (true, None) => Err(LookupError::Unanswerable(
                "nothing in the question gives a key: ask for a key, a domain, a web address, a registry number or a name"
                    .to_owned(),
            )),
        }
    }
}

/// What all answers of one view rest on.
struct Ground {
    now: DateTime<Utc>,
    max_age: TimeDelta,
    sources: BTreeMap<DataSourceId, Source>,
}

struct Source {
    watermark: Option<DateTime<Utc>>,
    hard: HardStatuses,
}

/// A row that a candidate met, and up to when it is proven.
struct Met {
    matched: Match,
    fresh_as_of: Option<DateTime<Utc>>,
    problem: Option<String>,
}

impl Ground {
    fn read(rows: &mut dyn Rows, now: DateTime<Utc>, max_age: TimeDelta) -> Result<Self, StoreError> {
        let mut sources = BTreeMap::new();
        for stored in rows.sources()?.into_iter().filter(|stored| stored.retired_at.is_none()) {
            let hard = serde_json::from_str(&stored.hard).map_err(|_unreadable| StoreError::Corrupt {
                table: "suppressd_sources",
                column: "hard",
                row: stored.id.to_string(),
            })?;
            sources.insert(stored.id, Source { watermark: stored.watermark, hard });
        }
        Ok(Self { now, max_age, sources })
    }

    /// Answers by the first candidate whose row is proven; by a row that is not where there is no better one.
    fn verdict(&self, rows: &mut dyn Rows, candidates: Vec<Candidate>) -> Result<Verdict, StoreError> {
        let mut doubtful: Option<Met> = None;
        for candidate in &candidates {
            let Some(met) = self.meet(rows, &candidate.key)? else { continue };
            if met.problem.is_none() {
                return Ok(suppressed(met, candidates));
            }
            doubtful.get_or_insert(met);
        }
        Ok(match doubtful {
            Some(met) => Verdict {
                verdict: Answer::Stale,
                reason: met.problem.unwrap_or_default(),
                matched: Some(met.matched),
                fresh_as_of: met.fresh_as_of,
                candidates,
            },
            None => self.absent(candidates),
        })
    }

    fn meet(&self, rows: &mut dyn Rows, key: &Key) -> Result<Option<Met>, StoreError> {
        Ok(match rows.entry(key)? {
            None => None,
            Some(Published::Entry(entry)) => Some(self.own(rows, *entry)?),
            Some(Published::Foreign { page, status, company_name, expires_at }) => {
                let expired = expires_at.is_none_or(|at| at <= self.now);
                let problem = "the row was written by another program and has expired: look into the CRM";
                Some(Met {
                    matched: Match {
                        key: key.clone(),
                        strength: key.prefix().strength(),
                        firmness: self.firmness(None, &status),
                        status,
                        company_name,
                        page: page.parse().ok(),
                        page_url: None,
                        synced_from: "other".to_owned(),
                        expires_at,
                    },
                    fresh_as_of: None,
                    problem: expired.then(|| problem.to_owned()),
                })
            }
        })
    }

    fn own(&self, rows: &mut dyn Rows, entry: Entry) -> Result<Met, StoreError> {
        let proof = rows.proof(entry.page)?;
        let watermark = self.sources.get(&entry.metadata.source).and_then(|source| source.watermark);
        let fresh_as_of = match proof {
            // A page that answers 404 is contradicted: no sweep proves it.
            Some(Proof { observed_at, missing_since: Some(_) }) => observed_at,
            Some(Proof { observed_at, missing_since: None }) => watermark.map_or(observed_at, |at| at.max(observed_at)),
            None => entry.cached_at,
        };
        let problem = if entry.expires_at <= self.now {
            Some("the row has expired without being confirmed: edit its page, or replay its events, to prove it again")
        } else if self.now - fresh_as_of > self.max_age {
            Some(
                "the row was last proven longer ago than asked for: edit its page, or replay its events, to prove it again",
            )
        } else {
            None
        };
        Ok(Met {
            matched: Match {
                strength: entry.key.prefix().strength(),
                firmness: self.firmness(Some(entry.metadata.source), &entry.status),
                key: entry.key,
                status: entry.status,
                company_name: entry.company_name,
                page: Some(entry.page),
                page_url: entry.metadata.page_url,
                synced_from: entry.metadata.synced_from,
                expires_at: Some(entry.expires_at),
            },
            fresh_as_of: Some(fresh_as_of),
            problem: problem.map(str::to_owned),
        })
    }

    /// No row: clear, if a complete sweep of every source is young enough to say so.
    fn absent(&self, candidates: Vec<Candidate>) -> Verdict {
        let swept = self.sources.values().map(|source| source.watermark).min().flatten();
        let (verdict, reason) = match swept {
            Some(at) if self.now - at <= self.max_age => (Answer::Clear, "no page of the CRM holds any of the keys"),
            Some(_) => (Answer::Stale, "no row, but the last complete sweep is older than asked for"),
            None => {
                (Answer::Stale, "no row, but the whole CRM has never been read, so that nothing proves its absence")
            }
        };
        Verdict { verdict, reason: reason.to_owned(), matched: None, fresh_as_of: swept, candidates }
    }

    fn firmness(&self, source: Option<DataSourceId>, status: &str) -> Firmness {
        let is_hard = match source {
            Some(source) => self.sources.get(&source).is_some_and(|source| source.hard.is_hard(status)),
            None => self.sources.values().any(|source| source.hard.is_hard(status)),
        };
        if is_hard { Firmness::Hard } else { Firmness::Soft }
    }
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
