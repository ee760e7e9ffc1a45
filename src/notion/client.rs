//! The adapter to Notion's REST API: one question is one request, asked within the budget, bounded in time and size.
//!
//! Nothing is asked twice in here. Who asked knows how urgent it is and decides when to ask again.

mod access;
mod counted;
mod query;
mod upkeep;

use std::{str::FromStr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::{
    Method,
    header::{InvalidHeaderValue, RETRY_AFTER},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tokio::time::{Instant, timeout};
use url::Url;

pub use crate::notion::client::upkeep::{Bot, Me};
use crate::{
    clock::Clock,
    metrics::{
        Metrics,
        label::{Endpoint, FetchedBy},
    },
    model::{
        id::{DataSourceId, DatabaseId, PageId, TableId},
        page::{Schema, Snapshot, View},
    },
    notion::{
        Notion, NotionError, Priority, Query, QueryPage,
        budget::Budget,
        client::access::Access,
        failure,
        json::Json,
        page_json::{self, PageError},
        schema::{self, SchemaError},
        transport::{Answer, Request, Transport, TransportError, http::Http},
    },
};

/// Who looks at a page waits no longer than this for a turn: a pause can last for hours, and whoever waits in here keeps
/// pages of other tokens from being looked at. Without a pause nobody waits nearly as long.
const TURN_WAITED_MAX: Duration = Duration::from_mins(2);

/// A pause that is longer than this is told at once instead of being waited for.
const PAUSE_WAITED_MAX: TimeDelta = TimeDelta::seconds(10);

/// How to reach Notion.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// The address before `/v1`: `https://api.notion.com`.
    pub base_url: Url,
    /// The token of the connection.
    pub token: SecretString,
    /// The version of the API to speak.
    pub version: ApiVersion,
    /// How long one question may take, from the connection to the last byte. Notion itself gives up after about 60 s
    /// (ERR).
    pub timeout: Duration,
}

/// A version of Notion's API that this client speaks: both know data sources (UP25).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ApiVersion {
    /// The first version with data sources.
    V2025_09_03,
    /// The newest one (UP26).
    #[default]
    V2026_03_11,
}

/// A version that this client does not speak.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a supported version of Notion's API: use 2025-09-03 or 2026-03-11")]
pub struct UnknownVersion(pub String);

impl ApiVersion {
    /// Returns the value of the header `Notion-Version`, which every request must have (ERR).
    pub const fn header(self) -> &'static str {
        match self {
            Self::V2025_09_03 => "2025-09-03",
            Self::V2026_03_11 => "2026-03-11",
        }
    }
}

impl FromStr for ApiVersion {
    type Err = UnknownVersion;

    fn from_str(text: &str) -> Result<Self, UnknownVersion> {
        let known = [Self::V2025_09_03, Self::V2026_03_11].into_iter().find(|version| version.header() == text.trim());
        known.ok_or_else(|| UnknownVersion(text.to_owned()))
    }
}

