//! The table of settings: of each its key in the file, its names in the environment, its default, bounds and meaning.

/// One setting. Only `[[source]]`, which may stand in the file several times, is not in the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    /// Its key in the file, behind its section and a dot.
    pub(crate) key: &'static str,
    /// Its names in the environment: the first that is set counts.
    pub(crate) variables: &'static [&'static str],
    /// The flag that sets it, where there is one.
    pub(crate) flag: Option<&'static str>,
    /// What form it has.
    pub(crate) kind: Kind,
    /// What it is where nobody sets it, in the form in which somebody would.
    pub(crate) default: Option<&'static str>,
    /// What it is for, in a line for people.
    pub(crate) doc: &'static str,
    /// Whether a running `serve` takes another value on SIGHUP.
    pub(crate) is_live: bool,
}

/// What form a setting has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// A whole number within these bounds.
    Number {
        min: u64,
        max: u64,
    },
    /// An array of texts in the file; parted by commas elsewhere.
    List,
    /// Never in the file. Also read from the file that `<VARIABLE>_FILE` names, and from the systemd credential that
    /// is called as the first variable, in lower case.
    Secret,
}

/// The key under which every source stands in the file.
pub(crate) const SOURCE: &str = "source";

/// The file itself. It is the one setting that cannot stand in it.
pub(crate) const CONFIG: Setting =
    text("config", &["SUPPRESSD_CONFIG"], None, "The settings file; without it ./suppressd.toml, if it is there.")
        .flag("--config");

pub(crate) const DB_PATH: Setting =
    text("db_path", &["SUPPRESSD_DB_PATH"], Some("suppressd.db"), "The database file; may be the pipeline's own.")
        .flag("--db-path");
pub(crate) const CHECKPOINTS: Setting = text(
    "checkpoints",
    &["SUPPRESSD_CHECKPOINTS"],
    Some("own"),
    "Who brings the WAL home: own, or litestream where that copies the database.",
);
pub(crate) const TTL_DAYS: Setting =
    number("ttl_days", &["SUPPRESSD_TTL_DAYS"], (1, 365), "How long a row counts without being confirmed.")
        .default("7");
pub(crate) const MAX_AGE_HOURS: Setting = number(
    "max_age_hours",
    &["SUPPRESSD_MAX_AGE_HOURS"],
    (1, 8760),
    "A verdict that rests on older proof is `stale`; by default as long as a row counts.",
);
pub(crate) const SHARED_HOSTS: Setting = list(
    "shared_hosts",
    &["SUPPRESSD_SHARED_HOSTS"],
    "",
    "Hosts that many companies share, beside those that the program knows: they give no domain key.",
)
.live();

pub(crate) const LOG_LEVEL: Setting = text(
    "log.level",
    &["SUPPRESSD_LOG"],
    Some("info"),
    "error, warn, info, debug or trace; for each module apart as in `info,suppressd::notion=debug`.",
)
.flag("-v or -q")
.live();
pub(crate) const LOG_FORMAT: Setting =
    text("log.format", &["SUPPRESSD_LOG_FORMAT"], Some("text"), "text for people, json for collectors.")
        .flag("--log-format");

pub(crate) const API_KEY: Setting =
    secret("notion.api_key", &["NOTION_API_KEY", "NOTION_TOKEN"], "The token of the Notion connection.");
pub(crate) const VERIFICATION_TOKEN: Setting = secret(
    "notion.verification_token",
    &["NOTION_VERIFICATION_TOKEN"],
    "The token that signs deliveries; without it the one that a handshake stored.",
);
pub(crate) const VERIFICATION_TOKEN_PREVIOUS: Setting = secret(
    "notion.verification_token_previous",
    &["NOTION_VERIFICATION_TOKEN_PREVIOUS"],
    "A second one, taken as well while a subscription is created anew.",
);
pub(crate) const DATABASE_ID: Setting = text(
    "notion.database_id",
    &["NOTION_DATABASE_ID"],
    None,
    "The CRM's database, as id or as URL: of the only source, or of that among several that names none.",
);
pub(crate) const DATA_SOURCE_ID: Setting = text(
    "notion.data_source_id",
    &["NOTION_DATA_SOURCE_ID"],
    None,
    "One data source of it, likewise; where both are given, this one counts.",
);
pub(crate) const HARD_STATUSES: Setting = list(
    "notion.hard_statuses",
    &["NOTION_HARD_STATUSES"],
    "Passed, Lost",
    "Statuses that mean «leave alone», for sources that do not say it themselves.",
)
.live();
pub(crate) const BASE_URL: Setting = text(
    "notion.base_url",
    &["NOTION_BASE_URL"],
    Some("https://api.notion.com"),
    "Where Notion's API is; plain http only on this machine.",
);
pub(crate) const VERSION: Setting =
    text("notion.version", &["NOTION_VERSION"], Some("2025-09-03"), "The API's version: 2025-09-03 or 2026-03-11.");
