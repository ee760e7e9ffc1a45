//! The configured sources: which data source each is, and which of its properties plays which role.
//!
//! What was read last is kept in the store, so that a start while Notion cannot be reached goes on with it, and so
//! that a property which was renamed meanwhile is still known by its id.

use std::{
    cmp::Reverse,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

use crate::{
    derive::{
        mapping::{self, Mapping, Names, Note},
        winner::HardStatuses,
    },
    model::{
        id::{DataSourceId, DatabaseId, PageId, TableId},
        page::{Page, Parent, Schema, Snapshot},
    },
    notion::{Notion, NotionError, Priority},
    store::{Store, StoreError, StoredSource},
    worker::retry::{LookError, REFUSED_PAUSE, told},
};

/// What the settings say of a source.
#[derive(Debug, Clone)]
pub struct SourceSettings {
    /// Its name, for people.
    pub name: String,
    /// Where it is.
    pub table: TableId,
    /// What its properties are called.
    pub names: Names,
    /// Which of its statuses are hard.
    pub hard: HardStatuses,
}

/// Notion's code for a token that is wrong as a whole (ERR).
const UNAUTHORIZED: &str = "unauthorized";

/// All configured sources. Cheap to clone.
#[derive(Debug)]
pub struct Sources<N> {
    all: Arc<[Source<N>]>,
}

impl<N> Clone for Sources<N> {
    fn clone(&self) -> Self {
        Self { all: Arc::clone(&self.all) }
    }
}

/// One source, with the way to ask Notion about it.
#[derive(Debug)]
pub struct Source<N> {
    settings: SourceSettings,
    notion: N,
    table: RwLock<Option<Arc<Resolved>>>,
    gate: Mutex<Gate>,
}

/// Whether Notion may be asked about a source, and what a person has to mend before it answers.
#[derive(Debug, Default)]
struct Gate {
    /// Told by the monotonic clock, so that setting the other one neither opens nor locks it.
    closed_until: Option<Instant>,
    /// Whether anything was shown since the last refusal.
    shown: bool,
    refusal: Option<String>,
    unreadable: Option<String>,
}

/// What is known of a source since its schema was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Its data source.
    pub data_source: DataSourceId,
    /// The database that holds it.
    pub database: Option<DatabaseId>,
    /// Which property plays which role.
    pub mapping: Mapping,
    /// Which of its statuses are hard.
    pub hard: HardStatuses,
}

impl<N: Notion> Sources<N> {
    /// Takes the sources of the settings, each with the client that asks with its token.
    pub fn new(sources: impl IntoIterator<Item = (SourceSettings, N)>) -> Self {
        let all = sources
            .into_iter()
            .map(|(settings, notion)| Source { settings, notion, table: RwLock::default(), gate: Mutex::default() })
            .collect();
        Self { all }
    }

    /// Lists what is known of the sources by now.
    pub fn resolved(&self) -> Vec<Arc<Resolved>> {
        self.all.iter().filter_map(Source::resolved).collect()
    }

    /// Returns what a person has to mend before all sources can be read again: the first problem of all.
    pub fn problem(&self) -> Option<String> {
        self.all.iter().find_map(|source| {
            let gate = source.gate();
            gate.refusal.clone().or_else(|| gate.unreadable.clone())
        })
    }

    /// Takes over what an earlier run stored; returns whether every source is known.
    pub async fn recall<S: Store>(&self, store: &S) -> Result<bool, StoreError> {
        let mut stored = store.read(|rows| rows.sources()).await?;
        // A database can have had another data source before.
        stored.sort_by_key(|stored| Reverse(stored.resolved_at));
        for source in self.all.iter() {
            let known = stored.iter().find_map(|stored| source.recognise(stored));
            if let Some(known) = known {
                source.know(known);
            }
        }
        Ok(self.resolved().len() == self.all.len())
    }

