//! What the private door answers: may I push this company, is the program ready, and what came in.

use std::time::Duration;

use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value as Json, json};
use suppressd::{
    lifecycle::Ended,
    model::id::PageId,
    simulator::{
        Settings,
        draft::company,
        faults::{Fault, Target},
        question::Endpoint,
        webhooks::Delivering,
    },
    store::EventState,
};
use tokio::time::Instant;

use crate::{
    pipeline::connect,
    program::{command, end},
    world::World,
};

/// How many pages the program fetches at once, unless it is told otherwise.
const CONCURRENCY: u64 = 4;

/// Asks with whatever the request says.
async fn answer(request: RequestBuilder) -> (StatusCode, Json) {
    let answer = request.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap_or_default())
}

/// Asks about companies.
async fn check(world: &World, body: &Json) -> (StatusCode, Json) {
    answer(world.http.post(world.private_url("/v1/check")).body(body.to_string())).await
}

/// How the parts of the program are, by their names.
async fn parts(world: &World) -> (StatusCode, Json) {
    let (status, readiness) = world.ask("/readyz").await;
    assert_eq!(readiness.get("ready"), Some(&json!(status == StatusCode::OK)));
    let parts = readiness.get("parts").and_then(Json::as_array).unwrap().iter();
    let state = |part: &Json| Some((part.get("name")?.as_str()?.to_owned(), part.get("state")?.clone()));
    (status, parts.map(|part| state(part).unwrap()).collect())
}

#[tokio::test]
async fn health_and_readiness_are_green_while_all_is_well() {
    let world = World::start().await;
    for door in [world.serving.public, world.serving.private] {
        let health = world.http.get(format!("http://{door}/healthz")).send().await.unwrap();
        assert_eq!(health.status(), StatusCode::OK);
        assert_eq!(health.text().await.unwrap(), "OK");
    }
    let well = json!({"worker": "well", "notion": "well", "writer": "well"});
    assert_eq!(parts(&world).await, (StatusCode::OK, well));
}

