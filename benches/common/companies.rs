//! Invented companies, and ways in which people write a name otherwise: all of it from a seed.
#![expect(clippy::indexing_slicing, reason = "places are drawn from what is there")]

use fastrand::Rng;

/// Ways to write a name otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Perturbation {
    /// Two neighbouring letters of a word of at least five change places, the first one aside.
    Swapped,
    /// A letter of such a word is missing.
    Dropped,
    /// A letter of such a word is written twice.
    Doubled,
    /// Another letter stands in the place of one, in such a word.
    Replaced,
    /// Another legal form, or none.
    LegalForm,
    /// Some letters get accents, as where the other side has lost them.
    Accents,
    /// The first word stands behind the others.
    WordOrder,
    /// `&` for `and`, and the other way round.
    And,
    /// Two words written as one.
    Joined,
    /// One word of at least eight letters written as two.
    Split,
    /// A word that says little is left out, or comes to it.
    Generic,
    /// All capitals, or none.
    Case,
    /// Full stops, commas, brackets and quotation marks.
    Punctuation,
}

impl Perturbation {
    /// Every way.
    pub(crate) const ALL: [Self; 13] = [
        Self::Swapped,
        Self::Dropped,
        Self::Doubled,
        Self::Replaced,
        Self::LegalForm,
        Self::Accents,
        Self::WordOrder,
        Self::And,
        Self::Joined,
        Self::Split,
        Self::Generic,
        Self::Case,
        Self::Punctuation,
    ];

    /// Writes a name in this way; `None` where that changes nothing.
    pub(crate) fn of(self, name: &str, rng: &mut Rng) -> Option<String> {
        let words: Vec<&str> = name.split(' ').collect();
        let (bare, form) = match words.split_last() {
            Some((form, bare)) if FORMS.contains(form) && !bare.is_empty() => (bare.to_vec(), Some(*form)),
            _ => (words.clone(), None),
        };
        let with_form = |bare: String| form.map_or_else(|| bare.clone(), |form| format!("{bare} {form}"));
        let written = match self {
            Self::Swapped => slip(&words, rng, |letters, at, _| letters.swap(at, at + 1))?,
            Self::Dropped => slip(&words, rng, |letters, at, _| {
                letters.remove(at);
            })?,
            Self::Doubled => slip(&words, rng, |letters, at, _| letters.insert(at, letters[at]))?,
            Self::Replaced => slip(&words, rng, |letters, at, rng| letters[at] = rng.lowercase())?,
            Self::LegalForm if rng.bool() => bare.join(" "),
            Self::LegalForm => format!("{} {}", bare.join(" "), rng.choice(FORMS)?),
            Self::Accents => name
                .chars()
                .map(|c| match c {
                    'a' => 'á',
                    'e' => 'é',
                    'o' => 'ö',
                    'u' => 'ü',
                    'n' => 'ñ',
                    'c' => 'ç',
                    other => other,
                })
                .collect(),
            Self::WordOrder if bare.len() > 1 && !bare.contains(&"and") => {
                with_form([&bare[1..], &bare[..1]].concat().join(" "))
            }
            Self::And if bare.contains(&"and") => name.replace(" and ", " & "),
            Self::Joined if bare.len() > 1 && !bare.contains(&"and") => with_form(
                [&[bare[..2].concat()], bare[2..].iter().map(|word| (*word).to_owned()).collect::<Vec<_>>().as_slice()]
                    .concat()
                    .join(" "),
            ),
            Self::Split => {
                let long = bare.iter().position(|word| word.len() >= 8)?;
                let (start, end) = bare[long].split_at(4);
                name.replacen(bare[long], &format!("{start} {end}"), 1)
            }
            Self::Generic => match bare.last().filter(|last| bare.len() > 1 && SLIGHT.contains(last)) {
                Some(_) => with_form(bare[..bare.len() - 1].join(" ")),
                None => with_form(format!("{} {}", bare.join(" "), rng.choice(SLIGHT)?)),
            },
            Self::Case => {
                if rng.bool() {
                    name.to_uppercase()
                } else {
                    name.to_lowercase()
                }
            }
            Self::Punctuation => match rng.u8(..3) {
                0 => format!("\"{name}\""),
                1 => format!("{}, {}.", bare.join("-"), form.unwrap_or("Ltd")),
                _ => format!("{} ({})", bare.join(" "), form.unwrap_or("Ltd")),
            },
            Self::WordOrder | Self::And | Self::Joined => return None,
        };
        (written != name).then_some(written)
    }
}

