//! One source: its settings, what is known of it, and how its schema is read.

use std::sync::{Arc, PoisonError, RwLock};

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};

use crate::{
    derive::{
        mapping::{self, Mapping, Names, Note},
        winner::HardStatuses,
    },
    model::{
        id::{DataSourceId, DatabaseId, TableId},
        page::{Page, Parent, Schema},
    },
    notion::{Notion, Priority},
    sources::{
        error::AskError,
        filter::{self, Basis, Filter},
        gate::Gate,
    },
    store::{Store, StoredSource},
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

/// What is known of a source since its schema was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Its data source.
    pub data_source: DataSourceId,
    /// The database that holds it.
    pub database: Option<DatabaseId>,
    /// Which property plays which role.
    pub mapping: Mapping,
}

/// What reading the schema of a source gave.
#[derive(Debug, Clone)]
pub struct Read {
    /// What is known of the source now.
    pub table: Arc<Resolved>,
    /// What a person should know of it, if anything.
    pub note: Option<String>,
}

/// One source, with the way to ask Notion about it.
#[derive(Debug)]
pub(super) struct Source<N> {
    pub(super) settings: SourceSettings,
    /// Which of its statuses are hard now; one for all that are apart.
    hard: Arc<ArcSwap<HardStatuses>>,
    pub(super) notion: N,
    table: RwLock<Option<Arc<Resolved>>>,
    pub(super) gate: Gate,
    filter: Filter,
}

impl<N: Notion> Source<N> {
    pub(super) fn of(settings: SourceSettings, notion: N, filter: &Filter) -> Self {
        let gate = Gate::of(&settings.name);
        let hard = Arc::new(ArcSwap::from_pointee(settings.hard.clone()));
        Self { settings, hard, notion, table: RwLock::default(), gate, filter: filter.clone() }
    }

    /// Returns the same source with a memory of its own.
    pub(super) fn apart(&self, filter: &Filter) -> Self {
        let apart = Self::of(self.settings.clone(), self.notion.clone(), filter);
        let apart = Self { hard: Arc::clone(&self.hard), ..apart };
        if let Some(table) = self.resolved() {
            apart.know(table);
        }
        apart
    }

    /// Returns which of its statuses are hard now.
    pub(super) fn hard(&self) -> HardStatuses {
        (**self.hard.load()).clone()
    }

    /// Takes other hard statuses.
    pub(super) fn take_hard(&self, hard: HardStatuses) {
        self.hard.store(hard.into());
    }

    /// Returns whether a page may stand in this source, whose schema was never read: nobody can say then that it left.
    pub(super) fn may_hold(&self, page: &Page) -> bool {
        self.resolved().is_none()
            && match (page.parent, self.settings.table) {
                (Parent::Elsewhere, _) => false,
                (Parent::DataSource(parent), TableId::DataSource(id)) => parent == id,
                (Parent::Database(parent), TableId::Database(id)) => parent == id,
                // Which of them belong together only the schema says.
                (Parent::DataSource(_), TableId::Database(_)) | (Parent::Database(_), TableId::DataSource(_)) => true,
            }
    }

