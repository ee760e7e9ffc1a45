//! Reading a body within bounds: of its size, of its time, and of the memory of all bodies together.

use std::{future::poll_fn, pin::Pin, sync::Arc, time::Duration};

use axum::{
    body::{Body, HttpBody as _},
    extract::{Request, State},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::http::problem::Problem;

/// The unit in which memory is shared out.
const UNIT_BYTES: usize = 1024;

/// How much one body, and all of them, may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimits {
    /// The largest body in bytes.
    pub bytes_max: usize,
    /// How long a body may take to arrive.
    pub time_max: Duration,
    /// This much of each body comes with its connection. As connections are bounded, nobody can take it from others.
    pub own_bytes: usize,
    /// How many bytes of all bodies, beyond what is their own, may be in memory at once.
    pub memory_bytes_max: usize,
    /// How long a body waits for memory beyond its own.
    pub memory_wait_max: Duration,
}

impl Default for BodyLimits {
    /// Notion sends identifiers, so its bodies have a few KiB, which they never have to wait for, whoever sends large
    /// ones; a question about 1,000 companies stays below 1 MiB.
    fn default() -> Self {
        Self {
            bytes_max: 1024 * 1024,
            time_max: Duration::from_secs(10),
            own_bytes: 16 * 1024,
            memory_bytes_max: 64 * 1024 * 1024,
            memory_wait_max: Duration::from_secs(1),
        }
    }
}

/// Reads bodies. Clones share their memory.
#[derive(Debug, Clone)]
pub struct Bodies {
    limits: BodyLimits,
    memory: Arc<Semaphore>,
}

/// A body that was read, and its share of the memory.
#[derive(Debug)]
pub struct Held {
    /// The bytes as they came.
    pub bytes: Vec<u8>,
    share: Option<OwnedSemaphorePermit>,
}

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is larger than agreed.
    #[error("the body is too large")]
    TooLarge,
    /// It did not arrive in time.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// It ended before its end.
    #[error("the body broke off")]
    BrokenOff,
    /// The other bodies leave no memory for it.
    #[error("too many requests are being read")]
    NoMemory,
}

impl Refusal {
    /// Returns the status that says so.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::BrokenOff => StatusCode::BAD_REQUEST,
            Self::NoMemory => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Reads a body within bounds, for handlers that would read it without.
pub(super) async fn read_first(State(bodies): State<Bodies>, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    match bodies.read(body).await {
        Ok(Held { bytes, share }) => {
            let answer = next.run(Request::from_parts(head, Body::from(bytes))).await;
            drop(share);
            answer
        }
        Err(refusal) => Problem::new(refusal.status(), refusal.to_string()).into_response(),
    }
}

impl Bodies {
    /// Shares out the memory of `limits` among all bodies that are read here.
    pub fn new(limits: BodyLimits) -> Self {
        Self { limits, memory: Arc::new(Semaphore::new(limits.memory_bytes_max / UNIT_BYTES)) }
    }

    /// Reads a whole body. One that is announced as too large is refused unread.
    pub async fn read(&self, body: Body) -> Result<Held, Refusal> {
        if body.size_hint().lower() > self.limits.bytes_max as u64 {
            return Err(Refusal::TooLarge);
        }
        timeout(self.limits.time_max, self.collect(body)).await.unwrap_or(Err(Refusal::TooSlow))
    }

    /// Takes memory for what has arrived, not for what was announced: a promise alone takes nothing from others.
    async fn collect(&self, mut body: Body) -> Result<Held, Refusal> {
        let mut held = Held { bytes: Vec::new(), share: None };
        while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            let Ok(frame) = frame else { return Err(Refusal::BrokenOff) };
            // Trailers are of no interest.
            let Ok(data) = frame.into_data() else { continue };
            let size = held.bytes.len() + data.len();
            if size > self.limits.bytes_max {
                return Err(Refusal::TooLarge);
            }
            self.enlarge(&mut held.share, size.saturating_sub(self.limits.own_bytes).div_ceil(UNIT_BYTES)).await?;
            held.bytes.extend_from_slice(&data);
        }
        Ok(held)
    }

