//! Copies of the cache that begin at any moment and follow the changes end with our rows, whatever happens to either.
//!
//! A seeded history: pages that fight for keys in two sources, pages that go, are lost and expire, other settings and
//! rules, another program that meddles with the rows, and changes that are forgotten. Beside it a few copies read pages
//! of entries and changes in pieces, lose answers, apply them twice, and go back to an older state of theirs. In the end
//! every page is looked at once more, and each copy must hold what the table does. A failing seed is printed.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use serde_json::Value as Json;
use suppressd::{
    cache::{Cache, CacheSettings},
    clock::Clock,
    derive::{Rules, SharedHosts, winner::HardStatuses},
    lookup::{
        Lookup, LookupSettings,
        changes::{Changes, ChangesError, Gone, ListedEntry, Position},
    },
    model::{
        entry::{Cause, Door, Standing},
        id::{DataSourceId, PageId},
        page::{Role, Value, Values, View},
        sighting::{Absence, Sighting},
        verdict::Firmness,
    },
    store::{Cutoffs, Rows, Store as _, StoreError, StoredSource, sqlite::SqliteStore},
};
use tempfile::TempDir;
use uuid::Uuid;

use crate::pipeline::{connect, rows};

const TTL: TimeDelta = TimeDelta::days(7);
const PAGES: u128 = 6;
const STEPS: usize = 70;
const COPIES: usize = 3;
const SOURCES: [DataSourceId; 2] =
    [DataSourceId::from_uuid(Uuid::from_u128(1)), DataSourceId::from_uuid(Uuid::from_u128(2))];

fn start() -> DateTime<Utc> {
    "2026-01-06T12:00:00Z".parse().unwrap()
}

fn page(n: u128) -> PageId {
    PageId::from_uuid(Uuid::from_u128(0x1000 + n))
}

/// Page, status, name, source and firmness: what a copy must have right of an entry.
type Held = (String, String, Option<String>, String, Firmness);

fn held(entry: &ListedEntry) -> Held {
    let ListedEntry { page, status, company_name, source, firmness, .. } = entry.clone();
    (page.to_string(), status, company_name, source.to_string(), firmness)
}

/// A database with a cache, at some time.
struct World {
    folder: TempDir,
    store: SqliteStore,
    cache: Cache,
    now: DateTime<Utc>,
    hard: Vec<&'static str>,
    meddled: u32,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("cache.db"), 100, start()).unwrap();
        let mut world = Self { folder, store, cache: cache(&[]), now: start(), hard: vec![], meddled: 0 };
        world.set_hard(&["Passed"]).await;
        world
    }

    fn lookup(&self) -> Lookup<SqliteStore> {
        let settings = LookupSettings { max_age: TTL, rules: Rules::default(), tables: Vec::new() };
        Lookup::new(self.store.clone(), Clock::system(), settings)
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Cache, &mut dyn Rows, DateTime<Utc>) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        let (cache, now) = (self.cache.clone(), self.now);
        self.store.write(move |rows| work(&cache, rows, now)).await.unwrap()
    }

    /// What the settings say is hard, told to store and cache as the worker does.
    async fn set_hard(&mut self, hard: &[&'static str]) {
        self.hard = hard.to_vec();
        let statuses = HardStatuses::new(hard);
        let hard = serde_json::to_string(&statuses).unwrap();
        for source in SOURCES {
            self.cache.learn(source, statuses.clone());
            let hard = hard.clone();
            self.write(move |_, rows, now| {
                let (schema, mapping) = (String::new(), "{}".to_owned());
                rows.put_source(&StoredSource {
                    id: source,
                    name: None,
                    schema,
                    mapping,
                    hard,
                    resolved_at: now,
                    watermark: None,
                    retired_at: None,
                    database: None,
                })
            })
            .await;
        }
        self.cache.rederive(&self.store, self.now).await.unwrap();
    }

    /// Derives by other rules: one of the domains is, or is not, a shared host.
    async fn set_rules(&mut self, shared: &[&str]) {
        self.cache = cache(shared);
        for source in SOURCES {
            self.cache.learn(source, HardStatuses::new(&self.hard));
        }
        self.cache.rederive(&self.store, self.now).await.unwrap();
    }

    async fn see(&self, sighting: Sighting, door: Door) {
        self.write(move |cache, rows, now| {
            cache.apply(rows, &sighting, &Cause { door, id: "seen".to_owned() }, now).map(drop)
        })
        .await;
    }

    /// Does something to the rows as another program does.
    fn meddle(&mut self, sql: &str) {
        self.meddled += 1;
        let sql = sql.replace("{n}", &self.meddled.to_string()).replace("{now}", &crate::sweeping::isoformat(self.now));
        connect(&self.database()).execute_batch(&sql).unwrap();
    }

    fn database(&self) -> std::path::PathBuf {
        self.folder.path().join("cache.db")
    }

    /// What the table says of our keys, read without the program.
    fn ours(&self) -> BTreeMap<String, Held> {
        let connection = connect(&self.database());
        let mut claims = connection.prepare("SELECT canonical_key || ' ' || page_id FROM suppressd_claims").unwrap();
        let claims: BTreeSet<String> =
            claims.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
        let ours =
            rows(&self.database()).into_iter().filter(|row| claims.contains(&format!("{} {}", row.key, row.page)));
        ours.map(|row| {
            let source = row.metadata.get("source").and_then(Json::as_str).unwrap().to_owned();
            let firmness = if self.hard.contains(&row.status.as_str()) { Firmness::Hard } else { Firmness::Soft };
            (row.key, (row.page, row.status, row.company, source, firmness))
        })
        .collect()
    }
}

