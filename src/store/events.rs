//! The inbox in rows.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    model::{entry::Door, event::Subject, id::DataSourceId},
    store::StoreError,
};

/// The inbox.
pub trait EventRows {
    /// Lists subjects with events that wait, those whose first event came first at the front, due or not.
    fn waiting(&mut self, limit: u32) -> Result<Vec<Waiting>, StoreError>;

    /// Returns the newest event that waits for `subject`, if one does.
    fn newest_waiting(&mut self, subject: Subject) -> Result<Option<StoredEvent>, StoreError>;

    /// Returns when the first event in the inbox that waits was received, samples of what is skipped aside: whatever
    /// else waits came to wait later.
    fn oldest_waiting(&mut self) -> Result<Option<DateTime<Utc>>, StoreError>;

    /// Returns when the last event in the inbox that is parked was received.
    fn newest_parked(&mut self) -> Result<Option<DateTime<Utc>>, StoreError>;

    /// Settles the events of `subject` up to `through`: their work is done. Returns when each of them was received, but
    /// for samples, which wait for longer on purpose.
    fn settle(&mut self, subject: Subject, through: Seq) -> Result<Vec<DateTime<Utc>>, StoreError>;

    /// Puts the events of `subject` up to `through` off until `due`, noting why.
    fn put_off(&mut self, subject: Subject, through: Seq, delay: &Delay) -> Result<u64, StoreError>;

    /// Parks the events of `subject` up to `through`: nobody works on them until somebody asks for it.
    fn park(&mut self, subject: Subject, through: Seq, reason: &str) -> Result<u64, StoreError>;

    /// Makes parked events wait again, all or one; returns how many.
    fn unpark(&mut self, event: Option<&str>) -> Result<u64, StoreError>;

    /// Lists events, newest first.
    fn events(&mut self, filter: EventFilter, limit: u32) -> Result<Vec<StoredEvent>, StoreError>;

    /// Returns stored bodies in the order in which they came, from after `after`.
    fn bodies(&mut self, after: Seq, limit: u32) -> Result<Vec<(Seq, Vec<u8>)>, StoreError>;

    /// Counts events by state and kind, and says when the last one came.
    fn tally(&mut self) -> Result<Tally, StoreError>;

    /// Forgets a little of what is older than the retention: at most `limit` rows; returns how many.
    fn prune(&mut self, retention: &Cutoffs, limit: u32) -> Result<u64, StoreError>;
}

/// The place of an event in the inbox: later events have larger ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub i64);

/// An event to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// What makes two deliveries the same event.
    pub event_id: String,
    /// Notion's name of its kind, or a word for what could not be read.
    pub kind: String,
    /// What it asks to be looked at.
    pub subject: Option<Subject>,
    /// When it happened; the time of receipt where that could not be read.
    pub occurred_at: DateTime<Utc>,
    /// When it was received.
    pub received_at: DateTime<Utc>,
    /// Through which door it came.
    pub door: Door,
    /// What to do with it.
    pub disposition: Disposition,
    /// The body, as it came.
    pub body: Vec<u8>,
}

/// What is to become of an appended event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Its subject is to be looked at.
    Look,
    /// Its page is to be looked at if the cache or a waiting event knows it: it stands outside our sources now.
    LookIfKnown,
    /// It touched nothing that a row depends on: its page is looked at only where the cache has no proof of it as a row
    /// of `source`, or where another page claims one of its keys too, so that the later edit decides. Else it is skipped.
    Skip {
        /// Where the page stands.
        source: DataSourceId,
        /// When its page is looked at all the same, if it is a sample.
        sampled_at: Option<DateTime<Utc>>,
    },
    /// It asks for nothing, and is only kept.
    Ignore,
    /// It could not be read, and is only kept.
    Unreadable,
}

/// What became of an appended event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It is new and waits for its subject to be looked at.
    Waiting(Seq),
    /// It is new and asks for nothing.
    Kept(Seq),
    /// It is new and touched nothing that a row depends on.
    Skipped(Seq),
    /// It was here before. Its work may be done or not: nothing has changed.
    Duplicate,
    /// It was here before, came through the door of `replay`, and waits once more.
    Reopened(Seq),
}

/// Where an event is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EventState {
    /// Its subject is still to be looked at.
    Waiting,
    /// Its work is done.
    Settled,
    /// It failed for good, until somebody takes it up again.
    Parked,
    /// It asked for nothing.
    Ignored,
    /// It touched nothing that a row depends on.
    Skipped,
    /// It could not be read.
    Unreadable,
}

impl EventState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Waiting, Self::Settled, Self::Parked, Self::Ignored, Self::Skipped, Self::Unreadable];

    /// Returns the word for people and machines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Settled => "settled",
            Self::Parked => "parked",
            Self::Ignored => "ignored",
            Self::Skipped => "skipped",
            Self::Unreadable => "unreadable",
        }
    }
}

/// A subject with events that wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// What is to be looked at.
    pub subject: Subject,
    /// The newest event that waits for it.
    pub through: Seq,
    /// How often the look has failed.
    pub attempts: u32,
    /// Not before this instant.
    pub due_at: Option<DateTime<Utc>>,
}

/// Why and until when a subject is put off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delay {
    /// Not before this instant.
    pub due_at: DateTime<Utc>,
    /// How often the look has failed by now.
    pub attempts: u32,
    /// Why.
    pub reason: String,
}

/// An event as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its place.
    pub seq: Seq,
    /// Its id.
    pub event_id: String,
    /// Its kind.
    pub kind: String,
    /// What it asks to be looked at, in text.
    pub subject: Option<Subject>,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// When it was received.
    pub received_at: DateTime<Utc>,
    /// Through which door it came.
    pub door: Door,
    /// Where it is in its life.
    pub state: EventState,
    /// How often its look has failed.
    pub attempts: u32,
    /// When it is looked at next, if it was put off.
    pub due_at: Option<DateTime<Utc>>,
    /// Why it was put off or parked.
    pub reason: Option<String>,
    /// Whether it is a sample of what is skipped.
    pub is_sample: bool,
}

/// Which events to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventFilter {
    /// All of them.
    All,
    /// Those in this state.
    InState(EventState),
}

/// The inbox in figures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many events are in each state.
    pub by_state: Vec<(EventState, u64)>,
    /// How many events were samples of what is skipped, or are yet to be.
    pub sampled: u64,
    /// How many subjects wait.
    pub subjects_waiting: u64,
    /// When the newest event was received.
    pub last_received_at: Option<DateTime<Utc>>,
    /// When the oldest waiting event was received.
    pub oldest_waiting_at: Option<DateTime<Utc>>,
}

/// What is old enough to be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cutoffs {
    /// Bodies received before this are dropped, unless their event still waits or is parked.
    pub bodies_before: DateTime<Utc>,
    /// Events received before this are dropped whole, likewise.
    pub events_before: DateTime<Utc>,
    /// Changes applied before this are dropped.
    pub changes_before: DateTime<Utc>,
    /// Sweeps asked for before this are dropped, with the differences that they found.
    pub sweeps_before: DateTime<Utc>,
}
