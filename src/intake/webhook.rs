//! The way of one delivery: verified, read, judged, and on the disk before it is acknowledged.

use sha2::{Digest as _, Sha256};
use tracing::{debug, error, warn};

use crate::{
    intake::{Intake, Receipt, handshake::Handshake},
    metrics::label::{Answer, EventType, Part, Refused, Shaken},
    model::{entry::Door, event::Event},
    notion::{
        payload::{self, Delivery},
        signature::{self, VerificationToken},
    },
    store::{Appended, Disposition, NewEvent, Store},
};

/// The kind under which a delivery is kept that could not be read.
pub const UNREADABLE: &str = "unreadable";

/// A handshake has one short string in it. Nothing longer is read from whom nobody knows.
const HANDSHAKE_BYTES_MAX: usize = 1024;

impl<S: Store> Intake<S> {
    /// Receives one delivery: `body` as it came, and the value of its `X-Notion-Signature`.
    ///
    /// Whatever the receipt says is so when it is given: an accepted event is on the disk.
    pub async fn receive(&self, body: &[u8], signature: Option<&str>, door: Door) -> Receipt {
        let receipt = self.admit(body, signature, door).await;
        let metrics = &self.metrics;
        match receipt {
            // Counted where their kind is known.
            Receipt::Accepted
            | Receipt::Duplicate
            | Receipt::Reopened
            | Receipt::Ignored
            | Receipt::Skipped
            | Receipt::Unreadable => (),
            Receipt::Handshake(Handshake::Shown) => metrics.handshakes.count(Shaken::Taken),
            Receipt::Handshake(Handshake::Ignored) => metrics.handshakes.count(Shaken::Ignored),
            Receipt::Refused => metrics.deliveries_refused.count(Refused::Signature),
            Receipt::NotDurable => {
                metrics.deliveries_refused.count(Refused::NotDurable);
                metrics.errors.count(Part::Intake);
            }
        }
        receipt
    }

    async fn admit(&self, body: &[u8], signature: Option<&str>, door: Door) -> Receipt {
        let tokens = self.vault.tokens().await;
        if !signature::verify(body, signature, &tokens) {
            return self.stranger(body, signature, door).await;
        }
        let (kind, event) = match payload::read(body) {
            Delivery::Event(event) => (EventType::from(&event.kind), self.of_event(event, body, door)),
            Delivery::Unreadable { id, why } => (EventType::OTHER, self.of_unreadable(id, &why, body, door)),
            Delivery::Handshake(_) => return self.ignore_handshake(),
        };
        self.keep(event, kind).await
    }

    /// Looks at what is not signed with a known token: only a handshake is taken from a stranger.
    ///
    /// Notion's sources disagree on whether a handshake is signed (WH: with the token in it). One without a signature is
    /// taken, one with a wrong signature is not.
    async fn stranger(&self, body: &[u8], signature: Option<&str>, door: Door) -> Receipt {
        let delivery = (body.len() <= HANDSHAKE_BYTES_MAX).then(|| payload::read(body));
        match delivery {
            Some(Delivery::Handshake(token))
                if signature.is_none() || signature::verify(body, signature, std::slice::from_ref(&token)) =>
            {
                self.shake_hands(token, door).await
            }
            _ => {
                if let Some(held_back) = self.warnings.refused.turn() {
                    warn!(
                        held_back,
                        "refused a delivery whose signature is missing or wrong: \
                         is the token still the one of the subscription?"
                    );
                }
                Receipt::Refused
            }
        }
    }

    async fn shake_hands(&self, token: VerificationToken, door: Door) -> Receipt {
        if door != Door::Webhook {
            return self.ignore_handshake();
        }
        match self.vault.offer(token).await {
            Ok(Handshake::Shown) => Receipt::Handshake(Handshake::Shown),
            Ok(Handshake::Ignored) => self.ignore_handshake(),
            Err(error) => {
                self.not_durable(&error);
                Receipt::NotDurable
            }
        }
    }

    fn ignore_handshake(&self) -> Receipt {
        if let Some(held_back) = self.warnings.handshake_ignored.turn() {
            warn!(
                held_back,
                "ignored a handshake, because every token that is needed is known: if a subscription was created anew, \
                 run `suppressd handshake --reset` or configure its token; if it is of another connection, name a \
                 variable for its token with `verification_token_env`; then let Notion send it again"
            );
        }
        Receipt::Handshake(Handshake::Ignored)
    }

    fn of_event(&self, event: Event, body: &[u8], door: Door) -> NewEvent {
        let received_at = self.clock.now();
        let disposition = self.sources.disposition(&event, received_at);
        NewEvent {
            kind: event.kind.name().to_owned(),
            event_id: event.id,
            subject: event.subject,
            occurred_at: event.occurred_at,
            received_at,
            door,
            disposition,
            body: body.to_vec(),
        }
    }

