//! The handshake: the one thing that is taken from a stranger, once, and only while no token is known.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, time::Duration};

use reqwest::StatusCode;
use serde_json::json;
use suppressd::{
    lifecycle::Ended,
    metrics::label::Shaken,
    simulator::{
        Settings,
        draft::company,
        webhooks::{Delivering, Handshake},
    },
};
use tokio::task::JoinSet;

use crate::{
    program::{Running, command, end},
    world::{World, signature},
};

/// No token is configured: a handshake is to bring one.
const SET_UP: &[(&str, &str)] = &[("NOTION_VERIFICATION_TOKEN", "")];

/// Longer than what was last seen of the token file counts.
const SEEN: Duration = Duration::from_millis(1_200);

fn handshake(token: &str) -> String {
    json!({"verification_token": token}).to_string()
}

/// Where the program keeps the token.
fn file(world: &World) -> PathBuf {
    world.config().handshake_token_path
}

/// The token that is kept.
fn kept(world: &World) -> Option<String> {
    fs::read_to_string(file(world)).ok().map(|text| text.trim().to_owned())
}

/// Delivers an event that is signed with `token`.
async fn deliver(world: &World, id: &str, token: &str) -> StatusCode {
    let page = world.workspace().create(company("Acme").website("acme.com"));
    let body = world.event(id, "page.created", page);
    world.post(&body, Some(&signature(token, &body))).await
}

