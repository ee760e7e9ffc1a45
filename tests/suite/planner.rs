//! Many pages at once: a few queries instead of a request each, and nothing that a query may get wrong is believed.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use suppressd::{
    clock::Clock,
    metrics::label::GroupPage,
    model::{
        id::{DataSourceId, PageId},
        page::{Page, Parent, Role},
    },
    notion::NotionError,
    simulator::{
        Settings,
        draft::{changes, company},
        webhooks::Delivering,
    },
    store::{EventState, NewEvent, Store as _},
};

use crate::{
    stage::{OTHER_SOURCE, SOURCE, Scripted, Stage, page_id, row, start},
    world::World,
};

/// What a page was from some instant on.
type Past = Vec<(DateTime<Utc>, Page)>;

/// A CRM whose pages have a past, shown live by themselves and by queries as they were a while ago.
#[derive(Clone)]
struct Crm {
    clock: Clock,
    pages: Arc<Mutex<BTreeMap<PageId, Past>>>,
    trails: TimeDelta,
}

impl Crm {
    fn new(trails: TimeDelta) -> Self {
        Self { clock: Clock::following_tokio(start()), pages: Arc::default(), trails }
    }

    /// Writes a website into a page, now.
    fn edit(&self, page: PageId, website: &str) {
        self.change(page, |now, _| row(page, SOURCE, now, &[("Website", website)]));
    }

    /// Does something to a page, now.
    fn change(&self, page: PageId, change: impl FnOnce(DateTime<Utc>, Option<Page>) -> Page) {
        let now = self.clock.now();
        let mut pages = self.pages.lock().unwrap();
        let versions = pages.entry(page).or_default();
        let minute = now.duration_trunc(TimeDelta::minutes(1)).unwrap();
        let changed = change(minute, versions.last().map(|(_, page)| page.clone()));
        versions.push((now, changed));
    }

    fn shown(&self, page: PageId, at: DateTime<Utc>) -> Option<Page> {
        let pages = self.pages.lock().unwrap();
        Some(pages.get(&page)?.iter().rev().find(|(since, _)| *since <= at)?.1.clone())
    }

    fn indexed(&self) -> Vec<Page> {
        let at = self.clock.now() - self.trails;
        let ids: Vec<_> = self.pages.lock().unwrap().keys().copied().collect();
        ids.into_iter().filter_map(|page| self.shown(page, at)).collect()
    }

    fn notion(&self) -> Scripted {
        let (live, indexed) = (self.clone(), self.clone());
        let in_source = |source| move |page: &Page| page.parent == Parent::DataSource(source);
        Scripted::new(move |page, _| live.shown(page, live.clock.now()).ok_or(NotionError::NotFound))
            .with_index(move |_| Ok(indexed.indexed().into_iter().filter(in_source(SOURCE)).collect()))
    }
}

/// Edits pages 0 to `n`, and tells of each.
async fn burst(stage: &Stage, crm: &Crm, name: &str, n: u128) {
    for page in 0..n {
        crm.edit(page_id(page), &format!("{name}-{page}.com"));
    }
    tell(stage, name, 0..n).await;
}

/// Tells of edits of pages, all at once: the worker hears of them together, unless it asks the store by itself just then.
async fn tell(stage: &Stage, name: &str, pages: std::ops::Range<u128>) {
    for page in pages {
        put(stage, stage.event(&format!("{name}/{page}"), page_id(page), "page.properties_updated")).await;
    }
    stage.inbox.wake();
}

/// Puts an event into the inbox, and wakes nobody yet.
async fn put(stage: &Stage, event: NewEvent) {
    stage.store.inner.append(event).await.unwrap();
}

/// Key and page of every row that a burst leaves.
fn expected(name: &str, pages: std::ops::Range<u128>) -> Vec<(String, String)> {
    let mut rows: Vec<_> = pages.map(|page| (format!("domain:{name}-{page}.com"), page_id(page).to_string())).collect();
    rows.sort();
    rows
}

async fn all_settled(stage: &Stage) -> bool {
    stage.stored_events().await.iter().all(|event| event.state == EventState::Settled)
}

fn requests(notion: &Scripted) -> usize {
    notion.asked().len() + notion.all_looks()
}

