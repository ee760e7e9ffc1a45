//! How long after its event a new row stands, with a Notion that answers in 25 ms.
//!
//! Ours: the signed delivery is sent over HTTP, and the published table is asked until the row is there. The floor:
//! one request for the page, sent straight to the same Notion. Both in turn, so that a busy moment meets both.
//!
//! `cargo bench --bench freshness`, with `-- --quick` for a few rounds only.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark tells its figures, and dies where it cannot"
)]

use std::{collections::BTreeMap, time::Duration};

use suppressd::{
    app::serve,
    clock::Clock,
    config::{Config, Flags},
    lifecycle::Lifecycle,
    model::key::Key,
    simulator::{Settings, Simulator, api::Manner, budget::Budget, draft::company, webhooks::Delivering},
    store::Store as _,
};
use tokio::time::Instant;

/// How long the simulated Notion takes for an answer.
const LATENCY: Duration = Duration::from_millis(25);

/// How often the table is asked whether the row is there.
const ROUND: Duration = Duration::from_micros(200);

#[tokio::main]
async fn main() {
    let rounds = if std::env::args().any(|word| word == "--quick") { 10 } else { 200 };
    let budget = Budget { requests: 10_000, ..Budget::default() };
    let manner = Manner { latency: LATENCY, budget, ..Manner::default() };
    let simulator = Simulator::start(Settings { manner, ..Settings::default() }).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let environment = BTreeMap::from([
        ("NOTION_API_KEY", simulator.token().to_owned()),
        ("NOTION_DATABASE_ID", simulator.workspace().database().to_string()),
        ("NOTION_BASE_URL", simulator.base_url()),
        ("NOTION_VERIFICATION_TOKEN", simulator.verification_token().to_owned()),
        ("NOTION_REQUESTS_PER_MINUTE", "6000".to_owned()),
        ("SUPPRESSD_DB_PATH", folder.path().join("cache.db").display().to_string()),
        ("SUPPRESSD_LISTEN", "127.0.0.1:0".to_owned()),
        ("SUPPRESSD_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
    ]);
    let config = Config::read(&Flags::new(), &|name: &str| environment.get(name).cloned()).unwrap();
    let lifecycle = Lifecycle::default();
    let serving = serve::start(&config, &lifecycle, &Clock::system()).await.unwrap();
    let target = format!("http://{}/webhooks/notion", serving.public);
    let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).no_proxy().build().unwrap();
    let webhooks = simulator.webhooks(&target, Delivering::default()).unwrap();

    let (mut floor, mut ours) = (Vec::new(), Vec::new());
    for n in 0..rounds {
        let domain = format!("company-{n}.com");
        let page = simulator.workspace().create(company("Acme").website(&domain).status("Sourced"));

        let began = Instant::now();
        let request = http.get(format!("{}/v1/pages/{page}", simulator.base_url()));
        let request = request.bearer_auth(simulator.token()).header("Notion-Version", "2025-09-03");
        assert!(request.send().await.unwrap().bytes().await.unwrap().len() > 100);
        floor.push(began.elapsed());

        let key = Key::try_from(format!("domain:{domain}")).unwrap();
        let began = Instant::now();
        webhooks.deliver_all().await;
        loop {
            let key = key.clone();
            if serving.store.read(move |rows| rows.entry(&key)).await.unwrap().is_some() {
                break;
            }
            tokio::time::sleep(ROUND).await;
        }
        ours.push(began.elapsed());
    }
    let [floor, ours] = [("floor: one request to Notion", floor), ("event sent -> row stands", ours)].map(told);
    println!("over the floor: {:.1} ms at the median", (ours.as_secs_f64() - floor.as_secs_f64()) * 1e3);
    lifecycle.stop();
    lifecycle.run_until_stopped(Duration::from_secs(5)).await;
    simulator.stop().await;
}

/// Prints median, p99 and maximum, and returns the median.
fn told((name, mut took): (&str, Vec<Duration>)) -> Duration {
    took.sort();
    let at = |share: usize| *took.get((took.len() * share / 100).min(took.len() - 1)).unwrap();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!("{name:<30} p50 {:6.1} ms  p99 {:6.1} ms  max {:6.1} ms", ms(at(50)), ms(at(99)), ms(at(100)));
    at(50)
}
