//! From the text of a setting to its value, or to what is wrong with it.

use std::{net::SocketAddr, path::PathBuf};

use chrono::NaiveTime;
use chrono_tz::Tz;
use tracing_subscriber::EnvFilter;
use url::{Host, Url};
use uuid::Uuid;

use crate::{
    config::problem::{Fault, quote},
    model::id::PageId,
};

/// The versions of Notion's API whose answers the program reads.
const VERSIONS: [&str; 2] = ["2025-09-03", "2026-03-11"];

/// A source's name stands in metrics and logs.
const SOURCE_NAME_CHARS_MAX: usize = 64;

/// Names of series bear it.
const PREFIX_CHARS_MAX: usize = 100;

/// Takes any text but blanks.
pub(crate) fn nonblank(text: &str) -> Result<String, Fault> {
    match text.trim() {
        "" => Err(Fault::new("is empty", "leave it out, or say something")),
        text => Ok(text.to_owned()),
    }
}

/// Reads a path; relative ones count from the working directory.
pub(crate) fn path(text: &str) -> Result<PathBuf, Fault> {
    nonblank(text).map(PathBuf::from)
}

/// Checks the directives of a log filter.
pub(crate) fn log_filter(text: &str) -> Result<String, Fault> {
    match EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(Fault::new(
            format!("cannot be read ({error})"),
            "write error, warn, info, debug or trace, or directives such as `info,suppressd=debug`",
        )),
    }
}

/// Reads an address to listen on.
pub(crate) fn socket(text: &str) -> Result<SocketAddr, Fault> {
    text.trim().parse().map_err(|_not_a_socket: std::net::AddrParseError| {
        Fault::new(format!("is {}", quote(text)), "write an IP address and a port, such as 127.0.0.1:8080 or [::]:8080")
    })
}

/// Reads who brings the WAL home: whether somebody else does.
pub(crate) fn checkpoints_left(text: &str) -> Result<bool, Fault> {
    match text.trim() {
        "own" => Ok(false),
        "litestream" => Ok(true),
        text => Err(Fault::new(format!("is {}", quote(text)), "write own, or litestream")),
    }
}

/// Reads a time of the day, or that there is none.
pub(crate) fn daily(text: &str) -> Result<Option<NaiveTime>, Fault> {
    match text.trim() {
        "off" => Ok(None),
        text => NaiveTime::parse_from_str(text, "%H:%M").map(Some).map_err(|_no_time| {
            Fault::new(format!("is {}", quote(text)), "write hours and minutes such as 03:00, or off")
        }),
    }
}

/// Reads a time zone; `None` for that of this machine.
pub(crate) fn zone(text: &str) -> Result<Option<Tz>, Fault> {
    match text.trim() {
        "local" => Ok(None),
        text => text.parse().map(Some).map_err(|_unknown: chrono_tz::ParseError| {
            Fault::new(format!("is {}", quote(text)), "write a zone such as Europe/London or UTC, or local")
        }),
    }
}

/// Reads one of the versions of Notion's API that the program knows.
pub(crate) fn version(text: &str) -> Result<&'static str, Fault> {
    VERSIONS
        .into_iter()
        .find(|version| *version == text)
        .ok_or_else(|| Fault::new(format!("is {}", quote(text)), format!("write {}", VERSIONS.join(" or "))))
}