/// Changes the letters of a word at a place behind its first one and before its last one.
fn slip(words: &[&str], rng: &mut Rng, change: impl Fn(&mut Vec<char>, usize, &mut Rng)) -> Option<String> {
    let long: Vec<usize> =
        (0..words.len()).filter(|at| words[*at].len() >= 5 && !FORMS.contains(&words[*at])).collect();
    let at = *rng.choice(&long)?;
    let mut letters: Vec<char> = words[at].chars().collect();
    let place = rng.usize(1..letters.len() - 1);
    change(&mut letters, place, rng);
    let mut words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    words[at] = letters.into_iter().collect();
    Some(words.join(" "))
}

/// Invents a company's name: made-up words, common ones with the frequent far ahead of the rare, words for trades, family
/// names, legal forms.
pub(crate) fn name(rng: &mut Rng) -> String {
    let mut name = match rng.u8(..100) {
        0..20 => made_up(rng),
        20..48 => format!("{} {}", made_up(rng), frequent(TRADES, rng)),
        48..58 => format!("{} {}", frequent(NOUNS, rng), frequent(NOUNS, rng)),
        58..72 => format!("{} {} {}", frequent(NOUNS, rng), made_up(rng), frequent(TRADES, rng)),
        72..80 => format!("{} {} {}", frequent(NOUNS, rng), frequent(NOUNS, rng), frequent(TRADES, rng)),
        80..86 => format!("{} and {}", family(rng), family(rng)),
        86..92 => format!("{} {}", family(rng), frequent(TRADES, rng)),
        92..96 => format!("{} {}", made_up(rng), frequent(SLIGHT, rng)),
        96..99 => format!("{} {} {}", made_up(rng), frequent(TRADES, rng), frequent(SLIGHT, rng)),
        _ => format!("{} {}", made_up(rng), rng.u8(2..100)),
    };
    if rng.u8(..3) > 0 {
        name = format!("{name} {}", frequent(FORMS, rng));
    }
    name
}

/// Invents another company whose name begins with the same word.
pub(crate) fn sibling(of: &str, rng: &mut Rng) -> String {
    loop {
        let word = match rng.u8(..3) {
            0 => made_up(rng),
            1 => family(rng),
            _ => frequent(NOUNS, rng).to_owned(),
        };
        if !of.contains(&word) {
            let first = of.split(' ').next().unwrap_or_default();
            return format!("{first} {word} {}", frequent(TRADES, rng));
        }
    }
}

fn made_up(rng: &mut Rng) -> String {
    let syllables = rng.usize(2..4);
    let mut word = String::new();
    for _ in 0..syllables {
        word.push_str(frequent(ONSETS, rng));
        word.push_str(frequent(VOWELS, rng));
    }
    word.push_str(frequent(ENDS, rng));
    capital(&word)
}

fn family(rng: &mut Rng) -> String {
    format!("{}{}", capital(frequent(FAMILY_STARTS, rng)), frequent(FAMILY_ENDS, rng))
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

/// Draws a word; those in front come more often.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the rank of a word is a share of their number"
)]
fn frequent<'a>(words: &[&'a str], rng: &mut Rng) -> &'a str {
    let share = rng.f64().powi(2);
    words[((words.len() as f64 * share) as usize).min(words.len() - 1)]
}

