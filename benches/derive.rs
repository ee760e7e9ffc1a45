//! From a page's JSON to its keys, beside parsing alone; and from its values to rows, beside one bare `UPDATE` of a row.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a step that fails should end the run where it fails"
)]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

#[path = "common/cpu.rs"]
mod cpu;
#[path = "common/rounds.rs"]
mod rounds;

use std::{
    cell::{Cell, RefCell},
    fs,
    path::Path,
};

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use rusqlite::{Connection, params};
use serde_json::Value as Json;
use suppressd::{
    cache::{Applied, Cache, CacheSettings},
    clock::Clock,
    derive::{self, Rules, mapping, mapping::Names, winner::HardStatuses},
    model::{
        entry::{Cause, Door, Standing},
        id::{DataSourceId, PageId},
        page::{Role, Value, Values, View},
        sighting::Sighting,
    },
    notion::{page_json, schema},
    store::{Store as _, sqlite::SqliteStore},
};
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::rounds::{Rounds, Work};

/// Pages that one transaction applies, as a sweep does with a page of results.
const AT_ONCE: u128 = 100;

/// Pages in the cache.
const PAGES: u128 = 10_000;

const SOURCE: DataSourceId = DataSourceId::from_uuid(Uuid::from_u128(1));

fn main() {
    let rounds = Rounds::asked_for();
    derive(rounds);
    apply(rounds);
}

/// Reads the pages of the fixtures and derives their keys.
fn derive(rounds: Rounds) {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/pages");
    let schema: Json = serde_json::from_str(&fs::read_to_string(fixtures.join("data_source.json")).unwrap()).unwrap();
    let mapping = mapping::resolve(&schema::schema(&schema).unwrap(), &Names::default(), None).unwrap().mapping;
    let texts = fs::read_dir(fixtures).unwrap().map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    // Notion sends no blanks; the fixtures are laid out for reading.
    let pages: Vec<String> = texts
        .map(|text| serde_json::from_str::<Json>(&text).unwrap())
        .filter(|json| json["object"] == "page")
        .map(|json| json.to_string())
        .collect();
    let bytes: usize = pages.iter().map(String::len).sum();
    let rules = Rules::default();
    let keys = |text: &str| {
        let page = page_json::page(&serde_json::from_str(text).unwrap()).unwrap();
        derive::values_candidates(&mapping.values(&page), &rules).candidates.len()
    };
    let found: usize = pages.iter().map(|page| keys(page)).sum();
    println!("{} pages of {} bytes on average, {found} keys", pages.len(), bytes / pages.len());
    rounds.compare(
        "a page, from JSON to keys",
        vec![
            Work::new("floor: JSON to a tree of values", || {
                pages.iter().filter(|text| std::hint::black_box(serde_json::from_str::<Json>(text)).is_ok()).count()
            }),
            Work::new("JSON to keys", || {
                pages.iter().map(|text| std::hint::black_box(keys(text))).filter(|keys| *keys > 0).count()
            }),
        ],
    );
}

/// Applies pages that say the same, and pages that do not.
fn apply(rounds: Rounds) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = folder.path().join("cache.db");
    let world = RefCell::new(World::new(&path));
    for _ in 0..PAGES / AT_ONCE {
        world.borrow_mut().look(View::Page, "Sourced", Applied::Inserted);
    }
    let bare = bare(&path);
    let row = Cell::new(0);
    let floor = || {
        Work::new("floor: a bare UPDATE of a row", || {
            row.set((row.get() + AT_ONCE) % PAGES);
            update(&bare, row.get())
        })
    };
    rounds.compare(
        "a page that says what is known, 100 in a transaction",
        vec![
            floor(),
            Work::new("as a sweep sees it", || world.borrow_mut().look(View::Query, "Sourced", Applied::Unchanged)),
            Work::new("as a look at the page sees it", || {
                world.borrow_mut().look(View::Page, "Sourced", Applied::Unchanged)
            }),
        ],
    );
    let mut looks = 0;
    rounds.compare(
        "a page with another status, 100 in a transaction",
        vec![
            floor(),
            Work::new("page, entry and history", || {
                looks += 1;
                // All pages come to one status before the first goes on to the next.
                let status = format!("Status {}", looks / (PAGES / AT_ONCE));
                world.borrow_mut().look(View::Page, &status, Applied::Updated)
            }),
        ],
    );
}

