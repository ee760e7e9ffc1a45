//! What the cache makes of sightings one by one: which is newer, which row is renewed, which rows are whose.

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::params;
use suppressd::{
    cache::{Applied, Cache, CacheSettings, Outcome},
    derive::{Rules, SharedHosts, winner::HardStatuses},
    model::{
        entry::{Cause, Door, Standing},
        page::{Role, Value, Values, View},
        sighting::{Absence, Sighting},
    },
    store::{Rows, Store as _, StoreError, sqlite::SqliteStore},
};
use tempfile::TempDir;

use crate::{
    pipeline::{Row, connect, rows},
    stage::{SOURCE, page_id, start},
};

const TTL: TimeDelta = TimeDelta::days(7);

struct World {
    folder: TempDir,
    store: SqliteStore,
    cache: Cache,
}

fn settings(shared: &[&str]) -> CacheSettings {
    let shared: Vec<_> = shared.iter().map(|host| (*host).to_owned()).collect();
    let rules = Rules { shared_hosts: SharedHosts::default().with_extra(&shared).unwrap() };
    CacheSettings { ttl: TTL, index_lag: TimeDelta::seconds(60), rules }
}

fn at(seconds: i64) -> DateTime<Utc> {
    start() + TimeDelta::seconds(seconds)
}

fn days(n: i64) -> DateTime<Utc> {
    start() + TimeDelta::days(n)
}

/// A live look at page `n` that was sent at that second, when the page had last been edited in that minute.
fn seen(n: u128, second: i64, minute: i64, website: &str) -> Sighting {
    let mut values = Values::default();
    values.set(Role::Website, Value::text(website));
    Sighting {
        page: page_id(n),
        source: SOURCE,
        standing: Standing::Listed,
        last_edited_time: at(minute * 60),
        observed_at: at(second),
        view: View::Page,
        url: None,
        values,
    }
}

/// The same by a query.
fn queried(n: u128, second: i64, minute: i64, website: &str) -> Sighting {
    Sighting { view: View::Query, ..seen(n, second, minute, website) }
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("cache.db"), 100, start()).unwrap();
        let cache = Cache::new(settings(&[]));
        cache.learn(SOURCE, HardStatuses::default());
        Self { folder, store, cache }
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Cache, &mut dyn Rows) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        let cache = self.cache.clone();
        self.store.write(move |rows| work(&cache, rows)).await.unwrap()
    }

    async fn apply_by(&self, door: Door, sighting: Sighting, now: DateTime<Utc>) -> Outcome {
        let cause = Cause { door, id: "e".to_owned() };
        self.with(move |cache, rows| cache.apply(rows, &sighting, &cause, now)).await
    }

    async fn apply(&self, sighting: Sighting, now: DateTime<Utc>) -> Applied {
        self.apply_by(Door::Webhook, sighting, now).await.applied
    }

    fn rows(&self) -> Vec<Row> {
        rows(&self.folder.path().join("cache.db"))
    }

    fn keys(&self) -> Vec<String> {
        self.rows().into_iter().map(|row| row.key).collect()
    }

    /// Writes a row as the Python job does.
    fn write_as_pipeline(&self, key: &str, page: &str) {
        let sql = "INSERT OR REPLACE INTO suppression_cache (canonical_key, notion_page_id, status, cached_at, \
                   expires_at, metadata) VALUES (?1, ?2, 'Passed', '2026-01-06T12:00:00+00:00', \
                   '2026-01-13T12:00:00+00:00', '{\"synced_from\": \"cron\"}')";
        connect(&self.folder.path().join("cache.db")).execute(sql, params![key, page]).unwrap();
    }
}

#[tokio::test]
async fn the_order_of_two_sightings() {
    let first = || seen(1, 600, 5, "old.com");
    for (name, second, applied) in [
        ("edited earlier, seen later", seen(1, 900, 4, "new.com"), Applied::Stale),
        ("edited later, seen earlier", seen(1, 500, 6, "new.com"), Applied::Updated),
        ("edited later, by a lagging index", queried(1, 601, 6, "new.com"), Applied::Updated),
        ("same minute, seen later", seen(1, 601, 5, "new.com"), Applied::Updated),
        ("same minute, same instant, same page", first(), Applied::Unchanged),
        ("same minute, seen earlier", seen(1, 599, 5, "new.com"), Applied::Stale),
        ("same minute, asked later within the lag, another value", queried(1, 630, 5, "new.com"), Applied::Doubtful),
        ("same minute, asked later within the lag, same value", queried(1, 630, 5, "old.com"), Applied::Stale),
        ("same minute, asked earlier", queried(1, 590, 5, "new.com"), Applied::Stale),
        ("same minute, asked after the lag", queried(1, 661, 5, "new.com"), Applied::Updated),
    ] {
        let world = World::new();
        assert_eq!(world.apply(first(), at(600)).await, Applied::Inserted);
        assert_eq!(world.apply(second, at(700)).await, applied, "{name}");
        let expected = if applied == Applied::Updated { "domain:new.com" } else { "domain:old.com" };
        assert_eq!(world.keys(), [expected], "{name}");
    }
}

