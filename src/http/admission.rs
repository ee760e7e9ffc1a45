//! Who is let in at the private door: with a token configured, whoever bears it; without one, whoever is on this
//! machine and was not led here by a page of another site.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, Uri, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

use crate::http::problem::Problem;

/// Lets a request in, or says why not.
pub(super) async fn admit(State(token): State<Option<Arc<SecretString>>>, request: Request, next: Next) -> Response {
    match refusal(token.as_deref(), request.headers()) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}

fn refusal(token: Option<&SecretString>, headers: &HeaderMap) -> Option<Problem> {
    let (status, detail) = match token {
        Some(token) if !bears(headers, token) => (StatusCode::UNAUTHORIZED, "this needs the bearer token"),
        None if !is_local(headers) => {
            (StatusCode::FORBIDDEN, "without a bearer token only localhost and IP addresses are taken as host")
        }
        None if is_from_elsewhere(headers) => {
            (StatusCode::FORBIDDEN, "without a bearer token no page of another site may ask")
        }
        _ => return None,
    };
    Some(Problem::new(status, detail))
}

/// Says whether the request bears the token. Takes the same time for every token of a length.
fn bears(headers: &HeaderMap, token: &SecretString) -> bool {
    let Some((scheme, given)) = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
    else {
        return false;
    };
    scheme.eq_ignore_ascii_case("bearer") && given.trim().as_bytes().ct_eq(token.expose_secret().as_bytes()).into()
}

/// Says whether the request was sent to an address or to `localhost`. A page that a browser shows can have its own
/// name resolve to this machine, and would read the answers: its name gives it away.
fn is_local(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let authority = Authority::try_from(host.as_bytes());
    authority.is_ok_and(|host| is_named_localhost(&host) || address(&host).is_some())
}

/// Says whether a page of another site sent the request: browsers send what a page tells them to, wherever it goes, and
/// name the site.
fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let origin = Uri::try_from(origin.as_bytes()).ok();
    let is_ours = |site: &Authority| is_named_localhost(site) || address(site).is_some_and(|ip| ip.is_loopback());
    !origin.as_ref().and_then(Uri::authority).is_some_and(is_ours)
}

fn is_named_localhost(authority: &Authority) -> bool {
    authority.host().eq_ignore_ascii_case("localhost")
}

fn address(authority: &Authority) -> Option<IpAddr> {
    authority.host().trim_start_matches('[').trim_end_matches(']').parse().ok()
}
