//! What may be said on the command line: the words, their help, and which settings they stand for.

pub mod asking;
pub mod bulk;
pub mod copies;
pub mod following;
pub mod mending;
pub mod receiving;
pub mod serving;
pub mod tending;
pub mod watching;

use clap::{ArgAction, Parser, Subcommand, ValueHint};

use crate::{
    cli::{
        args::{
            asking::{CheckArgs, KeysArgs, StatusArgs, SweepsArgs},
            copies::{BackupArgs, DigestArgs, ExportArgs, ImportArgs, RestoreArgs},
            following::ChangesArgs,
            mending::{ExplainArgs, IssuesArgs},
            receiving::{EventsCommand, ReplayArgs},
            serving::{DemoArgs, HandshakeArgs, HealthArgs, McpArgs, ReconcileArgs, ServeArgs},
            tending::{DoctorArgs, SchemaCommand},
            watching::MetricsArgs,
        },
        exit::EXIT_STATUSES,
    },
    config::{self, Flags, LogFormat, settings},
};

/// Keeps a local suppression cache of a Notion CRM.
///
/// suppressd is told by Notion's webhooks what changed in the CRM, fetches those pages, and keeps the keys of every
/// company in the table `suppression_cache`, so that a pipeline never pushes a company that the CRM already holds.
#[derive(Debug, Parser)]
#[command(name = "suppressd", version, after_help = START, after_long_help = format!("{START}\n\n{EXIT_STATUSES}"))]
pub struct Args {
    /// The options that every command takes.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const START: &str = "\
To start with:
  suppressd demo --for 20s    see all of it work, without a Notion account
  suppressd config print      see which settings hold, and where each comes from
  suppressd check acme.ai     ask whether a company may be pushed";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    #[expect(missing_docs, reason = "the arguments' own description is the help of the command")]
    Demo(DemoArgs),
    #[expect(missing_docs, reason = "as above")]
    Serve(ServeArgs),
    #[expect(missing_docs, reason = "as above")]
    Reconcile(ReconcileArgs),
    #[expect(missing_docs, reason = "as above")]
    Handshake(HandshakeArgs),
    #[expect(missing_docs, reason = "as above")]
    Check(CheckArgs),
    #[expect(missing_docs, reason = "as above")]
    Keys(KeysArgs),
    #[expect(missing_docs, reason = "as above")]
    Explain(ExplainArgs),
    #[command(alias = "conflicts")]
    #[expect(missing_docs, reason = "as above")]
    Issues(IssuesArgs),
    #[expect(missing_docs, reason = "as above")]
    Doctor(DoctorArgs),
    /// Compares the CRM's properties with what is needed, and adds what is missing.
    #[command(
        subcommand,
        after_help = "\
Examples:
  suppressd schema validate
  suppressd schema repair --dry-run"
    )]
    Schema(SchemaCommand),
    #[expect(missing_docs, reason = "as above")]
    Status(StatusArgs),
    #[expect(missing_docs, reason = "as above")]
    Metrics(MetricsArgs),
    #[expect(missing_docs, reason = "as above")]
    Health(HealthArgs),
    #[expect(missing_docs, reason = "as above")]
    Changes(ChangesArgs),
    #[expect(missing_docs, reason = "as above")]
    Sweeps(SweepsArgs),
    /// Lists received events, and takes parked ones up again.
    #[command(
        subcommand,
        after_help = "\
Examples:
  suppressd events list --state parked
  suppressd events retry --all"
    )]
    Events(EventsCommand),
    #[expect(missing_docs, reason = "as above")]
    Replay(ReplayArgs),
    #[expect(missing_docs, reason = "as above")]
    Mcp(McpArgs),
    #[expect(missing_docs, reason = "as above")]
    Backup(BackupArgs),
    #[expect(missing_docs, reason = "as above")]
    Restore(RestoreArgs),
    #[expect(missing_docs, reason = "as above")]
    Export(ExportArgs),
    #[expect(missing_docs, reason = "as above")]
    Import(ImportArgs),
    #[expect(missing_docs, reason = "as above")]
    Digest(DigestArgs),
    /// Looks at the settings.
    #[command(
        subcommand,
        after_help = "\
Examples:
  suppressd --config /etc/suppressd/suppressd.toml config print
  suppressd --config /etc/suppressd/suppressd.toml config check"
    )]
    Config(ConfigCommand),
}

