//! Events that did not come: the sweep names the cause, which the test knows because it made it.

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use suppressd::{
    model::{
        entry::Door,
        event::{EventKind, Subject},
        id::PageId,
        sweep::{DriftClass, SweepReport, diagnosis::Diagnosis},
    },
    simulator::{
        draft::{changes, company},
        event::{Entity, Event},
    },
    store::{Disposition, NewEvent, Store as _},
};

use crate::sweeping::{World, pass};

/// What is wrong with the deliveries, from the given minute on.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mishap {
    /// The subscription is paused.
    Paused(i64),
    /// It is without edits of properties.
    WithoutEdits(i64),
    /// Each event comes so many minutes late.
    Late(i64),
    /// Every fifth is lost, but not the last ones.
    Lossy,
    /// They come, and their looks fail.
    Parked(i64),
    /// Nothing; but pages change without being edited.
    Recomputed,
    /// Nothing at all.
    None,
}

const MINUTES: i64 = 240;

/// The way of events from a workspace into the inbox of a process that looks at each page at once.
struct Subscription<'a> {
    world: &'a World,
    mishap: Mishap,
    began: DateTime<Utc>,
    late: Vec<(DateTime<Utc>, Event)>,
    taken: usize,
    last_received: Option<DateTime<Utc>>,
}

impl Subscription<'_> {
    async fn deliver(&mut self) {
        let now = self.world.now();
        let minute = (now - self.began).num_minutes();
        for event in self.world.workspace().take_events() {
            self.taken += 1;
            let is_lost = match self.mishap {
                Mishap::Paused(from) => minute >= from,
                Mishap::WithoutEdits(from) => minute >= from && event.kind == EventKind::PagePropertiesUpdated,
                Mishap::Lossy => self.taken.is_multiple_of(5) && minute < MINUTES - 60,
                Mishap::Late(_) | Mishap::Parked(_) | Mishap::Recomputed | Mishap::None => false,
            };
            let late = if let Mishap::Late(minutes) = self.mishap { minutes } else { 0 };
            if !is_lost {
                self.late.push((now + TimeDelta::minutes(late), event));
            }
        }
        let due: Vec<_> = self.late.extract_if(.., |(due, _)| *due <= now).collect();
        for (_, event) in due {
            self.receive(event, minute).await;
        }
    }

    async fn receive(&mut self, event: Event, minute: i64) {
        let Entity::Page(page) = event.entity else { return };
        let process = &self.world.process;
        self.last_received = Some(process.clock.now());
        let received = NewEvent {
            event_id: event.id.to_string(),
            kind: event.kind.name().to_owned(),
            subject: Some(Subject::Page(page)),
            occurred_at: event.at,
            received_at: process.clock.now(),
            door: Door::Webhook,
            disposition: Disposition::Look,
            body: b"{}".to_vec(),
        };
        process.store.append(received).await.unwrap();
        let fails = matches!(self.mishap, Mishap::Parked(from) if minute >= from);
        if !fails {
            process.look(page).await;
        }
        let state = if fails { "parked" } else { "settled" };
        self.world.meddle(&format!("UPDATE suppressd_inbox SET state = '{state}' WHERE event_id = '{}'", event.id));
    }
}

/// Lets people work for some hours, and sweeps; returns the report, and when the last event was received.
async fn run(seed: u64, mishap: Mishap) -> (SweepReport, Option<DateTime<Utc>>) {
    let mut rng = Rng::with_seed(seed);
    let world = World::new().await;
    let pages: Vec<PageId> = world.pages(60);
    let (edited, computed) = pages.split_at(pages.len() - 12);
    world.drift().await;
    pass(TimeDelta::minutes(5)).await;
    world.workspace().take_events();
    let began = world.now();
    let mut subscription =
        Subscription { world: &world, mishap, began, late: Vec::new(), taken: 0, last_received: None };
    for turn in 0..MINUTES / 5 {
        if turn % 6 == 5 {
            world.workspace().create(company(&format!("New {turn}")).website(&format!("https://new-{turn}.com")));
        } else {
            let page = *rng.choice(edited).unwrap();
            world.workspace().edit(page, changes().status(&format!("Status {turn}")));
        }
        pass(TimeDelta::seconds(rng.i64(5..50))).await;
        subscription.deliver().await;
        pass(TimeDelta::minutes(4)).await;
        subscription.deliver().await;
    }
    if mishap == Mishap::Recomputed {
        for page in computed {
            world.workspace().recompute(*page, changes().status("Computed"));
        }
    }
    let last_received = subscription.last_received;
    pass(TimeDelta::seconds(30)).await;
    (world.drift().await.0, last_received)
}

async fn check(mishap: impl Fn(u64) -> Mishap, class: Option<DriftClass>, is_suspect: bool, words: &str) {
    for seed in 1..=3 {
        let mishap = mishap(seed);
        let (report, last_received) = run(seed, mishap).await;
        let Diagnosis { sentence, subscription_suspect } = report.diagnosis.clone().unwrap();
        let told = format!("seed {seed}, {mishap:?}: {sentence}\n{:?}", report.drift);
        assert!(sentence.contains(words), "{words:?} is missing, {told}");
        assert_eq!(subscription_suspect, is_suspect, "{told}");
        let classes: Vec<_> = report.drift.class.keys().copied().collect();
        assert_eq!(classes, class.into_iter().collect::<Vec<_>>(), "{told}");
        if let Mishap::Paused(_) = mishap {
            let since = last_received.unwrap().format("since %Y-%m-%d %H:%M UTC ").to_string();
            assert!(sentence.starts_with(&since), "{since}, {told}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_paused_subscription_is_named_with_the_time_of_the_last_event() {
    let paused = |seed: u64| Mishap::Paused(i64::try_from(seed * 40).unwrap());
    check(paused, Some(DriftClass::NeverTold), true, "no event arrived at all while").await;
}

#[tokio::test(start_paused = true)]
async fn a_subscription_without_one_kind_is_named_with_the_kind() {
    let without = |seed: u64| Mishap::WithoutEdits(i64::try_from(seed * 40).unwrap());
    check(without, Some(DriftClass::NeverTold), true, "no page.properties_updated arrived while").await;
}

#[tokio::test(start_paused = true)]
async fn deliveries_that_lag_are_told_from_those_that_are_lost() {
    let late = |seed: u64| Mishap::Late(i64::try_from(10 + seed * 10).unwrap());
    check(late, Some(DriftClass::NeverTold), false, "min late on average").await;
    check(|_| Mishap::Lossy, Some(DriftClass::NeverTold), false, "Notion does not promise each delivery").await;
}

#[tokio::test(start_paused = true)]
async fn what_notion_tells_no_event_for_and_what_failed_are_told_apart() {
    let none = "events come, but 12 pages changed without one: Notion tells no event for formulas";
    check(|_| Mishap::Recomputed, Some(DriftClass::NoEvent), false, none).await;
    check(|_| Mishap::Parked(100), Some(DriftClass::ToldButFailed), false, "are parked: `suppressd events").await;
    check(|_| Mishap::None, None, false, "nothing to do").await;
}
