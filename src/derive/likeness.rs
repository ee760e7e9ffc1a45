//! How like two names of companies are, from 0 to 1.

use strsim::{hamming, jaro_winkler, osa_distance};

use crate::derive::{common_words, company_name::ComparableName};

/// A name ready to be compared with many others.
#[derive(Debug, Clone)]
pub struct Likeness<'a> {
    /// In the order of the alphabet: that of the name counts for nothing.
    words: Vec<Word<'a>>,
    weight: f64,
    joined: String,
    numbers: Vec<&'a str>,
}

#[derive(Debug, Clone, Copy)]
struct Word<'a> {
    text: &'a str,
    weight: f64,
    is_number: bool,
}

/// Words that are less like each other than this are different ones.
const WORDS_LIKE_MIN: f64 = 0.78;

/// The share of a score that is left where two names hold different numbers: `Fund II` is not `Fund III`.
const OTHER_NUMBERS: f64 = 0.7;

/// The score of two names that are the same but for blanks and the order of words.
const REWRITTEN: f64 = 0.98;

impl<'a> Likeness<'a> {
    /// Prepares a name.
    pub fn new(name: &'a ComparableName) -> Self {
        let word = |text| Word { text, weight: common_words::weight(text), is_number: is_number(text) };
        let mut words: Vec<Word<'a>> = name.words().map(word).collect();
        let joined = words.iter().map(|word| word.text).collect();
        words.sort_unstable_by_key(|word| word.text);
        let weight = words.iter().map(|word| word.weight).sum();
        let mut numbers: Vec<_> = words.iter().flat_map(|word| numbers(word.text)).collect();
        numbers.sort_unstable();
        Self { words, weight, joined, numbers }
    }

    /// Returns how like the two names are: 1 where the same words are left of both, in whatever order.
    pub fn to(&self, other: &Self) -> f64 {
        if self.words.iter().map(|word| word.text).eq(other.words.iter().map(|word| word.text)) {
            return 1.0;
        }
        let score = self.by_words(other).max(self.by_letters(other));
        if self.numbers == other.numbers { score } else { score * OTHER_NUMBERS }
    }

    fn by_words(&self, other: &Self) -> f64 {
        let (mut mine, mut theirs) = (vec![false; self.words.len()], vec![false; other.words.len()]);
        let mut pairs = Vec::new();
        for (i, word) in self.words.iter().enumerate() {
            for (j, like) in other.words.iter().enumerate() {
                let score = word.likeness(like);
                if score >= WORDS_LIKE_MIN {
                    pairs.push((score, word.weight + like.weight, in_order(word.text, like.text), (i, j)));
                }
            }
        }
        // The best pair first; among equals an order that does not depend on which name is asked for.
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1)).then(a.2.cmp(&b.2)));
        let mut met = 0.0;
        for (score, weight, _, (i, j)) in pairs {
            let (Some(mine), Some(theirs)) = (mine.get_mut(i), theirs.get_mut(j)) else { continue };
            if !*mine && !*theirs {
                (*mine, *theirs) = (true, true);
                met += score * weight;
            }
        }
        met / (self.weight + other.weight)
    }

    /// Compares the letters of both without the blanks, where one has more blanks than the other.
    fn by_letters(&self, other: &Self) -> f64 {
        if self.words.len() == other.words.len() {
            return 0.0;
        }
        if self.joined == other.joined { REWRITTEN } else { like_letters(&self.joined, &other.joined) * REWRITTEN }
    }
}

impl Word<'_> {
    fn likeness(&self, other: &Self) -> f64 {
        if self.text == other.text {
            return 1.0;
        }
        if self.is_number || other.is_number { 0.0 } else { like_letters(self.text, other.text) }
    }
}

/// Words with fewer letters differ by being other words: of their slips, only a letter too many, one too few and two that
/// changed places are taken for such.
const REPLACED_CHARS_MIN: usize = 5;

/// Words with fewer letters have no slips.
const SLIP_CHARS_MIN: usize = 3;

/// How much a letter in place of another one weighs. It mostly makes another word, where a letter that is missing, doubled or
/// in the wrong place is a slip of the pen.
const REPLACED: f64 = 1.5;

/// How like two words are that may differ by slips of the pen.
fn like_letters(a: &str, b: &str) -> f64 {
    let (a, b) = in_order(a, b);
    let (short, long) = (a.len().min(b.len()), a.len().max(b.len()));
    if short < SLIP_CHARS_MIN || long - short > long / 4 {
        return 0.0;
    }
    let distance = osa_distance(a, b);
    let replaced = hamming(a, b).is_ok_and(|replaced| replaced == distance);
    if short < REPLACED_CHARS_MIN && (replaced || distance > 1) {
        return 0.0;
    }
    let slips = to_f64(distance) * if replaced { REPLACED } else { 1.0 };
    let edits = 1.0 - slips / to_f64(long);
    edits.max(0.0) * 0.6 + jaro_winkler(a, b) * 0.4
}

