//! The public door: Notion's deliveries, and whether the process is alive. Nothing else, to nobody.

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use tokio::time::Instant;

use crate::{
    http::{
        body::{Bodies, Refusal},
        problem::RETRY_AFTER,
    },
    intake::{Intake, Receipt},
    metrics::{Metrics, label::Refused},
    model::entry::Door,
    store::Store,
};

/// Where Notion signs (WH).
const SIGNATURE: &str = "x-notion-signature";

/// Builds the public routes over `intake`.
pub fn router<S: Store>(intake: Intake<S>, bodies: Bodies, metrics: Metrics) -> Router {
    Router::new()
        .route("/webhooks/notion", post(receive::<S>))
        .with_state(Public { intake, bodies, metrics })
        .route("/healthz", get(async || word(StatusCode::OK)))
}

#[derive(Debug, Clone)]
struct Public<S> {
    intake: Intake<S>,
    bodies: Bodies,
    metrics: Metrics,
}

async fn receive<S: Store>(State(public): State<Public<S>>, headers: HeaderMap, body: Body) -> Response {
    let began = Instant::now();
    let held = match public.bodies.read(body).await {
        Ok(held) => held,
        Err(refusal) => {
            public.count(refusal);
            return word(refusal.status());
        }
    };
    // A header that is not text is a wrong signature, not a missing one.
    let signature = headers.get(SIGNATURE).map(|value| value.to_str().unwrap_or_default());
    let receipt = public.intake.receive(&held.bytes, signature, Door::Webhook).await;
    if receipt.acknowledges_an_event() {
        public.metrics.event_acknowledged.observe(began.elapsed());
    }
    word(match receipt {
        Receipt::Refused => StatusCode::UNAUTHORIZED,
        Receipt::NotDurable => StatusCode::SERVICE_UNAVAILABLE,
        Receipt::Accepted
        | Receipt::Duplicate
        | Receipt::Reopened
        | Receipt::Ignored
        | Receipt::Skipped
        | Receipt::Unreadable
        | Receipt::Handshake(_) => StatusCode::OK,
    })
}

impl<S> Public<S> {
    fn count(&self, refusal: Refusal) {
        match refusal {
            Refusal::TooLarge => self.metrics.deliveries_refused.count(Refused::TooLarge),
            Refusal::TooSlow | Refusal::BrokenOff => self.metrics.deliveries_refused.count(Refused::BrokenOff),
            Refusal::NoMemory => self.metrics.deliveries_refused.count(Refused::NotDurable),
        }
    }
}

/// Answers with the word of a status, which is all that a stranger is told.
fn word(status: StatusCode) -> Response {
    let mut response = (status, status.canonical_reason().unwrap_or_default()).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    response
}

#[cfg(test)]
mod tests {
    use std::{sync::atomic::Ordering, time::Duration};

    use reqwest::{Method, RequestBuilder};

    use super::*;
    use crate::{
        http::{
            body::BodyLimits,
            listen::{Limits, Listener},
        },
        intake::{
            handshake::TokenVault,
            testing::{Memory, TOKEN, event, handshake, intake, signed, token},
        },
        lifecycle::Lifecycle,
    };

    const LONG: Duration = Duration::from_secs(20);

    struct Served {
        base: String,
        store: Memory,
        metrics: Metrics,
        client: reqwest::Client,
    }

