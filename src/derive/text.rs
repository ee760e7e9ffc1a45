//! Foreign text made comparable: normal forms, pieces, slugs.

use unicode_normalization::UnicodeNormalization as _;

/// Excerpts for people are cut after this many characters.
const EXCERPT_CHARS_MAX: usize = 120;

/// Brings text to one form: compatible characters and invisible ones must not make two texts of one.
pub(crate) fn clean(text: &str) -> String {
    // ASCII is in every normal form, and nothing of it is invisible. Most text is ASCII, and this is ten times as fast.
    if text.is_ascii() {
        return text.trim().to_owned();
    }
    let normal: String = visible(text).nfkc().collect();
    normal.trim().to_owned()
}

/// Keeps what people see of a name. A name is composed but keeps its signs: `Acme™` is not `AcmeTM`.
pub(crate) fn clean_name(text: &str) -> String {
    if text.is_ascii() {
        return text.to_owned();
    }
    visible(text).nfc().collect()
}

/// Lower-cases clean text; what comes out is clean, and is its own lower case.
pub(crate) fn lower(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.to_lowercase().nfkc().collect()
}

/// Parts a clean text at newline, comma and semicolon, leaving blanks out.
pub(crate) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_separator).map(str::trim).filter(|piece| !piece.is_empty())
}

/// Returns whether a character parts keys from one another, so that no key can hold it.
pub(crate) fn is_separator(c: char) -> bool {
    matches!(c, '\n' | '\r' | ',' | ';')
}

/// Lower-cases, turns every run of characters outside a–z and 0–9 into one `-`, with none at the ends.
pub(crate) fn slug(text: &str) -> String {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit()));
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
}

/// Returns the beginning of a text, for people.
pub(crate) fn excerpt(text: &str) -> String {
    let mut rest = text.chars();
    let mut start: String = rest.by_ref().take(EXCERPT_CHARS_MAX).collect();
    if rest.next().is_some() {
        start.push('…');
    }
    start
}

/// Drops soft hyphens, zero-width spaces and marks of direction, which come along when people copy.
fn visible(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter(|c| {
        !matches!(c, '\u{ad}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2060}' | '\u{feff}')
            && !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_keep_letters_and_digits_of_ascii() {
        let check = |text, expected| assert_eq!(slug(text), expected, "{text}");
        check("Acme", "acme");
        check("  Acme & Co. (UK) ", "acme-co-uk");
        check("Müller", "m-ller");
        check("next.js", "next-js");
        check("--a--b--", "a-b");
        check("北京", "");
        check("", "");
        check("🚀 Acme 2", "acme-2");
    }

    #[test]
    fn cleaning_twice_is_cleaning_once_for_every_character() {
        for c in '\0'..=char::MAX {
            for text in [format!("a{c}b"), format!("{c}")] {
                let once = lower(&clean(&text));
                assert_eq!(lower(&clean(&once)), once, "{text:?}");
            }
        }
    }

    #[test]
    fn invisible_characters_make_no_difference() {
        assert_eq!(clean("\u{feff}acme\u{200b}.ai\u{202c}\u{a0}"), "acme.ai");
        assert_eq!(clean_name("Ac\u{ad}me"), "Acme");
    }

    #[test]
    fn excerpts_are_bounded() {
        assert_eq!(excerpt("short"), "short");
        let cut = excerpt(&"é".repeat(10_000));
        assert_eq!(cut.chars().count(), EXCERPT_CHARS_MAX + 1);
        assert!(cut.ends_with('…'));
    }
}
