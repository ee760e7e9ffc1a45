//! What the receiver answers, one test a line of the table: whatever is signed correctly is 200 and on the disk.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use axum::{
    Router,
    http::{StatusCode as Status, Uri},
};
use reqwest::{Method, Response, StatusCode};
use rusqlite::Connection;
use serde_json::{Value as Json, json};
use suppressd::{
    metrics::label::Answer,
    model::{
        event::{Concern, EventKind},
        id::PageId,
    },
    simulator::{Settings, draft::company, faults::Fault, question::Endpoint},
    store::EventState,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::{
    pipeline::connect,
    world::{World, event, signature},
};

const MIB: usize = 1024 * 1024;

/// The database of `fixtures/`.
const FERNHOLLOW: &str = "530e8a8c-1f42-4b4a-b49b-741a02ba20ef";

/// Another program that writes into the same file: nobody else can, until this is dropped.
struct Lock(Connection);

impl Lock {
    fn hold(database: &Path) -> Self {
        let connection = connect(database);
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        Self(connection)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.0.execute_batch("ROLLBACK").unwrap();
    }
}

#[tokio::test]
async fn an_accepted_event_is_200_and_on_the_disk_by_then() {
    let world = World::start().await;
    let page = world.workspace().create(company("Acme").website("acme.com"));
    for n in 0..50 {
        let (id, body) = (format!("event-{n}"), world.event(&format!("event-{n}"), "page.properties_updated", page));
        assert_eq!(world.deliver(&body).await, StatusCode::OK);
        let kept = world.inbox().remove(&id).unwrap();
        assert_eq!((kept.kind.as_str(), kept.body), ("page.properties_updated", Some(body)));
    }
    world.settled().await;
    assert!(world.row("domain:acme.com").is_some());
}

#[tokio::test]
async fn no_200_leaves_before_the_commit() {
    let world = World::start().await;
    let page = world.workspace().create(company("Acme").website("acme.com"));
    let body = world.event("event", "page.created", page);
    let lock = Lock::hold(&world.database());
    let mut delivery = std::pin::pin!(world.deliver(&body));
    assert!(timeout(Duration::from_millis(500), &mut delivery).await.is_err(), "nothing can be committed yet");
    drop(lock);
    assert_eq!(delivery.await, StatusCode::OK);
    assert!(world.inbox().contains_key("event"));
}

#[tokio::test]
async fn a_duplicate_is_200_and_looked_at_once() {
    let world = World::start().await;
    let page = world.workspace().create(company("Acme").website("acme.com"));
    let body = world.event("event", "page.created", page);
    for _ in 0..3 {
        assert_eq!(world.deliver(&body).await, StatusCode::OK);
        world.settled().await;
    }
    // Another attempt has another number, and so another signature.
    let again = body.replace("\"attempt_number\":1", "\"attempt_number\":2");
    assert_ne!(again, body);
    assert_eq!(world.deliver(&again).await, StatusCode::OK);
    world.settled().await;
    assert_eq!(world.inbox().len(), 1);
    assert_eq!(world.simulator.tally().of_page(page), 1);
    assert_eq!(world.serving.metrics.events_received.all(Answer::Duplicate), 3);
}

#[tokio::test]
async fn a_kind_that_asks_for_nothing_is_200_and_kept() {
    let world = World::start().await;
    let page = world.workspace().create(company("Acme").website("acme.com"));
    check_ignored(&world, &world.event("event", "comment.created", page), page).await;
}

#[tokio::test]
async fn an_event_of_another_database_is_200_and_kept() {
    let world = World::start().await;
    let page = world.workspace().create(company("Acme").website("acme.com"));
    let body = event("event", "page.created", page, "0e0e0e0e-0000-4000-8000-00000000000e");
    check_ignored(&world, &body, page).await;
}

/// The trap «a strict event enum answers 4xx».
#[tokio::test]
async fn a_strict_event_enum_answers_4xx_but_here_an_unknown_kind_is_200_and_kept() {
    let world = World::start().await;
    let page = world.workspace().create(company("Acme").website("acme.com"));
    check_ignored(&world, &world.event("event", "page.reviewed", page), page).await;
}

/// Checks that an event named `event` is acknowledged, kept, and asked nothing about.
async fn check_ignored(world: &World, body: &str, page: PageId) {
    assert_eq!(world.deliver(body).await, StatusCode::OK);
    let kept = world.inbox().remove("event").unwrap();
    assert_eq!((kept.state.as_str(), kept.body.as_deref()), ("ignored", Some(body)));
    assert_eq!(world.simulator.tally().of_page(page), 0);
    assert_eq!(world.serving.metrics.events_received.all(Answer::Ignored), 1);
}

#[tokio::test]
async fn what_cannot_be_read_is_200_and_kept() {
    let world = World::start().await;
    let bodies =
        ["", "{", "[]", "null", "\u{feff}{}", "{\"type\": 7}", "{\"id\": \"named\", \"type\": \"page.created\"}"];
    for body in bodies {
        assert_eq!(world.deliver(body).await, StatusCode::OK, "{body}");
        assert_eq!(world.deliver(body).await, StatusCode::OK, "{body} once more");
    }
    let kept = world.inbox();
    assert_eq!(kept.len(), bodies.len());
    assert!(kept.values().all(|kept| kept.state == "unreadable"));
    assert!(kept.contains_key("named"), "the id is kept where at least that can be read");
    assert_eq!(world.serving.metrics.events_received.all(Answer::Unreadable), bodies.len() as u64);
}

#[tokio::test]
async fn bytes_that_are_no_text_are_200_and_kept_as_they_came() {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let world = World::start().await;
    let body = [0xff, 0x00, 0xfe, b'{'];
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(world.simulator.verification_token().as_bytes()).unwrap();
    mac.update(&body);
    let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    let request = world.http.post(world.webhook_url()).header("X-Notion-Signature", signature).body(body.to_vec());
    assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
    let kept: Vec<u8> = connect(&world.database())
        .query_row("SELECT body FROM suppressd_inbox WHERE state = 'unreadable'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(kept, body);
}

#[tokio::test]
async fn without_a_signature_or_with_a_wrong_one_it_is_401() {
    let world = World::start().await;
    let page = world.workspace().create(company("Acme").website("acme.com"));
    let body = world.event("event", "page.created", page);
    let good = world.signature(&body);
    let digits = good.strip_prefix("sha256=").unwrap();
    let wrong = [
        signature("secret_of_somebody_else", &body),
        world.signature(&format!("{body} ")),
        String::new(),
        digits.to_owned(),
        format!("sha1={digits}"),
        format!("SHA256={digits}"),
        format!("sha256={digits}0"),
        good.strip_suffix(char::is_alphanumeric).unwrap().to_owned(),
        format!("sha256={}", "g".repeat(64)),
        format!("sha256= {digits}"),
        format!("{good},{good}"),
    ];
    assert_eq!(world.post(&body, None).await, StatusCode::UNAUTHORIZED);
    for signature in &wrong {
        assert_eq!(world.post(&body, Some(signature)).await, StatusCode::UNAUTHORIZED, "{signature}");
    }
    let no_text = world.http.post(world.webhook_url()).header("X-Notion-Signature", &b"sha256=\xff"[..]);
    assert_eq!(no_text.body(body.clone()).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(world.inbox(), BTreeMap::new());
    assert_eq!(world.post(&body, Some(&good)).await, StatusCode::OK);
}

#[tokio::test]
async fn upper_case_digits_sign_as_well() {
    let world = World::start().await;
    let page = world.workspace().create(company("Acme").website("acme.com"));
    let body = world.event("event", "page.created", page);
    let signature = world.signature(&body);
    let digits = signature.strip_prefix("sha256=").unwrap().to_uppercase();
    assert_eq!(world.post(&body, Some(&format!("sha256={digits}"))).await, StatusCode::OK);
    assert_eq!(world.inbox().len(), 1);
}

#[tokio::test]
async fn two_tokens_count_at_once_while_a_subscription_is_made_anew() {
    const PREVIOUS: &str = "secret_of_the_subscription_before";
    let world = World::with(Settings::default(), &[("NOTION_VERIFICATION_TOKEN_PREVIOUS", PREVIOUS)]).await;
    let page = world.workspace().create(company("Acme").website("acme.com"));
    for (id, token, answer) in [
        ("of the present", world.simulator.verification_token(), StatusCode::OK),
        ("of the one before", PREVIOUS, StatusCode::OK),
        ("of nobody", "secret_of_nobody", StatusCode::UNAUTHORIZED),
    ] {
        let body = world.event(id, "page.created", page);
        assert_eq!(world.post(&body, Some(&signature(token, &body))).await, answer, "{id}");
        assert_eq!(world.inbox().contains_key(id), answer == StatusCode::OK, "{id}");
    }
}

#[tokio::test]
async fn a_body_of_1_mib_is_200_and_a_byte_more_is_413() {
    let world = World::start().await;
    let largest = " ".repeat(MIB);
    assert_eq!(world.deliver(&largest).await, StatusCode::OK);
    assert_eq!(world.inbox().len(), 1);
    assert_eq!(world.deliver(&format!("{largest} ")).await, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(world.inbox().len(), 1);
}

#[tokio::test]
async fn a_body_that_is_declared_too_large_is_413_before_it_is_sent() {
    let world = World::start().await;
    let answer = raw(&world, &format!("Content-Length: {}", MIB + 1), "").await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_body_in_chunks_that_turns_out_too_large_is_413() {
    let world = World::start().await;
    let body = " ".repeat(MIB + 1);
    let framing = format!("Transfer-Encoding: chunked\r\nX-Notion-Signature: {}", world.signature(&body));
    // The last chunk is missing: it is refused at the byte that is too many, not at its end.
    let answer = raw(&world, &framing, &format!("{:x}\r\n{body}\r\n", body.len())).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert_eq!(world.inbox(), BTreeMap::new());

    let fits = " ".repeat(MIB);
    let framing = format!("Transfer-Encoding: chunked\r\nX-Notion-Signature: {}", world.signature(&fits));
    let answer = raw(&world, &framing, &format!("{:x}\r\n{fits}\r\n0\r\n\r\n", fits.len())).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

/// Sends a delivery as it stands, and returns what comes back first.
async fn raw(world: &World, framing: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(world.serving.public).await.unwrap();
    let head = format!("POST /webhooks/notion HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = timeout(Duration::from_secs(20), stream.read(&mut answer)).await.unwrap().unwrap();
    answer.truncate(read);
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_full_queue_is_503_at_once_and_taken_when_there_is_room_again() {
    const DELIVERIES: usize = 8;
    let world = World::with(Settings::default(), &[("SUPPRESSD_INTAKE_QUEUE", "1")]).await;
    let page = world.workspace().create(company("Acme").website("acme.com"));
    let bodies: Vec<_> = (0..DELIVERIES).map(|n| world.event(&format!("event-{n}"), "page.created", page)).collect();
    let lock = Lock::hold(&world.database());
    let mut deliveries = JoinSet::new();
    for body in &bodies {
        let request = world.http.post(world.webhook_url()).header("X-Notion-Signature", world.signature(body));
        deliveries.spawn(request.body(body.clone()).send());
    }
    let began = Instant::now();
    // One may be with the writer and one may wait for it.
    for _ in 2..DELIVERIES {
        check_unavailable(deliveries.join_next().await.unwrap().unwrap().unwrap()).await;
    }
    assert!(began.elapsed() < Duration::from_secs(4), "they were answered at once");
    drop(lock);
    // Where the writer was held up by work of its own, only the one that waited for it was taken.
    let taken = deliveries.join_all().await.into_iter().map(|answer| answer.unwrap().status());
    assert!(taken.filter(|status| *status == StatusCode::OK).count() >= 1, "what waited is taken");
    for body in &bodies {
        assert_eq!(world.deliver(body).await, StatusCode::OK);
    }
    assert_eq!(world.inbox().len(), DELIVERIES);
}

#[tokio::test]
async fn what_cannot_be_made_durable_is_503_and_taken_when_it_can() {
    let world = World::start().await;
    let page = world.workspace().create(company("Acme").website("acme.com"));
    let body = world.event("event", "page.created", page);
    let lock = Lock::hold(&world.database());
    let request = world.http.post(world.webhook_url()).header("X-Notion-Signature", world.signature(&body));
    check_unavailable(request.body(body.clone()).send().await.unwrap()).await;
    drop(lock);
    assert_eq!(world.inbox(), BTreeMap::new());
    assert_eq!(world.deliver(&body).await, StatusCode::OK);
    world.settled().await;
    assert!(world.row("domain:acme.com").is_some());
}

/// Checks that a delivery is to be sent again, and later.
async fn check_unavailable(answer: Response) {
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let seconds: u32 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=300).contains(&seconds), "{seconds}");
    assert_eq!(answer.text().await.unwrap(), "Service Unavailable");
}

#[tokio::test]
async fn other_methods_are_405() {
    let world = World::start().await;
    for method in [Method::GET, Method::HEAD, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS] {
        let answer = world.http.request(method.clone(), world.webhook_url()).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(answer.headers()["allow"], "POST");
    }
}

#[tokio::test]
async fn other_paths_are_404() {
    let world = World::start().await;
    let page = world.workspace().create(company("Acme").website("acme.com"));
    let body = world.event("event", "page.created", page);
    for path in ["/", "/webhooks", "/webhooks/", "/webhooks/notion/", "/webhooks/notion/x", "/webhooks/Notion", "//"] {
        let url = format!("http://{}{path}", world.serving.public);
        let post = world.http.post(&url).header("X-Notion-Signature", world.signature(&body)).body(body.clone());
        assert_eq!(post.send().await.unwrap().status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(world.http.get(&url).send().await.unwrap().status(), StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(world.inbox(), BTreeMap::new());
}

#[tokio::test]
async fn all_31_kinds_are_200_and_those_that_matter_are_looked_at() {
    let world = World::start().await;
    let page = world.workspace().create(company("Acme").website("acme.com"));
    let (source, database) = (world.workspace().data_source().to_string(), world.workspace().database().to_string());
    assert_eq!(EventKind::KNOWN.len(), 31);
    for kind in EventKind::KNOWN {
        let mut body: Json = serde_json::from_str(&world.event(kind.name(), kind.name(), page)).unwrap();
        let about = kind.name().split('.').next().unwrap();
        body["entity"] = match about {
            "page" => json!({"id": page.to_string(), "type": about}),
            "data_source" => json!({"id": source, "type": about}),
            "database" => json!({"id": database, "type": about}),
            _ => json!({"id": "b3a1c5de-0000-4000-8000-00000000000f", "type": about}),
        };
        assert_eq!(world.deliver(&body.to_string()).await, StatusCode::OK, "{kind}");
    }
    world.settled().await;
    let kept = world.inbox();
    assert_eq!(kept.len(), EventKind::KNOWN.len());
    for kind in EventKind::KNOWN {
        let state = if kind.concern() == Concern::Nothing { "ignored" } else { "settled" };
        assert_eq!((kept[kind.name()].kind.as_str(), kept[kind.name()].state.as_str()), (kind.name(), state), "{kind}");
    }
}

#[tokio::test]
async fn every_recorded_body_is_200_and_its_rows_are_those_that_the_rules_give() {
    let notion = recorded_notion().await;
    let variables = [("NOTION_BASE_URL", notion.as_str()), ("NOTION_DATABASE_ID", FERNHOLLOW)];
    let world = World::with(Settings::default(), &variables).await;
    let mut expected = BTreeMap::new();
    for (number, body) in fixtures("fixtures/events") {
        assert_eq!(world.deliver(&body).await, StatusCode::OK, "{number}");
        expected.entry(body).or_insert(number);
    }
    world.settled().await;

    let kept = world.inbox();
    assert_eq!(kept.len(), expected.len() - 1, "one of them is the third attempt of another");
    for (body, number) in &expected {
        let state = match number {
            5 | 26..=29 | 31 | 35 | 37..=39 | 41..=54 | 56 => "ignored",
            57 | 58 => "unreadable",
            _ => "settled",
        };
        match kept.values().find(|kept| kept.body.as_deref() == Some(body)) {
            // A page that has moved out already was never seen in the source: whether its move is looked at depends on
            // whether an earlier event of it still waits.
            Some(kept) if kept.kind == "page.moved" => {
                assert!(["settled", "ignored"].contains(&kept.state.as_str()), "{number} {}", kept.state);
            }
            Some(kept) => assert_eq!(kept.state, state, "{number} {}", kept.kind),
            None => assert_eq!(*number, 55, "not kept"),
        }
    }
    let rows = world.rows().into_iter().map(|mut row| {
        row.metadata.as_object_mut().unwrap().remove("synced_from").unwrap();
        json!({"canonical_key": row.key, "notion_page_id": row.page, "status": row.status,
               "company_name": row.company, "metadata": row.metadata})
    });
    let told: Json = serde_json::from_str(&fs::read_to_string("fixtures/expected_rows.json").unwrap()).unwrap();
    assert_eq!(rows.collect::<Json>(), told);
}

/// The files of a folder, by the number that their names begin with.
fn fixtures(folder: &str) -> Vec<(u32, String)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            let number = name.split('-').next().unwrap().parse().unwrap_or_default();
            (number, fs::read_to_string(&path).unwrap())
        })
        .collect();
    files.sort();
    files
}

/// Answers as Notion did: with the objects of `fixtures/pages`, by their ids.
async fn recorded_notion() -> String {
    let objects: BTreeMap<String, String> = fixtures("fixtures/pages")
        .into_iter()
        .map(|(_, text)| {
            let object: Json = serde_json::from_str(&text).unwrap();
            (object.get("id").and_then(Json::as_str).unwrap().to_owned(), text)
        })
        .collect();
    let answer = async move |uri: Uri| {
        let id = uri.path().rsplit('/').next().unwrap();
        match objects.get(id) {
            Some(object) => (Status::OK, object.clone()),
            None => (Status::NOT_FOUND, r#"{"object":"error","status":404,"code":"object_not_found"}"#.to_owned()),
        }
    };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    TaskTracker::new().spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    url
}

/// The trap «dedupe key written before the work succeeded».
#[tokio::test]
async fn a_dedupe_key_written_before_the_work_succeeded_loses_no_work() {
    let world = World::start().await;
    let page = world.workspace().create(company("Acme").website("acme.com"));
    let body = world.event("event", "page.created", page);
    world.simulator.faults().next(1_000, Fault::Status(503));
    assert_eq!(world.deliver(&body).await, StatusCode::OK);
    world.until("the work has failed", async || world.simulator.faults().made(Endpoint::Page) > 0).await;
    // Notion did not hear the answer, and sends it again while the work still fails.
    for _ in 0..3 {
        assert_eq!(world.deliver(&body).await, StatusCode::OK);
    }
    assert_eq!(world.serving.metrics.events_received.all(Answer::Duplicate), 3);
    assert_eq!(world.count(EventState::Waiting).await, 1, "the duplicate settled nothing");
    world.simulator.faults().calm();
    world.settled().await;
    assert!(world.row("domain:acme.com").is_some());
}

/// The trap «dashed and undashed ids».
#[tokio::test]
async fn dashed_and_undashed_ids_are_the_same_page_and_the_same_row() {
    let plain = |id: &dyn ToString| id.to_string().replace('-', "").to_uppercase();
    let mut world = World::start().await;
    let page = world.workspace().create(company("Acme").website("acme.com"));
    let source = world.workspace().data_source().to_string();
    let dashed = world.event("dashed", "page.created", page);
    let mut undashed = dashed.replace("\"dashed\"", "\"undashed\"");
    for id in [&page as &dyn ToString, &source] {
        assert!(undashed.contains(&id.to_string()));
        undashed = undashed.replace(&id.to_string(), &plain(id).to_lowercase());
    }
    for body in [&dashed, &undashed] {
        assert_eq!(world.deliver(body).await, StatusCode::OK);
    }
    world.settled().await;
    check_one_page(&world, page);

    // The same database, as other people write its id.
    let database = world.workspace().database();
    for id in [plain(&database), format!("https://www.notion.so/acme/CRM-{}?v=1", plain(&database).to_lowercase())] {
        world.set("NOTION_DATABASE_ID", &id);
        world.restart().await;
        let event = format!("after {id}");
        assert_eq!(world.deliver(&undashed.replace("undashed", &event)).await, StatusCode::OK);
        world.settled().await;
        assert_eq!(world.inbox()[&event].state, "settled");
        check_one_page(&world, page);
    }
}

/// Checks that there is one row, of this page, and that its id is written as the pipeline expects it.
fn check_one_page(world: &World, page: PageId) {
    let pages: Vec<_> = world.rows().into_iter().map(|row| (row.key, row.page)).collect();
    let id = page.to_string();
    assert!(Uuid::parse_str(&id).unwrap().hyphenated().to_string() == id);
    assert_eq!(pages, [("domain:acme.com".to_owned(), id)]);
    let known: u32 =
        connect(&world.database()).query_row("SELECT count(*) FROM suppressd_pages", [], |row| row.get(0)).unwrap();
    assert_eq!(known, 1);
}
