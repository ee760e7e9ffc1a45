//! Settings that are read anew by a running `serve`: each kind of them, and bad ones, which change nothing.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
};

use reqwest::StatusCode;
use suppressd::{
    app::reload::{Means, Observer, Reloader},
    config::Flags,
    lookup::reloaded::{ReloadOutcome, Reloaded},
    metrics::label::Reload,
    simulator::{Settings, draft::company},
    store::Store as _,
};

use crate::world::{World, signature};

/// A running program whose settings a test can change.
struct Changing {
    world: World,
    reloader: Reloader,
    variables: Arc<Mutex<BTreeMap<String, String>>>,
    heard: Arc<Mutex<Vec<String>>>,
}

struct Heard(Arc<Mutex<Vec<String>>>);

impl Observer for Heard {
    fn reloading(&self) {
        self.0.lock().unwrap().push("reloading".to_owned());
    }

    fn ready(&self) {
        self.0.lock().unwrap().push("ready".to_owned());
    }
}

impl Changing {
    async fn with(variables: &[(&str, &str)]) -> Self {
        Self::of(World::with(Settings::default(), variables).await)
    }

    fn of(world: World) -> Self {
        let variables = Arc::new(Mutex::new(world.environment().clone()));
        let heard = Arc::<Mutex<Vec<String>>>::default();
        let (read, log) = (Arc::clone(&variables), Arc::clone(&heard));
        let means = Means {
            flags: Flags::new(),
            environment: Box::new(move |name| read.lock().unwrap().get(name).cloned()),
            log: Box::new(move |directives| {
                log.lock().unwrap().push(directives.to_owned());
                Ok(())
            }),
            observer: Box::new(Heard(Arc::clone(&heard))),
        };
        let reloader = Reloader::new(world.serving.reach.clone(), world.config(), means);
        Self { world, reloader, variables, heard }
    }

    /// Reads the settings anew with these variables.
    async fn reload(&self, variables: &[(&str, &str)]) -> Reloaded {
        for (name, value) in variables {
            self.variables.lock().unwrap().insert((*name).to_owned(), (*value).to_owned());
        }
        self.reloader.reload().await
    }

    /// The same, where they are taken; returns the names of what has changed.
    async fn taken(&self, variables: &[(&str, &str)]) -> Vec<String> {
        let reloaded = self.reload(variables).await;
        assert_eq!((reloaded.outcome, &reloaded.problems), (ReloadOutcome::Taken, &Vec::new()));
        reloaded.changed
    }

    async fn check(&self, key: &str) -> serde_json::Value {
        self.world.ask(&format!("/v1/suppression/{key}")).await.1
    }

    async fn firmness(&self, key: &str) -> serde_json::Value {
        self.check(key).await.pointer("/matched/firmness").cloned().unwrap_or_default()
    }
}

#[tokio::test]
async fn other_hard_statuses_change_the_verdict_and_the_winner() {
    let it = Changing::with(&[]).await;
    let workspace = it.world.workspace();
    let meeting = workspace.create(company("Acme").website("https://acme.ai").status("Meeting"));
    let passed = workspace.create(company("Acme").website("https://acme.ai").status("Passed"));
    it.world.tell().await;
    assert_eq!(it.world.face("domain:acme.ai").unwrap().0, passed.to_string());
    assert_eq!(it.taken(&[("NOTION_HARD_STATUSES", "Meeting")]).await, ["notion.hard_statuses"]);
    assert_eq!(it.world.face("domain:acme.ai").unwrap().0, meeting.to_string());
    assert_eq!(it.firmness("domain:acme.ai").await, "hard");
    assert_eq!(it.taken(&[("NOTION_HARD_STATUSES", "Lost")]).await, ["notion.hard_statuses"]);
    assert_eq!(it.firmness("domain:acme.ai").await, "soft");
    assert_eq!(it.taken(&[]).await, Vec::<String>::new());
    assert_eq!(*it.heard.lock().unwrap(), ["reloading", "ready"].repeat(3), "nobody asked for another log level");
}

