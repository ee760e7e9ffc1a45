//! The domains that an address claims, or what else it says where its host is nobody's own.
//!
//! A host claims itself and the registrable domain above it, each in Unicode and in ASCII where these differ. A suffix
//! under which registries register claims nothing. One of the private section of the Public Suffix List claims itself
//! and is never claimed from below: nobody but its owner gives it as a website (`carrd.co`), unless it is shared
//! (`github.io`).

use crate::{
    derive::{
        company,
        host::{Address, is_registry, without_www},
        key::{self, Why},
        shared::{Owner, SharedHosts},
    },
    model::key::{Key, Prefix},
};

/// Returns the keys of one address.
pub(crate) fn keys(text: &str, shared: &SharedHosts) -> Result<Vec<Key>, Why> {
    let address = Address::parse(text)?;
    let host = address.host.as_str();
    let above = match shared.owner(host) {
        Owner::Shared => return company::of_address(&address).ok_or(Why::SharedHost),
        _ if is_registry(host) => return Err(Why::PublicSuffix),
        // The public list may know of tenants further down: `s3.amazonaws.com` is no site.
        Owner::Tenant(site) => psl::domain_str(host).map(|known| if known.len() > site.len() { known } else { site }),
        Owner::Registrant => psl::domain_str(host),
    };
    // A name that would lose its `www.` when it is read again is not canonical.
    let above = above.filter(|above| *above != host && without_www(above) == *above);
    let mut keys = Vec::new();
    for host in [Some(host), above].into_iter().flatten() {
        keys.push(key::make(&Prefix::Domain, host)?);
        if let Some(unicode) = in_unicode(host) {
            keys.push(key::make(&Prefix::Domain, &unicode)?);
        }
    }
    Ok(keys)
}

/// Parts the text of a website property into addresses: at blanks, and at commas and semicolons outside of paths.
pub(crate) fn addresses(text: &str) -> Vec<&str> {
    let mut addresses = Vec::new();
    for word in text.split_whitespace() {
        let mut in_path = false;
        for piece in word.split([',', ';']) {
            if in_path && !(piece.contains("://") || piece.starts_with("www.")) {
                continue;
            }
            in_path = has_path(piece);
            addresses.push(piece);
        }
    }
    addresses.retain(|address| address.contains(char::is_alphanumeric));
    addresses
}

fn has_path(address: &str) -> bool {
    let authority = address.split_once("://").map_or(address, |(_, behind)| behind);
    authority.split_once(['/', '?', '#']).is_some_and(|(_, path)| !path.is_empty())
}

