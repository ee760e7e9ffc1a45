//! The database of a command: whether it is there, and what to do where it cannot be used.

use std::path::Path;

use anyhow::anyhow;

use crate::{
    app::{self, AppError},
    cli::failure::NextStep,
    clock::Clock,
    config::Config,
    lookup::Lookup,
    store::{StoreError, sqlite::SqliteStore},
};

/// Opens the lookup for a command that only asks.
pub(super) fn lookup(config: &Config, clock: &Clock) -> anyhow::Result<Lookup<SqliteStore>> {
    is_there(&config.db_path)?;
    Ok(app::lookup(config, clock)?)
}

/// Refuses to go on without a database, for commands that must not make one.
pub(super) fn is_there(path: &Path) -> anyhow::Result<()> {
    match path.try_exists() {
        Ok(false) => Err(anyhow!("there is no database at {}", path.display())
            .context(NextStep("let `suppressd serve` or `suppressd replay` make it, or name another with --db-path"))),
        // Why it cannot be looked at is told when it is opened.
        Ok(true) | Err(_) => Ok(()),
    }
}

/// Adds to an error which file cannot be used and what to do, if it is about the file.
pub(super) fn explained(error: anyhow::Error, path: &Path) -> anyhow::Error {
    // Where a copy is made or taken, it is said which of the files is meant.
    let is_about_a_copy = matches!(error.downcast_ref(), Some(AppError::Copy(_)));
    if is_about_a_copy || !error.chain().any(is_about_the_file) {
        return error;
    }
    error.context(format!("cannot work with {}", path.display())).context(NextStep(
        "is it suppressd's database or the pipeline's, and may you read and write it and its folder? --db-path names \
         another",
    ))
}

fn is_about_the_file(cause: &(dyn std::error::Error + 'static)) -> bool {
    let told = match cause.downcast_ref() {
        Some(AppError::Store(told)) => Some(told),
        _ => cause.downcast_ref(),
    };
    matches!(told, Some(StoreError::Unavailable { .. }))
}
