//! Notion's HTTP API over a workspace. Read [`answer`] first: every request goes its way from top to bottom.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use chrono::TimeDelta;
use serde_json::Value as Json;
use tokio_util::sync::CancellationToken;
use url::form_urlencoded;

use crate::simulator::{
    budget::{Budget, Spent},
    faults::{Asked, Fault, Faults, error_of, rate_limited},
    identity::uuid,
    line::Line,
    query::{Query, cursor_refused},
    question::{Endpoint, Question},
    shape::{self, ApiVersion, Look, Refusal},
    tally::Tally,
    update,
    workspace::Workspace,
};

/// Larger bodies are not read: a payload may have 500 KB («LIM»).
const BODY_BYTES_MAX: usize = 500 * 1_024;

/// How the API behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    /// How many requests the token may make.
    pub budget: Budget,
    /// More rows than this are not given for one query.
    pub rows_max: usize,
    /// How long every answer takes.
    pub latency: Duration,
}

impl Default for Manner {
    fn default() -> Self {
        Self { budget: Budget::default(), rows_max: 10_000, latency: Duration::ZERO }
    }
}

/// The API of one workspace, for one token.
pub(crate) struct Api {
    workspace: Workspace,
    manner: Manner,
    token: String,
    faults: Faults,
    tally: Tally,
    stop: CancellationToken,
    spent: Mutex<Spent>,
    request_ids: Mutex<fastrand::Rng>,
}

impl Api {
    pub(crate) fn new(workspace: Workspace, manner: Manner, token: String, stop: CancellationToken) -> Self {
        Self {
            workspace,
            manner,
            token,
            faults: Faults::default(),
            tally: Tally::new(manner.budget.window),
            stop,
            spent: Mutex::default(),
            request_ids: Mutex::new(fastrand::Rng::with_seed(0)),
        }
    }

    pub(crate) const fn faults(&self) -> &Faults {
        &self.faults
    }

    pub(crate) const fn tally(&self) -> &Tally {
        &self.tally
    }
}

/// Returns the routes: there is one, because a path that Notion does not have is answered by Notion too.
pub(crate) fn router(api: Arc<Api>) -> Router {
    Router::new().fallback(answer).with_state(api)
}

/// Answers one request.
pub(crate) async fn answer(
    State(api): State<Arc<Api>>,
    ConnectInfo(line): ConnectInfo<Line>,
    request: Request,
) -> Response {
    let now = api.workspace.clock().now();
    let (head, body) = request.into_parts();
    let body = to_bytes(body, BODY_BYTES_MAX).await.unwrap_or_default();
    let question = Question::read(head.method.as_str(), head.uri.path());
    let asked = Asked::of(question.as_ref().ok().copied(), &body);
    let _present = api.tally.arrive(asked.endpoint, question.as_ref().ok().and_then(|it| it.page()), now);

    tokio::time::sleep(api.manner.latency).await;
    let version = match api.admit(&head.headers) {
        Ok(version) => version,
        Err(refusal) => return api.refuse(&refusal),
    };
    let fault = api.faults.pick(asked);
    match &fault {
        Some(Fault::Status(status)) => return api.refuse(&error_of(*status, asked)),
        Some(Fault::RateLimited { reason, retry_after }) => return api.refuse(&rate_limited(reason, *retry_after)),
        Some(Fault::Edge(status)) => return edge(*status),
        Some(Fault::CursorRefused) => return api.refuse(&cursor_refused()),
        Some(Fault::Hang(time)) => {
            tokio::select! {
                () = tokio::time::sleep(*time) => (),
                () = api.stop.cancelled() => (),
            }
            line.cut();
        }
        Some(Fault::Reset) => line.cut(),
        Some(Fault::Truncated | Fault::Stale | Fault::Partial | Fault::Unsupported) | None => (),
    }
    let properties = wanted_properties(head.uri.query().unwrap_or_default());
    let look = Look {
        version,
        identity: api.workspace.identity(),
        properties: &properties,
        blemish: fault.as_ref().and_then(Fault::blemish),
    };
    match question.and_then(|question| api.object(question, &body, &look, fault.as_ref())) {
        Ok(object) => api.give(StatusCode::OK, object, fault == Some(Fault::Truncated)),
        Err(refusal) => api.refuse(&refusal),
    }
}

