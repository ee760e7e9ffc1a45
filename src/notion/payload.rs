//! Reads the body of a delivery: a handshake, an event, or something that is only kept and reported.
//!
//! One pass over borrowed text. Whatever a field holds that it should not hold counts as missing, so that only what an
//! event cannot do without makes it unreadable, and its id is kept even then. Handshakes may come unsigned, so a body
//! can be anybody's: no tree is built of it, and what is kept while reading is a small multiple of its size.

use std::{borrow::Cow, fmt, marker::PhantomData, str::FromStr};

use chrono::{DateTime, Utc};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

use crate::{
    model::event::{Concern, Event, EventKind, EventParent, Subject},
    notion::{property_id, signature::VerificationToken},
};

/// Longer ids are cut. Notion's are UUIDs of 36 characters.
const ID_CHARS_MAX: usize = 200;

/// Longer kinds are cut. The longest known one has 43 characters.
const KIND_CHARS_MAX: usize = 100;

/// What a body turned out to be.
#[derive(Debug, Clone)]
pub enum Delivery {
    /// Notion hands over the token of a new subscription.
    Handshake(VerificationToken),
    /// Something happened.
    Event(Event),
    /// Not a body that Notion is known to send.
    Unreadable {
        /// The event's id, if at least that could be read.
        id: Option<String>,
        /// What is wrong with it; never repeats the body.
        why: String,
    },
}

/// Reads a body. Never fails, because what is signed correctly must be acknowledged, readable or not.
///
/// A handshake is an object with a `verification_token` and neither `type` nor `entity` («WH»).
pub fn read(body: &[u8]) -> Delivery {
    let envelope: Box<Envelope<'_>> = match serde_json::from_slice(body) {
        Ok(Loose::Object(envelope)) => envelope,
        Ok(_) => return Delivery::Unreadable { id: None, why: "not a JSON object".to_owned() },
        Err(error) => return Delivery::Unreadable { id: None, why: format!("not JSON: {error}") },
    };
    if let (Some(token), Loose::Missing, Loose::Missing) =
        (envelope.verification_token.text(), &envelope.kind, &envelope.entity)
    {
        return match VerificationToken::new(token) {
            Ok(token) => Delivery::Handshake(token),
            Err(error) => Delivery::Unreadable { id: None, why: error.to_string() },
        };
    }
    match event(&envelope) {
        Ok(event) => Delivery::Event(event),
        Err(why) => Delivery::Unreadable { id: id(&envelope).map(str::to_owned), why: why.to_owned() },
    }
}

