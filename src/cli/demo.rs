//! `demo`: events coming in and rows changing, live, against a simulated Notion.

use std::time::Duration;

use anyhow::bail;
use chrono::{DateTime, Utc};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::{
    select,
    signal::unix::{Signal, SignalKind, signal},
    sync::broadcast::error::RecvError,
    time::Instant,
};

use crate::{
    app::demo::{Counts, Demo, Summary},
    cli::{
        ExitStatus,
        args::serving::DemoArgs,
        output::{BAD, GOOD, Output, STRONG, WARNING, counted, plain},
    },
    clock::Clock,
    lifecycle::Ended,
    model::entry::Change,
    worker::Report,
};

/// The time between two changes that somebody makes.
const BETWEEN_CHANGES: Duration = Duration::from_millis(250);

/// How often the line at the foot of a terminal is drawn.
const FOOT_ROUND: Duration = Duration::from_millis(200);

/// Shows the program at work, then what came of it: exit status 2 where the cache does not equal the workspace.
pub(super) async fn run(args: &DemoArgs) -> anyhow::Result<ExitStatus> {
    // From here on a signal ends it in order, with its folder.
    let mut stops = Stops { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? };
    let clock = Clock::system();
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let mut demo = Demo::start(seed, args.pages, args.admin_token.as_deref(), clock.clone()).await?;
    let mut view = View::new(args, clock)?;
    view.open(&demo, args, seed)?;

    let mut reports = demo.reports();
    let end = Instant::now() + args.duration;
    let mut next_change = tokio::time::interval(BETWEEN_CHANGES);
    let mut foot = tokio::time::interval(FOOT_ROUND);
    loop {
        select! {
            () = tokio::time::sleep_until(end) => break,
            () = stops.next() => break,
            () = demo.lifecycle().soft.cancelled() => break,
            _ = next_change.tick() => {
                let happening = demo.step();
                view.line(&format!("{STRONG}CRM{STRONG:#}  {}", plain(&happening.what)))?;
            }
            report = reports.recv() => match report {
                Ok(report) => view.report(&report)?,
                Err(RecvError::Lagged(missed)) => view.line(&format!("… and {missed} more looks"))?,
                Err(RecvError::Closed) => break,
            },
            _ = foot.tick() => view.foot(&demo, end),
        }
    }
    view.close();
    let (summary, ended) = select! {
        finished = demo.finish() => finished?,
        // Dropped with its workspace and its folder.
        () = stops.next() => bail!("stopped at once: the cache was not compared with the workspace"),
    };
    let mut output = Output::stdout();
    if args.json {
        output.json(&summary)?;
    } else {
        tell(&mut output, &summary)?;
    }
    let is_right = summary.settled && summary.differences.is_empty() && !matches!(ended, Ended::Crashed(_));
    Ok(if is_right { ExitStatus::Success } else { ExitStatus::Failure })
}

/// The signals that end it: the first early, the second at once.
struct Stops {
    interrupt: Signal,
    terminate: Signal,
}

impl Stops {
    async fn next(&mut self) {
        select! {
            _ = self.interrupt.recv() => (),
            _ = self.terminate.recv() => (),
        }
    }
}

/// The lines that scroll, and on a terminal a line at the foot that does not.
struct View {
    bar: ProgressBar,
    clock: Clock,
    is_silent: bool,
    events: u64,
}

impl View {
    fn new(args: &DemoArgs, clock: Clock) -> anyhow::Result<Self> {
        let target = if args.json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let style = ProgressStyle::with_template("{spinner} {msg}")?;
        let bar = ProgressBar::with_draw_target(None, target).with_style(style);
        Ok(Self { bar, clock, is_silent: args.json, events: 0 })
    }

    fn open(&self, demo: &Demo, args: &DemoArgs, seed: u64) -> std::io::Result<()> {
        let serving = demo.serving();
        self.line(&format!(
            "A simulated Notion workspace holds {} companies and changes four times a second; it delivers its events late, \
             doubled, out of order or not at all, and fails now and then.",
            args.pages
        ))?;
        self.line(&format!(
            "suppressd receives them on http://{}/webhooks/notion and answers on http://{} (seed {seed}). Ctrl-C ends it.",
            serving.public, serving.private
        ))?;
        let swept = &demo.first_sweep().counts;
        self.line(&format!(
            "What was there before was swept: {} pages in {} requests, {} of them with a key.",
            swept.entries_processed, swept.notion_requests, swept.entries_with_canonical_key
        ))?;
        self.line(&format!(
            "Meanwhile, in another terminal: suppressd --db-path {} status (or check, sweeps, reconcile, events list), with \
             suppressd installed, or `cargo run --` instead of it. The database goes with the demonstration.",
            demo.database().display()
        ))?;
        self.line("")
    }

