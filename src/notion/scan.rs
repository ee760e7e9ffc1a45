//! A complete scan of one data source, past the cap on a query.
//!
//! One query gives at most 10,000 rows; at the cap the rows just end, and every page of results says `incomplete`
//! (QDS, CL 2026-04-20). The way past it is Notion's own (COOK, SDK:src/helpers.ts): rows come in the order of their
//! creation, which never changes, and where a window ends at the cap, the next one starts **at** the creation time of
//! its last row. Creation times are floored to the minute (REC), so the windows overlap by the rows of that minute,
//! which are left out by their ids. More rows in one minute than the cap cannot be scanned, and that is said.
//!
//! A cursor that is no longer taken (its lifetime is unknown, CL 2026-04-22) is the same case: the scan goes on with a
//! window from the last row.
//!
//! None of this may be trusted to end, or to be in order. A window whose cursors lead in a circle or that gives the
//! same rows for ever is an error. Rows that come late are given like all others, but a window that had some cannot
//! be followed by another: rows older than its newest may be hidden behind its end, and that is an error too.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use chrono::{DateTime, Utc};

use crate::{
    model::{
        id::{DataSourceId, PageId},
        page::Snapshot,
    },
    notion::{Notion, NotionError, Priority, Query, QueryPage, Window},
};

/// Notion's bound on a page of results (QDS).
const PAGE_SIZE: u8 = 100;

/// Fewer rows than this at once are never asked for.
const PAGE_SIZE_MIN: u8 = 10;

/// So many refused cursors in a row, without a new row between them, are given up on.
const REFUSED_CURSORS_MAX: u8 = 3;

/// So many pages of results in a row that bring nothing new are given up on.
const IDLE_MAX: u8 = 20;

/// More rows than this in one window are not believed: Notion's cap is a hundredth of it (QDS).
const WINDOW_ROWS_MAX: usize = 1_000_000;

/// A scan under way.
#[derive(Debug)]
pub struct Scan<N> {
    notion: N,
    data_source: DataSourceId,
    archived: bool,
    priority: Priority,
    state: State,
    overlap: Overlap,
    course: Course,
    refused_cursors: u8,
    until: Option<DateTime<Utc>>,
    page_size: u8,
}

/// Rows that the scan came to, each row once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Those that could be read.
    pub snapshots: Vec<Snapshot>,
    /// Those that are to be fetched one by one.
    pub unread: Vec<PageId>,
}

/// Why a scan does not go on.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// Notion's cap hides rows, and there is no later row to go on from.
    #[error("more rows than one query gives were created at {}: Notion shows only the first of them", described(*.0))]
    Stuck(Option<DateTime<Utc>>),
    /// A query failed. To ask for the next batch again goes on where it stood.
    #[error("cannot read the rows of the data source")]
    Notion(#[from] NotionError),
}

fn described(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| "an unknown time".to_owned(), |at| at.to_rfc3339())
}

#[derive(Debug, Clone)]
enum State {
    At(Place),
    Stuck(Option<DateTime<Utc>>),
    Done,
}

/// Where to ask on.
#[derive(Debug, Clone, Default)]
struct Place {
    /// The creation time that the window starts at; `None` for the first one.
    since: Option<DateTime<Utc>>,
    cursor: Option<String>,
    /// Whether any page of results of this window spoke of the cap.
    capped: bool,
}

impl<N: Notion> Scan<N> {
    /// Returns a scan of the rows of `data_source`: of the `archived` ones, or of the others (QDS gives never both).
    pub fn new(notion: N, data_source: DataSourceId, archived: bool, priority: Priority) -> Self {
        Self {
            notion,
            data_source,
            archived,
            priority,
            state: State::At(Place::default()),
            overlap: Overlap::default(),
            course: Course::default(),
            refused_cursors: 0,
            until: None,
            page_size: PAGE_SIZE,
        }
    }

    /// Restricts a scan that has not begun to the rows that were created from `since` on and `until` then, both
    /// minutes included. Several scans can share a data source that way.
    #[must_use]
    pub fn within(self, since: Option<DateTime<Utc>>, until: Option<DateTime<Utc>>) -> Self {
        Self { state: State::At(Place { since, ..Place::default() }), until, ..self }
    }

    /// Asks for fewer rows at once from now on, as Notion advises when it cannot answer in time (QDS).
    pub fn ask_for_less(&mut self) {
        self.page_size = (self.page_size / 2).max(PAGE_SIZE_MIN);
    }

