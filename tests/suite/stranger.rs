//! A stranger can store nothing, learn nothing and stop nothing.

use std::{collections::BTreeSet, fs, net::SocketAddr, time::Duration};

use reqwest::{Method, StatusCode};
use suppressd::{
    lifecycle::Ended,
    model::id::PageId,
    simulator::{draft::company, webhooks::Delivering},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{
    pipeline::connect,
    program::Running,
    world::{World, signature},
};

/// Longer than any answer here takes.
const PATIENCE: Duration = Duration::from_mins(2);

/// More than the public door has places for.
const CROWD: usize = 600;

/// The largest body that is read.
const LARGEST: usize = 1024 * 1024;

#[tokio::test]
async fn a_stranger_stores_nothing_and_learns_nothing() {
    let world = World::start().await;
    let page = world.workspace().create(company("Acme").website("acme.com").status("Passed"));
    world.tell().await;
    let (before, asked) = (everything(&world), world.simulator.tally().total());
    let known = world.event(world.inbox().keys().next().unwrap(), "page.created", page);
    let unknown = world.event("unknown", "page.deleted", page);
    let handshake = r#"{"verification_token": "secret_of_a_stranger"}"#;
    let large = "a".repeat(LARGEST + 1);
    let forged = signature("secret_of_a_stranger", &known);
    let borrowed = world.signature("{}");
    let requests: &[(&str, Option<&str>, u16)] = &[
        (&known, None, 401),
        (&known, Some(&forged), 401),
        (&known, Some(&borrowed), 401),
        (&known, Some("sha256="), 401),
        (&unknown, None, 401),
        (&unknown, Some(&forged), 401),
        ("", None, 401),
        ("{", None, 401),
        ("{\"type\": \"page.created\"}", Some("nonsense"), 401),
        (handshake, Some(&forged), 401),
        (&large, None, 413),
        (&large, Some(&forged), 413),
    ];
    let mut refusals = BTreeSet::new();
    for _ in 0..25 {
        for (body, signature, status) in requests {
            let mut head = format!("Content-Length: {}\r\n", body.len());
            if let Some(signature) = signature {
                head = format!("{head}X-Notion-Signature: {signature}\r\n");
            }
            let answer = say(world.serving.public, "POST /webhooks/notion", &head, body).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
            refusals.insert(answer);
        }
    }
    assert_eq!(refusals.len(), 2, "every 401 is the same, and every 413: {refusals:?}");
    for refusal in &refusals {
        check_says_nothing(refusal);
    }
    assert_eq!(everything(&world), before);
    assert_eq!(world.simulator.tally().total(), asked, "and Notion is asked nothing");
}

#[tokio::test]
async fn what_is_sent_by_halves_stores_nothing_and_hurts_nobody() {
    let world = World::start().await;
    let page = world.workspace().create(company("Acme").website("acme.com"));
    let body = world.event("event", "page.created", page);
    let before = everything(&world);
    let whole = format!(
        "POST /webhooks/notion HTTP/1.1\r\nHost: x\r\nX-Notion-Signature: {}\r\nContent-Length: {}\r\n\r\n{body}",
        world.signature(&body),
        body.len(),
    );
    // Signed or not: what does not arrive whole is nothing.
    for length in (0..whole.len()).step_by(7) {
        let mut stream = TcpStream::connect(world.serving.public).await.unwrap();
        stream.write_all(&whole.as_bytes()[..length]).await.unwrap();
        if length % 2 == 0 {
            stream.shutdown().await.unwrap();
            let answer = rest(&mut stream).await;
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
        }
    }
    for nonsense in ["\r\n\r\n", "GET\r\n\r\n", "\0\0\0\0", "POST /webhooks/notion HTTP/9\r\n\r\n", "\u{16}\u{3}\u{1}"]
    {
        let mut stream = TcpStream::connect(world.serving.public).await.unwrap();
        stream.write_all(nonsense.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
        check_says_nothing(&answer);
    }
    assert_eq!(everything(&world), before);
    assert_eq!(world.deliver(&body).await, StatusCode::OK);
}

#[tokio::test]
async fn private_routes_are_not_behind_the_public_door() {
    let world = World::start().await;
    world.workspace().create(company("Acme").website("acme.com"));
    world.tell().await;
    let nowhere = say(world.serving.public, "GET /nowhere", "", "").await;
    assert!(nowhere.starts_with("HTTP/1.1 404 "), "{nowhere}");
    check_says_nothing(&nowhere);
    for path in [
        "/readyz",
        "/metrics",
        "/v1/status",
        "/v1/events",
        "/v1/check",
        "/v1/suppression/domain:acme.com",
        "/v1/reconcile",
        "/v1/sweeps",
        "/mcp",
        "/openapi.json",
        "/webhooks/../v1/status",
        "/webhooks/notion/../../v1/status",
        "//v1/status",
        "http://127.0.0.1/v1/status",
    ] {
        for method in [Method::GET, Method::POST] {
            let answer = say(world.serving.public, &format!("{method} {path}"), "Content-Length: 0\r\n", "").await;
            assert_eq!(answer, nowhere, "{method} {path}");
        }
    }
    let health = say(world.serving.public, "GET /healthz", "", "").await;
    assert!(health.starts_with("HTTP/1.1 200 "), "{health}");
    check_says_nothing(&health);
}

#[tokio::test]
async fn a_crowd_that_says_nothing_keeps_no_delivery_out() {
    let world = World::start().await;
    // In a process of its own: the crowd is in this one.
    assert_eq!(world.stop().await, Ended::Stopped);
    let process = Running::serve(world.environment());
    let mut crowd = Vec::new();
    for n in 0..CROWD {
        let opening = match n % 3 {
            0 => "",
            1 => "POST /webhooks/notion HTTP/1.1\r\nHost:",
            _ => "POST /webhooks/notion HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
        };
        let mut stream = TcpStream::connect(process.public()).await.unwrap();
        stream.write_all(opening.as_bytes()).await.unwrap();
        crowd.push(stream);
    }
    for n in 0..10 {
        world.workspace().create(company("Acme").website(&format!("acme-{n}.com")));
        // A subscription of its own, so that each comes on a connection of its own.
        let webhooks = world.simulator.webhooks(&process.webhook_url(), Delivering::default()).unwrap();
        let delivered = webhooks.deliver_all().await;
        assert!(!delivered.is_empty());
        for delivery in delivered {
            assert_eq!(delivery.status, Some(200), "delivery {n}");
        }
    }
    world.until("every row is there", async || world.rows().len() == 10).await;
    drop(crowd);
}

#[tokio::test]
async fn a_crowd_that_fills_the_memory_of_bodies_keeps_no_delivery_out() {
    let world = World::start().await;
    let page = world.workspace().create(company("Acme").website("acme.com"));
    // Nobody may take longer over a body than ten seconds: on a slow machine the crowd may have lost its memory when all
    // is delivered, and has shown nothing.
    let mut round = 0;
    while !keeps_its_memory(&world, page, round).await {
        round += 1;
        assert!(round < 20, "the crowd never keeps its memory");
    }
}

/// Fills the memory of bodies and delivers events meanwhile. Returns whether the crowd had the memory to the end.
async fn keeps_its_memory(world: &World, page: PageId, round: u32) -> bool {
    let large = " ".repeat(LARGEST);
    let mut crowd = Vec::new();
    while crowd.len() < 60 || world.deliver(&large).await != StatusCode::SERVICE_UNAVAILABLE {
        // The last byte never comes.
        let head = format!("POST /webhooks/notion HTTP/1.1\r\nHost: x\r\nContent-Length: {LARGEST}\r\n\r\n");
        let mut stream = TcpStream::connect(world.serving.public).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let _refused = stream.write_all(large.as_bytes().get(1..).unwrap()).await;
        crowd.push(stream);
        if crowd.len() >= 100 {
            return false;
        }
    }
    for n in 0..10 {
        let body = world.event(&format!("event-{round}-{n}"), "page.properties_updated", page);
        assert_eq!(world.deliver(&body).await, StatusCode::OK);
    }
    world.deliver(&large).await == StatusCode::SERVICE_UNAVAILABLE
}

/// Everything that is kept, apart from what the program says of itself every few seconds.
fn everything(world: &World) -> Vec<String> {
    let connection = connect(&world.database());
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'suppressd_facts' ORDER BY name";
    let mut tables = connection.prepare(tables).unwrap();
    let tables: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert!(tables.len() > 5, "{tables:?}");
    let counted = tables.into_iter().map(|table| {
        let count = connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, u64>(0));
        format!("{table} {}", count.unwrap())
    });
    let mut files: Vec<_> =
        fs::read_dir(world.folder()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    counted.chain(files).collect()
}

/// Sends a request as it stands on a connection of its own, and returns the whole answer but for its date.
async fn say(address: SocketAddr, line: &str, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    answer.split_inclusive("\r\n").filter(|line| !line.starts_with("date: ")).collect()
}

/// What comes until the other side closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset closes as well.
    let _closed = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

/// Checks that an answer has nothing but its status in it, in word and number.
fn check_says_nothing(answer: &str) {
    if answer.is_empty() {
        return;
    }
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let reason = lines.next().unwrap().splitn(3, ' ').nth(2).unwrap();
    assert!(body.is_empty() || body == reason, "{answer}");
    for line in lines {
        let (name, _) = line.split_once(':').unwrap();
        let known = ["content-type", "content-length", "connection", "date", "allow"];
        assert!(known.contains(&name), "{line}");
    }
}
