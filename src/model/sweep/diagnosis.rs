//! What the differences of a sweep mean as a whole, in one sentence, and what to do.
//!
//! The worst cause that is there is named, and no more is claimed than can be known: a page tells the minute of its last
//! edit, and an event when it happened and when it came. Notion aims at delivering each event at most once, so that one
//! that is missing says little, and several one after the other up to the sweep say that none come any more.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::sweep::{DriftKind, Told};

/// As many untold changes after the last event say that none come any more. Fewer can be lost by chance.
const SILENCE_MIN: u64 = 3;

/// Notion gathers events for a minute or so; what comes later than this lags.
const LAG_MIN: TimeDelta = TimeDelta::minutes(5);

/// What events should have told changes of a kind: the first one is named.
const EXPECTED: [(&[DriftKind], &[&str], &str); 3] = [
    (&[DriftKind::StaleRow, DriftKind::KeyChanged], &["page.properties_updated", "page.content_updated"], "changed"),
    (&[DriftKind::MissingRow], &["page.created", "page.undeleted", "page.moved"], "were created"),
    (&[DriftKind::ShouldHaveGone], &["page.deleted", "page.moved"], "were deleted or moved away"),
];

/// What is known of the differences of a sweep, and of the events up to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evidence {
    /// When it was judged.
    pub at: DateTime<Utc>,
    /// When the last complete sweep before it began.
    pub since: DateTime<Utc>,
    /// How many differences there are of each kind of telling.
    pub told: BTreeMap<Told, u64>,
    /// The differences that were never told: in which way, and when the page changed at the earliest.
    pub untold: Vec<(DriftKind, DateTime<Utc>)>,
    /// The events that ever came, by kind.
    pub heard: BTreeMap<String, Heard>,
    /// How late the events came on average since the last complete sweep, where any did.
    pub lag: Option<TimeDelta>,
    /// How late those came that told differences after they were found.
    pub late_by: Option<TimeDelta>,
}

/// The events of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// When the last one was received.
    pub last: DateTime<Utc>,
    /// How many came since the last complete sweep.
    pub since: u64,
}

/// What the differences of a sweep mean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Diagnosis {
    /// It in one sentence, with what to do.
    pub sentence: String,
    /// Whether the subscription in Notion is probably paused, gone, or without a kind of event.
    pub subscription_suspect: bool,
}

/// Says what the differences of a sweep mean as a whole.
pub fn diagnosis(evidence: &Evidence) -> Diagnosis {
    let silent = evidence.never_heard().or_else(|| evidence.silence()).or_else(|| evidence.lagging());
    let (sentence, subscription_suspect) = silent
        .or_else(|| evidence.kind_missing())
        .unwrap_or_else(|| (evidence.of_single_pages().unwrap_or_else(|| ALL_TOLD.to_owned()), false));
    Diagnosis { sentence, subscription_suspect }
}

const ALL_TOLD: &str = "every row was as its page: nothing to do";

impl Evidence {
    fn count(&self, told: Told) -> u64 {
        self.told.get(&told).copied().unwrap_or(0)
    }

    /// Nobody has subscribed yet.
    fn never_heard(&self) -> Option<(String, bool)> {
        let n = self.count(Told::Never);
        (n > 0 && self.heard.is_empty()).then(|| {
            let pages = pages(n);
            (format!("no event has ever come, and {pages} changed: create the webhook subscription in Notion, or leave it to the \
                      sweeps, which find every change later"), true)
        })
    }

    /// No event comes any more, of any kind.
    fn silence(&self) -> Option<(String, bool)> {
        let last = self.heard.values().map(|heard| heard.last).max()?;
        let after = self.untold.iter().filter(|(_, at)| (*at).max(self.since) > last).count() as u64;
        let came_none = self.heard.values().all(|heard| heard.since == 0);
        let never = self.count(Told::Never);
        let is_silent = (came_none && never > 0) || (after >= SILENCE_MIN && !self.lags(last));
        is_silent.then(|| {
            let (at, pages) = (told(last), pages(after.max(if came_none { never } else { 0 })));
            (format!("since {at} no event arrived at all while {pages} changed: if `serve` ran and could be reached, the subscription \
                      in Notion is paused or gone; look at the Webhooks tab of the connection"), true)
        })
    }

