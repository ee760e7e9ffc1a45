//! What is old is forgotten a little at a time, while deliveries come in.

use std::{collections::BTreeSet, path::Path, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::StatusCode;
use rusqlite::params;
use suppressd::{clock::Clock, lifecycle::Ended, metrics::label::Answer, simulator::draft::company};
use tokio::time::Instant;

use crate::{pipeline::connect, world::World};

/// Events that are older than ids are kept (90 days).
const FORGOTTEN: usize = 10_000;

/// Events that are older than bodies are kept (30 days).
const BODILESS: usize = 10_000;

/// Events that are younger than both.
const YOUNG: usize = 30_000;

/// Of each age, as many still wait and as many are parked.
const UNDONE: usize = 5;

/// A delivery that takes longer was held up. A commit takes a few milliseconds, also on a busy machine.
const DELIVERY_MAX: Duration = Duration::from_secs(2);

/// So many events gone between two deliveries in a row are no small step.
const GONE_AT_ONCE_MAX: i64 = 3_000;

/// The trap «maintenance statements that stall the intake».
#[tokio::test]
async fn maintenance_statements_that_stall_the_intake_are_cut_small_enough_to_deliver_between_them() {
    let mut world = World::start().await;
    let page = world.workspace().create(company("Acme").website("acme.com"));
    assert_eq!(world.stop().await, Ended::Stopped);
    let now = Clock::system().now();
    let mut undone = Vec::new();
    for (age, count) in [(95, FORGOTTEN), (45, BODILESS), (10, YOUNG)] {
        undone.extend(fill(&world.database(), &format!("{age} days old"), now - TimeDelta::days(age), count));
    }
    // A start looks at once for what is old.
    world.simulator.faults().refuse_token();
    world.restart().await;

    let (mut took, mut gone_at_once) = (Vec::new(), 0);
    let (mut oldest, end) = (oldest_settled(&world.database(), ""), oldest_settled(&world.database(), "45 days old"));
    while oldest < end {
        assert!(took.len() < 10_000, "nothing is forgotten");
        let body = world.event(&format!("delivery {}", took.len()), "page.properties_updated", page);
        let began = Instant::now();
        assert_eq!(world.deliver(&body).await, StatusCode::OK);
        took.push(began.elapsed());
        let before = std::mem::replace(&mut oldest, oldest_settled(&world.database(), ""));
        gone_at_once = gone_at_once.max(oldest - before);
    }
    world
        .until("old bodies are gone", async || {
            tokio::time::sleep(Duration::from_millis(100)).await;
            settled(&world.database()).old_bodies == 0
        })
        .await;

    let longest = took.iter().max().unwrap();
    assert!(*longest < DELIVERY_MAX, "{longest:?} for one of {} deliveries", took.len());
    assert!(gone_at_once < GONE_AT_ONCE_MAX, "{gone_at_once} events gone between two deliveries");
    assert!(took.len() > 20, "only {} deliveries came in between", took.len());

    let left = settled(&world.database());
    assert_eq!(left, Left { old: 0, old_bodies: 0, bodiless: BODILESS, young: YOUNG });
    let kept = world.inbox();
    for id in &undone {
        assert!(kept[id].body.is_some(), "{id}: what is not done keeps its body, whatever its age");
    }
    for n in 0..took.len() {
        assert!(kept[&format!("delivery {n}")].body.is_some());
    }
    assert_eq!(kept.len(), undone.len() + BODILESS + YOUNG + took.len());
}

#[tokio::test]
async fn a_forgotten_body_does_not_make_its_event_new_and_a_forgotten_id_does() {
    let mut world = World::start().await;
    let page = world.workspace().create(company("Acme").website("acme.com"));
    assert_eq!(world.stop().await, Ended::Stopped);
    let now = Clock::system().now();
    fill(&world.database(), "95 days old", now - TimeDelta::days(95), 1);
    fill(&world.database(), "45 days old", now - TimeDelta::days(45), 1);
    world.restart().await;
    world
        .until("both are forgotten", async || {
            let left = settled(&world.database());
            left.old == 0 && left.old_bodies == 0
        })
        .await;
    for (id, duplicates) in [("45 days old 0", 1), ("95 days old 0", 1)] {
        assert_eq!(world.deliver(&world.event(id, "page.properties_updated", page)).await, StatusCode::OK);
        assert_eq!(world.serving.metrics.events_received.all(Answer::Duplicate), duplicates, "{id}");
    }
    let kept = world.inbox();
    assert_eq!(kept["45 days old 0"].body, None);
    assert!(kept["95 days old 0"].body.is_some());
}

/// Puts events of one age into the inbox, most of them settled; returns the ids of those that are not.
fn fill(database: &Path, name: &str, received_at: DateTime<Utc>, count: usize) -> BTreeSet<String> {
    let mut connection = connect(database);
    let transaction = connection.transaction().unwrap();
    let mut undone = BTreeSet::new();
    {
        let mut insert = transaction
            .prepare(
                "INSERT INTO suppressd_inbox (event_id, kind, subject, occurred_at, received_at, door, state, body) \
                 VALUES (?1, 'page.properties_updated', ?2, ?3, ?3, 'webhook', ?4, ?5)",
            )
            .unwrap();
        let body = "x".repeat(700);
        let mut put = |id: &str, state: &str, n: usize| {
            let page = format!("00000000-0000-4000-8000-{n:012}");
            insert.execute(params![id, page, received_at.timestamp_micros(), state, body.as_bytes()]).unwrap();
        };
        for n in 0..count {
            put(&format!("{name} {n}"), "settled", n);
            if count > UNDONE && n < UNDONE {
                for state in ["waiting", "parked"] {
                    let id = format!("{name} {n} {state}");
                    put(&id, state, n);
                    undone.insert(id);
                }
            }
        }
    }
    transaction.commit().unwrap();
    undone
}

/// The place of the oldest settled event whose id begins so.
fn oldest_settled(database: &Path, name: &str) -> i64 {
    let oldest =
        "SELECT seq FROM suppressd_inbox WHERE state = 'settled' AND event_id LIKE ?1 || '%' ORDER BY seq LIMIT 1";
    connect(database).query_row(oldest, [name], |row| row.get(0)).unwrap()
}

/// What is left of the settled events that were put in.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    /// Older than ids are kept.
    old: usize,
    /// Older than bodies are kept, with their bodies.
    old_bodies: usize,
    /// Likewise, without.
    bodiless: usize,
    /// Younger, with their bodies.
    young: usize,
}

fn settled(database: &Path) -> Left {
    let now = Clock::system().now();
    let days = |days| (now - TimeDelta::days(days)).timestamp_micros();
    connect(database)
        .query_row(
            "SELECT count(*) FILTER (WHERE received_at < ?1), \
             count(*) FILTER (WHERE received_at BETWEEN ?1 AND ?2 AND body IS NOT NULL), \
             count(*) FILTER (WHERE received_at BETWEEN ?1 AND ?2 AND body IS NULL), \
             count(*) FILTER (WHERE received_at > ?2 AND body IS NOT NULL) \
             FROM suppressd_inbox WHERE state = 'settled' AND event_id LIKE '%days old%'",
            [days(90), days(30)],
            |row| Ok(Left { old: row.get(0)?, old_bodies: row.get(1)?, bodiless: row.get(2)?, young: row.get(3)? }),
        )
        .unwrap()
}
