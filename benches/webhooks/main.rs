//! Durable webhooks per second through the real public door, beside the least that could do the same.
//!
//! Both doors run in this process on a multi-threaded runtime as `serve` has it; the load comes from one thread of its
//! own. Rounds take turns, and who begins a pair changes, so that a drift of the machine meets both.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a step that fails should end the run where it fails"
)]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

#[path = "../common/cpu.rs"]
mod cpu;
mod deliveries;
mod floor;
mod load;
mod ours;

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use suppressd::lifecycle::Lifecycle;

use crate::{
    deliveries::Deliveries,
    load::{Load, Measured},
};

/// More than a door can take, so that no round ends early.
const DELIVERIES_PER_MILLISECOND: usize = 60;

/// The rounds of one number of connections.
struct Series {
    connections: usize,
    pairs: usize,
    round: Duration,
}

/// A door that is loaded, and what its rounds brought.
struct Door {
    name: &'static str,
    address: SocketAddr,
    db: PathBuf,
    answered: usize,
}

fn main() {
    tracing_subscriber::fmt().with_env_filter("info").with_writer(io::stderr).init();
    let series = series();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let lifecycle = Lifecycle::default();
    // The folder of the build is on a disk; a commit into memory would prove nothing.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (floor_db, ours_db) = (folder.path().join("floor.db"), folder.path().join("ours.db"));
    let mut doors = [
        Door { name: "floor", address: runtime.block_on(floor::start(&floor_db)), db: floor_db, answered: 0 },
        Door { name: "ours", address: runtime.block_on(ours::start(&ours_db, &lifecycle)), db: ours_db, answered: 0 },
    ];
    let longest = series.iter().map(|series| series.round).max().unwrap_or_default();
    let mut deliveries = Arc::new(Deliveries::prepare(DELIVERIES_PER_MILLISECOND * longest.as_millis() as usize));
    println!(
        "{} prepared deliveries of {} bytes each, body {} bytes",
        deliveries.len(),
        deliveries.size(),
        deliveries.body_size()
    );

    for series in &series {
        run(series, &mut doors, &mut deliveries);
    }
    for door in &doors {
        let rows = floor::count(&door.db, if door.name == "ours" { "suppressd_inbox" } else { "inbox" });
        println!(
            "{}: {} answered with 200, {rows} rows, {} MiB, WAL {} MiB",
            door.name,
            door.answered,
            mib(&door.db),
            mib(&wal(&door.db))
        );
        assert_eq!(rows, door.answered, "{}: every answer is a row", door.name);
    }
    lifecycle.stop();
    runtime.shutdown_background();
}

fn series() -> Vec<Series> {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (pairs, round) = if quick { (1, Duration::from_millis(300)) } else { (6, Duration::from_secs(3)) };
    let series = |connections, pairs| Series { connections, pairs, round };
    vec![series(64, pairs), series(16, pairs.div_ceil(2)), series(1, pairs.div_ceil(2))]
}

fn run(series: &Series, doors: &mut [Door; 2], deliveries: &mut Arc<Deliveries>) {
    let load = |round| Load { connections: series.connections, round };
    // A first short round of each fills caches and files, and is not counted.
    for door in doors.iter_mut() {
        Arc::get_mut(deliveries).unwrap().renew();
        door.answered += load::run(door.address, deliveries, load(series.round / 4)).latencies.len();
    }
    let before = resident_kib();
    let mut rounds: [Vec<Measured>; 2] = Default::default();
    for pair in 0..series.pairs {
        Arc::get_mut(deliveries).unwrap().renew();
        for turn in [pair % 2, (pair + 1) % 2] {
            let measured = load::run(doors[turn].address, deliveries, load(series.round));
            doors[turn].answered += measured.latencies.len();
            rounds[turn].push(measured);
        }
    }
    println!("\n{} connections, {} rounds of {:?} each", series.connections, series.pairs, series.round);
    for (door, rounds) in doors.iter().zip(&rounds) {
        println!("  {:<6}{}", door.name, told(rounds));
    }
    let [floor, ours] = &rounds;
    let mut ratios: Vec<f64> = floor.iter().zip(ours).map(|(floor, ours)| ours.rate() / floor.rate()).collect();
    ratios.sort_by(f64::total_cmp);
    println!("  ours / floor {:.2} [{:.2}-{:.2}]", middle(&ratios), ratios[0], ratios[ratios.len() - 1]);
    println!("  resident {} MiB before, {} MiB after", before / 1024, resident_kib() / 1024);
}

fn told(rounds: &[Measured]) -> String {
    let of = |figure: &dyn Fn(&Measured) -> f64| {
        let mut all: Vec<f64> = rounds.iter().map(figure).collect();
        all.sort_by(f64::total_cmp);
        (middle(&all), all[0], all[all.len() - 1])
    };
    let rate = of(&Measured::rate);
    let (p50, p99) = (of(&|round| round.percentile(50)), of(&|round| round.percentile(99)));
    let cpu = of(&|round| cpu::each(round.cpu, round.latencies.len()));
    let max = of(&|round| round.percentile(100));
    format!(
        "{:>7.0}/s [{:.0}-{:.0}]  p50 {:.2} ms  p99 {:.2} ms [{:.2}-{:.2}]  max {:.1} ms  CPU {:.1} us each",
        rate.0, rate.1, rate.2, p50.0, p99.0, p99.1, p99.2, max.2, cpu.0
    )
}

/// Returns the middle of sorted figures.
fn middle(sorted: &[f64]) -> f64 {
    f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2])
}

/// Returns the memory that this process occupies, the prepared deliveries included.
fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn mib(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len() / 1024 / 1024)
}

fn wal(db: &Path) -> PathBuf {
    let mut name = db.to_owned().into_os_string();
    name.push("-wal");
    name.into()
}
