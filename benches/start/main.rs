//! From the start of `serve` until it is ready, and what it occupies when nothing happens, with 100,000 companies in the
//! cache and with ten.
//!
//! The program is the real one in a process of its own; so is the simulated Notion, which filled the cache by a sweep.
//! The floor of the start is the same program with ten companies.
//!
//! `cargo bench --bench start`, with `-- --quick` for 10,000 companies and few rounds.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a step that fails should end the run where it fails"
)]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

#[path = "../sweep/notion.rs"]
mod notion;
#[path = "../common/program.rs"]
mod program;

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    notion::Notion,
    program::{Occupied, Program, Serving, pause},
};

const PAGES: usize = 100_000;
const PAGES_QUICK: usize = 10_000;
const FEW: usize = 10;

const ROUNDS: usize = 15;
const ROUNDS_QUICK: usize = 3;

/// The names are read behind the readiness; then nothing happens any more.
const AT_REST: Duration = Duration::from_secs(5);

/// A cache that is filled, and the Notion that filled it.
struct Filled {
    program: Program,
    pages: usize,
    started: Vec<Duration>,
    _notion: Notion,
}

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != notion::AS_NOTION);
    if let Some(pages) = arguments.nth(1) {
        return notion::run(pages.parse().unwrap());
    }
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (pages, rounds) = if quick { (PAGES_QUICK, ROUNDS_QUICK) } else { (PAGES, ROUNDS) };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut caches = [FEW, pages].map(|pages| {
        let notion = Notion::start(pages);
        let database = folder.path().join(format!("{pages}.db"));
        let source = ("NOTION_DATA_SOURCE_ID", notion.data_source.as_str());
        let program = Program::new((&notion.base_url, &notion.token), source, &database, &[]);
        program.run(&["reconcile", "--json"]);
        Filled { program, pages, started: Vec::new(), _notion: notion }
    });
    for round in 0..rounds {
        for turn in 0..caches.len() {
            let cache = &mut caches[(round + turn) % 2];
            let took = cache.program.serve().until_ready();
            cache.started.push(took);
        }
    }
    println!("from the start of `serve` until /readyz says 200, {rounds} rounds in turns");
    for cache in &mut caches {
        cache.started.sort_unstable();
        let started = &cache.started;
        println!(
            "  {:>7} companies {:>6.0} ms [{:.0}-{:.0}]",
            cache.pages,
            milliseconds(started[started.len() / 2]),
            milliseconds(started[0]),
            milliseconds(started[started.len() - 1]),
        );
    }
    println!("what it occupies when nothing has happened for {} s", AT_REST.as_secs());
    for cache in &caches {
        let mut serving = cache.program.serve();
        serving.until_ready();
        let rest = at_rest(&serving);
        println!(
            "  {:>7} companies {:>6.1} MiB resident, {:.1} of them its own; peak {:.1}; {} handles",
            cache.pages,
            mib(rest.resident),
            mib(rest.own),
            mib(rest.peak),
            rest.handles
        );
    }
}

/// Waits until its memory has not grown for a while, and returns what it occupies then.
fn at_rest(serving: &Serving) -> Occupied {
    let (mut most, mut since) = (0, Instant::now());
    loop {
        let now = serving.occupies();
        if now.resident > most {
            (most, since) = (now.resident, Instant::now());
        }
        if since.elapsed() > AT_REST {
            return now;
        }
        pause(Duration::from_millis(100));
    }
}

fn milliseconds(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
