//! Sweeps that something goes wrong with: what they saw is applied, and nothing is removed, expires or counts as proven.

use chrono::TimeDelta;
use suppressd::{
    model::{
        sweep::{AskedBy, SweepOrder, SweepState},
        verdict::Answer,
    },
    simulator::{
        Access,
        draft::{changes, company},
        faults::{Fault, Target},
        question::Endpoint,
        workspace::Workspace,
    },
};
use tokio_util::sync::CancellationToken;

use crate::{
    sweep::{assert_adds_up, model},
    sweeping::{Crm, Making, TTL, World, isoformat, pass, start},
};

/// A row of another program that has expired.
pub(crate) fn foreign(key: &str, expires_at: &str) -> String {
    format!(
        "INSERT INTO suppression_cache (canonical_key, notion_page_id, status, cached_at, expires_at) VALUES \
         ('{key}', 'somewhere else', 'Passed', '2025-12-01T00:00:00.000000+00:00', '{expires_at}')"
    )
}

/// What somebody does to a workspace so that a sweep fails.
type Trouble = dyn Fn(&Crm);

#[tokio::test(start_paused = true)]
async fn a_failed_sweep_is_never_recorded_as_success() {
    let always = |crm: &Crm, endpoint| {
        crm.simulator.faults().next_of(Target::Endpoint(endpoint), 1_000, Fault::Status(500));
    };
    let troubles: [(&str, Box<Trouble>, &str); 5] = [
        ("no row", Box::new(move |crm| always(crm, Endpoint::Query)), "Notion cannot be reached"),
        ("no schema", Box::new(move |crm| always(crm, Endpoint::Database)), "Notion cannot be reached"),
        ("token", Box::new(|crm| crm.simulator.faults().refuse_token()), "Notion refuses this token (unauthorized)"),
        ("rights", Box::new(|crm| share(crm, Access::Unshared)), "does not share it with this connection"),
        ("trash", Box::new(|crm| trash(crm.workspace())), "holds no"),
    ];
    for (name, trouble, told) in troubles {
        let world = World::new().await;
        let pages = world.pages(5);
        for swept_before in [false, true] {
            world.workspace().edit(pages[1], changes().status("Diligence"));
            trouble(world.crm());
            let (before, watermark) = (world.digest(), world.watermark().await);
            let report = world.sweep().await;
            assert_eq!((report.outcome, report.sources[0].outcome), (SweepState::Failed, SweepState::Failed), "{name}");
            assert!(report.errors.len() == 1 && report.errors[0].contains(told), "{name}: {:?}", report.errors);
            assert!(world.digest() == before, "{name}");
            assert_eq!(world.watermark().await, watermark, "{name}");
            assert_eq!(watermark.is_some(), swept_before, "{name}");
            assert_adds_up(&report);

            world.crm().simulator.faults().calm();
            share(world.crm(), Access::Shared);
            world.workspace().restore_data_source(world.workspace().data_source());
            pass(TimeDelta::minutes(2)).await;
            assert_eq!(world.sweep().await.outcome, SweepState::Complete, "{name}");
            assert_eq!(world.rows(), model(&[world.workspace()]), "{name}");
            world.workspace().trash(pages[0]);
            world.meddle(&foreign("domain:foreign.com", "2026-01-01T00:00:00.000000+00:00"));
        }
    }
}

fn share(crm: &Crm, access: Access) {
    crm.workspace().set_database_access(crm.workspace().database(), access);
}

