//! Everything goes wrong at once, by a seed: late, doubled and disordered deliveries, senders that hang up, events that
//! another process puts into the inbox, a Notion that lags, fails and refuses, a database that refuses, and a process
//! that is killed. In the end every event is settled and the rows are those of the truth. A failing seed is printed.

use std::{
    pin::pin,
    sync::{Mutex, atomic::Ordering},
    time::Duration,
};

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use fastrand::Rng;
use suppressd::{
    clock::Clock,
    inbox::Inbox,
    model::{id::PageId, page::Page},
    notion::NotionError,
    store::{EventState, NewEvent, Store as _},
};

use crate::stage::{SOURCE, Scripted, Stage, page_id, row, start};

/// Few pages have many events each, and are looked at one by one.
const PAGES: u128 = 6;

/// Of many pages there are often enough due together for a query, whose index trails.
const PAGES_MANY: u128 = 300;

/// For how long people work and things go wrong, in seconds.
const TROUBLE: i64 = 1_800;

/// Notion may show a page as it was this many seconds ago: less than the wait for the second look.
const LAG_MAX: i64 = 50;

/// A query may show pages as they were this many seconds ago: less than the index is taken to trail.
const INDEX_LAG_MAX: i64 = 59;

/// What a page is from some instant on.
#[derive(Debug, Clone)]
struct Version {
    since: DateTime<Utc>,
    in_trash: bool,
    domain: String,
}

/// The workspace: every version that every page will ever have.
type Workspace = Vec<Vec<Version>>;

