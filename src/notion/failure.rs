//! What an answer of Notion that is no success means for the asker.
//!
//! Two things answer under Notion's address: the API, in JSON with a `code`, and the edge before it, in HTML without
//! one (ERR, SDK:src/errors.ts). What the edge says is about the way to Notion, never about the object or the token:
//! a 403 or 404 of the edge must neither stop the work for good nor pass for a page that is gone.

use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::notion::NotionError;

/// Waits longer than this are cut to it: a workspace's limit can exceed a minute (LIM), but no rate limit lasts a day,
/// and a wrong date in a header must not stop the program for ever.
pub const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);

/// The wait where Notion names none: its window (LIM).
const RETRY_AFTER_UNNAMED: Duration = Duration::from_mins(1);

/// The wait where Notion names one that is over: enough to keep the asker from spinning.
const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);

/// Messages are cut to this many characters: they go into logs and into stored reasons.
const MESSAGE_CHARS_MAX: usize = 300;

/// `rate_limit_reason` of a connection that Notion has blocked: waiting does not help (LIM).
const BLOCKED: &str = "public_api_request_blocked";

/// An answer that says «later», or comes from something before Notion.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("status {status} ({}): {message}", code.as_deref().unwrap_or("not from Notion's API"))]
pub struct LaterError {
    /// The HTTP status.
    pub status: u16,
    /// Notion's code; `None` where the answer does not come from Notion's API.
    pub code: Option<String>,
    /// Notion's message.
    pub message: String,
}

/// Reads an answer with any other status than 2xx. `retry_after` is the header of that name, `now` what a date in it
/// is compared with. A body that repeats `token` is read without it.
pub fn classify(
    status: u16,
    retry_after: Option<&str>,
    body: &[u8],
    token: &SecretString,
    now: DateTime<Utc>,
) -> NotionError {
    let body = ErrorBody::read(body, token);
    match (status, body.code.as_deref()) {
        (429 | 529, _) if body.rate_limit_reason.as_deref() == Some(BLOCKED) => {
            NotionError::Refused { code: BLOCKED.to_owned(), message: body.message }
        }
        (429 | 529, _) => {
            let wait = retry_after.and_then(|header| named_wait(header, now)).or(body.retry_after);
            NotionError::RateLimited {
                retry_after: wait.unwrap_or(RETRY_AFTER_UNNAMED).clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX),
            }
        }
        (401, code) => NotionError::Refused { code: code.unwrap_or("unauthorized").to_owned(), message: body.message },
        (403, Some(code)) => NotionError::Refused { code: code.to_owned(), message: body.message },
        (404, Some("object_not_found")) => NotionError::NotFound,
        (400, _) if body.message.contains("start_cursor") => NotionError::CursorRefused,
        (408 | 409 | 425, _) => body.later(status),
        (400, code) => rejected(status, code.unwrap_or_default(), &body.message),
        (402..=499, Some(code)) => rejected(status, code, &body.message),
        _ => body.later(status),
    }
}

fn rejected(status: u16, code: &str, message: &str) -> NotionError {
    NotionError::Rejected { status, code: code.to_owned(), message: message.to_owned() }
}

/// Reads `Retry-After`: whole seconds (LIM), or a date, which HTTP allows as well. A date that is over is no wait.
fn named_wait(header: &str, now: DateTime<Utc>) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = DateTime::parse_from_rfc2822(header).ok()?;
    Some((date.to_utc() - now).to_std().unwrap_or(Duration::ZERO))
}

/// What is read of an error body (ERR, LIM); every part may be missing.
#[derive(Debug, Default)]
struct ErrorBody {
    code: Option<String>,
    message: String,
    rate_limit_reason: Option<String>,
    retry_after: Option<Duration>,
}

impl ErrorBody {
    fn read(body: &[u8], token: &SecretString) -> Self {
        let Ok(json) = serde_json::from_slice::<Value>(body) else { return Self::default() };
        // What JSON escapes is plain here, and nothing is cut yet: the token is found whole.
        let text = |at: &str| json.pointer(at).and_then(Value::as_str).map(|text| bounded(&redacted(text, token)));
        Self {
            code: text("/code"),
            message: text("/message").unwrap_or_default(),
            rate_limit_reason: text("/additional_data/rate_limit_reason"),
            retry_after: json.pointer("/additional_data/retry_after").and_then(seconds),
        }
    }

    fn later(self, status: u16) -> NotionError {
        NotionError::Unavailable(Box::new(LaterError { status, code: self.code, message: self.message }))
    }
}

/// Reads `additional_data.retry_after`: a string by LIM, a number to be safe.
fn seconds(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::String(text) => text.trim().parse::<f64>().ok()?,
        other => other.as_f64()?,
    };
    Duration::try_from_secs_f64(seconds).ok()
}

/// Takes the token out: whoever answers may repeat what was sent, and errors are logged and stored.
fn redacted(text: &str, token: &SecretString) -> String {
    match token.expose_secret() {
        "" => text.to_owned(),
        token => text.replace(token, "[redacted]"),
    }
}

