//! Files of companies: every row comes back, and what comes back can be asked again.

use std::{path::PathBuf, sync::LazyLock};

use chrono::{DateTime, TimeDelta};
use serde_json::Value as Tree;
use suppressd::{
    cache::{Cache, CacheSettings},
    cli::{
        args::bulk::InputFormat,
        check::bulk::{Bulk, Ended, Stopped, Tally},
    },
    clock::Clock,
    derive::{Rules, winner::HardStatuses},
    lookup::{Lookup, LookupSettings},
    model::{
        entry::{Cause, Door, Standing},
        id::{DataSourceId, PageId},
        page::{Role, Value, Values, View},
        sighting::Sighting,
    },
    store::{Store as _, sqlite::SqliteStore},
};
use uuid::Uuid;

const SOURCE: DataSourceId = DataSourceId::from_uuid(Uuid::from_u128(1));

/// A cache of two companies whose names are hard to write down.
static LOOKUP: LazyLock<Lookup<SqliteStore>> = LazyLock::new(|| {
    // Kept to the end of the process: a static is never dropped.
    let folder: PathBuf = tempfile::tempdir().unwrap().keep();
    let now = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
    let store = SqliteStore::open(&folder.join("cache.db"), 1, now).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let _within = runtime.enter();
    let rules = Rules::default();
    let settings = CacheSettings { ttl: TimeDelta::days(7), index_lag: TimeDelta::seconds(60), rules: rules.clone() };
    let cache = Cache::new(settings);
    cache.learn(SOURCE, HardStatuses::default());
    let apply = store.write(move |rows| {
        let cause = Cause { door: Door::Sweep, id: "1".to_owned() };
        for (n, name, website) in [(1, "=1+1,\"Acme\";\n\t\u{202e}", "acme.ai"), (2, "Bücher|Ltd", "bücher.example")]
        {
            let mut values = Values::default();
            values.set(Role::CompanyName, Value::text(name));
            values.set(Role::Website, Value::text(website));
            let sighting = Sighting {
                page: PageId::from_uuid(Uuid::from_u128(n)),
                source: SOURCE,
                standing: Standing::Listed,
                last_edited_time: now,
                observed_at: now,
                view: View::Page,
                url: None,
                values,
            };
            cache.apply(rows, &sighting, &cause, now)?;
        }
        Ok(())
    });
    runtime.block_on(apply).unwrap();
    let clock = Clock::following_tokio(now);
    Lookup::new(store, clock, LookupSettings { max_age: TimeDelta::days(7), rules, tables: Vec::new() })
});

/// Asks a table.
pub fn csv(bytes: &[u8]) {
    drop(table(bytes, InputFormat::Csv));
}

/// Asks a file of objects: of each line that is not blank, its members come back with an answer.
pub fn json_lines(bytes: &[u8]) {
    let Some(out) = table(bytes, InputFormat::Jsonl) else { return };
    let (given, back) = (String::from_utf8_lossy(bytes), String::from_utf8(out).unwrap());
    let given = given.trim_start_matches('\u{feff}');
    let given: Vec<&str> = given.split('\n').filter(|line| !line.trim().is_empty()).collect();
    assert_eq!(back.lines().count(), given.len(), "a line for each line: {back}");
    for (given, back) in given.into_iter().zip(back.lines()) {
        let Ok(Tree::Object(mut back)) = serde_json::from_str(back) else { panic!("no object: {back}") };
        assert!(matches!(back.remove("suppressd"), Some(Tree::Object(_))), "no answer: {back:?}");
        if let Ok(Tree::Object(mut given)) = serde_json::from_str(given)
            && !back.contains_key("unreadable")
        {
            drop(given.remove("suppressd"));
            assert_eq!(back, given);
        }
    }
}

/// Asks a file, and then asks what came back: the rows are as many, and from then on nothing changes any more.
fn table(bytes: &[u8], format: InputFormat) -> Option<Vec<u8>> {
    let (mut out, tally) = ask(bytes, format)?;
    let ours = out.clone();
    // A row that cannot be read comes back as one that can.
    if tally.unreadable > 0 {
        (out, _) = ask_again(&out, format, tally.rows());
    }
    // An age may have grown by a second meanwhile, but not twice.
    let stays = |out: &mut Vec<u8>| {
        let before = std::mem::replace(out, ask_again(out, format, tally.rows()).0);
        before == *out
    };
    assert!(stays(&mut out) || stays(&mut out), "it changes again: {}", String::from_utf8_lossy(&out));
    Some(ours)
}

/// Asks what came back.
fn ask_again(out: &[u8], format: InputFormat, rows: u64) -> (Vec<u8>, Tally) {
    let again = ask(out, format).unwrap_or_else(|| panic!("refused: {}", String::from_utf8_lossy(out)));
    assert_eq!(again.1.rows(), rows, "as many rows: {}", String::from_utf8_lossy(out));
    again
}

/// Asks a file to its end; `None` where it is refused.
fn ask(bytes: &[u8], format: InputFormat) -> Option<(Vec<u8>, Tally)> {
    let (mut out, mut written) = (Vec::new(), 0);
    let bulk = Bulk { format: Some(format), ..Bulk::default() };
    let mut told = |told: suppressd::cli::check::bulk::Told<'_>| {
        if let suppressd::cli::check::bulk::Told::Written(tally) = told {
            written = tally.rows();
        }
    };
    let (tally, ended) = bulk.answer(&LOOKUP, bytes, &mut out, &mut told);
    match ended {
        Ok(ended) => assert_eq!((ended, written), (Ended::Complete, tally.rows())),
        Err(Stopped::Unreadable(why)) => {
            assert!(!why.to_string().is_empty());
            return None;
        }
        Err(stopped) => panic!("{stopped}"),
    }
    Some((out, tally))
}
