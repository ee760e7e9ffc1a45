//! A Notion workspace inside the program: people who change pages, the API that shows them, the webhooks that tell.
//!
//! It imitates what is known of Notion, where it is kind and where it is not. Read it in this order:
//!
//! 1. [`workspace`]: what people can do, and which events each deed makes; [`draft`] and [`scenario`] are people.
//!    `world`, [`schema`] and [`value`] hold what there is; `writing` and `tables` change it.
//! 2. [`api`]: one request's way through token, version, budget and faults to an object, which `query` finds and
//!    [`shape`] writes.
//! 3. [`webhooks`]: one event's way through `aggregation` and `outbox` to a signed delivery and its retries, and the
//!    [`recipient`] of it.
//! 4. [`faults`]: what can be made to go wrong. [`truth`] and [`tally`] are for those who watch.
//! 5. [`offline`]: all of this without sockets, asked over a [`wire`] within the process. The [`Simulator`] is the same
//!    behind a listener.

use std::{io, net::SocketAddr, sync::Arc};

use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use crate::{
    clock::Clock,
    simulator::{
        api::{Manner, router},
        faults::Faults,
        line::{Line, Lines},
        offline::Offline,
        recipient::Recipient,
        tally::Tally,
        webhooks::{Delivering, Webhooks},
        workspace::{Habits, Workspace},
    },
};

mod aggregation;
mod line;
mod names;
mod outbox;
mod query;
mod tables;
mod update;
mod world;
mod writing;

pub mod api;
pub mod budget;
pub mod draft;
pub mod event;
pub mod faults;
pub mod identity;
pub mod offline;
pub mod question;
pub mod recipient;
pub mod scenario;
pub mod schema;
pub mod shape;
pub mod tally;
pub mod truth;
pub mod value;
pub mod webhooks;
pub mod wire;
pub mod workspace;

pub use crate::simulator::world::{Access, Home, Outcome};

/// What a simulator is started with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The time that everything in it lives by.
    pub clock: Clock,
    /// What ids, tokens and mischief come from.
    pub seed: u64,
    /// What is not known of Notion.
    pub habits: Habits,
    /// How the API behaves.
    pub manner: Manner,
}

impl Default for Settings {
    fn default() -> Self {
        Self { clock: Clock::system(), seed: 0, habits: Habits::default(), manner: Manner::default() }
    }
}

/// A running simulated Notion. It stops when it is dropped.
#[derive(Debug)]
pub struct Simulator {
    notion: Offline,
    address: SocketAddr,
    tasks: TaskTracker,
}

impl Simulator {
    /// Starts the API on a free port of 127.0.0.1.
    pub async fn start(settings: Settings) -> io::Result<Self> {
        let notion = Offline::new(settings);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let service = router(Arc::clone(notion.api())).into_make_service_with_connect_info::<Line>();
        let serve =
            axum::serve(Lines(listener), service).with_graceful_shutdown(notion.stop().clone().cancelled_owned());
        let tasks = TaskTracker::new();
        tasks.spawn(async move { serve.await });
        Ok(Self { notion, address, tasks })
    }

    /// Returns what stands in the place of `https://api.notion.com`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the token that the API takes.
    pub fn token(&self) -> &str {
        self.notion.token()
    }

    /// Returns the token that deliveries are signed with.
    pub fn verification_token(&self) -> &str {
        self.notion.verification_token()
    }

    /// Returns the workspace, to work in.
    pub const fn workspace(&self) -> &Workspace {
        self.notion.workspace()
    }

    /// Returns the plan of faults.
    pub fn faults(&self) -> &Faults {
        self.notion.faults()
    }

    /// Returns the counts of requests.
    pub fn tally(&self) -> &Tally {
        self.notion.tally()
    }

    /// Subscribes `target` to the events of the workspace.
    pub fn webhooks(&self, target: &str, manner: Delivering) -> Result<Webhooks, reqwest::Error> {
        Ok(self.notion.subscribe(Recipient::http(target)?, manner))
    }

