//! What the worker owes to every acknowledged event: one look that began after it, whatever goes wrong.

use std::{pin::pin, sync::atomic::Ordering, task::Poll, time::Duration};

use chrono::TimeDelta;
use suppressd::{
    intake::{Intake, handshake::TokenVault, relevance::OurSources, replay::Replay},
    lifecycle::health::State,
    metrics::Metrics,
    model::{
        event::Subject,
        id::{DataSourceId, PageId},
        page::Parent,
    },
    notion::{NotionError, signature::VerificationToken},
    store::{Appended, Delay, EventState, NewEvent, Seq, Store as _},
};

use crate::stage::{OTHER_SOURCE, SOURCE, Scripted, Stage, page_id, row, start};

fn settled(id: &str) -> (String, EventState) {
    (id.to_owned(), EventState::Settled)
}

fn acme() -> Scripted {
    Scripted::new(|page, _| Ok(row(page, SOURCE, start() + TimeDelta::days(1), &[("Website", "acme.com")])))
}

/// Notion hangs up while the event is being synced: it is kept, its redelivery is a duplicate, and nobody rings.
#[tokio::test(start_paused = true)]
async fn an_event_whose_sender_hung_up_is_looked_at_all_the_same() {
    let notion = acme();
    let stage = Stage::set(&[&notion]);
    stage.run();
    stage.pass(30).await;
    {
        let mut accepting = pin!(stage.inbox.accept(stage.event("e1", page_id(1), "page.created")));
        let polled = std::future::poll_fn(|context| Poll::Ready(accepting.as_mut().poll(context).is_pending())).await;
        assert!(polled, "the commit takes a while");
    }
    stage.pass(1).await;
    assert_eq!(stage.accept("e1", page_id(1), "page.created").await, Appended::Duplicate);
    stage.pass(30).await;
    assert_eq!(stage.events().await, [settled("e1")]);
    assert_eq!(stage.rows().len(), 1);
    stage.end().await;
}

/// The database refuses both what a look brought and the note that it failed.
#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_even_be_parked_is_looked_at_again() {
    let notion = Scripted::new(|page, nth| match nth {
        1 => Err(NotionError::Rejected { status: 400, code: "validation_error".to_owned(), message: String::new() }),
        _ => Ok(row(page, SOURCE, start() + TimeDelta::days(1), &[("Website", "acme.com")])),
    });
    let stage = Stage::set(&[&notion]);
    stage.run();
    stage.pass(10).await;
    stage.store.refuses.store(true, Ordering::Relaxed);
    stage.accept("e1", page_id(1), "page.created").await;
    stage.pass(5).await;
    stage.store.refuses.store(false, Ordering::Relaxed);
    stage.pass(120).await;
    assert_eq!(stage.events().await, [settled("e1")]);
    stage.end().await;
}

/// What is new is not put off by what failed before it, also across a restart.
#[tokio::test(start_paused = true)]
async fn after_a_restart_a_new_event_does_not_wait_for_an_old_failure() {
    let notion = acme();
    let stage = Stage::set(&[&notion]);
    let subject = Subject::Page(page_id(1));
    let Appended::Waiting(first) = stage.accept("e1", page_id(1), "page.created").await else { panic!("it is new") };
    let delay = Delay { due_at: start() + TimeDelta::hours(1), attempts: 15, reason: "503".to_owned() };
    stage.store.inner.write(move |rows| rows.put_off(subject, first, &delay)).await.unwrap();
    stage.accept("e2", page_id(1), "page.properties_updated").await;
    stage.run();
    stage.pass(10).await;
    assert_eq!(stage.events().await, [settled("e1"), settled("e2")]);
    stage.end().await;
}

/// The page was behind its event; an older event that arrives late must not pass for the second look.
#[tokio::test(start_paused = true)]
async fn the_second_look_comes_a_minute_later_whatever_else_arrives() {
    let notion = Scripted::new(|page, nth| {
        let edited = if nth < 3 { start() - TimeDelta::hours(1) } else { start() };
        Ok(row(page, SOURCE, edited, &[("Website", if nth < 3 { "old.com" } else { "new.com" })]))
    });
    let stage = Stage::set(&[&notion]);
    stage.run();
    stage.pass(1).await;
    stage.accept("e2", page_id(1), "page.properties_updated").await;
    stage.pass(10).await;
    let mut late = stage.event("e1", page_id(1), "page.content_updated");
    late.occurred_at = start() - TimeDelta::seconds(30);
    stage.inbox.accept(late).await.unwrap();
    stage.pass(10).await;
    assert_eq!(notion.looks(page_id(1)), 2);
    stage.pass(120).await;
    assert_eq!(notion.looks(page_id(1)), 3);
    assert_eq!(stage.rows()[0].0, "domain:new.com");
    assert_eq!(stage.events().await, [settled("e2"), settled("e1")]);
    stage.end().await;
}