#[tokio::test]
async fn other_shared_hosts_change_rows_and_questions_together() {
    let it = Changing::with(&[]).await;
    it.world.workspace().create(company("Acme").website("https://acme.build.example"));
    it.world.tell().await;
    let keys = || it.world.rows().into_iter().map(|row| row.key).collect::<Vec<_>>();
    assert_eq!(keys(), ["domain:acme.build.example", "domain:build.example"]);
    assert_eq!(it.taken(&[("SUPPRESSD_SHARED_HOSTS", "build.example")]).await, ["shared_hosts"]);
    assert_eq!(keys(), ["name_loc:acme"]);
    let question = serde_json::json!({"website": "https://acme.build.example", "name": "Acme"});
    let answer = it.world.http.post(it.world.private_url("/v1/check")).json(&question).send().await.unwrap();
    let answer: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(
        (&answer["verdict"], &answer["matched"]["key"]),
        (&"suppressed".into(), &"name_loc:acme".into()),
        "{answer}"
    );
    it.taken(&[("SUPPRESSD_SHARED_HOSTS", "")]).await;
    assert_eq!(keys(), ["domain:acme.build.example", "domain:build.example"]);
}

#[tokio::test]
async fn other_verification_tokens_count_for_the_next_delivery() {
    let it = Changing::with(&[]).await;
    let page = it.world.workspace().create(company("Acme").website("https://acme.ai"));
    let (old, new) = (it.world.simulator.verification_token().to_owned(), "secret_of_the_new_subscription");
    let post = async |id: &str, token: &str| {
        let body = it.world.event(id, "page.created", page);
        it.world.post(&body, Some(&signature(token, &body))).await
    };
    assert_eq!((post("1", &old).await, post("2", new).await), (StatusCode::OK, StatusCode::UNAUTHORIZED));
    let both = [("NOTION_VERIFICATION_TOKEN", new), ("NOTION_VERIFICATION_TOKEN_PREVIOUS", old.as_str())];
    let named = it.taken(&both).await;
    assert_eq!(named, ["notion.verification_token", "notion.verification_token_previous"]);
    assert_eq!((post("3", &old).await, post("4", new).await), (StatusCode::OK, StatusCode::OK));
    assert_eq!(it.taken(&[("NOTION_VERIFICATION_TOKEN_PREVIOUS", "")]).await, ["notion.verification_token_previous"]);
    assert_eq!((post("5", &old).await, post("6", new).await), (StatusCode::UNAUTHORIZED, StatusCode::OK));
}

#[tokio::test]
async fn a_source_that_is_served_until_the_restart_keeps_its_verification_token() {
    let folder = tempfile::tempdir().unwrap();
    let (settings, file) = (folder.path().join("suppressd.toml"), folder.path().join("token"));
    let deals = "[[source]]\nname = 'deals'\ndatabase_id = '3296958a07b853eeb6a8a1cc71849e2b'\n";
    let portfolio = "[[source]]\nname = 'portfolio'\ndata_source_id = '253104cd-477e-809d-8dc4-ff2d96ae3090'\n\
                     api_key_env = 'NOTION_API_KEY'\nverification_token_env = 'PORTFOLIO_TOKEN'\n";
    let (portfolio_file, write) =
        (folder.path().join("portfolio"), |path: &Path, text: &str| std::fs::write(path, text));
    write(&settings, &format!("{deals}{portfolio}")).unwrap();
    write(&file, "secret_old").unwrap();
    write(&portfolio_file, "secret_portfolio").unwrap();
    let variables = [
        ("NOTION_DATABASE_ID", ""),
        ("NOTION_VERIFICATION_TOKEN", ""),
        ("NOTION_VERIFICATION_TOKEN_FILE", file.to_str().unwrap()),
        ("PORTFOLIO_TOKEN_FILE", portfolio_file.to_str().unwrap()),
        ("SUPPRESSD_CONFIG", settings.to_str().unwrap()),
    ];
    let it = Changing::of(World::begin(Settings::default(), &variables).await);
    let page = it.world.workspace().create(company("Acme").website("https://acme.ai"));
    let post = async |token: &str| {
        let body = it.world.event(&uuid::Uuid::new_v4().to_string(), "page.created", page);
        it.world.post(&body, Some(&signature(token, &body))).await
    };
    let check = async |good: &[&str], bad: &[&str]| {
        for (tokens, answer) in [(good, StatusCode::OK), (bad, StatusCode::UNAUTHORIZED)] {
            for token in tokens {
                assert_eq!(post(token).await, answer, "{token}");
            }
        }
    };
    check(&["secret_old", "secret_portfolio"], &["secret_new", "secret_turned"]).await;
    write(&portfolio_file, "secret_turned").unwrap();
    assert_eq!(it.taken(&[]).await, ["source.portfolio.verification_token"]);
    check(&["secret_old", "secret_turned"], &["secret_portfolio"]).await;

    write(&settings, deals).unwrap();
    write(&file, "secret_new").unwrap();
    let reloaded = it.reload(&[]).await;
    assert_eq!(reloaded.changed, ["notion.verification_token"], "{reloaded:?}");
    assert_eq!(reloaded.needs_restart, ["source.portfolio (removed)"]);
    check(&["secret_new", "secret_turned"], &["secret_old", "secret_portfolio"]).await;
    assert_eq!(it.reload(&[]).await.needs_restart, ["source.portfolio (removed)"]);

    // It comes back with another one, which is taken.
    write(&settings, &format!("{deals}{portfolio}")).unwrap();
    write(&portfolio_file, "secret_once_more").unwrap();
    let reloaded = it.reload(&[]).await;
    assert!(reloaded.needs_restart.is_empty(), "{reloaded:?}");
    check(&["secret_new", "secret_once_more"], &["secret_turned"]).await;
}

