//! A handler that panics answers 500; the connection goes on.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
};

use axum::{
    extract::Request,
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tracing::error;

/// Turns a panic of a handler into a 500.
pub(super) async fn answer_panics(request: Request, next: Next) -> Response {
    let mut answer = pin!(next.run(request));
    // Nothing is polled again after it has panicked, so nothing half-done is looked at.
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(context))) {
        Ok(answer) => answer,
        Err(_panic) => {
            error!("answering a request panicked");
            Poll::Ready(StatusCode::INTERNAL_SERVER_ERROR.into_response())
        }
    })
    .await
}
