//! A younger proof: a page is fetched where the cache's is older than was asked for, by whoever may ask Notion.

use std::{fs, time::Duration};

use chrono::TimeDelta;
use suppressd::{
    app::asking,
    clock::Clock,
    config::{Config, Flags},
    lookup::{Question, Terms},
    model::{
        id::PageId,
        verdict::{Answer, Firmness, RestsOn, Verdict},
    },
    simulator::{
        Access,
        draft::{changes, company},
        faults::{Fault, Target},
    },
};

use crate::{pipeline::connect, world::World};

/// An hour; what was proven before must be fetched anew.
const TERMS: Terms = Terms { max_age: Some(TimeDelta::hours(1)), wait: Duration::from_secs(20) };

/// A world in which one company was seen two hours ago, as the database says.
async fn seen_long_ago() -> (World, PageId) {
    let world = World::start().await;
    let page = world.workspace().create(company("Acme").website("acme.com").status("Sourced"));
    world.tell().await;
    set_back(&world);
    (world, page)
}

/// Sets back by two hours when every page was seen.
fn set_back(world: &World) {
    let sql = "UPDATE suppressd_pages SET observed_at = observed_at - 2 * 3600 * 1000000";
    assert!(connect(&world.database()).execute(sql, []).unwrap() > 0);
}

async fn ask(config: &Config, keys: &[&str], terms: Terms) -> Vec<Verdict> {
    let questions = keys.iter().map(|key| Question::Text((*key).to_owned())).collect();
    let answers = asking::answer(config, questions, terms, &Clock::system()).await.unwrap();
    answers.into_iter().map(Result::unwrap).collect()
}

async fn ask_acme(world: &World, terms: Terms) -> Verdict {
    ask(&world.config(), &["domain:acme.com"], terms).await.remove(0)
}

fn wishes(world: &World) -> u64 {
    connect(&world.database()).query_row("SELECT count(*) FROM suppressd_refreshes", [], |row| row.get(0)).unwrap()
}

