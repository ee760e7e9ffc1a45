//! Drift: the differences that a sweep found, and whether an event had told them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::id::PageId;

/// The ways in which a sweep finds the cache different.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DriftKind {
    /// The page had no row, or not this one.
    MissingRow,
    /// A row said something else than the page.
    StaleRow,
    /// A row stood for a page that is in the trash or elsewhere.
    ShouldHaveGone,
    /// The page holds other keys than its rows.
    KeyChanged,
}

impl DriftKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::MissingRow, Self::StaleRow, Self::ShouldHaveGone, Self::KeyChanged];

    /// Returns the word under which it is stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MissingRow => "missing_row",
            Self::StaleRow => "stale_row",
            Self::ShouldHaveGone => "should_have_gone",
            Self::KeyChanged => "key_changed",
        }
    }

    /// Returns it in words for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::MissingRow => "missing row",
            Self::StaleRow => "stale row",
            Self::ShouldHaveGone => "leftover row",
            Self::KeyChanged => "changed key",
        }
    }

    /// Reads a word that [`DriftKind::name`] gave.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// What became of the event that should have told of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// None came.
    Never,
    /// One came after the sweep had found it.
    Late,
    /// One was here, and its page waited to be looked at.
    Waiting,
    /// One was here, and its look had failed for good.
    Parked,
    /// One was here, and was not looked at because it seemed to change nothing of ours.
    Skipped,
    /// One was here and had been looked at; Notion showed something else then.
    Settled,
    /// None came, and the page was not edited since the cache saw it: a formula, a rollup or a relation changed.
    Unedited,
    /// None could come: the page is as it was, and another program changed the row.
    Rewritten,
    /// None came, and the page is older than the last complete sweep, which was not shown it: it was shared since, or
    /// moved in.
    Uncovered,
}

/// Why a sweep had to find a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DriftClass {
    /// No event came that should have.
    #[default]
    NeverTold,
    /// An event was here, and its look failed or showed something else.
    ToldButFailed,
    /// An event was here, and was skipped as one that changes nothing of ours.
    Filtered,
    /// An event came, or was looked at, too late.
    ToldLate,
    /// Notion tells no event for it.
    NoEvent,
}

impl DriftClass {
    /// Every class, worst first.
    pub const ALL: [Self; 5] = [Self::NeverTold, Self::ToldButFailed, Self::Filtered, Self::ToldLate, Self::NoEvent];

    /// Returns the word under which it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NeverTold => "never_told",
            Self::ToldButFailed => "told_but_failed",
            Self::Filtered => "filtered",
            Self::ToldLate => "told_late",
            Self::NoEvent => "no_event",
        }
    }

    /// Returns it in words for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::NeverTold => "never told",
            Self::ToldButFailed => "told but failed",
            Self::Filtered => "filtered by us",
            Self::ToldLate => "told late",
            Self::NoEvent => "no event exists for it",
        }
    }
}

impl Told {
    /// Every way.
    pub const ALL: [Self; 9] = [
        Self::Never,
        Self::Late,
        Self::Waiting,
        Self::Parked,
        Self::Skipped,
        Self::Settled,
        Self::Unedited,
        Self::Rewritten,
        Self::Uncovered,
    ];

    /// Returns why a sweep had to find it.
    pub const fn class(self) -> DriftClass {
        match self {
            Self::Never => DriftClass::NeverTold,
            Self::Parked | Self::Settled => DriftClass::ToldButFailed,
            Self::Skipped => DriftClass::Filtered,
            Self::Late | Self::Waiting => DriftClass::ToldLate,
            Self::Unedited | Self::Rewritten | Self::Uncovered => DriftClass::NoEvent,
        }
    }

    /// Returns the word under which it is stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Late => "late",
            Self::Waiting => "waiting",
            Self::Parked => "parked",
            Self::Skipped => "skipped",
            Self::Settled => "settled",
            Self::Unedited => "unedited",
            Self::Rewritten => "rewritten",
            Self::Uncovered => "uncovered",
        }
    }

    /// Reads a word that [`Told::name`] gave.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|told| told.name() == name)
    }
}

/// One difference that a sweep found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Drift {
    /// The page.
    pub page: PageId,
    /// In which way.
    pub kind: DriftKind,
    /// The first key that it is about.
    pub key: Option<String>,
    /// An event about the page that happened before this cannot have told it.
    pub since: DateTime<Utc>,
    /// When the sweep found it.
    pub found_at: DateTime<Utc>,
    /// Whether an event had told it, and what became of that.
    pub told: Told,
    /// Why the sweep had to find it: `told` in one of five words.
    #[serde(default)]
    pub class: DriftClass,
}

/// Differences in figures.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct DriftCounts {
    /// How many of each kind.
    #[serde(flatten)]
    pub by_kind: BTreeMap<DriftKind, u64>,
    /// What became of the events that should have told them.
    pub told: BTreeMap<Told, u64>,
    /// Why the sweep had to find them.
    #[serde(default)]
    pub class: BTreeMap<DriftClass, u64>,
}

impl DriftCounts {
    /// Returns counts with every kind in them.
    pub fn none() -> Self {
        Self {
            by_kind: DriftKind::ALL.into_iter().map(|kind| (kind, 0)).collect(),
            told: BTreeMap::new(),
            class: BTreeMap::new(),
        }
    }

    /// Counts `n` differences more.
    pub fn add(&mut self, kind: DriftKind, told: Told, n: u64) {
        *self.by_kind.entry(kind).or_default() += n;
        *self.told.entry(told).or_default() += n;
        *self.class.entry(told.class()).or_default() += n;
    }

    /// Returns how many there are.
    pub fn total(&self) -> u64 {
        self.by_kind.values().sum()
    }

    /// Returns how many no event had told before the sweep found them.
    pub fn untold(&self) -> u64 {
        let of =
            |told: &Told| *told == Told::Late || matches!(told.class(), DriftClass::NeverTold | DriftClass::NoEvent);
        self.told.iter().filter(|(told, _)| of(told)).map(|(_, n)| n).sum()
    }
}
