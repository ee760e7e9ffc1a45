//! The public address: sends one signed event the way that Notion's take, and says where on it it broke.
//!
//! The event is of a kind that Notion does not have, so that it is kept and asks for nothing. It is written so that
//! whoever reads the JSON and writes it anew changes its bytes.

use std::{error::Error as StdError, io::ErrorKind, net::IpAddr, time::Duration};

use reqwest::{
    StatusCode,
    header::{LOCATION, WWW_AUTHENTICATE},
    redirect,
};
use serde_json::Value as Json;
use tokio::{net::lookup_host, time::sleep};
use url::Url;
use uuid::Uuid;

use crate::{
    app::doctor::check::{Check, Group},
    causes::told,
    clock::Clock,
    config::Config,
    notion::signature::{VerificationToken, sign},
    store::{EventFilter, Store as _, StoreError, sqlite::SqliteStore},
};

/// The kind of the event.
pub(super) const KIND: &str = "suppressd.doctor";

const GROUP: Group = Group::Webhook;

/// The path behind which deliveries are received.
const PATH: &str = "/webhooks/notion";

/// One request may take this long.
const TIMEOUT: Duration = Duration::from_secs(15);

/// An event that was acknowledged is in the inbox; it is looked for this often, a little apart.
const LOOKS: u32 = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// Among so many of the newest events it is looked for.
const EVENTS_MAX: u32 = 500;

/// Tries the address.
pub(super) async fn checks(
    config: &Config,
    address: &str,
    (token, offline): (Option<&VerificationToken>, bool),
    clock: &Clock,
) -> Vec<Check> {
    let url = match webhook_url(address) {
        Ok(url) => url,
        Err(check) => return vec![check],
    };
    if offline {
        return vec![GROUP.skipped("public address", "not tried, because of --offline")];
    }
    let mut checks = vec![name_check(&url).await];
    checks.push(match token {
        Some(token) => deliver(config, &url, token, clock).await,
        None => GROUP.skipped("delivery", "there is no token to sign an event with"),
    });
    checks
}

/// Reads the address that somebody gave, with or without the path.
fn webhook_url(address: &str) -> Result<Url, Check> {
    let wrong = |why: String| {
        GROUP.failed("public address", why, "give the address as in Notion: --public-url https://hooks.example.com")
    };
    // What somebody wrote may hold a password, so that it is not repeated.
    let mut url = Url::parse(address.trim()).map_err(|e| wrong(format!("it is no address: {e}")))?;
    if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none() {
        return Err(wrong("it is no web address".to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("it holds a user or password, which Notion cannot be told".to_owned()));
    }
    if !url.path().ends_with(PATH) {
        let path = format!("{}{PATH}", url.path().trim_end_matches('/'));
        url.set_path(&path);
    }
    Ok(url)
}

/// Writes an address without what may be a secret: a user, a password, what is asked after the path.
fn shown(url: &Url) -> String {
    let told = url.host_str().map(|host| {
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{host}{port}{}", url.scheme(), url.path())
    });
    told.unwrap_or_else(|| format!("an address of {}", url.scheme()))
}

/// Looks the name up, and whether Notion could use it.
async fn name_check(url: &Url) -> Check {
    let name = "public address";
    let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(443));
    let found = match lookup_host((host.trim_matches(['[', ']']), port)).await {
        Ok(addresses) => addresses.map(|address| address.ip()).collect::<Vec<_>>(),
        Err(error) => {
            let fix = "add a DNS record for it that points to this machine or its proxy";
            return GROUP.failed(name, format!("the name {host} is not found: {error}"), fix);
        }
    };
    let addresses = found.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let shown = if addresses == host { addresses } else { format!("{host} is {addresses}") };
    if found.is_empty() || found.iter().all(|address| is_private(*address)) {
        return GROUP.warning(
            name,
            format!("{shown}: only this network can reach that"),
            "Notion needs a public address: look the name up from elsewhere",
        );
    }
    if url.scheme() != "https" {
        let fix = "put a proxy with a certificate before it, and give Notion the https address";
        return GROUP.warning(name, format!("{shown}, but Notion sends to https only"), fix);
    }
    GROUP.well(name, shown)
}

const fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_unspecified(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_unspecified(),
    }
}

/// An event of ours.
struct Probe {
    id: String,
    body: String,
    signature: String,
}

impl Probe {
    fn new(token: &VerificationToken, clock: &Clock) -> Self {
        let id = format!("doctor-{}", Uuid::new_v4());
        let (kind, at) = (Json::from(KIND), Json::from(clock.now().to_rfc3339()));
        // Blanks, an escape, a letter beyond ASCII, the order of the fields: nobody who writes it anew keeps them all.
        let body = format!(
            "{{ \"type\":{kind},  \"id\":\"{id}\", \"timestamp\": {at},\n \"note\": \"caf\\u00e9 ≠ caf\u{e9} \\/\", \
             \"figure\": 1.0, \"attempt_number\": 1 }}"
        );
        let signature = sign(body.as_bytes(), token);
        Self { id, body, signature }
    }

