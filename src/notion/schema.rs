//! Reads the schema of a data source, and which data sources a database holds («UP25»).

use serde_json::Value as Json;

use crate::{
    model::{
        id::DataSourceId,
        page::{Schema, SchemaProperty},
    },
    notion::{page_json::plain_text, property_id},
};

/// Why a JSON value tells no schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// It is something else.
    #[error("not a data source object")]
    NotADataSource,
    /// It is something else.
    #[error("not a database object")]
    NotADatabase,
    /// A field is missing or holds something that it should not hold.
    #[error("the `{0}` of the table is missing or unreadable: check the connection's «read content» capability")]
    Field(&'static str),
}

/// Reads a data source object. Of a property without id or type, which cannot be mapped, only the name is kept.
pub fn schema(json: &Json) -> Result<Schema, SchemaError> {
    if json.get("object").and_then(Json::as_str) != Some("data_source") {
        return Err(SchemaError::NotADataSource);
    }
    let properties = json.get("properties").and_then(Json::as_object).ok_or(SchemaError::Field("properties"))?;
    Ok(Schema {
        data_source: parsed(json, "id").ok_or(SchemaError::Field("id"))?,
        database: json.get("parent").and_then(|parent| parsed(parent, "database_id")),
        title: json.get("title").and_then(|title| plain_text(&title.into())).unwrap_or_default(),
        unmapped: properties
            .iter()
            .filter(|(name, json)| property(name, json).is_none())
            .map(|(name, _)| name.clone())
            .collect(),
        properties: properties.iter().filter_map(|(name, json)| property(name, json)).collect(),
    })
}

/// Reads the data sources of a database object, in Notion's order.
pub fn data_sources(json: &Json) -> Result<Vec<DataSourceId>, SchemaError> {
    if json.get("object").and_then(Json::as_str) != Some("database") {
        return Err(SchemaError::NotADatabase);
    }
    let unreadable = SchemaError::Field("data_sources");
    let Some(sources) = json.get("data_sources").and_then(Json::as_array) else {
        return Err(unreadable);
    };
    sources.iter().map(|source| parsed(source, "id")).collect::<Option<_>>().ok_or(unreadable)
}

fn property(name: &str, json: &Json) -> Option<SchemaProperty> {
    let kind = json.get("type")?.as_str()?;
    let options = json.get(kind).and_then(|settings| settings.get("options")).and_then(Json::as_array);
    let option = |option: &Json| option.get("name")?.as_str().map(str::to_owned);
    Some(SchemaProperty {
        id: property_id::decode(json.get("id")?.as_str()?),
        name: name.to_owned(),
        kind: kind.to_owned(),
        options: options.map(|options| options.iter().filter_map(option).collect()).unwrap_or_default(),
    })
}

fn parsed<T: std::str::FromStr>(json: &Json, name: &str) -> Option<T> {
    json.get(name)?.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SOURCE: &str = "3bbe670e-2c29-52bd-9d29-25e0227525af";
    const DATABASE: &str = "382bcdbf-68e4-5a81-913e-8f31277050c0";

    fn source() -> Json {
        json!({
            "object": "data_source", "id": SOURCE, "title": [{"plain_text": "Deal "}, {"plain_text": "flow"}],
            "parent": {"type": "database_id", "database_id": DATABASE},
            "database_parent": {"type": "page_id", "page_id": SOURCE}, "in_trash": false,
            "properties": {
                "Company Name": {"id": "title", "name": "Company Name", "description": null, "type": "title", "title": {}},
                "Stage": {"id": "f%5C%5C%3Ap", "name": "Stage", "type": "status", "status": {
                    "options": [{"id": "1", "name": "Met", "color": "red"}, {"id": "2", "name": "Passed"}],
                    "groups": [{"id": "3", "name": "Done", "option_ids": ["2"]}],
                }},
            },
        })
    }

    #[test]
    fn a_schema_is_read_whole() {
        let schema = schema(&source()).unwrap();
        assert_eq!(schema.data_source, SOURCE.parse().unwrap());
        assert_eq!(schema.database, Some(DATABASE.parse().unwrap()));
        assert_eq!(schema.title, "Deal flow");
        let [title, stage] = schema.properties.try_into().unwrap();
        assert_eq!((title.id.as_str(), title.name.as_str(), title.kind.as_str()), ("title", "Company Name", "title"));
        assert_eq!(title.options, Vec::<String>::new());
        assert_eq!((stage.id.as_str(), stage.kind.as_str()), (r"f\\:p", "status"));
        assert_eq!(stage.options, ["Met", "Passed"]);
    }

    #[test]
    fn selects_and_multi_selects_have_options_too() {
        for kind in ["select", "multi_select"] {
            let mut json = source();
            json["properties"] = json!({"P": {"id": "p", "type": kind, kind: {"options": [{"name": "A"}]}}});
            assert_eq!(schema(&json).unwrap().properties[0].options, ["A"]);
        }
    }

    #[test]
    fn percent_encoded_ids_are_decoded_once_only() {
        let mut json = source();
        json["properties"] = json!({"P": {"id": "a%2525b", "type": "url", "url": {}}});
        assert_eq!(schema(&json).unwrap().properties[0].id, "a%25b");
    }

    #[test]
    fn of_a_property_that_cannot_be_mapped_the_name_is_kept() {
        let mut json = source();
        json["properties"] = json!({"A": {"id": "a"}, "B": {"type": "url"}, "C": null});
        let schema = schema(&json).unwrap();
        assert_eq!((schema.properties, schema.unmapped), (Vec::new(), ["A", "B", "C"].map(str::to_owned).to_vec()));
    }

    #[test]
    fn what_is_no_data_source_is_refused() {
        let check = |key: &str, value: Json, expected| {
            let mut json = source();
            json[key] = value;
            assert_eq!(schema(&json), Err(expected), "{key}");
        };
        check("object", json!("database"), SchemaError::NotADataSource);
        check("id", json!("acme"), SchemaError::Field("id"));
        check("properties", json!(null), SchemaError::Field("properties"));
        assert_eq!(schema(&json!(null)), Err(SchemaError::NotADataSource));
    }

    #[test]
    fn dashed_and_undashed_ids_name_the_same_data_source() {
        let sources = json!([{"id": SOURCE, "name": "A"}, {"id": SOURCE.replace('-', ""), "name": "B"}]);
        let json = json!({"object": "database", "id": DATABASE, "data_sources": sources});
        let id: DataSourceId = SOURCE.parse().unwrap();
        assert_eq!(data_sources(&json), Ok(vec![id, id]));
    }

    #[test]
    fn a_database_that_does_not_list_its_data_sources_is_refused() {
        let check = |json: Json, expected| assert_eq!(data_sources(&json), expected, "{json}");
        check(json!({"object": "database", "data_sources": []}), Ok(Vec::new()));
        check(json!({"object": "database"}), Err(SchemaError::Field("data_sources")));
        check(json!({"object": "database", "data_sources": [{"id": 1}]}), Err(SchemaError::Field("data_sources")));
        check(json!({"object": "data_source", "data_sources": []}), Err(SchemaError::NotADatabase));
    }
}
