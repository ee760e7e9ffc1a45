//! Settings: read once, whole, with every problem at once. Nothing else reads the environment.
//!
//! Flags beat the environment, the environment beats the file, the file beats the default (`config::settings` has the
//! table). What only some commands need, such as a token, is looked for by [`Config::read`] but is a problem only
//! for those who ask for it: `check` works without any of Notion's settings.

mod difference;
mod file;
mod inspect;
mod layers;
mod parse;
mod print;
mod problem;
mod secret;
mod sections;
pub(crate) mod settings;
mod source;
mod subscription;

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use secrecy::SecretString;

pub use crate::config::{
    difference::Difference,
    inspect::{SecretFile, Stranger, strangers, variable_names},
    layers::Flags,
    print::reference,
    problem::{Problem, Problems},
    sections::{Api, Log, LogFormat, Retention, Serve, Statsd, Sweep},
    source::{SourceAccess, SourceConfig},
    subscription::Subscription,
};
use crate::config::{
    layers::{Found, Layers, Noted},
    problem::Fault,
    secret::Secret,
    sections::{days, whole_hours},
    source::Described,
    subscription::slots,
};

/// Every setting, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The database file.
    pub db_path: PathBuf,
    /// Whether Litestream brings the WAL home, and we leave it alone.
    pub checkpoints_left: bool,
    /// How long a row counts without being confirmed.
    pub ttl: Duration,
    /// How old the proof of a verdict may be.
    pub max_age: Duration,
    /// Shared hosts, beside those that the program knows.
    pub shared_hosts: Vec<String>,
    /// What is logged, and how.
    pub log: Log,
    /// How Notion is asked.
    pub api: Api,
    /// Where a handshake stores the verification token.
    pub handshake_token_path: PathBuf,
    /// How `serve` serves.
    pub serve: Serve,
    /// When and how sweeps are made.
    pub sweep: Sweep,
    /// How long things are kept.
    pub retention: Retention,
    /// Where series are sent to, if anywhere.
    pub statsd: Option<Statsd>,
    sources: Vec<Described>,
    verification_tokens: [Secret; 2],
    admin_token: Secret,
    found: Found,
    settings_path: PathBuf,
}

/// What only `serve` needs.
#[derive(Debug, Clone)]
pub struct Service {
    /// The sources with their tokens.
    pub sources: Vec<SourceAccess>,
    /// The configured tokens that sign deliveries, of all connections. For a connection of which none is configured,
    /// the one that a handshake stored counts.
    pub verification_tokens: Vec<SecretString>,
    /// The bearer token that private routes ask for, if they do.
    pub admin_token: Option<SecretString>,
}

/// Reads a variable of the environment of this process.
pub fn environment(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
    match std::env::var(name) {
        Ok(text) => Some(text),
        Err(std::env::VarError::NotPresent) => None,
        // What is not UTF-8 is refused as a value rather than overlooked.
        Err(std::env::VarError::NotUnicode(text)) => Some(text.to_string_lossy().into_owned()),
    }
}

impl Config {
    /// Reads all settings, or says everything that is wrong with them.
    pub fn read(flags: &Flags, environment: &impl Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        match Self::read_as_far_as_possible(flags, environment) {
            (Some(config), None) => Ok(config),
            (_, problems) => Err(problems.unwrap_or_else(|| Problems::new(Vec::new()))),
        }
    }

    /// Reads all settings, for who only wants to know what is wrong: where they can be read in spite of their problems, such as
    /// a line that nobody reads, they are there too. Where the settings file cannot be read, none are: the defaults are not what
    /// it says.
    pub fn read_as_far_as_possible(
        flags: &Flags,
        environment: &impl Fn(&str) -> Option<String>,
    ) -> (Option<Self>, Option<Problems>) {
        let mut layers = Layers::open(flags, environment);
        let config = Self::from_layers(&mut layers).ok().filter(|_| layers.file.is_known);
        let problems = layers.into_problems();
        (config, (!problems.is_empty()).then(|| Problems::new(problems)))
    }

