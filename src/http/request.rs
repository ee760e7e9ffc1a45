//! What every request at the private door gets: an id, an end, and an error that says what went wrong.

use std::time::Duration;

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tokio::time::timeout;
use tracing::{Instrument as _, debug, error, error_span};
use uuid::Uuid;

use crate::http::problem::{CONTENT_TYPE, Problem};

/// The header in which a request bears its id, and its answer too.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A longer id is not taken over.
pub(super) const REQUEST_ID_MAX: usize = 128;

/// Longer than anybody may ask to be kept waiting: who gets no answer by then gets none.
const ANSWER_MAX: Duration = Duration::from_secs(90);

/// Gives a request its id, the one that it bears if that is fit for a log, and writes its problem into the answer.
pub(super) async fn identify(request: Request, next: Next) -> Response {
    let id = given(request.headers()).unwrap_or_else(made);
    let shown = id.to_str().unwrap_or_default().to_owned();
    let span = error_span!("request", id = shown, method = %request.method(), path = request.uri().path());
    async {
        let mut response = next.run(request).await;
        if let Some(problem) = problem(&mut response) {
            tell(&problem);
            write(&mut response, &problem, &shown);
        }
        response.headers_mut().insert(REQUEST_ID, id);
        response
    }
    .instrument(span)
    .await
}

/// Ends a request that takes too long.
pub(super) async fn end_in_time(request: Request, next: Next) -> Response {
    timeout(ANSWER_MAX, next.run(request)).await.unwrap_or_else(|_elapsed| {
        let detail = format!("this took longer than {} s, and was given up", ANSWER_MAX.as_secs());
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response()
    })
}

fn given(headers: &HeaderMap) -> Option<HeaderValue> {
    let id = headers.get(REQUEST_ID)?;
    let fits = (1..=REQUEST_ID_MAX).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic);
    fits.then(|| id.clone())
}

fn made() -> HeaderValue {
    // Hexadecimal digits fit into a header.
    HeaderValue::try_from(Uuid::new_v4().to_string()).unwrap_or_else(|_never| HeaderValue::from_static("-"))
}

/// Takes the problem out of an answer; an error that nobody described gets one in the words of its status.
fn problem(response: &mut Response) -> Option<Problem> {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        return Some(problem);
    }
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let says_nothing = is_error && !response.headers().contains_key(header::CONTENT_TYPE);
    says_nothing.then(|| {
        let detail = match status {
            StatusCode::NOT_FOUND => "there is nothing at this path",
            StatusCode::METHOD_NOT_ALLOWED => "this path takes another method: the header `allow` names it",
            StatusCode::INTERNAL_SERVER_ERROR => "this is an error of the program: its log says more",
            status => status.canonical_reason().unwrap_or("this did not work"),
        };
        Problem::new(status, detail)
    })
}

fn tell(problem: &Problem) {
    let (status, detail) = (problem.status.as_u16(), &*problem.detail);
    match (problem.status.is_server_error(), &problem.cause) {
        (true, Some(cause)) => error!(status, error = &**cause, "a request failed"),
        (true, None) => error!(status, detail, "a request failed"),
        (false, _) => debug!(status, detail, "a request was refused"),
    }
}

fn write(response: &mut Response, problem: &Problem, request_id: &str) {
    let details = serde_json::to_vec(&problem.details(request_id)).unwrap_or_default();
    response.headers_mut().insert(header::CONTENT_TYPE, CONTENT_TYPE);
    response.headers_mut().remove(header::CONTENT_LENGTH);
    *response.body_mut() = Body::from(details);
}