    /// Delivers events in the background, until the simulator stops.
    pub fn deliver_in_background(&self, webhooks: &Webhooks) {
        let (webhooks, stop) = (webhooks.clone(), self.notion.stop().clone());
        self.tasks.spawn(async move { webhooks.run(stop).await });
    }

    /// Stops, and waits until everything has.
    pub async fn stop(self) {
        self.notion.stop().cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.notion.stop().cancel();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reqwest::{Client, Response, StatusCode};
    use serde_json::{Value as Json, json};

    use crate::{
        model::id::PageId,
        simulator::{
            budget::Budget,
            draft::{changes, company},
            faults::{Fault, Target},
            question::Endpoint,
        },
    };

    use super::*;

    /// A simulator, and somebody who asks it.
    struct Asker {
        simulator: Simulator,
        client: Client,
    }

    impl Asker {
        async fn with(manner: Manner) -> Self {
            let simulator = Simulator::start(Settings { manner, ..Settings::default() }).await.unwrap();
            Self { simulator, client: Client::builder().no_proxy().build().unwrap() }
        }

        async fn new() -> Self {
            Self::with(Manner::default()).await
        }

        fn page(&self) -> PageId {
            self.simulator.workspace().create(company("Amber Kiln").status("Sourced"))
        }

        fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
            let url = format!("{}{path}", self.simulator.base_url());
            self.client
                .request(method.parse().unwrap(), url)
                .bearer_auth(self.simulator.token())
                .header("notion-version", "2026-03-11")
        }

        async fn get(&self, path: &str) -> Result<Response, reqwest::Error> {
            self.request("GET", path).send().await
        }

        async fn get_page(&self, page: PageId) -> (StatusCode, Json) {
            let response = self.get(&format!("/v1/pages/{page}")).await.unwrap();
            (response.status(), response.json().await.unwrap())
        }

        async fn query(&self, body: Json) -> (StatusCode, Json) {
            let path = format!("/v1/data_sources/{}/query", self.simulator.workspace().data_source());
            let response = self.request("POST", &path).json(&body).send().await.unwrap();
            (response.status(), response.json().await.unwrap())
        }
    }

    #[tokio::test]
    async fn objects_are_found_at_their_paths() {
        let asker = Asker::new().await;
        let workspace = asker.simulator.workspace();
        let page = asker.page();
        for (path, object) in [
            (format!("/v1/pages/{page}"), "page"),
            (format!("/v1/pages/{}", page.uuid().simple()), "page"),
            (format!("/v1/databases/{}", workspace.database()), "database"),
            (format!("/v1/data_sources/{}", workspace.data_source()), "data_source"),
            ("/v1/users/me".to_owned(), "user"),
        ] {
            let response = asker.get(&path).await.unwrap();
            assert_eq!(response.status(), 200, "{path}");
            let id = response.headers()["x-notion-request-id"].to_str().unwrap().to_owned();
            let body: Json = response.json().await.unwrap();
            assert_eq!((&body["object"], &body["request_id"]), (&json!(object), &json!(id)));
        }
        assert_eq!(asker.simulator.tally().of(Endpoint::Page), 2);
        assert_eq!(asker.simulator.tally().of_page(page), 2);
    }

    #[tokio::test]
    async fn what_is_not_there_or_not_shared_looks_alike() {
        let asker = Asker::new().await;
        let workspace = asker.simulator.workspace();
        let [unknown, unshared, purged] = [PageId::from_uuid(uuid::Uuid::nil()), asker.page(), asker.page()];
        workspace.set_access(unshared, Access::Unshared);
        workspace.trash(purged);
        assert_eq!(asker.get_page(purged).await.0, 200, "a page in the trash can be read");
        workspace.purge(purged);
        for page in [unknown, unshared, purged] {
            let (status, mut body) = asker.get_page(page).await;
            body.as_object_mut().unwrap().remove("request_id").unwrap();
            let message = format!(
                "Could not find page with ID: {page}. Make sure the relevant pages and databases are shared with \
                 your integration \"suppressd\"."
            );
            let expected = json!({
                "object": "error",
                "status": 404,
                "code": "object_not_found",
                "message": message,
                "additional_data": {"integration_id": workspace.identity().integration},
            });
            assert_eq!((status.as_u16(), body), (404, expected));
        }
        workspace.set_database_access(workspace.database(), Access::Unshared);
        assert_eq!(asker.query(json!({})).await.0, 404);
    }