#[tokio::test]
async fn a_refused_token_turns_readiness_red_and_burns_no_event() {
    const PAGES: usize = 30;
    let mut world = World::with(Settings::default(), &[("NOTION_INDEX_LAG_SECONDS", "1")]).await;
    world.simulator.faults().refuse_token();
    let tally = world.simulator.tally().clone();
    let asked_for_pages = || tally.of(Endpoint::Page) + tally.of(Endpoint::Query);
    let asked = asked_for_pages();
    for n in 0..PAGES {
        world.workspace().create(company("Acme").website(&format!("acme-{n}.com")));
    }
    let webhooks = world.webhooks(Delivering::default());
    let delivered = webhooks.deliver_all().await;
    assert!(delivered.iter().all(|delivery| delivery.status == Some(200)), "deliveries are acknowledged all the same");
    world.until("it is not ready", async || parts(&world).await.0 == StatusCode::SERVICE_UNAVAILABLE).await;
    let (_, readiness) = world.ask("/readyz").await;
    let notion = readiness["parts"].as_array().unwrap().iter().find(|part| part["name"] == "notion").unwrap();
    assert_eq!(notion["state"], "failing");
    assert!(notion["reason"].as_str().unwrap().contains("token"), "{notion}");
    assert!(!readiness.to_string().contains(world.simulator.token()));

    // Time enough for a loop without a pause to ask hundreds of times.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let asked = asked_for_pages() - asked;
    assert!((1..=CONCURRENCY).contains(&asked), "{asked} requests with a token that is refused");
    check_unburnt(&world, PAGES);
    assert_eq!(world.count(EventState::Parked).await, 0);
    assert_eq!(parts(&world).await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(world.http.get(world.private_url("/healthz")).send().await.unwrap().status(), StatusCode::OK);

    world.simulator.faults().heal_token();
    world.restart().await;
    world.settled().await;
    assert_eq!(parts(&world).await.0, StatusCode::OK);
    assert_eq!(world.rows().len(), PAGES);
}

/// Checks that this many events wait and that no failure is counted against any of them.
fn check_unburnt(world: &World, events: usize) {
    let waiting: (usize, u32) = connect(&world.database())
        .query_row("SELECT count(*), max(attempts) FROM suppressd_inbox WHERE state = 'waiting'", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert_eq!(waiting, (events, 0));
}

#[tokio::test]
async fn before_the_sources_are_known_it_is_not_ready_and_deliveries_are_acknowledged() {
    let world = World::start().await;
    let environment: Vec<_> = world.environment().clone().into_iter().collect();
    // The same Notion, and a database that knows nothing of it yet.
    world.simulator.faults().next_of(Target::Endpoint(Endpoint::Database), 2, Fault::Status(500));
    let variables: Vec<_> = environment
        .iter()
        .filter(|(name, _)| name != "SUPPRESSD_DB_PATH")
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let other = World::begin(Settings::default(), &variables).await;
    let (status, parts_of_other) = parts(&other).await;
    assert_eq!((status, &parts_of_other["notion"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("failing")));
    let page = world.workspace().create(company("Acme").website("acme.com"));
    let body = world.event("event", "page.created", page);
    assert_eq!(other.post(&body, Some(&world.signature(&body))).await, StatusCode::OK);
    assert_eq!(other.inbox()["event"].state, "waiting");
    other.settled().await;
    assert_eq!(parts(&other).await.0, StatusCode::OK);
    assert!(other.row("domain:acme.com").is_some());
}

#[tokio::test]
async fn a_writer_that_is_stuck_turns_readiness_red_until_it_writes_again() {
    let world = World::start().await;
    let lock = connect(&world.database());
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let began = Instant::now();
    world.until("it is not ready", async || parts(&world).await.0 == StatusCode::SERVICE_UNAVAILABLE).await;
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let (_, stuck) = parts(&world).await;
    assert!(["failing", "silent"].contains(&stuck["writer"].as_str().unwrap()), "{stuck}");
    assert_eq!((&stuck["worker"], &stuck["notion"]), (&json!("well"), &json!("well")));
    lock.execute_batch("ROLLBACK").unwrap();
    world.until("it is ready again", async || parts(&world).await.0 == StatusCode::OK).await;
}

#[tokio::test]
async fn a_part_that_is_dead_turns_readiness_red() {
    for part in ["worker", "writer", "notion"] {
        let world = World::start().await;
        // From outside no part can be killed: its handle is replaced by one that is dropped, as a dead part's is.
        drop(world.lifecycle.health.part(part, Duration::MAX));
        let (status, parts) = parts(&world).await;
        assert_eq!((status, &parts[part]), (StatusCode::SERVICE_UNAVAILABLE, &json!("ended")), "{part}");
        assert_eq!(world.http.get(world.private_url("/healthz")).send().await.unwrap().status(), StatusCode::OK);
    }
}

/// A world with one company in its cache.
async fn world_with_acme() -> (World, PageId) {
    let world = World::start().await;
    let acme = company("Acme").website("acme.com").status("Passed").canonical_key("github_repo:acme/core");
    let page = world.workspace().create(acme);
    world.tell().await;
    (world, page)
}

#[tokio::test]
async fn a_key_of_the_crm_is_suppressed_however_it_is_written() {
    let (world, page) = world_with_acme().await;
    for key in [
        "domain:acme.com",
        "domain%3Aacme.com",
        "acme.com",
        "ACME.com",
        "https%3A%2F%2Fwww.acme.com%2Fabout%3Fa%3Db",
        "https://www.acme.com/about",
        "github_repo:acme/core",
        "github_repo%3Aacme%2Fcore",
    ] {
        let (status, verdict) = world.ask(&format!("/v1/suppression/{key}")).await;
        assert_eq!((status, &verdict["verdict"]), (StatusCode::OK, &json!("suppressed")), "{key}: {verdict}");
        assert_eq!(verdict["matched"]["page"], page.to_string());
        assert_eq!(verdict["matched"]["status"], "Passed");
        assert_eq!(verdict["matched"]["firmness"], "hard");
        assert_eq!(verdict["matched"]["synced_from"], "webhook");
        assert!(verdict["fresh_as_of"].is_string() && !verdict["reason"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn an_unknown_key_is_stale_while_no_sweep_has_proven_that_it_is_not_there() {
    let (world, _) = world_with_acme().await;
    for key in ["domain:nobody.com", "m%C3%BCller.de"] {
        let (status, verdict) = world.ask(&format!("/v1/suppression/{key}")).await;
        assert_eq!((status, &verdict["verdict"]), (StatusCode::OK, &json!("stale")), "{key}: {verdict}");
        assert_eq!((&verdict["matched"], &verdict["fresh_as_of"]), (&Json::Null, &Json::Null));
        assert!(verdict["reason"].as_str().unwrap().contains("no complete sweep yet"), "{verdict}");
    }
    let (_, verdict) = world.ask("/v1/suppression/m%C3%BCller.de").await;
    let keys: Vec<_> =
        verdict["candidates"].as_array().unwrap().iter().map(|candidate| candidate["key"].clone()).collect();
    assert!(keys.contains(&json!("domain:müller.de")) && keys.contains(&json!("domain:xn--mller-kva.de")), "{keys:?}");

    let (status, problem) = world.ask("/v1/suppression/%20").await;
    assert_eq!((status, &problem["status"]), (StatusCode::BAD_REQUEST, &json!(400)));
}

#[tokio::test]
async fn companies_are_checked_one_by_one_or_many_at_once() {
    let (world, page) = world_with_acme().await;
    let acme = json!({"name": "Acme Incorporated", "website": "http://acme.com"});
    let (status, one) = check(&world, &acme).await;
    assert_eq!((status, &one["verdict"]), (StatusCode::OK, &json!("suppressed")));
    assert_eq!(one["matched"]["page"], page.to_string());

    let (status, three) = check(&world, &json!([{"domain": "nobody.com"}, {}, acme])).await;
    assert_eq!((status, three.as_array().unwrap().len()), (StatusCode::OK, 3));
    assert_eq!(three[0]["verdict"], "stale");
    assert!(three[1]["error"].as_str().unwrap().contains("gives a key"), "{three}");
    assert_eq!(three[2]["verdict"], "suppressed");

    let (status, problem) = check(&world, &json!({})).await;
    assert_eq!((status, &problem["status"]), (StatusCode::BAD_REQUEST, &json!(400)));
    let (status, most) = check(&world, &json!(vec![json!({"domain": "nobody.com"}); 1_000])).await;
    assert_eq!((status, most.as_array().unwrap().len()), (StatusCode::OK, 1_000));
    let (status, problem) = check(&world, &json!(vec![json!({"domain": "nobody.com"}); 1_001])).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(problem["detail"].as_str().unwrap().contains("at most 1000"), "{problem}");
}

#[tokio::test]
async fn where_a_bearer_token_is_configured_nothing_is_answered_without_it() {
    const TOKEN: &str = "the-admin-token";
    let world = World::with(Settings::default(), &[("SUPPRESSD_ADMIN_TOKEN", TOKEN)]).await;
    for path in [
        "/readyz",
        "/v1/status",
        "/v1/events",
        "/v1/sweeps",
        "/v1/sweeps/1",
        "/v1/suppression/domain:acme.com",
        "/nothing",
    ] {
        for (given, told) in [
            (None, "needs the header `Authorization: Bearer …`"),
            (Some("Bearer wrong"), "not the one that the setting SUPPRESSD_ADMIN_TOKEN says"),
            (Some("the-admin-token"), "does not begin with `Bearer `"),
            (Some("Basic the-admin-token"), "does not begin with `Bearer `"),
        ] {
            let mut request = world.http.get(world.private_url(path));
            if let Some(given) = given {
                request = request.header("Authorization", given);
            }
            let (status, problem) = answer(request).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{path} {given:?}");
            assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(told)), "{problem}");
            assert!(!problem.to_string().contains(TOKEN));
        }
        assert_ne!(world.ask(path).await.0, StatusCode::UNAUTHORIZED, "{path}");
    }
    assert_eq!(check(&world, &json!({"domain": "acme.com"})).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(answer(world.http.post(world.private_url("/v1/reconcile"))).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(world.http.get(world.private_url("/healthz")).send().await.unwrap().status(), StatusCode::OK);
    // The public door does not know it: Notion signs, and bears nothing.
    let page = world.workspace().create(company("Acme").website("acme.com"));
    assert_eq!(world.deliver(&world.event("event", "page.created", page)).await, StatusCode::OK);
}

#[tokio::test]
async fn a_private_address_beyond_this_machine_is_refused_without_a_bearer_token() {
    let world = World::start().await;
    assert_eq!(world.stop().await, Ended::Stopped);
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:8081"] {
        let mut environment = world.environment().clone();
        environment.insert("SUPPRESSD_ADMIN_LISTEN".to_owned(), address.to_owned());
        let said = end(command(&environment, &["serve"])).await;
        let told = &said.err;
        assert_eq!(said.status, Some(2), "{address}: {told}");
        for part in [address, "SUPPRESSD_ADMIN_LISTEN", "SUPPRESSD_ADMIN_TOKEN", "127.0.0.1"] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
}

#[tokio::test]
async fn the_status_tells_of_events_cache_sources_and_budget() {
    let (mut world, page) = world_with_acme().await;
    assert_eq!(world.deliver(&world.event("ignored", "comment.created", page)).await, StatusCode::OK);
    assert_eq!(world.deliver("{").await, StatusCode::OK);
    world.workspace().create(company(""));
    world.tell().await;
    // A start says at once how it stands.
    world.restart().await;
    world.until("it is ready", async || parts(&world).await.0 == StatusCode::OK).await;
    let told = async || !world.ask("/v1/status").await.1["running"]["budgets"].as_array().unwrap().is_empty();
    world.until("it has said how it stands", told).await;

    let (status, told) = world.ask("/v1/status").await;
    assert_eq!(status, StatusCode::OK);
    let kept = world.inbox();
    for state in ["waiting", "settled", "parked", "ignored", "skipped", "unreadable"] {
        let count = kept.values().filter(|kept| kept.state == state).count();
        assert_eq!(count == 0, ["waiting", "parked", "skipped"].contains(&state), "{state}: {kept:?}");
        assert_eq!(told["events"]["by_state"][state], count, "{state}: {told}");
    }
    assert_eq!((&told["events"]["lag_seconds"], &told["events"]["subjects_waiting"]), (&json!(0), &json!(0)));
    assert!(told["events"]["last_received_at"].is_string());
    for (figure, count) in [
        ("entries", world.rows().len()),
        ("entries_expired", 0),
        ("entries_of_others", 0),
        ("pages", 2),
        ("pages_without_key", 1),
        ("pages_missing", 0),
        ("keys_contested", 0),
    ] {
        assert_eq!(told["cache"][figure], count, "{figure}: {told}");
    }
    assert_eq!(told["sources"][0]["id"], world.workspace().data_source().to_string());
    assert_eq!((&told["sources"][0]["watermark"], &told["last_sweep"]), (&Json::Null, &Json::Null));
    assert_eq!(told["running"]["pid"], std::process::id());
    assert!(!told.to_string().contains(world.simulator.token()));
}

#[tokio::test]
async fn events_are_listed_newest_first_and_never_with_their_bodies() {
    let (world, page) = world_with_acme().await;
    for (id, kind) in [("first", "page.properties_updated"), ("second", "comment.created"), ("third", "page.created")] {
        assert_eq!(world.deliver(&world.event(id, kind, page)).await, StatusCode::OK);
        world.settled().await;
    }
    let (status, events) = world.ask("/v1/events?limit=3").await;
    assert_eq!(status, StatusCode::OK);
    let listed: Vec<_> = events.as_array().unwrap().iter().map(|event| event["event_id"].as_str().unwrap()).collect();
    assert_eq!(listed, ["third", "second", "first"]);
    let newest = events[0].as_object().unwrap();
    let fields: Vec<_> = newest.keys().map(String::as_str).collect();
    let known = ["attempts", "door", "due_at", "event_id", "kind", "occurred_at", "reason", "received_at", "state"];
    assert_eq!(fields, [&known[..], &["subject"]].concat());
    assert_eq!((&newest["kind"], &newest["state"]), (&json!("page.created"), &json!("settled")));
    assert_eq!((&newest["door"], &newest["subject"]), (&json!("webhook"), &json!(page.to_string())));

    let (_, ignored) = world.ask("/v1/events?state=ignored").await;
    assert_eq!(ignored[0]["event_id"], "second");
    assert!(ignored.as_array().unwrap().iter().all(|event| event["state"] == "ignored"), "{ignored}");
    assert_eq!(world.ask("/v1/events?state=parked").await.1, json!([]));
    assert_eq!(world.ask("/v1/events?state=lost").await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_parked_event_is_listed_with_its_reason() {
    let world = World::start().await;
    let page = world.workspace().create(company("Acme").website("acme.com"));
    world.simulator.faults().next_of(Target::Page(page), 1_000, Fault::Status(400));
    assert_eq!(world.deliver(&world.event("event", "page.created", page)).await, StatusCode::OK);
    world.until("it is parked", async || world.count(EventState::Parked).await == 1).await;
    let (_, parked) = world.ask("/v1/events?state=parked").await;
    assert_eq!(parked[0]["event_id"], "event");
    assert!(parked[0]["reason"].as_str().unwrap().contains("400"), "{parked}");
    assert_eq!(world.ask("/v1/status").await.1["events"]["by_state"]["parked"], 1);
}
