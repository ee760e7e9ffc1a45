//! Rows per second of `check --input`, from a file to a sink, over a cache of 100,000 rows; beside what any program would
//! spend that reads and writes the same table, and beside bare `SELECT`s of the same keys.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a step that fails should end the run where it fails"
)]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

#[path = "common/cpu.rs"]
mod cpu;
#[path = "common/filled.rs"]
mod filled;
#[path = "common/rounds.rs"]
mod rounds;

use std::{
    fmt::Write as _,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use chrono::TimeDelta;
use csv::{ReaderBuilder, StringRecord, Writer};
use rusqlite::{Connection, OpenFlags};
use suppressd::{
    cli::check::bulk::{Bulk, Ended, Stopped, Tally},
    clock::Clock,
    derive::Rules,
    lookup::{Lookup, LookupSettings},
    model::id::TableId,
    store::sqlite::SqliteStore,
};

use crate::{
    filled::{ROWS, SOURCE, fill},
    rounds::{Rounds, Work},
};

/// Rows of each table.
const ASKED: usize = 100_000;

/// A table, and which of its rows are held.
struct Table {
    path: PathBuf,
    expected: Tally,
}

fn main() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let db = folder.path().join("cache.db");
    let clock = Clock::system();
    fill(&SqliteStore::open(&db, 1, clock.now()).unwrap(), clock.now());
    let settings = LookupSettings {
        max_age: TimeDelta::days(7),
        rules: Rules::default(),
        tables: vec![TableId::DataSource(SOURCE)],
    };
    // As the command opens it.
    let lookup = Lookup::new(SqliteStore::open_for_reading(&db).unwrap(), clock, settings);

    let table = |name: &str, first: &str, row: &dyn Fn(usize, u128) -> String, held: &dyn Fn(usize) -> bool| {
        let path = folder.path().join(name);
        let (mut rng, mut text, mut expected) = (fastrand::Rng::with_seed(7), first.to_owned(), Tally::default());
        for at in 0..ASKED {
            let company = rng.u128(..ROWS);
            let company = if held(at) { company } else { company + ROWS };
            match (held(at), company.is_multiple_of(3)) {
                (true, true) => expected.hard += 1,
                (true, false) => expected.soft += 1,
                (false, _) => expected.clear += 1,
            }
            writeln!(text, "{}", row(at, company)).unwrap();
        }
        expected.bytes_read = text.len() as u64;
        fs::write(&path, text).unwrap();
        Table { path, expected }
    };
    let key = |at: usize, company: u128| format!("{at},domain:company-{company}.com,a note of ours");
    let json =
        |at: usize, company: u128| format!(r#"{{"id":{at},"key":"domain:company-{company}.com","note":"ours"}}"#);
    let site =
        |at: usize, company: u128| format!("{at},Company {company},https://www.company-{company}.com/about,London");
    let columns = "id,key,note\n";
    let mixed = table("mixed.csv", columns, &key, &|at| at.is_multiple_of(2));
    let held = table("held.csv", columns, &key, &|_| true);
    let absent = table("absent.csv", columns, &key, &|_| false);
    let lines = table("mixed.jsonl", "", &json, &|at| at.is_multiple_of(2));
    let companies = table("companies.csv", "id,name,website,city\n", &site, &|at| at.is_multiple_of(2));
    let plain = plain(&db);
    for table in [&mixed, &held, &absent, &lines, &companies] {
        let (tally, ended) = answered(&lookup, table);
        ended.unwrap();
        assert_eq!(tally, table.expected, "{}", table.path.display());
    }

    Rounds::asked_for().compare(
        "check --input over 100,000 rows",
        vec![
            Work::new("floor: read and write the table", || copied(&mixed.path)),
            Work::new("floor: bare SELECT, half are held", || selected(&plain, &mixed.path)),
            Work::new("keys, half of them held", || asked(&lookup, &mixed)),
            Work::new("keys that are held", || asked(&lookup, &held)),
            Work::new("keys that are not held", || asked(&lookup, &absent)),
            Work::new("keys, half of them held, JSON lines", || asked(&lookup, &lines)),
            Work::new("name, website and city, half held", || asked(&lookup, &companies)),
        ],
    );
}

fn asked(lookup: &Lookup<SqliteStore>, table: &Table) -> usize {
    usize::try_from(answered(lookup, table).0.rows()).unwrap()
}

fn answered(lookup: &Lookup<SqliteStore>, table: &Table) -> (Tally, Result<Ended, Stopped>) {
    let input = File::open(&table.path).unwrap();
    Bulk::default().answer(lookup, input, &mut io::sink(), &mut |_| ())
}

/// The floor: every row read and written by the same library, on one thread.
fn copied(path: &Path) -> usize {
    let mut reader = ReaderBuilder::new().has_headers(false).from_path(path).unwrap();
    let mut writer = Writer::from_writer(io::sink());
    let (mut record, mut rows) = (StringRecord::new(), 0);
    while reader.read_record(&mut record).unwrap() {
        writer.write_record(&record).unwrap();
        rows += 1;
    }
    rows
}

/// The floor: the row of each key, a thousand in a read transaction, as text that nobody reads, on one thread.
fn selected(plain: &Connection, path: &Path) -> usize {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let mut select =
        plain.prepare_cached("SELECT status, expires_at FROM suppression_cache WHERE canonical_key = ?1").unwrap();
    let keys: Vec<String> = reader.records().map(|record| record.unwrap()[1].to_owned()).collect();
    for keys in keys.chunks(1_000) {
        plain.execute_batch("BEGIN").unwrap();
        for key in keys {
            let mut rows = select.query([key]).unwrap();
            let row: Option<(String, String)> =
                rows.next().unwrap().map(|row| (row.get(0).unwrap(), row.get(1).unwrap()));
            std::hint::black_box(row);
        }
        plain.execute_batch("COMMIT").unwrap();
    }
    keys.len()
}

#[expect(clippy::disallowed_methods, reason = "the floor has nothing of the store, its pragmas included")]
fn plain(path: &Path) -> Connection {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}
