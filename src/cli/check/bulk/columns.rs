//! Which column of a foreign table says what of a company.

use std::borrow::Cow;

use crate::{cli::args::bulk::ColumnIs, lookup::Question, model::verdict::Company};

/// Stands before the name of every column that is added.
const ADDED_PREFIX: &str = "suppressd_";

/// A longer name of a column is a sentence.
const NAME_CHARS_MAX: usize = 48;

/// What a column says of a company.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    /// The place in [`Company::FIELDS`].
    at: usize,
    /// Of several columns for a name, the one with the least rank is meant.
    rank: usize,
}

/// How the columns of a field are called: by words of this list alone, a head among them.
struct Words {
    heads: &'static [&'static str],
    others: &'static [&'static str],
}

/// Says only of whom a column speaks, or which of several is meant.
const WHOSE: [&str; 17] = [
    "company",
    "companies",
    "companys",
    "business",
    "firm",
    "organisation",
    "organization",
    "org",
    "account",
    "startup",
    "corporate",
    "prospect",
    "target",
    "primary",
    "main",
    "official",
    "uk",
];

/// Members of JSON that hold a company.
const COMPANY: [&str; 9] =
    ["company", "organisation", "organization", "org", "account", "business", "firm", "startup", "prospect"];

/// The words of each field, in the order of [`Company::FIELDS`]. Of heads, the first ones say most.
const WORDS: [Words; Company::FIELDS.len()] = [
    Words { heads: &["key", "keys", "canonicalkey", "canonicalkeys"], others: &[] },
    Words {
        heads: &["domain", "domains", "domainname", "domainnames", "host", "hostname"],
        others: &["root", "base", "web", "website", "site", "url"],
    },
    Words {
        heads: &[
            "website",
            "websites",
            "homepage",
            "webaddress",
            "webpage",
            "internetaddress",
            "landingpage",
            "url",
            "urls",
            "web",
            "site",
            "link",
            "www",
        ],
        others: &["address"],
    },
    Words {
        heads: &[
            "companieshouse",
            "companyhouse",
            "crn",
            "companynumber",
            "companyno",
            "companynum",
            "companynr",
            "companyregistration",
            "registeredcompany",
            "conumber",
            "cono",
            "chnumber",
            "chno",
            "registrationnumber",
            "registrationno",
            "registerednumber",
            "registeredno",
            "regnumber",
            "regno",
        ],
        others: &["registration", "registered", "reg", "number", "no", "id", "url", "link", "profile", "ref"],
    },
    Words {
        heads: &["crunchbase"],
        others: &["url", "link", "slug", "id", "profile", "page", "permalink", "handle", "address"],
    },
    Words { heads: &["pitchbook", "pbid"], others: &["url", "link", "id", "profile", "page", "address"] },
    Words { heads: &["github"], others: &["url", "link", "profile", "page", "handle", "user", "login", "name"] },
    Words { heads: &["githubrepo", "githubrepository"], others: &["url", "link", "name"] },
    Words {
        heads: &[
            "companyname",
            "organisationname",
            "organizationname",
            "orgname",
            "accountname",
            "businessname",
            "firmname",
            "startupname",
            "prospectname",
            "company",
            "organisation",
            "organization",
            "org",
            "startup",
            "firm",
            "legalname",
            "registeredname",
            "tradingname",
            "name",
        ],
        others: &[],
    },
    Words {
        heads: &[
            "companylocation",
            "companycity",
            "companytown",
            "headquarterslocation",
            "headquarterscity",
            "hqlocation",
            "hqcity",
            "location",
            "city",
            "town",
            "headquarters",
            "hq",
            "companycountry",
            "hqcountry",
            "country",
        ],
        others: &[],
    },
];

const KEY: usize = 0;
const NAME: usize = 8;

impl Field {
    /// Reads the name of a column. Only letters and digits count.
    fn of(column: &str) -> Option<Self> {
        let plain = normalised(column);
        if plain.len() > NAME_CHARS_MAX || is_ours(column) {
            return None;
        }
        let rank = |words: &Words| words.least_head(&plain).filter(|rank| *rank < words.heads.len());
        WORDS.iter().enumerate().find_map(|(at, words)| rank(words).map(|rank| Self { at, rank: rank + 1 }))
    }