/// Returns an ASCII host in Unicode, where that is another and is read as the same host.
fn in_unicode(host: &str) -> Option<String> {
    // The mark of an encoded label; without one, Unicode is the same.
    if !host.contains("xn--") {
        return None;
    }
    let (unicode, outcome) = idna::domain_to_unicode(host);
    let same = outcome.is_ok() && unicode != host && Address::parse(&unicode).is_ok_and(|read| read.host == host);
    same.then_some(unicode)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let keys = keys(text, &SharedHosts::default()).unwrap();
        let given: Vec<&str> = keys.iter().map(Key::as_str).collect();
        assert_eq!(given, expected, "{text}");
    }

    #[test]
    fn a_host_claims_itself_and_its_registrable_domain() {
        check("acme.ai", &["domain:acme.ai"]);
        check("https://www.Acme.ai/about", &["domain:acme.ai"]);
        check("app.acme.com", &["domain:app.acme.com", "domain:acme.com"]);
        check("www.app.acme.co.uk", &["domain:app.acme.co.uk", "domain:acme.co.uk"]);
        check("a.b.acme.com", &["domain:a.b.acme.com", "domain:acme.com"]);
        check("crm.acme.internal", &["domain:crm.acme.internal", "domain:acme.internal"]);
        check("foo_bar.acme.com", &["domain:foo_bar.acme.com", "domain:acme.com"]);
        check("www.co.uk", &["domain:www.co.uk"]);
        check("a.www.co.uk", &["domain:a.www.co.uk", "domain:www.co.uk"]);
    }

    #[test]
    fn a_tenant_claims_itself_and_never_the_host_that_all_tenants_share() {
        check("acme.github.io", &["domain:acme.github.io"]);
        check("docs.acme.github.io", &["domain:docs.acme.github.io", "domain:acme.github.io"]);
        check("acme.notion.site/About-us", &["domain:acme.notion.site"]);
        check("acme.substack.com", &["domain:acme.substack.com"]);
        check("acme.medium.com", &["domain:acme.medium.com"]);
        check("acme.squarespace.com", &["domain:acme.squarespace.com"]);
        check("shop.acme.myshopify.com", &["domain:shop.acme.myshopify.com", "domain:acme.myshopify.com"]);
        check("acme.my.canva.site", &["domain:acme.my.canva.site"]);
        check("x.acme.s3.amazonaws.com", &["domain:x.acme.s3.amazonaws.com", "domain:acme.s3.amazonaws.com"]);
        check("s3.amazonaws.com", &["domain:s3.amazonaws.com"]);
        check("a.www.github.io", &["domain:a.www.github.io"]);
    }

    #[test]
    fn the_owner_of_a_private_suffix_claims_it() {
        check("https://carrd.co/", &["domain:carrd.co"]);
        check("acme.carrd.co", &["domain:acme.carrd.co"]);
        check("www.squarespace.com", &["domain:squarespace.com"]);
    }

    #[test]
    fn internationalised_hosts_claim_both_forms() {
        check("bücher.de", &["domain:xn--bcher-kva.de", "domain:bücher.de"]);
        check("XN--BCHER-KVA.de", &["domain:xn--bcher-kva.de", "domain:bücher.de"]);
        check("bu\u{308}cher.de", &["domain:xn--bcher-kva.de", "domain:bücher.de"]);
        check(
            "shop.食狮.公司.cn",
            &[
                "domain:shop.xn--85x722f.xn--55qx5d.cn",
                "domain:shop.食狮.公司.cn",
                "domain:xn--85x722f.xn--55qx5d.cn",
                "domain:食狮.公司.cn",
            ],
        );
    }

    #[test]
    fn a_shared_host_gives_what_its_address_says_and_no_domain() {
        check("https://github.com/Acme", &["github_org:acme"]);
        check("https://github.com/Acme/core", &["github_org:acme", "github_repo:acme/core"]);
        check("www.crunchbase.com/organization/Acme?x=y", &["crunchbase:acme"]);
        check("https://pitchbook.com/profiles/company/12345-67", &["pitchbook:12345-67"]);
        check(
            "https://find-and-update.company-information.service.gov.uk/company/00012345/officers",
            &["companies_house:00012345"],
        );
    }

    #[test]
    fn what_claims_nothing_says_why() {
        let check = |text: &str, why| assert_eq!(keys(text, &SharedHosts::default()).unwrap_err(), why, "{text}");
        for text in [
            "linkedin.com",
            "https://www.linkedin.com/company/acme",
            "uk.linkedin.com/company/acme",
            "github.io",
            "www.github.io",
            "medium.com/@acme",
            "https://github.com",
            "https://github.com/features/actions",
            "https://www.crunchbase.com/person/jo",
            "jo@gmail.com",
            "youtu.be/x",
        ] {
            check(text, Why::SharedHost);
        }
        for text in ["co.uk", "https://com.au/x", "公司.cn", "xn--55qx5d.cn", "foo.ck"] {
            check(text, Why::PublicSuffix);
        }
    }

    #[test]
    fn a_website_may_name_several_addresses() {
        let check = |text, expected: &[&str]| assert_eq!(addresses(text), expected, "{text}");
        check("acme.ai", &["acme.ai"]);
        check("acme.ai, acme.com;acme.de\nacme.fr", &["acme.ai", "acme.com", "acme.de", "acme.fr"]);
        check("https://acme.ai/,acme.com", &["https://acme.ai/", "acme.com"]);
        check("https://acme.ai/?ids=a.com,b.com", &["https://acme.ai/?ids=a.com"]);
        check("https://acme.ai/x,https://acme.com", &["https://acme.ai/x", "https://acme.com"]);
        check("acme.ai / acme.com", &["acme.ai", "acme.com"]);
        check(" , ; ", &[]);
    }
}