/// People edit 500 rows at once, twice, and Notion makes one event of each row's edits. The token is refused until all
/// are told, so that the figures do not depend on how fast this machine takes them in.
#[tokio::test]
async fn a_bulk_edit_of_500_pages_is_fresh_and_settled_in_fewer_than_20_requests() {
    let mut world = World::with(Settings::default(), &[("NOTION_INDEX_LAG_SECONDS", "1")]).await;
    world.simulator.faults().refuse_token();
    let workspace = world.workspace().clone();
    let an_hour_ago = workspace.clock().now() - TimeDelta::hours(1);
    let pages: Vec<_> = (0..500)
        .map(|n| workspace.place(company("Acme").website(&format!("acme-{n}.com")).status("Sourced"), an_hour_ago))
        .collect();
    for status in ["Meeting", "Passed"] {
        for page in &pages {
            workspace.edit(*page, changes().status(status));
        }
    }
    let aggregate = Some(Duration::from_mins(1));
    let webhooks = world.webhooks(Delivering { aggregate, at_once: 32, ..Delivering::default() });
    assert_eq!(webhooks.deliver_all().await.len(), 500);
    assert_eq!(world.count(EventState::Waiting).await, 500);
    world.simulator.faults().heal_token();
    let before = world.simulator.tally().total();
    world.restart().await;
    world.settled().await;

    let spent = world.simulator.tally().total() - before;
    assert!(spent < 20, "{spent} requests");
    let faces: BTreeMap<_, _> = world.rows().into_iter().map(|row| (row.key, (row.page, row.status))).collect();
    let truth: BTreeMap<_, _> = workspace
        .rows(workspace.data_source())
        .into_iter()
        .map(|page| {
            let status = page.values.get(Role::Status).unwrap().to_owned();
            (format!("domain:{}", page.values.get(Role::Website).unwrap()), (page.id.to_string(), status))
        })
        .collect();
    assert_eq!(faces, truth);
    assert!(world.simulator.tally().most_at_once() <= 1, "never two fetches of one page at a time");
}

/// The index trails, but less than it is taken to.
#[tokio::test(start_paused = true)]
async fn a_burst_behind_a_trailing_index_is_settled_in_fewer_than_20_requests() {
    for trails in [0, 5, 15, 30, 59] {
        let crm = Crm::new(TimeDelta::seconds(trails));
        let notion = crm.notion();
        let stage = Stage::set(&[&notion]);
        stage.run();
        stage.pass(10).await;
        burst(&stage, &crm, "old", 500).await;
        stage.pass(600).await;
        assert!(requests(&notion) < 20, "{} requests behind by {trails} s", requests(&notion));
        let before = requests(&notion);
        burst(&stage, &crm, "new", 500).await;
        stage.pass(40).await;
        if trails < 15 {
            assert_eq!(stage.rows(), expected("new", 0..500), "they are fresh before they are settled");
        }
        stage.pass(120).await;
        assert!(all_settled(&stage).await);
        assert_eq!(stage.rows(), expected("new", 0..500));
        let spent = requests(&notion) - before;
        assert!(spent < 20, "{spent} requests behind by {trails} s");
        assert_eq!(usize::try_from(stage.metrics.group_queries.get()), Ok(notion.asked().len()));
        stage.end().await;
    }
}

/// A row that was fetched is shown by a query as it was before, in an earlier minute and within the same one.
#[tokio::test(start_paused = true)]
async fn a_query_whose_index_trails_does_not_overwrite_a_fresh_row() {
    for apart in [90, 10] {
        let crm = Crm::new(TimeDelta::seconds(40));
        let notion = crm.notion();
        let stage = Stage::set(&[&notion]);
        crm.edit(page_id(100), "old.com");
        stage.run();
        stage.pass(apart).await;
        crm.edit(page_id(100), "new.com");
        tell(&stage, "single", 100..101).await;
        stage.pass(5).await;
        assert_eq!(stage.rows(), [("domain:new.com".to_owned(), page_id(100).to_string())]);
        burst(&stage, &crm, "burst", 30).await;
        for _ in 0..200 {
            stage.pass(1).await;
            assert!(stage.rows().iter().any(|(key, _)| key == "domain:new.com"), "{apart} s apart");
        }
        assert!(!notion.asked().is_empty());
        assert!(all_settled(&stage).await);
        assert_eq!(stage.rows().len(), 31);
        stage.end().await;
    }
}