    fn report(&mut self, report: &Report) -> std::io::Result<()> {
        let looked = match &report.looked {
            Ok(looked) => looked,
            Err(why) => return self.line(&format!("{WARNING}wait{WARNING:#} {}: {}", report.subject, plain(why))),
        };
        self.events += 1;
        let late = looked.event.as_ref().map(|event| self.clock.now() - event.occurred_at);
        let late = late.map(|late| format!("{:>5} ms", late.num_milliseconds())).unwrap_or_default();
        let told = looked.event.as_ref().map_or("", |event| event.kind.as_str());
        looked.outcome.changes.iter().try_for_each(|change| self.line(&row(change, told, &late)))
    }

    fn foot(&self, demo: &Demo, end: Instant) {
        let counts = Counts::of(&demo.serving().metrics);
        self.bar.set_message(format!(
            "{} s left · {} events in, {} doubled · {} pages fetched · {} rows changed",
            end.saturating_duration_since(Instant::now()).as_secs(),
            counts.deliveries_accepted,
            counts.deliveries_duplicate,
            counts.pages_fetched,
            counts.snapshots_changed + counts.snapshots_removed,
        ));
        self.bar.tick();
    }

    fn line(&self, text: &str) -> std::io::Result<()> {
        if self.is_silent {
            return Ok(());
        }
        let now: DateTime<Utc> = self.clock.now();
        let stamp = if text.is_empty() { String::new() } else { now.format("%H:%M:%S%.3f  ").to_string() };
        self.bar.suspend(|| Output::stdout().line(format_args!("{stamp}{text}")))
    }

    fn close(&self) {
        self.bar.finish_and_clear();
    }
}

/// One changed row: what it says now, which event told it, and how long after the change in the CRM.
fn row(change: &Change, told: &str, late: &str) -> String {
    let (sign, face) = match (&change.from, &change.to) {
        (None, Some(face)) => (format!("{GOOD}+{GOOD:#}"), Some(face)),
        (_, Some(face)) => (format!("{WARNING}~{WARNING:#}"), Some(face)),
        (face, None) => (format!("{BAD}-{BAD:#}"), face.as_ref()),
    };
    let face = face.map(|face| format!("{} ({})", face.company_name.as_deref().unwrap_or("nameless"), face.status));
    format!(
        "{sign} row {:<44} {:<44} {late} after {told}",
        plain(change.key.as_str()),
        plain(&face.unwrap_or_default())
    )
}

fn tell<W: std::io::Write>(output: &mut Output<W>, summary: &Summary) -> std::io::Result<()> {
    let counts = &summary.counts;
    output.line("")?;
    output.line(format_args!(
        "{STRONG}{}{STRONG:#} in the CRM; {} accepted, {} more doubled; {} to Notion, never more than {} for one page at once",
        counted(summary.changes_made, "change"),
        counted(counts.deliveries_accepted, "event"),
        counts.deliveries_duplicate,
        counted(summary.notion_requests, "request"),
        summary.fetches_of_a_page_at_once
    ))?;
    output.line(format_args!(
        "a last sweep found {STRONG}{}{STRONG:#} that no event had told, and mended all",
        counted(summary.differences_swept, "difference")
    ))?;
    for difference in summary.differences.iter().take(20) {
        output.line(format_args!("{BAD}wrong{BAD:#} {difference}"))?;
    }
    match (summary.settled, summary.differences.len()) {
        (true, 0) => output.line(format_args!(
            "{GOOD}the cache equals the workspace{GOOD:#}: {} rows for {} companies",
            summary.rows, summary.companies
        )),
        (false, _) => output.line(format_args!("{BAD}not everything was settled in time{BAD:#}")),
        (true, n) => output.line(format_args!("{BAD}the cache differs from the workspace in {n} rows{BAD:#}")),
    }
}