    /// Takes what somebody has said. It goes before what names say.
    fn said(said: &ColumnIs) -> Option<Self> {
        said.field.map(|at| Self { at, rank: 0 })
    }

    /// Returns what it is called.
    pub(super) fn name(self) -> &'static str {
        Company::FIELDS.get(self.at).copied().unwrap_or_default()
    }

    /// Returns the rank among columns for the company's name; `None` for another field.
    pub(super) fn rank_of_name(self) -> Option<usize> {
        (self.at == NAME).then_some(self.rank)
    }

    /// Returns whether it is a field that gives no key of its own, or none that is strong.
    pub(super) const fn is_name_or_place(self) -> bool {
        self.at >= NAME
    }

    /// Lists the names that are known, for people.
    pub(super) fn known() -> String {
        Company::FIELDS.join(", ")
    }
}

impl Words {
    /// Takes a text apart into words, and returns the least place of a head among them, or more than there are where
    /// there is none; `None` where it cannot be taken apart.
    fn least_head(&self, text: &str) -> Option<usize> {
        if text.is_empty() {
            return Some(self.heads.len());
        }
        let heads = self.heads.iter().enumerate();
        let heads = heads.filter_map(|(at, head)| Some(self.least_head(text.strip_prefix(head)?)?.min(at)));
        let others = self.others.iter().chain(&WHOSE).filter(|other| !self.heads.contains(other));
        heads.chain(others.filter_map(|other| self.least_head(text.strip_prefix(other)?))).min()
    }
}

/// What the columns of a table mean: by their names, and by what somebody has said of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Meaning {
    said: Vec<ColumnIs>,
}

impl Meaning {
    /// What is said of columns goes before what their names say.
    pub(super) const fn new(said: Vec<ColumnIs>) -> Self {
        Self { said }
    }

    /// Returns what a column says of a company.
    pub(super) fn of(&self, column: &str) -> Option<Field> {
        self.said_of(column).map_or_else(|| Field::of(column), Field::said)
    }

    /// Returns what a member says of a company whose object is the member `company`.
    pub(super) fn within(&self, company: &str, member: &str) -> Option<Field> {
        let by_name = || Field::of(&format!("{company} {member}")).or_else(|| Field::of(member));
        self.said_of(&path(company, member)).map_or_else(by_name, Field::said)
    }

    fn said_of(&self, column: &str) -> Option<&ColumnIs> {
        self.said.iter().find(|said| said.is(column))
    }

    /// Returns the first column that somebody has spoken of and that is not there.
    pub(super) fn missing<'a>(&self, there: &(impl Iterator<Item = &'a str> + Clone)) -> Option<&str> {
        self.said.iter().find(|said| !there.clone().any(|column| said.is(column))).map(|said| &*said.header)
    }
}

impl ColumnIs {
    fn is(&self, column: &str) -> bool {
        self.header == column || (!normalised(column).is_empty() && normalised(&self.header) == normalised(column))
    }
}

/// Writes where in an object a member stands.
pub(super) fn path(company: &str, member: &str) -> String {
    format!("{company}.{member}")
}

/// Returns whether a member of this name may hold the company's members.
pub(super) fn is_company(member: &str) -> bool {
    COMPANY.contains(&&*normalised(member))
}

/// Returns whether a column was added by an earlier run.
pub(super) fn is_ours(column: &str) -> bool {
    column.starts_with(ADDED_PREFIX)
}

