//! Who is let in at the private door: with a token configured, whoever bears it; without one, whoever is on this
//! machine and was not led here by a page of another site.

use std::{net::IpAddr, sync::Arc};

use arc_swap::ArcSwapOption;
use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, Uri, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

use crate::http::problem::Problem;

/// The bearer token that the private door asks for now, if it does. Clones are handles to the same one.
#[derive(Debug, Clone, Default)]
pub struct AdminToken(Arc<ArcSwapOption<SecretString>>);

impl AdminToken {
    /// Asks for another token from now on, or for none.
    pub fn take(&self, token: Option<SecretString>) {
        self.0.store(token.map(Arc::new));
    }

    /// Returns whether one is asked for.
    pub fn is_asked_for(&self) -> bool {
        self.0.load().is_some()
    }
}

impl From<Option<SecretString>> for AdminToken {
    fn from(token: Option<SecretString>) -> Self {
        Self(Arc::new(ArcSwapOption::new(token.map(Arc::new))))
    }
}

/// Lets a request in, or says why not.
pub(super) async fn admit(State(token): State<AdminToken>, request: Request, next: Next) -> Response {
    let token = token.0.load_full();
    match refusal(token.as_deref(), request.headers()) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}

fn refusal(token: Option<&SecretString>, headers: &HeaderMap) -> Option<Problem> {
    let (status, detail) = match token {
        Some(token) => (StatusCode::UNAUTHORIZED, lack(headers, token)?),
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

/// Says what keeps a request from bearing the token, if it does not. Takes the same time for every token of a length.
fn lack(headers: &HeaderMap, token: &SecretString) -> Option<&'static str> {
    let Some(given) = headers.get(header::AUTHORIZATION) else {
        return Some(
            "this needs the header `Authorization: Bearer …`, with the token that the setting SUPPRESSD_ADMIN_TOKEN says",
        );
    };
    let given = given.to_str().unwrap_or_default().trim();
    let Some((_, given)) = given.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) else {
        return Some("the header `Authorization` does not begin with `Bearer `: write that before the bearer token");
    };
    let is_right: bool = given.trim().as_bytes().ct_eq(token.expose_secret().as_bytes()).into();
    (!is_right).then_some("the bearer token is not the one that the setting SUPPRESSD_ADMIN_TOKEN says")
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
