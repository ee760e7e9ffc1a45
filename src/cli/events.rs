//! `events`: what was received, and taking up again what failed.

use anyhow::bail;

use crate::{
    app,
    cli::{
        ExitStatus,
        args::receiving::EventsCommand,
        database,
        output::{Output, Table, counted},
        times::relative,
    },
    clock::Clock,
    config::Config,
    lookup::listing::ListedEvent,
    store::{EventFilter, EventState, Store as _, sqlite::SqliteStore},
};

/// Runs one of the commands about events.
pub(super) async fn run(command: &EventsCommand, config: &Config) -> anyhow::Result<ExitStatus> {
    match command {
        EventsCommand::List { state, limit, json } => list(config, *state, *limit, *json).await,
        EventsCommand::Retry { event_id, all: _ } => retry(config, event_id.clone()).await,
    }
}

async fn list(config: &Config, state: Option<EventState>, limit: u32, json: bool) -> anyhow::Result<ExitStatus> {
    let clock = Clock::system();
    let filter = state.map_or(EventFilter::All, EventFilter::InState);
    let events = database::lookup(config, &clock)?.events(filter, limit).await?;
    let mut output = Output::stdout();
    if json {
        events.iter().try_for_each(|event| output.json(&ListedEvent::from(event)))?;
        return Ok(ExitStatus::Success);
    }
    if events.is_empty() {
        output.line(
            state.map_or_else(
                || "no event was received yet".to_owned(),
                |state| format!("no event is {}", state.name()),
            ),
        )?;
        return Ok(ExitStatus::Success);
    }
    let now = clock.now();
    let mut table = Table::new(["EVENT", "RECEIVED", "KIND", "SUBJECT", "STATE", "TRIES", "REASON"]);
    for event in &events {
        table.row([
            event.event_id.clone(),
            relative(event.received_at, now),
            event.kind.clone(),
            event.subject.map(|subject| subject.to_string()).unwrap_or_default(),
            event.state.name().to_owned(),
            event.attempts.to_string(),
            event.reason.clone().unwrap_or_default(),
        ]);
    }
    output.table(&table)?;
    Ok(ExitStatus::Success)
}

async fn retry(config: &Config, event_id: Option<String>) -> anyhow::Result<ExitStatus> {
    database::is_there(&config.db_path)?;
    // To open it for writing would make its tables, whosever file it is.
    drop(SqliteStore::open_for_reading(&config.db_path)?);
    let store = app::store(config, &Clock::system())?;
    let wanted = event_id.clone();
    let count = store.write(move |rows| rows.unpark(wanted.as_deref())).await?;
    if let (0, Some(event_id)) = (count, event_id) {
        bail!("no parked event has the id {event_id}: `suppressd events list --state parked` lists them");
    }
    let done = match count {
        0 => "no event is parked".to_owned(),
        _ => format!(
            "{} to be looked at again: a running `suppressd serve` does so within seconds",
            counted(count, "event")
        ),
    };
    Output::stdout().line(done)?;
    Ok(ExitStatus::Success)
}