#[tokio::test]
async fn very_many_problems_are_counted_and_the_first_ones_told() {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("suppressd.toml");
    std::fs::write(&settings, "").unwrap();
    let it = Changing::of(World::begin(Settings::default(), &[("SUPPRESSD_CONFIG", settings.to_str().unwrap())]).await);
    let unknown: Vec<_> = (0..5_000).map(|n| format!("unknown_{n} = 1")).collect();
    std::fs::write(&settings, unknown.join("\n")).unwrap();
    let reloaded = it.reload(&[]).await;
    assert_eq!((reloaded.outcome, reloaded.problems.len()), (ReloadOutcome::Refused, 21));
    assert_eq!(reloaded.problems.last().unwrap(), "and 4980 more");
    assert_eq!(it.world.ask("/v1/status").await.1["settings"], serde_json::to_value(&reloaded).unwrap());
}

#[tokio::test]
async fn another_admin_token_counts_at_once_in_the_document_too() {
    let it = Changing::with(&[]).await;
    let status = async |token: &str| {
        let request = it.world.http.get(it.world.private_url("/openapi.json")).bearer_auth(token);
        let answer = request.send().await.unwrap();
        (answer.status(), answer.text().await.unwrap().contains("securitySchemes"))
    };
    assert_eq!(status("").await, (StatusCode::OK, false));
    it.taken(&[("SUPPRESSD_ADMIN_TOKEN", "first")]).await;
    assert_eq!((status("second").await.0, status("first").await), (StatusCode::UNAUTHORIZED, (StatusCode::OK, true)));
    assert_eq!(it.taken(&[("SUPPRESSD_ADMIN_TOKEN", "second")]).await, ["serve.admin_token"]);
    assert_eq!((status("first").await.0, status("second").await.0), (StatusCode::UNAUTHORIZED, StatusCode::OK));
    it.taken(&[("SUPPRESSD_ADMIN_TOKEN", "")]).await;
    assert_eq!(status("").await, (StatusCode::OK, false));
}

#[tokio::test]
async fn a_token_that_notion_takes_ends_the_wait_for_one_and_keeps_the_budget() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "ntn_expired").unwrap();
    let variables = [("NOTION_API_KEY", ""), ("NOTION_API_KEY_FILE", file.to_str().unwrap())];
    let it = Changing::of(World::begin(Settings::default(), &variables).await);
    it.world.until("the token is refused", async || it.world.serving.metrics.notion_requests.all(Some(401)) > 0).await;
    std::fs::write(&file, it.world.simulator.token()).unwrap();
    assert_eq!(it.taken(&[]).await, ["notion.api_key"]);
    it.world.until("it is ready", async || it.world.ask("/readyz").await.0 == StatusCode::OK).await;
    it.world.workspace().create(company("Acme").website("https://acme.ai"));
    it.world.tell().await;
    assert!(it.world.row("domain:acme.ai").is_some());
    it.world
        .until("it says how it stands", async || {
            let budgets = it.world.ask("/v1/status").await.1["running"]["budgets"].clone();
            let requests = &it.world.serving.metrics.notion_requests;
            let requests = requests.all(Some(401)) + requests.all(Some(200));
            budgets[0]["spent"] == requests && budgets.as_array().unwrap().len() == 1
        })
        .await;
}

