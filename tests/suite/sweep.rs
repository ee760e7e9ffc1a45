//! A sweep that nothing disturbs: every row of the truth, once, and figures that add up.

use std::{cmp::Reverse, collections::BTreeMap};

use chrono::{DateTime, TimeDelta, Utc};
use suppressd::{
    model::{
        id::PageId,
        page::Role,
        sweep::{DriftCounts, SweepReport, SweepState},
    },
    notion::Window,
    simulator::{
        Access,
        draft::{changes, company},
        truth::TruthPage,
        workspace::Workspace,
    },
};

use crate::sweeping::{INDEX_LAG, Making, TTL, World, pass, start};

/// Fills a workspace with companies that came a few a minute: some share a website, some have a key of their own, some
/// have nothing but a name, and a few not even that; some are archived and some in the trash.
fn populate(workspace: &Workspace, pages: usize) {
    for n in 0..pages {
        let name = if n % 53 == 0 { String::new() } else { format!("Company {n}") };
        let draft = match n {
            _ if n % 53 == 0 || n % 7 == 0 => company(&name),
            _ if n % 11 == 0 => company(&name).website(&format!("https://shared-{}.com/about", n / 100)),
            _ if n % 13 == 0 => company(&name).canonical_key(&format!("crunchbase:company-{n}")),
            _ => company(&name).website(&format!("https://www.company-{n}.com")),
        };
        let status = ["Sourced", "Passed", "Meeting", "Lost", ""].into_iter().cycle().nth(n % 5).unwrap();
        let draft = if status.is_empty() { draft } else { draft.status(status) };
        let born = start() - TimeDelta::days(20) + TimeDelta::seconds(13 * i64::try_from(n).unwrap());
        let page = workspace.place(draft, born);
        match n % 19 {
            3 => drop(workspace.archive(page)),
            5 => drop(workspace.trash(page)),
            _ => {}
        }
    }
}

/// The keys that such a page gives, by the words of the design.
fn keys(page: &TruthPage) -> Vec<String> {
    let said = |role| page.values.get(role).map(str::to_owned);
    let website = said(Role::Website).map(|website| {
        let host = website.trim_start_matches("https://").trim_start_matches("www.");
        format!("domain:{}", host.split('/').next().unwrap())
    });
    let keys: Vec<String> = said(Role::CanonicalKey).into_iter().chain(website).collect();
    if keys.is_empty() {
        let name = said(Role::CompanyName).map(|name| format!("name_loc:{}", name.to_lowercase().replace(' ', "-")));
        return name.into_iter().collect();
    }
    keys
}

/// Hard or soft, last edit, page: the greatest wins.
type Rank = (bool, DateTime<Utc>, Reverse<PageId>);

/// Key, page and status of every row that there should be.
pub(crate) fn model(workspaces: &[&Workspace]) -> Vec<(String, String, String)> {
    let mut best: BTreeMap<String, (Rank, String)> = BTreeMap::new();
    let pages = workspaces.iter().flat_map(|workspace| workspace.rows(workspace.data_source()));
    for page in pages.filter(|page| !page.in_trash && page.access == Access::Shared) {
        let status = page.values.get(Role::Status).unwrap_or("Unknown").to_owned();
        let rank = (matches!(&*status, "Passed" | "Lost"), page.last_edited, Reverse(page.id));
        for key in keys(&page) {
            let held = best.entry(key).or_insert_with(|| (rank, status.clone()));
            if rank > held.0 {
                *held = (rank, status.clone());
            }
        }
    }
    best.into_iter().map(|(key, ((_, _, Reverse(page)), status))| (key, page.to_string(), status)).collect()
}