/// Notion tells of a page before it shows it.
#[tokio::test(start_paused = true)]
async fn a_new_page_that_is_not_shown_yet_is_looked_at_once_more() {
    let notion = Scripted::new(|page, nth| match nth {
        1 => Err(NotionError::NotFound),
        _ => Ok(row(page, SOURCE, start() + TimeDelta::days(1), &[("Website", "acme.com")])),
    });
    let stage = Stage::set(&[&notion]);
    stage.run();
    stage.accept("e1", page_id(1), "page.created").await;
    stage.pass(90).await;
    assert_eq!((notion.looks(page_id(1)), stage.rows().len()), (2, 1));
    stage.end().await;
}

/// A page that nobody shares with us answers 404 for ever: two requests an event, and no more.
#[tokio::test(start_paused = true)]
async fn a_page_that_is_never_shown_costs_two_looks() {
    let notion = Scripted::new(|_, _| Err(NotionError::NotFound));
    let stage = Stage::set(&[&notion]);
    stage.run();
    stage.accept("e1", page_id(1), "page.created").await;
    stage.accept("e2", page_id(2), "page.deleted").await;
    stage.pass(600).await;
    assert_eq!(stage.events().await, [settled("e1"), settled("e2")]);
    assert_eq!((notion.looks(page_id(1)), notion.looks(page_id(2))), (2, 1));
    stage.end().await;
}

/// Neither trash nor restore need show in `last_edited_time`.
#[tokio::test(start_paused = true)]
async fn a_restored_page_that_is_still_shown_in_the_trash_is_looked_at_once_more() {
    let notion = Scripted::new(|page, nth| {
        let mut shown = row(page, SOURCE, start(), &[("Website", "acme.com")]);
        shown.in_trash = nth < 3;
        Ok(shown)
    });
    let stage = Stage::set(&[&notion]);
    stage.run();
    stage.accept("e1", page_id(1), "page.deleted").await;
    stage.pass(5).await;
    stage.accept("e2", page_id(1), "page.undeleted").await;
    stage.pass(5).await;
    assert_eq!(stage.rows().len(), 0);
    stage.pass(90).await;
    assert_eq!((notion.looks(page_id(1)), stage.rows().len()), (3, 1));
    assert_eq!(stage.events().await, [settled("e1"), settled("e2")]);
    stage.end().await;
}

/// Every event of the inbox is given again while the worker settles them, and the replay comes to an end.
#[tokio::test(start_paused = true)]
async fn a_replay_of_the_inbox_gives_every_event_once_more_and_ends() {
    let notion = acme();
    let stage = Stage::set(&[&notion]);
    for n in 1..=20_u128 {
        let id = format!("e{n}");
        let page = page_id(n % 3);
        let body = format!(
            r#"{{"id":"{id}","timestamp":"2026-01-06T11:00:00.000Z","type":"page.created","entity":{{"id":"{page}","type":"page"}}}}"#
        );
        stage
            .inbox
            .accept(NewEvent { body: body.into_bytes(), ..stage.event(&id, page, "page.created") })
            .await
            .unwrap();
    }
    stage.run();
    stage.pass(30).await;
    let before = notion.looks(page_id(1));
    let token = VerificationToken::new("replay_of_the_tests").unwrap();
    let intake = Intake::new(
        stage.inbox.clone(),
        TokenVault::configured(vec![token.clone()]),
        OurSources::default(),
        stage.clock.clone(),
        Metrics::default(),
    );
    let mut replay = Replay::new(intake, token);
    replay.inbox(&stage.store).await.unwrap();
    assert_eq!(replay.done().reopened, 20);
    stage.pass(30).await;
    assert!(stage.events().await.iter().all(|(_, state)| *state == EventState::Settled));
    assert!(notion.looks(page_id(1)) > before);
    stage.end().await;
}

