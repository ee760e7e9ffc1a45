//! The queue of subjects to look at: one place each, however many events name it.
//!
//! A subject is in one of three places: it waits (perhaps not before some instant), it is looked at, or it is looked
//! at **and** something came meanwhile, so that it waits again as soon as the look ends. No event can get lost in
//! between, and no subject is ever looked at twice at once. Everything takes `now`; nothing here waits.
//!
//! A page that waits may be taken together with others, by a query, until queries have failed to settle it often
//! enough or somebody knows that they cannot: then it is looked at by itself.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    model::{event::Subject, id::PageId},
    store::{Seq, Waiting},
    worker::retry::BACKOFF_MAX,
};

/// How long a subject rests when something came while it was looked at: a burst of events about one page, such as a
/// person makes who fills in its fields, then costs a few requests instead of one each.
const REST: TimeDelta = TimeDelta::milliseconds(250);

/// A page that so many queries in a row did not settle is looked at by itself.
pub const QUERIES_MAX: u8 = 4;

/// The queue.
#[derive(Debug)]
pub struct Queue {
    places: HashMap<Subject, Place>,
    /// What waits and may be taken together with others.
    joint: BTreeSet<(DateTime<Utc>, Seq, Subject)>,
    /// What waits and is only taken by itself.
    alone: BTreeSet<(DateTime<Utc>, Seq, Subject)>,
    looks: usize,
    capacity: usize,
    overflowed: bool,
    /// The last time that was told.
    told: DateTime<Utc>,
}

#[derive(Debug)]
enum Place {
    Waits { due_at: DateTime<Utc>, through: Seq, attempts: u32, queries: u8 },
    Looked { through: Seq, newer: Option<Seq>, queries: u8 },
}

/// A subject that is taken to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// What is looked at.
    pub subject: Subject,
    /// The newest event that this look can settle: it was here before the look began.
    pub through: Seq,
    /// How often the look has failed before.
    pub attempts: u32,
    /// How many queries have not settled it since it came into the queue.
    pub queries: u8,
}

/// How a look ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// There is nothing left to do for the events it took.
    Done,
    /// It is to be looked at again.
    Again {
        /// Not before this instant.
        due_at: DateTime<Utc>,
        /// How often it has failed by now.
        attempts: u32,
    },
    /// As `Again`, after a query that did not settle it.
    Queried {
        /// Not before this instant.
        due_at: DateTime<Utc>,
        /// How often it has failed by now.
        attempts: u32,
    },
    /// It is to be looked at by itself, at once.
    Singly,
}

/// Which of what waits may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Whatever is due.
    All,
    /// Only what is taken by itself: the rest is being gathered.
    Alone,
}

impl Queue {
    /// Makes an empty queue with places for `capacity` subjects; the store keeps what does not fit.
    pub fn new(capacity: usize) -> Self {
        Self {
            places: HashMap::new(),
            joint: BTreeSet::new(),
            alone: BTreeSet::new(),
            looks: 0,
            capacity,
            overflowed: false,
            told: DateTime::<Utc>::MIN_UTC,
        }
    }

    /// Gives `subject` a place, or notes in its place that there is something newer.
    ///
    /// An event of a subject that is put off makes it due at once: what failed may well work for what is new.
    pub fn offer(&mut self, subject: Subject, through: Seq, now: DateTime<Utc>) {
        self.tell(now);
        let has_room = self.places.len() < self.capacity;
        match self.places.get_mut(&subject) {
            // Heard of twice, by the bell and from the store: the look or the place covers it already.
            Some(Place::Looked { through: known, .. } | Place::Waits { through: known, .. }) if *known >= through => (),
            Some(Place::Looked { newer, .. }) => *newer = Some(newer.map_or(through, |seq| seq.max(through))),
            // It keeps its turn: a page with many events must not fall behind for having them.
            Some(Place::Waits { due_at, queries, .. }) => {
                let (due_at, queries) = (now.min(*due_at), *queries);
                self.put(subject, Place::Waits { due_at, through, attempts: 0, queries });
            }
            None if has_room => self.put(subject, Place::Waits { due_at: now, through, attempts: 0, queries: 0 }),
            None => self.overflowed = true,
        }
    }

