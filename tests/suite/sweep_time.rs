//! What time does to rows, and what an index or a clock that is behind may not do.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use suppressd::{
    cache::Applied,
    clock::Clock,
    model::{
        entry::Standing,
        id::PageId,
        page::Role,
        sweep::{AskedBy, DriftKind, SweepOrder, SweepState},
        verdict::Answer,
    },
    simulator::{
        Access,
        draft::{changes, company},
        faults::{Fault, Target},
        question::Endpoint,
        truth::TruthPage,
        workspace::{Habits, Workspace},
    },
};

use crate::{
    sweep::{assert_adds_up, model},
    sweeping::{Making, TTL, World, pass, start},
};

/// The status of the only row.
fn status(world: &World) -> String {
    let [(_, _, status)] = world.rows().try_into().unwrap();
    status
}

#[tokio::test(start_paused = true)]
async fn expiry_after_a_week_of_downtime_makes_nothing_clear() {
    let world = World::new().await;
    world.pages(20);
    assert_eq!(world.sweep().await.outcome, SweepState::Complete);
    let suppressed = world.suppressed();
    world.crm().simulator.faults().refuse_token();
    for hour in 0..24 * 9 {
        pass(TimeDelta::hours(1)).await;
        world.process.sweeper.renew().await.unwrap();
        if hour % 24 == 7 {
            assert_eq!(world.sweep().await.outcome, SweepState::Failed);
        }
        assert_eq!(world.suppressed(), suppressed, "after {hour} hours");
    }
    assert_eq!(world.verdict("domain:company-7.com").await.verdict, Answer::Stale);
    assert_eq!(world.verdict("domain:nobody.com").await.verdict, Answer::Stale);

    world.crm().simulator.faults().heal_token();
    assert_eq!(world.sweep().await.outcome, SweepState::Complete);
    assert_eq!(world.verdict("domain:company-7.com").await.verdict, Answer::Suppressed);
    assert_eq!(world.verdict("domain:nobody.com").await.verdict, Answer::Clear);
    let left = world.expires_at("domain:company-7.com").unwrap() - world.now();
    assert!(left > TTL - TimeDelta::minutes(1), "{left}");
}

#[tokio::test(start_paused = true)]
async fn after_a_week_with_the_program_off_rows_have_expired_and_a_sweep_renews_what_is_there() {
    let world = World::new().await;
    let pages = world.pages(4);
    world.sweep().await;
    world.workspace().trash(pages[0]);
    world.workspace().set_access(pages[1], Access::Unshared);
    pass(TimeDelta::days(8)).await;
    assert_eq!(world.suppressed(), Vec::<String>::new());
    assert_eq!(world.process.sweeper.renew().await.unwrap(), 0, "what has expired is not renewed without proof");
    assert_eq!(world.verdict("domain:company-2.com").await.verdict, Answer::Stale);
    let report = world.sweep().await;
    assert_eq!((report.outcome, report.counts.entries_expired_cleaned), (SweepState::Complete, 1));
    assert_eq!(world.suppressed(), ["domain:company-2.com", "domain:company-3.com"]);
    assert_eq!(world.rows(), model(&[world.workspace()]));
    assert_eq!(report.drift.by_kind.get(&DriftKind::ShouldHaveGone), Some(&1));
    assert_eq!(report.drift.total(), 1);
    assert_adds_up(&report);
}

