//! The queue of subjects to look at: one place each, however many events name it.
//!
//! A subject is in one of three places: it waits (perhaps not before some instant), it is looked at, or it is looked
//! at **and** something came meanwhile, so that it waits again as soon as the look ends. No event can get lost in
//! between, and no subject is ever looked at twice at once. Everything takes `now`; nothing here waits.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    model::event::Subject,
    store::{Seq, Waiting},
};

/// How long a subject rests when something came while it was looked at: a burst of events about one page, such as a
/// person makes who fills in its fields, then costs a few requests instead of one each.
const REST: TimeDelta = TimeDelta::milliseconds(250);

/// The queue.
#[derive(Debug)]
pub struct Queue {
    places: HashMap<Subject, Place>,
    order: BTreeSet<(DateTime<Utc>, Seq, Subject)>,
    looks: usize,
    capacity: usize,
    overflowed: bool,
}

#[derive(Debug)]
enum Place {
    Waits { due_at: DateTime<Utc>, through: Seq, attempts: u32 },
    Looked { through: Seq, newer: Option<Seq> },
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
}

impl Queue {
    /// Makes an empty queue with places for `capacity` subjects; the store keeps what does not fit.
    pub fn new(capacity: usize) -> Self {
        Self { places: HashMap::new(), order: BTreeSet::new(), looks: 0, capacity, overflowed: false }
    }

    /// Gives `subject` a place, or notes in its place that there is something newer.
    ///
    /// An event of a subject that is put off makes it due at once: what failed may well work for what is new.
    pub fn offer(&mut self, subject: Subject, through: Seq, now: DateTime<Utc>) {
        let has_room = self.places.len() < self.capacity;
        match self.places.get_mut(&subject) {
            // Heard of twice, by the bell and from the store: the look or the place covers it already.
            Some(Place::Looked { through: known, .. } | Place::Waits { through: known, .. }) if *known >= through => (),
            Some(Place::Looked { newer, .. }) => *newer = Some(newer.map_or(through, |seq| seq.max(through))),
            // It keeps its turn: a page with many events must not fall behind for having them.
            Some(Place::Waits { due_at, .. }) => {
                let due_at = now.min(*due_at);
                self.put(subject, due_at, through, 0);
            }
            None if has_room => self.put(subject, now, through, 0),
            None => self.overflowed = true,
        }
    }

    /// Gives a subject of the store its place, as it was put off. A place that it has is left as it is.
    pub fn restore(&mut self, waiting: &Waiting, now: DateTime<Utc>) {
        let has_room = self.places.len() < self.capacity;
        match self.places.get_mut(&waiting.subject) {
            Some(Place::Looked { through, newer }) if waiting.through > *through => {
                *newer = Some(newer.map_or(waiting.through, |seq| seq.max(waiting.through)));
            }
            Some(Place::Waits { through, due_at, .. }) if waiting.through > *through => {
                let due_at = now.min(*due_at);
                self.put(waiting.subject, due_at, waiting.through, 0);
            }
            Some(_) => (),
            None if has_room => {
                self.put(waiting.subject, waiting.due_at.unwrap_or(now), waiting.through, waiting.attempts);
            }
            None => self.overflowed = true,
        }
    }

    /// Takes the subject that has been due for longest.
    pub fn take(&mut self, now: DateTime<Utc>) -> Option<Look> {
        let (due_at, _, subject) = *self.order.first()?;
        if due_at > now {
            return None;
        }
        let Some(Place::Waits { through, attempts, .. }) = self.places.get(&subject) else { return None };
        let look = Look { subject, through: *through, attempts: *attempts };
        self.order.pop_first();
        self.places.insert(subject, Place::Looked { through: look.through, newer: None });
        self.looks += 1;
        Some(look)
    }

    /// Ends a look. Where something came meanwhile, the subject waits once more, due after a short rest.
    pub fn end(&mut self, subject: Subject, ended: Ended, now: DateTime<Utc>) {
        let Some(Place::Looked { through, newer }) = self.places.remove(&subject) else { return };
        self.looks = self.looks.saturating_sub(1);
        match (newer, ended) {
            (Some(newer), _) => self.put(subject, now + REST, newer, 0),
            (None, Ended::Again { due_at, attempts }) => self.put(subject, due_at, through, attempts),
            (None, Ended::Done) => (),
        }
    }

    /// Returns when the next subject is due.
    pub fn next_due(&self) -> Option<DateTime<Utc>> {
        self.order.first().map(|(due_at, ..)| *due_at)
    }

