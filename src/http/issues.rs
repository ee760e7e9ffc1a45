//! At the private door: what a person should mend in the CRM, and the keys that several pages hold.

use aide::axum::{ApiRouter, routing::get_with};
use axum::{Json, extract::State};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    http::{
        extract::{Limit, Query},
        problem::Problem,
        state::Private,
    },
    lookup::{
        conflicts::Conflicts,
        issues::{IssueKind, Issues, Place},
    },
    store::Store,
};

/// The routes of issues.
pub(super) fn routes<S: Store>() -> ApiRouter<Private<S>> {
    ApiRouter::new()
        .api_route(
            "/v1/issues",
            get_with(issues::<S>, |it| {
                it.id("listIssues").tag("crm").summary("What a person should mend, kind by kind").description(
                    "Counts are exact, whatever is listed. All pages are read for an answer: ask for much at once rather \
                     than often.",
                )
            }),
        )
        .api_route(
            "/v1/conflicts",
            get_with(conflicts::<S>, |it| {
                it.id("listConflicts").tag("crm").summary("Keys that several pages hold, each with all its claims")
            }),
        )
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct IssuesQuery {
    /// Only those of this kind.
    kind: Option<IssueKind>,
    /// As many at most.
    #[serde(default)]
    limit: Limit<100>,
    /// Those after these: the `next` of an answer.
    after: Option<Place>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ConflictsQuery {
    /// As many keys at most.
    #[serde(default)]
    limit: Limit<100>,
    /// Those after this key: the `next` of an answer.
    #[schemars(example = "domain:acme.ai")]
    after: Option<String>,
}

async fn issues<S: Store>(
    State(private): State<Private<S>>,
    Query(query): Query<IssuesQuery>,
) -> Result<Json<Issues>, Problem> {
    let kinds = query.kind.into_iter().collect();
    Ok(Json(private.lookup.issues(kinds, query.after, query.limit.get()).await?))
}

async fn conflicts<S: Store>(
    State(private): State<Private<S>>,
    Query(query): Query<ConflictsQuery>,
) -> Result<Json<Conflicts>, Problem> {
    Ok(Json(private.lookup.conflicts(query.after, query.limit.get()).await?))
}
