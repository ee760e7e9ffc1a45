//! `sweeps`: past sweeps, what came of them, and the differences that they found.

use anstyle::Style;
use anyhow::anyhow;
use chrono::{DateTime, Utc};

use crate::{
    cli::{
        ExitStatus,
        args::asking::SweepsArgs,
        database,
        failure::NextStep,
        output::{BAD, GOOD, Output, Table, WARNING, counted, plain},
        times::{instant, relative, span},
    },
    clock::Clock,
    config::Config,
    lookup::listing::{ListedDrift, ListedSweep},
    model::sweep::{DriftCounts, SweepId, SweepProgress, SweepState},
};

const SWEEPS_DEFAULT: u32 = 20;
const DIFFERENCES_DEFAULT: u32 = 1000;

/// Lists sweeps, or the differences that one of them found.
pub(super) async fn run(args: &SweepsArgs, config: &Config) -> anyhow::Result<ExitStatus> {
    match args.drift.or(args.sweep) {
        None => list(config, args.limit.unwrap_or(SWEEPS_DEFAULT), args.json).await,
        Some(sweep) => drift(config, sweep, args.limit.unwrap_or(DIFFERENCES_DEFAULT), args.json).await,
    }
}

async fn list(config: &Config, limit: u32, json: bool) -> anyhow::Result<ExitStatus> {
    let clock = Clock::system();
    let lookup = database::lookup(config, &clock)?;
    let sweeps = lookup.sweeps(limit).await?;
    let mut output = Output::stdout();
    if json {
        sweeps.iter().try_for_each(|sweep| output.json(sweep))?;
        return Ok(ExitStatus::Success);
    }
    if sweeps.is_empty() {
        output.line("there was no sweep yet: `suppressd reconcile` runs one, and so does `suppressd serve`")?;
        return Ok(ExitStatus::Success);
    }
    let now = clock.now();
    let serves = lookup.running().await?.is_some_and(|running| running.is_alive(now));
    let mut table = Table::new(["SWEEP", "WHEN", "OUTCOME", "BY", "PAGES", "REQUESTS", "TOOK", "DRIFT", "NOTE"]);
    for sweep in &sweeps {
        let counts = sweep.report.as_ref().map(|report| report.counts);
        let figure = |figure: Option<u64>| figure.map(|figure| figure.to_string()).unwrap_or_default();
        let (outcome, style) = outcome(sweep);
        let drift = sweep.report.as_ref().map(|report| match (report.drift.total(), report.drift.untold()) {
            (total, 0) => total.to_string(),
            (total, untold) => format!("{total} ({untold} untold)"),
        });
        table.row_styled([
            (sweep.sweep.to_string(), Style::new()),
            (instant(sweep.started_at.unwrap_or(sweep.asked_at), now), Style::new()),
            (outcome, style),
            (sweep.asked_by.to_owned(), Style::new()),
            (figure(counts.map(|counts| counts.entries_processed)), Style::new()),
            (figure(counts.map(|counts| counts.notion_requests)), Style::new()),
            (sweep.report.as_ref().map(|report| took(report.duration_seconds)).unwrap_or_default(), Style::new()),
            (drift.unwrap_or_default(), Style::new()),
            (note(sweep, serves), Style::new()),
        ]);
    }
    output.table(&table)?;
    Ok(ExitStatus::Success)
}

async fn drift(config: &Config, sweep: i64, limit: u32, json: bool) -> anyhow::Result<ExitStatus> {
    let clock = Clock::system();
    let found = database::lookup(config, &clock)?.drift(SweepId(sweep), limit).await?;
    let found = found.ok_or_else(|| {
        anyhow!("there is no sweep {sweep}").context(NextStep("`suppressd sweeps` lists them, newest first"))
    })?;
    let mut output = Output::stdout();
    if json {
        found.differences.iter().try_for_each(|difference| output.json(difference))?;
    } else {
        tell(&mut output, &found, clock.now())?;
    }
    Ok(ExitStatus::Success)
}

