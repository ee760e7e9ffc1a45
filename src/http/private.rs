//! The private door: may I push this company, how is the program, and what came in.
//!
//! Errors are problem details (RFC 9457). With a token configured every request but `/healthz` must bear it; without
//! one only this machine can reach the listener, and a browser on it must not be led here under a foreign name.
//!
//! How many requests are answered at once is bounded by the connections of the listener: each carries one at a time.

use aide::axum::ApiRouter;
use axum::{
    Router,
    middleware::{from_fn, from_fn_with_state},
};
use tower_http::compression::{
    CompressionLayer,
    predicate::{NotForContentType, Predicate, SizeAbove},
};

pub use crate::http::{admission::AdminToken, state::Private};
use crate::{
    http::{
        admission::admit,
        body::read_first,
        changes::{self, Feed, KEEP_ALIVE},
        check, describe, events, explain, issues, metrics, openapi,
        panics::answer_panics,
        request::{end_in_time, identify},
        status, sweeps,
    },
    lookup::followers::Followers,
    store::Store,
};

/// A shorter answer is not worth compressing: it fits into one packet as it is.
const COMPRESSED_MIN: u16 = 1024;

/// Builds the private routes, and takes in those of another protocol: the same may ask there, within the same bounds, but
/// for the time that an answer takes.
pub fn router<S: Store>(
    private: Private<S>,
    followers: Followers,
    token: impl Into<AdminToken>,
    others: Router,
) -> Router {
    let routes = routes(private, followers, token, others);
    // Which methods a path takes is only said outside of its routes and all their layers.
    Router::new().fallback_service(routes).layer(from_fn(identify)).layer(compression())
}

/// Builds the routes alone: their errors are not written yet.
pub fn routes<S: Store>(
    private: Private<S>,
    followers: Followers,
    token: impl Into<AdminToken>,
    others: Router,
) -> Router {
    describe::begin();
    let token = token.into();
    let bodies = private.bodies.clone();
    let feed = Feed { lookup: private.lookup.clone(), followers, keep_alive: KEEP_ALIVE };
    let routes = ApiRouter::new()
        .merge(check::routes())
        .merge(explain::routes())
        .merge(issues::routes())
        .merge(events::routes())
        .merge(sweeps::routes())
        .merge(status::routes())
        .merge(metrics::routes())
        .merge(openapi::routes())
        .merge(changes::routes(feed))
        .with_state(private)
        .layer(from_fn(end_in_time))
        .merge(others.layer(from_fn_with_state(bodies, read_first)))
        .layer(from_fn_with_state(token.clone(), admit))
        .api_route("/healthz", status::healthz());
    openapi::finish(routes, token).layer(from_fn(answer_panics))
}

/// Compresses what is worth it. A stream of events is never held back to be compressed.
fn compression() -> CompressionLayer<impl Predicate> {
    CompressionLayer::new().compress_when(SizeAbove::new(COMPRESSED_MIN).and(NotForContentType::SSE))
}

#[cfg(test)]
mod tests {
    use std::{sync::atomic::Ordering, time::Duration};

    use axum::{body::Body, extract::Request, http::header};
    use chrono::{DateTime, TimeDelta};
    use reqwest::RequestBuilder;
    use secrecy::SecretString;
    use serde_json::{Value, json};
    use tempfile::TempDir;
    use tower::ServiceExt as _;

    use super::*;
    use crate::{
        clock::Clock,
        derive::Rules,
        http::{
            body::{Bodies, BodyLimits},
            check::COMPANIES_MAX,
            listen::{Limits, Listener},
        },
        intake::testing::Memory,
        lifecycle::{Lifecycle, health::Health},
        lookup::{Lookup, LookupSettings, scrape::Scrape},
        metrics::Metrics,
        model::entry::Door,
        store::{Disposition, NewEvent, sqlite::SqliteStore},
    };

    struct Served {
        base: String,
        health: Health,
        client: reqwest::Client,
    }

    fn lookup<S: Store>(store: S) -> Lookup<S> {
        let settings = LookupSettings { max_age: TimeDelta::days(7), rules: Rules::default(), tables: Vec::new() };
        Lookup::new(store, Clock::system(), settings)
    }

