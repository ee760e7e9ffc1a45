//! Inside the pipeline's own `signals.db`: its tables stay its own, and nobody is in anybody's way.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, types::Value};
use suppressd::{
    clock::Clock,
    model::sweep::{AskedBy, SweepOrder},
    simulator::{
        Settings, Simulator,
        draft::{changes, company},
        webhooks::Delivering,
    },
    store::Store as _,
};
use tempfile::TempDir;

use crate::{
    pipeline::connect,
    program::{Program, pause, until},
    world::World,
};

/// What the pipeline's `SignalStore` makes.
const SIGNAL_STORE: &str = "
    CREATE TABLE signals (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        signal_type TEXT NOT NULL,
        source_api TEXT NOT NULL,
        canonical_key TEXT NOT NULL,
        company_name TEXT,
        confidence REAL NOT NULL,
        raw_data TEXT NOT NULL,
        detected_at TEXT NOT NULL,
        created_at TEXT NOT NULL
    );
    CREATE INDEX idx_signals_canonical_key ON signals(canonical_key);
    CREATE TABLE signal_processing (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        signal_id INTEGER NOT NULL UNIQUE,
        status TEXT NOT NULL DEFAULT 'pending',
        notion_page_id TEXT,
        processed_at TEXT,
        FOREIGN KEY (signal_id) REFERENCES signals(id)
    );
    CREATE TABLE suppression_cache (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        canonical_key TEXT NOT NULL UNIQUE,
        notion_page_id TEXT NOT NULL,
        status TEXT NOT NULL,
        company_name TEXT,
        cached_at TEXT NOT NULL,
        expires_at TEXT NOT NULL,
        metadata TEXT
    );
    CREATE INDEX idx_suppression_canonical_key ON suppression_cache(canonical_key);
    CREATE INDEX idx_suppression_notion_page_id ON suppression_cache(notion_page_id);
    CREATE INDEX idx_suppression_expires_at ON suppression_cache(expires_at);
    PRAGMA user_version = 3;
    INSERT INTO signals VALUES
        (41, 'incorporation', 'companies_house', 'domain:acme.com', 'Acme', 0.7, x'00ff', '2026-01-01T00:00:00', 't'),
        (42, 'repo_spike', 'github', 'github_org:beta', NULL, 1, '{\"a\": 1}', '2026-01-02T00:00:00', 't');
    INSERT INTO signal_processing (signal_id, status) VALUES (41, 'pending'), (42, 'pushed');
    INSERT INTO suppression_cache VALUES
        (7, 'domain:acme.com', '11111111-2222-4333-8444-555555555555', 'Sourced', 'Acme by the old job',
         '2026-01-06T12:00:00+00:00', '2099-01-13T12:00:00+00:00', '{\"website\": \"acme.com\"}'),
        (9, 'domain:of-the-pipeline.com', 'not even an id', 'Sourced', NULL,
         '2026-01-06T12:00:00.5+00:00', '2099-01-13T12:00:00+00:00', NULL),
        (12, 'what:ever it likes', '', 'Lost', 'Old', 'yesterday', '2020-01-01T00:00:00+00:00', 'not JSON');
";

/// The pipeline's file in a folder of its own.
struct Signals {
    folder: TempDir,
}

impl Signals {
    fn new(journal: &str) -> Self {
        let signals = Self { folder: tempfile::tempdir().unwrap() };
        let file = connect(&signals.path());
        file.execute_batch(&format!("PRAGMA journal_mode = {journal}; {SIGNAL_STORE}")).unwrap();
        signals
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("signals.db")
    }

    async fn world(&self) -> World {
        World::with(Settings::default(), &[("SUPPRESSD_DB_PATH", self.path().to_str().unwrap())]).await
    }
}

#[tokio::test]
async fn the_pipelines_tables_stay_as_they_are() {
    for journal in ["wal", "delete"] {
        let signals = Signals::new(journal);
        let before = contents(&connect(&signals.path()));
        let world = signals.world().await;
        let page = world.workspace().create(company("Acme").website("acme.com").status("Passed"));
        world.workspace().create(company("Beta").website("beta.com").status("Sourced"));
        world.tell().await;
        world.stop().await;

        let after = contents(&connect(&signals.path()));
        assert_eq!(after.schema, before.schema, "{journal}");
        assert_eq!((after.user_version, &after.integrity), (3, &"ok".to_owned()));
        assert_eq!((&after.signals, &after.processing), (&before.signals, &before.processing));
        let [acme, foreign, strange, beta] = after.cache.as_slice() else { panic!("{:?}", after.cache) };
        assert_eq!([foreign, strange], [&before.cache[1], &before.cache[2]], "rows without a claim are not ours");
        assert_eq!((&acme[0], &acme[3]), (&Value::Integer(7), &text("Passed")), "a row keeps its id");
        assert_eq!(acme[2], text(&page.to_string()));
        assert_eq!(beta[1], text("domain:beta.com"));
        assert!(matches!(beta[0], Value::Integer(13..)), "ids go on from where the pipeline was: {beta:?}");
    }
}