/// Cuts a text, and replaces control characters, which would break a line of the log in two.
fn bounded(text: &str) -> String {
    text.chars().take(MESSAGE_CHARS_MAX).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says in one line what `classify` makes of an answer.
    fn said(status: u16, retry_after: Option<&str>, body: &str) -> String {
        let now = "2026-09-01T10:00:00Z".parse().unwrap();
        match classify(status, retry_after, body.as_bytes(), &SecretString::from("ntn_token"), now) {
            NotionError::RateLimited { retry_after } => format!("wait {}", retry_after.as_secs_f64()),
            NotionError::Refused { code, message } => format!("refused {code}: {message}"),
            NotionError::Rejected { status, code, message } => format!("rejected {status} {code}: {message}"),
            NotionError::Unavailable(source) => format!("unavailable: {source}"),
            NotionError::NotFound => "not found".to_owned(),
            NotionError::CursorRefused => "cursor refused".to_owned(),
            NotionError::Unreadable(what) => format!("unreadable: {what}"),
        }
    }

    #[track_caller]
    fn check(status: u16, body: &str, expected: &str) {
        assert_eq!(said(status, None, body), expected, "{status} {body}");
    }

    const HTML: &str = "<html><title>403 Forbidden</title><center>cloudflare</center></html>";

    #[test]
    fn every_status_says_what_the_asker_can_do() {
        check(
            401,
            r#"{"code":"unauthorized","message":"API token is invalid."}"#,
            "refused unauthorized: API token is invalid.",
        );
        check(401, HTML, "refused unauthorized: ");
        check(403, r#"{"code":"restricted_resource","message":"No."}"#, "refused restricted_resource: No.");
        check(404, r#"{"code":"object_not_found","message":"Could not find page."}"#, "not found");
        check(404, r#"{"code":"invalid_request_url","message":"No."}"#, "rejected 404 invalid_request_url: No.");
        check(409, r#"{"code":"conflict_error","message":"No."}"#, "unavailable: status 409 (conflict_error): No.");
        check(
            400,
            r#"{"code":"validation_error","message":"The start_cursor provided is invalid: x"}"#,
            "cursor refused",
        );
        check(400, r#"{"code":"validation_error","message":"No."}"#, "rejected 400 validation_error: No.");
        check(400, HTML, "rejected 400 : ");
        check(422, r#"{"code":"other","message":"No."}"#, "rejected 422 other: No.");
        check(500, r#"{"code":"internal_server_error"}"#, "unavailable: status 500 (internal_server_error): ");
        check(
            503,
            r#"{"code":"service_unavailable","message":"No."}"#,
            "unavailable: status 503 (service_unavailable): No.",
        );
    }

    #[test]
    fn what_the_edge_says_is_about_the_way() {
        for status in [301, 403, 404, 405, 500, 502, 504, 520] {
            check(status, HTML, &format!("unavailable: status {status} (not from Notion's API): "));
            check(status, "", &format!("unavailable: status {status} (not from Notion's API): "));
            check(status, "[1]", &format!("unavailable: status {status} (not from Notion's API): "));
        }
    }

    #[test]
    fn a_wait_is_taken_in_full_from_wherever_it_stands() {
        let in_body = |wait: &str| format!(r#"{{"code":"rate_limited","additional_data":{{"retry_after":{wait}}}}}"#);
        for (header, body, expected) in [
            (None, String::new(), "wait 60"),
            (None, HTML.to_owned(), "wait 60"),
            (Some("7"), in_body("\"9\""), "wait 7"),
            (Some(" 1800 "), String::new(), "wait 1800"),
            (Some("Tue, 01 Sep 2026 10:05:00 GMT"), String::new(), "wait 300"),
            (Some("Tue, 01 Sep 2026 09:00:00 GMT"), String::new(), "wait 1"),
            (Some("soon"), in_body("\"9\""), "wait 9"),
            (None, in_body("\"90\""), "wait 90"),
            (None, in_body("90"), "wait 90"),
            (None, in_body("2.5"), "wait 2.5"),
            (None, in_body("-1"), "wait 60"),
            (None, in_body("null"), "wait 60"),
            (Some("0"), String::new(), "wait 1"),
            (Some("18446744073709551615"), String::new(), "wait 86400"),
        ] {
            assert_eq!(said(429, header, &body), expected, "{header:?} {body}");
            assert_eq!(said(529, header, &body), expected, "{header:?} {body}");
        }
    }

    #[test]
    fn a_blocked_connection_is_refused() {
        let body = r#"{"code":"rate_limited","message":"Blocked.",
            "additional_data":{"rate_limit_reason":"public_api_request_blocked","retry_after":"60"}}"#;
        assert_eq!(said(429, Some("60"), body), "refused public_api_request_blocked: Blocked.");
    }

    #[test]
    fn control_characters_are_replaced() {
        check(
            400,
            r#"{"code":"a\nb","message":"one\r\ntwo \u001b[2Jthree\u0085"}"#,
            "rejected 400 a\u{fffd}b: one\u{fffd}\u{fffd}two \u{fffd}[2Jthree\u{fffd}",
        );
    }

    #[test]
    fn a_token_is_taken_out_before_the_message_is_cut() {
        let body = format!(r#"{{"code":"x","message":"{}ntn_token"}}"#, "é".repeat(MESSAGE_CHARS_MAX - 4));
        assert_eq!(said(400, None, &body), format!("rejected 400 x: {}[red", "é".repeat(MESSAGE_CHARS_MAX - 4)));
        let nothing = SecretString::default();
        assert_eq!(redacted("as it is", &nothing), "as it is");
    }

    #[test]
    fn a_long_message_is_cut() {
        let body = format!(r#"{{"code":"x","message":"{}"}}"#, "é".repeat(1000));
        assert_eq!(said(400, None, &body), format!("rejected 400 x: {}", "é".repeat(MESSAGE_CHARS_MAX)));
    }
}
