//! What differs between two readings of the settings: by name, and never with the value of a secret.

use std::collections::BTreeSet;

use secrecy::ExposeSecret as _;

use crate::config::{
    Config,
    secret::Secret,
    settings::{self, SOURCE},
    source::Described,
};

/// A setting that is another one than before.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// Its name in the file.
    pub name: String,
    /// Whether a running `serve` takes it.
    pub is_live: bool,
}

impl Config {
    /// Returns these settings with what of `before` goes on to count while a `serve` runs that was `started` with others:
    /// the sources that it serves, and where a handshake keeps their tokens.
    #[must_use]
    pub fn with_what_is_served(&self, before: &Self, started: &Self) -> Self {
        let mut all = self.clone();
        let has = |sources: &[Described], it: &Described| sources.iter().any(|source| is(source, it));
        let served = before.sources.iter().filter(|it| has(&started.sources, it) && !has(&self.sources, it));
        all.sources.extend(served.cloned());
        all.handshake_token_path.clone_from(&started.handshake_token_path);
        all
    }

    /// Lists what differs from `before`.
    pub fn differences(&self, before: &Self) -> Vec<Difference> {
        let mut differing: Vec<_> = settings::ALL
            .iter()
            .filter(|setting| {
                let secret = |config: &Self| config.found.secrets.get(setting.key).cloned();
                if let (Some(now), Some(before)) = (secret(self), secret(before)) {
                    return !same(&now, &before);
                }
                let value = |config: &Self| config.found.values.get(setting.key).map(|(value, _)| value.clone());
                value(self) != value(before)
            })
            .map(|setting| Difference { name: setting.key.to_owned(), is_live: setting.is_live })
            .collect();
        let named: BTreeSet<_> = differing.iter().map(|it| it.name.clone()).collect();
        let of_sources = of_sources(&self.sources, &before.sources);
        // What one source takes from a section is named there.
        let is_named = |it: &Difference| {
            let (of_the_file, (_, key)) = ("notion", it.name.rsplit_once('.').unwrap_or_default());
            named.contains(&format!("{of_the_file}.{key}"))
        };
        differing.extend(of_sources.into_iter().filter(|it| !is_named(it)));
        differing
    }
}

/// Returns whether two are the same source: those of one name or of one table are.
fn is(one: &Described, other: &Described) -> bool {
    one.name == other.name || (one.table.is_some() && one.table == other.table)
}

/// Lists what differs between sources.
fn of_sources(now: &[Described], before: &[Described]) -> Vec<Difference> {
    let mut differing = Vec::new();
    let mut differs = |name: String, is_live| differing.push(Difference { name, is_live });
    for source in now {
        let name = |key: &str| format!("{SOURCE}.{}.{key}", source.name);
        let Some(was) = before.iter().find(|was| is(source, was)) else {
            differs(format!("{SOURCE}.{} (added)", source.name), false);
            continue;
        };
        if source.name != was.name {
            differs(name("name"), false);
        }
        if source.table != was.table {
            differs(name("database_id"), false);
        }
        if source.properties != was.properties {
            differs(name("properties"), false);
        }
        if source.hard_statuses != was.hard_statuses {
            differs(name("hard_statuses"), true);
        }
        if source.workspace != was.workspace {
            differs(name("workspace_id"), false);
        }
        match (&source.signing, &was.signing) {
            (None, None) => (),
            (Some(now), Some(was)) if now.variable == was.variable => {
                if now.tokens.iter().zip(&was.tokens).any(|(now, was)| !same(now, was)) {
                    differs(name("verification_token"), true);
                }
            }
            // Which connections there are decides where a handshake keeps its token.
            _ => differs(name("verification_token_env"), true),
        }
        if !same(&source.api_key, &was.api_key) {
            differs(name("api_key"), true);
        }
    }
    for gone in before.iter().filter(|was| !now.iter().any(|source| is(source, was))) {
        differs(format!("{SOURCE}.{} (removed)", gone.name), false);
    }
    differing
}

/// Returns whether two secrets are the same, wherever they come from.
fn same(one: &Secret, other: &Secret) -> bool {
    match (one, other) {
        (Secret::Unset, Secret::Unset) => true,
        (Secret::Set { value: one, .. }, Secret::Set { value: other, .. }) => {
            one.expose_secret() == other.expose_secret()
        }
        (Secret::Unusable(one), Secret::Unusable(other)) => one == other,
        _ => false,
    }
}
