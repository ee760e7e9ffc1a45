//! How the parts of the program are, for whoever watches.

use std::path::{Path, PathBuf};

use tokio::time::Instant;

use crate::{
    app::{lookup, token_file},
    causes::told,
    clock::Clock,
    config::{Config, Subscription},
    intake::handshake::TokenVault,
    lifecycle::health::{Health, State},
    lookup::scrape::{Parts, Scrape, Seen, SourceNames},
    metrics::{
        Metrics,
        state::{
            DATABASE_BYTES, DISK_FREE_BYTES, DISK_SIZE_BYTES, NOTION_BUDGET_LEFT, NOTION_BUDGET_LIMIT, PART_WELL,
            Reading, SOURCE_PROBLEM, SOURCE_REFUSED, WAL_BYTES, WEBHOOK_TOKEN_PRESENT,
        },
    },
    notion::{Notion, budget::Budget, client::Client},
    sources::Sources,
};

/// What a running `serve` consists of, as far as somebody watches it.
#[derive(Debug)]
pub(super) struct Running<N> {
    pub(super) sources: Sources<N>,
    /// The client of each source, by its name: settings can give it another token.
    pub(super) clients: Vec<(String, Client)>,
    pub(super) health: Health,
    pub(super) vault: TokenVault,
}

impl<N: Notion> Running<N> {
    /// Returns what says how all of it is.
    pub(super) fn parts(self, database: PathBuf) -> Parts {
        Box::new(move |reading| {
            for source in self.sources.standings() {
                reading.whether(&SOURCE_REFUSED, [&source.name], source.is_refused);
                reading.whether(&SOURCE_PROBLEM, [&source.name], source.problem.is_some());
            }
            for (token, budget) in tokens(&self.clients) {
                let state = budget.state();
                let left = usize::from(state.limit).saturating_sub(state.spent);
                let is_paused = state.paused_until.is_some();
                reading.count(&NOTION_BUDGET_LEFT, [&token], if is_paused { 0 } else { left as u64 });
                reading.count(&NOTION_BUDGET_LIMIT, [&token], u64::from(state.limit));
            }
            for part in self.health.report(Instant::now()) {
                reading.whether(&PART_WELL, [part.name], part.state == State::Well);
            }
            reading.whether(&WEBHOOK_TOKEN_PRESENT, [], self.vault.knows_a_token());
            on_disk(&database, reading);
        })
    }
}

/// Returns the budget of each token, named by the first source that uses it.
fn tokens(clients: &[(String, Client)]) -> Vec<(String, Budget)> {
    let mut tokens: Vec<(String, Budget)> = Vec::new();
    for (name, client) in clients {
        let budget = client.budget();
        if !tokens.iter().any(|(_, known)| known.is(&budget)) {
            tokens.push((name.clone(), budget));
        }
    }
    tokens
}

/// Returns what the sources of the settings are called.
pub(super) fn names(config: &Config) -> SourceNames {
    let sources = config.sources().unwrap_or_default();
    SourceNames(sources.into_iter().map(|source| (source.name, source.table)).collect())
}

/// Reads what is so whether or not a `serve` runs: what the database and the disk say.
pub async fn state(config: &Config, clock: &Clock) -> Seen {
    let (database, subscriptions) = (config.db_path.clone(), config.subscriptions());
    let parts: Parts = Box::new(move |reading: &mut Reading| {
        let is_kept = |it: &Subscription| it.is_configured || matches!(token_file(it).read(), Ok(Some(_)));
        reading.whether(&WEBHOOK_TOKEN_PRESENT, [], subscriptions.iter().any(is_kept));
        on_disk(&database, reading);
    });
    match lookup(config, clock) {
        Ok(lookup) => Scrape::new(lookup, Metrics::default(), names(config), parts).state().await,
        Err(error) => Seen::unread(told(&error), &parts),
    }
}

/// Reads the sizes of the files and of the disk that they are on. What cannot be read is left out.
fn on_disk(database: &Path, reading: &mut Reading) {
    if let Ok(file) = database.metadata() {
        reading.count(&DATABASE_BYTES, [], file.len());
        let mut wal = database.as_os_str().to_owned();
        wal.push("-wal");
        reading.count(&WAL_BYTES, [], Path::new(&wal).metadata().map_or(0, |file| file.len()));
    }
    if let Ok(disk) = rustix::fs::statvfs(database) {
        reading.count(&DISK_FREE_BYTES, [], disk.f_bavail.saturating_mul(disk.f_frsize));
        reading.count(&DISK_SIZE_BYTES, [], disk.f_blocks.saturating_mul(disk.f_frsize));
    }
}
