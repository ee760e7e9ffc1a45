//! Errors of the private door, as problem details (RFC 9457).
//!
//! A handler says what went wrong; `http/request.rs` writes it into the answer, with the id of the request.

use std::{error::Error, sync::Arc};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{causes::told, lookup::LookupError, store::StoreError};

/// When a client is to ask again that could not be served now, in seconds.
pub(crate) const RETRY_AFTER: HeaderValue = HeaderValue::from_static("30");

/// What an error is written as.
pub(super) const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// An error, with what the asker can do about it.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    /// The status of the answer.
    pub(super) status: StatusCode,
    /// What went wrong this time, for the asker.
    pub(super) detail: String,
    /// What stands behind it, for the log only.
    pub(super) cause: Option<Arc<str>>,
}

/// An error, as problem details (RFC 9457).
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(super) struct Details<'a> {
    /// Always `about:blank`: the status says what kind of problem it is.
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    /// The words of the status.
    pub(super) title: &'static str,
    /// The status of the answer.
    #[schemars(range(min = 400, max = 599))]
    pub(super) status: u16,
    /// What went wrong this time, and what can be done about it.
    pub(super) detail: &'a str,
    /// The id of the request, as in the header `x-request-id` and in the log.
    pub(super) request_id: &'a str,
}

impl Problem {
    /// Makes a problem of a status and a detail.
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), cause: None }
    }

    /// Makes the problem of a request that makes no sense.
    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// Makes the problem of a body that is not what it should be.
    pub(crate) fn unreadable(what: &str, error: &serde_json::Error) -> Self {
        Self::bad_request(format!("{what} cannot be read: {}", said(error)))
    }

    /// Makes the problem of something that failed here.
    pub(crate) fn failed(detail: impl Into<String>, cause: &dyn Error) -> Self {
        Self { cause: Some(told(cause).into()), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }

    /// Returns what is written into the answer.
    pub(super) fn details<'a>(&'a self, request_id: &'a str) -> Details<'a> {
        Details {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            request_id,
        }
    }
}

/// Says what is wrong with JSON: where it breaks off being JSON with the place, else without, for then what is wrong is
/// named.
pub(super) fn said(error: &serde_json::Error) -> String {
    let told = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match told.strip_suffix(&place) {
        Some(what) if error.is_data() => what.to_owned(),
        _ => told,
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::failed(error.to_string(), &error)
    }
}

impl From<LookupError> for Problem {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::Unanswerable(why) => Self::bad_request(why),
            LookupError::Store(error) => error.into(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => {
                response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
            }
            StatusCode::UNAUTHORIZED => {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => (),
        }
        response.extensions_mut().insert(self);
        response
    }
}
