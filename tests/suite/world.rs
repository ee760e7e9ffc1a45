//! A world to test in: a simulated Notion, a real `serve` beside it, and a folder with its database.
//!
//! Everything goes over HTTP on loopback; rows are read as the pipeline reads them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::StatusCode;
use suppressd::{
    app::{
        AppError,
        serve::{self, Serving},
    },
    clock::Clock,
    config::{Config, Flags},
    lifecycle::{Ended, Lifecycle},
    model::id::PageId,
    notion::signature::{VerificationToken, sign},
    simulator::{
        Settings, Simulator,
        webhooks::{Delivering, Webhooks},
        workspace::Workspace,
    },
    store::{EventState, Store as _},
};
use tempfile::TempDir;

use crate::pipeline::{Row, connect, rows};

/// Longer than anything here takes; a test that waits for this has failed.
const PATIENCE: Duration = Duration::from_mins(2);

/// A simulated Notion and the program.
pub(crate) struct World {
    /// The simulated Notion.
    pub(crate) simulator: Simulator,
    /// The running program.
    pub(crate) serving: Serving,
    /// Its stops.
    pub(crate) lifecycle: Lifecycle,
    /// Asks and delivers.
    pub(crate) http: reqwest::Client,
    environment: BTreeMap<String, String>,
    folder: TempDir,
}

impl World {
    /// A world with the defaults of everything.
    pub(crate) async fn start() -> Self {
        Self::with(Settings::default(), &[]).await
    }

    /// A world with another Notion, and with variables beside the usual ones.
    pub(crate) async fn with(settings: Settings, variables: &[(&str, &str)]) -> Self {
        let world = Self::begin(settings, variables).await;
        world.until("it is ready", async || world.ask("/readyz").await.0 == StatusCode::OK).await;
        world
    }

    /// As [`World::with`], but does not wait until the program is ready. An empty variable counts as not set.
    pub(crate) async fn begin(settings: Settings, variables: &[(&str, &str)]) -> Self {
        let simulator = Simulator::start(settings).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut environment = environment(&simulator, &folder.path().join("cache.db"));
        environment.extend([
            ("SUPPRESSD_LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
            ("SUPPRESSD_ADMIN_LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
            // Requests are counted here; tests of the sweep ask for it.
            ("SUPPRESSD_SWEEP_AT".to_owned(), "off".to_owned()),
        ]);
        for (name, value) in variables {
            environment.insert((*name).to_owned(), (*value).to_owned());
        }
        let (serving, lifecycle) = serve(&environment).await;
        let http = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().unwrap();
        Self { simulator, serving, lifecycle, http, environment, folder }
    }

    /// The workspace, to work in.
    pub(crate) fn workspace(&self) -> &Workspace {
        self.simulator.workspace()
    }

    /// The database file.
    pub(crate) fn database(&self) -> PathBuf {
        PathBuf::from(self.environment.get("SUPPRESSD_DB_PATH").unwrap())
    }

    /// A folder that goes with the world.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The settings of the running program.
    pub(crate) fn config(&self) -> Config {
        config(&self.environment)
    }

    /// What the program is started with.
    pub(crate) const fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// Sets a variable for the next start.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    /// The address that Notion delivers to.
    pub(crate) fn webhook_url(&self) -> String {
        format!("http://{}/webhooks/notion", self.serving.public)
    }

    /// A subscription of the program to the workspace.
    pub(crate) fn webhooks(&self, manner: Delivering) -> Webhooks {
        self.simulator.webhooks(&self.webhook_url(), manner).unwrap()
    }

    /// Delivers every event of the workspace, and waits until all is settled.
    pub(crate) async fn tell(&self) {
        let webhooks = self.webhooks(Delivering { aggregate: None, ..Delivering::default() });
        while !webhooks.deliver_all().await.is_empty() {}
        self.settled().await;
    }

    /// Waits until no event waits.
    pub(crate) async fn settled(&self) {
        self.until("all is settled", async || self.count(EventState::Waiting).await == 0).await;
    }

    /// Waits until something holds.
    pub(crate) async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !holds().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(waited.await.is_ok(), "it never came that {what}");
    }

    /// How many events are in a state.
    pub(crate) async fn count(&self, state: EventState) -> u64 {
        let tally = self.serving.store.read(|rows| rows.tally()).await.unwrap();
        tally.by_state.into_iter().find(|(found, _)| *found == state).map_or(0, |(_, count)| count)
    }

    /// All rows, as the pipeline reads them.
    pub(crate) fn rows(&self) -> Vec<Row> {
        rows(&self.database())
    }

    /// The row of a key.
    pub(crate) fn row(&self, key: &str) -> Option<Row> {
        self.rows().into_iter().find(|row| row.key == key)
    }

    /// The page and status of a key's row.
    pub(crate) fn face(&self, key: &str) -> Option<(String, String)> {
        self.row(key).map(|row| (row.page, row.status))
    }

    /// Posts a body, signed with the token that is configured.
    pub(crate) async fn deliver(&self, body: &str) -> StatusCode {
        self.post(body, Some(&self.signature(body))).await
    }

    /// The body of an event about a page of our data source.
    pub(crate) fn event(&self, id: &str, kind: &str, page: PageId) -> String {
        event(id, kind, page, &self.workspace().data_source().to_string())
    }

    /// The signature of a body with the token that is configured.
    pub(crate) fn signature(&self, body: &str) -> String {
        signature(self.simulator.verification_token(), body)
    }

    /// Posts a body with any signature, or none.
    pub(crate) async fn post(&self, body: &str, signature: Option<&str>) -> StatusCode {
        let mut request = self.http.post(self.webhook_url()).body(body.to_owned());
        if let Some(signature) = signature {
            request = request.header("X-Notion-Signature", signature);
        }
        request.send().await.unwrap().status()
    }

    /// Asks the private door, with its bearer token where one is configured.
    pub(crate) async fn ask(&self, path: &str) -> (StatusCode, serde_json::Value) {
        let mut request = self.http.get(self.private_url(path));
        if let Some(token) = self.environment.get("SUPPRESSD_ADMIN_TOKEN") {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap_or_default())
    }

    /// An address behind the private door.
    pub(crate) fn private_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.serving.private)
    }

    /// Every event of the inbox, by its id, as another program reads it.
    pub(crate) fn inbox(&self) -> BTreeMap<String, Kept> {
        inbox(&self.database())
    }

    /// Stops the program as a first signal does, and says how it ended.
    pub(crate) async fn stop(&self) -> Ended {
        self.lifecycle.stop();
        self.lifecycle.run_until_stopped(Duration::from_secs(10)).await
    }

    /// Stops the program and starts it anew on the same database.
    pub(crate) async fn restart(&mut self) {
        assert_eq!(self.stop().await, Ended::Stopped);
        (self.serving, self.lifecycle) = serve(&self.environment).await;
    }
}

