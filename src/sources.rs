//! The configured sources: which data source each is, and which of its properties plays which role.
//!
//! What was read last is kept in the store, so that a start while Notion cannot be reached goes on with it, and so
//! that a property which was renamed meanwhile is still known by its id.

pub mod configured;
pub mod error;
pub mod filter;
mod gate;
mod others;
mod source;
pub mod whole;

pub use crate::sources::source::{Read, Resolved, SourceSettings};

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use tokio::sync::watch;

use crate::{
    derive::{self, winner::HardStatuses},
    model::{
        entry::Standing,
        id::{DataSourceId, PageId, TableId},
        page::{Page, Parent, Schema, Snapshot},
        sighting::Sighting,
    },
    notion::{Notion, NotionError, Priority, Query, QueryPage},
    sources::{error::AskError, filter::Filter, others::Others, source::Source},
    store::{Store, StoreError},
};

/// All configured sources. Cheap to clone.
#[derive(Debug)]
pub struct Sources<N> {
    all: Arc<[Source<N>]>,
    filter: Filter,
    learnt: watch::Sender<Vec<Arc<Resolved>>>,
    others: Others,
}

/// How a source stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceStanding {
    /// Its name in the settings.
    pub name: String,
    /// Whether Notion refuses its token.
    pub is_refused: bool,
    /// What a person has to mend before it can be read, if anything.
    pub problem: Option<String>,
}

impl<N> Clone for Sources<N> {
    fn clone(&self) -> Self {
        Self {
            all: Arc::clone(&self.all),
            filter: self.filter.clone(),
            learnt: self.learnt.clone(),
            others: self.others.clone(),
        }
    }
}

impl<N: Notion> Sources<N> {
    /// Takes the sources of the settings, each with the client that asks with its token.
    pub fn new(sources: impl IntoIterator<Item = (SourceSettings, N)>) -> Self {
        let filter = Filter::default();
        let all = sources.into_iter().map(|(settings, notion)| Source::of(settings, notion, &filter)).collect();
        let (learnt, _) = watch::channel(Vec::new());
        Self { all, filter, learnt, others: Others::default() }
    }

    /// Returns what says which edits need no look; it follows what is learnt of the sources.
    pub const fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Returns what is known of the sources, now and whenever that changes.
    pub fn watch(&self) -> watch::Receiver<Vec<Arc<Resolved>>> {
        self.learnt.subscribe()
    }

    /// Returns how many sources there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// Returns the name of the `nth` source.
    pub fn name(&self, nth: usize) -> &str {
        self.all.get(nth).map_or("", |source| &source.settings.name)
    }

    /// Returns what the `nth` source is known to be.
    pub fn data_source(&self, nth: usize) -> Option<DataSourceId> {
        self.all.get(nth)?.resolved().map(|table| table.data_source)
    }

    /// Returns which statuses are hard, of each source that is known.
    pub fn hard(&self) -> Vec<(DataSourceId, HardStatuses)> {
        self.all.iter().filter_map(|source| Some((source.resolved()?.data_source, source.hard()))).collect()
    }

    /// Returns the same where the tables of `others` have other hard statuses.
    pub fn hard_with(&self, others: &BTreeMap<TableId, HardStatuses>) -> Vec<(DataSourceId, HardStatuses)> {
        let hard = |source: &Source<N>| others.get(&source.settings.table).cloned().unwrap_or_else(|| source.hard());
        self.all.iter().filter_map(|source| Some((source.resolved()?.data_source, hard(source)))).collect()
    }

    /// Returns what the settings say of each source now.
    pub fn settings(&self) -> Vec<SourceSettings> {
        let settings = |source: &Source<N>| SourceSettings { hard: source.hard(), ..source.settings.clone() };
        self.all.iter().map(settings).collect()
    }

    /// Takes other hard statuses for the source of this table, where there is one.
    pub fn take_hard(&self, table: TableId, hard: &HardStatuses) {
        for source in self.all.iter().filter(|source| source.settings.table == table) {
            source.take_hard(hard.clone());
        }
    }

    /// Lets Notion be asked about the source of this table at once, since its token is another one.
    pub fn reopen(&self, table: TableId) {
        for source in self.all.iter().filter(|source| source.settings.table == table) {
            source.gate.reopen();
        }
    }

    /// Reads the schema of the `nth` source from Notion and stores what it says.
    pub async fn read<S: Store>(
        &self,
        nth: usize,
        store: &S,
        now: DateTime<Utc>,
        priority: Priority,
    ) -> Result<Read, AskError> {
        let source = self.all.get(nth).ok_or(AskError::Unresolved)?;
        let read = source.resolve(store, now, priority, |id| self.earlier_twin(nth, id)).await;
        match &read {
            Ok(read) => self.give_way(nth, read.table.data_source),
            Err(AskError::Twin { .. }) => source.forget(),
            Err(_) => (),
        }
        source.gate.note(read.as_ref().err());
        self.learnt.send_replace(self.resolved());
        read
    }

