//! Every series: shown whole, exact, bounded, and right after a restart too; told to StatsD as well.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::Duration,
};

use reqwest::StatusCode;
use suppressd::{
    lifecycle::Ended,
    metrics::{self, Described, family::Kind},
    model::sweep::{AskedBy, SweepOrder},
    simulator::{Settings, draft::company},
    store::{EventState, Store as _},
};
use tokio::net::UdpSocket;

use crate::{
    pipeline::connect,
    program::{Program, repository},
    world::World,
};

/// The page about all series.
const PAGE: &str = "deploy/METRICS.md";

/// Where its table begins and ends.
const MARKS: [&str; 2] = ["<!-- series -->\n", "<!-- end of series -->"];

/// What was shown at one moment.
struct Shown {
    text: String,
}

impl Shown {
    async fn of(world: &World) -> Self {
        let response = world.http.get(world.private_url("/metrics")).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4");
        Self { text: response.text().await.unwrap() }
    }

    /// What a series says; `None` where it is not shown.
    fn find(&self, series: &str) -> Option<f64> {
        let values = self.text.lines().filter_map(|line| line.rsplit_once(' '));
        values.into_iter().find(|(shown, _)| *shown == series).map(|(_, value)| value.parse().unwrap())
    }

    /// Checks what series say; all names begin with ours.
    fn check(&self, expected: &[(&str, u32)]) {
        for (series, value) in expected {
            let series = format!("suppressd_{series}");
            assert_eq!(self.find(&series), Some(f64::from(*value)), "{series} in\n{}", self.text);
        }
    }

    /// Each family with its type and its help.
    fn families(&self) -> BTreeMap<&str, (&str, &str)> {
        let (helps, kinds) = (self.told("# HELP "), self.told("# TYPE "));
        assert_eq!(helps.len(), kinds.len());
        kinds.into_iter().map(|(name, kind)| (name, (kind, *helps.get(name).unwrap()))).collect()
    }

    fn told(&self, what: &str) -> BTreeMap<&str, &str> {
        let mut told = BTreeMap::new();
        for line in self.text.lines() {
            if let Some((name, text)) = line.strip_prefix(what).and_then(|rest| rest.split_once(' ')) {
                assert_eq!(told.insert(name, text), None, "{name} is described twice");
            }
        }
        told
    }

    /// The names of the labels of each series, as they are shown.
    fn labels(&self, name: &str) -> BTreeSet<Vec<String>> {
        let of = |line: &str| {
            let (series, _) = line.rsplit_once(' ')?;
            let (family, labels) = series.split_once('{').unwrap_or((series, ""));
            let ends = ["", "_bucket", "_sum", "_count"];
            ends.iter().any(|end| family == format!("{name}{end}")).then_some(())?;
            let names = labels.split("=\"").filter_map(|part| part.rsplit(['{', ',', '"']).next());
            let names = names.filter(|name| !matches!(*name, "" | "}" | "le"));
            Some(names.map(str::to_owned).collect())
        };
        self.text.lines().filter(|line| !line.starts_with('#')).filter_map(of).collect()
    }
}

const fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    }
}

/// The table of the page.
fn table() -> String {
    let row = |series: &Described| {
        let labels: Vec<_> = series.labels.iter().map(|label| format!("`{label}`")).collect();
        format!("| `{}` | {} | {} | {} |\n", series.name, word(series.kind), labels.join(", "), series.help)
    };
    let rows: String = metrics::catalogue().iter().map(row).collect();
    format!("| series | type | labels | meaning |\n| --- | --- | --- | --- |\n{rows}")
}

#[test]
fn the_page_has_every_series_as_the_program_describes_it() {
    let page = fs::read_to_string(repository(PAGE)).unwrap();
    let (before, rest) = page.split_once(MARKS[0]).unwrap();
    let (found, after) = rest.split_once(MARKS[1]).unwrap();
    let (right, table) = (concat!(env!("CARGO_TARGET_TMPDIR"), "/METRICS.md"), table());
    fs::write(right, [before, MARKS[0], &table, MARKS[1], after].concat()).unwrap();
    assert_eq!(found, table, "{PAGE} as it should be is in {right}");
}

