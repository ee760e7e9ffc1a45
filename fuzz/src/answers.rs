//! Answers of Notion, or of whatever stands before it: pages, schemas, pages of results, refusals.

use std::{num::NonZeroU16, sync::LazyLock, time::Duration};

use chrono::DateTime;
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use secrecy::SecretString;
use serde_json::Value as Tree;
use suppressd::{
    clock::Clock,
    metrics::Metrics,
    model::id::TableId,
    notion::{
        Notion as _, NotionError, Priority, Query, QueryPage, Window,
        budget::Budget,
        client::{ApiVersion, Client, ClientSettings},
        failure::RETRY_AFTER_MAX,
        transport::{Answer, Request, Transport, TransportError},
    },
};
use tokio::runtime::Builder;

const TOKEN: &str = "ntn_never_to_be_told";

/// One for all: to make the series takes longer than a check.
static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::default);

/// The statuses that mean something to the client, and some that do not.
const STATUSES: [u16; 20] =
    [200, 200, 200, 200, 200, 204, 302, 400, 401, 403, 404, 408, 409, 418, 429, 500, 502, 503, 504, 529];

/// The page and the data source of the fixtures that are asked for.
const PAGE: &str = "0b2c5d6e-7f80-4192-a3b4-c5d6e7f80192";
const SOURCE: &str = "a87bf59b-0905-40be-b3d3-21c79ce97349";

/// Answers a question with these bytes: the first says which, the second with which status, the line behind them is
/// `Retry-After`, and the rest is the body.
pub fn answers(bytes: &[u8]) {
    let [question, status, rest @ ..] = bytes else { return };
    let Some(status) = STATUSES.get(usize::from(*status) % STATUSES.len()).copied() else { return };
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let (header, body) = (rest.get(..end).unwrap_or_default(), rest.get(end + 1..).unwrap_or_default());
    let mut headers = HeaderMap::new();
    if let (false, Ok(value)) = (header.is_empty(), HeaderValue::from_bytes(header)) {
        headers.insert(RETRY_AFTER, value);
    }
    // Time stands still but for whoever waits.
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(ask(*question, &Canned { status, headers, body: body.to_vec() }));
}

async fn ask(question: u8, canned: &Canned) {
    let clock = Clock::following_tokio(DateTime::UNIX_EPOCH);
    let budget = Budget::new(NonZeroU16::MAX, clock.clone(), METRICS.clone());
    let settings = ClientSettings {
        base_url: "https://notion.example".parse().unwrap(),
        token: SecretString::from(TOKEN),
        version: ApiVersion::default(),
        timeout: Duration::from_secs(1),
    };
    let client = Client::over(canned.clone(), settings, budget, clock, METRICS.clone()).unwrap();
    let source = SOURCE.parse().unwrap();
    let error = match question % 4 {
        0 => match client.page(asked(&canned.body), Priority::Webhook).await {
            Ok(snapshot) => return assert_eq!(snapshot.page.id, asked(&canned.body), "the page that was asked for"),
            Err(error) => error,
        },
        1 => match client.schemas(TableId::DataSource(source), Priority::Webhook).await {
            Ok(schemas) => return assert!(schemas.iter().all(|schema| schema.data_source == source)),
            Err(error) => error,
        },
        _ => {
            let query = Query {
                data_source: source,
                window: Window::Everything,
                archived: false,
                cursor: None,
                page_size: 100,
            };
            match client.query(&query, Priority::Webhook).await {
                Ok(results) => return whole(&results, &canned.body),
                Err(error) => error,
            }
        }
    };
    told(&error, canned);
}

/// The page that is asked for: the one that the body says it is, so that it may be the right one.
fn asked(body: &[u8]) -> suppressd::model::id::PageId {
    let told = serde_json::from_slice::<Tree>(body).ok();
    told.and_then(|json| json.get("id")?.as_str()?.parse().ok()).unwrap_or_else(|| PAGE.parse().unwrap())
}

/// Checks a page of results: every row is there or is named, but for the sources of a wiki.
fn whole(results: &QueryPage, body: &[u8]) {
    let json: Tree = match serde_json::from_slice(body) {
        Ok(json) => json,
        Err(_) => return assert!(body.windows(20).any(|window| window == b"$serde_json::private")),
    };
    let rows = json.get("results").and_then(Tree::as_array).map(Vec::as_slice).unwrap_or_default();
    let sources =
        rows.iter().filter(|row| matches!(row.get("object").and_then(Tree::as_str), Some("data_source" | "database")));
    assert_eq!(results.snapshots.len() + results.unread.len() + sources.count(), rows.len(), "no row is left out");
    assert_eq!(results.next_cursor.is_some(), json.get("has_more") == Some(&Tree::Bool(true)));
    assert_ne!(results.next_cursor.as_deref(), Some(""));
}

/// Checks an error: it means what the status says, is bounded, fits a line, and holds no token.
fn told(error: &NotionError, canned: &Canned) {
    let told = format!("{error} {error:?}");
    assert!(!told.contains(TOKEN), "{told}");
    let line = error.to_string();
    assert!(line.chars().count() <= 1_000 && !line.contains(char::is_control), "{line:?}");
    let code = || {
        let body: Option<Tree> = serde_json::from_slice(&canned.body).ok();
        body.and_then(|json| json.get("code")?.as_str().map(str::to_owned))
    };
    match error {
        // A 404 of an edge must not pass for a page that is gone.
        NotionError::NotFound => assert_eq!((canned.status, code().as_deref()), (404, Some("object_not_found"))),
        NotionError::RateLimited { retry_after } => {
            assert!(matches!(canned.status, 429 | 529));
            assert!((Duration::from_secs(1)..=RETRY_AFTER_MAX).contains(retry_after), "{retry_after:?}");
        }
        NotionError::Refused { .. } => assert!(matches!(canned.status, 200 | 204 | 401 | 403 | 429 | 529), "{told}"),
        NotionError::CursorRefused => assert_eq!(canned.status, 400),
        NotionError::Rejected { status, .. } => assert_eq!(*status, canned.status),
        NotionError::Unreadable(_) => assert!((200..300).contains(&canned.status), "{told}"),
        NotionError::Unavailable(_) => assert!(!(200..300).contains(&canned.status), "{told}"),
    }
}

/// Gives one answer to whatever is asked; its body holds the token wherever it says `TOKEN`.
#[derive(Debug, Clone)]
struct Canned {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Transport for Canned {
    async fn send(&self, _request: Request<'_>) -> Result<Answer, TransportError> {
        let body = match str::from_utf8(&self.body) {
            Ok(text) if text.contains("TOKEN") => text.replace("TOKEN", TOKEN).into_bytes(),
            _ => self.body.clone(),
        };
        Ok(Answer { status: self.status, headers: self.headers.clone(), body: Ok(body) })
    }
}