/// A `page.deleted` from before the page was last seen says nothing about why it answers 404 now.
#[tokio::test(start_paused = true)]
async fn a_replayed_deletion_that_was_undone_since_is_no_proof() {
    let notion = Scripted::new(|page, nth| match nth {
        1 => Ok(row(page, SOURCE, start(), &[("Website", "acme.com")])),
        _ => Err(NotionError::NotFound),
    });
    let stage = Stage::set(&[&notion]);
    stage.run();
    stage.accept("restored", page_id(1), "page.undeleted").await;
    stage.pass(10).await;
    assert_eq!(stage.rows().len(), 1);
    let mut replayed = stage.event("deleted", page_id(1), "page.deleted");
    replayed.occurred_at = start() - TimeDelta::days(3);
    stage.inbox.accept(replayed).await.unwrap();
    stage.pass(90).await;
    assert_eq!(stage.rows().len(), 1, "the page is unshared, not deleted");
    let mut now = stage.event("deleted now", page_id(1), "page.deleted");
    now.occurred_at = stage.clock.now();
    stage.inbox.accept(now).await.unwrap();
    stage.pass(10).await;
    assert_eq!(stage.rows().len(), 0, "that one is proof");
    stage.end().await;
}

/// A sweep does not write down each page that it sees unchanged; its watermark says that it saw it.
#[tokio::test(start_paused = true)]
async fn a_deletion_from_before_a_complete_sweep_is_no_proof() {
    let notion = Scripted::new(|page, nth| match nth {
        1 => Ok(row(page, SOURCE, start(), &[("Website", "acme.com")])),
        _ => Err(NotionError::NotFound),
    });
    let stage = Stage::set(&[&notion]);
    stage.run();
    stage.accept("created", page_id(1), "page.created").await;
    stage.pass(600).await;
    let happened_at = stage.clock.now();
    stage.pass(600).await;
    let swept_at = stage.clock.now();
    stage.store.write(move |rows| rows.set_watermark(SOURCE, swept_at)).await.unwrap();
    let mut late = stage.event("late", page_id(1), "page.deleted");
    late.occurred_at = happened_at;
    stage.inbox.accept(late).await.unwrap();
    stage.pass(90).await;
    assert_eq!(stage.rows().len(), 1, "the sweep has seen it since");
    stage.end().await;
}

/// What is told of one source does not wait for another one that cannot be read, not even when none was ever known.
#[tokio::test(start_paused = true)]
async fn a_source_that_was_never_read_holds_up_no_other_one() {
    let hidden = Scripted::new(|_, _| Err(NotionError::NotFound));
    hidden.hidden.store(true, Ordering::Relaxed);
    let works =
        Scripted::new(|page, _| Ok(row(page, OTHER_SOURCE, start() + TimeDelta::days(1), &[("Website", "acme.com")])))
            .with_source(OTHER_SOURCE, &["Website"]);
    let stage = Stage::set(&[&hidden, &works]);
    stage.run();
    stage.accept("e1", page_id(1), "page.created").await;
    stage.pass(60).await;
    assert_eq!((stage.events().await, stage.rows().len()), (vec![settled("e1")], 1));
    let report = stage.health.report(tokio::time::Instant::now());
    let notion = report.into_iter().find(|part| part.name == "notion").unwrap();
    assert!(matches!(notion.state, State::Failing { .. }), "it stays visible: {notion:?}");
    hidden.hidden.store(false, Ordering::Relaxed);
    stage.pass(600).await;
    let sources = stage.store.read(|rows| rows.sources()).await.unwrap();
    assert_eq!(sources.len(), 2, "it is asked for again and again");
    stage.end().await;
}

