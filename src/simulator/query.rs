//! How a data source is queried («QDS»): filters, order, cursors, and the cap behind which Notion falls silent.
//!
//! A query walks one of the two orders that a data source keeps. Its cursor says where it stopped, how many rows it
//! has given, and for which question it is good; to the client it is an opaque word.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    ops::Bound,
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::{
    model::id::{DataSourceId, PageId},
    simulator::{
        shape::Refusal,
        world::{DataSource, Home, Places, Shelf, Shown, Version, World, minute},
    },
};

/// More rows than this cannot be asked for at once («SDK»).
const PAGE_SIZE_MAX: usize = 100;

/// What the body of a query asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query {
    question: Question,
    page_size: usize,
    cursor: Option<Cursor>,
}

/// What a cursor is good for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Question {
    data_source: DataSourceId,
    filters: Vec<Bounds>,
    order: Option<(Stamp, Direction)>,
    archived: bool,
}

/// Which of its times a row is filtered or sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stamp {
    CreatedTime,
    LastEditedTime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Direction {
    Ascending,
    Descending,
}

/// Where a query stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor {
    question: u64,
    at: i64,
    page: PageId,
    given: usize,
    capped: bool,
}

/// What a query found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) rows: Vec<Shown>,
    pub(crate) next_cursor: Option<String>,
    /// Whether there are more rows than one query gives; every page of results says so.
    pub(crate) capped: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    filter: Option<Filter>,
    #[serde(default)]
    sorts: Vec<Sort>,
    start_cursor: Option<String>,
    page_size: Option<usize>,
    #[serde(default)]
    is_archived: bool,
    #[serde(rename = "result_type")]
    _result_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Filter {
    All { and: Vec<StampFilter> },
    One(StampFilter),
}

#[derive(Deserialize)]
struct StampFilter {
    timestamp: Stamp,
    created_time: Option<Condition>,
    last_edited_time: Option<Condition>,
}

#[derive(Deserialize)]
struct Condition {
    on_or_after: Option<DateTime<Utc>>,
    on_or_before: Option<DateTime<Utc>>,
}

/// The times between which a stamp of the rows must lie.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Bounds {
    stamp: Stamp,
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
struct Sort {
    timestamp: Stamp,
    direction: Direction,
}

impl Query {
    /// Reads the body of a query; one without a body asks for everything.
    pub(crate) fn read(data_source: DataSourceId, body: &[u8]) -> Result<Self, Refusal> {
        let json: Json = if body.is_empty() {
            Json::Object(serde_json::Map::new())
        } else {
            serde_json::from_slice(body)
                .map_err(|error| Refusal::new(400, "invalid_json", format!("Error parsing JSON body: {error}.")))?
        };
        let body: Body = serde_json::from_value(json).map_err(|error| invalid(&format!("body failed: {error}")))?;
        let page_size = body.page_size.unwrap_or(PAGE_SIZE_MAX);
        if !(1..=PAGE_SIZE_MAX).contains(&page_size) {
            return Err(invalid(&format!("body.page_size should be from 1 to {PAGE_SIZE_MAX}, is {page_size}")));
        }
        let filters = match body.filter {
            None => Vec::new(),
            Some(Filter::All { and }) => and,
            Some(Filter::One(filter)) => vec![filter],
        };
        let question = Question {
            data_source,
            filters: filters.into_iter().map(StampFilter::bound).collect::<Result<_, _>>()?,
            order: body.sorts.first().map(|sort| (sort.timestamp, sort.direction)),
            archived: body.is_archived,
        };
        let cursor = body.start_cursor.map(|text| question.resume(&text)).transpose()?;
        Ok(Self { question, page_size, cursor })
    }

    /// Returns whether the query goes on where an earlier one stopped.
    pub(crate) const fn goes_on(&self) -> bool {
        self.cursor.is_some()
    }

