//! Reads page objects of Notion's API into [`Page`]s, every type of property included («PVAL», «PAGE»).
//!
//! The rule for values: half a text would give another key than the whole, so a list of which one item cannot be read
//! is [`Value::Unavailable`], and what the cache knew before stays. Only what Notion shows as empty is empty.

use chrono::{DateTime, Utc};

use crate::{
    model::{
        id::PageId,
        page::{Page, Parent, Property, Value},
    },
    notion::{json::Json, property_id},
};

/// Why a JSON value is not a whole page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// It is something else: a data source of a wiki, an error, a list.
    #[error("not a page object")]
    NotAPage,
    /// Only the id came, as it does without the capability to read content («PAGE»). Fetch the page itself.
    #[error("page {0} came without its content: fetch it alone, and check the connection's «read content» capability")]
    Partial(PageId),
    /// A field is missing or holds something that it should not hold.
    #[error("the page's `{0}` is missing or unreadable")]
    Field(&'static str),
}

/// Reads a page object, as a fetch or a query answers it.
pub fn page(json: &Json<'_>) -> Result<Page, PageError> {
    if json.get("object").and_then(Json::as_str) != Some("page") {
        return Err(PageError::NotAPage);
    }
    let id = parsed(json, "id").ok_or(PageError::Field("id"))?;
    let (Some(properties), Some(_)) = (json.get("properties"), json.get("last_edited_time")) else {
        return Err(PageError::Partial(id));
    };
    let properties = properties.as_object().ok_or(PageError::Field("properties"))?;
    let flag = |name| json.get(name).and_then(Json::as_bool).unwrap_or(false);
    Ok(Page {
        id,
        parent: json.get("parent").and_then(parent).ok_or(PageError::Field("parent"))?,
        created_time: time(json, "created_time")?,
        last_edited_time: time(json, "last_edited_time")?,
        in_trash: flag("in_trash") || flag("archived"),
        is_archived: flag("is_archived"),
        url: json.get("url").and_then(Json::as_str).map(str::to_owned),
        properties: properties.iter().filter_map(|(name, json)| property(name, json)).collect(),
    })
}

fn time(json: &Json<'_>, name: &'static str) -> Result<DateTime<Utc>, PageError> {
    let time = json.get(name).and_then(Json::as_str).ok_or(PageError::Field(name))?;
    match DateTime::parse_from_rfc3339(time) {
        Ok(time) => Ok(time.with_timezone(&Utc)),
        Err(_not_a_time) => Err(PageError::Field(name)),
    }
}

/// Reads a parent, with or without its `type`. One that is unknown or names nothing is unreadable rather than
/// elsewhere: a row that is taken for moved out loses its entries.
fn parent(json: &Json<'_>) -> Option<Parent> {
    if let Some(source) = parsed(json, "data_source_id") {
        return Some(Parent::DataSource(source));
    }
    match json.get("type").and_then(Json::as_str) {
        Some("data_source_id") => None,
        Some("database_id") => parsed(json, "database_id").map(Parent::Database),
        Some(kind) => elsewhere(json, kind),
        None => parsed(json, "database_id")
            .map(Parent::Database)
            .or_else(|| ["page_id", "block_id", "agent_id", "workspace"].iter().find_map(|kind| elsewhere(json, kind))),
    }
}

/// Reads a parent of a kind that has no rows.
fn elsewhere(json: &Json<'_>, kind: &str) -> Option<Parent> {
    let is_there = match kind {
        "page_id" | "block_id" | "agent_id" => parsed::<PageId>(json, kind).is_some(),
        "workspace" => json.get(kind).and_then(Json::as_bool) == Some(true),
        _ => false,
    };
    is_there.then_some(Parent::Elsewhere)
}

fn parsed<T: std::str::FromStr>(json: &Json<'_>, name: &str) -> Option<T> {
    json.get(name)?.as_str()?.parse().ok()
}

/// Reads a property; one without an id cannot be mapped and counts as not shown.
fn property(name: &str, json: &Json<'_>) -> Option<Property> {
    let id = property_id::decode(json.get("id")?.as_str()?);
    Some(Property { id, name: name.to_owned(), value: value(json).unwrap_or(Value::Unavailable) })
}

