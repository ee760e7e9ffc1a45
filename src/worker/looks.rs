//! The looks that run, those that are about to, and for how long pages are gathered before they share one.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio::{
    task::{Id, JoinError, JoinSet},
    time::Instant,
};

use crate::{
    model::event::Subject,
    worker::{
        group::GroupEnded,
        planner::{GROUP_MAX, Group},
        queue::{Look, Queue, Which},
        seats::{Seat, Seats},
    },
};

/// How long pages are gathered once enough of them are due to share a query, so that a burst does not become many
/// small ones.
const GATHERED_FOR: Duration = Duration::from_secs(1);

/// How long at most, where a query still runs.
const GATHERED_FOR_MAX: Duration = Duration::from_secs(3);

/// The looks that run, and those that are about to.
#[derive(Default)]
pub(super) struct Looks {
    pub(super) running: JoinSet<GroupEnded>,
    pub(super) taken: HashMap<Id, Taken>,
    /// Groups that are taken, and wait for their turn.
    pub(super) planned: VecDeque<Group>,
    /// Since when pages that are due are held back, so that more can share a query.
    gathering_since: Option<Instant>,
}

/// What is looked at.
pub(super) enum Taken {
    One(Look),
    Group(Vec<Subject>),
}

impl Looks {
    pub(super) fn ended(
        &mut self,
        ended: Result<(Id, GroupEnded), JoinError>,
    ) -> (Option<Taken>, Result<GroupEnded, JoinError>) {
        match ended {
            Ok((id, ended)) => (self.taken.remove(&id), Ok(ended)),
            Err(error) => (self.taken.remove(&error.id()), Err(error)),
        }
    }

    /// Returns the pages that are due, once enough of them were and had the time to become more. Until then those that
    /// could share a query are held back; while a query runs, so is every one that could have been in it.
    pub(super) fn gathered(&mut self, queue: &Queue, now: DateTime<Utc>, query_min: usize) -> Option<Vec<Look>> {
        let enough = if self.groups() == 0 { query_min } else { 1 };
        if self.gathering_since.is_none() && queue.gathered(now, enough).len() >= enough {
            self.gathering_since = Some(Instant::now());
        }
        if self.gathered_in()? > Duration::ZERO {
            return None;
        }
        self.gathering_since = None;
        Some(queue.gathered(now, GROUP_MAX))
    }

    /// Takes the first group whose source has a seat free, with that seat.
    pub(super) fn next_group(&mut self, seats: &Seats) -> Option<(Group, Seat)> {
        let mut planned = self.planned.iter().enumerate();
        let (nth, seat) = planned.find_map(|(nth, group)| Some((nth, seats.take(Some(group.source))?)))?;
        Some((self.planned.remove(nth)?, seat))
    }

    /// Returns how many groups are looked at, or are about to be.
    fn groups(&self) -> usize {
        self.planned.len() + self.taken.values().filter(|taken| matches!(taken, Taken::Group(_))).count()
    }

    /// Returns which subjects may be taken by themselves now.
    pub(super) const fn which(&self) -> Which {
        if self.gathering_since.is_some() { Which::Alone } else { Which::All }
    }

    /// Returns in what time enough was gathered; `None` where nothing is.
    pub(super) fn gathered_in(&self) -> Option<Duration> {
        let wait = if self.groups() == 0 { GATHERED_FOR } else { GATHERED_FOR_MAX };
        self.gathering_since.map(|since| wait.saturating_sub(since.elapsed()))
    }
}