    /// Gives a subject of the store its place, as it was put off. A place that it has is left as it is.
    ///
    /// Nothing is put off in the store for longer than the longest wait between two tries: what seems to be, was before
    /// the clock was set back.
    pub fn restore(&mut self, waiting: &Waiting, now: DateTime<Utc>) {
        self.tell(now);
        let has_room = self.places.len() < self.capacity;
        match self.places.get_mut(&waiting.subject) {
            Some(Place::Looked { through, newer, .. }) if waiting.through > *through => {
                *newer = Some(newer.map_or(waiting.through, |seq| seq.max(waiting.through)));
            }
            Some(Place::Waits { through, due_at, queries, .. }) if waiting.through > *through => {
                let (due_at, queries) = (now.min(*due_at), *queries);
                self.put(waiting.subject, Place::Waits { due_at, through: waiting.through, attempts: 0, queries });
            }
            Some(_) => (),
            None if has_room => {
                let due_at = waiting.due_at.map_or(now, |due_at| due_at.min(now + BACKOFF_MAX));
                let (through, attempts) = (waiting.through, waiting.attempts);
                self.put(waiting.subject, Place::Waits { due_at, through, attempts, queries: 0 });
            }
            None => self.overflowed = true,
        }
    }

    /// Makes everything due that is put off: what failed may well work now. How often it has failed is remembered.
    pub fn hasten(&mut self, now: DateTime<Utc>) {
        self.tell(now);
        for place in self.places.values_mut() {
            if let Place::Waits { due_at, .. } = place {
                *due_at = now.min(*due_at);
            }
        }
        for order in [&mut self.joint, &mut self.alone] {
            let hastened = std::mem::take(order).into_iter();
            *order = hastened.map(|(due_at, through, subject)| (now.min(due_at), through, subject)).collect();
        }
    }

    /// Has a page looked at by itself for which no event asks, not before `due_at` unless one does.
    pub fn doubt(&mut self, page: PageId, due_at: DateTime<Utc>) {
        let subject = Subject::Page(page);
        let (due_at, through, attempts) = match self.places.get_mut(&subject) {
            // What runs may have asked before whatever made somebody doubt it.
            Some(Place::Looked { through, newer, .. }) => {
                newer.get_or_insert(*through);
                return;
            }
            Some(Place::Waits { due_at: earlier, through, attempts, .. }) => {
                (due_at.min(*earlier), *through, *attempts)
            }
            None => (due_at, Seq(0), 0),
        };
        self.put(subject, Place::Waits { due_at, through, attempts, queries: QUERIES_MAX });
    }

    /// Takes the subject that has been due for longest.
    pub fn take(&mut self, which: Which, now: DateTime<Utc>) -> Option<Look> {
        self.tell(now);
        let (due_at, _, subject) = self.first(which)?;
        if due_at > now { None } else { self.take_this(subject) }
    }

    /// Takes a subject that waits, due or not.
    pub fn take_this(&mut self, subject: Subject) -> Option<Look> {
        let look = self.look(subject)?;
        let Look { through, queries, .. } = look;
        self.put(subject, Place::Looked { through, newer: None, queries });
        self.looks += 1;
        Some(look)
    }

    /// Lists pages that are due and may be taken together, those that have been due for longest first.
    pub fn gathered(&self, now: DateTime<Utc>, pages_max: usize) -> Vec<Look> {
        let due = self.joint.iter().take_while(|(due_at, ..)| *due_at <= now).take(pages_max);
        due.filter_map(|(.., subject)| self.look(*subject)).collect()
    }

    /// Keeps a subject that waits from being taken together with others.
    pub fn single_out(&mut self, subject: Subject) {
        if let Some(Place::Waits { due_at, through, attempts, .. }) = self.places.get(&subject) {
            let (due_at, through, attempts) = (*due_at, *through, *attempts);
            self.put(subject, Place::Waits { due_at, through, attempts, queries: QUERIES_MAX });
        }
    }

    /// Ends a look. Where something came meanwhile, the subject waits once more, due after a short rest.
    pub fn end(&mut self, subject: Subject, ended: Ended, now: DateTime<Utc>) {
        self.tell(now);
        let Some(Place::Looked { through, newer, queries }) = self.places.remove(&subject) else { return };
        self.looks = self.looks.saturating_sub(1);
        // Kept over newer events, so that no page is queried for ever without being looked at.
        let queries = match ended {
            Ended::Done => 0,
            Ended::Again { .. } => queries,
            Ended::Queried { .. } => queries.saturating_add(1),
            Ended::Singly => QUERIES_MAX,
        };
        let (due_at, through, attempts) = match (newer, ended) {
            (Some(newer), _) => (now + REST, newer, 0),
            (None, Ended::Again { due_at, attempts } | Ended::Queried { due_at, attempts }) => {
                (due_at, through, attempts)
            }
            (None, Ended::Singly) => (now, through, 0),
            (None, Ended::Done) => return,
        };
        self.put(subject, Place::Waits { due_at, through, attempts, queries });
    }