    #[tokio::test]
    async fn nobody_is_let_in_without_token_and_version() {
        let asker = Asker::new().await;
        let url = format!("{}/v1/users/me", asker.simulator.base_url());
        let code = async |request: reqwest::RequestBuilder| {
            let response = request.send().await.unwrap();
            let status = response.status().as_u16();
            (status, response.json::<Json>().await.unwrap()["code"].as_str().unwrap().to_owned())
        };
        let with_token = || asker.client.get(&url).bearer_auth(asker.simulator.token());
        assert_eq!(code(asker.client.get(&url)).await, (401, "unauthorized".to_owned()));
        assert_eq!(code(asker.client.get(&url).bearer_auth("ntn_other")).await, (401, "unauthorized".to_owned()));
        assert_eq!(code(with_token()).await, (400, "missing_version".to_owned()));
        let old = with_token().header("notion-version", "2022-06-28");
        assert_eq!(code(old).await, (400, "validation_error".to_owned()));
        asker.simulator.faults().refuse_token();
        assert_eq!(asker.get("/v1/users/me").await.unwrap().status(), 401);
        asker.simulator.faults().heal_token();
        assert_eq!(asker.get("/v1/users/me").await.unwrap().status(), 200);
        assert_eq!(asker.get("/v1/elsewhere").await.unwrap().status(), 400);
        assert_eq!(asker.get("/v1/pages/not-an-id").await.unwrap().status(), 400);
    }

    #[tokio::test]
    async fn a_spent_budget_is_answered_with_the_time_to_wait() {
        let budget = Budget { requests: 3, window: Duration::from_mins(1) };
        let asker = Asker::with(Manner { budget, ..Manner::default() }).await;
        for _ in 0..3 {
            assert_eq!(asker.get("/v1/users/me").await.unwrap().status(), 200);
        }
        let response = asker.get("/v1/users/me").await.unwrap();
        assert_eq!(response.status(), 429);
        let wait = response.headers()["retry-after"].to_str().unwrap().to_owned();
        assert!((1..=60).contains(&wait.parse::<u32>().unwrap()), "{wait}");
        let body: Json = response.json().await.unwrap();
        assert_eq!(body["code"], "rate_limited");
        let expected = json!({"rate_limit_reason": "public_api_request_rate_limit", "retry_after": wait});
        assert_eq!(body["additional_data"], expected);
        assert_eq!(asker.simulator.tally().most_in_a_window(), 4);
    }

    #[tokio::test]
    async fn a_query_gives_its_rows_page_by_page() {
        let asker = Asker::with(Manner { rows_max: 4, ..Manner::default() }).await;
        for _ in 0..5 {
            asker.page();
        }
        let (_, mut first) = asker.query(json!({"page_size": 2})).await;
        first.as_object_mut().unwrap().remove("request_id").unwrap();
        let (results, cursor) = (first["results"].take(), first["next_cursor"].take());
        assert_eq!(results.as_array().unwrap().len(), 2);
        let expected = json!({
            "object": "list",
            "results": null,
            "next_cursor": null,
            "has_more": true,
            "type": "page_or_data_source",
            "page_or_data_source": {},
            "request_status": {"type": "incomplete", "incomplete_reason": "query_result_limit_reached"},
        });
        assert_eq!(first, expected);
        let (_, second) = asker.query(json!({"page_size": 2, "start_cursor": cursor})).await;
        assert_eq!((&second["has_more"], &second["next_cursor"]), (&json!(false), &Json::Null));
        assert_eq!(second["request_status"]["type"], "incomplete");
    }

