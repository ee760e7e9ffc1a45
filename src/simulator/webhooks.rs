//! Notion's side of a webhook subscription: events are signed and posted, tried again, and given up.
//!
//! Whoever wants events delivered in a test calls one of the `deliver` methods and sees what was answered; the demo
//! lets [`Webhooks::run`] do it. Both take what the workspace has told, let mischief happen to it, and post it.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use crate::simulator::outbox::{Acknowledged, Delivering};
use crate::{
    notion::signature::{self, VerificationToken},
    simulator::{
        event::{Event, Subscription},
        outbox::{Outbox, Which},
        recipient::Recipient,
        workspace::Workspace,
    },
};

/// Whether the handshake is signed with the token that it carries; sources disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    /// As in the official SDK.
    Signed,
    /// As others have it.
    Unsigned,
}

/// One attempt at a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The event.
    pub event: Event,
    /// Which attempt it was, from 1 to 8.
    pub attempt: u8,
    /// What was answered; `None` where no answer came.
    pub status: Option<u16>,
}

/// A subscription of one endpoint to one workspace. Cheap to clone.
#[derive(Clone)]
pub struct Webhooks(Arc<Inside>);

struct Inside {
    workspace: Workspace,
    recipient: Recipient,
    token: String,
    subscription: Subscription,
    timeout: Duration,
    at_once: usize,
    outbox: Mutex<Outbox>,
}

impl Webhooks {
    /// Subscribes `target` to the events of a workspace. The seed decides all mischief.
    pub fn new(
        workspace: &Workspace,
        target: &str,
        token: &str,
        seed: u64,
        manner: Delivering,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self::told_to(Recipient::http(target)?, workspace, token, seed, manner))
    }

    /// Subscribes `recipient` to the events of a workspace.
    pub(crate) fn told_to(
        recipient: Recipient,
        workspace: &Workspace,
        token: &str,
        seed: u64,
        manner: Delivering,
    ) -> Self {
        Self(Arc::new(Inside {
            workspace: workspace.clone(),
            recipient,
            token: token.to_owned(),
            subscription: workspace.identity().subscription(),
            timeout: manner.timeout,
            at_once: manner.at_once.max(1),
            outbox: Mutex::new(Outbox::new(manner, seed)),
        }))
    }

    /// Posts the verification token, as Notion does when the subscription is created and when somebody asks again.
    pub async fn handshake(&self, handshake: Handshake) -> Option<u16> {
        let body = json!({"verification_token": self.0.token}).to_string();
        self.post(body, handshake == Handshake::Signed).await
    }

    /// Delivers everything that waits, once each, whether it is due or not; what fails waits again.
    pub async fn deliver_all(&self) -> Vec<Delivery> {
        self.deliver(Which::Everything).await
    }

    /// Delivers at most `n` of what waits, so that the rest comes late.
    pub async fn deliver_some(&self, n: usize) -> Vec<Delivery> {
        self.deliver(Which::Some(n)).await
    }

    /// Delivers what is due by the clock.
    pub async fn deliver_due(&self) -> Vec<Delivery> {
        self.deliver(Which::Due).await
    }

    /// Delivers what is due, whenever it is, until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            self.deliver_due().await;
            let clock = self.0.workspace.clock();
            let pause = self.outbox().next_due().map_or(Duration::MAX, |due| clock.until(due));
            tokio::select! {
                () = tokio::time::sleep(pause) => (),
                () = self.0.workspace.told() => (),
                () = stop.cancelled() => (),
            }
        }
    }

    /// Returns what was acknowledged, by event id.
    pub fn acknowledged(&self) -> HashMap<Uuid, Acknowledged> {
        self.outbox().acknowledged.clone()
    }

    /// Returns what was lost on purpose.
    pub fn lost(&self) -> Vec<Event> {
        self.outbox().lost.clone()
    }

    /// Returns what was refused eight times.
    pub fn given_up(&self) -> Vec<Event> {
        self.outbox().given_up.clone()
    }

    /// Returns how many deliveries wait, first or again, or are on their way; 0 means that everything was told.
    pub fn waiting(&self) -> usize {
        // The outbox is locked first, as when it takes events: none can slip from one into the other unseen.
        let outbox = self.outbox();
        self.0.workspace.look(|world| world.events.len()) + outbox.len()
    }

    async fn deliver(&self, which: Which) -> Vec<Delivery> {
        let batch = self.outbox().take(self.0.workspace.take_events(), which, self.now());
        let mut done = Vec::with_capacity(batch.len());
        for group in batch.chunks(self.0.at_once) {
            let mut posts = JoinSet::new();
            for waiting in group.iter().cloned() {
                let webhooks = self.clone();
                posts.spawn(async move {
                    let body = waiting.event.body(&webhooks.0.subscription, waiting.attempt).to_string();
                    let status = webhooks.post(body, true).await;
                    webhooks.outbox().note(&waiting, status, webhooks.now());
                    Delivery { event: waiting.event, attempt: waiting.attempt, status }
                });
            }
            done.extend(posts.join_all().await);
        }
        done
    }

    async fn post(&self, body: String, signed: bool) -> Option<u16> {
        let signature = if signed { Some(sign(&self.0.token, body.as_bytes())?) } else { None };
        self.0.recipient.post(body, signature, self.0.timeout).await
    }

    fn now(&self) -> DateTime<Utc> {
        self.0.workspace.clock().now()
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.0.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Webhooks {
    /// Leaves the token out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhooks").field("recipient", &self.0.recipient).finish_non_exhaustive()
    }
}

