//! `doctor`: one line for each thing that must be right, with the fix.

use std::io::{self, Write};

use anstyle::Style;

use crate::{
    app::doctor::{self, Check, Group, Read, Report, State},
    cli::{
        ExitStatus,
        args::tending::DoctorArgs,
        logging,
        output::{BAD, GOOD, Output, STRONG, WARNING, counted, plain},
    },
    clock::Clock,
    config::{self, Config, Flags},
};

/// Looks at everything. Bad settings are told among the rest.
pub(super) async fn run(args: &DoctorArgs, flags: &Flags) -> anyhow::Result<ExitStatus> {
    let (config, problems) = Config::read_as_far_as_possible(flags, &config::environment);
    if let Some(config) = &config {
        drop(logging::start(&config.log)?);
    }
    let strangers = config::strangers(config::variable_names(), config.as_ref());
    let report =
        Box::pin(doctor::examine(&Read { config, problems, strangers }, &args.order(), &Clock::system())).await;
    let mut output = Output::stdout();
    if args.json {
        output.json(&report)?;
    } else {
        tell(&mut output, &report)?;
    }
    Ok(match report.state {
        State::Well | State::Skipped => ExitStatus::Success,
        State::Warning => ExitStatus::ATTENTION,
        State::Failed => ExitStatus::Failure,
    })
}

fn tell<W: Write>(output: &mut Output<W>, report: &Report) -> io::Result<()> {
    for group in Group::ALL {
        let mut checks = report.checks.iter().filter(|check| check.group == group).peekable();
        if checks.peek().is_none() {
            continue;
        }
        output.line(format_args!("{STRONG}{}{STRONG:#}", group.name()))?;
        checks.try_for_each(|check| output.line(line(check)))?;
    }
    output.line(format_args!("\n{}", summary(report)))
}

fn line(check: &Check) -> String {
    let (mark, style) = match check.state {
        State::Well => ('✓', GOOD),
        State::Skipped => ('-', Style::new()),
        State::Warning => ('!', WARNING),
        State::Failed => ('✗', BAD),
    };
    let word = check.state.name();
    let (name, found) = (plain(&check.name), plain(&check.found));
    let fix = check.fix.as_ref().map(|fix| format!(" → {}", plain(fix))).unwrap_or_default();
    format!("  {style}{mark} {word:<7}{style:#} {name}: {found}{fix}")
}

fn summary(report: &Report) -> String {
    let number = |count: usize, what| counted(count as u64, what);
    let parts = [
        (report.failures, number(report.failures, "failure"), BAD),
        (report.warnings, number(report.warnings, "warning"), WARNING),
    ];
    let told: Vec<String> = parts
        .into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(_, told, style)| format!("{style}{told}{style:#}"))
        .collect();
    let well = if told.is_empty() { format!("{GOOD}all is well{GOOD:#}") } else { told.join(", ") };
    format!("{well}; {} ok, {} skipped", report.well, report.skipped)
}
