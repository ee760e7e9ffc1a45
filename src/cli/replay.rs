//! `replay`: stored events once more.

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::select;
use tokio_util::sync::CancellationToken;

use crate::{
    app::replay::{self, Order, Progress},
    cli::{
        ExitStatus,
        args::receiving::ReplayArgs,
        database,
        output::{BAD, GOOD, Output, WARNING, counted},
    },
    clock::Clock,
    config::Config,
    intake::replay::Replayed,
    lifecycle::Lifecycle,
};

/// Replays, and tells what became of it: exit status 3 where something still waits or is parked.
pub(super) async fn run(args: &ReplayArgs, config: &Config) -> anyhow::Result<ExitStatus> {
    if args.from_inbox {
        database::is_there(&config.db_path)?;
    }
    let order = Order { paths: args.paths.clone(), from_inbox: args.from_inbox, pages: args.pages.clone() };
    let lifecycle = Lifecycle::default();
    // Drawn on stderr, and only where that is a terminal.
    let bar = ProgressBar::new_spinner().with_style(ProgressStyle::with_template("{spinner} {msg}")?);
    let watched = bar.clone();
    let told = move |progress: Progress| {
        watched.set_message(format!("{} to be looked at", counted(progress.waiting, "event")));
        watched.tick();
    };
    let clock = Clock::system();
    // The stop waits for this part, and turns hard where it takes too long.
    let done = CancellationToken::new();
    lifecycle.spawn("replay", done.clone().cancelled_owned());
    let replayed = async {
        let replayed = select! {
            replayed = replay::run(config, &order, &lifecycle, &clock, told) => Some(replayed),
            () = lifecycle.hard.cancelled() => None,
        };
        lifecycle.stop();
        done.cancel();
        replayed
    };
    let (replayed, _ended) = tokio::join!(replayed, lifecycle.run_until_stopped(config.serve.grace));
    bar.finish_and_clear();
    let Some(replayed) = replayed else { bail!("stopped at once: what was taken in waits, and nothing of it is lost") };
    let progress = replayed?;
    let mut output = Output::stdout();
    if args.json {
        output.json(&progress)?;
    } else {
        tell(&mut output, &progress)?;
    }
    let is_done = progress.waiting == 0 && progress.parked == 0 && !progress.broken_off;
    Ok(if is_done { ExitStatus::Success } else { ExitStatus::Stale })
}

fn tell<W: std::io::Write>(output: &mut Output<W>, progress: &Progress) -> std::io::Result<()> {
    output.line(given(&progress.replayed))?;
    if progress.broken_off {
        output.line(format_args!("{WARNING}stopped before the last of them{WARNING:#}: replay them all again"))?;
    }
    if progress.waiting > 0 {
        let waiting = counted(progress.waiting, "event");
        output.line(format_args!(
            "{WARNING}{waiting} still waiting{WARNING:#}: `suppressd serve` or another replay looks at their pages"
        ))?;
    }
    if progress.parked > 0 {
        let parked = counted(progress.parked, "event");
        output.line(format_args!("{BAD}{parked} parked{BAD:#}: `suppressd events list --state parked` says why"))?;
    }
    if progress.waiting == 0 && progress.parked == 0 {
        output.line(format_args!("{GOOD}everything is settled{GOOD:#}"))?;
    }
    Ok(())
}

fn given(done: &Replayed) -> String {
    let Replayed { accepted, reopened, ignored, unreadable, unchanged } = *done;
    let all = accepted + reopened + ignored + unreadable + unchanged;
    let parts = [
        (accepted, "new"),
        (reopened, "known and looked at again"),
        (ignored, "of no concern"),
        (unreadable, "unreadable"),
        (unchanged, "kept before and of no concern"),
    ];
    let parts: Vec<_> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    match all {
        0 => "there was nothing to replay".to_owned(),
        _ => format!("replayed {}: {}", counted(all, "event"), parts.join(", ")),
    }
}
