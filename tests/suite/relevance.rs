//! What needs no look: edits that touch no mapped property, seen from Notion's side and from the inbox.

use std::sync::atomic::{AtomicU32, Ordering};

use chrono::{DateTime, SecondsFormat, Utc};
use reqwest::StatusCode;
use suppressd::{
    clock::Clock,
    metrics::label::Answer,
    model::{id::PageId, page::Role},
    simulator::{
        Access, Outcome,
        draft::{Draft, changes, company},
        event::Detail,
        schema::Kind,
    },
    sources::filter::{self, WrongSkip},
    store::{EventState, Store as _, sqlite::SqliteStore},
};

use crate::{
    pipeline::connect,
    program::Program,
    skips::{ordinary, sample},
    world::World,
};

/// An edit of a property that no row depends on; another one each time.
fn irrelevant() -> Draft {
    static EMPLOYEES: AtomicU32 = AtomicU32::new(1);
    changes().property("Employees", f64::from(EMPLOYEES.fetch_add(1, Ordering::Relaxed)))
}

/// A company that the cache knows.
async fn known(world: &World, website: &str) -> PageId {
    let page = world.workspace().create(company("Acme").website(website).status("Sourced"));
    world.tell().await;
    page
}

/// How often a page is fetched for what is done now.
async fn looks(world: &World, page: PageId, act: impl FnOnce() -> Outcome) -> u64 {
    let before = world.simulator.tally().of_page(page);
    assert_eq!(act(), Outcome::Changed);
    world.tell().await;
    world.simulator.tally().of_page(page) - before
}

/// What `/v1/status` says of the filter.
async fn told(world: &World) -> serde_json::Value {
    world.ask("/v1/status").await.1.get("relevance").unwrap().clone()
}

/// An edit of which Notion tells nothing.
struct Untold {
    at: DateTime<Utc>,
    ids: Vec<String>,
}

/// Edits a page, and keeps to itself what would have been told.
fn silently(world: &World, page: PageId, draft: Draft) -> Untold {
    world.workspace().edit(page, draft);
    let told = world.workspace().take_events().into_iter().find_map(|event| match event.detail {
        Detail::Properties(ids) => Some(Untold { at: event.at, ids }),
        _ => None,
    });
    told.unwrap()
}

/// An event that says when a page was edited, and which of its properties.
fn edited(world: &World, id: &str, page: PageId, at: DateTime<Utc>, ids: &[String]) -> String {
    let mut event: serde_json::Value = serde_json::from_str(&world.event(id, "page.properties_updated", page)).unwrap();
    *event.get_mut("timestamp").unwrap() = at.to_rfc3339_opts(SecondsFormat::Millis, true).into();
    let data = event.get_mut("data").unwrap().as_object_mut().unwrap();
    data.insert("updated_properties".to_owned(), ids.into());
    event.to_string()
}

/// Lets the time of every sample come; the program notices that somebody has written into its file.
fn let_samples_come(world: &World) {
    let due = "UPDATE suppressd_inbox SET due_at = 0 WHERE is_sample = 1 AND state = 'skipped'";
    assert!(connect(&world.database()).execute(due, []).unwrap() > 0, "no sample waits for its time");
}

#[tokio::test]
async fn an_edit_that_touches_no_mapped_property_is_acknowledged_skipped_and_costs_no_request() {
    let world = World::start().await;
    let page = known(&world, "acme.com").await;
    let before = (world.simulator.tally().total(), world.count(EventState::Settled).await, world.rows());
    world.workspace().edit(page, irrelevant());
    world.workspace().edit(page, changes().property("Sector", "Robotics").property("Contact", "a@acme.com"));
    world.tell().await;
    assert_eq!((world.simulator.tally().total(), world.count(EventState::Settled).await, world.rows()), before);
    assert_eq!(
        (world.count(EventState::Skipped).await, world.serving.metrics.events_received.all(Answer::Skipped)),
        (2, 2)
    );
    let (_, listed) = world.ask("/v1/events?state=skipped").await;
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
    let said = told(&world).await;
    assert_eq!((&said["filter"], &said["skipped"]), (&"on".into(), &2.into()), "{said}");
}

#[tokio::test]
async fn whatever_else_happens_to_a_known_page_is_looked_at() {
    let world = World::start().await;
    let page = known(&world, "acme.com").await;
    let edit = |draft| world.workspace().edit(page, draft);
    assert_eq!(looks(&world, page, || edit(irrelevant().status("Meeting"))).await, 1, "a mapped property too");
    assert_eq!(looks(&world, page, || edit(changes().name("Acme Renamed"))).await, 1, "its title");
    assert_eq!(looks(&world, page, || world.workspace().edit_content(page)).await, 1, "its content");
    assert_eq!(looks(&world, page, || world.workspace().trash(page)).await, 1, "it goes");
    assert_eq!(looks(&world, page, || world.workspace().restore(page)).await, 1, "it comes back");
    assert_eq!(world.face("domain:acme.com"), Some((page.to_string(), "Meeting".to_owned())));
    assert_eq!(world.count(EventState::Skipped).await, 0);
}

