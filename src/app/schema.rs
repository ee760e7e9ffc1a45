//! `schema validate` and `schema repair`: how the tables fit as Notion shows them now, and adding properties that they lack.
//!
//! That a data source is updated by `PATCH /v1/data_sources/{id}` is recorded; that `properties` in it adds those which are
//! not there, described as at its creation, is inferred. Therefore the schema is read right before, only names that it does
//! not have are sent, and it is read again afterwards: what was added is what is there then.

mod plan;

use serde::Serialize;
use serde_json::Value as Json;

pub use crate::app::schema::plan::{Added, Left, Order};
use crate::{
    app::{AppError, beside::Beside, schema::plan::Plan, source_settings},
    causes::told,
    clock::Clock,
    config::Config,
    lookup::schema::{SchemaReport, Sight, SourceFit, report},
    model::page::Schema,
    notion::{NotionError, Priority},
    sources::SourceSettings,
    store::{Store as _, StoredSource, sqlite::SqliteStore},
};

/// What became of the table of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Repaired {
    /// The name of the source.
    pub source: String,
    /// What happened.
    pub outcome: Outcome,
    /// Why, where that must be said.
    pub why: Option<String>,
    /// What was sent, or would be.
    pub request: Option<Request>,
    /// The properties that were added, or would be.
    pub added: Vec<Added>,
    /// Those that are missing and were not added.
    pub left: Vec<Left>,
    /// How the table fits afterwards; null where it was not read.
    pub fit: Option<SourceFit>,
}

/// What happened to a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing that could be added was missing.
    Complete,
    /// Something would have been sent.
    WouldAdd,
    /// It was sent, and is there now.
    Added,
    /// Nothing was sent, because a person must decide first.
    Refused,
    /// Notion could not be asked, or did not do it.
    Failed,
}

/// A request that adds properties.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Request {
    /// Its method.
    pub method: &'static str,
    /// Its address.
    pub url: String,
    /// Its body.
    pub body: Json,
}

/// Says how the tables fit, by what Notion shows now.
pub async fn validate(config: &Config, clock: &Clock) -> Result<SchemaReport, AppError> {
    let accesses = config.notion()?;
    let stored = stored(config).await;
    let (sources, live) = match Box::pin(Beside::prepare(config, &accesses, clock)).await? {
        Ok(beside) => {
            let live = look_at_all(&beside).await;
            let sources = beside.asked.iter().map(|(source, _)| source.clone()).collect();
            beside.done(config, clock).await;
            (sources, live)
        }
        Err(why) => (accesses.iter().map(|access| source_settings(&access.source)).collect(), Err(why)),
    };
    Ok(report(&Sight { sources, live }, &stored, clock.now()))
}

/// Adds to each table the properties that the mapping wants and that are not there; or only says what it would send.
pub async fn repair(config: &Config, order: &Order, clock: &Clock) -> Result<Vec<Repaired>, AppError> {
    let accesses = config.notion()?;
    let stored = stored(config).await;
    let beside = match Box::pin(Beside::prepare(config, &accesses, clock)).await? {
        Ok(beside) => beside,
        Err(why) => {
            let sources = accesses.iter().map(|access| Repaired::failed(&access.source.name, why.clone()));
            return Ok(sources.collect());
        }
    };
    let mut all = Vec::new();
    for nth in 0..beside.asked.len() {
        all.push(Box::pin(repair_one(config, order, (&beside, nth), &stored, clock)).await);
    }
    beside.done(config, clock).await;
    Ok(all)
}

