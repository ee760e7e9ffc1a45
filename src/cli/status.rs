//! `status`: how it stands, on one screen.

use chrono::{DateTime, Utc};

use crate::{
    cli::{
        ExitStatus,
        args::asking::StatusArgs,
        database,
        output::{BAD, GOOD, Output, STRONG, WARNING, counted, plain},
        sweeps::{drift_told, note, outcome},
        times::{instant, relative},
    },
    clock::Clock,
    config::Config,
    lookup::{
        reloaded::{ReloadOutcome, Reloaded},
        status::{FilterState, Relevance, Running, Source, Status},
    },
    model::sweep::SweepState,
    notion::budget::BudgetState,
};

/// Shows the status.
pub(super) async fn run(args: &StatusArgs, config: &Config) -> anyhow::Result<ExitStatus> {
    let status = database::lookup(config, &Clock::system())?.status().await?;
    let mut output = Output::stdout();
    if args.json {
        output.json(&status)?;
    } else {
        let mut screen = Screen { output: &mut output, now: status.at };
        screen.row("database", &config.db_path.display().to_string())?;
        screen.tell(&status)?;
    }
    Ok(ExitStatus::Success)
}

struct Screen<'a, W> {
    output: &'a mut Output<W>,
    now: DateTime<Utc>,
}

impl<W: std::io::Write> Screen<'_, W> {
    fn tell(&mut self, status: &Status) -> std::io::Result<()> {
        self.running(status.running.as_ref())?;
        if let Some(reloaded) = &status.settings {
            self.row("settings", &settings(reloaded, self.now))?;
        }
        let events = &status.events;
        self.row("last event", &self.instant(events.last_received_at, "none yet"))?;
        let lag = match events.lag_seconds {
            0 => format!("{GOOD}none{GOOD:#}"),
            seconds => format!("{WARNING}the oldest waiting event is {seconds} s old{WARNING:#}"),
        };
        self.row("lag", &lag)?;
        let count = |state: &str| events.by_state.get(state).copied().unwrap_or(0);
        self.row(
            "waiting",
            &match count("waiting") {
                0 => "0".to_owned(),
                waiting => format!("{} about {}", counted(waiting, "event"), counted(events.subjects_waiting, "page")),
            },
        )?;
        let parked = match count("parked") {
            0 => "0".to_owned(),
            parked => format!("{BAD}{parked}{BAD:#} (`suppressd events list --state parked`)"),
        };
        self.row("parked", &parked)?;
        self.row(
            "events",
            &format!(
                "{} settled, {} ignored, {} skipped, {} unreadable",
                count("settled"),
                count("ignored"),
                count("skipped"),
                count("unreadable")
            ),
        )?;
        self.row("filter", &filter(&status.relevance))?;
        let cache = &status.cache;
        self.row(
            "rows",
            &format!(
                "{} ({} expired, {} by other programs), from {} pages",
                cache.entries, cache.entries_expired, cache.entries_of_others, cache.pages
            ),
        )?;
        self.row(
            "pages",
            &format!(
                "{} without a key, {} that Notion no longer shows, {} keys claimed more than once",
                cache.pages_without_key, cache.pages_missing, cache.keys_contested
            ),
        )?;
        self.sweeps(status)?;
        if let Some(backup) = &status.last_backup {
            let path = backup.path.display().to_string();
            self.row("backup", &format!("{}: {}", instant(backup.at, self.now), plain(&path)))?;
        }
        status.sources.iter().try_for_each(|source| self.source(source))
    }

    fn source(&mut self, source: &Source) -> std::io::Result<()> {
        let title = source.title.as_ref().map(|title| format!("«{}»", plain(title)));
        let id = source.id.as_ref().or(source.table.as_ref()).cloned();
        let named = [source.name.clone(), title, id].into_iter().flatten().collect::<Vec<_>>().join(", ");
        let proven = match (source.watermark, source.retired_at, source.resolved_at) {
            (_, Some(at), _) => {
                format!("{WARNING}not in the settings{WARNING:#} since {}: its rows expire", instant(at, self.now))
            }
            (Some(at), ..) => format!("proven {}", instant(at, self.now)),
            (None, None, Some(_)) => format!("{WARNING}never swept{WARNING:#}"),
            (None, None, None) => format!("{WARNING}never read{WARNING:#}"),
        };
        self.row("source", &format!("{named}, {proven}"))?;
        if let Some(trouble) = &source.problem {
            self.row("", &format!("{BAD}problem{BAD:#}: {}", plain(&trouble.what)))?;
        }
        let (rows, pages) = (source.entries, source.pages);
        let seen = source.last_seen_at.map(|at| format!(", last seen {}", relative(at, self.now))).unwrap_or_default();
        self.row(
            "",
            &format!(
                "{} rows with a strong key and {} with a weak one, from {} ({} without a key, {} missing){seen}",
                rows.strong,
                rows.weak,
                counted(pages, "page"),
                source.pages_without_key,
                source.pages_missing
            ),
        )?;
        if let Some(sweep) = &source.last_sweep {
            let why = sweep.error.as_ref().map(|error| format!(": {}", plain(error))).unwrap_or_default();
            let at = relative(sweep.completed_at, self.now);
            self.row("", &format!("sweep {}: {}, {at}{why}", sweep.sweep, sweep.outcome.name()))?;
        }
        match source.filter {
            FilterState::On => Ok(()),
            FilterState::Off | FilterState::Unused => {
                let why = source.filter_because.as_ref().map(|why| format!(": {}", plain(why))).unwrap_or_default();
                self.row("", &format!("every edit is looked at{why}"))
            }
        }
    }

    fn sweeps(&mut self, status: &Status) -> std::io::Result<()> {
        let now = self.now;
        if let Some(sweep) = &status.running_sweep {
            let serves = status.running.as_ref().is_some_and(|running| running.is_alive(now));
            let (outcome, style) = outcome(sweep);
            let told = format!("{}: {style}{outcome}{style:#}, {}", sweep.sweep, plain(&note(sweep, serves)));
            self.row("sweep", &told)?;
        }
        let last = match &status.last_sweep {
            None => format!("{WARNING}none yet{WARNING:#}: `check` cannot say clear before a complete one"),
            Some(sweep) => {
                let (outcome, style) = outcome(sweep);
                let found = sweep.report.as_ref().map_or_else(
                    || "its process died".to_owned(),
                    |report| {
                        let pages = counted(report.counts.entries_processed, "page");
                        match report.errors.first() {
                            Some(error) => format!("{pages}; {}", plain(error)),
                            None => format!("{pages}, {}", drift_told(&report.drift)),
                        }
                    },
                );
                let at = instant(sweep.completed_at.or(sweep.started_at).unwrap_or(sweep.asked_at), now);
                format!("{}: {style}{outcome}{style:#}, {at}: {found}", sweep.sweep)
            }
        };
        self.row("last sweep", &last)?;
        if let Some(sentence) = &status.diagnosis {
            let style = if status.subscription_suspect { BAD } else { anstyle::Style::new() };
            self.row("meaning", &format!("{style}{}{style:#}", plain(sentence)))?;
        }
        if status.last_sweep.as_ref().is_some_and(|sweep| sweep.outcome != SweepState::Complete || sweep.dry_run) {
            let complete = match status.last_complete_sweep_at {
                None => format!("{WARNING}no sweep yet{WARNING:#}: `suppressd reconcile` runs one"),
                Some(at) => format!("the last one began {}", instant(at, now)),
            };
            self.row("complete", &complete)?;
        }
        let serves = status.running.as_ref().is_some_and(|running| running.is_alive(now));
        if let Some(at) = status.next_sweep_at.filter(|at| serves && *at > now) {
            self.row("next sweep", &instant(at, now))?;
        }
        Ok(())
    }

    fn running(&mut self, running: Option<&Running>) -> std::io::Result<()> {
        let Some(running) = running else { return self.row("serve", &format!("{WARNING}never ran{WARNING:#}")) };
        let heard = relative(running.at, self.now);
        if running.stopped {
            return self.row("serve", &format!("stopped {heard}"));
        }
        if !running.is_alive(self.now) {
            return self.row("serve", &format!("{WARNING}not running{WARNING:#}, last heard of {heard}"));
        }
        self.row("serve", &format!("{GOOD}running{GOOD:#} as process {}, heard of {heard}", running.pid))?;
        for (part, problem) in &running.problems {
            self.row("problem", &format!("{BAD}{part}{BAD:#}: {}", plain(problem)))?;
        }
        self.row("queue", &format!("{} waiting, {} being looked at", running.queue, running.looks))?;
        for budget in &running.budgets {
            if let Ok(budget) = serde_json::from_value::<BudgetState>(budget.clone()) {
                let paused = budget.paused_until.filter(|until| *until > self.now);
                let paused = paused
                    .map(|until| format!(", {WARNING}paused{WARNING:#} until {}", instant(until, self.now)))
                    .unwrap_or_default();
                self.row("budget", &format!("{} of {} requests spent in 60 s{paused}", budget.spent, budget.limit))?;
            }
        }
        Ok(())
    }

    fn row(&mut self, name: &str, text: &str) -> std::io::Result<()> {
        self.output.line(format_args!("{STRONG}{name:<11}{STRONG:#} {text}"))
    }

    fn instant(&self, at: Option<DateTime<Utc>>, never: &str) -> String {
        at.map_or_else(|| never.to_owned(), |at| instant(at, self.now))
    }
}