impl Args {
    /// Returns the settings that all options stand for.
    pub fn flags(&self) -> Flags {
        let mut flags = self.global.flags();
        match &self.command {
            Command::Serve(args) => flags.extend(args.flags()),
            // These have their own lines.
            Command::Demo(_) | Command::Doctor(_) | Command::Schema(_) => {
                flags.entry(settings::LOG_LEVEL.key).or_insert_with(|| "off".to_owned());
            }
            Command::Reconcile(args) if args.interval.is_none() => {
                flags.entry(settings::LOG_LEVEL.key).or_insert_with(|| "warn".to_owned());
            }
            Command::Replay(_) | Command::Mcp(_) => {
                flags.entry(settings::LOG_LEVEL.key).or_insert_with(|| "warn".to_owned());
            }
            _ => (),
        }
        flags
    }
}

/// What to do with the settings.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum ConfigCommand {
    /// Prints the settings as they stand, and where each came from.
    ///
    /// The output is a settings file that can be read again. Secrets are never shown. All problems are told at
    /// once, each with its place and how to mend it.
    #[command(after_long_help = format!(
        "Examples:\n  \
         suppressd config print\n  \
         suppressd --config /etc/suppressd/suppressd.toml config print > effective.toml\n\n\
         Settings, with their variables and flags (flags beat variables, variables beat the file):\n{}",
        config::reference()
    ))]
    Print,
    /// Says whether the settings would do for `serve`, and everything that is wrong with them.
    ///
    /// Run it before a SIGHUP tells a running serve to read them anew, as the user and with the environment of that serve.
    /// Nothing is asked of Notion, and no secret is shown.
    #[command(after_long_help = "\
Examples:
  suppressd --config /etc/suppressd/suppressd.toml config check && systemctl reload suppressd

Exit status:
  0  serve would start with them
  2  it would not; every problem is told on stderr")]
    Check,
}

/// The options that every command takes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options of every command")]
pub struct GlobalArgs {
    /// The settings file.
    #[arg(long, value_name = "FILE", global = true, value_hint = ValueHint::FilePath, help = settings::CONFIG.help())]
    pub config: Option<String>,
    /// The database file.
    #[arg(long, value_name = "FILE", global = true, value_hint = ValueHint::FilePath, help = settings::DB_PATH.help())]
    pub db_path: Option<String>,
    /// How often `-v` was said.
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet", help = VERBOSE)]
    pub verbose: u8,
    /// How often `-q` was said.
    #[arg(short, long, global = true, action = ArgAction::Count, help = QUIET)]
    pub quiet: u8,
    /// The form of log lines.
    #[arg(long, value_name = "FORM", global = true, value_parser = LogFormat::ALL.map(LogFormat::name),
        help = settings::LOG_FORMAT.help(), hide_possible_values = true)]
    pub log_format: Option<String>,
}

const VERBOSE: &str =
    "Log more: -v what suppressd does in detail, -vv what its libraries do as well [env: SUPPRESSD_LOG]";
const QUIET: &str = "Log less: -q only warnings and errors, -qq only errors [env: SUPPRESSD_LOG]";