    pub(super) fn resolved(&self) -> Option<Arc<Resolved>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn forget(&self) {
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn know(&self, table: Arc<Resolved>) {
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Some(table);
    }

    /// Reads what an earlier run stored, if it is of this source; with it, what the filter goes by.
    pub(super) fn recognise(&self, stored: &StoredSource) -> Option<(Resolved, Basis)> {
        let schema: Schema = serde_json::from_str(&stored.schema).ok()?;
        let ours = match self.settings.table {
            TableId::DataSource(id) => id == schema.data_source,
            TableId::Database(id) => Some(id) == schema.database,
        };
        ours.then_some(())?;
        let mapping = serde_json::from_str(&stored.mapping).ok()?;
        let basis = Basis::of(&schema, &mapping);
        Some((Resolved { data_source: schema.data_source, database: schema.database, mapping }, basis))
    }

    /// Returns what an earlier run stored last; a database can have had another data source before.
    async fn stored<S: Store>(&self, store: &S) -> Result<Option<Arc<Resolved>>, AskError> {
        let stored = store.read(|rows| rows.sources()).await?;
        let ours = stored.iter().filter_map(|stored| Some((stored.resolved_at, self.recognise(stored)?.0)));
        Ok(ours.max_by_key(|(resolved_at, _)| *resolved_at).map(|(_, known)| Arc::new(known)))
    }

    /// Picks the data source that is meant.
    pub(super) fn pick(&self, schemas: Vec<Schema>) -> Result<Schema, AskError> {
        pick(schemas, self.resolved().as_deref())
    }

    /// Reads the schema as it is now.
    pub(super) async fn look(&self, now: DateTime<Utc>, priority: Priority) -> Result<Schema, AskError> {
        let schemas = self.gate.guard(now, self.notion.schemas(self.settings.table, priority)).await?;
        pick(schemas, self.resolved().as_deref())
    }

    /// Reads the schema and stores what it says.
    pub(super) async fn resolve<S: Store>(
        &self,
        store: &S,
        now: DateTime<Utc>,
        priority: Priority,
        twin: impl Fn(DataSourceId) -> Option<String>,
    ) -> Result<Read, AskError> {
        let schemas = self.gate.guard(now, self.notion.schemas(self.settings.table, priority)).await?;
        let earlier = match self.resolved() {
            Some(known) => Some(known),
            // Whoever reads first, worker or sweep: a property that was renamed meanwhile is known by its stored id.
            None => self.stored(store).await?,
        };
        let others = schemas.len().saturating_sub(1);
        let schema = pick(schemas, earlier.as_deref())?;
        let id = schema.data_source;
        if let Some(name) = twin(id) {
            return Err(AskError::Twin { id, name });
        }
        let note = (others > 0).then(|| self.only_one_is_watched(&schema, others));
        let read = mapping::resolve(&schema, &self.settings.names, earlier.as_ref().map(|table| &table.mapping))
            .map_err(|e| AskError::Unmappable(e.to_string()))?;
        for note in &read.notes {
            match note {
                // Only the title must be there.
                Note::NotFound { .. } | Note::Title { .. } => {
                    tracing::info!(source.name = self.settings.name, "source {}: {note}", self.settings.name);
                }
                Note::KnownById { .. } | Note::NoText { .. } => {
                    tracing::warn!(source.name = self.settings.name, "source {}: {note}", self.settings.name);
                }
            }
        }
        let table = Resolved { data_source: schema.data_source, database: schema.database, mapping: read.mapping };
        let unwritable = |e: serde_json::Error| AskError::Unmappable(e.to_string());
        let row = StoredSource {
            id: table.data_source,
            name: Some(self.settings.name.clone()),
            database: table.database,
            schema: serde_json::to_string(&schema).map_err(unwritable)?,
            mapping: serde_json::to_string(&table.mapping).map_err(unwritable)?,
            hard: serde_json::to_string(&self.hard()).map_err(unwritable)?,
            resolved_at: now,
            watermark: None,
            retired_at: None,
        };
        let (source, basis) = (table.data_source, Basis::of(&schema, &table.mapping));
        let noted = basis.clone();
        let stands = store
            .write(move |rows| {
                // Of a source that is known, these follow when the entries do, which the cache sees to.
                let known = rows.sources()?.into_iter().find(|stored| stored.id == row.id);
                let hard = known.map_or(row.hard, |known| known.hard);
                rows.put_source(&StoredSource { hard, ..row })?;
                filter::learn(rows, source, &noted, now)
            })
            .await?;
        let table = Arc::new(table);
        self.know(Arc::clone(&table));
        self.filter.know(source, basis, Some(&stands));
        Ok(Read { table, note })
    }

    fn only_one_is_watched(&self, schema: &Schema, others: usize) -> String {
        let note = format!(
            "source {}: its database holds {} data sources now; only «{}» ({}), the one known before, is watched: give \
             each one a [[source]] of its own in the settings",
            self.settings.name,
            others + 1,
            schema.title,
            schema.data_source
        );
        tracing::warn!(source.name = self.settings.name, "{note}");
        note
    }
}

/// Picks the data source that is meant: the one that was meant before, else the only one. Another one never takes its
/// place: its pages would seem to have been moved out.
fn pick(mut schemas: Vec<Schema>, earlier: Option<&Resolved>) -> Result<Schema, AskError> {
    let named = |schema: &Schema| format!("{} «{}»", schema.data_source, schema.title);
    if let Some(known) = earlier.map(|table| table.data_source) {
        let before = schemas.iter().position(|schema| schema.data_source == known);
        return match (before, schemas.first()) {
            (Some(before), _) => Ok(schemas.swap_remove(before)),
            (None, Some(found)) => Err(AskError::Replaced { known, found: named(found) }),
            (None, None) => Err(AskError::Unmappable("the database holds no data source".to_owned())),
        };
    }
    if schemas.len() > 1 {
        return Err(AskError::Ambiguous(schemas.iter().map(named).collect()));
    }
    schemas.pop().ok_or_else(|| AskError::Unmappable("the database holds no data source".to_owned()))
}
