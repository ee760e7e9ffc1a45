//! `serve` as systemd sees it, over a socket like systemd's, and as `health` sees it.

use std::{os::unix::net::UnixDatagram, time::Duration};

use suppressd::{clock::Clock, simulator::Simulator};

use crate::{
    pipeline,
    program::{Program, Running, run},
};

/// Longer than anything here takes; a test that waits for this has failed.
const PATIENCE: Duration = Duration::from_mins(2);

/// The sign of life is asked for this often, so that there are some to see.
const WATCHDOG_USEC: &str = "300000";

/// What stands in the place of systemd.
struct Systemd {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Systemd {
    /// Listens in the folder of a program, which is to be told where.
    fn over(program: Program) -> (Self, Program) {
        let path = program.path("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let program = program.and("NOTIFY_SOCKET", path.display().to_string()).and("WATCHDOG_USEC", WATCHDOG_USEC);
        (Self { socket, heard: Vec::new() }, program)
    }

    /// Waits until a line is told that begins so, and returns it.
    fn until(&mut self, beginning: &str) -> String {
        let mut bytes = [0; 4096];
        loop {
            let received = self.socket.recv(&mut bytes);
            assert!(received.is_ok(), "{beginning}: only {:?}", self.heard);
            let lines = String::from_utf8(bytes.get(..received.unwrap()).unwrap().to_vec()).unwrap();
            self.heard.extend(lines.lines().map(str::to_owned));
            if let Some(line) = lines.lines().find(|line| line.starts_with(beginning)) {
                return line.to_owned();
            }
        }
    }
}

fn serve(program: &Program) -> Running {
    program.start(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
}

async fn notion() -> Simulator {
    Simulator::start(suppressd::simulator::Settings { clock: Clock::system(), ..Default::default() }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_hears_that_it_opens_is_ready_lives_and_stops() {
    let simulator = notion().await;
    let (mut systemd, program) = Systemd::over(Program::new().with_notion(&simulator));
    let serving = serve(&program);
    tokio::task::spawn_blocking(move || {
        assert_eq!(systemd.until("STATUS="), "STATUS=opening the database");
        systemd.until("EXTEND_TIMEOUT_USEC=");
        let ready = systemd.until("READY=1");
        let address = serving.public();
        assert_eq!(ready, "READY=1");
        let status = systemd.heard.last().unwrap();
        assert!(status.starts_with(&format!("STATUS=serving: webhooks on {address}, ")), "{status}");
        // It is told only once both addresses take connections.
        for address in [address, status.rsplit(' ').next().unwrap().parse().unwrap()] {
            std::net::TcpStream::connect(address).unwrap();
        }
        systemd.until("WATCHDOG=1");
        systemd.until("WATCHDOG=1");
        serving.signal("TERM");
        assert_eq!(systemd.until("STOPPING=1"), "STOPPING=1");
        assert_eq!(serving.end().0, Some(0));
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_lives_while_notion_is_down_and_while_the_database_takes_no_writes() {
    let simulator = notion().await;
    simulator.faults().refuse_token();
    let (mut systemd, program) = Systemd::over(Program::new().with_notion(&simulator));
    let serving = serve(&program);
    tokio::task::spawn_blocking(move || {
        systemd.until("READY=1");
        let told = systemd.until("STATUS=serving: ");
        assert!(told.contains("; notion: "), "{told}");
        systemd.until("WATCHDOG=1");

        let connection = pipeline::connect(&program.database());
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut told = String::new();
        while !told.contains("; writer: ") {
            told = systemd.until("STATUS=serving: ");
        }
        systemd.until("WATCHDOG=1");
        connection.execute_batch("ROLLBACK").unwrap();
        while told.contains("; writer: ") {
            told = systemd.until("STATUS=serving: ");
        }
        serving.signal("TERM");
        systemd.until("STOPPING=1");
        assert_eq!(serving.end().0, Some(0));
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn health_says_with_its_exit_status_whether_the_service_is_well() {
    let simulator = notion().await;
    let program = Program::new().with_notion(&simulator).and("SUPPRESSD_ADMIN_TOKEN", "a-token-of-the-tests");
    // What is free now may be taken a moment later, by a test that runs beside this one.
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (public, private) = (free(), free());
    let program = program.and("SUPPRESSD_LISTEN", &*public).and("SUPPRESSD_ADMIN_LISTEN", &*private);

    for words in [&["health"][..], &["health", "--ready"], &["health", "--url", "http://127.0.0.1:1/"]] {
        let said = run(&program, words).await;
        assert_eq!(said.status, Some(1), "{said:?}");
        assert!(
            said.out.starts_with("not well: http://127.0.0.1:") && said.out.contains("does not answer"),
            "{said:?}"
        );
    }

    let serving = program.start(&["serve"]);
    serving.public();
    let said = run(&program, &["health"]).await;
    assert_eq!((said.status, &*said.out), (Some(0), &*format!("well: http://{public}/healthz answers 200\n")));
    // The worker reads the sources first.
    while run(&program, &["health", "--ready"]).await.status != Some(0) {
        assert!(!serving.said().contains("stopped"), "{}", serving.said());
    }
    let url = format!("http://{private}/readyz");
    let said = run(&program, &["health", "--url", &url]).await;
    assert_eq!(said.status, Some(1), "the token is for our own addresses: {said:?}");
    assert!(said.out.starts_with(&format!("not well: {url} answers 401\n  ")), "{said:?}");

    let said = run(&program, &["health", "--url", "no address"]).await;
    assert_eq!(said.status, Some(2), "{said:?}");
}