/// Asks about a page whose status changed and nobody told: one fetch gives the answer.
async fn one_fetch_gives_a_proof(world: &World, page: PageId) {
    world.workspace().edit(page, changes().status("Passed"));
    let asked = world.simulator.tally().total();
    let verdict = ask_acme(world, TERMS).await;
    assert_eq!((verdict.verdict, verdict.rests_on), (Answer::Suppressed, Some(RestsOn::Lookup)), "{verdict:?}");
    let matched = verdict.matched.unwrap();
    assert_eq!((matched.status.as_str(), matched.firmness), ("Passed", Firmness::Hard));
    assert!(verdict.age_seconds.unwrap() < 3600);
    assert_eq!(world.simulator.tally().total(), asked + 1);
    assert_eq!(wishes(world), 0);
    // Now it is young enough.
    assert_eq!(ask_acme(world, TERMS).await.verdict, Answer::Suppressed);
    assert_eq!(world.simulator.tally().total(), asked + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_serve_fetches_what_is_wanted_anew() {
    let (world, page) = seen_long_ago().await;
    one_fetch_gives_a_proof(&world, page).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_serve_who_asks_fetches_it() {
    let (world, page) = seen_long_ago().await;
    world.stop().await;
    one_fetch_gives_a_proof(&world, page).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_alone_answers_stale_and_asks_nobody() {
    let (world, _page) = seen_long_ago().await;
    let asked = world.simulator.tally().total();
    let verdict = ask_acme(&world, Terms { wait: Duration::ZERO, ..TERMS }).await;
    assert_eq!(verdict.verdict, Answer::Stale);
    assert_eq!(ask_acme(&world, Terms::default()).await.verdict, Answer::Suppressed);
    // What no page holds, no fetch of a page can prove.
    assert_eq!(ask(&world.config(), &["domain:nobody.com"], TERMS).await.remove(0).verdict, Answer::Stale);
    assert_eq!((world.simulator.tally().total(), wishes(&world)), (asked, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_had_stays_stale_and_says_why() {
    let (world, page) = seen_long_ago().await;
    world.simulator.faults().next_of(Target::Page(page), 100, Fault::Status(503));
    let verdict = ask_acme(&world, TERMS).await;
    assert_eq!(verdict.verdict, Answer::Stale);
    assert!(verdict.reason.contains("fetching its page failed: ") && verdict.reason.contains("503"), "{verdict:?}");

    world.simulator.faults().calm();
    world.workspace().set_access(page, Access::Unshared);
    let verdict = ask_acme(&world, TERMS).await;
    assert_eq!(verdict.verdict, Answer::Stale);
    assert!(verdict.reason.contains("404"), "{verdict:?}");
    assert!(world.row("domain:acme.com").is_some());

    world.simulator.faults().next_of(Target::Page(page), 1, Fault::Hang(Duration::from_secs(5)));
    let verdict = ask_acme(&world, Terms { wait: Duration::from_millis(50), ..TERMS }).await;
    assert!(verdict.reason.contains("it took longer than 0.0"), "{verdict:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_wish_can_be_made_again() {
    let (world, page) = seen_long_ago().await;
    world.simulator.faults().next_of(Target::Page(page), 100, Fault::Status(503));
    assert_eq!(ask_acme(&world, TERMS).await.verdict, Answer::Stale);
    world.simulator.faults().calm();
    assert_eq!(ask_acme(&world, TERMS).await.verdict, Answer::Suppressed);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_fetched_after_the_question_is_young_enough_however_young_it_was_to_be() {
    let (world, _page) = seen_long_ago().await;
    let verdict = ask_acme(&world, Terms { max_age: Some(TimeDelta::zero()), ..TERMS }).await;
    assert_eq!((verdict.verdict, verdict.rests_on), (Answer::Suppressed, Some(RestsOn::Lookup)), "{verdict:?}");
    // A proof from before the question is not.
    let known = Terms { max_age: Some(TimeDelta::zero()), wait: Duration::ZERO };
    assert_eq!(ask_acme(&world, known).await.verdict, Answer::Stale);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_wait_is_too_long_to_be_counted() {
    let (world, _page) = seen_long_ago().await;
    let terms = Terms { wait: Duration::MAX, ..TERMS };
    assert_eq!(ask_acme(&world, terms).await.verdict, Answer::Suppressed);
    set_back(&world);
    world.stop().await;
    assert_eq!(ask_acme(&world, terms).await.verdict, Answer::Suppressed);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_younger_proof_cannot_be_asked_for_what_is_known_is_told() {
    let (world, _page) = seen_long_ago().await;
    connect(&world.database()).execute("DROP TABLE suppressd_refreshes", []).unwrap();
    let verdict = ask_acme(&world, TERMS).await;
    assert_eq!((verdict.verdict, verdict.fresh_as_of.is_some()), (Answer::Stale, true), "{verdict:?}");
    assert!(verdict.reason.contains("fetching its page failed: "), "{verdict:?}");

    // Without a serve the right to ask Notion cannot be taken.
    world.stop().await;
    let lock = format!("{}.worker.lock", world.database().display());
    fs::remove_file(&lock).unwrap();
    fs::create_dir(&lock).unwrap();
    let verdict = ask_acme(&world, TERMS).await;
    assert_eq!((verdict.verdict, verdict.fresh_as_of.is_some()), (Answer::Stale, true), "{verdict:?}");
    assert!(verdict.reason.contains("its page was not fetched: "), "{verdict:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_left_its_page_is_not_clear_before_a_sweep_says_so() {
    let (world, page) = seen_long_ago().await;
    world.workspace().edit(page, changes().website("acme-two.com"));
    let verdict = ask_acme(&world, TERMS).await;
    assert_eq!((verdict.verdict, verdict.matched), (Answer::Stale, None));
    assert_eq!(ask(&world.config(), &["domain:acme-two.com"], TERMS).await.remove(0).verdict, Answer::Suppressed);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_askers_share_one_fetch_of_a_page() {
    let world = World::start().await;
    let domains: Vec<String> = (0..12).map(|n| format!("acme-{n}.com")).collect();
    let pages: Vec<_> =
        domains.iter().map(|domain| world.workspace().create(company(domain).website(domain).status("Lost"))).collect();
    world.tell().await;
    set_back(&world);
    let before: Vec<u64> = pages.iter().map(|page| world.simulator.tally().of_page(*page)).collect();
    let keys: Vec<&str> = domains.iter().map(String::as_str).collect();
    let config = world.config();
    let (one, other, third) =
        tokio::join!(ask(&config, &keys, TERMS), ask(&config, &keys, TERMS), ask(&config, &keys, TERMS));
    for verdict in one.into_iter().chain(other).chain(third) {
        assert_eq!(verdict.verdict, Answer::Suppressed, "{verdict:?}");
    }
    for (page, before) in pages.iter().zip(before) {
        // One wish is one fetch, however many share it; one that comes when the page was just fetched is another.
        let fetched = world.simulator.tally().of_page(*page) - before;
        assert!((1..=3).contains(&fetched), "{fetched}");
    }
    assert_eq!(wishes(&world), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_ask_notion_says_so() {
    let (world, _page) = seen_long_ago().await;
    world.stop().await;
    let mut environment = world.environment().clone();
    environment.remove("NOTION_API_KEY");
    let config = Config::read(&Flags::new(), &|name: &str| environment.get(name).cloned()).unwrap();
    let verdict = ask(&config, &["acme.com"], TERMS).await.remove(0);
    assert_eq!(verdict.verdict, Answer::Stale);
    assert!(verdict.reason.contains("do not say how to ask Notion"), "{verdict:?}");
}
