//! Who is told: an endpoint behind a URL, or somebody within the process.

use std::{fmt, pin::Pin, time::Duration};

use tokio::time::timeout;

/// What comes of one delivery: the status that was answered, if one was.
pub type Answered = Pin<Box<dyn Future<Output = Option<u16>> + Send>>;

/// Somebody within the process who takes deliveries: body and signature, as they would come over HTTP.
pub trait Taker: Fn(String, Option<String>) -> Answered + Send + Sync + 'static {}

impl<F: Fn(String, Option<String>) -> Answered + Send + Sync + 'static> Taker for F {}

/// Where the deliveries of a subscription go.
pub(crate) enum Recipient {
    Http { client: reqwest::Client, target: String },
    Within(Box<dyn Taker>),
}

impl Recipient {
    pub(crate) fn http(target: &str) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self::Http { client, target: target.to_owned() })
    }

    pub(crate) fn within(taker: impl Taker) -> Self {
        Self::Within(Box::new(taker))
    }

    /// Hands a delivery over, and returns the status that is answered in time.
    pub(crate) async fn post(&self, body: String, signature: Option<String>, within: Duration) -> Option<u16> {
        match self {
            Self::Http { client, target } => {
                let mut request = client.post(target).timeout(within).header("content-type", "application/json");
                if let Some(signature) = signature {
                    request = request.header("x-notion-signature", signature);
                }
                let answer = request.body(body).send().await;
                answer.ok().map(|answer| answer.status().as_u16())
            }
            Self::Within(taker) => timeout(within, taker(body, signature)).await.ok().flatten(),
        }
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http { target, .. } => target,
            Self::Within(_) => "within",
        })
    }
}