    /// Events come, but so late that the newest changes cannot have been told yet.
    fn lagging(&self) -> Option<(String, bool)> {
        let last = self.heard.values().map(|heard| heard.last).max()?;
        let (lag, never) = (self.lag?, self.count(Told::Never));
        (never > 0 && self.lags(last)).then(|| {
            let (lag, pages) = (lag.num_minutes(), pages(never));
            (format!("events come, but {lag} min late on average, and {pages} changed whose events have not come yet: Notion's \
                      delivery lags; nothing to do unless it stays"), false)
        })
    }

    /// Whether events lag, and the last one is not so long ago that none seem to come any more.
    fn lags(&self, last: DateTime<Utc>) -> bool {
        self.lag.is_some_and(|lag| lag >= LAG_MIN && self.at - last <= lag * 2)
    }

    /// Events come, but none of one kind any more.
    fn kind_missing(&self) -> Option<(String, bool)> {
        let missing = EXPECTED.iter().filter_map(|(kinds, events, happened)| {
            let last = events.iter().filter_map(|event| self.heard.get(*event)).map(|heard| heard.last).max();
            let is_after = |at: DateTime<Utc>| last.is_none_or(|last| at.max(self.since) > last);
            let n = self.untold.iter().filter(|(kind, at)| kinds.contains(kind) && is_after(*at)).count() as u64;
            (n >= SILENCE_MIN).then_some((n, last.unwrap_or(self.since), events.first()?, happened))
        });
        let (n, last, event, happened) = missing.max_by_key(|(n, ..)| *n)?;
        let (at, pages) = (told(last), pages(n));
        Some((
            format!(
                "since {at} no {event} arrived while {pages} {happened}: look at the event types of the subscription in Notion"
            ),
            true,
        ))
    }

    /// What single pages were about, the worst first.
    fn of_single_pages(&self) -> Option<String> {
        let total: u64 = self.told.values().sum();
        let came = if self.heard.values().any(|heard| heard.since > 0) { "events come, but " } else { "" };
        let lag = self.late_by.or(self.lag).map_or(0, |lag| lag.num_minutes());
        Told::WORST_FIRST.into_iter().find_map(|it| {
            let n = self.count(it);
            let some = pages(n);
            (n > 0).then(|| match it {
                Told::Skipped => format!("the relevance filter was wrong for {some}: it is off for their source now, and every edit is looked at; please report it"),
                Told::Parked => format!("the events of {some} are parked: `suppressd events list --state parked` says why, and `suppressd events retry --all` takes up what this sweep has not put right"),
                Told::Never => format!("{came}{some} changed without one: Notion does not promise each delivery, and this sweep has put them right; nothing to do while they are few"),
                Told::Settled => format!("{some} had been looked at when their events came, and Notion showed something else then; this sweep has put them right, please report it if it happens often"),
                Told::Late if n == total => format!("all differences were told, only late: Notion's delivery lags by {lag} min"),
                Told::Late => format!("{some} were told, only late: Notion's delivery lags by {lag} min"),
                Told::Waiting => format!("{some} had an event that waited to be looked at: the queue is behind, see `suppressd status`"),
                Told::Rewritten => format!("another program changed the rows of {some}: leave `suppression_cache` to suppressd"),
                Told::Uncovered => format!("{some} were there before the last sweep, which was not shown them: they were shared since or moved in, and Notion tells no event for sharing; nothing to do"),
                Told::Unedited => format!("{came}{some} changed without one: Notion tells no event for formulas, rollups and relations; nothing to do"),
            })
        })
    }
}

impl Told {
    /// Every way, the worst first.
    const WORST_FIRST: [Self; 9] = [
        Self::Skipped,
        Self::Parked,
        Self::Never,
        Self::Settled,
        Self::Waiting,
        Self::Late,
        Self::Rewritten,
        Self::Uncovered,
        Self::Unedited,
    ];
}

fn pages(n: u64) -> String {
    if n == 1 { "1 page".to_owned() } else { format!("{n} pages") }
}

