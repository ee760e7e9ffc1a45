//! `reconcile`: sweeps of the whole CRM, now or again and again.

use std::{io::Write, time::Duration};

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::select;
use tokio_util::sync::CancellationToken;

use crate::{
    app::{
        AppError,
        reconcile::{self, By, Reconciled, Standing},
    },
    cli::{
        ExitStatus,
        args::serving::ReconcileArgs,
        database,
        failure::{self, NextStep},
        output::{BAD, GOOD, Output, STRONG, WARNING, counted, plain},
    },
    clock::Clock,
    config::Config,
    lifecycle::Lifecycle,
    lookup::status::Running,
    model::sweep::{AskedBy, DriftClass, DriftKind, SweepOrder, SweepReport, SweepState},
};

/// Sweeps, and tells what came of it; with an interval until a stop is asked for.
pub(super) async fn run(args: &ReconcileArgs, config: &Config) -> anyhow::Result<ExitStatus> {
    let lifecycle = Lifecycle::default();
    // The stop waits for this part, and turns hard where it takes too long.
    let done = CancellationToken::new();
    lifecycle.spawn("reconcile", done.clone().cancelled_owned());
    let sweeps = async {
        let swept = select! {
            swept = again_and_again(args, config, &lifecycle) => Some(swept),
            () = lifecycle.hard.cancelled() => None,
        };
        lifecycle.stop();
        done.cancel();
        swept
    };
    let (swept, _ended) = tokio::join!(sweeps, lifecycle.run_until_stopped(config.serve.grace));
    match swept {
        Some(status) => status,
        None => bail!("stopped at once: what was applied stays, nothing was removed"),
    }
}

async fn again_and_again(args: &ReconcileArgs, config: &Config, lifecycle: &Lifecycle) -> anyhow::Result<ExitStatus> {
    let order = SweepOrder {
        dry_run: args.dry_run,
        ttl_days: args.ttl_days,
        accept_missing: args.accept_missing,
        ..SweepOrder::by(AskedBy::Command)
    }
    .only(args.sources.clone());
    let clock = Clock::system();
    let mut last = ExitStatus::Stale;
    loop {
        let bar = ProgressBar::new_spinner().with_style(ProgressStyle::with_template("{spinner} {msg}")?);
        let mut serving = Some(serving(config, &clock).await);
        let told = |standing: &Standing| {
            if standing.by == By::Serve
                && let Some(told) = serving.take()
            {
                bar.suspend(|| tell_serving(told.as_ref()));
            }
            show(&bar, standing);
        };
        let reconciled = reconcile::run(config, order.clone(), &lifecycle.soft, &clock, told).await;
        bar.finish_and_clear();
        let mut output = Output::stdout();
        match (reconciled, args.interval) {
            (Ok(Reconciled::Ended(report)), _) => {
                tell(&mut output, &report, args.json)?;
                last = status(report.outcome);
            }
            (Ok(Reconciled::Stopped), _) => {
                failure::advise(&NextStep(
                    "a running serve goes on with a sweep that it was asked for: `suppressd sweeps` lists it",
                ));
                return Ok(last);
            }
            // Whoever sweeps again and again outlives what is wrong now, but for what only a person can mend.
            (Err(error), Some(_)) if !matches!(error, AppError::Config(_)) => {
                last = ExitStatus::Failure;
                tracing::error!("cannot sweep: {error:#}", error = anyhow::Error::from(error));
            }
            (Err(error), _) => return Err(error.into()),
        }
        let Some(interval) = args.interval.map(Duration::from_secs) else { return Ok(last) };
        if lifecycle.soft.run_until_cancelled(tokio::time::sleep(interval)).await.is_none() {
            return Ok(last);
        }
    }
}

/// Returns the `serve` that was heard of last, if it still runs.
async fn serving(config: &Config, clock: &Clock) -> Option<Running> {
    let running = database::lookup(config, clock).ok()?.running().await.ok()?;
    running.filter(|running| running.is_alive(clock.now()))
}

/// Says at once who does the work, and what is wrong with them: it may take long until they come to it.
fn tell_serving(running: Option<&Running>) {
    let mut stderr = anstream::stderr();
    let process = running.map(|running| format!(" (process {})", running.pid)).unwrap_or_default();
    let _nobody_reads = writeln!(
        stderr,
        "the running `serve`{process} was asked for the sweep, and this waits for it; after Ctrl-C it goes on without us"
    );
    for (part, problem) in running.into_iter().flat_map(|running| &running.problems) {
        let _nobody_reads = writeln!(stderr, "{WARNING}its problem:{WARNING:#} {part}: {}", plain(problem));
    }
}

const fn status(outcome: SweepState) -> ExitStatus {
    match outcome {
        SweepState::Complete => ExitStatus::Success,
        SweepState::Partial => ExitStatus::Stale,
        SweepState::Asked | SweepState::Running | SweepState::Failed => ExitStatus::Failure,
    }
}

