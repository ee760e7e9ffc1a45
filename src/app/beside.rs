//! A few questions to Notion for somebody who looks after the program, whether a `serve` runs or not.
//!
//! Without a `serve`, this takes the right to work, as every command does. Beside one it does not wait for that: it goes on
//! with the budget as the `serve` told it last, and tells what it spent itself, which the `serve` takes over within
//! seconds. That is for a handful of questions, and for nothing else.

use std::path::Path;

use crate::{
    app::{
        AppError, Clients, budget_limit, clients, housekeeping,
        rights::{self, Turn},
        store,
    },
    causes::told,
    clock::Clock,
    config::{Config, SourceAccess},
    metrics::Metrics,
    model::page::Schema,
    notion::{Notion as _, NotionError, Priority, budget::Budget, client::Client},
    sources::{SourceSettings, Sources, error::AskError},
    store::{Exclusive, sqlite::SqliteStore},
};

/// Notion, for a few questions.
pub(super) struct Beside {
    /// The sources, with the client of each.
    pub(super) asked: Vec<(SourceSettings, Client)>,
    sources: Sources<Client>,
    budgets: Vec<Budget>,
    /// As they were in the beginning, and never used: what they say is less by what was spent here.
    before: Vec<Budget>,
    right: Option<Exclusive>,
    /// Whether there is a database to tell what was spent.
    is_kept: bool,
}

/// What Notion shows of the table of a source.
#[derive(Debug)]
pub(super) struct Shown {
    /// The titles of all its data sources.
    pub(super) titles: Vec<String>,
    /// The one that is meant.
    pub(super) schema: Result<Schema, AskError>,
}

const BUSY: &str = "another suppressd command works on this database and has the right to ask Notion: try again when it \
                    has ended";

impl Beside {
    /// Gets ready to ask about `accesses`, or says why that may not be now.
    pub(super) async fn prepare(
        config: &Config,
        accesses: &[SourceAccess],
        clock: &Clock,
    ) -> Result<Result<Self, String>, AppError> {
        let is_there = config.db_path.is_file();
        let right = if is_there { rights::turn_at(&config.db_path)? } else { Turn::Served };
        let right = match right {
            Turn::Busy => return Ok(Err(BUSY.to_owned())),
            Turn::Ours(right) => Some(right),
            // Nobody serves a database that is not there.
            Turn::Served => None,
        };
        let Clients { sources: asked, budgets } = clients(config, accesses, clock, &Metrics::default())?;
        let sources = Sources::new(asked.clone());
        let kept = if is_there { SqliteStore::open_for_reading(&config.db_path).ok() } else { None };
        let unused = || Budget::new(budget_limit(config), clock.clone(), Metrics::default());
        let before: Vec<Budget> = budgets.iter().map(|_| unused()).collect();
        if let Some(kept) = &kept {
            housekeeping::restore_budgets(kept, &budgets).await?;
            housekeeping::restore_budgets(kept, &before).await?;
            sources.recall(kept).await?;
        }
        Ok(Ok(Self { asked, sources, budgets, before, right, is_kept: kept.is_some() }))
    }

    /// Asks which data sources the table of the `nth` source has, and picks the one that is meant.
    pub(super) async fn look(&self, nth: usize) -> Result<Shown, NotionError> {
        let Some((settings, client)) = self.asked.get(nth) else { return Err(NotionError::NotFound) };
        let schemas = client.schemas(settings.table, Priority::Webhook).await?;
        let titles = schemas.iter().map(|schema| schema.title.clone()).collect();
        Ok(Shown { titles, schema: self.sources.pick(nth, schemas) })
    }

    /// Writes down what was spent, for whoever asks next or at the same time.
    pub(super) async fn done(self, config: &Config, clock: &Clock) {
        if let Err(error) = self.keep(config, clock).await {
            tracing::debug!("cannot write down what was spent of the budget: {}", told(&error));
        }
    }

    async fn keep(&self, config: &Config, clock: &Clock) -> Result<(), AppError> {
        // To open a file for writing that is in another mode would change it.
        if !self.is_kept || !is_in_wal(&config.db_path) {
            return Ok(());
        }
        let store = store(config, clock)?;
        match self.right {
            Some(_) => housekeeping::keep_budgets(&store, &self.budgets).await?,
            None => housekeeping::tell_spent(&store, &self.budgets, &self.before).await?,
        }
        Ok(())
    }
}

fn is_in_wal(path: &Path) -> bool {
    SqliteStore::journal_mode(path).is_ok_and(|mode| mode == "wal")
}
