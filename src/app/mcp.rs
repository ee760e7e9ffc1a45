//! `mcp`: who answers and works for the tools, within a running `serve` or in a process of its own.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio_util::sync::CancellationToken;

use crate::{
    app::{
        AppError, Asking, Clients, asking, clients, housekeeping, lookup,
        reconcile::{self, By, Reconciled},
        rights::{self, Turn},
        rules, source_settings, store,
    },
    causes::told,
    clock::Clock,
    config::Config,
    derive::Rules,
    lookup::{
        Lookup, LookupError, Question, Terms,
        schema::{self, SchemaReport, Sight},
    },
    mcp::{Desk, Standing, Swept, Trouble, doors},
    metrics::{Metrics, label::LookupDoor},
    model::{page::Schema, sweep::SweepOrder, verdict::Verdict},
    notion::{Priority, client::Client},
    sources::Sources,
    store::sqlite::SqliteStore,
};

const SERVED: &str =
    "a `suppressd serve` runs on this database and has the right to ask Notion: this is what it read last";
const BUSY: &str = "another suppressd command works on this database and has the right to ask Notion";

/// Talks over stdin and stdout until that is over or `stop` is cancelled.
pub async fn stdio(config: &Config, stop: &CancellationToken, clock: &Clock) -> Result<(), doors::NoConversation> {
    doors::stdio(Apart { config: Arc::new(config.clone()), clock: clock.clone() }, stop).await
}

/// A process of its own, which may be beside a running `serve` or not, and whose database may not be there yet.
#[derive(Debug, Clone)]
struct Apart {
    config: Arc<Config>,
    clock: Clock,
}

impl Apart {
    /// Refuses to make a database for a question.
    fn is_there(&self) -> Result<(), Trouble> {
        match self.config.db_path.try_exists() {
            Ok(false) => Err(Trouble(format!(
                "there is no database at {}: let `suppressd serve` or sync_suppression_cache make it, or name another \
                 with --db-path",
                self.config.db_path.display()
            ))),
            // Why it cannot be looked at is told when it is opened.
            Ok(true) | Err(_) => Ok(()),
        }
    }

    /// Reads the schemas from Notion, or says why that may not be.
    async fn look(&self) -> Result<Result<Vec<Result<Schema, String>>, String>, AppError> {
        let Self { config, clock } = self;
        let accesses = match config.notion() {
            Ok(accesses) => accesses,
            Err(missing) => return Ok(Err(told(&missing))),
        };
        if self.is_there().is_err() {
            // Nobody serves a database that is not there.
            let Clients { sources, .. } = clients(config, &accesses, clock, &Metrics::default())?;
            return Ok(Ok(schemas(&Sources::new(sources), clock).await));
        }
        let store = store(config, clock)?;
        match rights::turn(&store)? {
            Turn::Served => Ok(Err(SERVED.to_owned())),
            Turn::Busy => Ok(Err(BUSY.to_owned())),
            Turn::Ours(_right) => {
                let Asking { sources, budgets, .. } = Asking::prepare(config, &store, clock).await?;
                let schemas = schemas(&sources, clock).await;
                housekeeping::keep_budgets(&store, &budgets).await?;
                Ok(Ok(schemas))
            }
        }
    }
}

impl Desk for Apart {
    type Store = SqliteStore;

    fn lookup(&self) -> Result<Lookup<SqliteStore>, Trouble> {
        self.is_there()?;
        // Anew each time: the file may have come, or may be another one than before.
        Ok(lookup(&self.config, &self.clock)?)
    }

    fn rules(&self) -> Result<Rules, Trouble> {
        Ok(rules(&self.config)?)
    }

    async fn answer(
        &self,
        questions: Vec<Question>,
        terms: Terms,
    ) -> Result<Vec<Result<Verdict, LookupError>>, Trouble> {
        self.is_there()?;
        Ok(Box::pin(asking::answer(&self.config, questions, terms, &self.clock)).await?)
    }

