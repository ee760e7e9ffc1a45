//! The real program in a process of its own.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use tokio::time::{sleep, timeout};

/// Longer than any command here takes.
const PATIENCE: Duration = Duration::from_mins(2);

/// A `serve` that runs until it is killed or dropped.
pub(crate) struct Process {
    /// The address that Notion delivers to.
    pub(crate) public: SocketAddr,
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts it on free ports and waits until it serves.
    pub(crate) fn start(environment: &BTreeMap<String, String>) -> Self {
        let mut child = command(environment)
            .args(["--log-format", "json", "serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let log = Arc::new(Mutex::new(Vec::new()));
        let public = lines
            .by_ref()
            .inspect(|line| log.lock().unwrap().push(line.clone()))
            .map(|line| serde_json::from_str::<serde_json::Value>(&line).unwrap())
            .find_map(|line| line.get("listen")?.as_str()?.parse().ok())
            .unwrap();
        // Read to the end, so that the program never waits for a reader.
        let rest = Arc::clone(&log);
        thread::spawn(move || lines.for_each(|line| rest.lock().unwrap().push(line)));
        Self { public, child, log }
    }

    /// Starts it with a stderr that cannot be written, with much to log, on a port that was free just now. Whether it serves yet is not
    /// known: its log would say so.
    pub(crate) fn start_unheard(environment: &BTreeMap<String, String>, stderr: Stdio) -> Self {
        let public = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = command(environment)
            .args(["-vv", "serve", "--listen", &public.to_string(), "--admin-listen", "127.0.0.1:0"])
            .stderr(stderr)
            .spawn()
            .unwrap();
        Self { public, child, log: Arc::default() }
    }

    /// The address of its webhook.
    pub(crate) fn webhook_url(&self) -> String {
        format!("http://{}/webhooks/notion", self.public)
    }

    /// What it has logged by now.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _it_may_have_ended = self.child.kill();
        let _it_may_have_been_waited_for = self.child.wait();
    }
}

/// Runs one command to its end; one that does not come to an end is killed, and its status says so.
pub(crate) async fn run(environment: &BTreeMap<String, String>, arguments: &[&str]) -> Output {
    let mut command = command(environment);
    let mut child = command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let ended = timeout(PATIENCE, async {
        while child.try_wait().unwrap().is_none() {
            sleep(Duration::from_millis(5)).await;
        }
    });
    if ended.await.is_err() {
        child.kill().unwrap();
    }
    child.wait_with_output().unwrap()
}

fn command(environment: &BTreeMap<String, String>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_suppressd"));
    command.env_clear().envs(environment);
    command
}