    /// Returns when the next subject is due.
    pub fn next_due(&self, which: Which) -> Option<DateTime<Utc>> {
        self.first(which).map(|(due_at, ..)| due_at)
    }

    /// Returns how many subjects wait.
    pub fn waiting(&self) -> usize {
        self.joint.len() + self.alone.len()
    }

    /// Returns how many subjects are looked at.
    pub const fn looks(&self) -> usize {
        self.looks
    }

    /// Notes that the store has more than it was asked for.
    pub const fn ask_again(&mut self) {
        self.overflowed = true;
    }

    /// Returns, once, whether some subject found no place and there is room again: then the store is to be asked.
    pub fn wants_more(&mut self) -> bool {
        let wants = self.overflowed && self.places.len() * 2 <= self.capacity;
        if wants {
            self.overflowed = false;
        }
        wants
    }

    /// Takes everything that waits along with a clock that was set back, so that nobody waits for the difference.
    fn tell(&mut self, now: DateTime<Utc>) {
        let set_back_by = self.told - now;
        self.told = now;
        if set_back_by <= TimeDelta::zero() {
            return;
        }
        for place in self.places.values_mut() {
            if let Place::Waits { due_at, .. } = place {
                *due_at -= set_back_by;
            }
        }
        for order in [&mut self.joint, &mut self.alone] {
            *order = std::mem::take(order)
                .into_iter()
                .map(|(due_at, through, subject)| (due_at - set_back_by, through, subject))
                .collect();
        }
    }

    fn first(&self, which: Which) -> Option<(DateTime<Utc>, Seq, Subject)> {
        let joint = self.joint.first().filter(|_| which == Which::All);
        joint.into_iter().chain(self.alone.first()).min().copied()
    }

    fn look(&self, subject: Subject) -> Option<Look> {
        match self.places.get(&subject) {
            Some(Place::Waits { through, attempts, queries, .. }) => {
                Some(Look { subject, through: *through, attempts: *attempts, queries: *queries })
            }
            Some(Place::Looked { .. }) | None => None,
        }
    }

    /// Gives a subject this place instead of the one that it has.
    fn put(&mut self, subject: Subject, place: Place) {
        if let Some(Place::Waits { due_at, through, queries, .. }) = self.places.remove(&subject) {
            self.order(subject, queries).remove(&(due_at, through, subject));
        }
        if let Place::Waits { due_at, through, queries, .. } = place {
            self.order(subject, queries).insert((due_at, through, subject));
        }
        self.places.insert(subject, place);
    }

