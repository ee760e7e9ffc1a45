//! A simulated Notion that nobody listens for: asked and telling within the process, so that it can live in paused time.

use std::{fmt, sync::Arc};

use fastrand::Rng;
use tokio_util::sync::CancellationToken;

use crate::simulator::{
    Settings,
    api::Api,
    faults::Faults,
    recipient::{Recipient, Taker},
    tally::Tally,
    webhooks::{Delivering, Webhooks},
    wire::Wire,
    workspace::Workspace,
};

/// A simulated Notion without a listener.
pub struct Offline {
    workspace: Workspace,
    api: Arc<Api>,
    token: String,
    verification_token: String,
    seed: u64,
    stop: CancellationToken,
}

impl Offline {
    /// Opens a workspace with its API.
    pub fn new(settings: Settings) -> Self {
        let Settings { clock, seed, habits, manner } = settings;
        let workspace = Workspace::new(clock, seed, habits);
        let mut rng = Rng::with_seed(seed);
        let token = format!("ntn_{}", letters(&mut rng, 46));
        let verification_token = format!("secret_{}", letters(&mut rng, 43));
        let stop = CancellationToken::new();
        let api = Arc::new(Api::new(workspace.clone(), manner, token.clone(), stop.clone()));
        Self { workspace, api, token, verification_token, seed, stop }
    }

    /// Returns the token that the API takes.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Returns the token that deliveries are signed with.
    pub fn verification_token(&self) -> &str {
        &self.verification_token
    }

    /// Returns the workspace, to work in.
    pub const fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// Returns the plan of faults.
    pub fn faults(&self) -> &Faults {
        self.api.faults()
    }

    /// Returns the counts of requests.
    pub fn tally(&self) -> &Tally {
        self.api.tally()
    }

    /// Returns the way to the API within the process.
    pub fn wire(&self) -> Wire {
        Wire::to(Arc::clone(&self.api))
    }

    /// Subscribes `taker` to the events of the workspace.
    pub fn webhooks(&self, taker: impl Taker, manner: Delivering) -> Webhooks {
        self.subscribe(Recipient::within(taker), manner)
    }

    pub(crate) fn subscribe(&self, recipient: Recipient, manner: Delivering) -> Webhooks {
        Webhooks::told_to(recipient, &self.workspace, &self.verification_token, self.seed, manner)
    }

    pub(crate) const fn api(&self) -> &Arc<Api> {
        &self.api
    }

    /// What ends everything that hangs.
    pub(crate) const fn stop(&self) -> &CancellationToken {
        &self.stop
    }
}

impl fmt::Debug for Offline {
    /// Leaves the tokens out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offline").field("workspace", &self.workspace).field("seed", &self.seed).finish_non_exhaustive()
    }
}

fn letters(rng: &mut Rng, n: usize) -> String {
    (0..n).map(|_| rng.alphanumeric()).collect()
}
