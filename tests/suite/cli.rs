//! The command line as scripts and people meet it: exit statuses, sentences, JSON.

use std::{
    fs,
    io::Read as _,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
    time::Duration,
};

use assert_cmd::assert::Assert;
use predicates::str::{contains, is_empty, starts_with};
use serde_json::{Value as Json, json};
use suppressd::{
    clock::Clock,
    simulator::{Settings, Simulator, draft::company, faults::Fault},
    store::EventState,
};

use crate::{
    program::{Program, Said, run, until},
    world::World,
};

#[test]
fn check_answers_suppressed_from_the_cache_alone() {
    let program = Program::with_fixtures();
    check(&program, &["stonecrop-energy.example"])
        .code(0)
        .stdout(starts_with(
            "stonecrop-energy.example: suppressed: the CRM holds Stonecrop Energy with status Passed: do not touch it\n",
        ))
        .stdout(contains("\n  key     domain:stonecrop-energy.example (strong)\n"))
        .stdout(contains("\n  page    https://app.notion.com/p/Stonecrop-Energy-"))
        .stdout(contains("\n  proven  20"))
        .stderr(is_empty());
    check(&program, &["https://www.github.com/TidepoolCompute"])
        .code(0)
        .stdout(contains("suppressed: the CRM holds Tidepool Compute with status Diligence: it is in the pipeline\n"))
        .stdout(contains("github_org:tidepoolcompute (weak)"));
}

#[test]
fn check_says_clear_only_after_a_complete_sweep_that_is_young_enough() {
    let program = Program::with_fixtures();
    check(&program, &["acme.ai"]).code(3).stdout(
        "acme.ai: stale: no row, and no complete sweep yet that would prove its absence: run `suppressd reconcile`\n",
    );

    swept(&program, Duration::from_mins(30));
    check(&program, &["acme.ai"])
        .code(1)
        .stdout(starts_with("acme.ai: clear: no page of the CRM holds any of the keys\n  proven  20"))
        .stdout(contains("UTC, 30 minutes ago by sweep\n"));
    check(&program, &["acme.ai", "--max-age", "29m"]).code(3).stdout(starts_with(
        "acme.ai: stale: no row, but the last complete sweep is older than asked for: run `suppressd reconcile`\n",
    ));
    check(&program, &["acme.ai", "--max-age", "1h"]).code(1);
    check(&program, &["acme.ai", "--max-age", "soon"]).code(2).stderr(contains("such as 90s, 15m, 24h or 7d"));
    check(&program, &["acme.ai", "--max-age", "0s"]).code(2).stderr(contains("at least 1s"));

    swept(&program, Duration::from_hours(8 * 24));
    check(&program, &["acme.ai"]).code(3);
    let patient = program.and("SUPPRESSD_MAX_AGE_HOURS", "240");
    check(&patient, &["acme.ai"]).code(1);
}

#[test]
fn of_several_answers_the_status_tells_error_before_suppressed_before_stale_before_clear() {
    let program = Program::with_fixtures();
    swept(&program, Duration::ZERO);
    let (clear, suppressed, error) = ("acme.ai", "stonecrop-energy.example", "???");
    for (values, status) in [
        (vec![clear, clear], 1),
        (vec![clear, suppressed], 0),
        (vec![suppressed, clear], 0),
        (vec![clear, error], 2),
        (vec![error, suppressed], 2),
    ] {
        let said = check(&program, &values).code(status);
        let out = String::from_utf8(said.get_output().stdout.clone()).unwrap();
        let told = out.lines().filter(|line| !line.starts_with("  "));
        assert_eq!(told.map(|line| line.split(": ").next().unwrap()).collect::<Vec<_>>(), values);
    }
    program.sql("UPDATE suppressd_sources SET watermark = NULL");
    check(&program, &[clear, suppressed]).code(0);
}