/// Draws how far it is, on a terminal.
fn show(bar: &ProgressBar, standing: &Standing) {
    let progress = &standing.progress;
    let by = match standing.by {
        By::Us => "",
        By::Serve => " (by the running serve)",
        By::Nobody => "another suppressd command works on the database: waiting",
    };
    let pages = match progress.pages_expected {
        Some(expected) => format!("{} of about {} pages", progress.pages, expected),
        None => counted(progress.pages, "page"),
    };
    let left = progress.remaining_seconds.map(|left| format!(", about {} left", span(left))).unwrap_or_default();
    bar.set_message(match standing.by {
        By::Nobody => by.to_owned(),
        By::Us | By::Serve => format!("{}: {pages}, {} requests{left}{by}", plain(&progress.doing), progress.requests),
    });
    bar.tick();
}

fn span(seconds: u64) -> String {
    match seconds {
        0..90 => format!("{seconds} s"),
        _ => format!("{} min", seconds.div_ceil(60)),
    }
}

fn tell<W: Write>(output: &mut Output<W>, report: &SweepReport, json: bool) -> std::io::Result<()> {
    if json {
        return output.json(report);
    }
    let counts = &report.counts;
    let outcome = match report.outcome {
        SweepState::Complete => format!("{GOOD}complete{GOOD:#}"),
        SweepState::Partial => format!("{WARNING}partial{WARNING:#}: nothing was removed and nothing expired"),
        state => format!("{BAD}{}{BAD:#}: nothing was removed and nothing expired", state.name()),
    };
    let rehearsal = if report.dry_run { " (dry run: nothing was written)" } else { "" };
    let mut row = |name: &str, text: String| output.line(format_args!("{STRONG}{name:<22}{STRONG:#} {text}"));
    let number = report.sweep.map(|sweep| format!("sweep {sweep}: ")).unwrap_or_default();
    row("outcome", format!("{number}{outcome}{rehearsal}"))?;
    row("duration", format!("{:.1} s", report.duration_seconds))?;
    row("pages fetched", format!("{} in {}", counts.notion_pages_fetched, counted(counts.notion_requests, "request")))?;
    row(
        "entries processed",
        format!(
            "{}: {} inserted, {} updated, {} unchanged, {} removed, {} that Notion no longer shows",
            counts.entries_processed,
            counts.pages_inserted,
            counts.pages_updated,
            counts.pages_unchanged,
            counts.pages_removed,
            counts.pages_missing
        ),
    )?;
    row(
        "with a canonical key",
        format!(
            "{} ({} strong, {} weak)",
            counts.entries_with_canonical_key, counts.entries_with_strong_key, counts.entries_with_weak_key
        ),
    )?;
    row("without one", counts.entries_without_canonical_key.to_string())?;
    row("entries synced", counts.entries_synced.to_string())?;
    row("expired rows cleaned", counts.entries_expired_cleaned.to_string())?;
    let kinds: Vec<_> = DriftKind::ALL
        .iter()
        .map(|kind| {
            let n = report.drift.by_kind.get(kind).copied().unwrap_or(0);
            counted(n, kind.words())
        })
        .collect();
    row(
        "differences found",
        format!(
            "{} ({}), {} of which no event had told{}",
            report.drift.total(),
            kinds.join(", "),
            report.drift.untold(),
            report
                .sweep
                .filter(|_| report.drift.total() > 0)
                .map(|sweep| format!("; `suppressd sweeps --drift {sweep}` lists them"))
                .unwrap_or_default()
        ),
    )?;
    for (name, text) in meaning(report) {
        row(name, text)?;
    }
    let failed = match counts.notion_errors {
        0 => String::new(),
        failed => format!(" ({} failed; those that could be were sent again)", counted(failed, "request")),
    };
    row("errors", format!("{}{failed}", report.errors_count))?;
    remarks(output, report)
}

/// Says why a sweep had to find its differences, and what that means.
fn meaning(report: &SweepReport) -> Vec<(&'static str, String)> {
    let classes: Vec<_> = DriftClass::ALL
        .iter()
        .filter_map(|class| Some(format!("{} {}", report.drift.class.get(class)?, class.words())))
        .collect();
    let diagnosis = report.diagnosis.as_ref().filter(|_| !classes.is_empty());
    diagnosis.map_or_else(Vec::new, |diagnosis| {
        vec![("of these", classes.join(", ")), ("what that means", plain(&diagnosis.sentence).into_owned())]
    })
}

/// Writes what a dry run would change, what a person should know, and what went wrong.
fn remarks<W: Write>(output: &mut Output<W>, report: &SweepReport) -> std::io::Result<()> {
    for difference in &report.differences {
        let key = difference.key.as_deref().unwrap_or_default();
        output.line(format_args!(
            "would mend a {}: {} of page {}",
            difference.kind.words(),
            plain(key),
            difference.page
        ))?;
    }
    let shown = report.differences.len() as u64;
    if report.dry_run && shown < report.drift.total() {
        output.line(format_args!("and {} more", report.drift.total() - shown))?;
    }
    for note in &report.notes {
        output.line(format_args!("{WARNING}note{WARNING:#}  {}", plain(note)))?;
    }
    for error in &report.errors {
        output.line(format_args!("{BAD}error{BAD:#} {}", plain(error)))?;
    }
    Ok(())
}
