//! Received events at the private door.

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
    lookup::listing::ListedEvent,
    store::{EventFilter, EventState, Store},
};

/// The routes of events.
pub(super) fn routes<S: Store>() -> ApiRouter<Private<S>> {
    ApiRouter::new().api_route(
        "/v1/events",
        get_with(events::<S>, |it| it.id("listEvents").tag("program").summary("Received events, newest first")),
    )
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EventsQuery {
    /// Only those in this state.
    #[schemars(example = &"parked")]
    state: Option<EventState>,
    /// As many at most.
    #[serde(default)]
    limit: Limit<50>,
}

async fn events<S: Store>(
    State(private): State<Private<S>>,
    Query(query): Query<EventsQuery>,
) -> Result<Json<Vec<ListedEvent>>, Problem> {
    let filter = query.state.map_or(EventFilter::All, EventFilter::InState);
    let events = private.lookup.events(filter, query.limit.get()).await?;
    Ok(Json(events.iter().map(ListedEvent::from).collect()))
}
