//! `reconcile` as people run it: alone, beside a running `serve`, twice at once, killed in the middle.

use std::time::Duration;

use serde_json::{Value as Json, json};
use suppressd::{
    clock::Clock,
    model::{
        id::PageId,
        sweep::{AskedBy, SweepOrder, SweepState},
    },
    simulator::{
        Settings, Simulator,
        api::Manner,
        budget::Budget,
        draft::{changes, company},
        faults::{Fault, Target},
        question::Endpoint,
        webhooks::Delivering,
    },
    store::Store as _,
};

use crate::{
    pipeline,
    program::{Program, Running, run, until},
    world::World,
};

/// A workspace of `pages` companies that answers as slowly as `latency`, and a folder for the program beside it.
async fn beside(pages: usize, latency: u64) -> (Simulator, Program, Vec<PageId>) {
    let manner = Manner {
        budget: Budget { requests: 6_000, ..Budget::default() },
        latency: Duration::from_millis(latency),
        ..Manner::default()
    };
    let simulator = Simulator::start(Settings { manner, ..Settings::default() }).await.unwrap();
    let ids = (0..pages)
        .map(|n| {
            simulator
                .workspace()
                .create(company(&format!("Acme {n}")).website(&format!("acme-{n}.com")).status("Sourced"))
        })
        .collect();
    let program = Program::new()
        .with_notion(&simulator)
        .and("NOTION_VERIFICATION_TOKEN", simulator.verification_token())
        .and("NOTION_REQUESTS_PER_MINUTE", "6000");
    (simulator, program, ids)
}

/// Waits for the end of a run while the simulated Notion goes on.
async fn end(running: Running) -> (Option<i32>, String) {
    tokio::task::spawn_blocking(move || running.end()).await.unwrap()
}

async fn until_it_holds(what: &'static str, holds: impl FnMut() -> bool + Send + 'static) {
    tokio::task::spawn_blocking(move || until(what, holds)).await.unwrap();
}

fn number(program: &Program, sql: &str) -> i64 {
    program.number(sql)
}