    /// Answers the query from the index as it was at `seen_at`, giving `rows_max` rows at most over all its pages.
    pub(crate) fn run(&self, world: &World, seen_at: DateTime<Utc>, rows_max: usize) -> Option<Found> {
        let table = world.shared_data_source(self.question.data_source).filter(|table| !table.in_trash)?;
        let walk = Walk { question: &self.question, world, table, seen_at };
        let given = self.cursor.as_ref().map_or(0, |cursor| cursor.given);
        let capped = match &self.cursor {
            Some(cursor) => cursor.capped,
            None => walk.rows_behind(None).nth(rows_max).is_some(),
        };
        let room = self.page_size.min(rows_max.saturating_sub(given));
        let mut walked = walk.rows_behind(self.cursor.as_ref());
        let page: Vec<_> = walked.by_ref().take(room).collect();
        let next_cursor = match page.last() {
            Some((at, last)) if given + page.len() < rows_max && walked.next().is_some() => {
                Some(self.question.pause(*at, last.id, given + page.len(), capped))
            }
            _ => None,
        };
        Some(Found { rows: page.into_iter().map(|(_, shown)| shown).collect(), next_cursor, capped })
    }
}

impl Question {
    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }

    fn pause(&self, at: DateTime<Utc>, page: PageId, given: usize, capped: bool) -> String {
        let cursor = Cursor { question: self.fingerprint(), at: at.timestamp(), page, given, capped };
        hex::encode(serde_json::to_vec(&cursor).unwrap_or_default())
    }

    fn resume(&self, text: &str) -> Result<Cursor, Refusal> {
        let bytes = hex::decode(text).unwrap_or_default();
        match serde_json::from_slice::<Cursor>(&bytes) {
            Ok(cursor) if cursor.question == self.fingerprint() => Ok(cursor),
            _ => Err(cursor_refused()),
        }
    }
}

/// One order of one data source, walked for one question.
struct Walk<'a> {
    question: &'a Question,
    world: &'a World,
    table: &'a DataSource,
    seen_at: DateTime<Utc>,
}

impl<'a> Walk<'a> {
    /// Yields the rows that the question is about, each with its place, from behind `cursor`.
    fn rows_behind(&self, cursor: Option<&Cursor>) -> impl Iterator<Item = (DateTime<Utc>, Shown)> + use<'_, 'a> {
        // Without an order any will do; the newest edit first is one in which rows do move while they are read.
        let (stamp, direction) = self.question.order.unwrap_or((Stamp::LastEditedTime, Direction::Descending));
        let places = match stamp {
            Stamp::CreatedTime => &self.table.by_creation,
            Stamp::LastEditedTime => &self.table.by_edit,
        };
        let behind = cursor.map(|cursor| (DateTime::from_timestamp(cursor.at, 0).unwrap_or_default(), cursor.page));
        ordered(places, self.lowest(stamp), behind, direction)
            .filter_map(move |place| Some((place.0, self.row(stamp, place)?)))
    }

    /// Returns the place below which no row of the question stands.
    fn lowest(&self, stamp: Stamp) -> Option<(DateTime<Utc>, PageId)> {
        let bounds =
            self.question.filters.iter().filter(|bounds| bounds.stamp == stamp).filter_map(|bounds| bounds.since);
        bounds.max().map(|since| (since, PageId::from_uuid(Uuid::nil())))
    }

    /// Shows the row at a place, if the place is that of the version to be shown and the question is about it.
    fn row(&self, stamp: Stamp, (at, id): (DateTime<Utc>, PageId)) -> Option<Shown> {
        let page = self.world.pages.get(&id)?;
        let version = page.at(self.seen_at)?;
        let stamped = |stamp: Stamp, version: &Version| match stamp {
            Stamp::CreatedTime => minute(page.born),
            Stamp::LastEditedTime => version.edited,
        };
        let is_row = version.home == Home::DataSource(self.table.id)
            && version.shelf == Shelf::Live
            && version.is_archived == self.question.archived
            && stamped(stamp, version) == at
            && self.question.filters.iter().all(|bounds| bounds.hold(stamped(bounds.stamp, version)));
        if is_row { self.world.show(page, version) } else { None }
    }
}

