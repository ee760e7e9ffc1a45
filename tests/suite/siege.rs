//! A `serve` that thousands besiege for a minute or two: every signed event is acknowledged and kept, and memory and
//! file handles stay bounded. Run by `.ci/run --long`; what was seen is printed.

use std::{
    fs,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use suppressd::{lifecycle::Ended, simulator::draft::company};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    program::Running,
    world::{World, inbox, signature},
};

const PATIENCE: Duration = Duration::from_mins(5);

/// So often Notion sends an event.
const ATTEMPTS_MAX: u32 = 8;

/// What all connections and bodies may take together, with room for what the allocator keeps.
const GROWN_KIB_MAX: u64 = 128 * 1024;

/// How many connections the public listener has at most, with the one that waits for a seat.
const PUBLIC_MAX: usize = 513;

/// And the private one.
const PRIVATE_MAX: usize = 257;

/// So often memory and handles are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What the database, Notion and the rest of the program may open beyond what they have open when nobody is here.
const HANDLES_OWN_MAX: usize = 32;

/// A `serve` in a process of its own, and how it stood before anybody came.
struct Siege {
    world: World,
    serving: Running,
    before: u64,
    handles_before: usize,
}

impl Siege {
    async fn begin() -> Self {
        let world = World::start().await;
        assert_eq!(world.stop().await, Ended::Stopped);
        let serving = Running::serve(world.environment());
        let siege = Self { before: 0, handles_before: 0, world, serving };
        // The first deliveries take what every later one uses again.
        siege.deliver("first", 200).await;
        Self { before: siege.memory(), handles_before: siege.handles(), ..siege }
    }

    /// Kibibytes of memory that it has now.
    fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.serving.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().split(' ').next().unwrap().parse().unwrap()
    }

    fn handles(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.serving.id())).unwrap().count()
    }

    /// Delivers signed events as Notion does, each on a connection of its own, and again where that was closed before an
    /// answer: it may have had to give way. All have to be acknowledged; returns how many were sent again.
    async fn deliver(&self, round: &str, events: usize) -> u32 {
        let mut again = 0;
        let page = self.world.workspace().create(company("Acme").website("acme.com"));
        let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().pool_max_idle_per_host(0).build().unwrap();
        for n in 0..events {
            let body = self.world.event(&format!("{round}-{n}"), "page.created", page);
            let mut attempt = 1;
            let status = loop {
                let request = client.post(self.serving.webhook_url()).body(body.clone());
                match request.header("X-Notion-Signature", self.world.signature(&body)).send().await {
                    Ok(answer) => break answer.status(),
                    Err(error) => assert!(attempt < ATTEMPTS_MAX, "{round} {n}: {error:?}"),
                }
                attempt += 1;
            };
            assert_eq!(status, 200, "{round} {n}");
            again += attempt - 1;
        }
        again
    }

    /// Lets the crowd do its work at doors with so many seats while signed events are delivered, and judges memory and
    /// handles on the way.
    async fn stand<F: Future<Output = ()> + Send + 'static>(self, name: &str, seats: usize, crowd: F) {
        let crowd = TaskTracker::new().spawn(crowd);
        let (mut rounds, mut memory, mut handles, mut again) = (0, 0, 0, 0);
        while rounds < 5 || !crowd.is_finished() {
            let round = format!("{name}-{rounds}");
            let mut delivery = pin!(self.deliver(&round, 20));
            again += loop {
                memory = memory.max(self.memory());
                handles = handles.max(self.handles());
                if let Ok(again) = timeout(LOOK_EVERY, &mut delivery).await {
                    break again;
                }
            };
            rounds += 1;
        }
        crowd.await.unwrap();
        let kept = inbox(&self.world.database());
        assert_eq!(kept.len(), 200 + rounds * 20, "every signed event is kept, and nothing else");
        let told = format!(
            "{name}: {} events acknowledged, {again} attempts broken off; memory {} KiB before, {memory} KiB at most, {} KiB after; {} handles before, {handles} at most",
            rounds * 20,
            self.before,
            self.memory(),
            self.handles_before,
        );
        #[expect(clippy::print_stderr, reason = "who besieges it wants to see the figures")]
        {
            eprintln!("{told}");
        }
        assert!(memory < self.before + GROWN_KIB_MAX, "{memory} KiB");
        assert!(handles <= self.handles_before + seats + HANDLES_OWN_MAX, "{handles} handles");
    }
}