fn told(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    /// An hour ago there was a sweep; events came as told, at these minutes.
    fn evidence(told: &[(Told, u64)], heard: &[(&str, i64, u64)], untold: &[(DriftKind, i64)]) -> Evidence {
        Evidence {
            at: at(120),
            since: at(60),
            told: told.iter().copied().collect(),
            untold: untold.iter().map(|(kind, minutes)| (*kind, at(*minutes))).collect(),
            heard: heard
                .iter()
                .map(|(kind, last, since)| ((*kind).to_owned(), Heard { last: at(*last), since: *since }))
                .collect(),
            lag: Some(TimeDelta::minutes(1)),
            late_by: None,
        }
    }

    const EDITED: &str = "page.properties_updated";
    const CREATED: &str = "page.created";

    type Case = (Evidence, bool, &'static str);

    const WELL: [(&str, i64, u64); 2] = [(EDITED, 110, 40), (CREATED, 100, 5)];

    fn of_deliveries() -> Vec<Case> {
        use DriftKind::{MissingRow, StaleRow};
        use Told::{Never, Parked, Unedited};
        vec![
            (evidence(&[], &WELL, &[]), false, "nothing to do"),
            (
                evidence(&[(Never, 2)], &[], &[(StaleRow, 70), (StaleRow, 71)]),
                true,
                "no event has ever come, and 2 pages changed",
            ),
            (
                evidence(&[(Never, 1)], &[(EDITED, 30, 0)], &[(StaleRow, 70)]),
                true,
                "since 1970-01-01 00:30 UTC no event arrived at all while 1 page changed",
            ),
            (
                evidence(&[(Never, 3), (Parked, 9)], &[(EDITED, 80, 7)], &[(StaleRow, 90); 3]),
                true,
                "since 1970-01-01 01:20 UTC no event arrived at all while 3 pages",
            ),
            (
                evidence(&[(Never, 2)], &[(EDITED, 80, 7)], &[(StaleRow, 90); 2]),
                false,
                "events come, but 2 pages changed without one: Notion does not promise",
            ),
            (
                evidence(&[(Never, 37), (Unedited, 3)], &[(EDITED, 30, 0), (CREATED, 110, 9)], &[(StaleRow, 70); 37]),
                true,
                "since 1970-01-01 00:30 UTC no page.properties_updated arrived while 37 pages changed: look at the event types",
            ),
            (
                evidence(&[(Never, 4)], &[(EDITED, 110, 9)], &[(MissingRow, 70); 4]),
                true,
                "no page.created arrived while 4 pages were created",
            ),
            (
                Evidence {
                    lag: Some(TimeDelta::minutes(14)),
                    ..evidence(&[(Never, 9)], &[(EDITED, 100, 9)], &[(StaleRow, 110); 9])
                },
                false,
                "14 min late on average, and 9 pages changed whose events have not come yet",
            ),
            (
                Evidence {
                    lag: Some(TimeDelta::minutes(14)),
                    ..evidence(&[(Never, 9)], &[(EDITED, 80, 9)], &[(StaleRow, 110); 9])
                },
                true,
                "no event arrived at all while 9 pages",
            ),
        ]
    }

    fn of_pages() -> Vec<Case> {
        use Told::{Late, Parked, Rewritten, Settled, Skipped, Uncovered, Unedited, Waiting};
        vec![
            (evidence(&[(Skipped, 2), (Parked, 1)], &WELL, &[]), false, "the relevance filter was wrong for 2 pages"),
            (evidence(&[(Parked, 5), (Unedited, 7)], &WELL, &[]), false, "the events of 5 pages are parked"),
            (evidence(&[(Settled, 1), (Late, 7)], &WELL, &[]), false, "1 page had been looked at"),
            (
                Evidence { late_by: Some(TimeDelta::minutes(14)), ..evidence(&[(Late, 7)], &WELL, &[]) },
                false,
                "all differences were told, only late: Notion's delivery lags by 14 min",
            ),
            (evidence(&[(Waiting, 7), (Uncovered, 1)], &WELL, &[]), false, "7 pages had an event that waited"),
            (
                evidence(&[(Rewritten, 1), (Unedited, 7)], &WELL, &[]),
                false,
                "another program changed the rows of 1 page",
            ),
            (
                evidence(&[(Unedited, 12)], &WELL, &[]),
                false,
                "events come, but 12 pages changed without one: Notion tells no event for formulas",
            ),
        ]
    }

    #[test]
    fn the_worst_cause_is_named_with_what_to_do() {
        for (evidence, is_suspect, words) in of_deliveries().into_iter().chain(of_pages()) {
            let Diagnosis { sentence, subscription_suspect } = diagnosis(&evidence);
            assert!(sentence.contains(words), "{words:?} is not in {sentence:?}");
            assert_eq!(subscription_suspect, is_suspect, "{sentence}");
        }
    }

    #[test]
    fn every_way_of_telling_has_its_place_and_its_class() {
        for told in Told::ALL {
            assert!(Told::WORST_FIRST.contains(&told));
            assert_eq!(Told::from_name(told.name()), Some(told));
            assert_eq!(serde_json::json!(told.class()), told.class().name());
        }
    }
}
