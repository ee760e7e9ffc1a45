//! `schema`: how the CRM's properties fit, and adding those that are missing.

use std::io::{self, Write};

use crate::{
    app::schema::{self, Outcome, Repaired},
    cli::{
        ExitStatus,
        args::tending::{RepairArgs, SchemaCommand, ValidateArgs},
        output::{BAD, GOOD, Output, STRONG, Table, WARNING, plain},
    },
    clock::Clock,
    config::Config,
    lookup::schema::{Found, RoleFit, SourceFit},
};

/// Runs one of its commands.
pub(super) async fn run(command: &SchemaCommand, config: &Config) -> anyhow::Result<ExitStatus> {
    match command {
        SchemaCommand::Validate(args) => validate(args, config).await,
        SchemaCommand::Repair(args) => repair(args, config).await,
    }
}

async fn validate(args: &ValidateArgs, config: &Config) -> anyhow::Result<ExitStatus> {
    let report = Box::pin(schema::validate(config, &Clock::system())).await?;
    let mut output = Output::stdout();
    if args.json {
        output.json(&report)?;
    } else {
        if let Some(why) = &report.not_live {
            let is_kept = report.sources.iter().any(|fit| fit.read_from.is_some());
            let what = if is_kept { "as it was read last" } else { "not read" };
            output.line(format_args!("{WARNING}{what}{WARNING:#}: {}", plain(why)))?;
        }
        for (nth, fit) in report.sources.iter().enumerate() {
            if nth > 0 {
                output.line("")?;
            }
            tell_fit(&mut output, fit)?;
        }
    }
    let has_hints = report.not_live.is_some() || report.sources.iter().any(|fit| !fit.hints.is_empty());
    Ok(match (report.valid, has_hints) {
        (true, false) => ExitStatus::Success,
        (true, true) => ExitStatus::ATTENTION,
        (false, _) => ExitStatus::Failure,
    })
}

fn tell_fit<W: Write>(output: &mut Output<W>, fit: &SourceFit) -> io::Result<()> {
    let title = fit.title.as_ref().map(|title| format!(" «{}»", plain(title))).unwrap_or_default();
    let state = match (fit.problems.is_empty(), fit.hints.is_empty()) {
        (true, true) => format!("{GOOD}valid{GOOD:#}"),
        (true, false) => format!("{WARNING}valid, with hints{WARNING:#}"),
        (false, _) if fit.read_from.is_none() => format!("{BAD}not known{BAD:#}"),
        (false, _) => format!("{BAD}not valid{BAD:#}"),
    };
    output.line(format_args!("{STRONG}{}{STRONG:#}{title}: {state}", plain(&fit.name)))?;
    if !fit.roles.is_empty() {
        let mut table = Table::new(["ROLE", "PROPERTY", "TYPE", "FOUND"]);
        for role in &fit.roles {
            let property = role.property.as_ref();
            table.row([
                role.role.name(),
                property.map(|property| property.name.as_str()).or(role.wanted.as_deref()).unwrap_or_default(),
                property.map_or("", |property| &property.kind),
                found(role),
            ]);
        }
        output.table(&table)?;
    }
    if !fit.statuses.is_empty() {
        let named = |hard: bool| {
            let names = fit.statuses.iter().filter(|status| status.hard == hard).map(|status| plain(&status.name));
            names.collect::<Vec<_>>().join(", ")
        };
        output.line(format_args!("hard statuses: {}; the others: {}", named(true), named(false)))?;
    }
    for problem in &fit.problems {
        output.line(format_args!("{BAD}problem:{BAD:#} {}", plain(problem)))?;
    }
    for hint in &fit.hints {
        output.line(format_args!("{WARNING}hint:{WARNING:#} {}", plain(hint)))?;
    }
    Ok(())
}

const fn found(role: &RoleFit) -> &'static str {
    match (role.found, role.fits) {
        (_, Some(false)) => "gives no text",
        (Found::ByName, _) => "by its name",
        (Found::ById, _) => "by its id",
        (Found::AsTitle, _) => "is the title",
        (Found::Missing, _) => "missing",
        (Found::Off, _) => "not mapped",
    }
}

async fn repair(args: &RepairArgs, config: &Config) -> anyhow::Result<ExitStatus> {
    let repaired = Box::pin(schema::repair(config, &args.order(), &Clock::system())).await?;
    let mut output = Output::stdout();
    for (nth, one) in repaired.iter().enumerate() {
        if args.json {
            output.json(one)?;
        } else {
            if nth > 0 {
                output.line("")?;
            }
            tell(&mut output, one)?;
        }
    }
    let has_failed = repaired.iter().any(|one| matches!(one.outcome, Outcome::Refused | Outcome::Failed));
    Ok(if has_failed { ExitStatus::Failure } else { ExitStatus::Success })
}

fn tell<W: Write>(output: &mut Output<W>, one: &Repaired) -> io::Result<()> {
    let (style, word) = match one.outcome {
        Outcome::Complete => (GOOD, "nothing is to be added"),
        Outcome::WouldAdd => (WARNING, "would send"),
        Outcome::Added => (GOOD, "added"),
        Outcome::Refused => (BAD, "nothing was sent"),
        Outcome::Failed => (BAD, "failed"),
    };
    let why = one.why.as_ref().map(|why| format!(": {}", plain(why))).unwrap_or_default();
    output.line(format_args!("{STRONG}{}{STRONG:#}: {style}{word}{style:#}{why}", plain(&one.source)))?;
    if let (Outcome::WouldAdd, Some(request)) = (one.outcome, &one.request) {
        output.line(format_args!("{} {}", request.method, request.url))?;
        output.json(&request.body)?;
    }
    for added in &one.added {
        output.line(format_args!("  {} ({}), for {}", plain(&added.name), added.kind, added.role.name()))?;
    }
    for left in &one.left {
        output.line(format_args!("  not added: {}, for {}: {}", plain(&left.name), left.role.name(), left.why))?;
    }
    if let (Outcome::Added, Some(fit)) = (one.outcome, &one.fit) {
        output.line("")?;
        tell_fit(output, fit)?;
    }
    Ok(())
}
