//! What people and machines see of sweeps: the command `sweeps`, the status, and the routes of the private door.

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value as Json, json};
use suppressd::{
    app,
    clock::Clock,
    config::{Config, Flags},
    http::{
        body::{Bodies, BodyLimits},
        listen::{Limits, Listener},
        private::{self, Private},
    },
    lifecycle::Lifecycle,
    lookup::{
        Lookup, LookupSettings,
        followers::Followers,
        scrape::Scrape,
        sweeps::{Asked, OPEN_MAX},
    },
    metrics::Metrics,
    model::sweep::{
        AskedBy, Drift, DriftCounts, DriftKind, SweepCounts, SweepId, SweepOrder, SweepProgress, SweepReport,
        SweepState, Told,
    },
    store::{Rows, Store as _, StoreError, sqlite::SqliteStore},
};

use crate::{program::Program, stage::page_id};

/// The program, and the store that is in its database.
struct World {
    program: Program,
    store: SqliteStore,
}

impl World {
    fn new() -> Self {
        let program = Program::with_fixtures();
        let store = SqliteStore::open(&program.database(), 100, now()).unwrap();
        Self { program, store }
    }

    async fn rows<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Rows) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.store.write(work).await.unwrap()
    }

    /// A sweep is asked for.
    async fn asked(&self, order: SweepOrder, ago: TimeDelta) -> SweepId {
        self.rows(move |rows| rows.ask_sweep(&order, now() - ago)).await
    }

    /// A sweep begins.
    async fn begun(&self, order: SweepOrder, ago: TimeDelta) -> SweepId {
        let id = self.asked(order, ago).await;
        self.rows(move |rows| rows.begin_sweep(id, now() - ago)).await;
        id
    }

    /// A sweep ends, having found this.
    async fn swept(&self, order: SweepOrder, ago: TimeDelta, outcome: SweepState, found: Vec<Drift>) -> SweepId {
        let id = self.begun(order.clone(), ago).await;
        self.rows(move |rows| {
            rows.record_drift(id, &found)?;
            let report = report(outcome, &order, now() - ago, rows.drift_counts(id)?);
            rows.end_sweep(id, &report)
        })
        .await;
        id
    }

    fn lookup(&self) -> Lookup<SqliteStore> {
        let environment =
            |name: &str| (name == "SUPPRESSD_DB_PATH").then(|| self.program.database().display().to_string());
        let config = Config::read(&Flags::new(), &environment).unwrap();
        let rules = app::rules(&config).unwrap();
        let settings = LookupSettings { max_age: TimeDelta::days(7), rules, tables: Vec::new() };
        Lookup::new(self.store.clone(), Clock::system(), settings)
    }

    /// Opens the private door over the database; nobody takes up what is asked for.
    async fn door(&self) -> Door {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let (base, lifecycle) = (format!("http://{}", listener.address()), Lifecycle::default());
        let bodies = Bodies::new(BodyLimits::default());
        let scrape = Scrape::alone(self.lookup());
        let private = Private { lookup: self.lookup(), health: lifecycle.health.clone(), bodies, scrape };
        let followers = Followers::new(lifecycle.soft.clone());
        let router = private::router(private, followers, None, axum::Router::new());
        lifecycle.spawn("door", listener.serve(router, Limits::PRIVATE, Metrics::default(), lifecycle.clone()));
        Door { base, http: reqwest::Client::builder().no_proxy().build().unwrap() }
    }
}

struct Door {
    base: String,
    http: reqwest::Client,
}

impl Door {
    async fn get(&self, path: &str) -> (StatusCode, Json) {
        answer(self.http.get(format!("{}{path}", self.base))).await
    }

    async fn reconcile(&self, body: &str) -> (StatusCode, Json) {
        answer(self.http.post(format!("{}/v1/reconcile", self.base)).body(body.to_owned())).await
    }
}

async fn answer(request: RequestBuilder) -> (StatusCode, Json) {
    let answer = request.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap_or_default())
}

fn now() -> DateTime<Utc> {
    Clock::system().now()
}

fn by(asked_by: AskedBy) -> SweepOrder {
    SweepOrder::by(asked_by)
}

fn difference(n: u128, kind: DriftKind, told: Told) -> Drift {
    let found_at = now() - TimeDelta::hours(2);
    Drift {
        page: page_id(n),
        kind,
        key: Some(format!("domain:acme-{n}.com")),
        since: found_at,
        found_at,
        told,
        class: told.class(),
    }
}

