//! Stored events once more, through the real program: the same in, the same out.

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use serde_json::{Value as Json, json};
use suppressd::{simulator::draft::company, store::EventState};

use crate::{
    pipeline::{Row, rows},
    program::{Program, repository, until},
    world::{World, event},
};

/// How many fixtures there are, and what a first replay of them counts.
const FIXTURES: usize = 58;

#[test]
fn the_fixtures_leave_the_expected_rows() {
    let program = Program::new();
    let replayed = program.replay(&repository("fixtures/events"));
    assert_eq!(replayed.status, Some(0), "{replayed:?}");
    assert_eq!(
        replayed.json(),
        json!({
            "accepted": 35, "reopened": 1, "ignored": 20, "unreadable": 2, "unchanged": 0,
            "waiting": 0, "parked": 0, "served_elsewhere": false, "broken_off": false,
        })
    );
    assert!(!program.path("cache.db-wal").exists(), "who stops leaves one whole file");
    assert_eq!(faces(&rows(&program.database())), expected());
    for row in rows(&program.database()) {
        assert_eq!(row.metadata["synced_from"], "replay", "{}", row.key);
    }
}

#[test]
fn fixtures_of_every_kind_end_in_the_state_of_their_kind() {
    let program = Program::with_fixtures();
    let listed = program.run(&["events", "list", "--limit", "100", "--json"]).json_lines();
    let states: BTreeMap<_, _> = listed
        .iter()
        .map(|event| (event["event_id"].as_str().unwrap(), (event["kind"].as_str().unwrap(), &event["state"])))
        .collect();
    assert_eq!(states.len(), FIXTURES - 1, "one is another's third attempt");
    let mut unreadable = 0;
    for path in bodies() {
        let Ok(Json::Object(body)) = serde_json::from_slice(&fs::read(&path).unwrap()) else {
            unreadable += 1;
            continue;
        };
        let (kind, state) = states[body["id"].as_str().unwrap()];
        assert_eq!(kind, body["type"]);
        assert_eq!(*state, state_of(kind), "{}", path.display());
    }
    let kept = states.values().filter(|(kind, state)| *kind == "unreadable" && **state == json!("unreadable"));
    assert_eq!((unreadable, kept.count()), (2, 2));
}

/// What is to become of an event of this kind, where nothing but the recorded pages is known.
fn state_of(kind: &str) -> &'static str {
    let of_ours = match kind {
        "page.created"
        | "page.properties_updated"
        | "page.content_updated"
        | "page.moved"
        | "page.deleted"
        | "page.undeleted" => true,
        "data_source.content_updated" | "database.content_updated" | "database.created" => false,
        _ => kind.starts_with("data_source.") || kind.starts_with("database."),
    };
    if of_ours { "settled" } else { "ignored" }
}

#[test]
fn in_any_order_and_any_number_the_rows_are_the_same_and_nothing_changes_any_more() {
    for seed in [1, 20, 300] {
        let program = Program::new();
        let mut rng = fastrand::Rng::with_seed(seed);
        let once = shuffled(&program.path("once"), 1, &mut rng);
        assert_eq!(program.replay(&once).status, Some(0));
        let first = rows(&program.database());
        assert_eq!(faces(&first), expected(), "seed {seed}");
        let changes = program.number(CHANGES);

        let again = shuffled(&program.path("again"), 1, &mut rng);
        let thrice = shuffled(&program.path("thrice"), 3, &mut rng);
        for (folder, bodies) in [(again, FIXTURES), (thrice, 3 * FIXTURES)] {
            let replayed = program.replay(&folder);
            assert_eq!(replayed.status, Some(0), "{replayed:?}");
            assert_eq!(counted(&replayed.json()), bodies as u64);
            assert_eq!(rows(&program.database()), first, "seed {seed}");
            assert_eq!(program.number(CHANGES), changes, "seed {seed}");
        }
    }
}

#[test]
fn replay_is_not_blocked_by_the_dedupe_key() {
    let program = Program::with_fixtures();
    program.sql("DELETE FROM suppression_cache");
    let pages = repository("fixtures/pages").display().to_string();
    let replayed = program.run(&["replay", "--from-inbox", "--pages", &pages, "--json"]);
    assert_eq!((replayed.status, &replayed.json()["reopened"]), (Some(0), &json!(30)), "{replayed:?}");
    assert_eq!(faces(&rows(&program.database())), expected());

    // So do the same files, which have the same event ids.
    program.sql("DELETE FROM suppression_cache");
    program.replay(&repository("fixtures/events"));
    assert_eq!(faces(&rows(&program.database())), expected());
}

