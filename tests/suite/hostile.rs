//! Senders that mean harm: whatever they send, and however slowly, signed events are acknowledged, and nothing of
//! theirs is kept.

use std::{net::SocketAddr, time::Duration};

use suppressd::{
    lifecycle::Ended,
    simulator::{Settings, draft::company},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{program::Running, world::World};

/// Longer than anything here takes; a test that waits for this has failed.
const PATIENCE: Duration = Duration::from_mins(2);

/// What begins a request with a body, up to its own headers.
const POST: &str = "POST /webhooks/notion HTTP/1.1\r\nHost: x\r\n";

/// What a stranger would like to hide in the body of another request.
const HIDDEN: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";

/// Sends bytes on a connection of its own, and returns all that comes until the other side closes.
async fn say(address: SocketAddr, bytes: &[u8]) -> String {
    let (mut from, mut to) = TcpStream::connect(address).await.unwrap().into_split();
    // Who is refused while he still sends may find the connection closed.
    let (_refused, answer) = tokio::join!(to.write_all(bytes), rest(&mut from));
    answer
}

/// As [`say`], and says that nothing more will come.
async fn say_last(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let _refused = stream.shutdown().await;
    rest(&mut stream).await
}

/// What comes until the other side closes.
async fn rest(from: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    // A reset closes as well.
    let _closed = timeout(PATIENCE, from.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

/// The statuses of the answers that stand one behind the other.
fn statuses(answers: &str) -> Vec<&str> {
    answers.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.get(..3)).collect()
}

/// Checks that the world takes signed events, and has kept nothing else but what `kept` says.
async fn check_unharmed(world: &World, kept: impl Fn(&str) -> bool) {
    let page = world.workspace().create(company("Acme").website("acme.com"));
    for n in 0..3 {
        let body = world.event(&format!("signed-{n}"), "page.created", page);
        assert_eq!(world.deliver(&body).await, 200);
    }
    let inbox = world.inbox();
    assert!((0..3).all(|n| inbox.contains_key(&format!("signed-{n}"))));
    let foreign: Vec<_> = inbox.keys().filter(|id| !id.starts_with("signed-") && !kept(id)).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
}

#[tokio::test]
async fn a_request_that_can_be_read_in_two_ways_is_not_read_in_the_way_that_hides_another() {
    let world = World::start().await;
    let length = format!("Content-Length: {}\r\n", "0\r\n\r\n".len() + HIDDEN.len());
    let check = async |headers: &str, body: &str, expected: &[&str]| {
        let answers = say(world.serving.public, format!("{POST}{headers}\r\n{body}").as_bytes()).await;
        assert_eq!(statuses(&answers), expected, "{headers:?} {body:?}: {answers}");
    };
    let chunked = format!("0\r\n\r\n{HIDDEN}");
    // Of both framings the chunks count, and nothing behind them is heard.
    check(&format!("{length}Transfer-Encoding: chunked\r\n"), &chunked, &["401"]).await;
    check(&format!("Transfer-Encoding: chunked\r\n{length}"), &chunked, &["401"]).await;
    // Everything else that two readers could take for two things is nothing.
    for headers in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: 99999999999999999999999\r\n",
        "Content-Length:\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Content-Length : 5\r\n",
        "Transfer-Encoding: chun\r\n ked\r\n",
        "X: a\r\n Transfer-Encoding: chunked\r\n",
        "X: a\0b\r\n",
        "X: a\rContent-Length: 5\r\n",
    ] {
        check(headers, &chunked, &["400"]).await;
    }
    let old = format!("POST /webhooks/notion HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}");
    assert_eq!(statuses(&say(world.serving.public, old.as_bytes()).await), ["400"], "HTTP/1.0 knows no chunks");
    // Chunks that two readers could end elsewhere break off, and nothing behind them is heard.
    for body in [
        "5;\r\nabcde\nX\r\n0\r\n\r\n",
        "5\nabcde\r\n0\r\n\r\n",
        "0x5\r\nabcde\r\n0\r\n\r\n",
        "-5\r\nabcde\r\n0\r\n\r\n",
        "5 5\r\nabcde\r\n0\r\n\r\n",
        "5\r\nabcdefg\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFF\r\nabcde\r\n0\r\n\r\n",
        "10000000000000000\r\nabcde\r\n0\r\n\r\n",
        "\r\n\r\n",
    ] {
        let body = format!("{body}{HIDDEN}");
        let request = format!("{POST}Transfer-Encoding: chunked\r\n\r\n{body}");
        let answers = say_last(world.serving.public, request.as_bytes()).await;
        assert!(matches!(*statuses(&answers), ["400" | "413"] | []), "{body:?}: {answers}");
    }
    check_unharmed(&world, |_| false).await;
}

#[tokio::test]
async fn what_is_no_request_is_turned_away() {
    let world = World::start().await;
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03abcdefgh\x00\x20\r\n\r\n";
    let garbage: Vec<u8> = (0..=255).cycle().take(64 * 1024).collect();
    for (bytes, name) in [
        (&hello[..], "TLS"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", "HTTP/2"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "SSH"),
        (b"GET /healthz\r\n\r\n", "HTTP/0.9"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "a proxy's header"),
        (b"CONNECT notion.example:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "CONNECT"),
        (&garbage, "garbage"),
    ] {
        for address in [world.serving.public, world.serving.private] {
            let answer = say(address, bytes).await;
            let refused = ["400", "401", "403", "404", "405", "421", "431", "505"];
            assert!(statuses(&answer).iter().all(|status| refused.contains(status)), "{name}: {answer}");
            assert!(statuses(&answer).len() <= 1, "{name}: {answer}");
        }
    }
    check_unharmed(&world, |_| false).await;
}

#[tokio::test]
async fn garbage_behind_a_signed_event_costs_nobody_that_event() {
    let world = World::start().await;
    let page = world.workspace().create(company("Acme").website("acme.com"));
    for (n, garbage) in ["\0\0\0\0\r\n\r\n", "GET\r\n\r\n", "{\"id\": 1}\r\n\r\n"].iter().enumerate() {
        let body = world.event(&format!("event-{n}"), "page.created", page);
        let head = format!("X-Notion-Signature: {}\r\nContent-Length: {}\r\n", world.signature(&body), body.len());
        let answers = say(world.serving.public, format!("{POST}{head}\r\n{body}{garbage}").as_bytes()).await;
        assert_eq!(statuses(&answers), ["200", "400"], "{garbage:?}");
        assert!(world.inbox().contains_key(&format!("event-{n}")));
    }
    // Many at once on one connection are answered one by one, in their order.
    let requests: String =
        (0..200).map(|n| if n % 2 == 0 { HIDDEN.to_owned() } else { post(&world, n, page) }).collect();
    let last = "GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answers = say(world.serving.public, format!("{requests}{last}").as_bytes()).await;
    assert_eq!(statuses(&answers), [vec!["200"; 200], vec!["404"]].concat(), "{answers:.3000}");
    assert_eq!(world.inbox().len(), 3 + 100);
}

/// A whole signed request.
fn post(world: &World, n: usize, page: suppressd::model::id::PageId) -> String {
    let body = world.event(&format!("pipelined-{n}"), "page.created", page);
    format!("{POST}X-Notion-Signature: {}\r\nContent-Length: {}\r\n\r\n{body}", world.signature(&body), body.len())
}

#[tokio::test]
async fn heads_and_chunks_without_end_are_cut_off() {
    let world = World::start().await;
    let large = "a".repeat(2 * 1024 * 1024);
    let many: String = (0..20_000).map(|n| format!("X-{n}: a\r\n")).collect::<Vec<_>>().concat();
    let get = "GET /healthz HTTP/1.1\r\nHost: x\r\n";
    for (request, name) in [
        (format!("{get}X: {large}\r\n\r\n"), "a header of 2 MB"),
        (format!("{get}{large}: x\r\n\r\n"), "a name of 2 MB"),
        (format!("{get}{many}\r\n"), "20,000 headers"),
        (format!("GET /healthz?{large} HTTP/1.1\r\nHost: x\r\n\r\n"), "a query of 2 MB"),
        (format!("{large} /healthz HTTP/1.1\r\nHost: x\r\n\r\n"), "a method of 2 MB"),
        (format!("{POST}Transfer-Encoding: chunked\r\n\r\n1;{large}\r\na\r\n0\r\n\r\n"), "an extension of 2 MB"),
        (format!("{POST}Transfer-Encoding: chunked\r\n\r\n0\r\nX: {large}\r\n\r\n"), "a trailer of 2 MB"),
        (format!("{POST}Transfer-Encoding: chunked\r\n\r\n0\r\n{many}\r\n"), "20,000 trailers"),
        (format!("{POST}Expect: {large}\r\n\r\n"), "an expectation of 2 MB"),
    ] {
        for address in [world.serving.public, world.serving.private] {
            let answers = say(address, request.as_bytes()).await;
            let refused = ["400", "401", "403", "404", "413", "414", "421", "431"];
            assert!(statuses(&answers).iter().all(|status| refused.contains(status)), "{name}: {answers}");
            assert!(statuses(&answers).len() <= 1, "{name}: {answers}");
        }
    }
    // What is long and still bounded is answered.
    let query = format!("GET /healthz?{} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "a".repeat(16 * 1024));
    assert_eq!(statuses(&say(world.serving.public, query.as_bytes()).await), ["200"]);
    let body = world.event("chunks", "page.created", world.workspace().create(company("Acme")));
    let chunks: Vec<_> = body.chars().map(|c| format!("{:x};e=1\r\n{c}\r\n", c.len_utf8())).collect();
    let chunks = chunks.concat();
    let head = format!("{POST}Connection: close\r\nX-Notion-Signature: {}\r\n", world.signature(&body));
    let request = format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n");
    assert_eq!(statuses(&say(world.serving.public, request.as_bytes()).await), ["200"]);
    assert_eq!(world.inbox().len(), 1);
    check_unharmed(&world, |id| id == "chunks").await;
}

#[tokio::test]
async fn who_stops_sending_behind_a_whole_event_may_still_hear_its_answer() {
    let world = World::start().await;
    let page = world.workspace().create(company("Acme").website("acme.com"));
    for n in 0..20 {
        let answer = say_last(world.serving.public, post(&world, n, page).as_bytes()).await;
        assert!(matches!(*statuses(&answer), ["200"] | []), "{answer}");
        // What is acknowledged is there; what is not is sent again.
        assert!(answer.is_empty() || world.inbox().contains_key(&format!("pipelined-{n}")));
    }
    check_unharmed(&world, |id| id.starts_with("pipelined-")).await;
}

#[tokio::test]
async fn a_crowd_that_sends_drop_by_drop_keeps_no_event_out_of_either_door() {
    let world = World::with(Settings::default(), &[]).await;
    // In a process of its own: the crowd is in this one.
    assert_eq!(world.stop().await, Ended::Stopped);
    let mut serving = Running::serve(world.environment());
    let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    for n in 0..200 {
        let address = if n % 4 == 3 { serving.private() } else { serving.public() };
        let request = match n % 4 {
            // Heads and bodies, signed or not, and questions.
            0 => format!("{POST}X: {}", "a".repeat(1_000)),
            1 => format!("{POST}Content-Length: 1000\r\n\r\n{}", " ".repeat(1_000)),
            2 => format!("{POST}Transfer-Encoding: chunked\r\n\r\n{}", "1\r\na\r\n".repeat(1_000)),
            _ => format!("POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{}", "[".repeat(999)),
        };
        tracker.spawn(stop.clone().run_until_cancelled_owned(drip(address, request)));
    }
    let page = world.workspace().create(company("Acme").website("acme.com"));
    for n in 0..50 {
        let body = world.event(&format!("event-{n}"), "page.created", page);
        let request = world.http.post(serving.webhook_url()).header("X-Notion-Signature", world.signature(&body));
        assert_eq!(request.body(body).send().await.unwrap().status(), 200);
        let ready = world.http.get(format!("http://{}/healthz", serving.private())).send().await.unwrap();
        assert_eq!(ready.status(), 200, "the private door answers, too");
    }
    assert_eq!(world.inbox().len(), 50);
    stop.cancel();
    tracker.close();
    tracker.wait().await;
    serving.kill();
}

/// Sends a request byte by byte, for as long as somebody listens.
async fn drip(address: SocketAddr, request: String) {
    let Ok(mut stream) = TcpStream::connect(address).await else { return };
    for byte in request.as_bytes() {
        if stream.write_all(&[*byte]).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut answer = Vec::new();
    let _closed = stream.read_to_end(&mut answer).await;
}

#[tokio::test]
async fn messages_that_no_model_sends_are_refused_and_keep_nothing() {
    let world = World::start().await;
    let url = world.private_url("/mcp");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let call = r#"{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "check", "arguments": "#;
    for body in [
        deep.clone(),
        "\0".repeat(1_000),
        "{".to_owned(),
        "[]".to_owned(),
        format!(r#"{{"jsonrpc": "2.0", "id": 1, "method": {deep}}}"#),
        format!("{call}{deep}}}}}"),
        format!("{call}{{\"key\": \"{}\"}}}}}}", "a".repeat(900_000)),
        format!("{call}{{\"keys\": [{}]}}}}}}", vec!["1"; 100_000].join(",")),
        format!("[{}]", vec![r#"{"jsonrpc": "2.0", "id": 1, "method": "ping"}"#; 10_000].join(",")),
        " ".repeat(2 * 1024 * 1024),
    ] {
        let request = world.http.post(&url).header("Accept", "application/json, text/event-stream");
        let answer = request.header("Content-Type", "application/json").body(body).send().await.unwrap();
        let (status, told) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_client_error() || told.contains("error") || told.contains("isError"), "{status} {told:.500}");
        assert!(told.len() < 10_000, "{} bytes of an answer", told.len());
    }
    assert_eq!(world.ask("/readyz").await.0, 200);
    check_unharmed(&world, |_| false).await;
}
