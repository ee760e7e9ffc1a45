//! `health`: asks a running service whether it is well.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Context as _;
use reqwest::{Client, RequestBuilder, Response, StatusCode, redirect::Policy};
use secrecy::ExposeSecret as _;
use serde_json::Value as Json;

use crate::{
    causes::told,
    cli::{
        ExitStatus,
        args::serving::HealthArgs,
        failure::NextStep,
        output::{Output, plain},
    },
    config::Config,
};

/// No answer that says how the service is comes near this.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Asks, tells, and says with its exit status whether the service is well.
pub(super) async fn run(args: &HealthArgs, config: &Config) -> anyhow::Result<ExitStatus> {
    let mut output = Output::stdout();
    let client = Client::builder()
        .timeout(args.timeout)
        .redirect(Policy::none())
        .no_proxy()
        .build()
        .context(NextStep("look whether the certificates of the machine can be read"))?;
    let (question, address) = question(&client, args, config);
    let answer = match question.send().await {
        Ok(answer) => answer,
        Err(error) => {
            output.line(format_args!("not well: {address} does not answer: {}", told(&error.without_url())))?;
            return Ok(ExitStatus::Clear);
        }
    };
    let status = answer.status();
    if status == StatusCode::OK {
        output.line(format_args!("well: {address} answers 200"))?;
        return Ok(ExitStatus::Success);
    }
    output.line(format_args!("not well: {address} answers {}", status.as_u16()))?;
    for trouble in troubles(&read(answer).await) {
        output.line(format_args!("  {}", plain(&trouble)))?;
    }
    Ok(ExitStatus::Clear)
}

/// Makes the request, and the address as people see it. Only our own service is shown its token.
fn question(client: &Client, args: &HealthArgs, config: &Config) -> (RequestBuilder, String) {
    if let Some(url) = &args.url {
        return (client.get(url.clone()), url.to_string());
    }
    if !args.ready {
        let address = format!("http://{}/healthz", reachable(config.serve.listen));
        return (client.get(&address), address);
    }
    let address = format!("http://{}/readyz", reachable(config.serve.admin_listen));
    let question = client.get(&address);
    match config.admin_token() {
        Some(token) => (question.bearer_auth(token.expose_secret()), address),
        None => (question, address),
    }
}

/// Where to ask a service that listens at `address`: one that listens everywhere listens on this machine too.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Reads an answer up to a bound. One that breaks off says nothing.
async fn read(mut answer: Response) -> Json {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > ANSWER_BYTES_MAX {
            return Json::Null;
        }
    }
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// Says what an answer names: the parts that are not well, or why the question was refused.
fn troubles(answer: &Json) -> Vec<String> {
    let text = |value: &Json, name: &str| value.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
    let Some(parts) = answer.get("parts").and_then(Json::as_array) else {
        return Some(text(answer, "detail")).filter(|detail| !detail.is_empty()).into_iter().collect();
    };
    parts
        .iter()
        .filter(|part| text(part, "state") != "well")
        .map(|part| match (text(part, "name"), text(part, "state"), text(part, "reason")) {
            (name, state, reason) if reason.is_empty() => format!("{name}: {state}"),
            (name, state, reason) => format!("{name}: {state}: {reason}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_listens_everywhere_is_asked_here() {
        for (listens, asked) in [
            ("0.0.0.0:8080", "127.0.0.1:8080"),
            ("[::]:8080", "[::1]:8080"),
            ("192.0.2.7:1", "192.0.2.7:1"),
            ("127.0.0.2:1", "127.0.0.2:1"),
        ] {
            assert_eq!(reachable(listens.parse().unwrap()).to_string(), asked);
        }
    }

    #[test]
    fn the_parts_that_are_not_well_are_named_with_their_reasons() {
        let answer = json!({"ready": false, "parts": [
            {"name": "worker", "state": "well"},
            {"name": "notion", "state": "failing", "reason": "the token is refused"},
            {"name": "writer", "state": "silent", "seconds": 20},
        ]});
        assert_eq!(troubles(&answer), ["notion: failing: the token is refused", "writer: silent"]);
        assert_eq!(troubles(&json!({"detail": "a token is needed"})), ["a token is needed"]);
        assert_eq!(troubles(&Json::Null), Vec::<String>::new());
    }
}