    /// Reads the schema of the `nth` source from Notion, and neither stores nor learns what it says.
    pub async fn look(&self, nth: usize, now: DateTime<Utc>, priority: Priority) -> Result<Schema, AskError> {
        self.all.get(nth).ok_or(AskError::Unresolved)?.look(now, priority).await
    }

    /// Picks the data source of the `nth` source among those that its table holds, and neither stores nor learns it.
    pub fn pick(&self, nth: usize, schemas: Vec<Schema>) -> Result<Schema, AskError> {
        self.all.get(nth).ok_or(AskError::Unresolved)?.pick(schemas)
    }

    /// Returns the same sources with a memory of their own: what these learn nobody else hears of.
    #[must_use]
    pub fn apart(&self) -> Self {
        let filter = Filter::default();
        let all = self.all.iter().map(|source| source.apart(&filter)).collect();
        let (learnt, _) = watch::channel(self.resolved());
        Self { all, filter, learnt, others: Others::default() }
    }

    /// Lists what is known of the sources by now.
    pub fn resolved(&self) -> Vec<Arc<Resolved>> {
        self.all.iter().filter_map(Source::resolved).collect()
    }

    /// Returns what a person has to mend before all sources can be read again: the first problem of all.
    pub fn problem(&self) -> Option<String> {
        self.all.iter().find_map(|source| source.gate.problem())
    }

    /// Says how each source stands.
    pub fn standings(&self) -> Vec<SourceStanding> {
        let standing = |source: &Source<N>| SourceStanding {
            name: source.settings.name.clone(),
            is_refused: source.gate.is_refused(),
            problem: source.gate.problem(),
        };
        self.all.iter().map(standing).collect()
    }

    /// Returns the name of the source before the `nth` that is this data source: two of them would each say how it is
    /// to be read, in turns.
    fn earlier_twin(&self, nth: usize, id: DataSourceId) -> Option<String> {
        let earlier = self.all.iter().take(nth);
        let is_it = |source: &&Source<N>| source.resolved().is_some_and(|table| table.data_source == id);
        earlier.filter(is_it).map(|source| source.settings.name.clone()).next()
    }

    /// Has the sources behind the `nth` forget that they are its data source: they will be told when they are read.
    fn give_way(&self, nth: usize, id: DataSourceId) {
        let later = self.all.iter().skip(nth + 1);
        later.filter(|source| source.resolved().is_some_and(|table| table.data_source == id)).for_each(Source::forget);
    }

    /// Writes down which tables these are, for whoever asks without settings, and learns which others there are. With
    /// `alone`, nothing counts as proven any more of sources that are not among these.
    pub async fn note<S: Store>(&self, store: &S, alone: bool) -> Result<(), StoreError> {
        let tables: Vec<_> = self.all.iter().map(|source| source.settings.table).collect();
        self.others.learn(store, tables, alone).await
    }

    /// Takes over what an earlier run stored; returns whether every source is known.
    pub async fn recall<S: Store>(&self, store: &S) -> Result<bool, StoreError> {
        let (mut stored, standing) = store.read(|rows| Ok((rows.sources()?, filter::standing(rows)?))).await?;
        // A database can have had another data source before.
        stored.sort_by_key(|stored| Reverse(stored.resolved_at));
        for (nth, source) in self.all.iter().enumerate() {
            let known = stored.iter().find_map(|stored| source.recognise(stored));
            let known = known.filter(|(known, _)| self.earlier_twin(nth, known.data_source).is_none());
            if let Some((known, basis)) = known {
                self.filter.know(known.data_source, basis, standing.get(&known.data_source));
                source.know(Arc::new(known));
            }
        }
        self.learnt.send_replace(self.resolved());
        Ok(self.resolved().len() == self.all.len())
    }

    /// Reads the schemas from Notion and stores what they say. One source that fails does not keep the others from that.
    pub async fn resolve<S: Store>(&self, store: &S, now: DateTime<Utc>) -> Result<(), AskError> {
        let mut outcome = Ok(());
        for nth in 0..self.all.len() {
            outcome = outcome.and(self.read(nth, store, now, Priority::Webhook).await.map(drop));
        }
        outcome
    }

