//! What a query sends, and what is read of its answer.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::{
    model::{
        id::PageId,
        page::{Snapshot, View},
    },
    notion::{
        NotionError, Query, QueryPage, Window,
        json::Json,
        page_json::{self, PageError},
    },
};

/// More rows than this in one answer are refused by Notion (QDS).
const PAGE_SIZE_MAX: u8 = 100;

/// Returns the body of the request (QDS). `is_archived` is left out unless it is asked for: it is the newest of the
/// fields (CL 2026-07-15), and absent means the same as false.
pub(crate) fn body(query: &Query) -> Value {
    let (timestamp, since, until) = match query.window {
        Window::Everything => ("created_time", None, None),
        Window::CreatedSince(at) => ("created_time", Some(at), None),
        Window::CreatedUntil { since, until } => ("created_time", since, Some(until)),
        Window::EditedSince(at) => ("last_edited_time", Some(at), None),
    };
    let mut body = json!({
        "page_size": query.page_size.clamp(1, PAGE_SIZE_MAX),
        // Without a sort the order is arbitrary, and rows may be missed between two pages of results.
        "sorts": [{ "timestamp": timestamp, "direction": "ascending" }],
    });
    let bounds = [("on_or_after", since), ("on_or_before", until)];
    let mut bounds: Vec<Value> = bounds
        .into_iter()
        .filter_map(|(word, at)| {
            let at = at?.to_rfc3339_opts(SecondsFormat::Millis, true);
            Some(json!({ "timestamp": timestamp, timestamp: { word: at } }))
        })
        .collect();
    let filter = if bounds.len() > 1 { Some(json!({ "and": bounds })) } else { bounds.pop() };
    let optional = [
        ("filter", filter),
        ("start_cursor", query.cursor.clone().map(Value::from)),
        ("is_archived", query.archived.then_some(Value::Bool(true))),
    ];
    if let Some(fields) = body.as_object_mut() {
        fields.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
    body
}

/// Reads a page of results. A row that nobody could name is an error: to leave it out would make a complete sweep of
/// an incomplete one.
pub(crate) fn results(json: &Json<'_>, observed_at: DateTime<Utc>) -> Result<QueryPage, NotionError> {
    let rows = json.get("results").and_then(Json::as_array).ok_or_else(|| unreadable("no list of results"))?;
    let (mut snapshots, mut unread) = (Vec::new(), Vec::new());
    for row in rows {
        match page_json::page(row) {
            Ok(page) => snapshots.push(Snapshot { page, observed_at, view: View::Query }),
            Err(PageError::Partial(id)) => unread.push(id),
            Err(PageError::NotAPage) if is_source(row) => {}
            Err(error @ (PageError::NotAPage | PageError::Field(_))) => {
                unread.push(named(row).ok_or_else(|| unreadable(&format!("a row without an id: {error}")))?);
            }
        }
    }
    Ok(QueryPage { snapshots, unread, next_cursor: next_cursor(json)?, capped: is_capped(json) })
}

/// Wikis list their data sources among the pages (SDK). Nothing else that is not a page is known to be no row.
fn is_source(row: &Json<'_>) -> bool {
    matches!(row.get("object").and_then(Json::as_str), Some("data_source" | "database"))
}

fn named(row: &Json<'_>) -> Option<PageId> {
    row.get("id")?.as_str()?.parse().ok()
}

fn next_cursor(json: &Json<'_>) -> Result<Option<String>, NotionError> {
    match json.get("has_more").and_then(Json::as_bool) {
        Some(false) => Ok(None),
        Some(true) => match json.get("next_cursor").and_then(Json::as_str) {
            Some(cursor) if !cursor.is_empty() => Ok(Some(cursor.to_owned())),
            _ => Err(unreadable("more results without a cursor to them")),
        },
        None => Err(unreadable("results that do not say whether there are more")),
    }
}

/// Reads `request_status`, which is absent or `complete` where nothing is missing (QDS, REC). A word that nobody
/// knows yet counts as missing rows.
fn is_capped(json: &Json<'_>) -> bool {
    let status = json.get("request_status").filter(|status| !status.is_null());
    status.is_some_and(|status| status.get("type").and_then(Json::as_str) != Some("complete"))
}

fn unreadable(what: &str) -> NotionError {
    NotionError::Unreadable(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(window: Window) -> Query {
        let data_source = "3296958a-07b8-53ee-b6a8-a1cc71849e2b".parse().unwrap();
        Query { data_source, window, archived: false, cursor: None, page_size: 100 }
    }

    #[test]
    fn a_plain_query_asks_in_the_order_of_creation() {
        let expected = json!({
            "page_size": 100,
            "sorts": [{ "timestamp": "created_time", "direction": "ascending" }],
        });
        assert_eq!(body(&query(Window::Everything)), expected);
    }

    #[test]
    fn a_window_with_two_ends_is_two_filters() {
        let (since, until) = ("2026-09-01T10:00:00Z".parse().unwrap(), "2026-09-02T10:00:00Z".parse().unwrap());
        let both = body(&query(Window::CreatedUntil { since: Some(since), until }));
        let expected = json!({ "and": [
            { "timestamp": "created_time", "created_time": { "on_or_after": "2026-09-01T10:00:00.000Z" } },
            { "timestamp": "created_time", "created_time": { "on_or_before": "2026-09-02T10:00:00.000Z" } },
        ]});
        assert_eq!(both["filter"], expected);
        let last = body(&query(Window::CreatedUntil { since: None, until }));
        assert_eq!(last["filter"], expected["and"][1]);
    }

    #[test]
    fn a_window_is_a_filter_in_milliseconds() {
        let at = "2026-09-01T10:00:00.1234567Z".parse().unwrap();
        let created = Query { cursor: Some("c".to_owned()), archived: true, ..query(Window::CreatedSince(at)) };
        let expected = json!({
            "page_size": 100,
            "sorts": [{ "timestamp": "created_time", "direction": "ascending" }],
            "filter": { "timestamp": "created_time", "created_time": { "on_or_after": "2026-09-01T10:00:00.123Z" } },
            "start_cursor": "c",
            "is_archived": true,
        });
        assert_eq!(body(&created), expected);
        let edited = Query { page_size: 0, ..query(Window::EditedSince(at)) };
        let expected = json!({
            "page_size": 1,
            "sorts": [{ "timestamp": "last_edited_time", "direction": "ascending" }],
            "filter": {
                "timestamp": "last_edited_time",
                "last_edited_time": { "on_or_after": "2026-09-01T10:00:00.123Z" },
            },
        });
        assert_eq!(body(&edited), expected);
    }

    const WHOLE: &str = "11111111-1111-4111-8111-111111111111";
    const PARTIAL: &str = "22222222-2222-4222-8222-222222222222";
    const BROKEN: &str = "33333333-3333-4333-8333-333333333333";

    fn row(id: &str) -> Value {
        json!({
            "object": "page", "id": id, "created_time": "2026-09-01T10:00:00.000Z",
            "last_edited_time": "2026-09-01T10:00:00.000Z", "in_trash": false, "properties": {},
            "parent": { "type": "data_source_id", "data_source_id": "3296958a-07b8-53ee-b6a8-a1cc71849e2b" },
        })
    }

    fn read(json: &Value) -> Result<QueryPage, NotionError> {
        results(&json.into(), "2026-09-01T10:00:30Z".parse().unwrap())
    }

    #[test]
    fn rows_are_read_named_or_passed_over() {
        let mut broken = row(BROKEN);
        broken["created_time"] = json!("yesterday");
        let page = read(&json!({
            "object": "list", "has_more": true, "next_cursor": "next",
            "results": [row(WHOLE), { "object": "page", "id": PARTIAL }, broken, { "object": "data_source", "id": WHOLE }],
        }))
        .unwrap();
        let ids: Vec<_> = page.snapshots.iter().map(|snapshot| snapshot.page.id.to_string()).collect();
        assert_eq!(ids, [WHOLE]);
        assert_eq!(page.snapshots[0].view, View::Query);
        assert_eq!(page.unread, [PARTIAL.parse().unwrap(), BROKEN.parse().unwrap()]);
        assert_eq!(page.next_cursor.as_deref(), Some("next"));
        assert!(!page.capped);
    }

    #[test]
    fn only_data_sources_are_passed_over() {
        for (object, is_row) in [
            (json!("data_source"), false),
            (json!("database"), false),
            (json!("block"), true),
            (json!("Page"), true),
            (json!(null), true),
            (json!(7), true),
        ] {
            let page = read(&json!({ "has_more": false, "results": [{ "object": object, "id": WHOLE }] })).unwrap();
            assert_eq!((page.snapshots.len(), page.unread.len()), (0, usize::from(is_row)), "{object}");
        }
        let page = read(&json!({ "has_more": false, "results": [{ "id": WHOLE }, { "object": "database" }] })).unwrap();
        assert_eq!(page.unread, [WHOLE.parse().unwrap()]);
    }

    #[test]
    fn an_answer_that_hides_rows_is_unreadable() {
        let cases = [
            json!({ "has_more": false }),
            json!({ "has_more": false, "results": {} }),
            json!({ "results": [] }),
            json!({ "results": [], "has_more": true }),
            json!({ "results": [], "has_more": true, "next_cursor": null }),
            json!({ "results": [], "has_more": true, "next_cursor": "" }),
            json!({ "results": [{ "object": "page", "id": "?" }], "has_more": false }),
            json!({ "results": [row(WHOLE), null], "has_more": false }),
            json!({ "results": [row(WHOLE), WHOLE], "has_more": false }),
            json!({ "results": [{}], "has_more": false }),
            json!({ "results": [{ "object": "block" }], "has_more": false }),
            json!({ "results": [{ "object": "error", "id": "?" }], "has_more": false }),
            json!([]),
        ];
        for json in cases {
            assert!(matches!(read(&json), Err(NotionError::Unreadable(_))), "{json}");
        }
    }

    #[test]
    fn only_a_complete_answer_is_not_capped() {
        let reason = "query_result_limit_reached";
        for (status, capped) in [
            (json!(null), false),
            (json!({ "type": "complete" }), false),
            (json!({ "type": "incomplete", "incomplete_reason": reason }), true),
            (json!({ "type": "sampled" }), true),
            (json!("?"), true),
        ] {
            let page = read(&json!({ "results": [], "has_more": false, "request_status": status })).unwrap();
            assert_eq!(page.capped, capped, "{status}");
        }
        assert!(!read(&json!({ "results": [], "has_more": false, "next_cursor": "left over" })).unwrap().capped);
    }
}
