//! The real store, on a disk that takes its time and sometimes refuses, watched at every commit.
//!
//! A commit is waited for on the spot, so that no thread of the store decides what comes first: the seed does, by the
//! time that is slept before and after. Whoever is killed meanwhile has written nothing, or was never told.

use std::{
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::Thread,
    time::Duration,
};

use fastrand::Rng;
use suppressd::store::{Appended, Exclusive, NewEvent, Rows, Store, StoreError, sqlite::SqliteStore};
use tokio::task::unconstrained;

/// A store of one process.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    inner: SqliteStore,
    weather: Arc<Weather>,
    /// Shared by all clones: while another one is there, the process is not quite dead.
    life: Arc<()>,
}

/// How the disk behaves; it outlives the process.
#[derive(Debug)]
pub(crate) struct Weather {
    rng: Mutex<Rng>,
    /// How many of a hundred operations are refused.
    refusals: AtomicU8,
    observer: crate::simulation::observer::Watch,
}

impl Weather {
    pub(crate) fn new(seed: u64, observer: crate::simulation::observer::Watch) -> Self {
        Self { rng: Mutex::new(Rng::with_seed(seed)), refusals: AtomicU8::new(0), observer }
    }

    /// Lets so many of a hundred operations fail from now on.
    pub(crate) fn refuse(&self, percent: u8) {
        self.refusals.store(percent, Ordering::Relaxed);
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut Rng) -> T) -> T {
        draw(&mut self.rng.lock().unwrap())
    }
}

impl Disk {
    pub(crate) fn new(inner: SqliteStore, weather: Arc<Weather>) -> Self {
        Self { inner, weather, life: Arc::default() }
    }

    /// How many handles there are, this one among them.
    pub(crate) fn handles(&self) -> usize {
        Arc::strong_count(&self.life)
    }

    async fn wait(&self) {
        match self.weather.draw(|rng| rng.u8(..10)) {
            0..6 => (),
            6..9 => tokio::task::yield_now().await,
            _ => tokio::time::sleep(Duration::from_millis(self.weather.draw(|rng| rng.u64(1..40)))).await,
        }
    }

    async fn admit(&self) -> Result<(), StoreError> {
        self.wait().await;
        let percent = self.weather.refusals.load(Ordering::Relaxed);
        if percent > 0 && self.weather.draw(|rng| rng.u8(..100)) < percent { Err(StoreError::Full) } else { Ok(()) }
    }
}

impl Store for Disk {
    async fn append(&self, event: NewEvent) -> Result<Appended, StoreError> {
        self.admit().await?;
        let appended = on_the_spot(self.inner.append(event));
        self.wait().await;
        appended
    }

    async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Rows) -> Result<T, StoreError> + Send + 'static,
    {
        self.admit().await?;
        let written = on_the_spot(self.inner.write(work));
        self.weather.observer.look();
        self.wait().await;
        written
    }

    async fn read<T, F>(&self, question: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Rows) -> Result<T, StoreError> + Send + 'static,
    {
        self.admit().await?;
        let answer = self.inner.read_blocking(question);
        self.wait().await;
        answer
    }

    fn read_blocking<T>(&self, question: impl FnOnce(&mut dyn Rows) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.inner.read_blocking(question)
    }

    async fn foreign_commits(&self) -> Result<i64, StoreError> {
        on_the_spot(self.inner.foreign_commits())
    }

    fn exclusive(&self, task: &str) -> Result<Option<Exclusive>, StoreError> {
        self.inner.exclusive(task)
    }

    fn is_taken(&self, task: &str) -> Result<bool, StoreError> {
        self.inner.is_taken(task)
    }
}

/// Waits for `work` while nothing else of the runtime goes on.
fn on_the_spot<T>(work: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    // The runtime would otherwise ask for a pause that nobody here can grant.
    let mut work = pin!(unconstrained(work));
    loop {
        match work.as_mut().poll(&mut context) {
            Poll::Ready(done) => return done,
            Poll::Pending => std::thread::park(),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
