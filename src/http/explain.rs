//! At the private door: why a key is as it is.

use aide::axum::{ApiRouter, routing::get_with};
use axum::{Json, extract::State};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    http::{
        extract::{Limit, Path, Query},
        problem::Problem,
        state::Private,
    },
    lookup::explain::Explanation,
    store::Store,
};

/// The route of explanations.
pub(super) fn routes<S: Store>() -> ApiRouter<Private<S>> {
    ApiRouter::new().api_route(
        "/v1/explain/{*key}",
        get_with(explain::<S>, |it| {
            it.id("explain").tag("verdicts").summary("Why a key is as it is").description(
                "Its row, the pages that claim it, which one wins and by which rule, events that may yet change it, and \
                 every change of the row with its cause. Where several keys follow from what is asked, each is explained.",
            )
        }),
    )
}

/// What is asked about.
#[derive(Debug, Deserialize, JsonSchema)]
struct KeyPath {
    /// A canonical key, a host or a web address. Slashes in it may stand as they are, or percent-encoded.
    #[schemars(length(min = 1), example = "domain:acme.ai")]
    key: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ChangesQuery {
    /// As many changes of each key at most, the newest ones.
    #[serde(default)]
    limit: Limit<20>,
}

async fn explain<S: Store>(
    State(private): State<Private<S>>,
    Path(KeyPath { key }): Path<KeyPath>,
    Query(query): Query<ChangesQuery>,
) -> Result<Json<Explanation>, Problem> {
    Ok(Json(private.lookup.explain(key, query.limit.get()).await?))
}