#[test]
fn a_jsonl_file_holds_a_body_a_line() {
    let program = Program::new();
    let mut lines = Vec::new();
    for path in bodies() {
        lines.extend(fs::read(path).unwrap());
        // Blank lines are nobody's body.
        lines.extend(b"\n\n");
    }
    let file = program.path("events.jsonl");
    fs::write(&file, lines).unwrap();
    let replayed = program.replay(&file);
    assert_eq!((replayed.status, counted(&replayed.json())), (Some(0), FIXTURES as u64));
    assert_eq!(faces(&rows(&program.database())), expected());
}

#[test]
fn what_is_no_file_is_passed_over_in_a_folder_and_refused_where_it_is_named() {
    let program = Program::new();
    let folder = program.path("bodies");
    fs::create_dir_all(folder.join("folder.json")).unwrap();
    symlink("nowhere", folder.join("dangling.json")).unwrap();
    symlink("/dev/zero", folder.join("endless.jsonl")).unwrap();
    fs::write(folder.join("mixed.jsonl"), b"{\"caf\xe9\": 1}\r\n\r\n{}").unwrap();
    let replayed = program.replay(&folder);
    assert_eq!((replayed.status, &replayed.json()["unreadable"]), (Some(0), &json!(2)), "{replayed:?}");

    program.replay(&folder.join("endless.jsonl")).fails_with("not a regular file");
    for (name, told) in [("large.json", "large.json is larger"), ("large.jsonl", "large.jsonl:2 is larger than 1 MiB")]
    {
        fs::write(program.path(name), [b"{}\n".to_vec(), vec![b'x'; 1024 * 1024 + 1]].concat()).unwrap();
        program.replay(&program.path(name)).fails_with(told);
    }
}

#[test]
fn the_summary_for_people_says_what_became_of_the_bodies() {
    let program = Program::new();
    let (events, pages) = (repository("fixtures/events"), repository("fixtures/pages"));
    let words = [Path::new("replay"), &events, Path::new("--pages"), &pages];
    assert_eq!(
        program.run(&words).out,
        "replayed 58 events: 35 new, 1 known and looked at again, 20 of no concern, 2 unreadable\n\
         everything is settled\n"
    );
    assert_eq!(
        program.run(&words).out,
        "replayed 58 events: 31 known and looked at again, 27 kept before and of no concern\n\
         everything is settled\n"
    );
}