pub(crate) const REQUESTS_PER_MINUTE: Setting = number(
    "notion.requests_per_minute",
    &["NOTION_REQUESTS_PER_MINUTE"],
    (1, 6000),
    "The budget of one token. Notion grants about three a second.",
)
.default("180");
pub(crate) const TIMEOUT_SECONDS: Setting =
    number("notion.timeout_seconds", &["NOTION_TIMEOUT_SECONDS"], (1, 120), "How long one request may take.")
        .default("10");
pub(crate) const CONCURRENCY: Setting =
    number("notion.concurrency", &["NOTION_CONCURRENCY"], (1, 32), "How many pages are fetched at once.").default("4");
pub(crate) const INDEX_LAG_SECONDS: Setting = number(
    "notion.index_lag_seconds",
    &["NOTION_INDEX_LAG_SECONDS"],
    (0, 3600),
    "How far a query's results may trail the page itself.",
)
.default("60");

pub(crate) const HANDSHAKE_TOKEN_PATH: Setting = text(
    "handshake.token_path",
    &["SUPPRESSD_HANDSHAKE_TOKEN_PATH"],
    None,
    "Where a handshake stores the verification token; by default beside the database.",
);

pub(crate) const LISTEN: Setting = text(
    "serve.listen",
    &["SUPPRESSD_LISTEN"],
    Some("127.0.0.1:8080"),
    "The public address: the webhook and /healthz, nothing else.",
)
.flag("--listen");
pub(crate) const ADMIN_LISTEN: Setting = text(
    "serve.admin_listen",
    &["SUPPRESSD_ADMIN_LISTEN"],
    Some("127.0.0.1:8081"),
    "The private address: lookups, administration. Beyond loopback it needs an admin token.",
)
.flag("--admin-listen");
pub(crate) const ADMIN_TOKEN: Setting =
    secret("serve.admin_token", &["SUPPRESSD_ADMIN_TOKEN"], "The bearer token that private routes ask for.");
pub(crate) const GRACE_SECONDS: Setting = number(
    "serve.grace_seconds",
    &["SUPPRESSD_GRACE_SECONDS"],
    (0, 300),
    "How long work that has begun may take to end after a stop is asked for.",
)
.default("10");
pub(crate) const INTAKE_QUEUE: Setting = number(
    "serve.intake_queue",
    &["SUPPRESSD_INTAKE_QUEUE"],
    (1, 65_536),
    "How many deliveries may wait for their commit; more are answered 503.",
)
.default("4096");

pub(crate) const SWEEP_AT: Setting = text(
    "sweep.at",
    &["SUPPRESSD_SWEEP_AT"],
    Some("03:00"),
    "When `serve` sweeps the whole CRM every day; `off` leaves that to `reconcile`.",
)
.flag("--sweep-at");
pub(crate) const SWEEP_TIME_ZONE: Setting = text(
    "sweep.time_zone",
    &["SUPPRESSD_SWEEP_TIME_ZONE"],
    Some("local"),
    "Whose clock that is: a zone such as Europe/London, or local for this machine's.",
);
pub(crate) const SWEEP_WINDOWS: Setting = number(
    "sweep.windows",
    &["SUPPRESSD_SWEEP_WINDOWS"],
    (1, 4),
    "How many windows of a large source a sweep reads side by side.",
)
.default("4");

pub(crate) const BODIES_DAYS: Setting =
    number("retention.bodies_days", &["SUPPRESSD_BODIES_DAYS"], (1, 3650), "How long bodies of events are kept.")
        .default("30");