/// A cache over a file, and how far its pages have been looked at.
struct World {
    runtime: Runtime,
    store: SqliteStore,
    cache: Cache,
    now: DateTime<Utc>,
    observed_at: DateTime<Utc>,
    next: u128,
}

impl World {
    fn new(path: &Path) -> Self {
        // Notion floors the times of edits to the minute.
        let now = Clock::system().now().duration_trunc(TimeDelta::minutes(1)).unwrap();
        let (ttl, index_lag) = (TimeDelta::days(7), TimeDelta::seconds(60));
        let cache = Cache::new(CacheSettings { ttl, index_lag, rules: Rules::default() });
        cache.learn(SOURCE, HardStatuses::default());
        Self {
            runtime: tokio::runtime::Builder::new_current_thread().build().unwrap(),
            store: SqliteStore::open(path, 1, now).unwrap(),
            cache,
            now,
            observed_at: now,
            next: 0,
        }
    }

    /// Looks at the next hundred pages, and applies what they say.
    fn look(&mut self, view: View, status: &str, expected: Applied) -> usize {
        // Later than an index can trail, so that a query counts after a look.
        self.observed_at += TimeDelta::minutes(2);
        let pages = self.next..self.next + AT_ONCE;
        self.next = pages.end % PAGES;
        let (cache, now) = (self.cache.clone(), self.now);
        let sightings: Vec<Sighting> = pages.map(|page| self.sighting(page, view, status)).collect();
        let apply = self.store.write(move |rows| {
            let cause = Cause { door: Door::Webhook, id: "2c46e93e-5bea-455e-a6f3-855b9557ee3e".to_owned() };
            for sighting in &sightings {
                assert_eq!(cache.apply(rows, sighting, &cause, now)?.applied, expected);
            }
            Ok(sightings.len())
        });
        self.runtime.block_on(apply).unwrap()
    }

    fn sighting(&self, page: u128, view: View, status: &str) -> Sighting {
        let mut values = Values::default();
        for (role, text) in [
            (Role::CompanyName, &*format!("Company {page}")),
            (Role::Website, &*format!("https://www.company-{page}.com")),
            (Role::CompaniesHouse, &*format!("{:08}", 10_000_000 + page)),
            (Role::Location, "London"),
            (Role::Status, status),
        ] {
            values.set(role, Value::text(text));
        }
        Sighting {
            page: PageId::from_uuid(uuid(page)),
            source: SOURCE,
            standing: Standing::Listed,
            last_edited_time: self.now,
            observed_at: self.observed_at,
            view,
            url: Some(format!("https://app.notion.com/p/{}", uuid(page).simple())),
            values,
        }
    }
}

const fn uuid(page: u128) -> Uuid {
    Uuid::from_u128(page << 64 | 7)
}

/// The floor: a column of a hundred rows by their keys, and nothing else.
fn update(bare: &Connection, first: u128) -> usize {
    bare.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut update = bare.prepare_cached("UPDATE suppressd_pages SET missing_since = ?2 WHERE page_id = ?1").unwrap();
    let updated = (first..first + AT_ONCE).map(|page| update.execute(params![uuid(page).to_string(), None::<i64>]));
    let updated = updated.map(Result::unwrap).sum();
    bare.execute_batch("COMMIT").unwrap();
    updated
}

#[expect(clippy::disallowed_methods, reason = "the floor has nothing of the store, its pragmas included")]
fn bare(path: &Path) -> Connection {
    Connection::open(path).unwrap()
}
