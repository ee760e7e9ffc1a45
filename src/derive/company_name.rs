//! Names of companies made comparable: without legal form, accents, punctuation and «and».

use any_ascii::any_ascii_char;
use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

use crate::derive::{common_words, legal_forms, text};

/// As many words of a name are compared; further ones are left out.
const WORDS_MAX: usize = 12;

/// As many letters of a name are read; names are shorter, and what is longer must cost no more.
const CHARS_MAX: usize = 200;

/// A name as it is compared: words of a–z and 0–9, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ComparableName(Box<str>);

impl ComparableName {
    /// Makes a name comparable; `None` where it has no letter and no digit.
    pub fn of(name: &str) -> Option<Self> {
        let start: String = name.chars().take(CHARS_MAX).collect();
        let mut comparable = comparable(&text::clean_name(&start));
        // What a word becomes may be one that goes, too.
        loop {
            let again = self::comparable(&comparable);
            if again == comparable {
                break;
            }
            comparable = again;
        }
        (!comparable.is_empty()).then(|| Self(comparable.into()))
    }

    /// Returns the words with one blank between them.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the words.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.0.split(' ')
    }

    /// Returns the words that tell companies apart, or all of them where the name has no other.
    pub fn telling(&self) -> impl Iterator<Item = &str> {
        let has_telling = self.words().any(common_words::is_telling);
        self.words().filter(move |word| !has_telling || common_words::is_telling(word))
    }
}

const THE: &str = "the";

fn comparable(name: &str) -> String {
    let mut words = words(name.split_once(" (YC ").map_or(name, |(name, _batch)| name));
    without_and(&mut words);
    let mut words = joined(words);
    if words.len() > 1 && words.first().is_some_and(|word| word == THE) {
        words.remove(0);
    }
    if words.len() > 1 && words.last().is_some_and(|word| word == THE) {
        words.pop();
    }
    legal_forms::strip(&mut words);
    let words: Vec<String> = words.iter().map(|word| in_latin(word)).filter(|word| !word.is_empty()).collect();
    let words: Vec<&str> = words.iter().take(WORDS_MAX).map(|word| common_words::written(word)).collect();
    words.join(" ")
}

/// A word, and whether it stands behind a full stop or a stroke.
struct Word {
    text: String,
    is_dotted: bool,
}

/// Parts a name into words of letters and digits, in lower case, those of Latin script without their accents.
fn words(name: &str) -> Vec<Word> {
    let new = || Word { text: String::new(), is_dotted: false };
    let mut words = vec![new()];
    let mut read = |c: char| {
        let Some(word) = words.last_mut() else { return };
        match c {
            '\'' | '’' | '‘' | 'ʼ' | '`' | '´' => (),
            c if !(c.is_alphanumeric() || is_combining_mark(c)) => {
                let is_dot = matches!(c, '.' | '/');
                if word.text.is_empty() {
                    word.is_dotted |= is_dot;
                } else {
                    words.push(Word { is_dotted: is_dot, ..new() });
                }
            }
            c if is_latin(c) => word.text.extend(any_ascii_char(c).chars().map(|c| c.to_ascii_lowercase())),
            c => word.text.push(c),
        }
    };
    if name.is_ascii() {
        name.chars().for_each(read);
    } else {
        let lower = name.to_lowercase().replace(['™', '®', '©', '℠'], " ");
        legal_forms::space_out(&lower.nfkc().collect::<String>()).chars().for_each(&mut read);
    }
    words.retain(|word| !word.text.is_empty());
    words
}

fn is_latin(c: char) -> bool {
    c < '\u{250}' || ('\u{1e00}'..='\u{1eff}').contains(&c)
}

/// Leaves out the words for «and», unless there are no others.
fn without_and(words: &mut Vec<Word>) {
    let is_and = |word: &Word| matches!(word.text.as_str(), "and" | "und" | "et" | "och" | "og");
    if !words.iter().all(is_and) {
        words.retain(|word| !is_and(word));
    }
}

/// Joins letters that stand by themselves: `S.p.A.`, `S p A` and `SpA` are one, and so are `H&M` and `HM`. Full stops join
/// first: `Plan B S.A.` ends with two words.
fn joined(words: Vec<Word>) -> Vec<String> {
    let joined = join(words, |word| word.is_dotted);
    join(joined, |_| true).into_iter().map(|word| word.text).collect()
}

