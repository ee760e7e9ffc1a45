//! Web addresses as people write them: which host is meant, and what the path says.

use percent_encoding::percent_decode_str;
use psl::{Psl as _, Type};
use url::{Host, Url};

use crate::derive::{key::Why, text};

/// Host names have at most this many bytes, their labels at most [`LABEL_BYTES_MAX`] (RFC 1035).
const HOST_BYTES_MAX: usize = 253;

/// A label of a host name has at most this many bytes.
const LABEL_BYTES_MAX: usize = 63;

/// A web address that names a host.
#[derive(Debug)]
pub(crate) struct Address {
    /// The host in ASCII and lower case, without trailing dot and leading `www.`.
    pub(crate) host: String,
    /// The rest; `None` where the text is the host and nothing else.
    url: Option<Url>,
}

impl Address {
    /// Reads an address: scheme, user, port, path and query may be there or not, and whatever scheme it has counts as
    /// https. An e-mail address is read as the host behind the `@`.
    pub(crate) fn parse(text: &str) -> Result<Self, Why> {
        if is_plain_host(text) {
            return Ok(Self { host: without_www(text).to_owned(), url: None });
        }
        Self::parse_url(text)
    }

    fn parse_url(text: &str) -> Result<Self, Why> {
        let bare = text.trim_matches(['<', '>', '(', ')', '"', '\'']);
        let url = Url::parse(&format!("https://{}", without_scheme(bare))).map_err(|_refused| Why::NoHost)?;
        let host = match url.host() {
            Some(Host::Domain(domain)) => domain,
            Some(Host::Ipv4(_) | Host::Ipv6(_)) => return Err(Why::IpAddress),
            None => return Err(Why::NoHost),
        };
        let host = host.strip_suffix('.').unwrap_or(host);
        if !is_host(host) {
            return Err(Why::NoHost);
        }
        Ok(Self { host: without_www(host).to_owned(), url: Some(url) })
    }

    /// Returns the segments of the path that say something: decoded, clean, lower case.
    pub(crate) fn segments(&self) -> Vec<String> {
        let segments = self.url.as_ref().and_then(Url::path_segments).into_iter().flatten();
        segments
            .map(|segment| text::lower(&text::clean(&percent_decode_str(segment).decode_utf8_lossy())))
            .filter(|segment| !segment.is_empty())
            .collect()
    }
}

/// Returns whether a host is a suffix under which registries register, such as `co.uk`.
///
/// The private section does not count here: `carrd.co` is on the list for its customers' sake, and is Carrd's own page.
pub(crate) fn is_registry(host: &str) -> bool {
    psl::List
        .suffix(host.as_bytes())
        .is_some_and(|suffix| suffix.typ() != Some(Type::Private) && suffix.as_bytes().len() == host.len())
}

/// Takes off every leading `www.` that does not carry the name: `www.co.uk` and `www.com` are names themselves.
pub(crate) fn without_www(host: &str) -> &str {
    let mut name = host;
    while let Some(rest) = name.strip_prefix("www.") {
        if !rest.contains('.') || is_registry(rest) {
            break;
        }
        name = rest;
    }
    name
}

/// Takes off whatever stands before the authority, also where people wrote it twice.
fn without_scheme(text: &str) -> String {
    let mut rest = text;
    loop {
        let slashes = rest.trim_start_matches(['/', '\\']);
        let next = match slashes.split_once(':') {
            Some((scheme, behind)) if is_scheme(scheme, behind) => behind,
            _ if slashes.len() < rest.len() => slashes,
            _ => break,
        };
        rest = next;
    }
    match rest.strip_prefix("git@").and_then(|path| path.split_once(':')) {
        Some((host, path)) => format!("{host}/{path}"),
        None => rest.to_owned(),
    }
}

/// Returns whether the text before a colon is a scheme, and not a host before its port.
pub(crate) fn is_scheme(before: &str, behind: &str) -> bool {
    let well_formed = before.starts_with(|c: char| c.is_ascii_alphabetic())
        && before.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    let known = ["http", "https", "mailto"].iter().any(|scheme| before.eq_ignore_ascii_case(scheme));
    well_formed && (known || behind.starts_with("//"))
}

/// Returns whether a text is a host that any reading of it as an address leaves as it is: most keys are written so, and
/// that reading costs more than all the rest of their way to a key. It has no label that may be an encoded one, and its
/// last one begins with a letter, so that it is no number and no IP address.
fn is_plain_host(text: &str) -> bool {
    let last = text.rsplit('.').next().unwrap_or_default();
    last.starts_with(|c: char| c.is_ascii_lowercase()) && !text.contains("xn--") && is_host(text)
}

fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
    };
    host.len() <= HOST_BYTES_MAX && host.contains('.') && host.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_host_is_what_a_browser_would_ask() {
        let check = |text: &str, expected: &str| assert_eq!(Address::parse(text).unwrap().host, expected, "{text}");
        for text in [
            "acme.ai",
            "ACME.AI.",
            "www.acme.ai",
            "www.www.acme.ai",
            "//acme.ai",
            "http:acme.ai",
            "https://acme.ai",
            "HTTPS://WWW.Acme.ai/",
            "https:/acme.ai",
            "https:\\\\acme.ai\\x",
            "http://https://acme.ai",
            "acme.ai/path?x#y",
            "acme.ai?x=http://other.com",
            "acme.ai:8080",
            "http://user:pw@acme.ai:8080",
            "jo@acme.ai",
            "mailto:jo@acme.ai?subject=x",
            "ftp://acme.ai/x",
            "<https://acme.ai>",
            "(acme.ai)",
            "acme%2Eai",
            "acme。ai",
            "git@acme.ai:org/repo.git",
            "ssh://git@acme.ai/org/repo",
        ] {
            check(text, "acme.ai");
        }
        check("foo_bar.acme.com", "foo_bar.acme.com");
        check("https://bücher.de", "xn--bcher-kva.de");
        check("https://BÜCHER.de", "xn--bcher-kva.de");
        check("www.co.uk", "www.co.uk");
        check("www.com", "www.com");
        check("www.carrd.co", "carrd.co");
    }

    #[test]
    fn what_names_no_host_says_why() {
        let check = |text: &str, why| assert_eq!(Address::parse(text).unwrap_err(), why, "{text}");
        for text in [
            "",
            ".",
            "..",
            "http://",
            "//",
            "localhost",
            "com",
            "acme",
            "a..b",
            "acme.ai..",
            "-acme.ai",
            "acme-.ai",
            "xn--.com",
            "xn--a.com",
            "a!b.com",
            "🚀",
            "acme ai",
            "a b.c",
            "#acme.ai",
            "?acme.ai",
            "@acme",
            "n/a",
            "acme.ai:port",
        ] {
            check(text, Why::NoHost);
        }
        check(&format!("{}.ai", "a".repeat(64)), Why::NoHost);
        check(&format!("{}ai", "a.".repeat(150)), Why::NoHost);
        check(&"a.".repeat(5_000), Why::NoHost);
        for text in
            ["127.0.0.1", "https://1.2.3.4:80/x", "0x7f.1", "1.2.3.4.", "2130706433", "http://[::1]/", "[2001:db8::1]"]
        {
            check(text, Why::IpAddress);
        }
    }

    #[test]
    fn segments_are_decoded_and_in_lower_case() {
        let address = Address::parse("https://acme.ai//Org%20A/B%C3%A9?x=/y").unwrap();
        assert_eq!(address.segments(), ["org a", "bé"]);
    }

    proptest! {
        #[test]
        fn a_plain_host_is_read_as_any_address_is(
            text in prop_oneof![
                "[a-z0-9_-]{1,5}(\\.[a-z0-9_-]{1,5}){0,3}",
                "(www\\.|xn--|0x|[0-9]{1,3}\\.|-|_){0,3}[a-z0-9.:/A-Zé。-]{0,8}\\.(com|co\\.uk|ai|1|x1|0x1f|a-|c_)",
                "[a-z]{60,66}\\.[a-z]{1,3}",
                "([a-z]{30}\\.){7,9}[a-z]{1,30}",
                "\\PC{0,6}",
            ],
        ) {
            let said = |address: Result<Address, Why>| address.map(|address| (address.host.clone(), address.segments()));
            prop_assert_eq!(said(Address::parse(&text)), said(Address::parse_url(&text)));
        }
    }

    #[test]
    fn most_hosts_are_plain() {
        for host in ["acme.ai", "www.acme.co.uk", "app.acme-1.com", "foo_bar.acme.com", "4.acme.com"] {
            assert!(is_plain_host(host), "{host}");
        }
        for other in
            ["acme", "acme.1", "1.2.3.4", "a.0x1f", "xn--bcher-kva.de", "Acme.ai", "acme.ai.", "a..b", "acme.ai/"]
        {
            assert!(!is_plain_host(other), "{other}");
        }
    }
}
