//! `serve`: runs until it is told to stop.

use anyhow::Context as _;
use tokio::{
    select,
    signal::unix::{SignalKind, signal},
};
use tracing::info;

use crate::{
    app::{
        self,
        reload::{LogFilter, Means, Observer, Reloader},
    },
    cli::ExitStatus,
    clock::Clock,
    config::{self, Config, Flags},
    lifecycle::{Ended, Lifecycle, notify},
};

/// Tells systemd of each reading of the settings, which `systemctl reload` waits for.
struct Systemd;

impl Observer for Systemd {
    fn reloading(&self) {
        notify::reloading();
    }

    fn ready(&self) {
        notify::reloaded();
    }
}

/// Serves, and says with its exit status whether it was stopped or crashed.
pub(super) async fn run(config: &Config, flags: Flags, log: LogFilter) -> anyhow::Result<ExitStatus> {
    let lifecycle = Lifecycle::default();
    // From here on a SIGHUP ends nothing; one that comes during the start is heeded after it.
    let hangups = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
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
    let means = Means { flags, environment: Box::new(config::environment), log, observer: Box::new(Systemd) };
    let reloader = Reloader::new(serving.reach, config.clone(), means);
    lifecycle.spawn("settings", reloader.heed(hangups, lifecycle.soft.clone()));
    let told = format!("serving: webhooks on {}, everything else on {}", serving.public, serving.private);
    notify::ready(&told);
    let ended = select! {
        ended = lifecycle.run_until_stopped(config.serve.grace) => ended,
        never = notify::keep_told(&told, &lifecycle.health, &lifecycle.soft, config.serve.grace) => match never {},
    };
    info!("stopped; what still waits is looked at after the next start");
    Ok(match ended {
        Ended::Stopped | Ended::Forced => ExitStatus::Success,
        Ended::Crashed(_) => ExitStatus::Failure,
    })
}