    /// Asks for as many rows at once as Notion gives.
    pub const fn ask_for_more(&mut self) {
        self.page_size = PAGE_SIZE;
    }

    /// Asks for the next rows: `None` once every row was given. A batch may be empty.
    ///
    /// After an error nothing is lost: the next call asks the same again. A call that is dropped loses nothing either.
    pub async fn next(&mut self) -> Result<Option<Batch>, ScanError> {
        let place = match &self.state {
            State::At(place) => place.clone(),
            State::Stuck(at) => return Err(ScanError::Stuck(*at)),
            State::Done => return Ok(None),
        };
        match self.notion.query(&self.query(&place), self.priority).await {
            Ok(results) => {
                self.check(&place, &results)?;
                Ok(Some(self.take(&place, results)))
            }
            Err(NotionError::CursorRefused) if self.refused_cursors < REFUSED_CURSORS_MAX => {
                if !self.overlap.late.is_empty() {
                    return Err(out_of_order("its cursor is no longer taken").into());
                }
                self.refused_cursors += 1;
                // The rows up to the newest one were given; those of its minute are known by id.
                self.state = self.window_from(self.overlap.newest.or(place.since));
                Ok(Some(Batch::default()))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn query(&self, place: &Place) -> Query {
        Query {
            data_source: self.data_source,
            window: match (place.since, self.until) {
                (since, Some(until)) => Window::CreatedUntil { since, until },
                (Some(since), None) => Window::CreatedSince(since),
                (None, None) => Window::Everything,
            },
            archived: self.archived,
            cursor: place.cursor.clone(),
            page_size: self.page_size,
        }
    }

    /// Refuses results that no end or no whole can come of. Nothing is taken of them, so that the next call asks for
    /// them again.
    fn check(&self, place: &Place, results: &QueryPage) -> Result<(), NotionError> {
        let rows = rows_in(results);
        if self.course.rows + rows > WINDOW_ROWS_MAX {
            return Err(NotionError::Unreadable(format!("one query gives more than {WINDOW_ROWS_MAX} rows")));
        }
        match &results.next_cursor {
            Some(cursor) if self.course.cursors.contains(&hashed(cursor)) => {
                Err(NotionError::Unreadable("the cursor does not move on: it came before".to_owned()))
            }
            Some(_) if self.course.idle_after(rows, self.overlap.is_any_new(results)) >= IDLE_MAX => {
                Err(NotionError::Unreadable(format!("{IDLE_MAX} pages of results in a row without a new row")))
            }
            None if (place.capped || results.capped) && self.overlap.is_out_of_order_with(&results.snapshots) => {
                Err(out_of_order("Notion's cap hides the rest"))
            }
            _ => Ok(()),
        }
    }

    /// Begins a window.
    fn window_from(&mut self, since: Option<DateTime<Utc>>) -> State {
        self.overlap.late.clear();
        self.course = Course { repeats: self.overlap.given.len(), ..Course::default() };
        State::At(Place { since, ..Place::default() })
    }

    /// Takes the rows that are new, and finds out where to go on.
    fn take(&mut self, place: &Place, results: QueryPage) -> Batch {
        let rows = rows_in(&results);
        let batch = self.overlap.leave_out(results.snapshots, results.unread);
        let new = batch.snapshots.len() + batch.unread.len();
        if new > 0 {
            self.refused_cursors = 0;
        }
        self.course.note(rows, new, results.next_cursor.as_deref());
        let capped = place.capped || results.capped;
        let newest = self.overlap.newest;
        self.state = match results.next_cursor {
            Some(cursor) => State::At(Place { since: place.since, cursor: Some(cursor), capped }),
            None if !capped => State::Done,
            None if newest > place.since => self.window_from(newest),
            None => State::Stuck(newest),
        };
        batch
    }
}

fn rows_in(results: &QueryPage) -> usize {
    results.snapshots.len() + results.unread.len()
}

fn hashed(cursor: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    cursor.hash(&mut hasher);
    hasher.finish()
}

fn out_of_order(end: &str) -> NotionError {
    NotionError::Unreadable(format!(
        "the rows do not come in the order of their creation, so that none can be asked for behind the point where {end}"
    ))
}

/// How far the window has come that is being read.
#[derive(Debug, Default)]
struct Course {
    /// Hashes of the cursors that it gave.
    cursors: HashSet<u64>,
    rows: usize,
    /// At most so many rows are still to come that an earlier window gave.
    repeats: usize,
    /// Pages of results in a row that brought it no further.
    idle: u8,
}

impl Course {
    /// Returns how many pages of results brought nothing, after one with `rows`. A minute may have so many rows that
    /// page after page only repeats what an earlier window gave: that is no standstill.
    const fn idle_after(&self, rows: usize, is_any_new: bool) -> u8 {
        let repeats = rows > 0 && self.repeats > 0;
        if is_any_new || repeats { 0 } else { self.idle.saturating_add(1) }
    }

    fn note(&mut self, rows: usize, new: usize, cursor: Option<&str>) {
        self.idle = self.idle_after(rows, new > 0);
        self.repeats = self.repeats.saturating_sub(rows.saturating_sub(new));
        self.rows += rows;
        self.cursors.extend(cursor.map(hashed));
    }
}

/// The rows that a window from the newest creation time on would give once more. Only the ids of that minute are
/// kept, so that memory does not grow with the data source.
#[derive(Debug, Default)]
struct Overlap {
    newest: Option<DateTime<Utc>>,
    given: HashSet<PageId>,
    /// Rows of this window that came after one that was created later. There should be none.
    late: HashSet<PageId>,
}

impl Overlap {
    fn leave_out(&mut self, snapshots: Vec<Snapshot>, unread: Vec<PageId>) -> Batch {
        // Looked up before a newer row clears the ids, and kept after it: when these were created is unknown.
        let unread: Vec<PageId> = unread.into_iter().filter(|id| !self.given.contains(id)).collect();
        let snapshots = snapshots.into_iter().filter(|snapshot| self.is_new(snapshot)).collect();
        self.given.extend(&unread);
        Batch { snapshots, unread }
    }

    fn is_new(&mut self, snapshot: &Snapshot) -> bool {
        let created = Some(snapshot.page.created_time);
        if created > self.newest {
            self.newest = created;
            self.given.clear();
        }
        let known = if created < self.newest { &mut self.late } else { &mut self.given };
        known.insert(snapshot.page.id)
    }

    /// Whether [`Overlap::leave_out`] would leave anything.
    fn is_any_new(&self, results: &QueryPage) -> bool {
        results.unread.iter().any(|id| !self.given.contains(id))
            || results.snapshots.iter().any(|Snapshot { page, .. }| {
                let created = Some(page.created_time);
                let known = if created < self.newest { &self.late } else { &self.given };
                created > self.newest || !known.contains(&page.id)
            })
    }

    /// Whether a row of this window came late, or one of these does.
    fn is_out_of_order_with(&self, snapshots: &[Snapshot]) -> bool {
        let created = snapshots.iter().map(|snapshot| Some(snapshot.page.created_time));
        !self.late.is_empty() || !self.newest.into_iter().map(Some).chain(created).is_sorted()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use chrono::TimeDelta;
    use proptest::prelude::*;
    use uuid::Uuid;

    use crate::model::page::{Page, Parent, Schema, View};

    use super::*;
    use crate::model::id::TableId;

    /// A Notion with one data source, which caps, repeats the minute of a window and fails on demand.
    #[derive(Debug, Clone)]
    struct Fake {
        /// The minute in which each row was created, ascending.
        minutes: Arc<Vec<u32>>,
        /// Rows by number that queries give without their content.
        unread: Arc<HashSet<usize>>,
        cap: usize,
        page_size: usize,
        /// What to answer instead, by the number of the request.
        failures: Arc<Mutex<Vec<(usize, NotionError)>>>,
        asked: Arc<Mutex<Vec<Query>>>,
    }

    fn fake(minutes: Vec<u32>, cap: usize, page_size: usize) -> Fake {
        Fake {
            minutes: Arc::new(minutes),
            unread: Arc::default(),
            cap,
            page_size,
            failures: Arc::default(),
            asked: Arc::default(),
        }
    }

    fn at(minute: u32) -> DateTime<Utc> {
        let start: DateTime<Utc> = "2026-09-01T10:00:00Z".parse().unwrap();
        start + TimeDelta::minutes(minute.into())
    }

    fn id(row: usize) -> PageId {
        PageId::from_uuid(Uuid::from_u128(u128::try_from(row).unwrap()))
    }

    fn data_source() -> DataSourceId {
        DataSourceId::from_uuid(Uuid::from_u128(7))
    }

    fn snapshot(row: usize, minute: u32) -> Snapshot {
        let page = Page {
            id: id(row),
            parent: Parent::DataSource(data_source()),
            created_time: at(minute),
            last_edited_time: at(minute),
            in_trash: false,
            is_archived: false,
            url: None,
            properties: Vec::new(),
        };
        Snapshot { page, observed_at: at(0), view: View::Query }
    }

    impl Fake {
        fn failing(self, failures: Vec<(usize, NotionError)>) -> Self {
            *self.failures.lock().unwrap() = failures;
            self
        }

        fn answer(&self, query: &Query) -> Result<QueryPage, NotionError> {
            let request = self.asked.lock().unwrap().len();
            self.asked.lock().unwrap().push(query.clone());
            let mut failures = self.failures.lock().unwrap();
            if let Some(index) = failures.iter().position(|(failing, _)| *failing == request) {
                return Err(failures.swap_remove(index).1);
            }
            let rows = self.minutes.iter().copied().enumerate();
            let window: Vec<_> = match query.window {
                Window::Everything => rows.collect(),
                Window::CreatedSince(since) => rows.filter(|(_, minute)| at(*minute) >= since).collect(),
                Window::CreatedUntil { since, until } => rows
                    .filter(|(_, minute)| since.is_none_or(|since| at(*minute) >= since) && at(*minute) <= until)
                    .collect(),
                Window::EditedSince(_) => panic!("a scan goes by creation"),
            };
            let from = query.cursor.as_ref().map_or(0, |cursor| cursor.parse().unwrap());
            let capped = window.len() > self.cap;
            let end = window.len().min(self.cap);
            let to = end.min(from + self.page_size);
            let (unread, read): (Vec<_>, Vec<_>) =
                window[from..to].iter().partition(|(row, _)| self.unread.contains(row));
            Ok(QueryPage {
                snapshots: read.into_iter().map(|(row, minute)| snapshot(row, minute)).collect(),
                unread: unread.into_iter().map(|(row, _)| id(row)).collect(),
                next_cursor: (to < end).then(|| to.to_string()),
                capped,
            })
        }
    }

    impl Notion for Fake {
        async fn page(&self, _id: PageId, _priority: Priority) -> Result<Snapshot, NotionError> {
            Err(NotionError::NotFound)
        }

        async fn schemas(&self, _table: TableId, _priority: Priority) -> Result<Vec<Schema>, NotionError> {
            Err(NotionError::NotFound)
        }

        async fn query(&self, query: &Query, _priority: Priority) -> Result<QueryPage, NotionError> {
            self.answer(query)
        }
    }

    /// Scans to the end, going on after every failure, and returns each id given and each error met.
    async fn scan(fake: &Fake) -> (Vec<PageId>, Vec<ScanError>) {
        let mut scan = Scan::new(fake.clone(), data_source(), false, Priority::Sweep);
        let (mut ids, mut errors) = (Vec::new(), Vec::new());
        while errors.len() < 10 {
            match scan.next().await {
                Ok(None) => break,
                Ok(Some(batch)) => {
                    ids.extend(batch.snapshots.iter().map(|snapshot| snapshot.page.id));
                    ids.extend(batch.unread);
                }
                Err(error) => errors.push(error),
            }
        }
        ids.sort_unstable();
        (ids, errors)
    }

    fn all(rows: usize) -> Vec<PageId> {
        (0..rows).map(id).collect()
    }

    #[tokio::test]
    async fn every_row_behind_the_cap_comes_once() {
        let fake = fake((0..25).collect(), 10, 3);
        let (ids, errors) = scan(&fake).await;
        assert_eq!(ids, all(25));
        assert!(errors.is_empty(), "{errors:?}");
        let asked = fake.asked.lock().unwrap();
        let mut windows: Vec<_> = asked.iter().map(|query| query.window).collect();
        windows.dedup();
        assert_eq!(windows, [Window::Everything, Window::CreatedSince(at(9)), Window::CreatedSince(at(18))]);
        assert!(asked.iter().all(|query| query.page_size == 100 && !query.archived));
    }

    #[tokio::test]
    async fn scans_side_by_side_give_every_row_between_them() {
        let fake = fake((0..40).map(|row| row / 2).collect(), 7, 3);
        let mut given = Vec::new();
        for (since, until) in [(None, Some(6)), (Some(6), Some(13)), (Some(13), None)] {
            let scan = Scan::new(fake.clone(), data_source(), false, Priority::Sweep);
            let mut scan = scan.within(since.map(at), until.map(at));
            while let Some(batch) = scan.next().await.unwrap() {
                given.extend(batch.snapshots.iter().map(|snapshot| snapshot.page.id));
            }
        }
        given.sort_unstable();
        let twice = given.windows(2).filter(|pair| pair[0] == pair[1]).count();
        given.dedup();
        assert_eq!((given, twice), (all(40), 4), "only the minutes at the seams come twice");
    }

    #[tokio::test]
    async fn less_is_asked_for_at_once_until_it_works_again() {
        let fake = fake((0..4).collect(), 100, 1);
        let mut scan = Scan::new(fake.clone(), data_source(), false, Priority::Sweep);
        for step in 0..4 {
            scan.next().await.unwrap();
            match step {
                0 | 1 => (0..=step * 9).for_each(|_| scan.ask_for_less()),
                _ => scan.ask_for_more(),
            }
        }
        let asked: Vec<_> = fake.asked.lock().unwrap().iter().map(|query| query.page_size).collect();
        assert_eq!(asked, [100, 50, 10, 100]);
    }

    #[tokio::test]
    async fn a_window_that_cannot_advance_is_said() {
        let (ids, errors) = scan(&fake([vec![0; 5], vec![1; 20]].concat(), 10, 4)).await;
        assert_eq!(ids, all(15));
        assert!(matches!(errors.as_slice(), [ScanError::Stuck(Some(stuck)), ..] if *stuck == at(1)), "{errors:?}");
        assert!(errors.iter().all(|error| matches!(error, ScanError::Stuck(_))), "{errors:?}");
    }

    #[tokio::test]
    async fn rows_without_content_are_named_and_do_not_move_the_window() {
        let mut fake = fake((0..25).collect(), 10, 3);
        fake.unread = Arc::new([0, 9, 11, 24].into());
        let (ids, errors) = scan(&fake).await;
        assert_eq!(ids, all(25));
        assert!(errors.is_empty(), "{errors:?}");
    }

    #[tokio::test]
    async fn rows_that_nobody_can_place_in_time_are_said_to_be_stuck() {
        let mut fake = fake(vec![0; 5], 3, 3);
        fake.unread = Arc::new((0..5).collect());
        let (ids, errors) = scan(&fake).await;
        assert_eq!(ids, all(3));
        assert!(matches!(errors.as_slice(), [ScanError::Stuck(None), ..]), "{errors:?}");
    }

    #[tokio::test]
    async fn a_failure_is_told_and_the_scan_goes_on_from_there() {
        let failure = NotionError::RateLimited { retry_after: std::time::Duration::from_secs(1) };
        let fake = fake((0..9).collect(), 100, 3).failing(vec![(1, failure), (3, NotionError::NotFound)]);
        let (ids, errors) = scan(&fake).await;
        assert_eq!(ids, all(9));
        assert_eq!(errors.len(), 2, "{errors:?}");
        let cursors: Vec<_> = fake.asked.lock().unwrap().iter().map(|query| query.cursor.clone()).collect();
        let cursors: Vec<_> = cursors.iter().map(Option::as_deref).collect();
        assert_eq!(cursors, [None, Some("3"), Some("3"), Some("6"), Some("6")]);
    }

    #[tokio::test]
    async fn a_refused_cursor_begins_a_window_at_the_last_row() {
        let fake = fake(vec![0, 1, 1, 1, 2, 3], 100, 2).failing(vec![(1, NotionError::CursorRefused)]);
        let (ids, errors) = scan(&fake).await;
        assert_eq!(ids, all(6));
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(fake.asked.lock().unwrap()[2].window, Window::CreatedSince(at(1)));
    }

    #[tokio::test]
    async fn cursors_that_are_refused_again_and_again_are_given_up_on() {
        let refusals = (0..40).filter(|n| n % 2 == 1).map(|n| (n, NotionError::CursorRefused)).collect();
        let fake = fake(vec![0; 6], 100, 2).failing(refusals);
        let mut scan = Scan::new(fake.clone(), data_source(), false, Priority::Sweep);
        let mut given = 0;
        let error = loop {
            match scan.next().await {
                Ok(batch) => given += batch.unwrap().snapshots.len(),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, ScanError::Notion(NotionError::CursorRefused)), "{error:?}");
        assert_eq!((given, fake.asked.lock().unwrap().len()), (2, 8));
    }

    #[tokio::test]
    async fn a_cursor_that_does_not_move_on_is_an_error() {
        let mut scan = Scan::new(fake((0..4).collect(), 100, 0), data_source(), true, Priority::Sweep);
        assert!(scan.next().await.is_ok());
        let error = scan.next().await.unwrap_err();
        assert!(matches!(error, ScanError::Notion(NotionError::Unreadable(_))), "{error:?}");
    }

    /// A Notion whose `n`-th answer, from 0 on, is what a function makes of `n`; and how often it was asked.
    struct Scripted<F>(F, Mutex<usize>);

    impl<F: Fn(usize) -> Result<QueryPage, NotionError> + Send + Sync + 'static> Notion for Arc<Scripted<F>> {
        async fn page(&self, _id: PageId, _priority: Priority) -> Result<Snapshot, NotionError> {
            Err(NotionError::NotFound)
        }

        async fn schemas(&self, _table: TableId, _priority: Priority) -> Result<Vec<Schema>, NotionError> {
            Err(NotionError::NotFound)
        }

        async fn query(&self, _query: &Query, _priority: Priority) -> Result<QueryPage, NotionError> {
            let mut asked = self.1.lock().unwrap();
            *asked += 1;
            (self.0)(*asked - 1)
        }
    }

    fn rows(rows: &[(usize, u32)], next_cursor: Option<String>) -> QueryPage {
        let snapshots = rows.iter().map(|(row, minute)| snapshot(*row, *minute)).collect();
        QueryPage { snapshots, unread: Vec::new(), next_cursor, capped: false }
    }

    /// Scans to the first error, and checks that it repeats and means something unreadable. Returns the pages of
    /// results that were taken before it, and what it says.
    async fn first_error<F>(answer: F) -> (usize, String)
    where
        F: Fn(usize) -> Result<QueryPage, NotionError> + Send + Sync + 'static,
    {
        let notion = Arc::new(Scripted(answer, Mutex::new(0)));
        let mut scan = Scan::new(Arc::clone(&notion), data_source(), false, Priority::Sweep);
        let error = loop {
            match scan.next().await {
                Ok(batch) => assert!(batch.is_some(), "the scan came to an end"),
                Err(error) => break error,
            }
        };
        let asked = *notion.1.lock().unwrap();
        for _ in 0..3 {
            let again = scan.next().await.unwrap_err();
            assert_eq!(format!("{again:?}"), format!("{error:?}"));
        }
        assert_eq!(*notion.1.lock().unwrap(), asked + 3, "each call asks again");
        match error {
            ScanError::Notion(NotionError::Unreadable(what)) => (asked - 1, what),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn cursors_that_lead_in_a_circle_are_an_error() {
        let ring = |n: usize| if n < 4 { n.to_string() } else { "1".to_owned() };
        let (taken, what) = first_error(move |n| Ok(rows(&[(n, n.try_into().unwrap())], Some(ring(n))))).await;
        assert_eq!(taken, 4);
        assert!(what.contains("cursor"), "{what}");
    }

    #[tokio::test]
    async fn a_cursor_may_come_again_in_another_window() {
        let answers = [(0, Some("a"), false), (1, None, true), (1, Some("a"), false), (2, None, false)];
        let notion = Scripted(
            move |n: usize| {
                let (row, cursor, capped) = answers[n];
                let results = rows(&[(row, row.try_into().unwrap())], cursor.map(str::to_owned));
                Ok(QueryPage { capped, ..results })
            },
            Mutex::new(0),
        );
        let mut scan = Scan::new(Arc::new(notion), data_source(), false, Priority::Sweep);
        let mut given = 0;
        while let Some(batch) = scan.next().await.unwrap() {
            given += batch.snapshots.len();
        }
        assert_eq!(given, 3);
    }

    #[tokio::test]
    async fn the_same_rows_for_ever_are_an_error() {
        let fresh = |n: usize| Some(n.to_string());
        let (taken, what) = first_error(move |n| Ok(rows(&[(0, 0), (1, 0)], fresh(n)))).await;
        assert_eq!(taken, usize::from(IDLE_MAX));
        assert!(what.contains("without a new row"), "{what}");
        // The second round comes late, and only the third one is known to bring nothing.
        let (taken, _) = first_error(move |n| Ok(rows(&[(n % 5, (n % 5).try_into().unwrap())], fresh(n)))).await;
        assert_eq!(taken, 9 + usize::from(IDLE_MAX) - 1);
        let (taken, _) = first_error(move |n| Ok(rows(&[], fresh(n)))).await;
        assert_eq!(taken, usize::from(IDLE_MAX) - 1);
        let unread = move |n| Ok(QueryPage { unread: vec![id(0)], ..rows(&[], fresh(n)) });
        assert_eq!(first_error(unread).await.0, usize::from(IDLE_MAX));
    }

    #[tokio::test]
    async fn a_crowded_minute_at_a_seam_is_no_standstill() {
        let minutes = [vec![0; 50], vec![1; 150], vec![2; 150]].concat();
        let refusal = vec![(199, NotionError::CursorRefused)];
        let (ids, errors) = scan(&fake(minutes, 200, 1).failing(refusal)).await;
        assert_eq!(ids, all(350));
        assert!(errors.is_empty(), "{errors:?}");
    }

    #[tokio::test]
    async fn a_window_without_end_is_an_error() {
        const AT_ONCE: usize = 20_000;
        let (taken, what) = first_error(move |n| {
            let minute = n.try_into().unwrap();
            let many: Vec<_> = (n * AT_ONCE..(n + 1) * AT_ONCE).map(|row| (row, minute)).collect();
            Ok(rows(&many, Some(n.to_string())))
        })
        .await;
        assert_eq!(taken, WINDOW_ROWS_MAX / AT_ONCE);
        assert!(what.contains("1000000"), "{what}");
    }

    #[tokio::test]
    async fn rows_out_of_order_are_given_where_one_window_holds_them() {
        let (ids, errors) = scan(&fake((0..60).rev().collect(), 60, 1)).await;
        assert_eq!(ids, all(60));
        assert!(errors.is_empty(), "{errors:?}");
    }

    #[tokio::test]
    async fn rows_out_of_order_before_the_cap_are_an_error() {
        for late_on in [1, 2] {
            let (taken, what) = first_error(move |n| {
                let n = n.min(2);
                let minute = if n == late_on { 0 } else { 5 };
                Ok(QueryPage { capped: true, ..rows(&[(n, minute)], (n < 2).then(|| n.to_string())) })
            })
            .await;
            assert_eq!(taken, 2, "the end of the window is not gone beyond");
            assert!(what.contains("order of their creation") && what.contains("cap"), "{what}");
        }
    }

    #[tokio::test]
    async fn rows_out_of_order_before_a_refused_cursor_are_an_error() {
        let (taken, what) = first_error(|n| match n {
            0 => Ok(rows(&[(0, 5), (1, 4)], Some("next".to_owned()))),
            _ => Err(NotionError::CursorRefused),
        })
        .await;
        assert_eq!(taken, 1);
        assert!(what.contains("order of their creation") && what.contains("cursor"), "{what}");
    }

    proptest! {
        #[test]
        fn a_scan_gives_every_row_once_or_says_that_it_is_stuck(
            mut minutes in prop::collection::vec(0_u32..12, 0..60),
            cap in 1_usize..20,
            page_size in 1_usize..7,
            refused in prop::collection::hash_set(1_usize..30, 0..4),
        ) {
            minutes.sort_unstable();
            let rows = minutes.len();
            let crowded = (0..12).any(|minute| minutes.iter().filter(|other| **other == minute).count() >= cap);
            let refusals = refused.into_iter().map(|n| (n, NotionError::CursorRefused)).collect();
            let fake = fake(minutes, cap, page_size).failing(refusals);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (ids, errors) = runtime.block_on(scan(&fake));
            let is_stuck = errors.iter().any(|error| matches!(error, ScanError::Stuck(_)));
            let mut once = ids.clone();
            once.dedup();
            prop_assert_eq!(&ids, &once, "a row came twice");
            prop_assert!(crowded || !is_stuck, "stuck with at most {} rows a minute", cap - 1);
            prop_assert!(is_stuck || ids == all(rows), "{:?} of {}", ids, rows);
        }
    }
}
