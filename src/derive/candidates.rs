//! All keys that some values give: one way for pages, questions and typed texts.

use std::{collections::BTreeSet, fmt};

use serde::Serialize;

use crate::{
    derive::{Rules, canonical, company, domain, key::Why, name, text},
    model::{
        key::{Candidate, Key, Origin},
        page::{Role, Value, Values},
        verdict::Company,
    },
};

/// A text is read up to this many pieces: nobody writes more keys than that by intention.
const PIECES_MAX: usize = 256;

/// What some values give.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Derived {
    /// The keys, each once, in order of trust; among equals in the order in which the values gave them.
    pub candidates: Vec<Candidate>,
    /// Texts that gave no key, in the order in which they stand.
    pub unused: Vec<Unused>,
    /// The keys of name and location, whether they are candidates or not: for possible matches.
    pub possible_names: Vec<Key>,
}

impl Derived {
    /// Returns the first text that was not read, because too many others stand before it.
    pub fn unread(&self) -> Option<&Unused> {
        self.unused.iter().find(|unused| unused.why == Why::TooMany)
    }
}

/// A text that stands where a key is expected, and gave none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Unused {
    /// The value that it is a piece of.
    pub role: Role,
    /// Its beginning.
    pub text: String,
    /// Why.
    pub why: Why,
}

impl fmt::Display for Unused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.text, self.why)
    }
}

/// Derives the keys that a page claims.
pub fn values_candidates(values: &Values, rules: &Rules) -> Derived {
    let shared = &rules.shared_hosts;
    let said = |role| values.get(role).map(text::clean).unwrap_or_default();
    let mut found = Found::default();

    let written = said(Role::CanonicalKey);
    found.read(Role::CanonicalKey, text::pieces(&written), |piece| canonical::keys(piece, shared));
    let website = said(Role::Website);
    found.read(Role::Website, domain::addresses(&website).into_iter(), |piece| domain::keys(piece, shared));
    for (role, read) in [
        (Role::CompaniesHouse, company::companies_house as fn(&str) -> Result<Vec<Key>, Why>),
        (Role::Crunchbase, company::crunchbase),
        (Role::Pitchbook, company::pitchbook),
    ] {
        found.read(role, text::pieces(&said(role)), read);
    }
    let (orgs, repos) = (said(Role::GithubOrg), said(Role::GithubRepo));
    found.read(Role::GithubOrg, text::pieces(&orgs), |piece| company::github(piece)?.keys());
    let org = company::only_github_org(text::pieces(&orgs));
    found.read(Role::GithubRepo, text::pieces(&repos), |piece| company::github(piece)?.repo_keys(org.as_deref()));
    found.name(values.get(Role::CompanyName), values.get(Role::Location));
    found.into_derived()
}

/// Derives the keys under which to look for a company, as [`values_candidates`] would for a page that says the same.
pub fn company_candidates(company: &Company, rules: &Rules) -> Derived {
    let websites: Vec<&str> = [&company.domain, &company.website].into_iter().flatten().map(String::as_str).collect();
    let websites = (!websites.is_empty()).then(|| websites.join("\n"));
    let mut values = Values::default();
    for (role, said) in [
        (Role::CompanyName, &company.name),
        (Role::CanonicalKey, &company.key),
        (Role::Website, &websites),
        (Role::CompaniesHouse, &company.companies_house),
        (Role::Crunchbase, &company.crunchbase),
        (Role::Pitchbook, &company.pitchbook),
        (Role::GithubOrg, &company.github_org),
        (Role::GithubRepo, &company.github_repo),
        (Role::Location, &company.location),
    ] {
        values.set(role, said.as_deref().map_or(Value::Empty, Value::text));
    }
    values_candidates(&values, rules)
}

