//! `metrics`: how it stands as series for Prometheus, for those who run no `serve`.

use std::{
    fs::Permissions,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};

use crate::{
    app::gauges,
    cli::{ExitStatus, args::watching::MetricsArgs, database, failure::NextStep, output::Output},
    clock::Clock,
    config::Config,
    metrics,
};

/// Everybody may read it: whoever collects it is another user.
const MODE: u32 = 0o644;

/// Prints the series, or writes them into a file.
pub(super) async fn run(args: &MetricsArgs, config: &Config) -> anyhow::Result<ExitStatus> {
    database::is_there(&config.db_path)?;
    let seen = gauges::state(config, &Clock::system()).await;
    let families: Vec<_> = seen.reading.into_families().collect();
    let text = metrics::text(&families);
    match &args.output {
        Some(path) => write(path, &text)
            .with_context(|| format!("cannot write {}", path.display()))
            .context(NextStep("may you write into its folder, and is there room?"))?,
        None => Output::stdout().line(text.trim_end())?,
    }
    match seen.unread {
        None => Ok(ExitStatus::Success),
        Some(why) => Err(anyhow!("{} cannot be read: {why}", config.db_path.display())
            .context(NextStep("is it suppressd's database or the pipeline's, and may you read it and its folder?"))),
    }
}

/// Writes a file whole or not at all.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.map_or_else(|| PathBuf::from("."), Path::to_owned);
    // Its name does not end as those of files that are collected.
    let mut file = tempfile::Builder::new().prefix(".suppressd-").suffix(".tmp").tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(Permissions::from_mode(MODE))?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
