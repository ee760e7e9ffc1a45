//! The numbers and names under which others list a company: Companies House, Crunchbase, `PitchBook`, GitHub.

use crate::{
    derive::{
        host::Address,
        key::{self, Why},
        text,
    },
    model::key::{Key, Prefix},
};

/// Companies House numbers have this many characters; shorter ones have lost their leading zeros.
const COMPANIES_HOUSE_CHARS: usize = 8;

/// First segments of paths at github.com that are pages of its own.
const GITHUB_PAGES: &str = "about apps blog codespaces collections contact customer-stories enterprise events explore \
    features gist issues join login marketplace mobile models new notifications organizations orgs pricing pulls readme \
    resources search security session settings signup site solutions sponsors stars team topics trending users why-github";

/// What a text says of somebody at GitHub.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Github {
    /// One name without a word of what it names.
    Name(String),
    /// An organisation.
    Org(String),
    /// A repository of an organisation.
    Repo {
        /// The organisation.
        org: String,
        /// The repository.
        repo: String,
    },
}

/// A directory that gives every company a slug or an id.
struct Directory {
    prefix: Prefix,
    site: &'static str,
    in_path: fn(&[String]) -> Option<&str>,
}

const CRUNCHBASE: Directory =
    Directory { prefix: Prefix::Crunchbase, site: "crunchbase.com", in_path: crunchbase_path };

const PITCHBOOK: Directory = Directory { prefix: Prefix::Pitchbook, site: "pitchbook.com", in_path: pitchbook_path };

/// Returns what an address on a host that many share says of a company.
pub(crate) fn of_address(address: &Address) -> Option<Vec<Key>> {
    let keys = match address.host.as_str() {
        "github.com" => github_path(&address.segments())?.keys(),
        host if is_companies_house(host) => number(companies_house_path(&address.segments())?),
        _ => CRUNCHBASE.of_address(address).or_else(|_elsewhere| PITCHBOOK.of_address(address)),
    };
    keys.ok()
}

/// Returns the keys of a number at Companies House.
pub(crate) fn companies_house(text: &str) -> Result<Vec<Key>, Why> {
    if !text.contains('/') {
        return number(text);
    }
    let address = Address::parse(text).map_err(|_no_host| Why::NoId)?;
    match companies_house_path(&address.segments()) {
        Some(found) if is_companies_house(&address.host) => number(found),
        _ => Err(Why::NoId),
    }
}

/// Returns the key of a Crunchbase slug or id.
pub(crate) fn crunchbase(text: &str) -> Result<Vec<Key>, Why> {
    CRUNCHBASE.keys(text)
}

/// Returns the key of a `PitchBook` id.
pub(crate) fn pitchbook(text: &str) -> Result<Vec<Key>, Why> {
    PITCHBOOK.keys(text)
}

impl Directory {
    /// Returns the key of what stands plain or in an address of a page there.
    fn keys(&self, text: &str) -> Result<Vec<Key>, Why> {
        if !text.contains('/') {
            return self.id(&text::lower(text));
        }
        Address::parse(text).map_err(|_no_host| Why::NoId).and_then(|address| self.of_address(&address))
    }

    fn of_address(&self, address: &Address) -> Result<Vec<Key>, Why> {
        match (self.in_path)(&address.segments()) {
            Some(found) if is_at(&address.host, self.site) => self.id(found),
            _ => Err(Why::NoId),
        }
    }

    /// A slug or id is one word, and not the directory itself.
    fn id(&self, text: &str) -> Result<Vec<Key>, Why> {
        let is_word = text.contains(char::is_alphanumeric)
            && !text.contains(|c: char| c.is_whitespace() || matches!(c, '/' | '\\' | '?' | '#'))
            && !Address::parse(text).is_ok_and(|address| is_at(&address.host, self.site));
        if is_word { Ok(vec![key::make(&self.prefix, text)?]) } else { Err(Why::NoId) }
    }
}

/// Reads `org`, `org/repo`, or the address of either.
pub(crate) fn github(text: &str) -> Result<Github, Why> {
    let text = text.strip_prefix('@').unwrap_or(text);
    let first = text.split('/').next().unwrap_or_default();
    let is_path = text.contains('/') || text.contains(':') || text.ends_with("github.com");
    if is_path && (first.is_empty() || first.contains(['.', ':'])) {
        let address = Address::parse(text).map_err(|_no_host| Why::NoId)?;
        return match address.host.as_str() {
            "github.com" => github_path(&address.segments()).ok_or(Why::NoId),
            _ => Err(Why::NoId),
        };
    }
    let mut parts = text.split('/').filter(|part| !part.is_empty());
    match (parts.next(), parts.next()) {
        (Some(org), Some(repo)) => github_repo(org, repo).ok_or(Why::NoId),
        (Some(name), None) => slugged(repo_name(name)).map(Github::Name).ok_or(Why::NoId),
        (None, _) => Err(Why::NoId),
    }
}

