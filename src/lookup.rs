//! The one question that every door asks: may this company be pushed?
//!
//! HTTP, MCP and the command line ask here and nowhere else, so that they cannot differ. The keys of a question are made
//! by the very functions that make the keys of a page.

pub mod changes;
pub mod claims;
pub mod conflicts;
mod doors;
mod doubt;
pub mod explain;
mod figures;
pub mod followers;
mod ground;
pub mod history;
mod issue;
pub mod issues;
pub mod keys;
pub mod listing;
mod names;
mod possible;
mod refresh;
pub mod reloaded;
pub mod schema;
pub mod scrape;
mod source_status;
pub mod status;
pub mod sweeps;
mod table;
pub mod terms;

use std::sync::Arc;

use arc_swap::ArcSwap;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

pub use crate::lookup::{
    possible::{OFFERED_MAX, SCORE_MIN},
    terms::Terms,
};
use crate::{
    clock::Clock,
    derive::{self, Derived, Rules},
    lookup::{
        ground::{Answered, Ground},
        names::Names,
        possible::Offers,
    },
    model::{
        id::TableId,
        key::Candidate,
        verdict::{Company, Verdict},
    },
    store::{EventFilter, Rows, Store, StoreError, StoredEvent},
};

/// What to do where a question gives no key; every door says so.
const ASK_OTHERWISE: &str = "ask for a key such as domain:acme.ai, a host or a web address of the company's own, or by \
                             name, registry number or profile";

/// A longer text may hold many keys.
const BRIEF_BYTES_MAX: usize = 256;

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
    /// How values become keys, until others are taken.
    pub rules: Rules,
    /// The tables of the settings: no absence is proven before each of them was swept. Empty where they name none.
    pub tables: Vec<TableId>,
}

/// Answers questions from the store. Cheap to clone where the store is.
#[derive(Debug, Clone)]
pub struct Lookup<S> {
    store: S,
    clock: Clock,
    /// Shared: every question over HTTP has a clone of its own, and the rules hold hundreds of hosts.
    settings: Arc<LookupSettings>,
    rules: Arc<ArcSwap<InForce>>,
    /// The sources of the settings, by name; empty where they name none.
    configured: Arc<[(String, TableId)]>,
    names: Names,
}

/// The rules that count now.
#[derive(Debug)]
struct InForce {
    rules: Rules,
    fingerprint: Arc<str>,
}

impl From<Rules> for InForce {
    fn from(rules: Rules) -> Self {
        Self { fingerprint: rules.fingerprint().into(), rules }
    }
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
    pub fn new(store: S, clock: Clock, settings: LookupSettings) -> Self {
        let rules = Arc::new(ArcSwap::from_pointee(settings.rules.clone().into()));
        Self { store, clock, settings: Arc::new(settings), rules, configured: Arc::default(), names: Names::default() }
    }

    /// Returns how values become keys now.
    pub fn rules(&self) -> Rules {
        self.rules.load().rules.clone()
    }

    /// Takes other rules. Until the entries follow them, no absence is a proof.
    pub fn take_rules(&self, rules: Rules) {
        self.rules.store(Arc::new(rules.into()));
    }

    /// Takes over what the settings call their sources.
    #[must_use]
    pub fn naming(self, sources: impl IntoIterator<Item = (String, TableId)>) -> Self {
        Self { configured: sources.into_iter().collect(), ..self }
    }

