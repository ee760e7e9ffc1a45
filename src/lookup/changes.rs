//! The entries and their changes, for another cache that keeps a copy of them.
//!
//! A copy begins with all pages of [`Lookup::entries`] and goes on with [`Lookup::changes`] from where the **first** page
//! stood. Each change comes with the entry as it stands when it is read, so that whoever puts that into his copy, or
//! takes it out where there is none, ends with our rows, however often and in whatever pieces he reads:
//!
//! 1. What changed while the pages were read is told again by the changes.
//! 2. Changes are read in their order, and the last one of a key comes with what it left.
//! 3. Where the changes do not tell all, the feed gets another name, and who asks by the old one is told to begin anew:
//!    another list of hard statuses, a source that leaves the settings, a database that was replaced.
//!
//! That rows count for longer is not told, since nearly all would be told every few days: what a copy holds counts as
//! long as it is in touch. What another program writes into a row is told once suppressd has put it right.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    lookup::{Lookup, ground::Ground},
    model::{
        entry::{Cause, Entry, Face, Metadata},
        id::{DataSourceId, PageId},
        key::{Key, Strength},
        verdict::Firmness,
    },
    store::{FeedState, RecordedChange, Rows, Store, StoreError},
};

/// As many changes, or entries, are given at once.
pub const LISTED_MAX: u32 = 1000;

/// Where a reader of the changes stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position {
    /// The last change that he has; `None` for one who wants only what is still to come.
    pub after: Option<u64>,
    /// The name of the feed that came with it, where he gives it.
    pub feed: Option<String>,
}

/// Some changes, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Changes {
    /// The name of the feed at `seq`: give it back together with that.
    pub feed: String,
    /// The last of these changes: ask for those after it next.
    pub seq: u64,
    /// The newest change that there is.
    pub newest: u64,
    /// The oldest change that is kept; one more than `newest` where none is.
    pub oldest: u64,
    /// When this was read.
    pub at: DateTime<Utc>,
    /// Up to when complete sweeps have proven that the CRM holds nothing else; `None` where nothing has.
    pub swept_until: Option<DateTime<Utc>>,
    /// The changes.
    pub changes: Vec<ListedChange>,
}

/// A change of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListedChange {
    /// Its number: later changes have larger ones.
    pub seq: u64,
    /// When it was applied.
    pub changed_at: DateTime<Utc>,
    /// The entry's key.
    pub key: Key,
    /// What the entry said before; `None` where there was none.
    pub from: Option<Face>,
    /// What it said then; `None` where it went.
    pub to: Option<Face>,
    /// The entry as it stands now; `None` where there is none. A copy takes over this, and needs nothing else.
    pub entry: Option<ListedEntry>,
    /// Why it changed.
    pub cause: Cause,
}

/// Some entries, in the order of their keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Entries {
    /// The name of the feed at `seq`: give it back together with that.
    pub feed: String,
    /// The newest change when this was read. A copy follows from that of its first page.
    pub seq: u64,
    /// When this was read.
    pub at: DateTime<Utc>,
    /// Up to when complete sweeps have proven that the CRM holds nothing else; `None` where nothing has.
    pub swept_until: Option<DateTime<Utc>>,
    /// Ask for the entries after this key next; `None` on the last page.
    pub next: Option<Key>,
    /// The entries.
    pub entries: Vec<ListedEntry>,
}

/// An entry with all that a copy needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListedEntry {
    /// The key, unique among the entries.
    pub key: Key,
    /// How surely the key names one company.
    pub strength: Strength,
    /// The page that holds the key.
    pub page: PageId,
    /// The page's address.
    pub page_url: Option<String>,
    /// The CRM's status.
    pub status: String,
    /// Whether the status is in the hard list of the source.
    pub firmness: Firmness,
    /// The company's name in the CRM.
    pub company_name: Option<String>,
    /// The website as the CRM has it.
    pub website: Option<String>,
    /// The data source.
    pub source: DataSourceId,
    /// Which property gave the key.
    pub key_origin: String,
    /// Which door brought the row: `webhook`, `sweep`, `replay` or `lookup`.
    pub synced_from: String,
    /// The page's last edit when the row was written.
    pub last_edited_time: DateTime<Utc>,
    /// When the row was last confirmed in writing.
    pub cached_at: DateTime<Utc>,
    /// When the row stops to count, unless it is confirmed before. That it is, no change tells.
    pub expires_at: DateTime<Utc>,
}

/// Why nobody can go on from where he stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Gone {
    /// Changes that he has not seen are forgotten.
    #[error(
        "the changes after {after} are not all kept, the oldest that is has the number {oldest}: read /v1/entries anew \
         and follow from the `seq` of its first page"
    )]
    TooOld {
        /// The last change that he has.
        after: u64,
        /// The oldest that is kept.
        oldest: u64,
    },
    /// No such change was ever made here.
    #[error(
        "there is no change {after}, the newest has the number {newest}, so the database is another one, or an older \
         copy: read /v1/entries anew and follow from the `seq` of its first page"
    )]
    Ahead {
        /// The last change that he has.
        after: u64,
        /// The newest that there is.
        newest: u64,
    },
    /// What he has does not go on here.
    #[error(
        "the feed is {feed} now: the database or the settings are other ones: read /v1/entries anew and follow from the \
         `seq` of its first page"
    )]
    Renamed {
        /// What the feed is called.
        feed: String,
    },
}

