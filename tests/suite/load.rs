//! Many events about few pages: one look a page at a time, and never beyond the budget.

use suppressd::{
    model::event::EventKind,
    simulator::{
        Settings,
        draft::{changes, company},
        webhooks::Delivering,
    },
    store::EventState,
};

use crate::world::World;

/// Events about each of the pages.
const EVENTS_PER_PAGE: usize = 25;

const PAGES: usize = 120;

#[tokio::test]
async fn three_thousand_events_on_120_pages_stay_within_the_budget() {
    let world = World::with(Settings::default(), &[("NOTION_INDEX_LAG_SECONDS", "1")]).await;
    let pages: Vec<_> = (0..PAGES)
        .map(|n| world.workspace().create(company("Acme").website(&format!("acme-{n}.com")).status("Sourced")))
        .collect();
    for round in 1..EVENTS_PER_PAGE {
        for page in &pages {
            world.workspace().edit(*page, changes().status(if round % 2 == 0 { "Sourced" } else { "Meeting" }));
        }
    }
    let kinds = Some(vec![EventKind::PageCreated, EventKind::PagePropertiesUpdated]);
    let manner = Delivering { aggregate: None, at_once: 64, kinds, ..Delivering::default() };
    let webhooks = world.webhooks(manner);
    let delivered = webhooks.deliver_all().await;
    assert_eq!(delivered.len(), PAGES * EVENTS_PER_PAGE);
    assert!(delivered.iter().all(|delivery| delivery.status == Some(200)), "all are acknowledged");

    let tally = world.simulator.tally();
    world
        .until("the budget is spent or all is settled", async || {
            tally.most_in_a_window() >= 178 || world.count(EventState::Waiting).await == 0
        })
        .await;
    assert!(tally.most_in_a_window() <= 180, "{} requests in a minute", tally.most_in_a_window());
    assert!(tally.most_at_once() <= 1, "never two fetches of one page at a time");
    // Every page was looked at at least once, and its row stands.
    assert_eq!(world.rows().len(), PAGES);
}
