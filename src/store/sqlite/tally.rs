//! The inbox in figures, each counted in the index that has it.

use crate::store::{
    EventState, StoreError, Tally,
    sqlite::{SqliteRows, unavailable},
};

/// Is true of parked events. SQLite takes their index only where the query says what the index says.
pub(crate) const PARKED: &str = "state = 'parked' AND state IN ('parked', 'ignored', 'unreadable')";

/// Selects when the newest event was received, but for those that the doctor sends itself.
pub(crate) const NEWEST_RECEIVED: &str =
    "SELECT received_at FROM suppressd_inbox WHERE kind <> 'suppressd.doctor' ORDER BY seq DESC LIMIT 1";

/// Counts the events.
pub(crate) fn of_events(rows: &SqliteRows<'_>) -> Result<Tally, StoreError> {
    let unusual = |state| {
        format!(
            "SELECT count(*) FROM suppressd_inbox \
             WHERE state = '{state}' AND state IN ('parked', 'ignored', 'unreadable')"
        )
    };
    let count = |sql: &str| -> Result<u64, StoreError> {
        rows.connection
            .prepare_cached(sql)
            .and_then(|mut count| count.query_row([], |row| row.get(0)))
            .map_err(|e| unavailable("counting events", e))
    };
    let all = count("SELECT count(*) FROM suppressd_inbox")?;
    let waiting = count("SELECT count(*) FROM suppressd_inbox WHERE state = 'waiting'")?;
    let parked = count(&unusual("parked"))?;
    let ignored = count(&unusual("ignored"))?;
    let skipped = count("SELECT count(*) FROM suppressd_inbox WHERE state = 'skipped'")?;
    let unreadable = count(&unusual("unreadable"))?;
    let sampled = count("SELECT count(*) FROM suppressd_inbox WHERE is_sample = 1")?;
    let subjects_waiting = count("SELECT count(DISTINCT subject) FROM suppressd_inbox WHERE state = 'waiting'")?;
    let oldest = "SELECT min(received_at) FROM suppressd_inbox WHERE state = 'waiting'";
    Ok(Tally {
        by_state: vec![
            (EventState::Waiting, waiting),
            (EventState::Settled, all.saturating_sub(waiting + parked + ignored + skipped + unreadable)),
            (EventState::Parked, parked),
            (EventState::Ignored, ignored),
            (EventState::Skipped, skipped),
            (EventState::Unreadable, unreadable),
        ],
        sampled,
        subjects_waiting,
        last_received_at: rows.time(NEWEST_RECEIVED)?,
        oldest_waiting_at: rows.time(oldest)?,
    })
}
