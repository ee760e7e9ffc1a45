//! The store on SQLite, embedded: one connection writes, a few read.

mod carried;
mod census;
mod changes;
mod contents;
mod copy;
mod events;
mod evidence;
mod examine;
mod haste;
mod held;
mod history;
mod issues;
mod lines;
mod names;
mod open;
mod refreshes;
mod rows;
mod skips;
mod sources;
mod sweeps;
mod tally;
mod time;
mod writer;

use std::{
    error::Error as StdError,
    fs::{File, TryLockError},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use rusqlite::{CachedStatement, Connection};
use tokio::time::Instant;

pub use crate::store::sqlite::{
    carried::{Alone, TakenOver},
    copy::{Copied, Inspected},
    examine::Examination,
    lines::{Filling, LineError, View},
};
pub(crate) use crate::store::sqlite::{
    carried::{alone, make_ready, take_over},
    copy::{contents_of, inspect, into_wal, note, online, others_in, others_of_copy},
    lines::{KIND, write as write_lines},
};
use crate::store::{
    Appended, Exclusive, NewEvent, Rows, Store, StoreError,
    sqlite::{haste::Haste, writer::Writer},
};

/// Readers that stay open between questions.
const READERS_IDLE_MAX: usize = 8;

/// The number of a process is not longer than this.
const PROCESS_BYTES_MAX: u64 = 20;

/// A store in one SQLite file. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    /// Above the writer, so that they are closed before it: only who may write can bring the WAL home when it goes.
    readers: Mutex<Vec<Connection>>,
    haste: Haste,
    writer: Option<Writer>,
}

/// Row operations on one connection, within the transaction that is open on it.
pub(crate) struct SqliteRows<'c> {
    connection: &'c Connection,
    /// The statement that a thousand answers in a row ask: finding it again among all others costs as much as a tenth of
    /// an answer.
    held: Option<CachedStatement<'c>>,
}

impl<'c> SqliteRows<'c> {
    pub(crate) const fn new(connection: &'c Connection) -> Self {
        Self { connection, held: None }
    }
}

impl SqliteStore {
    /// Opens the file for reading and writing; makes it, or brings its schema up to date, where need be.
    ///
    /// More than `appends_max` appends that wait to be written are refused. Blocks on the disk.
    pub fn open(path: &Path, appends_max: usize, now: DateTime<Utc>) -> Result<Self, StoreError> {
        let writer = Writer::new(open::writer(path, now)?, path, appends_max)?;
        Ok(Self::over(path, Some(writer)))
    }

    /// Opens a file that is there, for reading only: every write is refused. Blocks on the disk.
    pub fn open_for_reading(path: &Path) -> Result<Self, StoreError> {
        let store = Self::over(path, None);
        store.give_back(store.new_reader()?);
        Ok(store)
    }

    /// Copies the cache and the events without their bodies to a new file at `path`, and opens that: whatever is done
    /// there leaves this store as it is. Nothing of it is synced. Blocks on the disk.
    pub fn copy_to(&self, path: &Path, now: DateTime<Utc>) -> Result<Self, StoreError> {
        let connection = open::copy(&self.shared.path, path, now)?;
        Ok(Self::over(path, Some(Writer::new(connection, path, 1)?)))
    }

    /// Names a file that need not be there, or may be damaged: for its locks. Nothing is opened.
    pub fn unopened(path: &Path) -> Self {
        Self::over(path, None)
    }

    /// Leaves it to somebody else to bring home what the WAL holds, as long as that is not too much.
    pub fn leave_checkpoints(&self) -> Result<(), StoreError> {
        self.writer()?.leave_checkpoints()
    }

    fn over(path: &Path, writer: Option<Writer>) -> Self {
        Self {
            shared: Arc::new(Shared {
                path: path.to_owned(),
                writer,
                readers: Mutex::default(),
                haste: Haste::default(),
            }),
        }
    }

    fn writer(&self) -> Result<&Writer, StoreError> {
        self.shared.writer.as_ref().ok_or_else(|| unavailable("writing", "it was opened for reading only"))
    }

    fn reader(&self) -> Result<Connection, StoreError> {
        self.idle_reader().map_or_else(|| self.new_reader(), Ok)
    }

