//! Which of the pages that are due share a query, and what becomes of those that it showed or did not show.
//!
//! By itself a page costs one request. A query by `last_edited_time` shows a hundred for one; but it is answered from
//! an index that can trail the live page by up to `index_lag`, in whole minutes, and without what is in the trash, in
//! the archive or elsewhere. So, with an event that happened at E and a query that was asked at Q:
//!
//! 1. The row is as new as E's minute, and Q is at least the lag after E: the index had seen the edit. Settled.
//! 2. The row is as new as E's minute, but Q is earlier: it may show an earlier edit of that minute. What it shows is
//!    applied, and the page is asked about again once the lag has passed, together with the others of the burst.
//! 3. The row is older than E's minute, or is not shown: the index trails, or the row is where no query shows it. A few
//!    such pages are fetched. Many of them are more likely to be the index: they are queried again, a bounded number of
//!    times, and then fetched.
//!
//! Everything here is a plain decision over plain data; `worker/group.rs` does what is decided.

use std::collections::BTreeMap;

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};

use crate::{
    model::{
        entry::Standing,
        event::{EventKind, Subject},
        id::{DataSourceId, PageId},
    },
    worker::queue::{Look, QUERIES_MAX},
};

/// From this many pages on a query is worth it, as a rule.
///
/// It costs about two requests, and most bursts need two rounds of it: a fifth of what these pages cost one by one.
/// Fewer are cheap enough, settled a minute earlier, and, four at a time, fresh as soon as a query would have them.
pub const QUERY_MIN: usize = 20;

/// As many pages are looked at together at most: their facts take some 100 ms to read, and the list of them 1 MB.
pub const GROUP_MAX: usize = 5_000;

/// Rows in one page of results: Notion's bound (QDS).
pub const ROWS_AT_ONCE: u8 = 100;

/// A query begins this long before the first event that it is about: edit times are whole minutes, and clocks differ.
const OVERLAP: TimeDelta = TimeDelta::minutes(2);

/// Events further apart than this belong to different bursts: what was edited in between would be read for nothing.
const BURST_GAP: TimeDelta = TimeDelta::minutes(10);

/// A page that is due, with what decides how it is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// What the queue says of it.
    pub look: Look,
    /// The page.
    pub page: PageId,
    /// Where it stands, as far as anybody knows: the cache, or else its event.
    pub source: Option<DataSourceId>,
    /// Whether it is a row there; `None` where the cache does not know it.
    pub standing: Option<Standing>,
    /// When the newest event that waits for it happened, and of what kind it is.
    pub event: Option<(DateTime<Utc>, EventKind)>,
    /// Whether only the page itself can tell: it was behind its event when it was fetched, or is a sample.
    pub needs_page: bool,
}

/// How the pages that are due are looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Those that share a query.
    pub groups: Vec<Group>,
    /// Those that are fetched one by one.
    pub singly: Vec<Subject>,
}

/// Pages of one source that share a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The source that is asked.
    pub source: DataSourceId,
    /// Since when the rows were edited that are asked for.
    pub since: DateTime<Utc>,
    /// The pages.
    pub pages: Vec<Wanted>,
}

/// One page of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// What the queue says of it.
    pub look: Look,
    /// The page.
    pub page: PageId,
    /// When the newest event that waits for it happened.
    pub happened_at: DateTime<Utc>,
}

/// What becomes of a page after a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Its events are settled.
    Settled,
    /// It is asked about again, not before this instant.
    Again(DateTime<Utc>),
    /// It shows less than its event told: what becomes of it depends on how many such there are.
    Missed,
    /// It is fetched.
    Singly,
}

/// Plans how the pages that are due are looked at, where a query is worth it from `query_min` pages on.
pub fn plan(due: Vec<Due>, query_min: usize) -> Plan {
    let mut plan = Plan::default();
    let mut by_source: BTreeMap<DataSourceId, Vec<Wanted>> = BTreeMap::new();
    for page in due {
        match page.wanted() {
            Some((source, wanted)) => by_source.entry(source).or_default().push(wanted),
            None => plan.singly.push(page.look.subject),
        }
    }
    for (source, mut pages) in by_source {
        pages.sort_by_key(|wanted| wanted.happened_at);
        for burst in pages.chunk_by(|earlier, later| later.happened_at - earlier.happened_at <= BURST_GAP) {
            match burst {
                [first, ..] if burst.len() >= query_min => {
                    plan.groups.push(Group { source, since: first.happened_at - OVERLAP, pages: burst.to_vec() });
                }
                few => plan.singly.extend(few.iter().map(|wanted| wanted.look.subject)),
            }
        }
    }
    plan
}