/// The sums that the figures of every sweep keep to.
pub(crate) fn assert_adds_up(report: &SweepReport) {
    let counts = report.counts;
    let by_key = counts.entries_with_canonical_key + counts.entries_without_canonical_key;
    assert_eq!(counts.entries_processed, by_key, "{counts:?}");
    let by_strength = counts.entries_with_strong_key + counts.entries_with_weak_key;
    assert_eq!(counts.entries_with_canonical_key, by_strength, "{counts:?}");
    let by_outcome = [
        counts.pages_inserted,
        counts.pages_updated,
        counts.pages_unchanged,
        counts.pages_removed,
        counts.pages_missing,
    ];
    assert_eq!(counts.entries_processed, by_outcome.iter().sum::<u64>(), "{counts:?}");
    assert!(report.errors.len() <= 10 && report.errors_count >= report.errors.len() as u64, "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn a_capped_sweep_of_5000_pages_equals_the_model_and_its_figures_add_up() {
    let world = World::with(Making { rows_max: 1_000, ..Making::default() }).await;
    populate(world.workspace(), 5_000);
    let report = world.sweep().await;
    assert_eq!((report.outcome, &report.errors), (SweepState::Complete, &Vec::new()));
    let model = model(&[world.workspace()]);
    assert!(world.rows() == model, "{} rows, {} in the model", world.rows().len(), model.len());

    assert_adds_up(&report);
    let truth = world.workspace().rows(world.workspace().data_source());
    let shown: Vec<_> = truth.iter().filter(|page| !page.in_trash).collect();
    let with_key = |wanted: fn(&str) -> bool| shown.iter().filter(move |page| keys(page).iter().any(|key| wanted(key)));
    let counts = report.counts;
    assert_eq!(counts.entries_processed, shown.len() as u64);
    assert_eq!(counts.pages_inserted, shown.len() as u64);
    assert_eq!(counts.entries_with_canonical_key, with_key(|_| true).count() as u64);
    assert_eq!(counts.entries_with_weak_key, with_key(|key| key.starts_with("name_loc:")).count() as u64);
    assert_eq!(counts.entries_synced, counts.entries_with_canonical_key);
    assert!(counts.entries_without_canonical_key > 0 && counts.entries_with_weak_key > 0);
    assert_eq!(counts.notion_requests, world.crm().simulator.tally().total());
    assert_eq!((counts.notion_errors, counts.entries_expired_cleaned), (0, 0));
    assert_eq!(report.sources.iter().map(|source| source.pages).collect::<Vec<_>>(), [shown.len() as u64]);
    assert_eq!(report.drift, DriftCounts::none(), "before the first complete sweep nothing was expected to be right");
    let schema_read_at = report.started_at + TimeDelta::milliseconds(10);
    assert_eq!(world.watermark().await, Some(schema_read_at - INDEX_LAG));
}

#[tokio::test(start_paused = true)]
async fn a_second_sweep_that_changes_nothing_writes_no_row() {
    let world = World::new().await;
    populate(world.workspace(), 1_200);
    let first = world.sweep().await;
    let before = world.digest();
    pass(TimeDelta::days(1)).await;
    let second = world.sweep().await;
    assert_eq!(second.outcome, SweepState::Complete, "{:?}", second.errors);
    assert!(world.digest() == before, "a row was written");
    assert_eq!(second.counts.pages_unchanged, first.counts.entries_processed);
    assert_eq!(second.counts.entries_processed, first.counts.entries_processed);
    assert_eq!(second.drift.total(), 0);
    assert_adds_up(&second);
    assert!(world.watermark().await > Some(second.started_at - INDEX_LAG));
}

#[tokio::test(start_paused = true)]
async fn rows_are_renewed_once_less_than_half_of_their_time_is_left() {
    let world = World::new().await;
    world.page(1);
    world.sweep().await;
    let first = world.expires_at("domain:company-1.com").unwrap();
    pass(TTL / 2 - TimeDelta::hours(1)).await;
    world.sweep().await;
    assert_eq!(world.expires_at("domain:company-1.com"), Some(first));
    pass(TimeDelta::hours(2)).await;
    let report = world.sweep().await;
    assert!(world.expires_at("domain:company-1.com").unwrap() > first + TTL / 2);
    assert_eq!((report.counts.pages_unchanged, report.drift.total()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_archived_row_does_not_fall_out() {
    let world = World::new().await;
    let page = world.page(1);
    world.page(2);
    world.sweep().await;
    let before = world.digest();
    world.workspace().archive(page);
    let report = world.sweep().await;
    assert_eq!((report.outcome, report.counts.pages_unchanged), (SweepState::Complete, 2));
    assert!(world.digest() == before);
    assert_eq!(world.crm().simulator.tally().of_page(page), 0, "the second pass shows it");
    world.workspace().edit(page, changes().website("https://elsewhere.com"));
    world.workspace().unarchive(page);
    world.workspace().archive(world.page(3));
    world.sweep().await;
    assert_eq!(world.rows(), model(&[world.workspace()]));
}

#[tokio::test(start_paused = true)]
async fn more_than_the_cap_inside_one_minute_of_created_time() {
    let world = World::with(Making { rows_max: 30, ..Making::default() }).await;
    let pages = world.pages(40);
    let crowd = start() - TimeDelta::hours(12);
    for n in 100..150 {
        world.workspace().place(company(&format!("Crowd {n}")).website(&format!("https://crowd-{n}.com")), crowd);
    }
    let archived = world.workspace().place(company("Archived").website("https://archived.com"), crowd);
    world.workspace().archive(archived);
    let report = world.sweep().await;
    assert_eq!(report.outcome, SweepState::Partial);
    assert!(
        report.errors[0].contains("more rows than one query gives were created at 2026-01-06T00:00:00"),
        "{report:?}"
    );
    assert_eq!(world.watermark().await, None);
    let keys: Vec<_> = world.rows().into_iter().map(|(key, ..)| key).collect();
    assert!(keys.contains(&"domain:archived.com".to_owned()), "the archived ones can be had all the same");
    assert_eq!(keys.len(), 40 + 30 + 1);
    assert_adds_up(&report);

    world.workspace().trash(pages[0]);
    pass(TTL).await;
    assert_eq!(world.sweep().await.outcome, SweepState::Partial);
    assert_eq!(world.rows().len(), 71, "nothing is removed");
}

#[tokio::test(start_paused = true)]
async fn a_second_data_source_appears() {
    let world = World::new().await;
    world.pages(3);
    assert_eq!(world.sweep().await.notes, Vec::<String>::new());
    let second = world.workspace().add_data_source("Fund II");
    world.workspace().create(company("Elsewhere").website("https://elsewhere.com").within(second));
    let report = world.sweep().await;
    assert_eq!((report.outcome, report.counts.pages_unchanged), (SweepState::Complete, 3));
    assert!(report.notes[0].contains("holds 2 data sources now; only «Companies»"), "{:?}", report.notes);
    assert_eq!(world.rows(), model(&[world.workspace()]));
}

/// What was watched may be hidden for a moment only. Its pages would all seem to have been moved out.
#[tokio::test(start_paused = true)]
async fn another_data_source_never_takes_the_place_of_the_one_that_was_watched() {
    let world = World::new().await;
    world.pages(3);
    world.sweep().await;
    let (first, before) = (world.workspace().data_source(), world.digest());
    let second = world.workspace().add_data_source("Fund II");
    world.workspace().create(company("Elsewhere").website("https://elsewhere.com").within(second));
    world.workspace().trash_data_source(first);
    let report = world.sweep().await;
    assert_eq!(report.outcome, SweepState::Failed);
    assert!(report.errors[0].contains("is gone from the database or no longer shared"), "{:?}", report.errors);
    assert!(world.digest() == before, "nothing was read by the other one");
    world.workspace().restore_data_source(first);
    assert_eq!(world.sweep().await.outcome, SweepState::Complete);
    assert_eq!(world.suppressed().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn four_windows_side_by_side_read_the_same() {
    let world = World::with(Making { rows_max: 200, ..Making::default() }).await;
    populate(world.workspace(), 1_500);
    world.sweep().await;
    let (queries, most) = world.crm().take_queries();
    assert_eq!(most, 1);
    assert!(queries.iter().all(|query| !matches!(query.window, Window::CreatedUntil { .. })));

    for (n, page) in world.workspace().rows(world.workspace().data_source()).iter().enumerate() {
        match n % 50 {
            0 => drop(world.workspace().edit(page.id, changes().status("Diligence"))),
            1 => drop(world.workspace().trash(page.id)),
            2 => drop(world.workspace().restore(page.id)),
            _ => {}
        }
    }
    pass(TimeDelta::minutes(5)).await;
    let report = world.sweep().await;
    let (_, most) = world.crm().take_queries();
    assert_eq!((report.outcome, most), (SweepState::Complete, 4), "{:?}", report.errors);
    let model = model(&[world.workspace()]);
    assert!(world.rows() == model, "{} rows, {} in the model", world.rows().len(), model.len());
    assert_adds_up(&report);
    assert!(report.counts.pages_removed > 10 && report.counts.pages_updated > 10, "{:?}", report.counts);
}
