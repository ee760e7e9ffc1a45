//! Before the first look: getting to know the sources, and deriving anew what depends on them.

use std::time::Duration;

use tokio::{
    select,
    time::{Instant, sleep},
};
use tracing::{error, info};

use crate::{
    causes::told,
    notion::Notion,
    sources::error::AskError,
    store::Store,
    worker::{
        TURN_MAX, Worker, WorkerHealth,
        retry::{self, Verdict},
    },
};

/// The longest wait between two tries to read the sources: without them nothing else can be done.
const WAIT_MAX: Duration = Duration::from_mins(1);

/// Where the sources were known from at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prepared {
    /// An earlier run left them: Notion is to be asked whether they are still the same.
    FromStore,
    /// Notion has just told them.
    FromNotion,
}

impl<S: Store, N: Notion> Worker<S, N> {
    /// Gets to know the sources, one at least: from the store if an earlier run left them there, else from Notion, however
    /// long it takes.
    pub(super) async fn prepare(&self, health: &WorkerHealth) -> Prepared {
        let mut attempts = 0;
        health.notion.failing("the sources have not been read yet");
        loop {
            health.worker.beat();
            let error = match self.know().await {
                Ok(prepared) => {
                    health.notion.well();
                    return prepared;
                }
                Err(error) => error,
            };
            health.notion.failing(told(&error));
            let now = self.clock.now();
            let wait = match retry::verdict(&error, attempts, now, fastrand::f64()) {
                Verdict::RetryAt { due_at, attempts: failed } => {
                    attempts = failed;
                    self.clock.until(due_at).min(WAIT_MAX)
                }
                Verdict::Parked(_) | Verdict::Settled => WAIT_MAX,
            };
            error!("cannot read the sources, trying again in {:.1} s: {}", wait.as_secs_f64(), told(&error));
            select! {
                () = pause(wait, health) => (),
                () = self.hastened.notified() => (),
            }
        }
    }

    async fn know(&self) -> Result<Prepared, AskError> {
        self.sources.note(self.store(), false).await?;
        let prepared = if self.sources.recall(self.store()).await? {
            Prepared::FromStore
        } else {
            match self.sources.resolve(self.store(), self.clock.now()).await {
                Ok(()) => Prepared::FromNotion,
                // One source holds up no other one; Notion is asked about it again, as about all.
                Err(error) if self.sources.resolved().is_empty() => return Err(error),
                Err(error) => {
                    error!("cannot read every source, and goes on with the others: {}", told(&error));
                    Prepared::FromStore
                }
            }
        };
        self.learn().await?;
        Ok(prepared)
    }

    /// Takes over what is known of the sources: who they are, and which statuses are hard.
    pub(super) async fn learn(&self) -> Result<(), AskError> {
        self.cache.learn_from(|| self.sources.hard());
        let changed = self.cache.rederive(self.store(), self.clock.now()).await?;
        if changed > 0 {
            info!(entries.changed = changed, "rules or settings have changed: {changed} entries follow them");
        }
        Ok(())
    }
}

/// Waits, beating meanwhile.
async fn pause(wait: Duration, health: &WorkerHealth) {
    let over = Instant::now() + wait;
    while Instant::now() < over {
        health.worker.beat();
        sleep(over.saturating_duration_since(Instant::now()).min(TURN_MAX)).await;
    }
}
