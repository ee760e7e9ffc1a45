//! The JSON bodies of Notion's answers, key by key as they were recorded («REC»).

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value as Json, json};

use crate::simulator::{
    identity::Identity,
    schema::{Choice, Kind, Property, Schema},
    value::{Value, rich_text},
    world::{DataSource, Database, Home, Shelf, Shown},
};

/// The API versions that the simulator answers in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiVersion {
    /// 2025-09-03: objects in the trash say so twice, as `in_trash` and `archived`.
    V20250903,
    /// 2026-03-11: there is no `archived` any more («UP26»).
    V20260311,
}

impl ApiVersion {
    /// Reads the header `Notion-Version`.
    pub fn from_header(text: &str) -> Option<Self> {
        match text {
            "2025-09-03" => Some(Self::V20250903),
            "2026-03-11" => Some(Self::V20260311),
            _ => None,
        }
    }
}

/// How page objects are to look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look<'a> {
    pub(crate) version: ApiVersion,
    pub(crate) identity: &'a Identity,
    /// Only these properties, by id or name; all where it is empty («QDS»).
    pub(crate) properties: &'a [String],
    pub(crate) blemish: Option<Blemish>,
}

/// What a page object can lack without being an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blemish {
    /// Everything but `object` and `id`: the connection may not read content («PAGE»).
    Partial,
    /// Every value but the title: `unsupported`, which means unavailable and not empty («CL»).
    Unsupported,
}

impl Look<'_> {
    /// Writes a page object.
    pub(crate) fn page(&self, shown: &Shown) -> Json {
        if self.blemish == Some(Blemish::Partial) {
            return json!({"object": "page", "id": shown.id});
        }
        let (version, person) = (&shown.version, user(self.identity));
        let in_trash = version.shelf != Shelf::Live;
        let parent = match (version.home, shown.database) {
            (Home::DataSource(id), Some(database)) => {
                json!({"type": "data_source_id", "data_source_id": id, "database_id": database})
            }
            (Home::DataSource(id), None) => json!({"type": "data_source_id", "data_source_id": id}),
            (Home::Page(id), _) => json!({"type": "page_id", "page_id": id}),
        };
        let mut page = json!({
            "object": "page",
            "id": shown.id,
            "created_time": time(shown.created),
            "last_edited_time": time(version.edited),
            "created_by": person,
            "last_edited_by": person,
            "cover": null,
            "icon": null,
            "parent": parent,
            "in_trash": in_trash,
            "is_archived": version.is_archived,
            "is_locked": version.is_locked,
            "url": format!("https://app.notion.com/p/{}", shown.id.uuid().simple()),
            "public_url": null,
        });
        put(&mut page, "properties", self.properties(shown));
        self.add_archived(&mut page, in_trash);
        page
    }

    /// Writes a database object: a container without a schema, whose times are not floored («REC»).
    pub(crate) fn database<'a>(&self, database: &Database, data_sources: impl Iterator<Item = &'a DataSource>) -> Json {
        let created = database.created.to_rfc3339_opts(SecondsFormat::Millis, false);
        let mut object = json!({
            "object": "database",
            "id": database.id,
            "title": rich_text(&database.title),
            "description": [],
            "parent": {"type": "page_id", "page_id": database.page},
            "is_inline": false,
            "in_trash": false,
            "is_locked": false,
            "created_time": created,
            "last_edited_time": created,
            "data_sources": data_sources.map(|it| json!({"id": it.id, "name": it.title})).collect::<Json>(),
            "icon": null,
            "cover": null,
            "url": format!("https://app.notion.com/p/{}", database.id.uuid().simple()),
            "public_url": null,
        });
        self.add_archived(&mut object, false);
        object
    }

    /// Writes a data source object: the schema.
    pub(crate) fn data_source(&self, data_source: &DataSource, database: &Database) -> Json {
        let person = user(self.identity);
        let mut object = json!({
            "object": "data_source",
            "id": data_source.id,
            "cover": null,
            "icon": null,
            "created_time": time(data_source.created),
            "created_by": person,
            "last_edited_by": person,
            "last_edited_time": time(data_source.edited),
            "title": rich_text(&data_source.title),
            "description": [],
            "is_inline": false,
            "parent": {"type": "database_id", "database_id": database.id},
            "database_parent": {"type": "page_id", "page_id": database.page},
            "url": format!("https://app.notion.com/p/{}", database.id.uuid().simple()),
            "public_url": null,
            "in_trash": data_source.in_trash,
        });
        put(&mut object, "properties", schema(&data_source.schema));
        self.add_archived(&mut object, data_source.in_trash);
        object
    }

    /// Writes the properties of a page, by their present names.
    fn properties(&self, shown: &Shown) -> Json {
        let created = time(shown.created);
        let wanted = |property: &&Property| {
            let named = |it: &String| *it == *property.id || *it == property.name;
            self.properties.is_empty() || self.properties.iter().any(named)
        };
        let written = shown.schema.properties.iter().filter(wanted).map(|property| {
            let value = shown.version.values.get(&property.id).unwrap_or(&Value::Empty);
            (property.name.clone(), self.property(property, value, &created))
        });
        Json::Object(written.collect())
    }

    fn property(&self, property: &Property, value: &Value, created: &str) -> Json {
        let unsupported = self.blemish == Some(Blemish::Unsupported);
        let (kind, inner) = match property.kind {
            Kind::Formula | Kind::Rollup if unsupported => {
                (property.kind.name(), json!({"type": "unsupported", "unsupported": {}}))
            }
            // Not seen of other types, but a client that meets one must not take it for emptiness.
            kind if unsupported && kind != Kind::Title => ("unsupported", json!({})),
            kind => (kind.name(), value.json(property, created)),
        };
        let mut object = json!({"id": property.encoded_id(), "type": kind});
        put(&mut object, kind, inner);
        if property.kind == Kind::Relation {
            put(&mut object, "has_more", json!(false));
        }
        object
    }

    fn add_archived(&self, object: &mut Json, in_trash: bool) {
        if self.version == ApiVersion::V20250903 {
            put(object, "archived", json!(in_trash));
        }
    }
}

