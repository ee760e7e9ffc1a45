//! How the program is, at the private door: in figures, ready or not, alive or not.

use aide::axum::{
    ApiRouter,
    routing::{ApiMethodRouter, get_with},
};
use axum::{Json, extract::State, http::StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;

use crate::{
    http::{
        extract::{Nothing, Query},
        problem::Problem,
        state::Private,
    },
    lifecycle::health::PartReport,
    lookup::status::Status,
    store::Store,
};

/// The routes of how the program is.
pub(super) fn routes<S: Store>() -> ApiRouter<Private<S>> {
    ApiRouter::new()
        .api_route(
            "/v1/status",
            get_with(status::<S>, |it| it.id("getStatus").tag("program").summary("How it stands, in figures")),
        )
        .api_route(
            "/readyz",
            get_with(readyz::<S>, |it| {
                it.id("getReadiness")
                    .tag("program")
                    .summary("Whether every part of the program does its work")
                    .response_with::<200, Json<Readiness>, _>(|it| it.description("Every part does its work."))
                    .response_with::<503, Json<Readiness>, _>(|it| it.description("Some part does not."))
            }),
        )
}

/// The route `/healthz`, which everybody may ask.
pub(super) fn healthz() -> ApiMethodRouter {
    get_with(async || "OK", |it| it.id("getHealth").tag("program").summary("Whether the process is alive"))
}

async fn status<S: Store>(
    State(private): State<Private<S>>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<Status>, Problem> {
    Ok(Json(private.lookup.status().await?))
}

/// Whether the program is ready, and how its parts are.
#[derive(Debug, Serialize, JsonSchema)]
struct Readiness {
    /// Whether every part does its work.
    ready: bool,
    /// Every part.
    parts: Vec<PartReport>,
}

async fn readyz<S: Store>(State(private): State<Private<S>>) -> (StatusCode, Json<Readiness>) {
    let now = Instant::now();
    let readiness = Readiness { ready: private.health.is_ready(now), parts: private.health.report(now) };
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness))
}