    async fn post(&self, client: &reqwest::Client, url: &Url) -> Result<reqwest::Response, reqwest::Error> {
        let request = client.post(url.clone()).header("content-type", "application/json; charset=utf-8");
        request.header("x-notion-signature", &self.signature).body(self.body.clone()).send().await
    }

    /// Returns whether it is in the inbox, waiting a moment for it.
    async fn has_come(&self, config: &Config) -> Result<bool, StoreError> {
        let store = SqliteStore::open_for_reading(&config.db_path)?;
        for look in 0..LOOKS {
            if look > 0 {
                sleep(BETWEEN_LOOKS).await;
            }
            let events = store.read(|rows| rows.events(EventFilter::All, EVENTS_MAX)).await?;
            if events.iter().any(|event| event.event_id == self.id) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

async fn deliver(config: &Config, url: &Url, token: &VerificationToken, clock: &Clock) -> Check {
    let name = "delivery";
    let client = match client().build() {
        Ok(client) => client,
        Err(error) => return GROUP.failed(name, told(&error), "has this machine certificates to trust?"),
    };
    let probe = Probe::new(token, clock);
    let response = match probe.post(&client, url).await {
        Ok(response) => response,
        Err(error) => return unanswered(url, error),
    };
    let shown = shown(url);
    match response.status() {
        StatusCode::OK => match probe.has_come(config).await {
            Ok(true) => {
                GROUP.well(name, format!("an event sent to {shown} came whole, was verified, and is in the inbox"))
            }
            Ok(false) => GROUP.failed(
                name,
                format!("{shown} answers 200, but the event is not in {}", config.db_path.display()),
                "another suppressd, or another server, answers there: let the proxy forward to this one, or use its \
                 --db-path here",
            ),
            Err(error) => {
                let fix = "mend the database first, as said above";
                GROUP.warning(
                    name,
                    format!("{shown} answers 200; whether the event came is not known: {}", told(&error)),
                    fix,
                )
            }
        },
        StatusCode::UNAUTHORIZED => {
            let asks = response.headers().contains_key(WWW_AUTHENTICATE);
            let fix = "let the proxy forward the webhook without a password: the signature is what protects it";
            if asks {
                return GROUP.failed(name, format!("{shown} asks for a user and password, which Notion has not"), fix);
            }
            refused(config, url, &probe).await
        }
        status => by_status(url, status, response.headers().get(LOCATION).and_then(|to| to.to_str().ok())),
    }
}

fn client() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("suppressd-doctor/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .timeout(TIMEOUT)
}

/// Finds out who refuses the signature, by sending the same event past the proxy.
async fn refused(config: &Config, url: &Url, probe: &Probe) -> Check {
    let (name, url) = ("delivery", shown(url));
    let mut listens = config.serve.listen;
    if listens.ip().is_unspecified() {
        listens.set_ip(if listens.is_ipv4() {
            [127, 0, 0, 1].into()
        } else {
            IpAddr::from([0_u16, 0, 0, 0, 0, 0, 0, 1])
        });
    }
    let past = match (Url::parse(&format!("http://{listens}{PATH}")), client().no_proxy().build()) {
        (Ok(past), Ok(client)) => probe.post(&client, &past).await.ok(),
        _ => None,
    };
    match past.map(|response| response.status()) {
        Some(StatusCode::OK) => GROUP.failed(
            name,
            format!("{url} answers 401, and the serve at {listens} takes the same event: it changes on the way"),
            "let the proxy forward the body byte by byte, and the header X-Notion-Signature as it is",
        ),
        Some(StatusCode::UNAUTHORIZED) => GROUP.failed(
            name,
            format!("{url} answers 401, and so does the serve at {listens}: it verifies with another token"),
            "start `serve` anew with the token of these settings, or run this with those of `serve`",
        ),
        _ => GROUP.failed(
            name,
            format!("{url} answers 401, and at {listens} nothing answers that could be compared with it"),
            "either the proxy changes the body or drops X-Notion-Signature, or the suppressd behind it has another token",
        ),
    }
}

fn by_status(url: &Url, status: StatusCode, location: Option<&str>) -> Check {
    let found = format!("{} answers {status}", shown(url));
    let fix = match status.as_u16() {
        300..=399 => {
            let to =
                location.and_then(|to| url.join(to).ok()).map(|to| format!(" ({})", shown(&to))).unwrap_or_default();
            return GROUP.failed("delivery", format!("{found} and sends elsewhere{to}"), "give the final address");
        }
        404 | 405 => "let the proxy forward POST /webhooks/notion to the public address of `serve`, with its path",
        413 => "let the proxy take bodies of 1 MiB",
        403 => "let the proxy, or a firewall before it, take requests that are no browser's",
        500 | 502 | 504 => "is `serve` running, and does the proxy forward to its public address?",
        503 => "is `serve` running, and has it room to write? `suppressd status` and its log tell",
        _ => "is that the address of suppressd? Look at the log of the proxy",
    };
    GROUP.failed("delivery", found, fix)
}

/// Tells apart why nothing answered.
fn unanswered(url: &Url, error: reqwest::Error) -> Check {
    let (name, url) = ("delivery", shown(url));
    let is_refused = is_refused(&error);
    let why = told(&error.without_url());
    let lower = why.to_lowercase();
    if ["corrupt message", "handshake eof"].iter().any(|word| lower.contains(word)) {
        let fix = "put a proxy with a certificate there, or name the port where it listens: Notion sends to https only";
        return GROUP.failed(name, format!("no TLS answers at {url}: {why}"), fix);
    }
    if ["certificate", "tls", "handshake"].iter().any(|word| lower.contains(word)) {
        let fix = "renew the certificate, for this very name and with its whole chain: Notion trusts no other";
        return GROUP.failed(name, format!("{url} is not trusted: {why}"), fix);
    }
    if is_refused {
        let fix = "start the proxy, and open its port";
        return GROUP.failed(name, format!("nothing listens at {url}: {why}"), fix);
    }
    GROUP.failed(
        name,
        format!("{url} does not answer: {why}"),
        "is the proxy there, and does a firewall let this through?",
    )
}

fn is_refused(error: &(dyn StdError + 'static)) -> bool {
    let here: Option<&std::io::Error> = error.downcast_ref();
    here.is_some_and(|error| error.kind() == ErrorKind::ConnectionRefused) || error.source().is_some_and(is_refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        app::doctor::check::State,
        notion::payload::{self, Delivery},
    };

    #[test]
    fn an_address_is_taken_with_and_without_its_path() {
        for (given, used) in [
            ("https://hooks.example.com", "https://hooks.example.com/webhooks/notion"),
            ("https://hooks.example.com/", "https://hooks.example.com/webhooks/notion"),
            (" https://example.com/crm/ ", "https://example.com/crm/webhooks/notion"),
            ("https://hooks.example.com/webhooks/notion", "https://hooks.example.com/webhooks/notion"),
        ] {
            assert_eq!(webhook_url(given).unwrap().as_str(), used);
        }
        for wrong in ["hooks.example.com", "ftp://example.com", "https://user:hunter2@example.com", ""] {
            let check = webhook_url(wrong).unwrap_err();
            assert_eq!(check.state, State::Failed);
            assert!(!check.found.contains("hunter2"), "{check:?}");
        }
    }

    #[test]
    fn the_event_asks_for_nothing_and_does_not_survive_being_written_anew() {
        let probe = Probe::new(&VerificationToken::new("secret_one").unwrap(), &Clock::system());
        let Delivery::Event(event) = payload::read(probe.body.as_bytes()) else { panic!("{}", probe.body) };
        assert_eq!((event.id, event.kind.name(), event.subject), (probe.id, KIND, None));
        let anew: Json = serde_json::from_str(&probe.body).unwrap();
        assert_ne!(anew.to_string(), probe.body);
    }

    #[test]
    fn what_may_be_a_secret_in_an_address_is_not_told() {
        let url = webhook_url("https://hooks.example.com:8443/crm?key=hunter2#hunter2").unwrap();
        for (to, told) in [
            ("https://user:hunter2@elsewhere.example/in?token=hunter2", "(https://elsewhere.example/in)"),
            ("//hunter2@elsewhere.example/", "(https://elsewhere.example/)"),
            ("/login?next=hunter2", "(https://hooks.example.com:8443/login)"),
            ("mailto:hunter2@example.com", "(an address of mailto)"),
        ] {
            let found = by_status(&url, StatusCode::FOUND, Some(to)).found;
            assert!(found.starts_with("https://hooks.example.com:8443/crm/webhooks/notion answers 302"), "{found}");
            assert!(found.contains(told) && !found.contains("hunter2"), "{found}");
        }
    }

    #[test]
    fn each_way_in_which_a_proxy_fails_has_its_fix() {
        let url = webhook_url("https://hooks.example.com").unwrap();
        for (status, told) in
            [(404, "forward POST"), (302, "final address"), (502, "is `serve` running"), (413, "1 MiB")]
        {
            let check = by_status(&url, StatusCode::from_u16(status).unwrap(), Some("https://elsewhere.example"));
            assert!(check.fix.as_ref().unwrap().contains(told), "{check:?}");
            assert!(check.found.contains(&status.to_string()), "{check:?}");
        }
    }
}