/// Walks places from `lowest` on, and from behind `behind` on, in either direction.
fn ordered(
    places: &Places,
    lowest: Option<(DateTime<Utc>, PageId)>,
    behind: Option<(DateTime<Utc>, PageId)>,
    direction: Direction,
) -> Box<dyn Iterator<Item = (DateTime<Utc>, PageId)> + '_> {
    let floor = lowest.map_or(Bound::Unbounded, Bound::Included);
    match direction {
        Direction::Ascending => {
            let from = behind.filter(|behind| lowest.is_none_or(|lowest| *behind >= lowest));
            Box::new(places.range((from.map_or(floor, Bound::Excluded), Bound::Unbounded)).copied())
        }
        Direction::Descending if behind.is_some_and(|behind| lowest.is_some_and(|lowest| behind <= lowest)) => {
            Box::new(std::iter::empty())
        }
        Direction::Descending => {
            let ceiling = behind.map_or(Bound::Unbounded, Bound::Excluded);
            Box::new(places.range((floor, ceiling)).rev().copied())
        }
    }
}

impl StampFilter {
    fn bound(self) -> Result<Bounds, Refusal> {
        let condition = match self.timestamp {
            Stamp::CreatedTime => self.created_time,
            Stamp::LastEditedTime => self.last_edited_time,
        };
        let named = condition.filter(|it| it.on_or_after.is_some() || it.on_or_before.is_some());
        let Condition { on_or_after, on_or_before } =
            named.ok_or_else(|| invalid("body.filter should name a condition for its timestamp"))?;
        Ok(Bounds { stamp: self.timestamp, since: on_or_after, until: on_or_before })
    }
}

impl Bounds {
    fn hold(&self, at: DateTime<Utc>) -> bool {
        self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at <= until)
    }
}

/// Refuses a cursor («CL»).
pub(crate) fn cursor_refused() -> Refusal {
    invalid("The start_cursor provided is invalid")
}