    /// Returns the names that are none of a source of the settings; nothing where these name no source.
    pub fn unknown_sources<'n>(&self, names: &'n [String]) -> Vec<&'n str> {
        let is_known =
            |name: &str| self.configured.is_empty() || self.configured.iter().any(|(known, _)| known == name);
        names.iter().map(String::as_str).filter(|name| !is_known(name)).collect()
    }

    /// Returns the store that is asked.
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// Answers questions, all from one consistent view, in their order.
    ///
    /// Where `terms` leave time for it, pages whose proof is too old are fetched first by whoever has the right to ask
    /// Notion. What could not be had in time is answered by what is known.
    pub async fn answer(
        &self,
        questions: Vec<Question>,
        terms: Terms,
    ) -> Result<Vec<Result<Verdict, LookupError>>, StoreError> {
        let (questions, asked_at): (Arc<[Question]>, _) = (questions.into(), Instant::now());
        let mut answers = self.view(&questions, terms.max_age).await?;
        let fetchable: Vec<_> = answers.iter().flatten().flat_map(|answer| answer.fetchable.iter().copied()).collect();
        if !terms.wait.is_zero() && !fetchable.is_empty() {
            let failed = self.fetched(fetchable, terms.wait.min(Terms::WAIT_MAX)).await;
            // What is young enough when it is asked for does not become too old by being waited for.
            let waited = TimeDelta::from_std(asked_at.elapsed()).unwrap_or(TimeDelta::MAX);
            let max_age = terms.max_age.unwrap_or(self.settings.max_age);
            answers = self.view(&questions, Some(max_age.checked_add(&waited).unwrap_or(TimeDelta::MAX))).await?;
            answers.iter_mut().flatten().for_each(|answer| refresh::explain(answer, &failed));
        }
        Ok(answers.into_iter().map(|answer| answer.map(|answer| answer.verdict)).collect())
    }

    /// Answers questions from what is known, on the calling thread.
    pub fn answer_blocking(
        &self,
        questions: &[Question],
        max_age: Option<TimeDelta>,
    ) -> Result<Vec<Result<Verdict, LookupError>>, StoreError> {
        let answers = self.store.read_blocking(|rows| self.answer_from(rows, questions, max_age))?;
        Ok(answers.into_iter().map(|answer| answer.map(|answer| answer.verdict)).collect())
    }

    async fn view(
        &self,
        questions: &Arc<[Question]>,
        max_age: Option<TimeDelta>,
    ) -> Result<Vec<Result<Answered, LookupError>>, StoreError> {
        if let [question] = &**questions
            && is_brief(question)
            && let Some(answers) = self.store.read_briefly(|rows| self.answer_from(rows, questions, max_age))
        {
            return answers;
        }
        let (lookup, questions) = (self.clone(), Arc::clone(questions));
        self.store.read(move |rows| lookup.answer_from(rows, &questions, max_age)).await
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
    ) -> Result<Vec<Result<Answered, LookupError>>, StoreError> {
        let max_age = max_age.unwrap_or(self.settings.max_age);
        let in_force = self.rules.load();
        let ground = self.ground_for(rows, (self.clock.now(), max_age), &in_force)?;
        let mut offers = Offers::new(&self.names);
        let mut answer = |question| match candidates(question, &in_force.rules) {
            Ok((candidates, unusable)) => {
                let mut answered = ground.verdict(rows, candidates)?;
                answered.verdict.unusable = unusable;
                offers.add(rows, &ground, question, &mut answered.verdict)?;
                Ok(Ok(answered))
            }
            Err(error) => Ok(Err(error)),
        };
        questions.iter().map(&mut answer).collect()
    }

    /// Reads what the answers of one view rest on, for questions that these rules read.
    fn ground_for(
        &self,
        rows: &mut dyn Rows,
        (now, max_age): (DateTime<Utc>, TimeDelta),
        rules: &InForce,
    ) -> Result<Ground, StoreError> {
        Ground::read(rows, (now, max_age), &self.settings.tables, Arc::clone(&rules.fingerprint))
    }

    /// Brings what is kept of the companies' names in memory up to date, so that the next question need not wait for it.
    pub async fn follow_names(&self) -> Result<(), StoreError> {
        let names = self.names.clone();
        self.store.read(move |rows| names.at(rows).map(drop)).await
    }
}

/// Returns whether a question needs few rows, and no name is to be compared.
fn is_brief(question: &Question) -> bool {
    match question {
        Question::Text(text) => text.len() <= BRIEF_BYTES_MAX && possible::name(question).is_none(),
        Question::Company(_) => false,
    }
}

/// Returns the keys that a question gives, and what of it gave none.
fn candidates(question: &Question, rules: &Rules) -> Result<(Vec<Candidate>, Vec<String>), LookupError> {
    let derived = match question {
        Question::Text(text) => derive::text_candidates(text, rules),
        Question::Company(company) => derive::company_candidates(company, rules),
    };
    // A key that was not looked for may be the one that the CRM holds.
    if let Some(unread) = derived.unread() {
        return Err(LookupError::Unanswerable(format!("{unread}: ask about fewer keys at once")));
    }
    let Derived { candidates, unused, .. } = derived;
    if !candidates.is_empty() {
        return Ok((candidates, unused.iter().map(ToString::to_string).collect()));
    }
    let why = unused.first().map_or_else(|| "nothing in the question gives a key".to_owned(), ToString::to_string);
    Err(LookupError::Unanswerable(format!("{why}; {ASK_OTHERWISE}")))
}