/// Signs a body as Notion does.
fn sign(token: &str, body: &[u8]) -> Option<String> {
    Some(signature::sign(body, &VerificationToken::new(token).ok()?))
}

#[cfg(test)]
mod tests {
    use std::future::{Ready, ready};

    use axum::{
        Router,
        body::Bytes,
        extract::State,
        http::{HeaderMap, StatusCode},
    };
    use serde_json::Value as Json;
    use tokio_util::task::TaskTracker;

    use crate::{
        clock::Clock,
        model::event::EventKind,
        simulator::{
            draft::{changes, company},
            workspace::Habits,
        },
    };

    use super::*;

    const TOKEN: &str = "secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl";

    /// An endpoint that keeps what it is sent and answers as it is told.
    #[derive(Clone)]
    struct Endpoint(Arc<Mutex<(StatusCode, Kept)>>);

    /// Each body with its signature.
    type Kept = Vec<(Option<String>, Bytes)>;

    impl Endpoint {
        async fn start() -> (Self, String) {
            let endpoint = Self(Arc::new(Mutex::new((StatusCode::OK, Vec::new()))));
            let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let url = format!("http://{}/webhooks/notion", listener.local_addr().unwrap());
            let router = Router::new().fallback(Self::take).with_state(endpoint.clone());
            TaskTracker::new().spawn(async move { axum::serve(listener, router).await });
            (endpoint, url)
        }

        fn take(State(endpoint): State<Self>, mut headers: HeaderMap, body: Bytes) -> Ready<StatusCode> {
            let signature = headers.remove("x-notion-signature").map(|value| value.to_str().unwrap().to_owned());
            let mut kept = endpoint.0.lock().unwrap();
            kept.1.push((signature, body));
            ready(kept.0)
        }

        fn answer(&self, status: u16) {
            self.0.lock().unwrap().0 = StatusCode::from_u16(status).unwrap();
        }

        fn bodies(&self) -> Vec<Json> {
            self.0.lock().unwrap().1.iter().map(|(_, body)| serde_json::from_slice(body).unwrap()).collect()
        }
    }

    fn workspace() -> Workspace {
        Workspace::new(Clock::system(), 1, Habits::default())
    }

    fn pages_only() -> Delivering {
        let kinds = [EventKind::PageCreated, EventKind::PagePropertiesUpdated, EventKind::PageDeleted];
        Delivering { kinds: Some(kinds.to_vec()), ..Delivering::default() }
    }

