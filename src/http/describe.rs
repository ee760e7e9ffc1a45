//! How what a route takes and gives is described to OpenAPI.
//!
//! What a client sends is described as it may be sent, with fields that may be missing; what it gets as it is always
//! written.

use aide::{
    OperationOutput,
    generate::{GenContext, in_context},
    openapi::{
        Header, HeaderStyle, MediaType, Operation, ParameterSchemaOrContent, ReferenceOr, Response, SchemaObject,
        StatusCode as Code,
    },
};
use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde_json::Value;

use crate::http::problem::{Details, Problem};

/// Where the document keeps its schemas.
const SCHEMAS: &str = "#/components/schemas/";

/// Begins a document on this thread: what is described from now on becomes part of it.
pub(super) fn begin() {
    in_context(|ctx| ctx.schema = settings().for_serialize().into_generator());
}

/// OpenAPI 3.1 takes JSON Schema as it is by now; aide would write that of years ago.
fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| SCHEMAS.clone_into(settings.definitions_path.to_mut()))
}

/// Describes parameters.
pub(super) fn parameters<T: JsonSchema>() -> Schema {
    settings().with(|settings| settings.inline_subschemas = true).into_generator().subschema_for::<T>()
}

/// Describes what may be sent.
pub(super) fn sent<T: JsonSchema>(ctx: &mut GenContext) -> Schema {
    let mut generator = settings().into_generator();
    let schema = generator.subschema_for::<T>();
    ctx.schema.definitions_mut().extend(generator.take_definitions(true));
    schema
}

/// Describes an error.
pub(super) fn problem_response(ctx: &mut GenContext, description: &str) -> Response {
    let schema = ctx.schema.subschema_for::<Details<'_>>();
    let media = MediaType { schema: Some(object(schema)), ..MediaType::default() };
    Response {
        description: description.to_owned(),
        content: [("application/problem+json".to_owned(), media)].into_iter().collect(),
        ..Response::default()
    }
}

/// Describes a header of an answer.
pub(super) fn header(description: &str, required: bool, schema: Schema, example: Value) -> ReferenceOr<Header> {
    ReferenceOr::Item(Header {
        description: Some(description.to_owned()),
        style: HeaderStyle::Simple,
        required,
        deprecated: None,
        format: ParameterSchemaOrContent::Schema(object(schema)),
        example: Some(example),
        examples: <_>::default(),
        extensions: <_>::default(),
    })
}

const fn object(json_schema: Schema) -> SchemaObject {
    SchemaObject { json_schema, external_docs: None, example: None }
}

impl OperationOutput for Problem {
    type Inner = Self;

    fn operation_response(ctx: &mut GenContext, _: &mut Operation) -> Option<Response> {
        Some(problem_response(ctx, "It did not work; `detail` says why."))
    }

    fn inferred_responses(ctx: &mut GenContext, _: &mut Operation) -> Vec<(Option<Code>, Response)> {
        vec![(Some(Code::Code(503)), problem_response(ctx, "There is no answer now: ask again later."))]
    }
}
