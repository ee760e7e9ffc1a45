//! Keys as people write them: `prefix:value`, or a bare host or address.

use crate::{
    derive::{
        company::{self, Github},
        domain, host,
        key::{self, Why},
        name,
        shared::SharedHosts,
        text,
    },
    model::key::{Key, Prefix},
};

/// What stands before a colon is a prefix only up to this many bytes.
const PREFIX_BYTES_MAX: usize = 64;

/// Reads one written key. Its value goes through the rule of its prefix; without a prefix it has to be an address.
pub(crate) fn keys(piece: &str, shared: &SharedHosts) -> Result<Vec<Key>, Why> {
    match prefixed(piece) {
        Some((_, "")) => Err(Why::NoKey),
        Some((prefix, value)) => of_prefix(&prefix, value, shared),
        None => address(piece, shared),
    }
}

fn of_prefix(prefix: &Prefix, value: &str, shared: &SharedHosts) -> Result<Vec<Key>, Why> {
    match prefix {
        Prefix::Domain => address(value, shared),
        Prefix::CompaniesHouse => company::companies_house(value),
        Prefix::Crunchbase => company::crunchbase(value),
        Prefix::Pitchbook => company::pitchbook(value),
        Prefix::GithubOrg => company::github(value)?.keys(),
        Prefix::GithubRepo => match company::github(value)? {
            Github::Name(repo) => Ok(vec![key::make(&Prefix::GithubRepo, &repo)?]),
            found => found.keys(),
        },
        Prefix::NameLoc => name::written(value),
        Prefix::Other(_) => Ok(vec![key::make(prefix, &text::lower(value))?]),
    }
}

fn address(text: &str, shared: &SharedHosts) -> Result<Vec<Key>, Why> {
    if text.contains(char::is_whitespace) { Err(Why::NoKey) } else { domain::keys(text, shared) }
}

/// Parts a key at its first colon; `None` where that belongs to an address (`https://…`, `acme.ai:8080`).
fn prefixed(piece: &str) -> Option<(Prefix, &str)> {
    let (before, behind) = piece.split_once(':')?;
    let (name, value) = (text::lower(before.trim()), behind.trim());
    let is_prefix = name.len() <= PREFIX_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'));
    (is_prefix && !host::is_scheme(&name, value)).then(|| (Prefix::from_name(&name), value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derive::key::KEY_BYTES_MAX;

    fn check(piece: &str, expected: &[&str]) {
        let keys = keys(piece, &SharedHosts::default()).unwrap();
        let given: Vec<&str> = keys.iter().map(Key::as_str).collect();
        assert_eq!(given, expected, "{piece}");
    }

    #[test]
    fn a_value_goes_through_the_rule_of_its_prefix() {
        check("domain:https://www.Acme.ai/", &["domain:acme.ai"]);
        check(" Domain : ACME.AI. ", &["domain:acme.ai"]);
        check("domain:app.acme.com", &["domain:app.acme.com", "domain:acme.com"]);
        check("domain:https://github.com/Acme", &["github_org:acme"]);
        check("companies_house:SC 123456", &["companies_house:sc123456"]);
        check("companies_house:1234567", &["companies_house:1234567", "companies_house:01234567"]);
        check("crunchbase:https://www.crunchbase.com/organization/Acme", &["crunchbase:acme"]);
        check("pitchbook: 12345-67", &["pitchbook:12345-67"]);
        check("github_org:https://github.com/Acme", &["github_org:acme"]);
        check("github_repo:Acme/core", &["github_org:acme", "github_repo:acme/core"]);
        check("github_repo:core", &["github_repo:core"]);
        check("name_loc:Acme Ltd|London", &["name_loc:acme-ltd|london"]);
        check("name_loc:Müller", &["name_loc:m-ller", "name_loc:muller"]);
    }

    #[test]
    fn an_unknown_prefix_is_kept() {
        check("LinkedIn: Acme AI ", &["linkedin:acme ai"]);
        check("my-crm:a:b", &["my-crm:a:b"]);
        check("hubspot:12345", &["hubspot:12345"]);
    }

    #[test]
    fn a_host_or_address_needs_no_prefix() {
        check("acme.ai", &["domain:acme.ai"]);
        check("https://acme.ai", &["domain:acme.ai"]);
        check("HTTP://acme.ai:8080/x", &["domain:acme.ai"]);
        check("acme.ai:8080", &["domain:acme.ai"]);
        check("//acme.ai", &["domain:acme.ai"]);
        check("mailto:jo@acme.ai", &["domain:acme.ai"]);
        check("https://github.com/Acme/core", &["github_org:acme", "github_repo:acme/core"]);
        check("git@github.com:acme/core.git", &["github_org:acme", "github_repo:acme/core"]);
    }

    #[test]
    fn everything_else_says_why_it_is_not_used() {
        let check = |piece: &str, why| assert_eq!(keys(piece, &SharedHosts::default()).unwrap_err(), why, "{piece:?}");
        check("domain:", Why::NoKey);
        check("acme ltd", Why::NoKey);
        check("a b.c", Why::NoKey);
        check("domain:acme.ai (old)", Why::NoKey);
        check("acme", Why::NoHost);
        check(":acme.ai", Why::NoHost);
        check("domain:localhost", Why::NoHost);
        check("10:30", Why::IpAddress);
        check("domain:127.0.0.1", Why::IpAddress);
        check("domain:co.uk", Why::PublicSuffix);
        check("domain:linkedin.com", Why::SharedHost);
        check("companies_house:tbc", Why::NoId);
        check("crunchbase:a b", Why::NoId);
        check("github_org:🚀", Why::NoId);
        check("name_loc:🚀", Why::NoLetter);
        check("name_loc:|london", Why::NoLetter);
        check("x:a\u{7}b", Why::ControlCharacter);
        check(&format!("x:{}", "a".repeat(KEY_BYTES_MAX)), Why::TooLong);
    }
}