/// Derives the keys of what a person types: keys, hosts and addresses, as the *Canonical Key* property takes them.
pub fn text_candidates(text: &str, rules: &Rules) -> Derived {
    // As `values_candidates` does where nothing else is said, of which there may be very many.
    let mut found = Found::default();
    let written = text::clean(text.trim());
    found.read(Role::CanonicalKey, text::pieces(&written), |piece| canonical::keys(piece, &rules.shared_hosts));
    let mut derived = found.into_derived();
    if derived.candidates.is_empty() && derived.unused.is_empty() {
        derived.unused.push(Unused { role: Role::CanonicalKey, text: text::excerpt(text), why: Why::NoKey });
    }
    derived
}

/// What was found so far.
#[derive(Default)]
struct Found {
    derived: Derived,
    seen: BTreeSet<Key>,
}

impl Found {
    /// Reads the pieces of one value.
    fn read<'a>(
        &mut self,
        role: Role,
        pieces: impl Iterator<Item = &'a str>,
        read: impl Fn(&str) -> Result<Vec<Key>, Why>,
    ) {
        for (at, piece) in pieces.enumerate().take(PIECES_MAX + 1) {
            let keys = match piece {
                _ if at == PIECES_MAX => Err(Why::TooMany),
                _ if piece.contains(|c: char| c.is_control()) => Err(Why::ControlCharacter),
                _ => read(piece),
            };
            match keys {
                Ok(keys) => self.add(origin(role), keys),
                Err(why) => self.derived.unused.push(Unused { role, text: text::excerpt(piece), why }),
            }
        }
    }

    /// Takes the name for a key where nothing else gave one, and always for possible matches.
    fn name(&mut self, name: Option<&str>, location: Option<&str>) {
        let Some(name) = name else { return };
        match name::keys(name, location) {
            Ok(keys) => {
                if self.derived.candidates.is_empty() {
                    self.add(Origin::Name, keys.clone());
                }
                self.derived.possible_names = keys;
            }
            Err(why) => self.derived.unused.push(Unused { role: Role::CompanyName, text: text::excerpt(name), why }),
        }
    }

    fn add(&mut self, origin: Origin, keys: Vec<Key>) {
        for key in keys {
            if self.seen.insert(key.clone()) {
                self.derived.candidates.push(Candidate { key, origin });
            }
        }
    }

    fn into_derived(mut self) -> Derived {
        self.derived.candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.key.prefix().trust()));
        self.derived
    }
}