#[tokio::test(start_paused = true)]
async fn whatever_goes_wrong_every_event_is_settled_and_the_rows_are_right() {
    for seed in 0..8 {
        check(seed, PAGES).await;
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_goes_wrong_with_many_pages_at_once_the_rows_are_right() {
    for seed in 0..2 {
        let queries = check(seed, PAGES_MANY).await;
        assert!(queries > 5, "seed {seed}: {queries} queries");
    }
}

/// Plays one seed with this many pages, and returns how many queries were made.
async fn check(seed: u64, pages: u128) -> usize {
    let mut rng = Rng::with_seed(seed);
    let workspace: Workspace = (0..pages).map(|n| history(n, &mut rng)).collect();
    let clock = Clock::following_tokio(start());
    let notion = notion(seed, workspace.clone(), clock.clone());
    let stage = Stage::set(&[&notion]);
    let mut deliveries = deliveries(&stage, &workspace, &mut rng);
    deliveries.sort_by_key(|(at, ..)| *at);

    let mut running = stage.run_over(stage.inbox.clone());
    let mut next = deliveries.into_iter().peekable();
    for second in 0..=TROUBLE {
        while let Some((_, event)) = next.next_if(|(at, _)| *at <= start() + TimeDelta::seconds(second)) {
            deliver(&stage, event, &mut rng).await;
        }
        let is_over = second == TROUBLE;
        stage.store.refuses.store(!is_over && rng.u8(0..20) == 0, Ordering::Relaxed);
        notion.refused.store(!is_over && rng.u8(0..50) == 0, Ordering::Relaxed);
        if rng.u16(0..200) == 0 {
            running.abort();
            // The next process hears of nothing that this one accepted.
            running = stage.run_over(Inbox::new(stage.store.clone()));
        }
        stage.pass(1).await;
    }
    assert!(next.peek().is_none());
    stage.pass(2 * 3_600).await;
    // Now and then a page cannot be read six times in a row, and is given up until a person says otherwise.
    for _ in 0..3 {
        if stage.store.write(|rows| rows.unpark(None)).await.unwrap() > 0 {
            stage.pass(3_600).await;
        }
    }

    let left: Vec<_> = stage.stored_events().await;
    let left: Vec<_> = left.into_iter().filter(|event| event.state != EventState::Settled).collect();
    assert!(left.is_empty(), "seed {seed}: {left:#?}");
    assert_eq!(stage.rows(), truth(&workspace), "seed {seed}: {workspace:#?}");
    assert_eq!(notion.most_at_once(), 1, "seed {seed}: never two looks at one page at once");
    running.abort();
    stage.end().await;
    notion.asked().len()
}

/// Versions in different minutes: what happens within one minute, no date can tell apart.
fn history(n: u128, rng: &mut Rng) -> Vec<Version> {
    let mut since = start() + TimeDelta::seconds(rng.i64(0..60));
    let mut versions = Vec::new();
    while since < start() + TimeDelta::seconds(TROUBLE - 400) {
        let domain = format!("company-{}-{n}.com", rng.u8(0..3));
        versions.push(Version { since, in_trash: rng.u8(0..4) == 0, domain });
        since += TimeDelta::seconds(rng.i64(61..400));
    }
    versions
}

fn notion(seed: u64, workspace: Workspace, clock: Clock) -> Scripted {
    let rng = Mutex::new(Rng::with_seed(seed ^ 0xdead));
    let (index_rng, indexed, index_clock) =
        (Mutex::new(Rng::with_seed(seed ^ 0xbeef)), workspace.clone(), clock.clone());
    Scripted::new(move |page, _| {
        let mut rng = rng.lock().unwrap();
        trouble(&mut rng)?;
        let shown_at = clock.now() - TimeDelta::seconds(rng.i64(0..LAG_MAX));
        shown(page, &workspace, shown_at).ok_or(NotionError::NotFound)
    })
    .with_index(move |_| {
        let mut rng = index_rng.lock().unwrap();
        trouble(&mut rng)?;
        let shown_at = index_clock.now() - TimeDelta::seconds(rng.i64(0..INDEX_LAG_MAX));
        Ok((0..indexed.len() as u128).filter_map(|n| shown(page_id(n), &indexed, shown_at)).collect())
    })
    .taking(Duration::from_millis(700))
}

fn trouble(rng: &mut Rng) -> Result<(), NotionError> {
    match rng.u8(0..20) {
        0 => Err(NotionError::Unavailable("connection reset".into())),
        1 => Err(NotionError::RateLimited { retry_after: Duration::from_secs(5) }),
        2 => Err(NotionError::Unreadable("half a page".to_owned())),
        _ => Ok(()),
    }
}

fn shown(page: PageId, workspace: &Workspace, at: DateTime<Utc>) -> Option<Page> {
    let n = (0..workspace.len() as u128).find(|n| page_id(*n) == page)?;
    let history = workspace.get(usize::try_from(n).unwrap())?;
    let version = history.iter().rev().find(|version| version.since <= at)?;
    let edited = version.since.duration_trunc(TimeDelta::minutes(1)).unwrap();
    let mut shown = row(page, SOURCE, edited, &[("Website", &version.domain)]);
    shown.in_trash = version.in_trash;
    Some(shown)
}

/// Every version makes an event, which arrives late, perhaps twice, in whatever order.
fn deliveries(stage: &Stage, workspace: &Workspace, rng: &mut Rng) -> Vec<(DateTime<Utc>, NewEvent)> {
    let mut deliveries = Vec::new();
    for (n, history) in (0..).zip(workspace) {
        for (nth, version) in history.iter().enumerate() {
            let was_in_trash = nth.checked_sub(1).and_then(|nth| history.get(nth)).map(|version| version.in_trash);
            let kind = match (was_in_trash, version.in_trash) {
                (None, _) => "page.created",
                (Some(false), true) => "page.deleted",
                (Some(true), false) => "page.undeleted",
                _ => "page.properties_updated",
            };
            let occurred_at = version.since;
            let event = NewEvent { occurred_at, ..stage.event(&format!("{n}/{nth}"), page_id(n), kind) };
            for _ in 0..rng.u8(1..3) {
                deliveries.push((occurred_at + TimeDelta::seconds(rng.i64(1..120)), event.clone()));
            }
        }
    }
    deliveries
}

/// Delivers an event as it comes, with a sender that hangs up, or by way of another process.
async fn deliver(stage: &Stage, event: NewEvent, rng: &mut Rng) {
    match rng.u8(0..10) {
        0 => {
            let mut accepting = pin!(stage.inbox.accept(event));
            std::future::poll_fn(|context| std::task::Poll::Ready(accepting.as_mut().poll(context).is_ready())).await;
        }
        1 => drop(stage.store.append(event).await.unwrap()),
        _ => drop(stage.inbox.accept(event).await.unwrap()),
    }
}

/// Key and page of every row that there should be.
fn truth(workspace: &Workspace) -> Vec<(String, String)> {
    let mut rows: Vec<_> = (0..)
        .zip(workspace)
        .filter_map(|(n, history)| {
            let last = history.last().filter(|version| !version.in_trash)?;
            Some((format!("domain:{}", last.domain), page_id(n).to_string()))
        })
        .collect();
    rows.sort();
    rows
}
