//! Errors of the private door, as problem details (RFC 9457).

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// When a client is to ask again that could not be served now, in seconds.
pub(crate) const RETRY_AFTER: HeaderValue = HeaderValue::from_static("30");

/// An error, with what the asker can do about it.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    detail: String,
}

impl Problem {
    /// Makes a problem of a status and a detail.
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into() }
    }

    /// Makes the problem of a body that is not what it should be.
    pub(crate) fn unreadable(what: &str, error: &serde_json::Error) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("{what} cannot be read: {error}"))
    }
}

/// Answers with a problem.
pub(crate) fn problem(status: StatusCode, detail: &str) -> Response {
    Problem::new(status, detail).into_response()
}

#[derive(Debug, Serialize)]
struct Details {
    title: &'static str,
    status: u16,
    detail: String,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let details = Details { title, status: self.status.as_u16(), detail: self.detail };
        let mut response = (self.status, Json(details)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}