/// A page that moves into a source which nobody has read yet is not gone: nobody can say where it stands.
#[tokio::test(start_paused = true)]
async fn a_page_that_may_stand_in_a_source_that_was_never_read_is_not_taken_for_moved_out() {
    let hidden = Scripted::new(|_, _| Err(NotionError::NotFound)).with_source(OTHER_SOURCE, &["Website"]);
    hidden.hidden.store(true, Ordering::Relaxed);
    let works = Scripted::new(|page, nth| {
        let source = if nth == 1 { SOURCE } else { OTHER_SOURCE };
        let mut page = row(page, source, start() + TimeDelta::days(1), &[("Website", "acme.com")]);
        page.parent = Parent::DataSource(source);
        Ok(page)
    });
    let stage = Stage::set(&[&works, &hidden]);
    stage.run();
    stage.accept("created", page_id(1), "page.created").await;
    stage.pass(20).await;
    assert_eq!(stage.rows().len(), 1);
    stage.accept("moved", page_id(1), "page.moved").await;
    stage.pass(300).await;
    assert_eq!(stage.rows().len(), 1, "it may have moved into the other source");
    assert!(works.looks(page_id(1)) < 12, "it is not asked for all the time: {}", works.looks(page_id(1)));
    hidden.hidden.store(false, Ordering::Relaxed);
    stage.pass(900).await;
    assert_eq!(
        (stage.rows().len(), stage.events().await.iter().filter(|(_, state)| *state == EventState::Waiting).count()),
        (1, 0),
        "there it is"
    );
    stage.end().await;
}

/// Pages of tables that are not ours leave no trace, or every later event about them would cost a request.
#[tokio::test(start_paused = true)]
async fn a_page_that_never_was_ours_is_not_kept() {
    let notion = Scripted::new(|page, _| {
        let mut page = row(page, OTHER_SOURCE, start() + TimeDelta::days(1), &[("Website", "foreign.com")]);
        page.parent = Parent::DataSource(OTHER_SOURCE);
        Ok(page)
    });
    let stage = Stage::set(&[&notion]);
    stage.run();
    stage.accept("e1", page_id(1), "page.created").await;
    stage.pass(10).await;
    assert_eq!(stage.events().await, [settled("e1")]);
    assert_eq!(stage.store.inner.read(|rows| rows.page(page_id(1))).await.unwrap(), None);
    stage.end().await;
}

/// A page that moves between two of our sources is what the new one says it is.
#[tokio::test(start_paused = true)]
async fn a_page_that_moves_between_sources_leaves_the_roles_behind_that_the_new_one_lacks() {
    let script = |page, nth| {
        let (edited, source) = if nth == 1 { (1, SOURCE) } else { (2, OTHER_SOURCE) };
        let mut values = vec![("Website", "acme.com")];
        if nth == 1 {
            values.push(("Crunchbase", "acme"));
        }
        Ok(row(page, source, start() + TimeDelta::days(edited), &values))
    };
    let here = Scripted::new(script);
    let there = here.clone().with_source(OTHER_SOURCE, &["Website", "Status"]);
    let stage = Stage::set(&[&here, &there]);
    stage.run();
    stage.accept("e1", page_id(1), "page.created").await;
    stage.pass(10).await;
    assert_eq!(stage.rows().len(), 2);
    stage.accept("e2", page_id(1), "page.moved").await;
    stage.pass(10).await;
    let keys: Vec<_> = stage.rows().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["domain:acme.com"]);
    stage.end().await;
}

/// One expired token must not keep the pages of another one from being looked at, and stays visible.
#[tokio::test(start_paused = true)]
async fn a_refused_token_holds_up_only_its_own_source_and_stays_visible() {
    let refused = Scripted::new(|_, _| Err(NotionError::NotFound));
    let works =
        Scripted::new(|page, _| Ok(row(page, OTHER_SOURCE, start() + TimeDelta::days(1), &[("Website", "acme.com")])))
            .with_source(OTHER_SOURCE, &["Website"]);
    let stage = Stage::set(&[&refused, &works]);
    stage.run();
    stage.pass(5).await;
    refused.refused.store(true, Ordering::Relaxed);
    stage.accept("e1", page_id(1), "page.created").await;
    stage.pass(20).await;
    assert_eq!(stage.events().await, [settled("e1")]);
    stage.accept("e2", page_id(1), "page.properties_updated").await;
    stage.pass(5).await;
    let report = stage.health.report(tokio::time::Instant::now());
    let notion = report.into_iter().find(|part| part.name == "notion").unwrap();
    assert!(matches!(notion.state, State::Failing { .. }), "{notion:?}");
    stage.end().await;
}

