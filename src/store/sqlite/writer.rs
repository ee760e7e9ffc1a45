//! The one writer: everything that waits shares a transaction and its sync (group commit).
//!
//! Appends and other work are put into a mailbox. Whoever finds the writer idle starts it; it empties the mailbox,
//! commits, answers, and goes on until nothing waits. What arrives while it commits shares the next commit, so the
//! number of syncs falls as the load rises. Nobody is answered before the commit that holds his row has returned.

use std::{
    collections::VecDeque,
    fs, io,
    os::unix::fs::MetadataExt as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::store::{
    Appended, NewEvent, Rows, StoreError,
    sqlite::{SqliteRows, events, unavailable},
};

/// Appends that one commit takes at most, so that no delivery waits long for the others.
const APPENDS_PER_COMMIT: usize = 512;

/// Pieces of other work between two turns of the appends, so that a sweep does not hold up the intake.
const WORKS_PER_COMMIT: usize = 16;

/// Where Litestream copies the WAL, it also brings it home, at 500 MB at the latest. A checkpoint of ours between two of its
/// looks would cost it a new snapshot. Beyond 1 GiB it does not run, and the disk must not fill up.
const CHECKPOINTS_LEFT: &str = "PRAGMA wal_autocheckpoint = 262144";

/// The handle on the writer. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    mailbox: Mutex<Mailbox>,
    connection: Mutex<Connection>,
    file: OpenFile,
    appends_max: usize,
}

/// The file that the connection has open. Somebody may delete it or put another in its place; what is then committed
/// is in no file that anybody will ever open again.
#[derive(Debug)]
struct OpenFile {
    path: PathBuf,
    identity: (u64, u64),
}

/// Why a batch was not committed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("{} was removed or replaced while it was open: put it back, or restart suppressd", .0.display())]
    Gone(PathBuf),
}

impl OpenFile {
    fn of(path: &Path) -> Result<Self, StoreError> {
        let identity = identity(path).map_err(|e| unavailable("looking at its file", e))?;
        Ok(Self { path: path.to_owned(), identity })
    }

    fn is_still_there(&self) -> Result<(), Failure> {
        match identity(&self.path) {
            Ok(identity) if identity == self.identity => Ok(()),
            _ => Err(Failure::Gone(self.path.clone())),
        }
    }
}

/// Returns what makes a file that file: its device and number there.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

#[derive(Default)]
struct Mailbox {
    appends: VecDeque<Append>,
    works: VecDeque<Box<dyn Work>>,
    busy: bool,
}

impl std::fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailbox")
            .field("appends", &self.appends.len())
            .field("works", &self.works.len())
            .field("busy", &self.busy)
            .finish()
    }
}

/// What one commit takes.
struct Batch {
    appends: Vec<Append>,
    works: Vec<Box<dyn Work>>,
}

struct Append {
    event: NewEvent,
    reply: oneshot::Sender<Result<Appended, StoreError>>,
}

/// A piece of work whose type the writer need not know.
trait Work: Send {
    /// Does it; `false` where its changes are to be undone.
    fn run(&mut self, rows: &mut dyn Rows) -> bool;
    /// Answers, once it is known whether the commit held.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Task<T, F> {
    work: Option<F>,
    outcome: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl Writer {
    /// Makes `connection`, which has `path` open, the one that writes. More than `appends_max` waiting appends are refused.
    pub(crate) fn new(connection: Connection, path: &Path, appends_max: usize) -> Result<Self, StoreError> {
        let (file, connection) = (OpenFile::of(path)?, Mutex::new(connection));
        let shared = Shared { mailbox: Mutex::default(), connection, file, appends_max };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Leaves the checkpoints to somebody else, until the WAL is larger than he lets it become.
    pub(crate) fn leave_checkpoints(&self) -> Result<(), StoreError> {
        let connection = lock(&self.shared.connection);
        connection.execute_batch(CHECKPOINTS_LEFT).map_err(|e| unavailable("setting it up", e))
    }

    /// Appends an event; returns once it is synced, at once where too many wait.
    pub(crate) async fn append(&self, event: NewEvent) -> Result<Appended, StoreError> {
        let (reply, answer) = oneshot::channel();
        {
            let mut mailbox = lock(&self.shared.mailbox);
            if mailbox.appends.len() >= self.shared.appends_max {
                return Err(StoreError::Full);
            }
            mailbox.appends.push_back(Append { event, reply });
            self.start(&mut mailbox);
        }
        answer.await.unwrap_or_else(|died| Err(unavailable("writing", died)))
    }

    /// Runs `work` within a transaction; returns once it is synced or undone.
    pub(crate) async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Rows) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        {
            let mut mailbox = lock(&self.shared.mailbox);
            mailbox.works.push_back(Box::new(Task { work: Some(work), outcome: None, reply }));
            self.start(&mut mailbox);
        }
        answer.await.unwrap_or_else(|died| Err(unavailable("writing", died)))
    }