impl Github {
    /// Returns the keys, taking a bare name for an organisation's.
    pub(crate) fn keys(&self) -> Result<Vec<Key>, Why> {
        match self {
            Self::Name(org) | Self::Org(org) => Ok(vec![key::make(&Prefix::GithubOrg, org)?]),
            Self::Repo { org, repo } => Ok(vec![key::make(&Prefix::GithubOrg, org)?, github_repo_key(org, repo)?]),
        }
    }

    /// Returns the keys of what stands where a repository belongs: a bare name is one of `org`'s, if that is known.
    pub(crate) fn repo_keys(&self, org: Option<&str>) -> Result<Vec<Key>, Why> {
        match (self, org) {
            (Self::Name(repo), Some(org)) => Ok(vec![github_repo_key(org, repo)?]),
            _ => self.keys(),
        }
    }

    fn org(self) -> String {
        match self {
            Self::Name(org) | Self::Org(org) | Self::Repo { org, .. } => org,
        }
    }
}

/// Returns the organisation that these texts name, unless they name none or several.
pub(crate) fn only_github_org<'a>(texts: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut orgs = texts.filter_map(|text| github(text).ok()).map(Github::org);
    let org = orgs.next()?;
    orgs.all(|other| other == org).then_some(org)
}

fn github_repo_key(org: &str, repo: &str) -> Result<Key, Why> {
    key::make(&Prefix::GithubRepo, &format!("{org}/{repo}"))
}

fn github_path(segments: &[String]) -> Option<Github> {
    match segments {
        [scope, org, ..] if matches!(scope.as_str(), "orgs" | "users" | "sponsors") => slugged(org).map(Github::Org),
        [page, ..] if GITHUB_PAGES.split(' ').any(|known| known == page) => None,
        [org, repo, ..] => github_repo(org, repo),
        [org] => slugged(org).map(Github::Org),
        [] => None,
    }
}

fn github_repo(org: &str, repo: &str) -> Option<Github> {
    Some(Github::Repo { org: slugged(org)?, repo: slugged(repo_name(repo))? })
}

fn repo_name(segment: &str) -> &str {
    segment.strip_suffix(".git").unwrap_or(segment)
}

fn slugged(text: &str) -> Option<String> {
    Some(text::slug(text)).filter(|slug| !slug.is_empty())
}

fn crunchbase_path(segments: &[String]) -> Option<&str> {
    match segments {
        [kind, slug, ..] if matches!(kind.as_str(), "organization" | "company") => Some(slug),
        _ => None,
    }
}

fn pitchbook_path(segments: &[String]) -> Option<&str> {
    match segments {
        [profiles, _kind, id, ..] if profiles == "profiles" => Some(id),
        [profile, id, ..] if profile == "profile" => Some(id),
        _ => None,
    }
}

fn companies_house_path(segments: &[String]) -> Option<&str> {
    match segments {
        [company, number, ..] if company == "company" => Some(number),
        _ => None,
    }
}

fn is_companies_house(host: &str) -> bool {
    is_at(host, "company-information.service.gov.uk") || is_at(host, "companieshouse.gov.uk")
}

fn is_at(host: &str, site: &str) -> bool {
    host.strip_suffix(site).is_some_and(|sub| sub.is_empty() || sub.ends_with('.'))
}

/// A number has a digit that counts: `none`, `tbc` and `0` are no numbers, and must not make companies of one kind equal.
fn number(text: &str) -> Result<Vec<Key>, Why> {
    let text = whole(text).ok_or(Why::NoId)?;
    let number: String = text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    if !number.contains(|c| matches!(c, '1'..='9')) {
        return Err(Why::NoId);
    }
    let mut keys = vec![key::make(&Prefix::CompaniesHouse, &number)?];
    if number.len() < COMPANIES_HOUSE_CHARS && number.bytes().all(|b| b.is_ascii_digit()) {
        keys.push(key::make(&Prefix::CompaniesHouse, &format!("{number:0>COMPANIES_HOUSE_CHARS$}"))?);
    }
    Ok(keys)
}

