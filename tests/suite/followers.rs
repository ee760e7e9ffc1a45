//! Followers of the changes over real HTTP: they wait, are woken, come back, begin anew, and are in nobody's way.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
    time::Duration,
};

use axum::Router;
use reqwest::{Response, StatusCode};
use serde_json::{Value as Json, json};
use suppressd::{
    app::serve::Serving,
    clock::Clock,
    derive::Rules,
    http::{
        changes::{Feed, routes},
        listen::{Limits, Listener},
    },
    lifecycle::{Ended, Lifecycle},
    lookup::{
        Lookup, LookupSettings,
        followers::{FOLLOWERS_MAX, Followers},
    },
    metrics::Metrics,
    simulator::draft::company,
};
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    time::{Instant, timeout},
};

use crate::{
    pipeline::connect,
    program::{Program, pause},
    world::World,
};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_mins(2);

/// A change that another process makes: its own doing is no matter here.
const ANOTHER: &str = "INSERT INTO suppressd_changes (changed_at, canonical_key, before, after, door, cause) \
    SELECT changed_at + 1, canonical_key, before, after, door, 'another process' FROM suppressd_changes \
    ORDER BY seq DESC LIMIT 1";

/// A world with some companies in its cache.
async fn world() -> World {
    let world = World::start().await;
    for n in 0..5 {
        world.workspace().create(company("Acme").website(&format!("acme-{n}.com")).status("Sourced"));
    }
    world.tell().await;
    world
}

fn meddle(world: &World, sql: &str) {
    connect(&world.database()).execute_batch(sql).unwrap();
}

async fn newest(world: &World) -> u64 {
    world.ask("/v1/entries?limit=1").await.1.get("seq").and_then(Json::as_u64).unwrap()
}