    /// Returns the sources without their tokens, or which of them name no table.
    pub fn sources(&self) -> Result<Vec<SourceConfig>, Problems> {
        all(self.sources.iter().map(Described::source))
    }

    /// Returns the sources with their tokens, or everything that is missing to ask Notion.
    pub fn notion(&self) -> Result<Vec<SourceAccess>, Problems> {
        let (sources, problems) = self.accesses();
        if problems.is_empty() { Ok(sources) } else { Err(Problems::new(problems)) }
    }

    /// Returns what `serve` needs, or everything that is missing for it.
    pub fn service(&self) -> Result<Service, Problems> {
        let (sources, mut problems) = self.accesses();
        let mut usable = |secret: &Secret| match secret.get() {
            Ok(token) => token.cloned(),
            Err(problem) => {
                problems.push(problem.clone());
                None
            }
        };
        let secrets = slots(self).into_iter().flat_map(|slot| slot.tokens);
        let verification_tokens = secrets.filter_map(&mut usable).collect();
        let admin_token = usable(&self.admin_token);
        if !self.serve.admin_listen.ip().is_loopback() && matches!(self.admin_token, Secret::Unset) {
            let fault = Fault::new(
                format!("is {}, which others can reach, and there is no admin token", self.serve.admin_listen),
                "set SUPPRESSD_ADMIN_TOKEN, or listen on 127.0.0.1",
            );
            problems.push(self.found.problem(&settings::ADMIN_LISTEN, fault));
        }
        let service = Service { sources, verification_tokens, admin_token };
        if problems.is_empty() { Ok(service) } else { Err(Problems::new(problems)) }
    }

    /// Returns the bearer token of the private routes, if there is one that can be read.
    pub fn admin_token(&self) -> Option<&SecretString> {
        self.admin_token.get().ok().flatten()
    }

    /// Returns every status that means «leave alone» in one source or another.
    pub fn hard_statuses(&self) -> BTreeSet<String> {
        self.sources.iter().flat_map(|source| source.hard_statuses.iter().cloned()).collect()
    }

    /// Returns the settings as they stand, as TOML that can be read again, with where each came from. No secrets.
    pub fn print(&self) -> String {
        print::settings(&self.found, &self.sources)
    }

    /// Returns the subscriptions whose deliveries are taken: one, unless sources name verification tokens of their own.
    pub fn subscriptions(&self) -> Vec<Subscription> {
        slots(self).iter().map(|slot| slot.subscription(&self.handshake_token_path)).collect()
    }

    fn accesses(&self) -> (Vec<SourceAccess>, Vec<Problem>) {
        let (mut accesses, mut problems) = (Vec::new(), Vec::new());
        for described in &self.sources {
            match (described.source(), described.api_key()) {
                (Ok(source), Ok(api_key)) => accesses.push(SourceAccess { source, api_key }),
                (source, api_key) => problems.extend(source.err().into_iter().chain(api_key.err())),
            }
        }
        (accesses, problems)
    }

