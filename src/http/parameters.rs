//! Reads the parameters of a path or a query into a type, and says in our words what is wrong with them.
//!
//! A parameter is a name and a text. What it may be is said by the type that is read: an integer, a boolean, an enum of
//! words, a string, or a type of its own that reads one of these and refuses what it must not be.

use std::fmt::Display;

use serde::{
    Deserializer,
    de::{
        self, DeserializeOwned, DeserializeSeed, IntoDeserializer as _, MapAccess, Visitor, value::StringDeserializer,
    },
    forward_to_deserialize_any,
};

/// What is wrong with the parameters.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Wrong(String);

/// Reads names and texts.
pub(super) fn read<T: DeserializeOwned>(given: Vec<(String, String)>) -> Result<T, Wrong> {
    T::deserialize(Parameters { given: given.into_iter(), value: None })
}

struct Parameters {
    given: std::vec::IntoIter<(String, String)>,
    value: Option<(String, String)>,
}

impl<'de> Deserializer<'de> for Parameters {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_map(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> MapAccess<'de> for Parameters {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Wrong> {
        self.value = self.given.next();
        let Some((name, _)) = &self.value else { return Ok(None) };
        seed.deserialize(StringDeserializer::<Wrong>::new(name.clone())).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let (name, text) = self.value.take().unwrap_or_default();
        seed.deserialize(Text(text)).map_err(|Wrong(why)| Wrong(format!("{name}: {why}")))
    }
}

/// The text of one parameter.
struct Text(String);

impl Text {
    fn parse<T: std::str::FromStr>(&self, what: &str) -> Result<T, Wrong> {
        self.0.parse().map_err(|_unreadable| Wrong(format!("{:?} is not {what}", self.0)))
    }
}

macro_rules! integers {
    ($($deserialize:ident $visit:ident)+) => {
        $(fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
            visitor.$visit(self.parse("a whole number, or is too large or too small")?)
        })+
    };
}

impl<'de> Deserializer<'de> for Text {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_string(self.0)
    }

    integers! {
        deserialize_u8 visit_u8
        deserialize_u16 visit_u16
        deserialize_u32 visit_u32
        deserialize_u64 visit_u64
        deserialize_i64 visit_i64
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_bool(self.parse("true or false")?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_enum(self.0.into_deserializer())
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl de::Error for Wrong {
    fn custom<T: Display>(message: T) -> Self {
        Self(message.to_string())
    }

    fn unknown_field(name: &str, known: &'static [&'static str]) -> Self {
        match known {
            [] => Self(format!("there is no parameter {name:?} here, nor any other")),
            known => Self(format!("there is no parameter {name:?}, only {}", known.join(", "))),
        }
    }

    fn unknown_variant(text: &str, known: &'static [&'static str]) -> Self {
        Self(format!("{text:?} is none of {}", known.join(", ")))
    }

    fn duplicate_field(name: &'static str) -> Self {
        Self(format!("{name} is given more than once"))
    }

    fn missing_field(name: &'static str) -> Self {
        Self(format!("the parameter {name} is missing"))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Word {
        Yes,
        No,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        number: i64,
        limit: Option<u32>,
        word: Option<Word>,
        is: Option<bool>,
        text: Option<String>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}

    fn given(given: &[(&str, &str)]) -> Vec<(String, String)> {
        given.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn texts_become_what_they_should_be() {
        let all = given(&[("number", "-7"), ("limit", "3"), ("word", "no"), ("is", "true"), ("text", "")]);
        let read_all =
            Asked { number: -7, limit: Some(3), word: Some(Word::No), is: Some(true), text: Some(String::new()) };
        assert_eq!(read(all), Ok(read_all));
        let one = Asked { number: 1, limit: None, word: None, is: None, text: None };
        assert_eq!(read(given(&[("number", "1")])), Ok(one));
        assert_eq!(read(Vec::new()), Ok(Nothing {}));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |texts: &[(&str, &str)], told: &str| {
            assert_eq!(read::<Asked>(given(texts)).unwrap_err().to_string(), told);
        };
        check(&[], "the parameter number is missing");
        check(&[("number", "x")], "number: \"x\" is not a whole number, or is too large or too small");
        check(&[("limit", "-1")], "limit: \"-1\" is not a whole number, or is too large or too small");
        check(&[("word", "maybe")], "word: \"maybe\" is none of yes, no");
        check(&[("is", "1")], "is: \"1\" is not true or false");
        check(&[("number", "1"), ("number", "1")], "number is given more than once");
        check(&[("limits", "1")], "there is no parameter \"limits\", only number, limit, word, is, text");
        let told = read::<Nothing>(given(&[("a", "1")])).unwrap_err().to_string();
        assert_eq!(told, "there is no parameter \"a\" here, nor any other");
    }
}
