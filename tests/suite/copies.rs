//! `backup` and `restore` as people run them: while everybody writes, over what should not be lost, and elsewhere.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use fastrand::Rng;
use rusqlite::Connection;
use serde_json::Value as Json;
use suppressd::simulator::{Settings, budget::Budget, draft::company, scenario::Scenario, webhooks::Delivering};

use crate::{
    pipeline::{self, connect},
    program::{Program, Said, pause, repository, run, until},
    world::World,
};

/// Folders of copies that are not ready.
pub(crate) fn parts(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(".suppressd-part-")).collect()
}

/// The digest of the cache in a file.
pub(crate) fn digest(program: &Program, database: &Path) -> String {
    let said = program.run(&["--db-path", database.to_str().unwrap(), "digest", "--json"]);
    assert_eq!(said.status, Some(0), "{said:?}");
    said.json().get("digest").unwrap().as_str().unwrap().to_owned()
}

pub(crate) fn is_whole(database: &Path) -> bool {
    let verdict: String = connect(database).query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    verdict == "ok"
}

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn number(connection: &Connection, sql: &str) -> i64 {
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// The fixtures, swept just now, as far as the cache knows.
pub(crate) fn proven() -> Program {
    let program = Program::with_fixtures();
    program.sql("UPDATE suppressd_sources SET watermark = (SELECT max(received_at) FROM suppressd_inbox)");
    program
}

/// Somebody writes two tables in one transaction, again and again; each backup has as much of the one as of the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_while_others_write_is_the_state_of_one_instant() {
    let world = World::start().await;
    let program = Program::new().and("SUPPRESSD_DB_PATH", world.database().display().to_string());
    let database = world.database();
    connect(&database).execute_batch("CREATE TABLE one (n, body); CREATE TABLE other (n)").unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let pipeline = std::thread::spawn({
        let (stop, database) = (Arc::clone(&stop), database.clone());
        move || {
            let connection = connect(&database);
            let mut written = 0;
            while !stop.load(Ordering::Relaxed) {
                let both =
                    "BEGIN IMMEDIATE; INSERT INTO one VALUES (1, zeroblob(5000)); INSERT INTO other VALUES (1); COMMIT";
                connection.execute_batch(both).unwrap();
                written += 1;
                pause();
            }
            written
        }
    });
    let webhooks = world.webhooks(Delivering::default());
    for round in 0..4 {
        for n in 0..10 {
            world.workspace().create(company("Acme").website(&format!("acme-{round}-{n}.com")));
        }
        let to = program.path(&format!("backup-{round}.db"));
        let words = ["backup", to.to_str().unwrap(), "--json"];
        let (said, delivered) = tokio::join!(run(&program, &words), webhooks.deliver_all());
        assert!(delivered.iter().all(|delivery| delivery.status == Some(200)));
        assert_eq!(said.status, Some(0), "{said:?}");
        let said = said.json();
        assert_eq!(said["not_noted"], Json::Null);
        assert!(is_whole(&to));
        let copy = connect(&to);
        assert_eq!(number(&copy, "SELECT count(*) FROM one"), number(&copy, "SELECT count(*) FROM other"));
        // Rows, claims and pages change together as well.
        assert_eq!(number(&copy, "SELECT count(*) FROM suppression_cache"), said["entries"].as_i64().unwrap());
        assert_eq!(number(&copy, "SELECT count(*) FROM suppressd_claims"), said["claims"].as_i64().unwrap());
        assert_eq!(said["entries"], said["claims"]);
        drop(copy);
        assert_eq!(said["digest"], digest(&program, &to));
        assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
    }
    stop.store(true, Ordering::Relaxed);
    assert!(pipeline.join().unwrap() > 0);
    world.settled().await;
    let status = run(&program, &["status", "--json"]).await.json();
    assert!(status["last_backup"]["path"].as_str().unwrap().ends_with("backup-3.db"), "{status}");
    assert_eq!(parts(program.folder()), Vec::<String>::new());
}