    fn start(&self, mailbox: &mut Mailbox) {
        if !mailbox.busy {
            mailbox.busy = true;
            let shared = Arc::clone(&self.shared);
            drop(tokio::task::spawn_blocking(move || shared.empty_mailbox()));
        }
    }
}

impl Shared {
    /// Commits batch after batch until nothing waits.
    fn empty_mailbox(&self) {
        let mut connection = lock(&self.connection);
        while let Some(batch) = self.take() {
            // Panics of the work are caught where it runs. One of our own must not leave the mailbox marked as busy for
            // ever; whoever waits for this batch hears of it from his sender, which is dropped with the batch.
            let panicked = catch_unwind(AssertUnwindSafe(|| commit(&mut connection, &self.file, batch))).is_err();
            if panicked && !connection.is_autocommit() {
                drop(connection.execute_batch("ROLLBACK"));
            }
        }
    }

    fn take(&self) -> Option<Batch> {
        let mut mailbox = lock(&self.mailbox);
        let appends = mailbox.appends.len().min(APPENDS_PER_COMMIT);
        let works = mailbox.works.len().min(WORKS_PER_COMMIT);
        if appends == 0 && works == 0 {
            mailbox.busy = false;
            return None;
        }
        Some(Batch {
            appends: mailbox.appends.drain(..appends).collect(),
            works: mailbox.works.drain(..works).collect(),
        })
    }
}

/// Does one batch in one transaction, then tells everybody what became of his part.
fn commit(connection: &mut Connection, file: &OpenFile, batch: Batch) {
    let Batch { appends, mut works } = batch;
    let mut appended = Vec::with_capacity(appends.len());
    let written = begin(connection).and_then(|()| {
        for append in &appends {
            appended.push(events::append(connection, &append.event));
            // A full disk makes SQLite undo everything. What followed would be committed one by one, and nobody told.
            if connection.is_autocommit() {
                return connection.execute_batch("COMMIT");
            }
        }
        works.iter_mut().try_for_each(|work| in_savepoint(connection, work.as_mut()))
    });
    let committed = written
        .map_err(Failure::from)
        .and_then(|()| file.is_still_there())
        .and_then(|()| connection.execute_batch("COMMIT").map_err(Failure::from));
    let failed = committed.err().map(Arc::new);
    if failed.is_some() && !connection.is_autocommit() {
        // A failed roll-back leaves the transaction open; the next `BEGIN` then fails and says so.
        drop(connection.execute_batch("ROLLBACK"));
    }
    let verdict = || failed.as_ref().map_or(Ok(()), |e| Err(unavailable("committing", Arc::clone(e))));
    let unwritten = || Err(unavailable("writing", "the append was never made"));
    let outcomes = appended.into_iter().map(Some).chain(std::iter::repeat_with(|| None));
    for (append, done) in appends.into_iter().zip(outcomes) {
        // Nobody waits for the answer any more where the delivery was hung up; the event is kept all the same.
        drop(append.reply.send(verdict().and_then(|()| done.unwrap_or_else(unwritten))));
    }
    for work in works {
        work.answer(verdict());
    }
}

fn begin(connection: &Connection) -> rusqlite::Result<()> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([]).map(drop)
}

/// Runs one piece of work so that its failure, or its panic, undoes only its own changes.
fn in_savepoint(connection: &Connection, work: &mut dyn Work) -> rusqlite::Result<()> {
    connection.prepare_cached("SAVEPOINT work")?.execute([])?;
    let mut rows = SqliteRows::new(connection);
    let keep = catch_unwind(AssertUnwindSafe(|| work.run(&mut rows))).unwrap_or(false);
    if !keep {
        connection.prepare_cached("ROLLBACK TO work")?.execute([])?;
    }
    connection.prepare_cached("RELEASE work")?.execute([])?;
    Ok(())
}

impl<T: Send, F: FnOnce(&mut dyn Rows) -> Result<T, StoreError> + Send> Work for Task<T, F> {
    fn run(&mut self, rows: &mut dyn Rows) -> bool {
        self.outcome = self.work.take().map(|work| work(rows));
        matches!(self.outcome, Some(Ok(_)))
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let panicked = || Err(unavailable("writing", "the work panicked; this is a bug of suppressd"));
        let answer = match (self.outcome, committed) {
            (Some(Err(own)), _) => Err(own),
            (_, Err(error)) => Err(error),
            (outcome, Ok(())) => outcome.unwrap_or_else(panicked),
        };
        // As above: who no longer waits need not be told.
        drop(self.reply.send(answer));
    }
}

/// A panic while the lock was held was caught within one batch, which leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