/// Settings that make no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The token holds a line break or another character that no header takes.
    #[error("the Notion token holds characters that cannot be sent: copy it again, without line breaks")]
    Token(#[source] InvalidHeaderValue),
    /// The base address is none that paths can be added to, or holds a password, which would show in errors.
    #[error("the base address of Notion must look like https://api.notion.com, without user and password")]
    BaseUrl,
    /// The system lets no client be built, for instance because it has no certificates to trust.
    #[error("cannot set up the client for Notion")]
    Setup(#[source] reqwest::Error),
}

/// Asks Notion. Clones share connections and budget.
#[derive(Debug, Clone)]
pub struct Client<T = Http> {
    transport: T,
    base_url: Url,
    access: Arc<ArcSwap<Access>>,
    version: ApiVersion,
    timeout: Duration,
    clock: Clock,
    metrics: Metrics,
}

/// What one question sends.
struct Question {
    endpoint: Endpoint,
    method: Method,
    url: Url,
    body: Option<serde_json::Value>,
}

impl Client {
    /// Builds a client that asks over HTTP; asks nothing yet.
    pub fn new(settings: ClientSettings, budget: Budget, clock: Clock, metrics: Metrics) -> Result<Self, ClientError> {
        let transport = Http::new(settings.timeout).map_err(ClientError::Setup)?;
        Self::over(transport, settings, budget, clock, metrics)
    }
}

impl<T: Transport> Client<T> {
    /// Builds a client that asks through `transport`; asks nothing yet.
    pub fn over(
        transport: T,
        settings: ClientSettings,
        budget: Budget,
        clock: Clock,
        metrics: Metrics,
    ) -> Result<Self, ClientError> {
        let ClientSettings { base_url, token, version, timeout } = settings;
        if base_url.cannot_be_a_base() || !base_url.username().is_empty() || base_url.password().is_some() {
            return Err(ClientError::BaseUrl);
        }
        let access = Arc::new(ArcSwap::from_pointee(Access::new(token, version, budget)?));
        Ok(Self { transport, base_url, access, version, timeout, clock, metrics })
    }

    /// Returns a client with a token of its own, for now the same one; the connections are shared.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self { access: Arc::new(ArcSwap::new(self.access.load_full())), ..self.clone() }
    }

    /// Asks with another token from now on, within the budget of that. What is asked already is seen through.
    pub fn take_token(&self, token: SecretString, budget: Budget) -> Result<(), ClientError> {
        self.access.store(Arc::new(Access::new(token, self.version, budget)?));
        Ok(())
    }

    /// Returns the budget of the token.
    pub fn budget(&self) -> Budget {
        self.access.load().budget.clone()
    }

    /// Returns whether it asks with this token.
    pub fn has_token(&self, token: &SecretString) -> bool {
        self.access.load().token.expose_secret() == token.expose_secret()
    }

    fn question(&self, endpoint: Endpoint, method: Method, path: &[&str]) -> Question {
        let mut url = self.base_url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        Question { endpoint, method, url, body: None }
    }

    /// Sends one request once the budget allows it, and reads its answer. `read` gets the body and the instant before
    /// the request was sent.
    async fn ask<R>(
        &self,
        question: Question,
        priority: Priority,
        read: impl FnOnce(&[u8], DateTime<Utc>) -> Result<R, NotionError> + Send,
    ) -> Result<R, NotionError> {
        let access = self.in_turn(priority).await?;
        let observed_at = self.clock.now();
        let outcome = self.answer(&access, question).await.and_then(|body| read(&body, observed_at));
        if let Err(NotionError::RateLimited { retry_after }) = &outcome {
            access.budget.pause(*retry_after);
        }
        self.count_outcome(priority, outcome.as_ref().err());
        outcome
    }

    /// Waits until the budget allows a request. Whoever has waited asks with the token that counts by then.
    async fn in_turn(&self, priority: Priority) -> Result<Arc<Access>, NotionError> {
        loop {
            let budget = self.access.load().budget.clone();
            self.turn(&budget, priority).await?;
            let access = self.access.load_full();
            if access.budget.is(&budget) {
                return Ok(access);
            }
        }
    }

    /// Waits until the budget allows a request; not through a long pause, unless it is a sweep that waits.
    async fn turn(&self, budget: &Budget, priority: Priority) -> Result<(), NotionError> {
        if priority == Priority::Sweep {
            budget.acquire(priority).await;
            return Ok(());
        }
        let pause = || budget.state().paused_until.map_or(TimeDelta::zero(), |until| until - self.clock.now());
        let in_turn = pause() <= PAUSE_WAITED_MAX && timeout(TURN_WAITED_MAX, budget.acquire(priority)).await.is_ok();
        let retry_after = || pause().to_std().unwrap_or_default().max(Duration::from_secs(1));
        if in_turn { Ok(()) } else { Err(NotionError::RateLimited { retry_after: retry_after() }) }
    }

    async fn answer(&self, access: &Access, question: Question) -> Result<Vec<u8>, NotionError> {
        self.body_of(access, self.send(access, question).await?)
    }

    async fn send(&self, access: &Access, question: Question) -> Result<Answer, NotionError> {
        let Question { endpoint, method, url, body } = question;
        let request = Request { method, url, headers: &access.headers, body, timeout: self.timeout };
        let began = Instant::now();
        let answer = self.transport.send(request).await;
        self.count_request(endpoint, answer.as_ref().ok().map(|answer| answer.status), began.elapsed());
        answer.map_err(unanswered)
    }

    /// Returns the body of a success, or what is wrong with any other answer.
    fn body_of(&self, access: &Access, answer: Answer) -> Result<Vec<u8>, NotionError> {
        if !(200..300).contains(&answer.status) {
            let retry_after = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            // A refusal whose body breaks off is a refusal still.
            let body = answer.body.unwrap_or_default();
            return Err(failure::classify(answer.status, retry_after, &body, &access.token, self.clock.now()));
        }
        answer.body.map_err(unanswered)
    }

    async fn schemas_of(&self, table: TableId, priority: Priority) -> Result<Vec<Schema>, NotionError> {
        let sources = match table {
            TableId::DataSource(id) => vec![id],
            TableId::Database(id) => {
                let question = self.question(Endpoint::Database, Method::GET, &["databases", &id.to_string()]);
                self.ask(question, priority, |body, _| schema::data_sources(&json(body)?).map_err(unreadable_schema))
                    .await?
            }
        };
        let mut schemas = Vec::with_capacity(sources.len());
        for id in sources {
            let question = self.question(Endpoint::DataSource, Method::GET, &["data_sources", &id.to_string()]);
            let schema = self.ask(question, priority, |body, _| match schema::schema(&json(body)?) {
                Ok(schema) if schema.data_source == id => Ok(schema),
                Ok(other) => Err(NotionError::Unreadable(format!("data source {} for {id}", other.data_source))),
                Err(error) => Err(unreadable_schema(error)),
            });
            schemas.push(schema.await?);
        }
        Ok(schemas)
    }
}

