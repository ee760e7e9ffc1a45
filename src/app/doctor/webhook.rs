//! Deliveries: the token that signs them, whether they come, and whether they are worked on.

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    app::{
        doctor::{
            check::{Check, Group},
            known::Known,
        },
        token_file,
    },
    causes::told,
    config::{Config, Subscription},
    duration,
    intake::token_file::TokenFileError,
    notion::signature::VerificationToken,
};

const GROUP: Group = Group::Webhook;

/// Events that wait for longer than this wait for something that does not come by itself.
const WAITS_SECONDS_MAX: i64 = 600;

/// Finds the tokens that sign deliveries, one for each subscription.
pub(super) fn tokens(config: &Config) -> (Vec<Check>, Option<VerificationToken>) {
    let all = config.usable_verification_tokens();
    let name = |subscription: &Subscription| match all.len() {
        0 | 1 => "token".to_owned(),
        _ => format!("token of {}", subscription.sources.join(", ")),
    };
    let found = all.iter().map(|(subscription, configured)| token(&name(subscription), subscription, configured));
    let (checks, tokens): (Vec<_>, Vec<_>) = found.unzip();
    (checks, tokens.into_iter().flatten().next())
}

fn token(name: &str, subscription: &Subscription, configured: &[SecretString]) -> (Check, Option<VerificationToken>) {
    if let Some(first) = configured.first() {
        return match VerificationToken::new(first.expose_secret()) {
            Ok(token) => {
                let count = if configured.len() > 1 { " (two of them)" } else { "" };
                (GROUP.well(name, format!("configured{count}")), Some(token))
            }
            Err(error) => {
                let fix = format!("set {} to what Notion sent, or unset it", subscription.variable);
                (GROUP.failed(name, told(&error), fix), None)
            }
        };
    }
    if subscription.is_configured {
        return (GROUP.skipped(name, "the configured one cannot be read, as said above"), None);
    }
    let file = token_file(subscription);
    let path = file.path().display().to_string();
    match file.read() {
        Ok(Some(token)) => {
            (GROUP.well(name, format!("stored in {path}, where only its owner can read it")), Some(token))
        }
        Ok(None) => (
            GROUP.warning(
                name,
                format!("none is configured, and none is stored in {path}: no delivery can be verified"),
                "start `suppressd serve`, create the subscription in Notion, then `suppressd handshake --show`",
            ),
            None,
        ),
        Err(error @ TokenFileError::Exposed { .. }) => (
            GROUP.failed(
                name,
                told(&error),
                format!("chmod 600 {path}; who has read it can send events: create the subscription anew"),
            ),
            None,
        ),
        Err(error) => {
            (GROUP.failed(name, told(&error), "let this user read it, or run `suppressd handshake --reset`"), None)
        }
    }
}

/// Looks at the events that came, by what the database knows.
pub(super) fn events(known: &Result<Known, String>, has_token: bool, now: DateTime<Utc>) -> Vec<Check> {
    match known {
        Ok(known) => vec![last_event(known, has_token, now), waiting(known)],
        Err(why) => ["last event", "inbox"].map(|name| GROUP.skipped(name, why)).into(),
    }
}

fn last_event(known: &Known, has_token: bool, now: DateTime<Utc>) -> Check {
    let name = "last event";
    let look = "open the connection's settings in Notion, Webhooks tab: is the subscription active, its URL right, and \
                are all kinds of events ticked?";
    let said = known.status.diagnosis.as_ref().map(|said| format!("; the last sweep says: {said}")).unwrap_or_default();
    let ago = |at: DateTime<Utc>| duration::told((now - at).num_seconds().max(0).unsigned_abs());
    match &known.last_event {
        None if !has_token => GROUP.skipped(name, "none ever came, and there is no token yet to verify one with"),
        None => GROUP.warning(name, "none ever came", look),
        Some(event) => {
            let found = format!("{} came {} ago{said}", event.kind, ago(event.received_at));
            if known.status.subscription_suspect { GROUP.warning(name, found, look) } else { GROUP.well(name, found) }
        }
    }
}

fn waiting(known: &Known) -> Check {
    let name = "inbox";
    let events = &known.status.events;
    let parked = events.by_state.get("parked").copied().unwrap_or_default();
    if parked > 0 {
        return GROUP.warning(
            name,
            format!("{parked} parked: they failed for good, and what they told may be missing"),
            "`suppressd events list --state parked` says why; then `suppressd events retry --all`",
        );
    }
    if events.lag_seconds > WAITS_SECONDS_MAX {
        let waits = duration::told(events.lag_seconds.unsigned_abs());
        return GROUP.warning(
            name,
            format!("the oldest event has waited for {waits}"),
            "is `suppressd serve` running, and does Notion answer it? `suppressd status` tells",
        );
    }
    GROUP.well(name, format!("{} waiting, none parked", events.subjects_waiting))
}