fn cache(shared: &[&str]) -> Cache {
    let shared: Vec<String> = shared.iter().map(|host| (*host).to_owned()).collect();
    let rules = Rules { shared_hosts: SharedHosts::default().with_extra(&shared).unwrap() };
    Cache::new(CacheSettings { ttl: TTL, index_lag: TimeDelta::seconds(60), rules })
}

/// A page as it is now, by chance.
fn sighting(rng: &mut fastrand::Rng, n: u128, now: DateTime<Utc>, standing: Standing) -> Sighting {
    let mut values = Values::default();
    values.set(Role::CompanyName, Value::text(rng.choice(["Company", "Another"]).unwrap()));
    values.set(Role::Website, Value::text(&format!("company-{}.com", rng.u8(0..4))));
    values.set(Role::Crunchbase, Value::text(rng.choice(["", "one", "two"]).unwrap()));
    values.set(Role::Status, Value::text(rng.choice(["Sourced", "Passed", "Lost", ""]).unwrap()));
    Sighting {
        page: page(n),
        source: rng.choice(SOURCES).unwrap(),
        standing,
        last_edited_time: now.duration_trunc(TimeDelta::minutes(1)).unwrap(),
        observed_at: now,
        view: View::Page,
        url: None,
        values,
    }
}

/// What keeps a copy, as somebody else would write it by the documentation.
#[derive(Debug, Clone, Default)]
struct Copy {
    rows: BTreeMap<String, Held>,
    /// Where it stands; `None` while it reads the entries.
    position: Option<Position>,
    /// Of the first page of entries, and the key after which the next one begins.
    reading: Option<(Position, Option<String>)>,
    begun_anew: u32,
}

impl Copy {
    /// Reads the next piece.
    async fn step(&mut self, world: &World, limit: u32) {
        match self.position.clone() {
            None => self.read_entries(world, limit).await,
            Some(position) => match world.lookup().changes(position, limit).await {
                Err(ChangesError::Gone(_)) => *self = Self { begun_anew: self.begun_anew + 1, ..Self::default() },
                changes => self.take(&changes.unwrap()),
            },
        }
    }

    async fn read_entries(&mut self, world: &World, limit: u32) {
        let after = self.reading.as_ref().and_then(|(_, after)| after.clone());
        let page = world.lookup().entries(after, limit).await.unwrap();
        self.rows.extend(page.entries.iter().map(|entry| (entry.key.to_string(), held(entry))));
        let first = Position { after: Some(page.seq), feed: Some(page.feed) };
        let first = self.reading.take().map_or(first, |(first, _)| first);
        match page.next {
            Some(next) => self.reading = Some((first, Some(next.to_string()))),
            None => self.position = Some(first),
        }
    }