impl<T: Transport> Notion for Client<T> {
    async fn page(&self, id: PageId, priority: Priority) -> Result<Snapshot, NotionError> {
        let question = self.question(Endpoint::Page, Method::GET, &["pages", &id.to_string()]);
        let read = |body: &[u8], observed_at| match page_json::page(&json(body)?) {
            Ok(page) if page.id == id => Ok(Snapshot { page, observed_at, view: View::Page }),
            Ok(other) => Err(NotionError::Unreadable(format!("page {} for {id}", other.id))),
            // What the page itself does not show, no other question will.
            Err(PageError::Partial(_)) => Err(NotionError::Refused {
                code: "partial_page".to_owned(),
                message: "pages come without their content: give the connection the «read content» capability"
                    .to_owned(),
            }),
            Err(error) => Err(NotionError::Unreadable(error.to_string())),
        };
        let snapshot = self.ask(question, priority, read).await?;
        self.count_pages(FetchedBy::Page, priority, 1);
        Ok(snapshot)
    }

    /// A database and its data source have different ids, and people mix them up (UP25): what is not found as one is
    /// looked for as the other. Which status Notion has for an id of the other kind is unknown, so 400 counts as well.
    async fn schemas(&self, table: TableId, priority: Priority) -> Result<Vec<Schema>, NotionError> {
        match self.schemas_of(table, priority).await {
            Err(error @ (NotionError::NotFound | NotionError::Rejected { .. })) => {
                let other = match table {
                    TableId::DataSource(id) => TableId::Database(DatabaseId::from_uuid(id.uuid())),
                    TableId::Database(id) => TableId::DataSource(DataSourceId::from_uuid(id.uuid())),
                };
                match self.schemas_of(other, priority).await {
                    Err(NotionError::NotFound | NotionError::Rejected { .. }) => Err(error),
                    outcome => outcome,
                }
            }
            outcome => outcome,
        }
    }