/// What is put off for a minute is looked at as soon as the token is another one.
#[tokio::test(start_paused = true)]
async fn a_new_token_is_tried_at_once() {
    let notion = acme();
    let stage = Stage::set(&[&notion]);
    stage.run();
    stage.pass(5).await;
    notion.refused.store(true, Ordering::Relaxed);
    stage.accept("e1", page_id(1), "page.created").await;
    stage.pass(5).await;
    notion.refused.store(false, Ordering::Relaxed);
    stage.pass(5).await;
    assert_eq!(stage.events().await[0].1, EventState::Waiting, "nobody asks before somebody had time to mend it");
    stage.new_token.lock().unwrap().as_ref().unwrap()();
    stage.pass(2).await;
    assert_eq!(stage.events().await, [settled("e1")]);
    stage.end().await;
}

/// A look that waits for one source leaves looks for the others, however many pages of it are due.
#[tokio::test(start_paused = true)]
async fn a_source_that_does_not_answer_leaves_looks_to_the_others() {
    let known =
        |page, source: DataSourceId| row(page, source, start() + TimeDelta::days(1), &[("Website", "acme.com")]);
    let hangs = Scripted::new(move |page, _| Ok(known(page, SOURCE))).taking(Duration::from_hours(1));
    let works = Scripted::new(move |page, _| Ok(known(page, OTHER_SOURCE))).with_source(OTHER_SOURCE, &["Website"]);
    let mut stage = Stage::set(&[&hangs, &works]);
    stage.query_min = None;
    stage.run();
    stage.pass(5).await;
    for n in 0..40 {
        let event = stage.event(&format!("e{n}"), page_id(n), "page.created");
        stage.inbox.accept(told_of(event, page_id(n), SOURCE)).await.unwrap();
    }
    stage.pass(5).await;
    let event = stage.event("works", page_id(100), "page.created");
    stage.inbox.accept(told_of(event, page_id(100), OTHER_SOURCE)).await.unwrap();
    stage.pass(5).await;
    let events = stage.events().await;
    assert_eq!(events.iter().filter(|(_, state)| *state == EventState::Waiting).count(), 40);
    assert_eq!(events.last(), Some(&settled("works")));
    assert_eq!(hangs.looks(page_id(100)), 0, "the source that the event names is asked first");
    stage.stop.cancel();
}

/// An event with the body that names where its page is.
fn told_of(event: NewEvent, page: PageId, source: DataSourceId) -> NewEvent {
    let body = crate::world::event(&event.event_id, &event.kind, page, &source.to_string());
    NewEvent { body: body.into_bytes(), ..event }
}

/// A database and its data source are one table, which only their schemas show.
#[tokio::test(start_paused = true)]
async fn two_sources_that_are_one_table_are_read_as_the_first() {
    let first = acme();
    let twin = acme();
    let stage = Stage::set(&[&first, &twin]);
    stage.run();
    stage.pass(5).await;
    let report = stage.health.report(tokio::time::Instant::now());
    let notion = report.into_iter().find(|part| part.name == "notion").unwrap();
    let State::Failing { reason } = notion.state else { panic!("it is told") };
    assert!(reason.contains("which the source crm is already: name every table once"), "{reason}");
    stage.accept("e1", page_id(1), "page.created").await;
    stage.pass(5).await;
    assert_eq!((stage.rows().len(), first.looks(page_id(1)), twin.looks(page_id(1))), (1, 1, 0));
    stage.end().await;
}

/// A source that cannot be read any more is reported, and read again as soon as it can be, without a restart.
#[tokio::test(start_paused = true)]
async fn a_hidden_source_is_reported_and_never_given_up() {
    let notion = acme();
    let stage = Stage::set(&[&notion]);
    stage.run();
    stage.pass(5).await;
    notion.hidden.store(true, Ordering::Relaxed);
    let mut told = stage.event("e1", page_id(1), "data_source.schema_updated");
    told.subject = Some(Subject::Sources);
    stage.inbox.accept(told).await.unwrap();
    stage.accept("e2", page_id(1), "page.created").await;
    stage.pass(60).await;
    let notion_part = |stage: &Stage| {
        let report = stage.health.report(tokio::time::Instant::now());
        report.into_iter().find(|part| part.name == "notion").unwrap().state
    };
    assert!(matches!(notion_part(&stage), State::Failing { .. }));
    stage.pass(12 * 3600).await;
    assert_eq!(stage.events().await[0].1, EventState::Waiting, "it is not parked");
    notion.hidden.store(false, Ordering::Relaxed);
    stage.pass(3600).await;
    assert_eq!(stage.events().await, [settled("e1"), settled("e2")]);
    assert_eq!(notion_part(&stage), State::Well);
    stage.end().await;
}

