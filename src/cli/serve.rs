//! `serve`: runs until it is told to stop.

use tracing::info;

use crate::{
    app,
    cli::ExitStatus,
    clock::Clock,
    config::Config,
    lifecycle::{Ended, Lifecycle},
};

/// Serves, and says with its exit status whether it was stopped or crashed.
pub(super) async fn run(config: &Config) -> anyhow::Result<ExitStatus> {
    let lifecycle = Lifecycle::default();
    let serving = app::serve::start(config, &lifecycle, &Clock::system()).await?;
    info!(
        listen = %serving.public, admin_listen = %serving.private, db.path = %config.db_path.display(),
        "serving: webhooks on http://{}/webhooks/notion, everything else on http://{}", serving.public, serving.private
    );
    if serving.awaits_token {
        info!(
            "no verification token is known yet, so that every delivery is refused: create the webhook subscription in \
             Notion, and `suppressd handshake --show` prints the token that it sends"
        );
    }
    let ended = lifecycle.run_until_stopped(config.serve.grace).await;
    info!("stopped; what still waits is looked at after the next start");
    Ok(match ended {
        Ended::Stopped | Ended::Forced => ExitStatus::Success,
        Ended::Crashed(_) => ExitStatus::Failure,
    })
}