/// Reads `{"type": t, t: …}`: a property, the result of a formula or a rollup, or an item of a rollup. `None` where it
/// is unavailable.
fn value(json: &Json<'_>) -> Option<Value> {
    let kind = json.get("type")?.as_str()?;
    let inner = json.get(kind)?;
    match kind {
        "title" | "rich_text" if inner.is_null() => Some(Value::Empty),
        "title" | "rich_text" => plain_text(inner).map(|text| Value::text(&text)),
        "url" | "email" | "phone_number" | "created_time" | "last_edited_time" | "string" => text(inner),
        "number" => number(inner),
        // Unticked is said, not empty, and a CRM may well tell by a box whether a company was passed.
        "checkbox" | "boolean" => inner.as_bool().map(|ticked| Value::Text(ticked.to_string())),
        "select" | "status" | "created_by" | "last_edited_by" => field(inner, "name"),
        "multi_select" | "people" => joined(inner, ", ", |item| field(item, "name")),
        "date" => field(inner, "start"),
        "verification" => field(inner, "state"),
        "files" => joined(inner, ", ", file),
        "formula" | "rollup" => value(inner),
        "array" => joined(inner, "\n", value),
        "unique_id" => unique_id(inner),
        "place" => place(inner),
        // It triggers something and never says anything.
        "button" => Some(Value::Empty),
        // `unsupported` («PVAL»), the `incomplete` of a rollup, and whatever Notion adds. And `relation`: ids say
        // nothing, and the list is cut at 25 and empty where the related database is not shared.
        _ => None,
    }
}

/// Joins the `plain_text` of **all** segments of a rich text: formatting a part of a text splits it («PVAL»).
pub(crate) fn plain_text(segments: &Json<'_>) -> Option<String> {
    segments.as_array()?.iter().map(|segment| segment.get("plain_text")?.as_str()).collect()
}

/// Reads a string; `null` is how Notion shows most values that are empty.
fn text(json: &Json<'_>) -> Option<Value> {
    match json {
        Json::Null => Some(Value::Empty),
        Json::Text(text) => Some(Value::text(text)),
        _ => None,
    }
}

/// Reads the string `name` of an object, or the emptiness of `null` in the place of either.
fn field(json: &Json<'_>, name: &str) -> Option<Value> {
    if json.is_null() { Some(Value::Empty) } else { text(json.get(name)?) }
}

/// Writes a number as people do: 42 rather than 42.0, no exponent.
fn number(json: &Json<'_>) -> Option<Value> {
    match json {
        Json::Null => Some(Value::Empty),
        Json::Number(number) if number.is_f64() => Some(Value::text(&number.as_f64()?.to_string())),
        Json::Number(number) => Some(Value::text(&number.to_string())),
        _ => None,
    }
}

/// Reads a file's address where it is an outside one. The addresses of files at Notion expire, so these go by name.
fn file(json: &Json<'_>) -> Option<Value> {
    json.get("external").and_then(|external| field(external, "url")).or_else(|| field(json, "name"))
}

fn unique_id(json: &Json<'_>) -> Option<Value> {
    if json.is_null() {
        return Some(Value::Empty);
    }
    match (json.get("prefix").and_then(Json::as_str), number(json.get("number")?)?) {
        (Some(prefix), Value::Text(number)) if !prefix.is_empty() => Some(Value::Text(format!("{prefix}-{number}"))),
        (_, number) => Some(number),
    }
}

/// Reads what a place is called, or else its address. Coordinates alone are not nothing, but no text either.
fn place(json: &Json<'_>) -> Option<Value> {
    if json.is_null() {
        return Some(Value::Empty);
    }
    ["name", "address"].iter().filter_map(|name| field(json, name)).find(|value| *value != Value::Empty)
}