    fn idle_reader(&self) -> Option<Connection> {
        self.shared.readers.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn new_reader(&self) -> Result<Connection, StoreError> {
        match self.shared.writer {
            Some(_) => open::reader(&self.shared.path),
            None => open::mapped_reader(&self.shared.path),
        }
    }

    fn give_back(&self, reader: Connection) {
        let mut readers = self.shared.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < READERS_IDLE_MAX {
            readers.push(reader);
        }
    }
}

impl Store for SqliteStore {
    async fn append(&self, event: NewEvent) -> Result<Appended, StoreError> {
        self.writer()?.append(event).await
    }

    async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Rows) -> Result<T, StoreError> + Send + 'static,
    {
        self.writer()?.write(work).await
    }

    async fn read<T, F>(&self, question: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut dyn Rows) -> Result<T, StoreError> + Send + 'static,
    {
        let store = self.clone();
        tokio::task::spawn_blocking(move || store.read_blocking(question))
            .await
            .unwrap_or_else(|died| Err(unavailable("reading", died)))
    }

    fn read_blocking<T>(&self, question: impl FnOnce(&mut dyn Rows) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let reader = self.reader()?;
        let answer = in_a_view(&reader, question)?;
        self.give_back(reader);
        answer
    }

    /// Reads from the pages in memory, or with few reads of the disk. Where somebody has locked the file it does not wait.
    fn read_briefly<T>(
        &self,
        question: impl Fn(&mut dyn Rows) -> Result<T, StoreError>,
    ) -> Option<Result<T, StoreError>> {
        let reader = self.shared.haste.is_fit().then(|| self.idle_reader()).flatten()?;
        reader.busy_timeout(Duration::ZERO).ok()?;
        let began = Instant::now();
        let answer = in_a_view(&reader, question).ok()?;
        self.shared.haste.note(began.elapsed());
        reader.busy_timeout(open::BUSY_TIMEOUT).ok()?;
        self.give_back(reader);
        match answer {
            // Whatever it is, whoever may wait finds out.
            Err(StoreError::Unavailable { .. }) => None,
            answer => Some(answer),
        }
    }

    async fn foreign_commits(&self) -> Result<i64, StoreError> {
        self.writer()?.write(|rows| rows.foreign_commits()).await
    }

    /// Locks a file beside the database: the system takes the lock from a process that dies, however it dies.
    fn exclusive(&self, task: &str) -> Result<Option<Exclusive>, StoreError> {
        Self::exclusive_at(&self.shared.path, task)
    }

    fn is_taken(&self, task: &str) -> Result<bool, StoreError> {
        // Those who only ask do not get into each other's way.
        Ok(!is_locked(lock_file(&self.shared.path, task)?.try_lock_shared())?)
    }
}

impl SqliteStore {
    /// As [`Store::exclusive`], for a file that cannot or must not be opened: the right goes by its name.
    pub fn exclusive_at(path: &Path, task: &str) -> Result<Option<Exclusive>, StoreError> {
        let mut file = lock_file(path, task)?;
        if !is_locked(file.try_lock())? {
            return Ok(None);
        }
        // For people who wonder who holds it.
        file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).map_err(unlockable)?;
        Ok(Some(Exclusive::held_by(file)))
    }

    /// Returns who has the right to do `task` on the file at `path`: its process, as far as it said so. Makes nothing.
    pub fn holder_at(path: &Path, task: &str) -> Result<Option<String>, StoreError> {
        let file = match File::open(lock_path(path, task)) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unlockable(error)),
        };
        if is_locked(file.try_lock_shared())? {
            return Ok(None);
        }
        let mut said = String::new();
        file.take(PROCESS_BYTES_MAX).read_to_string(&mut said).map_err(unlockable)?;
        Ok(Some(if said.chars().all(|c| c.is_ascii_digit()) { said } else { String::new() }))
    }
}

fn lock_path(path: &Path, task: &str) -> PathBuf {
    // One file has one lock, by whatever name it is opened.
    let path = std::fs::canonicalize(path).unwrap_or_else(|_unknown| path.to_owned());
    let mut name = path.into_os_string();
    name.push(format!(".{task}.lock"));
    name.into()
}

fn lock_file(path: &Path, task: &str) -> Result<File, StoreError> {
    File::options().create(true).truncate(false).write(true).open(lock_path(path, task)).map_err(unlockable)
}

