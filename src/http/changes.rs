//! The changes of the entries at the private door: at once, after a wait, or as a stream.

use std::{borrow::Cow, time::Duration};

use aide::{
    axum::{ApiRouter, routing::get_with},
    openapi::{MediaType, SchemaObject},
};
use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};
use tokio_util::io::ReaderStream;

use crate::{
    duration,
    http::{
        extract::{Limit, Query},
        following::Following,
        problem::Problem,
    },
    lookup::{
        Lookup,
        changes::{Changes, ChangesError, Entries, Position},
        followers::{Followers, TooMany, Woken},
    },
    store::Store,
};

/// The longest that an answer waits for a change.
const WAIT_MAX: Duration = Duration::from_mins(1);

/// A stream that tells nothing else says this often that it is there: well within what a connection may idle, and within
/// what proxies commonly bear.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The media type of server-sent events.
const EVENT_STREAM: &str = "text/event-stream";

/// Where a client says which event it had last.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What gives changes.
#[derive(Debug, Clone)]
pub struct Feed<S> {
    /// Knows them.
    pub lookup: Lookup<S>,
    /// Those who wait for more.
    pub followers: Followers,
    /// How often a stream says that it is there.
    pub keep_alive: Duration,
}

/// Which changes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangesQuery {
    /// The last change that you have, as the `seq` of an earlier answer said. Left out: only what is still to come.
    after: Option<u64>,
    /// The `feed` that came with that `seq`: where the database is another one by now, or an older copy, the answer is 410.
    feed: Option<String>,
    /// As many at most; a stream takes no notice of it.
    #[serde(default)]
    limit: Limit<100>,
    /// Where there is nothing newer: wait so long for it, at most `60s`; a stream takes no notice of it.
    #[serde(default)]
    wait: Wait,
}

/// How long somebody waits for a change.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(try_from = "String")]
struct Wait(Duration);

impl TryFrom<String> for Wait {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wait = duration::parse(&text).map_err(|error| error.to_string())?;
        let fits = wait <= WAIT_MAX;
        fits.then_some(Self(wait)).ok_or_else(|| format!("{text} is more than {} s", WAIT_MAX.as_secs()))
    }
}

impl JsonSchema for Wait {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Wait".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^([0-9]|[1-5][0-9]|60)s$", "default": "0s", "examples": ["1s"]})
    }
}

/// Which entries.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EntriesQuery {
    /// The `next` of the page before; left out for the first page.
    after: Option<String>,
    /// As many at most.
    #[serde(default)]
    limit: Limit<100>,
}

/// The routes over `feed`.
pub fn routes<S: Store, P: Clone + Send + Sync + 'static>(feed: Feed<S>) -> ApiRouter<P> {
    ApiRouter::new()
        .api_route(
            "/v1/changes",
            get_with(changes::<S>, |it| {
                it.id("listChanges")
                    .tag("copies")
                    .summary("Changes of entries, so that another cache can follow")
                    .description(CHANGES)
                    .response_with::<200, Json<Changes>, _>(|mut it| {
                        it.inner().content.insert(EVENT_STREAM.to_owned(), text());
                        it.description("The changes; with `Accept: text/event-stream` a stream of events.")
                    })
                    .response_with::<410, Problem, _>(|it| {
                        it.description("What you have does not go on here: begin anew with `/v1/entries`.")
                    })
            }),
        )
        .api_route(
            "/v1/entries",
            get_with(entries::<S>, |it| {
                it.id("listEntries")
                    .tag("copies")
                    .summary("Entries by key, with all that a copy needs")
                    .description(ENTRIES)
            }),
        )
        .with_state(feed)
}

const CHANGES: &str = "A copy begins with all pages of `/v1/entries` and goes on here from the `seq` and `feed` of the \
    first page. Of each change it takes over `entry`, and removes the key where that is null: that may be done more than \
    once, and in pieces. Give back `seq` and `feed` of the last answer as `after` and `feed`.\n\n\
    With `Accept: text/event-stream` the answer is a stream: `event: change` with a change as its data, and an id that \
    the client gives back as `Last-Event-ID`, which counts more than `after` and `feed`. `event: gone` has a problem as \
    its data, which says why the client has to begin anew; the stream ends with it. A comment every 15 seconds says that \
    the stream is there.";

