//! An hour of the demonstration's work in ten minutes: `serve` in a process of its own is told of six times as many
//! changes a second, while others scrape it, ask it, sweep and make backups. Its memory, file handles and write-ahead
//! log are noted as time goes by: they must not grow.
//!
//! Then the restore drill: while 50 changes a second arrive a backup is made, restored elsewhere, and after one sweep of
//! each both have the same digest.
//!
//! `cargo bench --bench endurance`, with `-- --minutes N` for another time, or `-- --quick` for one minute.
#![expect(clippy::unwrap_used, reason = "a step that fails should end the run where it fails")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

#[path = "../common/program.rs"]
mod program;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use suppressd::simulator::{
    Settings, Simulator,
    api::Manner,
    budget::Budget,
    faults::Fault,
    scenario::Scenario,
    webhooks::{Delivering, Webhooks},
};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::program::{Occupied, Program, Serving, get, pause};

/// Companies that are there before.
const COMPANIES: usize = 2_000;

/// The demonstration makes four changes a second; this is an hour of it in ten minutes.
const CHANGE_EVERY: Duration = Duration::from_micros(41_667);

/// The restore drill wants fifty a second.
const DRILL_CHANGE_EVERY: Duration = Duration::from_millis(20);

const MINUTES: u64 = 10;
const LINES: u32 = 20;
const SCRAPE_EVERY: Duration = Duration::from_secs(1);
const LOOKUP_EVERY: Duration = Duration::from_millis(5);
const BACKUP_EVERY: Duration = Duration::from_secs(30);
const SWEEP_EVERY: Duration = Duration::from_mins(2);

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--minutes");
    let quick = std::env::args().any(|argument| argument == "--quick");
    let minutes = arguments.nth(1).map_or(if quick { 1 } else { MINUTES }, |minutes| minutes.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let _within = runtime.enter();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let database = folder.path().join("years.db");
    let (simulator, mut scenario) = runtime.block_on(workspace());
    let program = Arc::new(program(&simulator, &database));
    let mut serving = program.serve();
    serving.until_ready();
    let webhooks = subscribe(&simulator, &serving);
    wait_until("the first sweep is complete", || serving.get("/v1/status").unwrap().contains("\"complete\""));

    let stop = Arc::new(AtomicBool::new(false));
    let others = others(&program, &serving, folder.path(), &stop);
    println!("{minutes} minutes, {COMPANIES} companies, {:.0} changes a second", 1.0 / CHANGE_EVERY.as_secs_f64());
    let samples = runtime.block_on(live(&simulator, &mut scenario, &serving, &database, minutes));
    stop.store(true, Ordering::Relaxed);
    let done: Vec<String> = others.into_iter().map(|other| other.join().unwrap()).collect();
    println!("{}; {} deliveries acknowledged", done.join(", "), webhooks.acknowledged().len());
    judge(&samples);

    drill(&runtime, (&simulator, &mut scenario, &webhooks), &program, &serving, folder.path());
    drop(serving);
    runtime.block_on(simulator.stop());
}

async fn workspace() -> (Simulator, Scenario) {
    let manner = Manner {
        budget: Budget { requests: 6_000, ..Budget::default() },
        latency: Duration::from_millis(25),
        ..Manner::default()
    };
    let simulator = Simulator::start(Settings { manner, seed: 7, ..Settings::default() }).await.unwrap();
    let mut scenario = Scenario::new(7);
    scenario.populate(simulator.workspace(), COMPANIES);
    let mishaps = [(Fault::Status(503), 0.02), (Fault::Truncated, 0.01), (Fault::Reset, 0.01)];
    simulator.faults().at_random(7, mishaps);
    (simulator, scenario)
}

fn program(simulator: &Simulator, database: &Path) -> Program {
    let table = simulator.workspace().database().to_string();
    let more = [
        ("NOTION_VERIFICATION_TOKEN", simulator.verification_token()),
        ("NOTION_INDEX_LAG_SECONDS", "0"),
        ("SUPPRESSD_LOG", "error"),
    ];
    let notion = (simulator.base_url(), simulator.token());
    Program::new((&notion.0, notion.1), ("NOTION_DATABASE_ID", &table), database, &more)
}

fn subscribe(simulator: &Simulator, serving: &Serving) -> Webhooks {
    let manner = Delivering {
        lost_percent: 5,
        doubled_percent: 10,
        shuffled: true,
        delay_max: Duration::from_millis(250),
        ..Delivering::default()
    };
    let webhooks = simulator.webhooks(&format!("http://{}/webhooks/notion", serving.public), manner).unwrap();
    simulator.deliver_in_background(&webhooks);
    webhooks
}

/// What was there at one moment.
struct Sample {
    occupied: Occupied,
    wal: u64,
}

/// Makes changes for so many minutes, and notes what the program occupies meanwhile.
async fn live(
    simulator: &Simulator,
    scenario: &mut Scenario,
    serving: &Serving,
    database: &Path,
    minutes: u64,
) -> Vec<Sample> {
    let (begun, long) = (Instant::now(), Duration::from_mins(minutes));
    let mut change = interval(CHANGE_EVERY);
    change.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut samples, mut changes) = (Vec::new(), 0_u64);
    println!("  minute  changes  resident MiB  own MiB  handles  log KiB  database KiB");
    while begun.elapsed() < long {
        change.tick().await;
        scenario.step(simulator.workspace());
        changes += 1;
        if begun.elapsed() >= long / LINES * u32::try_from(samples.len()).unwrap() {
            let sample = Sample { occupied: serving.occupies(), wal: size(&beside(database, "-wal")) };
            println!(
                "  {:>6.1}{changes:>9}{:>14.1}{:>9.1}{:>9}{:>9}{:>14}",
                begun.elapsed().as_secs_f64() / 60.0,
                mib(sample.occupied.resident),
                mib(sample.occupied.own),
                sample.occupied.handles,
                sample.wal / 1024,
                size(database) / 1024,
            );
            samples.push(sample);
        }
    }
    samples
}