/// The drill: a backup while events arrive, restored elsewhere and swept once, says what the original says.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_restored_elsewhere_and_swept_once_equals_the_original() {
    for seed in [1, 2, 3] {
        let budget = Budget { requests: 6_000, ..Budget::default() };
        let mut settings = Settings { seed, ..Settings::default() };
        settings.manner.budget = budget;
        let world = World::with(settings, &[("NOTION_REQUESTS_PER_MINUTE", "6000")]).await;
        let program = || Program::new().with_notion(&world.simulator).and("NOTION_REQUESTS_PER_MINUTE", "6000");
        let elsewhere = program();
        let original = program().and("SUPPRESSD_DB_PATH", world.database().display().to_string());
        let mut scenario = Scenario::new(seed);
        scenario.populate(world.workspace(), 40);
        let webhooks = world.webhooks(Delivering { aggregate: None, ..Delivering::default() });
        webhooks.deliver_all().await;
        let swept = run(&original, &["reconcile"]).await;
        assert_eq!(swept.status, Some(0), "seed {seed}: {swept:?}");
        let backup = original.path("backup.db.zst");
        let words = ["backup", backup.to_str().unwrap(), "--zstd"];
        let arriving = async {
            for _ in 0..30 {
                scenario.step(world.workspace());
                webhooks.deliver_all().await;
            }
        };
        let (said, ()) = tokio::join!(run(&original, &words), arriving);
        assert_eq!(said.status, Some(0), "seed {seed}: {said:?}");
        for _ in 0..30 {
            scenario.step(world.workspace());
        }
        webhooks.deliver_all().await;
        world.settled().await;

        let said = run(&elsewhere, &["restore", backup.to_str().unwrap()]).await;
        assert_eq!(said.status, Some(0), "seed {seed}: {said:?}");
        let said = run(&elsewhere, &["reconcile", "--json"]).await;
        assert_eq!(said.status, Some(0), "seed {seed}: {said:?}");
        let (one, other) = (digest(&original, &world.database()), digest(&elsewhere, &elsewhere.database()));
        assert_eq!(one, other, "seed {seed}: {:#?}", differences(&world.database(), &elsewhere.database()));
        assert_eq!(run(&elsewhere, &["check", "nobody-knows-them.com"]).await.status, Some(1), "seed {seed}");
    }
}

fn differences(one: &Path, other: &Path) -> Vec<String> {
    let said = |path: &Path| -> BTreeSet<String> {
        let connection = connect(path);
        let mut found = BTreeSet::new();
        for sql in [
            "SELECT 'page ' || page_id || ' ' || coalesce(url, '') || mapped FROM suppressd_pages WHERE standing = 'listed'",
            "SELECT 'claim ' || canonical_key || ' ' || page_id || origin FROM suppressd_claims",
            "SELECT 'entry ' || canonical_key || ' ' || notion_page_id || status || (metadata ->> 'website') FROM suppression_cache",
            "SELECT 'source ' || source || hard FROM suppressd_sources",
        ] {
            let mut rows = connection.prepare(sql).unwrap();
            found.extend(rows.query_map([], |row| row.get::<_, String>(0)).unwrap().map(Result::unwrap));
        }
        found
    };
    let (one, other) = (said(one), said(other));
    one.symmetric_difference(&other).cloned().collect()
}

#[test]
fn after_a_restore_nothing_is_clear_before_a_sweep_and_rows_keep_their_proof() {
    let program = proven();
    // Its page was last seen long ago; only the sweep proves its row.
    program.sql("UPDATE suppressd_pages SET observed_at = 0 WHERE standing = 'listed'");
    program.sql("INSERT INTO suppressd_facts VALUES ('budgets', '[]'), ('running', '{}'); INSERT INTO suppressd_refreshes VALUES ('x', 0, 0, NULL)");
    let key = pipeline::rows(&program.database()).remove(0).key;
    let (held, absent) = (["check", key.as_str()], ["check", "nobody-knows-them.com"]);
    assert_eq!((program.run(&held).status, program.run(&absent).status), (Some(0), Some(1)));
    let feed = "SELECT unicode(value) + 256 * unicode(substr(value, 2)) + 65536 * unicode(substr(value, 3)) \
                FROM suppressd_facts WHERE name = 'feed'";
    let feed_before = program.number(feed);
    assert_eq!(program.run(&["backup", "b.db"]).status, Some(0));
    let said = program.run(&["restore", "b.db", "--json"]);
    assert_eq!(said.status, Some(0), "{said:?}");
    assert_eq!(said.json()["digest"], digest(&program, &program.path("b.db")));
    assert_eq!((program.run(&held).status, program.run(&absent).status), (Some(0), Some(3)), "it could have been told");
    assert_ne!(program.number(feed), feed_before, "who follows must begin anew");
    assert_eq!(program.number("SELECT count(*) FROM suppressd_sweeps WHERE state = 'asked' AND NOT dry_run"), 1);
    let gone = "SELECT (SELECT count(*) FROM suppressd_facts WHERE name IN ('running', 'budgets')) \
                + (SELECT count(*) FROM suppressd_refreshes)";
    assert_eq!(program.number(gone), 0);
    let aside = said.json()["put_aside"].as_str().unwrap().to_owned();
    assert_eq!(number(&connect(Path::new(&aside)), gone), 3, "the old file is what it was");
    assert!(is_whole(Path::new(&aside)));
}

