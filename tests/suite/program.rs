//! The real program, run as people run it: in a folder of its own, with the environment that a test gives it.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io::{BufRead as _, BufReader, Read},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Duration,
};

use serde_json::Value as Json;
use suppressd::simulator::Simulator;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::pipeline;

/// Longer than anything here takes; a test that waits for this has failed.
const PATIENCE: Duration = Duration::from_mins(2);

/// Where to find a file of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What a run said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    /// The exit status; `None` where a signal ended it.
    pub(crate) status: Option<i32>,
    /// Its stdout.
    pub(crate) out: String,
    /// Its stderr.
    pub(crate) err: String,
}

impl Said {
    /// Takes the only line of stdout as JSON.
    pub(crate) fn json(&self) -> Json {
        let mut lines = self.json_lines();
        assert_eq!(lines.len(), 1, "{self:?}");
        lines.remove(0)
    }

    /// Takes each line of stdout as JSON.
    pub(crate) fn json_lines(&self) -> Vec<Json> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Checks the exit status, and that stderr tells something.
    pub(crate) fn fails_with(&self, told: &str) {
        assert_eq!(self.status, Some(2), "{self:?}");
        assert!(self.err.contains(told), "{told:?} is missing: {self:?}");
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A folder with a database in it, for the program to be run in.
#[derive(Debug)]
pub(crate) struct Program {
    folder: Arc<TempDir>,
    environment: BTreeMap<String, String>,
}

impl Program {
    /// A folder without a database yet, and no settings but where that is.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("cache.db").display().to_string();
        // Folders that the program makes for itself are made where the test can see them.
        let temporary = folder.path().join("temporary");
        std::fs::create_dir(&temporary).unwrap();
        let environment = BTreeMap::from([
            ("SUPPRESSD_DB_PATH".to_owned(), database),
            ("TMPDIR".to_owned(), temporary.display().to_string()),
        ]);
        Self { folder: Arc::new(folder), environment }
    }

    /// The same folder and variables, for a run beside others.
    pub(crate) fn beside(other: &Self) -> Self {
        Self { folder: Arc::clone(&other.folder), environment: other.environment.clone() }
    }

    /// A folder whose database holds what the fixtures say.
    pub(crate) fn with_fixtures() -> Self {
        let program = Self::new();
        let replayed = program.replay(&repository("fixtures/events"));
        assert_eq!(replayed.status, Some(0), "{replayed:?}");
        program
    }

    /// The same with what it needs to ask a simulated Notion.
    pub(crate) fn with_notion(self, simulator: &Simulator) -> Self {
        self.and("NOTION_API_KEY", simulator.token())
            .and("NOTION_DATABASE_ID", simulator.workspace().database().to_string())
            .and("NOTION_BASE_URL", simulator.base_url())
    }

    /// The same with a variable more.
    pub(crate) fn and(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.insert(name.to_owned(), value.into());
        self
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The database file.
    pub(crate) fn database(&self) -> PathBuf {
        PathBuf::from(self.environment.get("SUPPRESSD_DB_PATH").unwrap())
    }

    /// Names in the folder for the program's own temporary files.
    pub(crate) fn temporary(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path("temporary")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// The command with some words, not yet run.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, words: &[S]) -> Command {
        let mut command = command(&self.environment, words);
        command.current_dir(self.folder());
        command
    }

    /// Runs it with some words to its end.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, words: &[S]) -> Said {
        self.command(words).stdin(Stdio::null()).output().unwrap().into()
    }

    /// Replays bodies over the recorded pages of the fixtures.
    pub(crate) fn replay(&self, bodies: &Path) -> Said {
        let pages = repository("fixtures/pages");
        self.run(&[Path::new("replay"), bodies, Path::new("--pages"), &pages, Path::new("--json")])
    }

    /// Runs SQL on the database, as any other program might.
    pub(crate) fn sql(&self, sql: &str) {
        pipeline::connect(&self.database()).execute_batch(sql).unwrap();
    }

    /// Asks the database for a number.
    pub(crate) fn number(&self, sql: &str) -> i64 {
        pipeline::connect(&self.database()).query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// Starts it with some words; its output is kept as it comes.
    pub(crate) fn start<S: AsRef<OsStr>>(&self, words: &[S]) -> Running {
        Running::of(self.command(words))
    }
}

/// The command with some words and only these variables, not yet run.
pub(crate) fn command<S: AsRef<OsStr>>(environment: &BTreeMap<String, String>, words: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_suppressd"));
    command.env_clear().envs(environment).args(words);
    command
}

fn keep(from: impl Read + Send + 'static, into: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let into = Arc::clone(into);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            into.lock().unwrap().push_str(&(line.unwrap() + "\n"));
        }
    })
}