    /// Reads the schemas from Notion and stores what they say. One source that fails does not keep the others from that.
    pub async fn resolve<S: Store>(&self, store: &S, now: DateTime<Utc>) -> Result<(), LookError> {
        let mut outcome = Ok(());
        for source in self.all.iter() {
            let resolved = source.resolve(store, now).await;
            source.note(&resolved);
            outcome = outcome.and(resolved);
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
    ) -> Result<Snapshot, LookError> {
        let holds = |source: &&Source<N>| {
            known_in.is_some_and(|known| source.resolved().is_some_and(|table| table.data_source == known))
        };
        let mut unasked = None;
        for source in self.all.iter().filter(holds).chain(self.all.iter().filter(|source| !holds(source))) {
            match source.guard(now, source.notion.page(id, Priority::Webhook)).await {
                Err(LookError::Notion(NotionError::NotFound)) => (),
                Err(error) if is_of_the_token(&error) && !holds(&source) => drop(unasked.get_or_insert(error)),
                outcome => return outcome,
            }
        }
        Err(unasked.unwrap_or(LookError::Notion(NotionError::NotFound)))
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
}

impl<N: Notion> Source<N> {
    fn resolved(&self) -> Option<Arc<Resolved>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn know(&self, table: Resolved) {
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(table));
    }

    /// Reads what an earlier run stored, if it is of this source.
    fn recognise(&self, stored: &StoredSource) -> Option<Resolved> {
        let schema: Schema = serde_json::from_str(&stored.schema).ok()?;
        let ours = match self.settings.table {
            TableId::DataSource(id) => id == schema.data_source,
            TableId::Database(id) => Some(id) == schema.database,
        };
        ours.then_some(())?;
        Some(Resolved {
            data_source: schema.data_source,
            database: schema.database,
            mapping: serde_json::from_str(&stored.mapping).ok()?,
            hard: self.settings.hard.clone(),
        })
    }

    async fn resolve<S: Store>(&self, store: &S, now: DateTime<Utc>) -> Result<(), LookError> {
        let schemas = self.guard(now, self.notion.schemas(self.settings.table, Priority::Webhook)).await?;
        let earlier = self.resolved();
        let schema = pick(schemas, earlier.as_deref(), &self.settings.name)?;
        let read = mapping::resolve(&schema, &self.settings.names, earlier.as_ref().map(|table| &table.mapping))
            .map_err(|e| LookError::Unmappable(e.to_string()))?;
        for note in &read.notes {
            match note {
                // Only the title must be there.
                Note::NotFound { .. } | Note::Title { .. } => {
                    tracing::info!(source.name = self.settings.name, "source {}: {note}", self.settings.name);
                }
                Note::Renamed { .. } | Note::NoText { .. } => {
                    tracing::warn!(source.name = self.settings.name, "source {}: {note}", self.settings.name);
                }
            }
        }
        let table = Resolved {
            data_source: schema.data_source,
            database: schema.database,
            mapping: read.mapping,
            hard: self.settings.hard.clone(),
        };
        let unwritable = |e: serde_json::Error| LookError::Unmappable(e.to_string());
        let row = StoredSource {
            id: table.data_source,
            schema: serde_json::to_string(&schema).map_err(unwritable)?,
            mapping: serde_json::to_string(&table.mapping).map_err(unwritable)?,
            hard: serde_json::to_string(&table.hard).map_err(unwritable)?,
            resolved_at: now,
            watermark: None,
        };
        store.write(move |rows| rows.put_source(&row)).await?;
        self.know(table);
        Ok(())
    }

    /// Remembers whether the schema could be read, as far as that is for a person to mend.
    fn note(&self, resolved: &Result<(), LookError>) {
        let problem = match resolved {
            Ok(()) => None,
            Err(
                error @ (LookError::Ambiguous(_)
                | LookError::Unmappable(_)
                | LookError::Notion(
                    NotionError::NotFound | NotionError::Rejected { .. } | NotionError::Unreadable(_),
                )),
            ) => Some(format!("source {}: {}", self.settings.name, told(error))),
            Err(_) => return,
        };
        self.gate().unreadable = problem;
    }

    /// Asks Notion unless the token was refused a moment ago; one question at a time then finds out whether it still is.
    async fn guard<T>(
        &self,
        now: DateTime<Utc>,
        question: impl Future<Output = Result<T, NotionError>>,
    ) -> Result<T, LookError> {
        {
            let mut gate = self.gate();
            let closed_for = gate.closed_until.map(|until| until.saturating_duration_since(Instant::now()));
            match closed_for {
                None => (),
                // This question is the probe: the others wait for what comes of it.
                Some(Duration::ZERO) => gate.close(),
                Some(wait) => {
                    return Err(LookError::Gated { until: now + TimeDelta::from_std(wait).unwrap_or_default() });
                }
            }
        }
        let answer = question.await;
        let mut gate = self.gate();
        match &answer {
            // A page of its own may be withheld from the token. That is seen by others being shown in between.
            Err(NotionError::Refused { code, .. }) if code != UNAUTHORIZED && gate.shown => gate.shown = false,
            Err(error @ NotionError::Refused { .. }) => {
                gate.close();
                gate.refusal = Some(format!("source {}: {}", self.settings.name, told(error)));
            }
            // Whoever could not ask has not learnt whether the token is taken.
            Err(NotionError::Unavailable(_) | NotionError::RateLimited { .. }) => (),
            Ok(_) => (gate.closed_until, gate.refusal, gate.shown) = (None, None, true),
            Err(_) => (gate.closed_until, gate.refusal) = (None, None),
        }
        drop(gate);
        Ok(answer?)
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate {
    fn close(&mut self) {
        self.closed_until = Some(Instant::now() + REFUSED_PAUSE.to_std().unwrap_or_default());
    }
}

/// Returns whether an error is about the token that asked rather than about what was asked for.
const fn is_of_the_token(error: &LookError) -> bool {
    matches!(
        error,
        LookError::Gated { .. } | LookError::Notion(NotionError::Refused { .. } | NotionError::RateLimited { .. })
    )
}

/// Picks the data source that is meant: the only one, or the one that was meant before.
fn pick(mut schemas: Vec<Schema>, earlier: Option<&Resolved>, name: &str) -> Result<Schema, LookError> {
    if schemas.len() > 1 {
        let before =
            schemas.iter().position(|schema| earlier.is_some_and(|table| table.data_source == schema.data_source));
        let Some(before) = before else {
            let all = schemas.iter().map(|schema| format!("{} «{}»", schema.data_source, schema.title));
            return Err(LookError::Ambiguous(all.collect()));
        };
        tracing::warn!(
            source.name = name,
            "source {name}: its database holds {} data sources now; only the one known before is watched",
            schemas.len()
        );
        return Ok(schemas.swap_remove(before));
    }
    schemas.pop().ok_or_else(|| LookError::Unmappable("the database holds no data source".to_owned()))
}