fn trash(workspace: &Workspace) {
    workspace.trash_data_source(workspace.data_source());
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_good_after_the_first_rows_is_partial() {
    let world = World::new().await;
    let pages = world.pages(250);
    world.sweep().await;
    let watermark = world.watermark().await;
    world.workspace().edit(pages[3], changes().status("Passed"));
    world.workspace().edit(pages[203], changes().status("Passed"));
    world.workspace().trash(pages[4]);
    world.meddle(&foreign("domain:foreign.com", "2026-01-01T00:00:00.000000+00:00"));
    let faults = world.crm().simulator.faults().clone();
    world.crm().between(move |nth| {
        if nth == 1 {
            faults.next_of(Target::Endpoint(Endpoint::Query), 1_000, Fault::Status(500));
        }
        async {}
    });
    pass(TimeDelta::minutes(2)).await;
    let report = world.sweep().await;
    assert_eq!((report.outcome, report.errors.len()), (SweepState::Partial, 1));
    assert_eq!((report.counts.pages_updated, report.counts.pages_removed), (1, 0));
    assert_eq!(report.counts.notion_errors, 8, "the question was asked again before it was given up");
    assert_eq!((world.watermark().await, world.rows().len()), (watermark, 251));
    let passed: Vec<_> =
        world.rows().into_iter().filter(|(_, _, status)| status == "Passed").map(|row| row.0).collect();
    assert_eq!(passed, ["domain:company-3.com", "domain:foreign.com"], "what was seen is applied");
    assert_adds_up(&report);
}

#[tokio::test(start_paused = true)]
async fn the_database_is_unshared_in_the_middle_of_a_sweep() {
    // Behind the first rows, and between the two passes.
    for after in [1, 3] {
        let world = World::new().await;
        let pages = world.pages(250);
        world.sweep().await;
        world.workspace().trash(pages[0]);
        let (before, watermark) = (world.digest(), world.watermark().await);
        let workspace = world.workspace().clone();
        world.crm().between(move |nth| {
            if nth == after {
                workspace.set_database_access(workspace.database(), Access::Unshared);
            }
            async {}
        });
        let report = world.sweep().await;
        assert_eq!(report.outcome, SweepState::Partial, "after {after}");
        assert!(report.errors[0].contains("does not share it"), "{:?}", report.errors);
        assert!(world.digest() == before, "after {after}");
        assert_eq!(world.watermark().await, watermark);
        assert_eq!(world.sweep().await.outcome, SweepState::Failed);

        world.crm().undisturbed();
        share(world.crm(), Access::Shared);
        assert_eq!(world.sweep().await.outcome, SweepState::Complete);
        assert_eq!(world.rows(), model(&[world.workspace()]));
    }
}

#[tokio::test(start_paused = true)]
async fn cursor_lost_mid_window() {
    let world = World::with(Making { rows_max: 150, ..Making::default() }).await;
    world.pages(330);
    world.crm().simulator.faults().next(2, Fault::CursorRefused);
    let report = world.sweep().await;
    assert_eq!((report.outcome, report.counts.entries_processed), (SweepState::Complete, 330), "{:?}", report.errors);
    assert_eq!(world.rows(), model(&[world.workspace()]));
    assert_eq!(report.counts.notion_errors, 2);
    assert_adds_up(&report);

    world.crm().simulator.faults().next(1_000, Fault::CursorRefused);
    assert_eq!(world.sweep().await.outcome, SweepState::Complete, "each refusal brings a new window with new rows");

    // No cursor is taken, and no window gets past the rows of this minute.
    for n in 0..120 {
        let draft = company("Crowd").website(&format!("https://crowd-{n}.com"));
        world.workspace().place(draft, start() - TimeDelta::hours(20));
    }
    let watermark = world.watermark().await;
    let report = world.sweep().await;
    assert_eq!(report.outcome, SweepState::Partial);
    assert!(report.errors[0].contains("Notion no longer takes this cursor"), "{:?}", report.errors);
    assert_eq!(world.watermark().await, watermark);
}

#[tokio::test(start_paused = true)]
async fn a_truncated_or_html_answer_is_asked_again() {
    let world = World::new().await;
    world.pages(250);
    world.sweep().await;
    let page = world.page(900);
    world.workspace().trash(page);
    let gone = world.page(901);
    world.process.look(gone).await;
    world.workspace().trash(gone);
    let faults = world.crm().simulator.faults();
    for fault in [Fault::Truncated, Fault::Edge(502), Fault::Edge(200), Fault::Reset, Fault::Status(529)] {
        for endpoint in [Endpoint::DataSource, Endpoint::Query, Endpoint::Page] {
            faults.next_of(Target::Endpoint(endpoint), 1, fault.clone());
        }
    }
    faults.next_of(Target::Endpoint(Endpoint::Query), 1, Fault::RateLimited { reason: "x", retry_after: Some(300) });
    pass(TimeDelta::minutes(2)).await;
    let report = world.sweep().await;
    assert_eq!(report.outcome, SweepState::Complete, "{:?}", report.errors);
    assert_eq!((report.counts.notion_errors, report.counts.pages_removed), (16, 1));
    // Database and schema, five queries since fewer rows were asked for at once, the page; the failures, and the
    // database anew for each schema that failed.
    assert_eq!(report.counts.notion_requests, 2 + 5 + 1 + 16 + 5);
    assert_eq!(world.rows(), model(&[world.workspace()]));
}

#[tokio::test(start_paused = true)]
async fn after_two_503_fewer_rows_are_asked_for_at_once() {
    let world = World::new().await;
    world.pages(250);
    world.crm().simulator.faults().next_of(Target::Endpoint(Endpoint::Query), 3, Fault::Status(503));
    let report = world.sweep().await;
    let (queries, _) = world.crm().take_queries();
    let sizes: Vec<_> = queries.iter().map(|query| query.page_size).collect();
    assert_eq!(sizes, [100, 100, 50, 25, 100, 100, 100, 100], "and for all again once that has worked");
    assert_eq!((report.outcome, report.counts.entries_processed), (SweepState::Complete, 250));
    assert_eq!(world.rows(), model(&[world.workspace()]));
}

#[tokio::test(start_paused = true)]
async fn rows_without_their_content_are_asked_for_one_by_one() {
    let world = World::new().await;
    let pages = world.pages(5);
    let faults = world.crm().simulator.faults();
    faults.next_of(Target::Endpoint(Endpoint::Query), 1, Fault::Partial);
    let report = world.sweep().await;
    assert_eq!((report.outcome, report.counts.pages_inserted), (SweepState::Complete, 5), "{:?}", report.errors);
    assert_eq!(world.rows(), model(&[world.workspace()]));
    assert_adds_up(&report);

    // One of them cannot be had at all.
    let watermark = world.watermark().await;
    faults.next_of(Target::Endpoint(Endpoint::Query), 1, Fault::Partial);
    faults.next_of(Target::Page(pages[2]), 100, Fault::Truncated);
    world.workspace().edit(pages[4], changes().status("Lost"));
    pass(TimeDelta::minutes(2)).await;
    let report = world.sweep().await;
    assert_eq!((report.outcome, report.errors_count), (SweepState::Partial, 1));
    assert!(report.errors[0].contains(&format!("page {}", pages[2])), "{:?}", report.errors);
    assert_eq!(world.watermark().await, watermark);
    assert_eq!(world.rows(), model(&[world.workspace()]), "the others are seen");
    assert_adds_up(&report);
}

#[tokio::test(start_paused = true)]
async fn two_sources_of_which_one_fails_are_partial_and_nothing_expires() {
    let world = World::with(Making { crms: 2, ..Making::default() }).await;
    let (ours, theirs) = (world.workspace(), world.crms[1].workspace());
    let pages = world.pages(3);
    let born = start() - TimeDelta::days(2);
    let other = theirs.place(company("Other").website("https://other.com").status("Passed"), born);
    theirs.place(company("Both").website("https://company-2.com").status("Lost"), born);
    assert_eq!(world.sweep().await.outcome, SweepState::Complete);
    assert_eq!(world.rows(), model(&[ours, theirs]));
    assert_eq!(world.verdict("domain:nobody.com").await.verdict, Answer::Clear);

    let marks = (world.watermark_of(0).await, world.watermark_of(1).await);
    world.meddle(&foreign("domain:foreign.com", &isoformat(world.now())));
    world.crms[1].simulator.faults().refuse_token();
    ours.trash(pages[0]);
    theirs.trash(other);
    pass(TimeDelta::minutes(2)).await;
    let report = world.sweep().await;
    let outcomes: Vec<_> = report.sources.iter().map(|source| source.outcome).collect();
    assert_eq!((report.outcome, outcomes), (SweepState::Partial, vec![SweepState::Complete, SweepState::Failed]));
    assert!(report.errors[0].starts_with("source crm 1: "), "{:?}", report.errors);
    assert!(world.watermark_of(0).await > marks.0);
    assert_eq!(world.watermark_of(1).await, marks.1);
    let keys: Vec<_> = world.rows().into_iter().map(|row| row.0).collect();
    assert_eq!(keys, ["domain:company-1.com", "domain:company-2.com", "domain:foreign.com", "domain:other.com"]);

    for _ in 0..10 {
        pass(TimeDelta::days(1)).await;
        assert_eq!(world.sweep().await.outcome, SweepState::Partial);
        assert_eq!(world.suppressed(), ["domain:company-1.com", "domain:company-2.com", "domain:other.com"]);
    }
    assert_eq!(world.rows().len(), 4);
    assert_eq!(world.verdict("domain:company-1.com").await.verdict, Answer::Suppressed);
    assert_eq!(world.verdict("domain:other.com").await.verdict, Answer::Stale);
    assert_eq!(world.verdict("domain:nobody.com").await.verdict, Answer::Stale);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_is_stopped_in_the_middle_keeps_what_it_has_applied() {
    let world = World::new().await;
    world.pages(350);
    world.meddle(&foreign("domain:foreign.com", "2026-01-01T00:00:00.000000+00:00"));
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    world.crm().between(move |nth| {
        if nth == 3 {
            stopping.cancel();
        }
        async {}
    });
    let report = world.process.sweep(SweepOrder::by(AskedBy::Api), stop).await.1;
    assert_eq!((report.outcome, &*report.errors[0]), (SweepState::Partial, "source crm 0: stopped before its end"));
    assert_eq!((report.counts.pages_inserted, world.rows().len()), (300, 301));
    assert_eq!((report.counts.notion_requests, world.watermark().await), (5, None));
    assert_adds_up(&report);

    world.crm().undisturbed();
    pass(TTL).await;
    assert_eq!(world.sweep().await.outcome, SweepState::Complete);
    assert_eq!(world.rows(), model(&[world.workspace()]));
}

#[tokio::test(start_paused = true)]
async fn a_page_that_cannot_be_had_keeps_no_other_page_from_being_read() {
    let world = World::new().await;
    let pages = world.pages(150);
    world.sweep().await;
    world.workspace().trash(pages[0]);
    world.workspace().trash(pages[1]);
    world.workspace().edit(pages[149], changes().status("Passed"));
    world.crm().simulator.faults().next_of(Target::Page(pages[0]), 1, Fault::Status(400));
    pass(TimeDelta::minutes(2)).await;
    let report = world.sweep().await;
    assert_eq!((report.outcome, report.errors_count), (SweepState::Partial, 1), "{:?}", report.errors);
    assert!(report.errors[0].contains(&pages[0].to_string()), "{:?}", report.errors);
    assert_eq!((report.counts.pages_removed, report.counts.pages_updated), (1, 1), "the proof of the other one counts");
    assert!(world.suppressed().contains(&"domain:company-0.com".to_owned()), "what cannot be had stays");
}

#[tokio::test(start_paused = true)]
async fn pages_that_cannot_be_had_are_borne_up_to_a_bound() {
    let world = World::new().await;
    let pages = world.pages(60);
    world.sweep().await;
    for page in &pages[..50] {
        world.workspace().trash(*page);
        world.crm().simulator.faults().next_of(Target::Page(*page), 10, Fault::Status(400));
    }
    pass(TimeDelta::minutes(2)).await;
    let asked = world.crm().simulator.tally().of(Endpoint::Page);
    let report = world.sweep().await;
    assert_eq!((report.outcome, report.errors.len()), (SweepState::Partial, 10), "{:?}", report.errors);
    assert!((20..=24).contains(&report.errors_count), "{}", report.errors_count);
    assert!(world.crm().simulator.tally().of(Endpoint::Page) - asked <= 24, "the rest is given up");
    assert_eq!(world.suppressed().len(), 60);
}