#[test]
fn a_value_that_is_no_key_is_an_error_that_says_what_to_write() {
    let program = Program::with_fixtures();
    for (value, why) in [
        ("???", "???: no answer: \"???\" names no host; ask for"),
        ("", "\"\": no answer: \"\" is neither prefix:value nor a web address; ask for"),
        ("acme", "acme: no answer: \"acme\" names no host; ask for"),
        (
            "https://www.linkedin.com/company/acme",
            "is on a host that many companies share; ask for a key such as domain:acme.ai",
        ),
        ("192.0.2.1", "is an IP address; ask for a key such as domain:acme.ai"),
        ("co.uk", "is a suffix under which anybody registers; ask for a key such as domain:acme.ai"),
        ("Ember Anvil Cloud", "is neither prefix:value nor a web address; ask for a key such as domain:acme.ai"),
        ("14556197", "; a number at Companies House is companies_house:14556197\n"),
        ("1234567", "; a number at Companies House is companies_house:01234567\n"),
    ] {
        check(&program, &[value]).code(2).stdout(contains(why));
    }
    check(&program, &[]).code(2).stderr(starts_with("error: no company was named")).stderr(contains("--input"));
    check(&program, &["-"]).code(2).stderr(contains("a file of companies on stdin is --input -"));
    check(&program, &["--location", "London"]).code(2).stderr(contains("--name"));
}

#[test]
fn a_company_is_asked_by_all_that_is_known_of_it() {
    let program = Program::with_fixtures();
    swept(&program, Duration::ZERO);
    check(&program, &["--companies-house", "7654321", "--website", "nobody.example"])
        .code(0)
        .stdout(starts_with("nobody.example: suppressed: the CRM holds Thistledown Freight Ltd"));
    check(&program, &["--name", "Harbour & Finch, Ltd.", "--location", "New York"])
        .code(0)
        .stdout(starts_with("Harbour & Finch, Ltd.: suppressed"))
        .stdout(contains("name_loc:harbour-finch-ltd"));
    check(&program, &["acme.ai", "--crunchbase", "emberlight-foundry"])
        .code(0)
        .stdout(contains("acme.ai: clear"))
        .stdout(contains("emberlight-foundry: suppressed"));
    check(&program, &["--json", "--pitchbook", "12345-67"]).code(1).stdout(starts_with("{\"asked\":\"12345-67\","));
    check(&program, &["--github-repo", "nobody/nothing"]).code(1);
}

#[test]
fn check_answers_machines_with_one_object_a_question() {
    let program = Program::with_fixtures();
    swept(&program, Duration::from_mins(1));
    let said =
        program.run(&["check", "--json", "stonecrop-energy.example", "acme.ai", "???", "--name", "Nobody At All"]);
    assert_eq!((said.status, said.err.as_str()), (Some(2), ""));
    let answers = said.json_lines();
    let asked: Vec<_> = answers.iter().map(|answer| answer["asked"].as_str().unwrap()).collect();
    assert_eq!(asked, ["stonecrop-energy.example", "acme.ai", "???", "Nobody At All"]);
    let verdicts: Vec<_> = answers.iter().map(|answer| answer["verdict"].as_str()).collect();
    assert_eq!(verdicts, [Some("suppressed"), Some("clear"), None, Some("clear")]);
    let [suppressed, clear, error, _] = answers.as_slice() else { panic!("{answers:?}") };
    assert_eq!(
        names(suppressed),
        [
            "age_seconds",
            "asked",
            "candidates",
            "error",
            "fresh_as_of",
            "matched",
            "possible",
            "reason",
            "rests_on",
            "unusable",
            "verdict"
        ],
        "the help documents these"
    );
    let matched = &suppressed["matched"];
    assert_eq!(
        names(matched),
        ["company_name", "expires_at", "firmness", "key", "page", "page_url", "status", "strength", "synced_from"]
    );
    assert_eq!((&matched["firmness"], &matched["strength"]), (&json!("hard"), &json!("strong")));
    assert_eq!(clear["candidates"], json!([{"key": "domain:acme.ai", "origin": "canonical_key"}]));
    assert_eq!((&clear["matched"], &clear["error"]), (&Json::Null, &Json::Null));
    assert_eq!(names(error), ["asked", "error"]);
    assert!(error["error"].as_str().unwrap().starts_with("\"???\" names no host; ask for a key such as"), "{error}");
    let help = program.run(&["check", "--help"]).out;
    for field in names(suppressed).iter().chain(&names(matched)) {
        assert!(help.contains(field.as_str()), "{field}");
    }
}

