//! `doctor` in good and bad days: each thing that can be wrong, as the program tells it.

use std::{
    fs,
    net::TcpListener as Blocking,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use chrono::TimeDelta;
use serde_json::{Value as Json, json};
use suppressd::simulator::{Access, Settings, Simulator, draft::company, question::Endpoint, schema::Kind};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_util::task::TaskTracker;

use crate::{
    pipeline,
    program::{Program, Running, Said, run, until},
};

/// A workspace with some companies, and settings for the program to read it.
async fn place() -> (Simulator, Program) {
    let simulator = Simulator::start(Settings::default()).await.unwrap();
    simulator.workspace().create(company("Acme").website("acme.com").status("Passed"));
    let program =
        Program::new().with_notion(&simulator).and("NOTION_VERIFICATION_TOKEN", simulator.verification_token());
    (simulator, program)
}

/// The same after a sweep, with a database that nobody else can read.
async fn swept() -> (Simulator, Program) {
    let (simulator, program) = place().await;
    assert_eq!(run(&program, &["reconcile"]).await.status, Some(0));
    set_mode(&program.database(), 0o600);
    (simulator, program)
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Runs the doctor and reads its report.
async fn examine(program: &Program, words: &[&str]) -> (Said, Json) {
    let words: Vec<&str> = ["doctor", "--json"].iter().chain(words).copied().collect();
    let said = run(program, &words).await;
    let report = said.json();
    assert_eq!(said.status, Some(expected_status(&report)), "{said:?}");
    assert_eq!(said.err, "");
    (said, report)
}

/// The exit status that belongs to the worst of all checks.
fn expected_status(report: &Json) -> i32 {
    let states: Vec<&str> = checks(report).iter().map(|check| check["state"].as_str().unwrap()).collect();
    let count = |state: &str| states.iter().filter(|found| **found == state).count() as u64;
    for (name, state) in [("failures", "failed"), ("warnings", "warning"), ("well", "well"), ("skipped", "skipped")] {
        assert_eq!(report[name].as_u64(), Some(count(state)), "{name}: {report}");
    }
    if count("failed") > 0 { 2 } else { i32::from(count("warning") > 0) }
}

fn checks(report: &Json) -> &Vec<Json> {
    report["checks"].as_array().unwrap()
}

/// Expects a check of this name in this state, and words in what was found or in the fix.
#[track_caller]
fn expect(report: &Json, (group, name, state): (&str, &str, &str), words: &[&str]) {
    let of_name: Vec<&Json> =
        checks(report).iter().filter(|check| check["group"] == group && check["name"] == name).collect();
    let found = of_name.iter().any(|check| {
        let text = format!("{} → {}", check["found"].as_str().unwrap(), check["fix"].as_str().unwrap_or_default());
        check["state"] == state && words.iter().all(|word| text.contains(word))
    });
    assert!(found, "no {state} {group}/{name} with {words:?}: {of_name:#?}");
}

/// Every row of every table, but those about requests that were counted.
fn contents(program: &Program) -> Vec<String> {
    let connection = pipeline::connect(&program.database());
    let list = |sql: &str| -> Vec<String> {
        let mut rows = connection.prepare(sql).unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let tables = list("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name");
    let rows = tables.iter().flat_map(|table| {
        let columns =
            list(&format!("SELECT 'quote(' || name || ')' FROM pragma_table_info('{table}')")).join(" || ',' || ");
        list(&format!("SELECT '{table}: ' || {columns} FROM {table} ORDER BY 1"))
    });
    // What a running serve says of itself.
    let told = ["'budgets", "'running'", "'next_sweep'"].map(|name| format!("suppressd_facts: {name}"));
    rows.filter(|row| !told.iter().any(|told| row.starts_with(told))).collect()
}

/// A `serve` on a port that is known beforehand, as the settings must name it.
struct Served {
    simulator: Simulator,
    program: Program,
    serve: Running,
    url: String,
}

async fn served() -> Served {
    let (simulator, program) = swept().await;
    let port = || Blocking::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (public, private) = (port(), port());
    let program = program.and("SUPPRESSD_LISTEN", public).and("SUPPRESSD_ADMIN_LISTEN", private);
    let resolved = "SELECT max(resolved_at) FROM suppressd_sources";
    let resolved_before = program.number(resolved);
    let serve = program.start(&["serve", "--sweep-at", "off"]);
    let serve = tokio::task::spawn_blocking(move || {
        serve.until("/webhooks/notion");
        serve
    })
    .await
    .unwrap();
    let url = format!("http://{}", serve.public());
    let served = Served { simulator, program, serve, url };
    served.until("it says how it is", |program| {
        program.number("SELECT count(*) FROM suppressd_facts WHERE name = 'running'") == 1
    });
    served.until("it has read the schema", |program| program.number(resolved) > resolved_before);
    served
}

impl Served {
    fn until(&self, what: &str, holds: impl Fn(&Program) -> bool) {
        until(what, || holds(&self.program));
    }

    async fn examine(&self, words: &[&str]) -> Json {
        examine(&self.program, words).await.1
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_all_is_well_it_says_so_and_changes_nothing() {
    let (simulator, program) = swept().await;
    let before = contents(&program);
    let (_, report) = examine(&program, &["--thorough"]).await;
    assert_eq!(report["failures"], 0, "{report:#}");
    expect(&report, ("settings", "values", "well"), &["environment"]);
    expect(&report, ("notion", "token", "well"), &["«suppressd»", "«Fictional Ventures»"]);
    expect(&report, ("notion", "clock", "well"), &[]);
    expect(&report, ("notion", "table of notion", "well"), &["«Companies»", "shared"]);
    expect(&report, ("schema", "website", "well"), &["«Website» (url)"]);
    expect(&report, ("schema", "hard statuses", "well"), &["«Passed», «Lost»"]);
    expect(&report, ("webhook", "token", "well"), &["configured"]);
    expect(&report, ("webhook", "last event", "warning"), &["none ever came", "Webhooks tab"]);
    expect(&report, ("webhook", "inbox", "well"), &["none parked"]);
    expect(&report, ("database", "file", "well"), &["schema version"]);
    expect(&report, ("database", "integrity", "well"), &["sound"]);
    expect(&report, ("database", "rows", "well"), &["agree"]);
    expect(&report, ("database", "journal", "well"), &["WAL of"]);
    expect(&report, ("database", "other tables", "well"), &["none"]);
    expect(&report, ("database", "last sweep", "well"), &["1 rows of 1 pages"]);
    expect(&report, ("files", "disk", "well"), &["MiB free"]);
    expect(&report, ("files", "database", "well"), &["0600"]);
    expect(&report, ("processes", "serve", "skipped"), &["none has ever run"]);
    assert_eq!(contents(&program), before, "nothing is changed");
    assert_eq!(simulator.tally().of(Endpoint::Me), 1);
    // What was asked is counted, for whoever asks next.
    assert!(program.number("SELECT value ->> '$[0].spent' FROM suppressd_facts WHERE name = 'budgets'") >= 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_read_a_line_for_each_thing_and_no_colours_in_a_file() {
    let (_simulator, program) = swept().await;
    let said = run(&program, &["doctor"]).await;
    assert_eq!(said.status, Some(1), "{said:?}");
    assert!(said.out.contains("\n  ✓ ok      token: Notion takes it"), "{}", said.out);
    assert!(said.out.contains("\n  ! warning last event: none ever came → open the connection"), "{}", said.out);
    assert!(said.out.contains("\n  - skipped serve: none has ever run"), "{}", said.out);
    assert!(said.out.ends_with("skipped\n") && said.out.contains("\n1 warning; "), "{}", said.out);
    assert!(!said.out.contains('\u{1b}'), "{}", said.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_problem_of_the_settings_is_told_and_the_rest_is_looked_at_all_the_same() {
    let (_simulator, program) = swept().await;
    fs::write(program.path("suppressd.toml"), "colour = 'blue'\nttl_dayz = 3\n").unwrap();
    set_mode(&program.path("suppressd.toml"), 0o666);
    let program = program.and("SUPPRESSD_DBPATH", "other.db").and("NOTION_APIKEY", "ntn_never_shown");
    let (said, report) = examine(&program, &[]).await;
    expect(&report, ("settings", "value", "failed"), &["`colour`", "not a setting"]);
    expect(&report, ("settings", "value", "failed"), &["`ttl_dayz`", "did you mean `ttl_days`?"]);
    expect(&report, ("settings", "environment", "warning"), &["SUPPRESSD_DBPATH", "did you mean SUPPRESSD_DB_PATH?"]);
    expect(&report, ("settings", "environment", "warning"), &["NOTION_APIKEY", "did you mean NOTION_API_KEY?"]);
    expect(&report, ("files", "settings", "warning"), &["others can change", "chmod go-w"]);
    expect(&report, ("notion", "token", "well"), &[]);
    assert!(!said.out.contains("ntn_never_shown"));

    let program = program.and("SUPPRESSD_TTL_DAYS", "many");
    let (_, report) = examine(&program, &[]).await;
    expect(&report, ("settings", "value", "failed"), &["SUPPRESSD_TTL_DAYS", "from 1 to 365"]);
    expect(&report, ("database", "all of it", "skipped"), &["the settings cannot be read"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_settings_file_that_cannot_be_read_nothing_is_guessed() {
    let (simulator, program) = swept().await;
    let program = program.and("SUPPRESSD_DB_PATH", "").and("NOTION_DATABASE_ID", "").and("OF_THE_CRM", "ntn_other");
    let text = "db_path = 'kept.db'\n[[source]]\nname = 'crm\napi_key_env = 'OF_THE_CRM'\n";
    fs::write(program.path("suppressd.toml"), text).unwrap();
    let asked = simulator.tally().total();
    let (said, report) = examine(&program, &[]).await;
    expect(&report, ("settings", "value", "failed"), &["suppressd.toml line 3", "is not TOML"]);
    expect(&report, ("settings", "environment", "skipped"), &["cannot be read"]);
    for group in ["notion", "schema", "webhook", "database", "files", "processes"] {
        expect(&report, (group, "all of it", "skipped"), &["the settings cannot be read"]);
    }
    assert!(!said.out.contains("names no table") && report["failures"] == 1, "{said:?}");
    assert_eq!(simulator.tally().total(), asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_notions_settings_what_needs_none_is_looked_at() {
    let program = Program::with_fixtures();
    let (_, report) = examine(&program, &[]).await;
    expect(&report, ("settings", "value", "failed"), &["NOTION_API_KEY"]);
    expect(&report, ("settings", "value", "failed"), &["NOTION_DATABASE_ID"]);
    expect(&report, ("notion", "token", "skipped"), &["do not say how to ask Notion"]);
    expect(&report, ("database", "file", "well"), &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_a_table_that_is_not_shared_and_a_silent_notion_say_what_to_do() {
    let (simulator, program) = swept().await;
    simulator.faults().refuse_token();
    let (said, report) = examine(&program, &[]).await;
    expect(&report, ("notion", "token", "failed"), &["unauthorized", "copy the token"]);
    expect(&report, ("notion", "clock", "well"), &[]);
    expect(&report, ("notion", "table of notion", "skipped"), &["token does not work"]);
    // What was stored is judged instead.
    expect(&report, ("schema", "website", "well"), &["«Website»"]);
    assert!(!said.out.contains(simulator.token()), "{said:?}");
    simulator.faults().heal_token();

    let workspace = simulator.workspace();
    workspace.set_database_access(workspace.database(), Access::Unshared);
    let (_, report) = examine(&program, &[]).await;
    expect(&report, ("notion", "token", "well"), &[]);
    let id = workspace.database().to_string();
    let clicks = ["not shared", &id, "•••", "Connections", "«suppressd»", "NOTION_DATABASE_ID"];
    expect(&report, ("notion", "table of notion", "failed"), &clicks);

    let elsewhere = Program::new().with_notion(&simulator);
    simulator.stop().await;
    let (said, report) = examine(&program, &[]).await;
    expect(&report, ("notion", "token", "failed"), &["cannot be reached", "can this machine reach http://127.0.0.1"]);
    expect(&report, ("notion", "clock", "skipped"), &[]);
    expect(&report, ("notion", "table of notion", "skipped"), &["Notion could not be asked"]);
    expect(&report, ("schema", "properties", "skipped"), &["Notion could not be asked", "as they were read last"]);
    expect(&report, ("schema", "website", "well"), &["«Website»"]);
    assert!(!said.out.contains("token does not work"), "{said:?}");
    let said = run(&program, &["schema", "validate"]).await;
    assert_eq!(said.status, Some(1), "{said:?}");
    assert!(said.out.starts_with("as it was read last: Notion could not be asked: "), "{}", said.out);
    assert!(said.out.contains(": valid\n") && !said.out.contains("not valid"), "{}", said.out);
    let said = run(&elsewhere, &["schema", "validate"]).await;
    assert_eq!(said.status, Some(2), "{said:?}");
    assert!(said.out.starts_with("not read: Notion could not be asked: "), "{}", said.out);
    assert!(said.out.contains("notion: not known\n"), "{}", said.out);
    expect(&report, ("database", "integrity", "well"), &[]);
    let (_, report) = examine(&program, &["--offline"]).await;
    expect(&report, ("notion", "token", "skipped"), &["--offline"]);
    assert_eq!(report["failures"], 0, "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_told_by_the_variable_that_its_source_names() {
    let (simulator, program) = place().await;
    let table = simulator.workspace().database();
    let text = format!("[[source]]\nname = 'portfolio'\ndatabase_id = '{table}'\napi_key_env = 'PORTFOLIO_API_KEY'\n");
    fs::write(program.path("suppressd.toml"), text).unwrap();
    let program = program.and("NOTION_API_KEY", "").and("PORTFOLIO_API_KEY", simulator.token());
    let program = program.and("NOTION_DATABASE_ID", "");
    simulator.faults().refuse_token();
    let (_, report) = examine(&program, &[]).await;
    expect(&report, ("notion", "token", "failed"), &["unauthorized", "set PORTFOLIO_API_KEY"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_several_data_sources_is_told() {
    let (simulator, program) = place().await;
    simulator.workspace().add_data_source("Partners");
    let (_, report) = examine(&program, &[]).await;
    expect(
        &report,
        ("notion", "table of notion", "failed"),
        &["2 data sources", "«Partners»", "NOTION_DATA_SOURCE_ID"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_properties_and_statuses_are_judged_one_by_one() {
    let (simulator, program) = place().await;
    let (workspace, table) = (simulator.workspace(), simulator.workspace().data_source());
    workspace.rename_property(table, "Website", "Web site");
    workspace.delete_property(table, "Crunchbase");
    workspace.retype_property(table, "Location", Kind::Relation);
    workspace.rename_option(table, "Status", "Lost", "Loss");
    let (_, report) = examine(&program, &[]).await;
    let fix = r#"set website = "Web site" under [source.properties]"#;
    expect(&report, ("schema", "website", "warning"), &["«Web site» looks like it", fix]);
    expect(&report, ("schema", "crunchbase", "skipped"), &["no property \"Crunchbase\""]);
    expect(&report, ("schema", "location", "failed"), &["«Location» (relation)", "gives no text"]);
    expect(&report, ("schema", "hard statuses", "warning"), &["«lost» is no option", "«Loss» looks like it"]);

    workspace.rename_option(table, "Status", "Passed", "Declined");
    let (_, report) = examine(&program, &[]).await;
    expect(&report, ("schema", "hard statuses", "failed"), &["none is an option", "«Declined»", "set hard_statuses"]);
    workspace.rename_property(table, "Status", "Stage");
    let (_, report) = examine(&program, &[]).await;
    expect(&report, ("schema", "status", "failed"), &["every company counts as soft"]);

    // Once the cache has read a table, it knows its properties by their ids.
    let (simulator, program) = swept().await;
    simulator.workspace().rename_property(simulator.workspace().data_source(), "Website", "Home");
    let (_, report) = examine(&program, &[]).await;
    expect(
        &report,
        ("schema", "website", "warning"),
        &[
            "no property is named \"Website\"; website is read on from «Home»",
            "known by its id",
            r#"set website = "Home""#,
        ],
    );
    let said = run(&program, &["schema", "validate"]).await;
    let told =
        "no property is named \"Website\"; website is read on from \"Home\", known by its id: set the name to \"Home\"";
    assert!(said.out.contains(told), "{}", said.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_is_told_with_its_direction() {
    let (simulator, program) = place().await;
    for (seconds, state, told) in [
        (-120, "warning", "minute ahead of Notion's"),
        (120, "warning", "minute behind Notion's"),
        (3_700, "failed", "1 hour behind Notion's"),
        (-3_700, "failed", "1 hour ahead of Notion's"),
    ] {
        simulator.faults().set_clock_skew(TimeDelta::seconds(seconds));
        let (_, report) = examine(&program, &[]).await;
        expect(&report, ("notion", "clock", state), &[told, "timedatectl"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_missing_foreign_newer_or_damaged_is_told_and_left_alone() {
    let (_simulator, program) = place().await;
    let (_, report) = examine(&program, &[]).await;
    expect(&report, ("database", "file", "warning"), &["there is none", "yet"]);
    assert!(!program.database().exists(), "the doctor makes no database");
    assert_eq!(fs::read_dir(program.folder()).unwrap().count(), 1, "nor anything else");

    pipeline::connect(&program.database()).execute_batch("CREATE TABLE signals (id INTEGER)").unwrap();
    let (_, report) = examine(&program, &[]).await;
    expect(&report, ("database", "file", "warning"), &["none of suppressd's tables"]);
    expect(&report, ("database", "journal", "warning"), &["in mode delete"]);
    expect(&report, ("database", "other tables", "well"), &["1 of another program", "signals"]);
    assert_eq!(program.number("SELECT count(*) FROM sqlite_schema WHERE type = 'table'"), 1);

    assert_eq!(run(&program, &["reconcile"]).await.status, Some(0));
    program.sql("DELETE FROM suppression_cache");
    let (_, report) = examine(&program, &["--thorough"]).await;
    expect(&report, ("database", "rows", "warning"), &["1 claimed keys without a row", "suppressd reconcile"]);
    program.sql("INSERT INTO suppressd_migrations VALUES (999, 'tomorrow', '')");
    let before = contents(&program);
    let (_, report) = examine(&program, &[]).await;
    expect(&report, ("database", "file", "failed"), &["schema version 999", "newer suppressd"]);
    expect(&report, ("webhook", "inbox", "skipped"), &["cannot be read"]);
    assert_eq!(contents(&program), before);

    let bytes = fs::read(program.database()).unwrap();
    let mut damaged = bytes.clone();
    damaged[4096..].iter_mut().take(40_000).step_by(3).for_each(|byte| *byte ^= 0x5a);
    fs::write(program.database(), &damaged).unwrap();
    let (_, report) = examine(&program, &[]).await;
    assert_eq!(report["state"], "failed");
    let told = |name: &str| {
        checks(&report)
            .iter()
            .any(|check| check["group"] == "database" && check["name"] == name && check["state"] == "failed")
    };
    assert!(told("integrity") || told("file"), "{report:#}");
    assert_eq!(fs::read(program.database()).unwrap(), damaged, "it is left as it is");

    fs::write(program.database(), "no database at all, but long enough to look like one".repeat(40)).unwrap();
    let (_, report) = examine(&program, &[]).await;
    expect(&report, ("database", "file", "failed"), &["not a database"]);
    expect(&report, ("notion", "token", "well"), &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_others_can_read_are_told_and_their_secrets_are_not() {
    let (simulator, program) = swept().await;
    set_mode(&program.database(), 0o644);
    fs::write(program.path("api-key"), simulator.token()).unwrap();
    set_mode(&program.path("api-key"), 0o640);
    let stored = program.path("cache.db.verification-token");
    fs::write(&stored, "secret_of_the_subscription").unwrap();
    set_mode(&stored, 0o644);
    let named = program.path("api-key").display().to_string();
    let program =
        program.and("NOTION_API_KEY", "").and("NOTION_API_KEY_FILE", named).and("NOTION_VERIFICATION_TOKEN", "");
    let (said, report) = examine(&program, &[]).await;
    expect(&report, ("files", "database", "well"), &["0644", "everybody on this machine can read", "chmod o-rwx"]);
    expect(&report, ("files", "secret", "failed"), &["others can read", "0640", "chmod 600"]);
    expect(&report, ("webhook", "token", "failed"), &["mode 644", "chmod 600"]);
    for secret in [simulator.token(), "secret_of_the_subscription"] {
        assert!(!said.out.contains(secret) && !said.err.contains(secret), "{said:?}");
    }

    set_mode(&program.database(), 0o606);
    set_mode(&program.path("api-key"), 0o600);
    set_mode(&stored, 0o600);
    let (_, report) = examine(&program, &[]).await;
    expect(&report, ("files", "database", "failed"), &["everybody can change it"]);
    expect(&report, ("files", "secret", "well"), &["0600"]);
    expect(&report, ("webhook", "token", "well"), &["stored in"]);

    fs::remove_file(&stored).unwrap();
    let (_, report) = examine(&program, &[]).await;
    expect(&report, ("webhook", "token", "warning"), &["no delivery can be verified", "handshake --show"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_events_and_changes_that_no_event_told_are_noticed() {
    let (simulator, program) = swept().await;
    program.sql(
        "INSERT INTO suppressd_inbox (event_id, kind, occurred_at, received_at, door, state) VALUES \
         ('one', 'page.created', 0, 0, 'webhook', 'parked'), ('two', 'page.created', 0, 0, 'webhook', 'settled')",
    );
    let (_, report) = examine(&program, &["--offline"]).await;
    expect(&report, ("webhook", "inbox", "warning"), &["1 parked", "events retry --all"]);
    let workspace = simulator.workspace();
    workspace.create(company("Quill Weir").website("quill-weir.com").status("Lost"));
    assert_eq!(run(&program, &["reconcile"]).await.status, Some(0));
    let (_, report) = examine(&program, &["--offline"]).await;
    let sentence = "the last sweep says: since 1970-01-01 00:00 UTC no event arrived at all while 1 page changed";
    expect(&report, ("webhook", "last event", "warning"), &[sentence, "subscription active"]);
    program.sql(
        "UPDATE suppressd_sweeps SET report = json_set(report, '$.diagnosis', \
         json_object('sentence', 'few changed without one: nothing to do', 'subscription_suspect', json('false')))",
    );
    let (_, report) = examine(&program, &["--offline"]).await;
    expect(&report, ("webhook", "last event", "well"), &["the last sweep says: few changed", "nothing to do"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_running_serve_it_shares_the_budget_and_sends_itself_an_event() {
    let served = served().await;
    let Served { simulator, program, url, .. } = &served;
    served.until("its first work is done", |program| {
        program.number("SELECT count(*) FROM suppressd_sweeps WHERE state NOT IN ('asked', 'running')") == 1
    });
    served.until("it has said that all is well", |program| {
        let well = "name = 'running' AND json_extract(value, '$.problems') = '{}'";
        program.number(&format!("SELECT count(*) FROM suppressd_facts WHERE {well}")) == 1
    });
    let before = contents(program);
    let report = served.examine(&["--public-url", url]).await;
    assert_eq!(report["failures"], 0, "{report:#}");
    expect(&report, ("processes", "serve", "well"), &["runs and spoke"]);
    expect(&report, ("processes", "work", "well"), &["running serve"]);
    expect(&report, ("processes", "sources", "well"), &["reads those of these settings"]);
    expect(&report, ("notion", "token", "well"), &[]);
    expect(&report, ("webhook", "public address", "warning"), &["127.0.0.1", "only this network"]);
    expect(&report, ("webhook", "delivery", "well"), &["came whole", "in the inbox"]);
    let mut new = contents(program);
    new.retain(|row| !before.contains(row));
    assert!(
        matches!(new.as_slice(), [only] if only.contains("'suppressd.doctor'") && only.contains("'ignored'")),
        "nothing else is new: {new:?}"
    );
    // The doctor's own event says nothing of Notion's.
    expect(&served.examine(&[]).await, ("webhook", "last event", "warning"), &["none ever came"]);
    let beside = "SELECT value ->> '$[0].spent' FROM suppressd_facts WHERE name = 'budgets_beside'";
    assert_eq!(program.number(beside), 3, "whose token, which database, which data source");
    let tries = AtomicU32::new(0);
    served.until("the serve counts what was spent beside it", |program| {
        // It counts for a minute: on a slow machine it is spent again.
        if tries.fetch_add(1, Ordering::Relaxed).is_multiple_of(1_500) {
            program.sql(
                "UPDATE suppressd_facts SET value = json_set(value, '$[0].spent', 150, '$[0].resets_at', \
                 strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '+60 seconds')) WHERE name = 'budgets_beside'",
            );
        }
        program.number("SELECT value ->> '$[0].spent' FROM suppressd_facts WHERE name = 'budgets'") >= 150
    });

    let other = simulator.workspace().add_data_source("Partners").to_string();
    let program = Program::beside(program).and("NOTION_DATABASE_ID", "").and("NOTION_DATA_SOURCE_ID", other);
    let (_, report) = examine(&program, &["--offline"]).await;
    expect(&report, ("processes", "sources", "warning"), &["does not read notion", "start `serve`"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_serve_that_cannot_read_a_source_is_told_with_its_own_words() {
    let (simulator, program) = place().await;
    let port = || Blocking::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let program = program.and("SUPPRESSD_LISTEN", port()).and("SUPPRESSD_ADMIN_LISTEN", port());
    simulator.faults().refuse_token();
    let serve = program.start(&["serve", "--sweep-at", "off"]);
    // The database has its tables before the doors open.
    let _serve = tokio::task::spawn_blocking(move || {
        serve.until("/webhooks/notion");
        serve
    })
    .await
    .unwrap();
    let told = |path: &str| format!("SELECT count(value ->> '{path}') FROM suppressd_facts WHERE name = 'running'");
    let has = |path: &str| program.number(&told(path)) == 1;
    until("the serve says that its token is refused", || has("$.sources.notion.what"));
    let (_, report) = examine(&program, &["--offline"]).await;
    expect(&report, ("processes", "sources", "warning"), &["cannot read notion: ", "unauthorized", "tries again"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_serve_that_ended_is_told_however_it_did() {
    let Served { program, serve, .. } = served().await;
    serve.signal("KILL");
    tokio::task::spawn_blocking(move || serve.end()).await.unwrap();
    let (_, report) = examine(&program, &[]).await;
    expect(&report, ("processes", "serve", "failed"), &["died", "systemctl start suppressd"]);
    program.sql("UPDATE suppressd_facts SET value = json_set(value, '$.stopped', json('true')) WHERE name = 'running'");
    let (_, report) = examine(&program, &[]).await;
    expect(&report, ("processes", "serve", "warning"), &["stopped"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_command_at_work_is_named_and_not_disturbed() {
    let (simulator, program) = swept().await;
    let holder = suppressd::store::sqlite::SqliteStore::exclusive_at(&program.database(), "worker").unwrap().unwrap();
    let asked = simulator.tally().total();
    let (_, report) = examine(&program, &[]).await;
    let process = std::process::id().to_string();
    expect(&report, ("processes", "work", "well"), &[&process, "a command"]);
    expect(&report, ("notion", "token", "skipped"), &["another suppressd command"]);
    assert_eq!(simulator.tally().total(), asked);
    drop(holder);
}

/// What a proxy does with what comes.
#[derive(Clone, Copy)]
enum Manner {
    /// Hands it on as it is.
    Through,
    /// Writes the JSON anew, as a gateway that inspects bodies does.
    Anew,
    /// Answers this itself.
    Answers(&'static str),
}

/// A proxy in a few lines; it ends with the test.
async fn proxy(manner: Manner, to: String) -> (String, Arc<Mutex<u32>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(0));
    let count = Arc::clone(&seen);
    TaskTracker::new().spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            *count.lock().unwrap() += 1;
            let (head, body) = request(&mut client).await;
            let answer = match manner {
                Manner::Answers(answer) => answer.as_bytes().to_vec(),
                Manner::Through => forward(&to, &head, &body).await,
                Manner::Anew => {
                    let anew = serde_json::from_slice::<Json>(&body).unwrap().to_string();
                    forward(&to, &head, anew.as_bytes()).await
                }
            };
            client.write_all(&answer).await.unwrap();
        }
    });
    (url, seen)
}

async fn request(client: &mut TcpStream) -> (Vec<String>, Vec<u8>) {
    let mut bytes = Vec::new();
    loop {
        client.read_buf(&mut bytes).await.unwrap();
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head: Vec<String> =
            std::str::from_utf8(bytes.get(..end).unwrap()).unwrap().lines().map(str::to_owned).collect();
        let length = head.iter().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if bytes.len() >= end + 4 + length.unwrap_or(0) {
            return (head, bytes.split_off(end + 4));
        }
    }
}

async fn forward(to: &str, head: &[String], body: &[u8]) -> Vec<u8> {
    let mut server = TcpStream::connect(to).await.unwrap();
    let kept = head.iter().filter(|line| !line.to_lowercase().starts_with("content-length"));
    let kept: Vec<&str> = kept.map(String::as_str).collect();
    let head = format!("{}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", kept.join("\r\n"), body.len());
    server.write_all(head.as_bytes()).await.unwrap();
    server.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn where_on_the_way_from_the_public_address_it_broke_is_told() {
    let served = served().await;
    let to = served.url.trim_start_matches("http://").to_owned();
    let try_it = async |manner, state: &str, words: &[&str]| {
        let (url, seen) = proxy(manner, to.clone()).await;
        let report = served.examine(&["--public-url", &url]).await;
        expect(&report, ("webhook", "delivery", state), words);
        assert_eq!(*seen.lock().unwrap(), 1, "one event is sent");
    };
    try_it(Manner::Through, "well", &["came whole"]).await;
    try_it(Manner::Anew, "failed", &["401", "takes the same event", "byte by byte"]).await;
    let empty = "content-length: 0\r\nconnection: close\r\n\r\n";
    for (answer, words) in [
        ("404 Not Found\r\n", ["404", "forward POST /webhooks/notion"]),
        ("502 Bad Gateway\r\n", ["502", "is `serve` running"]),
        ("301 Moved Permanently\r\nlocation: https://elsewhere.example/\r\n", ["https://elsewhere.example/", "final"]),
        ("401 Unauthorized\r\nwww-authenticate: Basic\r\n", ["user and password", "without a password"]),
        ("200 OK\r\n", ["answers 200, but the event is not in", "another suppressd"]),
    ] {
        let answer: &'static str = format!("HTTP/1.1 {answer}{empty}").leak();
        try_it(Manner::Answers(answer), "failed", &words).await;
    }
    let ignored = "SELECT count(*) FROM suppressd_inbox WHERE kind = 'suppressd.doctor'";
    assert_eq!(served.program.number(ignored), 2, "one event a try, where any came");

    let other = Program::beside(&served.program).and("NOTION_VERIFICATION_TOKEN", "secret_of_somebody_else");
    let (said, report) = examine(&other, &["--public-url", &served.url]).await;
    expect(&report, ("webhook", "delivery", "failed"), &["401, and so does the serve", "another token"]);
    assert!(!said.out.contains("secret_of_somebody_else"), "{said:?}");

    let closed = Blocking::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let report = served.examine(&["--public-url", &format!("http://{closed}")]).await;
    expect(&report, ("webhook", "delivery", "failed"), &["nothing listens at", "start the proxy"]);
    let report = served.examine(&["--public-url", &served.url.replace("http", "https")]).await;
    expect(&report, ("webhook", "delivery", "failed"), &["no TLS answers at", "https only"]);
    let report = served.examine(&["--public-url", "http://no-such-host.invalid"]).await;
    expect(&report, ("webhook", "public address", "failed"), &["no-such-host.invalid is not found", "DNS"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_is_validated_as_notion_shows_it_now() {
    let (simulator, program) = place().await;
    let said = run(&program, &["schema", "validate"]).await;
    assert_eq!(said.status, Some(0), "{said:?}");
    let (workspace, table) = (simulator.workspace(), simulator.workspace().data_source());
    let report = run(&program, &["schema", "validate", "--json"]).await.json();
    assert_eq!((&report["valid"], &report["sources"][0]["read_from"]), (&json!(true), &json!("notion")));
    workspace.delete_property(table, "Crunchbase");
    let said = run(&program, &["schema", "validate"]).await;
    assert_eq!(said.status, Some(1), "{said:?}");
    assert!(said.out.contains("valid, with hints") && said.out.contains("missing"), "{}", said.out);
    workspace.rename_property(table, "Status", "Stage of the deal");
    let said = run(&program, &["schema", "validate"]).await;
    assert_eq!(said.status, Some(2), "{said:?}");
    assert!(said.out.contains("not valid") && said.out.contains("every company counts as soft"), "{}", said.out);
    simulator.faults().refuse_token();
    let said = run(&program, &["schema", "validate"]).await;
    assert_eq!(said.status, Some(2), "{said:?}");
    assert!(said.out.contains("unauthorized") && !said.out.contains(simulator.token()), "{said:?}");
}

/// The names and types of the properties, in order.
fn properties(simulator: &Simulator) -> Vec<(String, &'static str)> {
    let workspace = simulator.workspace();
    let schema = workspace.schema(workspace.data_source()).unwrap();
    schema.properties.iter().map(|property| (property.name.clone(), property.kind.name())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_added_and_nothing_else_is_touched() {
    let (simulator, program) = place().await;
    let (workspace, table) = (simulator.workspace(), simulator.workspace().data_source());
    for name in ["Canonical Key", "Crunchbase", "GitHub Repo", "Status"] {
        workspace.delete_property(table, name);
    }
    let before = properties(&simulator);
    let said = run(&program, &["schema", "repair", "--dry-run"]).await;
    assert_eq!(said.status, Some(0), "{said:?}");
    let sent = said.out.lines().skip_while(|line| !line.starts_with("PATCH ")).take(2).collect::<Vec<_>>();
    assert_eq!(sent[0], format!("PATCH {}/v1/data_sources/{table}", simulator.base_url()));
    let body: Json = serde_json::from_str(sent[1]).unwrap();
    let expected = json!({"properties": {
        "Canonical Key": {"rich_text": {}}, "Crunchbase": {"url": {}}, "GitHub Repo": {"rich_text": {}},
    }});
    assert_eq!(body, expected);
    assert!(said.out.contains("not added: Status, for status: add it in Notion by hand"), "{}", said.out);
    assert_eq!((properties(&simulator), simulator.tally().of(Endpoint::Update)), (before.clone(), 0));

    let said = run(&program, &["schema", "repair", "--json"]).await;
    let done = said.json();
    assert_eq!((said.status, &done["outcome"], &done["request"]["body"]), (Some(0), &json!("added"), &expected));
    let after = properties(&simulator);
    assert_eq!(after[..before.len()], before);
    let mut added = after[before.len()..].to_vec();
    added.sort();
    assert_eq!(
        added.iter().map(|(name, kind)| (name.as_str(), *kind)).collect::<Vec<_>>(),
        [("Canonical Key", "rich_text"), ("Crunchbase", "url"), ("GitHub Repo", "rich_text")]
    );
    let again = run(&program, &["schema", "repair"]).await;
    assert_eq!(again.status, Some(0), "{again:?}");
    assert!(again.out.contains("nothing is to be added"), "{}", again.out);
    assert_eq!((properties(&simulator), simulator.tally().of(Endpoint::Update)), (after, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_that_a_person_must_decide_or_notion_refuses_changes_nothing() {
    let (simulator, program) = place().await;
    let (workspace, table) = (simulator.workspace(), simulator.workspace().data_source());
    workspace.rename_property(table, "Website", "Web site");
    workspace.delete_property(table, "Crunchbase");
    let before = properties(&simulator);
    let said = run(&program, &["schema", "repair"]).await;
    assert_eq!(said.status, Some(2), "{said:?}");
    assert!(said.out.contains("«Web site» looks like Website (set website = \"Web site\")"), "{}", said.out);
    assert_eq!((properties(&simulator), simulator.tally().of(Endpoint::Update)), (before.clone(), 0));

    simulator.faults().next_of(
        suppressd::simulator::faults::Target::Endpoint(Endpoint::Update),
        1,
        suppressd::simulator::faults::Fault::Status(403),
    );
    let said = run(&program, &["schema", "repair", "--only", "Crunchbase"]).await;
    assert_eq!(said.status, Some(2), "{said:?}");
    assert!(said.out.contains("restricted_resource") && said.out.contains("update content"), "{}", said.out);
    assert_eq!(properties(&simulator), before);
    assert_eq!(run(&program, &["schema", "repair", "--only", "Crunchbase"]).await.status, Some(0));
    assert_eq!(run(&program, &["schema", "repair", "--yes"]).await.status, Some(0));
    let names: Vec<String> = properties(&simulator)[before.len()..].iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(names, ["Crunchbase", "Website"]);
}