#[tokio::test]
async fn every_series_of_the_catalogue_is_shown_and_no_other() {
    let world = World::start().await;
    let backup = r#"{"at": "2026-09-01T10:00:00Z", "path": "/backup.db", "bytes": 1, "digest": ""}"#;
    world.serving.store.write(move |rows| rows.put_fact("last_backup", backup)).await.unwrap();
    let shown = Shown::of(&world).await;
    let catalogue = metrics::catalogue();
    let expected = catalogue.iter().map(|series| (series.name, (word(series.kind), series.help)));
    assert_eq!(shown.families(), expected.collect());
    for series in &catalogue {
        let labels: Vec<_> = series.labels.iter().map(|label| (*label).to_owned()).collect();
        assert_eq!(shown.labels(series.name), BTreeSet::from([labels]), "{}", series.name);
    }
    assert_eq!(shown.find("suppressd_last_backup_timestamp_seconds"), Some(1_788_256_800.0));
}

#[tokio::test]
async fn after_real_deliveries_the_figures_are_exact() {
    let world = World::start().await;
    let acme = world.workspace().create(company("Acme").website("acme.com"));
    let bolt = world.workspace().create(company("Bolt").website("bolt.com"));
    let nameless = world.workspace().create(company(""));
    for (id, kind, page) in [
        ("1", "page.created", acme),
        ("2", "page.created", bolt),
        ("3", "page.created", nameless),
        ("1", "page.created", acme),
        ("4", "view.created", acme),
        ("5", "page.teleported", acme),
    ] {
        assert_eq!(world.deliver(&world.event(id, kind, page)).await, StatusCode::OK);
    }
    assert_eq!(world.deliver("{").await, StatusCode::OK);
    assert_eq!(world.post("{}", None).await, StatusCode::UNAUTHORIZED);
    assert_eq!(world.deliver(&" ".repeat(1024 * 1024 + 1)).await, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(world.post(r#"{"verification_token":"secret_other"}"#, None).await, StatusCode::OK);
    world.settled().await;
    world.ask("/v1/suppression/acme.com").await;
    world.ask("/v1/suppression/nobody.com").await;
    world.ask("/v1/suppression/localhost").await;
    let list = world.http.post(world.private_url("/v1/check")).body(r#"["acme.com", {"nonsense": 1}]"#);
    assert_eq!(list.send().await.unwrap().status(), StatusCode::OK);

    world
        .until("the counts are new", async || {
            Shown::of(&world).await.find("suppressd_events{state=\"settled\"}") == Some(3.0)
        })
        .await;
    let shown = Shown::of(&world).await;
    shown.check(&AFTER_DELIVERIES);
    assert_eq!(shown.find("suppressd_freshness_seconds{source=\"notion\"}"), Some(f64::INFINITY));
    let secrets = [world.simulator.token(), world.simulator.verification_token(), "acme", "secret_other"];
    for secret in secrets.map(str::to_owned).into_iter().chain([acme.to_string()]) {
        assert!(!shown.text.contains(&secret), "{secret} in\n{}", shown.text);
    }
}

/// What is shown after those deliveries.
const AFTER_DELIVERIES: [(&str, u32); 39] = [
    ("events_received_total{type=\"page.created\",answer=\"accepted\"}", 3),
    ("events_received_total{type=\"page.created\",answer=\"duplicate\"}", 1),
    ("events_received_total{type=\"view.created\",answer=\"ignored\"}", 1),
    ("events_received_total{type=\"other\",answer=\"ignored\"}", 1),
    ("events_received_total{type=\"other\",answer=\"unreadable\"}", 1),
    ("events_received_total{type=\"page.created\",answer=\"skipped\"}", 0),
    ("deliveries_refused_total{reason=\"signature\"}", 1),
    ("deliveries_refused_total{reason=\"too_large\"}", 1),
    ("handshakes_total{answer=\"ignored\"}", 1),
    ("event_acknowledged_seconds_count", 7),
    ("event_to_row_seconds_count", 3),
    ("event_delivery_lag_seconds_count", 5),
    ("event_delivery_lag_seconds_bucket{le=\"30\"}", 0),
    ("notion_requests_total{endpoint=\"page\",status=\"200\"}", 3),
    ("notion_requests_total{endpoint=\"page\",status=\"404\"}", 0),
    ("notion_request_seconds_count{endpoint=\"page\"}", 3),
    ("notion_pages_fetched_total{by=\"page\"}", 3),
    ("snapshots_total{outcome=\"changed\"}", 3),
    ("lookups_total{door=\"http\",verdict=\"suppressed\"}", 2),
    ("lookups_total{door=\"http\",verdict=\"stale\"}", 1),
    ("lookups_total{door=\"http\",verdict=\"error\"}", 2),
    ("lookup_seconds_count{door=\"http\"}", 4),
    ("lookup_seconds_count{door=\"mcp\"}", 0),
    ("events{state=\"ignored\"}", 2),
    ("events{state=\"unreadable\"}", 1),
    ("events{state=\"waiting\"}", 0),
    ("queue_depth", 0),
    ("queue_oldest_age_seconds", 0),
    ("pages{source=\"notion\"}", 3),
    ("entries{source=\"notion\",strength=\"strong\"}", 2),
    ("entries{source=\"notion\",strength=\"weak\"}", 0),
    ("entries_without_canonical_key{source=\"notion\"}", 1),
    ("errors_total{part=\"intake\"}", 0),
    ("store_readable", 1),
    ("webhook_token_present", 1),
    ("source_refused{source=\"notion\"}", 0),
    ("part_well{part=\"worker\"}", 1),
    ("notion_budget_limit{token=\"notion\"}", 180),
    ("last_successful_sync_timestamp_seconds", 0),
];

#[tokio::test]
async fn what_a_sweep_found_is_shown_and_stays_after_a_restart() {
    let mut world = World::start().await;
    for n in 0..4 {
        world.workspace().create(company(&format!("Company {n}")).website(&format!("company-{n}.com")));
    }
    sweep(&world).await;
    let before = Shown::of(&world).await;
    before.check(&[
        ("last_sweep_outcome{outcome=\"complete\"}", 1),
        ("last_sweep_outcome{outcome=\"failed\"}", 0),
        ("entries_synced", 4),
        ("last_sweep_drift{kind=\"missing_row\"}", 0),
        ("subscription_suspect", 0),
        ("notion_pages_fetched_total{by=\"sweep\"}", 4),
    ]);
    assert!(before.find("suppressd_freshness_seconds{source=\"notion\"}").unwrap() < 600.0);
    assert!(before.find("suppressd_last_successful_sync_timestamp_seconds").unwrap() > 1e9);
    world.workspace().create(company("Untold").website("untold.com"));
    sweep(&world).await;
    let suspect = [
        ("last_sweep_drift{kind=\"missing_row\"}", 1),
        ("last_sweep_drift_told{told=\"never\"}", 1),
        ("entries_synced", 5),
        ("entries{source=\"notion\",strength=\"strong\"}", 5),
        ("subscription_suspect", 1),
    ];
    Shown::of(&world).await.check(&suspect);
    world.restart().await;
    Shown::of(&world).await.check(&suspect);
    let page = world.workspace().create(company("Told").website("told.com"));
    assert_eq!(world.deliver(&world.event("1", "page.created", page)).await, StatusCode::OK);
    world.settled().await;
    sweep(&world).await;
    Shown::of(&world).await.check(&[("subscription_suspect", 0)]);
}

async fn sweep(world: &World) {
    world
        .until("the sources are known", async || {
            world.serving.store.read(|rows| rows.sources()).await.is_ok_and(|known| !known.is_empty())
        })
        .await;
    let (order, now) = (SweepOrder::by(AskedBy::Api), suppressd::clock::Clock::system().now());
    let id = world.serving.store.write(move |rows| rows.ask_sweep(&order, now)).await.unwrap();
    world
        .until("the sweep has ended", async || {
            let sweep = world.serving.store.read(move |rows| rows.sweep(id)).await.unwrap();
            sweep.is_some_and(|sweep| sweep.state.is_over())
        })
        .await;
}

#[tokio::test]
async fn a_token_that_notion_refuses_is_shown_at_its_source() {
    let world = World::start().await;
    let page = world.workspace().create(company("Acme").website("acme.com"));
    world.simulator.faults().refuse_token();
    assert_eq!(world.deliver(&world.event("1", "page.created", page)).await, StatusCode::OK);
    world
        .until("it is shown", async || {
            Shown::of(&world).await.find("suppressd_source_refused{source=\"notion\"}") == Some(1.0)
        })
        .await;
    let shown = Shown::of(&world).await;
    shown.check(&[("source_problem{source=\"notion\"}", 1), ("part_well{part=\"notion\"}", 0)]);
    assert!(shown.find("suppressd_notion_requests_total{endpoint=\"page\",status=\"401\"}").unwrap() >= 1.0);
    assert!(shown.find("suppressd_errors_total{part=\"notion\"}").unwrap() >= 1.0);
    assert!(shown.find("suppressd_notion_retries_total").unwrap() >= 1.0);
}

#[tokio::test]
async fn while_somebody_else_writes_everything_is_shown() {
    let world = World::start().await;
    let lock = connect(&world.database());
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    Shown::of(&world).await.check(&[("store_readable", 1), ("queue_depth", 0)]);
}

#[tokio::test]
async fn while_the_database_cannot_be_read_the_counters_are_shown_all_the_same() {
    let world = World::start().await;
    assert_eq!(world.post("{}", None).await, StatusCode::UNAUTHORIZED);
    Shown::of(&world).await.check(&[("store_readable", 1), ("queue_depth", 0)]);
    let other = connect(&world.database());
    other.execute_batch("ALTER TABLE suppressd_sweeps RENAME TO gone").unwrap();
    let (one, two) = tokio::join!(Shown::of(&world), Shown::of(&world));
    for shown in [one, two] {
        shown.check(&[("store_readable", 0), ("deliveries_refused_total{reason=\"signature\"}", 1)]);
        assert_eq!(shown.find("suppressd_queue_depth"), None);
        assert!(shown.find("suppressd_errors_total{part=\"store\"}").unwrap() >= 1.0);
        assert!(shown.find("suppressd_database_bytes").unwrap() > 0.0);
    }
    other.execute_batch("ALTER TABLE gone RENAME TO suppressd_sweeps").unwrap();
    Shown::of(&world).await.check(&[("store_readable", 1), ("queue_depth", 0)]);
}

#[tokio::test]
async fn the_series_ask_for_the_bearer_token_where_one_is_configured() {
    let world = World::with(Settings::default(), &[("SUPPRESSD_ADMIN_TOKEN", "s3cret-s3cret-s3cret")]).await;
    let get = || world.http.get(world.private_url("/metrics"));
    assert_eq!(get().send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(get().bearer_auth("s3cret-s3cret-s3cret").send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn statsd_is_told_the_same_the_last_of_it_at_the_end() {
    let heard = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
    let address = heard.local_addr().unwrap().to_string();
    let variables = [("SUPPRESSD_STATSD", &*address), ("SUPPRESSD_STATSD_PREFIX", "crm.cache")];
    let world = World::with(Settings::default(), &variables).await;
    let mut told = Told::default();
    told.until(&heard, "crm.cache.queue_depth:0|g").await;
    let page = world.workspace().create(company("Acme").website("acme.com"));
    for _ in 0..2 {
        assert_eq!(world.deliver(&world.event("1", "page.created", page)).await, StatusCode::OK);
    }
    world.until("it is settled", async || world.count(EventState::Settled).await == 1).await;
    world.ask("/v1/suppression/acme.com").await;
    assert_eq!(world.stop().await, Ended::Stopped);
    let mut rest = vec![0; 65_536];
    while let Ok(read) = heard.try_recv(&mut rest) {
        told.hear(&rest[..read]);
    }
    for (series, sum) in [
        ("crm.cache.events_received_total|c|#type:page.created,answer:accepted", 1),
        ("crm.cache.events_received_total|c|#type:page.created,answer:duplicate", 1),
        ("crm.cache.notion_pages_fetched_total|c|#by:page", 1),
        ("crm.cache.lookups_total|c|#door:http,verdict:suppressed", 1),
    ] {
        assert_eq!(told.sum(series), sum, "{series} in {:#?}", told.lines);
    }
    for (series, count) in [
        ("crm.cache.event_acknowledged_seconds|h", 2),
        ("crm.cache.event_to_row_seconds|h", 1),
        ("crm.cache.lookup_seconds|h|#door:http", 1),
    ] {
        assert_eq!(told.values::<f64>(series).count(), count, "{series} in {:#?}", told.lines);
    }
    let catalogue: BTreeSet<_> = metrics::catalogue().iter().map(|series| series.name).collect();
    for line in &told.lines {
        let (name, _) = line.split_once(':').unwrap();
        let name = name.strip_prefix("crm.cache.").unwrap();
        assert!(catalogue.contains(&*format!("suppressd_{name}")) || catalogue.contains(name), "{line}");
        assert!(!line.contains(":inf|"), "{line}");
    }
}

/// What StatsD was told.
#[derive(Default)]
struct Told {
    lines: Vec<String>,
}

impl Told {
    fn hear(&mut self, packet: &[u8]) {
        self.lines.extend(str::from_utf8(packet).unwrap().lines().map(str::to_owned));
    }

    async fn until(&mut self, heard: &UdpSocket, line: &str) {
        let mut packet = vec![0; 65_536];
        while !self.lines.iter().any(|told| told == line) {
            let read = tokio::time::timeout(Duration::from_mins(1), heard.recv(&mut packet)).await;
            assert!(read.is_ok(), "{line} was never told");
            self.hear(packet.get(..read.unwrap().unwrap()).unwrap());
        }
    }

    /// What was told of a series: its name, and what stands behind the value.
    fn values<T: std::str::FromStr>(&self, series: &str) -> impl Iterator<Item = T> {
        let (name, rest) = series.split_once('|').unwrap();
        let (name, rest) = (format!("{name}:"), format!("|{rest}"));
        self.lines.iter().filter_map(move |line| line.strip_prefix(&name)?.strip_suffix(&rest)?.parse().ok())
    }

    fn sum(&self, series: &str) -> i64 {
        self.values::<i64>(series).sum()
    }
}

#[tokio::test]
async fn nobody_who_listens_holds_up_nothing() {
    let world = World::with(Settings::default(), &[("SUPPRESSD_STATSD", "nowhere.invalid:8125")]).await;
    let page = world.workspace().create(company("Acme").website("acme.com"));
    assert_eq!(world.deliver(&world.event("1", "page.created", page)).await, StatusCode::OK);
    world.settled().await;
    Shown::of(&world).await.check(&[("event_to_row_seconds_count", 1)]);
    assert_eq!(world.stop().await, Ended::Stopped);
}

#[test]
fn without_a_serve_the_command_shows_how_it_stands() {
    let program = Program::with_fixtures();
    let said = program.run(&["metrics"]);
    assert_eq!(said.status, Some(0), "{}", said.err);
    let shown = Shown { text: said.out };
    shown.check(&[("store_readable", 1), ("queue_depth", 0), ("webhook_token_present", 0)]);
    assert!(shown.find("suppressd_disk_free_bytes").unwrap() > 0.0);
    assert!(!shown.text.contains("_total"), "{}", shown.text);
    let file = program.path("suppressd.prom");
    let path = file.to_str().unwrap();
    assert_eq!(program.run(&["metrics", "--output", path]).out, "");
    let written = Shown { text: fs::read_to_string(&file).unwrap() };
    assert_eq!(written.families(), shown.families());
    program.sql("ALTER TABLE suppressd_inbox RENAME TO gone");
    program.run(&["metrics", "--output", path]).fails_with("cannot be read");
    let written = Shown { text: fs::read_to_string(&file).unwrap() };
    written.check(&[("store_readable", 0)]);
    assert_eq!(written.find("suppressd_queue_depth"), None);
    let folder: Vec<_> = program.temporary();
    assert!(folder.iter().all(|name| !name.contains(".suppressd-")), "{folder:?}");
    fs::write(program.path(".suppressd-suppressd.prom.tmp"), "what one left that was killed").unwrap();
    let link = program.path("link.prom");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    fs::write(&file, "").unwrap();
    program.run(&["metrics", "--output", link.to_str().unwrap()]).fails_with("cannot be read");
    assert!(fs::read_to_string(&file).unwrap().starts_with("# HELP suppressd_"));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(!program.path(".suppressd-suppressd.prom.tmp").exists());
    let none = Program::new().run(&["metrics"]);
    none.fails_with("there is no database");
}

#[test]
fn the_command_writes_over_nothing_but_what_it_wrote() {
    let program = Program::with_fixtures();
    let whole = || fs::read(program.database()).unwrap();
    let before = whole();
    let database = program.database().to_str().unwrap().to_owned();
    let (link, other) = (program.path("link"), program.path("other"));
    std::os::unix::fs::symlink(&database, &link).unwrap();
    fs::hard_link(&database, program.path("hard")).unwrap();
    std::os::unix::fs::symlink("nowhere", program.path("dangling")).unwrap();
    std::os::unix::fs::symlink("/dev/null", program.path("device")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(program.path("pipe")).status().unwrap().success());
    fs::write(&other, "my notes").unwrap();
    for (name, told) in [
        (&*database, "belongs to the database"),
        (&format!("{database}-wal"), "belongs to the database"),
        (&format!("{database}-journal"), "belongs to the database"),
        ("link", "belongs to the database"),
        ("hard", "belongs to the database"),
        ("dangling", "leads nowhere"),
        ("device", "no regular file"),
        ("pipe", "no regular file"),
        ("", "no regular file"),
        ("other", "something else"),
    ] {
        let said = program.run(&["metrics", "--output", program.path(name).to_str().unwrap()]);
        said.fails_with(told);
        assert_eq!(whole(), before, "{name}");
    }
    assert_eq!(fs::read_to_string(other).unwrap(), "my notes");
    assert!(!program.path("nowhere").exists());
}
