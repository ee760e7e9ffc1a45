//! Differences that a sweep finds, what became of the events that should have told them, and mappings that change.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use suppressd::{
    model::{
        entry::Door,
        event::Subject,
        id::PageId,
        sweep::{Drift, DriftKind, SweepState, Told},
        verdict::Answer,
    },
    simulator::{
        Access,
        draft::{changes, company},
        schema::Kind,
    },
    store::{Disposition, NewEvent, Store as _},
};

use crate::{
    sweep::model,
    sweeping::{Process, World, pass},
};

/// Puts an event about a page into the inbox.
async fn event(process: &Process, id: &str, page: PageId, occurred_at: DateTime<Utc>, disposition: Disposition) {
    let event = NewEvent {
        event_id: id.to_owned(),
        kind: "page.properties_updated".to_owned(),
        subject: Some(Subject::Page(page)),
        occurred_at,
        received_at: process.clock.now(),
        door: Door::Webhook,
        disposition,
        body: b"{}".to_vec(),
    };
    process.store.append(event).await.unwrap();
}

/// Kind and way of telling, by page.
fn found(drift: Vec<Drift>) -> BTreeMap<PageId, (DriftKind, Told)> {
    drift.into_iter().map(|drift| (drift.page, (drift.kind, drift.told))).collect()
}

/// The states of all events, by id.
fn states(world: &World) -> BTreeMap<String, String> {
    let connection = crate::pipeline::connect(&world.database());
    let mut statement = connection.prepare("SELECT event_id, state FROM suppressd_inbox").unwrap();
    let states = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    states.unwrap().collect::<Result<_, _>>().unwrap()
}

