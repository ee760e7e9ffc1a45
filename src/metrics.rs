//! Every series that the program shows. The doc comment of a series is its help text.
//!
//! What this process counts is in [`Series`], one for each process and never a global. What is so whichever process did
//! it, such as how many events wait, is read by whoever asks ([`state`]), so that it is right after a restart too.

pub mod counter;
pub mod family;
pub mod histogram;
pub mod label;
mod observed;
pub mod process;
pub mod state;

use std::{ops::Deref, sync::Arc};

use prometheus::{
    TEXT_FORMAT, TextEncoder,
    proto::{MetricFamily, MetricType},
};
use tokio::sync::mpsc;

pub use crate::metrics::observed::Observed;
use crate::metrics::{
    counter::Counter,
    family::{CounterPairs, Counters, Family, Kind, Making, Requests, Seconds},
    histogram::{Histogram, Histograms},
    label::{
        Answer, Endpoint, EventType, FetchedBy, GroupPage, LookupDoor, Part, Refused, Reload, Said, Shaken, Snapshot,
    },
    observed::Observers,
    state::Reading,
};

/// What stands before every name.
pub const PREFIX: &str = "suppressd_";

/// The type of what [`text`] gives.
pub const CONTENT_TYPE: &str = TEXT_FORMAT;

/// What this process counts. Clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    series: Arc<Series>,
    observers: Observers,
}

impl Default for Metrics {
    fn default() -> Self {
        let observers = Observers::default();
        Self { series: Arc::new(Series::new(&observers)), observers }
    }
}

impl Deref for Metrics {
    type Target = Series;

    fn deref(&self) -> &Series {
        &self.series
    }
}

impl Metrics {
    /// Returns every value that a histogram counts from now on; only the first one who asks gets any.
    pub fn listen(&self) -> mpsc::Receiver<Observed> {
        self.observers.listen()
    }

    /// Returns how many values whoever listens did not take in time.
    pub fn left_out(&self) -> u64 {
        self.observers.left_out()
    }

    /// Puts what is counted and what was read together, in the order of the names.
    pub fn families(&self, reading: Reading) -> Vec<MetricFamily> {
        let mut families = self.series.families();
        families.extend(reading.into_families());
        families.sort_by(|a, b| a.name().cmp(b.name()));
        families
    }
}

/// Writes series in Prometheus' text format.
pub fn text(families: &[MetricFamily]) -> String {
    // Names and types are constants, and a family without a series is left out: nothing can be wrong with them.
    TextEncoder::new().encode_to_string(families).unwrap_or_default()
}

/// What a series is, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    /// Its name.
    pub name: &'static str,
    /// What kind of series it is.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: Vec<&'static str>,
    /// What it means.
    pub help: &'static str,
    /// The bounds of its buckets, of a histogram.
    pub bounds: &'static [f64],
}

/// Lists every series: those that are counted, and those that are read.
pub fn catalogue() -> Vec<Described> {
    let mut catalogue = Series::described();
    catalogue.extend(state::described());
    catalogue.sort_by_key(|series| series.name);
    catalogue
}

/// How long a delivery waits for its answer, in seconds.
const ACKNOWLEDGED: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// How long an event waits for its row.
const TO_ROW: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];

/// How long Notion takes to tell.
const TOLD: &[f64] = &[1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];

/// How long a question takes.
const LOOKED_UP: &[f64] =
    &[0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1];

/// How long Notion takes to answer.
const ANSWERED: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