    /// Keeps what cannot be read under its id, or under its own digest, so that it is kept once.
    fn of_unreadable(&self, id: Option<String>, why: &str, body: &[u8], door: Door) -> NewEvent {
        let event_id = id.unwrap_or_else(|| format!("sha256:{}", hex::encode(Sha256::digest(body))));
        warn!(event.id = %event_id, why, "a delivery is signed correctly and cannot be read");
        let now = self.clock.now();
        NewEvent {
            event_id,
            kind: UNREADABLE.to_owned(),
            subject: None,
            occurred_at: now,
            received_at: now,
            door,
            disposition: Disposition::Unreadable,
            body: body.to_vec(),
        }
    }

    async fn keep(&self, event: NewEvent, counted_as: EventType) -> Receipt {
        let (id, kind, disposition) = (event.event_id.clone(), event.kind.clone(), event.disposition);
        let lag = (event.door == Door::Webhook).then(|| event.received_at - event.occurred_at);
        match self.inbox.accept(event).await {
            Ok(appended) => {
                debug!(event.id = %id, event.kind = %kind, ?appended, "received {kind} {id}");
                let (receipt, answer) = match appended {
                    Appended::Waiting(_) => (Receipt::Accepted, Answer::Accepted),
                    Appended::Kept(_) if disposition == Disposition::Unreadable => {
                        (Receipt::Unreadable, Answer::Unreadable)
                    }
                    Appended::Kept(_) => (Receipt::Ignored, Answer::Ignored),
                    Appended::Skipped(_) => (Receipt::Skipped, Answer::Skipped),
                    Appended::Duplicate => (Receipt::Duplicate, Answer::Duplicate),
                    Appended::Reopened(_) => (Receipt::Reopened, Answer::Reopened),
                };
                self.metrics.events_received.count(counted_as, answer);
                // Who was here before arrived then, and of what cannot be read nobody knows when it happened.
                if let Some(lag) = lag
                    && !matches!(answer, Answer::Duplicate | Answer::Reopened | Answer::Unreadable)
                {
                    self.metrics.event_delivery_lag.observe(lag.to_std().unwrap_or_default());
                }
                receipt
            }
            Err(error) => {
                self.not_durable(&error);
                Receipt::NotDurable
            }
        }
    }