#[tokio::test]
async fn an_edit_of_a_page_that_the_cache_cannot_vouch_for_is_looked_at() {
    let world = World::start().await;
    let unknown = world.workspace().create(company("Acme").website("acme.com").status("Sourced"));
    drop(world.workspace().take_events());
    assert_eq!(looks(&world, unknown, || world.workspace().edit(unknown, irrelevant())).await, 1);
    assert!(world.row("domain:acme.com").is_some());

    world.workspace().set_access(unknown, Access::Unshared);
    world.workspace().edit(unknown, changes().status("Meeting"));
    world.tell().await;
    assert_eq!(world.ask("/v1/status").await.1["cache"]["pages_missing"], 1);
    world.workspace().set_access(unknown, Access::Shared);
    assert_eq!(looks(&world, unknown, || world.workspace().edit(unknown, irrelevant())).await, 1);
    assert_eq!(world.face("domain:acme.com").unwrap().1, "Meeting");
    assert_eq!(looks(&world, unknown, || world.workspace().edit(unknown, irrelevant())).await, 0, "now it can");
}

/// The later edit decides which of them the key shows, whatever was edited.
#[tokio::test]
async fn a_page_whose_key_another_one_claims_too_is_looked_at() {
    let world = World::start().await;
    let one = known(&world, "acme.com").await;
    let other = known(&world, "https://acme.com/about").await;
    for page in [one, other] {
        assert_eq!(looks(&world, page, || world.workspace().edit(page, irrelevant())).await, 1);
    }
    world.workspace().trash(other);
    world.tell().await;
    assert_eq!(looks(&world, one, || world.workspace().edit(one, irrelevant())).await, 0, "it has it for itself");
}

#[tokio::test]
async fn where_a_mapped_property_is_computed_the_filter_is_not_used() {
    let world = World::start().await;
    let page = known(&world, "acme.com").await;
    let source = world.workspace().data_source();
    world.workspace().delete_property(source, "Crunchbase");
    world.workspace().add_property(source, "Crunchbase", Kind::Formula);
    world.tell().await;
    assert_eq!(looks(&world, page, || world.workspace().edit(page, irrelevant())).await, 1);
    let said = told(&world).await;
    assert_eq!(said["filter"], "unused");
    assert!(
        said["because"].as_str().unwrap().contains("crunchbase is read from a property of type \"formula\""),
        "{said}"
    );

    world.workspace().delete_property(source, "Crunchbase");
    world.workspace().add_property(source, "Crunchbase", Kind::Url);
    world.tell().await;
    assert_eq!(told(&world).await["filter"], "on");
    assert_eq!(looks(&world, page, || world.workspace().edit(page, irrelevant())).await, 0);
}

#[tokio::test]
async fn a_property_that_is_renamed_is_still_the_one_that_it_was() {
    let mut world = World::start().await;
    let page = known(&world, "acme.com").await;
    let source = world.workspace().data_source();
    world.workspace().rename_property(source, "Website", "Homepage");
    world.workspace().rename_property(source, "Employees", "Staff");
    world.tell().await;
    for staff in [8.0, 9.0] {
        let staff = || world.workspace().edit(page, changes().property("Staff", staff));
        assert_eq!(looks(&world, page, staff).await, 0);
        let homepage = || world.workspace().edit(page, changes().set(Role::Website, "acme-new.com"));
        assert_eq!(looks(&world, page, homepage).await, 1);
        world.workspace().edit(page, changes().set(Role::Website, "acme.com"));
        world.tell().await;
        world.restart().await;
        world.until("it is ready", async || world.ask("/readyz").await.0 == StatusCode::OK).await;
    }
}

/// Its id may be that of the property from which a role is read by now.
#[tokio::test]
async fn an_edit_of_a_property_that_the_schema_does_not_show_is_looked_at() {
    let world = World::start().await;
    let page = known(&world, "acme.com").await;
    world.workspace().add_property(world.workspace().data_source(), "Notes", Kind::RichText);
    // What tells of the schema is lost.
    let Untold { at, ids } = silently(&world, page, changes().property("Notes", "new"));
    let body = edited(&world, &ordinary(), page, at, &ids);
    let before = world.simulator.tally().of_page(page);
    assert_eq!(world.deliver(&body).await, StatusCode::OK);
    world.settled().await;
    assert_eq!(world.simulator.tally().of_page(page), before + 1);
}