    async fn serve_over<S: Store>(store: S, token: Option<&str>) -> Served {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let (base, lifecycle) = (format!("http://{}", listener.address()), Lifecycle::default());
        let (health, bodies) = (lifecycle.health.clone(), Bodies::new(BodyLimits::default()));
        let followers = Followers::new(lifecycle.soft.clone());
        let lookup = lookup(store);
        let scrape = Scrape::alone(lookup.clone());
        let private = Private { lookup, health: health.clone(), bodies, scrape };
        let router = router(private, followers, token.map(SecretString::from), Router::new());
        lifecycle.spawn("listener", listener.serve(router, Limits::PRIVATE, Metrics::default(), lifecycle.clone()));
        Served { base, health, client: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    fn empty_store() -> (SqliteStore, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        (SqliteStore::open(&folder.path().join("cache.db"), 1, Clock::system().now()).unwrap(), folder)
    }

    async fn serve(token: Option<&str>) -> (Served, TempDir) {
        let (store, folder) = empty_store();
        (serve_over(store, token).await, folder)
    }

    impl Served {
        fn get(&self, path: &str) -> RequestBuilder {
            self.client.get(format!("{}{path}", self.base))
        }

        fn post(&self, path: &str) -> RequestBuilder {
            self.client.post(format!("{}{path}", self.base))
        }

        fn check(&self, body: &str) -> RequestBuilder {
            self.post("/v1/check").body(body.to_owned())
        }
    }

    async fn answer(request: RequestBuilder) -> (u16, Value) {
        let response = request.send().await.unwrap();
        (response.status().as_u16(), serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
    }

    /// Checks that a request is answered with a problem of this status, whose detail says this.
    async fn refused(request: RequestBuilder, status: u16, detail: &str) {
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json", "{}", response.status());
        assert_eq!(response.headers().contains_key(header::RETRY_AFTER), status == 503);
        assert_eq!(response.headers().contains_key(header::WWW_AUTHENTICATE), status == 401);
        let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        let problem: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{problem}");
        let title = reqwest::StatusCode::from_u16(status).unwrap().canonical_reason().unwrap();
        let said = json!({
            "type": "about:blank", "title": title, "status": status, "detail": problem["detail"], "request_id": id,
        });
        assert_eq!(problem, said);
    }

    #[tokio::test]
    async fn a_key_may_hold_colons_and_slashes() {
        let (served, _folder) = serve(None).await;
        for path in ["github_repo:acme/core", "github_repo%3Aacme%2Fcore"] {
            let (status, verdict) = answer(served.get(&format!("/v1/suppression/{path}"))).await;
            let keys: Vec<_> = verdict["candidates"].as_array().unwrap().iter().map(|found| &found["key"]).collect();
            assert!(status == 200 && keys.contains(&&json!("github_repo:acme/core")), "{path}: {keys:?}");
        }
    }

    #[tokio::test]
    async fn one_company_gets_a_verdict_and_a_list_gets_a_list() {
        let (served, _folder) = serve(None).await;
        let key = |verdict: &Value| verdict["candidates"][0]["key"].clone();
        let (status, one) = answer(served.check(r#" {"domain": "acme.com"}"#)).await;
        assert_eq!((status, key(&one)), (200, json!("domain:acme.com")));
        let (status, several) = answer(served.check(r#"[{"domain": "acme.com"}, {}, {"domain": "beta.com"}]"#)).await;
        assert_eq!((status, several.as_array().unwrap().len()), (200, 3));
        assert!(several[1]["error"].as_str().unwrap().contains("gives a key"), "{several}");
        assert_eq!(key(&several[2]), "domain:beta.com");
        assert_eq!(answer(served.check("[]")).await, (200, json!([])));
    }

    #[tokio::test]
    async fn a_member_that_cannot_be_read_is_an_error_in_its_place_and_a_text_is_a_question() {
        let (served, _folder) = serve(None).await;
        let sent =
            r#"[{"nme": "Acme"}, "acme.com", ["acme.com"], {"companies_house": 14556197}, {"name": {}}, "???", 7]"#;
        let (status, answers) = answer(served.check(sent)).await;
        let answers = answers.as_array().unwrap();
        assert_eq!((status, answers.len()), (200, 7));
        let keys = [(1, "domain:acme.com"), (3, "companies_house:14556197")];
        for (at, key) in keys {
            assert_eq!(answers[at]["candidates"][0]["key"], key, "{at}");
        }
        for (at, told) in [
            (0, "there is no field \"nme\""),
            (2, "it is a list"),
            (4, "name is an object: send a text or a whole number"),
            (5, "ask for a key such as domain:acme.ai"),
            (6, "it is a number"),
        ] {
            let error = answers[at]["error"].as_str().unwrap();
            assert!(error.contains(told) && !error.contains("column"), "{at}: {error}");
        }
        let (status, verdict) = answer(served.check(r#""https://acme.com/about""#)).await;
        assert_eq!((status, &verdict["candidates"][0]["key"]), (200, &json!("domain:acme.com")));
    }

    #[tokio::test]
    async fn what_cannot_be_answered_is_a_problem() {
        let (served, _folder) = serve(None).await;
        refused(served.check("{"), 400, "the company cannot be read").await;
        refused(served.check("[{},"), 400, "the list cannot be read").await;
        refused(served.check("[{}, nothing]"), 400, "the list cannot be read").await;
        refused(served.check(r#"{"nme": "Acme"}"#), 400, "the company cannot be read: there is no field \"nme\"").await;
        refused(served.check("7"), 400, "the company cannot be read: it is a number").await;
        refused(served.check("{}"), 400, "gives a key").await;
        let hosts: Vec<String> = (0..300).map(|n| format!("a{n}.com")).collect();
        refused(served.check(&json!({"website": hosts.join(" ")}).to_string()), 400, "ask about fewer keys").await;
        refused(served.check(&json!(vec![json!({}); COMPANIES_MAX + 1]).to_string()), 413, "at most 1000").await;
        refused(served.check(&" ".repeat(2 * 1024 * 1024)), 413, "too large").await;
        refused(served.check("{}").header("Content-Type", "text/plain"), 415, "application/json").await;
        refused(served.get("/v1/suppression/%20"), 400, "neither prefix:value nor").await;
        refused(served.get("/v1/suppression/%ff"), 400, "UTF-8").await;
        refused(served.get("/v1/sweeps/last"), 400, "number: \"last\" is not a whole number").await;
        refused(served.get("/v1/sweeps/7"), 404, "no sweep 7").await;
        refused(served.get("/v2"), 404, "/openapi.json names every path").await;
        refused(served.get("/"), 404, "/openapi.json names every path").await;
        refused(served.get("/v1/check"), 405, "takes only POST").await;
        refused(served.post("/v1/status"), 405, "takes only GET, HEAD").await;
    }

    #[tokio::test]
    async fn json_is_taken_under_every_name_of_it_and_under_none() {
        let (served, _folder) = serve(None).await;
        for name in ["application/json", "Application/JSON; charset=utf-8", "application/ld+json"] {
            let (status, verdict) =
                answer(served.check(r#"{"domain": "acme.com"}"#).header("Content-Type", name)).await;
            assert_eq!((status, &verdict["verdict"]), (200, &json!("stale")), "{name}");
        }
        for name in ["", "text/json", "application/x-www-form-urlencoded", "application/jsonp", "image/x+json"] {
            refused(served.check("{}").header("Content-Type", name), 415, "application/json").await;
        }
    }

    #[tokio::test]
    async fn a_store_that_fails_is_a_problem_and_not_the_askers() {
        let store = Memory::default();
        store.full.store(true, Ordering::Relaxed);
        let served = serve_over(store, None).await;
        for path in ["/v1/suppression/domain:acme.com", "/v1/status", "/v1/events", "/v1/sweeps", "/v1/sweeps/1"] {
            refused(served.get(path), 503, "too many").await;
        }
        refused(served.check(r#"[{"domain": "acme.com"}]"#), 503, "too many").await;
        refused(served.post("/v1/reconcile"), 503, "too many").await;
    }

    #[tokio::test]
    async fn the_terms_of_a_verdict_are_read() {
        let (served, _folder) = serve(None).await;
        for query in ["", "?max_age=15m", "?max_age=1s", "?max_age=1s&wait=60s", "?wait=1m&max_age=36500d"] {
            let (status, verdict) = answer(served.get(&format!("/v1/suppression/acme.com{query}"))).await;
            assert_eq!((status, &verdict["verdict"]), (200, &json!("stale")), "{query}");
        }
        for (query, detail) in [
            ("max_age=15", "max_age: write a whole number and its unit"),
            ("max_age=36501d", "max_age: at most 36500d"),
            ("max_age=18446744073709551615s", "max_age: at most 36500d"),
            ("max_age=0s", "max_age: at least 1s"),
            ("wait=5s", "wait means something together with max_age only"),
            ("wait=61s", "wait: at most 60s"),
            ("wait=", "wait: write a whole number and its unit"),
            ("wait=1s&wait=2s", "wait is given more than once"),
            ("maxage=1s", "there is no parameter \"maxage\", only max_age, wait"),
        ] {
            refused(served.get(&format!("/v1/suppression/acme.com?{query}")), 400, detail).await;
            refused(served.post(&format!("/v1/check?{query}")).body("{}"), 400, detail).await;
        }
    }

    #[tokio::test]
    async fn a_stream_of_events_is_not_compressed_however_large() {
        for (kind, encoding) in [("text/event-stream", None), ("application/json", Some("gzip"))] {
            let large = move || async move { ([(header::CONTENT_TYPE, kind)], "data ".repeat(1000)) };
            let router = Router::new().route("/", axum::routing::get(large)).layer(compression());
            let request = Request::get("/").header(header::ACCEPT_ENCODING, "gzip").body(Body::empty()).unwrap();
            let answer = router.oneshot(request).await.unwrap();
            let found = answer.headers().get(header::CONTENT_ENCODING).map(|encoding| encoding.to_str().unwrap());
            assert_eq!(found, encoding, "{kind}");
        }
    }

    #[tokio::test]
    async fn events_are_listed_by_state_and_within_a_limit() {
        let (store, _folder) = empty_store();
        for (id, disposition) in [("a", Disposition::Look), ("b", Disposition::Ignore), ("c", Disposition::Look)] {
            let event = NewEvent {
                event_id: id.to_owned(),
                kind: "page.created".to_owned(),
                subject: Some(crate::model::event::Subject::Sources),
                disposition,
                occurred_at: DateTime::UNIX_EPOCH,
                received_at: DateTime::UNIX_EPOCH,
                door: Door::Webhook,
                body: b"{}".to_vec(),
            };
            store.append(event).await.unwrap();
        }
        let served = serve_over(store, None).await;
        for (query, expected) in [
            ("", &["c", "b", "a"][..]),
            ("?limit=2", &["c", "b"]),
            ("?state=ignored", &["b"]),
            ("?limit=1&state=waiting", &["c"]),
            ("?limit=1000&state=parked", &[]),
        ] {
            let (status, events) = answer(served.get(&format!("/v1/events{query}"))).await;
            let ids: Vec<_> = events.as_array().unwrap().iter().map(|event| event["event_id"].clone()).collect();
            assert_eq!((status, ids), (200, expected.iter().map(|id| json!(id)).collect()), "{query}");
        }
        refused(served.get("/v1/events?state=lost"), 400, "waiting, settled").await;
        refused(served.get("/v1/events?limit=1001"), 400, "between 1 and 1000").await;
        refused(served.get("/v1/events?limit=0"), 400, "between 1 and 1000").await;
        refused(served.get("/v1/events?limits=1"), 400, "\"limits\", only state, limit").await;
        refused(served.get("/v1/status?limit=1"), 400, "\"limit\" here, nor any other").await;
        assert_eq!(answer(served.get("/v1/status")).await.1["events"]["by_state"]["waiting"], 2);
    }

    #[tokio::test]
    async fn readiness_is_lost_when_a_part_ends() {
        let (served, _folder) = serve(None).await;
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
        let (served, _folder) = serve(Some("the-token")).await;
        for path in
            ["/readyz", "/v1/status", "/v1/events", "/v1/suppression/domain:acme.ai", "/openapi.json", "/nothing"]
        {
            refused(served.get(path), 401, "earer").await;
            for wrong in ["Bearer the-tokem", "Bearer the-token-too", "Bearer ", "Basic the-token", "the-token"] {
                refused(served.get(path).header("Authorization", wrong), 401, "earer").await;
            }
            assert_ne!(answer(served.get(path).bearer_auth("the-token")).await.0, 401, "{path}");
        }
        refused(served.check("{}"), 401, "earer").await;
        assert_eq!(answer(served.get("/healthz")).await.0, 200);
        let challenged = served.get("/v1/status").send().await.unwrap();
        assert_eq!(challenged.headers()[header::WWW_AUTHENTICATE], "Bearer");
    }

    #[tokio::test]
    async fn without_a_token_a_foreign_host_name_and_a_foreign_site_are_refused() {
        let (open, _folder) = serve(None).await;
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
            ("http://localhost:3000", 202),
            ("http://127.0.0.1:8081", 202),
            ("http://[::1]:8081", 202),
        ] {
            let ask = open.post("/v1/reconcile").header("Origin", site);
            assert_eq!(answer(ask).await.0, status, "{site}");
        }
        let (guarded, _folder) = serve(Some("the-token")).await;
        let request = guarded.get("/v1/status").bearer_auth("the-token").header("Host", "suppressd.internal");
        assert_eq!(answer(request).await.0, 200);
    }
}