/// Takes the `.0` away that spreadsheets and data frames write behind whole numbers of a column with empty cells. What they
/// have rounded, or written with an exponent, is no number any more: `None`.
fn whole(text: &str) -> Option<&str> {
    let is_float = text.contains('.') && text.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+'));
    match text.split_once('.') {
        Some((number, zeros)) if is_float => zeros.chars().all(|c| c == '0').then_some(number),
        _ => Some(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(read: impl Fn(&str) -> Result<Vec<Key>, Why>, text: &str, expected: &[&str]) {
        let keys = read(text).unwrap_or_default();
        let given: Vec<&str> = keys.iter().map(Key::as_str).collect();
        assert_eq!(given, expected, "{text}");
    }

    #[test]
    fn companies_house_numbers_are_letters_and_digits() {
        let check = |text, expected: &[&str]| check(companies_house, text, expected);
        check("01234567", &["companies_house:01234567"]);
        check("1234567", &["companies_house:1234567", "companies_house:01234567"]);
        check(" 12 34-567 ", &["companies_house:1234567", "companies_house:01234567"]);
        check("SC 123456", &["companies_house:sc123456"]);
        check("oc30123", &["companies_house:oc30123"]);
        check("123456789", &["companies_house:123456789"]);
        check("1234567.0", &["companies_house:1234567", "companies_house:01234567"]);
        check("S.C. 123456.", &["companies_house:sc123456"]);
        check("https://beta.companieshouse.gov.uk/company/SC123456", &["companies_house:sc123456"]);
        for text in [
            "",
            "-",
            "n/a",
            "none",
            "TBC",
            "0",
            "00000000",
            "1.4556197E7",
            "1234.5",
            "https://acme.ai/company/12345678",
        ] {
            check(text, &[]);
        }
    }

    #[test]
    fn directories_are_read_from_addresses_and_plain() {
        for text in ["acme-ai", "Acme-AI", "https://www.crunchbase.com/organization/acme-ai/company_financials"] {
            check(crunchbase, text, &["crunchbase:acme-ai"]);
        }
        check(crunchbase, "crunchbase.com/company/acme", &["crunchbase:acme"]);
        for text in [
            "",
            "Acme AI",
            "https://www.crunchbase.com/person/jo",
            "https://acme.ai/organization/acme",
            "n/a",
            "-",
            "crunchbase.com",
        ] {
            check(crunchbase, text, &[]);
        }
        check(crunchbase, "https://crunchbase.com/organization/a%2Cb", &[]);
        for text in ["12345-67", "https://pitchbook.com/profiles/company/12345-67#overview"] {
            check(pitchbook, text, &["pitchbook:12345-67"]);
        }
        check(pitchbook, "https://my.pitchbook.com/profile/12345-67/company/profile", &["pitchbook:12345-67"]);
        check(pitchbook, "https://pitchbook.com/news", &[]);
    }

    #[test]
    fn github_is_read_from_addresses_and_plain() {
        let check = |text, expected: &[&str]| check(|text| github(text)?.keys(), text, expected);
        for text in [
            "acme",
            "Acme",
            "@acme",
            "acme/",
            "github.com/acme",
            "https://www.github.com/Acme/",
            "https://github.com/orgs/acme/repositories",
            "https://github.com/sponsors/acme",
        ] {
            check(text, &["github_org:acme"]);
        }
        for text in [
            "acme/core",
            "Acme/Core.git",
            "github.com/Acme/core.git",
            "git@github.com:acme/core.git",
            "ssh://git@github.com/acme/core",
            "https://github.com/acme/core/tree/main/src",
            "github.com/acme/core?tab=readme#x",
        ] {
            check(text, &["github_org:acme", "github_repo:acme/core"]);
        }
        check("vercel/next.js", &["github_org:vercel", "github_repo:vercel/next-js"]);
        for text in [
            "",
            "/",
            "@",
            "🚀",
            "github.com",
            "https://github.com/",
            "https://github.com/features",
            "https://github.com/orgs",
            "https://github.com/topics/ai",
            "https://gitlab.com/acme",
            "acme.ai/core",
        ] {
            check(text, &[]);
        }
    }

    #[test]
    fn a_bare_repository_belongs_to_the_organisation_that_is_known() {
        check(|text| github(text)?.repo_keys(Some("acme")), "next.js", &["github_repo:acme/next-js"]);
        check(|text| github(text)?.repo_keys(None), "core", &["github_org:core"]);
        check(|text| github(text)?.repo_keys(Some("acme")), "x/core", &["github_org:x", "github_repo:x/core"]);
        check(|text| github(text)?.repo_keys(Some("acme")), "https://github.com/x", &["github_org:x"]);
    }
}
