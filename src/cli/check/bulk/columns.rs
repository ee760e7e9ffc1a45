//! Which column of a foreign table says what of a company.

use std::borrow::Cow;

use crate::{lookup::Question, model::verdict::Company};

/// Stands before the name of every column that is added.
const ADDED_PREFIX: &str = "suppressd_";

/// What a column says of a company. The number is the place in [`NAMES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    at: usize,
    /// Of several columns with a name, the one with the least rank is meant.
    rank: usize,
}

/// The fields in the order of [`Said`], each with the names of its columns, the plainest first.
const NAMES: [(&str, &[&str]); FIELDS] = [
    ("key", &["key", "canonicalkey", "canonicalkeys", "keys"]),
    ("domain", &["domain", "domains", "domainname", "host", "hostname", "companydomain"]),
    ("website", &["website", "websiteurl", "url", "homepage", "homepageurl", "web", "site", "companywebsite"]),
    (
        "companies_house",
        &[
            "companieshouse",
            "companieshousenumber",
            "companieshouseno",
            "companieshouseid",
            "companieshouseurl",
            "companynumber",
            "crn",
        ],
    ),
    ("crunchbase", &["crunchbase", "crunchbaseurl", "crunchbaseslug", "crunchbaseid", "crunchbaselink"]),
    ("pitchbook", &["pitchbook", "pitchbookid", "pitchbookurl", "pitchbooklink"]),
    ("github_org", &["githuborg", "githuborganisation", "githuborganization", "github", "githuburl"]),
    ("github_repo", &["githubrepo", "githubrepository", "githubrepourl"]),
    (
        "name",
        &["name", "companyname", "company", "organisation", "organization", "organisationname", "organizationname"],
    ),
    ("location", &["location", "companylocation", "city", "town", "headquarters", "hq", "country"]),
];

const FIELDS: usize = 10;
const KEY: usize = 0;
const NAME: usize = 8;

impl Field {
    /// Reads the name of a column. Case, blanks, `_` and `-` make no difference.
    pub(super) fn of(column: &str) -> Option<Self> {
        NAMES.iter().enumerate().find_map(|(at, (_, names))| {
            names.iter().position(|name| is_called(column, name)).map(|rank| Self { at, rank })
        })
    }

    /// Lists the names that are known, for people.
    pub(super) fn known() -> String {
        NAMES.map(|(name, _)| name).join(", ")
    }
}

/// Returns whether a column was added by an earlier run.
pub(super) fn is_ours(column: &str) -> bool {
    column.starts_with(ADDED_PREFIX)
}

fn is_called(column: &str, name: &str) -> bool {
    let plain = column.chars().filter(|c| !matches!(c, '_' | '-') && !c.is_whitespace());
    plain.map(|c| c.to_ascii_lowercase()).eq(name.chars())
}

/// What the columns of one row say.
#[derive(Debug, Default)]
pub(super) struct Said<'a> {
    texts: [Option<(Cow<'a, str>, usize)>; FIELDS],
}

impl<'a> Said<'a> {
    /// Takes what a column says. Several keys, addresses and numbers are all meant; of names and places, one is.
    pub(super) fn add(&mut self, field: Field, text: impl Into<Cow<'a, str>>) {
        let text = text.into();
        if text.trim().is_empty() {
            return;
        }
        let Some(place) = self.texts.get_mut(field.at) else { return };
        match place {
            Some((said, _)) if field.at < NAME => {
                let said = said.to_mut();
                said.push('\n');
                said.push_str(&text);
            }
            Some((_, rank)) if *rank <= field.rank => (),
            _ => *place = Some((text, field.rank)),
        }
    }

    /// Makes a question of it.
    pub(super) fn question(self) -> Question {
        let only_key = self.texts.iter().skip(KEY + 1).all(Option::is_none);
        let [key, domain, website, companies_house, crunchbase, pitchbook, github_org, github_repo, name, location] =
            self.texts.map(|said| said.map(|(text, _)| text.into_owned()));
        match key {
            Some(key) if only_key => Question::Text(key),
            key => Question::Company(Box::new(Company {
                key,
                domain,
                website,
                companies_house,
                crunchbase,
                pitchbook,
                github_org,
                github_repo,
                name,
                location,
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(said: &[(&str, &'static str)]) -> Question {
        let mut row = Said::default();
        for (column, text) in said {
            row.add(Field::of(column).unwrap(), *text);
        }
        row.question()
    }

    fn company(said: &[(&str, &'static str)]) -> Company {
        match question(said) {
            Question::Company(company) => *company,
            Question::Text(text) => panic!("{text}"),
        }
    }

    #[test]
    fn columns_are_known_by_name_however_it_is_written() {
        let same = |a: &str, b: &str| assert_eq!(Field::of(a).unwrap().at, Field::of(b).unwrap().at, "{a} {b}");
        same("Canonical Key", "key");
        same("COMPANIES-HOUSE_number", "companies_house");
        same("Companies\u{a0}House", "companies_house");
        same("Home Page", "website");
        same("Company Name", "name");
        same("HQ", "location");
        for unknown in ["", "id", "keyword", "websites2", "Ｎａｍｅ", "suppressd_status"] {
            assert_eq!(Field::of(unknown), None, "{unknown}");
        }
        assert!(is_ours("suppressd_verdict") && !is_ours("verdict"));
    }

    #[test]
    fn every_name_stands_once_and_is_what_it_is_compared_with() {
        let all: Vec<&str> = NAMES.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        for name in &all {
            assert_eq!(all.iter().filter(|other| *other == name).count(), 1, "{name}");
            assert!(Field::of(name).is_some(), "{name}");
        }
        for (name, _) in NAMES {
            assert_eq!(Field::of(name).unwrap().rank, 0, "{name}");
        }
    }

    #[test]
    fn keys_and_addresses_add_up_and_of_names_the_plainest_is_meant() {
        let said = company(&[
            ("company", "Acme Holdings"),
            ("name", "Acme"),
            ("url", "acme.ai"),
            ("website", " "),
            ("homepage", "acme.com"),
            ("country", "UK"),
            ("city", "London"),
        ]);
        let text = |text: &str| Some(text.to_owned());
        let expected = Company {
            website: text("acme.ai\nacme.com"),
            name: text("Acme"),
            location: text("London"),
            ..Company::default()
        };
        assert_eq!(said, expected);
    }

    #[test]
    fn a_key_alone_is_asked_as_a_person_types_it() {
        assert_eq!(question(&[("key", "domain:acme.ai"), ("name", "")]), Question::Text("domain:acme.ai".to_owned()));
        assert_eq!(company(&[("key", "domain:acme.ai"), ("name", "Acme")]).name.as_deref(), Some("Acme"));
        assert_eq!(company(&[]), Company::default());
    }
}
