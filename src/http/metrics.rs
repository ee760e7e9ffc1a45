//! Every series of the program, for Prometheus.

use aide::{
    OperationOutput,
    axum::{ApiRouter, routing::get_with},
    generate::GenContext,
    openapi::{MediaType, Operation, Response, SchemaObject, StatusCode as Code},
};
use axum::{
    extract::State,
    http::header,
    response::{self, IntoResponse},
};
use schemars::json_schema;

use crate::{
    http::{
        extract::{Nothing, Query},
        problem::Problem,
        state::Private,
    },
    metrics::{CONTENT_TYPE, text},
    store::Store,
};

/// Series in Prometheus' text format.
#[derive(Debug)]
struct Series(String);

impl IntoResponse for Series {
    fn into_response(self) -> response::Response {
        ([(header::CONTENT_TYPE, CONTENT_TYPE)], self.0).into_response()
    }
}

impl OperationOutput for Series {
    type Inner = Self;

    fn inferred_responses(_: &mut GenContext, _: &mut Operation) -> Vec<(Option<Code>, Response)> {
        let json_schema = json_schema!({"type": "string"});
        let schema = SchemaObject { json_schema, external_docs: None, example: None };
        let media = MediaType { schema: Some(schema), ..MediaType::default() };
        let content = [(CONTENT_TYPE.to_owned(), media)].into_iter().collect();
        let description = "Every series, in Prometheus' text format.".to_owned();
        vec![(Some(Code::Code(200)), Response { description, content, ..Response::default() })]
    }
}

/// The route of the series.
pub(super) fn routes<S: Store>() -> ApiRouter<Private<S>> {
    ApiRouter::new().api_route(
        "/metrics",
        get_with(metrics::<S>, |it| {
            it.id("getMetrics").tag("program").summary("Every series, for Prometheus").description(
                "What the process has counted, and how it stands now. Where the database does not answer, \
                 `suppressd_store_readable` is 0 and what is read from it is missing. What goes through whole tables may \
                 be some seconds old, and at most a minute.",
            )
        }),
    )
}

async fn metrics<S: Store>(
    State(private): State<Private<S>>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Series, Problem> {
    Ok(Series(text(&private.scrape.families().await)))
}
