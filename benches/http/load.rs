//! The load: keep-alive connections that each send the next request as soon as the last one is answered.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    runtime::Runtime,
    task::JoinSet,
    time::timeout,
};

/// No round takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Connections to one door, kept over all rounds.
pub(crate) struct Load {
    runtime: Runtime,
    streams: Vec<TcpStream>,
    requests: Arc<Vec<Vec<u8>>>,
    next: Arc<AtomicUsize>,
}

impl Load {
    /// Connects so many times to `address`, on a thread that is the caller's.
    pub(crate) fn new(address: SocketAddr, connections: usize, requests: &Arc<Vec<Vec<u8>>>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let connect = async || {
            let stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            stream
        };
        let streams = (0..connections).map(|_| runtime.block_on(connect())).collect();
        Self { runtime, streams, requests: Arc::clone(requests), next: Arc::default() }
    }

    /// Sends so many requests over each connection; returns how many were answered.
    pub(crate) fn run(&mut self, each: usize) -> usize {
        let streams: Vec<_> = self.streams.drain(..).collect();
        let count = streams.len() * each;
        self.streams = self.runtime.block_on(async {
            let mut connections = JoinSet::new();
            for stream in streams {
                connections.spawn(ask(stream, Arc::clone(&self.requests), Arc::clone(&self.next), each));
            }
            timeout(PATIENCE, connections.join_all()).await.unwrap()
        });
        count
    }

    /// Returns the body of the first answer.
    pub(crate) fn body(&mut self) -> Vec<u8> {
        let mut stream = self.streams.pop().unwrap();
        let (stream, answer) = self.runtime.block_on(async {
            stream.write_all(&self.requests[0]).await.unwrap();
            let mut answer = Vec::new();
            let body = whole(&mut stream, &mut answer).await;
            (stream, answer[body..].to_vec())
        });
        self.streams.push(stream);
        answer
    }
}

async fn ask(mut stream: TcpStream, requests: Arc<Vec<Vec<u8>>>, next: Arc<AtomicUsize>, count: usize) -> TcpStream {
    let mut answer = Vec::new();
    for _ in 0..count {
        let at = next.fetch_add(1, Ordering::Relaxed) % requests.len();
        stream.write_all(&requests[at]).await.unwrap();
        whole(&mut stream, &mut answer).await;
    }
    stream
}

/// Reads a whole answer, and returns where its body begins.
async fn whole(stream: &mut TcpStream, answer: &mut Vec<u8>) -> usize {
    answer.clear();
    let mut end = None;
    loop {
        if let Some((body, length)) = end
            && answer.len() >= body + length
        {
            return body;
        }
        assert_ne!(stream.read_buf(answer).await.unwrap(), 0, "the door hung up");
        end = end.or_else(|| head(answer));
    }
}

/// Returns where the body begins and how long it is, once the head is there.
fn head(answer: &[u8]) -> Option<(usize, usize)> {
    let body = answer.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let head = str::from_utf8(&answer[..body]).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}{}", String::from_utf8_lossy(&answer[body..]));
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    Some((body, length.unwrap()))
}
