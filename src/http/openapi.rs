//! The OpenAPI document of the private door: what its routes say of themselves, and what is true of all of them.

use aide::{
    OperationOutput,
    axum::{ApiRouter, routing::get_with},
    generate::{GenContext, in_context},
    openapi::{
        Components, Header, Info, MediaType, OpenApi, Operation, PathItem, ReferenceOr, Response, SecurityScheme,
        StatusCode as Code, Tag,
    },
};
use axum::{
    Extension, Router,
    body::Bytes,
    http::header,
    response::{self, IntoResponse},
};
use schemars::json_schema;
use serde_json::json;

use crate::http::{
    admission::AdminToken,
    describe::{header as described, problem_response},
    extract::{Nothing, Query},
    problem::Problem,
    request::{REQUEST_ID, REQUEST_ID_MAX},
};

/// What the routes are grouped by.
const TAGS: [(&str, &str); 6] = [
    ("verdicts", "May this company be pushed?"),
    ("crm", "What a person should mend in the CRM."),
    ("copies", "Keeping another cache in step."),
    ("sweeps", "Reading the whole CRM, and what that found."),
    ("program", "How the program is, and what came in."),
    ("document", "This description."),
];

const ABOUT: &str = "\
Answers whether a company may be pushed, and tells how the cache of the CRM is kept.\n\n\
Errors are problem details (RFC 9457). Every answer bears the id of its request in `x-request-id`. Parameters and \
fields that are not described here are refused.";

/// The name of the header with the id of the request among the headers.
const REQUEST_ID_NAME: &str = "RequestId";

/// The name of the bearer token among the ways to be let in.
const BEARER: &str = "bearer";

/// The document while a token is asked for, and while none is: settings can change that.
#[derive(Debug, Clone)]
struct Documents {
    token: AdminToken,
    with_token: Document,
    without_token: Document,
}

/// The document, as it is sent.
#[derive(Debug, Clone)]
struct Document(Bytes);

impl IntoResponse for Document {
    fn into_response(self) -> response::Response {
        ([(header::CONTENT_TYPE, "application/json")], self.0).into_response()
    }
}

impl OperationOutput for Document {
    type Inner = Self;

    fn inferred_responses(_: &mut GenContext, _: &mut Operation) -> Vec<(Option<Code>, Response)> {
        let content = [("application/json".to_owned(), MediaType::default())].into_iter().collect();
        let response = Response { description: "The document.".to_owned(), content, ..Response::default() };
        vec![(Some(Code::Code(200)), response)]
    }
}

/// The route of the document.
pub(super) fn routes<P: Clone + Send + Sync + 'static>() -> ApiRouter<P> {
    ApiRouter::new().api_route(
        "/openapi.json",
        get_with(document, |it| it.id("getOpenApi").tag("document").summary("This document")),
    )
}

async fn document(
    Query(Nothing {}): Query<Nothing>,
    Extension(documents): Extension<Documents>,
) -> Result<Document, Problem> {
    let Documents { token, with_token, without_token } = documents;
    Ok(if token.is_asked_for() { with_token } else { without_token })
}

/// Ends the document that [`begin`](crate::http::describe::begin) began, with what is true of every route, and has the
/// routes offer it.
pub(super) fn finish(routes: ApiRouter, token: AdminToken) -> Router {
    let mut api = OpenApi::default();
    let served = routes.finish_api(&mut api);
    let written = |asks_for_token| {
        let mut api = api.clone();
        complete(&mut api, asks_for_token);
        Document(serde_json::to_vec(&api).unwrap_or_default().into())
    };
    let documents = Documents { token, with_token: written(true), without_token: written(false) };
    served.layer(Extension(documents))
}

fn complete(api: &mut OpenApi, asks_for_token: bool) {
    api.info = Info {
        title: "suppressd".to_owned(),
        summary: Some("May this company be pushed?".to_owned()),
        description: Some(ABOUT.to_owned()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Info::default()
    };
    let tag = |(name, about): (&str, &str)| Tag {
        name: name.to_owned(),
        description: Some(about.to_owned()),
        ..Tag::default()
    };
    api.tags = TAGS.map(tag).into();
    let mut components: Components = api.components.take().unwrap_or_default();
    components.headers.insert(REQUEST_ID_NAME.to_owned(), request_id());
    if asks_for_token {
        let scheme = SecurityScheme::Http {
            scheme: "bearer".to_owned(),
            bearer_format: None,
            description: Some("The token of the setting `serve.admin_token`.".to_owned()),
            extensions: <_>::default(),
        };
        components.security_schemes.insert(BEARER.to_owned(), ReferenceOr::Item(scheme));
    }
    api.components = Some(components);
    let Some(paths) = &mut api.paths else { return };
    paths.paths = std::mem::take(&mut paths.paths)
        .into_iter()
        .map(|(path, mut item)| {
            if let ReferenceOr::Item(item) = &mut item {
                let is_open = path == "/healthz";
                for operation in operations(item) {
                    if !is_open {
                        guard(operation, asks_for_token);
                    }
                    identify(operation);
                }
            }
            // A parameter that may hold slashes is one like any other here.
            (path.replace("{*", "{"), item)
        })
        .collect();
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch].into_iter().flatten()
}

/// Adds what the layers before every route may answer.
fn guard(operation: &mut Operation, asks_for_token: bool) {
    let (status, words) = if asks_for_token {
        operation.security = vec![[(BEARER.to_owned(), Vec::new())].into_iter().collect()];
        (401, "The bearer token is missing or wrong.")
    } else {
        (403, "Without a bearer token only this machine may ask, under the name localhost or an address.")
    };
    let responses = &mut operation.responses.get_or_insert_default().responses;
    in_context(|ctx| {
        for (status, words) in [
            (status, words),
            (500, "An error of the program; its log says more."),
            (503, "There is no answer now, or not in time: ask again later."),
        ] {
            let problem = problem_response(ctx, words);
            let ReferenceOr::Item(response) =
                responses.entry(Code::Code(status)).or_insert_with(|| ReferenceOr::Item(problem.clone()))
            else {
                continue;
            };
            for (kind, content) in problem.content {
                response.content.entry(kind).or_insert(content);
            }
        }
    });
}

fn request_id() -> ReferenceOr<Header> {
    described(
        "The id of the request: its own, where it bore one of up to 128 visible characters.",
        true,
        json_schema!({"type": "string", "minLength": 1, "maxLength": REQUEST_ID_MAX}),
        json!("4f9c1c0e-6a0b-4f0e-9a56-5a2d0c3c1c11"),
    )
}

/// Adds the headers of every answer.
fn identify(operation: &mut Operation) {
    let responses = &mut operation.responses.get_or_insert_default().responses;
    responses.sort_unstable_keys();
    for (status, response) in responses {
        let ReferenceOr::Item(response) = response else { continue };
        let id = ReferenceOr::ref_(&format!("#/components/headers/{REQUEST_ID_NAME}"));
        response.headers.insert(REQUEST_ID.to_string(), id);
        match status {
            Code::Code(401) => {
                let challenge = described("`Bearer`.", true, json_schema!({"type": "string"}), json!("Bearer"));
                response.headers.insert("www-authenticate".to_owned(), challenge);
            }
            Code::Code(503) => {
                let after = described(
                    "After how many seconds to ask again.",
                    false,
                    json_schema!({"type": "integer", "minimum": 0}),
                    json!(30),
                );
                response.headers.insert("retry-after".to_owned(), after);
            }
            _ => (),
        }
    }
}