/// The query shows something else than the page did a moment ago: here it is right, and the page says so. Nobody asks
/// for the one page; of the other, an old event comes late.
#[tokio::test(start_paused = true)]
async fn a_lost_edit_of_the_same_minute_is_not_taken_for_lag() {
    let crm = Crm::new(TimeDelta::zero());
    let notion = crm.notion();
    let stage = Stage::set(&[&notion]);
    stage.run();
    for page in [100, 101] {
        crm.edit(page_id(page), &format!("first-{page}.com"));
        stage.accept(&format!("single/{page}"), page_id(page), "page.created").await;
    }
    stage.pass(5).await;
    assert_eq!(stage.rows(), expected("first", 100..102));
    crm.edit(page_id(100), "second-100.com");
    crm.edit(page_id(101), "second-101.com");
    let occurred_at = start() - TimeDelta::minutes(9);
    put(&stage, NewEvent { occurred_at, ..stage.event("old/101", page_id(101), "page.properties_updated") }).await;
    burst(&stage, &crm, "burst", 30).await;
    stage.pass(100).await;
    for page in [100, 101] {
        assert!(stage.rows().contains(&(format!("domain:second-{page}.com"), page_id(page).to_string())), "{page}");
        assert_eq!(notion.looks(page_id(page)), 2, "the page itself was asked");
    }
    stage.end().await;
}

/// The index knows the first of two edits of a minute when it is asked, and the row's date cannot tell.
#[tokio::test(start_paused = true)]
async fn edits_within_one_minute_are_all_seen() {
    let crm = Crm::new(TimeDelta::seconds(25));
    let notion = crm.notion();
    let stage = Stage::set(&[&notion]);
    stage.run();
    (0..20).for_each(|page| crm.edit(page_id(page), &format!("first-{page}.com")));
    stage.pass(33).await;
    (0..20).for_each(|page| crm.edit(page_id(page), &format!("second-{page}.com")));
    // Notion made one event of the two, which names the later one.
    tell(&stage, "both", 0..20).await;
    stage.pass(5).await;
    assert_eq!(stage.rows(), expected("first", 0..20), "what is shown is applied");
    assert!(stage.events().await.iter().all(|(_, state)| *state == EventState::Waiting), "and not believed");
    assert!(stage.stored_events().await.iter().all(|event| event.reason.is_some() && event.attempts == 0));
    stage.pass(120).await;
    assert_eq!(stage.rows(), expected("second", 0..20));
    assert!(all_settled(&stage).await);
    assert_eq!(notion.all_looks(), 0, "queries were enough");
    stage.end().await;
}

/// Pages that left their source in one way or another, among many that did not.
#[tokio::test(start_paused = true)]
async fn what_a_query_does_not_show_is_fetched() {
    let crm = Crm::new(TimeDelta::seconds(5));
    let notion = crm.notion();
    let stage = Stage::set(&[&notion]);
    burst(&stage, &crm, "old", 30).await;
    stage.run();
    stage.pass(203).await;
    assert_eq!((stage.rows().len(), notion.all_looks()), (30, 0));
    for page in 0..30 {
        crm.edit(page_id(page), &format!("new-{page}.com"));
    }
    let with = |change: fn(&mut Page)| {
        move |now, page: Option<Page>| {
            let mut page = page.unwrap();
            page.last_edited_time = now;
            change(&mut page);
            page
        }
    };
    crm.change(page_id(0), with(|page| page.in_trash = true));
    crm.change(page_id(1), with(|page| page.in_trash = true));
    crm.change(page_id(2), with(|page| page.is_archived = true));
    crm.change(page_id(3), with(|page| page.parent = Parent::Elsewhere));
    crm.change(page_id(4), with(|page| page.parent = Parent::Elsewhere));
    put(&stage, stage.event("trashed", page_id(0), "page.deleted")).await;
    put(&stage, stage.event("moved", page_id(3), "page.moved")).await;
    // Of the other two, only the edit is told.
    for page in [1, 2] {
        put(&stage, stage.event(&format!("edited/{page}"), page_id(page), "page.properties_updated")).await;
    }
    tell(&stage, "edited", 4..30).await;
    stage.pass(200).await;
    assert!(all_settled(&stage).await, "{:#?}", stage.stored_events().await);
    let mut rows = expected("new", 2..3);
    rows.extend(expected("new", 5..30));
    rows.sort();
    assert_eq!(stage.rows(), rows);
    assert_eq!(notion.all_looks(), 5, "only what the query did not show");
    assert_eq!(stage.metrics.group_pages.get(GroupPage::Left), 3);
    assert_eq!(notion.most_at_once(), 1);
    stage.end().await;
}

