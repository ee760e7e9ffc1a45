//! May it be pushed? Keys checked in process over 100,000 rows, beside a bare `SELECT` of the same rows.
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

use std::path::Path;

use chrono::TimeDelta;
use rusqlite::{Connection, OpenFlags};
use suppressd::{
    clock::Clock,
    derive::Rules,
    lookup::{Lookup, LookupSettings, Question},
    model::{id::TableId, verdict::Answer},
    store::sqlite::SqliteStore,
};

use crate::{
    filled::{ROWS, SOURCE, fill},
    rounds::{Rounds, Work},
};

/// Questions of one call.
const BATCH: usize = 1_000;

fn main() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = folder.path().join("cache.db");
    let clock = Clock::system();
    let store = SqliteStore::open(&path, 1, clock.now()).unwrap();
    fill(&store, clock.now());

    let settings = LookupSettings {
        max_age: TimeDelta::days(7),
        rules: Rules::default(),
        tables: vec![TableId::DataSource(SOURCE)],
    };
    let lookup = Lookup::new(store, clock, settings);
    let held = batches(&|company| format!("domain:company-{company}.com"));
    let addresses = batches(&|company| format!("https://www.company-{company}.com/about"));
    let others = batches(&|company| format!("domain:other-{company}.com"));
    let plain = plain(&path);
    for (batches, expected) in [(&held, Answer::Suppressed), (&addresses, Answer::Suppressed), (&others, Answer::Clear)]
    {
        let answers = lookup.answer_blocking(&batches[0], None).unwrap();
        assert!(answers.into_iter().all(|answer| answer.unwrap().verdict == expected), "not all are {expected:?}");
    }

    Rounds::asked_for().compare(
        "a key, in calls of 1,000 over 100,000 rows",
        vec![
            Work::new("floor: bare SELECT of the same keys", select(&plain, &held)),
            Work::new("a key that is held", ask(&lookup, &held)),
            Work::new("a web address that is held", ask(&lookup, &addresses)),
            Work::new("a key that is not held", ask(&lookup, &others)),
        ],
    );
    let single: Vec<Vec<Question>> = held.concat().into_iter().map(|question| vec![question]).collect();
    Rounds::asked_for().compare(
        "a key, each in a call and a read transaction of its own",
        vec![
            Work::new("floor: bare SELECT of the same keys", select(&plain, &single)),
            Work::new("a key that is held", ask(&lookup, &single)),
        ],
    );
}

/// Makes questions about companies drawn at random, in as many batches as there are rows.
fn batches(text: &dyn Fn(u128) -> String) -> Vec<Vec<Question>> {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut batch = || (0..BATCH).map(|_| Question::Text(text(rng.u128(..ROWS)))).collect();
    (0..100).map(|_| batch()).collect()
}

fn ask<'a>(lookup: &'a Lookup<SqliteStore>, batches: &'a [Vec<Question>]) -> impl FnMut() -> usize + 'a {
    let mut next = batches.iter().cycle();
    move || lookup.answer_blocking(next.next().unwrap(), None).unwrap().len()
}

/// The floor: the row of each key, in a read transaction for each batch, as text that nobody reads.
fn select<'a>(plain: &'a Connection, batches: &'a [Vec<Question>]) -> impl FnMut() -> usize + 'a {
    let mut next = batches.iter().cycle();
    move || {
        let batch = next.next().unwrap();
        plain.execute_batch("BEGIN").unwrap();
        let mut select =
            plain.prepare_cached("SELECT status, expires_at FROM suppression_cache WHERE canonical_key = ?1").unwrap();
        for question in batch {
            let Question::Text(key) = question else { continue };
            let row: (String, String) = select.query_row([key], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            std::hint::black_box(row);
        }
        plain.execute_batch("COMMIT").unwrap();
        batch.len()
    }
}

#[expect(clippy::disallowed_methods, reason = "the floor has nothing of the store, its pragmas included")]
fn plain(path: &Path) -> Connection {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}
