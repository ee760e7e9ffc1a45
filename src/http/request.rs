//! What every request at the private door gets: an id, an end, and an error that says what went wrong.

use std::time::Duration;

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tokio::time::timeout;
use tracing::{Instrument as _, debug, error, error_span};
use uuid::Builder;

use crate::http::problem::{CONTENT_TYPE, Problem};

/// The header in which a request bears its id, and its answer too.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A longer id is not taken over.
pub(super) const REQUEST_ID_MAX: usize = 128;

/// Longer than anybody may ask to be kept waiting: who gets no answer by then gets none.
const ANSWER_MAX: Duration = Duration::from_secs(90);

/// More of an error in plain text is not repeated.
const PLAIN_BYTES_MAX: usize = 4096;

/// Gives a request its id, the one that it bears if that is fit for a log, and writes its problem into the answer.
pub(super) async fn identify(request: Request, next: Next) -> Response {
    let id = given(request.headers()).unwrap_or_else(made);
    let shown = id.to_str().unwrap_or_default().to_owned();
    let span = error_span!("request", id = shown, method = %request.method(), path = request.uri().path());
    async {
        let mut response = next.run(request).await;
        if let Some(problem) = problem(&mut response).await {
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
    // It names a request in a log and guards nothing, so that it need not cost a question to the system.
    let id = Builder::from_random_bytes(fastrand::u128(..).to_be_bytes()).into_uuid();
    // Hexadecimal digits fit into a header.
    HeaderValue::try_from(id.to_string()).unwrap_or_else(|_never| HeaderValue::from_static("-"))
}

/// Takes the problem out of an answer; an error that nobody described gets one: in the words of the library of `/mcp`,
/// which come as plain text, or in those of its status.
async fn problem(response: &mut Response) -> Option<Problem> {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        return Some(problem);
    }
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let is_plain = |kind: &HeaderValue| kind.as_bytes().starts_with(b"text/plain");
    if !is_error || !response.headers().get(header::CONTENT_TYPE).is_none_or(is_plain) {
        return None;
    }
    let body = to_bytes(std::mem::take(response.body_mut()), PLAIN_BYTES_MAX).await.unwrap_or_default();
    let allowed = response.headers().get(header::ALLOW).and_then(|allowed| allowed.to_str().ok());
    let detail = match (status, allowed) {
        (StatusCode::NOT_FOUND, _) => "there is nothing at this path: /openapi.json names every path".to_owned(),
        (StatusCode::METHOD_NOT_ALLOWED, Some(allowed)) => {
            let methods: Vec<_> = allowed.split(',').map(str::trim).collect();
            format!("this path takes only {}", methods.join(", "))
        }
        (StatusCode::METHOD_NOT_ALLOWED, None) => "this path takes another method".to_owned(),
        (StatusCode::NOT_ACCEPTABLE, _) => "send the header `Accept: application/json, text/event-stream`".to_owned(),
        (StatusCode::INTERNAL_SERVER_ERROR, _) => "this is an error of the program: its log says more".to_owned(),
        _ if !body.is_empty() => String::from_utf8_lossy(&body).into_owned(),
        (status, _) => status.canonical_reason().unwrap_or("this did not work").to_owned(),
    };
    Some(Problem::new(status, detail))
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

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use axum::{Router, middleware::from_fn, routing::get};
    use serde_json::Value;
    use tower::ServiceExt as _;

    use super::*;
    use crate::http::panics::answer_panics;

    fn router() -> Router {
        let failed = Problem::failed("not now", &io::Error::other("the disk is gone"));
        Router::new()
            .route("/endless", get(std::future::pending::<()>))
            .route("/panic", get(|| -> std::future::Ready<()> { panic!("a bug") }))
            .route("/failed", get(async move || failed))
            .layer(from_fn(end_in_time))
            .layer(from_fn(answer_panics))
            .layer(from_fn(identify))
    }

    async fn ask(path: &str) -> (Response, Value) {
        let request = Request::get(path).header(REQUEST_ID, "the-id").body(Body::empty()).unwrap();
        let (parts, body) = router().oneshot(request).await.unwrap().into_parts();
        let problem = serde_json::from_slice(&to_bytes(body, 1024).await.unwrap()).unwrap();
        (Response::from_parts(parts, Body::empty()), problem)
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_does_not_end_is_ended_as_a_problem() {
        let (answer, problem) = ask("/endless").await;
        assert_eq!((answer.status().as_u16(), &problem["request_id"]), (503, &"the-id".into()));
        assert!(problem["detail"].as_str().unwrap().contains("longer than 90 s"), "{problem}");
        assert_eq!(answer.headers()[header::RETRY_AFTER], "30");
    }

    #[tokio::test]
    async fn a_panic_is_a_problem_that_says_nothing_of_itself() {
        let (answer, problem) = ask("/panic").await;
        assert_eq!((answer.status().as_u16(), &problem["request_id"]), (500, &"the-id".into()));
        assert!(!problem.to_string().contains("a bug"), "{problem}");
        assert_eq!(answer.headers()[header::CONTENT_TYPE], CONTENT_TYPE);
    }

    #[tokio::test]
    async fn the_log_tells_what_failed_with_the_id_of_the_request() {
        #[derive(Clone, Default)]
        struct Lines(Arc<Mutex<Vec<u8>>>);

        impl io::Write for Lines {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        let lines = Lines::default();
        let writer = lines.clone();
        let logs = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let told = tracing::subscriber::set_default(logs);
        let (_, problem) = ask("/failed").await;
        drop(ask("/panic").await);
        drop(told);
        assert!(!problem.to_string().contains("disk"), "what stands behind it is for the log: {problem}");
        let lines = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        for part in ["the disk is gone", "answering a request panicked"] {
            let line = lines.lines().find(|line| line.contains(part)).unwrap();
            assert!(line.contains("the-id"), "{line}");
        }
    }
}