    async fn enlarge(&self, share: &mut Option<OwnedSemaphorePermit>, units: usize) -> Result<(), Refusal> {
        let more = units.saturating_sub(share.as_ref().map_or(0, OwnedSemaphorePermit::num_permits));
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        let acquired = timeout(self.limits.memory_wait_max, Arc::clone(&self.memory).acquire_many_owned(more)).await;
        let Ok(Ok(permit)) = acquired else { return Err(Refusal::NoMemory) };
        match share {
            Some(share) => share.merge(permit),
            None => *share = Some(permit),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, routing::post};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };

    use super::*;
    use crate::{
        http::listen::{Limits, Listener},
        lifecycle::Lifecycle,
        metrics::Metrics,
    };

    const SHORT: Duration = Duration::from_millis(200);
    const LONG: Duration = Duration::from_secs(20);
    const SMALL: BodyLimits =
        BodyLimits { bytes_max: 4096, time_max: LONG, own_bytes: 0, memory_bytes_max: 4096, memory_wait_max: LONG };

    /// Serves `limits` with a handler that answers with the size of what it read.
    async fn serve(limits: BodyLimits) -> std::net::SocketAddr {
        let measure = async |State(bodies): State<Bodies>, body: Body| match bodies.read(body).await {
            Ok(held) => held.bytes.len().to_string().into_response(),
            Err(refusal) => refusal.status().into_response(),
        };
        let router = Router::new().route("/", post(measure)).with_state(Bodies::new(limits));
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let (address, lifecycle) = (listener.address(), Lifecycle::default());
        lifecycle.spawn("listener", listener.serve(router, Limits::PUBLIC, Metrics::default(), lifecycle.clone()));
        address
    }

    async fn send(address: std::net::SocketAddr, framing: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("POST / HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    async fn answer(mut stream: TcpStream) -> String {
        let mut bytes = vec![0; 1024];
        let read = timeout(LONG / 2, stream.read(&mut bytes)).await.expect("nothing is answered").unwrap();
        String::from_utf8(bytes[..read].to_vec()).unwrap()
    }

    /// Checks what a request with `framing` and `body` is answered, without any more bytes of it.
    async fn check(limits: BodyLimits, framing: &str, body: &str, status: u16, ending: &str) {
        let answer = answer(send(serve(limits).await, framing, body).await).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.ends_with(ending), "{answer}");
    }

    #[tokio::test]
    async fn a_body_at_the_bound_is_read() {
        check(SMALL, "Content-Length: 4096", &"a".repeat(4096), 200, "4096").await;
        check(SMALL, "Transfer-Encoding: chunked", "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", 200, "5").await;
        check(SMALL, "Content-Length: 0", "", 200, "0").await;
    }

    #[tokio::test]
    async fn a_body_that_is_announced_as_too_large_is_refused_unread() {
        check(SMALL, "Content-Length: 4097", "", 413, "").await;
    }

    #[tokio::test]
    async fn a_body_that_turns_out_too_large_is_refused_before_its_end() {
        let body = format!("1001\r\n{}\r\n", "a".repeat(4097));
        check(SMALL, "Transfer-Encoding: chunked", &body, 413, "").await;
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_in_time_is_refused() {
        check(BodyLimits { time_max: SHORT, ..SMALL }, "Content-Length: 10", "a", 408, "").await;
    }

    #[tokio::test]
    async fn a_body_without_its_framing_is_refused() {
        check(SMALL, "Transfer-Encoding: chunked", "not a size\r\n", 400, "").await;
    }

    #[tokio::test]
    async fn bodies_wait_for_memory_and_get_what_others_give_back() {
        let address = serve(BodyLimits { memory_wait_max: SHORT, ..SMALL }).await;
        let hoarder = send(address, "Content-Length: 4096", &"a".repeat(4000)).await;
        let refused = async {
            // The hoarder's bytes may take a moment to arrive.
            while !answer(send(address, "Content-Length: 2000", &"a".repeat(2000)).await).await.contains(" 503 ") {
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG, refused).await.expect("memory has no end");
        let own = serve(BodyLimits { own_bytes: 2000, memory_bytes_max: 0, ..SMALL }).await;
        assert!(answer(send(own, "Content-Length: 2000", &"a".repeat(2000)).await).await.contains(" 200 "));
        drop(hoarder);
        let read = async {
            while !answer(send(address, "Content-Length: 2000", &"a".repeat(2000)).await).await.contains(" 200 ") {
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG, read).await.expect("memory is not given back");
    }
}