fn origin(role: Role) -> Origin {
    match role {
        Role::CanonicalKey => Origin::CanonicalKey,
        Role::Website => Origin::Website,
        Role::CompaniesHouse => Origin::CompaniesHouse,
        Role::Crunchbase => Origin::Crunchbase,
        Role::Pitchbook => Origin::Pitchbook,
        Role::GithubOrg | Role::GithubRepo => Origin::Github,
        Role::CompanyName | Role::Status | Role::Location => Origin::Name,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values(said: &[(Role, &str)]) -> Values {
        let mut values = Values::default();
        for (role, text) in said {
            values.set(*role, Value::text(text));
        }
        values
    }

    fn keys(derived: &Derived) -> Vec<&str> {
        derived.candidates.iter().map(|candidate| candidate.key.as_str()).collect()
    }

    fn check(said: &[(Role, &str)], expected: &[&str]) {
        let derived = values_candidates(&values(said), &Rules::default());
        assert_eq!(keys(&derived), expected, "{said:?}");
    }

    #[test]
    fn a_page_claims_all_its_keys_in_order_of_trust() {
        check(
            &[
                (Role::CompanyName, "Acme"),
                (Role::GithubOrg, "Acme"),
                (Role::GithubRepo, "core"),
                (Role::Pitchbook, "12345-67"),
                (Role::Crunchbase, "acme"),
                (Role::CompaniesHouse, "1234567"),
                (Role::Website, "https://app.acme.ai"),
                (Role::CanonicalKey, "linkedin:acme\nname_loc:acme|leeds"),
            ],
            &[
                "domain:app.acme.ai",
                "domain:acme.ai",
                "companies_house:1234567",
                "companies_house:01234567",
                "crunchbase:acme",
                "pitchbook:12345-67",
                "github_org:acme",
                "github_repo:acme/core",
                "name_loc:acme|leeds",
                "linkedin:acme",
            ],
        );
    }

    #[test]
    fn written_keys_are_parted_at_newline_comma_and_semicolon() {
        check(
            &[(Role::CanonicalKey, "domain:https://www.Acme.ai/, acme.com;\nCrunchbase:Acme；https://acme.de,,")],
            &["domain:acme.ai", "domain:acme.com", "domain:acme.de", "crunchbase:acme"],
        );
    }

    #[test]
    fn a_key_is_claimed_once_and_keeps_its_first_origin() {
        let said = [(Role::Website, "acme.ai www.acme.ai"), (Role::CanonicalKey, "domain:acme.ai")];
        let derived = values_candidates(&values(&said), &Rules::default());
        assert_eq!(keys(&derived), ["domain:acme.ai"]);
        assert_eq!(derived.candidates[0].origin, Origin::CanonicalKey);
    }

    #[test]
    fn a_name_is_a_key_only_where_nothing_else_is() {
        let name = (Role::CompanyName, "Müller");
        check(&[name], &["name_loc:m-ller", "name_loc:muller"]);
        check(&[name, (Role::Website, "linkedin.com/company/acme")], &["name_loc:m-ller", "name_loc:muller"]);
        check(&[name, (Role::Website, "https://github.com/acme")], &["github_org:acme"]);
        check(&[(Role::CompanyName, "Acme"), (Role::Location, "Leeds")], &["name_loc:acme", "name_loc:acme|leeds"]);
        check(&[(Role::Location, "Leeds")], &[]);

        let derived = values_candidates(&values(&[name, (Role::Website, "acme.ai")]), &Rules::default());
        let possible: Vec<&str> = derived.possible_names.iter().map(Key::as_str).collect();
        assert_eq!(possible, ["name_loc:m-ller", "name_loc:muller"]);
    }

    #[test]
    fn a_bare_repository_needs_the_one_organisation_that_is_named() {
        let repo = (Role::GithubRepo, "core");
        check(&[(Role::GithubOrg, "acme, github.com/acme"), repo], &["github_org:acme", "github_repo:acme/core"]);
        check(&[(Role::GithubOrg, "acme, bolt"), repo], &["github_org:acme", "github_org:bolt", "github_org:core"]);
        check(&[repo], &["github_org:core"]);
    }

    #[test]
    fn texts_without_a_key_are_told_with_their_role_and_reason() {
        let check = |role, text: &str, expected: &[(&str, Why)]| {
            let unused = values_candidates(&values(&[(role, text)]), &Rules::default()).unused;
            let given: Vec<(&str, Why)> = unused.iter().map(|unused| (unused.text.as_str(), unused.why)).collect();
            assert_eq!(given, expected, "{text}");
            assert!(unused.iter().all(|unused| unused.role == role));
        };
        check(Role::CanonicalKey, "acme ltd, acme.ai; x", &[("acme ltd", Why::NoKey), ("x", Why::NoHost)]);
        check(
            Role::Website,
            "https://www.linkedin.com/company/acme",
            &[("https://www.linkedin.com/company/acme", Why::SharedHost)],
        );
        check(Role::Website, "acme.ai (old)", &[("(old)", Why::NoHost)]);
        check(Role::Website, "acme\u{7}.ai", &[("acme\u{7}.ai", Why::ControlCharacter)]);
        check(Role::CompaniesHouse, "tbc", &[("tbc", Why::NoId)]);
        check(Role::CompanyName, "🚀", &[("🚀", Why::NoLetter)]);
    }

    #[test]
    fn the_number_of_pieces_is_bounded() {
        let many: Vec<String> = (0..1_000).map(|n| format!("x:{n}")).collect();
        let derived = text_candidates(&many.join(","), &Rules::default());
        assert_eq!(derived.candidates.len(), PIECES_MAX);
        let unused = Unused { role: Role::CanonicalKey, text: format!("x:{PIECES_MAX}"), why: Why::TooMany };
        assert_eq!(derived.unread(), Some(&unused));
        assert_eq!(derived.unused, [unused]);
    }

    #[test]
    fn a_typed_text_is_a_key_an_address_or_nothing() {
        let check = |text: &str, expected: &[&str]| {
            let derived = text_candidates(text, &Rules::default());
            assert_eq!(keys(&derived), expected, "{text}");
            assert_eq!(derived.unused.is_empty(), !expected.is_empty(), "{text}");
        };
        check("acme.ai", &["domain:acme.ai"]);
        check(" https://WWW.Acme.ai/x ", &["domain:acme.ai"]);
        check("Domain:Acme.ai", &["domain:acme.ai"]);
        check("linkedin:Acme", &["linkedin:acme"]);
        check("linkedin.com/company/acme", &[]);
        check("Acme Ltd", &[]);
        check("", &[]);
        check(",;\n", &[]);
        check("\u{202e}", &[]);
    }

    #[test]
    fn a_question_gives_the_keys_of_a_page_that_says_the_same() {
        let text = |text: &str| Some(text.to_owned());
        let company = Company {
            key: text("linkedin:acme"),
            domain: text("acme.ai"),
            website: text("https://app.acme.com/"),
            companies_house: text("1234567"),
            crunchbase: text("Acme"),
            pitchbook: text("12345-67"),
            github_org: text("Acme"),
            github_repo: text("core"),
            name: text("Acme"),
            location: text("Leeds"),
        };
        let page = values(&[
            (Role::CanonicalKey, "linkedin:acme"),
            (Role::Website, "acme.ai https://app.acme.com/"),
            (Role::CompaniesHouse, "1234567"),
            (Role::Crunchbase, "Acme"),
            (Role::Pitchbook, "12345-67"),
            (Role::GithubOrg, "Acme"),
            (Role::GithubRepo, "core"),
            (Role::CompanyName, "Acme"),
            (Role::Location, "Leeds"),
            (Role::Status, "Passed"),
        ]);
        let rules = Rules::default();
        let asked = company_candidates(&company, &rules);
        assert_eq!(asked, values_candidates(&page, &rules));
        assert_eq!(asked.candidates.len(), 10);
        assert_eq!(company_candidates(&Company::default(), &rules), Derived::default());
    }

    /// Text as people and accidents write it, near enough to keys to reach every rule.
    fn foreign() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            Just("domain:".to_owned()),
            Just("companies_house:".to_owned()),
            Just("crunchbase:".to_owned()),
            Just("pitchbook:".to_owned()),
            Just("github_org:".to_owned()),
            Just("github_repo:".to_owned()),
            Just("name_loc:".to_owned()),
            Just("https://".to_owned()),
            Just("www.".to_owned()),
            Just("github.com/".to_owned()),
            Just("crunchbase.com/organization/".to_owned()),
            Just("pitchbook.com/profiles/company/".to_owned()),
            Just("carrd.co".to_owned()),
            Just("github.io".to_owned()),
            Just("notion.site".to_owned()),
            Just("xn--".to_owned()),
            Just("%2C%3B%0A%ef%bc%9a".to_owned()),
            "[a-zA-Z0-9äßéσΣİıбج京ｱ™🚀\u{301}\u{308}\u{200d}\u{202e}_-]{1,6}",
            "[.:/|,;@?# \n\t\\\\&-]",
            "\\.(com|ai|co\\.uk|公司\\.cn|ck|internal)",
            "\\PC{0,4}",
        ];
        prop::collection::vec(part, 0..9).prop_map(|parts| parts.concat())
    }

    fn any_values() -> impl Strategy<Value = Values> {
        prop::collection::vec((prop::sample::select(Role::ALL.to_vec()), foreign()), 0..6).prop_map(|said| {
            let mut values = Values::default();
            for (role, text) in said {
                values.set(role, Value::text(&text));
            }
            values
        })
    }

    fn set(derived: &Derived) -> BTreeSet<Key> {
        derived.candidates.iter().map(|candidate| candidate.key.clone()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_key_read_as_text_gives_itself(values in any_values()) {
            let rules = Rules::default();
            let derived = values_candidates(&values, &rules);
            for key in derived.candidates.iter().map(|candidate| &candidate.key).chain(&derived.possible_names) {
                prop_assert!(set(&text_candidates(key.as_str(), &rules)).contains(key), "{}", key);
            }
        }

        #[test]
        fn a_typed_text_gives_what_the_property_of_a_page_gives(text in prop_oneof![foreign(), any::<String>()]) {
            let rules = Rules::default();
            let page = values_candidates(&values(&[(Role::CanonicalKey, &text)]), &rules);
            let typed = text_candidates(&text, &rules);
            prop_assert_eq!(&typed.candidates, &page.candidates);
            if !(page.candidates.is_empty() && page.unused.is_empty()) {
                prop_assert_eq!(typed, page);
            }
        }

        #[test]
        fn candidates_are_unique_bounded_and_in_order_of_trust(values in any_values()) {
            let derived = values_candidates(&values, &Rules::default());
            prop_assert_eq!(set(&derived).len(), derived.candidates.len());
            let trust: Vec<u8> = derived.candidates.iter().map(|candidate| candidate.key.prefix().trust()).collect();
            prop_assert!(trust.is_sorted_by(|a, b| a >= b));
            for candidate in &derived.candidates {
                prop_assert!(candidate.key.as_str().len() <= 512);
                prop_assert!(Key::try_from(candidate.key.to_string()).is_ok());
            }
        }

        #[test]
        fn any_string_is_read_without_panic(text in any::<String>()) {
            let rules = Rules::default();
            drop(text_candidates(&text, &rules));
            let said = Role::ALL.map(|role| (role, text.as_str()));
            drop(values_candidates(&values(&said), &rules));
        }

        #[test]
        fn order_and_repetition_of_what_is_said_do_not_matter(
            texts in prop::collection::vec(foreign(), 0..5).prop_shuffle(),
            role in prop::sample::select(vec![Role::CanonicalKey, Role::CompaniesHouse, Role::GithubOrg, Role::GithubRepo]),
        ) {
            let rules = Rules::default();
            let give = |texts: Vec<&str>| set(&values_candidates(&values(&[(role, &texts.join("\n"))]), &rules));
            let there: Vec<&str> = texts.iter().map(String::as_str).collect();
            let back: Vec<&str> = texts.iter().rev().chain(&texts).map(String::as_str).collect();
            prop_assert_eq!(give(there), give(back));
        }

        #[test]
        fn composed_and_decomposed_text_give_the_same(text in foreign(), role in prop::sample::select(Role::ALL.to_vec())) {
            use unicode_normalization::UnicodeNormalization as _;
            let rules = Rules::default();
            let give = |text: String| values_candidates(&values(&[(role, &text)]), &rules).candidates;
            prop_assert_eq!(give(text.nfc().collect()), give(text.nfd().collect()));
        }
    }

    #[test]
    fn long_texts_are_read_to_the_end() {
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(keys(&text_candidates(text, &Rules::default())), expected);
        };
        check(&format!("https://acme.ai/?{}", "x".repeat(10_000)), &["domain:acme.ai"]);
        check(&"x".repeat(10_000), &[]);
        check(&"é".repeat(10_000), &[]);
        check(&format!("{}.ai", "é".repeat(10_000)), &[]);
        check(&format!("domain:{}", "http://".repeat(2_000)), &[]);
        check(&"www.".repeat(2_500), &[]);
    }
}