#[tokio::test(start_paused = true)]
async fn a_ttl_that_is_ordered_is_for_the_rows_that_are_confirmed() {
    let world = World::new().await;
    let [hidden, _] = world.pages(2).try_into().unwrap();
    let shared = |status| {
        let draft = company(status).website("https://shared.com").status(status);
        world.workspace().place(draft, start() - TimeDelta::days(3))
    };
    let (winner, other) = (shared("Passed"), shared("Sourced"));
    world.sweep().await;
    world.workspace().set_access(hidden, Access::Unshared);
    pass(TimeDelta::days(6)).await;
    let ordered = |days| SweepOrder { ttl_days: Some(days), ..SweepOrder::by(AskedBy::Command) };
    let faults = world.crm().simulator.faults().clone();
    world.crm().between(move |nth| {
        if nth == 1 {
            faults.next_of(Target::Endpoint(Endpoint::Query), 100, Fault::Status(500));
        }
        async {}
    });
    assert_eq!(world.sweep_by(ordered(365)).await.outcome, SweepState::Partial);
    let left = |key: &str| (world.expires_at(key).unwrap() - world.now()).num_hours();
    assert_eq!(left("domain:company-1.com"), 24 * 365 - 1, "it was seen");
    assert_eq!(left("domain:company-0.com"), 24 * 7 / 2, "nobody could be asked about it");

    world.crm().undisturbed();
    world.crm().simulator.faults().calm();
    assert_eq!(world.sweep_by(ordered(1)).await.outcome, SweepState::Complete);
    assert_eq!(left("domain:company-1.com"), 23);
    assert_eq!(left("domain:company-0.com"), 24 * 7 / 2 - 1, "what is not found is left alone");

    // A claim without a row of its own lasts as long as the settings say.
    world.workspace().set_access(other, Access::Unshared);
    assert_eq!(world.sweep().await.outcome, SweepState::Complete);
    pass(TimeDelta::days(2)).await;
    assert_eq!(world.sweep_by(ordered(1)).await.outcome, SweepState::Complete);
    world.workspace().trash(winner);
    pass(TimeDelta::minutes(2)).await;
    assert_eq!(world.sweep().await.outcome, SweepState::Complete);
    assert!(world.suppressed().contains(&"domain:shared.com".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn the_clock_set_back() {
    let mut world = World::new().await;
    let pages = world.pages(6);
    let right = world.process.clock.clone();
    // The machine believes that it is a month later, sweeps, and looks at one page for an event.
    world.restart(Clock::following_tokio(start() + TimeDelta::days(30)), &[0]).await;
    assert_eq!(world.sweep().await.outcome, SweepState::Complete);
    assert_eq!(world.process.look(pages[5]).await, Applied::Unchanged);
    assert!(world.watermark().await.unwrap() > start() + TimeDelta::days(29));

    world.restart(right, &[0]).await;
    for key in ["domain:nobody.com", "domain:company-1.com", "domain:company-5.com"] {
        let verdict = world.verdict(key).await;
        assert_eq!(verdict.verdict, Answer::Stale, "{verdict:?}");
        assert_eq!(verdict.fresh_as_of, None, "{verdict:?}");
    }
    let workspace = world.workspace();
    workspace.trash(pages[0]);
    workspace.set_access(pages[1], Access::Unshared);
    workspace.edit(pages[2], changes().status("Passed"));
    workspace.edit(pages[5], changes().status("Passed"));
    pass(TimeDelta::minutes(5)).await;
    let report = world.sweep().await;
    assert_eq!(report.outcome, SweepState::Complete, "{:?}", report.errors);
    assert_eq!((report.counts.pages_removed, report.counts.pages_missing, report.counts.pages_updated), (1, 1, 2));
    assert!(world.watermark().await.unwrap() <= world.now());
    for (n, page) in pages.iter().enumerate().skip(1) {
        let expires_at = world.expires_at(&format!("domain:company-{n}.com")).unwrap();
        assert!(expires_at <= world.now() + TTL, "{n}: {expires_at}");
        let cached = world.cached(*page).await;
        assert!(cached.observed_at <= world.now(), "{cached:?}");
    }
    let statuses: Vec<_> = world.rows().into_iter().map(|row| row.2).collect();
    assert_eq!(statuses, ["Sourced", "Passed", "Sourced", "Sourced", "Passed"]);
    assert!(world.cached(pages[1]).await.unfound_since.is_some());
    assert_eq!(world.verdict("domain:nobody.com").await.verdict, Answer::Clear);
    assert_eq!(world.verdict("domain:company-3.com").await.verdict, Answer::Suppressed);

    let before = world.digest();
    assert_eq!(world.sweep().await.outcome, SweepState::Complete);
    assert!(world.digest() == before, "it is right now");
    pass(TTL).await;
    world.sweep().await;
    assert_eq!(world.cached(pages[1]).await.standing, Standing::Lost);
    assert_eq!(world.rows(), model(&[world.workspace()]));
}

#[tokio::test(start_paused = true)]
async fn the_clock_set_back_by_a_minute_disturbs_nothing() {
    let mut world = World::new().await;
    let pages = world.pages(3);
    world.sweep().await;
    world.process.look(pages[0]).await;
    let before = world.rows();
    world.restart(Clock::following_tokio(world.now() - TimeDelta::minutes(1)), &[0]).await;
    assert_eq!(world.verdict("domain:company-0.com").await.verdict, Answer::Suppressed);
    assert_eq!(world.verdict("domain:nobody.com").await.verdict, Answer::Clear);
    let report = world.sweep().await;
    assert_eq!((report.outcome, report.drift.total()), (SweepState::Complete, 0));
    assert_eq!(world.rows(), before);
}

/// A world at 20 s past a full minute with one page that was created in that minute, swept and proven long ago.
async fn world_of_one() -> (World, PageId) {
    let world = World::new().await;
    let page = world.page(1);
    world.sweep().await;
    pass(TimeDelta::hours(1)).await;
    until("2026-01-06T13:05:05Z", &world).await;
    (world, page)
}

async fn until(instant: &str, world: &World) {
    let instant: DateTime<Utc> = instant.parse().unwrap();
    pass(instant - world.now()).await;
}

#[tokio::test(start_paused = true)]
async fn a_query_whose_index_trails_the_live_page_does_not_overwrite_a_fresh_row() {
    let (world, page) = world_of_one().await;
    world.crm().simulator.faults().set_index_lag(Duration::from_secs(30));
    // The index is an edit of another minute behind.
    world.workspace().edit(page, changes().status("Meeting"));
    assert_eq!(world.process.look(page).await, Applied::Updated);
    until("2026-01-06T13:05:10Z", &world).await;
    let (report, drift) = world.drift().await;
    assert_eq!((status(&world), drift), ("Meeting".to_owned(), Vec::new()));
    assert_eq!((report.outcome, world.crm().simulator.tally().of_page(page)), (SweepState::Complete, 1));

    // It is an edit of the same minute behind: the page itself is asked.
    world.workspace().edit(page, changes().status("Passed"));
    assert_eq!(world.process.look(page).await, Applied::Updated);
    until("2026-01-06T13:05:38Z", &world).await;
    let (report, drift) = world.drift().await;
    assert_eq!((status(&world), drift), ("Passed".to_owned(), Vec::new()));
    assert_eq!((report.outcome, world.crm().simulator.tally().of_page(page)), (SweepState::Complete, 3));
    assert_adds_up(&report);
}

#[tokio::test(start_paused = true)]
async fn a_lost_edit_of_the_same_minute_is_not_taken_for_lag() {
    let (world, page) = world_of_one().await;
    world.workspace().edit(page, changes().status("Meeting"));
    assert_eq!(world.process.look(page).await, Applied::Updated);
    world.workspace().edit(page, changes().status("Passed"));
    until("2026-01-06T13:05:40Z", &world).await;
    let (report, drift) = world.drift().await;
    assert_eq!(status(&world), "Passed");
    assert_eq!(drift.into_iter().map(|drift| drift.kind).collect::<Vec<_>>(), [DriftKind::StaleRow]);
    assert_eq!(world.crm().simulator.tally().of_page(page), 2, "the page was asked");
    assert_eq!((report.outcome, report.counts.pages_updated), (SweepState::Complete, 1));

    // Later no look is needed to see it.
    world.workspace().edit(page, changes().status("Lost"));
    pass(TimeDelta::minutes(3)).await;
    world.sweep().await;
    assert_eq!((status(&world), world.crm().simulator.tally().of_page(page)), ("Lost".to_owned(), 2));
}

#[tokio::test(start_paused = true)]
async fn rows_created_and_edited_during_the_sweep() {
    let world = World::new().await;
    let old = world.pages(150);
    world.sweep().await;
    let fresh = world.workspace().create(company("Fresh").website("https://fresh.com").status("Sourced"));
    world.process.look(fresh).await;
    let (workspace, process) = (world.workspace().clone(), world.process.clone());
    let (first, last) = (old[0], old[149]);
    world.crm().between(move |nth| {
        let (workspace, process) = (workspace.clone(), process.clone());
        async move {
            // The rows were answered, and are applied after what the worker brings meanwhile.
            if nth == 1 {
                workspace.edit(first, changes().status("Passed"));
                workspace.edit(last, changes().website("https://moved.com"));
                process.look(first).await;
                let late = workspace.create(company("Late").website("https://late.com").status("Lost"));
                process.look(late).await;
                workspace.create(company("Untold").website("https://untold.com"));
            }
            if nth == 2 {
                workspace.edit(fresh, changes().status("Passed"));
                process.look(fresh).await;
                process.look(last).await;
                workspace.trash(old_second(&workspace));
            }
        }
    });
    let (report, drift) = world.drift().await;
    assert_eq!(report.outcome, SweepState::Complete, "{:?}", report.errors);
    assert_adds_up(&report);
    let rows = world.rows();
    let held = |key: &str| rows.iter().find(|row| row.0 == key).map(|row| row.2.as_str());
    assert_eq!(held("domain:company-0.com"), Some("Passed"));
    assert_eq!(held("domain:fresh.com"), Some("Passed"));
    assert_eq!(held("domain:late.com"), Some("Lost"));
    assert_eq!((held("domain:moved.com"), held("domain:company-149.com")), (Some("Sourced"), None));
    let told: Vec<_> =
        [first, last, fresh].into_iter().filter(|page| drift.iter().any(|drift| drift.page == *page)).collect();
    assert_eq!(told, [], "what the worker brought is no difference");

    world.crm().undisturbed();
    pass(TimeDelta::minutes(2)).await;
    world.sweep().await;
    assert_eq!(world.rows(), model(&[world.workspace()]));
}

/// The page of the second company, which is in the trash only after the rows were shown.
fn old_second(workspace: &Workspace) -> PageId {
    let rows = workspace.rows(workspace.data_source());
    let second = |page: &&TruthPage| page.values.get(Role::CompanyName) == Some("Company 1");
    rows.iter().find(second).unwrap().id
}

#[tokio::test(start_paused = true)]
async fn the_trash_is_proof_whether_it_counts_as_an_edit_or_not() {
    for trash_is_an_edit in [false, true] {
        let habits = Habits { trash_is_an_edit, ..Habits::default() };
        let world = World::with(Making { habits, ..Making::default() }).await;
        let page = world.page(1);
        world.sweep().await;
        world.workspace().trash(page);
        pass(TimeDelta::minutes(3)).await;
        assert_eq!((world.sweep().await.counts.pages_removed, world.rows()), (1, Vec::new()));
        world.workspace().restore(page);
        pass(TimeDelta::minutes(3)).await;
        let (_, drift) = world.drift().await;
        assert_eq!(drift.into_iter().map(|drift| drift.kind).collect::<Vec<_>>(), [DriftKind::MissingRow]);
        assert_eq!(world.rows(), model(&[world.workspace()]));
    }
}