impl Due {
    /// Returns the source that could show the page; `None` where no query can settle it.
    fn wanted(&self) -> Option<(DataSourceId, Wanted)> {
        let (happened_at, kind) = self.event.as_ref()?;
        let is_row = self.standing.is_none_or(|standing| standing == Standing::Listed);
        let has_left = matches!(kind, EventKind::PageDeleted | EventKind::PageMoved);
        let can = is_row && !has_left && !self.needs_page && self.look.queries < QUERIES_MAX;
        let wanted = Wanted { look: self.look, page: self.page, happened_at: *happened_at };
        self.source.filter(|_| can).map(|source| (source, wanted))
    }
}

impl Group {
    /// Returns how many pages of results are asked for at most. Rows that nobody waits for are among them, and where
    /// these are too many, fetching is the better way.
    pub const fn result_pages_max(&self) -> usize {
        2 * self.pages.len().div_ceil(ROWS_AT_ONCE as usize) + 2
    }
}

/// What decides what becomes of a page after a query.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// The instant before the request.
    pub at: DateTime<Utc>,
    /// The present time.
    pub now: DateTime<Utc>,
    /// How far the index may trail the live page.
    pub index_lag: TimeDelta,
    /// From how many pages on a query is worth it.
    pub query_min: usize,
}

impl Asked {
    /// Says what becomes of a page that was shown, whose newest event happened at `happened_at`.
    pub fn shown(self, happened_at: DateTime<Utc>, is_behind: bool) -> Fate {
        if is_behind {
            Fate::Missed
        } else if self.may_trail(happened_at) {
            Fate::Again(self.together(self.caught_up_at(happened_at)))
        } else {
            Fate::Settled
        }
    }

    /// Says what becomes of one of `missed` pages that the query did not show, or showed older than their events.
    pub fn missed(self, happened_at: DateTime<Utc>, queries: u8, missed: usize) -> Fate {
        if missed < self.query_min || queries + 1 >= QUERIES_MAX || self.index_lag <= TimeDelta::zero() {
            return Fate::Singly;
        }
        let again_at = if !self.may_trail(happened_at) {
            // It trails further than it should, or these rows are not shown at all.
            self.now + self.index_lag
        } else if queries == 0 {
            // It mostly catches up sooner: one round in between brings fresh rows for a few requests.
            self.caught_up_at(happened_at).min(self.now + self.index_lag / 3)
        } else {
            self.caught_up_at(happened_at)
        };
        Fate::Again(self.together(again_at))
    }

    /// Returns when a page is fetched of which a query shows something else than the page did a moment ago. Nobody asks
    /// for it, and while the index trails every query of a burst shows the same once more: it costs one request a lag.
    pub fn doubted(self) -> DateTime<Utc> {
        self.together(self.now + self.index_lag)
    }

    /// Returns whether the index may have been asked before it had seen the event's edit.
    fn may_trail(self, happened_at: DateTime<Utc>) -> bool {
        self.at < happened_at + self.index_lag
    }

    /// Returns when a query shows the edit for certain. An event that comes from the future waits no longer than others.
    fn caught_up_at(self, happened_at: DateTime<Utc>) -> DateTime<Utc> {
        happened_at.min(self.now) + self.index_lag
    }