fn report(outcome: SweepState, order: &SweepOrder, started_at: DateTime<Utc>, drift: DriftCounts) -> SweepReport {
    let errors = match outcome {
        SweepState::Complete => vec![],
        _ => vec!["CRM: Notion says 503".to_owned(), "CRM: a page could not be read".to_owned()],
    };
    SweepReport {
        sweep: None,
        outcome,
        dry_run: order.dry_run,
        started_at,
        completed_at: started_at + TimeDelta::seconds(83),
        duration_seconds: 83.4,
        counts: SweepCounts {
            notion_requests: 61,
            notion_pages_fetched: 5_012,
            entries_processed: 5_000,
            ..SweepCounts::default()
        },
        drift,
        diagnosis: None,
        errors_count: errors.len() as u64,
        errors,
        notes: vec![],
        sources: vec![],
        differences: Vec::new(),
    }
}

fn three_differences() -> Vec<Drift> {
    vec![
        difference(1, DriftKind::MissingRow, Told::Never),
        difference(2, DriftKind::StaleRow, Told::Settled),
        difference(3, DriftKind::ShouldHaveGone, Told::Late),
    ]
}

const HOUR: TimeDelta = TimeDelta::hours(1);

#[tokio::test(flavor = "multi_thread")]
async fn sweeps_are_listed_newest_first_with_what_came_of_each() {
    let world = World::new();
    let said = world.program.run(&["sweeps"]);
    assert_eq!((said.status, said.err.as_str()), (Some(0), ""));
    assert!(said.out.contains("no sweep yet") && said.out.contains("`suppressd reconcile`"), "{said:?}");
    assert_eq!(world.program.run(&["sweeps", "--json"]).out, "");

    world.begun(by(AskedBy::Need), HOUR * 50).await;
    world.rows(|rows| rows.abandon_sweeps(now())).await;
    world.swept(by(AskedBy::Schedule), HOUR * 26, SweepState::Complete, three_differences()).await;
    let dry = SweepOrder { dry_run: true, ..by(AskedBy::Command) };
    world.swept(dry, HOUR * 2, SweepState::Partial, vec![]).await;
    let running = world.begun(by(AskedBy::Api), TimeDelta::minutes(4)).await;
    let far = SweepProgress {
        doing: "reading rows".to_owned(),
        pages: 1_200,
        pages_expected: Some(5_000),
        requests: 14,
        remaining_seconds: Some(190),
    };
    world.rows(move |rows| rows.tell_sweep(running, &far)).await;
    world.asked(by(AskedBy::Command), TimeDelta::zero()).await;

    let said = world.program.run(&["sweeps"]);
    assert_eq!((said.status, said.err.as_str()), (Some(0), ""));
    let lines: Vec<Vec<&str>> = said
        .out
        .lines()
        .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect();
    let [headings, asked, running, dry, complete, died] = lines.as_slice() else { panic!("{}", said.out) };
    assert_eq!(*headings, ["SWEEP", "WHEN", "OUTCOME", "BY", "PAGES", "REQUESTS", "TOOK", "DRIFT", "NOTE"]);
    assert_eq!(asked[2..], ["asked", "command", "waits for a `suppressd serve`, and none runs"]);
    assert!(running[1].ends_with(" UTC, 4 minutes ago"), "{running:?}");
    assert_eq!(running[2..4], ["running", "api"]);
    assert!(
        running[4].starts_with("reading rows: 1200 of about 5000 pages, 14 requests, about 3 minutes to go"),
        "{running:?}"
    );
    assert!(running[4].ends_with("if no `reconcile` does either, it died"), "{running:?}");
    let trouble = "CRM: Notion says 503; 2 errors in all";
    assert_eq!(dry[2..], ["partial (dry run)", "command", "5000", "61", "1 min 23 s", "0", trouble]);
    assert_eq!(complete[2..], ["complete", "schedule", "5000", "61", "1 min 23 s", "3 (2 untold)"]);
    assert_eq!((died[0], &died[2..]), ("1", &["failed", "need", "its process died"][..]));

    assert_eq!(world.program.run(&["sweeps", "--limit", "2"]).out.lines().count(), 3);
    let listed = world.program.run(&["sweeps", "--json", "--limit", "3"]).json_lines();
    let outcomes: Vec<_> = listed.iter().map(|sweep| sweep["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["asked", "running", "partial"]);
    assert_eq!(
        (&listed[1]["progress"]["pages"], &listed[1]["sweep"]),
        (&json!(1_200), &json!(running[0].parse::<i64>().unwrap()))
    );
    assert_eq!((&listed[2]["dry_run"], &listed[2]["report"]["notion_requests"]), (&json!(true), &json!(61)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_differences_of_a_sweep_are_listed() {
    let world = World::new();
    let drifted = world.swept(by(AskedBy::Schedule), HOUR * 2, SweepState::Complete, three_differences()).await;
    let clean = world.swept(by(AskedBy::Schedule), HOUR, SweepState::Complete, vec![]).await;
    let number = drifted.to_string();
    let said = world.program.run(&["sweeps", "--drift", &number]);
    let without_option = world.program.run(&["sweeps", &number, "--json"]).json_lines();
    assert_eq!(without_option, world.program.run(&["sweeps", "--drift", &number, "--json"]).json_lines());
    assert_eq!((said.status, said.err.as_str()), (Some(0), ""));
    let told: Vec<Vec<&str>> = said.out.lines().map(|line| line.split_whitespace().take(4).collect()).collect();
    let page = |n| page_id(n).to_string();
    assert_eq!(
        told,
        [
            ["PAGE", "KIND", "KEY", "TOLD"],
            [&page(1), "missing_row", "domain:acme-1.com", "never"],
            [&page(2), "stale_row", "domain:acme-2.com", "settled"],
            [&page(3), "should_have_gone", "domain:acme-3.com", "late"],
        ]
    );
    assert!(said.out.lines().skip(1).all(|line| line.ends_with("  2 hours ago")), "{}", said.out);
    let some = world.program.run(&["sweeps", "--drift", &number, "--limit", "2"]).out;
    assert!(some.ends_with("\n2 of 3 differences: --limit shows more\n"), "{some}");
    let listed = world.program.run(&["sweeps", "--drift", &number, "--json"]).json_lines();
    assert_eq!((listed.len(), &listed[1]["kind"], &listed[1]["told"]), (3, &json!("stale_row"), &json!("settled")));

    let none = world.program.run(&["sweeps", "--drift", &clean.to_string()]);
    assert_eq!((none.status, none.out), (Some(0), format!("sweep {clean} has found no difference\n")));
    let unknown = world.program.run(&["sweeps", "--drift", "99"]);
    unknown.fails_with("error: there is no sweep 99\nnext: `suppressd sweeps` lists them");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_of_the_last_sweep_and_of_the_one_that_runs() {
    let world = World::new();
    let status = || world.program.run(&["status"]).out;
    let has = |line: &str| status().lines().any(|found| found.starts_with(line) || found.ends_with(line));
    world.swept(by(AskedBy::Schedule), HOUR * 26, SweepState::Complete, three_differences()).await;
    assert!(has("last sweep  1: complete, "), "{}", status());
    assert!(has("1 day ago: 5000 pages, 3 differences found, 2 of which no event had told"), "{}", status());
    assert!(!status().contains("\ncomplete ") && !status().contains("\nsweep "), "{}", status());

    world.swept(by(AskedBy::Need), HOUR * 3, SweepState::Partial, vec![]).await;
    let began = now() - HOUR;
    world.begun(by(AskedBy::Command), HOUR).await;
    assert!(has("last sweep  2: partial, ") && has(": 5000 pages; CRM: Notion says 503"), "{}", status());
    assert!(has("complete    the last one began 20") && has("UTC, 1 day ago"), "{}", status());
    assert!(has("sweep       3: running, it has just begun; no `serve` runs"), "{}", status());

    let json = world.program.run(&["status", "--json"]).json();
    assert_eq!((&json["last_sweep"]["sweep"], &json["last_sweep"]["outcome"]), (&json!(2), &json!("partial")));
    assert_eq!((&json["running_sweep"]["sweep"], &json["running_sweep"]["outcome"]), (&json!(3), &json!("running")));
    let complete: DateTime<Utc> = json["last_complete_sweep_at"].as_str().unwrap().parse().unwrap();
    assert!((TimeDelta::hours(24)..TimeDelta::hours(26)).contains(&(began - complete)), "{json}");

    world.rows(|rows| rows.abandon_sweeps(now())).await;
    assert!(has("last sweep  3: failed, ") && has(": its process died"), "{}", status());
    assert!(!status().contains("\nsweep "), "{}", status());
}

#[tokio::test]
async fn sweeps_and_their_drift_are_listed_over_http() {
    let world = World::new();
    let door = world.door().await;
    assert_eq!(door.get("/v1/sweeps").await, (StatusCode::OK, json!([])));
    world.swept(by(AskedBy::Schedule), HOUR * 2, SweepState::Complete, three_differences()).await;
    world.asked(by(AskedBy::Command), HOUR).await;
    let (status, sweeps) = door.get("/v1/sweeps").await;
    let numbers: Vec<_> = sweeps.as_array().unwrap().iter().map(|sweep| sweep["sweep"].as_i64().unwrap()).collect();
    assert_eq!((status, numbers), (StatusCode::OK, vec![2, 1]));
    assert_eq!(sweeps[1]["report"]["drift"]["missing_row"], 1);
    assert_eq!(door.get("/v1/sweeps?limit=1").await.1.as_array().unwrap().len(), 1);

    let (status, sweep) = door.get("/v1/sweeps/1?limit=2").await;
    assert_eq!(
        (status, &sweep["outcome"], &sweep["differences_total"]),
        (StatusCode::OK, &json!("complete"), &json!(3))
    );
    let kinds: Vec<_> = sweep["differences"].as_array().unwrap().iter().map(|found| &found["kind"]).collect();
    assert_eq!(kinds, ["missing_row", "stale_row"]);
    for (path, status) in [
        ("/v1/sweeps?limit=0", 400),
        ("/v1/sweeps?limit=1001", 400),
        ("/v1/sweeps?limits=1", 400),
        ("/v1/sweeps/1?limit=1001", 400),
        ("/v1/sweeps/last", 400),
        ("/v1/sweeps/99", 404),
        ("/v1/reconcile", 405),
    ] {
        let (found, problem) = door.get(path).await;
        assert_eq!((found.as_u16(), &problem["status"]), (status, &json!(status)), "{path}: {problem}");
    }
}

#[tokio::test]
async fn a_sweep_that_is_asked_for_over_http_waits_for_serve() {
    let world = World::new();
    let door = world.door().await;
    let asked = door.http.post(format!("{}/v1/reconcile", door.base)).send().await.unwrap();
    assert_eq!((asked.status(), asked.headers()["location"].to_str().unwrap()), (StatusCode::ACCEPTED, "/v1/sweeps/1"));
    let asked: Json = asked.json().await.unwrap();
    assert_eq!(asked, json!({"sweep": 1, "outcome": "asked", "already": false, "see": "/v1/sweeps/1"}));
    let waiting = world.store.read(|rows| rows.next_sweep()).await.unwrap().unwrap();
    assert_eq!((waiting.id, waiting.order), (SweepId(1), by(AskedBy::Api)));

    // The same once more is the same sweep, also once it runs; anything else is another.
    world.rows(|rows| rows.begin_sweep(SweepId(1), now())).await;
    let (status, again) = door.reconcile(r#" {"dry_run": false, "ttl_days": null} "#).await;
    assert_eq!((status, &again["sweep"], &again["already"]), (StatusCode::ACCEPTED, &json!(1), &json!(true)));
    assert_eq!(again["outcome"], "running");
    for (body, sweep) in [
        (r#"{"ttl_days": 14}"#, 2),
        (r#"{"dry_run": true}"#, 3),
        (r#"{"dry_run": true}"#, 4),
        (r#"{"accept_missing": true, "ttl_days": 14}"#, 5),
        (r#"{"ttl_days": 14}"#, 2),
    ] {
        assert_eq!(door.reconcile(body).await.1["sweep"], sweep, "{body}");
    }
    let order = world.store.read(|rows| rows.sweep(SweepId(5))).await.unwrap().unwrap().order;
    assert_eq!(order, SweepOrder { ttl_days: Some(14), accept_missing: true, ..by(AskedBy::Api) });

    for (body, status, detail) in [
        ("{", 400, "the order cannot be read"),
        ("[]", 400, "the order cannot be read"),
        (r#"{"dry-run": true}"#, 400, "unknown field `dry-run`"),
        (r#"{"ttl_days": -1}"#, 400, "the order cannot be read"),
        (r#"{"ttl_days": 0}"#, 422, "between 1 and 365"),
        (r#"{"ttl_days": 366}"#, 422, "between 1 and 365"),
    ] {
        let (found, problem) = door.reconcile(body).await;
        assert_eq!((found.as_u16(), &problem["status"]), (status, &json!(status)), "{body}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{body}: {problem}");
    }
    assert_eq!(world.store.read(|rows| rows.sweeps(99)).await.unwrap().len(), 5, "what is refused leaves nothing");
}

#[tokio::test]
async fn only_so_many_sweeps_may_wait() {
    let world = World::new();
    let lookup = world.lookup();
    let dry = SweepOrder { dry_run: true, ..by(AskedBy::Api) };
    for _ in 0..OPEN_MAX - 1 {
        assert!(matches!(lookup.ask_sweep(dry.clone()).await.unwrap(), Asked::New(_)));
    }
    assert!(matches!(lookup.ask_sweep(by(AskedBy::Api)).await.unwrap(), Asked::New(_)));
    assert_eq!(lookup.ask_sweep(dry).await.unwrap(), Asked::TooMany);
    let Asked::Already(same) = lookup.ask_sweep(by(AskedBy::Command)).await.unwrap() else { panic!("it is not found") };
    assert_eq!(same.asked_by, "api");
    let (status, problem) = world.door().await.reconcile(r#"{"dry_run": true}"#).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
}
