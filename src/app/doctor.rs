//! `doctor`: looks at everything that must be right, and says of each thing how it is and how to mend it.
//!
//! Nothing is changed, but that the requests to Notion are counted, and that `--public-url` sends one harmless event. Every
//! check is made, whatever came of the others; one that cannot be made says why.

mod check;
mod database;
mod files;
mod known;
mod notion;
mod processes;
mod public;
mod schema;
mod settings;
mod webhook;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

pub use crate::app::doctor::check::{Check, Group, State};
use crate::{
    app::doctor::known::Known,
    clock::Clock,
    config::{Config, Problems, Stranger},
    lookup::schema::{Sight, report},
};

/// What is to be looked at.
#[derive(Debug, Clone, Default)]
pub struct Order {
    /// The address under which Notion is to reach this machine, to be tried.
    pub public_url: Option<String>,
    /// Whether nothing beyond this machine is to be asked.
    pub offline: bool,
    /// Whether every row is to be read.
    pub thorough: bool,
}

/// The settings, as far as they can be read.
#[derive(Debug)]
pub struct Read {
    /// The settings; `None` where too much is wrong with them.
    pub config: Option<Config>,
    /// What is wrong with them.
    pub problems: Option<Problems>,
    /// Variables that look like ours and are none.
    pub strangers: Vec<Stranger>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Report {
    /// When this was asked.
    pub at: DateTime<Utc>,
    /// The worst of all.
    pub state: State,
    /// How many checks are as they should be.
    pub well: usize,
    /// How many ask for attention.
    pub warnings: usize,
    /// How many failed.
    pub failures: usize,
    /// How many were not made.
    pub skipped: usize,
    /// Each of them, those of a group together.
    pub checks: Vec<Check>,
}

/// Looks at everything.
pub async fn examine(read: &Read, order: &Order, clock: &Clock) -> Report {
    let mut checks = settings::checks(read.config.as_ref(), read.problems.as_ref(), &read.strangers);
    if let Some(config) = &read.config {
        checks.extend(Box::pin(with(config, order, clock)).await);
    } else {
        let others = Group::ALL.into_iter().filter(|group| *group != Group::Settings);
        checks.extend(others.map(|group| group.skipped("all of it", "the settings cannot be read")));
    }
    checks.sort_by_key(|check| check.group);
    let count = |state| checks.iter().filter(|check| check.state == state).count();
    Report {
        at: clock.now(),
        state: if count(State::Failed) > 0 {
            State::Failed
        } else if count(State::Warning) > 0 {
            State::Warning
        } else {
            State::Well
        },
        well: count(State::Well),
        warnings: count(State::Warning),
        failures: count(State::Failed),
        skipped: count(State::Skipped),
        checks,
    }
}

async fn with(config: &Config, order: &Order, clock: &Clock) -> Vec<Check> {
    let asked = notion::ask(config, order.offline, clock).await;
    let known = Known::read(config, clock).await;
    let now = clock.now();
    let stored = known.as_ref().map(|known| known.stored.as_slice()).unwrap_or_default();
    let sources = asked.sources.clone();
    let fits = report(&Sight { sources: asked.sources, live: asked.live }, stored, now);
    let (token_checks, token) = webhook::tokens(config);

    let mut checks = asked.checks;
    checks.extend(schema::checks(&fits));
    checks.extend(token_checks);
    checks.extend(webhook::events(&known, token.is_some(), now));
    checks.extend(database::checks(config, order.thorough).await);
    checks.push(database::sweep_check(&known, config, now));
    checks.extend(files::checks(config));
    checks.extend(processes::checks(config, &known, &sources, now));
    if let Some(url) = &order.public_url {
        checks.extend(public::checks(config, url, (token.as_ref(), order.offline), clock).await);
    }
    checks
}