impl GlobalArgs {
    /// Returns the settings that these options stand for.
    pub fn flags(&self) -> Flags {
        let level = match (self.verbose, self.quiet) {
            (0, 0) => None,
            (0, 1) => Some("warn"),
            (0, _) => Some("error"),
            (1, _) => Some("info,suppressd=debug"),
            _ => Some("debug,suppressd=trace"),
        };
        let given = [
            (settings::CONFIG.key, self.config.clone()),
            (settings::DB_PATH.key, self.db_path.clone()),
            (settings::LOG_LEVEL.key, level.map(str::to_owned)),
            (settings::LOG_FORMAT.key, self.log_format.clone()),
        ];
        given.into_iter().filter_map(|(key, text)| Some((key, text?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, CommandFactory as _, FromArgMatches};

    use super::*;

    /// The program and its commands.
    fn commands() -> Vec<clap::Command> {
        let program = Args::command();
        let commands: Vec<_> = program.get_subcommands().cloned().collect();
        [program].into_iter().chain(commands).collect()
    }

    #[test]
    fn the_arguments_are_consistent() {
        commands().into_iter().for_each(clap::Command::debug_assert);
    }

    #[test]
    fn every_flag_of_the_settings_is_an_option_and_its_help_names_its_variables() {
        let options: Vec<clap::Arg> = commands().iter().flat_map(clap::Command::get_arguments).cloned().collect();
        let settings = settings::ALL.iter().chain([&settings::CONFIG]);
        for (setting, flag) in settings.filter_map(|setting| Some((setting, setting.flag?.strip_prefix("--")?))) {
            let option = options.iter().find(|option| option.get_long() == Some(flag)).unwrap();
            let help = option.get_help().unwrap().to_string();
            assert!(setting.variables.iter().all(|variable| help.contains(variable)), "{flag}: {help}");
        }
    }

    #[test]
    fn options_become_settings_and_what_is_not_said_does_not() {
        for (words, key, value) in [
            ("--db-path a.db", "db_path", Some("a.db")),
            ("--config a.toml", "config", Some("a.toml")),
            ("--log-format json", "log.format", Some("json")),
            ("-v", "log.level", Some("info,suppressd=debug")),
            ("-vv", "log.level", Some("debug,suppressd=trace")),
            ("-q", "log.level", Some("warn")),
            ("-qqq", "log.level", Some("error")),
            ("-v", "db_path", None),
        ] {
            let words = ["suppressd", "config", "print"].into_iter().chain(words.split(' '));
            let flags = Args::try_parse_from(words).unwrap().global.flags();
            assert_eq!(flags.get(key).map(String::as_str), value, "{key}");
        }
    }

    #[test]
    fn every_level_of_verbosity_is_a_filter() {
        for count in 0..4 {
            let global = |verbose, quiet| GlobalArgs { config: None, db_path: None, verbose, quiet, log_format: None };
            for flags in [global(count, 0).flags(), global(0, count).flags()] {
                config::Config::read(&flags, &|_| None).unwrap();
            }
        }
    }

    /// Parses the words behind the name of a command.
    fn parse<A: FromArgMatches>(command: clap::Command, words: &str) -> Result<A, clap::Error> {
        let words = std::iter::once("x").chain(words.split_whitespace());
        A::from_arg_matches(&command.try_get_matches_from(words)?)
    }

    #[test]
    fn tables_in_the_help_keep_their_form_on_a_narrow_terminal() {
        for command in ["check", "explain", "issues"] {
            let command = Args::command().find_subcommand(command).unwrap().clone();
            let help = command.get_after_long_help().unwrap().to_string();
            for line in help.lines() {
                assert!(line.chars().count() < 80, "{}: {line}", command.get_name());
            }
        }
    }

    #[test]
    fn a_question_names_a_company() {
        let check = |words| parse::<CheckArgs>(CheckArgs::augment_args(clap::Command::new("check")), words);
        for words in ["--location London", "acme.ai --max-age soon", "acme.ai --column Link=website"] {
            assert!(check(words).is_err(), "{words}");
        }
        let keys = |words| parse::<KeysArgs>(KeysArgs::augment_args(clap::Command::new("keys")), words).is_ok();
        assert!(!keys("") && !keys("--json") && keys("acme.ai") && keys("--name Acme"));
        let args = check("acme.ai domain:acme.com --name Acme --location London --max-age 24h").unwrap();
        assert_eq!(args.company.values, ["acme.ai", "domain:acme.com"]);
        assert_eq!(args.max_age, Some(std::time::Duration::from_hours(24)));
        let company = args.company.company();
        assert_eq!((company.name.as_deref(), company.location.as_deref()), (Some("Acme"), Some("London")));
        assert!(check("--github-repo acme/core").is_ok());
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let named = clap::Command::new;
        let replay = |words| parse::<ReplayArgs>(ReplayArgs::augment_args(named("replay")), words).is_ok();
        assert!(replay("events --pages pages") && replay("--from-inbox") && !replay("") && !replay("e --from-inbox"));
        let handshake = |words| parse::<HandshakeArgs>(HandshakeArgs::augment_args(named("handshake")), words).is_ok();
        assert!(handshake("") && handshake("--show") && handshake("--reset") && !handshake("--show --reset"));
        let events = |words| parse::<EventsCommand>(EventsCommand::augment_subcommands(named("events")), words).is_ok();
        assert!(events("list --state parked") && !events("list --state asleep") && !events("list --limit 0"));
        assert!(events("retry id") && events("retry --all") && !events("retry") && !events("retry id --all"));
    }
}