/// Every row of every table, but what was spent of the budget: requests count, whatever they were for.
fn contents(program: &Program) -> Vec<String> {
    let connection = pipeline::connect(&program.database());
    let list = |sql: &str| -> Vec<String> {
        let mut rows = connection.prepare(sql).unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let tables = list("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name");
    tables
        .iter()
        .flat_map(|table| {
            let columns =
                list(&format!("SELECT 'quote(' || name || ')' FROM pragma_table_info('{table}')")).join(" || ',' || ");
            list(&format!("SELECT {columns} FROM {table} ORDER BY 1"))
        })
        .filter(|row| !row.starts_with("'budgets'"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_makes_the_cache_right_and_its_report_adds_up() {
    let (simulator, program, pages) = beside(230, 0).await;
    let workspace = simulator.workspace();
    workspace.archive(pages[3]);
    workspace.create(company("Nameless & Keyless"));
    workspace.create(company("!!!"));
    workspace.trash(pages[7]);
    let said = run(&program, &["reconcile", "--json"]).await;
    assert_eq!(said.status, Some(0), "{said:?}");
    let report = said.json();
    let count = |name: &str| report[name].as_u64().unwrap_or_else(|| panic!("{name} is missing: {report}"));
    assert_eq!(report["outcome"], "complete");
    assert_eq!((count("entries_processed"), count("notion_pages_fetched")), (231, 231));
    assert_eq!(count("entries_with_canonical_key") + count("entries_without_canonical_key"), 231);
    assert_eq!(count("entries_with_strong_key"), 229);
    assert_eq!((count("entries_with_weak_key"), count("entries_without_canonical_key")), (1, 1));
    assert_eq!((count("entries_synced"), count("entries_expired_cleaned"), count("errors_count")), (230, 0, 0));
    assert_eq!((report["errors"].clone(), count("notion_errors")), (json!([]), 0));
    // Database, data source, three pages of rows, one of archived ones.
    assert_eq!((count("notion_requests"), simulator.tally().total()), (6, 6));
    assert_eq!(report["drift"]["missing_row"], 0, "nothing was expected of a cache that was never right");
    for time in ["started_at", "completed_at"] {
        assert!(report[time].as_str().unwrap().ends_with('Z'), "{report}");
    }
    assert_eq!(pipeline::rows(&program.database()).len(), 230);
    assert_eq!(run(&program, &["check", "acme-3.com"]).await.status, Some(0), "archived is not gone");
    assert_eq!(run(&program, &["check", "nobody-knows-them.com"]).await.status, Some(1), "proven clear");
    assert_eq!(run(&program, &["check", "acme-7.com"]).await.status, Some(1), "trashed before anybody saw it");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_without_an_event_is_found_and_told() {
    let (simulator, program, pages) = beside(30, 0).await;
    let workspace = simulator.workspace();
    assert_eq!(run(&program, &["reconcile"]).await.status, Some(0));
    workspace.edit(pages[0], changes().status("Passed"));
    workspace.edit(pages[1], changes().website("beta.com"));
    workspace.trash(pages[2]);
    workspace.create(company("Gamma").website("gamma.com"));
    let said = run(&program, &["reconcile"]).await;
    assert_eq!(said.status, Some(0), "{said:?}");
    let told = "4 (1 missing row, 1 stale row, 1 leftover row, 1 changed key), 4 of which no event had told";
    assert!(said.out.contains(told), "{}", said.out);
    let drift = "SELECT count(*) FROM suppressd_drift WHERE told = 'never'";
    assert_eq!(number(&program, drift), 4);
    let again = run(&program, &["reconcile", "--json"]).await.json();
    assert_eq!((again["pages_unchanged"].clone(), again["drift"]["stale_row"].clone()), (json!(30), json!(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_the_same_and_writes_nothing() {
    let (simulator, program, pages) = beside(120, 0).await;
    assert_eq!(run(&program, &["reconcile"]).await.status, Some(0));
    simulator.workspace().edit(pages[0], changes().status("Lost"));
    simulator.workspace().trash(pages[1]);
    let before = contents(&program);
    let rehearsed = run(&program, &["reconcile", "--dry-run", "--json"]).await;
    assert_eq!(rehearsed.status, Some(0), "{rehearsed:?}");
    assert_eq!(contents(&program), before, "everything is as it was");
    assert!(program.temporary().is_empty(), "the copy is gone: {:?}", program.temporary());
    let carried_out = run(&program, &["reconcile", "--json"]).await.json();
    let rehearsed = rehearsed.json();
    assert_eq!((rehearsed["dry_run"].clone(), carried_out["dry_run"].clone()), (json!(true), json!(false)));
    for same in ["outcome", "drift", "entries_processed", "pages_updated", "pages_removed", "pages_unchanged", "errors"]
    {
        assert_eq!(rehearsed[same], carried_out[same], "{same}");
    }
    assert_eq!(carried_out["drift"]["stale_row"], 1);
    let named: Vec<_> = rehearsed["differences"].as_array().unwrap().iter().map(|it| it["key"].clone()).collect();
    assert_eq!(named.len(), 2, "{named:?}");
    assert!(named.contains(&json!("domain:acme-0.com")) && named.contains(&json!("domain:acme-1.com")), "{named:?}");
    assert_eq!(carried_out["differences"], Json::Null, "`suppressd sweeps --drift` lists those");
    assert_eq!(pipeline::rows(&program.database()).len(), 119);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partial_and_a_failed_sweep_say_so_and_remove_nothing() {
    let (simulator, program, pages) = beside(20, 0).await;
    assert_eq!(run(&program, &["reconcile"]).await.status, Some(0));
    let rows = pipeline::rows(&program.database());

    // The index names a page that cannot be had: what it showed besides is applied, the trashed page stays.
    simulator.workspace().trash(pages[0]);
    simulator.faults().next_of(Target::Page(pages[0]), 1, Fault::Status(400));
    let said = run(&program, &["reconcile", "--json"]).await;
    assert_eq!((said.status, said.json()["outcome"].clone()), (Some(3), json!("partial")), "{said:?}");
    assert_eq!(said.json()["errors_count"], 1, "{said:?}");
    assert_eq!(pipeline::rows(&program.database()), rows);

    simulator.faults().refuse_token();
    let said = run(&program, &["reconcile", "--json"]).await;
    assert_eq!((said.status, said.json()["outcome"].clone()), (Some(2), json!("failed")), "{said:?}");
    assert!(said.json()["errors"][0].as_str().unwrap().contains("refuses this token"), "{said:?}");
    assert_eq!(pipeline::rows(&program.database()), rows);
    let complete = "SELECT count(*) FROM suppressd_sweeps WHERE state = 'complete'";
    assert_eq!(number(&program, complete), 1, "a failed sweep is never recorded as success");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sweeps_at_once_take_turns() {
    let (_simulator, program, _pages) = beside(300, 40).await;
    let (first, second) =
        tokio::join!(run(&program, &["reconcile", "--json"]), run(&program, &["reconcile", "--json"]));
    assert_eq!((first.status, second.status), (Some(0), Some(0)), "{first:?} {second:?}");
    let overlaps = "SELECT count(*) FROM suppressd_sweeps AS one JOIN suppressd_sweeps AS other \
                    ON one.sweep < other.sweep AND one.completed_at > other.started_at";
    assert_eq!(number(&program, "SELECT count(*) FROM suppressd_sweeps WHERE state = 'complete'"), 2);
    assert_eq!(number(&program, overlaps), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_whose_holder_died_keeps_nobody_out() {
    let (simulator, program, _pages) = beside(2_000, 100).await;
    for round in 1..=3 {
        let running = program.start(&["reconcile"]);
        let (tally, most) = (simulator.tally().clone(), simulator.tally().of(Endpoint::Query) + 2 + round);
        until_it_holds("it reads rows", move || tally.of(Endpoint::Query) > most).await;
        running.signal("KILL");
        assert_eq!(end(running).await.0, None, "it was killed in the middle");
        assert_eq!(number(&program, "SELECT count(*) FROM suppressd_sweeps WHERE state = 'running'"), 1);
    }
    assert_eq!(number(&program, "SELECT count(*) FROM suppressd_sources WHERE watermark IS NOT NULL"), 0);
    assert_eq!(run(&program, &["reconcile"]).await.status, Some(0));
    let states: Vec<String> = pipeline::connect(&program.database())
        .prepare("SELECT state FROM suppressd_sweeps ORDER BY sweep")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(states, ["failed", "failed", "failed", "complete"]);
    assert_eq!(pipeline::rows(&program.database()).len(), 2_000);
    let check: String =
        pipeline::connect(&program.database()).query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_a_sweep_in_order() {
    let (simulator, program, _pages) = beside(2_000, 100).await;
    let running = program.start(&["reconcile", "--json"]);
    let tally = simulator.tally().clone();
    until_it_holds("it reads rows", move || tally.of(Endpoint::Query) > 3).await;
    running.signal("INT");
    let (status, said) = end(running).await;
    assert_eq!(status, Some(3), "{said}");
    let report: Json = serde_json::from_str(said.lines().find(|line| line.starts_with('{')).unwrap()).unwrap();
    assert_eq!(report["outcome"], "partial");
    assert!(report["errors"][0].as_str().unwrap().contains("stopped before its end"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_serve_does_the_work_while_events_arrive() {
    let world = World::start().await;
    let pages: Vec<_> =
        (0..40).map(|n| world.workspace().create(company("Acme").website(&format!("acme-{n}.com")))).collect();
    // Only some of it is told.
    world.workspace().take_events();
    let program = Program::new().and("SUPPRESSD_DB_PATH", world.database().display().to_string());
    let telling = async {
        for page in &pages[..10] {
            world.workspace().edit(*page, changes().status("Passed"));
            world.webhooks(Delivering::default()).deliver_all().await;
        }
    };
    // It has no token: only who serves can ask Notion.
    let (said, ()) = tokio::join!(run(&program, &["reconcile", "--json"]), telling);
    assert_eq!(said.status, Some(0), "{said:?}");
    assert!(said.err.starts_with("the running `serve`") && said.err.contains("this waits for it"), "{said:?}");
    world.settled().await;
    assert_eq!(world.rows().len(), 40);
    assert_eq!(world.rows().iter().filter(|row| row.status == "Passed").count(), 10);
    assert!(world.simulator.tally().most_in_a_window() <= 180, "one budget for both");
    let sweeps = world.serving.store.read(|rows| rows.sweeps(10)).await.unwrap();
    assert_eq!(sweeps.len(), 1);
    assert_eq!(sweeps[0].state, SweepState::Complete);

    let rehearsed = run(&program, &["reconcile", "--json", "--dry-run"]).await;
    assert_eq!((rehearsed.status, rehearsed.json()["dry_run"].clone()), (Some(0), json!(true)), "{rehearsed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_gives_way_to_a_serve_that_is_started_meanwhile() {
    let (simulator, program, pages) = beside(3_000, 30).await;
    let reconciling = program.start(&["reconcile", "--json"]);
    let tally = simulator.tally().clone();
    until_it_holds("it reads rows", move || tally.of(Endpoint::Query) > 2).await;
    let serving =
        program.start(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--sweep-at", "off"]);
    let (serving, public) = tokio::task::spawn_blocking(move || {
        let public = serving.public();
        (serving, public)
    })
    .await
    .unwrap();
    // What is told meanwhile does not wait for the end of a sweep.
    simulator.workspace().take_events();
    simulator.workspace().edit(pages[0], changes().status("Lost"));
    let webhooks = simulator.webhooks(&format!("http://{public}/webhooks/notion"), Delivering::default()).unwrap();
    assert_eq!(webhooks.deliver_all().await[0].status, Some(200));
    let (status, said) = end(reconciling).await;
    assert_eq!(status, Some(0), "{said}\n{}", serving.said());
    assert_eq!(number(&program, "SELECT count(*) FROM suppressd_sweeps"), 1, "it was handed over, not made twice");
    assert_eq!(pipeline::rows(&program.database()).len(), 3_000);
    serving.signal("TERM");
    assert_eq!(end(serving).await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_sweeps_at_once_when_no_complete_sweep_is_young_enough() {
    let world = World::with(Settings::default(), &[("SUPPRESSD_SWEEP_AT", "03:00")]).await;
    let complete = async || world.serving.store.read(|rows| rows.last_complete_sweep()).await.unwrap();
    world.until("it has swept", async || complete().await.is_some()).await;
    // A mapping that changes proves nothing any more.
    let store = world.serving.store.clone();
    store
        .write(|rows| {
            let mut source = rows.sources()?.remove(0);
            source.mapping = source.mapping.replace("\"title\"", "\"another\"");
            rows.put_source(&source)
        })
        .await
        .unwrap();
    let sweeps = async || world.serving.store.read(|rows| rows.sweeps(10)).await.unwrap();
    world
        .until("it has swept again", async || {
            let sweeps = sweeps().await;
            sweeps.len() == 2 && sweeps.iter().all(|sweep| sweep.state == SweepState::Complete)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_logs_why_a_sweep_is_not_complete() {
    let (simulator, program, _pages) = beside(5, 0).await;
    simulator.faults().next_of(Target::Endpoint(Endpoint::Query), 1, Fault::Status(400));
    let serving = program.start(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    let serving = tokio::task::spawn_blocking(move || {
        serving.until("sweep 1 is not complete: ");
        serving
    })
    .await
    .unwrap();
    let report: String = pipeline::connect(&program.database())
        .query_row("SELECT report FROM suppressd_sweeps", [], |row| row.get(0))
        .unwrap();
    let report: Json = serde_json::from_str(&report).unwrap();
    let said = serving.said();
    let line = said.lines().find(|line| line.contains("is not complete")).unwrap();
    assert!(line.contains("WARN") && line.contains(report["errors"][0].as_str().unwrap()), "{report}\n{said}");
    serving.signal("TERM");
    assert_eq!(end(serving).await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn at_an_interval_it_sweeps_until_it_is_stopped() {
    let (_simulator, program, _pages) = beside(5, 0).await;
    let running = program.start(&["reconcile", "--interval", "1", "--json"]);
    let running = tokio::task::spawn_blocking(move || {
        until("it has swept twice", || running.said().matches("\"complete\"").count() >= 2);
        running
    })
    .await
    .unwrap();
    running.signal("TERM");
    assert_eq!(end(running).await.0, Some(0));
}

/// Somebody holds the database for longer than anybody waits, just while a sweep runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_that_broke_off_keeps_no_later_one_from_running() {
    let manner = Manner { latency: Duration::from_millis(300), ..Manner::default() };
    let world = World::with(Settings { manner, ..Settings::default() }, &[]).await;
    for n in 0..250 {
        world.workspace().create(company("Acme").website(&format!("acme-{n}.com")));
    }
    world.workspace().take_events();
    let ask = async || {
        let order = SweepOrder::by(AskedBy::Api);
        world.serving.store.write(move |rows| rows.ask_sweep(&order, Clock::system().now())).await.unwrap()
    };
    let first = ask().await;
    world.until("it reads rows", async || world.simulator.tally().of(Endpoint::Query) > 0).await;
    let other = pipeline::connect(&world.database());
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // Each write is refused after five seconds, one after the other.
    tokio::time::sleep(Duration::from_secs(11)).await;
    other.execute_batch("COMMIT").unwrap();
    let second = ask().await;
    let state = async |id| world.serving.store.read(move |rows| rows.sweep(id)).await.unwrap().unwrap().state;
    world.until("the next one is complete", async || state(second).await == SweepState::Complete).await;
    assert!(state(first).await.is_over(), "the first one does not run for ever");
    assert_eq!(world.rows().len(), 250);
}