/// Joins the items of an array that say something; unavailable where one of them is.
fn joined(items: &Json<'_>, separator: &str, read: impl Fn(&Json<'_>) -> Option<Value>) -> Option<Value> {
    if items.is_null() {
        return Some(Value::Empty);
    }
    let mut texts = Vec::new();
    for item in items.as_array()? {
        match read(item)? {
            Value::Text(text) => texts.push(text),
            Value::Empty => {}
            Value::Unavailable => return None,
        }
    }
    Some(Value::text(&texts.join(separator)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Tree, json};

    use super::*;

    fn page(json: &Tree) -> Result<Page, PageError> {
        super::page(&json.into())
    }

    const PAGE: &str = "3296958a-07b8-53ee-b6a8-a1cc71849e2b";
    const SOURCE: &str = "3bbe670e-2c29-52bd-9d29-25e0227525af";
    const DATABASE: &str = "382bcdbf-68e4-5a81-913e-8f31277050c0";

    fn object() -> Tree {
        json!({
            "object": "page", "id": PAGE, "created_time": "2026-07-04T09:08:00.000Z",
            "last_edited_time": "2026-07-04T09:09:00.000Z", "created_by": {"object": "user", "id": PAGE},
            "cover": null, "icon": null, "in_trash": false, "is_archived": false, "is_locked": false,
            "parent": {"type": "data_source_id", "data_source_id": SOURCE, "database_id": DATABASE},
            "properties": {
                "Name": {"id": "title", "type": "title", "title": [segment("Acme")]},
                "Website": {"id": "f%5C%5C%3Ap", "type": "url", "url": "https://acme.ai"},
            },
            "url": "https://app.notion.com/p/Acme", "public_url": null, "archived": false, "request_id": DATABASE,
        })
    }

    fn with(name: &str, value: Tree) -> Tree {
        let mut object = object();
        object[name] = value;
        object
    }

    fn without(name: &str) -> Tree {
        let mut object = object();
        object.as_object_mut().unwrap().remove(name).unwrap();
        object
    }

    fn segment(text: &str) -> Tree {
        json!({"type": "text", "text": {"content": text, "link": null}, "annotations": {}, "plain_text": text, "href": null})
    }

    fn check(kind: &str, inner: Tree, expected: &Value) {
        let mut property = json!({"id": "p", "type": kind});
        property[kind] = inner;
        let json = with("properties", json!({"P": property}));
        assert_eq!(&page(&json).unwrap().properties[0].value, expected, "{json}");
    }

    fn said(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn a_page_is_read_whole() {
        let property =
            |id: &str, name: &str, text| Property { id: id.to_owned(), name: name.to_owned(), value: said(text) };
        assert_eq!(
            page(&object()),
            Ok(Page {
                id: PAGE.parse().unwrap(),
                parent: Parent::DataSource(SOURCE.parse().unwrap()),
                created_time: "2026-07-04T09:08:00Z".parse().unwrap(),
                last_edited_time: "2026-07-04T09:09:00Z".parse().unwrap(),
                in_trash: false,
                is_archived: false,
                url: Some("https://app.notion.com/p/Acme".to_owned()),
                properties: vec![property("title", "Name", "Acme"), property(r"f\\:p", "Website", "https://acme.ai")],
            })
        );
    }

    #[test]
    fn percent_encoded_property_ids_are_decoded_once_only() {
        let json = with("properties", json!({"P": {"id": "a%2525b", "type": "url", "url": null}}));
        assert_eq!(page(&json).unwrap().properties[0].id, "a%25b");
    }

    #[test]
    fn the_first_segment_of_a_rich_text_is_not_the_whole() {
        let mention =
            json!({"type": "mention", "mention": {"type": "page"}, "plain_text": " (was Apex)", "href": null});
        for kind in ["title", "rich_text"] {
            check(kind, json!([segment("domain:ac"), segment("me.ai"), mention]), &said("domain:acme.ai (was Apex)"));
            check(kind, json!([segment("a "), segment("b\n")]), &said("a b"));
            check(kind, json!([]), &Value::Empty);
            check(kind, json!([segment(" ")]), &Value::Empty);
            check(kind, json!([segment("acme"), {"type": "moon"}]), &Value::Unavailable);
        }
    }

    #[test]
    fn dashed_and_undashed_ids_are_the_same() {
        assert_eq!(page(&with("id", json!(PAGE.replace('-', "")))), page(&object()));
        let parent = json!({"type": "data_source_id", "data_source_id": SOURCE.replace('-', "")});
        assert_eq!(page(&with("parent", parent)), page(&object()));
    }

    #[test]
    fn every_plain_type_gives_its_text() {
        for kind in ["url", "email", "phone_number", "created_time", "last_edited_time"] {
            check(kind, json!(" acme "), &said("acme"));
            check(kind, json!(""), &Value::Empty);
            check(kind, json!(7), &Value::Unavailable);
        }
        check("number", json!(12_345_678), &said("12345678"));
        check("number", json!(12_345_678.0), &said("12345678"));
        check("number", json!(0.25), &said("0.25"));
        check("number", json!(-3), &said("-3"));
        check("number", json!(1e21), &said("1000000000000000000000"));
        check("checkbox", json!(true), &said("true"));
        check("checkbox", json!(false), &said("false"));
        check("select", json!({"id": "t|O@", "name": "Passed", "color": "red"}), &said("Passed"));
        check("status", json!({"id": "a", "name": "Lost", "color": "red"}), &said("Lost"));
        check("select", json!({"id": "a"}), &Value::Unavailable);
        check("date", json!({"start": "2026-09-01", "end": null, "time_zone": null}), &said("2026-09-01"));
        check("created_by", json!({"object": "user", "id": PAGE, "name": "Ada"}), &said("Ada"));
        check("last_edited_by", json!({"object": "user", "id": PAGE}), &Value::Unavailable);
        check("verification", json!({"state": "verified", "date": null, "verified_by": null}), &said("verified"));
        check("unique_id", json!({"prefix": "PRE", "number": 12}), &said("PRE-12"));
        check("unique_id", json!({"prefix": null, "number": 12}), &said("12"));
        check("unique_id", json!({"prefix": "PRE", "number": null}), &Value::Empty);
        check("place", json!({"lat": 1.5, "lon": 2.5, "name": "Leeds", "address": "Leeds, UK"}), &said("Leeds"));
        check("place", json!({"lat": 1.5, "lon": 2.5, "name": null, "address": "Leeds, UK"}), &said("Leeds, UK"));
        check("place", json!({"lat": 1.5, "lon": 2.5}), &Value::Unavailable);
        check("button", json!({}), &Value::Empty);
    }

    #[test]
    fn null_is_empty() {
        let kinds = "title rich_text url email phone_number number select status multi_select date people files \
                     unique_id verification place button";
        for kind in kinds.split_whitespace() {
            check(kind, json!(null), &Value::Empty);
        }
    }

    #[test]
    fn lists_are_joined_whole_or_unavailable() {
        check("multi_select", json!([{"id": "a", "name": "SaaS"}, {"id": "b", "name": "AI"}]), &said("SaaS, AI"));
        check("multi_select", json!([{"id": "a", "name": "SaaS"}, {"id": "b"}]), &Value::Unavailable);
        check("people", json!([{"object": "user", "id": PAGE, "name": "Ada"}]), &said("Ada"));
        check("people", json!([{"object": "user", "id": PAGE}]), &Value::Unavailable);
        let hosted =
            json!({"name": "deck.pdf", "type": "file", "file": {"url": "https://s3/x?sig", "expiry_time": "…"}});
        let external = json!({"name": "site", "type": "external", "external": {"url": "https://acme.ai"}});
        check("files", json!([hosted, external]), &said("deck.pdf, https://acme.ai"));
        for kind in ["multi_select", "people", "files"] {
            check(kind, json!([]), &Value::Empty);
        }
    }

    #[test]
    fn formulas_give_what_they_result_in() {
        let formula =
            |kind: &str, inner: Tree, expected: Value| check("formula", json!({"type": kind, kind: inner}), &expected);
        formula("string", json!("acme.ai"), said("acme.ai"));
        formula("string", json!(null), Value::Empty);
        formula("number", json!(7), said("7"));
        formula("number", json!(null), Value::Empty);
        formula("boolean", json!(true), said("true"));
        formula("date", json!({"start": "2026-09-01", "end": null}), said("2026-09-01"));
        formula("date", json!(null), Value::Empty);
        formula("unsupported", json!({}), Value::Unavailable);
        check("formula", json!({"type": "string"}), &Value::Unavailable);
    }

    #[test]
    fn rollups_give_their_number_date_or_items() {
        let rollup = |kind: &str, inner: Tree, expected: Value| {
            check("rollup", json!({"type": kind, kind: inner, "function": "show_original"}), &expected);
        };
        rollup("number", json!(3), said("3"));
        rollup("date", json!(null), Value::Empty);
        let url = |url: Tree| json!({"type": "url", "url": url});
        let title = json!({"type": "title", "title": [segment("Ac"), segment("me")]});
        rollup("array", json!([url(json!("acme.ai")), url(json!(null)), title]), said("acme.ai\nAcme"));
        rollup("array", json!([]), Value::Empty);
        rollup("array", json!([url(json!("acme.ai")), {"type": "relation", "relation": []}]), Value::Unavailable);
        rollup("unsupported", json!({}), Value::Unavailable);
        rollup("incomplete", json!({}), Value::Unavailable);
    }

    #[test]
    fn what_notion_does_not_say_is_unavailable_not_empty() {
        check("relation", json!([]), &Value::Unavailable);
        check("relation", json!([{"id": PAGE}]), &Value::Unavailable);
        check("unsupported", json!({}), &Value::Unavailable);
        check("moon", json!(null), &Value::Unavailable);
        for property in [json!({"id": "p", "type": "url"}), json!({"id": "p", "url": "acme.ai"}), json!({"id": "p"})] {
            let json = with("properties", json!({"P": property}));
            assert_eq!(page(&json).unwrap().properties[0].value, Value::Unavailable, "{json}");
        }
        let json = with("properties", json!({"P": {"type": "url", "url": null}, "Q": null}));
        assert_eq!(page(&json).unwrap().properties, Vec::new());
    }

    #[test]
    fn the_trash_and_the_archive_are_two_things() {
        let check = |json: Tree, in_trash, is_archived| {
            let page = page(&json).unwrap();
            assert_eq!((page.in_trash, page.is_archived), (in_trash, is_archived), "{json}");
        };
        check(with("in_trash", json!(true)), true, false);
        check(with("archived", json!(true)), true, false);
        check(with("is_archived", json!(true)), false, true);
        check(without("archived"), false, false);
    }

    #[test]
    fn a_parent_is_read_with_or_without_its_type() {
        let check = |parent: Tree, expected: Option<Parent>| {
            let read = page(&with("parent", parent.clone())).map(|page| page.parent);
            assert_eq!(read, expected.ok_or(PageError::Field("parent")), "{parent}");
        };
        let source = Some(Parent::DataSource(SOURCE.parse().unwrap()));
        let database = Some(Parent::Database(DATABASE.parse().unwrap()));
        check(json!({"data_source_id": SOURCE, "database_id": DATABASE}), source);
        check(json!({"type": "database_id", "database_id": DATABASE}), database);
        check(json!({"database_id": DATABASE}), database);
        check(json!({"type": "page_id", "page_id": PAGE}), Some(Parent::Elsewhere));
        check(json!({"type": "workspace", "workspace": true}), Some(Parent::Elsewhere));
        for kind in ["page_id", "block_id", "agent_id"] {
            check(json!({"type": kind, kind: PAGE}), Some(Parent::Elsewhere));
            check(json!({kind: PAGE}), Some(Parent::Elsewhere));
            check(json!({"type": kind}), None);
            for nothing in [json!(null), json!(""), json!("acme"), json!(true)] {
                check(json!({"type": kind, kind: nothing}), None);
                check(json!({kind: nothing}), None);
            }
        }
        check(json!({"workspace": true}), Some(Parent::Elsewhere));
        check(json!({"type": "workspace"}), None);
        check(json!({"type": "workspace", "workspace": false}), None);
        check(json!({"workspace": null}), None);
        check(json!({"type": "moon_id", "moon_id": PAGE}), None);
        check(json!({"type": "", "page_id": PAGE}), None);
        check(json!({"type": "unknown"}), None);
        check(json!({"type": "data_source_id", "database_id": DATABASE}), None);
        check(json!({"type": "database_id", "database_id": "acme"}), None);
        check(json!({}), None);
        check(json!(null), None);
    }

    #[test]
    fn times_are_read_in_full() {
        let json = with("last_edited_time", json!("2026-07-04T11:08:57.778+02:00"));
        assert_eq!(page(&json).unwrap().last_edited_time, "2026-07-04T09:08:57.778Z".parse::<DateTime<Utc>>().unwrap());
    }

    #[test]
    fn what_is_no_whole_page_is_refused_for_what_it_lacks() {
        let check = |json: Tree, expected| assert_eq!(page(&json), Err(expected), "{json}");
        let partial = PageError::Partial(PAGE.parse().unwrap());
        check(json!({"object": "page", "id": PAGE}), partial.clone());
        check(without("properties"), partial.clone());
        check(without("last_edited_time"), partial);
        check(with("object", json!("data_source")), PageError::NotAPage);
        check(json!(null), PageError::NotAPage);
        check(json!([]), PageError::NotAPage);
        check(with("id", json!("acme")), PageError::Field("id"));
        check(with("properties", json!([])), PageError::Field("properties"));
        check(with("last_edited_time", json!("yesterday")), PageError::Field("last_edited_time"));
        check(without("created_time"), PageError::Field("created_time"));
        check(without("parent"), PageError::Field("parent"));
    }
}
