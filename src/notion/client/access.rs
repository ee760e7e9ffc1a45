//! What a client asks with: a token, what every request says by it, and what may be spent with it.

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};

use crate::notion::{
    budget::Budget,
    client::{ApiVersion, ClientError},
};

/// A token, and what may be spent with it.
#[derive(Debug)]
pub(super) struct Access {
    /// What every request says: the token, and the version that is spoken.
    pub(super) headers: HeaderMap,
    /// Known, so that no error repeats it.
    pub(super) token: SecretString,
    pub(super) budget: Budget,
}

impl Access {
    pub(super) fn new(token: SecretString, version: ApiVersion, budget: Budget) -> Result<Self, ClientError> {
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())).map_err(ClientError::Token)?;
        authorization.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, authorization);
        headers.insert("Notion-Version", HeaderValue::from_static(version.header()));
        Ok(Self { headers, token, budget })
    }
}
