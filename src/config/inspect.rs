//! What those want to know of the settings who look for mistakes: names that nobody reads, and files to be looked at.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use secrecy::SecretString;

use crate::{
    config::{
        Config, SourceAccess, Subscription,
        settings::{self, Kind},
        subscription::{Slot, slots},
    },
    nearest::nearest,
};

/// What our variables begin with: nobody else's do.
const OURS: &str = "SUPPRESSD";

/// What variables begin with that say how to reach Notion: others may have some too.
const SHARED: &str = "NOTION";

/// What a cluster sets by itself for a service that is called suppressd.
const OF_CLUSTERS: [&str; 2] = ["SUPPRESSD_SERVICE_", "SUPPRESSD_PORT"];

/// A variable that looks like one of ours, and that nobody reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    /// Its name. Its value may be a secret, and is not looked at.
    pub name: String,
    /// The variable that may be meant.
    pub meant: Option<String>,
}

/// A file that holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretFile {
    /// The file.
    pub path: PathBuf,
    /// Whether systemd put it there, which then says who may read it.
    pub is_credential: bool,
}

/// Lists the variables of this process's environment by their names.
pub fn variable_names() -> Vec<String> {
    std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect()
}

/// Finds the names that look like ours and are none. `config` knows some more, where it could be read.
pub fn strangers(names: impl IntoIterator<Item = String>, config: Option<&Config>) -> Vec<Stranger> {
    let mut known = BTreeSet::new();
    for setting in settings::ALL.iter().chain([&settings::CONFIG]) {
        for variable in setting.variables {
            known.insert((*variable).to_owned());
            if setting.kind == Kind::Secret {
                known.insert(format!("{variable}_FILE"));
            }
        }
    }
    for source in config.iter().flat_map(|config| &config.sources) {
        let signing = source.signing.as_ref().map(|signing| &signing.variable);
        for variable in source.api_key_env.iter().chain(signing) {
            known.extend(["", "_FILE", "_PREVIOUS", "_PREVIOUS_FILE"].map(|ending| format!("{variable}{ending}")));
        }
    }
    names.into_iter().filter(|name| !known.contains(name)).filter_map(|name| stranger(name, &known)).collect()
}

fn stranger(name: String, known: &BTreeSet<String>) -> Option<Stranger> {
    if OF_CLUSTERS.iter().any(|prefix| name.starts_with(prefix)) {
        return None;
    }
    let first = name.split('_').next().unwrap_or_default().to_uppercase();
    let looks_like = if first.starts_with(OURS) { Some(OURS) } else { nearest(&first, [OURS, SHARED]) }?;
    let meant = nearest(&name.to_uppercase(), known.iter().map(String::as_str)).map(str::to_owned);
    // Only what begins with our own name is ours whatever follows.
    (meant.is_some() || looks_like == OURS && first.starts_with(OURS)).then_some(Stranger { name, meant })
}

impl Config {
    /// Returns the settings file, if there is one.
    pub fn settings_file(&self) -> Option<&Path> {
        self.settings_path.is_file().then_some(self.settings_path.as_path())
    }

    /// Lists the files that secrets were read from.
    pub fn secret_files(&self) -> Vec<SecretFile> {
        let signing = slots(self).into_iter().flat_map(|slot| slot.tokens);
        let secrets =
            self.found.secrets.values().chain(self.sources.iter().map(|source| &source.api_key)).chain(signing);
        let files: BTreeMap<_, _> = secrets.filter_map(|secret| secret.file()).collect();
        let file = |(path, is_credential): (&Path, bool)| SecretFile { path: path.to_owned(), is_credential };
        files.into_iter().map(file).collect()
    }

    /// Returns the sources that can be asked about, whatever is wrong with others.
    pub fn usable_sources(&self) -> Vec<SourceAccess> {
        self.accesses().0
    }

    /// Returns the variable that the token of a source is read from.
    pub fn api_key_variable(&self, source: &str) -> &str {
        let named = self.sources.iter().find(|described| described.name == source);
        let usual = settings::API_KEY.variables.first().copied().unwrap_or_default();
        named.and_then(|described| described.api_key_env.as_deref()).unwrap_or(usual)
    }

    /// Returns for each subscription the configured tokens that sign its deliveries, as far as they can be read.
    pub fn usable_verification_tokens(&self) -> Vec<(Subscription, Vec<SecretString>)> {
        let usable =
            |slot: &Slot<'_>| slot.tokens.iter().filter_map(|token| token.get().ok().flatten().cloned()).collect();
        slots(self).iter().map(|slot| (slot.subscription(&self.handshake_token_path), usable(slot))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_looks_like_ours_and_is_none_is_noticed_with_the_one_that_may_be_meant() {
        for (name, expected) in [
            ("SUPPRESSD_DBPATH", Some(Some("SUPPRESSD_DB_PATH"))),
            ("SUPRESSD_DB_PATH", Some(Some("SUPPRESSD_DB_PATH"))),
            ("suppressd_db_path", Some(Some("SUPPRESSD_DB_PATH"))),
            ("SUPPRESSD_COLOUR_OF_THE_SKY", Some(None)),
            ("NOTION_APIKEY", Some(Some("NOTION_API_KEY"))),
            ("NOTION_DATABASEID", Some(Some("NOTION_DATABASE_ID"))),
            ("NOTION_VERIFICATION_TOKEN_FIEL", Some(Some("NOTION_VERIFICATION_TOKEN_FILE"))),
            // Somebody else's.
            ("NOTION_EXPORTER_SCHEDULE_IN_MINUTES", None),
            ("SUPPRESSD_SERVICE_HOST", None),
            ("SUPPRESSD_PORT_8080_TCP", None),
            ("NATION", None),
            ("PATH", None),
            // Ours.
            ("NOTION_API_KEY_FILE", None),
            ("SUPPRESSD_CONFIG", None),
        ] {
            let found = strangers([name.to_owned()], None);
            let meant = found.first().map(|stranger| stranger.meant.as_deref());
            assert_eq!(meant, expected, "{name}");
        }
    }
}
