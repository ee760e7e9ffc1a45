//! Bodies of deliveries: whatever they hold, the signed ones are kept once, and the others never.

use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock, Mutex},
};

use chrono::DateTime;
use suppressd::{
    clock::Clock,
    inbox::Inbox,
    intake::{
        Intake, Receipt,
        handshake::{Handshake, TokenVault},
        relevance::{Known, OurSources},
    },
    metrics::Metrics,
    model::entry::Door,
    notion::{
        payload::{self, Delivery},
        signature::{self, VerificationToken},
    },
    store::{Appended, Disposition, Exclusive, NewEvent, Rows, Seq, Store, StoreError},
};
use tokio::runtime::{Builder, Runtime};

/// Longer handshakes are not looked at.
const HANDSHAKE_BYTES_MAX: usize = 1024;

static TOKEN: LazyLock<VerificationToken> = LazyLock::new(|| VerificationToken::new("secret_of_the_fuzzer").unwrap());

/// One for all: to make the series takes longer than a check.
static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::default);

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().build().unwrap();
}

/// Delivers a body: signed, signed once more, not signed, and with the signature of another body.
pub fn webhook(body: &[u8]) {
    let read = payload::read(body);
    assert_eq!(format!("{:?}", payload::read(body)), format!("{read:?}"), "the same in, the same out");
    RUNTIME.with(|runtime| runtime.block_on(deliver(body, read)));
}

async fn deliver(body: &[u8], read: Delivery) {
    let tokens = std::slice::from_ref(&*TOKEN);
    if let Ok(text) = str::from_utf8(body) {
        assert!(!signature::verify(b"never signed", Some(text), tokens), "{text:?} signs what nobody signed");
    }
    let (store, intake) = door();
    let (signed, borrowed) = (signature::sign(body, &TOKEN), signature::sign(b"another body", &TOKEN));
    let ignored = Receipt::Handshake(Handshake::Ignored);
    let is_handshake = matches!(read, Delivery::Handshake(_));

    let stranger = if is_handshake && body.len() <= HANDSHAKE_BYTES_MAX { ignored } else { Receipt::Refused };
    assert_eq!(intake.receive(body, None, Door::Webhook).await, stranger);
    assert_eq!(intake.receive(body, Some(&borrowed), Door::Webhook).await, Receipt::Refused);
    assert_eq!(store.len(), 0, "what is not signed is not kept");

    let first = intake.receive(body, Some(&signed), Door::Webhook).await;
    let again = intake.receive(body, Some(&signed), Door::Webhook).await;
    if is_handshake {
        assert_eq!((first, again, store.len()), (ignored, ignored, 0));
        return;
    }
    assert_eq!((again, store.len()), (Receipt::Duplicate, 1), "kept once");
    let kept = store.0.lock().unwrap().pop().unwrap();
    assert_eq!(kept.body, body, "as it came");
    assert!((1..=200).contains(&kept.event_id.chars().count()) && kept.kind.chars().count() <= 100, "{kept:?}");
    match read {
        Delivery::Event(event) => {
            let expected = if kept.disposition == Disposition::Look { Receipt::Accepted } else { Receipt::Ignored };
            assert_eq!(first, expected);
            assert_eq!((&kept.event_id, kept.subject), (&event.id, event.subject));
            assert!(event.subject.is_some() || kept.disposition == Disposition::Ignore, "there is nothing to look at");
        }
        Delivery::Unreadable { id, why } => {
            assert_eq!((first, kept.disposition), (Receipt::Unreadable, Disposition::Unreadable));
            assert!(id.is_none_or(|id| id == kept.event_id));
            assert!(why.len() <= 100, "it repeats the body: {why}");
        }
        Delivery::Handshake(_) => {}
    }
}

/// The door to an inbox in memory, where the tables of the fixtures are ours.
fn door() -> (Memory, Intake<Memory>) {
    let (store, sources) = (Memory::default(), OurSources::default());
    sources.set(Known {
        data_sources: BTreeSet::from(["a87bf59b-0905-40be-b3d3-21c79ce97349".parse().unwrap()]),
        databases: BTreeSet::from(["530e8a8c-1f42-4b4a-b49b-741a02ba20ef".parse().unwrap()]),
        complete: true,
    });
    let clock = Clock::following_tokio(DateTime::UNIX_EPOCH);
    let vault = TokenVault::configured(vec![TOKEN.clone()]);
    (store.clone(), Intake::new(Inbox::new(store), vault, sources, clock, METRICS.clone()))
}

/// Keeps events and nothing else.
#[derive(Debug, Clone, Default)]
struct Memory(Arc<Mutex<Vec<NewEvent>>>);

impl Memory {
    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl Store for Memory {
    async fn append(&self, event: NewEvent) -> Result<Appended, StoreError> {
        let mut events = self.0.lock().unwrap();
        if events.iter().any(|other| other.event_id == event.event_id) {
            return Ok(Appended::Duplicate);
        }
        let disposition = event.disposition;
        events.push(event);
        Ok(if disposition == Disposition::Look { Appended::Waiting(Seq(1)) } else { Appended::Kept(Seq(1)) })
    }

    async fn write<T, F>(&self, _work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Rows) -> Result<T, StoreError> + Send + 'static,
    {
        Err(StoreError::Full)
    }

    async fn read<T, F>(&self, _question: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Rows) -> Result<T, StoreError> + Send + 'static,
    {
        Err(StoreError::Full)
    }

    fn read_blocking<T>(&self, _: impl FnOnce(&mut dyn Rows) -> Result<T, StoreError>) -> Result<T, StoreError> {
        Err(StoreError::Full)
    }

    async fn foreign_commits(&self) -> Result<i64, StoreError> {
        Ok(0)
    }

    fn exclusive(&self, _task: &str) -> Result<Option<Exclusive>, StoreError> {
        Ok(None)
    }

    fn is_taken(&self, _task: &str) -> Result<bool, StoreError> {
        Ok(false)
    }
}