const ENTRIES: &str = "Rows that another program wrote are not among them. Ask for the next page with its `next` as \
    `after`; where `next` is null, this was the last. A copy then follows `/v1/changes` from the `seq` and `feed` of its \
    **first** page.";

/// The description of a text.
fn text() -> MediaType {
    let json_schema = json_schema!({"type": "string"});
    let schema = SchemaObject { json_schema, external_docs: None, example: None };
    MediaType { schema: Some(schema), ..MediaType::default() }
}

async fn changes<S: Store>(
    State(feed): State<Feed<S>>,
    headers: HeaderMap,
    Query(query): Query<ChangesQuery>,
) -> Result<Response, Problem> {
    feed.changes(query, &headers).await
}

async fn entries<S: Store>(
    State(feed): State<Feed<S>>,
    Query(query): Query<EntriesQuery>,
) -> Result<Json<Entries>, Problem> {
    let key = query.after.filter(|key| !key.is_empty());
    Ok(Json(feed.lookup.entries(key, query.limit.get()).await?))
}

impl<S: Store> Feed<S> {
    /// Gives changes in the way that the client asks for.
    pub(super) async fn changes(&self, query: ChangesQuery, headers: &HeaderMap) -> Result<Response, Problem> {
        let position = Position { after: query.after, feed: query.feed };
        if headers.get_all(header::ACCEPT).iter().any(|accept| accept.to_str().is_ok_and(asks_for_stream)) {
            return self.stream(last_event(headers)?.unwrap_or(position));
        }
        Ok(Json(self.wait(position, query.limit.get(), query.wait.0).await?).into_response())
    }

    /// Gives what is newer; where there is nothing, what comes within the wait.
    async fn wait(&self, position: Position, limit: u32, wait: Duration) -> Result<Changes, Problem> {
        let mut read = self.lookup.changes(position, limit).await?;
        if !read.changes.is_empty() || wait.is_zero() {
            return Ok(read);
        }
        let (mut follower, until) = (self.followers.sit()?, Instant::now() + wait);
        loop {
            // Once more, now that nothing can be missed from this seat.
            read = self.lookup.changes(read.end(), limit).await?;
            if !read.changes.is_empty() {
                return Ok(read);
            }
            match timeout_at(until, follower.wait(read.seq)).await {
                Ok(Woken::News) => (),
                Ok(Woken::Stopping) | Err(_) => return Ok(read),
            }
        }
    }

    /// Gives what is newer, and then whatever comes, for as long as the client listens.
    fn stream(&self, position: Position) -> Result<Response, Problem> {
        let following = Following::new(self.lookup.clone(), self.followers.sit()?, position, self.keep_alive);
        // A proxy must not keep events until it has many of them.
        let headers = [
            (header::CONTENT_TYPE, EVENT_STREAM),
            (header::CACHE_CONTROL, "no-cache"),
            (HeaderName::from_static("x-accel-buffering"), "no"),
        ];
        Ok((headers, Body::from_stream(ReaderStream::new(following))).into_response())
    }
}

impl From<ChangesError> for Problem {
    fn from(error: ChangesError) -> Self {
        match error {
            ChangesError::Gone(gone) => Self::new(StatusCode::GONE, gone.to_string()),
            ChangesError::Store(error) => error.into(),
        }
    }
}

impl From<TooMany> for Problem {
    fn from(error: TooMany) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

fn asks_for_stream(accept: &str) -> bool {
    accept.split(',').any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim() == EVENT_STREAM))
}

/// Reads which event the client had last; its id is a number, and the name of the feed where we gave it.
fn last_event(headers: &HeaderMap) -> Result<Option<Position>, Problem> {
    let Some(id) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    let id = id.to_str().unwrap_or_default().trim();
    let (seq, feed) = id.split_once('-').map_or((id, None), |(seq, feed)| (seq, Some(feed.to_owned())));
    let after = seq.parse().map_err(|_not_a_number: std::num::ParseIntError| {
        Problem::new(StatusCode::BAD_REQUEST, "last-event-id is not the id of one of our events")
    })?;
    Ok(Some(Position { after: Some(after), feed }))
}