    fn order(&mut self, subject: Subject, queries: u8) -> &mut BTreeSet<(DateTime<Utc>, Seq, Subject)> {
        match subject {
            Subject::Page(_) if queries < QUERIES_MAX => &mut self.joint,
            Subject::Page(_) | Subject::Sources => &mut self.alone,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(n: u128) -> Subject {
        Subject::Page(PageId::from_uuid(uuid::Uuid::from_u128(n)))
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    #[test]
    fn what_is_hastened_is_due_in_its_order_and_remembers_how_often_it_failed() {
        let mut queue = Queue::new(10);
        for n in [1, 2] {
            queue.offer(page(n), Seq(1), at(0));
            let look = queue.take(Which::All, at(0)).unwrap();
            let due_at = at(300 - 100 * i64::try_from(n).unwrap());
            queue.end(look.subject, Ended::Again { due_at, attempts: 3 }, at(0));
        }
        queue.single_out(page(1));
        assert_eq!(queue.take(Which::All, at(1)), None);
        queue.hasten(at(1));
        let taken: Vec<_> = std::iter::from_fn(|| queue.take(Which::All, at(1))).collect();
        assert_eq!(taken.len(), 2);
        assert!(taken.iter().all(|look| look.attempts == 3), "{taken:?}");
    }

    #[test]
    fn many_events_of_a_page_share_one_place() {
        let mut queue = Queue::new(10);
        for seq in 1..=5 {
            queue.offer(page(1), Seq(seq), at(0));
        }
        assert_eq!(queue.waiting(), 1);
        assert_eq!(
            queue.take(Which::All, at(0)),
            Some(Look { subject: page(1), through: Seq(5), attempts: 0, queries: 0 })
        );
        assert_eq!(queue.take(Which::All, at(0)), None);
    }

    #[test]
    fn an_event_during_a_look_causes_one_more() {
        let mut queue = Queue::new(10);
        queue.offer(page(1), Seq(1), at(0));
        assert!(queue.take(Which::All, at(0)).is_some());
        queue.offer(page(1), Seq(2), at(0));
        queue.offer(page(1), Seq(3), at(0));
        assert_eq!(queue.take(Which::All, at(0)), None, "never two looks at once");
        queue.end(page(1), Ended::Done, at(1));
        assert_eq!(queue.take(Which::All, at(1)), None, "it rests");
        assert_eq!(queue.take(Which::All, at(2)).map(|look| look.through), Some(Seq(3)));
        queue.end(page(1), Ended::Done, at(2));
        assert_eq!((queue.take(Which::All, at(9)), queue.waiting(), queue.looks()), (None, 0, 0));
    }

    #[test]
    fn nobody_waits_for_the_difference_when_the_clock_is_set_back() {
        let mut queue = Queue::new(10);
        queue.offer(page(1), Seq(1), at(10_000));
        assert!(queue.take(Which::All, at(10_000)).is_some());
        queue.end(page(1), Ended::Again { due_at: at(10_030), attempts: 1 }, at(10_000));
        queue.offer(page(2), Seq(2), at(5));
        assert_eq!(queue.take(Which::All, at(5)).map(|look| look.subject), Some(page(2)));
        assert_eq!(queue.take(Which::All, at(34)), None);
        let again = queue.take(Which::All, at(35));
        assert_eq!(again.map(|look| (look.subject, look.through, look.attempts)), Some((page(1), Seq(1), 1)));
        // As stored before: the next start knows nothing of the time in which that was meant.
        queue.restore(&Waiting { subject: page(3), through: Seq(3), attempts: 2, due_at: Some(at(90_000)) }, at(40));
        assert_eq!(queue.take(Which::All, at(39) + BACKOFF_MAX), None);
        assert_eq!(queue.take(Which::All, at(40) + BACKOFF_MAX).map(|look| look.attempts), Some(2));
    }

    #[test]
    fn a_page_with_ever_new_events_keeps_its_turn() {
        let mut queue = Queue::new(10);
        queue.offer(page(1), Seq(1), at(0));
        queue.offer(page(2), Seq(2), at(1));
        queue.offer(page(1), Seq(3), at(2));
        queue.restore(&Waiting { subject: page(1), through: Seq(4), attempts: 0, due_at: None }, at(3));
        assert_eq!(
            queue.take(Which::All, at(3)),
            Some(Look { subject: page(1), through: Seq(4), attempts: 0, queries: 0 })
        );
    }

    #[test]
    fn an_event_that_is_heard_of_twice_causes_one_look() {
        let mut queue = Queue::new(10);
        queue.offer(page(1), Seq(1), at(0));
        assert!(queue.take(Which::All, at(0)).is_some());
        queue.offer(page(1), Seq(1), at(0));
        queue.end(page(1), Ended::Done, at(1));
        assert_eq!((queue.take(Which::All, at(9)), queue.waiting()), (None, 0));
    }

    #[test]
    fn what_the_store_has_in_addition_makes_a_subject_due() {
        let waiting = |seq, due_at| Waiting { subject: page(1), through: Seq(seq), attempts: 2, due_at };
        let mut queue = Queue::new(10);
        queue.restore(&waiting(1, Some(at(60))), at(0));
        assert_eq!(queue.take(Which::All, at(0)), None);
        queue.restore(&waiting(1, Some(at(60))), at(1));
        assert_eq!(queue.next_due(Which::All), Some(at(60)), "it is asked for again and again");
        queue.restore(&waiting(2, None), at(2));
        assert_eq!(
            queue.take(Which::All, at(2)),
            Some(Look { subject: page(1), through: Seq(2), attempts: 0, queries: 0 })
        );
        queue.restore(&waiting(2, None), at(3));
        queue.restore(&waiting(3, None), at(3));
        queue.end(page(1), Ended::Again { due_at: at(90), attempts: 1 }, at(4));
        assert_eq!(queue.take(Which::All, at(5)).map(|look| look.through), Some(Seq(3)));
    }

    #[test]
    fn a_failed_look_waits_until_it_is_due() {
        let mut queue = Queue::new(10);
        queue.offer(page(1), Seq(1), at(0));
        assert!(queue.take(Which::All, at(0)).is_some());
        queue.end(page(1), Ended::Again { due_at: at(60), attempts: 3 }, at(0));
        assert_eq!(queue.take(Which::All, at(59)), None);
        assert_eq!(queue.next_due(Which::All), Some(at(60)));
        assert_eq!(queue.take(Which::All, at(60)).map(|look| look.attempts), Some(3));
    }

    #[test]
    fn what_finds_no_place_is_asked_for_later() {
        let mut queue = Queue::new(2);
        for n in 1..=3 {
            queue.offer(page(n), Seq(1), at(0));
        }
        assert!(!queue.wants_more(), "there is no room yet");
        let look = queue.take(Which::All, at(0)).unwrap();
        queue.end(look.subject, Ended::Done, at(0));
        assert!(queue.wants_more());
        assert!(!queue.wants_more(), "it says so once");
    }

    #[test]
    fn what_is_gathered_is_due_and_is_not_taken_by_itself() {
        let mut queue = Queue::new(10);
        queue.offer(Subject::Sources, Seq(1), at(0));
        for n in 1..=3 {
            queue.offer(page(n), Seq(1), at(i64::try_from(n).unwrap()));
        }
        let gathered: Vec<_> = queue.gathered(at(2), 10).iter().map(|look| look.subject).collect();
        assert_eq!(gathered, [page(1), page(2)]);
        assert_eq!(queue.gathered(at(3), 2).len(), 2, "no more than asked for");
        assert_eq!(queue.take(Which::Alone, at(3)).map(|look| look.subject), Some(Subject::Sources));
        assert_eq!((queue.take(Which::Alone, at(3)), queue.next_due(Which::Alone)), (None, None));
        queue.single_out(page(2));
        assert_eq!(queue.take(Which::Alone, at(3)).map(|look| look.subject), Some(page(2)));
        assert!(queue.take_this(page(2)).is_none(), "never two looks at once");
        assert_eq!(queue.gathered(at(3), 10).len(), 2);
    }

    #[test]
    fn a_page_that_queries_do_not_settle_is_looked_at_by_itself_whatever_comes_meanwhile() {
        let mut queue = Queue::new(10);
        queue.offer(page(1), Seq(1), at(0));
        for n in 0..i64::from(QUERIES_MAX) {
            assert_eq!(queue.gathered(at(n), 10).len(), 1, "{n}");
            assert!(queue.take_this(page(1)).is_some());
            queue.offer(page(1), Seq(2 + n), at(n));
            queue.end(page(1), Ended::Queried { due_at: at(n), attempts: 0 }, at(n));
        }
        assert!(queue.gathered(at(9), 10).is_empty());
        assert_eq!(queue.take(Which::Alone, at(9)).map(|look| look.through), Some(Seq(5)));
        queue.end(page(1), Ended::Done, at(9));
        queue.offer(page(1), Seq(6), at(10));
        assert_eq!(queue.gathered(at(10), 10).len(), 1, "a new event begins anew");
    }

    #[test]
    fn a_doubted_page_is_looked_at_once_more_wherever_it_stands() {
        let doubted = |queue: &mut Queue| queue.doubt(PageId::from_uuid(uuid::Uuid::from_u128(1)), at(5));
        let mut queue = Queue::new(10);
        doubted(&mut queue);
        assert_eq!(queue.take(Which::Alone, at(5)).map(|look| look.through), Some(Seq(0)));
        doubted(&mut queue);
        queue.end(page(1), Ended::Done, at(6));
        assert!(queue.take(Which::All, at(7)).is_some(), "the look that ran may have asked before");
        queue.end(page(1), Ended::Again { due_at: at(60), attempts: 1 }, at(7));
        doubted(&mut queue);
        assert_eq!(queue.next_due(Which::Alone), Some(at(5)));
        assert_eq!(queue.waiting(), 1);
    }
}
