//! Applying sightings in any order, any number of times, ends in the rows that the truth gives (rules 3 to 5).
//!
//! A seeded history of a few pages that fight for a few keys; looks at the live pages and at an index that trails
//! them; everything shuffled and doubled. The model knows nothing of the program: it takes each page as it is at the
//! end, lists who holds which key, and picks the winner by the words of the design. A failing seed is printed.

use std::collections::BTreeMap;

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use suppressd::{
    cache::{Applied, Cache, CacheSettings},
    derive::{Rules, winner::HardStatuses},
    model::{
        entry::{Cause, Door, Standing},
        id::{DataSourceId, PageId},
        page::{Role, Value, Values, View},
        sighting::Sighting,
    },
    store::{Store as _, sqlite::SqliteStore},
};
use uuid::Uuid;

use crate::pipeline::{Row, rows};

const PAGES: u128 = 5;
const INDEX_LAG: TimeDelta = TimeDelta::seconds(60);
const SOURCE: DataSourceId = DataSourceId::from_uuid(Uuid::from_u128(1));

/// What a page was from some instant on.
#[derive(Debug, Clone)]
struct Version {
    since: DateTime<Utc>,
    standing: Standing,
    domain: String,
    status: &'static str,
}

#[tokio::test]
async fn any_order_of_sightings_ends_in_the_rows_of_the_truth() {
    for seed in 0..100 {
        check(seed).await;
    }
}

async fn check(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let histories: Vec<Vec<Version>> = (0..PAGES).map(|_| history(&mut rng)).collect();
    let mut sightings = Vec::new();
    for (page, history) in (1..).zip(&histories) {
        for _ in 0..rng.usize(0..6) {
            sightings.push(live(page, history, start() + TimeDelta::seconds(rng.i64(0..END))));
            let asked = start() + TimeDelta::seconds(rng.i64(0..END));
            let shown = asked - TimeDelta::seconds(rng.i64(0..INDEX_LAG.num_seconds()));
            sightings.extend(indexed(page, history, asked, shown));
        }
        sightings.push(live(page, history, start() + TimeDelta::seconds(END)));
    }
    sightings.extend(sightings.clone());
    rng.shuffle(&mut sightings);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache.db");
    let store = SqliteStore::open(&path, 100, start()).unwrap();
    let cache = Cache::new(CacheSettings { ttl: TimeDelta::days(7), index_lag: INDEX_LAG, rules: Rules::default() });
    cache.learn(SOURCE, HardStatuses::default());
    let applied = store
        .write(move |rows| {
            let cause = Cause { door: Door::Sweep, id: String::new() };
            let now = start() + TimeDelta::seconds(END);
            sightings.iter().map(|sighting| Ok(cache.apply(rows, sighting, &cause, now)?.applied)).collect()
        })
        .await;
    let applied: Vec<Applied> = applied.unwrap();
    assert!(applied.contains(&Applied::Stale), "seed {seed} shuffled nothing");
    let found: Vec<(String, String, String)> = rows(&path).into_iter().map(Row::face).collect();
    assert_eq!(found, model(&histories), "seed {seed}: {histories:#?}");
}

/// The seconds that a history lasts.
const END: i64 = 1_200;

fn start() -> DateTime<Utc> {
    "2026-01-06T12:00:00Z".parse().unwrap()
}

/// A few versions of a page, some of them within one minute.
fn history(rng: &mut fastrand::Rng) -> Vec<Version> {
    let mut since = start();
    (0..rng.usize(1..6))
        .map(|_| {
            let version = Version {
                since,
                standing: if rng.u8(0..5) == 0 { Standing::Trashed } else { Standing::Listed },
                domain: format!("company-{}.com", rng.u8(0..3)),
                status: rng.choice(["Sourced", "Passed", "Lost", ""]).unwrap(),
            };
            since += TimeDelta::seconds(rng.i64(1..240));
            version
        })
        .collect()
}

fn live(page: u128, history: &[Version], at: DateTime<Utc>) -> Sighting {
    sighting(page, history.iter().rev().find(|version| version.since <= at).unwrap(), at, View::Page)
}

/// An index shows rows only, as they were when it was last brought up to date.
fn indexed(page: u128, history: &[Version], asked: DateTime<Utc>, shown: DateTime<Utc>) -> Option<Sighting> {
    let version = history.iter().rev().find(|version| version.since <= shown)?;
    (version.standing == Standing::Listed).then(|| sighting(page, version, asked, View::Query))
}

fn sighting(page: u128, version: &Version, observed_at: DateTime<Utc>, view: View) -> Sighting {
    let mut values = Values::default();
    values.set(Role::CompanyName, Value::text("Company"));
    values.set(Role::Website, Value::text(&version.domain));
    values.set(Role::Status, Value::text(version.status));
    Sighting {
        page: PageId::from_uuid(Uuid::from_u128(page)),
        source: SOURCE,
        standing: version.standing,
        last_edited_time: version.since.duration_trunc(TimeDelta::minutes(1)).unwrap(),
        observed_at,
        view,
        url: None,
        values,
    }
}

/// Hard or soft, last edit, page, status: the greatest wins.
type Holder<'a> = (bool, DateTime<Utc>, std::cmp::Reverse<u128>, &'a str);

/// Key, page and status of every row that there should be.
fn model(histories: &[Vec<Version>]) -> Vec<(String, String, String)> {
    let mut holders: BTreeMap<String, Vec<Holder<'_>>> = BTreeMap::new();
    for (page, history) in (1..).zip(histories) {
        let now = history.last().unwrap();
        if now.standing == Standing::Listed {
            let hard = matches!(now.status, "Passed" | "Lost");
            let edited = now.since.duration_trunc(TimeDelta::minutes(1)).unwrap();
            let holder = (hard, edited, std::cmp::Reverse(page), now.status);
            holders.entry(format!("domain:{}", now.domain)).or_default().push(holder);
        }
    }
    let winner = |holders: Vec<Holder<'_>>| {
        let (_, _, std::cmp::Reverse(page), status) = holders.into_iter().max().unwrap();
        let status = if status.is_empty() { "Unknown" } else { status };
        (Uuid::from_u128(page).hyphenated().to_string(), status.to_owned())
    };
    holders
        .into_iter()
        .map(|(key, holders)| {
            let (page, status) = winner(holders);
            (key, page, status)
        })
        .collect()
}