/// One answer that says that a page was edited in the year 2099 must not keep every later one from counting.
#[tokio::test]
async fn an_edit_from_the_future_freezes_no_page() {
    let world = World::new();
    let never = Sighting { last_edited_time: at(0) + TimeDelta::days(36_500), ..seen(1, 600, 5, "old.com") };
    world.apply(never, at(600)).await;
    assert_eq!(world.apply(seen(1, 700, 6, "new.com"), at(700)).await, Applied::Updated);
    assert_eq!(world.keys(), ["domain:new.com"]);
}

/// Edits are dated by Notion's clock, so that ours may be set back by days without an older edit counting for more.
#[tokio::test]
async fn edits_go_on_ordering_when_the_clock_was_set_back() {
    let world = World::new();
    world.apply(seen(1, 600, 9, "new.com"), at(600)).await;
    let set_back = at(0) - TimeDelta::days(9);
    let older = Sighting { observed_at: set_back, ..seen(1, 0, 5, "old.com") };
    assert_eq!(world.apply(older, set_back).await, Applied::Stale);
    assert_eq!(world.keys(), ["domain:new.com"]);
}

/// The clock was an hour ahead when the page was seen, and was set right.
#[tokio::test]
async fn a_clock_that_is_set_back_does_not_hide_what_happens_in_the_same_minute() {
    let world = World::new();
    world.apply(seen(1, 3_600, 0, "acme.com"), at(3_600)).await;
    let trashed = Sighting { standing: Standing::Trashed, ..seen(1, 60, 0, "acme.com") };
    assert_eq!(world.apply(trashed, at(60)).await, Applied::Removed);
    assert_eq!(world.apply(seen(1, 50, 0, "acme.com"), at(61)).await, Applied::Stale, "now dates count again");
}

#[tokio::test]
async fn a_look_that_overtakes_an_earlier_one_is_not_taken_for_one_of_the_future() {
    let world = World::new();
    world.apply(seen(1, 11, 0, "acme.com"), at(12)).await;
    assert_eq!(world.apply(seen(1, 10, 0, "old.com"), at(10)).await, Applied::Stale);
    assert_eq!(world.keys(), ["domain:acme.com"]);
}

#[tokio::test]
async fn a_row_is_renewed_only_when_half_of_its_time_is_over_and_its_own_page_was_seen() {
    let world = World::new();
    world.apply(seen(1, 0, 1, "acme.com"), start()).await;
    world.apply(seen(2, 0, 0, "acme.com"), start()).await;
    let expires = |world: &World| world.rows()[0].expires_at.clone();
    let first = expires(&world);
    assert_eq!(first, "2026-01-13T12:00:00.000000+00:00");
    world.apply(seen(1, 86_400, 1, "acme.com"), days(1)).await;
    assert_eq!(expires(&world), first, "most of its time is left");
    world.apply(seen(2, 5 * 86_400, 0, "acme.com"), days(5)).await;
    assert_eq!(expires(&world), first, "the other page does not confirm it");
    let renewed = world.apply_by(Door::Webhook, seen(1, 5 * 86_400, 1, "acme.com"), days(5)).await;
    assert_eq!((renewed.applied, renewed.changes), (Applied::Unchanged, vec![]));
    assert_eq!(expires(&world), "2026-01-18T12:00:00.000000+00:00");
}

/// The clock was ahead once, or the TTL was longer: the row would outlive every proof.
#[tokio::test]
async fn a_row_that_expires_too_late_is_brought_back() {
    let world = World::new();
    world.apply(seen(1, 0, 1, "acme.com"), days(400)).await;
    world.apply(seen(1, 60, 1, "acme.com"), at(60)).await;
    assert_eq!(world.rows()[0].expires_at, "2026-01-13T12:01:00.000000+00:00");
}