    fn not_durable(&self, error: &(dyn std::error::Error + 'static)) {
        if let Some(held_back) = self.warnings.not_durable.turn() {
            error!(error, held_back, "cannot take deliveries now: Notion is asked to send them again");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::{
        intake::{
            handshake::TokenVault,
            testing::{Memory, TOKEN, event, handshake, intake, signed, token},
            token_file::TokenFile,
        },
        metrics::Metrics,
        model::event::EventKind,
    };

    struct World {
        intake: Intake<Memory>,
        store: Memory,
    }

    fn world() -> World {
        let store = Memory::default();
        let vault = TokenVault::configured(vec![token("secret_before"), token(TOKEN)]);
        World { intake: intake(&store, vault, &Metrics::default()), store }
    }

    impl World {
        async fn check(&self, body: &str, signature: Option<&str>, expected: Receipt) {
            assert_eq!(self.intake.receive(body.as_bytes(), signature, Door::Webhook).await, expected, "{body}");
        }

        async fn check_signed(&self, body: &str, expected: Receipt) {
            self.check(body, Some(&signed(body)), expected).await;
        }

        fn kept(&self) -> Vec<(String, String, Disposition)> {
            let events = self.store.events.lock().unwrap();
            events.iter().map(|event| (event.event_id.clone(), event.kind.clone(), event.disposition)).collect()
        }
    }

    #[tokio::test]
    async fn a_signed_event_is_kept_once() {
        let world = world();
        let body = event("e1", "page.created");
        world.check_signed(&body, Receipt::Accepted).await;
        world.check_signed(&body, Receipt::Duplicate).await;
        let before = signature::sign(body.as_bytes(), &token("secret_before"));
        world.check(&body, Some(&before), Receipt::Duplicate).await;
        assert_eq!(world.kept(), [("e1".to_owned(), "page.created".to_owned(), Disposition::Look)]);
        assert_eq!(world.store.events.lock().unwrap()[0].body, body.as_bytes());
    }

    #[tokio::test]
    async fn what_asks_for_nothing_is_kept_and_acknowledged() {
        let world = world();
        world.check_signed(&event("e1", "comment.created"), Receipt::Ignored).await;
        world.check_signed(&event("e2", "page.teleported"), Receipt::Ignored).await;
        let dispositions: Vec<_> = world.kept().into_iter().map(|(.., disposition)| disposition).collect();
        assert_eq!(dispositions, [Disposition::Ignore, Disposition::Ignore]);
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_kept_once_under_its_id_or_digest() {
        let world = world();
        for body in ["", "{", "[]", r#"{"id": "e1"}"#] {
            world.check_signed(body, Receipt::Unreadable).await;
            world.check_signed(body, Receipt::Duplicate).await;
        }
        let kept = world.kept();
        assert!(
            kept.iter().all(|(_, kind, disposition)| kind == UNREADABLE && *disposition == Disposition::Unreadable)
        );
        assert_eq!(kept[0].0, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(kept[3].0, "e1");
    }

    #[tokio::test]
    async fn nothing_is_kept_of_what_is_not_signed_with_a_known_token() {
        let world = world();
        let body = event("e1", "page.created");
        let other = event("e2", "page.created");
        world.check(&body, None, Receipt::Refused).await;
        world.check(&body, Some(""), Receipt::Refused).await;
        world.check(&body, Some(&signed(&other)), Receipt::Refused).await;
        world.check(&body, Some(&signature::sign(body.as_bytes(), &token("secret_other"))), Receipt::Refused).await;
        world.check("", None, Receipt::Refused).await;
        assert_eq!(world.kept(), []);
    }

    #[tokio::test]
    async fn an_event_that_cannot_be_made_durable_is_not_acknowledged() {
        let world = world();
        let body = event("e1", "page.created");
        world.store.full.store(true, Ordering::Relaxed);
        world.check_signed(&body, Receipt::NotDurable).await;
        world.store.full.store(false, Ordering::Relaxed);
        world.check_signed(&body, Receipt::Accepted).await;
    }

    #[tokio::test]
    async fn a_replayed_event_is_opened_again() {
        let world = world();
        let body = event("e1", "page.created");
        world.check_signed(&body, Receipt::Accepted).await;
        let again = world.intake.receive(body.as_bytes(), Some(&signed(&body)), Door::Replay).await;
        assert_eq!(again, Receipt::Reopened);
    }

    #[tokio::test]
    async fn a_configured_token_is_never_replaced() {
        let world = world();
        let body = handshake("secret_new");
        let own = signature::sign(body.as_bytes(), &token("secret_new"));
        world.check(&body, None, Receipt::Handshake(Handshake::Ignored)).await;
        world.check(&body, Some(&own), Receipt::Handshake(Handshake::Ignored)).await;
        world.check_signed(&handshake(TOKEN), Receipt::Handshake(Handshake::Ignored)).await;
        let body = event("e1", "page.created");
        world.check(&body, Some(&signature::sign(body.as_bytes(), &token("secret_new"))), Receipt::Refused).await;
        assert_eq!(world.kept(), []);
    }

    #[tokio::test]
    async fn the_first_handshake_brings_the_token_and_later_ones_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Memory::default();
        let vault = TokenVault::kept_in(TokenFile::new(folder.path().join("token"))).unwrap();
        let world = World { intake: intake(&store, vault, &Metrics::default()), store };
        let body = event("e1", "page.created");
        world.check_signed(&body, Receipt::Refused).await;

        let ours = handshake(TOKEN);
        world.check(&ours, Some("sha256=00"), Receipt::Refused).await;
        let replayed = world.intake.receive(ours.as_bytes(), None, Door::Replay).await;
        assert_eq!(replayed, Receipt::Handshake(Handshake::Ignored));
        world.check_signed(&ours, Receipt::Handshake(Handshake::Shown)).await;
        world.check_signed(&ours, Receipt::Handshake(Handshake::Ignored)).await;
        world.check(&handshake("secret_of_a_stranger"), None, Receipt::Handshake(Handshake::Ignored)).await;
        world.check_signed(&body, Receipt::Accepted).await;
    }

    #[tokio::test]
    async fn every_receipt_is_counted() {
        let metrics = Metrics::default();
        let intake = intake(&Memory::default(), TokenVault::configured(vec![token(TOKEN)]), &metrics);
        for body in [event("e1", "page.created"), event("e1", "page.created"), event("e2", "view.created"), "{".into()]
        {
            intake.receive(body.as_bytes(), Some(&signed(&body)), Door::Webhook).await;
        }
        intake.receive(b"{}", None, Door::Webhook).await;
        let received = &metrics.events_received;
        let created = EventType::from(&EventKind::PageCreated);
        assert_eq!([Answer::Accepted, Answer::Duplicate].map(|answer| received.get(created, answer)), [1; 2]);
        assert_eq!(received.get(EventType::from(&EventKind::ViewCreated), Answer::Ignored), 1);
        assert_eq!(received.get(EventType::OTHER, Answer::Unreadable), 1);
        assert_eq!(metrics.deliveries_refused.get(Refused::Signature), 1);
        assert_eq!(metrics.event_delivery_lag.observed(), 2);
    }
}
