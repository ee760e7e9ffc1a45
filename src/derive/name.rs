//! Names and places as keys: the last resort, and what lookups offer as possible matches.

use any_ascii::any_ascii_char;
use unicode_normalization::char::is_combining_mark;

use crate::{
    derive::{
        key::{self, Why},
        text,
    },
    model::key::{Key, Prefix},
};

/// Returns the keys of a name, and those of name and location where both are known.
pub(crate) fn keys(name: &str, location: Option<&str>) -> Result<Vec<Key>, Why> {
    let names = forms(name);
    let locations = location.map(forms).unwrap_or_default();
    if names.is_empty() {
        return Err(Why::NoLetter);
    }
    let located = locations.iter().flat_map(|location| names.iter().map(move |name| format!("{name}|{location}")));
    names.iter().cloned().chain(located).map(|value| key::make(&Prefix::NameLoc, &value)).collect()
}

/// Reads the value of a written `name_loc` key. One that names a location means that one only.
pub(crate) fn written(value: &str) -> Result<Vec<Key>, Why> {
    let Some((name, location)) = value.split_once('|') else { return keys(value, None) };
    let mut keys = keys(name, Some(location))?;
    if keys.iter().any(|key| key.value().contains('|')) {
        keys.retain(|key| key.value().contains('|'));
    }
    Ok(keys)
}

/// Returns the slug of a text as it stands, and of its transliteration where that is another.
fn forms(text: &str) -> Vec<String> {
    let text = text::clean_name(text);
    let mut forms = vec![text::slug(&text), text::slug(&transliterated(&text))];
    forms.dedup();
    forms.retain(|form| !form.is_empty());
    forms
}

/// Writes letters in ASCII. Signs and pictures stay out: `Acme™` is no `acmetm`, and 🚀 is no company named Rocket.
fn transliterated(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_ascii() || c.is_alphanumeric() || is_combining_mark(c) { any_ascii_char(c) } else { " " })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, location: Option<&str>, expected: &[&str]) {
        let keys = keys(name, location).unwrap_or_default();
        let given: Vec<&str> = keys.iter().map(Key::value).collect();
        assert_eq!(given, expected, "{name}");
    }

    #[test]
    fn a_name_claims_its_slug_and_its_transliteration() {
        check("Acme", None, &["acme"]);
        check("Acme & Co. Ltd", None, &["acme-co-ltd"]);
        check("Müller", None, &["m-ller", "muller"]);
        check("Mu\u{308}ller", None, &["m-ller", "muller"]);
        check("北京", None, &["beijing"]);
        check("Ａｃｍｅ", None, &["acme"]);
        check("Acme™", None, &["acme"]);
        check("🚀 Acme", None, &["acme"]);
        check("حصاد", None, &["hsd"]);
        check("🚀", None, &[]);
        check("", None, &[]);
        check(" - ", None, &[]);
        check(&"a".repeat(10_000), None, &[]);
    }

    #[test]
    fn a_location_makes_keys_of_both() {
        check("Acme", Some("London, UK"), &["acme", "acme|london-uk"]);
        check("Acme", Some("🌍"), &["acme"]);
        check(
            "Müller",
            Some("Zürich"),
            &["m-ller", "muller", "m-ller|z-rich", "muller|z-rich", "m-ller|zurich", "muller|zurich"],
        );
    }

    #[test]
    fn a_written_location_is_meant() {
        let check = |value: &str, expected: &[&str]| {
            let given: Vec<String> = written(value).unwrap().iter().map(|key| key.value().to_owned()).collect();
            assert_eq!(given, expected, "{value}");
        };
        check("acme|london", &["acme|london"]);
        check("Acme | New York | NY", &["acme|new-york-ny"]);
        check("acme|", &["acme"]);
    }
}
