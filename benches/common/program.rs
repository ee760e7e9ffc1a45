//! The real program in processes of its own, and what they occupy.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::time::Instant;

/// Longer than any step here takes.
const PATIENCE: Duration = Duration::from_mins(10);

/// The program with its settings.
pub(crate) struct Program {
    environment: BTreeMap<&'static str, String>,
}

impl Program {
    /// One that asks this Notion, and keeps its cache in this file; with `more` variables.
    pub(crate) fn new(
        notion: (&str, &str),
        source: (&'static str, &str),
        database: &Path,
        more: &[(&'static str, &str)],
    ) -> Self {
        let (base_url, token) = notion;
        let mut environment = BTreeMap::from([
            ("NOTION_BASE_URL", base_url.to_owned()),
            ("NOTION_API_KEY", token.to_owned()),
            (source.0, source.1.to_owned()),
            ("NOTION_REQUESTS_PER_MINUTE", "6000".to_owned()),
            ("SUPPRESSD_DB_PATH", database.display().to_string()),
            ("SUPPRESSD_LOG", "warn".to_owned()),
        ]);
        environment.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        Self { environment }
    }

    /// Runs a command to its end, which must be a good one, and returns what it printed.
    pub(crate) fn run(&self, words: &[&str]) -> String {
        let output = self.command(words).stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "{words:?} ended with {:?}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts `serve` on free ports.
    pub(crate) fn serve(&self) -> Serving {
        let [public, private] = [free(), free()];
        let words = ["serve", "--listen", &public.to_string(), "--admin-listen", &private.to_string()];
        let begun = Instant::now();
        let child = self.command(&words).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        Serving { child, public, private, begun }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_suppressd"));
        command.env_clear().envs(&self.environment).args(words);
        command
    }
}

fn free() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap()
}

/// A running `serve`; it ends with this.
pub(crate) struct Serving {
    child: Child,
    pub(crate) public: SocketAddr,
    pub(crate) private: SocketAddr,
    begun: Instant,
}

impl Serving {
    /// Waits until it says that every part is ready and the public door answers too; returns how long that took from its
    /// start.
    pub(crate) fn until_ready(&mut self) -> Duration {
        loop {
            let is_well = |answer: Option<String>| answer.is_some_and(|answer| answer.starts_with("HTTP/1.1 200"));
            if is_well(get(self.public, "/healthz")) && is_well(self.get("/readyz")) {
                return self.begun.elapsed();
            }
            assert!(self.child.try_wait().unwrap().is_none(), "it ended by itself");
            assert!(self.begun.elapsed() < PATIENCE, "it never was ready");
            pause(Duration::from_millis(1));
        }
    }

    /// Asks the private door; `None` where nobody answers.
    pub(crate) fn get(&self, path: &str) -> Option<String> {
        get(self.private, path)
    }

    /// Returns what it occupies now.
    pub(crate) fn occupies(&self) -> Occupied {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().unwrap()
        };
        let handles = fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count();
        Occupied { resident: kib("VmRSS"), own: kib("RssAnon"), peak: kib("VmHWM"), handles }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Asks a door; `None` where nobody answers.
pub(crate) fn get(door: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(door).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// What a process occupies, in KiB, and its file handles.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Occupied {
    pub(crate) resident: u64,
    pub(crate) own: u64,
    pub(crate) peak: u64,
    pub(crate) handles: usize,
}

/// Leaves the processor to others for a while.
#[expect(clippy::disallowed_methods, reason = "this waits for another process")]
pub(crate) fn pause(long: Duration) {
    std::thread::sleep(long);
}