    /// Reads everything before it gives up on anything, so that no problem hides another.
    fn from_layers<E: Fn(&str) -> Option<String>>(layers: &mut Layers<'_, E>) -> Result<Self, Noted> {
        let db_path = layers.text(&settings::DB_PATH, parse::path);
        let checkpoints_left = layers.text(&settings::CHECKPOINTS, parse::checkpoints_left);
        let ttl = days(layers, &settings::TTL_DAYS);
        let max_age = layers.optional_number(&settings::MAX_AGE_HOURS);
        let shared_hosts = layers.list(&settings::SHARED_HOSTS, parse::host);
        let log = Log::read(layers);
        let api = Api::read(layers);
        let sources = source::read(layers);
        let verification_tokens =
            [&settings::VERIFICATION_TOKEN, &settings::VERIFICATION_TOKEN_PREVIOUS].map(|token| layers.secret(token));
        let handshake_token_path = layers.optional_text(&settings::HANDSHAKE_TOKEN_PATH, parse::path);
        let serve = Serve::read(layers);
        let admin_token = layers.secret(&settings::ADMIN_TOKEN);
        let sweep = Sweep::read(layers);
        let retention = Retention::read(layers);
        let statsd = Statsd::read(layers);
        let (db_path, ttl) = (db_path?, ttl?);
        layers.show_default(&settings::MAX_AGE_HOURS, whole_hours(ttl));
        let handshake_token_path = handshake_token_path?.unwrap_or_else(|| {
            let mut path = db_path.clone().into_os_string();
            path.push(".verification-token");
            path.into()
        });
        layers.show_default(&settings::HANDSHAKE_TOKEN_PATH, handshake_token_path.to_string_lossy().into_owned());
        Ok(Self {
            db_path,
            checkpoints_left: checkpoints_left?,
            ttl,
            max_age: max_age?.map_or(ttl, Duration::from_hours),
            shared_hosts: shared_hosts?,
            log: log?,
            api: api?,
            handshake_token_path,
            serve: serve?,
            sweep: sweep?,
            retention: retention?,
            statsd: statsd?,
            sources: sources?,
            verification_tokens,
            admin_token,
            found: std::mem::take(&mut layers.found),
            settings_path: layers.file.path.clone(),
        })
    }
}