fn tell<W: std::io::Write>(output: &mut Output<W>, found: &ListedDrift, now: DateTime<Utc>) -> std::io::Result<()> {
    if found.differences.is_empty() {
        return output.line(format_args!("sweep {} has found no difference", found.sweep.sweep));
    }
    let mut table = Table::new(["PAGE", "KIND", "KEY", "TOLD", "CLASS", "FOUND"]);
    for difference in &found.differences {
        table.row([
            difference.page.to_string(),
            difference.kind.name().to_owned(),
            difference.key.clone().unwrap_or_default(),
            difference.told.name().to_owned(),
            difference.class.words().to_owned(),
            relative(difference.found_at, now),
        ]);
    }
    output.table(&table)?;
    let shown = found.differences.len() as u64;
    if shown < found.differences_total {
        output
            .line(format_args!("{shown} of {}: --limit shows more", counted(found.differences_total, "difference")))?;
    }
    if let Some(diagnosis) = found.sweep.report.as_ref().and_then(|report| report.diagnosis.as_ref()) {
        output.line(plain(&diagnosis.sentence))?;
    }
    Ok(())
}

/// Returns how a sweep stands, in a word or two, and how that is to look.
pub(super) fn outcome(sweep: &ListedSweep) -> (String, Style) {
    let style = match sweep.outcome {
        SweepState::Asked | SweepState::Running => Style::new(),
        SweepState::Complete => GOOD,
        SweepState::Partial => WARNING,
        SweepState::Failed => BAD,
    };
    let dry_run = if sweep.dry_run { " (dry run)" } else { "" };
    let only = if sweep.sources.is_empty() { String::new() } else { format!(" for {}", sweep.sources.join(", ")) };
    (format!("{}{only}{dry_run}", sweep.outcome.name()), style)
}

/// Returns what else there is to say: how far a sweep is, or why it did not come to its end. `serves` tells whether a
/// `serve` is there, which takes up what is asked for.
pub(super) fn note(sweep: &ListedSweep, serves: bool) -> String {
    match (sweep.outcome, &sweep.progress, &sweep.report) {
        (SweepState::Asked, ..) if serves => "waits for `serve` to take it up".to_owned(),
        (SweepState::Asked, ..) => "waits for a `suppressd serve`, and none runs".to_owned(),
        (SweepState::Running, progress, _) => {
            let far = progress.as_ref().map_or_else(|| "it has just begun".to_owned(), far);
            if serves { far } else { format!("{far}; no `serve` runs: if no `reconcile` does either, it died") }
        }
        _ if sweep.died => "its process died".to_owned(),
        (.., Some(report)) => match (report.errors.first(), report.errors_count) {
            (None, _) => String::new(),
            (Some(error), 0..=1) => error.clone(),
            (Some(error), count) => format!("{error}; {} in all", counted(count, "error")),
        },
        (.., None) => String::new(),
    }
}

/// Says how far a running sweep is, and when it will be done, where that can be said.
fn far(progress: &SweepProgress) -> String {
    let SweepProgress { doing, pages, pages_expected, requests, remaining_seconds } = progress;
    let expected = pages_expected.map(|expected| format!(" of about {expected}")).unwrap_or_default();
    let done = remaining_seconds
        .map_or_else(|| "not known yet for how long".to_owned(), |seconds| format!("about {} to go", span(seconds)));
    format!("{doing}: {pages}{expected} pages, {}, {done}", counted(*requests, "request"))
}

/// Says in one sentence what differences a sweep found.
pub(super) fn drift_told(drift: &DriftCounts) -> String {
    match (drift.total(), drift.untold()) {
        (0, _) => "no difference found".to_owned(),
        (1, 0) => "1 difference found, which an event had told".to_owned(),
        (1, _) => "1 difference found, which no event had told".to_owned(),
        (total, 0) => format!("{total} differences found, all of which events had told"),
        (total, untold) => format!("{total} differences found, {untold} of which no event had told"),
    }
}

fn took(seconds: f64) -> String {
    if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{:.0} min {:02.0} s", (seconds / 60.0).floor(), seconds % 60.0)
    }
}
