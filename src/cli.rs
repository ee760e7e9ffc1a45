//! The command line: reads arguments and settings, and runs one command.

pub mod args;
mod changes;
pub mod check;
mod copies;
mod database;
mod demo;
mod doctor;
mod events;
pub mod exit;
mod explain;
pub mod failure;
mod handshake;
mod health;
mod issues;
mod keys;
pub mod logging;
mod mcp;
mod metrics;
pub mod output;
mod reconcile;
mod replay;
mod schema;
mod serve;
mod status;
mod sweeps;
pub mod times;

use std::time::Duration;

use anyhow::{Context as _, anyhow};

pub use crate::cli::{args::Args, exit::ExitStatus};
use crate::{
    app,
    cli::{
        args::{Command, ConfigCommand},
        failure::NextStep,
        output::{Output, counted},
    },
    config::{self, Config},
};

/// What still runs when its command has ended closes the database in this time, and must not keep the process longer.
const LAST_MOMENT: Duration = Duration::from_millis(500);

/// Runs the command that `args` name.
pub fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    if let Command::Doctor(doctor) = &args.command {
        // What is wrong with the settings is one of its findings.
        return block_on(doctor::run(doctor, &args.flags()));
    }
    let config = Config::read(&args.flags(), &config::environment)
        .context(NextStep("mend them where they stand; `suppressd config print --help` lists every setting"))?;
    let log = logging::start(&config.log)?;
    let done = match &args.command {
        Command::Config(ConfigCommand::Print) => print(&config),
        Command::Config(ConfigCommand::Check) => check_settings(&config),
        Command::Check(args) => check::run(args, &config),
        Command::Keys(args) => keys::run(args, &config),
        Command::Handshake(args) => handshake::run(args, &config),
        Command::Explain(args) => block_on(explain::run(args, &config)),
        Command::Issues(args) => block_on(issues::run(args, &config)),
        Command::Doctor(doctor) => block_on(doctor::run(doctor, &args.flags())),
        Command::Schema(command) => block_on(schema::run(command, &config)),
        Command::Status(args) => block_on(status::run(args, &config)),
        Command::Metrics(args) => block_on(metrics::run(args, &config)),
        Command::Health(args) => block_on(health::run(args, &config)),
        Command::Changes(args) => block_on(changes::run(args, &config)),
        Command::Sweeps(args) => block_on(sweeps::run(args, &config)),
        Command::Events(command) => block_on(events::run(command, &config)),
        Command::Reconcile(args) => block_on(reconcile::run(args, &config)),
        Command::Replay(args) => block_on(replay::run(args, &config)),
        Command::Backup(args) => copies::backup(args, &config),
        Command::Export(args) => copies::export(args, &config),
        Command::Digest(args) => copies::digest(args, &config),
        Command::Restore(args) => block_on(copies::restore(args, &config)),
        Command::Import(args) => block_on(copies::import(args, &config)),
        Command::Demo(_) if args.global.db_path.is_some() => Err(anyhow!("`demo` takes no --db-path").context(NextStep(
            "leave it out: its database lies in a folder of its own, which goes at the end, so that it touches none of yours",
        ))),
        Command::Demo(args) => block_on(demo::run(args)),
        Command::Mcp(_) => block_on(mcp::run(&config)),
        Command::Serve(_) => block_on(serve::run(&config, args.flags(), log)),
    };
    done.map_err(|error| database::explained(error, &config.db_path))
}

fn print(config: &Config) -> anyhow::Result<ExitStatus> {
    Output::stdout().line(config.print().trim_end())?;
    Ok(ExitStatus::Success)
}

/// Says whether the settings would do for `serve`.
fn check_settings(config: &Config) -> anyhow::Result<ExitStatus> {
    match app::reload::judge(config) {
        Ok(_) => {
            Output::stdout().line("the settings are good: `serve` would start with them, or take them on SIGHUP")?;
            Ok(ExitStatus::Success)
        }
        Err(problems) => {
            let count = counted(problems.len() as u64, "problem");
            Err(anyhow!("the settings have {count}\n  {}", problems.join("\n  "))
                .context(NextStep("mend them where they stand; a running `serve` goes on with those that it has")))
        }
    }
}

fn block_on<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("tokio cannot start")?;
    let done = runtime.block_on(command);
    runtime.shutdown_timeout(LAST_MOMENT);
    done
}
