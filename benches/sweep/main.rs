//! A sweep of 100,000 companies into an empty file, and once more when nothing has changed, beside what the same rows
//! cost to ask for and to store.
//!
//! Notion is the simulated one, in a process of its own and without a limit, over HTTP. What counts is the time of the
//! processor that our own process spends: how long the rows take on the wall says more of the simulated Notion.
//!
//! `cargo bench --bench sweep`, with `-- --quick` for 10,000 companies, or `-- --pages N`.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a step that fails should end the run where it fails"
)]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

#[path = "../common/cpu.rs"]
mod cpu;
mod floor;
mod notion;
mod ours;

use std::{fs, time::Duration};

use suppressd::model::sweep::{SweepReport, SweepState};
use tokio::{runtime::Runtime, time::Instant};

use crate::notion::Notion;

const PAGES: usize = 100_000;
const PAGES_QUICK: usize = 10_000;

/// What one piece of work took.
struct Took {
    wall: Duration,
    cpu: Duration,
}

fn main() {
    if let Some(pages) = number_after(notion::AS_NOTION) {
        return notion::run(pages);
    }
    let quick = std::env::args().any(|argument| argument == "--quick");
    let pages = number_after("--pages").unwrap_or(if quick { PAGES_QUICK } else { PAGES });
    let notion = Notion::start(pages);
    let runtime = Runtime::new().unwrap();
    // The folder of the build is on a disk; a commit into memory would prove nothing.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (db, bare) = (folder.path().join("swept.db"), folder.path().join("bare.db"));
    println!("{pages} pages; peak of this process before the first sweep {} MiB", peak_mib());

    let (first, report) = measured(|| runtime.block_on(ours::sweep(&notion, &db)));
    tell("first sweep, into an empty file", &first, pages);
    check(&report, pages);
    println!("    inserted {} pages with {} requests", report.counts.pages_inserted, report.counts.notion_requests);

    floor::watch_writes(&db);
    forget_peak();
    let (second, report) = measured(|| runtime.block_on(ours::sweep(&notion, &db)));
    tell("second sweep, nothing has changed", &second, pages);
    check(&report, pages);
    println!("    unchanged {} pages with {} requests", report.counts.pages_unchanged, report.counts.notion_requests);
    println!("    rows written: {}", floor::writes(&db));

    let (fetch, fetched) = measured(|| runtime.block_on(floor::fetch(&notion)));
    tell("floor: ask, and parse into a tree", &fetch, pages);
    assert!(fetched >= pages, "the floor was shown every row");
    drop(notion);

    let chunks = floor::rows_of(&db);
    let rows: usize = chunks.iter().map(Vec::len).sum();
    let (insert, ()) = measured(|| floor::insert(&bare, &db, &chunks));
    tell("floor: insert the same rows", &insert, pages);
    println!("    {rows} rows (the peak holds them all before)");

    let over = |took: &Took, floor: Duration| took.cpu.as_secs_f64() / floor.as_secs_f64();
    println!("first sweep / both floors {:.2}", over(&first, fetch.cpu + insert.cpu));
    println!("second sweep / floor of asking {:.2}", over(&second, fetch.cpu));
}

/// Measures a piece of work.
fn measured<T>(work: impl FnOnce() -> T) -> (Took, T) {
    let (begun, before) = (Instant::now(), cpu::spent());
    let made = work();
    (Took { wall: begun.elapsed(), cpu: cpu::spent().saturating_sub(before) }, made)
}

fn tell(name: &str, took: &Took, pages: usize) {
    println!(
        "  {name:<36}{:>7.0} pages per second of CPU  {:.1} us each  CPU {:.2} s  wall {:.2} s  peak {} MiB",
        pages as f64 / took.cpu.as_secs_f64(),
        cpu::each(took.cpu, pages),
        took.cpu.as_secs_f64(),
        took.wall.as_secs_f64(),
        peak_mib(),
    );
}

/// Makes sure that the sweep did what is measured.
fn check(report: &SweepReport, pages: usize) {
    assert_eq!(report.outcome, SweepState::Complete, "{:?}", report.errors);
    assert_eq!(report.counts.entries_processed, pages as u64);
}

/// Returns the most memory that this process has occupied since it began, or since [`forget_peak`].
fn peak_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

fn forget_peak() {
    fs::write("/proc/self/clear_refs", "5").unwrap();
}

fn number_after(word: &str) -> Option<usize> {
    let mut arguments = std::env::args().skip_while(|argument| argument != word);
    arguments.nth(1)?.parse().ok()
}
