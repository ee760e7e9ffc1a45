//! The private door: may I push this company, how is the program, and what came in.
//!
//! Errors are problem details (RFC 9457). With a token configured every request but `/healthz` must bear it; without
//! one only this machine can reach the listener, and a browser on it must not be led here under a foreign name.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Json, Router,
    body::Body,
    extract::{
        Path, Query, Request, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderMap, StatusCode, Uri, header, uri::Authority},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;
use tracing::error;

use crate::{
    http::{
        answers::{Answered, Answers, NoAnswer},
        body::Bodies,
        problem::{Problem, problem},
        sweeps,
    },
    lifecycle::health::{Health, PartReport},
    lookup::{Question, listing::ListedEvent},
    model::verdict::{Company, Verdict},
    store::{EventFilter, EventState, StoreError},
};

/// As many companies may be asked about at once.
pub const COMPANIES_MAX: usize = 1000;

/// As many events may be listed at once.
pub const EVENTS_MAX: u32 = 1000;

const EVENTS_DEFAULT: u32 = 50;

/// Builds the private routes over `answers`.
pub fn router<A: Answers>(answers: A, health: Health, bodies: Bodies, token: Option<SecretString>) -> Router {
    Router::new()
        .route("/v1/suppression/{*key}", get(suppression::<A>))
        .route("/v1/check", post(check::<A>))
        .route("/v1/status", get(status::<A>))
        .route("/v1/events", get(events::<A>))
        .with_state(Private { answers: answers.clone(), bodies: bodies.clone() })
        .merge(sweeps::routes(answers, bodies))
        .route("/readyz", get(readyz).with_state(health))
        .fallback(async || problem(StatusCode::NOT_FOUND, "there is nothing at this path"))
        .method_not_allowed_fallback(async || problem(StatusCode::METHOD_NOT_ALLOWED, "this path takes another method"))
        .layer(from_fn_with_state(token.map(Arc::new), admit))
        .route("/healthz", get(async || "OK"))
}

#[derive(Debug, Clone)]
struct Private<A> {
    answers: A,
    bodies: Bodies,
}

impl<A: Answers> Private<A> {
    async fn only_answer(&self, question: Question) -> Result<Verdict, Problem> {
        let answer = self.answers.answer(vec![question]).await?.pop();
        Ok(answer.unwrap_or_else(|| Err(NoAnswer::NotUnderstood("nothing was asked".to_owned())))?)
    }
}

async fn suppression<A: Answers>(
    State(private): State<Private<A>>,
    key: Result<Path<String>, PathRejection>,
) -> Result<Json<Verdict>, Problem> {
    let Path(key) = key.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    private.only_answer(Question::Text(key)).await.map(Json)
}

/// What was asked: about one company, or about several.
enum Asked {
    One(Box<Company>),
    Several(Vec<Company>),
}

/// Answers one company with one verdict, and a list with a list in the same order, all from one view of the cache.
async fn check<A: Answers>(State(private): State<Private<A>>, body: Body) -> Result<Response, Problem> {
    let held =
        private.bodies.read(body).await.map_err(|refusal| Problem::new(refusal.status(), refusal.to_string()))?;
    match asked(&held.bytes)? {
        Asked::One(company) => Ok(Json(private.only_answer(Question::Company(company)).await?).into_response()),
        Asked::Several(companies) => {
            let questions = companies.into_iter().map(|company| Question::Company(Box::new(company))).collect();
            let answers = private.answers.answer(questions).await?;
            Ok(Json(answers.into_iter().map(Answered::from).collect::<Vec<_>>()).into_response())
        }
    }
}