/// The index trails further than it is taken to: a bounded number of queries, and then each page by itself.
#[tokio::test(start_paused = true)]
async fn pages_that_no_query_shows_are_fetched_after_a_few() {
    let crm = Crm::new(TimeDelta::days(1));
    let notion = crm.notion();
    let stage = Stage::set(&[&notion]);
    stage.run();
    burst(&stage, &crm, "acme", 100).await;
    stage.pass(300).await;
    assert!(all_settled(&stage).await);
    assert_eq!(stage.rows(), expected("acme", 0..100));
    assert_eq!(notion.all_looks(), 100);
    assert!(notion.asked().len() <= 4, "{}", notion.asked().len());
    stage.end().await;
}

/// Whatever a query fails with, for once or for good, at its first page of results or at a later one.
#[tokio::test(start_paused = true)]
async fn an_error_of_a_query_costs_no_event_and_no_attempt() {
    type Failing<'a> = (&'static str, fn(usize) -> bool, &'a dyn Fn() -> NotionError);
    fn unavailable() -> NotionError {
        NotionError::Unavailable("connection reset".into())
    }
    let rejected =
        || NotionError::Rejected { status: 400, code: "validation_error".to_owned(), message: String::new() };
    let limited = || NotionError::RateLimited { retry_after: Duration::from_secs(30) };
    let errors: [Failing<'_>; 7] = [
        ("always", |_| true, &unavailable),
        ("always", |_| true, &|| NotionError::NotFound),
        ("always", |_| true, &rejected),
        ("once", |nth| nth == 1, &limited),
        ("once", |nth| nth == 1, &|| NotionError::Unreadable("half a page".to_owned())),
        ("in the middle", |nth| nth == 2, &|| NotionError::CursorRefused),
        ("in the middle", |nth| nth % 2 == 0, &unavailable),
    ];
    for (when, fails, error) in errors {
        let crm = Crm::new(TimeDelta::zero());
        let failing = Arc::new(Mutex::new(None));
        let (indexed, next) = (crm.clone(), Arc::clone(&failing));
        let notion = crm.notion().with_index(move |nth| {
            if fails(nth) {
                return Err(next.lock().unwrap().take().unwrap_or_else(unavailable));
            }
            Ok(indexed.indexed())
        });
        let stage = Stage::set(&[&notion]);
        stage.run();
        burst(&stage, &crm, "acme", 150).await;
        for _ in 0..200 {
            failing.lock().unwrap().replace(error());
            stage.pass(1).await;
            let events = stage.stored_events().await;
            assert!(events.iter().all(|event| event.attempts == 0), "{when}: {}", error());
        }
        assert!(all_settled(&stage).await, "{when}: {}", error());
        assert_eq!(stage.rows(), expected("acme", 0..150), "{when}: {}", error());
        assert_eq!(notion.most_at_once(), 1);
        let looks = notion.all_looks();
        assert!(if when == "always" { looks == 150 } else { looks < 150 }, "{when}: {}: {looks} looks", error());
        stage.end().await;
    }
}

/// The query is under way when one of its pages is edited once more.
#[tokio::test(start_paused = true)]
async fn an_event_during_a_query_is_not_settled_by_it() {
    let crm = Crm::new(TimeDelta::zero());
    let notion = crm.notion().taking(Duration::from_secs(5));
    let stage = Stage::set(&[&notion]);
    (0..30).for_each(|page| crm.edit(page_id(page), &format!("acme-{page}.com")));
    stage.pass(120).await;
    // Told long after they happened: what the query shows settles them.
    for page in 0..30 {
        let occurred_at = start();
        let event = stage.event(&format!("acme/{page}"), page_id(page), "page.created");
        put(&stage, NewEvent { occurred_at, ..event }).await;
    }
    stage.run();
    stage.pass(3).await;
    assert_eq!(notion.asked().len(), 1, "it is under way");
    crm.edit(page_id(1), "late.com");
    tell(&stage, "late", 1..2).await;
    // Nor one that tells of what was there before the query.
    let old = NewEvent { occurred_at: start(), ..stage.event("old/2", page_id(2), "page.created") };
    stage.inbox.accept(old).await.unwrap();
    stage.pass(4).await;
    let waiting = stage.events().await.into_iter().filter(|(_, state)| *state == EventState::Waiting);
    let waiting: Vec<_> = waiting.map(|(id, _)| id).collect();
    assert_eq!(waiting, ["acme/1", "late/1", "old/2"], "the others are settled");
    stage.pass(30).await;
    assert!(all_settled(&stage).await);
    assert!(stage.rows().iter().any(|(key, _)| key == "domain:late.com"));
    assert_eq!((notion.asked().len(), notion.all_looks()), (1, 2));
    stage.end().await;
}

