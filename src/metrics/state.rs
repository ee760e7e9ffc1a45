//! Series that are read when somebody asks, from the store, from the parts of a running `serve` or from the system.

use std::collections::BTreeMap;

use prometheus::proto::{self, Metric, MetricFamily};

use crate::metrics::{
    Described, described as family,
    family::{Kind, counter, pair},
};

/// A series that is read, with so many labels.
#[derive(Debug)]
pub struct State<const N: usize> {
    name: &'static str,
    kind: Kind,
    labels: [&'static str; N],
    help: &'static str,
}

/// What was read at one moment.
#[derive(Debug, Clone, Default)]
pub struct Reading(BTreeMap<&'static str, Read>);

/// What was read of one series.
#[derive(Debug, Clone)]
struct Read {
    kind: Kind,
    labels: Vec<&'static str>,
    help: &'static str,
    values: BTreeMap<Vec<String>, f64>,
}

impl Reading {
    /// Notes what a series says; what it said before of the same labels is forgotten.
    pub fn set<const N: usize>(&mut self, state: &State<N>, labels: [&str; N], value: f64) {
        *self.value(state, labels) = value;
    }

    /// Notes a count.
    pub fn count<const N: usize>(&mut self, state: &State<N>, labels: [&str; N], count: u64) {
        self.set(state, labels, exact(count));
    }

    /// Adds to a count.
    pub fn add<const N: usize>(&mut self, state: &State<N>, labels: [&str; N], count: u64) {
        *self.value(state, labels) += exact(count);
    }

    /// Notes whether something is so.
    pub fn whether<const N: usize>(&mut self, state: &State<N>, labels: [&str; N], is_so: bool) {
        self.set(state, labels, if is_so { 1.0 } else { 0.0 });
    }

    /// Takes over everything that `other` says.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    fn value<const N: usize>(&mut self, state: &State<N>, labels: [&str; N]) -> &mut f64 {
        let read = self.0.entry(state.name).or_insert_with(|| Read {
            kind: state.kind,
            labels: state.labels.to_vec(),
            help: state.help,
            values: BTreeMap::new(),
        });
        read.values.entry(labels.map(str::to_owned).to_vec()).or_default()
    }

    /// Returns what was read, in the order of the names.
    pub fn into_families(self) -> impl Iterator<Item = MetricFamily> {
        self.0.into_iter().map(|(name, read)| {
            let mut family = family(name, read.help, read.kind);
            family.set_metric(read.values.iter().map(|(words, value)| read.metric(words, *value)).collect());
            family
        })
    }
}

impl Read {
    fn metric(&self, words: &[String], value: f64) -> Metric {
        let labels: Vec<_> = self.labels.iter().copied().zip(words.iter().map(String::as_str)).collect();
        if self.kind == Kind::Counter {
            return counter(&labels, value);
        }
        let mut gauge = proto::Gauge::default();
        gauge.set_value(value);
        let mut metric = Metric::from_label(labels.iter().map(|(name, word)| pair(name, word)).collect());
        metric.set_gauge(gauge);
        metric
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count that is off by one in 10^16 is right enough")]
const fn exact(count: u64) -> f64 {
    count as f64
}

macro_rules! states {
    ($($(#[doc = $help:literal])+ $kind:ident $state:ident [$($label:literal),*] = $name:literal;)*) => {
        $(
            $(#[doc = $help])+
            pub const $state: State<{ { let labels: &[&str] = &[$($label),*]; labels.len() } }> = State {
                name: $name,
                kind: Kind::$kind,
                labels: [$($label),*],
                help: concat!($($help),+),
            };
        )*

        pub(super) fn described() -> Vec<Described> {
            vec![$(Described {
                name: $state.name,
                kind: $state.kind,
                labels: $state.labels.to_vec(),
                help: $state.help.trim(),
                bounds: &[],
            },)*]
        }
    };
}

states! {
    /// Whether the database could be read for this answer; where not, what is read from it is missing here.
    Gauge STORE_READABLE [] = "suppressd_store_readable";
    /// How long the last sweep took that ended, dry runs aside.
    Gauge SYNC_DURATION_SECONDS [] = "suppressd_sync_duration_seconds";
    /// Pages with a key that the cache stands for since the last sweep that ended: confirmed or written.
    Gauge ENTRIES_SYNCED [] = "suppressd_entries_synced";
    /// Rows that the last sweep that ended deleted because they had expired.
    Gauge ENTRIES_EXPIRED_CLEANED [] = "suppressd_entries_expired_cleaned";
    /// Pages that give no key.
    Gauge ENTRIES_WITHOUT_CANONICAL_KEY ["source"] = "suppressd_entries_without_canonical_key";
    /// Pages that are rows of their source.
    Gauge PAGES ["source"] = "suppressd_pages";
    /// Published rows by the strength of their key; the source is none where another program wrote the row.
    Gauge ENTRIES ["source", "strength"] = "suppressd_entries";
    /// Published rows that have expired.
    Gauge ENTRIES_EXPIRED [] = "suppressd_entries_expired";
    /// Pages for which Notion answers 404.
    Gauge PAGES_MISSING [] = "suppressd_pages_missing";
    /// Keys that several pages claim.
    Gauge KEYS_CONTESTED [] = "suppressd_keys_contested";
    /// Events that are kept, by what became of them.
    Gauge EVENTS ["state"] = "suppressd_events";
    /// Pages and tables that wait to be looked at.
    Gauge QUEUE_DEPTH [] = "suppressd_queue_depth";
    /// For how long the oldest event has waited that waits; 0 where none does.
    Gauge QUEUE_OLDEST_AGE_SECONDS [] = "suppressd_queue_oldest_age_seconds";
    /// When the newest event was received; 0 where none ever was.
    Gauge LAST_EVENT_RECEIVED_TIMESTAMP_SECONDS [] = "suppressd_last_event_received_timestamp_seconds";
    /// How old the oldest proof is: that of the last complete sweep; +Inf before the first one.
    Gauge FRESHNESS_SECONDS ["source"] = "suppressd_freshness_seconds";
    /// When the last complete sweep ended; 0 where there was none.
    Gauge LAST_SUCCESSFUL_SYNC_TIMESTAMP_SECONDS [] = "suppressd_last_successful_sync_timestamp_seconds";
    /// 1 for how the last sweep ended.
    Gauge LAST_SWEEP_OUTCOME ["outcome"] = "suppressd_last_sweep_outcome";
    /// Differences that the last sweep found, by kind.
    Gauge LAST_SWEEP_DRIFT ["kind"] = "suppressd_last_sweep_drift";
    /// Differences that the last sweep found, by what became of the events that should have told them.
    Gauge LAST_SWEEP_DRIFT_TOLD ["told"] = "suppressd_last_sweep_drift_told";
    /// 1 while the last sweep says that the webhook subscription is probably paused.
    Gauge SUBSCRIPTION_SUSPECT [] = "suppressd_subscription_suspect";
    /// 1 while Notion refuses the token of the source.
    Gauge SOURCE_REFUSED ["source"] = "suppressd_source_refused";
    /// 1 while a person has to mend something before the source can be read.
    Gauge SOURCE_PROBLEM ["source"] = "suppressd_source_problem";
    /// Whether edits that touch nothing of ours are skipped.
    Gauge FILTER_ON ["source"] = "suppressd_filter_on";
    /// Requests that may still be sent now with this token, named by the first source that uses it.
    Gauge NOTION_BUDGET_LEFT ["token"] = "suppressd_notion_budget_left";
    /// Requests that may be sent in a minute with this token.
    Gauge NOTION_BUDGET_LIMIT ["token"] = "suppressd_notion_budget_limit";
    /// Whether a part of the program does its work.
    Gauge PART_WELL ["part"] = "suppressd_part_well";
    /// Room that is left on the file system of the database.
    Gauge DISK_FREE_BYTES [] = "suppressd_disk_free_bytes";
    /// Size of the file system of the database.
    Gauge DISK_SIZE_BYTES [] = "suppressd_disk_size_bytes";
    /// Size of the database file.
    Gauge DATABASE_BYTES [] = "suppressd_database_bytes";
    /// Size of the database's write-ahead log.
    Gauge WAL_BYTES [] = "suppressd_wal_bytes";
    /// When the last backup was made; missing where none ever was.
    Gauge LAST_BACKUP_TIMESTAMP_SECONDS [] = "suppressd_last_backup_timestamp_seconds";
    /// Whether a token is known that signs deliveries.
    Gauge WEBHOOK_TOKEN_PRESENT [] = "suppressd_webhook_token_present";
    /// 1, with the version of the program.
    Gauge BUILD_INFO ["version"] = "suppressd_build_info";
    /// Single values that found no room on their way to StatsD.
    Counter STATSD_LEFT_OUT_TOTAL [] = "suppressd_statsd_left_out_total";
    /// Memory of the process that is in use.
    Gauge PROCESS_RESIDENT_MEMORY_BYTES [] = "process_resident_memory_bytes";
    /// Files that the process has open.
    Gauge PROCESS_OPEN_FDS [] = "process_open_fds";
    /// Files that the process may have open.
    Gauge PROCESS_MAX_FDS [] = "process_max_fds";
    /// Processor time that the process has used.
    Counter PROCESS_CPU_SECONDS_TOTAL [] = "process_cpu_seconds_total";
    /// When the process was started.
    Gauge PROCESS_START_TIME_SECONDS [] = "process_start_time_seconds";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Metrics, text};

    #[test]
    fn what_was_read_is_shown_once_for_each_value_of_its_labels() {
        let mut reading = Reading::default();
        reading.count(&PAGES, ["a\"b"], 1);
        reading.count(&PAGES, ["a\"b"], 2);
        reading.add(&ENTRIES, ["crm", "weak"], 2);
        reading.add(&ENTRIES, ["crm", "weak"], 3);
        reading.set(&FRESHNESS_SECONDS, ["crm"], f64::INFINITY);
        let shown = text(&Metrics::default().families(reading));
        let found: Vec<_> = shown.lines().filter(|line| line.contains("a\\\"b") || line.contains("\"crm\"")).collect();
        assert_eq!(
            found,
            [
                "suppressd_entries{source=\"crm\",strength=\"weak\"} 5",
                "suppressd_freshness_seconds{source=\"crm\"} inf",
                "suppressd_pages{source=\"a\\\"b\"} 2",
            ]
        );
    }
}
