//! Whatever was acknowledged is taken up again, however the process ended.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    process::Stdio,
    time::Duration,
};

use suppressd::{
    lifecycle::Ended,
    simulator::{
        Settings, Simulator, api::Manner, budget::Budget, draft::company, faults::Fault, question::Endpoint,
        webhooks::Delivering,
    },
    store::EventState,
};

use tokio::net::TcpStream;

use crate::{
    pipeline,
    program::Running,
    world::{Kept, World, environment, inbox},
};

#[tokio::test]
async fn what_was_acknowledged_before_a_stop_is_looked_at_after_it() {
    let mut world = World::start().await;
    world.simulator.faults().next(1_000, Fault::Status(503));
    for n in 0..20 {
        world.workspace().create(company("Acme").website(&format!("acme-{n}.com")));
    }
    let delivered = world.webhooks(Delivering::default()).deliver_all().await;
    assert!(delivered.iter().all(|delivery| delivery.status == Some(200)));
    assert_eq!(world.rows().len(), 0);
    assert_eq!(world.stop().await, Ended::Stopped);
    world.simulator.faults().calm();
    world.restart().await;
    // Each was put off for a while by its failure; a restart keeps to that.
    world.settled().await;
    assert_eq!(world.rows().len(), 20);
}

#[tokio::test]
async fn persisted_and_acknowledged_and_killed_before_dispatch_loses_nothing() {
    let manner = Manner { latency: Duration::from_millis(20), ..Manner::default() };
    let simulator = Simulator::start(Settings { manner, ..Settings::default() }).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("cache.db");
    let mut environment = environment(&simulator, &database);
    // A sweep would find the pages whether their events are lost or not.
    environment.insert("SUPPRESSD_SWEEP_AT".to_owned(), "off".to_owned());
    let mut acknowledged = 0;
    for round in 0..5 {
        let mut process = Running::serve(&environment);
        let webhooks = simulator.webhooks(&process.webhook_url(), Delivering::default()).unwrap();
        for n in 0..12 {
            simulator.workspace().create(company("Acme").website(&format!("acme-{round}-{n}.com")));
        }
        let delivered = webhooks.deliver_all().await;
        acknowledged += delivered.iter().filter(|delivery| delivery.status == Some(200)).count();
        // Killed at another moment each time, most pages still to be fetched.
        tokio::time::sleep(Duration::from_millis(round * 15)).await;
        process.kill();
    }
    assert!(acknowledged >= 60, "the deliveries were acknowledged");
    let mut process = Running::serve(&environment);
    for _ in 0..2_000 {
        if pipeline::rows(&database).len() == 60 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(pipeline::rows(&database).len(), 60);
    let connection = pipeline::connect(&database);
    let check: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    process.kill();
}

/// Each process sweeps at once, since none before it has completed a sweep, and is killed in the middle of that.
#[tokio::test(flavor = "multi_thread")]
async fn killed_under_load_and_in_the_middle_of_sweeps_nothing_acknowledged_is_lost() {
    let budget = Budget { requests: 6_000, ..Budget::default() };
    let manner = Manner { latency: Duration::from_millis(20), budget, ..Manner::default() };
    let simulator = Simulator::start(Settings { manner, ..Settings::default() }).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("cache.db");
    let mut environment = environment(&simulator, &database);
    environment.insert("NOTION_REQUESTS_PER_MINUTE".to_owned(), "6000".to_owned());
    for n in 0..1_500 {
        simulator.workspace().create(company("Acme").website(&format!("acme-{n}.com")));
    }
    simulator.workspace().take_events();
    let mut acknowledged = BTreeSet::new();
    for round in 0..5 {
        let mut process = Running::serve(&environment);
        let webhooks = simulator.webhooks(&process.webhook_url(), Delivering::default()).unwrap();
        let queries = simulator.tally().of(Endpoint::Query);
        for n in 0..12 {
            simulator.workspace().create(company("Beta").website(&format!("beta-{round}-{n}.com")));
        }
        let delivered = webhooks.deliver_all().await;
        acknowledged.extend(delivered.iter().filter(|it| it.status == Some(200)).map(|it| it.event.id.to_string()));
        while simulator.tally().of(Endpoint::Query) < queries + 2 + round {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        process.kill();
        let kept = inbox(&database);
        assert!(acknowledged.iter().all(|event| kept.contains_key(event)), "round {round}");
    }
    assert!(acknowledged.len() >= 60, "the deliveries were acknowledged");
    assert!(pipeline::rows(&database).len() < 1_560, "no sweep came to its end");
    let mut process = Running::serve(&environment);
    let done = async || {
        let settled = inbox(&database).values().all(|event| event.state != "waiting");
        settled && pipeline::rows(&database).len() == 1_560
    };
    let waited = tokio::time::timeout(Duration::from_mins(1), async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let left = || inbox(&database).into_values().filter(|event| event.state == "waiting").count();
    assert!(
        waited.await.is_ok(),
        "{} rows, {} events wait\n{}",
        pipeline::rows(&database).len(),
        left(),
        process.said()
    );
    let connection = pipeline::connect(&database);
    let check: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    process.kill();
}

#[tokio::test]
async fn a_log_that_nobody_can_write_to_stops_no_work() {
    let world = World::start().await;
    assert_eq!(world.stop().await, Ended::Stopped);
    let (reader, closed) = std::io::pipe().unwrap();
    drop(reader);
    let full = File::options().write(true).open("/dev/full").ok();
    for (round, stderr) in [Some(Stdio::from(closed)), full.map(Stdio::from)].into_iter().flatten().enumerate() {
        let mut process = Running::serve_unheard(world.environment(), stderr);
        world.until("it serves", async || TcpStream::connect(process.public()).await.is_ok()).await;
        let page = world.workspace().create(company("Acme").website(&format!("acme-{round}.com")));
        let body = world.event(&format!("event-{round}"), "page.created", page);
        let request = world.http.post(process.webhook_url()).header("X-Notion-Signature", world.signature(&body));
        assert_eq!(request.body(body).send().await.unwrap().status().as_u16(), 200);
        world.until("it is settled", async || world.rows().len() == round + 1).await;
        let settled = |events: BTreeMap<_, Kept>| events.values().all(|event| event.state == "settled");
        world.until("it is noted", async || settled(inbox(&world.database()))).await;
        process.kill();
    }
}

#[tokio::test]
async fn a_soft_stop_finishes_what_is_claimed() {
    let manner = Manner { latency: Duration::from_millis(300), ..Manner::default() };
    let world = World::with(Settings { manner, ..Settings::default() }, &[]).await;
    world.workspace().create(company("Acme").website("acme.com"));
    world.webhooks(Delivering::default()).deliver_all().await;
    world.until("the page is looked at", async || world.simulator.tally().most_at_once() == 1).await;
    assert_eq!(world.stop().await, Ended::Stopped);
    assert_eq!(world.rows().len(), 1);
}

#[tokio::test]
async fn a_page_that_notion_cannot_show_is_tried_again_and_swallows_no_later_event() {
    let world = World::start().await;
    let page = world.workspace().create(company("Acme").website("acme-one.com"));
    world.simulator.faults().next(2, Fault::Status(500));
    world.tell().await;
    assert!(world.row("domain:acme-one.com").is_some());
    world.simulator.faults().next(1, Fault::Reset);
    world.workspace().edit(page, suppressd::simulator::draft::changes().website("acme-two.com"));
    world.tell().await;
    assert!(world.row("domain:acme-two.com").is_some());
    assert_eq!(world.count(EventState::Parked).await, 0);
}