/// Starts the program. A process that another test is just starting may hold a copy of a lock for a moment, until its
/// own program begins: so a database that was just left is asked for again.
async fn serve(environment: &BTreeMap<String, String>) -> (Serving, Lifecycle) {
    let started = tokio::time::timeout(PATIENCE, async {
        loop {
            let lifecycle = Lifecycle::default();
            match serve::start(&config(environment), &lifecycle, &Clock::system()).await {
                Err(AppError::AlreadyServed(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
                serving => return (serving.unwrap(), lifecycle),
            }
        }
    });
    started.await.unwrap()
}

fn config(environment: &BTreeMap<String, String>) -> Config {
    Config::read(&Flags::new(), &|name: &str| environment.get(name).cloned()).unwrap()
}

/// The signature of a body with a token.
pub(crate) fn signature(token: &str, body: &str) -> String {
    sign(body.as_bytes(), &VerificationToken::new(token).unwrap())
}

/// An event as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Its kind.
    pub(crate) kind: String,
    /// Its state.
    pub(crate) state: String,
    /// Its body, if it is still there.
    pub(crate) body: Option<String>,
}

/// What a process needs to serve a simulated Notion from this database.
pub(crate) fn environment(simulator: &Simulator, database: &Path) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("NOTION_API_KEY".to_owned(), simulator.token().to_owned()),
        ("NOTION_DATABASE_ID".to_owned(), simulator.workspace().database().to_string()),
        ("NOTION_BASE_URL".to_owned(), simulator.base_url()),
        ("NOTION_VERIFICATION_TOKEN".to_owned(), simulator.verification_token().to_owned()),
        ("SUPPRESSD_DB_PATH".to_owned(), database.display().to_string()),
    ])
}

/// Every event of the inbox of a database.
pub(crate) fn inbox(database: &Path) -> BTreeMap<String, Kept> {
    let connection = connect(database);
    let mut events = connection.prepare("SELECT event_id, kind, state, body FROM suppressd_inbox").unwrap();
    let events = events.query_map([], |row| {
        let body: Option<Vec<u8>> = row.get(3)?;
        let body = body.map(|body| String::from_utf8_lossy(&body).into_owned());
        Ok((row.get(0)?, Kept { kind: row.get(1)?, state: row.get(2)?, body }))
    });
    events.unwrap().collect::<Result<_, _>>().unwrap()
}

/// The body of an event about a page of a data source, as Notion writes it.
///
/// It happened a minute ago: a page that was made just now is never older than that, so one look settles it.
pub(crate) fn event(id: &str, kind: &str, page: PageId, data_source: &str) -> String {
    let timestamp = Clock::system().now() - chrono::TimeDelta::minutes(1);
    serde_json::json!({
        "id": id, "timestamp": timestamp.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        "workspace_id": "b3a1c5de-0000-4000-8000-000000000001", "workspace_name": "Test",
        "subscription_id": "b3a1c5de-0000-4000-8000-000000000002",
        "integration_id": "b3a1c5de-0000-4000-8000-000000000003",
        "type": kind, "authors": [{"id": "b3a1c5de-0000-4000-8000-000000000004", "type": "person"}],
        "attempt_number": 1, "api_version": "2025-09-03",
        "entity": {"id": page.to_string(), "type": "page"},
        "data": {"parent": {"id": "b3a1c5de-0000-4000-8000-000000000005", "type": "database", "data_source_id": data_source}},
    })
    .to_string()
}