fn event(envelope: &Envelope<'_>) -> Result<Event, &'static str> {
    let id = id(envelope).ok_or("no `id`")?;
    let kind = envelope.kind.text().ok_or("no `type`")?;
    let kind = EventKind::from_name(bounded(kind, KIND_CHARS_MAX));
    let occurred_at = envelope.timestamp.text().ok_or("no `timestamp`")?;
    let occurred_at = DateTime::parse_from_rfc3339(occurred_at)
        .map_err(|_not_a_time| "`timestamp` is not an RFC 3339 time")?
        .with_timezone(&Utc);
    let entity = envelope.entity.object();
    let data = envelope.data.object();
    Ok(Event {
        id: id.to_owned(),
        occurred_at,
        subject: subject(&kind, entity)?,
        parent: table(&kind, entity).unwrap_or_else(|| parent(data)),
        workspace: envelope.workspace_id.id(),
        updated_properties: data.map(|data| data.updated_properties.property_ids()).unwrap_or_default(),
        attempt: envelope.attempt_number.count().unwrap_or(1),
        kind,
    })
}

fn id<'e>(envelope: &'e Envelope<'_>) -> Option<&'e str> {
    envelope.id.text().filter(|id| !id.is_empty()).map(|id| bounded(id, ID_CHARS_MAX))
}

/// Says what to look at. An entity that does not say its type is of the type that its event is about.
fn subject(kind: &EventKind, entity: Option<&Reference<'_>>) -> Result<Option<Subject>, &'static str> {
    match kind.concern() {
        Concern::Nothing => Ok(None),
        Concern::Sources => Ok(Some(Subject::Sources)),
        Concern::Page => {
            let entity = entity.ok_or("no `entity`")?;
            let page = entity.id.id().ok_or("`entity.id` is not a UUID")?;
            Ok(entity.is("page").then_some(Subject::Page(page)))
        }
    }
}

/// Returns the table itself for an event about a table; `None` for all other events.
///
/// A linked database comes as `database.*` with an entity of type `block`, whose id is no database's.
fn table(kind: &EventKind, entity: Option<&Reference<'_>>) -> Option<EventParent> {
    let (about, _) = kind.name().split_once('.')?;
    let id = entity.filter(|entity| entity.is(about)).map(|entity| &entity.id);
    let table = match about {
        "data_source" => id.and_then(Loose::id).map(EventParent::DataSource),
        "database" => id.and_then(Loose::id).map(EventParent::Database),
        _ => return None,
    };
    Some(table.unwrap_or(EventParent::Unsaid))
}

/// Reads `data.parent` («UP25»): a row's has the database's id and, from 2025-09-03 on, the data source's beside it.
fn parent(data: Option<&Data<'_>>) -> EventParent {
    let Some(parent) = data.and_then(|data| data.parent.object()) else {
        return EventParent::Unsaid;
    };
    if let Some(source) = parent.data_source_id.id() {
        return EventParent::DataSource(source);
    }
    match parent.kind.text() {
        Some("database") => parent.id.id().map_or(EventParent::Unsaid, EventParent::Database),
        Some(_) => EventParent::Elsewhere,
        None => EventParent::Unsaid,
    }
}

/// Cuts `text` behind its first `chars_max` characters.
fn bounded(text: &str, chars_max: usize) -> &str {
    if text.len() <= chars_max {
        return text;
    }
    text.char_indices().nth(chars_max).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

/// The fields of a body that are read; all others are skipped, here and below.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Envelope<'a> {
    #[serde(borrow)]
    id: Plain<'a>,
    #[serde(borrow, rename = "type")]
    kind: Plain<'a>,
    #[serde(borrow)]
    timestamp: Plain<'a>,
    #[serde(borrow)]
    attempt_number: Plain<'a>,
    #[serde(borrow)]
    workspace_id: Plain<'a>,
    #[serde(borrow)]
    verification_token: Plain<'a>,
    #[serde(borrow)]
    entity: Loose<'a, Reference<'a>>,
    #[serde(borrow)]
    data: Loose<'a, Data<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Data<'a> {
    #[serde(borrow)]
    parent: Loose<'a, Reference<'a>>,
    #[serde(borrow)]
    updated_properties: Plain<'a>,
}

/// An object of Notion by its id; `data_source_id` stands beside a database only.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Reference<'a> {
    #[serde(borrow)]
    id: Plain<'a>,
    #[serde(borrow, rename = "type")]
    kind: Plain<'a>,
    #[serde(borrow)]
    data_source_id: Plain<'a>,
}

impl Reference<'_> {
    /// Says whether the object is of type `kind`, or does not tell.
    fn is(&self, kind: &str) -> bool {
        self.kind.text().is_none_or(|said| said == kind)
    }
}

/// Any JSON value, as far as a field of it is read; objects are read as `O`.
#[derive(Default)]
enum Loose<'a, O> {
    /// No such field, or `null`: Notion uses both.
    #[default]
    Missing,
    Text(Cow<'a, str>),
    Count(u64),
    Object(Box<O>),
    /// The strings among the items.
    List(Vec<Cow<'a, str>>),
    Other,
}

/// A field of which no object is read.
type Plain<'a> = Loose<'a, IgnoredAny>;

impl<O> Loose<'_, O> {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    fn id<T: FromStr>(&self) -> Option<T> {
        self.text()?.parse().ok()
    }

    fn object(&self) -> Option<&O> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    fn count(&self) -> Option<u8> {
        match self {
            Self::Count(count) => Some(u8::try_from(*count).unwrap_or(u8::MAX)),
            _ => None,
        }
    }

    /// Returns the ids in a page's `updated_properties`. A schema's holds objects instead, which say nothing of a row.
    fn property_ids(&self) -> Vec<String> {
        match self {
            Self::List(ids) => ids.iter().map(|id| property_id::decode(id)).collect(),
            _ => Vec::new(),
        }
    }
}

impl<'de: 'a, 'a, O: Deserialize<'de>> Deserialize<'de> for Loose<'a, O> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LooseVisitor(PhantomData))
    }
}

