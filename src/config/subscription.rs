//! Subscriptions: which token signs whose deliveries, and where a handshake keeps it.
//!
//! Sources that name no verification token of their own belong to one connection, whose token is
//! `NOTION_VERIFICATION_TOKEN`. Each other variable that sources name stands for a connection more. A connection whose
//! token is not configured has a file for the one that a handshake brings.

use std::path::{Path, PathBuf};

use crate::config::{Config, secret::Secret, settings, source::Described};

/// One subscription of a Notion connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The variable that holds the token that signs its deliveries, where one is configured.
    pub variable: String,
    /// The sources of its connection, by name.
    pub sources: Vec<String>,
    /// Whether a token is configured, so that a stored one does not count.
    pub is_configured: bool,
    /// Where a handshake stores its token.
    pub token_path: PathBuf,
}

/// What is said of one subscription.
pub(crate) struct Slot<'c> {
    variable: &'c str,
    sources: Vec<&'c str>,
    /// The token and the one before it.
    pub(crate) tokens: &'c [Secret; 2],
}

/// Lists what is said of the subscriptions: first of the one that the environment alone describes.
pub(crate) fn slots(config: &Config) -> Vec<Slot<'_>> {
    let variable = settings::VERIFICATION_TOKEN.variables.first().copied().unwrap_or_default();
    let first = Slot { variable, sources: Vec::new(), tokens: &config.verification_tokens };
    let mut slots = vec![first];
    for source in &config.sources {
        let (variable, tokens) = said_of(source, variable, &config.verification_tokens);
        match slots.iter_mut().find(|slot| slot.variable == variable) {
            Some(slot) => slot.sources.push(&source.name),
            None => slots.push(Slot { variable, sources: vec![&source.name], tokens }),
        }
    }
    // A configured token counts in any case; a place for one that nobody needs would only be open to strangers.
    slots.retain(|slot| !slot.sources.is_empty() || slot.is_configured());
    slots
}

fn said_of<'c>(source: &'c Described, first: &'c str, tokens: &'c [Secret; 2]) -> (&'c str, &'c [Secret; 2]) {
    source.signing.as_ref().map_or((first, tokens), |signing| (&signing.variable, &signing.tokens))
}

impl Slot<'_> {
    fn is_configured(&self) -> bool {
        self.tokens.iter().any(|token| !matches!(token, Secret::Unset))
    }

    /// Describes the subscription, whose token is stored in `path` or beside it.
    pub(crate) fn subscription(&self, path: &Path) -> Subscription {
        let is_first = settings::VERIFICATION_TOKEN.variables.contains(&self.variable);
        let mut token_path = path.as_os_str().to_owned();
        if !is_first {
            token_path.push(format!(".{}", self.variable.to_lowercase()));
        }
        Subscription {
            variable: self.variable.to_owned(),
            sources: self.sources.iter().map(|name| (*name).to_owned()).collect(),
            is_configured: self.is_configured(),
            token_path: token_path.into(),
        }
    }
}
