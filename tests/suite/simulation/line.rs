//! The way to the simulated Notion, with somebody beside it who writes down which pages were shown, and when.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use chrono::{DateTime, Utc};
use suppressd::{
    clock::Clock,
    model::id::PageId,
    notion::transport::{Answer, Request, Transport, TransportError},
    simulator::wire::Wire,
};

/// A watched way to Notion. Clones share what was seen.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    wire: Wire,
    clock: Clock,
    shown: Shown,
}

/// When each page was last shown by an answer of its own, by Notion's clock.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shown(Arc<Mutex<HashMap<PageId, DateTime<Utc>>>>);

impl Shown {
    pub(crate) fn last(&self, page: PageId) -> Option<DateTime<Utc>> {
        self.0.lock().unwrap().get(&page).copied()
    }
}

impl Line {
    pub(crate) fn new(wire: Wire, clock: Clock, shown: Shown) -> Self {
        Self { wire, clock, shown }
    }
}

impl Transport for Line {
    async fn send(&self, request: Request<'_>) -> Result<Answer, TransportError> {
        let page: Option<PageId> = request.url.path().strip_prefix("/v1/pages/").and_then(|id| id.parse().ok());
        let answer = self.wire.send(request).await?;
        if let (200, Some(page)) = (answer.status, page) {
            self.shown.0.lock().unwrap().insert(page, self.clock.now());
        }
        Ok(answer)
    }
}
