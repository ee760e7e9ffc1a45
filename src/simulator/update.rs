//! What an update of a data source does to its properties.
//!
//! That a property is named and described by `{type: {}}` is recorded of the creation of a data source; that an update adds
//! what is not there yet, and gives another type to what is, is inferred.

use serde_json::Value as Json;

use crate::{
    model::id::DataSourceId,
    simulator::{schema::Kind, shape::Refusal, workspace::Workspace},
};

/// What is to become of the properties.
#[derive(Debug)]
pub(crate) struct Update(Vec<(String, Kind)>);

/// Reads the body of a request.
pub(crate) fn read(body: &[u8]) -> Result<Update, Refusal> {
    let json: Json = serde_json::from_slice(body)
        .map_err(|_no_json| Refusal::new(400, "invalid_json", "Error parsing JSON body."))?;
    let wrong = |name: &str| {
        let message = format!("body failed validation: body.properties.{name} should be a property that is simulated.");
        Refusal::new(400, "validation_error", message)
    };
    let properties = json.get("properties").and_then(Json::as_object).ok_or_else(|| wrong(""))?;
    let read = properties.iter().map(|(name, property)| {
        let named = |named: &serde_json::Map<String, Json>| {
            let (kind, settings) = named.iter().next().filter(|_| named.len() == 1)?;
            settings.is_object().then_some(())?;
            Kind::from_name(kind)
        };
        let kind = property.as_object().and_then(named).filter(|kind| *kind != Kind::Title);
        kind.map(|kind| (name.clone(), kind)).ok_or_else(|| wrong(name))
    });
    read.collect::<Result<_, _>>().map(Update)
}

impl Update {
    /// Does it: what is there already gets another type, which is how a careless update breaks a table.
    pub(crate) fn apply(self, workspace: &Workspace, table: DataSourceId) {
        for (name, kind) in self.0 {
            workspace.add_property(table, &name, kind);
            workspace.retype_property(table, &name, kind);
        }
    }
}
