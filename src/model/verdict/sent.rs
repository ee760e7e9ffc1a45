//! A company as somebody sends it: read strictly, and refused in our words.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::model::verdict::Company;

/// Up to this a number without a fraction stands for one whole number only.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// How the value of a field may be sent: registry numbers often come as numbers.
#[derive(Debug)]
pub(super) struct Sent;

impl JsonSchema for Sent {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Sent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "integer"], "minimum": 0, "maximum": u64::MAX})
    }
}

impl<'de> Deserialize<'de> for Company {
    fn deserialize<D: Deserializer<'de>>(sent: D) -> Result<Self, D::Error> {
        sent.deserialize_any(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Company;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the fields of a company, such as `domain` or `name`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Company, A::Error> {
        let (mut company, mut known) = (Company::default(), Vec::new());
        while let Some(name) = fields.next_key::<String>()? {
            let Some(field) = company.field(&name) else {
                return Err(A::Error::custom(format!(
                    "there is no field {name:?}, only {}",
                    Company::FIELDS.join(", ")
                )));
            };
            if known.contains(&name) {
                return Err(A::Error::custom(format!("{name} is given more than once")));
            }
            *field = fields.next_value_seed(Field(&name))?;
            known.push(name);
        }
        Ok(company)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Company, A::Error> {
        Err(not_an_object("a list"))
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Company, E> {
        Err(not_an_object("a text"))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Company, E> {
        Err(not_an_object("true or false"))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Company, E> {
        Err(not_an_object("a number"))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Company, E> {
        Err(not_an_object("a number"))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Company, E> {
        Err(not_an_object("a number"))
    }

    fn visit_unit<E: Error>(self) -> Result<Company, E> {
        Err(not_an_object("null"))
    }
}

fn not_an_object<E: Error>(what: &str) -> E {
    E::custom(format!("it is {what}: send an object with the fields of a company, such as {{\"domain\": \"acme.ai\"}}"))
}

/// The value of a field, by the name of the field.
struct Field<'a>(&'a str);

impl Field<'_> {
    fn refused<E: Error>(&self, what: &str) -> E {
        E::custom(format!("{} is {what}: send a text or a whole number", self.0))
    }
}

impl<'de> DeserializeSeed<'de> for Field<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, sent: D) -> Result<Option<String>, D::Error> {
        sent.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Field<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a text or a whole number for {}", self.0)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Option<String>, E> {
        Ok(Some(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Option<String>, E> {
        Ok(Some(text))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Option<String>, E> {
        Ok(Some(number.to_string()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Option<String>, E> {
        u64::try_from(number).map(|number| Some(number.to_string())).map_err(|_negative| self.refused("less than 0"))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Option<String>, E> {
        let is_whole = number.fract() == 0.0 && (0.0..=WHOLE_MAX).contains(&number);
        if is_whole { Ok(Some(format!("{number:.0}"))) } else { Err(self.refused("not a whole number")) }
    }

    fn visit_unit<E: Error>(self) -> Result<Option<String>, E> {
        Ok(None)
    }

    fn visit_none<E: Error>(self) -> Result<Option<String>, E> {
        Ok(None)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Option<String>, E> {
        Err(self.refused("true or false"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Option<String>, A::Error> {
        Err(self.refused("a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Option<String>, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Err(self.refused("an object"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    #[test]
    fn every_field_is_read_and_written_under_its_name() {
        let all: Json = Company::FIELDS.iter().map(|name| ((*name).to_owned(), json!(format!("a {name}")))).collect();
        let company: Company = serde_json::from_value(all.clone()).unwrap();
        assert_eq!(serde_json::to_value(company).unwrap(), all);
    }

    #[test]
    fn whole_numbers_are_texts_and_null_is_nothing() {
        let company: Company =
            serde_json::from_str(r#"{"companies_house": 14556197, "pitchbook": 7.0, "name": null}"#).unwrap();
        let read = (company.companies_house.as_deref(), company.pitchbook.as_deref(), company.name);
        assert_eq!(read, (Some("14556197"), Some("7"), None));
    }

    #[test]
    fn what_is_wrong_is_told_without_the_words_of_the_language() {
        for (sent, told) in [
            (r#"{"nme": "Acme"}"#, "there is no field \"nme\", only key, domain,"),
            (r#"{"name": "Acme", "name": "Acme"}"#, "name is given more than once"),
            (r#"{"name": ["Acme"]}"#, "name is a list: send a text or a whole number"),
            (r#"{"name": {"is": "Acme"}}"#, "name is an object: send"),
            (r#"{"name": true}"#, "name is true or false: send"),
            (r#"{"companies_house": 1.5}"#, "companies_house is not a whole number: send"),
            (r#"{"companies_house": 1e300}"#, "companies_house is not a whole number: send"),
            (r#"{"companies_house": -1}"#, "companies_house is less than 0: send"),
            (r#"["acme.ai"]"#, "it is a list: send an object"),
            (r#""acme.ai""#, "it is a text: send an object"),
            ("7", "it is a number: send an object"),
            ("true", "it is true or false: send an object"),
            ("null", "it is null: send an object"),
        ] {
            let error = serde_json::from_str::<Company>(sent).unwrap_err().to_string();
            assert!(error.starts_with(told) && !error.contains("Company"), "{sent}: {error}");
        }
    }
}
