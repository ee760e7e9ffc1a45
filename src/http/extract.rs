//! What handlers of the private door take: a path, a query, a body. Each refuses in our words what it cannot be, and
//! describes itself in the OpenAPI document.

use aide::{
    OperationInput,
    generate::GenContext,
    openapi::{Example, MediaType, Operation, ReferenceOr, RequestBody, Response, SchemaObject, StatusCode as Code},
    operation::{ParamLocation, add_parameters, parameters_from_schema, set_body},
};
use axum::{
    extract::{FromRequest, FromRequestParts, RawPathParams, Request},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, de::DeserializeOwned};
use url::form_urlencoded;

use crate::{
    http::{
        body::Held,
        describe::{parameters, problem_response, sent},
        parameters::read,
        problem::Problem,
        state::Private,
    },
    store::Store,
};

/// The parameters in the path, as the fields of `T`.
#[derive(Debug)]
pub(super) struct Path<T>(pub(super) T);

/// The parameters of the query, as the fields of `T`. A `T` that denies unknown fields refuses unknown parameters.
#[derive(Debug)]
pub(super) struct Query<T>(pub(super) T);

/// The query of a route that takes no parameters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// A body that was read, with its share of the memory of all bodies.
#[derive(Debug)]
pub(super) struct Sent<T> {
    /// What it says.
    pub(super) read: T,
    #[expect(dead_code, reason = "it is kept for as long as what was read from it")]
    held: Held,
}

/// What can be read from a body.
pub(super) trait FromBody: JsonSchema + Sized {
    /// Whether there must be a body.
    const REQUIRED: bool;

    /// Reads it.
    fn read(body: &[u8]) -> Result<Self, Problem>;

    /// Names some that may be sent.
    fn examples() -> Vec<(&'static str, serde_json::Value)>;
}

/// How much is listed at once: between 1 and [`LIMIT_MAX`].
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "u32")]
pub(super) struct Limit<const DEFAULT: u32>(u32);

/// The most that is listed at once.
pub(super) const LIMIT_MAX: u32 = 1000;

impl<const DEFAULT: u32> Limit<DEFAULT> {
    /// Returns the number.
    pub(super) const fn get(self) -> u32 {
        self.0
    }
}

impl<const DEFAULT: u32> Default for Limit<DEFAULT> {
    fn default() -> Self {
        Self(DEFAULT)
    }
}

impl<const DEFAULT: u32> TryFrom<u32> for Limit<DEFAULT> {
    type Error = String;

    fn try_from(limit: u32) -> Result<Self, String> {
        let fits = (1..=LIMIT_MAX).contains(&limit);
        fits.then_some(Self(limit)).ok_or_else(|| format!("{limit} is not between 1 and {LIMIT_MAX}"))
    }
}

impl<const DEFAULT: u32> JsonSchema for Limit<DEFAULT> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Limit{DEFAULT}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": DEFAULT, "examples": [10]})
    }
}

impl<T: DeserializeOwned, P: Send + Sync> FromRequestParts<P> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &P) -> Result<Self, Problem> {
        let given = RawPathParams::from_request_parts(parts, state).await;
        let given = given.map_err(|_rejection| Problem::bad_request("the path is not UTF-8"))?;
        let given = given.iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
        read(given).map(Self).map_err(|wrong| Problem::bad_request(wrong.to_string()))
    }
}

impl<T: DeserializeOwned, P: Send + Sync> FromRequestParts<P> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &P) -> Result<Self, Problem> {
        let given = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        read(given).map(Self).map_err(|wrong| Problem::bad_request(wrong.to_string()))
    }
}

impl<T: FromBody, S: Store> FromRequest<Private<S>> for Sent<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, private: &Private<S>) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            let detail = "send JSON, with the content type application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        let held = private.bodies.read(request.into_body()).await;
        let held = held.map_err(|refusal| Problem::new(refusal.status(), refusal.to_string()))?;
        Ok(Self { read: T::read(&held.bytes)?, held })
    }
}

/// Says whether a body may be JSON: it may where it does not say what it is.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return true };
    let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

impl<T: JsonSchema> OperationInput for Path<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        add::<T>(ctx, operation, ParamLocation::Path);
    }

    fn inferred_early_responses(ctx: &mut GenContext, _: &mut Operation) -> Vec<(Option<Code>, Response)> {
        vec![(Some(Code::Code(400)), problem_response(ctx, "The request makes no sense; `detail` says why."))]
    }
}

impl<T: JsonSchema> OperationInput for Query<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        add::<T>(ctx, operation, ParamLocation::Query);
    }

    fn inferred_early_responses(ctx: &mut GenContext, operation: &mut Operation) -> Vec<(Option<Code>, Response)> {
        Path::<T>::inferred_early_responses(ctx, operation)
    }
}

impl<T: FromBody> OperationInput for Sent<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        let schema = SchemaObject { json_schema: sent::<T>(ctx), external_docs: None, example: None };
        let example = |value| ReferenceOr::Item(Example { value: Some(value), ..Example::default() });
        let examples = T::examples().into_iter().map(|(name, value)| (name.to_owned(), example(value))).collect();
        let media = MediaType { schema: Some(schema), examples, ..MediaType::default() };
        let content = [("application/json".to_owned(), media)].into_iter().collect();
        set_body(ctx, operation, RequestBody { content, required: T::REQUIRED, ..RequestBody::default() });
    }

    fn inferred_early_responses(ctx: &mut GenContext, _: &mut Operation) -> Vec<(Option<Code>, Response)> {
        [
            (400, "The request makes no sense; `detail` says why."),
            (408, "The body did not arrive in time."),
            (413, "The body is too large, or names too much at once."),
            (415, "The body is not said to be JSON."),
        ]
        .into_iter()
        .map(|(status, words)| (Some(Code::Code(status)), problem_response(ctx, words)))
        .collect()
    }
}

/// Describes the fields of `T` as parameters.
fn add<T: JsonSchema>(ctx: &mut GenContext, operation: &mut Operation, location: ParamLocation) {
    let mut described = parameters_from_schema(ctx, parameters::<T>(), location);
    for parameter in &mut described {
        let data = parameter.parameter_data_mut();
        if let aide::openapi::ParameterSchemaOrContent::Schema(schema) = &mut data.format {
            data.example = schema.json_schema.get("examples").and_then(|examples| examples.get(0)).cloned();
            // It is said beside the schema already.
            schema.json_schema.remove("description");
            // Larger numbers cannot be read.
            let largest = match schema.json_schema.get("format").and_then(serde_json::Value::as_str) {
                Some("int64") => Some(i64::MAX.unsigned_abs()),
                Some("uint64") => Some(u64::MAX),
                _ => None,
            };
            if let (Some(largest), None) = (largest, schema.json_schema.get("maximum")) {
                schema.json_schema.insert("maximum".to_owned(), largest.into());
            }
            // A parameter is there with a text, or it is not there.
            if schema.json_schema.get("default").is_some_and(serde_json::Value::is_null) {
                schema.json_schema.remove("default");
            }
        }
    }
    add_parameters(ctx, operation, described);
}
