//! How one request gets to Notion and its answer back: the port that the client speaks through.

pub mod http;

use std::{error::Error as StdError, time::Duration};

use reqwest::{Method, header::HeaderMap};
use serde_json::Value as Json;
use url::Url;

/// Answers are refused beyond this: 100 rows of 25 references and long texts each stay far below.
pub const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Carries requests. Clones share connections.
pub trait Transport: Clone + Send + Sync + 'static {
    /// Sends one request and brings what comes back, within the time that the request names.
    ///
    /// Nothing is sent twice in here, nor anywhere else than to the address of the request.
    fn send(&self, request: Request<'_>) -> impl Future<Output = Result<Answer, TransportError>> + Send;
}

/// One request.
#[derive(Debug)]
pub struct Request<'a> {
    /// Its method.
    pub method: Method,
    /// Where it goes.
    pub url: Url,
    /// Its headers; the token among them is marked as sensitive.
    pub headers: &'a HeaderMap,
    /// Its body, if it has one.
    pub body: Option<Json>,
    /// How long it may take, from the connection to the last byte.
    pub timeout: Duration,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, unpacked; why there is none where it broke off. One that breaks off never counts as whole.
    pub body: Result<Vec<u8>, TransportError>,
}

/// Why nothing came back, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The connection failed, broke, or took too long.
    #[error("the connection failed")]
    Broken(#[source] Box<dyn StdError + Send + Sync>),
    /// The body is longer than any that is read.
    #[error("a body of more than {BODY_BYTES_MAX} bytes")]
    TooLong,
}
