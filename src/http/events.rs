//! Received events at the private door.

use aide::axum::{ApiRouter, routing::get_with};
use axum::{Json, extract::State};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
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
    #[schemars(schema_with = "states")]
    state: Option<Named>,
    /// As many at most.
    #[serde(default)]
    limit: Limit<50>,
}

/// A state by its name.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct Named(EventState);

impl TryFrom<String> for Named {
    type Error = String;

    fn try_from(wanted: String) -> Result<Self, String> {
        let state = EventState::ALL.into_iter().find(|state| state.name() == wanted);
        state
            .map(Self)
            .ok_or_else(|| format!("{wanted:?} is none of {}", EventState::ALL.map(EventState::name).join(", ")))
    }
}

fn states(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": EventState::ALL.map(EventState::name), "examples": ["parked"]})
}

async fn events<S: Store>(
    State(private): State<Private<S>>,
    Query(query): Query<EventsQuery>,
) -> Result<Json<Vec<ListedEvent>>, Problem> {
    let filter = query.state.map_or(EventFilter::All, |Named(state)| EventFilter::InState(state));
    let events = private.lookup.events(filter, query.limit.get()).await?;
    Ok(Json(events.iter().map(ListedEvent::from).collect()))
}