    #[tokio::test]
    async fn scripted_faults_happen_and_pass() {
        let asker = Asker::new().await;
        let page = asker.page();
        let faults = asker.simulator.faults();
        for (status, code) in [
            (409, "conflict_error"),
            (429, "rate_limited"),
            (500, "internal_server_error"),
            (502, "bad_gateway"),
            (503, "service_unavailable"),
            (504, "gateway_timeout"),
            (529, "service_overload"),
        ] {
            faults.next_of(Target::Page(page), 1, Fault::Status(status));
            let (answered, body) = asker.get_page(page).await;
            assert_eq!((answered.as_u16(), &body["code"]), (status, &json!(code)));
            assert_eq!(body["status"], status);
        }
        faults.next(1, Fault::RateLimited { reason: "public_api_request_blocked", retry_after: None });
        assert_eq!(asker.get_page(page).await.1.get("additional_data"), None);
        faults.next(1, Fault::Status(503));
        let (_, body) = asker.query(json!({})).await;
        assert_eq!(body["additional_data"]["retry_guidance"].as_array().unwrap().len(), 3);
        assert_eq!(asker.get_page(page).await.0, 200);
    }

    #[tokio::test]
    async fn answers_can_be_broken() {
        let asker = Asker::new().await;
        let page = asker.page();
        let (faults, path) = (asker.simulator.faults(), format!("/v1/pages/{page}"));
        faults.next(1, Fault::Edge(403));
        let response = asker.get(&path).await.unwrap();
        assert_eq!(response.status(), 403);
        assert!(response.headers().contains_key("cf-ray") && !response.headers().contains_key("x-notion-request-id"));
        assert!(response.text().await.unwrap().starts_with("<!DOCTYPE html>"));
        faults.next(1, Fault::Truncated);
        let text = asker.get(&path).await.unwrap().text().await.unwrap();
        assert!(text.starts_with('{') && serde_json::from_str::<Json>(&text).is_err());
        for fault in [Fault::Reset, Fault::Hang(Duration::from_millis(5))] {
            faults.next(1, fault.clone());
            assert!(asker.get(&path).await.unwrap_err().is_request(), "{fault:?}");
        }
        assert_eq!(asker.get_page(page).await.0, 200);
    }

    #[tokio::test]
    async fn answers_can_be_less_than_the_truth() {
        let asker = Asker::new().await;
        let page = asker.page();
        let faults = asker.simulator.faults();
        asker.simulator.workspace().edit(page, changes().status("Passed"));
        let status = |body: &Json| body["properties"]["Status"]["status"]["name"].clone();
        faults.next(1, Fault::Stale);
        assert_eq!(status(&asker.get_page(page).await.1), "Sourced");
        assert_eq!(status(&asker.get_page(page).await.1), "Passed");
        faults.next(1, Fault::Partial);
        assert_eq!(asker.query(json!({})).await.1["results"], json!([{"object": "page", "id": page}]));
        faults.next(1, Fault::Unsupported);
        assert_eq!(asker.get_page(page).await.1["properties"]["Status"]["type"], "unsupported");
        faults.set_index_lag(Duration::from_hours(1));
        assert_eq!(asker.query(json!({})).await.1["results"], json!([]));
    }

    #[tokio::test]
    async fn fetches_of_one_page_at_once_are_counted() {
        let asker = Asker::with(Manner { latency: Duration::from_millis(50), ..Manner::default() }).await;
        let (one, other) = (asker.page(), asker.page());
        tokio::join!(asker.get_page(one), asker.get_page(one), asker.get_page(other));
        assert_eq!(asker.simulator.tally().most_at_once(), 2);
    }

    #[tokio::test]
    async fn a_stop_ends_what_hangs() {
        let asker = Asker::new().await;
        asker.simulator.faults().next(1, Fault::Hang(Duration::from_hours(1)));
        let Asker { simulator, client } = asker;
        let request = client
            .get(format!("{}/v1/users/me", simulator.base_url()))
            .bearer_auth(simulator.token())
            .header("notion-version", "2026-03-11");
        let tally = simulator.tally().clone();
        let stop = async move {
            while tally.total() == 0 {
                tokio::task::yield_now().await;
            }
            simulator.stop().await;
        };
        let (answer, ()) = tokio::join!(request.send(), stop);
        assert!(answer.is_err());
    }
}