/// Reads where Notion's API is. A token never travels in the clear beyond this machine.
pub(crate) fn base_url(text: &str) -> Result<Url, Fault> {
    let url = Url::parse(text.trim())
        .map_err(|error| Fault::new(format!("is no URL ({error})"), "write one such as https://api.notion.com"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Fault::new("has a user or a password", "leave them out: the token alone identifies the caller"));
    }
    // Never repeated: people pass tokens there.
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Fault::new("has a query or a fragment", "leave out `?` and `#` and what follows"));
    }
    if url.path().trim_end_matches('/').ends_with("/v1") {
        return Err(Fault::new(
            format!("is {}", quote(text)),
            "leave out `/v1` and what follows: the program appends the rest of the path itself",
        ));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if url.host().is_some_and(|host| is_loopback(&host)) => Ok(url),
        "http" => {
            Err(Fault::new("would send the token in the clear", "write https://, or name a host on this machine"))
        }
        _ => Err(Fault::new(format!("is {}", quote(text)), "write a URL that starts with https://")),
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

/// Reads the id of a database or data source: plain, with dashes, or at the end of a URL's path, behind the title.
pub(crate) fn table_id(text: &str) -> Result<Uuid, Fault> {
    let text = text.trim();
    id(text).or_else(|| Url::parse(text).ok().and_then(|url| id_in_path(&url))).ok_or_else(|| {
        Fault::new(
            format!("is {}", quote(text)),
            "write the 32 hexadecimal digits of the id, with or without dashes, or the URL that Notion shows for it",
        )
    })
}

fn id_in_path(url: &Url) -> Option<Uuid> {
    let last = url.path_segments()?.rfind(|segment| !segment.is_empty())?;
    let dashed = last.len().checked_sub(36).and_then(|start| last.get(start..));
    let plain = last.rsplit('-').next();
    [dashed, plain].into_iter().flatten().find_map(id)
}

fn id(text: &str) -> Option<Uuid> {
    text.parse::<PageId>().ok().map(PageId::uuid)
}

/// Reads a host name without anything around it.
pub(crate) fn host(text: &str) -> Result<String, Fault> {
    let host = text.trim().to_lowercase();
    let plain = host.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '.');
    if plain && host.contains('.') && !host.starts_with('.') && !host.ends_with('.') {
        Ok(host)
    } else {
        Err(Fault::new(format!("has {}", quote(text)), "write plain host names, such as linktr.ee"))
    }
}

/// Reads a host, by name or address, and a port.
pub(crate) fn host_port(text: &str) -> Result<(String, u16), Fault> {
    let fault = || Fault::new(format!("is {}", quote(text)), "write a host and a port, such as 127.0.0.1:8125");
    let (host, port) = text.trim().rsplit_once(':').ok_or_else(fault)?;
    let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(fault)?;
    match Host::parse(host) {
        Ok(Host::Ipv6(address)) => Ok((address.to_string(), port)),
        Ok(host) => Ok((host.to_string(), port)),
        Err(_) => Err(fault()),
    }
}

/// Reads what stands before the names of series at StatsD.
pub(crate) fn statsd_prefix(text: &str) -> Result<String, Fault> {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    let (starts, ends) = (text.starts_with('.'), text.ends_with('.'));
    if plain && !starts && !ends && (1..=PREFIX_CHARS_MAX).contains(&text.len()) {
        Ok(text.to_owned())
    } else {
        Err(Fault::new(
            format!("is {}", quote(text)),
            format!(
                "write up to {PREFIX_CHARS_MAX} letters, digits, `_`, `-`, and `.` in between, such as crm.suppressd"
            ),
        ))
    }
}

/// Reads the name of a source.
pub(crate) fn source_name(text: &str) -> Result<String, Fault> {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if plain && (1..=SOURCE_NAME_CHARS_MAX).contains(&text.len()) {
        Ok(text.to_owned())
    } else {
        Err(Fault::new(
            format!("is {}", quote(text)),
            format!("write up to {SOURCE_NAME_CHARS_MAX} letters, digits, `-` and `_`"),
        ))
    }
}