#[test]
fn without_a_database_every_question_tells_the_next_step_and_makes_none() {
    let program = Program::new();
    for words in [
        &["check", "acme.ai"][..],
        &["status"],
        &["status", "--json"],
        &["sweeps"],
        &["events", "list"],
        &["events", "retry", "--all"],
    ] {
        let said = program.run(words);
        said.fails_with("error: there is no database at ");
        said.fails_with("\nnext: let `suppressd serve` or `suppressd replay` make it");
        assert_eq!(said.out, "");
        assert!(!program.database().exists(), "{words:?}");
    }
}

#[test]
fn a_database_of_somebody_else_gets_no_tables_from_a_command_about_events() {
    for sql in ["", "CREATE TABLE notes (text)"] {
        let program = Program::new();
        fs::write(program.database(), "").unwrap();
        program.sql(sql);
        let before = fs::read(program.database()).unwrap();
        for words in [&["events", "list"][..], &["events", "retry", "--all"], &["events", "retry", "one"]] {
            let said = program.run(words);
            assert_eq!((said.status, said.out.as_str()), (Some(2), ""), "{words:?}: {said:?}");
            assert_eq!(fs::read(program.database()).unwrap(), before, "{words:?}");
        }
    }
}

#[test]
fn keys_of_very_many_values_are_shown_soon() {
    let values = (0..60_000).map(|at| format!("a{at}.com"));
    let started = tokio::time::Instant::now();
    let said = Program::new().run(&["keys".to_owned()].into_iter().chain(values).collect::<Vec<_>>());
    assert_eq!((said.status, said.out.lines().count()), (Some(0), 60_001));
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
}

#[test]
fn keys_shows_what_a_question_is_looked_up_by() {
    let program = Program::new();
    let said = program.run(&["keys", "github.com/Acme/Core", "https://App.Acme.co.uk/x", "linkedin.com/in/me"]);
    assert_eq!(
        (said.status, said.out.as_str()),
        (
            Some(0),
            "KEY                    STRENGTH  TRUST  FROM\n\
             domain:app.acme.co.uk  strong    100    canonical_key\n\
             domain:acme.co.uk      strong    100    canonical_key\n\
             github_org:acme        weak      50     canonical_key\n\
             github_repo:acme/core  weak      40     canonical_key\n\
             no key: \"linkedin.com/in/me\" is on a host that many companies share\n"
        )
    );
    let said = program.run(&["keys", "--name", "Müller AG", "--companies-house", "1234567", "--json"]);
    assert_eq!(
        said.json(),
        json!({
            "keys": [
                {"key": "companies_house:1234567", "strength": "strong", "trust": 95, "origin": "companies_house"},
                {"key": "companies_house:01234567", "strength": "strong", "trust": 95, "origin": "companies_house"},
            ],
            "unusable": [],
        })
    );
    let nothing = program.run(&["keys", "???", "--json"]);
    assert_eq!(nothing.status, Some(2));
    assert_eq!(nothing.json(), json!({"keys": [], "unusable": ["\"???\" names no host"]}));
    assert!(!program.database().exists(), "no database is asked");
}

