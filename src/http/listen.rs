//! Serving one address: bound first, then served until it is to stop, with every wait bounded.

use std::{convert::Infallible, future::pending, io, net::SocketAddr, time::Duration};

use axum::{Router, middleware::from_fn};
use axum_server::{Handle, Server};
use hyper_util::rt::TokioTimer;
use tokio::net::TcpListener;
use tracing::error;

use crate::{
    http::{
        entrance::{Entrance, Place, Usher, answer_seated},
        panics::answer_panics,
    },
    lifecycle::Lifecycle,
    metrics::Metrics,
};

/// A request's head is refused beyond this, and no more than this of a body is read ahead: with every place taken by
/// a sender at this bound, the public listener holds 16 MiB.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// What is in flight at a soft stop has this long. Who does not take his answer in that time must not keep everybody.
const FINISH_MAX: Duration = Duration::from_secs(5);

/// How much one listener puts up with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at once; for a further one, that which has kept us waiting for the longest is closed.
    pub connections_max: usize,
    /// How long the head of a request may take, and how long a connection may wait for its next request.
    pub head_max: Duration,
    /// How long a connection may stay without a byte in either direction.
    pub idle_max: Duration,
}

impl Limits {
    /// For strangers. Both listeners together stay below the 1,024 open files that a process commonly has, so that
    /// no crowd at the door keeps the database or the way to Notion from opening one.
    pub const PUBLIC: Self =
        Self { connections_max: 512, head_max: Duration::from_secs(30), idle_max: Duration::from_secs(30) };

    /// For our own people, whose questions may take a while to answer.
    pub const PRIVATE: Self =
        Self { connections_max: 256, head_max: Duration::from_secs(30), idle_max: Duration::from_mins(10) };
}

/// A bound address that is not served yet.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: free it, or name another address")]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// What the system says.
    #[source]
    pub source: io::Error,
}