    async fn serve(time_max: Duration) -> Served {
        let (store, metrics, lifecycle) = (Memory::default(), Metrics::default(), Lifecycle::default());
        let intake = intake(&store, TokenVault::configured(vec![token(TOKEN)]), &metrics);
        let limits = BodyLimits { time_max, ..BodyLimits::default() };
        let router = router(intake, Bodies::new(limits), metrics.clone());
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let base = format!("http://{}", listener.address());
        lifecycle.spawn("listener", listener.serve(router, Limits::PUBLIC, metrics.clone(), lifecycle.clone()));
        Served { base, store, metrics, client: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    impl Served {
        fn request(&self, method: Method, path: &str) -> RequestBuilder {
            self.client.request(method, format!("{}{path}", self.base))
        }

        fn delivery(&self, body: impl Into<reqwest::Body>) -> RequestBuilder {
            self.request(Method::POST, "/webhooks/notion").body(body)
        }

        fn signed(&self, body: &str) -> RequestBuilder {
            self.delivery(body.to_owned()).header(SIGNATURE, signed(body))
        }
    }

    /// Checks the status of an answer, and that it says nothing more.
    async fn check(request: RequestBuilder, status: StatusCode) {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(response.headers().contains_key("retry-after"), status == StatusCode::SERVICE_UNAVAILABLE);
        for header in response.headers().keys() {
            let known = ["content-type", "content-length", "date", "connection", "retry-after", "allow"];
            assert!(known.contains(&header.as_str()), "{header}");
        }
        let said = response.text().await.unwrap();
        assert!(said.is_empty() || said == status.canonical_reason().unwrap(), "{said}");
    }

    #[tokio::test]
    async fn whatever_is_signed_correctly_is_acknowledged() {
        let served = serve(LONG).await;
        let body = event("e1", "page.created");
        check(served.signed(&body), StatusCode::OK).await;
        check(served.signed(&body), StatusCode::OK).await;
        check(served.signed(&event("e2", "comment.created")), StatusCode::OK).await;
        check(served.signed("{"), StatusCode::OK).await;
        check(served.delivery(handshake("secret_new")), StatusCode::OK).await;
        assert_eq!(served.store.events.lock().unwrap().len(), 3);
        assert_eq!(served.metrics.event_acknowledged.observed(), 4);
    }

    #[tokio::test]
    async fn whatever_is_not_is_refused_and_leaves_nothing() {
        let served = serve(LONG).await;
        let body = event("e1", "page.created");
        check(served.delivery(body.clone()), StatusCode::UNAUTHORIZED).await;
        check(served.delivery(body.clone()).header(SIGNATURE, signed("{}")), StatusCode::UNAUTHORIZED).await;
        check(served.delivery(body).header(SIGNATURE, &b"sha256=\xff"[..]), StatusCode::UNAUTHORIZED).await;
        check(served.delivery(""), StatusCode::UNAUTHORIZED).await;
        assert_eq!(served.store.events.lock().unwrap().len(), 0);
        assert_eq!(served.metrics.deliveries_refused.get(Refused::Signature), 4);
    }

    #[tokio::test]
    async fn what_is_not_durable_is_to_be_sent_again() {
        let served = serve(LONG).await;
        served.store.full.store(true, Ordering::Relaxed);
        check(served.signed(&event("e1", "page.created")), StatusCode::SERVICE_UNAVAILABLE).await;
    }

    #[tokio::test]
    async fn a_body_beyond_the_bound_is_refused_and_one_at_it_is_not() {
        let served = serve(LONG).await;
        let largest = " ".repeat(1024 * 1024);
        check(served.signed(&largest), StatusCode::OK).await;
        check(served.signed(&format!("{largest} ")), StatusCode::PAYLOAD_TOO_LARGE).await;
        assert_eq!(served.metrics.deliveries_refused.get(Refused::TooLarge), 1);
    }

    #[tokio::test]
    async fn a_body_that_does_not_arrive_is_not_waited_for() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let served = serve(Duration::from_millis(200)).await;
        let mut stream = tokio::net::TcpStream::connect(served.base.trim_start_matches("http://")).await.unwrap();
        let half = b"POST /webhooks/notion HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{";
        stream.write_all(half).await.unwrap();
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, b"HTTP/1.1 408");
        assert_eq!(served.metrics.deliveries_refused.get(Refused::BrokenOff), 1);
    }

    #[tokio::test]
    async fn there_is_nothing_else_here() {
        let served = serve(LONG).await;
        check(served.request(Method::GET, "/healthz"), StatusCode::OK).await;
        check(served.request(Method::POST, "/healthz"), StatusCode::METHOD_NOT_ALLOWED).await;
        for method in [Method::GET, Method::PUT, Method::DELETE, Method::OPTIONS] {
            check(served.request(method, "/webhooks/notion"), StatusCode::METHOD_NOT_ALLOWED).await;
        }
        for path in ["/", "/readyz", "/metrics", "/v1/status", "/webhooks", "/webhooks/notion/", "/healthz/x"] {
            check(served.request(Method::GET, path), StatusCode::NOT_FOUND).await;
            check(served.request(Method::POST, path), StatusCode::NOT_FOUND).await;
        }
    }
}
