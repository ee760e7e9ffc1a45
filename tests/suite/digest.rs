//! Whatever was told or not, in any order, any number of times: after a sweep the rows are those of a fresh sweep.

use std::path::Path;

use fastrand::Rng;
use sha2::{Digest as _, Sha256};
use suppressd::{
    app::reconcile::{self, Reconciled},
    clock::Clock,
    config::{Config, Flags},
    lifecycle::Lifecycle,
    model::sweep::{AskedBy, SweepOrder, SweepState},
    simulator::{Settings, budget::Budget, scenario::Scenario, webhooks::Delivering},
};

use crate::{pipeline, world::World};

/// Companies that are there from the beginning.
const COMPANIES: usize = 60;

/// Changes that people make then.
const CHANGES: usize = 80;

#[tokio::test(flavor = "multi_thread")]
async fn any_part_of_the_events_and_a_sweep_give_the_rows_of_a_fresh_sweep() {
    for seed in 0..6 {
        check(seed).await;
    }
}

async fn check(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let budget = Budget { requests: 6_000, ..Budget::default() };
    let mut settings = Settings { seed, ..Settings::default() };
    settings.manner.budget = budget;
    let world = World::with(settings, &[("NOTION_REQUESTS_PER_MINUTE", "6000")]).await;
    let mut scenario = Scenario::new(seed);
    scenario.populate(world.workspace(), COMPANIES);
    let manner = Delivering { aggregate: None, ..Delivering::default() };
    let webhooks = world.webhooks(manner);
    for _ in 0..CHANGES {
        scenario.step(world.workspace());
        // Some are never told, some at once, some late.
        match rng.u8(0..3) {
            0 => drop(world.workspace().take_events()),
            1 => drop(webhooks.deliver_all().await),
            _ => (),
        }
    }
    webhooks.deliver_all().await;
    world.settled().await;
    // All that was received, twice more, in another order.
    let mut bodies: Vec<String> = world.inbox().into_values().filter_map(|event| event.body).collect();
    bodies.extend(bodies.clone());
    rng.shuffle(&mut bodies);
    for body in bodies {
        assert_eq!(world.deliver(&body).await, reqwest::StatusCode::OK, "seed {seed}");
    }
    world.settled().await;

    sweep(&world.config(), seed).await;
    let fresh = tempfile::tempdir().unwrap();
    let mut environment = world.environment().clone();
    let path = fresh.path().join("fresh.db");
    environment.insert("SUPPRESSD_DB_PATH".to_owned(), path.display().to_string());
    let config = Config::read(&Flags::new(), &|name: &str| environment.get(name).cloned()).unwrap();
    sweep(&config, seed).await;
    assert_eq!(digest(&world.database()), digest(&path), "seed {seed}: {:#?}", differences(&world.database(), &path));
    assert!(world.rows().len() > COMPANIES / 2, "seed {seed}: there is something to compare");
}

async fn sweep(config: &Config, seed: u64) {
    let lifecycle = Lifecycle::default();
    let order = SweepOrder::by(AskedBy::Command);
    let swept = reconcile::run(config, order, &lifecycle.soft, &Clock::system(), |_| ()).await.unwrap();
    let is_complete = matches!(&swept, Reconciled::Ended(report) if report.outcome == SweepState::Complete);
    assert!(is_complete, "seed {seed}: {swept:?}");
}

/// What the rows say, without when and by which door they were confirmed.
fn sayings(database: &Path) -> Vec<String> {
    let said = pipeline::rows(database).into_iter().map(|mut row| {
        row.metadata.as_object_mut().unwrap().remove("synced_from");
        format!("{} {} {} {:?} {}", row.key, row.page, row.status, row.company, row.metadata)
    });
    said.collect()
}

fn digest(database: &Path) -> String {
    hex::encode(Sha256::digest(sayings(database).join("\n")))
}

fn differences(one: &Path, other: &Path) -> Vec<String> {
    let (one, other) = (sayings(one), sayings(other));
    let only = |these: &[String], those: &[String], sign: &str| -> Vec<String> {
        these.iter().filter(|said| !those.contains(said)).map(|said| format!("{sign} {said}")).collect()
    };
    [only(&one, &other, "-"), only(&other, &one, "+")].concat()
}
