//! The one door for deliveries: what comes over HTTP and what is replayed goes the same way.

use std::sync::Arc;

use crate::{
    clock::Clock,
    inbox::Inbox,
    intake::{
        handshake::{Handshake, TokenVault},
        relevance::OurSources,
        seldom::Seldom,
    },
    metrics::Metrics,
};

pub mod handshake;
pub mod relevance;
pub mod replay;
mod seldom;
#[cfg(test)]
pub(crate) mod testing;
pub mod token_file;
pub mod webhook;

/// Takes deliveries in. Clones are handles to the same door.
#[derive(Debug, Clone)]
pub struct Intake<S> {
    inbox: Inbox<S>,
    vault: TokenVault,
    sources: OurSources,
    clock: Clock,
    metrics: Metrics,
    warnings: Arc<Warnings>,
}

/// The warnings that a stranger or a crowd can cause.
#[derive(Debug, Default)]
struct Warnings {
    refused: Seldom,
    not_durable: Seldom,
    handshake_ignored: Seldom,
}

impl<S> Intake<S> {
    /// Opens the door to `inbox` for deliveries that are signed with a token of `vault`.
    pub fn new(inbox: Inbox<S>, vault: TokenVault, sources: OurSources, clock: Clock, metrics: Metrics) -> Self {
        Self { inbox, vault, sources, clock, metrics, warnings: Arc::default() }
    }
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// It is a new event, and its subject is to be looked at.
    Accepted,
    /// It was here before: nothing has changed.
    Duplicate,
    /// It was here before, was replayed, and is to be looked at once more.
    Reopened,
    /// It asks for nothing of ours, and is kept.
    Ignored,
    /// It touched nothing that a row depends on, and is kept.
    Skipped,
    /// It is signed correctly and cannot be read, and is kept.
    Unreadable,
    /// It was not an event but a handshake.
    Handshake(Handshake),
    /// It is not signed, or with another token: nothing of it is kept.
    Refused,
    /// It could not be made durable now.
    NotDurable,
}

impl Receipt {
    /// Returns whether it says that an event is kept.
    pub const fn acknowledges_an_event(self) -> bool {
        match self {
            Self::Accepted | Self::Duplicate | Self::Reopened | Self::Ignored | Self::Skipped | Self::Unreadable => {
                true
            }
            Self::Handshake(_) | Self::Refused | Self::NotDurable => false,
        }
    }
}