#[test]
fn the_restored_file_is_to_the_old_one_what_a_successor_is() {
    let program = proven();
    assert_eq!(program.run(&["backup", "b.db", "--zstd"]).status, Some(0));
    fs::set_permissions(program.database(), fs::Permissions::from_mode(0o640)).unwrap();
    // A restore that died between its last two steps left a second name for the database.
    let left = program.path("cache.db.before-restore-20200101T000000Z");
    fs::hard_link(program.database(), &left).unwrap();
    let old = fs::metadata(program.database()).unwrap().ino();
    let said = program.run(&["restore", "b.db", "--json"]);
    assert_eq!(said.status, Some(0), "{said:?}");
    let aside = said.json()["put_aside"].as_str().unwrap().to_owned();
    assert_eq!(fs::metadata(&aside).unwrap().ino(), old);
    assert!(!left.exists(), "two names for one database break it once it is worked on under both");
    let new = fs::metadata(program.database()).unwrap();
    assert_eq!((new.mode() & 0o777, new.ino() != old), (0o640, true));
    assert!(!program.path("cache.db-wal").exists());
    // Where there is no database yet, it becomes the database.
    let said = program.run(&["--db-path", "new.db", "restore", "b.db", "--json"]);
    assert_eq!((said.status, said.json()["put_aside"].clone()), (Some(0), Json::Null));
}

/// Says that it was refused, and that the database is what it was.
fn refused(program: &Program, words: &[&str], told: &str) {
    let before = fs::read(program.database()).unwrap();
    program.run(words).fails_with(told);
    assert!(fs::read(program.database()).unwrap() == before, "{words:?} changed the database");
    assert_eq!(parts(program.folder()), Vec::<String>::new(), "{words:?}");
    assert!(names(program.folder()).iter().all(|name| !name.contains("before-restore")), "{words:?}");
}

#[test]
fn what_is_no_backup_of_ours_is_not_restored() {
    let program = proven();
    assert_eq!(program.run(&["backup", "b.db"]).status, Some(0));
    assert_eq!(program.run(&["backup", "b.zst", "--zstd"]).status, Some(0));
    assert_eq!(program.run(&["export", "e.jsonl"]).status, Some(0));
    let write = |name: &str, bytes: &[u8]| fs::write(program.path(name), bytes).unwrap();
    let (whole, packed) = (fs::read(program.path("b.db")).unwrap(), fs::read(program.path("b.zst")).unwrap());
    let mut rng = Rng::with_seed(5);
    for _ in 0..6 {
        write("cut.zst", &packed[..rng.usize(4..packed.len())]);
        refused(&program, &["restore", "cut.zst"], "cut.zst");
        write("cut.db", &whole[..4096 * rng.usize(1..whole.len() / 4096)]);
        refused(&program, &["restore", "cut.db"], "cut.db cannot be used");
    }
    let mut damaged = whole.clone();
    damaged[4096 * 3..4096 * 9].fill(0x55);
    write("damaged.db", &damaged);
    refused(&program, &["restore", "damaged.db"], "damaged.db cannot be used");
    write("text", b"this is no database, whatever somebody hoped");
    refused(&program, &["restore", "text"], "is no backup");
    write("empty", b"");
    refused(&program, &["restore", "empty"], "is no backup");
    write("text.zst", &zstd::encode_all(&b"no database either"[..], 0).unwrap());
    refused(&program, &["restore", "text.zst"], "is no backup");
    refused(&program, &["restore", "nowhere"], "nowhere");
    refused(&program, &["restore", "e.jsonl"], "suppressd import");
    refused(&program, &["restore", "cache.db"], "is the database itself");
    connect(&program.path("foreign.db"))
        .execute_batch("CREATE TABLE signals (id); INSERT INTO signals VALUES (1)")
        .unwrap();
    refused(&program, &["restore", "foreign.db"], "foreign.db cannot be used");
    write("newer.db", &whole);
    connect(&program.path("newer.db"))
        .execute_batch("INSERT INTO suppressd_migrations VALUES (99, 'later', '')")
        .unwrap();
    refused(&program, &["restore", "newer.db"], "use a newer suppressd");
    write("live.db", &whole);
    write("live.db-wal", b"something");
    refused(&program, &["restore", "live.db"], "has a WAL beside it");
}

