//! Every kind of change reaches its row, through real HTTP in both directions.

use suppressd::{
    model::page::Role,
    simulator::{
        Access, Home,
        draft::{changes, company},
    },
};

use crate::world::World;

#[tokio::test]
async fn a_new_page_becomes_a_row_in_the_format_of_the_pipeline() {
    let world = World::start().await;
    let page =
        world.workspace().create(company("Acme Robotics").website("https://www.acme-robotics.com/").status("Sourced"));
    world.tell().await;
    let row = world.row("domain:acme-robotics.com").unwrap();
    assert_eq!((row.page, row.status.as_str()), (page.to_string(), "Sourced"));
    assert_eq!(row.company.as_deref(), Some("Acme Robotics"));
    for time in [&row.cached_at, &row.expires_at] {
        let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000-00-00T00:00:00.000000+00:00");
    }
    let metadata = row.metadata.as_object().unwrap();
    let names: Vec<_> = metadata.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["key_origin", "key_strength", "last_edited_time", "page_url", "source", "synced_from", "website"]
    );
    assert_eq!(row.metadata["synced_from"], "webhook");
    assert_eq!(row.metadata["key_origin"], "website");
    assert_eq!(row.metadata["key_strength"], "strong");
    assert_eq!(row.metadata["source"], world.workspace().data_source().to_string());
}

#[tokio::test]
async fn a_status_a_title_and_a_key_that_change_reach_the_row() {
    let world = World::start().await;
    let page = world.workspace().create(company("Acme").website("acme-one.com").status("Sourced"));
    world.tell().await;
    let id = world.row("domain:acme-one.com").unwrap();

    world.workspace().edit(page, changes().status("Passed"));
    world.tell().await;
    assert_eq!(world.face("domain:acme-one.com").unwrap().1, "Passed");

    world.workspace().edit(page, changes().name("Acme Renamed"));
    world.tell().await;
    assert_eq!(world.row("domain:acme-one.com").unwrap().company.as_deref(), Some("Acme Renamed"));

    world.workspace().edit(page, changes().website("acme-two.com"));
    world.tell().await;
    assert_eq!(world.row("domain:acme-one.com"), None);
    assert_eq!(world.face("domain:acme-two.com"), Some((id.page, "Passed".to_owned())));
}

#[tokio::test]
async fn trash_takes_the_row_away_and_restore_brings_it_back() {
    let world = World::start().await;
    let page = world.workspace().create(company("Acme").website("acme.com").status("Sourced"));
    world.tell().await;
    world.workspace().trash(page);
    world.tell().await;
    assert_eq!(world.rows(), []);
    world.workspace().restore(page);
    world.tell().await;
    assert_eq!(world.face("domain:acme.com"), Some((page.to_string(), "Sourced".to_owned())));
}

#[tokio::test]
async fn page_moved_out_of_the_source_carries_the_new_parent_and_is_looked_at_all_the_same() {
    let world = World::start().await;
    let other = world.workspace().add_data_source("Archive");
    let homes = [Home::DataSource(other), Home::Page(world.workspace().create(company("A page")))];
    for (n, home) in homes.into_iter().enumerate() {
        let key = format!("domain:acme-{n}.com");
        let page = world.workspace().create(company("Acme").website(&format!("acme-{n}.com")).status("Sourced"));
        world.tell().await;
        assert!(world.row(&key).is_some());
        world.workspace().move_to(page, home);
        world.tell().await;
        assert_eq!(world.row(&key), None, "moved to {home:?}");
    }
}

#[tokio::test]
async fn a_key_claimed_by_two_pages_passes_to_the_next_when_the_winner_goes() {
    let world = World::start().await;
    let soft = world.workspace().create(company("Acme").website("acme.com").status("Sourced"));
    let hard = world.workspace().create(company("Acme again").website("https://acme.com/about").status("Lost"));
    world.tell().await;
    assert_eq!(world.face("domain:acme.com"), Some((hard.to_string(), "Lost".to_owned())));
    let conflict = world.ask("/v1/status").await.1;
    assert_eq!(conflict["cache"]["keys_contested"], 1);

    world.workspace().trash(hard);
    world.tell().await;
    assert_eq!(world.face("domain:acme.com"), Some((soft.to_string(), "Sourced".to_owned())));
    world.workspace().trash(soft);
    world.tell().await;
    assert_eq!(world.rows(), []);
}

#[tokio::test]
async fn a_404_alone_is_no_proof_and_the_row_stays() {
    let world = World::start().await;
    let page = world.workspace().create(company("Acme").website("acme.com").status("Sourced"));
    world.tell().await;
    world.workspace().edit(page, changes().status("Meeting"));
    world.workspace().set_access(page, Access::Unshared);
    world.tell().await;
    assert_eq!(world.face("domain:acme.com").unwrap().1, "Sourced");
    assert_eq!(world.ask("/v1/status").await.1["cache"]["pages_missing"], 1);

    world.workspace().set_access(page, Access::Shared);
    world.workspace().edit(page, changes().status("Diligence"));
    world.tell().await;
    assert_eq!(world.face("domain:acme.com").unwrap().1, "Diligence");
    assert_eq!(world.ask("/v1/status").await.1["cache"]["pages_missing"], 0);
}

#[tokio::test]
async fn a_page_that_was_deleted_and_then_answers_404_is_gone() {
    let world = World::start().await;
    let page = world.workspace().create(company("Acme").website("acme.com").status("Sourced"));
    world.tell().await;
    world.workspace().trash(page);
    world.workspace().purge(page);
    world.tell().await;
    assert_eq!(world.rows(), []);
}

#[tokio::test]
async fn a_renamed_property_keeps_working_by_its_id() {
    let mut world = World::start().await;
    let source = world.workspace().data_source();
    let page = world.workspace().create(company("Acme").website("acme.com").status("Sourced"));
    world.tell().await;
    world.workspace().rename_property(source, "Website", "Homepage");
    world.workspace().edit(page, changes().set(Role::Website, "acme-new.com"));
    world.tell().await;
    assert!(world.row("domain:acme-new.com").is_some(), "renamed while it runs");

    world.restart().await;
    world.workspace().rename_property(source, "Status", "Stage");
    world.workspace().edit(page, changes().status("Passed"));
    world.tell().await;
    assert_eq!(world.face("domain:acme-new.com").unwrap().1, "Passed", "and across a restart");
}

#[tokio::test]
async fn a_property_that_goes_from_the_schema_takes_no_row_with_it() {
    let world = World::start().await;
    let page = world.workspace().create(company("Acme").website("acme.com").status("Sourced"));
    world.tell().await;
    world.workspace().delete_property(world.workspace().data_source(), "Website");
    world.workspace().edit(page, changes().status("Meeting"));
    world.tell().await;
    assert_eq!(world.face("domain:acme.com").unwrap().1, "Meeting");
}

#[tokio::test]
async fn a_new_page_costs_one_request_and_no_wait() {
    let world = World::start().await;
    let page = world.workspace().create(company("Acme").website("acme.com").status("Sourced"));
    let before = world.simulator.tally().total();
    world.tell().await;
    assert_eq!(world.simulator.tally().of_page(page), 1);
    assert_eq!(world.simulator.tally().total(), before + 1);
    let events = world.ask("/v1/events?state=settled").await.1;
    let created = events.as_array().unwrap().iter().find(|event| event["kind"] == "page.created").unwrap();
    assert_eq!((&created["attempts"], &created["due_at"]), (&0.into(), &serde_json::Value::Null));
}
