//! Whether settings would do for `serve`: everything that is wrong with them, and what can be taken while it runs.

use std::num::NonZeroU16;

use secrecy::SecretString;

use crate::{
    app::{budget_limit, rules, vault},
    causes::told,
    config::{Config, SourceAccess},
    derive::Rules,
    intake::handshake::TokenVault,
};

/// Settings that do for `serve`, as far as they can be taken while it runs.
#[derive(Debug)]
pub struct Judged {
    pub(super) sources: Vec<SourceAccess>,
    pub(super) vault: TokenVault,
    pub(super) admin_token: Option<SecretString>,
    pub(super) rules: Rules,
}

/// Checks all that `serve` needs of the settings; or says everything that is wrong with them.
pub fn judge(config: &Config) -> Result<Judged, Vec<String>> {
    let mut problems = Vec::new();
    let service = config.service().map_err(|found| problems.extend(found.iter().map(ToString::to_string)));
    let rules = rules(config).map_err(|error| problems.push(told(&error)));
    let vault = service.as_ref().ok().and_then(|service| {
        vault(config, &service.verification_tokens).map_err(|error| problems.push(told(&error))).ok()
    });
    match (service, vault, rules) {
        (Ok(service), Some(vault), Ok(rules)) => {
            Ok(Judged { sources: service.sources, vault, admin_token: service.admin_token, rules })
        }
        _ => Err(problems),
    }
}

/// The budget of a token.
pub(super) fn limit(config: &Config) -> NonZeroU16 {
    budget_limit(config)
}