#[tokio::test]
async fn a_sample_is_looked_at_when_its_time_comes_and_speaks_for_the_filter() {
    let world = World::start().await;
    let page = known(&world, "acme.com").await;
    let before = world.simulator.tally().of_page(page);
    let Untold { at, ids } = silently(&world, page, irrelevant());
    for id in [sample(), ordinary()] {
        for _ in 0..2 {
            assert_eq!(world.deliver(&edited(&world, &id, page, at, &ids)).await, StatusCode::OK);
        }
    }
    assert_eq!(world.count(EventState::Skipped).await, 2, "each once");
    assert_eq!(world.serving.metrics.events_received.all(Answer::Duplicate), 2);
    assert_eq!(world.simulator.tally().of_page(page), before);
    let_samples_come(&world);
    world.until("the sample was looked at", async || world.serving.metrics.looks_at_samples.get() == 1).await;
    assert_eq!(world.simulator.tally().of_page(page), before + 1);
    let said = told(&world).await;
    assert_eq!(said, serde_json::json!({"filter": "on", "because": null, "skipped": 1, "sampled": 1}));
    assert_eq!(world.serving.metrics.skips_wrong.get(), 0);
}

#[tokio::test]
async fn a_wrong_skip_turns_the_filter_off_until_the_mapping_is_another_one() {
    let mut world = World::start().await;
    let page = known(&world, "acme.com").await;
    let source = world.workspace().data_source();
    let Untold { ids, .. } = silently(&world, page, irrelevant());
    let Untold { at, .. } = silently(&world, page, changes().status("Passed"));
    world.deliver(&edited(&world, &sample(), page, at, &ids)).await;
    assert_eq!(world.face("domain:acme.com").unwrap().1, "Sourced", "it was skipped");
    let_samples_come(&world);
    world.until("it is found out", async || world.serving.metrics.skips_wrong.get() == 1).await;
    assert_eq!(world.face("domain:acme.com").unwrap().1, "Passed", "and mended");
    world.until("it is off", async || told(&world).await["filter"] == "off").await;
    let because = told(&world).await["because"].as_str().unwrap().to_owned();
    for word in [&source.to_string(), &sample(), &page.to_string(), "status"] {
        assert!(because.contains(word), "{word}: {because}");
    }
    assert_eq!(looks(&world, page, || world.workspace().edit(page, irrelevant())).await, 1);

    world.restart().await;
    world.until("it is ready", async || world.ask("/readyz").await.0 == StatusCode::OK).await;
    assert_eq!(told(&world).await["filter"], "off");
    // A schema that is read again, with the same mapping, is no reason to trust it again.
    world.workspace().rename_property(source, "Website", "Homepage");
    world.workspace().rename_option(source, "Status", "Lost", "Gone");
    assert_eq!(looks(&world, page, || world.workspace().edit(page, irrelevant())).await, 1);
    assert_eq!(told(&world).await["filter"], "off");

    world.workspace().delete_property(source, "GitHub Org");
    world.tell().await;
    assert_eq!(told(&world).await["filter"], "on");
    assert_eq!(looks(&world, page, || world.workspace().edit(page, irrelevant())).await, 0);
}

/// A sweep in another process can find that a skip was wrong.
#[tokio::test]
async fn what_another_process_finds_wrong_turns_the_filter_off_here() {
    let world = World::start().await;
    let page = known(&world, "acme.com").await;
    let other = SqliteStore::open(&world.database(), 10, Clock::system().now()).unwrap();
    let source = world.workspace().data_source();
    let found_at = Clock::system().now();
    let wrong = WrongSkip { found_at, event: "e1".to_owned(), page, changed: vec![Role::Website] };
    let turned = other.write(move |rows| {
        Ok([filter::turn_off(rows, source, wrong.clone())?, filter::turn_off(rows, source, wrong)?])
    });
    assert_eq!(turned.await.unwrap(), [true, false], "it is turned off once");
    world
        .until("an edit is looked at", async || {
            looks(&world, page, || world.workspace().edit(page, irrelevant())).await == 1
        })
        .await;
}

#[tokio::test]
async fn what_is_replayed_is_never_skipped() {
    let world = World::start().await;
    let page = known(&world, "acme.com").await;
    let Untold { at, ids } = silently(&world, page, irrelevant());
    for id in [sample(), ordinary()] {
        world.deliver(&edited(&world, &id, page, at, &ids)).await;
    }
    assert_eq!(world.count(EventState::Skipped).await, 2);
    let before = world.simulator.tally().of_page(page);
    let program = Program::new().and("SUPPRESSD_DB_PATH", world.database().display().to_string());
    let replayed =
        tokio::task::spawn_blocking(move || program.run(&["replay", "--from-inbox", "--json"])).await.unwrap();
    assert_eq!(replayed.json()["reopened"], 3, "{replayed:?}");
    assert!(world.simulator.tally().of_page(page) > before);
    assert_eq!((world.count(EventState::Skipped).await, world.count(EventState::Settled).await), (0, 3));
    assert_eq!(told(&world).await["sampled"], 0, "somebody asked for it: it is no sample any more");
}