/// Runs the program to its end while the test's own servers go on.
pub(crate) async fn run(program: &Program, words: &[&str]) -> Said {
    end(program.command(words)).await
}

/// Runs a command to its end while the test's own servers go on; one that does not end is killed, and has no status.
pub(crate) async fn end(mut command: Command) -> Said {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let out = tokio::task::spawn_blocking(move || read(&mut out));
    let err = tokio::task::spawn_blocking(move || read(&mut err));
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if began.elapsed() > PATIENCE {
            child.kill().unwrap();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    Said { status: status.code(), out: out.await.unwrap(), err: err.await.unwrap() }
}

fn read(from: &mut impl Read) -> String {
    let mut text = String::new();
    from.read_to_string(&mut text).unwrap();
    text
}

/// A run that goes on; it is killed where the test forgets it.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    /// Where it was told to listen, if it was told an address.
    listen: Option<SocketAddr>,
    said: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Running {
    /// Starts a command; its output is kept as it comes.
    pub(crate) fn of(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let out = keep(child.stdout.take().unwrap(), &said);
        let err = keep(child.stderr.take().unwrap(), &said);
        Self { child, listen: None, said, readers: vec![out, err] }
    }

    /// Starts a `serve` on free ports and waits until it serves.
    pub(crate) fn serve(environment: &BTreeMap<String, String>) -> Self {
        let running =
            Self::of(command(environment, &["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]));
        running.public();
        running
    }

    /// Starts a `serve` with a stderr that cannot be written, with much to log, on a port that was free just now.
    /// Whether it serves yet is not known: its log would say so.
    pub(crate) fn serve_unheard(environment: &BTreeMap<String, String>, stderr: Stdio) -> Self {
        let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let words = ["-vv", "serve", "--listen", &listen.to_string(), "--admin-listen", "127.0.0.1:0"];
        let child = command(environment, &words).stdin(Stdio::null()).stderr(stderr).spawn().unwrap();
        Self { child, listen: Some(listen), said: Arc::default(), readers: Vec::new() }
    }

    /// The id of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything that it has said by now.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits until it has said something.
    pub(crate) fn until(&self, told: &str) {
        until(told, || self.said().contains(told));
    }

    /// The address under which a `serve` receives webhooks.
    pub(crate) fn public(&self) -> SocketAddr {
        if let Some(listen) = self.listen {
            return listen;
        }
        self.until("/webhooks/notion");
        let said = self.said();
        let address = said.split("webhooks on http://").nth(1).unwrap().split('/').next().unwrap();
        address.parse().unwrap()
    }

    /// The address under which a `serve` answers questions.
    pub(crate) fn private(&self) -> SocketAddr {
        self.until("everything else on http://");
        let said = self.said();
        let address =
            said.split("everything else on http://").nth(1).unwrap().split(['/', ' ', '\n', ',']).next().unwrap();
        address.parse().unwrap()
    }

    /// The address of its webhook.
    pub(crate) fn webhook_url(&self) -> String {
        format!("http://{}/webhooks/notion", self.public())
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal, such as `INT`, as somebody at a terminal would.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end; the exit status is `None` where a signal ended it.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < PATIENCE, "it did not end: {}", self.said());
            pause();
        };
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        (status.code(), self.said())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _it_may_have_ended = self.child.kill();
        let _likewise = self.child.wait();
    }
}

/// Waits until something holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "it never came that {what}");
        pause();
    }
}

/// Leaves the others a moment.
#[expect(clippy::disallowed_methods, reason = "these tests have no tokio: they wait for other processes")]
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}