    /// Returns how many subjects wait.
    pub fn waiting(&self) -> usize {
        self.order.len()
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

    fn put(&mut self, subject: Subject, due_at: DateTime<Utc>, through: Seq, attempts: u32) {
        let place = Place::Waits { due_at, through, attempts };
        if let Some(Place::Waits { due_at, through, .. }) = self.places.insert(subject, place) {
            self.order.remove(&(due_at, through, subject));
        }
        self.order.insert((due_at, through, subject));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::PageId;

    fn page(n: u128) -> Subject {
        Subject::Page(PageId::from_uuid(uuid::Uuid::from_u128(n)))
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    #[test]
    fn many_events_of_a_page_share_one_place() {
        let mut queue = Queue::new(10);
        for seq in 1..=5 {
            queue.offer(page(1), Seq(seq), at(0));
        }
        assert_eq!(queue.waiting(), 1);
        assert_eq!(queue.take(at(0)), Some(Look { subject: page(1), through: Seq(5), attempts: 0 }));
        assert_eq!(queue.take(at(0)), None);
    }

    #[test]
    fn an_event_during_a_look_causes_one_more() {
        let mut queue = Queue::new(10);
        queue.offer(page(1), Seq(1), at(0));
        assert!(queue.take(at(0)).is_some());
        queue.offer(page(1), Seq(2), at(0));
        queue.offer(page(1), Seq(3), at(0));
        assert_eq!(queue.take(at(0)), None, "never two looks at once");
        queue.end(page(1), Ended::Done, at(1));
        assert_eq!(queue.take(at(1)), None, "it rests");
        assert_eq!(queue.take(at(2)).map(|look| look.through), Some(Seq(3)));
        queue.end(page(1), Ended::Done, at(2));
        assert_eq!((queue.take(at(9)), queue.waiting(), queue.looks()), (None, 0, 0));
    }

    #[test]
    fn a_page_with_ever_new_events_keeps_its_turn() {
        let mut queue = Queue::new(10);
        queue.offer(page(1), Seq(1), at(0));
        queue.offer(page(2), Seq(2), at(1));
        queue.offer(page(1), Seq(3), at(2));
        queue.restore(&Waiting { subject: page(1), through: Seq(4), attempts: 0, due_at: None }, at(3));
        assert_eq!(queue.take(at(3)), Some(Look { subject: page(1), through: Seq(4), attempts: 0 }));
    }

    #[test]
    fn an_event_that_is_heard_of_twice_causes_one_look() {
        let mut queue = Queue::new(10);
        queue.offer(page(1), Seq(1), at(0));
        assert!(queue.take(at(0)).is_some());
        queue.offer(page(1), Seq(1), at(0));
        queue.end(page(1), Ended::Done, at(1));
        assert_eq!((queue.take(at(9)), queue.waiting()), (None, 0));
    }

    #[test]
    fn what_the_store_has_in_addition_makes_a_subject_due() {
        let waiting = |seq, due_at| Waiting { subject: page(1), through: Seq(seq), attempts: 2, due_at };
        let mut queue = Queue::new(10);
        queue.restore(&waiting(1, Some(at(60))), at(0));
        assert_eq!(queue.take(at(0)), None);
        queue.restore(&waiting(1, Some(at(60))), at(1));
        assert_eq!(queue.next_due(), Some(at(60)), "it is asked for again and again");
        queue.restore(&waiting(2, None), at(2));
        assert_eq!(queue.take(at(2)), Some(Look { subject: page(1), through: Seq(2), attempts: 0 }));
        queue.restore(&waiting(2, None), at(3));
        queue.restore(&waiting(3, None), at(3));
        queue.end(page(1), Ended::Again { due_at: at(90), attempts: 1 }, at(4));
        assert_eq!(queue.take(at(5)).map(|look| look.through), Some(Seq(3)));
    }

    #[test]
    fn a_failed_look_waits_until_it_is_due() {
        let mut queue = Queue::new(10);
        queue.offer(page(1), Seq(1), at(0));
        assert!(queue.take(at(0)).is_some());
        queue.end(page(1), Ended::Again { due_at: at(60), attempts: 3 }, at(0));
        assert_eq!(queue.take(at(59)), None);
        assert_eq!(queue.next_due(), Some(at(60)));
        assert_eq!(queue.take(at(60)).map(|look| look.attempts), Some(3));
    }

    #[test]
    fn what_finds_no_place_is_asked_for_later() {
        let mut queue = Queue::new(2);
        for n in 1..=3 {
            queue.offer(page(n), Seq(1), at(0));
        }
        assert!(!queue.wants_more(), "there is no room yet");
        let look = queue.take(at(0)).unwrap();
        queue.end(look.subject, Ended::Done, at(0));
        assert!(queue.wants_more());
        assert!(!queue.wants_more(), "it says so once");
    }
}