/// Says whether edits that touch no mapped property are skipped.
fn filter(relevance: &Relevance) -> String {
    let state = match relevance.filter {
        FilterState::On => format!("{GOOD}on{GOOD:#}, {} looked at as a sample", counted(relevance.sampled, "event")),
        FilterState::Off => format!("{BAD}off{BAD:#}, every edit is looked at"),
        FilterState::Unused => "unused, every edit is looked at".to_owned(),
    };
    relevance.because.as_ref().map_or_else(|| state.clone(), |why| format!("{state}: {}", plain(why)))
}

/// Says what came of reading the settings anew.
fn settings(reloaded: &Reloaded, now: DateTime<Utc>) -> String {
    let (at, listed) = (relative(reloaded.at, now), |names: &[String]| plain(&names.join(", ")).into_owned());
    let taken = match (reloaded.outcome, reloaded.changed.as_slice()) {
        (ReloadOutcome::Refused, _) => {
            let problems = plain(&reloaded.problems.join("; ")).into_owned();
            return format!("{BAD}refused{BAD:#} {at}, those from before count: {problems}");
        }
        (ReloadOutcome::Taken, []) => format!("read anew {at}, nothing has changed"),
        (ReloadOutcome::Taken, changed) => format!("taken anew {at}: {}", listed(changed)),
    };
    match reloaded.needs_restart.as_slice() {
        [] => taken,
        waiting => format!("{taken}; {WARNING}needs a restart{WARNING:#}: {}", listed(waiting)),
    }
}
