//! Invented companies: names that nobody bears, at domains that nobody can register («RFC 2606»).

/// First words of names.
const FIRST: [&str; 24] = [
    "Amber", "Bramble", "Cobalt", "Drift", "Ember", "Fathom", "Gantry", "Hollow", "Indigo", "Juniper", "Kestrel",
    "Lumen", "Marrow", "Nimbus", "Onyx", "Pewter", "Quill", "Russet", "Sable", "Thistle", "Umber", "Velvet", "Wren",
    "Zephyr",
];

/// Second words of names.
const SECOND: [&str; 20] = [
    "Anvil", "Beacon", "Compass", "Dynamo", "Engine", "Ferry", "Garden", "Harbour", "Isthmus", "Junction", "Kiln",
    "Lattice", "Meadow", "Orchard", "Parcel", "Quarry", "Ridge", "Signal", "Trellis", "Weir",
];

/// Last words of names.
const LAST: [&str; 12] = [
    "Analytics",
    "Bio",
    "Cloud",
    "Energy",
    "Foods",
    "Health",
    "Labs",
    "Logistics",
    "Materials",
    "Robotics",
    "Software",
    "Systems",
];

/// Places, of which every company has one.
const PLACES: [&str; 8] = ["Bristol", "Glasgow", "Leeds", "London", "Lyon", "Manchester", "Oslo", "Porto"];

/// An invented company.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invented {
    pub(crate) name: String,
    pub(crate) domain: String,
    pub(crate) place: &'static str,
}

/// Invents the company with this number: another number is another company.
pub(crate) fn invent(number: usize) -> Invented {
    let all = FIRST.len() * SECOND.len() * LAST.len();
    // A stride without a common factor goes through all of them, and neighbours do not look alike.
    let at = (number % all) * 2_503 % all;
    let (first, at) = word(&FIRST, at);
    let (second, at) = word(&SECOND, at);
    let (last, _) = word(&LAST, at);
    let (place, _) = word(&PLACES, number);
    let name = match number / all {
        0 => format!("{first} {second} {last}"),
        round => format!("{first} {second} {last} {}", round + 1),
    };
    let domain = format!("{}.example", name.to_lowercase().replace(' ', "-"));
    Invented { name, domain, place }
}

/// Takes the word that `at` points to, and returns what is left for the next list.
fn word(words: &[&'static str], at: usize) -> (&'static str, usize) {
    (words.get(at % words.len()).copied().unwrap_or_default(), at / words.len())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_number_is_another_company() {
        let domains: HashSet<_> = (0..100_000).map(|number| invent(number).domain).collect();
        assert_eq!(domains.len(), 100_000);
    }

    #[test]
    fn a_company_is_at_a_domain_that_nobody_has() {
        let invented = invent(1);
        assert!(invented.domain.ends_with(".example"), "{}", invented.domain);
        assert_eq!(invented, invent(1));
    }
}
