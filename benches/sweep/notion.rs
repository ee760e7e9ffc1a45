//! The simulated Notion, in a process of its own, so that what it spends is not taken for ours.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::{Child, Command, Stdio},
};

use chrono::TimeDelta;
use suppressd::{
    model::page::Role,
    simulator::{
        Settings, Simulator,
        api::Manner,
        budget::Budget,
        draft::{Draft, company},
    },
};

/// The word by which the benchmark starts itself as Notion.
pub(crate) const AS_NOTION: &str = "--as-notion";

/// Companies are added this far apart: several in a minute.
const BETWEEN_PAGES: TimeDelta = TimeDelta::seconds(17);

/// A simulated Notion that runs in a child process. It ends with this, and with us, however we end.
pub(crate) struct Notion {
    child: Child,
    pub(crate) base_url: String,
    pub(crate) token: String,
    pub(crate) data_source: String,
}

impl Notion {
    /// Starts one that holds so many companies.
    pub(crate) fn start(pages: usize) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([AS_NOTION, &pages.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut told).unwrap();
        let mut words = told.split_whitespace().map(str::to_owned);
        let mut word = || words.next().unwrap();
        Self { base_url: word(), token: word(), data_source: word(), child }
    }
}

impl Drop for Notion {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Is that Notion, until whoever started it is gone.
pub(crate) fn run(pages: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let budget = Budget { requests: u32::MAX, ..Budget::default() };
    let manner = Manner { budget, ..Manner::default() };
    let simulator = runtime.block_on(Simulator::start(Settings { manner, ..Settings::default() })).unwrap();
    let workspace = simulator.workspace();
    let mut at = workspace.clock().now() - BETWEEN_PAGES * i32::try_from(pages + 10).unwrap();
    for number in 0..pages {
        workspace.place(invented(number), at);
        at += BETWEEN_PAGES;
    }
    let mut out = std::io::stdout();
    writeln!(out, "{} {} {}", simulator.base_url(), simulator.token(), workspace.data_source()).unwrap();
    out.flush().unwrap();
    // The other end of the pipe closes with the process that holds it.
    drop(std::io::stdin().read_to_end(&mut Vec::new()));
}

/// Invents a company: all have a name, a place and a status, most a website, some more than that. Neighbours in time
/// are no neighbours by name or domain.
fn invented(number: usize) -> Draft {
    const CONSONANTS: &[u8] = b"bcdfghjklmnprstvwz";
    const VOWELS: &[u8] = b"aeiou";
    let mut rng = fastrand::Rng::with_seed(number as u64);
    let mut word = |syllables: usize| -> String {
        let letters = (0..syllables).flat_map(|_| [*rng.choice(CONSONANTS).unwrap(), *rng.choice(VOWELS).unwrap()]);
        letters.map(char::from).collect()
    };
    let (first, second) = (word(3), word(4));
    let kind = *rng.choice(&["Labs", "Systems", "Health", "Robotics", "Energy", "Analytics"]).unwrap();
    let places = ["London", "Leeds", "Bristol", "Manchester", "Glasgow", "Lyon", "Oslo", "Porto"];
    let statuses = ["Sourced", "Contacted", "Meeting", "Diligence", "Passed", "Lost", "Portfolio"];
    let mut draft = company(&format!("{first} {second} {kind}"))
        .location(rng.choice(&places).unwrap())
        .status(rng.choice(&statuses).unwrap());
    let one_in = |rng: &mut fastrand::Rng, n: usize| rng.usize(..n) == 0;
    if !one_in(&mut rng, 10) {
        draft = draft.website(&format!("https://www.{first}-{second}.com/"));
    }
    if one_in(&mut rng, 2) {
        draft = draft.set(Role::CompaniesHouse, format!("{:08}", rng.u32(..20_000_000)).as_str());
    }
    if one_in(&mut rng, 4) {
        draft =
            draft.set(Role::Crunchbase, format!("https://www.crunchbase.com/organization/{first}-{second}").as_str());
    }
    if one_in(&mut rng, 8) {
        draft = draft.set(Role::GithubOrg, format!("{first}{second}").as_str());
    }
    draft
}