fn normalised(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// What the columns of one row say.
#[derive(Debug, Default)]
pub(super) struct Said<'a> {
    texts: [Option<(Cow<'a, str>, usize)>; Company::FIELDS.len()],
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
        let mut company = Company::default();
        for (field, said) in Company::FIELDS.into_iter().zip(self.texts) {
            if let Some(place) = company.field(field) {
                *place = said.map(|(text, _)| text.into_owned());
            }
        }
        match company.key {
            Some(key) if only_key => Question::Text(key),
            _ => Question::Company(Box::new(company)),
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
    fn columns_are_known_by_the_words_of_their_name_however_it_is_written() {
        for (field, columns) in [
            ("key", "key|Canonical Key|KEYS"),
            (
                "domain",
                "domain|Primary Domain|Root Domain|Company Domain Name|companyDomain|Website Domain|host_name|Domain URL",
            ),
            (
                "website",
                "website|Company URL|Website (URL)|Web Address|Websites|Organization Website|company_website_url|\
                 Landing page|Link|Homepage|home page url|URL|Web|Website address|Account Website|Main site",
            ),
            (
                "companies_house",
                "COMPANIES-HOUSE_number|Companies\u{a0}House|Company No|CH No.|Company Registration Number|\
                 UK Company Number|Registered Number|CRN|Company Reg. No.|Co. No|company_number|Companies House URL|\
                 Registered company number|companies house id|CompaniesHouseNo",
            ),
            ("crunchbase", "crunchbase|Crunchbase URL|Crunchbase Profile|Company Crunchbase Link|crunchbase_slug"),
            ("pitchbook", "PitchBook|pitchbook_id|PBId|PitchBook URL"),
            ("github_org", "GitHub URL|github|github_org|GitHub organisation|Github Organization Name"),
            ("github_repo", "github_repo|GitHub Repository|github repo url"),
            (
                "name",
                "Company Name|company|Organisation|organization_name|Account Name|Legal name|name|Name (company)|\
                 Company legal name|companyName|Startup",
            ),
            ("location", "HQ|City|company_location|Headquarters Location|Company City|country|Company HQ"),
        ] {
            for column in columns.split('|') {
                assert_eq!(Field::of(column).map(Field::name), Some(field), "{column}");
            }
        }
    }

    #[test]
    fn what_only_looks_alike_is_not_used() {
        for column in
            "|id|keyword|websites2|Ｎａｍｅ|suppressd_status|suppressd_company|LinkedIn URL|Company Linkedin Url|\
                       Name of contact|Contact name|First Name|last_name|Full name|email|E-mail|Email domain|\
                       Company email|Company ID|No.|Number|Company phone number|VAT number|Number of employees|\
                       Website status|Domain authority|Page|Twitter link|Organization Name URL|Company type|Account|\
                       Account ID|Country code|Company Address|User name|Crunchbase rank|Job title|Primary|Official"
                .split('|')
        {
            assert_eq!(Field::of(column).map(Field::name), None, "{column}");
        }
        let long = "company".repeat(1000) + "url";
        assert_eq!(Field::of(&long), None);
    }

    #[test]
    fn every_field_is_known_by_its_own_name() {
        for name in Company::FIELDS {
            assert_eq!(Field::of(name).unwrap().name(), name);
        }
    }

    #[test]
    fn what_is_said_of_a_column_goes_before_its_name() {
        let said = ["Deal=name", "URL=none", "company.site id=website"].map(|said| said.parse().unwrap());
        let meaning = Meaning::new(said.to_vec());
        let of = |column: &str| meaning.of(column).map(Field::name);
        assert_eq!([of("deal"), of("URL"), of("Website")], [Some("name"), None, Some("website")]);
        assert_eq!(meaning.within("company", "site_id").map(Field::name), Some("website"));
        assert_eq!(meaning.within("company", "number").map(Field::name), Some("companies_house"));
        assert_eq!(meaning.within("company", "id"), None);
        assert!("Deal".parse::<ColumnIs>().unwrap_err().contains("HEADER=FIELD"));
        let told = "Deal=mail".parse::<ColumnIs>().unwrap_err();
        assert_eq!(told, format!("\"mail\" is none of {}, none", Company::FIELDS.join(", ")));
        assert_eq!(meaning.missing(&["deal", "u r l", "x"].into_iter()), Some("company.site id"));
    }

    #[test]
    fn keys_and_addresses_add_up_and_of_names_the_companys_is_meant() {
        let said = company(&[
            ("name", "A. Smith"),
            ("company", "Acme Holdings"),
            ("url", "acme.ai"),
            ("website", " "),
            ("homepage", "acme.com"),
            ("country", "UK"),
            ("city", "London"),
        ]);
        let text = |text: &str| Some(text.to_owned());
        let expected = Company {
            website: text("acme.ai\nacme.com"),
            name: text("Acme Holdings"),
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
