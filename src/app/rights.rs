//! Who may do what on a database, across processes: one `serve`, and one that asks Notion.
//!
//! The right to serve is held by `serve` for as long as it runs. The right to work (to ask Notion, within the one budget
//! of its token) is held by whoever does so: `serve`, or a command while no `serve` runs. A command that finds a `serve`
//! hands its work over; a `serve` that finds a command waits until that has ended or given way.

use std::{path::Path, time::Duration};

use crate::store::{Exclusive, Store, StoreError, sqlite::SqliteStore};

/// The right to work: only one process at a time has it.
const WORK: &str = "worker";

/// The right to serve.
const SERVE: &str = "serve";

/// How long a `serve` tries: somebody may just be looking whether one is there.
const TRIED_FOR: u32 = 20;

/// The wait between two tries.
pub(super) const ROUND: Duration = Duration::from_millis(50);

/// Whose turn it is to work.
#[derive(Debug)]
pub(super) enum Turn {
    /// Ours, until this is dropped.
    Ours(Exclusive),
    /// That of a running `serve`.
    Served,
    /// That of another command; it will be over.
    Busy,
}

/// Takes the right to serve; `None` where another process has it.
pub(super) async fn to_serve(store: &impl Store) -> Result<Option<Exclusive>, StoreError> {
    for _ in 0..TRIED_FOR {
        if let Some(right) = store.exclusive(SERVE)? {
            return Ok(Some(right));
        }
        tokio::time::sleep(ROUND).await;
    }
    Ok(None)
}

/// Takes the right to work, if nobody has it.
pub(super) fn to_work(store: &impl Store) -> Result<Option<Exclusive>, StoreError> {
    store.exclusive(WORK)
}

/// Returns whether a `serve` runs on this database.
pub(super) fn is_served(store: &impl Store) -> Result<bool, StoreError> {
    store.is_taken(SERVE)
}

/// Takes every right there is, for whoever replaces the database; `None` where somebody works on it.
pub(super) async fn alone(store: &impl Store) -> Result<Option<(Exclusive, Exclusive)>, StoreError> {
    let Some(serves) = to_serve(store).await? else { return Ok(None) };
    Ok(to_work(store)?.map(|works| (serves, works)))
}

/// Returns which process has the right to serve, and which the right to work, on the file at `path`.
pub(super) fn holders(path: &Path) -> Result<[Option<String>; 2], StoreError> {
    Ok([SqliteStore::holder_at(path, SERVE)?, SqliteStore::holder_at(path, WORK)?])
}

/// As [`turn`], on a file that need not be sound.
pub(super) fn turn_at(path: &Path) -> Result<Turn, StoreError> {
    if SqliteStore::holder_at(path, SERVE)?.is_some() {
        return Ok(Turn::Served);
    }
    Ok(SqliteStore::exclusive_at(path, WORK)?.map_or(Turn::Busy, Turn::Ours))
}

/// Takes the right to work for a command, unless a `serve` is there to work for it.
pub(super) fn turn(store: &impl Store) -> Result<Turn, StoreError> {
    if is_served(store)? {
        return Ok(Turn::Served);
    }
    Ok(to_work(store)?.map_or(Turn::Busy, Turn::Ours))
}