/// The database refuses what a query brought, a query panics, and the worker is killed within one.
#[tokio::test(start_paused = true)]
async fn whatever_happens_to_a_query_its_pages_are_looked_at() {
    let crm = Crm::new(TimeDelta::zero());
    let indexed = crm.clone();
    let notion = crm.notion().taking(Duration::from_secs(2)).with_index(move |nth| {
        assert_ne!(nth, 2, "as a bug would");
        Ok(indexed.indexed())
    });
    let stage = Stage::set(&[&notion]);
    burst(&stage, &crm, "killed", 40).await;
    let running = stage.run_over(stage.inbox.clone());
    stage.pass(2).await;
    assert_eq!(notion.asked().len(), 1);
    running.abort();
    let running = stage.run_over(stage.inbox.clone());
    stage.pass(303).await;
    assert!(all_settled(&stage).await);
    assert_eq!(stage.rows(), expected("killed", 0..40), "the query panicked, and each page was fetched");
    assert_eq!((notion.asked().len(), notion.all_looks()), (2, 40));

    burst(&stage, &crm, "refused", 40).await;
    stage.pass(2).await;
    stage.store.refuses.store(true, Ordering::Relaxed);
    stage.pass(2).await;
    stage.store.refuses.store(false, Ordering::Relaxed);
    stage.pass(300).await;
    assert!(all_settled(&stage).await);
    assert_eq!(stage.rows(), expected("refused", 0..40));
    assert_eq!(notion.all_looks(), 40, "queries were enough");
    running.abort();
    stage.end().await;
}

/// Pages that the cache does not know stand where their events say.
#[tokio::test(start_paused = true)]
async fn with_several_sources_new_pages_are_asked_of_the_one_that_their_event_names() {
    let crm = Crm::new(TimeDelta::zero());
    let other = crm.clone();
    let of = |source: DataSourceId, pages: Vec<Page>| {
        pages.into_iter().filter(|page| page.parent == Parent::DataSource(source)).collect::<Vec<_>>()
    };
    let first = crm.notion();
    let second =
        crm.notion().with_source(OTHER_SOURCE, &["Website"]).with_index(move |_| Ok(of(OTHER_SOURCE, other.indexed())));
    let stage = Stage::set(&[&first, &second]);
    for n in 0..60_u128 {
        let (page, source) = (page_id(n), if n % 2 == 0 { SOURCE } else { OTHER_SOURCE });
        crm.change(page, |now, _| row(page, source, now, &[("Website", &format!("acme-{n}.com"))]));
        let body = serde_json::json!({
            "id": format!("e{n}"), "timestamp": "2026-01-06T12:00:00.000Z", "type": "page.created",
            "entity": {"id": page.to_string(), "type": "page"},
            "data": {"parent": {"id": SOURCE.to_string(), "type": "database", "data_source_id": source.to_string()}},
        });
        let event = stage.event(&format!("e{n}"), page, "page.created");
        put(&stage, NewEvent { body: body.to_string().into_bytes(), ..event }).await;
    }
    stage.run();
    stage.pass(200).await;
    assert!(all_settled(&stage).await);
    assert_eq!(stage.rows(), expected("acme", 0..60));
    assert_eq!((first.all_looks(), second.all_looks()), (0, 0));
    assert_eq!((first.asked().len(), second.asked().len()), (2, 2));
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn without_the_planner_every_page_is_fetched() {
    let crm = Crm::new(TimeDelta::zero());
    let notion = crm.notion();
    let mut stage = Stage::set(&[&notion]);
    stage.query_min = None;
    stage.run();
    burst(&stage, &crm, "acme", 50).await;
    stage.pass(30).await;
    assert!(all_settled(&stage).await);
    assert_eq!((notion.asked().len(), notion.all_looks()), (0, 50));
    stage.end().await;
}