/// Reads the **name** of an environment variable that holds a token.
pub(crate) fn variable_name(text: &str) -> Result<String, Fault> {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let is_token = ["ntn_", "secret_"].iter().any(|mark| text.contains(mark));
    if plain && !is_token && text.starts_with(|c: char| !c.is_ascii_digit()) {
        Ok(text.to_owned())
    } else {
        Err(Fault::new(
            "is not the name of an environment variable",
            "write the name of the variable that holds the token, such as CRM_EU_TOKEN, never the token",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_a_port_and_a_prefix_is_plain() {
        assert_eq!(host_port(" statsd.internal:8125 "), Ok(("statsd.internal".to_owned(), 8125)));
        assert_eq!(host_port("[::1]:9"), Ok(("::1".to_owned(), 9)));
        for text in ["", "8125", "localhost", "localhost:", "localhost:0", "localhost:70000", ":8125", "a b:1", "::1:9"]
        {
            assert!(host_port(text).is_err(), "{text}");
        }
        assert_eq!(statsd_prefix("crm.suppressd"), Ok("crm.suppressd".to_owned()));
        for text in ["", ".a", "a.", "a b", "a:b", "a|c"] {
            assert!(statsd_prefix(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_table_is_found_in_every_form_in_which_notion_names_it() {
        let id: Uuid = "3296958a07b853eeb6a8a1cc71849e2b".parse().unwrap();
        for text in [
            "3296958a07b853eeb6a8a1cc71849e2b",
            " 3296958a-07b8-53ee-b6a8-a1cc71849e2b ",
            "https://www.notion.so/3296958a07b853eeb6a8a1cc71849e2b",
            "https://www.notion.so/acme/3296958a07b853eeb6a8a1cc71849e2b?v=d0f0104cd477e809d8dc4ff2d96ae3090",
            "https://www.notion.so/acme/Deal-Flow-3296958a07b853eeb6a8a1cc71849e2b?v=1&pvs=4#top",
            "https://app.notion.com/p/Deal-Flow-3296958a-07b8-53ee-b6a8-a1cc71849e2b/",
            "https://acme.notion.site/Caf%C3%A9-3296958A07B853EEB6A8A1CC71849E2B",
        ] {
            assert_eq!(table_id(text), Ok(id), "{text}");
        }
        for text in
            ["", "crm", "https://www.notion.so/", "https://www.notion.so/Deal-Flow", "mailto:a@b.c", "Ünïcödé-id"]
        {
            assert!(table_id(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_token_travels_encrypted_or_not_beyond_this_machine() {
        for url in [
            "https://api.notion.com",
            "https://proxy.example/notion/",
            "http://localhost:9000",
            "http://127.0.0.9:1",
            "http://[::1]:9000",
        ] {
            assert!(base_url(url).is_ok(), "{url}");
        }
        for url in [
            "http://api.notion.com",
            "http://10.0.0.1",
            "http://localhost.example.com",
            "ftp://api.notion.com",
            "api.notion.com",
            "https://user:pass@api.notion.com",
            "https://api.notion.com/v1",
            "https://api.notion.com/v1/",
            "https://api.notion.com/?key=1",
        ] {
            assert!(base_url(url).is_err(), "{url}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_url_never_repeats_what_may_be_a_secret() {
        for url in [
            "https://user:hunter2@api.notion.com",
            "https://api.notion.com?token=hunter2",
            "https://api.notion.com/v1?token=hunter2",
            "https://api.notion.com/#hunter2",
            "ftp://api.notion.com/?token=hunter2",
            "mailto:a@example.com?token=hunter2",
            "api.notion.com?token=hunter2",
        ] {
            let fault = base_url(url).unwrap_err();
            assert!(!format!("{fault:?}").contains("hunter2"), "{fault:?}");
        }
    }

    #[test]
    fn a_token_in_the_place_of_a_variable_is_refused_unseen() {
        for text in ["ntn_1234567890", "secret_abc", "", "A-B", "1A", "A B"] {
            let fault = variable_name(text).unwrap_err();
            assert!(text.is_empty() || !format!("{fault:?}").contains(text), "{text}");
        }
        assert_eq!(variable_name("CRM_TOKEN"), Ok("CRM_TOKEN".to_owned()));
    }

    #[test]
    fn hosts_are_plain_names_with_a_dot() {
        assert_eq!(host(" Linktr.ee "), Ok("linktr.ee".to_owned()));
        for text in ["", "localhost", "https://linktr.ee", "linktr.ee/acme", ".ee", "linktr.ee."] {
            assert!(host(text).is_err(), "{text}");
        }
    }

    #[test]
    fn log_filters_are_checked() {
        for text in ["info", "warn,suppressd::notion=trace"] {
            assert!(log_filter(text).is_ok(), "{text}");
        }
        assert!(log_filter("suppressd=loud").is_err());
    }
}