#[tokio::test]
async fn the_token_of_a_handshake_is_kept_and_signs_from_then_on() {
    for manner in [Handshake::Unsigned, Handshake::Signed] {
        let mut world = World::with(Settings::default(), SET_UP).await;
        let token = world.simulator.verification_token().to_owned();
        assert_eq!(deliver(&world, "before", &token).await, StatusCode::UNAUTHORIZED, "nobody is known yet");
        assert_eq!(world.webhooks(Delivering::default()).handshake(manner).await, Some(200), "{manner:?}");
        assert_eq!(kept(&world).as_ref(), Some(&token));
        assert_eq!(fs::metadata(file(&world)).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(deliver(&world, "after", &token).await, StatusCode::OK);
        world.restart().await;
        assert_eq!(deliver(&world, "after a restart", &token).await, StatusCode::OK);
        assert_eq!(world.inbox().len(), 2);
    }
}

#[tokio::test]
async fn later_handshakes_are_200_and_change_nothing() {
    let mut world = World::with(Settings::default(), SET_UP).await;
    assert_eq!(world.post(&handshake("secret_one"), None).await, StatusCode::OK);
    for started_anew in [false, true] {
        if started_anew {
            world.restart().await;
        }
        let two = handshake("secret_two");
        assert_eq!(world.post(&two, None).await, StatusCode::OK);
        assert_eq!(world.post(&two, Some(&signature("secret_two", &two))).await, StatusCode::OK);
        assert_eq!(world.post(&two, Some(&signature("secret_one", &two))).await, StatusCode::OK);
        assert_eq!(kept(&world).as_deref(), Some("secret_one"));
        assert_eq!(deliver(&world, "two", "secret_two").await, StatusCode::UNAUTHORIZED);
        assert_eq!(deliver(&world, "one", "secret_one").await, StatusCode::OK);
    }
    assert_eq!(world.inbox().len(), 1, "a handshake is no event");
}

#[tokio::test]
async fn of_many_handshakes_at_once_one_is_taken() {
    let world = World::with(Settings::default(), SET_UP).await;
    let mut posts = JoinSet::new();
    for n in 0..20 {
        posts.spawn(world.http.post(world.webhook_url()).body(handshake(&format!("secret_{n}"))).send());
    }
    for answer in posts.join_all().await {
        assert_eq!(answer.unwrap().status(), StatusCode::OK);
    }
    let metrics = &world.serving.metrics;
    assert_eq!((metrics.handshakes.get(Shaken::Taken), metrics.handshakes.get(Shaken::Ignored)), (1, 19));
    let winner = kept(&world).unwrap();
    for n in 0..20 {
        let token = format!("secret_{n}");
        let answer = if token == winner { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
        assert_eq!(deliver(&world, &token, &token).await, answer, "{token}");
    }
}

#[tokio::test]
async fn a_configured_token_is_never_replaced() {
    let world = World::start().await;
    let body = handshake("secret_of_a_stranger");
    assert_eq!(world.post(&body, None).await, StatusCode::OK);
    assert_eq!(world.post(&body, Some(&signature("secret_of_a_stranger", &body))).await, StatusCode::OK);
    assert_eq!(world.post(&body, Some(&world.signature(&body))).await, StatusCode::OK);
    assert_eq!(kept(&world), None);
    assert_eq!(deliver(&world, "stranger", "secret_of_a_stranger").await, StatusCode::UNAUTHORIZED);
    assert_eq!(deliver(&world, "ours", world.simulator.verification_token()).await, StatusCode::OK);
    assert_eq!(world.serving.metrics.handshakes.get(Shaken::Ignored), 3);
}

#[tokio::test]
async fn a_handshake_that_is_signed_wrongly_or_is_none_is_401_and_never_kept() {
    let world = World::with(Settings::default(), SET_UP).await;
    let body = handshake("secret_one");
    let wrong = [signature("secret_two", &body), signature("secret_one", "{}"), "sha256=00".to_owned(), String::new()];
    for signature in &wrong {
        assert_eq!(world.post(&body, Some(signature)).await, StatusCode::UNAUTHORIZED, "{signature}");
    }
    let no_handshakes = [
        r#"{"verification_token": ""}"#.to_owned(),
        r#"{"verification_token": 7}"#.to_owned(),
        r#"{"verification_token": "two words"}"#.to_owned(),
        r#"{"verification_token": "line\nbreak"}"#.to_owned(),
        r#"{"verification_token": "secret_one", "type": "page.created"}"#.to_owned(),
        r#"{"verification_token": "secret_one", "entity": {}}"#.to_owned(),
        r#"[{"verification_token": "secret_one"}]"#.to_owned(),
        handshake(&"a".repeat(257)),
        format!("{}{}", body, " ".repeat(2_000)),
    ];
    for body in &no_handshakes {
        assert_eq!(world.post(body, None).await, StatusCode::UNAUTHORIZED, "{body}");
    }
    assert_eq!(kept(&world), None);
    assert_eq!(world.post(&body, None).await, StatusCode::OK, "the right one is still taken");
    assert_eq!(kept(&world).as_deref(), Some("secret_one"));
}

#[tokio::test]
async fn a_token_that_cannot_be_kept_is_503_and_taken_when_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("later").join("token");
    let variables = [SET_UP[0], ("SUPPRESSD_HANDSHAKE_TOKEN_PATH", path.to_str().unwrap())];
    let world = World::with(Settings::default(), &variables).await;
    let body = handshake("secret_one");
    assert_eq!(world.post(&body, None).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(deliver(&world, "too early", "secret_one").await, StatusCode::UNAUTHORIZED);
    fs::create_dir(path.parent().unwrap()).unwrap();
    assert_eq!(world.post(&body, None).await, StatusCode::OK);
    assert_eq!(kept(&world).as_deref(), Some("secret_one"));
    assert_eq!(deliver(&world, "now", "secret_one").await, StatusCode::OK);
}

#[tokio::test]
async fn another_process_shows_the_token_and_forgets_it_while_serve_runs() {
    let world = World::with(Settings::default(), SET_UP).await;
    let run = async |arguments: &[&str]| {
        let said = end(command(world.environment(), arguments)).await;
        assert_eq!(said.status, Some(0), "{said:?}");
        said.out
    };
    assert!(run(&["handshake"]).await.contains("no token is stored"));
    assert_eq!(world.post(&handshake("secret_one"), None).await, StatusCode::OK);

    let told = run(&["handshake"]).await;
    assert!(told.contains("a token is stored") && !told.contains("secret_one"), "{told}");
    let shown = run(&["handshake", "--show"]).await;
    for part in ["secret_one", "Webhooks", "Verify", "handshake --reset", file(&world).to_str().unwrap()] {
        assert!(shown.contains(part), "{part}: {shown}");
    }

    run(&["handshake", "--reset"]).await;
    assert_eq!(kept(&world), None);
    tokio::time::sleep(SEEN).await;
    assert_eq!(deliver(&world, "forgotten", "secret_one").await, StatusCode::UNAUTHORIZED);
    assert_eq!(world.post(&handshake("secret_two"), None).await, StatusCode::OK);
    assert_eq!(deliver(&world, "one", "secret_one").await, StatusCode::UNAUTHORIZED);
    assert_eq!(deliver(&world, "two", "secret_two").await, StatusCode::OK);
}

/// Two sources of two connections; neither token is configured.
#[tokio::test]
async fn a_second_connection_brings_a_token_of_its_own_and_neither_replaces_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("suppressd.toml");
    let second = "253104cd-477e-809d-8dc4-ff2d96ae3090";
    let text = format!(
        "[[source]]\nname = 'deals'\ndatabase_id = '3296958a07b853eeb6a8a1cc71849e2b'\n\
         [[source]]\nname = 'portfolio'\ndata_source_id = '{second}'\napi_key_env = 'NOTION_API_KEY'\n\
         verification_token_env = 'PORTFOLIO_TOKEN'\n"
    );
    fs::write(&settings, text).unwrap();
    let variables = [SET_UP[0], ("NOTION_DATABASE_ID", ""), ("SUPPRESSD_CONFIG", settings.to_str().unwrap())];
    let world = World::begin(Settings::default(), &variables).await;
    let files: Vec<_> = world.config().subscriptions().into_iter().map(|it| it.token_path).collect();
    let kept = || files.iter().map(|file| fs::read_to_string(file).ok().map(|text| text.trim().to_owned())).collect();
    let kept = || -> Vec<Option<String>> { kept() };
    let said = async |arguments: &[&str]| end(command(world.environment(), arguments)).await;
    let told = async |arguments: &[&str]| said(arguments).await.out;

    for token in ["secret_one", "secret_one", "secret_two", "secret_three"] {
        assert_eq!(world.post(&handshake(token), None).await, StatusCode::OK);
    }
    assert_eq!(kept(), [Some("secret_one".to_owned()), Some("secret_two".to_owned())]);
    for (token, answer) in
        [("secret_one", StatusCode::OK), ("secret_two", StatusCode::OK), ("secret_three", StatusCode::UNAUTHORIZED)]
    {
        assert_eq!(deliver(&world, token, token).await, answer, "{token}");
    }
    let all = told(&["handshake"]).await;
    for part in ["source deals (NOTION_VERIFICATION_TOKEN):", "source portfolio (PORTFOLIO_TOKEN):"] {
        assert!(all.contains(part), "{part}: {all}");
    }
    let shown = told(&["handshake", "--show", "--source", "portfolio"]).await;
    assert!(shown.contains("secret_two") && !shown.contains("secret_one"), "{shown}");
    said(&["handshake", "--reset"]).await.fails_with("--source");
    assert_ne!(said(&["handshake", "--reset", "--source", "deal"]).await.status, Some(0));
    assert_eq!(kept(), [Some("secret_one".to_owned()), Some("secret_two".to_owned())]);

    let reset = said(&["handshake", "--reset", "--source", "portfolio"]).await;
    assert_eq!(reset.status, Some(0));
    for part in ["stored for source deals (NOTION_VERIFICATION_TOKEN)", "may be the one that is meant", "--reset --all"]
    {
        assert!(reset.out.contains(part) && !reset.out.contains("secret_"), "{part}: {}", reset.out);
    }
    assert_eq!(kept(), [Some("secret_one".to_owned()), None]);
    tokio::time::sleep(SEEN).await;
    assert_eq!(deliver(&world, "forgotten", "secret_two").await, StatusCode::UNAUTHORIZED);
    assert_eq!(world.post(&handshake("secret_four"), None).await, StatusCode::OK);
    assert_eq!(kept(), [Some("secret_one".to_owned()), Some("secret_four".to_owned())]);
    assert_eq!(deliver(&world, "four", "secret_four").await, StatusCode::OK);
    assert_eq!(deliver(&world, "one still", "secret_one").await, StatusCode::OK);

    // What a stranger sent, and what lies where another's belongs: all of it is forgotten, and each is sent again.
    assert_ne!(said(&["handshake", "--all"]).await.status, Some(0));
    assert_eq!(said(&["handshake", "--reset", "--all"]).await.status, Some(0));
    assert_eq!(kept(), [None, None]);
    tokio::time::sleep(SEEN).await;
    for token in ["secret_four", "secret_five"] {
        assert_eq!(world.post(&handshake(token), None).await, StatusCode::OK);
        assert_eq!(deliver(&world, &format!("again {token}"), token).await, StatusCode::OK);
    }
}

#[tokio::test]
async fn the_log_says_where_the_token_is_and_never_what_it_is() {
    let world = World::with(Settings::default(), SET_UP).await;
    assert_eq!(world.stop().await, Ended::Stopped);
    let mut environment = world.environment().clone();
    environment.insert("SUPPRESSD_LOG".to_owned(), "trace".to_owned());
    let process = Running::serve(&environment);
    let post = async |body: String| world.http.post(process.webhook_url()).body(body).send().await.unwrap().status();
    assert_eq!(post(handshake("secret_one")).await, StatusCode::OK);
    assert_eq!(post(handshake("secret_two")).await, StatusCode::OK);
    let path = file(&world);
    world.until("it is logged", async || process.said().contains("ignored a handshake")).await;
    let log = process.said();
    assert!(log.contains(path.to_str().unwrap()) && log.contains("handshake --show"), "{log}");
    assert!(!log.contains("secret_one") && !log.contains("secret_two"));
    assert!(!log.contains(world.simulator.token()));
}