#[test]
fn a_restore_goes_over_nobody_who_works_and_no_other_programs_tables() {
    let program = proven();
    assert_eq!(program.run(&["backup", "b.db"]).status, Some(0));
    for lock in ["cache.db.serve.lock", "cache.db.worker.lock"] {
        let held = File::options().write(true).create(true).truncate(false).open(program.path(lock)).unwrap();
        held.lock().unwrap();
        refused(&program, &["restore", "b.db"], "stop it first");
        refused(&program, &["import", "b.db", "--replace"], "stop it first");
    }
    let other = connect(&program.database());
    other.execute_batch("PRAGMA journal_mode = wal; BEGIN; SELECT count(*) FROM suppression_cache").unwrap();
    refused(&program, &["restore", "b.db"], "another program has");
    other
        .execute_batch("COMMIT; CREATE TABLE signals (n); INSERT INTO signals VALUES (1), (2); PRAGMA wal_checkpoint")
        .unwrap();
    other.execute_batch("CREATE TABLE _litestream_seq (id); PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(other);
    refused(&program, &["restore", "b.db"], "`signals` (2 rows) goes: the backup has none");
    assert_eq!(program.run(&["backup", "with.db"]).status, Some(0));
    program.sql("INSERT INTO signals VALUES (3)");
    refused(&program, &["restore", "with.db"], "`signals` (3 rows) becomes that of the backup (2 rows)");
    let said = program.run(&["restore", "with.db", "--force", "--json"]);
    assert_eq!(said.status, Some(0), "{said:?}");
    assert_eq!(said.json()["replaced_tables"], serde_json::json!([{"table": "signals", "rows": 3}]));
    assert_eq!(program.number("SELECT count(*) FROM signals"), 2);
}

#[test]
fn a_damaged_database_is_put_aside_with_its_wal() {
    let program = proven();
    assert_eq!(program.run(&["backup", "b.db"]).status, Some(0));
    let good = digest(&program, &program.database());
    fs::write(program.database(), [0x55; 9000]).unwrap();
    fs::write(program.path("cache.db-wal"), b"the rest").unwrap();
    refused(&program, &["restore", "b.db"], "say --force");
    let said = program.run(&["restore", "b.db", "--force", "--json"]);
    assert_eq!(said.status, Some(0), "{said:?}");
    let aside = said.json()["put_aside"].as_str().unwrap().to_owned();
    assert_eq!(fs::read(&aside).unwrap(), [0x55; 9000]);
    assert_eq!(fs::read(format!("{aside}-wal")).unwrap(), b"the rest");
    assert_eq!(digest(&program, &program.database()), good);
}

#[test]
fn an_older_schema_is_copied_as_it_is_and_brought_up_to_date_when_restored() {
    let program = Program::new();
    let old = connect(&program.database());
    old.execute_batch("CREATE TABLE suppressd_migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at TEXT NOT NULL) STRICT")
        .unwrap();
    for name in ["0001_inbox_and_cache", "0002_sweeps", "0003_skipped_events"] {
        let sql = fs::read_to_string(repository(&format!("src/store/sqlite/migrations/{name}.sql"))).unwrap();
        old.execute_batch(&sql).unwrap();
        old.execute_batch(&format!(
            "INSERT INTO suppressd_migrations VALUES ({}, '{name}', '')",
            name.get(3..4).unwrap()
        ))
        .unwrap();
    }
    drop(old);
    assert_eq!(program.run(&["backup", "b.db", "--json"]).json()["schema_version"], 3);
    assert_eq!(program.number("SELECT max(version) FROM suppressd_migrations"), 3, "a backup changes no schema");
    let said = program.run(&["restore", "b.db"]);
    assert_eq!(said.status, Some(0), "{said:?}");
    assert!(program.number("SELECT max(version) FROM suppressd_migrations") > 3);
    assert_eq!(program.run(&["status"]).status, Some(0));
}

#[test]
fn a_folder_keeps_the_newest_of_our_own_and_nothing_else_is_touched() {
    let program = proven();
    let folder = program.path("backups");
    fs::create_dir(&folder).unwrap();
    let strangers = [
        "signals.db",
        "cache-by-hand.db",
        "suppressd-20200101T000000Z.db",
        "cache-20200101T000000Z.db.gz",
        "cache-20200101T000000Z.db-wal",
    ];
    for name in strangers {
        fs::write(folder.join(name), "of somebody else").unwrap();
    }
    fs::create_dir(folder.join("cache-20200102T000000Z.db")).unwrap();
    symlink(program.database(), folder.join("cache-20200103T000000Z.db")).unwrap();
    let earlier: Vec<_> = (1..=5).map(|day| format!("cache-2021010{day}T000000Z.db.zst")).collect();
    for name in earlier {
        fs::write(folder.join(name), "earlier").unwrap();
    }
    // Made while the clock went wrong: it stays the newest, and the new one stays as well.
    fs::write(folder.join("cache-29990101T000000Z.db"), "of the future").unwrap();
    let said = program.run(&["backup", "backups", "--keep", "3", "--json"]);
    assert_eq!(said.status, Some(0), "{said:?}");
    let new = said.json()["path"].as_str().unwrap().to_owned();
    assert_eq!(said.json()["removed"].as_array().unwrap().len(), 4);
    let left = names(&folder);
    assert!(left.contains(Path::new(&new).file_name().unwrap().to_str().unwrap()));
    let stays = ["cache-20210105T000000Z.db.zst", "cache-29990101T000000Z.db"];
    let others = ["cache-20200102T000000Z.db", "cache-20200103T000000Z.db"];
    assert!(strangers.iter().chain(&stays).chain(&others).all(|name| left.contains(*name)), "{left:?}");
    assert_eq!(left.len(), 5 + 2 + 2 + 1, "{left:?}");
    program.run(&["backup", "b.db", "--keep", "3"]).fails_with("--keep is for a folder");
}

#[test]
fn what_is_no_earlier_copy_is_not_overwritten() {
    let program = proven();
    fs::write(program.path("notes.txt"), "mine").unwrap();
    program.run(&["backup", "notes.txt"]).fails_with("no earlier copy");
    assert_eq!(fs::read(program.path("notes.txt")).unwrap(), b"mine");
    program.run(&["backup", "cache.db"]).fails_with("is the database itself");
    symlink(program.database(), program.path("link.db")).unwrap();
    program.run(&["backup", "link.db"]).fails_with("is the database itself");
    program.run(&["export", "cache.db"]).fails_with("is the database itself");
    connect(&program.path("pipeline.db")).execute_batch("PRAGMA journal_mode = wal; CREATE TABLE signals (n)").unwrap();
    let open = connect(&program.path("pipeline.db"));
    open.execute_batch("INSERT INTO signals VALUES (1)").unwrap();
    program.run(&["backup", "pipeline.db"]).fails_with("has a WAL beside it");
    program.run(&["backup", "nowhere/"]).fails_with("is no folder");
    program.run(&["backup", "/dev/null"]).fails_with("no earlier copy");
    program.run(&["--db-path", "nowhere.db", "backup", "b.db"]).fails_with("there is no database");
    assert!(!program.path("nowhere.db").exists() && !program.path("b.db").exists());
}

#[test]
fn backups_at_once_do_not_get_into_each_others_way() {
    let program = proven();
    let good = digest(&program, &program.database());
    fs::create_dir(program.path("backups")).unwrap();
    let children: Vec<_> =
        (0..6).map(|n| program.start(&["backup", if n % 2 == 0 { "backups" } else { "same.db" }, "--json"])).collect();
    for child in children {
        let (status, said) = child.end();
        assert_eq!(status, Some(0), "{said}");
    }
    let made = names(&program.path("backups"));
    assert_eq!(made.len(), 3, "{made:?}");
    for path in made.iter().map(|name| program.path("backups").join(name)).chain([program.path("same.db")]) {
        assert!(is_whole(&path));
        assert_eq!(digest(&program, &path), good);
    }
}

#[test]
fn a_database_that_cannot_be_written_is_backed_up_all_the_same() {
    let program = proven();
    program.sql("PRAGMA journal_mode = delete");
    let hold = connect(&program.database());
    // A writer of another program that does not let go: readers may read, and nobody else may write.
    hold.execute_batch("BEGIN IMMEDIATE").unwrap();
    let said = program.run(&["backup", "b.db", "--json"]);
    assert_eq!(said.status, Some(0), "{said:?}");
    assert!(said.json()["not_noted"].as_str().unwrap().contains("locked"), "{said:?}");
    assert!(is_whole(&program.path("b.db")));
}

#[test]
fn what_a_process_that_died_left_behind_goes_and_what_one_still_makes_stays() {
    let program = proven();
    let (left, made) = (program.path(".suppressd-part-left"), program.path(".suppressd-part-made"));
    for folder in [&left, &made] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("copy.db"), "half").unwrap();
    }
    let lock = File::open(&made).unwrap();
    lock.lock().unwrap();
    assert_eq!(program.run(&["backup", "b.db"]).status, Some(0));
    assert_eq!(parts(program.folder()), [".suppressd-part-made"]);
    drop(lock);
    // A process that another test is just starting may hold a copy of the lock for a moment.
    until("the other one goes as well", || {
        let said: Said = program.run(&["backup", "b.db"]);
        said.status == Some(0) && parts(program.folder()).is_empty()
    });
}
