//! The value of one property of a simulated page, and how Notion writes it.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::{
    model::page,
    simulator::schema::{Kind, Property},
};

/// Longer texts stand in several segments, because one holds no more («LIM»).
const SEGMENT_CHARS_MAX: usize = 2_000;

/// What a person has put into a property.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Empty,
    /// Text; for a select or status the name of an option.
    Text(String),
    /// Text in several segments, as formatting or a link on a part of it leaves it.
    Segments(Vec<String>),
    /// A number.
    Number(f64),
    /// An option, by its id; what [`Value::Text`] becomes in a select or status.
    Choice(Arc<str>),
    /// Whatever JSON a test wants to see in the place of the value.
    Json(Json),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        if text.is_empty() { Self::Empty } else { Self::Text(text.to_owned()) }
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl Value {
    /// Returns the text that a person sees in `property`, if the value is a text.
    pub(crate) fn text(&self, property: &Property) -> Option<String> {
        match self {
            Self::Empty | Self::Json(_) => None,
            Self::Text(text) => Some(text.clone()),
            Self::Segments(segments) => Some(segments.concat()),
            Self::Number(number) => Some(number.to_string()),
            Self::Choice(id) => {
                property.choices.iter().find(|choice| choice.id == *id).map(|choice| choice.name.clone())
            }
        }
    }

    /// Returns what a faithful reader makes of the value.
    pub(crate) fn truth(&self, property: &Property) -> page::Value {
        match self {
            Self::Json(_) => page::Value::Unavailable,
            value => value.text(property).map_or(page::Value::Empty, |text| page::Value::text(&text)),
        }
    }

    /// Writes what stands under the name of the type («PVAL»); `created_time` is the page's.
    pub(crate) fn json(&self, property: &Property, created_time: &str) -> Json {
        if let Self::Json(json) = self {
            return json.clone();
        }
        match property.kind {
            Kind::Title | Kind::RichText => match self {
                Self::Segments(segments) => segments.iter().map(|text| segment(text)).collect(),
                value => rich_text(&value.text(property).unwrap_or_default()),
            },
            Kind::Url | Kind::Email => json!(self.text(property)),
            Kind::Number => json!(self.number()),
            Kind::Select | Kind::Status => self.choice(property),
            Kind::Relation => json!([]),
            Kind::Rollup => json!({"type": "number", "number": self.number(), "function": "count"}),
            Kind::Formula => json!({"type": "string", "string": self.text(property)}),
            Kind::CreatedTime => json!(created_time),
        }
    }

    const fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    fn choice(&self, property: &Property) -> Json {
        let Self::Choice(id) = self else { return Json::Null };
        match property.choices.iter().find(|choice| choice.id == *id) {
            Some(choice) => json!({"id": &*choice.id, "name": choice.name, "color": choice.colour}),
            None => Json::Null,
        }
    }
}

/// Writes a plain text as an array of rich-text objects: none for no text, several for a long one.
pub(crate) fn rich_text(text: &str) -> Json {
    let mut chars = text.chars().peekable();
    let mut segments = Vec::new();
    while chars.peek().is_some() {
        segments.push(segment(&chars.by_ref().take(SEGMENT_CHARS_MAX).collect::<String>()));
    }
    Json::Array(segments)
}

fn segment(text: &str) -> Json {
    json!({
        "type": "text",
        "text": {"content": text, "link": null},
        "annotations": {
            "bold": false,
            "italic": false,
            "strikethrough": false,
            "underline": false,
            "code": false,
            "color": "default",
        },
        "plain_text": text,
        "href": null,
    })
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;

    #[track_caller]
    fn check(kind: Kind, value: &Value, expected: &Json) {
        let property = Property::new(&mut Rng::with_seed(1), "Any", kind);
        assert_eq!(&value.json(&property, "2026-07-04T09:08:00.000Z"), expected, "{kind:?} {value:?}");
    }

    #[test]
    fn emptiness_has_the_form_of_its_type() {
        check(Kind::Title, &Value::Empty, &json!([]));
        check(Kind::RichText, &Value::Empty, &json!([]));
        check(Kind::Url, &Value::Empty, &Json::Null);
        check(Kind::Email, &Value::Empty, &Json::Null);
        check(Kind::Number, &Value::Empty, &Json::Null);
        check(Kind::Select, &Value::Empty, &Json::Null);
        check(Kind::Status, &Value::Empty, &Json::Null);
        check(Kind::Relation, &Value::Empty, &json!([]));
        check(Kind::Rollup, &Value::Empty, &json!({"type": "number", "number": null, "function": "count"}));
        check(Kind::Formula, &Value::Empty, &json!({"type": "string", "string": null}));
    }

    #[test]
    fn a_creation_time_is_never_empty() {
        check(Kind::CreatedTime, &Value::Empty, &json!("2026-07-04T09:08:00.000Z"));
    }

    #[test]
    fn values_have_the_form_of_their_type() {
        check(Kind::Url, &"https://acme.example".into(), &json!("https://acme.example"));
        check(Kind::Number, &0.25.into(), &json!(0.25));
        check(Kind::Formula, &"ACME".into(), &json!({"type": "string", "string": "ACME"}));
        check(Kind::Formula, &Value::Json(json!({"type": "boolean"})), &json!({"type": "boolean"}));
    }

    #[test]
    fn an_option_is_shown_whole() {
        let mut rng = Rng::with_seed(1);
        let mut property = Property::new(&mut rng, "Status", Kind::Status);
        let (id, _) = property.choose(&mut rng, "Passed");
        let shown = Value::Choice(Arc::clone(&id)).json(&property, "");
        assert_eq!(shown, json!({"id": &*id, "name": "Passed", "color": "default"}));
    }

    #[test]
    fn long_text_stands_in_several_segments() {
        let text = "é".repeat(4_500);
        let segments = rich_text(&text);
        let lengths: Vec<_> = segments
            .as_array()
            .unwrap()
            .iter()
            .map(|segment| segment["plain_text"].as_str().unwrap().chars().count())
            .collect();
        assert_eq!(lengths, [2_000, 2_000, 500]);
    }
}
