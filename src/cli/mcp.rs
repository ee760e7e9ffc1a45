//! `mcp`: tools for models, over stdin and stdout.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{
    app,
    cli::{ExitStatus, failure::NextStep},
    clock::Clock,
    config::Config,
    lifecycle::{Ended, Lifecycle},
};

/// Serves one client, until it hangs up or a signal comes.
pub(super) async fn run(config: &Config) -> anyhow::Result<ExitStatus> {
    let lifecycle = Lifecycle::default();
    let failed = Arc::new(Mutex::new(None));
    let (config_of_part, stop, failure) = (config.clone(), lifecycle.clone(), Arc::clone(&failed));
    lifecycle.spawn("conversation", async move {
        if let Err(error) = app::mcp::stdio(&config_of_part, &stop.soft, &Clock::system()).await {
            failure.lock().unwrap_or_else(PoisonError::into_inner).replace(error);
        }
        // Its end is the end.
        stop.stop();
    });
    let ended = lifecycle.run_until_stopped(config.serve.grace).await;
    let failed = failed.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (failed, ended) {
        (Some(error), _) => Err(anyhow::Error::from(error)
            .context(NextStep("`suppressd mcp` is started by an MCP client, which talks to it"))),
        (None, Ended::Crashed(_)) => Ok(ExitStatus::Failure),
        (None, Ended::Stopped | Ended::Forced) => Ok(ExitStatus::Success),
    }
}