/// Writes one page of results; `incomplete` where the query has more rows than Notion gives for one («QDS», «COOK»).
pub(crate) fn list(results: Vec<Json>, next_cursor: Option<&str>, incomplete: bool) -> Json {
    let mut list = json!({
        "object": "list",
        "has_more": next_cursor.is_some(),
        "next_cursor": next_cursor,
        "type": "page_or_data_source",
        "page_or_data_source": {},
    });
    put(&mut list, "results", Json::Array(results));
    if incomplete {
        let status = json!({"type": "incomplete", "incomplete_reason": "query_result_limit_reached"});
        put(&mut list, "request_status", status);
    }
    list
}

/// Writes the user behind the token.
pub(crate) fn bot(identity: &Identity) -> Json {
    json!({
        "object": "user",
        "id": identity.integration,
        "name": identity.integration_name,
        "avatar_url": null,
        "type": "bot",
        "bot": {
            "owner": {"type": "workspace", "workspace": true},
            "workspace_name": identity.workspace_name,
            "workspace_id": identity.workspace,
            "workspace_limits": {"max_file_upload_size_in_bytes": 5_242_880},
        },
    })
}

fn user(identity: &Identity) -> Json {
    json!({"object": "user", "id": identity.person})
}

fn schema(schema: &Schema) -> Json {
    let written = schema.properties.iter().map(|property| {
        let kind = property.kind.name();
        let object = json!({
            "id": property.encoded_id(),
            "name": property.name,
            "description": null,
            "type": kind,
            kind: configuration(property, schema),
        });
        (property.name.clone(), object)
    });
    Json::Object(written.collect())
}

/// Writes what stands under the name of the type in a schema.
fn configuration(property: &Property, schema: &Schema) -> Json {
    match property.kind {
        Kind::Number => json!({"format": "number"}),
        Kind::Select => json!({"options": options(property)}),
        Kind::Status => json!({"options": options(property), "groups": groups(property)}),
        Kind::Formula => json!({"expression": "upper(prop(\"Company Name\"))"}),
        Kind::Relation => json!({"type": "single_property", "single_property": {}}),
        Kind::Rollup => {
            let relation = schema.properties.iter().find(|property| property.kind == Kind::Relation);
            json!({
                "function": "count",
                "relation_property_id": relation.map(Property::encoded_id),
                "relation_property_name": relation.map(|relation| &relation.name),
                "rollup_property_id": "title",
                "rollup_property_name": "Name",
            })
        }
        Kind::Title | Kind::RichText | Kind::Url | Kind::Email | Kind::CreatedTime => json!({}),
    }
}