#[tokio::test]
async fn an_id_is_never_given_twice() {
    let signals = Signals::new("wal");
    let world = signals.world().await;
    let page = world.workspace().create(company("Beta").website("beta.com"));
    world.tell().await;
    assert_eq!(id_of(&signals.path(), "domain:beta.com"), Some(13));
    world.workspace().trash(page);
    world.tell().await;
    assert_eq!(id_of(&signals.path(), "domain:beta.com"), None);
    world.workspace().restore(page);
    world.tell().await;
    assert_eq!(id_of(&signals.path(), "domain:beta.com"), Some(14));
}

#[tokio::test]
async fn rows_without_a_claim_are_counted_as_somebody_elses_and_still_suppress() {
    let signals = Signals::new("delete");
    let world = signals.world().await;
    let status = world.ask("/v1/status").await.1;
    assert_eq!(status["cache"]["entries_of_others"], 3);
    let verdict = world.ask("/v1/suppression/domain:of-the-pipeline.com").await.1;
    assert_eq!((&verdict["verdict"], &verdict["matched"]["synced_from"]), (&"suppressed".into(), &"other".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pipeline_reads_and_writes_while_events_arrive() {
    let signals = Signals::new("wal");
    let world = signals.world().await;
    // Few enough for the budget of a minute.
    let pages: Vec<_> = (0..15)
        .map(|n| world.workspace().create(company("Acme").website(&format!("acme-{n}.com")).status("Sourced")))
        .collect();
    let stop = Stop::default();
    let (path, stopped) = (signals.path(), Arc::clone(&stop.0));
    let rounds = Arc::new(AtomicI64::new(0));
    let done = Arc::clone(&rounds);
    let pipeline = tokio::task::spawn_blocking(move || work_as_the_pipeline(&path, &stopped, &done));
    world.tell().await;
    for round in 0..6 {
        let before = rounds.load(Ordering::Relaxed);
        for page in &pages {
            world.workspace().edit(*page, changes().status(if round % 2 == 0 { "Meeting" } else { "Diligence" }));
        }
        let webhooks = world.webhooks(Delivering { at_once: 8, ..Delivering::default() });
        let delivered = webhooks.deliver_all().await;
        assert!(delivered.iter().all(|delivery| delivery.status == Some(200)));
        world.settled().await;
        // Both go on at the same time, however slow the disk is.
        world
            .until("the pipeline has done a round", async || {
                pipeline.is_finished() || rounds.load(Ordering::Relaxed) > before
            })
            .await;
    }
    drop(stop);
    pipeline.await.unwrap();
    let rounds = rounds.load(Ordering::Relaxed);

    // What the pipeline wrote over or deleted is right again with the next confirmation.
    for page in &pages {
        world.workspace().edit(*page, changes().status("Passed"));
    }
    world.tell().await;
    for (n, page) in pages.iter().enumerate() {
        let face = world.face(&format!("domain:acme-{n}.com"));
        assert_eq!(face, Some((page.to_string(), "Passed".to_owned())));
    }
    let connection = connect(&signals.path());
    let kept: i64 =
        connection.query_row("SELECT count(*) FROM signals WHERE signal_type = 'test'", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, rounds, "nothing that the pipeline wrote was lost");
    assert_eq!(contents(&connection).integrity, "ok");
}

/// Stops the pipeline when it goes, also where the test has failed.
#[derive(Default)]
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Does what the pipeline does in a run, again and again; any error but a short wait for a lock fails the test.
fn work_as_the_pipeline(path: &Path, stopped: &AtomicBool, rounds: &AtomicI64) {
    let connection = connect(path);
    while !stopped.load(Ordering::Relaxed) {
        let round = rounds.load(Ordering::Relaxed);
        let now = isoformat(Clock::system().now());
        connection
            .execute(
                "INSERT INTO signals (signal_type, source_api, canonical_key, confidence, raw_data, detected_at, \
                 created_at) VALUES ('test', 'test', ?1, 0.5, '{}', ?2, ?2)",
                (format!("domain:acme-{}.com", round % 15), &now),
            )
            .unwrap();
        connection.execute_batch("BEGIN; UPDATE signal_processing SET status = 'pushed'; COMMIT").unwrap();
        // The old job's own rows, one over ours.
        connection
            .execute(
                "INSERT OR REPLACE INTO suppression_cache (canonical_key, notion_page_id, status, cached_at, expires_at) \
                 VALUES ('domain:acme-3.com', 'x', 'Over', ?1, '2099-01-01T00:00:00+00:00'), \
                 ('domain:acme-4.com', 'x', 'Over', ?1, '2000-01-01T00:00:00+00:00')",
                [&now],
            )
            .unwrap();
        connection.execute("DELETE FROM suppression_cache WHERE expires_at < ?1", [&now]).unwrap();
        let suppressed: i64 = connection
            .query_row("SELECT count(*) FROM suppression_cache WHERE expires_at > ?1", [&now], |row| row.get(0))
            .unwrap();
        assert!(suppressed >= 2, "its own rows were left alone");
        rounds.store(round + 1, Ordering::Relaxed);
        pause();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_program_in_rollback_mode_keeps_the_file_from_wal_and_all_goes_on() {
    let signals = Signals::new("delete");
    // It reads for longer than anybody waits for a lock: the mode cannot be switched meanwhile.
    let reader = connect(&signals.path());
    reader.execute_batch("BEGIN; SELECT count(*) FROM signals").unwrap();
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let program = Program::new()
        .and("SUPPRESSD_DB_PATH", signals.path().display().to_string())
        .with_notion(&simulator)
        .and("NOTION_VERIFICATION_TOKEN", simulator.verification_token());
    let serving = program.start(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    serving.until("the database stays in journal mode delete because another program has it open");
    reader.execute_batch("COMMIT").unwrap();

    let url = format!("http://{}/webhooks/notion", serving.public());
    let webhooks = simulator.webhooks(&url, Delivering::default()).unwrap();
    let stop = Stop::default();
    let (path, stopped) = (signals.path(), Arc::clone(&stop.0));
    let pipeline = tokio::task::spawn_blocking(move || {
        let connection = connect(&path);
        while !stopped.load(Ordering::Relaxed) {
            connection.execute("UPDATE signal_processing SET status = 'pushed'", []).unwrap();
            let there: i64 =
                connection.query_row("SELECT count(*) FROM suppression_cache", [], |row| row.get(0)).unwrap();
            assert!(there >= 3);
            pause();
        }
    });
    for n in 0..5 {
        simulator.workspace().create(company("Acme").website(&format!("acme-{n}.com")).status("Sourced"));
    }
    let delivered = webhooks.deliver_all().await;
    assert!(delivered.iter().all(|delivery| delivery.status == Some(200)));
    until("the rows are there", || rows_of_acme(&signals.path()) == 5);
    drop(stop);
    pipeline.await.unwrap();
    let mode: String = reader.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "delete");
    serving.signal("TERM");
    let (status, said) = serving.end();
    assert_eq!(status, Some(0), "{said}");
}

#[tokio::test]
async fn expiry_compares_as_text_with_the_pipelines_clock() {
    let signals = Signals::new("wal");
    let world = signals.world().await;
    world.workspace().create(company("Beta").website("beta.com"));
    world.tell().await;
    let beta = world.row("domain:beta.com").unwrap();
    let expires_at: DateTime<Utc> = beta.expires_at.parse().unwrap();
    for (off, is_valid) in [(-1, true), (0, false), (1, false)] {
        let now = isoformat(expires_at + TimeDelta::microseconds(off));
        let valid: bool = connect(&signals.path())
            .query_row(
                "SELECT expires_at > ?1 FROM suppression_cache WHERE canonical_key = 'domain:beta.com'",
                [&now],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(valid, is_valid, "{now} against {}", beta.expires_at);
    }

    // The same with the pipeline's own language, where it is at hand.
    let script = "
import datetime, json, sqlite3, sys
file = sqlite3.connect(sys.argv[1])
now = datetime.datetime.now(datetime.timezone.utc).isoformat()
row = file.execute('SELECT expires_at, cached_at, metadata FROM suppression_cache WHERE canonical_key = ? '
                   'AND expires_at > ?', ('domain:beta.com', now)).fetchone()
expires_at, cached_at = (datetime.datetime.fromisoformat(text) for text in row[:2])
assert expires_at.isoformat(timespec='microseconds') == row[0], row
assert expires_at - cached_at == datetime.timedelta(days=7), row
assert json.loads(row[2])['key_origin'] == 'website', row
file.execute('DELETE FROM suppression_cache WHERE expires_at < ?', (now,))
file.commit()
print(sorted(key for key, in file.execute('SELECT canonical_key FROM suppression_cache')))
";
    let database = signals.path();
    let ran = tokio::task::spawn_blocking(move || Command::new("python3").args(["-c", script]).arg(database).output());
    let Ok(ran) = ran.await.unwrap() else { return };
    if String::from_utf8_lossy(&ran.stderr).contains("No module named") {
        return;
    }
    assert_eq!(
        (String::from_utf8(ran.stdout).unwrap().trim(), String::from_utf8(ran.stderr).unwrap().as_str()),
        ("['domain:acme.com', 'domain:beta.com', 'domain:of-the-pipeline.com']", "")
    );
}

/// Every column as the pipeline expects it, byte by byte, whenever it looks: while events arrive and a sweep goes on.
#[tokio::test(flavor = "multi_thread")]
async fn at_every_moment_the_table_is_in_the_agreed_form() {
    let signals = Signals::new("wal");
    let world = signals.world().await;
    for n in 0..30 {
        let draft = company(&format!("Acme «{n}»")).website(&format!("https://www.acme-{n}.com/")).status("Sourced");
        world.workspace().create(draft.location("London"));
    }
    let stop = Stop::default();
    let (path, stopped) = (signals.path(), Arc::clone(&stop.0));
    let reading = tokio::task::spawn_blocking(move || {
        let mut looks = 0;
        while !stopped.load(Ordering::Relaxed) || looks == 0 {
            let connection = connect(&path);
            let mut rows = connection.prepare(AS_AGREED).unwrap();
            let odd: Vec<String> = rows.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
            assert_eq!(odd, Vec::<String>::new());
            looks += 1;
            pause();
        }
    });
    let sweep = SweepOrder::by(AskedBy::Api);
    world.serving.store.write(move |rows| rows.ask_sweep(&sweep, Clock::system().now())).await.unwrap();
    world.tell().await;
    world
        .until("it is swept", async || {
            world.serving.store.read(|rows| rows.last_complete_sweep()).await.unwrap().is_some()
        })
        .await;
    drop(stop);
    reading.await.unwrap();
    let mut row = world.row("domain:acme-3.com").unwrap();
    let names: Vec<_> = row.metadata.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = ["key_origin", "key_strength", "last_edited_time", "page_url", "source", "synced_from", "website"];
    assert_eq!(names, expected);
    assert_eq!(row.metadata["website"].take(), "https://www.acme-3.com/");
    assert_eq!((row.status.as_str(), row.company.as_deref()), ("Sourced", Some("Acme «3»")));
}

/// Names the rows of ours that are not in the agreed form.
const AS_AGREED: &str = "
    SELECT canonical_key || ' ' || quote(notion_page_id) || quote(cached_at) || quote(expires_at) || quote(metadata)
    FROM suppression_cache WHERE canonical_key LIKE 'domain:acme-%' AND NOT (
        typeof(id) = 'integer' AND typeof(status) = 'text' AND typeof(company_name) IN ('text', 'null')
        AND canonical_key = lower(canonical_key)
        AND notion_page_id GLOB replace('########-####-####-####-############', '#', '[0-9a-f]')
        AND cached_at GLOB replace('####-##-##T##:##:##.######+00:00', '#', '[0-9]')
        AND expires_at GLOB replace('####-##-##T##:##:##.######+00:00', '#', '[0-9]')
        AND expires_at > cached_at
        AND json_valid(metadata)
        AND metadata ->> 'synced_from' IN ('webhook', 'sweep', 'replay')
        AND metadata ->> 'key_strength' IN ('strong', 'weak'))";

/// As Python's `isoformat` writes it.
fn isoformat(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string()
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn id_of(path: &Path, key: &str) -> Option<i64> {
    let sql = "SELECT max(id) FROM suppression_cache WHERE canonical_key = ?1";
    connect(path).query_row(sql, [key], |row| row.get(0)).unwrap()
}

fn rows_of_acme(path: &Path) -> i64 {
    let sql = "SELECT count(*) FROM suppression_cache WHERE canonical_key LIKE 'domain:acme-%'";
    connect(path).query_row(sql, [], |row| row.get(0)).unwrap()
}

/// Everything in the file that is not ours, value by value.
#[derive(Debug, PartialEq)]
struct Contents {
    schema: Vec<Vec<Value>>,
    signals: Vec<Vec<Value>>,
    processing: Vec<Vec<Value>>,
    cache: Vec<Vec<Value>>,
    user_version: i64,
    integrity: String,
}

fn contents(file: &Connection) -> Contents {
    let all = |sql: &str| {
        let mut statement = file.prepare(sql).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| (0..columns).map(|at| row.get::<_, Value>(at)).collect());
        rows.unwrap().collect::<Result<Vec<Vec<Value>>, _>>().unwrap()
    };
    let number = |sql: &str| file.query_row(sql, [], |row| row.get(0)).unwrap();
    Contents {
        schema: all(
            "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE tbl_name NOT LIKE 'suppressd_%' ORDER BY name",
        ),
        signals: all("SELECT * FROM signals ORDER BY id"),
        processing: all("SELECT * FROM signal_processing ORDER BY id"),
        cache: all("SELECT * FROM suppression_cache ORDER BY id"),
        user_version: number("PRAGMA user_version"),
        integrity: file.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap(),
    }
}
