//! The load: keep-alive connections that each send the next prepared delivery as soon as the last one is answered.

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
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::{cpu, deliveries::Deliveries};

/// No answer takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is answered.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\n";

/// How a round is driven.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// How many deliveries are on their way at once.
    pub(crate) connections: usize,
    /// For how long new ones are sent.
    pub(crate) round: Duration,
}

/// What a round brought.
#[derive(Debug)]
pub(crate) struct Measured {
    /// From the first delivery to the last answer.
    pub(crate) elapsed: Duration,
    /// What this process spent on it on all cores, the load itself included.
    pub(crate) cpu: Duration,
    /// From sending to the whole answer in microseconds, sorted.
    pub(crate) latencies: Vec<u32>,
}

impl Measured {
    /// Returns the answers per second.
    pub(crate) fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// Returns the latency in milliseconds below which this percentage of the answers stayed.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let at = (self.latencies.len() * percent / 100).min(self.latencies.len() - 1);
        f64::from(self.latencies[at]) / 1_000.0
    }
}

/// Sends deliveries to `address` on the calling thread, each one once.
pub(crate) fn run(address: SocketAddr, deliveries: &Arc<Deliveries>, load: Load) -> Measured {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let next = Arc::new(AtomicUsize::new(0));
    runtime.block_on(async {
        let mut streams = Vec::new();
        for _ in 0..load.connections {
            let stream = TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            streams.push(stream);
        }
        let (begun, cpu) = (Instant::now(), cpu::spent());
        let mut connections = JoinSet::new();
        for stream in streams {
            connections.spawn(deliver(stream, Arc::clone(deliveries), Arc::clone(&next), begun + load.round));
        }
        let all = timeout(load.round + PATIENCE, connections.join_all()).await.unwrap();
        let (elapsed, cpu) = (begun.elapsed(), cpu::spent().saturating_sub(cpu));
        let mut latencies = all.concat();
        latencies.sort_unstable();
        Measured { elapsed, cpu, latencies }
    })
}

/// Delivers over one connection until `end`; returns how long each answer took.
async fn deliver(mut stream: TcpStream, deliveries: Arc<Deliveries>, next: Arc<AtomicUsize>, end: Instant) -> Vec<u32> {
    let mut latencies = Vec::new();
    let mut answer = [0; 1024];
    while let Some(request) = deliveries.get(next.fetch_add(1, Ordering::Relaxed)) {
        let sent = Instant::now();
        if sent >= end {
            break;
        }
        stream.write_all(request).await.unwrap();
        let mut read = 0;
        while !is_whole(&answer[..read]) {
            let more = stream.read(&mut answer[read..]).await.unwrap();
            assert_ne!(more, 0, "the door hung up");
            read += more;
        }
        assert!(answer.starts_with(ANSWER), "{}", String::from_utf8_lossy(&answer[..read]));
        latencies.push(u32::try_from(sent.elapsed().as_micros()).unwrap());
    }
    latencies
}

/// Returns whether an answer is there with its body, which is the word for its status.
fn is_whole(answer: &[u8]) -> bool {
    answer.ends_with(b"\r\n\r\nOK")
}