fn invalid(message: &str) -> Refusal {
    Refusal::new(400, "validation_error", format!("{message}."))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use serde_json::json;

    use crate::{
        clock::Clock,
        simulator::{
            draft::{changes, company},
            workspace::{Habits, Workspace},
        },
    };

    use super::*;

    /// Makes a workspace with `n` rows, three a minute, and returns when the first was made.
    fn workspace(n: usize) -> (Workspace, Vec<PageId>, DateTime<Utc>) {
        let workspace = Workspace::new(Clock::system(), 1, Habits::default());
        let start: DateTime<Utc> = "2026-01-05T10:00:00Z".parse().unwrap();
        let mut at = start;
        let ids = std::iter::from_fn(|| {
            at += TimeDelta::seconds(20);
            Some(workspace.place(company("Amber Kiln"), at - TimeDelta::seconds(20)))
        });
        let ids = ids.take(n).collect();
        (workspace, ids, start)
    }

    fn ask(workspace: &Workspace, body: &Json, rows_max: usize) -> Result<Found, Refusal> {
        let query = Query::read(workspace.data_source(), body.to_string().as_bytes())?;
        let now = workspace.clock().now();
        Ok(workspace.look(|world| query.run(world, now, rows_max)).unwrap())
    }

    /// Reads every page of results.
    fn read(workspace: &Workspace, body: &Json, rows_max: usize) -> (Vec<PageId>, Vec<bool>) {
        let (mut ids, mut capped, mut body) = (Vec::new(), Vec::new(), body.clone());
        loop {
            let found = ask(workspace, &body, rows_max).unwrap();
            ids.extend(found.rows.iter().map(|row| row.id));
            capped.push(found.capped);
            match found.next_cursor {
                Some(cursor) => body["start_cursor"] = json!(cursor),
                None => return (ids, capped),
            }
        }
    }

    fn by_creation(direction: &str) -> Json {
        json!({"sorts": [{"timestamp": "created_time", "direction": direction}], "page_size": 7})
    }

    #[test]
    fn every_row_comes_once_in_either_direction() {
        let (workspace, ids, _) = workspace(50);
        for direction in ["ascending", "descending"] {
            let (mut read, capped) = read(&workspace, &by_creation(direction), 10_000);
            assert_eq!((read.len(), capped.len()), (50, 8), "{direction}");
            assert!(!capped.contains(&true));
            read.sort_unstable();
            let mut expected = ids.clone();
            expected.sort_unstable();
            assert_eq!(read, expected, "{direction}");
        }
    }

    #[test]
    fn rows_come_in_the_order_of_their_minute_and_id() {
        let (workspace, ids, _) = workspace(9);
        let (read, _) = read(&workspace, &by_creation("ascending"), 10_000);
        let mut expected: Vec<_> = (0_u8..).zip(ids).map(|(n, id)| (n / 3, id)).collect();
        expected.sort_unstable();
        assert_eq!(read, expected.into_iter().map(|(_, id)| id).collect::<Vec<_>>());
    }

    #[test]
    fn the_cap_is_said_on_every_page_and_windows_lead_past_it() {
        let (workspace, ids, start) = workspace(50);
        let (first, capped) = read(&workspace, &by_creation("ascending"), 30);
        assert_eq!((first.len(), capped), (30, vec![true; 5]));
        let mut body = by_creation("ascending");
        let since = start + TimeDelta::minutes(9);
        body["filter"] = json!({"timestamp": "created_time", "created_time": {"on_or_after": since}});
        let (second, capped) = read(&workspace, &body, 30);
        assert_eq!((second.len(), capped), (23, vec![false; 4]));
        let mut all: Vec<_> = first.into_iter().chain(second).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), ids.len());
    }

    #[test]
    fn exactly_as_many_rows_as_the_cap_are_complete() {
        let (workspace, ..) = workspace(30);
        let (rows, capped) = read(&workspace, &by_creation("ascending"), 30);
        assert_eq!((rows.len(), capped), (30, vec![false; 5]));
    }

    #[test]
    fn a_cursor_is_good_for_its_own_question_only() {
        let (workspace, ..) = workspace(20);
        let cursor = ask(&workspace, &by_creation("ascending"), 10_000).unwrap().next_cursor.unwrap();
        let mut other = by_creation("descending");
        other["start_cursor"] = json!(cursor);
        for body in [other, json!({"start_cursor": "made up"}), json!({"start_cursor": ""})] {
            let refusal = ask(&workspace, &body, 10_000).unwrap_err();
            assert_eq!((refusal.status, refusal.code), (400, "validation_error"));
        }
    }

    #[test]
    fn archived_and_other_rows_never_come_together() {
        let (workspace, ids, _) = workspace(5);
        workspace.archive(ids[1]);
        workspace.trash(ids[2]);
        assert_eq!(read(&workspace, &json!({"is_archived": true}), 10_000).0, [ids[1]]);
        let (plain, _) = read(&workspace, &json!({}), 10_000);
        assert_eq!(plain.len(), 3);
        assert!(!plain.contains(&ids[1]) && !plain.contains(&ids[2]));
    }

    #[test]
    fn an_edited_row_is_found_by_its_edit_and_once() {
        let (workspace, ids, _) = workspace(9);
        let since = minute(workspace.clock().now());
        workspace.edit(ids[4], changes().status("Passed"));
        workspace.edit(ids[4], changes().status("Lost"));
        let body = json!({
            "filter": {"and": [{"timestamp": "last_edited_time", "last_edited_time": {"on_or_after": since}}]},
            "sorts": [{"timestamp": "last_edited_time", "direction": "ascending"}],
        });
        assert_eq!(read(&workspace, &body, 10_000).0, [ids[4]]);
        assert_eq!(read(&workspace, &json!({}), 10_000).0.len(), 9);
    }

    #[test]
    fn a_trailing_index_shows_what_was() {
        let (workspace, ids, _) = workspace(3);
        let before = workspace.clock().now() - TimeDelta::seconds(1);
        workspace.trash(ids[0]);
        workspace.create(company("Quill Weir"));
        let query = Query::read(workspace.data_source(), b"").unwrap();
        let seen = |at| -> Vec<_> {
            let found = workspace.look(|world| query.run(world, at, 10_000)).unwrap();
            found.rows.iter().map(|row| row.id).collect()
        };
        let (then, now) = (seen(before), seen(workspace.clock().now()));
        assert_eq!((then.len(), then.contains(&ids[0])), (3, true));
        assert_eq!((now.len(), now.contains(&ids[0])), (3, false));
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        let (workspace, ..) = workspace(1);
        for body in [
            json!({"page_size": 101}),
            json!({"page_size": 0}),
            json!({"in_trash": true}),
            json!({"filter": {"timestamp": "created_time"}}),
            json!({"filter": {"property": "Status", "status": {"equals": "Passed"}}}),
        ] {
            assert_eq!(ask(&workspace, &body, 10_000).unwrap_err().status, 400, "{body}");
        }
        assert_eq!(Query::read(workspace.data_source(), b"{").unwrap_err().code, "invalid_json");
    }
}
