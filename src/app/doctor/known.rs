//! What the database knows, read once.

use crate::{
    app::{doctor::public::KIND, lookup},
    causes::told,
    clock::Clock,
    config::Config,
    lookup::{listing::ListedEvent, status::Status},
    store::{EventFilter, Store as _, StoredSource},
};

/// As many events are looked through for one that is not the doctor's own.
const EVENTS_MAX: u32 = 200;

/// What the database knows.
pub(super) struct Known {
    pub(super) status: Status,
    pub(super) stored: Vec<StoredSource>,
    /// The newest event that Notion sent.
    pub(super) last_event: Option<ListedEvent>,
}

impl Known {
    /// Reads it, or says why it cannot be read.
    pub(super) async fn read(config: &Config, clock: &Clock) -> Result<Self, String> {
        if !config.db_path.is_file() {
            return Err("there is no database yet".to_owned());
        }
        let unreadable = |why: String| format!("the database cannot be read: {why}");
        let lookup = lookup(config, clock).map_err(|e| unreadable(told(&e)))?;
        let status = lookup.status().await.map_err(|e| unreadable(told(&e)))?;
        let (stored, events) = lookup
            .store()
            .read(|rows| Ok((rows.sources()?, rows.events(EventFilter::All, EVENTS_MAX)?)))
            .await
            .map_err(|e| unreadable(told(&e)))?;
        let last_event = events.iter().find(|event| event.kind != KIND).map(ListedEvent::from);
        Ok(Self { status, stored, last_event })
    }
}