#[test]
fn status_fits_one_screen() {
    let program = Program::with_fixtures();
    let said = program.run(&["status"]);
    assert_eq!((said.status, said.err.as_str()), (Some(0), ""));
    for line in [
        "serve       never ran\n",
        "lag         none\n",
        "waiting     0\n",
        "parked      0\n",
        "events      35 settled, 20 ignored, 0 skipped, 2 unreadable\n",
        "filter      on, 0 events looked at as a sample\n",
        "rows        26 (0 expired, 0 by other programs), from 18 pages\n",
        "pages       1 without a key, 0 that Notion no longer shows, 3 keys claimed more than once\n",
        "last sweep  none yet: `check` cannot say clear before a complete one\n",
        "source      recorded, «Companies», a87bf59b-0905-40be-b3d3-21c79ce97349, never swept\n",
    ] {
        assert!(said.out.contains(line), "{line}{said:?}");
    }
    assert!(said.out.starts_with(&format!("database    {}\n", program.database().display())), "{said:?}");
    swept(&program, Duration::from_hours(3));
    assert!(program.run(&["status"]).out.contains("UTC, 3 hours ago\n"));

    let json = program.run(&["status", "--json"]).json();
    assert_eq!(
        names(&json),
        [
            "at",
            "cache",
            "diagnosis",
            "events",
            "last_backup",
            "last_complete_sweep_at",
            "last_sweep",
            "next_sweep_at",
            "relevance",
            "running",
            "running_sweep",
            "settings",
            "sources",
            "subscription_suspect"
        ]
    );
    assert_eq!((&json["running"], &json["last_sweep"]), (&Json::Null, &Json::Null));
    assert_eq!(json["events"]["by_state"]["settled"], 35);
    assert_eq!(json["cache"]["entries"], 26);
}