    fn knows(&self, sources: &[String]) -> Result<(), Trouble> {
        Ok(reconcile::known(&self.config, sources)?)
    }

    async fn sweep(
        &self,
        order: SweepOrder,
        stop: CancellationToken,
        mut told: impl FnMut(Standing) + Send,
    ) -> Result<Swept, Trouble> {
        let told = |standing: &reconcile::Standing| told(standing.into());
        Ok(Box::pin(reconcile::run(&self.config, order, &stop, &self.clock, told)).await?.into())
    }

    async fn schemas(&self) -> Result<SchemaReport, Trouble> {
        let sources = self.config.sources().unwrap_or_default().iter().map(source_settings).collect();
        let sight = Sight { sources, live: Box::pin(self.look()).await? };
        match self.is_there() {
            Ok(()) => Ok(self.lookup()?.schema_report(sight).await?),
            Err(_) => Ok(schema::report(&sight, &[], self.clock.now())),
        }
    }
}

/// A running `serve`.
#[derive(Debug, Clone)]
pub(super) struct Within {
    pub(super) config: Arc<Config>,
    pub(super) clock: Clock,
    pub(super) lookup: Lookup<SqliteStore>,
    pub(super) sources: Sources<Client>,
    pub(super) metrics: Metrics,
    /// Whether this process has the right to ask Notion by now.
    pub(super) may_ask: Arc<AtomicBool>,
}

impl Desk for Within {
    type Store = SqliteStore;

    fn lookup(&self) -> Result<Lookup<SqliteStore>, Trouble> {
        Ok(self.lookup.clone())
    }

    fn rules(&self) -> Result<Rules, Trouble> {
        Ok(self.lookup.rules())
    }

    async fn answer(
        &self,
        questions: Vec<Question>,
        terms: Terms,
    ) -> Result<Vec<Result<Verdict, LookupError>>, Trouble> {
        Ok(self.lookup.answer_at((LookupDoor::Mcp, &self.metrics), questions, terms).await?)
    }

    fn knows(&self, sources: &[String]) -> Result<(), Trouble> {
        Ok(reconcile::known(&self.config, sources)?)
    }

    async fn sweep(
        &self,
        order: SweepOrder,
        stop: CancellationToken,
        mut told: impl FnMut(Standing) + Send,
    ) -> Result<Swept, Trouble> {
        let told = |standing: &reconcile::Standing| told(standing.into());
        let store = self.lookup.store();
        let swept = reconcile::run_over(store, &self.config, (order, &stop), &self.clock, told);
        Ok(Box::pin(swept).await?.into())
    }

    async fn schemas(&self) -> Result<SchemaReport, Trouble> {
        let live = if self.may_ask.load(Ordering::Relaxed) {
            Ok(schemas(&self.sources, &self.clock).await)
        } else {
            Err(BUSY.to_owned())
        };
        Ok(self.lookup.schema_report(Sight { sources: self.sources.settings(), live }).await?)
    }
}

async fn schemas(sources: &Sources<Client>, clock: &Clock) -> Vec<Result<Schema, String>> {
    let mut schemas = Vec::new();
    for nth in 0..sources.count() {
        // What events ask for goes first.
        let schema = sources.look(nth, clock.now(), Priority::Sweep).await;
        schemas.push(schema.map_err(|error| told(&error)));
    }
    schemas
}

impl From<AppError> for Trouble {
    fn from(error: AppError) -> Self {
        Self(told(&error))
    }
}

impl From<Reconciled> for Swept {
    fn from(reconciled: Reconciled) -> Self {
        match reconciled {
            Reconciled::Ended(report) => Self::Ended(report),
            Reconciled::Stopped => Self::Stopped,
        }
    }
}

impl From<&reconcile::Standing> for Standing {
    fn from(standing: &reconcile::Standing) -> Self {
        let by = match standing.by {
            By::Us => "",
            By::Serve => " (by the running serve)",
            By::Nobody => "another suppressd command works on the database: waiting",
        };
        Self { progress: standing.progress.clone(), by }
    }
}