/// An open stream of server-sent events.
struct Stream {
    response: Response,
    text: String,
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
struct Event {
    id: Option<String>,
    kind: String,
    data: Json,
}

impl Stream {
    async fn open(world: &World, query: &str, last: Option<&str>) -> Self {
        let mut request = world.http.get(world.private_url(&format!("/v1/changes{query}"))).timeout(PATIENCE * 10);
        request = request.header("Accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next event; `None` at the end of the stream. Comments and what only has an id are passed over.
    async fn next(&mut self) -> Option<Event> {
        timeout(PATIENCE, async {
            loop {
                while let Some((block, rest)) = self.text.split_once("\n\n") {
                    let (block, rest) = (block.to_owned(), rest.to_owned());
                    self.text = rest;
                    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                    if let Some(data) = field("data: ") {
                        let data = serde_json::from_str(&data).unwrap();
                        return Some(Event { id: field("id: "), kind: field("event: ").unwrap(), data });
                    }
                }
                let chunk = self.response.chunk().await.unwrap()?;
                self.text.push_str(std::str::from_utf8(&chunk).unwrap());
            }
        })
        .await
        .unwrap()
    }

    async fn seqs(&mut self, count: usize) -> (Vec<u64>, String) {
        let (mut seqs, mut last) = (Vec::new(), String::new());
        for _ in 0..count {
            let event = self.next().await.unwrap();
            assert_eq!(event.kind, "change");
            seqs.push(event.data.get("seq").and_then(Json::as_u64).unwrap());
            last = event.id.unwrap();
        }
        (seqs, last)
    }
}

#[tokio::test]
async fn entries_and_changes_are_listed_in_pages_with_all_that_a_copy_needs() {
    let world = world().await;
    let (status, first) = world.ask("/v1/entries?limit=2").await;
    assert_eq!((status, first["entries"].as_array().unwrap().len()), (StatusCode::OK, 2));
    let entry = &first["entries"][0];
    assert_eq!(
        (&entry["key"], &entry["status"], &entry["firmness"]),
        (&json!("domain:acme-0.com"), &json!("Sourced"), &json!("soft"))
    );
    let row = world.row("domain:acme-0.com").unwrap();
    assert_eq!(
        (&entry["page"], &entry["company_name"], &entry["source"]),
        (&json!(row.page), &json!(row.company), &row.metadata["source"])
    );
    let mut keys = Vec::new();
    let mut next = json!("");
    while let Some(after) = next.as_str() {
        let page = world.ask(&format!("/v1/entries?limit=2&after={after}")).await.1;
        keys.extend(page["entries"].as_array().unwrap().iter().map(|entry| entry["key"].as_str().unwrap().to_owned()));
        next = page["next"].clone();
    }
    assert_eq!(keys, world.rows().into_iter().map(|row| row.key).collect::<Vec<_>>());

    let (_, read) = world.ask("/v1/changes?after=0&limit=3").await;
    let seqs: Vec<_> = read["changes"].as_array().unwrap().iter().map(|change| change["seq"].clone()).collect();
    assert_eq!(
        (json!(seqs), &read["seq"], &read["newest"], &read["oldest"]),
        (json!([1, 2, 3]), &json!(3), &json!(5), &json!(1))
    );
    let change = &read["changes"][0];
    assert_eq!((&change["from"], &change["to"]["status"]), (&Json::Null, &json!("Sourced")));
    assert_eq!((&change["entry"]["key"], &change["cause"]["door"]), (&change["key"], &json!("webhook")));
    for (path, status) in [
        ("/v1/changes?after=5", StatusCode::OK),
        ("/v1/changes", StatusCode::OK),
        ("/v1/changes?after=-1", StatusCode::BAD_REQUEST),
        ("/v1/changes?after=1&limit=0", StatusCode::BAD_REQUEST),
        ("/v1/changes?after=1&limit=1001", StatusCode::BAD_REQUEST),
        ("/v1/changes?after=1&wait=61s", StatusCode::BAD_REQUEST),
        ("/v1/changes?after=1&wait=soon", StatusCode::BAD_REQUEST),
        ("/v1/changes?before=1", StatusCode::BAD_REQUEST),
        ("/v1/entries?limit=0", StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(world.ask(path).await.0, status, "{path}");
    }
}

#[tokio::test]
async fn a_long_poll_is_woken_by_a_change_of_this_and_of_another_process() {
    let world = world().await;
    let seq = newest(&world).await;
    let path = format!("/v1/changes?after={seq}&wait=60s");
    let page = world.workspace().create(company("Beta").website("beta.com"));
    let (answer, ()) = tokio::join!(world.ask(&path), world.tell());
    assert_eq!((answer.0, &answer.1["changes"][0]["to"]["page"]), (StatusCode::OK, &json!(page.to_string())));
    let path = format!("/v1/changes?after={}&wait=60s", newest(&world).await);
    let (answer, ()) = tokio::join!(world.ask(&path), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        meddle(&world, ANOTHER);
    });
    assert_eq!((answer.0, &answer.1["changes"][0]["cause"]["id"]), (StatusCode::OK, &json!("another process")));
    // Where nothing comes, the answer says so and names the same place.
    let seq = newest(&world).await;
    let (status, nothing) = world.ask(&format!("/v1/changes?after={seq}&wait=1s")).await;
    assert_eq!((status, &nothing["changes"], &nothing["seq"]), (StatusCode::OK, &json!([]), &json!(seq)));
}

#[tokio::test]
async fn a_stream_that_is_taken_up_again_loses_and_repeats_nothing() {
    let mut world = world().await;
    let mut stream = Stream::open(&world, "?after=0", None).await;
    let (mut seqs, mut last) = stream.seqs(5).await;
    for round in 0..3 {
        // While it follows, and while it does not.
        meddle(&world, ANOTHER);
        let more = stream.seqs(1).await;
        seqs.extend(more.0);
        last = more.1;
        drop(stream);
        meddle(&world, ANOTHER);
        if round == 1 {
            world.restart().await;
        }
        // What the query says is where it once began.
        stream = Stream::open(&world, "?after=0", Some(&last)).await;
        let more = stream.seqs(1).await;
        seqs.extend(more.0);
        last = more.1;
    }
    assert_eq!(seqs, (1..=11).collect::<Vec<u64>>());
    // A number alone will do.
    let plain = last.split_once('-').unwrap().0;
    meddle(&world, ANOTHER);
    assert_eq!(Stream::open(&world, "", Some(plain)).await.seqs(1).await.0, [12]);
}

#[tokio::test]
async fn a_stream_from_now_on_can_be_taken_up_again_before_anything_has_come() {
    let world = world().await;
    let mut stream = Stream::open(&world, "", None).await;
    let begun = String::from_utf8(stream.response.chunk().await.unwrap().unwrap().to_vec()).unwrap();
    let id = begun.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
    assert!(id.starts_with("5-"), "{begun}");
    meddle(&world, ANOTHER);
    assert_eq!(Stream::open(&world, "", Some(id)).await.seqs(1).await.0, [6]);
}

#[tokio::test]
async fn who_cannot_go_on_is_told_to_begin_anew() {
    let world = world().await;
    let feed = world.ask("/v1/changes?after=5").await.1["feed"].as_str().unwrap().to_owned();
    let at_4 = world.ask("/v1/changes?after=4&limit=1").await.1["feed"].clone();
    assert_eq!(at_4, json!(feed), "the feed at the fifth change, however it was come to");
    assert_eq!(world.ask(&format!("/v1/changes?after=5&feed={feed}")).await.0, StatusCode::OK);
    meddle(
        &world,
        "DELETE FROM suppressd_changes WHERE seq <= 3; \
         UPDATE suppressd_facts SET value = '3' WHERE name = 'changes_forgotten_through'",
    );
    assert_eq!(world.ask("/v1/changes?after=3").await.0, StatusCode::OK);
    let another_feed = format!("?after=4&feed={feed}");
    for (query, words) in
        [("?after=2", "number 4"), ("?after=6", "there is no change 6"), (&another_feed, "other ones")]
    {
        let (status, problem) = world.ask(&format!("/v1/changes{query}")).await;
        assert_eq!((status, &problem["status"]), (StatusCode::GONE, &json!(410)), "{query}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(words) && detail.contains("/v1/entries"), "{detail}");
        let mut stream = Stream::open(&world, query, None).await;
        let gone = stream.next().await.unwrap();
        assert_eq!((gone.kind.as_str(), &gone.data["detail"]), ("gone", &problem["detail"]));
        assert_eq!(stream.next().await, None);
    }
    // One who waits is told as soon as the feed has another name.
    let mut stream = Stream::open(&world, "?after=4", None).await;
    assert_eq!(stream.seqs(1).await.0, [5]);
    let path = format!("/v1/changes?after=5&feed={feed}&wait=60s");
    let (answer, ()) = tokio::join!(world.ask(&path), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        meddle(&world, "UPDATE suppressd_facts SET value = 'another' WHERE name = 'feed'");
    });
    assert_eq!(answer.0, StatusCode::GONE);
    assert_eq!(stream.next().await.unwrap().kind, "gone");
}

#[tokio::test]
async fn a_stop_ends_all_who_wait_at_once_and_in_order() {
    let world = world().await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = Stream::open(&world, "?after=4", None).await;
        assert_eq!(stream.seqs(1).await.0, [5]);
        streams.push(stream);
    }
    let wait = world.ask("/v1/changes?after=5&wait=60s");
    let (answer, ended) = tokio::join!(wait, async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.stop().await
    });
    assert_eq!(ended, Ended::Stopped);
    assert_eq!((answer.0, &answer.1["changes"]), (StatusCode::OK, &json!([])));
    for mut stream in streams {
        assert_eq!(stream.next().await, None);
    }
}

#[tokio::test]
async fn one_follower_too_many_is_asked_to_come_later_and_everybody_else_is_answered() {
    let world = world().await;
    let mut streams = Vec::new();
    for _ in 0..FOLLOWERS_MAX {
        streams.push(Stream::open(&world, "?after=5", None).await);
    }
    let refused = world.http.get(world.private_url("/v1/changes")).header("Accept", "text/event-stream").send();
    let refused = refused.await.unwrap();
    assert_eq!(
        (refused.status(), refused.headers().contains_key("retry-after")),
        (StatusCode::SERVICE_UNAVAILABLE, true)
    );
    assert_eq!(world.ask("/v1/changes?after=5&wait=1s").await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(world.ask("/v1/changes?after=5").await.0, StatusCode::OK);
    assert_eq!(world.ask("/v1/changes?after=4&wait=1s").await.0, StatusCode::OK);
    assert_eq!(world.ask("/readyz").await.0, StatusCode::OK);
    // All of them are told.
    meddle(&world, ANOTHER);
    for stream in &mut streams {
        assert_eq!(stream.seqs(1).await.0, [6]);
    }
    drop(streams.pop());
    let seated = async || world.ask("/v1/changes?after=6&wait=1s").await.0 == StatusCode::OK;
    world.until("a seat is given back", seated).await;
}

#[tokio::test]
async fn a_follower_that_does_not_read_slows_nobody_and_does_not_hold_up_the_stop() {
    let world = world().await;
    // More than sockets take by themselves.
    meddle(
        &world,
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 30000) \
         INSERT INTO suppressd_changes (changed_at, canonical_key, before, after, door, cause) \
         SELECT c.changed_at, c.canonical_key, c.before, c.after, c.door, hex(zeroblob(200)) \
         FROM n, (SELECT * FROM suppressd_changes ORDER BY seq LIMIT 1) AS c",
    );
    let Serving { private, .. } = &world.serving;
    let mut deaf = TcpStream::connect(private).await.unwrap();
    let request = "GET /v1/changes?after=0 HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n";
    deaf.write_all(request.as_bytes()).await.unwrap();
    let newest = newest(&world).await;
    let mut stream = Stream::open(&world, &format!("?after={newest}"), None).await;
    for n in 1..=5 {
        meddle(&world, ANOTHER);
        assert_eq!(stream.seqs(1).await.0, [newest + n]);
        assert_eq!(world.ask("/readyz").await.0, StatusCode::OK);
    }
    assert_eq!(world.stop().await, Ended::Stopped);
    assert_eq!(stream.next().await, None);
    drop(deaf);
}

#[tokio::test]
async fn a_stream_outlives_what_a_connection_may_idle() {
    const KEEP_ALIVE: Duration = Duration::from_millis(50);
    let world = world().await;
    let lifecycle = Lifecycle::default();
    let settings = LookupSettings { max_age: chrono::TimeDelta::days(7), rules: Rules::default(), tables: Vec::new() };
    let lookup = Lookup::new(world.serving.store.clone(), Clock::system(), settings);
    let feed = Feed { lookup, followers: Followers::new(lifecycle.soft.clone()), keep_alive: KEEP_ALIVE };
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let url = format!("http://{}/v1/changes", listener.address());
    let limits = Limits { idle_max: KEEP_ALIVE * 20, head_max: KEEP_ALIVE * 20, ..Limits::PRIVATE };
    lifecycle.spawn(
        "listener",
        listener.serve(Router::from(routes::<_, ()>(feed)), limits, Metrics::default(), lifecycle.clone()),
    );
    let mut response = world.http.get(url).header("Accept", "text/event-stream").send().await.unwrap();
    let mut comments = 0;
    while comments < 60 {
        let chunk = timeout(PATIENCE, response.chunk()).await.unwrap().unwrap().expect("the stream was cut");
        comments += usize::from(chunk.contains(&b':'));
    }
    lifecycle.stop();
    assert_eq!(lifecycle.run_until_stopped(PATIENCE).await, Ended::Stopped);
}

#[test]
fn the_command_lists_the_newest_changes_and_follows_those_that_come() {
    let program = Program::with_fixtures();
    let newest = program.number("SELECT max(seq) FROM suppressd_changes");
    let seqs = |words: &[&str]| -> Vec<i64> {
        let said = program.run(words);
        assert_eq!(said.status, Some(0), "{said:?}");
        said.out.lines().map(|line| serde_json::from_str::<Json>(line).unwrap()["seq"].as_i64().unwrap()).collect()
    };
    assert_eq!(seqs(&["changes", "--json", "--limit", "3"]), [newest - 2, newest - 1, newest]);
    assert_eq!(seqs(&["changes", "--json", "--after", "0", "--limit", "2"]), [1, 2]);
    assert_eq!(seqs(&["changes", "--json", "--after", "0", "--limit", "100000"]), (1..=newest).collect::<Vec<_>>());
    let told = program.run(&["changes", "--limit", "1"]);
    let headings: Vec<_> = told.out.lines().next().unwrap().split_whitespace().collect();
    assert_eq!((headings, told.out.lines().count()), (vec!["CHANGE", "WHEN", "KEY", "FROM", "TO", "CAUSE"], 2));
    assert!(told.out.contains(&format!("\n{newest}  ")), "{told:?}");
    assert_eq!(program.run(&["changes", "--after", "1000000"]).status, Some(2));

    let running = program.start(&["changes", "--follow", "--json", "--limit", "1"]);
    running.until(&format!("\"seq\":{newest},"));
    program.sql(ANOTHER);
    running.until("another process");
    // Where the feed gets another name, whoever only looks on misses no change.
    let another = ANOTHER.replace("another process", "another name");
    program.sql(&format!(
        "BEGIN IMMEDIATE; INSERT OR REPLACE INTO suppressd_facts (name, value) VALUES ('feed', 'f00d'); {another}; COMMIT"
    ));
    running.until("another name");
    running.signal("INT");
    assert_eq!(running.end().0, Some(0));
}

#[test]
fn the_command_ends_once_nobody_reads_what_it_follows() {
    let program = Program::with_fixtures();
    let mut running = program
        .command(&["changes", "--follow", "--json", "--limit", "1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(running.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("\"seq\":"), "{first}");
    // Who writes hears that the reader has gone when there is something to write.
    program.sql(ANOTHER);
    let began = Instant::now();
    while running.try_wait().unwrap().is_none() && began.elapsed() < PATIENCE {
        pause();
    }
    let _it_may_have_ended = running.kill();
    assert_eq!(running.wait().unwrap().code(), Some(0));
}