#[tokio::test]
async fn parked_events_are_shown_and_taken_up_again() {
    let world = World::start().await;
    let program = Program::new().and("SUPPRESSD_DB_PATH", world.database().display().to_string());
    let shown = run(&program, &["status"]).await;
    assert!(shown.out.contains(&format!("serve       running as process {}", std::process::id())), "{shown:?}");
    assert!(shown.out.contains("budget      "), "{shown:?}");
    assert_eq!(run(&program, &["events", "list"]).await.out, "no event was received yet\n");
    assert_eq!(run(&program, &["events", "list", "--state", "parked"]).await.out, "no event is parked\n");
    assert_eq!(run(&program, &["events", "retry", "--all"]).await.out, "no event is parked\n");

    // Notion calls the question wrong, which it will do however often it is asked.
    world.simulator.faults().next(2, Fault::Status(400));
    for n in 0..2 {
        world.workspace().create(company("Acme").website(&format!("acme-{n}.com")));
    }
    world.tell().await;
    assert_eq!(world.count(EventState::Parked).await, 2);
    let shown = run(&program, &["status"]).await;
    assert!(shown.out.contains("parked      2 (`suppressd events list --state parked`)\n"), "{shown:?}");

    let listed = run(&program, &["events", "list", "--state", "parked", "--json"]).await.json_lines();
    assert_eq!(listed.len(), 2);
    assert_eq!((&listed[0]["kind"], &listed[0]["state"]), (&json!("page.created"), &json!("parked")));
    assert!(listed[0]["reason"].as_str().unwrap().contains("400"), "{listed:?}");
    assert!(listed[0].get("body").is_none());
    let table = run(&program, &["events", "list", "--state", "parked"]).await.out;
    assert!(table.starts_with("EVENT "), "{table}");
    assert_eq!(run(&program, &["events", "list", "--limit", "1", "--json"]).await.json_lines().len(), 1);

    run(&program, &["events", "retry", "nobody"]).await.fails_with("no parked event has the id nobody");
    let id = listed[0]["event_id"].as_str().unwrap();
    let one = run(&program, &["events", "retry", id]).await;
    assert!(one.out.starts_with("1 event to be looked at again"), "{one:?}");
    world.until("one is settled", async || world.rows().len() == 1).await;
    run(&program, &["events", "retry", id]).await.fails_with("no parked event has the id");
    let rest = run(&program, &["events", "retry", "--all"]).await;
    assert_eq!((rest.status, rest.out.starts_with("1 event ")), (Some(0), true), "{rest:?}");
    world.until("both are settled", async || world.rows().len() == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_handshake_is_shown_and_forgotten() {
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let program = Program::new().with_notion(&simulator);
    let none = run(&program, &["handshake"]).await;
    assert!(none.out.contains("no token is stored in ") && none.out.contains("start `suppressd serve`"), "{none:?}");
    run(&program, &["handshake", "--show"]).await.fails_with("no token is stored");

    let serving = program.start(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    let url = format!("http://{}/webhooks/notion", serving.public());
    let webhooks = simulator.webhooks(&url, suppressd::simulator::webhooks::Delivering::default()).unwrap();
    assert_eq!(webhooks.handshake(suppressd::simulator::webhooks::Handshake::Unsigned).await, Some(200));
    serving.signal("TERM");
    assert_eq!(serving.end().0, Some(0));
    assert!(!program.path("cache.db-wal").exists(), "who stops leaves one whole file");

    let token = simulator.verification_token();
    let stored = run(&program, &["handshake"]).await;
    assert!(stored.out.contains("a token is stored") && !stored.out.contains(token), "{stored:?}");
    assert!(run(&program, &["handshake", "--show"]).await.out.contains(token));
    let reset = run(&program, &["handshake", "--reset"]).await;
    assert!(
        reset.out.contains("forgot the token") && reset.out.contains("the next handshake, which is taken"),
        "{reset:?}"
    );
    assert!(run(&program, &["handshake", "--reset"]).await.out.contains("there is no token"));
    run(&program, &["handshake", "--show", "--reset"]).await.fails_with("cannot be used with");

    let configured = program.and("NOTION_VERIFICATION_TOKEN", token);
    let told = run(&configured, &["handshake", "--reset"]).await;
    assert!(told.out.contains("NOTION_VERIFICATION_TOKEN is set: it counts instead"), "{told:?}");
    assert!(!told.out.contains("is taken\nN"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_appears_in_any_output() {
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let admin = "admin_3Jq8wX2vLk9";
    let previous = "secret_prevPREVprev0123456789prevPREVprev012345";
    let program = Program::with_fixtures()
        .with_notion(&simulator)
        .and("NOTION_VERIFICATION_TOKEN", simulator.verification_token())
        .and("NOTION_VERIFICATION_TOKEN_PREVIOUS", previous)
        .and("SUPPRESSD_ADMIN_TOKEN", admin)
        .and("NOTION_TIMEOUT_SECONDS", "1");
    let secrets = [simulator.token(), simulator.verification_token(), previous, admin];
    let printed = run(&program, &["config", "print"]).await;
    for setting in ["api_key", "verification_token", "verification_token_previous", "admin_token"] {
        assert!(printed.out.contains(&format!("# {setting}: [redacted]")), "{setting}: {printed:?}");
    }
    let mut outputs = vec![said(printed)];
    for words in ["check acme.ai", "keys acme.ai", "status", "events list", "handshake", "handshake --show", "--help"] {
        let words: Vec<_> = ["-vv"].into_iter().chain(words.split(' ')).collect();
        outputs.push(said(run(&program, &words).await));
    }
    // More than -vv asks for: everything that anybody in the program has to say.
    let program = program.and("SUPPRESSD_LOG", "trace");
    let serving = program.start(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    let url = format!("http://{}/webhooks/notion", serving.public());
    let webhooks = simulator.webhooks(&url, suppressd::simulator::webhooks::Delivering::default()).unwrap();
    until("the schema is known", || simulator.tally().total() >= 2);
    for fault in [Fault::Status(500), Fault::Status(400), Fault::Edge(502), Fault::Truncated, Fault::Reset] {
        simulator.faults().next(3, fault);
    }
    for n in 0..6 {
        simulator.workspace().create(company("Acme").website(&format!("acme-{n}.com")));
    }
    webhooks.deliver_all().await;
    webhooks.handshake(suppressd::simulator::webhooks::Handshake::Signed).await;
    until("it failed", || serving.said().matches("cannot").count() > 8);
    simulator.faults().next(1, Fault::Status(401));
    simulator.workspace().create(company("Acme").website("acme.com"));
    webhooks.deliver_all().await;
    until("it was refused", || serving.said().contains("refuses this token"));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    client.post(&url).header("x-notion-signature", "sha256=00").body("{}").send().await.unwrap();
    serving.signal("INT");
    serving.signal("INT");
    outputs.push(serving.end().1);
    assert!(outputs.last().unwrap().contains("TRACE"), "it logged in detail");
    for secret in secrets {
        for output in &outputs {
            assert!(!output.contains(secret), "{output}");
        }
    }
}

#[test]
fn every_command_has_help_with_an_example() {
    let program = Program::new();
    for command in [
        "",
        "demo",
        "serve",
        "handshake",
        "check",
        "keys",
        "status",
        "sweeps",
        "events",
        "events list",
        "events retry",
        "replay",
        "config",
        "config print",
    ] {
        for help in ["--help", "-h"] {
            let words: Vec<_> = command.split_whitespace().chain([help]).collect();
            let said = program.run(&words);
            assert_eq!((said.status, said.err.as_str()), (Some(0), ""), "{words:?}");
            let example = format!("\n  suppressd {}", command.split(' ').next().unwrap());
            let lines: Vec<_> = said.out.lines().filter(|line| line.starts_with("  suppressd ")).collect();
            assert!(help == "-h" || !lines.is_empty(), "{example} is missing: {}", said.out);
            assert!(said.out.lines().all(|line| line.chars().count() <= 100), "{}", said.out);
        }
    }
}

#[test]
fn what_is_not_known_is_refused() {
    let program = Program::new();
    for (words, told) in [
        (&["--colour"][..], "unexpected argument '--colour'"),
        (&["check", "acme.ai", "--frob"], "unexpected argument '--frob'"),
        (&["evnts", "list"], "a similar subcommand exists: 'events'"),
        (&[], "Usage: suppressd [OPTIONS] <COMMAND>"),
        (
            &["events", "list", "--state", "asleep"],
            "possible values: waiting, settled, parked, ignored, skipped, unreadable",
        ),
        (&["events", "retry"], "<EVENT_ID>"),
        (&["sweeps", "--limit", "0"], "0 is not in 1..=10000"),
        (&["sweeps", "--drift", "last"], "invalid value 'last'"),
        (&["--config", "nowhere.toml", "status"], "nowhere.toml"),
    ] {
        program.run(words).fails_with(told);
    }
}

#[test]
fn a_newer_database_is_refused_and_stays_as_it_is() {
    let program = Program::with_fixtures();
    for journal in ["wal", "delete"] {
        program.sql(&format!(
            "INSERT OR IGNORE INTO suppressd_migrations VALUES (99, 'of tomorrow', '2030'); PRAGMA journal_mode = {journal}"
        ));
        let before = fs::read(program.database()).unwrap();
        for words in [
            &["check", "acme.ai"][..],
            &["status"],
            &["events", "list"],
            &["events", "retry", "--all"],
            &["replay", "--from-inbox", "--pages", crate::program::repository("fixtures/pages").to_str().unwrap()],
        ] {
            program.run(words).fails_with("has schema version 99, this program knows ");
            assert!(fs::read(program.database()).unwrap() == before, "{words:?} changed the file in mode {journal}");
        }
    }
}

#[test]
fn a_table_of_the_same_name_that_is_not_ours_is_left_alone() {
    let program = Program::new();
    for table in [
        "CREATE TABLE suppression_cache (domain TEXT, until TEXT)",
        "CREATE TABLE suppression_cache (id INTEGER PRIMARY KEY, canonical_key TEXT NOT NULL, notion_page_id TEXT, \
         status TEXT, company_name TEXT, cached_at TEXT, expires_at TEXT, metadata TEXT)",
    ] {
        program.sql(table);
        let before = fs::read(program.database()).unwrap();
        program.replay(&crate::program::repository("fixtures/events")).fails_with("that is not suppressd's");
        program.run(&["check", "acme.ai"]).fails_with("holds no cache of this version");
        assert!(fs::read(program.database()).unwrap() == before, "{table}");
        program.sql("DROP TABLE suppression_cache");
    }
}

#[test]
fn a_file_that_is_no_database_is_left_alone() {
    let program = Program::new();
    let text = "canonical_key,status\n".repeat(100);
    fs::write(program.database(), &text).unwrap();
    for words in [&["check", "acme.ai"][..], &["status"], &["events", "retry", "--all"]] {
        let said = program.run(words);
        said.fails_with(&format!("error: cannot work with {}\n", program.database().display()));
        said.fails_with("because file is not a database\nnext: ");
        assert_eq!(said.err.matches("not a database").count(), 1, "it is said once: {said:?}");
    }
    program.replay(&crate::program::repository("fixtures/events")).fails_with("file is not a database");
    assert_eq!(fs::read_to_string(program.database()).unwrap(), text);
    let folder = program.and("SUPPRESSD_DB_PATH", "nowhere/cache.db");
    folder.replay(&crate::program::repository("fixtures/events")).fails_with("cannot work with nowhere/cache.db");
}

#[test]
fn a_folder_that_cannot_be_written_to_can_be_asked() {
    let program = Program::with_fixtures();
    let folder = program.path("read only?#%");
    fs::create_dir(&folder).unwrap();
    let database = folder.join("cache.db");
    program.sql("PRAGMA wal_checkpoint(TRUNCATE)");
    fs::copy(program.database(), &database).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
    let words = ["--db-path", database.to_str().unwrap(), "check", "stonecrop-energy.example"];
    let may_write = fs::write(folder.join("probe"), "").is_ok();
    let said: Said = if may_write {
        // Nothing is forbidden to root: it asks as somebody else, where the system has a way to.
        fs::remove_file(folder.join("probe")).unwrap();
        fs::set_permissions(program.folder(), fs::Permissions::from_mode(0o755)).unwrap();
        let copy = program.path("suppressd");
        fs::copy(env!("CARGO_BIN_EXE_suppressd"), &copy).unwrap();
        let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
        let Ok(ran) = Command::new("setpriv").args(nobody).arg(copy).args(words).current_dir("/").output() else {
            return;
        };
        ran.into()
    } else {
        program.run(&words)
    };
    assert_eq!((said.status, said.err.as_str()), (Some(0), ""), "{said:?}");
    assert!(said.out.contains("suppressed: the CRM holds Stonecrop Energy"), "{said:?}");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing was left beside the file");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let program = Program::with_fixtures();
    let lines: Vec<_> = (0..5_000).map(|n| format!("acme-{n}.example")).collect();
    let many = [&["keys".to_owned()][..], &lines].concat();
    for words in [many, vec!["config".to_owned(), "print".to_owned(), "--help".to_owned()]] {
        let mut child = program.command(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = [0; 8];
        let mut out = child.stdout.take().unwrap();
        out.read_exact(&mut first).unwrap();
        drop(out);
        let ended: Said = child.wait_with_output().unwrap().into();
        assert_eq!((ended.status, ended.err.as_str()), (Some(0), ""), "{:?}", words[0]);
    }
}

/// Runs `check` with some words.
fn check(program: &Program, words: &[&str]) -> Assert {
    let words: Vec<_> = ["check"].iter().chain(words).collect();
    Assert::new(program.command(&words).output().unwrap())
}

/// Writes down that the last complete sweep was so long ago.
fn swept(program: &Program, ago: Duration) {
    let at = Clock::system().now() - ago;
    program.sql(&format!("UPDATE suppressd_sources SET watermark = {}", at.timestamp_micros()));
}

fn said(said: Said) -> String {
    said.out + &said.err
}

/// The names of an object's members, sorted.
fn names(object: &Json) -> Vec<String> {
    let mut names: Vec<_> = object.as_object().unwrap().keys().cloned().collect();
    names.sort();
    names
}