    fn take(&mut self, changes: &Changes) {
        for change in &changes.changes {
            match &change.entry {
                Some(entry) => drop(self.rows.insert(change.key.to_string(), held(entry))),
                None => drop(self.rows.remove(change.key.as_str())),
            }
        }
        self.position = Some(Position { after: Some(changes.seq), feed: Some(changes.feed.clone()) });
    }
}

#[tokio::test]
async fn a_copy_that_begins_at_any_moment_ends_with_our_rows() {
    let mut begun_anew = 0;
    for seed in 0..12 {
        begun_anew += follow(seed).await;
    }
    assert!(begun_anew > 3, "no copy was ever told to begin anew");
}

async fn follow(seed: u64) -> u32 {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut world = World::new().await;
    let mut copies = vec![Copy::default(); COPIES];
    let mut saved = copies.clone();
    for _ in 0..STEPS {
        world.now += TimeDelta::seconds(rng.i64(1..7_200));
        happen(&mut world, &mut rng).await;
        for (copy, saved) in copies.iter_mut().zip(&mut saved) {
            match rng.u8(0..8) {
                0..4 => copy.step(&world, rng.u32(1..4)).await,
                // An answer that was lost on its way.
                4 => copy.clone().step(&world, 3).await,
                5 => *saved = copy.clone(),
                // It died, and goes on from what it had written down.
                6 => *copy = saved.clone(),
                _ => (),
            }
        }
    }
    for n in 0..PAGES {
        world.now += TimeDelta::minutes(1);
        let last = sighting(&mut rng, n, world.now, Standing::Listed);
        world.see(last, Door::Sweep).await;
    }
    let ours = world.ours();
    assert!(!ours.is_empty());
    for copy in &mut copies {
        let newest = world.lookup().changes(Position::default(), 1).await.unwrap().newest;
        while copy.position.as_ref().is_none_or(|at| at.after != Some(newest)) {
            copy.step(&world, 5).await;
        }
        assert_eq!(copy.rows, ours, "seed {seed}");
    }
    copies.iter().map(|copy| copy.begun_anew).sum()
}

async fn happen(world: &mut World, rng: &mut fastrand::Rng) {
    let n = rng.u128(0..PAGES);
    match rng.u8(0..24) {
        0..9 => world.see(sighting(rng, n, world.now, Standing::Listed), Door::Webhook).await,
        9 => world.see(sighting(rng, n, world.now, Standing::Trashed), Door::Replay).await,
        10 => {
            let absence = Absence { page: page(n), observed_at: world.now };
            let cause = Cause { door: Door::Webhook, id: "deleted".to_owned() };
            world.write(move |cache, rows, now| cache.bury(rows, absence, &cause, now).map(drop)).await;
        }
        11 | 12 => lose(world, n).await,
        13 => world.set_hard(if rng.bool() { &["Passed"] } else { &["Passed", "Lost"] }).await,
        14 => world.set_rules(if rng.bool() { &[] } else { &["company-1.com"] }).await,
        15 => drop(world.write(|cache, rows, now| cache.renew(rows, now, 100)).await),
        16 => drop(world.write(|_, rows, now| rows.clean_unclaimed(now, 100)).await),
        17 => forget(world, rng).await,
        18 => world.store = SqliteStore::open(&world.database(), 100, world.now).unwrap(),
        19 => world.meddle("DELETE FROM suppression_cache WHERE id = (SELECT max(id) FROM suppression_cache)"),
        20 => world.meddle("UPDATE suppression_cache SET status = 'Other {n}' WHERE id % 3 = {n} % 3"),
        21 => world.meddle(
            "UPDATE suppression_cache SET metadata = '{}', notion_page_id = 'other {n}' WHERE id % 3 = {n} % 3",
        ),
        22 => world.meddle("DELETE FROM suppression_cache WHERE expires_at <= '{now}'"),
        _ => world.meddle(
            "INSERT OR IGNORE INTO suppression_cache (canonical_key, notion_page_id, status, cached_at, expires_at) \
             VALUES ('domain:company-3.com', 'theirs', 'Theirs {n}', '{now}', '{now}')",
        ),
    }
}