fn join(words: Vec<Word>, joins: impl Fn(&Word) -> bool) -> Vec<Word> {
    let mut joined: Vec<Word> = Vec::with_capacity(words.len());
    let mut after_letter = false;
    for word in words {
        let mut chars = word.text.chars();
        let is_letter = chars.next().is_some_and(char::is_alphabetic) && chars.next().is_none();
        match joined.last_mut() {
            Some(last) if after_letter && is_letter && joins(&word) => last.text.push_str(&word.text),
            _ => joined.push(word),
        }
        after_letter = is_letter;
    }
    joined
}

/// Writes a word in Latin letters.
fn in_latin(word: &str) -> String {
    if word.is_ascii() {
        return word.to_owned();
    }
    let latin = word.chars().flat_map(|c| any_ascii_char(c).chars());
    latin.filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(names: &[&str], expected: &str) {
        for name in names {
            let comparable = ComparableName::of(name).map(|name| name.as_str().to_owned()).unwrap_or_default();
            assert_eq!(comparable, expected, "{name}");
        }
    }

    #[test]
    fn the_legal_form_goes_from_the_end_and_where_it_is_the_custom_from_the_front() {
        check(&["Acme Ltd", "ACME LIMITED", "Acme, Inc.", "Acme L.L.C.", "Acme S.p.A.", "Acme S.A. de C.V."], "acme");
        check(&["Acme GmbH & Co. KG", "Acme UG (haftungsbeschränkt)", "Acme A/S", "Acme B.V.", "Acme OÜ"], "acme");
        check(
            &["Acme Sp. z o.o.", "Acme sp. z o. o.", "Acme s.r.o.", "Acme d.o.o.", "Acme Ltd. Şti.", "Acme A.Ş."],
            "acme",
        );
        check(
            &["Acme Co., Ltd.", "Acme Pty Ltd", "Acme Sdn. Bhd.", "Acme (Pvt) Ltd", "PT Acme Tbk", "UAB Acme"],
            "acme",
        );
        check(&["ООО «Акме»", "Акме ЗАО", "АО Акме", "ООО Акме"], "akme");
        check(&["株式会社メルカリ", "メルカリ株式会社", "㈱メルカリ", "メルカリ"], "merukari");
        check(&["小米有限公司", "小米有限责任公司", "小米"], "xiaomi");
        check(&["주식회사 카카오", "카카오(주)"], "kakao");
    }

    #[test]
    fn a_name_never_loses_its_last_word() {
        check(&["Limited", "Limited Ltd", "The Limited"], "limited");
        check(&["Co. KG", "Co."], "co");
        check(&["The The"], "the");
        check(&["株式会社"], "zhushihuishe");
        check(&["", " - ", "🚀", "&"], "");
    }

    #[test]
    fn accents_punctuation_and_the_words_for_and_make_no_difference() {
        check(&["L'Oréal", "L’Oreal", "LOREAL"], "loreal");
        check(&["Marks & Spencer", "Marks and Spencer", "Marks + Spencer", "marks-spencer"], "marks spencer");
        check(&["Villeroy und Boch", "Villeroy & Boch"], "villeroy boch");
        check(&["H&M", "H & M", "H and M", "HM", "H. M."], "hm");
        check(&["The Boring Company", "Boring Company, The"], "boring");
        check(&["Ａｃｍｅ™", "Acme 🚀"], "acme");
        check(&["Plan B S.A.", "Plan B SA", "Plan B S. A."], "plan b");
        check(&["Loom (YC W16)", "Loom"], "loom");
    }

    #[test]
    fn words_are_compared_in_one_form() {
        check(&["Kestrel Technologies", "Kestrel Tech"], "kestrel technology");
        check(&["Bell Labs", "Bell Laboratories"], "bell lab");
        check(&["Marriott Intl", "Marriott International"], "marriott international");
        check(&["阿里巴巴集团", "阿里巴巴 集团"], "alibaba group");
    }

    #[test]
    fn a_long_name_costs_no_more_than_a_short_one() {
        let long = ComparableName::of(&"acme ".repeat(100_000)).unwrap();
        assert_eq!(long.words().count(), WORDS_MAX);
    }

    proptest! {
        #[test]
        fn a_comparable_name_gives_itself(name in "\\PC{0,40}|([A-Za-zéЖ京&.']{1,6}( |\\. |-|, )){0,6}(ltd|GmbH|ооо|s\\.r\\.o\\.|the|and|有限公司)?") {
            let Some(once) = ComparableName::of(&name) else { return Ok(()) };
            prop_assert_eq!(ComparableName::of(once.as_str()), Some(once.clone()));
            let is_plain = |word: &str| !word.is_empty() && word.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
            prop_assert!(once.words().all(is_plain), "{:?}", once);
        }
    }
}