/// Runs `question` over one consistent view of what `reader` reads.
fn in_a_view<T>(reader: &Connection, question: impl FnOnce(&mut dyn Rows) -> T) -> Result<T, StoreError> {
    let run = |sql| reader.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
    run("BEGIN").map_err(|e| unavailable("reading", e))?;
    let answer = question(&mut SqliteRows::new(reader));
    run("COMMIT").map_err(|e| unavailable("reading", e))?;
    Ok(answer)
}

fn is_locked(tried: Result<(), TryLockError>) -> Result<bool, StoreError> {
    match tried {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(e)) => Err(unlockable(e)),
    }
}

fn unlockable(error: std::io::Error) -> StoreError {
    unavailable("locking it", error)
}

/// Wraps what SQLite says.
pub(crate) fn unavailable(doing: &'static str, source: impl Into<Box<dyn StdError + Send + Sync>>) -> StoreError {
    StoreError::Unavailable { doing, source: source.into() }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use tempfile::TempDir;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::{
        model::{entry::Door, event::Subject, id::PageId},
        store::{Cutoffs, Delay, Disposition, EventFilter, EventState, Seq, StoredEvent},
    };

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn page(n: u128) -> Subject {
        Subject::Page(PageId::from_uuid(uuid::Uuid::from_u128(n)))
    }

    /// An event about page `n` that came at that second.
    fn event(id: &str, n: u128, second: i64) -> NewEvent {
        NewEvent {
            event_id: id.to_owned(),
            kind: "page.created".to_owned(),
            subject: Some(page(n)),
            occurred_at: at(second),
            received_at: at(second),
            door: Door::Webhook,
            disposition: Disposition::Look,
            body: b"{}".to_vec(),
        }
    }

    fn replayed(id: &str, n: u128, second: i64) -> NewEvent {
        NewEvent { door: Door::Replay, ..event(id, n, second) }
    }

    struct World {
        folder: TempDir,
        store: SqliteStore,
    }

    impl World {
        fn with(appends_max: usize) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = SqliteStore::open(&folder.path().join("cache.db"), appends_max, at(0)).unwrap();
            Self { folder, store }
        }

        fn new() -> Self {
            Self::with(100)
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("cache.db")
        }

        async fn rows<T: Send + 'static>(
            &self,
            work: impl FnOnce(&mut dyn Rows) -> Result<T, StoreError> + Send + 'static,
        ) -> T {
            self.store.write(work).await.unwrap()
        }

        async fn events(&self) -> Vec<StoredEvent> {
            let mut events = self.rows(|rows| rows.events(EventFilter::All, 1000)).await;
            events.reverse();
            events
        }

        async fn states(&self) -> Vec<(String, i64, EventState)> {
            self.events().await.into_iter().map(|event| (event.event_id, event.seq.0, event.state)).collect()
        }

        /// Opens the file as another program does.
        fn other(&self) -> Connection {
            other(&self.path())
        }
    }

    #[expect(clippy::disallowed_methods, reason = "another program does not open the file by our rules")]
    fn other(path: &Path) -> Connection {
        Connection::open(path).unwrap()
    }

    fn told(error: &dyn StdError) -> String {
        error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {}", told(source)))
    }

    #[tokio::test]
    async fn an_event_is_kept_once_and_a_replay_opens_it_again_at_a_new_place() {
        let World { store, .. } = &World::new();
        assert_eq!(store.append(event("a", 1, 0)).await.unwrap(), Appended::Waiting(Seq(1)));
        assert_eq!(store.append(event("b", 2, 0)).await.unwrap(), Appended::Waiting(Seq(2)));
        assert_eq!(store.append(event("a", 1, 9)).await.unwrap(), Appended::Duplicate);
        assert_eq!(store.append(replayed("a", 1, 9)).await.unwrap(), Appended::Reopened(Seq(3)));
        let ignored = NewEvent { disposition: Disposition::Ignore, ..event("c", 3, 0) };
        assert_eq!(store.append(ignored).await.unwrap(), Appended::Kept(Seq(4)));
    }

    /// A look began when the event stood at place 1; it was opened again before that look ended.
    #[tokio::test]
    async fn what_is_opened_again_during_a_look_is_not_settled_by_it() {
        let world = World::new();
        world.store.append(event("a", 1, 0)).await.unwrap();
        world.store.append(replayed("a", 1, 5)).await.unwrap();
        assert_eq!(world.rows(|rows| rows.settle(page(1), Seq(1))).await.len(), 0);
        assert_eq!(world.states().await, [("a".to_owned(), 2, EventState::Waiting)]);
        world.rows(|rows| rows.park(page(1), Seq(2), "why")).await;
        world.store.append(event("b", 1, 6)).await.unwrap();
        assert_eq!(world.rows(|rows| rows.unpark(None)).await, 1);
        assert_eq!(world.rows(|rows| rows.settle(page(1), Seq(3))).await.len(), 1);
        let states = [("b".to_owned(), 3, EventState::Settled), ("a".to_owned(), 4, EventState::Waiting)];
        assert_eq!(world.states().await, states);
    }

    #[tokio::test]
    async fn a_page_is_looked_at_if_known_when_it_is_stored_or_waits() {
        let World { store, .. } = &World::new();
        let moved = |id: &str, n| NewEvent { disposition: Disposition::LookIfKnown, ..event(id, n, 0) };
        assert_eq!(store.append(moved("a", 1)).await.unwrap(), Appended::Kept(Seq(1)));
        store.append(event("b", 1, 0)).await.unwrap();
        assert_eq!(store.append(moved("c", 1)).await.unwrap(), Appended::Waiting(Seq(3)));
    }

    #[tokio::test]
    async fn a_new_event_makes_its_subject_due_and_an_old_failure_alone_does_not() {
        let world = World::new();
        world.store.append(event("a", 1, 0)).await.unwrap();
        let delay = Delay { due_at: at(60), attempts: 4, reason: "503".to_owned() };
        world.rows(move |rows| rows.put_off(page(1), Seq(1), &delay)).await;
        let waiting = world.rows(|rows| rows.waiting(9)).await;
        assert_eq!((waiting[0].due_at, waiting[0].attempts), (Some(at(60)), 4));
        world.store.append(event("b", 1, 1)).await.unwrap();
        let waiting = world.rows(|rows| rows.waiting(9)).await;
        assert_eq!((waiting[0].due_at, waiting[0].attempts, waiting[0].through), (None, 0, Seq(2)));
    }

    #[tokio::test]
    async fn a_brief_read_is_done_here_only_where_nobody_has_to_be_waited_for() {
        let world = World::new();
        let brief = |store: &SqliteStore| store.read_briefly(|rows| rows.tally());
        assert!(brief(&world.store).is_none(), "no connection is open that could be asked");
        world.store.read(|rows| rows.tally()).await.unwrap();
        assert!(brief(&world.store).unwrap().is_ok());
        world.store.append(event("a", 1, 0)).await.unwrap();
        let tally = brief(&world.store).unwrap().unwrap();
        assert_eq!(tally.subjects_waiting, 1, "it sees what was committed before");
        world.store.shared.haste.note(Duration::from_secs(1));
        assert!(brief(&world.store).is_none(), "the disk is slow");
    }

    #[tokio::test]
    async fn events_of_one_page_are_found_however_far_apart_they_stand() {
        let world = World::new();
        world.store.append(event("a", 1, 0)).await.unwrap();
        let others = "INSERT INTO suppressd_inbox (seq, event_id, kind, occurred_at, received_at, door, state) \
                      VALUES (1000, 'x', 'page.created', 0, 0, 'webhook', 'settled')";
        world.other().execute(others, []).unwrap();
        assert_eq!(world.store.append(event("b", 2, 1)).await.unwrap(), Appended::Waiting(Seq(1001)));
        world.store.append(event("c", 1, 2)).await.unwrap();
        assert_eq!(world.rows(|rows| rows.newest_waiting(page(1))).await.unwrap().event_id, "c");
        assert_eq!(world.rows(|rows| rows.settle(page(1), Seq(1002))).await.len(), 2);
        assert_eq!(world.rows(|rows| rows.newest_waiting(page(1))).await, None);
        assert_eq!(world.rows(|rows| rows.settle(page(2), Seq(1002))).await.len(), 1);
    }

    #[tokio::test]
    async fn a_deletion_counts_only_where_nothing_of_the_same_instant_contradicts_it() {
        let world = World::new();
        for (id, kind, second) in [("a", "page.created", 1), ("b", "page.deleted", 5), ("c", "page.undeleted", 5)] {
            world.store.append(NewEvent { kind: kind.to_owned(), ..event(id, 1, second) }).await.unwrap();
        }
        assert_eq!(world.rows(|rows| rows.newest_waiting(page(1))).await.unwrap().event_id, "c");
    }

    #[tokio::test]
    async fn work_that_fails_or_panics_undoes_only_itself() {
        let world = World::new();
        let tasks = TaskTracker::new();
        let (good, bad, worse) = (world.store.clone(), world.store.clone(), world.store.clone());
        let good = tasks.spawn(async move { good.write(|rows| rows.put_fact("good", "1")).await });
        let bad = tasks.spawn(async move {
            bad.write(|rows| {
                rows.put_fact("bad", "1")?;
                Err::<(), _>(unavailable("testing", "it fails"))
            })
            .await
        });
        let worse = tasks.spawn(async move {
            worse
                .write(|rows| {
                    rows.put_fact("worse", "1")?;
                    panic!("a bug");
                    #[expect(unreachable_code, reason = "it says what the closure returns")]
                    Ok(())
                })
                .await
        });
        good.await.unwrap().unwrap();
        assert!(told(&bad.await.unwrap().unwrap_err()).contains("it fails"));
        assert!(told(&worse.await.unwrap().unwrap_err()).contains("panicked"));
        let facts = world.rows(|rows| Ok([rows.fact("good")?, rows.fact("bad")?, rows.fact("worse")?])).await;
        assert_eq!(facts, [Some("1".to_owned()), None, None]);
    }

    #[tokio::test]
    async fn more_than_may_wait_is_refused_at_once_and_the_rest_is_kept() {
        let world = World::with(3);
        let holds_up = world.other();
        holds_up.execute_batch("BEGIN IMMEDIATE").unwrap();
        let tasks = TaskTracker::new();
        let append = |n: usize| {
            let store = world.store.clone();
            tasks.spawn(async move { store.append(event(&n.to_string(), 1, 0)).await })
        };
        // The first one is taken by the writer, which waits for the lock; three more wait behind it.
        let mut accepted = vec![append(0)];
        tokio::time::sleep(Duration::from_millis(200)).await;
        accepted.extend((1..=3).map(append));
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(matches!(append(4).await.unwrap(), Err(StoreError::Full)));
        holds_up.execute_batch("ROLLBACK").unwrap();
        for append in accepted {
            assert!(matches!(append.await.unwrap(), Ok(Appended::Waiting(_))));
        }
        assert_eq!(world.events().await.len(), 4);
    }

    /// The disk is full after a few pages: SQLite undoes everything, and nobody is told otherwise.
    #[tokio::test]
    async fn who_is_told_that_an_event_is_durable_finds_it_in_the_file() {
        let world = World::new();
        let pages: i64 = world.other().query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        let connection = open::writer(&world.path(), at(0)).unwrap();
        connection.query_row(&format!("PRAGMA max_page_count = {}", pages + 20), [], |_| Ok(())).unwrap();
        let store = SqliteStore::over(&world.path(), Some(Writer::new(connection, &world.path(), 1000).unwrap()));
        let tasks = TaskTracker::new();
        let appends: Vec<_> = (0..400)
            .map(|n| {
                let store = store.clone();
                let event = NewEvent { body: vec![b' '; 1000], ..event(&n.to_string(), n, 0) };
                tasks.spawn(async move { (event.event_id.clone(), store.append(event).await.is_ok()) })
            })
            .collect();
        let mut durable = Vec::new();
        for append in appends {
            let (id, is_durable) = append.await.unwrap();
            durable.extend(is_durable.then_some(id));
        }
        let other = world.other();
        let kept = |id: &String| {
            let sql = "SELECT EXISTS (SELECT 1 FROM suppressd_inbox WHERE event_id = ?1)";
            other.query_row(sql, [id], |row| row.get::<_, bool>(0)).unwrap()
        };
        assert!(durable.len() < 400, "the disk was full");
        assert!(store.append(event("0", 0, 0)).await.is_ok(), "who sends again is told what is so");
        assert!(durable.iter().all(kept), "{durable:?}");
    }

    #[tokio::test]
    async fn nothing_is_durable_in_a_file_that_was_removed_or_replaced() {
        let world = World::new();
        world.store.append(event("e1", 1, 1)).await.unwrap();
        std::fs::rename(world.path(), world.folder.path().join("away.db")).unwrap();
        assert!(world.store.append(event("e2", 1, 2)).await.is_err(), "removed");
        std::fs::write(world.path(), b"").unwrap();
        let refused = world.store.append(event("e3", 1, 3)).await.unwrap_err();
        assert!(
            std::error::Error::source(&refused).unwrap().to_string().contains("removed or replaced"),
            "{refused:?}"
        );
        std::fs::rename(world.folder.path().join("away.db"), world.path()).unwrap();
        world.store.append(event("e4", 1, 4)).await.unwrap();
        let kept = world.store.read(|rows| rows.events(EventFilter::All, 9)).await.unwrap();
        assert_eq!(kept.iter().map(|event| event.event_id.as_str()).collect::<Vec<_>>(), ["e4", "e1"]);
    }

    #[tokio::test]
    async fn whatever_another_program_left_in_a_row_it_can_be_read_and_replaced() {
        let world = World::new();
        other(&world.path())
            .execute_batch(
                "INSERT INTO suppression_cache (canonical_key, notion_page_id, status, company_name, cached_at, expires_at, \
                 metadata) VALUES ('domain:acme.com', x'00ff', 7.5, x'ff', 1, x'00', '[[[')",
            )
            .unwrap();
        let key = crate::model::key::Key::try_from("domain:acme.com".to_owned()).unwrap();
        let row = world.rows(move |rows| rows.entry(&key)).await;
        assert!(matches!(row, Some(crate::store::Published::Foreign { expires_at: None, .. })), "{row:?}");
    }

    #[tokio::test]
    async fn a_reader_cannot_write_and_a_store_for_reading_has_no_writer() {
        let world = World::new();
        let refused = world.store.read(|rows| rows.put_fact("a", "1")).await.unwrap_err();
        assert!(told(&refused).contains("readonly"), "{}", told(&refused));
        assert_eq!(world.store.read(|rows| rows.fact("a")).await.unwrap(), None);
        let reading = SqliteStore::open_for_reading(&world.path()).unwrap();
        assert!(told(&reading.write(|rows| rows.put_fact("a", "1")).await.unwrap_err()).contains("reading only"));
        assert!(reading.append(event("a", 1, 0)).await.is_err());
    }

    #[test]
    fn a_file_that_is_not_ours_or_too_new_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let open = |name: &str, sql: &str| {
            let path = folder.path().join(name);
            other(&path).execute_batch(sql).unwrap();
            let before = std::fs::read(&path).unwrap();
            let error = SqliteStore::open(&path, 1, at(0)).unwrap_err();
            assert_eq!(std::fs::read(&path).unwrap(), before, "{name}");
            assert!(SqliteStore::open_for_reading(&path).is_err());
            error
        };
        let error = open("foreign", "CREATE TABLE suppression_cache (canonical_key TEXT UNIQUE)");
        assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
        let columns = "notion_page_id, status, company_name, cached_at, expires_at, metadata";
        let error = open("ambiguous", &format!("CREATE TABLE suppression_cache (id, canonical_key, {columns})"));
        assert!(error.to_string().contains("not unique"), "{error}");
        let newer = "PRAGMA journal_mode = wal; CREATE TABLE suppressd_migrations (version, name, applied_at); \
                     INSERT INTO suppressd_migrations VALUES (99, 'later', '')";
        assert!(matches!(open("newer", newer), StoreError::Newer { found: 99, .. }));
        std::fs::write(folder.path().join("text"), "this is not a database at all, it is text".repeat(100)).unwrap();
        SqliteStore::open(&folder.path().join("text"), 1, at(0)).unwrap_err();
        assert!(matches!(
            SqliteStore::open_for_reading(&folder.path().join("nowhere")),
            Err(StoreError::Unavailable { .. })
        ));
    }

    #[tokio::test]
    async fn a_file_that_another_program_keeps_from_wal_is_worked_in_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signals.db");
        let pipeline = other(&path);
        pipeline.execute_batch("CREATE TABLE signals (id); BEGIN; SELECT * FROM signals").unwrap();
        let opening = path.clone();
        let store = tokio::task::spawn_blocking(move || SqliteStore::open(&opening, 9, at(0)));
        // It waits for the reader to end before it can make its tables.
        tokio::time::sleep(Duration::from_secs(6)).await;
        pipeline.execute_batch("COMMIT").unwrap();
        let store = store.await.unwrap().unwrap();
        assert_eq!(store.append(event("a", 1, 0)).await.unwrap(), Appended::Waiting(Seq(1)));
        pipeline.execute_batch("INSERT INTO signals VALUES (1)").unwrap();
    }

    #[tokio::test]
    async fn commits_of_others_are_noticed_and_own_ones_are_not() {
        let world = World::new();
        let before = world.store.foreign_commits().await.unwrap();
        world.store.append(event("a", 1, 0)).await.unwrap();
        assert_eq!(world.store.foreign_commits().await.unwrap(), before);
        world.other().execute_batch("UPDATE suppressd_inbox SET state = 'parked'").unwrap();
        assert_ne!(world.store.foreign_commits().await.unwrap(), before);
    }

    #[test]
    fn one_file_has_one_holder_by_whatever_name() {
        let world = World::new();
        let link = world.folder.path().join("link.db");
        std::os::unix::fs::symlink(world.path(), &link).unwrap();
        let linked = SqliteStore::open(&link, 9, at(0)).unwrap();
        let right = world.store.exclusive("worker").unwrap();
        assert!(right.is_some());
        assert!(world.store.exclusive("worker").unwrap().is_none());
        assert!(linked.exclusive("worker").unwrap().is_none());
        assert!(linked.exclusive("sweep").unwrap().is_some());
        drop(right);
        assert!(linked.exclusive("worker").unwrap().is_some());
    }

    #[test]
    fn many_that_open_a_new_file_at_once_all_can() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache.db");
        let opened = std::thread::scope(|scope| {
            let open = || scope.spawn(|| SqliteStore::open(&path, 9, at(0)).map_err(|error| told(&error)));
            let opening: Vec<_> = (0..6).map(|_| open()).collect();
            opening.into_iter().map(|open| open.join().unwrap().err()).collect::<Vec<_>>()
        });
        assert_eq!(opened, vec![None; 6]);
    }

    fn cutoffs(events: i64, bodies: i64) -> Cutoffs {
        Cutoffs { bodies_before: at(bodies), events_before: at(events), changes_before: at(0), sweeps_before: at(0) }
    }

    #[tokio::test]
    async fn only_what_is_old_and_done_is_forgotten_step_by_step() {
        let world = World::new();
        for n in 1..=8_u8 {
            world.store.append(event(&n.to_string(), n.into(), n.into())).await.unwrap();
        }
        world.rows(|rows| rows.park(page(1), Seq(1), "why")).await;
        for n in 3..=8 {
            world.rows(move |rows| rows.settle(page(n), Seq(8))).await;
        }
        let mut steps = 0;
        while world.rows(|rows| rows.prune(&cutoffs(5, 7), 2)).await > 0 {
            steps += 1;
        }
        assert!(steps >= 2, "{steps} steps of two rows");
        let ids: Vec<_> = world.events().await.into_iter().map(|event| event.event_id).collect();
        assert_eq!(ids, ["1", "2", "5", "6", "7", "8"], "1 is parked, 2 waits");
        let bodies = world.rows(|rows| rows.bodies(Seq(0), 99)).await;
        let bodies: Vec<_> = bodies.into_iter().map(|(seq, _)| seq.0).collect();
        assert_eq!(bodies, [1, 2, 7, 8]);
        while world.rows(|rows| rows.prune(&cutoffs(99, 99), 2)).await > 0 {}
        let ids: Vec<_> = world.events().await.into_iter().map(|event| event.event_id).collect();
        assert_eq!(ids, ["1", "2", "8"], "the newest place is never given again");
        assert_eq!(world.store.append(event("9", 9, 99)).await.unwrap(), Appended::Waiting(Seq(9)));
    }

    /// An old event that waits once more stands behind younger ones, whose bodies are kept for their full time.
    #[tokio::test]
    async fn an_old_event_at_a_new_place_takes_no_younger_body_along() {
        let world = World::new();
        for (n, second) in [(1, 1), (2, 2), (3, 50)] {
            world.store.append(event(&n.to_string(), n, second)).await.unwrap();
        }
        world.rows(|rows| rows.park(page(1), Seq(1), "why")).await;
        world.rows(|rows| rows.unpark(Some("1"))).await;
        for n in 1..=3 {
            world.rows(move |rows| rows.settle(page(n), Seq(9))).await;
        }
        while world.rows(|rows| rows.prune(&cutoffs(0, 10), 9)).await > 0 {}
        let bodies = world.rows(|rows| rows.bodies(Seq(0), 99)).await;
        assert_eq!(bodies.into_iter().map(|(seq, _)| seq.0).collect::<Vec<_>>(), [3, 4]);
    }
}