/// A stop does not wait for an answer that may never come: its events are taken up by the next start.
#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_silent_notion() {
    let notion = acme().taking(Duration::from_hours(1));
    let stage = Stage::set(&[&notion]);
    stage.run();
    stage.accept("e1", page_id(1), "page.created").await;
    stage.pass(5).await;
    let before = tokio::time::Instant::now();
    stage.stop.cancel();
    stage.tasks.close();
    stage.tasks.wait().await;
    assert!(before.elapsed() < Duration::from_secs(8), "{:?}", before.elapsed());
    assert_eq!(stage.events().await[0].1, EventState::Waiting);
}

/// An event that is opened again while its page is being looked at gets a look of its own.
#[tokio::test(start_paused = true)]
async fn an_event_that_comes_during_a_look_is_not_settled_by_it() {
    let notion = acme().taking(Duration::from_secs(10));
    let stage = Stage::set(&[&notion]);
    stage.run();
    stage.accept("e1", page_id(1), "page.created").await;
    stage.pass(5).await;
    assert!(matches!(stage.accept("e2", page_id(1), "page.properties_updated").await, Appended::Waiting(Seq(2))));
    stage.pass(6).await;
    assert_eq!(stage.events().await, [settled("e1"), ("e2".to_owned(), EventState::Waiting)]);
    stage.pass(20).await;
    assert_eq!(stage.events().await, [settled("e1"), settled("e2")]);
    assert_eq!(notion.looks(page_id(1)), 2);
    stage.end().await;
}

/// A page that Notion never brings up to date costs two requests an event, and no more.
#[tokio::test(start_paused = true)]
async fn a_page_that_stays_older_than_its_event_is_not_looked_at_for_ever() {
    let notion =
        Scripted::new(|page, _| Ok(row(page, SOURCE, start() - TimeDelta::hours(1), &[("Website", "acme.com")])));
    let stage = Stage::set(&[&notion]);
    stage.run();
    stage.accept("e1", page_id(1), "page.properties_updated").await;
    stage.pass(600).await;
    assert_eq!(stage.events().await, [settled("e1")]);
    assert_eq!(notion.looks(page_id(1)), 2);
    stage.end().await;
}

/// A bug of ours must not bring the worker down, nor swallow what comes after it.
#[tokio::test(start_paused = true)]
async fn a_look_that_panics_parks_its_events_and_a_retry_takes_them_up() {
    let notion = Scripted::new(|page, nth| {
        assert_ne!(nth, 1, "as a bug would");
        Ok(row(page, SOURCE, start() + TimeDelta::days(1), &[("Website", "acme.com")]))
    });
    let stage = Stage::set(&[&notion]);
    stage.run();
    stage.accept("e1", page_id(1), "page.created").await;
    stage.pass(30).await;
    assert_eq!(stage.events().await, [("e1".to_owned(), EventState::Parked)]);
    assert!(stage.stored_events().await.iter().all(|event| event.reason.is_some()), "a reason is kept");

    stage.accept("e2", page_id(1), "page.properties_updated").await;
    stage.pass(30).await;
    assert_eq!(stage.rows().len(), 1, "a later event of the page is looked at");

    stage.store.inner.write(|rows| rows.unpark(None)).await.unwrap();
    stage.pass(30).await;
    assert!(stage.events().await.iter().all(|(_, state)| *state == EventState::Settled));
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_error_loop_backs_off_and_ends_in_a_parked_event() {
    let notion = Scripted::new(|_, _| Err(NotionError::Unavailable("connection refused".into())));
    let stage = Stage::set(&[&notion]);
    stage.run();
    stage.accept("e1", page_id(1), "page.created").await;
    stage.pass(60).await;
    let looks = notion.looks(page_id(1));
    assert!((5..=8).contains(&looks), "{looks} looks in the first minute");
    stage.pass(3_600).await;
    let looks = notion.looks(page_id(1));
    assert!((18..=36).contains(&looks), "{looks} looks in the first hour");
    let attempts: Vec<_> = stage.stored_events().await.iter().map(|event| event.attempts as usize).collect();
    assert_eq!(attempts, [looks], "the attempts are kept for the next process");
    stage.pass(8 * 3_600).await;
    assert_eq!(stage.events().await, [("e1".to_owned(), EventState::Parked)]);
    stage.end().await;
}