/// A page that complete sweeps do not find, until its rows have expired.
async fn lose(world: &mut World, n: u128) {
    let absence = Absence { page: page(n), observed_at: world.now };
    world.write(move |cache, rows, now| cache.miss(rows, absence, now).map(drop)).await;
    world.write(move |cache, rows, now| cache.lose_sight(rows, &[page(n)], None, now)).await;
    world.now += TTL + TimeDelta::hours(1);
    let cause = Cause { door: Door::Sweep, id: "1".to_owned() };
    world.write(move |cache, rows, now| cache.let_go(rows, &cause, now, 100).map(drop)).await;
}

/// Forgets what is older than some days.
async fn forget(world: &World, rng: &mut fastrand::Rng) {
    let changes_before = world.now - TimeDelta::hours(rng.i64(0..48));
    let cutoffs = Cutoffs { bodies_before: start(), events_before: start(), changes_before, sweeps_before: start() };
    while world.write(move |_, rows, _| rows.prune(&cutoffs, 3)).await > 0 {}
}

#[tokio::test]
async fn the_newest_change_is_never_forgotten_and_no_number_is_given_twice() {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut world = World::new().await;
    let mut newest = 0;
    for _ in 0..5 {
        world.now += TimeDelta::days(1);
        world.see(sighting(&mut rng, 1, world.now, Standing::Listed), Door::Webhook).await;
        world.see(sighting(&mut rng, 1, world.now + TimeDelta::minutes(1), Standing::Trashed), Door::Webhook).await;
        let (first, last) = numbers(&world);
        assert!(first >= newest && last > newest + 1, "a number was given twice: {first} to {last} after {newest}");
        newest = last;
        let cutoffs = Cutoffs {
            bodies_before: start(),
            events_before: start(),
            sweeps_before: start(),
            changes_before: world.now + TimeDelta::days(400),
        };
        while world.write(move |_, rows, _| rows.prune(&cutoffs, 2)).await > 0 {}
        assert_eq!(numbers(&world), (newest, newest));
        let read = world.lookup().changes(Position { after: Some(newest - 1), feed: None }, 10).await.unwrap();
        assert_eq!((read.oldest, read.newest, read.changes.len()), (newest, newest, 1));
        let too_old = world.lookup().changes(Position { after: Some(newest - 2), feed: None }, 10).await;
        assert!(matches!(too_old, Err(ChangesError::Gone(Gone::TooOld { oldest, .. })) if oldest == newest));
        // The next one comes after it, also after a restart.
        world.store = SqliteStore::open(&world.database(), 100, world.now).unwrap();
    }
}