macro_rules! series {
    ($($(#[doc = $help:literal])+ $field:ident: $family:ty = $name:literal $(within $bounds:ident)?;)*) => {
        /// What a process counts.
        #[derive(Debug)]
        pub struct Series {
            $($(#[doc = $help])+ pub $field: $family,)*
        }

        impl Series {
            fn new(observers: &Observers) -> Self {
                Self {
                    $($field: Family::make(&Making {
                        name: concat!("suppressd_", $name),
                        bounds: series!(@bounds $($bounds)?),
                        observers,
                    }),)*
                }
            }

            fn families(&self) -> Vec<MetricFamily> {
                vec![$({
                    let mut family = described(
                        concat!("suppressd_", $name), concat!($($help),+), <$family as Family>::KIND,
                    );
                    family.set_metric(self.$field.metrics());
                    family
                },)*]
            }

            fn described() -> Vec<Described> {
                vec![$(Described {
                    name: concat!("suppressd_", $name),
                    kind: <$family as Family>::KIND,
                    labels: <$family as Family>::labels(),
                    help: concat!($($help),+).trim(),
                    bounds: series!(@bounds $($bounds)?),
                },)*]
            }
        }
    };
    (@bounds) => { &[] };
    (@bounds $bounds:ident) => { $bounds };
}

/// Begins a family of series.
fn described(name: &str, help: &str, kind: Kind) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.trim().to_owned());
    family.set_field_type(match kind {
        Kind::Counter => MetricType::COUNTER,
        Kind::Gauge => MetricType::GAUGE,
        Kind::Histogram => MetricType::HISTOGRAM,
    });
    family
}

series! {
    /// Deliveries that were signed correctly, by the kind of their event and by what became of them.
    events_received: CounterPairs<EventType, Answer> = "events_received_total";
    /// Deliveries that were refused: nothing of them is kept.
    deliveries_refused: Counters<Refused> = "deliveries_refused_total";
    /// Handshakes of subscriptions.
    handshakes: Counters<Shaken> = "handshakes_total";
    /// Connections that gave way to newer ones, because too many were open.
    connections_crowded_out: Counter = "connections_crowded_out_total";
    /// From the arrival of a delivery to its answer, of those that were acknowledged.
    event_acknowledged: Histogram = "event_acknowledged_seconds" within ACKNOWLEDGED;
    /// From the receipt of an event to the end of its work, when the rows are as its page is.
    event_to_row: Histogram = "event_to_row_seconds" within TO_ROW;
    /// From the moment at which an event happened, as Notion says, to its receipt.
    event_delivery_lag: Histogram = "event_delivery_lag_seconds" within TOLD;
    /// Requests to Notion, by what was asked for and the status of the answer; without one it is none.
    notion_requests: Requests = "notion_requests_total";
    /// How long requests to Notion took, without their wait for the budget.
    notion_request: Histograms<Endpoint> = "notion_request_seconds" within ANSWERED;
    /// Pages that Notion gave, in answers about one page, about many, or to a sweep.
    notion_pages_fetched: Counters<FetchedBy> = "notion_pages_fetched_total";
    /// Questions to Notion that failed and are asked again.
    notion_retries: Counter = "notion_retries_total";
    /// Questions to Notion that had to wait for the budget.
    notion_budget_waits: Counter = "notion_budget_waits_total";
    /// For how long questions to Notion waited for the budget in all.
    notion_budget_wait: Seconds = "notion_budget_wait_seconds_total";
    /// Questions of sweeps among all requests to Notion.
    sweep_questions: Counter = "sweep_requests_total";
    /// Questions of sweeps that Notion did not answer whole; most are asked again.
    sweep_questions_failed: Counter = "sweep_requests_failed_total";
    /// Looks at pages, by what they brought.
    snapshots: Counters<Snapshot> = "snapshots_total";
    /// Looks that failed, whatever became of their events.
    looks_failed: Counter = "looks_failed_total";
    /// Looks whose events were parked: nobody works on them until somebody takes them up again.
    looks_parked: Counter = "looks_parked_total";
    /// Looks at pages only because an event that was skipped is a sample.
    looks_at_samples: Counter = "looks_at_samples_total";
    /// Skipped events that had changed a row after all: each turned the filter of its source off.
    skips_wrong: Counter = "skips_wrong_total";
    /// Pages of results that were asked for to look at many pages at once.
    group_queries: Counter = "group_queries_total";
    /// Pages that such queries were about, by what came of it.
    group_pages: Counters<GroupPage> = "group_pages_total";
    /// Things that went wrong, by where.
    errors: Counters<Part> = "errors_total";
    /// Companies that were asked for, by where and with which verdict.
    lookups: CounterPairs<LookupDoor, Said> = "lookups_total";
    /// How long questions took, each about one company or many.
    lookup: Histograms<LookupDoor> = "lookup_seconds" within LOOKED_UP;
    /// Settings that were read again.
    settings_reloads: Counters<Reload> = "settings_reloads_total";
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use super::*;

    #[test]
    fn clones_count_together_and_processes_do_not() {
        let metrics = Metrics::default();
        let other = metrics.clone();
        other.events_received.count(EventType::OTHER, Answer::Accepted);
        metrics.events_received.add(EventType::OTHER, Answer::Accepted, 2);
        assert_eq!(other.events_received.all(Answer::Accepted), 3);
        assert_eq!(Metrics::default().events_received.all(Answer::Accepted), 0);
    }

    #[test]
    fn every_name_is_fit_and_there_is_one_of_each() {
        let catalogue = catalogue();
        let names: BTreeSet<_> = catalogue.iter().map(|series| series.name).collect();
        assert_eq!(names.len(), catalogue.len());
        for series in catalogue {
            let plain = series.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            assert!(
                plain && (series.name.starts_with(PREFIX) || series.name.starts_with("process_")),
                "{}",
                series.name
            );
            assert_eq!(series.kind == Kind::Counter, series.name.ends_with("_total"), "{}", series.name);
            assert_eq!(series.kind == Kind::Histogram, !series.bounds.is_empty(), "{}", series.name);
            assert!(series.bounds.is_sorted(), "{}", series.name);
            assert!(series.help.ends_with('.') && !series.help.contains('\n'), "{}", series.name);
        }
    }

    #[test]
    fn what_is_counted_is_shown() {
        let metrics = Metrics::default();
        metrics.deliveries_refused.count(Refused::TooLarge);
        metrics.notion_requests.count(Endpoint::Page, Some(200));
        metrics.notion_requests.count(Endpoint::Page, Some(9999));
        metrics.notion_budget_wait.add(Duration::from_millis(1500));
        metrics.lookup.observe(LookupDoor::Mcp, Duration::from_micros(20));
        let shown = text(&metrics.families(Reading::default()));
        for line in [
            "# TYPE suppressd_deliveries_refused_total counter",
            "suppressd_deliveries_refused_total{reason=\"too_large\"} 1",
            "suppressd_deliveries_refused_total{reason=\"signature\"} 0",
            "suppressd_notion_requests_total{endpoint=\"page\",status=\"200\"} 1",
            "suppressd_notion_requests_total{endpoint=\"page\",status=\"none\"} 1",
            "suppressd_notion_budget_wait_seconds_total 1.5",
            "suppressd_lookup_seconds_bucket{door=\"mcp\",le=\"0.00001\"} 0",
            "suppressd_lookup_seconds_bucket{door=\"mcp\",le=\"0.000025\"} 1",
            "suppressd_lookup_seconds_bucket{door=\"mcp\",le=\"+Inf\"} 1",
            "suppressd_lookup_seconds_count{door=\"http\"} 0",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line} is not in\n{shown}");
        }
    }

    #[test]
    fn who_listens_hears_every_value() {
        let metrics = Metrics::default();
        let mut heard = metrics.listen();
        metrics.lookup.observe(LookupDoor::Http, Duration::from_millis(2));
        let expected = Observed { name: "suppressd_lookup_seconds", label: Some(("door", "http")), seconds: 0.002 };
        assert_eq!(heard.try_recv().unwrap(), expected);
    }
}
