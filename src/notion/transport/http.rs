//! The way to Notion over HTTP.

use std::time::Duration;

use reqwest::{Response, redirect};

use crate::notion::transport::{Answer, BODY_BYTES_MAX, Request, Transport, TransportError};

/// To connect takes no longer than this, whatever the whole call may take.
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(10);

/// Sends requests over HTTP.
#[derive(Debug, Clone)]
pub struct Http(reqwest::Client);

impl Http {
    /// Sets up the connections; opens none yet. `timeout` is what requests will be given.
    pub fn new(timeout: Duration) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("suppressd/", env!("CARGO_PKG_VERSION")))
            // A redirect would be a second request, which no budget has granted.
            .redirect(redirect::Policy::none())
            .connect_timeout(timeout.min(CONNECT_TIMEOUT_MAX))
            .build()?;
        Ok(Self(client))
    }
}

impl Transport for Http {
    async fn send(&self, request: Request<'_>) -> Result<Answer, TransportError> {
        let Request { method, url, headers, body, timeout } = request;
        let mut sent = self.0.request(method, url).headers(headers.clone()).timeout(timeout);
        if let Some(body) = body {
            sent = sent.json(&body);
        }
        let mut response = sent.send().await.map_err(broken)?;
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        Ok(Answer { status, headers, body: whole_body(response).await })
    }
}

/// Reads the body up to the bound.
async fn whole_body(mut response: Response) -> Result<Vec<u8>, TransportError> {
    // Only a first guess, and a stranger's word.
    let length = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    let mut body = Vec::with_capacity(length.min(BODY_BYTES_MAX));
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        if body.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(TransportError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn broken(error: reqwest::Error) -> TransportError {
    TransportError::Broken(Box::new(error))
}