/// The first and the last number in the table.
fn numbers(world: &World) -> (u64, u64) {
    let connection = connect(&world.database());
    connection
        .query_row("SELECT min(seq), max(seq) FROM suppressd_changes", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
}

#[tokio::test]
async fn a_change_with_a_date_that_is_still_to_come_leaves_no_gap_when_those_behind_it_go() {
    let mut rng = fastrand::Rng::with_seed(2);
    let mut world = World::new().await;
    world.see(sighting(&mut rng, 1, world.now, Standing::Listed), Door::Webhook).await;
    world.see(sighting(&mut rng, 2, world.now, Standing::Trashed), Door::Webhook).await;
    world.now += TimeDelta::minutes(5);
    world.see(sighting(&mut rng, 1, world.now, Standing::Trashed), Door::Webhook).await;
    let (first, last) = numbers(&world);
    let future = (world.now + TimeDelta::days(1_000)).timestamp_micros();
    world.meddle(&format!("UPDATE suppressd_changes SET changed_at = {future} WHERE seq = {first}"));
    let cutoffs = Cutoffs {
        bodies_before: start(),
        events_before: start(),
        sweeps_before: start(),
        changes_before: world.now + TimeDelta::days(1),
    };
    while world.write(move |_, rows, _| rows.prune(&cutoffs, 100)).await > 0 {}
    assert_eq!(numbers(&world), (last, last));
    let read = world.lookup().changes(Position { after: Some(0), feed: None }, 10).await;
    assert!(matches!(read, Err(ChangesError::Gone(Gone::TooOld { after: 0, oldest })) if oldest == last));
}

#[tokio::test]
async fn an_older_copy_of_the_database_is_noticed_even_after_it_went_on_by_itself() {
    let mut rng = fastrand::Rng::with_seed(3);
    let mut world = World::new().await;
    world.see(sighting(&mut rng, 1, world.now, Standing::Listed), Door::Webhook).await;
    let older = world.folder.path().join("older.db");
    connect(&world.database()).execute("VACUUM INTO ?1", [older.to_str().unwrap()]).unwrap();
    let mut copy = Copy::default();
    copy.step(&world, 100).await;
    world.now += TimeDelta::minutes(5);
    world.see(sighting(&mut rng, 1, world.now, Standing::Trashed), Door::Webhook).await;
    copy.step(&world, 100).await;
    let position = copy.position.clone().unwrap();
    assert!(world.lookup().changes(position.clone(), 10).await.is_ok());

    world.store = SqliteStore::open(&older, 100, world.now).unwrap();
    let ahead = world.lookup().changes(position.clone(), 10).await;
    assert!(matches!(ahead, Err(ChangesError::Gone(Gone::Ahead { .. }))), "{ahead:?}");
    // It has as many changes again, and they are others.
    while world.lookup().changes(Position::default(), 1).await.unwrap().newest <= position.after.unwrap() {
        world.now += TimeDelta::minutes(5);
        world.see(sighting(&mut rng, 2, world.now, Standing::Listed), Door::Webhook).await;
    }
    let renamed = world.lookup().changes(position.clone(), 10).await;
    assert!(matches!(renamed, Err(ChangesError::Gone(Gone::Renamed { .. }))), "{renamed:?}");
    // Who does not say whose change he has is not told.
    assert!(world.lookup().changes(Position { feed: None, ..position }, 10).await.is_ok());
}

/// Lets another program do something to the row of a page that a copy holds, and the page become something else then.
async fn check_meddled(sql: &str, standing: Standing, status: &str) {
    let mut world = World::new().await;
    let see = |now: DateTime<Utc>, standing: Standing, status: &str| {
        let mut seen = sighting(&mut fastrand::Rng::with_seed(4), 1, now, standing);
        seen.values.set(Role::Status, Value::text(status));
        seen.values.set(Role::Crunchbase, Value::text(""));
        seen
    };
    world.see(see(world.now, Standing::Listed, "Sourced"), Door::Webhook).await;
    let mut copy = Copy::default();
    copy.step(&world, 100).await;
    assert_eq!(copy.rows.len(), 1);
    world.meddle(sql);
    world.now += TimeDelta::minutes(5);
    world.see(see(world.now, standing, status), Door::Webhook).await;
    copy.step(&world, 100).await;
    assert_eq!(copy.rows, world.ours(), "{sql}: {standing:?}");
    assert_eq!(copy.rows.len(), usize::from(standing == Standing::Listed));
}

#[tokio::test]
async fn a_copy_is_not_misled_by_what_another_program_did_to_a_row_meanwhile() {
    for sql in [
        "DELETE FROM suppression_cache",
        "UPDATE suppression_cache SET metadata = '{}'",
        "UPDATE suppression_cache SET metadata = '{}', notion_page_id = 'theirs'",
        "UPDATE suppression_cache SET status = 'Passed'",
        "UPDATE suppression_cache SET company_name = 'Theirs'",
    ] {
        check_meddled(sql, Standing::Trashed, "Sourced").await;
        check_meddled(sql, Standing::Listed, "Sourced").await;
        // The other program may have written already what the page says only now.
        check_meddled(sql, Standing::Listed, "Passed").await;
    }
}