async fn repair_one(
    config: &Config,
    order: &Order,
    (beside, nth): (&Beside, usize),
    stored: &[StoredSource],
    clock: &Clock,
) -> Repaired {
    let Some((source, client)) = beside.asked.get(nth) else { return Repaired::failed("", String::new()) };
    let fit_of = |schema: Result<Schema, String>| fit(source, schema, stored, clock);
    let schema = match look(beside, nth).await {
        Ok(schema) => schema,
        Err(why) => return Repaired::failed(&source.name, why),
    };
    let id = schema.data_source;
    let before = fit_of(Ok(schema.clone()));
    let Some(before) = before else { return Repaired::failed(&source.name, "its schema was not read".to_owned()) };
    let plan = Plan::of(&before, &schema, order);
    let mut repaired = Repaired {
        source: source.name.clone(),
        outcome: Outcome::Complete,
        why: plan.refused.clone(),
        request: None,
        added: plan.add.clone(),
        left: plan.left.clone(),
        fit: Some(before),
    };
    if plan.refused.is_some() {
        return Repaired { outcome: Outcome::Refused, added: Vec::new(), ..repaired };
    }
    if plan.add.is_empty() {
        return repaired;
    }
    let mut url = config.api.base_url.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(["v1", "data_sources", &id.to_string()]);
    }
    let body = plan.body();
    repaired.request = Some(Request { method: "PATCH", url: url.into(), body: body.clone() });
    if order.dry_run {
        return Repaired { outcome: Outcome::WouldAdd, ..repaired };
    }
    if let Err(error) = client.update(id, body, Priority::Webhook).await {
        let why = Some(format!("{}; the connection needs the capability to update content", told(&error)));
        return Repaired { outcome: Outcome::Failed, why, added: Vec::new(), ..repaired };
    }
    let after = look(beside, nth).await;
    let is_there = |added: &Added| {
        after.as_ref().is_ok_and(|schema| {
            schema.properties.iter().any(|property| property.name == added.name && property.kind == added.kind)
        })
    };
    let untaken: Vec<&str> =
        plan.add.iter().filter(|added| !is_there(added)).map(|added| added.name.as_str()).collect();
    let (outcome, why) = match (&after, untaken.as_slice()) {
        (Ok(_), []) => (Outcome::Added, None),
        (Ok(_), names) => (Outcome::Failed, Some(format!("Notion took it, and does not show {}", names.join(", ")))),
        (Err(why), _) => (Outcome::Failed, Some(format!("Notion took it, and does not show what is there now: {why}"))),
    };
    Repaired { outcome, why, fit: fit_of(after), ..repaired }
}

impl Repaired {
    fn failed(source: &str, why: String) -> Self {
        Self {
            source: source.to_owned(),
            outcome: Outcome::Failed,
            why: Some(why),
            request: None,
            added: Vec::new(),
            left: Vec::new(),
            fit: None,
        }
    }
}

/// Reads every schema; or says that Notion could not be asked, which says nothing of the tables.
async fn look_at_all(beside: &Beside) -> Result<Vec<Result<Schema, String>>, String> {
    let mut schemas = Vec::new();
    for nth in 0..beside.asked.len() {
        schemas.push(match beside.look(nth).await {
            Ok(shown) => shown.schema.map_err(|e| told(&e)),
            Err(error @ (NotionError::Unavailable(_) | NotionError::RateLimited { .. })) => {
                return Err(format!("Notion could not be asked: {}", told(&error)));
            }
            Err(error) => Err(told(&error)),
        });
    }
    Ok(schemas)
}

async fn look(beside: &Beside, nth: usize) -> Result<Schema, String> {
    beside.look(nth).await.map_err(|e| told(&e))?.schema.map_err(|e| told(&e))
}

fn fit(
    source: &SourceSettings,
    schema: Result<Schema, String>,
    stored: &[StoredSource],
    clock: &Clock,
) -> Option<SourceFit> {
    let sight = Sight { sources: vec![source.clone()], live: Ok(vec![schema]) };
    report(&sight, stored, clock.now()).sources.pop()
}

/// Returns what earlier runs know of the sources: by it a property that was renamed is not taken for missing.
async fn stored(config: &Config) -> Vec<StoredSource> {
    match SqliteStore::open_for_reading(&config.db_path) {
        Ok(store) => store.read(|rows| rows.sources()).await.unwrap_or_default(),
        Err(_) => Vec::new(),
    }
}