pub(crate) const IDS_DAYS: Setting = number(
    "retention.ids_days",
    &["SUPPRESSD_IDS_DAYS"],
    (1, 3650),
    "How long events are kept without their bodies, to know them again; not shorter than their bodies.",
)
.default("90");
pub(crate) const CHANGES_DAYS: Setting = number(
    "retention.changes_days",
    &["SUPPRESSD_CHANGES_DAYS"],
    (1, 3650),
    "How long the history of the entries is kept.",
)
.default("365");

pub(crate) const SWEEPS_DAYS: Setting = number(
    "retention.sweeps_days",
    &["SUPPRESSD_SWEEPS_DAYS"],
    (1, 3650),
    "How long past sweeps are kept, with the differences that they found.",
)
.default("365");

pub(crate) const STATSD: Setting = text(
    "metrics.statsd",
    &["SUPPRESSD_STATSD"],
    None,
    "Where `serve` sends its series over UDP, as `host:port`, for those who collect by StatsD.",
);
pub(crate) const STATSD_PREFIX: Setting = text(
    "metrics.statsd_prefix",
    &["SUPPRESSD_STATSD_PREFIX"],
    Some("suppressd"),
    "What stands before the names there, with a dot.",
);

/// Every setting that the file may have, section by section.
pub(crate) const ALL: [Setting; 34] = [
    DB_PATH,
    CHECKPOINTS,
    TTL_DAYS,
    MAX_AGE_HOURS,
    SHARED_HOSTS,
    LOG_LEVEL,
    LOG_FORMAT,
    API_KEY,
    VERIFICATION_TOKEN,
    VERIFICATION_TOKEN_PREVIOUS,
    DATABASE_ID,
    DATA_SOURCE_ID,
    HARD_STATUSES,
    BASE_URL,
    VERSION,
    REQUESTS_PER_MINUTE,
    TIMEOUT_SECONDS,
    CONCURRENCY,
    INDEX_LAG_SECONDS,
    HANDSHAKE_TOKEN_PATH,
    LISTEN,
    ADMIN_LISTEN,
    ADMIN_TOKEN,
    GRACE_SECONDS,
    INTAKE_QUEUE,
    SWEEP_AT,
    SWEEP_TIME_ZONE,
    SWEEP_WINDOWS,
    BODIES_DAYS,
    IDS_DAYS,
    CHANGES_DAYS,
    SWEEPS_DAYS,
    STATSD,
    STATSD_PREFIX,
];

impl Kind {
    /// Returns the smallest and the largest number that is taken.
    pub(crate) const fn bounds(self) -> (u64, u64) {
        match self {
            Self::Number { min, max } => (min, max),
            Self::Text | Self::List | Self::Secret => (0, u64::MAX),
        }
    }
}

type Variables = &'static [&'static str];

const fn text(key: &'static str, variables: Variables, default: Option<&'static str>, doc: &'static str) -> Setting {
    Setting { key, variables, flag: None, kind: Kind::Text, default, doc, is_live: false }
}

const fn number(key: &'static str, variables: Variables, bounds: (u64, u64), doc: &'static str) -> Setting {
    let (min, max) = bounds;
    Setting { key, variables, flag: None, kind: Kind::Number { min, max }, default: None, doc, is_live: false }
}

const fn list(key: &'static str, variables: Variables, default: &'static str, doc: &'static str) -> Setting {
    Setting { key, variables, flag: None, kind: Kind::List, default: Some(default), doc, is_live: false }
}

const fn secret(key: &'static str, variables: Variables, doc: &'static str) -> Setting {
    Setting { key, variables, flag: None, kind: Kind::Secret, default: None, doc, is_live: true }
}

impl Setting {
    const fn flag(self, flag: &'static str) -> Self {
        Self { flag: Some(flag), ..self }
    }

    const fn live(self) -> Self {
        Self { is_live: true, ..self }
    }

    const fn default(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    /// Splits the key into its section, if it stands in one, and its name there.
    pub(crate) fn section(&self) -> (Option<&'static str>, &'static str) {
        match self.key.split_once('.') {
            Some((section, name)) => (Some(section), name),
            None => (None, self.key),
        }
    }

    /// Describes the flag: what the setting is for, its variables and its default.
    pub(crate) fn help(&self) -> String {
        let default = self.default.map(|default| format!(" [default: {default}]")).unwrap_or_default();
        format!("{} [env: {}]{default}", self.doc, self.variables.join(", "))
    }
}