    async fn query(&self, query: &Query, priority: Priority) -> Result<QueryPage, NotionError> {
        let path = ["data_sources", &query.data_source.to_string(), "query"];
        let question = self.question(Endpoint::Query, Method::POST, &path);
        let read = |body: &[u8], observed_at| query::results(&json::<Json<'_>>(body)?, observed_at);
        let results = self.ask(Question { body: Some(query::body(query)), ..question }, priority, read).await?;
        self.count_pages(FetchedBy::Query, priority, results.snapshots.len());
        Ok(results)
    }
}

fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, NotionError> {
    serde_json::from_slice(body).map_err(|error| NotionError::Unreadable(format!("not JSON: {error}")))
}

fn unanswered(error: TransportError) -> NotionError {
    match error {
        TransportError::Broken(source) => NotionError::Unavailable(source),
        TransportError::TooLong => NotionError::Unreadable(error.to_string()),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that `map_err` takes")]
fn unreadable_schema(error: SchemaError) -> NotionError {
    NotionError::Unreadable(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroU16, sync::Mutex};

    use serde_json::{Value, json};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
    };
    use tokio_util::task::TaskTracker;

    use crate::{
        metrics::label::Part,
        notion::{Window, transport::BODY_BYTES_MAX},
    };

    use super::*;

    const SOURCE: &str = "3296958a-07b8-53ee-b6a8-a1cc71849e2b";
    const DATABASE: &str = "22222222-2222-4222-8222-222222222222";
    const PAGE: &str = "11111111-1111-4111-8111-111111111111";
    const TOKEN: &str = "ntn_never_to_be_seen";

    /// What the other side does with one request.
    enum Answer {
        /// Sends this and closes.
        Send(String),
        /// Reads, and stays silent.
        Hang,
        /// Closes before the request is read.
        Reset,
    }

    fn answer(head: &str, body: &str) -> Answer {
        let length = body.len();
        Answer::Send(format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"))
    }

    fn ok(body: &Value) -> Answer {
        answer("200 OK", &body.to_string())
    }

    fn not_found() -> Answer {
        answer("404 Not Found", r#"{"code":"object_not_found","message":"Could not find it."}"#)
    }

    /// When each request was there, and its text.
    type Requests = Arc<Mutex<Vec<(DateTime<Utc>, String)>>>;

    /// A client, and what reaches the other side.
    struct World {
        client: Client,
        requests: Requests,
    }

    async fn world(answers: Vec<Answer>) -> World {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let requests = Requests::default();
        let seen = Arc::clone(&requests);
        let hangs = answers.iter().any(|answer| matches!(answer, Answer::Hang));
        let timeout = if hangs { Duration::from_millis(100) } else { Duration::from_secs(20) };
        TaskTracker::new().spawn(async move {
            let mut open = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                if matches!(answer, Answer::Reset) {
                    drop(stream);
                    continue;
                }
                let request = read_request(&mut stream).await;
                seen.lock().unwrap().push((Clock::system().now(), request));
                match answer {
                    // The client may hang up before it has heard all.
                    Answer::Send(text) => drop(stream.write_all(text.as_bytes()).await),
                    Answer::Hang | Answer::Reset => open.push(stream),
                }
            }
            std::future::pending::<()>().await;
        });
        let settings =
            ClientSettings { base_url, token: SecretString::from(TOKEN), version: ApiVersion::default(), timeout };
        let (clock, metrics) = (Clock::system(), Metrics::default());
        let budget = Budget::new(NonZeroU16::new(180).unwrap(), clock.clone(), metrics.clone());
        World { client: Client::new(settings, budget, clock, metrics).unwrap(), requests }
    }

    async fn read_request(stream: &mut TcpStream) -> String {
        let (mut request, mut chunk) = (String::new(), [0; 4096]);
        loop {
            let read = stream.read(&mut chunk).await.unwrap();
            request.push_str(str::from_utf8(&chunk[..read]).unwrap());
            let Some((head, body)) = request.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if length.is_none_or(|length| body.len() >= length.parse().unwrap()) {
                return request;
            }
        }
    }

    impl World {
        /// The first line of each request.
        fn asked(&self) -> Vec<String> {
            let requests = self.requests.lock().unwrap();
            requests.iter().map(|(_, request)| request.lines().next().unwrap().to_owned()).collect()
        }

        async fn page(&self) -> Result<Snapshot, NotionError> {
            self.client.page(PAGE.parse().unwrap(), Priority::Webhook).await
        }

        /// How many requests were answered with this status, and how many errors that made.
        fn counted(&self, status: Option<u16>) -> (u64, u64) {
            let metrics = &self.client.metrics;
            (metrics.notion_requests.all(status), metrics.errors.get(Part::Notion))
        }
    }

    fn page(id: &str) -> Value {
        json!({
            "object": "page", "id": id, "created_time": "2026-09-01T10:00:00.000Z",
            "last_edited_time": "2026-09-01T10:00:00.000Z", "in_trash": false, "properties": {},
            "parent": { "type": "data_source_id", "data_source_id": SOURCE },
        })
    }

    fn data_source(id: &str) -> Value {
        json!({ "object": "data_source", "id": id, "title": [], "properties": {} })
    }

    #[tokio::test]
    async fn a_page_is_observed_after_the_grant_and_before_the_request() {
        let world = world(vec![ok(&page(PAGE))]).await;
        let before = world.client.clock.now();
        world.client.budget().pause(Duration::from_millis(50));
        let snapshot = world.page().await.unwrap();
        assert_eq!((snapshot.page.id.to_string().as_str(), snapshot.view), (PAGE, View::Page));
        let (arrived, request) = world.requests.lock().unwrap()[0].clone();
        assert!(before + Duration::from_millis(50) <= snapshot.observed_at && snapshot.observed_at <= arrived);
        let head = request.to_lowercase();
        assert!(head.starts_with(&format!("get /v1/pages/{PAGE} http/1.1\r\n")), "{head}");
        for line in [
            format!("authorization: bearer {TOKEN}"),
            "notion-version: 2026-03-11".to_owned(),
            format!("user-agent: suppressd/{}", env!("CARGO_PKG_VERSION")),
        ] {
            assert!(head.lines().any(|other| other == line), "{line} is not in {head}");
        }
        assert_eq!(world.counted(Some(200)), (1, 0));
        assert_eq!(world.client.metrics.notion_pages_fetched.get(FetchedBy::Page), 1);
        assert_eq!(world.client.metrics.notion_request.observed(Endpoint::Page), 1);
    }

    #[tokio::test]
    async fn a_rate_limit_pauses_everybody_for_all_of_its_time() {
        let body = r#"{"code":"rate_limited","additional_data":{"retry_after":"1800"}}"#;
        for (head, body, seconds) in
            [("429 Too Many\r\nRetry-After: 900", "", 900), ("429 Too Many", body, 1800), ("529 Overload", "", 60)]
        {
            let world = world(vec![answer(head, body)]).await;
            let before = world.client.clock.now();
            let error = world.page().await.unwrap_err();
            let wait = Duration::from_secs(seconds);
            assert!(matches!(error, NotionError::RateLimited { retry_after } if retry_after == wait), "{error:?}");
            assert!(world.client.budget().state().paused_until.unwrap() >= before + wait);
            assert_eq!(world.counted(head.get(..3).and_then(|status| status.parse().ok())), (1, 0));
        }
    }

    #[tokio::test]
    async fn what_is_no_answer_is_unavailable() {
        let cut = "HTTP/1.1 200 OK\r\nContent-Length: 4000\r\nConnection: close\r\n\r\n{\"object\":";
        let moved = "302 Found\r\nLocation: http://127.0.0.1:1/elsewhere";
        for answer in [
            Answer::Send(cut.to_owned()),
            Answer::Hang,
            Answer::Reset,
            answer("403 Forbidden", "<html>cloudflare</html>"),
            answer("502 Bad Gateway", "<html>"),
            answer(moved, ""),
        ] {
            let world = world(vec![answer]).await;
            let error = world.page().await.unwrap_err();
            assert!(matches!(error, NotionError::Unavailable(_)), "{error:?}");
            assert!(!format!("{error:?} {:?}", world.client).contains(TOKEN));
            assert_eq!(world.client.metrics.errors.get(Part::Notion), 1);
        }
    }

    #[tokio::test]
    async fn what_is_no_page_is_unreadable() {
        for body in ["<html>hello</html>", "", "{\"object\":", "[]", &page(DATABASE).to_string()] {
            let world = world(vec![answer("200 OK", body)]).await;
            let error = world.page().await.unwrap_err();
            assert!(matches!(error, NotionError::Unreadable(_)), "{error:?}");
            assert_eq!(world.counted(Some(200)), (1, 1));
            assert_eq!(world.client.metrics.notion_pages_fetched.get(FetchedBy::Page), 0);
        }
    }

    #[tokio::test]
    async fn a_body_beyond_the_bound_is_unreadable() {
        let world = world(vec![answer("200 OK", &" ".repeat(BODY_BYTES_MAX + 1))]).await;
        let error = world.page().await.unwrap_err();
        assert!(matches!(error, NotionError::Unreadable(_)), "{error:?}");
    }

    #[tokio::test]
    async fn a_refusal_that_breaks_off_is_a_refusal() {
        let cut = "HTTP/1.1 401 No\r\nContent-Length: 4000\r\nConnection: close\r\n\r\n{";
        let world = world(vec![Answer::Send(cut.to_owned())]).await;
        let error = world.page().await.unwrap_err();
        assert!(matches!(error, NotionError::Refused { .. }), "{error:?}");
        assert_eq!(world.counted(Some(401)), (1, 1));
    }

    #[tokio::test]
    async fn a_refusal_that_repeats_the_token_is_told_without_it() {
        // The second one writes the token's first letter as JSON may.
        for echo in [TOKEN.to_owned(), TOKEN.replacen('n', r"\u006e", 1)] {
            for status in ["400 Bad", "401 No", "403 No", "429 Blocked", "503 Later"] {
                let blocked = r#""additional_data":{"rate_limit_reason":"public_api_request_blocked"}"#;
                // The last one stands across the place where messages are cut.
                let message = format!("Bearer {echo},{echo} {}{echo}", "x".repeat(240));
                let body = format!(r#"{{"code":"bad {echo}","message":"{message}",{blocked}}}"#);
                let error = world(vec![answer(status, &body)]).await.page().await.unwrap_err();
                let told = format!("{error} {error:?}");
                assert!(!told.contains("ntn_"), "{told}");
                assert!(told.contains("Bearer [redacted],[redacted] x"), "{told}");
            }
        }
    }

    #[tokio::test]
    async fn a_long_pause_is_told_to_who_looks_at_a_page_and_waited_for_by_a_sweep() {
        let world = world(vec![]).await;
        world.client.budget().pause(Duration::from_hours(1));
        let outcome = world.client.page(PAGE.parse().unwrap(), Priority::Webhook).await;
        let Err(NotionError::RateLimited { retry_after }) = outcome else { panic!("{outcome:?}") };
        assert!((3_590..=3_600).contains(&retry_after.as_secs()), "{retry_after:?}");
        let sweep = timeout(Duration::from_millis(50), world.client.page(PAGE.parse().unwrap(), Priority::Sweep));
        assert!(sweep.await.is_err());
        assert_eq!(world.asked(), Vec::<String>::new());
    }

    #[tokio::test]
    async fn a_page_without_its_content_shows_a_missing_capability() {
        let world = world(vec![ok(&json!({ "object": "page", "id": PAGE }))]).await;
        let error = world.page().await.unwrap_err();
        assert!(matches!(&error, NotionError::Refused { code, .. } if code == "partial_page"), "{error:?}");
    }

    #[tokio::test]
    async fn an_id_of_the_other_kind_is_looked_for_there() {
        let database = json!({ "object": "database", "id": DATABASE, "data_sources": [{ "id": SOURCE, "name": "" }] });
        let world = world(vec![not_found(), ok(&database), ok(&data_source(SOURCE))]).await;
        let table = TableId::DataSource(DATABASE.parse().unwrap());
        let schemas = world.client.schemas(table, Priority::Webhook).await.unwrap();
        assert_eq!(schemas.iter().map(|schema| schema.data_source.to_string()).collect::<Vec<_>>(), [SOURCE]);
        let paths = [("data_sources", DATABASE), ("databases", DATABASE), ("data_sources", SOURCE)];
        assert_eq!(world.asked(), paths.map(|(kind, id)| format!("GET /v1/{kind}/{id} HTTP/1.1")));
    }

    #[tokio::test]
    async fn an_id_of_neither_kind_is_not_found() {
        let world = world(vec![not_found(), not_found()]).await;
        let error =
            world.client.schemas(TableId::Database(DATABASE.parse().unwrap()), Priority::Sweep).await.unwrap_err();
        assert!(matches!(error, NotionError::NotFound), "{error:?}");
        assert_eq!(world.counted(Some(404)), (2, 0));
    }

    #[tokio::test]
    async fn a_query_is_posted_and_read() {
        let results = json!({ "object": "list", "results": [page(PAGE)], "has_more": false, "next_cursor": null });
        let world = world(vec![ok(&results)]).await;
        let query = Query {
            data_source: SOURCE.parse().unwrap(),
            window: Window::Everything,
            archived: true,
            cursor: None,
            page_size: 100,
        };
        let page = world.client.query(&query, Priority::Sweep).await.unwrap();
        assert_eq!((page.snapshots.len(), page.next_cursor, page.capped), (1, None, false));
        assert_eq!(world.asked(), [format!("POST /v1/data_sources/{SOURCE}/query HTTP/1.1")]);
        let (_, request) = world.requests.lock().unwrap()[0].clone();
        let (_, body) = request.split_once("\r\n\r\n").unwrap();
        assert_eq!(serde_json::from_str::<Value>(body).unwrap(), query::body(&query));
    }

    #[tokio::test]
    async fn settings_that_cannot_work_are_said_without_the_token() {
        let world = world(Vec::new()).await;
        let client = |base_url: &str, token: String| {
            let settings = ClientSettings {
                base_url: base_url.parse().unwrap(),
                token: SecretString::from(token),
                version: ApiVersion::V2025_09_03,
                timeout: Duration::from_secs(1),
            };
            let World { client, .. } = &world;
            assert!(!format!("{settings:?}").contains(TOKEN));
            Client::new(settings, client.budget(), client.clock.clone(), client.metrics.clone())
        };
        let error = client("https://api.notion.com", format!("{TOKEN}\n")).unwrap_err();
        assert!(matches!(error, ClientError::Token(_)) && !format!("{error:?}").contains(TOKEN), "{error:?}");
        for base_url in ["mailto:a@example.com", "https://user:password@example.com"] {
            let error = client(base_url, TOKEN.to_owned()).unwrap_err();
            assert!(matches!(error, ClientError::BaseUrl), "{error:?}");
        }
    }

    #[test]
    fn versions_are_read_as_they_are_written() {
        for version in [ApiVersion::V2025_09_03, ApiVersion::V2026_03_11] {
            assert_eq!(version.header().parse(), Ok(version));
        }
        assert_eq!("2022-06-28".parse::<ApiVersion>(), Err(UnknownVersion("2022-06-28".to_owned())));
    }
}
