//! SIGHUP, as an operator sends it to the real program.

use std::fs;

use suppressd::simulator::{Settings, Simulator, draft::company};

use crate::program::{Program, Running, until};

const SERVE: [&str; 5] = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];

/// A program with a settings file, beside a simulated Notion.
async fn program() -> (Simulator, Program) {
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    let program = Program::new().with_notion(&simulator).and("NOTION_VERIFICATION_TOKEN", "secret_verification");
    write(&program, "");
    (simulator, program)
}

fn write(program: &Program, settings: &str) {
    fs::write(program.path("suppressd.toml"), settings).unwrap();
}

fn count(running: &Running, told: &str) -> usize {
    running.said().matches(told).count()
}

fn status(program: &Program) -> serde_json::Value {
    // With the settings that are refused no command runs.
    fs::write(program.path("empty.toml"), "").unwrap();
    program.run(&["--config", "empty.toml", "status", "--json"]).json().get("settings").cloned().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_takes_a_good_file_and_a_bad_one_changes_nothing() {
    let (simulator, program) = program().await;
    let serve = program.start(&SERVE);
    serve.public();
    assert_eq!(status(&program), serde_json::Value::Null);

    write(&program, "shared_hosts = ['build.example']\n[log]\nlevel = 'debug'\n[serve]\ngrace_seconds = 3\n");
    let checked = program.run(&["config", "check"]);
    assert_eq!(checked.status, Some(0), "{checked:?}");
    serve.signal("HUP");
    serve.until("the settings are read anew and taken: shared_hosts, log.level");
    serve.until("needs a restart: serve.grace_seconds");
    // What is refused is logged only by those who debug.
    let admin =
        serve.said().split("everything else on http://").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let refused = reqwest::get(format!("http://{admin}/nowhere")).await.unwrap();
    assert_eq!(refused.status(), reqwest::StatusCode::NOT_FOUND);
    serve.until("a request was refused");

    write(&program, "ttl_days = 0\n[log]\nlevel = 'off'\n[notion]\nconcurrency = 'ntn_in_the_wrong_place'\n");
    let checked = program.run(&["config", "check"]);
    checked.fails_with("ttl_days");
    serve.signal("HUP");
    serve.until("the settings are refused");
    until("it is in status", || status(&program)["outcome"] == "refused");
    let problems = status(&program)["problems"].to_string();
    assert!(problems.contains("ttl_days") && problems.contains("notion.concurrency"), "{problems}");

    // The level of the bad file is not taken, and a mended one is told of.
    write(&program, "");
    serve.signal("HUP");
    until("the mended file is taken", || count(&serve, "read anew and taken") == 2);
    serve.signal("TERM");
    let (ended, said) = serve.end();
    assert_eq!(ended, Some(0), "{said}");
    for secret in ["ntn_in_the_wrong_place", "secret_verification", simulator.token()] {
        assert!(!said.contains(secret), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hangups_at_the_start_at_once_during_a_sweep_and_during_a_stop_end_nothing() {
    let manner = suppressd::simulator::api::Manner {
        latency: std::time::Duration::from_millis(30),
        ..suppressd::simulator::api::Manner::default()
    };
    let simulator = Simulator::start(Settings { manner, ..Settings::default() }).await.unwrap();
    for n in 0..900 {
        simulator.workspace().create(company(&format!("Acme {n}")).website(&format!("https://acme-{n}.build.example")));
    }
    let program = Program::new().with_notion(&simulator).and("NOTION_VERIFICATION_TOKEN", "secret_verification");
    write(&program, "");
    let serve = program.start(&SERVE);
    // The first sweep begins by itself; signals come in whatever it does.
    serve.until("serving:");
    for round in 0..6 {
        let hosts = if round % 2 == 0 { "shared_hosts = ['build.example']" } else { "" };
        write(&program, hosts);
        serve.signal("HUP");
        serve.signal("HUP");
        until("each round is heeded", || count(&serve, "read anew and taken") > round);
    }
    serve.until("swept source");
    write(&program, "");
    let taken = count(&serve, "read anew and taken");
    serve.signal("HUP");
    until("the last one is heeded", || count(&serve, "read anew and taken") > taken);
    until("the rows are those of the last settings", || {
        program.number("SELECT count(*) FROM suppression_cache WHERE canonical_key LIKE 'domain:acme-%'") == 900
            && program.number("SELECT count(*) FROM suppression_cache") == 901
    });
    serve.signal("TERM");
    serve.signal("HUP");
    let (ended, said) = serve.end();
    assert_eq!(ended, Some(0), "{said}");
}