    /// Retrieves a page with the token of the source that is known to hold it, else with each until one sees it.
    ///
    /// A token that cannot ask now does not keep others from it; but that nobody sees a page is only known when all asked.
    pub async fn page(
        &self,
        id: PageId,
        known_in: Option<DataSourceId>,
        now: DateTime<Utc>,
        priority: Priority,
    ) -> Result<Snapshot, AskError> {
        self.page_of(id, &Vec::from_iter(known_in), now, priority).await
    }

    /// As [`Sources::page`], for a page that is thought to be in one of these sources, the likeliest first.
    ///
    /// Where one of these cannot ask, nobody else is asked: with the budget of a healthy token every page of one that
    /// is refused would be asked for, and be shown by neither.
    pub async fn page_of(
        &self,
        id: PageId,
        likely: &[DataSourceId],
        now: DateTime<Utc>,
        priority: Priority,
    ) -> Result<Snapshot, AskError> {
        let rank = |source: &Source<N>| {
            let table = source.resolved()?;
            likely.iter().position(|id| *id == table.data_source)
        };
        let mut all: Vec<_> = self.all.iter().map(|source| (rank(source), source)).collect();
        // The others stay in the order of the settings.
        all.sort_by_key(|(rank, _)| rank.unwrap_or(usize::MAX));
        let mut unasked = None;
        for (rank, source) in all {
            match source.gate.guard(now, source.notion.page(id, priority)).await {
                Err(AskError::Notion(NotionError::NotFound)) => (),
                Err(error) if is_of_the_asker(&error) && rank.is_none() => drop(unasked.get_or_insert(error)),
                outcome => return outcome,
            }
        }
        Err(unasked.unwrap_or(AskError::Notion(NotionError::NotFound)))
    }

    /// Asks for one page of results of a source that is known, with its token.
    pub async fn query(&self, query: &Query, now: DateTime<Utc>, priority: Priority) -> Result<QueryPage, AskError> {
        let source = self.source(query.data_source).ok_or(AskError::Unresolved)?;
        source.gate.guard(now, source.notion.query(query, priority)).await
    }

    /// Returns the client that asks about a source that is known.
    pub fn notion(&self, data_source: DataSourceId) -> Option<N> {
        self.source(data_source).map(|source| source.notion.clone())
    }

    /// Returns the source that is known to be this data source.
    fn source(&self, data_source: DataSourceId) -> Option<&Source<N>> {
        self.all.iter().find(|source| source.resolved().is_some_and(|table| table.data_source == data_source))
    }

    /// Returns the source of this id; the first one where none is named or known.
    pub fn known(&self, id: Option<DataSourceId>) -> Option<Arc<Resolved>> {
        let all = self.resolved();
        all.iter().find(|table| Some(table.data_source) == id).or_else(|| all.first()).cloned()
    }

    /// Returns the source in which a page stands now, if it is one of ours.
    pub fn holding(&self, page: &Page) -> Option<Arc<Resolved>> {
        self.resolved().into_iter().find(|table| match page.parent {
            Parent::DataSource(id) => id == table.data_source,
            Parent::Database(id) => Some(id) == table.database,
            Parent::Elsewhere => false,
        })
    }

    /// Reads a snapshot by the mapping of the source in which the page stands, or last stood.
    pub fn sighting(&self, snapshot: &Snapshot, known_in: Option<DataSourceId>) -> Result<Sighting, AskError> {
        let holding = self.holding(&snapshot.page);
        let may_hold = |page| self.all.iter().any(|source| source.may_hold(page)) || self.others.hold(page);
        if holding.is_none() && may_hold(&snapshot.page) {
            return Err(AskError::Unjudged);
        }
        let source = holding.clone().or_else(|| self.known(known_in));
        let source: &Resolved = source.as_deref().ok_or(AskError::Unresolved)?;
        let mut values = source.mapping.values(&snapshot.page);
        if holding.is_some() && known_in.is_some_and(|known| known != source.data_source) {
            source.mapping.empty_unmapped(&mut values);
        }
        Ok(Sighting {
            page: snapshot.page.id,
            source: source.data_source,
            standing: match holding {
                None => Standing::MovedOut,
                Some(_) => derive::standing(&snapshot.page, source.data_source, source.database),
            },
            last_edited_time: snapshot.page.last_edited_time,
            observed_at: snapshot.observed_at,
            view: snapshot.view,
            url: snapshot.page.url.clone(),
            values,
        })
    }
}

/// Returns whether an error is about who asked rather than about what was asked for.
const fn is_of_the_asker(error: &AskError) -> bool {
    matches!(
        error,
        AskError::Gated { .. }
            | AskError::Notion(
                NotionError::Refused { .. } | NotionError::RateLimited { .. } | NotionError::Unavailable(_)
            )
    )
}