#[tokio::test]
async fn bad_settings_change_nothing_and_everything_that_is_wrong_is_said_without_secrets() {
    let it = Changing::with(&[]).await;
    let secrets = ["ntn_secret_in_the_wrong place", "admin secret with blanks"];
    let reloaded = it
        .reload(&[
            ("NOTION_API_KEY", secrets[0]),
            ("SUPPRESSD_ADMIN_TOKEN", secrets[1]),
            ("NOTION_HARD_STATUSES", "Meeting"),
            ("SUPPRESSD_SHARED_HOSTS", "co.uk"),
            ("SUPPRESSD_LOG", "debug"),
        ])
        .await;
    assert_eq!((reloaded.outcome, reloaded.problems.len()), (ReloadOutcome::Refused, 3), "{reloaded:?}");
    let told = serde_json::to_string(&reloaded).unwrap();
    for part in ["NOTION_API_KEY", "SUPPRESSD_ADMIN_TOKEN", "co.uk"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let status = it.world.ask("/v1/status").await.1;
    assert_eq!(status["settings"], serde_json::to_value(&reloaded).unwrap());
    assert!(secrets.iter().all(|secret| !status.to_string().contains(secret) && !told.contains(secret)));
    let metrics = &it.world.serving.metrics;
    assert_eq!((metrics.settings_reloads.get(Reload::Refused), metrics.settings_reloads.get(Reload::Taken)), (1, 0));
    assert_eq!(*it.heard.lock().unwrap(), ["reloading", "ready"], "the log is as it was");
    it.world.workspace().create(company("Acme").website("https://acme.ai").status("Meeting"));
    it.world.tell().await;
    assert_eq!(it.firmness("domain:acme.ai").await, "soft");

    let mended = [("NOTION_API_KEY", it.world.simulator.token()), ("SUPPRESSD_ADMIN_TOKEN", "")];
    let changed = it.taken(&[mended[0], mended[1], ("SUPPRESSD_SHARED_HOSTS", "")]).await;
    assert_eq!(changed, ["log.level", "notion.hard_statuses"]);
    assert_eq!(*it.heard.lock().unwrap(), ["reloading", "ready", "reloading", "debug", "ready"]);
    assert_eq!(it.firmness("domain:acme.ai").await, "hard");
}

#[tokio::test]
async fn what_needs_a_restart_is_named_until_there_is_one() {
    let it = Changing::with(&[]).await;
    let other = "3296958a07b853eeb6a8a1cc71849e2b";
    let changes =
        [("SUPPRESSD_LISTEN", "127.0.0.1:1"), ("SUPPRESSD_DB_PATH", "other.db"), ("NOTION_DATABASE_ID", other)];
    let reloaded = it.reload(&changes).await;
    let named = |reloaded: &Reloaded| {
        let mut named = reloaded.needs_restart.clone();
        named.sort();
        named
    };
    // The token file lies beside the database.
    assert_eq!(named(&reloaded), ["db_path", "handshake.token_path", "notion.database_id", "serve.listen"]);
    assert_eq!(reloaded.changed, Vec::<String>::new());
    let again = it.reload(&[("NOTION_HARD_STATUSES", "Meeting")]).await;
    assert_eq!((named(&again), again.changed), (named(&reloaded), vec!["notion.hard_statuses".to_owned()]));
    // It works on where it is.
    it.world.workspace().create(company("Acme").website("https://acme.ai"));
    it.world.tell().await;
    assert_eq!(it.check("domain:acme.ai").await["verdict"], "suppressed");
    it.world.serving.store.read(|rows| rows.tally()).await.unwrap();
}
