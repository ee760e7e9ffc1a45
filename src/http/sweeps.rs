//! Sweeps at the private door: the past ones with what they found, and asking for a new one.

use aide::{
    OperationOutput,
    axum::{
        ApiRouter,
        routing::{get_with, post_with},
    },
    generate::GenContext,
    openapi::{Operation, Response as Described, StatusCode as Code},
};
use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use schemars::{JsonSchema, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::json;

use crate::{
    http::{
        describe::header as described,
        extract::{FromBody, Limit, Nothing, Path, Query, Sent},
        problem::Problem,
        state::Private,
    },
    lookup::{
        listing::{ListedDrift, ListedSweep},
        sweeps::{Asked, OPEN_MAX},
    },
    model::sweep::{AskedBy, SweepId, SweepOrder, SweepState},
    store::Store,
};

/// What `ttl_days` may be, as in the settings.
const TTL_DAYS_MAX: u32 = 365;

/// The routes of sweeps.
pub(super) fn routes<S: Store>() -> ApiRouter<Private<S>> {
    ApiRouter::new()
        .api_route(
            "/v1/sweeps",
            get_with(sweeps::<S>, |it| it.id("listSweeps").tag("sweeps").summary("Past sweeps, newest first")),
        )
        .api_route(
            "/v1/sweeps/{number}",
            get_with(sweep::<S>, |it| {
                it.id("getSweep")
                    .tag("sweeps")
                    .summary("One sweep, with the differences that it found")
                    .response_with::<404, Problem, _>(|it| it.description("There is no such sweep."))
            }),
        )
        .api_route(
            "/v1/reconcile",
            post_with(reconcile::<S>, |it| {
                it.id("askForSweep")
                    .tag("sweeps")
                    .summary("Asks for a sweep, which the running `serve` takes up")
                    .description("Where one that does the same waits or runs already, that one is meant.")
                    .response_with::<422, Problem, _>(|it| it.description("It asks for what cannot be."))
            }),
        )
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SweepsQuery {
    /// As many at most.
    #[serde(default)]
    limit: Limit<20>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct SweepPath {
    /// The number of the sweep.
    #[schemars(range(min = 1), example = 1)]
    number: i64,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DifferencesQuery {
    /// As many differences at most.
    #[serde(default)]
    limit: Limit<100>,
}

async fn sweeps<S: Store>(
    State(private): State<Private<S>>,
    Query(query): Query<SweepsQuery>,
) -> Result<Json<Vec<ListedSweep>>, Problem> {
    Ok(Json(private.lookup.sweeps(query.limit.get()).await?))
}

async fn sweep<S: Store>(
    State(private): State<Private<S>>,
    Path(SweepPath { number }): Path<SweepPath>,
    Query(query): Query<DifferencesQuery>,
) -> Result<Json<ListedDrift>, Problem> {
    let found = private.lookup.drift(SweepId(number), query.limit.get()).await?;
    found.map(Json).ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, format!("there is no sweep {number}")))
}

/// What may be wished of a sweep.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "SweepOrder")]
struct Wish {
    /// Only say what would change.
    dry_run: bool,
    /// Let the rows that it confirms count for this many days, instead of what the settings say.
    #[serde(deserialize_with = "whole")]
    #[schemars(range(min = 1, max = 365))]
    ttl_days: Option<u32>,
    /// Believe it where many pages answer 404 at once: they were really deleted.
    accept_missing: bool,
    /// Sweep only these sources, by their names in the settings; by default all. Nothing expires after that.
    sources: Vec<String>,
}

/// Reads a whole number, also one that is written `14.0`: to JSON Schema that is the same.
fn whole<'de, D: Deserializer<'de>>(number: D) -> Result<Option<u32>, D::Error> {
    let Some(number) = Option::<f64>::deserialize(number)? else { return Ok(None) };
    number
        .to_string()
        .parse()
        .map(Some)
        .map_err(|_not_whole| D::Error::custom(format!("{number} is not a whole number")))
}

impl FromBody for Wish {
    const REQUIRED: bool = false;

    fn read(body: &[u8]) -> Result<Self, Problem> {
        let wish: Self = match body.trim_ascii() {
            [] => Self::default(),
            // A list would be read as the fields in their order.
            [b'[', ..] => return Err(Problem::bad_request("the order cannot be read: it is a list")),
            json => serde_json::from_slice(json).map_err(|error| Problem::unreadable("the order", &error))?,
        };
        if wish.ttl_days.is_some_and(|days| !(1..=TTL_DAYS_MAX).contains(&days)) {
            let detail = format!("ttl_days is between 1 and {TTL_DAYS_MAX}");
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail));
        }
        Ok(wish)
    }

    fn examples() -> Vec<(&'static str, serde_json::Value)> {
        vec![
            ("a sweep", json!({})),
            ("a dry run", json!({"dry_run": true})),
            ("one source", json!({"sources": ["notion"]})),
        ]
    }
}

impl Wish {
    fn order(self) -> SweepOrder {
        let Self { dry_run, ttl_days, accept_missing, sources } = self;
        SweepOrder { dry_run, ttl_days, accept_missing, ..SweepOrder::by(AskedBy::Api) }.only(sources)
    }
}

/// Where a sweep that was asked for can be followed.
#[derive(Debug, Serialize, JsonSchema)]
struct Accepted {
    /// Its number.
    sweep: i64,
    /// Where it is in its life.
    outcome: SweepState,
    /// Whether it waited or ran before it was asked for here.
    already: bool,
    /// The path under which it can be followed.
    see: String,
}

impl IntoResponse for Accepted {
    fn into_response(self) -> Response {
        let location = HeaderValue::try_from(&self.see).ok().map(|see| [(header::LOCATION, see)]);
        (StatusCode::ACCEPTED, location, Json(self)).into_response()
    }
}

impl OperationOutput for Accepted {
    type Inner = Self;

    fn inferred_responses(ctx: &mut GenContext, operation: &mut Operation) -> Vec<(Option<Code>, Described)> {
        let mut response = Json::<Self>::operation_response(ctx, operation).unwrap_or_default();
        let words = "The path under which the sweep can be followed.";
        let location = described(words, true, json_schema!({"type": "string"}), json!("/v1/sweeps/1"));
        response.headers.insert("location".to_owned(), location);
        vec![(Some(Code::Code(202)), response)]
    }
}

/// Notes that somebody wants a sweep; the work is taken up by whoever has the right to it.
async fn reconcile<S: Store>(
    State(private): State<Private<S>>,
    Query(Nothing {}): Query<Nothing>,
    Sent { read: wish, .. }: Sent<Wish>,
) -> Result<Accepted, Problem> {
    if let [unknown, ..] = private.lookup.unknown_sources(&wish.sources).as_slice() {
        let detail = format!("there is no source {unknown:?} in the settings: GET /v1/status lists the sources");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail));
    }
    let (sweep, already) = match private.lookup.ask_sweep(wish.order()).await? {
        Asked::New(sweep) => (sweep, false),
        Asked::Already(sweep) => (sweep, true),
        Asked::TooMany => {
            let detail = format!("{OPEN_MAX} sweeps wait or run: wait for them");
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
        }
    };
    let see = format!("/v1/sweeps/{}", sweep.sweep);
    Ok(Accepted { sweep: sweep.sweep, outcome: sweep.outcome, already, see })
}
