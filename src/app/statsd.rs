//! The series sent to StatsD, for those who collect that way: the same names, with the tags of DogStatsD.
//!
//! Every ten seconds gauges are sent as they are and counters by how much they have grown; what a histogram counts is sent
//! as it is counted. UDP tells nobody whether it arrived. Whoever counts never waits for this part: what finds no room is
//! left out and counted, and so is nothing else when nobody listens.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use cadence::{BufferedUdpMetricSink, Counted as _, Gauged as _, Histogrammed as _, MetricBuilder, StatsdClient};
use prometheus::proto::{Metric, MetricFamily, MetricType};
use tokio::{
    net::lookup_host,
    select,
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    config::Statsd,
    lookup::scrape::Scrape,
    metrics::{Observed, PREFIX, state::Reading},
    store::Store,
};

/// How often what was counted one by one is sent.
const FLUSHED_EVERY: Duration = Duration::from_secs(1);

/// How often gauges and counters are sent.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// How often the host is looked up again: what stands behind a name may move.
const FOUND_EVERY: Duration = Duration::from_mins(5);

/// How long a name is looked up.
const FOUND_WITHIN: Duration = Duration::from_secs(2);

/// As many values are sent before anything else gets its turn.
const SENT_AT_ONCE: usize = 256;

/// Sends series.
#[derive(Debug)]
pub(super) struct Teller<S> {
    settings: Statsd,
    scrape: Scrape<S>,
    observed: mpsc::Receiver<Observed>,
    line: Option<Line>,
    found_at: Option<Instant>,
    is_lost: bool,
    counted: BTreeMap<String, f64>,
}

/// The way to whoever listens.
#[derive(Debug)]
struct Line {
    address: SocketAddr,
    client: StatsdClient,
}

impl<S: Store> Teller<S> {
    /// Makes a teller of what `scrape` shows; from now on every value is kept for it.
    pub(super) fn new(settings: Statsd, scrape: Scrape<S>) -> Self {
        let observed = scrape.metrics().listen();
        Self { settings, scrape, observed, line: None, found_at: None, is_lost: false, counted: BTreeMap::new() }
    }

    /// Tells until `over`, and then once more.
    pub(super) async fn run(mut self, over: CancellationToken) {
        let (mut flush, mut tell) = (interval(FLUSHED_EVERY), interval(TOLD_EVERY));
        flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tell.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut values = Vec::with_capacity(SENT_AT_ONCE);
        loop {
            select! {
                () = over.cancelled() => break,
                _ = tell.tick() => {
                    self.find().await;
                    let families = self.scrape.families().await;
                    self.tell(&families);
                }
                _ = flush.tick() => self.flush(),
                _ = self.observed.recv_many(&mut values, SENT_AT_ONCE),
                    if self.line.is_some() && !self.observed.is_closed() =>
                {
                    values.drain(..).for_each(|value| self.observe(value));
                }
            }
        }
        while let Ok(value) = self.observed.try_recv() {
            self.observe(value);
        }
        // The store may be closed by now; what was counted is what would be lost.
        let families = self.scrape.metrics().families(Reading::default());
        self.tell(&families);
        self.flush();
    }

    /// Finds whoever is to be told, if that was not done lately.
    async fn find(&mut self) {
        if self.line.is_some() && self.found_at.is_some_and(|at| at.elapsed() < FOUND_EVERY) {
            return;
        }
        self.found_at = Some(Instant::now());
        let Statsd { host, port, prefix } = &self.settings;
        let found = timeout(FOUND_WITHIN, lookup_host((host.as_str(), *port))).await;
        let address = match found {
            Ok(Ok(mut addresses)) => addresses.next(),
            Ok(Err(_)) | Err(_) => None,
        };
        let known = self.line.as_ref().map(|line| line.address);
        if address.is_some() && address == known {
            return;
        }
        match address.and_then(|address| Some(Line { address, client: client(address, prefix)? })) {
            Some(line) => {
                info!(statsd.address = %line.address, "series are sent to StatsD at {}", line.address);
                (self.line, self.is_lost) = (Some(line), false);
            }
            // The old way may still be right.
            None if !self.is_lost => {
                warn!("cannot find the StatsD at {host}:{port} of the settings: trying again every now and then");
                self.is_lost = true;
            }
            None => (),
        }
    }

    /// Tells what gauges say, and by how much counters have grown.
    fn tell(&mut self, families: &[MetricFamily]) {
        let Some(Line { client, .. }) = &self.line else { return };
        for family in families {
            let name = short(family.name());
            for metric in family.get_metric() {
                match family.get_field_type() {
                    MetricType::COUNTER => {
                        let grown = grown(&mut self.counted, family.name(), metric);
                        if grown > 0 {
                            tagged(client.count_with_tags(name, grown), metric).send();
                        }
                    }
                    MetricType::GAUGE => {
                        let value = metric.get_gauge().get_value();
                        // It has no word for what is without end.
                        if value.is_finite() {
                            tagged(client.gauge_with_tags(name, value), metric).send();
                        }
                    }
                    // Told one by one.
                    MetricType::HISTOGRAM | MetricType::SUMMARY | MetricType::UNTYPED => (),
                }
            }
        }
    }

    fn observe(&self, value: Observed) {
        let Some(Line { client, .. }) = &self.line else { return };
        let mut sent = client.histogram_with_tags(short(value.name), value.seconds);
        if let Some((label, word)) = value.label {
            sent = sent.with_tag(label, word);
        }
        sent.send();
    }

    fn flush(&self) {
        if let Some(Line { client, .. }) = &self.line {
            // Nobody may be listening, which is not ours to mend.
            drop(client.flush());
        }
    }
}

/// Returns by how much a counter has grown since it was told last, in whole numbers; the rest is told another time.
#[expect(clippy::cast_possible_truncation, reason = "what a process counts in ten seconds is far below 2^52")]
fn grown(counted: &mut BTreeMap<String, f64>, name: &str, metric: &Metric) -> i64 {
    let labels = metric.get_label().iter().map(|label| format!(",{}={}", label.name(), label.value()));
    let told = counted.entry([name.to_owned()].into_iter().chain(labels).collect()).or_default();
    let grown = (metric.get_counter().get_value() - *told).floor().max(0.0);
    *told += grown;
    grown as i64
}

fn tagged<'m, 'c, T>(mut sent: MetricBuilder<'m, 'c, T>, metric: &'m Metric) -> MetricBuilder<'m, 'c, T>
where
    T: cadence::Metric + From<String>,
{
    for label in metric.get_label() {
        sent = sent.with_tag(label.name(), label.value());
    }
    sent
}

/// The prefix of the settings stands instead of ours.
fn short(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

fn client(address: SocketAddr, prefix: &str) -> Option<StatsdClient> {
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.set_nonblocking(true).ok()?;
    let sink = BufferedUdpMetricSink::from(address, socket).ok()?;
    Some(StatsdClient::from_sink(prefix, sink))
}