impl Api {
    /// Lets a request in: a token that is known, a version that is spoken, and a budget that is not spent.
    fn admit(&self, headers: &HeaderMap) -> Result<ApiVersion, Refusal> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let bearer = text("authorization").and_then(|value| value.strip_prefix("Bearer "));
        if bearer != Some(self.token.as_str()) || self.faults.token_refused() {
            return Err(Refusal::new(401, "unauthorized", "API token is invalid."));
        }
        let version = text("notion-version").ok_or_else(|| {
            let message = "Notion-Version header failed validation: Notion-Version header should be defined, \
                           instead was `undefined`.";
            Refusal::new(400, "missing_version", message)
        })?;
        let version = ApiVersion::from_header(version).ok_or_else(|| {
            let message = "Notion-Version header failed validation: only 2025-09-03 and 2026-03-11 are simulated.";
            Refusal::new(400, "validation_error", message)
        })?;
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        spent
            .spend(self.manner.budget, self.workspace.clock().now())
            .map_err(|seconds| rate_limited("public_api_request_rate_limit", Some(seconds)))?;
        Ok(version)
    }

    /// Writes the object that a question asks for.
    fn object(&self, question: Question, body: &[u8], look: &Look<'_>, fault: Option<&Fault>) -> Result<Json, Refusal> {
        match question {
            Question::Page(id) => {
                let shown = self.workspace.look(|world| {
                    let page = world.pages.get(&id)?;
                    // What is gone now is gone in a stale answer too: only the content trails.
                    world.show(page, &page.live)?;
                    world.show(page, if fault == Some(&Fault::Stale) { page.before() } else { &page.live })
                });
                shown.map(|shown| look.page(&shown)).ok_or_else(|| self.not_found("page", &id))
            }
            Question::Database(id) => {
                let object = self.workspace.look(|world| {
                    let tables = world.data_sources.values().filter(|table| table.database == id && !table.in_trash);
                    Some(look.database(world.shared_database(id)?, tables))
                });
                object.ok_or_else(|| self.not_found("database", &id))
            }
            Question::DataSource(id) => {
                let object = self.workspace.look(|world| {
                    let table = world.shared_data_source(id)?;
                    Some(look.data_source(table, world.shared_database(table.database)?))
                });
                object.ok_or_else(|| self.not_found("data source", &id))
            }
            Question::Query(id) => {
                let query = Query::read(id, body)?;
                let lag = TimeDelta::from_std(self.faults.index_lag()).unwrap_or_default();
                let seen_at = self.workspace.clock().now() - lag;
                let found = self.workspace.look(|world| query.run(world, seen_at, self.manner.rows_max));
                let found = found.ok_or_else(|| self.not_found("data source", &id))?;
                // Written outside the lock: a hundred objects take their time.
                let rows = found.rows.iter().map(|row| look.page(row)).collect();
                Ok(shape::list(rows, found.next_cursor.as_deref(), found.capped))
            }
            Question::Update(id) => {
                if !self.workspace.look(|world| world.shared_data_source(id).is_some()) {
                    return Err(self.not_found("data source", &id));
                }
                update::read(body)?.apply(&self.workspace, id);
                self.object(Question::DataSource(id), &[], look, None)
            }
            Question::Me => Ok(shape::bot(look.identity)),
        }
    }

    /// Says that there is no such object, or none that is shared: Notion does not tell these apart («ERR»).
    fn not_found(&self, kind: &str, id: &dyn fmt::Display) -> Refusal {
        let identity = self.workspace.identity();
        let message = format!(
            "Could not find {kind} with ID: {id}. Make sure the relevant pages and databases are shared with your \
             integration \"{}\".",
            identity.integration_name
        );
        Refusal::new(404, "object_not_found", message).with("integration_id", identity.integration.to_string())
    }

    fn refuse(&self, refusal: &Refusal) -> Response {
        let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = self.give(status, refusal.json(), false);
        if let Some(seconds) = refusal.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    /// Writes an answer, or its first half.
    fn give(&self, status: StatusCode, mut object: Json, truncated: bool) -> Response {
        let id = uuid(&mut self.request_ids.lock().unwrap_or_else(PoisonError::into_inner)).to_string();
        shape::put(&mut object, "request_id", Json::String(id.clone()));
        let mut body = Bytes::from(object.to_string());
        if truncated {
            body.truncate(body.len() / 2);
        }
        let date =
            (self.workspace.clock().now() + self.faults.clock_skew()).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let headers = [
            (header::CONTENT_TYPE.as_str(), "application/json; charset=utf-8"),
            ("x-notion-request-id", &id),
            (header::DATE.as_str(), &date),
        ];
        (status, headers, Body::from(body)).into_response()
    }
}

impl Asked {
    fn of(question: Option<Question>, body: &[u8]) -> Self {
        let subject = match question {
            Some(Question::Page(id)) => Some(id.uuid()),
            Some(Question::Database(id)) => Some(id.uuid()),
            Some(Question::DataSource(id) | Question::Query(id) | Question::Update(id)) => Some(id.uuid()),
            Some(Question::Me) | None => None,
        };
        let goes_on = match question {
            Some(Question::Query(id)) => Query::read(id, body).is_ok_and(|query| query.goes_on()),
            _ => false,
        };
        Self { endpoint: question.map_or(Endpoint::Unknown, Question::endpoint), subject, goes_on }
    }
}

/// Answers as the proxy before Notion does: HTML, a ray, and no request id («SDK»).
fn edge(status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let page = format!("<!DOCTYPE html><html><head><title>{status}</title></head><body>{status}</body></html>");
    let headers = [(header::CONTENT_TYPE.as_str(), "text/html; charset=UTF-8"), ("cf-ray", "8f0000000000dead-LHR")];
    (status, headers, page).into_response()
}

/// Reads `filter_properties`, with or without brackets; ids come encoded once («QDS», «SDK»).
fn wanted_properties(query: &str) -> Vec<String> {
    form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| matches!(name.as_ref(), "filter_properties" | "filter_properties[]"))
        .map(|(_, value)| value.into_owned())
        .collect()
}
