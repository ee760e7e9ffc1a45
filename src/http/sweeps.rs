//! Sweeps at the private door: the past ones with what they found, and asking for a new one.

use axum::{
    Json, Router,
    body::Body,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};

use crate::{
    http::{answers::Answers, body::Bodies, problem::Problem},
    lookup::{
        listing::{ListedDrift, ListedSweep},
        sweeps::{Asked, OPEN_MAX},
    },
    model::sweep::{AskedBy, SweepId, SweepOrder, SweepState},
};

/// As many sweeps, or differences of one, may be listed at once.
const LISTED_MAX: u32 = 1000;

const SWEEPS_DEFAULT: u32 = 20;
const DIFFERENCES_DEFAULT: u32 = 100;

/// What `ttl_days` may be, as in the settings.
const TTL_DAYS_MAX: u32 = 365;

/// Builds the routes over `answers`.
pub(super) fn routes<A: Answers>(answers: A, bodies: Bodies) -> Router {
    Router::new()
        .route("/v1/sweeps", get(sweeps::<A>))
        .route("/v1/sweeps/{number}", get(sweep::<A>))
        .route("/v1/reconcile", post(reconcile::<A>))
        .with_state(Sweeps { answers, bodies })
}

#[derive(Debug, Clone)]
struct Sweeps<A> {
    answers: A,
    bodies: Bodies,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    limit: Option<u32>,
}

impl ListQuery {
    fn limit(query: Result<Query<Self>, QueryRejection>, default: u32) -> Result<u32, Problem> {
        let Query(query) = query.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
        match query.limit.unwrap_or(default) {
            limit @ 1..=LISTED_MAX => Ok(limit),
            _ => Err(Problem::new(StatusCode::BAD_REQUEST, format!("limit is between 1 and {LISTED_MAX}"))),
        }
    }
}

async fn sweeps<A: Answers>(
    State(state): State<Sweeps<A>>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<Vec<ListedSweep>>, Problem> {
    Ok(Json(state.answers.sweeps(ListQuery::limit(query, SWEEPS_DEFAULT)?).await?))
}

async fn sweep<A: Answers>(
    State(state): State<Sweeps<A>>,
    number: Result<Path<i64>, PathRejection>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<ListedDrift>, Problem> {
    let Path(number) = number.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    let limit = ListQuery::limit(query, DIFFERENCES_DEFAULT)?;
    let found = state.answers.drift(SweepId(number), limit).await?;
    found.map(Json).ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, format!("there is no sweep {number}")))
}

/// What may be wished of a sweep.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wish {
    dry_run: bool,
    ttl_days: Option<u32>,
    accept_missing: bool,
}

impl Wish {
    fn order(body: &[u8]) -> Result<SweepOrder, Problem> {
        let wish = match body.trim_ascii() {
            [] => Self::default(),
            // A list would be read as the fields in their order.
            [b'[', ..] => return Err(Problem::new(StatusCode::BAD_REQUEST, "the order cannot be read: it is a list")),
            json => serde_json::from_slice(json).map_err(|error| Problem::unreadable("the order", &error))?,
        };
        if wish.ttl_days.is_some_and(|days| !(1..=TTL_DAYS_MAX).contains(&days)) {
            let detail = format!("ttl_days is between 1 and {TTL_DAYS_MAX}");
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail));
        }
        let Self { dry_run, ttl_days, accept_missing } = wish;
        Ok(SweepOrder { asked_by: AskedBy::Api, dry_run, ttl_days, accept_missing })
    }
}

/// Where a sweep that was asked for can be followed.
#[derive(Debug, Serialize)]
struct Accepted {
    sweep: i64,
    outcome: SweepState,
    /// Whether it waited or ran before it was asked for here.
    already: bool,
    see: String,
}

/// Notes that somebody wants a sweep; the work is taken up by whoever has the right to it.
async fn reconcile<A: Answers>(State(state): State<Sweeps<A>>, body: Body) -> Result<Response, Problem> {
    let held = state.bodies.read(body).await.map_err(|refusal| Problem::new(refusal.status(), refusal.to_string()))?;
    let (sweep, already) = match state.answers.ask_sweep(Wish::order(&held.bytes)?).await? {
        Asked::New(sweep) => (sweep, false),
        Asked::Already(sweep) => (sweep, true),
        Asked::TooMany => {
            let detail = format!("{OPEN_MAX} sweeps wait or run: wait for them");
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
        }
    };
    let see = format!("/v1/sweeps/{}", sweep.sweep);
    let location = HeaderValue::try_from(&see).ok();
    let accepted = Accepted { sweep: sweep.sweep, outcome: sweep.outcome, already, see };
    let mut response = (StatusCode::ACCEPTED, Json(accepted)).into_response();
    if let Some(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}