fn asked(body: &[u8]) -> Result<Asked, Problem> {
    if !body.trim_ascii_start().starts_with(b"[") {
        return serde_json::from_slice(body)
            .map(Asked::One)
            .map_err(|error| Problem::unreadable("the company", &error));
    }
    // The list is counted before its members are read: a member is much larger in memory than `{}` is in text.
    let members: Vec<&RawValue> =
        serde_json::from_slice(body).map_err(|error| Problem::unreadable("the list", &error))?;
    if members.len() > COMPANIES_MAX {
        let detail = format!("{} companies at once, at most {COMPANIES_MAX}", members.len());
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    let read = |(at, member): (usize, &RawValue)| {
        serde_json::from_str(member.get()).map_err(|error| Problem::unreadable(&format!("company {}", at + 1), &error))
    };
    members.into_iter().enumerate().map(read).collect::<Result<_, _>>().map(Asked::Several)
}

async fn status<A: Answers>(State(private): State<Private<A>>) -> Result<Json<A::Status>, Problem> {
    Ok(Json(private.answers.status().await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventsQuery {
    state: Option<String>,
    limit: Option<u32>,
}

impl EventsQuery {
    fn filter(&self) -> Result<EventFilter, Problem> {
        let Some(wanted) = &self.state else { return Ok(EventFilter::All) };
        let state = EventState::ALL.into_iter().find(|state| state.name() == wanted);
        state.map(EventFilter::InState).ok_or_else(|| {
            let names = EventState::ALL.map(EventState::name).join(", ");
            Problem::new(StatusCode::BAD_REQUEST, format!("no events are {wanted:?}: state is one of {names}"))
        })
    }

    fn limit(&self) -> Result<u32, Problem> {
        match self.limit.unwrap_or(EVENTS_DEFAULT) {
            limit @ 1..=EVENTS_MAX => Ok(limit),
            _ => Err(Problem::new(StatusCode::BAD_REQUEST, format!("limit is between 1 and {EVENTS_MAX}"))),
        }
    }
}

async fn events<A: Answers>(
    State(private): State<Private<A>>,
    query: Result<Query<EventsQuery>, QueryRejection>,
) -> Result<Json<Vec<ListedEvent>>, Problem> {
    let Query(query) = query.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    let events = private.answers.events(query.filter()?, query.limit()?).await?;
    Ok(Json(events.iter().map(ListedEvent::from).collect()))
}

#[derive(Debug, Serialize)]
struct Readiness {
    ready: bool,
    parts: Vec<PartReport>,
}

async fn readyz(State(health): State<Health>) -> Response {
    let now = Instant::now();
    let readiness = Readiness { ready: health.is_ready(now), parts: health.report(now) };
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

impl From<NoAnswer> for Problem {
    fn from(cause: NoAnswer) -> Self {
        match cause {
            NoAnswer::NotUnderstood(_) => Self::new(StatusCode::BAD_REQUEST, cause.to_string()),
            NoAnswer::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        error!(error = &error as &dyn std::error::Error, "a question has no answer");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

async fn admit(State(token): State<Option<Arc<SecretString>>>, request: Request, next: Next) -> Response {
    match token {
        Some(token) if !bears(request.headers(), &token) => {
            let refused = problem(StatusCode::UNAUTHORIZED, "this needs the bearer token");
            ([(header::WWW_AUTHENTICATE, "Bearer")], refused).into_response()
        }
        None if !is_local(request.headers()) => {
            problem(StatusCode::FORBIDDEN, "without a bearer token only localhost and IP addresses are taken as host")
        }
        None if is_from_elsewhere(request.headers()) => {
            problem(StatusCode::FORBIDDEN, "without a bearer token no page of another site may ask")
        }
        _ => next.run(request).await,
    }
}

/// Says whether the request bears the token. Takes the same time for every token of a length.
fn bears(headers: &HeaderMap, token: &SecretString) -> bool {
    let Some((scheme, given)) = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
    else {
        return false;
    };
    scheme.eq_ignore_ascii_case("bearer") && given.trim().as_bytes().ct_eq(token.expose_secret().as_bytes()).into()
}

/// Says whether the request was sent to an address or to `localhost`. A page that a browser shows can have its own
/// name resolve to this machine, and would read the answers: its name gives it away.
fn is_local(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let authority = Authority::try_from(host.as_bytes());
    authority.is_ok_and(|host| is_named_localhost(&host) || address(&host).is_some())
}

/// Says whether a page of another site sent the request: browsers send what a page tells them to, wherever it goes, and
/// name the site.
fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let origin = Uri::try_from(origin.as_bytes()).ok();
    let is_ours = |site: &Authority| is_named_localhost(site) || address(site).is_some_and(|ip| ip.is_loopback());
    !origin.as_ref().and_then(Uri::authority).is_some_and(is_ours)
}

fn is_named_localhost(authority: &Authority) -> bool {
    authority.host().eq_ignore_ascii_case("localhost")
}

fn address(authority: &Authority) -> Option<IpAddr> {
    authority.host().trim_start_matches('[').trim_end_matches(']').parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::DateTime;
    use reqwest::RequestBuilder;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        http::{
            body::BodyLimits,
            listen::{Limits, Listener},
        },
        lifecycle::Lifecycle,
        lookup::{
            listing::{ListedDrift, ListedSweep},
            sweeps::Asked,
        },
        metrics::Metrics,
        model::{
            entry::Door,
            event::Subject,
            sweep::{SweepId, SweepOrder},
            verdict::Answer,
        },
        store::{Seq, StoredEvent},
    };

    /// Answers with what it was asked; knows one word that it does not understand and one that it cannot answer.
    #[derive(Debug, Clone)]
    struct Echo;

    fn verdict(reason: &str) -> Verdict {
        Verdict {
            verdict: Answer::Clear,
            reason: reason.to_owned(),
            matched: None,
            possible: vec![],
            fresh_as_of: None,
            age_seconds: None,
            rests_on: None,
            candidates: vec![],
        }
    }

    impl Answers for Echo {
        type Status = Value;

        async fn answer(&self, questions: Vec<Question>) -> Result<Vec<Result<Verdict, NoAnswer>>, StoreError> {
            let words = questions.into_iter().map(|question| match question {
                Question::Text(text) => text,
                Question::Company(company) => company.name.unwrap_or_else(|| "nameless".to_owned()),
            });
            words
                .map(|word| match word.as_str() {
                    "gibberish" => Ok(Err(NoAnswer::NotUnderstood("gibberish is no key".to_owned()))),
                    "unlucky" => Err(StoreError::Full),
                    word => Ok(Ok(verdict(word))),
                })
                .collect()
        }

        async fn status(&self) -> Result<Value, StoreError> {
            Ok(json!({"entries": 7}))
        }

        async fn events(&self, filter: EventFilter, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
            Ok(vec![StoredEvent {
                seq: Seq(1),
                event_id: format!("{filter:?} {limit}"),
                kind: "page.created".to_owned(),
                subject: Some(Subject::Sources),
                occurred_at: DateTime::UNIX_EPOCH,
                received_at: DateTime::UNIX_EPOCH,
                door: Door::Webhook,
                state: EventState::Waiting,
                attempts: 0,
                due_at: None,
                reason: None,
                is_sample: false,
            }])
        }

        async fn sweeps(&self, _limit: u32) -> Result<Vec<ListedSweep>, StoreError> {
            Ok(Vec::new())
        }

        async fn drift(&self, _sweep: SweepId, _limit: u32) -> Result<Option<ListedDrift>, StoreError> {
            Ok(None)
        }

        async fn ask_sweep(&self, _order: SweepOrder) -> Result<Asked, StoreError> {
            Ok(Asked::TooMany)
        }
    }

    struct Served {
        base: String,
        health: Health,
        client: reqwest::Client,
    }

    async fn serve(token: Option<&str>) -> Served {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let (base, lifecycle) = (format!("http://{}", listener.address()), Lifecycle::default());
        let health = lifecycle.health.clone();
        let router = router(Echo, health.clone(), Bodies::new(BodyLimits::default()), token.map(SecretString::from));
        lifecycle.spawn("listener", listener.serve(router, Limits::PRIVATE, Metrics::default(), lifecycle.clone()));
        Served { base, health, client: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    impl Served {
        fn get(&self, path: &str) -> RequestBuilder {
            self.client.get(format!("{}{path}", self.base))
        }

        fn check(&self, body: &str) -> RequestBuilder {
            self.client.post(format!("{}/v1/check", self.base)).body(body.to_owned())
        }
    }

    async fn answer(request: RequestBuilder) -> (u16, Value) {
        let response = request.send().await.unwrap();
        (response.status().as_u16(), serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
    }

    /// Checks that a request is answered with a problem of this status, whose detail says this.
    async fn refused(request: RequestBuilder, status: u16, detail: &str) {
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(response.headers().contains_key(header::RETRY_AFTER), status == 503);
        let problem: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(problem["status"], status);
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{problem}");
    }

    #[tokio::test]
    async fn a_key_may_hold_colons_and_slashes() {
        let served = serve(None).await;
        for path in ["github_repo:acme/core", "github_repo%3Aacme%2Fcore"] {
            let (status, verdict) = answer(served.get(&format!("/v1/suppression/{path}"))).await;
            assert_eq!((status, &verdict["reason"]), (200, &json!("github_repo:acme/core")), "{path}");
        }
    }

    #[tokio::test]
    async fn one_company_gets_a_verdict_and_a_list_gets_a_list() {
        let served = serve(None).await;
        let (status, one) = answer(served.check(r#" {"name": "Acme"}"#)).await;
        assert_eq!((status, &one["reason"]), (200, &json!("Acme")));
        let (status, several) = answer(served.check(r#"[{"name": "Acme"}, {"name": "Beta"}]"#)).await;
        assert_eq!((status, several.as_array().unwrap().len(), &several[1]["reason"]), (200, 2, &json!("Beta")));
        assert_eq!(answer(served.check("[]")).await, (200, json!([])));
    }

    #[tokio::test]
    async fn what_cannot_be_answered_is_a_problem() {
        let served = serve(None).await;
        refused(served.check("{"), 400, "the company cannot be read").await;
        refused(served.check("[{},"), 400, "the list cannot be read").await;
        refused(served.check(r#"[{}, {"nme": "Acme"}]"#), 400, "company 2 cannot be read: unknown field `nme`").await;
        refused(served.check(r#"{"name": "gibberish"}"#), 400, "no key").await;
        refused(served.check(r#"[{"name": "Acme"}, {"name": "unlucky"}]"#), 503, "too many").await;
        refused(served.check(&json!(vec![json!({}); COMPANIES_MAX + 1]).to_string()), 413, "at most 1000").await;
        refused(served.check(&" ".repeat(2 * 1024 * 1024)), 413, "too large").await;
        refused(served.get("/v1/suppression/gibberish"), 400, "no key").await;
        refused(served.get("/v1/suppression/%ff"), 400, "UTF-8").await;
        refused(served.get("/v2"), 404, "nothing").await;
        refused(served.get("/v1/check"), 405, "another method").await;
    }

    #[tokio::test]
    async fn events_are_listed_by_state_and_within_a_limit() {
        let served = serve(None).await;
        for (query, expected) in [
            ("", "All 50"),
            ("?state=parked", "InState(Parked) 50"),
            ("?limit=1000&state=waiting", "InState(Waiting) 1000"),
        ] {
            let (status, events) = answer(served.get(&format!("/v1/events{query}"))).await;
            assert_eq!((status, &events[0]["event_id"]), (200, &json!(expected)), "{query}");
            assert_eq!(events[0]["subject"], "sources");
        }
        refused(served.get("/v1/events?state=lost"), 400, "waiting, settled").await;
        refused(served.get("/v1/events?limit=1001"), 400, "between 1 and 1000").await;
        refused(served.get("/v1/events?limit=0"), 400, "between 1 and 1000").await;
        refused(served.get("/v1/events?limits=1"), 400, "limits").await;
        assert_eq!(answer(served.get("/v1/status")).await, (200, json!({"entries": 7})));
    }

    #[tokio::test]
    async fn readiness_is_lost_when_a_part_ends() {
        let served = serve(None).await;
        let part = served.health.part("worker", Duration::from_mins(1));
        let well = json!({"ready": true, "parts": [{"name": "worker", "state": "well"}]});
        assert_eq!(answer(served.get("/readyz")).await, (200, well));
        drop(part);
        let ended = json!({"ready": false, "parts": [{"name": "worker", "state": "ended"}]});
        assert_eq!(answer(served.get("/readyz")).await, (503, ended));
        assert_eq!(answer(served.get("/healthz")).await.0, 200);
    }

    #[tokio::test]
    async fn with_a_token_every_question_must_bear_it() {
        let served = serve(Some("the-token")).await;
        for path in ["/readyz", "/v1/status", "/v1/events", "/v1/suppression/domain:acme.ai", "/nothing"] {
            refused(served.get(path), 401, "bearer token").await;
            for wrong in ["Bearer the-tokem", "Bearer the-token-too", "Bearer ", "Basic the-token", "the-token"] {
                refused(served.get(path).header("Authorization", wrong), 401, "bearer token").await;
            }
            assert_ne!(answer(served.get(path).bearer_auth("the-token")).await.0, 401, "{path}");
        }
        refused(served.check("{}"), 401, "bearer token").await;
        assert_eq!(answer(served.get("/healthz")).await.0, 200);
        let challenged = served.get("/v1/status").send().await.unwrap();
        assert_eq!(challenged.headers()[header::WWW_AUTHENTICATE], "Bearer");
    }

    #[tokio::test]
    async fn without_a_token_a_foreign_host_name_and_a_foreign_site_are_refused() {
        let open = serve(None).await;
        for (host, status) in [
            ("evil.example", 403),
            ("localhost.evil.example:8081", 403),
            ("127.0.0.1.evil.example", 403),
            ("localhost:8081", 200),
            ("LOCALHOST", 200),
            ("127.0.0.1:8081", 200),
            ("[::1]:8081", 200),
        ] {
            assert_eq!(answer(open.get("/v1/status").header("Host", host)).await.0, status, "{host}");
        }
        for (site, status) in [
            ("https://evil.example", 403),
            ("http://203.0.113.7", 403),
            ("null", 403),
            ("http://localhost:3000", 503),
            ("http://127.0.0.1:8081", 503),
            ("http://[::1]:8081", 503),
        ] {
            let ask = open.client.post(format!("{}/v1/reconcile", open.base)).header("Origin", site);
            assert_eq!(answer(ask).await.0, status, "{site}");
        }
        let guarded = serve(Some("the-token")).await;
        let request = guarded.get("/v1/status").bearer_auth("the-token").header("Host", "suppressd.internal");
        assert_eq!(answer(request).await.0, 200);
    }
}