#[tokio::test]
#[ignore = "takes a minute, and 12,000 file handles: .ci/run --long"]
async fn ten_thousand_idle_connections() {
    let siege = Siege::begin().await;
    let address = siege.serving.public();
    siege
        .stand("idle", PUBLIC_MAX, async move {
            let mut crowd = Vec::new();
            for n in 0..10_000 {
                let mut stream = TcpStream::connect(address).await.unwrap();
                // Some say the beginning of something.
                if n % 2 == 0 {
                    let _refused = stream.write_all(b"POST /webhooks/notion HTTP/1.1\r\nHost: x\r\n").await;
                }
                crowd.push(stream);
            }
            tokio::time::sleep(Duration::from_secs(5)).await;
        })
        .await;
}

#[tokio::test]
#[ignore = "takes minutes: .ci/run --long"]
async fn a_hundred_thousand_wrong_signatures() {
    let siege = Siege::begin().await;
    let url = siege.serving.webhook_url();
    let body = siege.world.event("forged", "page.created", siege.world.workspace().create(company("Acme")));
    let forged = signature("secret_of_a_stranger", &body);
    let refused = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&refused);
    siege
        .stand("forged", PUBLIC_MAX, async move {
            let mut crowd = JoinSet::new();
            for _ in 0..50 {
                let (url, body, forged, counted) = (url.clone(), body.clone(), forged.clone(), Arc::clone(&counted));
                crowd.spawn(async move {
                    let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().unwrap();
                    for _ in 0..2_000 {
                        let request = client.post(&url).header("X-Notion-Signature", &forged).body(body.clone());
                        assert_eq!(request.send().await.unwrap().status(), 401);
                        counted.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            crowd.join_all().await;
        })
        .await;
    assert_eq!(refused.load(Ordering::Relaxed), 100_000);
}

#[tokio::test]
#[ignore = "takes a minute: .ci/run --long"]
async fn two_thousand_who_send_drop_by_drop() {
    let siege = Siege::begin().await;
    let (public, private) = (siege.serving.public(), siege.serving.private());
    siege
        .stand("slow", PUBLIC_MAX + PRIVATE_MAX, async move {
            let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
            for n in 0..2_000 {
                let (address, head) = match n % 4 {
                    0 => (public, "POST /webhooks/notion HTTP/1.1\r\nHost: x\r\nX: "),
                    1 => (public, "POST /webhooks/notion HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n"),
                    2 => (
                        public,
                        "POST /webhooks/notion HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n",
                    ),
                    _ => (private, "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"),
                };
                tracker.spawn(stop.clone().run_until_cancelled_owned(drip(address, head)));
            }
            tokio::time::sleep(Duration::from_secs(45)).await;
            stop.cancel();
            tracker.close();
            tracker.wait().await;
        })
        .await;
}

/// Sends a head, and then a byte now and then for as long as somebody listens; then comes again.
async fn drip(address: SocketAddr, head: &str) {
    loop {
        if let Ok(mut stream) = TcpStream::connect(address).await
            && stream.write_all(head.as_bytes()).await.is_ok()
        {
            while stream.write_all(b"a").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test]
#[ignore = "takes a minute: .ci/run --long"]
async fn two_thousand_heads_of_two_megabytes() {
    let siege = Siege::begin().await;
    let address = siege.serving.public();
    let large = Arc::new(format!("GET /healthz HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(2 * 1024 * 1024)));
    siege
        .stand("heads", PUBLIC_MAX, async move {
            let mut crowd = JoinSet::new();
            for _ in 0..50 {
                let large = Arc::clone(&large);
                crowd.spawn(async move {
                    for _ in 0..40 {
                        let mut stream = TcpStream::connect(address).await.unwrap();
                        let _cut_off = stream.write_all(large.as_bytes()).await;
                        let mut answer = Vec::new();
                        let _reset = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
                        assert!(!answer.starts_with(b"HTTP/1.1 2"));
                    }
                });
            }
            crowd.join_all().await;
        })
        .await;
}

#[tokio::test]
#[ignore = "takes a minute: .ci/run --long"]
async fn followers_and_models_that_do_not_read() {
    let siege = Siege::begin().await;
    let address = siege.serving.private();
    siege
        .stand("deaf", PRIVATE_MAX, async move {
            let mut crowd = Vec::new();
            let call = r#"{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}"#;
            let follow = "GET /v1/changes?after=0 HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n";
            let model = format!(
                "POST /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: application/json, text/event-stream\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{call}",
                call.len()
            );
            for n in 0..2_000 {
                let Ok(mut stream) = TcpStream::connect(address).await else { continue };
                // Many questions, whose answers nobody takes.
                let request = if n % 2 == 0 { follow.to_owned() } else { model.repeat(50) };
                let _refused = timeout(Duration::from_millis(200), stream.write_all(request.as_bytes())).await;
                crowd.push(stream);
            }
            tokio::time::sleep(Duration::from_secs(10)).await;
        })
        .await;
}
