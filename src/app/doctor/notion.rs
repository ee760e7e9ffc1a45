//! Notion: whose tokens these are, what time it is there, and whether the tables are shared.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use secrecy::ExposeSecret as _;

use crate::{
    app::{
        beside::{Beside, Shown},
        doctor::check::{Check, Group},
        source_settings,
    },
    causes::told,
    clock::Clock,
    config::{Config, SourceAccess},
    duration,
    model::{id::TableId, page::Schema},
    notion::{
        NotionError, Priority,
        client::{Bot, Me},
    },
    sources::{SourceSettings, error::AskError},
};

const GROUP: Group = Group::Notion;

/// What a clock may be off before somebody should know: tokens and signatures bear it, times that are told do not.
const SKEW_BORNE: TimeDelta = TimeDelta::seconds(30);

/// Why a table was not asked about.
const REFUSED: &str = "not asked about, because the token does not work";
const UNASKED: &str = "Notion could not be asked";

/// From here on rows are taken for older or newer than they are.
const SKEW_MAX: TimeDelta = TimeDelta::minutes(5);

/// What asking Notion gave.
pub(super) struct Asked {
    pub(super) checks: Vec<Check>,
    /// The sources that could be asked about, or all where Notion was not asked.
    pub(super) sources: Vec<SourceSettings>,
    /// Their schemas in the same order; or why Notion was not asked.
    pub(super) live: Result<Vec<Result<Schema, String>>, String>,
}

/// Asks Notion, unless `offline`.
pub(super) async fn ask(config: &Config, offline: bool, clock: &Clock) -> Asked {
    let accesses = config.usable_sources();
    let why = if offline {
        "Notion was not asked, because of --offline".to_owned()
    } else if accesses.is_empty() {
        "the settings do not say how to ask Notion".to_owned()
    } else {
        match Box::pin(Beside::prepare(config, &accesses, clock)).await {
            Ok(Ok(beside)) => return Box::pin(ask_all(config, &accesses, beside, clock)).await,
            Ok(Err(why)) => why,
            Err(error) => format!("Notion was not asked: {}", told(&error)),
        }
    };
    let checks = ["token", "clock", "table"].map(|name| GROUP.skipped(name, &*why)).into();
    let sources = config.sources().unwrap_or_default().iter().map(source_settings).collect();
    Asked { checks, sources, live: Err(why) }
}

async fn ask_all(config: &Config, accesses: &[SourceAccess], beside: Beside, clock: &Clock) -> Asked {
    let tokens: BTreeSet<&str> = accesses.iter().map(|access| access.api_key.expose_secret()).collect();
    let mut asked = Asked { checks: Vec::new(), sources: Vec::new(), live: Err(String::new()) };
    let (mut tables, mut schemas, mut known) = (Vec::new(), Vec::new(), Vec::<(&str, Result<Bot, &str>)>::new());
    let mut skew = None;
    for (nth, (access, (settings, client))) in accesses.iter().zip(&beside.asked).enumerate() {
        let token = access.api_key.expose_secret();
        if !known.iter().any(|(asked, _)| *asked == token) {
            let me = client.me(Priority::Webhook).await;
            let name = if tokens.len() == 1 { "token".to_owned() } else { format!("token of {}", settings.name) };
            skew = skew.or_else(|| skew_of(&me));
            asked.checks.push(token_check(name, &me, config.api_key_variable(&settings.name), config));
            let why = |error| if matches!(error, NotionError::Refused { .. }) { REFUSED } else { UNASKED };
            known.push((token, me.bot.map_err(why)));
        }
        let bot = known
            .iter()
            .find(|(asked, _)| *asked == token)
            .map_or(Err(UNASKED), |(_, bot)| bot.as_ref().map_err(|why| *why));
        let name = format!("table of {}", settings.name);
        schemas.push(match bot {
            Ok(bot) => {
                let shown = beside.look(nth).await;
                tables.push(table_check(name, settings, bot, &shown));
                shown.map_err(|e| told(&e)).and_then(|shown| shown.schema.map_err(|e| told(&e)))
            }
            Err(why) => {
                tables.push(GROUP.skipped(name, why));
                Err(why.to_owned())
            }
        });
        asked.sources.push(settings.clone());
    }
    asked.checks.push(clock_check(skew));
    asked.checks.extend(tables);
    let is_silent = schemas.iter().all(|schema| schema.as_ref().is_err_and(|why| why == UNASKED));
    asked.live = if is_silent { Err(UNASKED.to_owned()) } else { Ok(schemas) };
    beside.done(config, clock).await;
    asked
}

fn token_check(name: String, me: &Me, variable: &str, config: &Config) -> Check {
    match &me.bot {
        Ok(bot) => {
            let bot_name = bot.name.as_deref().unwrap_or("a bot without a name");
            let place = bot.workspace.as_ref().map(|name| format!(" in the workspace «{name}»")).unwrap_or_default();
            GROUP.well(name, format!("Notion takes it: it is that of the connection «{bot_name}»{place}"))
        }
        Err(error @ NotionError::Refused { .. }) => GROUP.failed(
            name,
            told(error),
            format!("copy the token of the connection again from its settings in Notion, and set {variable}"),
        ),
        Err(error @ NotionError::RateLimited { .. }) => {
            GROUP.warning(name, told(error), "wait for that long; does another program use the same token?")
        }
        Err(error) => GROUP.failed(
            name,
            told(error),
            format!("can this machine reach {}? Is a proxy between them?", config.api.base_url),
        ),
    }
}