/// Settings that change read again what is stored; Notion was not asked.
#[tokio::test]
async fn deriving_anew_follows_the_rules_and_confirms_nothing() {
    let mut world = World::new();
    world.apply(seen(1, 0, 1, "acme.com"), start()).await;
    world.apply(seen(2, 0, 1, "sites.example"), start()).await;
    let before = world.rows();
    world.cache = Cache::new(settings(&["sites.example"]));
    world.cache.learn(SOURCE, HardStatuses::default());
    assert_eq!(world.cache.rederive(&world.store, days(6)).await.unwrap(), 1);
    assert_eq!(world.rows(), before.into_iter().take(1).collect::<Vec<_>>());
    assert_eq!(world.cache.rederive(&world.store, days(6)).await.unwrap(), 0);
}

#[tokio::test]
async fn rows_of_others_are_taken_over_with_their_key_and_otherwise_left_alone() {
    let world = World::new();
    world.write_as_pipeline("domain:acme.com", "page-of-the-old-job");
    world.write_as_pipeline("domain:other.com", "page-of-the-old-job");
    world.apply(seen(1, 0, 1, "acme.com"), start()).await;
    assert_eq!(world.rows()[0].page, page_id(1).to_string());
    world.write_as_pipeline("domain:acme.com", "another page");
    assert_eq!(world.apply(seen(1, 1, 1, "acme.com"), at(1)).await, Applied::Updated);
    assert_eq!(world.rows()[0].page, page_id(1).to_string(), "what was written over is put right");

    world.write_as_pipeline("domain:acme.com", "another page");
    let trashed = Sighting { standing: Standing::Trashed, ..seen(1, 2, 1, "acme.com") };
    assert_eq!(world.apply(trashed, at(2)).await, Applied::Removed);
    assert_eq!(world.keys(), ["domain:acme.com", "domain:other.com"], "these are about other pages");
}

#[tokio::test]
async fn a_row_that_somebody_deleted_comes_back_with_the_next_look() {
    let world = World::new();
    world.apply(seen(1, 0, 1, "acme.com"), start()).await;
    connect(&world.folder.path().join("cache.db")).execute("DELETE FROM suppression_cache", []).unwrap();
    world.apply(seen(1, 1, 1, "acme.com"), at(1)).await;
    assert_eq!(world.keys(), ["domain:acme.com"]);
}

#[tokio::test]
async fn a_404_is_noted_of_a_row_until_it_is_seen_again_and_of_nothing_else() {
    let world = World::new();
    let miss = async |second| {
        let absence = Absence { page: page_id(1), observed_at: at(second) };
        world.with(move |cache, rows| cache.miss(rows, absence, at(second))).await.applied
    };
    let missing_since = async || world.with(|_, rows| rows.page(page_id(1))).await.and_then(|page| page.missing_since);
    assert_eq!(miss(0).await, Applied::Missing);
    world.apply(seen(1, 10, 0, "acme.com"), at(10)).await;
    assert_eq!(miss(9).await, Applied::Stale, "it was seen since");
    assert_eq!((miss(20).await, missing_since().await), (Applied::Missing, Some(at(20))));
    assert_eq!((miss(30).await, missing_since().await), (Applied::Missing, Some(at(20))));
    world.apply(seen(1, 40, 0, "acme.com"), at(40)).await;
    assert_eq!(missing_since().await, None);
    assert_eq!(world.keys(), ["domain:acme.com"]);
    let trashed = Sighting { standing: Standing::Trashed, ..seen(1, 50, 0, "acme.com") };
    world.apply(trashed, at(50)).await;
    assert_eq!((miss(60).await, missing_since().await), (Applied::Unchanged, None), "it was thrown away before");
}

#[tokio::test]
async fn a_buried_page_is_no_longer_missing_and_may_rise_again() {
    let world = World::new();
    world.apply(seen(1, 0, 0, "acme.com"), at(0)).await;
    let absence = Absence { page: page_id(1), observed_at: at(10) };
    let cause = Cause { door: Door::Webhook, id: "e".to_owned() };
    world.with(move |cache, rows| cache.miss(rows, absence, at(10))).await;
    let buried = world.with(move |cache, rows| cache.bury(rows, absence, &cause, at(10))).await;
    assert_eq!((buried.applied, buried.changes.len()), (Applied::Removed, 1));
    let page = world.with(|_, rows| rows.page(page_id(1))).await.unwrap();
    assert_eq!((page.standing, page.missing_since), (Standing::Gone, None));
    assert_eq!(world.apply(seen(1, 5, 0, "acme.com"), at(11)).await, Applied::Stale);
    assert_eq!(world.apply(seen(1, 20, 0, "acme.com"), at(20)).await, Applied::Updated);
    assert_eq!(world.keys(), ["domain:acme.com"]);
}
