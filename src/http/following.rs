//! A stream of changes as server-sent events, written only as fast as it is read.
//!
//! Nothing runs beside the connection: the next piece is asked for when the last one has left. A client that does not
//! read keeps a seat and one piece of text, until its connection has idled for too long; nobody waits for it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use serde_json::json;
use tokio::{
    io::{AsyncRead, ReadBuf},
    time::timeout,
};
use tracing::warn;

use crate::{
    causes::told,
    lookup::{
        Lookup,
        changes::{Changes, ChangesError, Gone, ListedChange, Position},
        followers::{Follower, Woken},
    },
    store::Store,
};

/// Changes in one piece of text: with some hundred bytes each, this bounds what a stream holds.
const CHANGES_AT_ONCE: u32 = 100;

/// What a client is to wait before it comes back, in milliseconds.
const RETRY: u32 = 2000;

/// A stream of changes, as text.
pub(super) struct Following<S> {
    next: Option<Next<S>>,
    text: io::Cursor<Vec<u8>>,
}

/// The next piece, and how it goes on; nothing at the end.
type Next<S> = Pin<Box<dyn Future<Output = Option<(String, Tail<S>)>> + Send>>;

/// What is still to come.
struct Tail<S> {
    lookup: Lookup<S>,
    follower: Follower,
    position: Position,
    keep_alive: Duration,
    stage: Stage,
}

#[derive(PartialEq, Eq)]
enum Stage {
    Beginning,
    Going,
    Ended,
}

impl<S: Store> Following<S> {
    /// Follows from `position` on.
    pub(super) fn new(lookup: Lookup<S>, follower: Follower, position: Position, keep_alive: Duration) -> Self {
        let tail = Tail { lookup, follower, position, keep_alive, stage: Stage::Beginning };
        Self { next: Some(Box::pin(tail.next())), text: io::Cursor::default() }
    }
}

impl<S: Store> AsyncRead for Following<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        loop {
            ready!(Pin::new(&mut self.text).poll_read(context, buffer))?;
            if buffer.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
            let Some(next) = &mut self.next else { return Poll::Ready(Ok(())) };
            self.next = match ready!(next.as_mut().poll(context)) {
                Some((text, tail)) => {
                    self.text = io::Cursor::new(text.into_bytes());
                    Some(Box::pin(tail.next()))
                }
                None => None,
            };
        }
    }
}

impl<S: Store> Tail<S> {
    async fn next(mut self) -> Option<(String, Self)> {
        while self.stage != Stage::Ended {
            let text = match self.lookup.changes(self.position.clone(), CHANGES_AT_ONCE).await {
                Ok(changes) => {
                    self.position = changes.end();
                    match std::mem::replace(&mut self.stage, Stage::Going) {
                        Stage::Beginning => format!("retry: {RETRY}\n{}{}", id(&changes), events(&changes)),
                        _ if !changes.changes.is_empty() => events(&changes),
                        _ => match timeout(self.keep_alive, self.follower.wait(changes.seq)).await {
                            Ok(Woken::News) => continue,
                            Ok(Woken::Stopping) => return None,
                            Err(_elapsed) => ":\n\n".to_owned(),
                        },
                    }
                }
                Err(ChangesError::Gone(reason)) => {
                    self.stage = Stage::Ended;
                    gone(&reason)
                }
                Err(ChangesError::Store(error)) => {
                    warn!("a stream of changes ends: {}", told(&error));
                    return None;
                }
            };
            return Some((text, self));
        }
        None
    }
}

/// Tells a client that begins where it stands, so that it can come back there although nothing has changed meanwhile.
fn id(changes: &Changes) -> String {
    match changes.changes.first() {
        None => format!("id: {}-{}\n\n", changes.seq, changes.feed),
        Some(_) => "\n".to_owned(),
    }
}

fn events(changes: &Changes) -> String {
    let event = |change: &ListedChange| {
        // No change holds a line break: JSON escapes them. What cannot be written as JSON does not exist here.
        let data = serde_json::to_string(change).unwrap_or_default();
        format!("id: {}-{}\nevent: change\ndata: {data}\n\n", change.seq, changes.feed_at(change))
    };
    changes.changes.iter().map(event).collect()
}

fn gone(reason: &Gone) -> String {
    let problem = json!({"type": "about:blank", "title": "Gone", "status": 410, "detail": reason.to_string()});
    format!("event: gone\ndata: {problem}\n\n")
}