/// Collects all values, or all problems.
fn all<T>(results: impl Iterator<Item = Result<T, Problem>>) -> Result<Vec<T>, Problems> {
    let (mut values, mut problems) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(value) => values.push(value),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(values) } else { Err(Problems::new(problems)) }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, fs};

    use secrecy::ExposeSecret;

    use super::*;
    use crate::model::id::TableId;

    const EXAMPLE: &str = include_str!("../deploy/suppressd.example.toml");
    const ID: &str = "3296958a07b853eeb6a8a1cc71849e2b";
    const OTHER_ID: &str = "253104cd477e809d8dc4ff2d96ae3090";

    /// Reads settings of a file with this text, of these variables, and of these flags.
    fn read(file: &str, variables: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Result<Config, Problems> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("suppressd.toml");
        fs::write(&path, file).unwrap();
        let mut flags: Flags = flags.iter().map(|(key, text)| (*key, (*text).to_owned())).collect();
        flags.insert(settings::CONFIG.key, path.to_str().unwrap().to_owned());
        let variables: HashMap<_, _> = variables.iter().copied().collect();
        Config::read(&flags, &|name| variables.get(name).map(|text| (*text).to_owned()))
    }

    /// Expects as many problems as there are groups of words, and each word of a group in its problem.
    #[track_caller]
    fn check_problems(problems: &Problems, expected: &[&[&str]]) {
        let found: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), expected.len(), "{problems}");
        for (problem, words) in found.iter().zip(expected) {
            assert!(words.iter().all(|word| problem.contains(word)), "{words:?} are not all in: {problem}");
        }
    }

    /// Returns the printed settings without their comments.
    fn values(config: &Config) -> String {
        let lines = config.print();
        lines.lines().filter_map(|line| line.split("  #").next()).filter(|line| !line.starts_with('#')).collect()
    }

    #[test]
    fn flags_beat_the_environment_which_beats_the_file_which_beats_the_default() {
        let (file, variable, flag) =
            ("db_path = 'of-file.db'", ("SUPPRESSD_DB_PATH", "of-env.db"), ("db_path", "of-flag.db"));
        for (config, path, origin) in [
            (read("", &[], &[]), "suppressd.db", "default"),
            (read(file, &[], &[]), "of-file.db", "suppressd.toml"),
            (read(file, &[variable], &[]), "of-env.db", "environment SUPPRESSD_DB_PATH"),
            (read(file, &[variable], &[flag]), "of-flag.db", "flag --db-path"),
            (read(file, &[("SUPPRESSD_DB_PATH", " ")], &[]), "of-file.db", "suppressd.toml"),
        ] {
            let config = config.unwrap();
            assert_eq!(config.db_path, PathBuf::from(path));
            assert_eq!(config.handshake_token_path, PathBuf::from(format!("{path}.verification-token")));
            let printed = config.print();
            let line = printed.lines().find(|line| line.starts_with("db_path")).unwrap();
            assert!(line.ends_with(origin), "{line}");
        }
    }

    #[test]
    fn every_problem_is_told_at_once_with_its_place_and_its_mending() {
        let file =
            "dbpath = 'x'\nttl_days = 0\nserve = 3\n[notion]\nversion = '2019-01-01'\ntoken = 1\napi_key = 'k'\n";
        let variables = [("NOTION_BASE_URL", "http://api.notion.com"), ("NOTION_CONCURRENCY", "many")];
        let problems = read(file, &variables, &[("log.format", "xml")]).unwrap_err();
        check_problems(
            &problems,
            &[
                &["`dbpath` in /", "not a setting", "did you mean `db_path`?"],
                &["`notion.api_key` in /", "is a secret", "set NOTION_API_KEY", "NOTION_API_KEY_FILE"],
                &["`notion.token` in /", "not a setting"],
                &["`serve` in /", "has the type integer", "[serve]"],
                &["`ttl_days` in /", r#"is "0""#, "from 1 to 365"],
                &["--log-format", r#"is "xml""#, "text or json"],
                &["NOTION_BASE_URL (environment)", "in the clear", "https://"],
                &["`notion.version` in /", "2025-09-03 or 2026-03-11"],
                &["NOTION_CONCURRENCY (environment)", r#"is "many""#, "from 1 to 32"],
            ],
        );
    }

    #[test]
    fn settings_that_do_not_fit_each_other_are_refused() {
        let problems =
            read("[retention]\nids_days = 3", &[("SUPPRESSD_ADMIN_LISTEN", "127.0.0.1:8080")], &[]).unwrap_err();
        check_problems(
            &problems,
            &[&["SUPPRESSD_ADMIN_LISTEN", "its own port"], &["`retention.ids_days`", "at least as long"]],
        );
    }

    #[test]
    fn a_file_that_is_named_must_be_there_and_be_toml() {
        let flags = Flags::from([("config", "/nowhere/suppressd.toml".to_owned())]);
        let problems = Config::read(&flags, &|_| None).unwrap_err();
        check_problems(&problems, &[&["--config", "/nowhere/suppressd.toml"]]);

        let flags = Flags::from([("config", "/dev/zero".to_owned())]);
        let problems = Config::read(&flags, &|_| None).unwrap_err();
        check_problems(&problems, &[&["--config", "/dev/zero: not a regular file"]]);

        let problems = read("db_path = 'x'\n[notion]\napi_key = ntn_unquoted\n", &[], &[]).unwrap_err();
        check_problems(&problems, &[&["suppressd.toml line 3", "is not TOML"]]);
        assert!(!problems.to_string().contains("ntn_unquoted"), "{problems}");
    }

    #[test]
    fn nothing_of_notion_is_needed_until_somebody_asks_for_it() {
        let config = read("", &[("NOTION_TOKEN_FILE", "/nowhere/token")], &[]).unwrap();
        check_problems(
            &config.notion().unwrap_err(),
            &[&["source `notion`", "no table", "NOTION_DATABASE_ID"], &["/nowhere/token (NOTION_TOKEN_FILE)"]],
        );
        let config = read("", &[("NOTION_DATABASE_ID", ID), ("SUPPRESSD_ADMIN_LISTEN", "0.0.0.0:81")], &[]).unwrap();
        assert_eq!(config.sources().unwrap().len(), 1);
        check_problems(
            &config.service().unwrap_err(),
            &[&["no token", "set NOTION_API_KEY"], &["SUPPRESSD_ADMIN_LISTEN", "0.0.0.0:81", "SUPPRESSD_ADMIN_TOKEN"]],
        );
    }

    /// Two connections: one whose token comes by variable or handshake, and one with a variable of its own.
    fn two_connections() -> String {
        format!(
            "[[source]]\nname = 'deals'\ndatabase_id = '{ID}'\n\
             [[source]]\nname = 'portfolio'\ndata_source_id = '{OTHER_ID}'\napi_key_env = 'B_KEY'\n\
             verification_token_env = 'B_TOKEN'\nworkspace_id = '{ID}'\n"
        )
    }

    #[test]
    fn a_connection_of_its_own_has_a_token_of_its_own_or_a_file_for_one() {
        let keys = [("NOTION_API_KEY", "ntn_a"), ("B_KEY", "ntn_b"), ("SUPPRESSD_DB_PATH", "x.db")];
        let config = |more: &[(&str, &str)]| read(&two_connections(), &[&keys, more].concat(), &[]).unwrap();
        let told = |config: &Config| {
            let all = config.subscriptions().into_iter();
            let told = all
                .map(|it| format!("{} {:?} {} {}", it.variable, it.sources, it.is_configured, it.token_path.display()));
            told.collect::<Vec<_>>()
        };
        let (first, second) = ("NOTION_VERIFICATION_TOKEN [\"deals\"]", "B_TOKEN [\"portfolio\"]");
        let files = ["x.db.verification-token", "x.db.verification-token.b_token"];
        let neither = config(&[]);
        assert_eq!(told(&neither), [format!("{first} false {}", files[0]), format!("{second} false {}", files[1])]);
        assert!(neither.service().unwrap().verification_tokens.is_empty());
        let one = config(&[("B_TOKEN", "secret_b"), ("B_TOKEN_PREVIOUS", "secret_old")]);
        assert_eq!(told(&one), [format!("{first} false {}", files[0]), format!("{second} true {}", files[1])]);
        let both = config(&[("B_TOKEN", "secret_b"), ("NOTION_VERIFICATION_TOKEN", "secret_a")]);
        let tokens: Vec<_> = both.service().unwrap().verification_tokens;
        let tokens: Vec<_> = tokens.iter().map(|token| token.expose_secret().to_owned()).collect();
        assert_eq!(tokens, ["secret_a", "secret_b"]);
        assert_eq!(both.sources().unwrap()[1].workspace, Some(ID.parse().unwrap()));
        // Where every source has one of its own, there is no place for another, but what is configured counts.
        let own = two_connections()
            .replace("[[source]]\nname = 'deals'", "[[source]]\nname = 'deals'\nverification_token_env = 'B_TOKEN'");
        let own = |more: &[(&str, &str)]| told(&read(&own, &[&keys, more].concat(), &[]).unwrap());
        let shared = format!("B_TOKEN [\"deals\", \"portfolio\"] false {}", files[1]);
        assert_eq!(own(&[]), std::slice::from_ref(&shared));
        let first = format!("NOTION_VERIFICATION_TOKEN [] true {}", files[0]);
        assert_eq!(own(&[("NOTION_VERIFICATION_TOKEN", "secret_a")]), [first, shared]);
    }

    #[test]
    fn what_is_printed_of_two_connections_can_be_read_again_and_shows_no_token() {
        let variables = [("B_TOKEN", "secret_b"), ("B_KEY", "ntn_b")];
        let config = read(&two_connections(), &variables, &[]).unwrap();
        let printed = config.print();
        for part in ["verification_token_env = \"B_TOKEN\"  # [redacted]", "previous unset", "workspace_id = \""] {
            assert!(printed.contains(part), "{part}: {printed}");
        }
        assert!(!printed.contains("secret_b") && !printed.contains("ntn_b"), "{printed}");
        assert_eq!(values(&read(&printed, &variables, &[]).unwrap()), values(&config));
        let misplaced =
            two_connections().replace("verification_token_env = 'B_TOKEN'", "verification_token = 'secret_x'");
        check_problems(&read(&misplaced, &[], &[]).unwrap_err(), &[&["`source.verification_token`", "is a secret"]]);
    }

    #[test]
    fn the_environment_alone_describes_a_source() {
        let url = format!("https://www.notion.so/acme/Deals-{ID}?v=1");
        let variables = [
            ("NOTION_TOKEN", "ntn_1"),
            ("NOTION_DATABASE_ID", url.as_str()),
            ("NOTION_VERIFICATION_TOKEN", "secret_2"),
            ("NOTION_VERIFICATION_TOKEN_PREVIOUS", "secret_1"),
            ("NOTION_HARD_STATUSES", "Passed, Gone"),
        ];
        let service = read("", &variables, &[]).unwrap().service().unwrap();
        let tokens: Vec<_> = service.verification_tokens.iter().map(ExposeSecret::expose_secret).collect();
        assert_eq!(tokens, ["secret_2", "secret_1"]);
        let [access] = service.sources.as_slice() else { panic!("one source") };
        assert_eq!(access.api_key.expose_secret(), "ntn_1");
        assert_eq!(access.source.name, "notion");
        assert_eq!(access.source.hard_statuses, ["Passed", "Gone"]);
        assert_eq!(access.source.table, TableId::Database(ID.parse().unwrap()));
    }

    #[test]
    fn a_data_source_is_the_narrower_word() {
        let variables = [("NOTION_DATABASE_ID", ID), ("NOTION_DATA_SOURCE_ID", OTHER_ID)];
        let sources = read("", &variables, &[]).unwrap().sources().unwrap();
        assert_eq!(sources[0].table, TableId::DataSource(OTHER_ID.parse().unwrap()));
    }

    #[test]
    fn the_environment_names_the_table_of_the_only_source_or_of_the_one_that_names_none() {
        let one = format!("[[source]]\nname = 'a'\ndatabase_id = '{ID}'\nproperties.website = 'Homepage'\n");
        let two = format!("{one}[[source]]\nname = 'b'\napi_key_env = 'B_TOKEN'\nhard_statuses = []\n");
        let variables = [("NOTION_DATABASE_ID", OTHER_ID), ("NOTION_API_KEY", "ntn_a"), ("B_TOKEN", "ntn_b")];
        let other = TableId::Database(OTHER_ID.parse().unwrap());

        let sources = read(&one, &variables, &[]).unwrap().notion().unwrap();
        assert_eq!(sources[0].source.table, other);
        assert_eq!(sources[0].source.properties[&crate::model::page::Role::Website], "Homepage");

        let config = read(&two, &variables, &[]).unwrap();
        let sources = config.notion().unwrap();
        assert_eq!(sources[0].source.table, TableId::Database(ID.parse().unwrap()));
        assert_eq!(sources[1].source.table, other);
        assert_eq!(sources[1].api_key.expose_secret(), "ntn_b");
        assert_eq!(config.hard_statuses(), BTreeSet::from(["Lost".to_owned(), "Passed".to_owned()]));
        assert!(sources[1].source.hard_statuses.is_empty());
    }

    #[test]
    fn every_problem_of_every_source_is_told() {
        let file = "[[source]]\nname = 'a b'\ndatabaseid = 1\napi_key = 'ntn_x'\n\
             [[source]]\ndatabase_id = 'crm'\napi_key_env = 'ntn_y'\nproperties = { webiste = 'Site' }\n";
        let problems = read(file, &[], &[]).unwrap_err();
        check_problems(
            &problems,
            &[
                &["`source.api_key` in /", "(source 1)", "is a secret"],
                &["`source.databaseid`", "(source 1)", "did you mean `database_id`?"],
                &["`source.name`", "(source 1)"],
                &["`source.database_id`", "(source 2)", r#"is "crm""#],
                &["`source.api_key_env`", "(source 2)", "never the token"],
                &["`source.properties.webiste`", "(source 2)", "did you mean `website`?"],
                &["`source.name`", "(source 2)", "is missing"],
            ],
        );
        assert!(!problems.to_string().contains("ntn_"), "{problems}");

        let twins = format!("[[source]]\nname = 'a'\ndatabase_id = '{ID}'\n").repeat(2);
        check_problems(&read(&twins, &[], &[]).unwrap_err(), &[&["`a`", "twice"], &["`a`", "table of another"]]);
        check_problems(&read("[source]\nname = 'a'", &[], &[]).unwrap_err(), &[&["`source` in /", "[[source]]"]]);
    }

    #[test]
    fn secrets_are_never_shown() {
        let variables = [
            ("NOTION_API_KEY", "ntn_hidden1"),
            ("NOTION_VERIFICATION_TOKEN", "secret_hidden2"),
            ("SUPPRESSD_ADMIN_TOKEN", "hidden3"),
            ("B_TOKEN", "hidden4"),
        ];
        let file = format!("[[source]]\nname = 'b'\ndatabase_id = '{ID}'\napi_key_env = 'B_TOKEN'");
        let config = read(&file, &variables, &[]).unwrap();
        let shown = format!("{}{config:?}{:?}{:?}", config.print(), config.service(), config.notion());
        assert!(!shown.contains("hidden"), "{shown}");
        assert!(shown.contains("# api_key: [redacted] (environment NOTION_API_KEY)"), "{shown}");
        assert!(shown.contains("api_key_env = \"B_TOKEN\"  # [redacted] (environment B_TOKEN)"), "{shown}");
    }

    #[test]
    fn a_token_in_the_wrong_place_is_not_repeated() {
        let problems = read(
            "",
            &[
                ("NOTION_DATABASE_ID", "ntn_hidden"),
                ("SUPPRESSD_LISTEN", "secret_hidden"),
                ("NOTION_VERSION", "ntn_hidden"),
            ],
            &[("log.level", "suppressd=ntn_hidden")],
        )
        .unwrap_err();
        assert_eq!(problems.iter().count(), 4, "{problems}");
        assert!(!problems.to_string().contains("hidden"), "{problems}");
    }

    #[test]
    fn printed_settings_can_be_read_again() {
        let file = format!(
            "shared_hosts = ['linktr.ee']\nmax_age_hours = 24\n[[source]]\nname = 'a'\ndata_source_id = '{ID}'\n\
             [source.properties]\nwebsite = 'Home \"page\"'\n"
        );
        let config = read(&file, &[("SUPPRESSD_TTL_DAYS", "14"), ("NOTION_HARD_STATUSES", "No")], &[]).unwrap();
        let again = read(&config.print(), &[], &[]).unwrap();
        assert_eq!(values(&config), values(&again));
        assert_eq!((config.ttl, config.max_age), (again.ttl, again.max_age));
    }

    #[test]
    fn the_example_shows_every_setting_and_its_defaults_are_the_defaults() {
        assert_eq!(values(&read(EXAMPLE, &[], &[]).unwrap()), values(&read("", &[], &[]).unwrap()));

        // What the example comments out as `#key = …` is a setting as well.
        let whole: String = EXAMPLE
            .lines()
            .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line).to_owned() + "\n")
            .collect();
        let config = read(&whole, &[], &[]).unwrap();
        assert_eq!(config.sources().unwrap().len(), 2);
        for setting in settings::ALL.iter().filter(|setting| setting.kind != settings::Kind::Secret) {
            assert!(config.found.values[setting.key].1.to_string().starts_with("file "), "{} is missing", setting.key);
        }
        for variable in settings::ALL.iter().flat_map(|setting| setting.variables) {
            assert!(EXAMPLE.contains(variable), "{variable} is not mentioned");
        }
    }

    #[test]
    fn the_reference_names_every_setting() {
        let reference = reference();
        for setting in settings::ALL {
            assert!(reference.contains(setting.key) && reference.contains(setting.doc), "{}", setting.key);
        }
    }
}