/// Those who use the program meanwhile; each says at the end how often it did.
fn others(
    program: &Arc<Program>,
    serving: &Serving,
    folder: &Path,
    stop: &Arc<AtomicBool>,
) -> Vec<std::thread::JoinHandle<String>> {
    let backups = folder.join("backups");
    fs::create_dir(&backups).unwrap();
    let backups = backups.display().to_string();
    let (private, backing) = (serving.private, Arc::clone(program));
    let mut rng = fastrand::Rng::with_seed(7);
    vec![
        every(SCRAPE_EVERY, "scrapes", stop, move || {
            assert!(get(private, "/metrics").unwrap().contains("suppressd_build_info"));
        }),
        every(LOOKUP_EVERY, "lookups", stop, move || {
            let key = format!("/v1/suppression/domain:company-{}.com", rng.u32(..1_000_000));
            assert!(get(private, &key).unwrap().contains("\"verdict\""));
        }),
        every(BACKUP_EVERY, "backups", stop, move || {
            backing.run(&["backup", &backups, "--keep", "3"]);
        }),
        every(SWEEP_EVERY, "sweeps asked for", stop, {
            let program = Arc::clone(program);
            move || drop(program.run(&["reconcile", "--json"]))
        }),
    ]
}

fn every(
    pause_between: Duration,
    name: &'static str,
    stop: &Arc<AtomicBool>,
    mut work: impl FnMut() + Send + 'static,
) -> std::thread::JoinHandle<String> {
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        let (mut times, mut last) = (0_u64, Instant::now());
        while !stop.load(Ordering::Relaxed) {
            pause(pause_between.min(Duration::from_millis(100)));
            if last.elapsed() >= pause_between {
                last = Instant::now();
                work();
                times += 1;
            }
        }
        format!("{times} {name}")
    })
}

/// Compares the first quarter, after warming up, with the last.
fn judge(samples: &[Sample]) {
    let quarter = samples.len() / 4;
    let most = |samples: &[Sample], of: &dyn Fn(&Sample) -> u64| samples.iter().map(of).max().unwrap_or(0);
    let early = samples.get(quarter..quarter * 2).unwrap_or_default();
    let late = samples.get(samples.len() - quarter..).unwrap_or_default();
    let own = |sample: &Sample| sample.occupied.own;
    let handles = |sample: &Sample| sample.occupied.handles as u64;
    println!(
        "second quarter against the last: own memory {:.1} -> {:.1} MiB, handles {} -> {}, log {} -> {} KiB; peak {:.1} MiB",
        mib(most(early, &own)),
        mib(most(late, &own)),
        most(early, &handles),
        most(late, &handles),
        most(early, &|sample| sample.wal) / 1024,
        most(late, &|sample| sample.wal) / 1024,
        mib(most(samples, &|sample| sample.occupied.peak)),
    );
}

/// A backup is made while 50 changes a second arrive; restored elsewhere and swept once, it is the same cache.
fn drill(
    runtime: &tokio::runtime::Runtime,
    (simulator, scenario, webhooks): (&Simulator, &mut Scenario, &Webhooks),
    program: &Arc<Program>,
    serving: &Serving,
    folder: &Path,
) {
    let backup = folder.join("drill.db.zst").display().to_string();
    let running = std::thread::spawn({
        let (program, backup) = (Arc::clone(program), backup.clone());
        move || {
            pause(Duration::from_secs(5));
            program.run(&["backup", &backup, "--zstd"])
        }
    });
    let changes = runtime.block_on(async {
        let mut change = interval(DRILL_CHANGE_EVERY);
        let mut changes = 0;
        while !running.is_finished() || changes < 500 {
            change.tick().await;
            scenario.step(simulator.workspace());
            changes += 1;
        }
        changes
    });
    running.join().unwrap();
    simulator.faults().calm();
    wait_until("everything that was told is settled", || {
        let status = serving.get("/v1/status").unwrap();
        webhooks.waiting() == 0 && status.contains("\"subjects_waiting\":0")
    });
    program.run(&["reconcile", "--json"]);
    let elsewhere_at = folder.join("elsewhere.db");
    let elsewhere = self::program(simulator, &elsewhere_at);
    elsewhere.run(&["restore", &backup]);
    let restored = elsewhere.run(&["digest"]);
    elsewhere.run(&["reconcile", "--json"]);
    let (ours, theirs) = (program.run(&["digest"]), elsewhere.run(&["digest"]));
    println!("restore drill: a backup while {changes} changes arrived at 50 a second");
    println!("  as restored  {}", restored.trim());
    println!("  swept there  {}", theirs.trim());
    println!("  here         {}", ours.trim());
    assert_eq!(ours, theirs, "the same cache");
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_mins(5), "it never came that {what}");
        pause(Duration::from_millis(100));
    }
}

fn beside(database: &Path, end: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(end);
    path.into()
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