#[test]
fn an_order_that_cannot_be_filled_is_refused_before_anything_is_written() {
    let program = Program::new();
    let file = |folder: &str, name: &str, text: &str| {
        fs::create_dir_all(program.path(folder)).unwrap();
        fs::write(program.path(folder).join(name), text).unwrap();
    };
    fs::create_dir(program.path("empty")).unwrap();
    file("not-json", "page.json", "{\"object\": \"page\",");
    file("no-page", "database.json", r#"{"object": "database", "id": "a05bb6f825bb4c5db8d5018bcd356ce7"}"#);
    file("strays", "user.json", r#"{"object": "user", "id": "a05bb6f825bb4c5db8d5018bcd356ce7"}"#);
    file("pages-without-id", "page.json", r#"{"object": "page"}"#);
    let events = repository("fixtures/events").display().to_string();
    for (words, told) in [
        (vec!["replay", "nowhere"], "cannot read nowhere"),
        (vec!["replay", "empty"], "no .json or .jsonl file in empty"),
        (vec!["replay", events.as_str(), "nowhere"], "cannot read nowhere"),
        (vec!["replay", events.as_str(), "--pages", "nowhere"], "cannot read nowhere"),
        (vec!["replay", events.as_str(), "--pages", "empty"], "empty holds no page of a data source"),
        (vec!["replay", events.as_str(), "--pages", "no-page"], "no-page holds no page of a data source"),
        (vec!["replay", events.as_str(), "--pages", "not-json"], "not-json/page.json is not JSON"),
        (vec!["replay", events.as_str(), "--pages", "strays"], "strays/user.json holds an \"user\""),
        (vec!["replay", events.as_str(), "--pages", "pages-without-id"], "holds a page that cannot be read"),
        (vec!["replay", events.as_str()], "NOTION_DATABASE_ID"),
        (vec!["replay", "--from-inbox"], "there is no database at"),
        (vec!["replay"], "<PATH>"),
    ] {
        program.run(&words).fails_with(told);
        assert!(!program.database().exists(), "{words:?}");
    }
}

#[tokio::test]
async fn where_serve_runs_it_does_the_work() {
    let world = World::start().await;
    let source = world.workspace().data_source().to_string();
    let page = world.workspace().create(company("Acme").website("acme.com").status("Sourced"));
    let file = world.folder().join("created.json");
    fs::write(&file, event("replayed-1", "page.created", page, &source)).unwrap();
    // It knows nothing of Notion but the database, on which the other works.
    let program = Program::new().and("SUPPRESSD_DB_PATH", world.database().display().to_string());

    let refused = on_a_thread(&program, vec![file.clone(), "--pages".into(), repository("fixtures/pages")]).await;
    refused.fails_with("another suppressd works on");
    refused.fails_with("leave --pages out");
    assert_eq!(program.number("SELECT count(*) FROM suppressd_inbox"), 0, "nothing was handed over");

    let replayed = on_a_thread(&program, vec![file, "--json".into()]).await;
    assert_eq!(replayed.status, Some(0), "{replayed:?}");
    assert_eq!(replayed.json()["served_elsewhere"], true);
    assert_eq!(world.face("domain:acme.com"), Some((page.to_string(), "Sourced".to_owned())));
    assert_eq!(world.row("domain:acme.com").unwrap().metadata["synced_from"], "replay");
    assert_eq!(world.count(EventState::Settled).await, 1);
}

#[test]
fn a_signal_leaves_everything_waiting_and_nothing_is_lost() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let program = with_silent_notion(Program::new(), &silent);
    let events = repository("fixtures/events").display().to_string();
    let running = program.start(&["replay", &events]);
    running.until("cannot be read");
    until("all events wait", || program.number(WAITING) == 35);
    running.signal("INT");
    let (status, said) = running.end();
    assert_eq!(status, Some(3), "{said}");
    assert!(said.contains("35 events still waiting"), "{said}");

    // The next who can does all of it, whatever he was asked to replay.
    let replayed = program.replay(&repository("fixtures/events/26-page.locked.json"));
    assert_eq!((replayed.status, &replayed.json()["waiting"]), (Some(0), &json!(0)), "{replayed:?}");
    assert_eq!(faces(&rows(&program.database())), expected());
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let program = with_silent_notion(Program::with_fixtures(), &silent);
    let running = program.start(&["-v", "replay", "--from-inbox"]);
    let _asked = silent.accept().unwrap();
    running.signal("INT");
    running.until("stopping: finishing what is claimed");
    running.signal("INT");
    let (status, said) = running.end();
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("nothing of it is lost"), "{said}");
    assert_eq!(program.number(WAITING), 30);
}

/// A Notion that takes connections, and never says a word.
fn with_silent_notion(program: Program, silent: &TcpListener) -> Program {
    program
        .and("NOTION_BASE_URL", format!("http://{}", silent.local_addr().unwrap()))
        .and("NOTION_API_KEY", "ntn_secret")
        .and("NOTION_DATA_SOURCE_ID", "a87bf59b-0905-40be-b3d3-21c79ce97349")
        .and("NOTION_TIMEOUT_SECONDS", "60")
}

const CHANGES: &str = "SELECT count(*) FROM suppressd_changes";
const WAITING: &str = "SELECT count(*) FROM suppressd_inbox WHERE state = 'waiting'";

async fn on_a_thread(program: &Program, words: Vec<PathBuf>) -> crate::program::Said {
    let words: Vec<PathBuf> = [PathBuf::from("replay")].into_iter().chain(words).collect();
    let mut command = program.command(&words);
    tokio::task::spawn_blocking(move || command.output().unwrap().into()).await.unwrap()
}

/// The files of the fixtures.
fn bodies() -> Vec<PathBuf> {
    let entries = fs::read_dir(repository("fixtures/events")).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), FIXTURES);
    files
}

/// Copies the fixtures, each so many times, under names that put them in any order.
fn shuffled(folder: &Path, times: usize, rng: &mut fastrand::Rng) -> PathBuf {
    fs::create_dir(folder).unwrap();
    let mut files: Vec<_> = bodies().into_iter().flat_map(|file| vec![file; times]).collect();
    rng.shuffle(&mut files);
    for (place, file) in files.iter().enumerate() {
        fs::copy(file, folder.join(format!("{place:03}.json"))).unwrap();
    }
    folder.to_owned()
}

fn counted(done: &Json) -> u64 {
    ["accepted", "reopened", "ignored", "unreadable", "unchanged"].map(|what| done[what].as_u64().unwrap()).iter().sum()
}

/// Rows as `expected_rows.json` writes them: without what depends on when and how they came.
fn faces(rows: &[Row]) -> Vec<Json> {
    let face = |row: &Row| {
        let mut metadata = row.metadata.clone();
        metadata.as_object_mut().unwrap().remove("synced_from").unwrap();
        json!({
            "canonical_key": row.key, "notion_page_id": row.page, "status": row.status, "company_name": row.company,
            "metadata": metadata,
        })
    };
    rows.iter().map(face).collect()
}

fn expected() -> Vec<Json> {
    serde_json::from_slice(&fs::read(repository("fixtures/expected_rows.json")).unwrap()).unwrap()
}
