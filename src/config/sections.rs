//! The sections of the settings that nobody has to ask for: they are whole in every configuration.

use std::{net::SocketAddr, time::Duration};

use chrono::NaiveTime;
use chrono_tz::Tz;
use url::Url;

use crate::config::{
    layers::{Layers, Noted},
    parse,
    problem::{Fault, quote},
    settings::{self, Setting},
};

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Directives of a `tracing` filter.
    pub filter: String,
    /// The form of the lines.
    pub format: LogFormat,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For collectors: an object a line.
    Json,
}

/// How Notion is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Api {
    /// Where the API is; `https`, or on this machine.
    pub base_url: Url,
    /// The value of the header `Notion-Version`.
    pub version: &'static str,
    /// The budget of one token.
    pub requests_per_minute: u32,
    /// How long one request may take.
    pub timeout: Duration,
    /// How many pages are fetched at once.
    pub concurrency: usize,
    /// How far a query's results may trail the page itself.
    pub index_lag: Duration,
}

/// How `serve` serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serve {
    /// The public address.
    pub listen: SocketAddr,
    /// The private address.
    pub admin_listen: SocketAddr,
    /// How long work that has begun may take to end after a stop is asked for.
    pub grace: Duration,
    /// How many deliveries may wait for their commit.
    pub intake_queue: usize,
}

/// When and how sweeps are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sweep {
    /// When `serve` sweeps every day; `None` where it does not.
    pub at: Option<NaiveTime>,
    /// Whose clock that is; `None` for this machine's.
    pub zone: Option<Tz>,
    /// How many windows are read side by side.
    pub windows: usize,
}

/// How long things are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Bodies of events.
    pub bodies: Duration,
    /// Events without their bodies, to know them again.
    pub ids: Duration,
    /// The history of the entries.
    pub changes: Duration,
    /// Past sweeps, with the differences that they found.
    pub sweeps: Duration,
}

/// Where series are sent to, beside being shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statsd {
    /// The host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What stands before the names.
    pub prefix: String,
}

impl Statsd {
    pub(crate) fn read<E: Fn(&str) -> Option<String>>(layers: &mut Layers<'_, E>) -> Result<Option<Self>, Noted> {
        let address = layers.optional_text(&settings::STATSD, parse::host_port);
        let prefix = layers.text(&settings::STATSD_PREFIX, parse::statsd_prefix);
        let (address, prefix) = (address?, prefix?);
        Ok(address.map(|(host, port)| Self { host, port, prefix }))
    }
}

impl Log {
    pub(crate) fn read<E: Fn(&str) -> Option<String>>(layers: &mut Layers<'_, E>) -> Result<Self, Noted> {
        let filter = layers.text(&settings::LOG_LEVEL, parse::log_filter);
        let format = layers.text(&settings::LOG_FORMAT, LogFormat::parse);
        Ok(Self { filter: filter?, format: format? })
    }
}

impl LogFormat {
    /// Every form.
    pub const ALL: [Self; 2] = [Self::Text, Self::Json];

    /// Returns the word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }

    fn parse(text: &str) -> Result<Self, Fault> {
        Self::ALL
            .into_iter()
            .find(|format| format.name() == text)
            .ok_or_else(|| Fault::new(format!("is {}", quote(text)), "write text or json"))
    }
}

impl Api {
    pub(crate) fn read<E: Fn(&str) -> Option<String>>(layers: &mut Layers<'_, E>) -> Result<Self, Noted> {
        let base_url = layers.text(&settings::BASE_URL, parse::base_url);
        let version = layers.text(&settings::VERSION, parse::version);
        let requests_per_minute = layers.number(&settings::REQUESTS_PER_MINUTE);
        let timeout = layers.number(&settings::TIMEOUT_SECONDS).map(Duration::from_secs);
        let concurrency = layers.number::<u32>(&settings::CONCURRENCY);
        let index_lag = layers.number(&settings::INDEX_LAG_SECONDS).map(Duration::from_secs);
        Ok(Self {
            base_url: base_url?,
            version: version?,
            requests_per_minute: requests_per_minute?,
            timeout: timeout?,
            concurrency: concurrency? as usize,
            index_lag: index_lag?,
        })
    }
}

impl Serve {
    pub(crate) fn read<E: Fn(&str) -> Option<String>>(layers: &mut Layers<'_, E>) -> Result<Self, Noted> {
        let listen = layers.text(&settings::LISTEN, parse::socket);
        let admin_listen = layers.text(&settings::ADMIN_LISTEN, parse::socket);
        let grace = layers.number(&settings::GRACE_SECONDS).map(Duration::from_secs);
        let intake_queue = layers.number(&settings::INTAKE_QUEUE);
        let (listen, admin_listen) = (listen?, admin_listen?);
        if listen == admin_listen && listen.port() != 0 {
            let fault = Fault::new("is the public address as well", "give each its own port");
            return Err(layers.refuse(&settings::ADMIN_LISTEN, fault));
        }
        Ok(Self { listen, admin_listen, grace: grace?, intake_queue: intake_queue? })
    }
}

impl Sweep {
    pub(crate) fn read<E: Fn(&str) -> Option<String>>(layers: &mut Layers<'_, E>) -> Result<Self, Noted> {
        let at = layers.text(&settings::SWEEP_AT, parse::daily);
        let zone = layers.text(&settings::SWEEP_TIME_ZONE, parse::zone);
        let windows = layers.number::<u32>(&settings::SWEEP_WINDOWS);
        Ok(Self { at: at?, zone: zone?, windows: windows? as usize })
    }
}

impl Retention {
    pub(crate) fn read<E: Fn(&str) -> Option<String>>(layers: &mut Layers<'_, E>) -> Result<Self, Noted> {
        let bodies = days(layers, &settings::BODIES_DAYS);
        let ids = days(layers, &settings::IDS_DAYS);
        let changes = days(layers, &settings::CHANGES_DAYS);
        let sweeps = days(layers, &settings::SWEEPS_DAYS);
        let (bodies, ids) = (bodies?, ids?);
        if ids < bodies {
            let fault = Fault::new("is shorter than `retention.bodies_days`", "keep ids at least as long as bodies");
            return Err(layers.refuse(&settings::IDS_DAYS, fault));
        }
        Ok(Self { bodies, ids, changes: changes?, sweeps: sweeps? })
    }
}

/// Reads a number of days.
pub(crate) fn days<E: Fn(&str) -> Option<String>>(
    layers: &mut Layers<'_, E>,
    setting: &Setting,
) -> Result<Duration, Noted> {
    Ok(Duration::from_hours(24 * layers.number::<u64>(setting)?))
}

/// Counts the hours of a duration that was made of hours.
pub(crate) fn whole_hours(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs() / 3600).unwrap_or(i64::MAX)
}