    #[test]
    fn signatures_are_those_of_the_documentation() {
        let body = format!(r#"{{"verification_token":"{TOKEN}"}}"#);
        let expected = "sha256=461e8cbcba8a75c3edd866f0e71280f5a85cbf21eff040ebd10fe266df38a735";
        assert_eq!(sign(TOKEN, body.as_bytes()).as_deref(), Some(expected));
    }

    #[tokio::test]
    async fn a_handshake_holds_the_token_and_may_be_signed() {
        let (endpoint, url) = Endpoint::start().await;
        let webhooks = Webhooks::new(&workspace(), &url, TOKEN, 1, Delivering::default()).unwrap();
        assert_eq!(webhooks.handshake(Handshake::Unsigned).await, Some(200));
        assert_eq!(webhooks.handshake(Handshake::Signed).await, Some(200));
        let kept = endpoint.0.lock().unwrap().1.clone();
        assert_eq!(kept[0].0, None);
        assert_eq!(kept[1].0, sign(TOKEN, &kept[1].1));
        assert_eq!(endpoint.bodies()[0], json!({"verification_token": TOKEN}));
    }

    #[tokio::test]
    async fn every_delivery_is_signed_and_written_down() {
        let (endpoint, url) = Endpoint::start().await;
        let workspace = workspace();
        let webhooks = Webhooks::new(&workspace, &url, TOKEN, 1, pages_only()).unwrap();
        let page = workspace.create(company("Amber Kiln"));
        workspace.edit(page, changes().status("Passed"));
        let delivered = webhooks.deliver_all().await;
        assert_eq!(delivered.iter().map(|it| (it.attempt, it.status)).collect::<Vec<_>>(), [(1, Some(200)); 2]);
        for (signature, body) in endpoint.0.lock().unwrap().1.clone() {
            assert_eq!(signature, sign(TOKEN, &body));
        }
        let told = endpoint.bodies();
        assert_eq!((&told[0]["type"], &told[1]["type"]), (&json!("page.created"), &json!("page.properties_updated")));
        assert_eq!(told[0]["entity"]["id"], json!(page));
        let acknowledged = webhooks.acknowledged();
        assert!(delivered.iter().all(|it| acknowledged[&it.event.id].times == 1));
        assert_eq!(webhooks.deliver_all().await, []);
    }

    #[tokio::test]
    async fn a_refused_event_comes_eight_times_with_one_id() {
        let (endpoint, url) = Endpoint::start().await;
        let workspace = workspace();
        let webhooks = Webhooks::new(&workspace, &url, TOKEN, 1, pages_only()).unwrap();
        workspace.create(company("Amber Kiln"));
        endpoint.answer(503);
        for attempt in 1..=8 {
            let delivered = webhooks.deliver_all().await;
            assert_eq!((delivered[0].attempt, delivered[0].status), (attempt, Some(503)));
        }
        assert_eq!(webhooks.deliver_all().await, []);
        assert_eq!((webhooks.given_up().len(), webhooks.acknowledged().len()), (1, 0));
        let told = endpoint.bodies();
        assert_eq!(
            told.iter().map(|body| body["attempt_number"].clone()).collect::<Vec<_>>(),
            [1, 2, 3, 4, 5, 6, 7, 8]
        );
        assert!(told.iter().all(|body| body["id"] == told[0]["id"]));
    }

    #[tokio::test]
    async fn mischief_is_the_same_for_a_seed() {
        let manner = Delivering {
            lost_percent: 20,
            doubled_percent: 20,
            shuffled: true,
            delay_max: Duration::from_hours(1),
            ..pages_only()
        };
        let (_endpoint, url) = Endpoint::start().await;
        let play = async |seed| {
            let workspace = workspace();
            let webhooks = Webhooks::new(&workspace, &url, TOKEN, seed, manner.clone()).unwrap();
            for _ in 0..60 {
                workspace.create(company("Amber Kiln"));
            }
            assert_eq!(webhooks.deliver_due().await, [], "all are delayed");
            let first = webhooks.deliver_some(5).await;
            assert_eq!(first.len(), 5);
            let rest = webhooks.deliver_all().await;
            let order: Vec<_> = first.into_iter().chain(rest).map(|it| it.event.id).collect();
            let acknowledged = webhooks.acknowledged();
            assert_eq!(acknowledged.len() + webhooks.lost().len(), 60);
            assert!(acknowledged.values().any(|it| it.times == 2) && !webhooks.lost().is_empty());
            order
        };
        let once = play(3).await;
        assert_eq!(once, play(3).await);
        assert_ne!(once, play(4).await);
    }

    #[tokio::test]
    async fn an_event_waits_from_when_it_is_made_until_it_is_written_down() {
        let workspace = workspace();
        let webhooks = Webhooks::new(&workspace, "http://127.0.0.1:1", TOKEN, 1, pages_only()).unwrap();
        workspace.create(company("Amber Kiln"));
        assert!(webhooks.waiting() > 0, "nobody has taken it yet");
        let taken = webhooks.outbox().take(workspace.take_events(), Which::Everything, webhooks.now());
        assert_eq!((taken.len(), webhooks.waiting()), (1, 1), "it is on its way");
        webhooks.outbox().note(&taken[0], Some(200), webhooks.now());
        assert_eq!(webhooks.waiting(), 0);
    }

    #[tokio::test]
    async fn a_page_that_came_and_went_in_one_window_is_not_told() {
        let (_endpoint, url) = Endpoint::start().await;
        let workspace = workspace();
        let manner = Delivering { aggregate: Some(Duration::from_mins(1)), ..pages_only() };
        let webhooks = Webhooks::new(&workspace, &url, TOKEN, 1, manner).unwrap();
        let page = workspace.create(company("Amber Kiln"));
        workspace.trash(page);
        assert_eq!(webhooks.deliver_due().await, [], "the window is open");
        assert!(webhooks.waiting() > 0);
        assert_eq!(webhooks.deliver_all().await, [], "nothing is left of it");
    }

    #[tokio::test]
    async fn the_background_delivers_and_tries_again_until_it_is_stopped() {
        let (endpoint, url) = Endpoint::start().await;
        let workspace = workspace();
        let manner = Delivering { backoff: Duration::from_millis(1), ..pages_only() };
        let webhooks = Webhooks::new(&workspace, &url, TOKEN, 1, manner).unwrap();
        endpoint.answer(503);
        let stop = CancellationToken::new();
        let watch = async {
            workspace.create(company("Amber Kiln"));
            while endpoint.bodies().len() < 3 {
                tokio::task::yield_now().await;
            }
            endpoint.answer(200);
            while webhooks.acknowledged().is_empty() {
                tokio::task::yield_now().await;
            }
            stop.cancel();
        };
        tokio::join!(webhooks.run(stop.clone()), watch);
        assert_eq!(webhooks.waiting(), 0);
    }
}