struct LooseVisitor<O>(PhantomData<O>);

impl<'de, O: Deserialize<'de>> Visitor<'de> for LooseVisitor<O> {
    type Value = Loose<'de, O>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Loose::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Loose::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E>(self, count: u64) -> Result<Self::Value, E> {
        Ok(Loose::Count(count))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Loose::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Loose::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Loose::Other)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Loose::Missing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut texts = Vec::new();
        while let Some(item) = seq.next_element::<Plain<'de>>()? {
            if let Loose::Text(text) = item {
                texts.push(text);
            }
        }
        Ok(Loose::List(texts))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        O::deserialize(MapAccessDeserializer::new(map)).map(|object| Loose::Object(Box::new(object)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    use super::*;

    const PAGE: &str = "3296958a-07b8-53ee-b6a8-a1cc71849e2b";
    const SOURCE: &str = "3bbe670e-2c29-52bd-9d29-25e0227525af";
    const DATABASE: &str = "382bcdbf-68e4-5a81-913e-8f31277050c0";

    /// An event in the shape of the recorded ones.
    fn body(kind: &str) -> Json {
        json!({
            "id": "679a090d-9e23-5860-bc18-d8841fbe7b28", "timestamp": "2024-12-05T23:55:34.285Z",
            "workspace_id": "2af5993f-5cfb-55aa-9c16-c81e5af976c2", "workspace_name": "Quantity \"Labs\"",
            "subscription_id": "72e68979-ab94-5875-993d-3f75e523fda6", "type": kind,
            "authors": [{"id": "0dfcbb5c-5d00-54d9-b14c-cd72c2a2ee89", "type": "person"}],
            "accessible_by": [{"id": "2bf1e056-5f05-5b44-a325-dab4f1a93751", "type": "bot"}],
            "attempt_number": 1, "api_version": "2026-03-11", "entity": {"id": PAGE, "type": "page"},
            "data": {"parent": {"id": DATABASE, "type": "database", "data_source_id": SOURCE}},
        })
    }

    fn with(kind: &str, path: &str, value: Json) -> Json {
        let mut body = body(kind);
        let (parent, key) = path.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[key] = value;
        body
    }

    fn without(path: &str) -> Json {
        let mut body = body("page.created");
        let (parent, key) = path.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key).unwrap();
        body
    }

    fn event(body: &Json) -> Event {
        match read(body.to_string().as_bytes()) {
            Delivery::Event(event) => event,
            other => panic!("{other:?} of {body}"),
        }
    }

    fn unreadable(body: &[u8]) -> (Option<String>, String) {
        match read(body) {
            Delivery::Unreadable { id, why } => (id, why),
            other => panic!("{other:?}"),
        }
    }

    fn page() -> Subject {
        Subject::Page(PAGE.parse().unwrap())
    }

    #[test]
    fn an_event_of_a_row_is_read_whole() {
        let mut body = body("page.properties_updated");
        body["data"]["updated_properties"] = json!(["XGe%40", "bDf%5B", "a%2525b"]);
        body["attempt_number"] = json!(3);
        assert_eq!(
            event(&body),
            Event {
                id: "679a090d-9e23-5860-bc18-d8841fbe7b28".to_owned(),
                kind: EventKind::PagePropertiesUpdated,
                occurred_at: "2024-12-05T23:55:34.285Z".parse().unwrap(),
                subject: Some(page()),
                parent: EventParent::DataSource(SOURCE.parse().unwrap()),
                workspace: event(&body).workspace,
                updated_properties: vec!["XGe@".to_owned(), "bDf[".to_owned(), "a%25b".to_owned()],
                attempt: 3,
            }
        );
    }

    #[test]
    fn the_workspace_is_read_where_it_is_said() {
        let id = "13950b26-c203-4f3b-b97d-93ec06319565";
        let of = |value: Json| {
            let mut body = body("page.created");
            body["workspace_id"] = value;
            event(&body).workspace
        };
        assert_eq!(of(json!(id)), Some(id.parse().unwrap()));
        assert_eq!(of(json!(id.replace('-', ""))), Some(id.parse().unwrap()));
        for odd in [json!(null), json!(""), json!(7), json!({})] {
            assert_eq!(of(odd), None);
        }
    }

    #[test]
    fn dashed_and_undashed_ids_name_the_same_page() {
        let undashed = PAGE.replace('-', "");
        assert_eq!(event(&with("page.moved", "/entity/id", json!(undashed))).subject, Some(page()));
        assert_eq!(event(&with("page.moved", "/entity/id", json!(PAGE.to_uppercase()))).subject, Some(page()));
    }

    #[test]
    fn what_an_event_can_do_without_may_be_missing_or_odd() {
        let check = |body: Json| assert_eq!(event(&body).subject, Some(page()), "{body}");
        for path in ["/data", "/attempt_number", "/accessible_by", "/authors", "/api_version", "/entity/type"] {
            check(without(path));
        }
        for odd in [json!(null), json!("x"), json!(-1), json!(1.5), json!(true), json!([[]]), json!({"a": {}})] {
            for path in ["/data", "/data/parent", "/attempt_number", "/accessible_by", "/data/updated_properties"] {
                check(with("page.created", path, odd.clone()));
            }
        }
        assert_eq!(event(&without("/attempt_number")).attempt, 1);
        assert_eq!(event(&with("page.created", "/attempt_number", json!(1_000))).attempt, u8::MAX);
    }

    #[test]
    fn an_event_without_id_kind_time_or_page_is_unreadable_but_keeps_its_id() {
        let check = |body: Json, keeps_id: bool, why: &str| {
            let (id, said) = unreadable(body.to_string().as_bytes());
            assert_eq!(id.is_some(), keeps_id, "{body}");
            assert!(said.contains(why), "{said}");
        };
        check(without("/id"), false, "`id`");
        check(with("page.created", "/id", json!(7)), false, "`id`");
        check(with("page.created", "/id", json!("")), false, "`id`");
        check(without("/type"), true, "`type`");
        check(without("/timestamp"), true, "`timestamp`");
        check(with("page.created", "/timestamp", json!("yesterday")), true, "`timestamp`");
        check(with("page.created", "/timestamp", json!(1_733_442_934)), true, "`timestamp`");
        check(without("/entity"), true, "`entity`");
        check(without("/entity/id"), true, "`entity.id`");
        check(with("page.created", "/entity/id", json!("acme")), true, "`entity.id`");
    }

    #[test]
    fn times_come_in_every_form_of_rfc_3339() {
        for time in [
            "2024-12-05T23:55:34Z",
            "2024-12-05T23:55:34.000Z",
            "2024-12-06T00:55:34.000+01:00",
            "2024-12-05t23:55:34z",
        ] {
            let event = event(&with("page.created", "/timestamp", json!(time)));
            assert_eq!(event.occurred_at.timestamp(), 1_733_442_934, "{time}");
        }
    }

    #[test]
    fn the_subject_goes_by_what_the_kind_concerns() {
        let check = |kind, subject| assert_eq!(event(&body(kind)).subject, subject, "{kind}");
        check("page.deleted", Some(page()));
        check("page.locked", None);
        check("data_source.schema_updated", Some(Subject::Sources));
        check("database.deleted", Some(Subject::Sources));
        check("comment.created", None);
        check("page.teleported", None);
        assert_eq!(event(&with("page.created", "/entity/type", json!("block"))).subject, None);
    }

    #[test]
    fn an_unknown_kind_needs_no_entity() {
        let mut body = body("file_upload.completed");
        for key in ["entity", "data"] {
            body.as_object_mut().unwrap().remove(key);
        }
        assert_eq!(event(&body).parent, EventParent::Unsaid);
        body["type"] = json!("moon.risen");
        assert_eq!(event(&body).kind, EventKind::Other("moon.risen".to_owned()));
    }

    #[test]
    fn the_parent_is_the_data_source_then_the_database_then_elsewhere() {
        let check = |parent: Json, expected| {
            assert_eq!(event(&with("page.moved", "/data/parent", parent.clone())).parent, expected, "{parent}");
        };
        let database = EventParent::Database(DATABASE.parse().unwrap());
        check(json!({"id": DATABASE, "type": "database"}), database);
        check(json!({"id": DATABASE, "type": "database", "data_source_id": null}), database);
        check(json!({"id": DATABASE, "type": "database", "data_source_id": "acme"}), database);
        check(json!({"data_source_id": SOURCE}), EventParent::DataSource(SOURCE.parse().unwrap()));
        for kind in ["space", "block", "page", "team", "agent", "moon"] {
            check(json!({"id": DATABASE, "type": kind}), EventParent::Elsewhere);
        }
        check(json!({"type": "database"}), EventParent::Unsaid);
        check(json!({}), EventParent::Unsaid);
        check(json!(null), EventParent::Unsaid);
    }

    #[test]
    fn a_tables_own_events_name_the_table_itself() {
        let check = |kind: &str, entity: Json, expected| {
            assert_eq!(event(&with(kind, "/entity", entity.clone())).parent, expected, "{kind} {entity}");
        };
        let (source, database) = (SOURCE.parse().unwrap(), DATABASE.parse().unwrap());
        let undashed = SOURCE.replace('-', "");
        check("data_source.moved", json!({"id": SOURCE, "type": "data_source"}), EventParent::DataSource(source));
        check("data_source.deleted", json!({"id": undashed}), EventParent::DataSource(source));
        check("database.deleted", json!({"id": DATABASE, "type": "database"}), EventParent::Database(database));
        check("database.moved", json!({"id": DATABASE, "type": "block"}), EventParent::Unsaid);
        check("data_source.moved", json!({"id": "acme", "type": "data_source"}), EventParent::Unsaid);
        check("data_source.moved", json!(null), EventParent::Unsaid);
    }

    #[test]
    fn a_schemas_updated_properties_are_ignored() {
        let mut body = body("data_source.schema_updated");
        body["data"]["updated_properties"] = json!([{"id": "kqLW", "name": null, "action": "created"}]);
        assert_eq!(event(&body).updated_properties, Vec::<String>::new());
    }

    #[test]
    fn a_handshake_is_a_token_and_nothing_of_an_event() {
        let token = |body: Json| match read(body.to_string().as_bytes()) {
            Delivery::Handshake(token) => Some(token.expose().to_owned()),
            _ => None,
        };
        assert_eq!(token(json!({"verification_token": "secret_a"})).as_deref(), Some("secret_a"));
        assert_eq!(token(json!({"request_id": 1, "verification_token": "secret_a"})).as_deref(), Some("secret_a"));
        for body in [
            json!({"verification_token": "secret_a", "type": "page.created"}),
            json!({"verification_token": "secret_a", "entity": {}}),
            json!({"verification_token": ["secret_a"]}),
            json!({"verification_token": " "}),
            json!(["secret_a"]),
        ] {
            assert_eq!(token(body.clone()), None, "{body}");
        }
    }

    #[test]
    fn ids_and_kinds_are_bounded() {
        let mut body = body(&"é".repeat(1_000));
        body["id"] = json!("ü".repeat(1_000));
        let event = event(&body);
        assert_eq!(event.id, "ü".repeat(ID_CHARS_MAX));
        assert_eq!(event.kind.name(), "é".repeat(KIND_CHARS_MAX));
    }

    #[test]
    fn nesting_bombs_are_survived() {
        let bomb = |opening: &str, depth| opening.repeat(depth).into_bytes();
        for opening in ["[", r#"{"data":"#, r#"{"parent":["#, r#"{"unknown":"#] {
            unreadable(&bomb(opening, 50_000));
        }
        let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        unreadable(deep.as_bytes());
    }

    #[test]
    fn a_body_that_is_no_object_is_unreadable() {
        for body in ["", "null", "7", "[]", r#"["id"]"#, "{", "{} {}", "id=1"] {
            assert_eq!(unreadable(body.as_bytes()).0, None, "{body}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..400)) {
            read(&body);
        }

        #[test]
        fn a_damaged_event_never_panics(at: prop::sample::Index, byte: u8) {
            let mut body = body("page.created").to_string().into_bytes();
            let at = at.index(body.len());
            body[at] = byte;
            read(&body);
            body.truncate(at);
            read(&body);
        }

        #[test]
        fn the_order_of_the_keys_says_nothing(order in Just(body("page.created")).prop_map(|body| {
            body.as_object().unwrap().iter().map(|(key, value)| format!("{key:?}:{value}")).collect::<Vec<_>>()
        }).prop_shuffle()) {
            let shuffled = format!("{{{}}}", order.join(" ,\n"));
            let Delivery::Event(read) = read(shuffled.as_bytes()) else { panic!("{shuffled}") };
            prop_assert_eq!(read, event(&body("page.created")));
        }
    }
}