const FORMS: &[&str] = &[
    "Ltd", "Inc", "GmbH", "LLC", "Limited", "SAS", "BV", "AB", "AG", "SA", "Srl", "Corp", "Oy", "ApS", "SpA", "plc",
    "Pty", "SL",
];
const SLIGHT: &[&str] = &[
    "Technologies",
    "Group",
    "Labs",
    "Solutions",
    "Systems",
    "Holdings",
    "International",
    "Software",
    "Services",
    "Digital",
    "Global",
    "UK",
];
const TRADES: &[&str] = &[
    "Technologies",
    "Health",
    "Capital",
    "Labs",
    "Energy",
    "Robotics",
    "Analytics",
    "Media",
    "Security",
    "Bio",
    "Solutions",
    "Finance",
    "Foods",
    "Logistics",
    "Therapeutics",
    "Payments",
    "Mobility",
    "Games",
    "Design",
    "Insurance",
    "Materials",
    "Motors",
    "Diagnostics",
    "Semiconductors",
    "Farms",
    "Learning",
    "Travel",
    "Space",
    "Cosmetics",
    "Textiles",
    "Brewing",
    "Water",
];
const NOUNS: &[&str] = &[
    "Blue",
    "Green",
    "Bright",
    "North",
    "Open",
    "Next",
    "Red",
    "First",
    "True",
    "Smart",
    "Cloud",
    "Data",
    "River",
    "Stone",
    "Oak",
    "Silver",
    "Golden",
    "Summit",
    "Atlas",
    "Horizon",
    "Harbor",
    "Lighthouse",
    "Signal",
    "Vertex",
    "Pioneer",
    "Falcon",
    "Kestrel",
    "Juniper",
    "Thistle",
    "Meadow",
    "Granite",
    "Copper",
    "Iron",
    "Maple",
    "Cedar",
    "Willow",
    "Fox",
    "Wolf",
    "Heron",
    "Otter",
    "Raven",
    "Beacon",
    "Anchor",
    "Compass",
    "Orbit",
    "Comet",
    "Nova",
    "Solar",
    "Lunar",
    "Delta",
    "Omega",
    "Sigma",
    "Alpha",
    "Prism",
    "Quartz",
    "Ember",
    "Frost",
    "Tide",
    "Wave",
    "Coral",
    "Island",
    "Canyon",
    "Valley",
    "Prairie",
    "Forest",
    "Garden",
    "Orchard",
    "Bridge",
    "Tower",
    "Castle",
    "Market",
    "Square",
    "Circle",
    "Line",
    "Path",
    "Arrow",
    "Bolt",
    "Spark",
    "Flame",
    "Cloudberry",
    "Lantern",
    "Mirror",
];
const ONSETS: &[&str] = &[
    "r", "l", "s", "t", "n", "m", "v", "c", "d", "k", "p", "b", "z", "f", "g", "h", "st", "tr", "cl", "pr", "br", "fl",
    "gr", "sh", "ch", "qu", "w", "j", "x", "sp", "th", "dr",
];
const VOWELS: &[&str] = &["a", "e", "i", "o", "u", "ia", "eo", "ai", "ea", "io", "y", "oo"];
const ENDS: &[&str] = &[
    "", "n", "r", "x", "s", "l", "ta", "m", "ly", "ra", "ro", "via", "lo", "ck", "nt", "ity", "sy", "tek", "fy", "gen",
];
const FAMILY_STARTS: &[&str] = &[
    "hart", "wal", "schmid", "lind", "berg", "car", "mor", "fitz", "mac", "ander", "peter", "jen", "rob", "wil", "gar",
    "kow", "nov", "rossi", "fer", "bel", "dun", "ash", "black", "white", "thorn", "wood", "stan", "hol", "brad",
    "king", "nord", "sund", "ek", "haus", "stein",
];
const FAMILY_ENDS: &[&str] = &[
    "son", "man", "berg", "ton", "ley", "ford", "er", "sen", "field", "wick", "ski", "well", "ini", "ard", "strom",
    "bauer", "quist", "ham",
];
