//! What no query shows, and what becomes of rows that nobody stands behind any more.

use chrono::TimeDelta;
use suppressd::{
    model::{
        entry::Standing,
        id::PageId,
        sweep::{AskedBy, DriftKind, SweepOrder, SweepState},
        verdict::Answer,
    },
    simulator::{
        Access, Home,
        draft::{changes, company},
        faults::{Fault, Target},
        question::Endpoint,
    },
    store::Store as _,
};

use crate::{
    sweep::{assert_adds_up, model},
    sweep_failures::foreign,
    sweeping::{Making, TTL, World, isoformat, pass, start},
};

/// A page that shares `domain:shared.com` with others.
fn sharing(world: &World, crm: usize, status: &str) -> PageId {
    let draft = company(status).website("https://shared.com").status(status);
    world.crms.get(crm).unwrap().workspace().place(draft, start() - TimeDelta::days(3))
}

fn hide(world: &World, page: PageId, access: Access) {
    world.workspace().set_access(page, access);
}

/// Who holds the shared key.
fn holder(world: &World) -> Option<String> {
    world.rows().into_iter().find(|row| row.0 == "domain:shared.com").map(|row| row.1)
}

#[tokio::test(start_paused = true)]
async fn pages_in_the_trash_or_elsewhere_go_on_proof_and_a_404_proves_nothing() {
    let world = World::new().await;
    let pages = world.pages(6);
    world.sweep().await;
    let workspace = world.workspace();
    workspace.trash(pages[0]);
    workspace.move_to(pages[1], Home::Page(workspace.identity().page));
    hide(&world, pages[2], Access::Unshared);
    workspace.trash(pages[3]);
    workspace.purge(pages[3]);
    pass(TimeDelta::minutes(5)).await;

    let (report, drift) = world.drift().await;
    assert_eq!(report.outcome, SweepState::Complete, "{:?}", report.errors);
    assert_eq!((report.counts.pages_removed, report.counts.pages_missing), (2, 2));
    assert_adds_up(&report);
    let keys: Vec<_> = world.rows().into_iter().map(|row| row.0).collect();
    assert_eq!(keys, [2, 3, 4, 5].map(|n| format!("domain:company-{n}.com")));
    let mut gone: Vec<_> = drift.iter().map(|drift| (drift.page, drift.kind)).collect();
    gone.sort_unstable_by_key(|(page, _)| pages.iter().position(|other| other == page));
    assert_eq!(gone, [pages[0], pages[1]].map(|page| (page, DriftKind::ShouldHaveGone)));
    assert_eq!(world.cached(pages[0]).await.standing, Standing::Trashed);
    assert_eq!(world.cached(pages[1]).await.standing, Standing::MovedOut);
    for page in [pages[2], pages[3]] {
        let cached = world.cached(page).await;
        assert_eq!(cached.standing, Standing::Listed);
        assert!(cached.missing_since.is_some() && cached.unfound_since.is_some(), "{cached:?}");
    }

    // One is found again: all of that is forgotten, and its row counts anew.
    hide(&world, pages[2], Access::Shared);
    pass(TTL / 2 + TimeDelta::hours(1)).await;
    let report = world.sweep().await;
    assert_eq!((report.outcome, report.counts.pages_missing), (SweepState::Complete, 1));
    let cached = world.cached(pages[2]).await;
    assert_eq!((cached.missing_since, cached.unfound_since), (None, None));
    assert!(world.expires_at("domain:company-2.com").unwrap() > world.now() + TTL - TimeDelta::minutes(1));
    assert!(world.expires_at("domain:company-3.com").unwrap() < world.now() + TTL / 2);

    // The other one goes with the time that its row had.
    pass(TTL / 2).await;
    let report = world.sweep().await;
    assert_eq!((report.outcome, report.counts.entries_expired_cleaned), (SweepState::Complete, 1));
    assert_eq!(world.cached(pages[3]).await.standing, Standing::Lost);
    assert_eq!(world.rows(), model(&[world.workspace()]));
    assert_eq!(world.verdict("domain:company-3.com").await.verdict, Answer::Clear);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_was_let_go_and_is_found_again_is_a_row_again() {
    let world = World::new().await;
    let page = world.page(1);
    world.sweep().await;
    hide(&world, page, Access::Unshared);
    for _ in 0..9 {
        pass(TimeDelta::days(1)).await;
        world.sweep().await;
    }
    assert_eq!((world.cached(page).await.standing, world.rows()), (Standing::Lost, Vec::new()));
    hide(&world, page, Access::Shared);
    let (report, drift) = world.drift().await;
    assert_eq!(drift.into_iter().map(|drift| drift.kind).collect::<Vec<_>>(), [DriftKind::MissingRow]);
    assert_eq!((report.counts.pages_updated, world.rows()), (1, model(&[world.workspace()])));
}

#[tokio::test(start_paused = true)]
async fn only_a_complete_sweep_leaves_a_page_to_expire() {
    let world = World::new().await;
    let page = world.page(1);
    world.page(2);
    world.sweep().await;
    hide(&world, page, Access::Unshared);
    let faults = world.crm().simulator.faults().clone();
    for _ in 0..10 {
        pass(TimeDelta::days(1)).await;
        // The rows can be had, the archived ones cannot.
        let faults = faults.clone();
        world.crm().between(move |nth| {
            if nth == 1 {
                faults.next_of(Target::Endpoint(Endpoint::Query), 100, Fault::Status(500));
            }
            async {}
        });
        assert_eq!(world.sweep().await.outcome, SweepState::Partial);
        world.crm().simulator.faults().calm();
        assert_eq!(world.suppressed(), ["domain:company-1.com", "domain:company-2.com"]);
        assert_eq!(world.cached(page).await.unfound_since, None);
    }
}

#[tokio::test(start_paused = true)]
async fn many_404_at_once_are_implausible_unless_somebody_accepts_them() {
    let world = World::new().await;
    let pages = world.pages(120);
    world.sweep().await;
    let watermark = world.watermark().await;
    for page in &pages[..25] {
        hide(&world, *page, Access::Unshared);
    }
    for _ in 0..9 {
        pass(TimeDelta::days(1)).await;
        let report = world.sweep().await;
        assert_eq!((report.outcome, report.counts.pages_missing), (SweepState::Partial, 25));
        assert!(report.errors[0].contains("25 or more of 120 known pages answer 404"), "{:?}", report.errors);
        assert_adds_up(&report);
        assert_eq!((world.watermark().await, world.suppressed().len()), (watermark, 120));
    }
    let cached = world.cached(pages[0]).await;
    assert!(cached.missing_since.is_some() && cached.unfound_since.is_none(), "{cached:?}");

    let order = SweepOrder { accept_missing: true, ..SweepOrder::by(AskedBy::Command) };
    let report = world.sweep_by(order).await;
    assert_eq!((report.outcome, report.counts.pages_missing), (SweepState::Complete, 25));
    assert!(world.cached(pages[0]).await.unfound_since.is_some());
    assert_eq!(world.suppressed().len(), 120, "their rows still count");
    assert_eq!(world.sweep().await.outcome, SweepState::Complete, "what was accepted stays accepted");
    pass(TTL).await;
    assert_eq!(world.sweep().await.outcome, SweepState::Complete);
    assert_eq!((world.rows(), world.suppressed().len()), (model(&[world.workspace()]), 95));
}

#[tokio::test(start_paused = true)]
async fn not_every_page_is_asked_for_where_most_of_them_answer_404() {
    let world = World::new().await;
    let mut pages = world.pages(1_400);
    world.sweep().await;
    pages.sort_unstable();
    for page in &pages[..1_300] {
        hide(&world, *page, Access::Unshared);
    }
    let before = world.crm().simulator.tally().of(Endpoint::Page);
    let report = world.sweep().await;
    assert_eq!((report.outcome, report.counts.pages_missing), (SweepState::Partial, 1_000));
    assert_eq!(world.crm().simulator.tally().of(Endpoint::Page) - before, 1_000);
    assert_eq!(world.suppressed().len(), 1_400);
}

#[tokio::test(start_paused = true)]
async fn when_a_missing_winner_is_let_go_the_next_claim_holds_the_key_without_a_gap() {
    let world = World::new().await;
    let (winner, next) = (sharing(&world, 0, "Passed"), sharing(&world, 0, "Sourced"));
    world.sweep().await;
    assert_eq!(holder(&world), Some(winner.to_string()));
    hide(&world, winner, Access::Unshared);
    for hour in 1..=24 * 12 {
        pass(TimeDelta::hours(1)).await;
        if hour % 24 == 12 {
            assert_eq!(world.sweep().await.outcome, SweepState::Complete);
        }
        assert_eq!(world.suppressed(), ["domain:shared.com"], "after {hour} hours");
        assert!(hour > 72 || holder(&world) == Some(winner.to_string()), "after {hour} hours the row still counts");
    }
    assert_eq!(holder(&world), Some(next.to_string()));
    assert_eq!(world.cached(winner).await.standing, Standing::Lost);
    assert_eq!(world.verdict("domain:shared.com").await.verdict, Answer::Suppressed);

    hide(&world, winner, Access::Shared);
    world.sweep().await;
    assert_eq!(holder(&world), Some(winner.to_string()));
}

#[tokio::test(start_paused = true)]
async fn a_missing_winner_is_held_for_a_found_page_while_nobody_can_be_asked() {
    let world = World::new().await;
    let winner = sharing(&world, 0, "Passed");
    sharing(&world, 0, "Sourced");
    world.sweep().await;
    hide(&world, winner, Access::Unshared);
    pass(TimeDelta::days(1)).await;
    assert_eq!(world.sweep().await.outcome, SweepState::Complete);
    world.crm().simulator.faults().refuse_token();
    for hour in 1..=24 * 10 {
        pass(TimeDelta::hours(1)).await;
        world.process.sweeper.renew().await.unwrap();
        assert_eq!(world.suppressed(), ["domain:shared.com"], "after {hour} hours");
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_page_keeps_its_claim_for_as_long_as_a_row_counts_though_it_has_none() {
    let world = World::new().await;
    let (winner, other) = (sharing(&world, 0, "Passed"), sharing(&world, 0, "Sourced"));
    for _ in 0..10 {
        pass(TimeDelta::days(1)).await;
        assert_eq!(world.sweep().await.outcome, SweepState::Complete);
    }
    hide(&world, other, Access::Unshared);
    pass(TimeDelta::days(1)).await;
    assert_eq!(world.sweep().await.outcome, SweepState::Complete);
    world.workspace().trash(winner);
    pass(TimeDelta::days(1)).await;
    assert_eq!(world.sweep().await.outcome, SweepState::Complete);
    assert_eq!(
        holder(&world),
        Some(other.to_string()),
        "it was a row of the CRM three days ago, and nothing says that it went"
    );
    for _ in 0..16 {
        pass(TimeDelta::days(1)).await;
        world.sweep().await;
    }
    assert_eq!(holder(&world), None);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_moves_between_two_sources_is_a_row_of_the_one_where_it_stands() {
    let mut world = World::new().await;
    let second = world.workspace().add_data_source("Fund II");
    let pages = world.pages(3);
    let draft = company("Other").website("https://other.com").status("Lost").within(second);
    let other = world.workspace().place(draft, start() - TimeDelta::days(2));
    world.restart_with_both(second).await;
    assert_eq!(world.sweep().await.outcome, SweepState::Complete);
    let first = world.workspace().data_source();
    for (there, back) in [(second, first), (first, second)] {
        world.workspace().move_to(pages[0], Home::DataSource(there));
        world.workspace().move_to(other, Home::DataSource(back));
        pass(TimeDelta::minutes(2)).await;
        let (report, found) = world.drift().await;
        assert_eq!((report.outcome, found), (SweepState::Complete, Vec::new()), "{:?}", report.errors);
        assert_eq!((world.cached(pages[0]).await.source, world.cached(other).await.source), (there, back));
        assert_eq!(world.rows().len(), 4);
        assert_adds_up(&report);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sweep_of_one_source_lets_nothing_go_and_retires_nobody() {
    let world = World::with(Making { crms: 2, ..Making::default() }).await;
    let page = world.page(1);
    world.page(2);
    sharing(&world, 1, "Sourced");
    let only = |crm: &str| SweepOrder::by(AskedBy::Command).only(vec![crm.to_owned()]);
    assert_eq!(world.sweep_by(only("crm 0")).await.outcome, SweepState::Complete);
    assert_eq!(world.watermark_of(1).await, None);
    assert_eq!(world.verdict("domain:nobody.com").await.verdict, Answer::Stale, "the other one was never swept");
    assert_eq!(world.sweep_by(only("crm 1")).await.outcome, SweepState::Complete);
    assert_eq!(
        world.verdict("domain:nobody.com").await.verdict,
        Answer::Stale,
        "a page that moved between the two sweeps was seen by neither"
    );
    assert_eq!(world.sweep().await.outcome, SweepState::Complete);
    assert_eq!(world.verdict("domain:nobody.com").await.verdict, Answer::Clear);
    hide(&world, page, Access::Unshared);
    for _ in 0..9 {
        pass(TimeDelta::days(1)).await;
        for crm in ["crm 0", "crm 1"] {
            let report = world.sweep_by(only(crm)).await;
            assert_eq!((report.outcome, report.counts.entries_expired_cleaned), (SweepState::Complete, 0), "{crm}");
            assert_eq!(report.sources.len(), 1);
        }
    }
    assert!(world.cached(page).await.unfound_since.is_some(), "it is known that nobody finds it");
    assert_eq!(world.rows().len(), 3, "its row has expired and is there");
    let sources = world.process.store.read(|rows| rows.sources()).await.unwrap();
    assert!(sources.iter().all(|source| source.retired_at.is_none()), "{sources:?}");
    let report = world.sweep().await;
    assert_eq!((report.outcome, report.counts.entries_expired_cleaned), (SweepState::Complete, 1));
    assert_eq!(world.rows().len(), 2);

    let report = world.sweep_by(only("crm 7")).await;
    assert_eq!((report.outcome, report.counts.notion_requests), (SweepState::Failed, 0));
    assert!(report.errors[0].contains("no such source, but crm 0, crm 1"), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_left_the_settings_expires_and_clear_is_possible_without_it() {
    let mut world = World::with(Making { crms: 2, ..Making::default() }).await;
    world.pages(2);
    let left = world.crms[1].workspace();
    left.place(company("Left").website("https://left.com").status("Passed"), start() - TimeDelta::days(2));
    let (ours, theirs) = (sharing(&world, 0, "Sourced"), sharing(&world, 1, "Passed"));
    assert_eq!(world.sweep().await.outcome, SweepState::Complete);
    assert_eq!(holder(&world), Some(theirs.to_string()));

    let clock = world.process.clock.clone();
    world.restart(clock.clone(), &[0]).await;
    let mut left_until = None;
    for hour in 1..=24 * 9 {
        pass(TimeDelta::hours(1)).await;
        world.process.sweeper.renew().await.unwrap();
        if hour % 24 == 12 {
            assert_eq!(world.sweep().await.outcome, SweepState::Complete);
            assert_eq!(world.verdict("domain:nobody.com").await.verdict, Answer::Clear);
        }
        let suppressed = world.suppressed();
        assert!(suppressed.contains(&"domain:shared.com".to_owned()), "after {hour} hours");
        if suppressed.contains(&"domain:left.com".to_owned()) {
            left_until = Some(hour);
        }
    }
    assert!((24 * 6..=24 * 7).contains(&left_until.unwrap()), "{left_until:?}");
    assert_eq!(holder(&world), Some(ours.to_string()));
    assert_eq!(world.rows(), model(&[world.workspace()]));
    assert_eq!(world.verdict("domain:left.com").await.verdict, Answer::Clear);

    world.restart(clock, &[0, 1]).await;
    assert_eq!(world.verdict("domain:nobody.com").await.verdict, Answer::Clear, "nothing has been read of it yet");
    assert_eq!(world.sweep().await.outcome, SweepState::Complete);
    assert_eq!(world.rows(), model(&[world.workspace(), world.crms[1].workspace()]));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_comes_back_is_renewed_again_though_its_sweep_fails() {
    let mut world = World::with(Making { crms: 2, ..Making::default() }).await;
    let left = world.crms[1].workspace();
    left.place(company("Left").website("https://left.com").status("Passed"), start() - TimeDelta::days(2));
    world.sweep().await;
    let clock = world.process.clock.clone();
    world.restart(clock.clone(), &[0]).await;
    pass(TimeDelta::days(1)).await;
    assert_eq!(world.sweep().await.outcome, SweepState::Complete);

    world.restart(clock, &[0, 1]).await;
    world.crms[1].simulator.faults().next_of(Target::Endpoint(Endpoint::Query), 100_000, Fault::Status(500));
    for _ in 0..24 * 10 {
        pass(TimeDelta::hours(1)).await;
        world.process.sweeper.renew().await.unwrap();
        if world.now() < start() + TimeDelta::days(3) {
            assert_eq!(world.sweep().await.outcome, SweepState::Partial);
        }
        assert_eq!(world.suppressed(), ["domain:left.com"]);
    }
}

#[tokio::test(start_paused = true)]
async fn rows_of_other_programs_go_only_once_they_have_expired_and_by_a_complete_sweep() {
    let world = World::new().await;
    world.page(1);
    let hour_ago = isoformat(world.now() - TimeDelta::hours(1));
    world.meddle(&foreign("domain:expired.com", &hour_ago));
    world.meddle(&foreign("domain:lasting.com", &isoformat(world.now() + TimeDelta::days(60))));
    // More than are cleaned in one step, and all before the one that has expired.
    for n in 0..250 {
        world.meddle(&foreign(&format!("a:{n}"), if n % 2 == 0 { "" } else { "2025-13-99 never" }));
    }
    world.meddle(&foreign("domain:expired-too.com", &hour_ago));
    world.meddle(&foreign("domain:company-1.com", &hour_ago));
    world.crm().simulator.faults().refuse_token();
    assert_eq!(world.sweep().await.outcome, SweepState::Failed);
    assert_eq!(world.rows().len(), 254, "nothing is cleaned");

    world.crm().simulator.faults().heal_token();
    pass(TimeDelta::minutes(2)).await;
    let report = world.sweep().await;
    assert_eq!((report.outcome, report.counts.entries_expired_cleaned), (SweepState::Complete, 2));
    let keys: Vec<_> = world.rows().into_iter().map(|row| row.0).filter(|key| key.starts_with("domain:")).collect();
    assert_eq!(keys, ["domain:company-1.com", "domain:lasting.com"]);
    assert_eq!(world.rows().len(), 252, "what nobody can read may be meant to count for ever");
    world.workspace().edit(world.page(2), changes().status("Lost"));
    assert_eq!(world.sweep().await.counts.entries_expired_cleaned, 0);
}

#[tokio::test(start_paused = true)]
async fn a_small_crm_does_not_vanish_at_once_nor_a_large_one_bit_by_bit() {
    let world = World::new().await;
    let pages = world.pages(15);
    world.sweep().await;
    for page in &pages {
        hide(&world, *page, Access::Unshared);
    }
    let report = world.sweep().await;
    assert_eq!((report.outcome, world.suppressed().len()), (SweepState::Partial, 15), "{:?}", report.errors);

    let world = World::new().await;
    let pages = world.pages(100);
    world.sweep().await;
    let outcomes = [SweepState::Complete, SweepState::Complete, SweepState::Partial, SweepState::Partial];
    for (some, outcome) in pages.chunks(9).zip(outcomes) {
        for page in some {
            hide(&world, *page, Access::Unshared);
        }
        pass(TimeDelta::hours(1)).await;
        assert_eq!(world.sweep().await.outcome, outcome);
    }
}
