//! What is skipped, in the inbox and before the worker, by the clock of the test.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use chrono::TimeDelta;
use sha2::{Digest as _, Sha256};
use suppressd::{
    model::{event::Subject, id::PageId, page::Page},
    notion::NotionError,
    sources::filter,
    store::{Appended, Disposition, EventState, NewEvent, Store as _},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::stage::{OTHER_SOURCE, SOURCE, Scripted, Stage, page_id, row, start};

/// The id of an event that is looked at as a sample.
pub(crate) fn sample() -> String {
    id(true)
}

/// The id of one that is not.
pub(crate) fn ordinary() -> String {
    id(false)
}

/// One id in twenty is a sample's, by its digest.
fn id(is_sample: bool) -> String {
    let is = |id: &String| {
        let first = *Sha256::digest(id).first_chunk().unwrap();
        u64::from_be_bytes(first).is_multiple_of(20) == is_sample
    };
    (0..1000).map(|n| format!("event-{n}")).find(is).unwrap()
}

/// A page as it is at the nth look, with what it says.
fn page(page: PageId, minute: i64, website: &str) -> Page {
    row(page, SOURCE, start() + TimeDelta::minutes(minute), &[("Website", website)])
}

/// An edit that needs no look, of this moment.
fn edit(stage: &Stage, id: &str, page: PageId, is_sample: bool) -> NewEvent {
    let sampled_at = is_sample.then(|| stage.clock.now() + TimeDelta::minutes(10));
    let disposition = Disposition::Skip { source: SOURCE, sampled_at };
    NewEvent { disposition, ..stage.event(id, page, "page.properties_updated") }
}

async fn states(stage: &Stage) -> Vec<EventState> {
    stage.events().await.into_iter().map(|(_, state)| state).collect()
}

/// Returns whether the filter was found to be wrong.
async fn is_off(stage: &Stage) -> bool {
    let standing = stage.store.inner.read(|rows| filter::standing(rows)).await.unwrap();
    standing.get(&SOURCE).unwrap().wrong.is_some()
}

/// Plays a sample of the third minute; `then` says at which minute the page was edited last, and what it says then.
async fn play(then: (i64, &'static str), other: Option<(u64, &str, Disposition)>) -> (bool, usize) {
    let notion =
        Scripted::new(move |id, nth| Ok(if nth == 1 { page(id, 0, "acme.com") } else { page(id, then.0, then.1) }));
    let stage = Stage::set(&[&notion]);
    stage.run();
    stage.accept("created", page_id(1), "page.created").await;
    stage.pass(190).await;
    assert!(matches!(stage.inbox.accept(edit(&stage, "sample", page_id(1), true)).await, Ok(Appended::Skipped(_))));
    if let Some((wait, kind, disposition)) = other {
        stage.pass(wait).await;
        let event = NewEvent { disposition, ..stage.event("other", page_id(1), kind) };
        stage.inbox.accept(event).await.unwrap();
    }
    stage.pass(1200).await;
    let found = (is_off(&stage).await, notion.looks(page_id(1)));
    stage.end().await;
    found
}

#[tokio::test(start_paused = true)]
async fn a_sample_that_finds_what_its_event_did_not_say_turns_the_filter_off() {
    assert_eq!(play((3, "acme.ai"), None).await, (true, 2));
    assert_eq!(play((3, "acme.com"), None).await, (false, 2), "nothing but the date has changed");
}

#[tokio::test(start_paused = true)]
async fn what_another_event_explains_says_nothing_against_the_filter() {
    assert_eq!(play((5, "acme.ai"), None).await, (false, 2), "edited later: that event is yet to come");
    let told = Some((30, "page.properties_updated", Disposition::Look));
    assert_eq!(play((3, "acme.ai"), told).await, (false, 2), "the other edit of that minute was told, and looked at");
    let late = Some((595, "page.properties_updated", Disposition::Look));
    assert_eq!(play((3, "acme.ai"), late).await, (false, 3), "it was told just before the time of the sample");
}

/// Notion cannot be reached while both wait, so that one look does for both; the sample is the newer one.
#[tokio::test(start_paused = true)]
async fn a_look_that_another_event_asked_for_too_is_no_test() {
    let is_down = Arc::new(AtomicBool::new(false));
    let down = Arc::clone(&is_down);
    let notion = Scripted::new(move |id, nth| match nth {
        1 => Ok(page(id, 0, "acme.com")),
        _ if down.load(Ordering::Relaxed) => Err(NotionError::Unavailable("no route to host".into())),
        _ => Ok(page(id, 3, "acme.ai")),
    });
    let stage = Stage::set(&[&notion]);
    stage.run();
    stage.accept("created", page_id(1), "page.created").await;
    stage.pass(185).await;
    is_down.store(true, Ordering::Relaxed);
    stage.accept("other", page_id(1), "page.properties_updated").await;
    stage.pass(5).await;
    stage.inbox.accept(edit(&stage, "sample", page_id(1), true)).await.unwrap();
    stage.pass(700).await;
    assert_eq!(states(&stage).await, [EventState::Settled, EventState::Waiting, EventState::Waiting]);
    is_down.store(false, Ordering::Relaxed);
    stage.pass(3600).await;
    assert_eq!(states(&stage).await, [EventState::Settled; 3]);
    assert_eq!(stage.rows(), [("domain:acme.ai".to_owned(), page_id(1).to_string())]);
    assert!(!is_off(&stage).await);
    stage.end().await;
}

/// The page was behind when the sample was looked at; the second look still tells.
#[tokio::test(start_paused = true)]
async fn a_sample_of_a_page_that_has_not_settled_is_judged_when_it_has() {
    let notion = Scripted::new(|id, nth| Ok(if nth < 3 { page(id, 0, "acme.com") } else { page(id, 3, "acme.ai") }));
    let stage = Stage::set(&[&notion]);
    stage.run();
    stage.accept("created", page_id(1), "page.created").await;
    stage.pass(190).await;
    stage.inbox.accept(edit(&stage, "sample", page_id(1), true)).await.unwrap();
    stage.pass(1200).await;
    assert_eq!((is_off(&stage).await, notion.looks(page_id(1))), (true, 3));
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_sample_survives_a_restart_and_costs_nothing_before_its_time() {
    let notion = Scripted::new(|id, _| Ok(page(id, 0, "acme.com")));
    let mut stage = Stage::set(&[&notion]);
    stage.accept("created", page_id(1), "page.created").await;
    stage.run();
    stage.pass(10).await;
    stage.inbox.accept(edit(&stage, "sample", page_id(1), true)).await.unwrap();
    stage.inbox.accept(edit(&stage, "skipped", page_id(1), false)).await.unwrap();
    stage.pass(500).await;
    assert_eq!(notion.looks(page_id(1)), 1);
    stage.stop.cancel();
    stage.tasks.close();
    stage.tasks.wait().await;
    (stage.stop, stage.tasks) = (CancellationToken::new(), TaskTracker::new());
    stage.pass(60).await;
    stage.run();
    stage.pass(120).await;
    assert_eq!(notion.looks(page_id(1)), 2);
    assert_eq!(states(&stage).await, [EventState::Settled, EventState::Skipped, EventState::Settled]);
    stage.end().await;
}

/// The cache does not know when a page was last edited whose edits were skipped, and the later edit wins a key.
#[tokio::test(start_paused = true)]
async fn who_comes_to_claim_the_key_of_a_page_has_its_skipped_edits_looked_at() {
    let [one, other, far] = [1, 2, 3].map(page_id);
    let notion = Scripted::new(move |id, nth| {
        let minute = if id == one && nth > 1 {
            9
        } else if id == other {
            5
        } else {
            0
        };
        Ok(page(id, minute, if id == far { "far.com" } else { "acme.com" }))
    });
    let stage = Stage::set(&[&notion]);
    stage.run();
    for id in [one, far] {
        stage.accept(&format!("created {id}"), id, "page.created").await;
    }
    stage.pass(100).await;
    for id in [one, far] {
        for n in 0..2 {
            stage.inbox.accept(edit(&stage, &format!("edit {n} {id}"), id, false)).await.unwrap();
        }
    }
    stage.pass(100).await;
    assert_eq!((notion.looks(one), notion.looks(far)), (1, 1));
    stage.accept("created other", other, "page.created").await;
    stage.pass(100).await;
    assert_eq!(
        stage.rows(),
        [("domain:acme.com".to_owned(), one.to_string()), ("domain:far.com".to_owned(), far.to_string())]
    );
    assert_eq!((notion.looks(one), notion.looks(far)), (2, 1));

    stage.accept("edited other", other, "page.properties_updated").await;
    stage.pass(100).await;
    assert_eq!(notion.looks(one), 2, "once is enough");
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn only_a_page_that_is_proven_in_its_source_and_has_its_keys_for_itself_is_skipped() {
    let [proven, missing, contested, rival, moved] = [1, 2, 3, 4, 5].map(page_id);
    let notion = Scripted::new(move |id, nth| match nth {
        2 if id == missing => Err(NotionError::NotFound),
        _ if id == contested || id == rival => Ok(page(id, 0, "both.com")),
        _ => Ok(page(id, 0, &format!("{id}.com"))),
    });
    let stage = Stage::set(&[&notion]);
    stage.run();
    for id in [proven, missing, contested, rival, moved] {
        stage.accept(&format!("created {id}"), id, "page.created").await;
    }
    stage.pass(90).await;
    stage.accept("unshared", missing, "page.content_updated").await;
    stage.pass(90).await;
    let sources = |id| if id == moved { OTHER_SOURCE } else { SOURCE };
    for (id, skipped) in [(proven, true), (missing, false), (contested, false), (moved, false), (page_id(6), false)] {
        let disposition = Disposition::Skip { source: sources(id), sampled_at: None };
        let event = NewEvent { disposition, ..edit(&stage, &format!("edit {id}"), id, false) };
        let appended = stage.store.append(event).await.unwrap();
        assert_eq!(matches!(appended, Appended::Skipped(_)), skipped, "{id}: {appended:?}");
    }
    let about = stage.store.inner.read(move |rows| {
        Ok((
            rows.newest_skipped(proven, start())?,
            rows.newest_skipped(proven, start() + TimeDelta::days(1))?,
            rows.only_samples_wait(Subject::Page(proven))?,
        ))
    });
    let (newest, later, only_samples) = about.await.unwrap();
    assert_eq!(newest.unwrap().event_id, format!("edit {proven}"));
    assert_eq!((later, only_samples), (None, false));
    stage.end().await;
}