/// Puts two texts into one order: Jaro's measure can depend on it.
fn in_order<'a>(a: &'a str, b: &'a str) -> (&'a str, &'a str) {
    if a <= b { (a, b) } else { (b, a) }
}

fn to_f64(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

/// Returns the numbers in a word: figures, and Roman ones. They tell one fund, plant or product from the next.
fn numbers(word: &str) -> impl Iterator<Item = &str> {
    let figures = word.split(|c: char| !c.is_ascii_digit()).filter(|figures| !figures.is_empty());
    figures.chain(is_roman(word).then_some(word))
}

/// Returns whether a word holds a number, of which no slip makes another.
fn is_number(word: &str) -> bool {
    word.bytes().any(|c| c.is_ascii_digit()) || is_roman(word)
}

fn is_roman(word: &str) -> bool {
    matches!(word, "ii" | "iii" | "iv" | "vi" | "vii" | "viii" | "ix" | "xi" | "xii")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn score(a: &str, b: &str) -> f64 {
        let (a, b) = (ComparableName::of(a).unwrap(), ComparableName::of(b).unwrap());
        Likeness::new(&a).to(&Likeness::new(&b))
    }

    fn is_whole(score: f64) -> bool {
        score.to_bits() == 1.0_f64.to_bits()
    }

    #[test]
    fn slips_and_little_words_cost_little_and_other_words_much() {
        let check = |a, b, least: f64, most: f64| {
            let score = score(a, b);
            assert!((least..=most).contains(&score), "{a} | {b}: {score}");
        };
        check("Kestrel Parcel Labs", "Labs Kestrel Parcel Ltd", 1.0, 1.0);
        check("Thistledown Freight", "Thistldown Freight", 0.9, 0.99);
        check("Deep Mind", "DeepMind", 0.95, 0.99);
        check("Acme", "Acme Group", 0.85, 0.9);
        check("Delta", "Delta Air Lines", 0.0, 0.7);
        check("Delta Labs", "Delta Capital", 0.0, 0.8);
        check("AI Labs", "AI Systems", 0.0, 0.6);
        check("Stripe", "Stride", 0.0, 0.84);
        check("Fund II", "Fund III", 0.0, 0.6);
        check("Studio 54", "Studio54", 0.9, 1.0);
        check("Studio 54", "Studio 55", 0.0, 0.7);
        check("Facebook", "Meta Platforms", 0.0, 0.3);
    }

    #[test]
    fn one_replaced_letter_is_doubted_more_than_one_in_the_wrong_place() {
        assert!(score("Brightline", "Brightlime") < score("Brightline", "Brigthline"));
    }

    /// Few letters and few words, so that names often come close to each other.
    fn names() -> impl Strategy<Value = String> {
        prop_oneof![
            prop::collection::vec("[abc]{2,6}|acme|labs|group|ii|iii|4|44", 1..5).prop_map(|words| words.join(" ")),
            "[A-Za-z0-9 .&éß-]{1,30}[a-z]{3}",
        ]
        .prop_filter("it has letters", |name| ComparableName::of(name).is_some())
    }

    proptest! {
        #[test]
        fn it_does_not_matter_who_is_compared_with_whom(a in names(), b in names()) {
            let score = score(&a, &b);
            prop_assert_eq!(score.to_bits(), self::score(&b, &a).to_bits());
            prop_assert!((0.0..=1.0).contains(&score), "{}", score);
        }

        #[test]
        fn a_name_is_like_itself_in_any_order_and_any_legal_form(a in names(), form in "Ltd|GmbH & Co\\. KG|S\\.p\\.A\\.|Inc") {
            let named = ComparableName::of(&a).unwrap();
            let mut words: Vec<&str> = named.words().collect();
            words.reverse();
            prop_assert!(is_whole(score(&a, &a)));
            let with_form = format!("{} {form}", named.as_str());
            prop_assert!(is_whole(score(named.as_str(), &with_form)));
            // A legal form in front of a name, and letters that come to stand side by side, are read as something else.
            let backwards = words.join(" ");
            if ComparableName::of(&backwards).is_some_and(|name| name.as_str() == backwards) {
                prop_assert!(is_whole(score(&backwards, named.as_str())));
            }
        }
    }
}