    /// Moves an instant on to one that is shared by what comes a little earlier or later, so that one query serves all.
    fn together(self, at: DateTime<Utc>) -> DateTime<Utc> {
        at.duration_round_up(self.index_lag / 4).unwrap_or(at)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::store::Seq;

    const LAG: TimeDelta = TimeDelta::seconds(60);
    const SOURCE: DataSourceId = DataSourceId::from_uuid(Uuid::from_u128(1));
    const OTHER: DataSourceId = DataSourceId::from_uuid(Uuid::from_u128(2));

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn due(n: u32) -> Due {
        let page = PageId::from_uuid(Uuid::from_u128(n.into()));
        Due {
            look: Look { subject: Subject::Page(page), through: Seq(n.into()), attempts: 0, queries: 0 },
            page,
            source: Some(SOURCE),
            standing: Some(Standing::Listed),
            event: Some((at(1_000 + i64::from(n)), EventKind::PagePropertiesUpdated)),
            needs_page: false,
        }
    }

    /// How many pages go into each group, and how many are fetched.
    fn sizes(plan: &Plan) -> (Vec<usize>, usize) {
        (plan.groups.iter().map(|group| group.pages.len()).collect(), plan.singly.len())
    }

    #[test]
    fn few_pages_are_fetched_and_many_share_a_query() {
        assert_eq!(sizes(&plan((0..19).map(due).collect(), QUERY_MIN)), (vec![], 19));
        let shared = plan((0..20).rev().map(due).collect(), QUERY_MIN);
        assert_eq!(sizes(&shared), (vec![20], 0));
        assert_eq!(shared.groups[0].since, at(1_000 - 120), "two minutes before the first event");
        assert_eq!(shared.groups[0].result_pages_max(), 4);
    }

    #[test]
    fn what_no_query_can_settle_is_fetched() {
        let left = |kind| Due { event: Some((at(1_000), kind)), ..due(1) };
        for single in [
            left(EventKind::PageDeleted),
            left(EventKind::PageMoved),
            Due { standing: Some(Standing::Trashed), ..due(1) },
            Due { standing: Some(Standing::MovedOut), ..due(1) },
            Due { standing: Some(Standing::Gone), ..due(1) },
            Due { source: None, ..due(1) },
            Due { event: None, ..due(1) },
            Due { needs_page: true, ..due(1) },
            Due { look: Look { queries: QUERIES_MAX, ..due(1).look }, ..due(1) },
        ] {
            let plan = plan((10..30).map(due).chain([single.clone()]).collect(), QUERY_MIN);
            assert_eq!((sizes(&plan), &plan.singly[..]), ((vec![20], 1), &[single.look.subject][..]), "{single:?}");
        }
        let unknown = Due { standing: None, ..due(1) };
        assert_eq!(sizes(&plan((10..30).map(due).chain([unknown]).collect(), QUERY_MIN)), (vec![21], 0));
    }

    #[test]
    fn each_source_and_each_burst_has_a_query_of_its_own() {
        let elsewhere = (30..50).map(|n| Due { source: Some(OTHER), ..due(n) });
        let few_elsewhere = (50..53).map(|n| Due { source: Some(DataSourceId::from_uuid(Uuid::nil())), ..due(n) });
        let days_ago = (60..80).map(|n| Due { event: Some((at(-90_000), EventKind::PageCreated)), ..due(n) });
        let plan = plan((0..20).map(due).chain(elsewhere).chain(few_elsewhere).chain(days_ago).collect(), QUERY_MIN);
        assert_eq!(sizes(&plan), (vec![20, 20, 20], 3));
        assert_eq!(plan.groups[0].since, at(-90_000 - 120));
    }

    fn asked(seconds: i64) -> Asked {
        Asked { at: at(seconds), now: at(seconds), index_lag: LAG, query_min: QUERY_MIN }
    }

    #[test]
    fn a_query_settles_what_it_shows_once_the_lag_has_passed() {
        assert_eq!(asked(160).shown(at(100), false), Fate::Settled);
        assert_eq!(asked(160).shown(at(100), true), Fate::Missed);
        let Fate::Again(again_at) = asked(159).shown(at(100), false) else { panic!("the index may trail") };
        assert!(again_at >= at(160) && again_at <= at(175), "{again_at}");
        assert_eq!(asked(158).shown(at(99), false), Fate::Again(again_at), "one query serves both");
        let Fate::Again(again_at) = asked(100).shown(at(9_000), false) else { panic!("it comes from the future") };
        assert!(again_at <= at(175), "{again_at}");
        let without_lag = Asked { index_lag: TimeDelta::zero(), ..asked(100) };
        assert_eq!(without_lag.shown(at(100), false), Fate::Settled);
    }

    #[test]
    fn what_is_missed_is_fetched_where_it_is_little_and_asked_for_again_where_it_is_much() {
        assert_eq!(asked(100).missed(at(100), 0, QUERY_MIN - 1), Fate::Singly);
        assert_eq!(asked(100).missed(at(100), 0, QUERY_MIN), Fate::Again(at(120)), "in a third of the lag");
        assert_eq!(asked(120).missed(at(100), 1, QUERY_MIN), Fate::Again(at(165)), "once the lag has passed");
        assert_eq!(asked(165).missed(at(100), 2, QUERY_MIN), Fate::Again(at(225)), "once more");
        assert_eq!(asked(225).missed(at(100), 3, 10_000), Fate::Singly, "it has been asked for often enough");
        let without_lag = Asked { index_lag: TimeDelta::zero(), ..asked(100) };
        assert_eq!(without_lag.missed(at(100), 0, 10_000), Fate::Singly);
    }
}