fn options(property: &Property) -> Json {
    let option = |it: &Choice| json!({"id": &*it.id, "name": it.name, "color": it.colour, "description": null});
    property.choices.iter().map(option).collect()
}

/// Writes the groups of a status, in the order of their first options.
fn groups(property: &Property) -> Json {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for choice in &property.choices {
        match groups.iter_mut().find(|(name, _)| *name == choice.group) {
            Some((_, ids)) => ids.push(&choice.id),
            None => groups.push((choice.group, vec![&choice.id])),
        }
    }
    let written = groups.into_iter().zip(["gray", "blue", "green"]).zip(1_u8..).map(|(((name, ids), colour), n)| {
        json!({"id": format!("group-{n}"), "name": name, "color": colour, "option_ids": ids})
    });
    written.collect()
}

/// Writes the time of a page or data source; it is floored already.
fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Adds a member to an object, without the copy that the macro would make of it.
pub(crate) fn put(object: &mut Json, name: &str, value: Json) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}

/// An answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) additional_data: Map<String, Json>,
    /// In seconds; also as text in the additional data («LIM»).
    pub(crate) retry_after: Option<u64>,
}

impl Refusal {
    /// Begins an error.
    pub(crate) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), additional_data: Map::new(), retry_after: None }
    }

    /// Adds to the additional data.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Json>) -> Self {
        self.additional_data.insert(name.to_owned(), value.into());
        self
    }

    /// Asks to wait this many seconds.
    pub(crate) fn after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self.with("retry_after", seconds.to_string())
    }

    /// Writes the body («ERR»).
    pub(crate) fn json(&self) -> Json {
        let mut body = json!({"object": "error", "status": self.status, "code": self.code, "message": self.message});
        if !self.additional_data.is_empty() {
            put(&mut body, "additional_data", Json::Object(self.additional_data.clone()));
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        clock::Clock,
        model::id::PageId,
        simulator::{
            draft::company,
            workspace::{Habits, Workspace},
        },
    };

    use super::*;

    fn workspace() -> (Workspace, PageId) {
        let workspace = Workspace::new(Clock::system(), 1, Habits::default());
        let at = "2026-07-04T09:08:57.778Z".parse().unwrap();
        let page = workspace.place(company("Amber Kiln").website("https://amber-kiln.example").status("Passed"), at);
        (workspace, page)
    }

    fn page(workspace: &Workspace, id: PageId, look: Look<'_>) -> Json {
        workspace.look(|world| {
            let page = &world.pages[&id];
            look.page(&world.show(page, &page.live).unwrap())
        })
    }

    fn look(workspace: &Workspace) -> Look<'_> {
        Look { version: ApiVersion::V20260311, identity: workspace.identity(), properties: &[], blemish: None }
    }

    #[test]
    fn a_page_has_every_key_that_was_recorded() {
        let (workspace, id) = workspace();
        let mut shown = page(&workspace, id, look(&workspace));
        let properties = shown["properties"].take();
        let person = json!({"object": "user", "id": workspace.identity().person});
        let expected = json!({
            "object": "page",
            "id": id,
            "created_time": "2026-07-04T09:08:00.000Z",
            "last_edited_time": "2026-07-04T09:08:00.000Z",
            "created_by": person,
            "last_edited_by": person,
            "cover": null,
            "icon": null,
            "parent": {
                "type": "data_source_id",
                "data_source_id": workspace.data_source(),
                "database_id": workspace.database(),
            },
            "in_trash": false,
            "is_archived": false,
            "is_locked": false,
            "properties": null,
            "url": format!("https://app.notion.com/p/{}", id.uuid().simple()),
            "public_url": null,
        });
        assert_eq!(shown, expected);
        assert_eq!(
            properties["Website"],
            json!({"id": "f%5C%5C%3Ap", "type": "url", "url": "https://amber-kiln.example"})
        );
        assert_eq!(properties["Status"]["status"]["name"], "Passed");
        assert_eq!(properties["Deals"]["has_more"], false);
        assert_eq!(
            properties["Company Name"],
            json!({
                "id": "title",
                "type": "title",
                "title": [{
                    "type": "text",
                    "text": {"content": "Amber Kiln", "link": null},
                    "annotations": {
                        "bold": false, "italic": false, "strikethrough": false,
                        "underline": false, "code": false, "color": "default",
                    },
                    "plain_text": "Amber Kiln",
                    "href": null,
                }],
            })
        );
    }

    #[test]
    fn the_older_version_says_the_trash_twice() {
        let (workspace, id) = workspace();
        workspace.trash(id);
        let older = Look { version: ApiVersion::V20250903, ..look(&workspace) };
        let (older, newer) = (page(&workspace, id, older), page(&workspace, id, look(&workspace)));
        assert_eq!((&older["in_trash"], &older["archived"]), (&json!(true), &json!(true)));
        assert_eq!((&newer["in_trash"], newer.get("archived")), (&json!(true), None));
    }

    #[test]
    fn wanted_properties_are_found_by_id_and_by_name() {
        let (workspace, id) = workspace();
        let wanted = [r"f\\:p".to_owned(), "Status".to_owned()];
        let shown = page(&workspace, id, Look { properties: &wanted, ..look(&workspace) });
        let names: Vec<_> = shown["properties"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["Status", "Website"]);
    }

    #[test]
    fn blemished_pages_lack_what_they_should() {
        let (workspace, id) = workspace();
        let blemished = |blemish| page(&workspace, id, Look { blemish: Some(blemish), ..look(&workspace) });
        assert_eq!(blemished(Blemish::Partial), json!({"object": "page", "id": id}));
        let unsupported = blemished(Blemish::Unsupported);
        assert_eq!(
            unsupported["properties"]["Website"],
            json!({"id": "f%5C%5C%3Ap", "type": "unsupported", "unsupported": {}})
        );
        assert_eq!(unsupported["properties"]["Headline"]["formula"], json!({"type": "unsupported", "unsupported": {}}));
        assert_eq!(unsupported["properties"]["Company Name"]["type"], "title");
    }

    #[test]
    fn a_database_is_a_container_and_its_times_are_exact() {
        let (workspace, _) = workspace();
        let object = workspace.look(|world| {
            let database = world.shared_database(workspace.database()).unwrap();
            look(&workspace).database(database, world.data_sources.values())
        });
        assert_eq!(object["data_sources"], json!([{"id": workspace.data_source(), "name": "Companies"}]));
        assert_eq!(object["title"][0]["plain_text"], "Deal Flow");
        assert_eq!(object.get("properties"), None);
        let time = object["created_time"].as_str().unwrap();
        assert!(time.ends_with("+00:00") && time.len() == "2026-07-04T09:08:57.778+00:00".len(), "{time}");
        let keys: Vec<_> = object.as_object().unwrap().keys().map(String::as_str).collect();
        let recorded = [
            "cover",
            "created_time",
            "data_sources",
            "description",
            "icon",
            "id",
            "in_trash",
            "is_inline",
            "is_locked",
            "last_edited_time",
            "object",
            "parent",
            "public_url",
            "title",
            "url",
        ];
        assert_eq!(keys, recorded);
    }

    #[test]
    fn a_data_source_holds_the_schema() {
        let (workspace, _) = workspace();
        let object = workspace.look(|world| {
            let table = world.shared_data_source(workspace.data_source()).unwrap();
            look(&workspace).data_source(table, world.shared_database(table.database).unwrap())
        });
        let properties = &object["properties"];
        assert_eq!(
            properties["Website"],
            json!({"id": "f%5C%5C%3Ap", "name": "Website", "description": null, "type": "url", "url": {}})
        );
        assert_eq!(properties["Company Name"]["id"], "title");
        let status = &properties["Status"]["status"];
        assert_eq!(status["options"][4]["name"], "Passed");
        assert_eq!(status["groups"][2]["option_ids"].as_array().unwrap().len(), 3);
        let keys: Vec<_> = object.as_object().unwrap().keys().map(String::as_str).collect();
        let recorded = [
            "cover",
            "created_by",
            "created_time",
            "database_parent",
            "description",
            "icon",
            "id",
            "in_trash",
            "is_inline",
            "last_edited_by",
            "last_edited_time",
            "object",
            "parent",
            "properties",
            "public_url",
            "title",
            "url",
        ];
        assert_eq!(keys, recorded);
    }
}