impl Listener {
    /// Binds `address`; port 0 takes a free one.
    pub async fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        let at = |source| ListenError { address, source };
        let socket = TcpListener::bind(address).await.map_err(at)?;
        let address = socket.local_addr().map_err(at)?;
        Ok(Self { socket, address })
    }

    /// Returns the address that is really bound.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `router` until a soft stop, then finishes the requests in flight, or drops them at a hard stop.
    pub async fn serve(self, router: Router, limits: Limits, metrics: Metrics, lifecycle: Lifecycle) {
        let handle = Handle::<Place>::new();
        let entrance = Entrance::new(self.socket, limits.connections_max, limits.idle_max, metrics);
        let mut server = Server::from_listener(entrance).acceptor(Usher).handle(handle.clone()).http1_only();
        server
            .http_builder()
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head_max)
            .max_buf_size(HEAD_BYTES_MAX);
        let stopping = async {
            lifecycle.soft.cancelled().await;
            handle.graceful_shutdown(Some(FINISH_MAX));
            lifecycle.hard.cancelled().await;
            handle.shutdown();
            pending::<Infallible>().await
        };
        tokio::select! {
            ended = server.serve(router.layer(from_fn(answer_panics)).layer(from_fn(answer_seated)).into_make_service()) => {
                if let Err(error) = ended {
                    error!(address = %self.address, error = &error as &dyn std::error::Error, "serving broke off");
                }
            }
            never = stopping => match never {},
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    };

    use axum::{
        body::{Body, Bytes},
        http::StatusCode,
        routing::{get, post},
    };
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
        net::TcpStream,
        sync::Notify,
        time::{sleep, timeout},
    };
    use tokio_util::io::ReaderStream;

    use super::*;

    const SHORT: Duration = Duration::from_millis(200);
    const LONG: Duration = Duration::from_secs(20);
    const ROOMY: Limits = Limits { connections_max: 8, head_max: LONG, idle_max: LONG };
    const HELLO: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    struct Served {
        address: SocketAddr,
        lifecycle: Lifecycle,
        metrics: Metrics,
        /// Rung when a slow or endless request has begun.
        begun: Arc<Notify>,
        /// What is written here goes out as the answer to the request for the stream.
        stream: DuplexStream,
        /// Commits what was posted, as often as it is rung.
        commit: Arc<Notify>,
        /// How many commits were begun.
        commits: Arc<AtomicUsize>,
    }

    async fn serve(limits: Limits) -> Served {
        let begun = Arc::new(Notify::new());
        let (slow, endless) = (Arc::clone(&begun), Arc::clone(&begun));
        let (commit, commits) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        let (committing, rung, counted) = (Arc::clone(&begun), Arc::clone(&commit), Arc::clone(&commits));
        let (stream, said) = duplex(64);
        let said = Arc::new(Mutex::new(Some(said)));
        let router = Router::new()
            .route(
                "/stream",
                get(async move || Body::from_stream(ReaderStream::new(said.lock().unwrap().take().unwrap()))),
            )
            .route("/", get(async || "hello"))
            .route(
                "/slow",
                get(async move || {
                    slow.notify_one();
                    sleep(SHORT).await;
                }),
            )
            .route(
                "/endless",
                get(async move || {
                    endless.notify_one();
                    pending::<()>().await;
                }),
            )
            .route(
                "/commit",
                post(async move |_body: Bytes| {
                    counted.fetch_add(1, Ordering::Relaxed);
                    committing.notify_one();
                    rung.notified().await;
                }),
            )
            .route("/panic", get(|| -> std::future::Ready<()> { panic!("a bug") }))
            .route("/refuse", post(async || StatusCode::PAYLOAD_TOO_LARGE));
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let (address, lifecycle, metrics) = (listener.address(), Lifecycle::default(), Metrics::default());
        lifecycle.spawn("listener", listener.serve(router, limits, metrics.clone(), lifecycle.clone()));
        Served { address, lifecycle, metrics, begun, stream, commit, commits }
    }

    impl Served {
        /// Sends `bytes` on a connection of its own.
        async fn send(&self, bytes: &[u8]) -> TcpStream {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            stream
        }
    }

    /// Reads until the other side closes.
    async fn until_closed(stream: &mut TcpStream) -> String {
        let mut bytes = Vec::new();
        // A reset closes as well.
        drop(timeout(LONG / 2, stream.read_to_end(&mut bytes)).await.expect("the connection stays open"));
        String::from_utf8(bytes).unwrap()
    }

    /// Reads what comes first.
    async fn first_words(stream: &mut TcpStream) -> String {
        let mut bytes = vec![0; 1024];
        let read = timeout(LONG / 2, stream.read(&mut bytes)).await.expect("nothing is answered").unwrap();
        String::from_utf8(bytes[..read].to_vec()).unwrap()
    }

    #[tokio::test]
    async fn half_a_head_is_closed_in_time() {
        let served = serve(Limits { head_max: SHORT, ..ROOMY }).await;
        let mut stream = served.send(b"GET / HTTP/1.1\r\nHost:").await;
        assert_eq!(until_closed(&mut stream).await, "");
    }

    #[tokio::test]
    async fn a_connection_that_says_nothing_is_closed_in_time() {
        let served = serve(Limits { idle_max: SHORT, ..ROOMY }).await;
        let mut stream = served.send(b"").await;
        assert_eq!(until_closed(&mut stream).await, "");
    }

    #[tokio::test]
    async fn a_head_beyond_the_bound_is_refused() {
        let served = serve(ROOMY).await;
        let head = format!("GET / HTTP/1.1\r\nHost: x\r\nPadding: {}\r\n\r\n", "a".repeat(2 * HEAD_BYTES_MAX));
        let answer = until_closed(&mut served.send(head.as_bytes()).await).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }

    #[tokio::test]
    async fn for_one_connection_too_many_the_longest_silent_one_gives_way() {
        let served = serve(Limits { connections_max: 2, ..ROOMY }).await;
        let mut silent = served.send(b"").await;
        let mut asking = served.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await;
        served.begun.notified().await;
        let mut newcomer = served.send(HELLO).await;
        assert!(first_words(&mut newcomer).await.starts_with("HTTP/1.1 200 "));
        assert_eq!(until_closed(&mut silent).await, "");
        assert!(first_words(&mut asking).await.starts_with("HTTP/1.1 200 "));
        assert_eq!(served.metrics.connections_crowded_out.get(), 1);
        drop((asking, newcomer));
        let seated = timeout(LONG, async {
            loop {
                let before = served.metrics.connections_crowded_out.get();
                first_words(&mut served.send(HELLO).await).await;
                if served.metrics.connections_crowded_out.get() == before {
                    break;
                }
            }
        });
        seated.await.expect("a seat is not given back");
    }

    #[tokio::test]
    async fn a_request_that_trickles_grows_no_younger() {
        let served = serve(Limits { connections_max: 2, ..ROOMY }).await;
        let mut trickle = served.send(b"G").await;
        sleep(SHORT / 10).await;
        let mut idle = served.send(HELLO).await;
        assert!(first_words(&mut idle).await.starts_with("HTTP/1.1 200 "));
        for byte in b"ET /" {
            trickle.write_all(&[*byte]).await.unwrap();
            sleep(SHORT / 10).await;
        }
        let mut newcomer = served.send(HELLO).await;
        assert!(first_words(&mut newcomer).await.starts_with("HTTP/1.1 200 "));
        assert_eq!(until_closed(&mut trickle).await, "");
        // Now nobody has kept us waiting longer than the one that was answered and asks for nothing more.
        let mut last = served.send(HELLO).await;
        assert!(first_words(&mut last).await.starts_with("HTTP/1.1 200 "));
        assert_eq!(until_closed(&mut idle).await, "");
    }

    #[tokio::test]
    async fn who_is_still_being_answered_does_not_give_way_before_those_who_are_silent() {
        let mut served = serve(Limits { connections_max: 2, ..ROOMY }).await;
        let mut follower = served.send(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n").await;
        served.stream.write_all(b"one").await.unwrap();
        let mut heard = first_words(&mut follower).await;
        let mut idle = served.send(HELLO).await;
        assert!(first_words(&mut idle).await.starts_with("HTTP/1.1 200 "));
        served.stream.write_all(b"two").await.unwrap();
        while !heard.contains("two") {
            heard.push_str(&first_words(&mut follower).await);
        }
        let mut newcomer = served.send(HELLO).await;
        assert!(first_words(&mut newcomer).await.starts_with("HTTP/1.1 200 "));
        assert_eq!(until_closed(&mut idle).await, "");
        served.stream.write_all(b"three").await.unwrap();
        assert!(first_words(&mut follower).await.contains("three"));
    }

    #[tokio::test]
    async fn who_waits_for_us_gives_way_to_no_crowd() {
        for framing in ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"] {
            let served = serve(Limits { connections_max: 2, ..ROOMY }).await;
            let mut sender = served.send(format!("POST /commit HTTP/1.1\r\nHost: x\r\n{framing}").as_bytes()).await;
            served.begun.notified().await;
            let mut crowd = Vec::new();
            for _ in 0..10 {
                let mut newcomer = served.send(HELLO).await;
                assert!(first_words(&mut newcomer).await.starts_with("HTTP/1.1 200 "));
                crowd.push(newcomer);
            }
            assert_eq!(served.metrics.connections_crowded_out.get(), 9);
            served.commit.notify_one();
            assert!(first_words(&mut sender).await.starts_with("HTTP/1.1 200 "), "{framing}");
        }
    }

    #[tokio::test]
    async fn whose_request_is_not_all_here_does_not_wait_for_us() {
        let served = serve(Limits { connections_max: 2, ..ROOMY }).await;
        let mut sender = served.send(b"POST /commit HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nhello").await;
        let mut silent = served.send(HELLO).await;
        assert!(first_words(&mut silent).await.starts_with("HTTP/1.1 200 "));
        let mut newcomer = served.send(HELLO).await;
        assert!(first_words(&mut newcomer).await.starts_with("HTTP/1.1 200 "));
        assert_eq!(until_closed(&mut sender).await, "");
    }

    #[tokio::test]
    async fn where_all_wait_for_us_the_one_who_waited_longest_gives_way() {
        let served = serve(Limits { connections_max: 1, ..ROOMY }).await;
        let request = "POST /commit HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na";
        // What is sent behind the request is not read while that is answered, so nothing is read that could fail.
        let mut first = served.send(request.repeat(50).as_bytes()).await;
        served.begun.notified().await;
        let mut newcomer = served.send(HELLO).await;
        assert!(first_words(&mut newcomer).await.starts_with("HTTP/1.1 200 "));
        assert_eq!(until_closed(&mut first).await, "");
        assert_eq!(served.commits.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn who_has_to_leave_is_answered_no_more_however_much_was_asked() {
        const ASKED: usize = 300;
        let served = serve(Limits { connections_max: 1, ..ROOMY }).await;
        let request = "POST /commit HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na";
        let mut first = served.send(request.repeat(ASKED).as_bytes()).await;
        served.begun.notified().await;
        let mut newcomer = TcpStream::connect(served.address).await.unwrap();
        while served.metrics.connections_crowded_out.get() == 0 {
            tokio::task::yield_now().await;
        }
        let rings = async {
            loop {
                served.commit.notify_one();
                tokio::task::yield_now().await;
            }
        };
        let said = tokio::select! {
            said = until_closed(&mut first) => said,
            never = rings => never,
        };
        assert!(said.matches("HTTP/1.1 200 ").count() <= 1, "{said}");
        newcomer.write_all(HELLO).await.unwrap();
        assert!(first_words(&mut newcomer).await.starts_with("HTTP/1.1 200 "));
    }

    #[tokio::test]
    async fn an_answer_that_takes_longer_than_one_may_idle_is_given() {
        let served = serve(Limits { idle_max: SHORT / 4, ..ROOMY }).await;
        let mut slow = served.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(first_words(&mut slow).await.starts_with("HTTP/1.1 200 "));
    }

    #[tokio::test]
    async fn a_panic_is_answered_and_the_connection_survives() {
        let served = serve(ROOMY).await;
        let mut stream = served.send(b"GET /panic HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let answer = first_words(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
        assert!(!answer.contains("bug"));
        stream.write_all(HELLO).await.unwrap();
        assert!(first_words(&mut stream).await.starts_with("HTTP/1.1 200 "));
    }

    #[tokio::test]
    async fn who_is_refused_while_sending_is_not_cut_off() {
        let served = serve(ROOMY).await;
        let mut stream = served.send(b"POST /refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n").await;
        let answer = first_words(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        for _ in 0..20 {
            stream.write_all(&vec![b'a'; 100_000]).await.expect("the connection broke off");
        }
    }

    #[tokio::test]
    async fn answers_name_no_software() {
        let served = serve(ROOMY).await;
        let answer = first_words(&mut served.send(HELLO).await).await.to_lowercase();
        assert!(!answer.contains("\r\nserver:") && !answer.contains("suppressd"), "{answer}");
    }

    #[tokio::test]
    async fn a_soft_stop_finishes_the_requests_in_flight() {
        let served = serve(ROOMY).await;
        let mut idle = served.send(b"").await;
        let mut first = served.send(HELLO).await;
        first_words(&mut first).await;
        let mut slow = served.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await;
        served.begun.notified().await;
        served.lifecycle.stop();
        assert!(until_closed(&mut slow).await.starts_with("HTTP/1.1 200 "));
        assert_eq!(until_closed(&mut idle).await, "");
        drop(first);
        assert_eq!(served.lifecycle.run_until_stopped(LONG).await, crate::lifecycle::Ended::Stopped);
        TcpStream::connect(served.address).await.unwrap_err();
    }

    #[tokio::test]
    async fn a_hard_stop_ends_everything() {
        let served = serve(ROOMY).await;
        let mut stream = served.send(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n").await;
        served.begun.notified().await;
        served.lifecycle.stop();
        assert_eq!(served.lifecycle.run_until_stopped(SHORT).await, crate::lifecycle::Ended::Forced);
        assert_eq!(until_closed(&mut stream).await, "");
    }

    #[tokio::test]
    async fn an_address_in_use_is_named() {
        let served = serve(ROOMY).await;
        let error = Listener::bind(served.address).await.unwrap_err();
        assert!(error.to_string().contains(&served.address.to_string()));
    }
}