/// By how much this machine's clock is ahead, as far as whole seconds tell it.
fn skew_of(me: &Me) -> Option<TimeDelta> {
    // The time was told between the two, and without its fraction.
    let date = me.date?;
    let (earliest, latest) = (me.asked_at - date - TimeDelta::seconds(1), me.answered_at - date);
    Some(if earliest > TimeDelta::zero() { earliest } else { latest.min(TimeDelta::zero()) })
}

fn clock_check(skew: Option<TimeDelta>) -> Check {
    let Some(skew) = skew else {
        return GROUP.skipped("clock", "no answer of Notion told its time");
    };
    let seconds = skew.num_seconds().unsigned_abs();
    if skew.abs() <= SKEW_BORNE {
        return GROUP.well("clock", format!("within {} of Notion's", duration::told(seconds.max(1))));
    }
    let way = if skew > TimeDelta::zero() { "ahead of" } else { "behind" };
    let found = format!("this machine's clock is {} {way} Notion's", duration::told(seconds));
    let fix = "set the clock, and keep it right: `timedatectl set-ntp true`";
    if skew.abs() > SKEW_MAX { GROUP.failed("clock", found, fix) } else { GROUP.warning("clock", found, fix) }
}

fn table_check(name: String, settings: &SourceSettings, bot: &Bot, shown: &Result<Shown, NotionError>) -> Check {
    let (variable, id) = match settings.table {
        TableId::Database(id) => ("NOTION_DATABASE_ID", id.to_string()),
        TableId::DataSource(id) => ("NOTION_DATA_SOURCE_ID", id.to_string()),
    };
    match shown {
        Ok(Shown { titles, schema: Ok(schema) }) => {
            let found = format!("shared; the data source «{}» ({}) is read", schema.title, schema.data_source);
            match titles.len() {
                0 | 1 => GROUP.well(name, found),
                more => GROUP.warning(
                    name,
                    format!("{found}, and {} others of the database are not", more - 1),
                    "give each one a [[source]] of its own in the settings, if it holds companies too",
                ),
            }
        }
        Ok(Shown { schema: Err(error), .. }) => {
            let fix = match error {
                AskError::Ambiguous(_) => "name one with NOTION_DATA_SOURCE_ID, or each in a [[source]] of its own",
                AskError::Replaced { .. } => "share the one that is gone again, or name the other one",
                _ => "share the database with the connection, and make sure that it holds a data source",
            };
            GROUP.failed(name, told(error), fix)
        }
        Err(NotionError::NotFound) => {
            let bot = bot.name.as_deref().unwrap_or("the connection");
            GROUP.failed(
                name,
                format!("Notion shows {bot} no table with the id {id}: it is not shared with it, or is another one"),
                format!(
                    "open the database in Notion, click •••, then Connections, and add «{bot}»; if it is there, \
                     {variable} is wrong"
                ),
            )
        }
        Err(error @ NotionError::Refused { .. }) => {
            GROUP.failed(name, told(error), "give the connection the «read content» capability in its settings")
        }
        Err(error) => GROUP.failed(name, told(error), "try again; if it stays, look at status.notion.com"),
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;
    use crate::app::doctor::check::State;

    fn me(ahead_milliseconds: i64, took_milliseconds: i64) -> Me {
        let date: DateTime<Utc> = "2026-11-22T12:00:00Z".parse().unwrap();
        // Half a second is lost in the header, and it was told half-way.
        let asked_at = date + TimeDelta::milliseconds(500 + ahead_milliseconds - took_milliseconds / 2);
        let answered_at = asked_at + TimeDelta::milliseconds(took_milliseconds);
        Me { bot: Ok(Bot::default()), date: Some(date), asked_at, answered_at }
    }

    #[test]
    fn a_clock_is_judged_by_what_is_certain() {
        for (ahead, took, state, told) in [
            (0, 100, State::Well, "within 1 second"),
            (0, 9_000, State::Well, "within 1 second"),
            (20_000, 100, State::Well, "within 19 seconds"),
            (45_000, 100, State::Warning, "44 seconds ahead of Notion's"),
            (-45_000, 100, State::Warning, "44 seconds behind Notion's"),
            // A slow answer makes nobody late.
            (-34_000, 9_000, State::Well, "within"),
            (3_600_000, 100, State::Failed, "59 minutes ahead of"),
            (-86_500_000, 100, State::Failed, "1 day behind"),
        ] {
            let check = clock_check(skew_of(&me(ahead, took)));
            assert_eq!(check.state, state, "{check:?}");
            assert!(check.found.contains(told), "{check:?}");
        }
        let untold = Me { date: None, ..me(0, 0) };
        assert_eq!(clock_check(skew_of(&untold)).state, State::Skipped);
    }
}