#[tokio::test(start_paused = true)]
async fn every_difference_has_its_kind_and_what_became_of_its_event() {
    let world = World::new().await;
    let pages = world.pages(8);
    let (report, drift) = world.drift().await;
    assert_eq!((report.drift.total(), drift), (0, Vec::new()), "none is expected to be there before the first sweep");
    let (workspace, process) = (world.workspace(), &world.process);
    let before = world.now();
    event(process, "old", pages[0], before, Disposition::Look).await;
    world.meddle("UPDATE suppressd_inbox SET state = 'settled'");
    pass(TimeDelta::hours(1)).await;

    let at = world.now();
    let look = Disposition::Look;
    // The only event is older than the edit, or was of no interest.
    workspace.edit(pages[0], changes().status("Passed"));
    workspace.edit(pages[1], changes().status("Passed"));
    event(process, "ignored", pages[1], at, Disposition::Ignore).await;
    let waiting = workspace.create(company("New").website("https://new.com"));
    event(process, "waiting", waiting, at, look).await;
    workspace.edit(pages[2], changes().website("https://moved.com"));
    event(process, "parked", pages[2], at, look).await;
    workspace.trash(pages[3]);
    event(process, "settled", pages[3], at, look).await;
    world.meddle("UPDATE suppressd_inbox SET state = event_id WHERE event_id IN ('settled', 'parked')");
    workspace.edit(pages[4], changes().status("Lost"));
    // Somebody else takes a row away, and writes over another one.
    world.meddle("DELETE FROM suppression_cache WHERE canonical_key = 'domain:company-5.com'");
    world.meddle("UPDATE suppression_cache SET status = 'Clear' WHERE canonical_key = 'domain:company-6.com'");
    // An edit that the rows do not show is no difference.
    workspace.edit(pages[7], changes().property("Sector", "Health"));
    pass(TimeDelta::minutes(5)).await;
    let (late, process) = (pages[4], world.process.clone());
    world.crm().between(move |nth| {
        let process = process.clone();
        async move {
            if nth == 2 {
                event(&process, "late", late, at, Disposition::Look).await;
            }
        }
    });

    let (report, drift) = world.drift().await;
    assert_eq!(report.outcome, SweepState::Complete);
    assert!(drift.iter().all(|drift| drift.found_at >= report.started_at && drift.since <= at), "{drift:?}");
    assert_eq!((report.drift.untold(), report.drift.told.get(&Told::Never)), (5, Some(&2)));
    let expected = BTreeMap::from([
        (pages[0], (DriftKind::StaleRow, Told::Never)),
        (pages[1], (DriftKind::StaleRow, Told::Never)),
        (waiting, (DriftKind::MissingRow, Told::Waiting)),
        (pages[2], (DriftKind::KeyChanged, Told::Parked)),
        (pages[3], (DriftKind::ShouldHaveGone, Told::Settled)),
        (pages[4], (DriftKind::StaleRow, Told::Late)),
        (pages[5], (DriftKind::MissingRow, Told::Rewritten)),
        (pages[6], (DriftKind::StaleRow, Told::Rewritten)),
    ]);
    assert_eq!(found(drift), expected);
    let figures: BTreeMap<_, _> = DriftKind::ALL.into_iter().zip([2, 4, 1, 1]).collect();
    assert_eq!(report.drift.by_kind, figures);
    assert_eq!(world.rows(), model(&[workspace]));
    assert_eq!(states(&world).get("parked").map(String::as_str), Some("settled"), "a complete sweep has seen its page");
    assert_eq!(states(&world).get("waiting").map(String::as_str), Some("waiting"));

    world.crm().undisturbed();
    let (report, drift) = world.drift().await;
    assert_eq!((report.drift.total(), drift), (0, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_passes_on_with_the_time_of_a_missing_page_is_no_difference() {
    let world = World::new().await;
    let shared = |status| {
        let draft = company(status).website("https://shared.com").status(status);
        world.workspace().place(draft, world.now() - TimeDelta::days(2))
    };
    let (winner, next) = (shared("Passed"), shared("Sourced"));
    world.sweep().await;
    world.workspace().set_access(winner, Access::Unshared);
    for _ in 0..8 {
        pass(TimeDelta::days(1)).await;
        let (report, drift) = world.drift().await;
        assert_eq!((report.outcome, drift), (SweepState::Complete, Vec::new()));
    }
    assert_eq!(world.rows(), [("domain:shared.com".to_owned(), next.to_string(), "Sourced".to_owned())]);
}

async fn learn(process: &Process) {
    process.sources.resolve(&process.store, process.clock.now()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_renamed_property_is_still_read_and_what_was_proven_stays_proven() {
    let world = World::new().await;
    world.pages(250);
    world.sweep().await;
    let (watermark, table) = (world.watermark().await, world.workspace().data_source());
    world.workspace().rename_property(table, "Website", "Homepage");
    learn(&world.process).await;
    assert_eq!(world.watermark().await, watermark);
    assert_eq!(world.verdict("domain:nobody.com").await.verdict, Answer::Clear);

    let (workspace, process) = (world.workspace().clone(), world.process.clone());
    world.crm().between(move |nth| {
        let (workspace, process) = (workspace.clone(), process.clone());
        async move {
            if nth == 2 {
                workspace.rename_property(workspace.data_source(), "Status", "Stage");
                learn(&process).await;
            }
        }
    });
    let report = world.sweep().await;
    assert_eq!((report.outcome, report.drift.total()), (SweepState::Complete, 0), "{:?}", report.errors);
    assert!(world.watermark().await > watermark);
    assert_eq!(world.rows(), model(&[world.workspace()]));
}

#[tokio::test(start_paused = true)]
async fn a_mapping_that_changes_takes_the_watermark_away_and_makes_a_running_sweep_partial() {
    for by_another_process in [false, true] {
        let world = World::new().await;
        world.pages(250);
        world.sweep().await;
        let learner = if by_another_process { world.another().await } else { world.process.clone() };
        let workspace = world.workspace().clone();
        let replacing = learner.clone();
        world.crm().between(move |nth| {
            let (workspace, learner) = (workspace.clone(), replacing.clone());
            async move {
                if nth == 2 {
                    workspace.delete_property(workspace.data_source(), "Website");
                    workspace.add_property(workspace.data_source(), "Website", Kind::Url);
                    learn(&learner).await;
                }
            }
        });
        let report = world.sweep().await;
        assert_eq!(report.outcome, SweepState::Partial, "by another process: {by_another_process}");
        assert!(report.errors[0].contains("its mapping changed in the middle"), "{:?}", report.errors);
        assert_eq!(world.watermark().await, None);
        assert_eq!(world.verdict("domain:nobody.com").await.verdict, Answer::Stale);

        world.crm().undisturbed();
        let (report, drift) = world.drift().await;
        assert_eq!((report.outcome, drift), (SweepState::Complete, Vec::new()), "it is a first sweep again");
        assert_eq!(world.rows(), model(&[world.workspace()]));
        assert_eq!(world.verdict("domain:nobody.com").await.verdict, Answer::Clear);
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_of_the_same_minute_does_not_tell_a_later_edit_of_it() {
    let world = World::new().await;
    let pages = world.pages(2);
    world.drift().await;
    let process = &world.process;
    pass(TimeDelta::hours(1)).await;
    // The first edit is told and looked at, the second one of the same minute is not told.
    world.workspace().edit(pages[0], changes().status("Meeting"));
    event(process, "told", pages[0], world.now(), Disposition::Look).await;
    pass(TimeDelta::seconds(2)).await;
    process.look(pages[0]).await;
    world.meddle("UPDATE suppressd_inbox SET state = 'settled'");
    pass(TimeDelta::seconds(2)).await;
    world.workspace().edit(pages[0], changes().status("Passed"));
    pass(TimeDelta::minutes(3)).await;
    let (report, drift) = world.drift().await;
    assert_eq!((report.drift.total(), report.drift.untold()), (1, 1), "{drift:?}");
    assert_eq!(drift[0].told, Told::Never);
}
