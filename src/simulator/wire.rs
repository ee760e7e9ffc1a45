//! The way to the API within the process: requests and answers as over HTTP, without sockets, in tokio's time.

use std::{fmt, io, sync::Arc};

use axum::{
    body::{Body, to_bytes},
    extract::{ConnectInfo, Request as HttpRequest, State},
    http::header::CONTENT_TYPE,
};
use tokio::time::timeout;

use crate::{
    notion::transport::{Answer, BODY_BYTES_MAX, Request, Transport, TransportError},
    simulator::{
        api::{Api, answer},
        line::Line,
    },
};

/// Carries the requests of a client to the API of one workspace.
#[derive(Clone)]
pub struct Wire(Arc<Api>);

impl Wire {
    pub(crate) const fn to(api: Arc<Api>) -> Self {
        Self(api)
    }

    /// Lets the API answer. A line that was cut brings nothing.
    async fn ask(&self, request: HttpRequest) -> Result<Answer, TransportError> {
        let line = Line::default();
        let response = answer(State(Arc::clone(&self.0)), ConnectInfo(line.clone()), request).await;
        if line.is_cut() {
            return Err(broken(io::Error::from(io::ErrorKind::ConnectionReset)));
        }
        let (head, body) = response.into_parts();
        let body = to_bytes(body, BODY_BYTES_MAX).await.map_err(|_longer| TransportError::TooLong)?;
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body: Ok(body.into()) })
    }
}

impl Transport for Wire {
    async fn send(&self, request: Request<'_>) -> Result<Answer, TransportError> {
        let mut sent = HttpRequest::builder().method(request.method).uri(request.url.as_str());
        if let Some(headers) = sent.headers_mut() {
            headers.extend(request.headers.clone());
        }
        let sent = match request.body {
            None => sent.body(Body::empty()),
            Some(json) => sent.header(CONTENT_TYPE, "application/json").body(Body::from(json.to_string())),
        };
        timeout(request.timeout, self.ask(sent.map_err(broken)?)).await.map_err(broken)?
    }
}

impl fmt::Debug for Wire {
    /// Leaves the token out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

fn broken(error: impl std::error::Error + Send + Sync + 'static) -> TransportError {
    TransportError::Broken(Box::new(error))
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroU16, time::Duration};

    use chrono::{DateTime, TimeDelta, Utc};
    use secrecy::SecretString;

    use crate::{
        clock::Clock,
        metrics::Metrics,
        model::page::Snapshot,
        notion::{
            Notion as _, NotionError, Priority, Query, Window,
            budget::Budget,
            client::{ApiVersion, Client, ClientSettings},
        },
        simulator::{Settings, draft::company, faults::Fault, offline::Offline},
    };

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(20);

    fn start() -> DateTime<Utc> {
        "2026-01-06T12:00:00Z".parse().unwrap()
    }

    fn notion() -> (Offline, Client<Wire>) {
        let clock = Clock::following_tokio(start());
        let notion = Offline::new(Settings { clock: clock.clone(), ..Settings::default() });
        let settings = ClientSettings {
            base_url: "http://notion.invalid".parse().unwrap(),
            token: SecretString::from(notion.token()),
            version: ApiVersion::default(),
            timeout: TIMEOUT,
        };
        let metrics = Metrics::default();
        let budget = Budget::new(NonZeroU16::new(180).unwrap(), clock.clone(), metrics.clone());
        let client = Client::over(notion.wire(), settings, budget, clock, metrics).unwrap();
        (notion, client)
    }

    async fn ask(notion: &Offline, client: &Client<Wire>, fault: Fault) -> (Result<Snapshot, NotionError>, TimeDelta) {
        let page = notion.workspace().create(company("Amber Kiln"));
        notion.faults().next(1, fault);
        let before = notion.workspace().clock().now();
        let answer = client.page(page, Priority::Webhook).await;
        (answer, notion.workspace().clock().now() - before)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_is_answered_without_a_socket() {
        let (notion, client) = notion();
        let page = notion.workspace().create(company("Amber Kiln"));
        assert_eq!(client.page(page, Priority::Webhook).await.unwrap().page.id, page);
        let query = Query {
            data_source: notion.workspace().data_source(),
            window: Window::Everything,
            archived: false,
            cursor: None,
            page_size: 100,
        };
        assert_eq!(client.query(&query, Priority::Sweep).await.unwrap().snapshots.len(), 1);
        assert_eq!(notion.tally().total(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hanging_request_ends_with_the_time_of_the_client() {
        let (notion, client) = notion();
        let (answer, took) = ask(&notion, &client, Fault::Hang(Duration::from_hours(1))).await;
        assert!(matches!(answer, Err(NotionError::Unavailable(_))), "{answer:?}");
        assert!((TIMEOUT..TIMEOUT * 2).contains(&took.to_std().unwrap()), "{took}");
        let (answer, took) = ask(&notion, &client, Fault::Hang(Duration::from_secs(3))).await;
        assert!(matches!(answer, Err(NotionError::Unavailable(_))), "{answer:?}");
        assert!(took < TimeDelta::seconds(4), "the connection is closed before: {took}");
    }

    #[tokio::test(start_paused = true)]
    async fn broken_answers_are_those_of_http() {
        let (notion, client) = notion();
        let (answer, _) = ask(&notion, &client, Fault::Reset).await;
        assert!(matches!(answer, Err(NotionError::Unavailable(_))), "{answer:?}");
        let (answer, _) = ask(&notion, &client, Fault::Edge(502)).await;
        assert!(matches!(answer, Err(NotionError::Unavailable(_))), "{answer:?}");
        let (answer, _) = ask(&notion, &client, Fault::Truncated).await;
        assert!(matches!(answer, Err(NotionError::Unreadable(_))), "{answer:?}");
        let rate = Fault::RateLimited { reason: "public_api_request_rate_limit", retry_after: Some(7) };
        let (answer, _) = ask(&notion, &client, rate).await;
        assert!(
            matches!(answer, Err(NotionError::RateLimited { retry_after }) if retry_after.as_secs() == 7),
            "{answer:?}"
        );
    }
}