/// Why there are no changes to give.
#[derive(Debug, thiserror::Error)]
pub enum ChangesError {
    /// The reader has to begin anew.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// The store gave nothing.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Changes {
    /// Returns where a reader stands who has these.
    pub fn end(&self) -> Position {
        Position { after: Some(self.seq), feed: Some(self.feed.clone()) }
    }

    /// Returns the name that the feed has at one of these changes.
    pub fn feed_at(&self, change: &ListedChange) -> String {
        named(self.feed.split_once('-').map_or("", |(id, _)| id), Some(change.changed_at))
    }
}

impl<S: Store> Lookup<S> {
    /// Lists changes after where a reader stands, oldest first: at most `limit`, and never more than [`LISTED_MAX`].
    pub async fn changes(&self, position: Position, limit: u32) -> Result<Changes, ChangesError> {
        let lookup = self.clone();
        Ok(self.store().read(move |rows| lookup.changes_from(rows, &position, limit.min(LISTED_MAX))).await??)
    }

    /// Lists entries by key, from after the key `after`: at most `limit`, and never more than [`LISTED_MAX`].
    pub async fn entries(&self, after: Option<String>, limit: u32) -> Result<Entries, StoreError> {
        let lookup = self.clone();
        self.store().read(move |rows| lookup.entries_from(rows, after.as_deref(), limit.min(LISTED_MAX))).await
    }

    fn changes_from(
        &self,
        rows: &mut dyn Rows,
        position: &Position,
        limit: u32,
    ) -> Result<Result<Changes, Gone>, StoreError> {
        let state = rows.feed()?;
        let oldest = state.forgotten_through + 1;
        let after = position.after.unwrap_or(state.newest);
        if after > state.newest {
            return Ok(Err(Gone::Ahead { after, newest: state.newest }));
        }
        if after < state.forgotten_through {
            return Ok(Err(Gone::TooOld { after, oldest }));
        }
        if let Some(asked) = &position.feed
            && !is_named(rows, &state, after, asked)?
        {
            return Ok(Err(Gone::Renamed { feed: state.id }));
        }
        let ground = self.ground(rows)?;
        let recorded = rows.changes(after, limit)?;
        let seq = recorded.last().map_or(after, |last| last.seq);
        Ok(Ok(Changes {
            feed: name(rows, &state, seq)?,
            seq,
            newest: state.newest,
            oldest,
            at: self.clock.now(),
            swept_until: ground.swept_until(rows)?,
            changes: recorded.into_iter().map(|recorded| change(recorded, &ground)).collect(),
        }))
    }

    fn entries_from(&self, rows: &mut dyn Rows, after: Option<&str>, limit: u32) -> Result<Entries, StoreError> {
        let state = rows.feed()?;
        let ground = self.ground(rows)?;
        let (entries, next) = rows.entries(after, limit)?;
        Ok(Entries {
            feed: name(rows, &state, state.newest)?,
            seq: state.newest,
            at: self.clock.now(),
            swept_until: ground.swept_until(rows)?,
            next,
            entries: entries.into_iter().map(|it| entry(it, &ground)).collect(),
        })
    }

    fn ground(&self, rows: &mut dyn Rows) -> Result<Ground, StoreError> {
        self.ground_for(rows, (self.clock.now(), self.settings.max_age), &self.rules.load())
    }
}

/// Returns the name of the feed at a change: the name of the history, and when that change was made. In an older copy of
/// the database that went on by itself, the change with that number was made at another time.
fn name(rows: &mut dyn Rows, state: &FeedState, seq: u64) -> Result<String, StoreError> {
    Ok(named(&state.id, rows.changed_at(seq)?))
}

fn named(id: &str, changed_at: Option<DateTime<Utc>>) -> String {
    format!("{id}-{:x}", changed_at.map_or(0, |at| at.timestamp_micros()))
}

/// Returns whether the feed had that name at a change. Of one that is forgotten, only the history is compared.
fn is_named(rows: &mut dyn Rows, state: &FeedState, seq: u64, asked: &str) -> Result<bool, StoreError> {
    if seq > state.forgotten_through || seq == 0 {
        return Ok(name(rows, state, seq)? == asked);
    }
    Ok(asked.split_once('-').is_some_and(|(id, _)| id == state.id))
}

fn change(recorded: RecordedChange, ground: &Ground) -> ListedChange {
    let RecordedChange { seq, change, entry: current } = recorded;
    ListedChange {
        seq,
        changed_at: change.changed_at,
        key: change.key,
        from: change.from,
        to: change.to,
        entry: current.map(|current| entry(current, ground)),
        cause: change.cause,
    }
}

fn entry(entry: Entry, ground: &Ground) -> ListedEntry {
    let Entry { key, page, status, company_name, cached_at, expires_at, metadata } = entry;
    let Metadata { website, synced_from, source, key_origin, key_strength: _, last_edited_time, page_url } = metadata;
    ListedEntry {
        strength: key.prefix().strength(),
        key,
        page,
        page_url,
        firmness: ground.firmness(Some(source), &status),
        status,
        company_name,
        website,
        source,
        key_origin,
        synced_from,
        last_edited_time,
        cached_at,
        expires_at,
    }
}
