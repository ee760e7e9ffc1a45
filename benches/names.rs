//! Possible matches among 100,000 companies: precision and recall by threshold, time a question, memory; beside a full scan.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a step that fails should end the run where it fails"
)]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]
#![expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "words are drawn by their rank")]
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

#[path = "common/companies.rs"]
mod companies;
#[path = "common/cpu.rs"]
mod cpu;

use std::{collections::HashSet, fs, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use suppressd::{
    cache::{Cache, CacheSettings},
    clock::Clock,
    derive::{ComparableName, Likeness, Rules},
    lookup::{Lookup, LookupSettings, OFFERED_MAX, Question, SCORE_MIN},
    model::{
        entry::{CachedPage, Cause, Door, Standing},
        id::{DataSourceId, PageId},
        page::{Role, Value, Values, View},
        sighting::Sighting,
        verdict::{Company, Verdict},
    },
    store::{Rows, Store as _, StoreError, sqlite::SqliteStore},
};
use tokio::time::Instant;
use uuid::Uuid;

use crate::companies::Perturbation;

/// Companies in the cache.
const COMPANIES: usize = 100_000;

/// Pairs of each kind in the generated set.
const PAIRS: usize = 20_000;

/// Questions that are timed, and of which the scan is asked, too.
const QUESTIONS: usize = 1_000;
const SCANNED: usize = 200;

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (companies, scanned) = if quick { (5_000, 20) } else { (COMPANIES, SCANNED) };
    told_apart("fixtures/names.csv", &written());
    told_apart("generated pairs", &generated());
    by_way();

    let mut rng = Rng::with_seed(7);
    let names = distinct(companies, &mut rng);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let clock = Clock::system();
    let store = SqliteStore::open(&folder.path().join("cache.db"), 1, clock.now()).unwrap();
    fill(&store, &names, clock.now());
    noted(clock.now());

    let settings = LookupSettings { max_age: TimeDelta::days(7), rules: Rules::default(), tables: Vec::new() };
    let lookup = Lookup::new(store, clock, settings);
    // What SQLite keeps of the file is no part of the index.
    ask(&lookup, None);
    let (before, began, spent) = (resident(), Instant::now(), thread_cpu());
    ask(&lookup, Some("Acme"));
    let built = thread_cpu().saturating_sub(spent).as_secs_f64();
    println!("the index of {companies} names: built in {:.2} s ({built:.2} s CPU)", began.elapsed().as_secs_f64());
    println!("resident memory: {:.1} MiB before, {:.1} MiB more with it", before, resident() - before);

    timed(&lookup, &names, scanned, &mut rng);
}

/// A pair of names, and whether they are those of one company.
type Pair = (String, String, bool);

fn written() -> Vec<Pair> {
    let mut pairs = csv::Reader::from_path(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/names.csv")).unwrap();
    let pair = |record: csv::StringRecord| (record[0].to_owned(), record[1].to_owned(), &record[2] == "true");
    pairs.records().map(|record| pair(record.unwrap())).collect()
}

fn generated() -> Vec<Pair> {
    let mut rng = Rng::with_seed(11);
    let mut pairs = Vec::new();
    while pairs.len() < 2 * PAIRS {
        let name = companies::name(&mut rng);
        let way = Perturbation::ALL[rng.usize(..Perturbation::ALL.len())];
        let Some(other) = way.of(&name, &mut rng) else { continue };
        pairs.push((name.clone(), companies::sibling(&name, &mut rng), false));
        pairs.push((name, other, true));
    }
    pairs
}

fn score(a: &str, b: &str) -> f64 {
    let (a, b) = (ComparableName::of(a).unwrap(), ComparableName::of(b).unwrap());
    Likeness::new(&a).to(&Likeness::new(&b))
}

fn told_apart(what: &str, pairs: &[Pair]) {
    let scores: Vec<(f64, bool)> = pairs.iter().map(|(a, b, same)| (score(a, b), *same)).collect();
    let same = scores.iter().filter(|(_, same)| *same).count();
    println!("\n{what}: {same} pairs of one company, {} of two", scores.len() - same);
    for threshold in [0.70, 0.75, 0.80, SCORE_MIN, 0.90, 0.95] {
        let count = |wanted| scores.iter().filter(|(score, same)| *score >= threshold && *same == wanted).count();
        let (right, wrong) = (count(true), count(false));
        println!(
            "  from {threshold:.2}: precision {:.3} ({wrong} wrong), recall {:.3} ({} missed)",
            right as f64 / (right + wrong) as f64,
            right as f64 / same as f64,
            same - right
        );
    }
}

/// Tells the recall of each way to write a name otherwise.
fn by_way() {
    println!("\nrecall by what was done to the name");
    for way in Perturbation::ALL {
        let mut rng = Rng::with_seed(13);
        let (mut written, mut found) = (0, 0);
        while written < 1_000 {
            let name = companies::name(&mut rng);
            let Some(other) = way.of(&name, &mut rng) else { continue };
            written += 1;
            found += i32::from(score(&name, &other) >= SCORE_MIN);
        }
        println!("  {:<12} {:.3}", format!("{way:?}"), f64::from(found) / f64::from(written));
    }
}

fn distinct(count: usize, rng: &mut Rng) -> Vec<String> {
    let (mut seen, mut names) = (HashSet::new(), Vec::new());
    while names.len() < count {
        let name = companies::name(rng);
        if seen.insert(ComparableName::of(&name)) {
            names.push(name);
        }
    }
    names
}

fn page_id(company: usize) -> PageId {
    PageId::from_uuid(Uuid::from_u128((company as u128) << 64 | 7))
}

fn values(company: usize, name: &str) -> Values {
    let mut values = Values::default();
    let website = format!("https://www.company-{company}.com");
    for (role, text) in [(Role::CompanyName, name), (Role::Website, &website), (Role::Status, "Sourced")] {
        values.set(role, Value::text(text));
    }
    values
}

/// Writes the pages alone: no key is asked for here.
fn fill(store: &SqliteStore, names: &[String], now: DateTime<Utc>) {
    let pages: Vec<CachedPage> = names
        .iter()
        .enumerate()
        .map(|(company, name)| CachedPage {
            id: page_id(company),
            source: DataSourceId::from_uuid(Uuid::from_u128(1)),
            standing: Standing::Listed,
            last_edited_time: now,
            observed_at: now,
            view: View::Page,
            seen_by: Some(Door::Sweep),
            missing_since: None,
            unfound_since: None,
            url: None,
            values: values(company, name),
        })
        .collect();
    write(store, move |rows| pages.iter().try_for_each(|page| rows.put_page(page)));
}

fn write(store: &SqliteStore, work: impl FnOnce(&mut dyn Rows) -> Result<(), StoreError> + Send + 'static) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(store.write(work)).unwrap();
}

/// Tells what a new page costs, and how much of that is the note by which the index follows.
fn noted(now: DateTime<Utc>) {
    const PAGES: usize = 10_000;
    const NOTES: usize = 200_000;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let store = SqliteStore::open(&folder.path().join("cache.db"), 1, now).unwrap();
    let rules = Rules::default();
    let cache = Cache::new(CacheSettings { ttl: TimeDelta::days(7), index_lag: TimeDelta::seconds(60), rules });
    let before = cpu::spent();
    for pages in (0..PAGES).collect::<Vec<_>>().chunks(100) {
        let (cache, pages) = (cache.clone(), pages.to_vec());
        write(&store, move |rows| {
            let cause = Cause { door: Door::Sweep, id: "1".to_owned() };
            pages.into_iter().try_for_each(|company| cache.apply(rows, &sighting(company, now), &cause, now).map(drop))
        });
    }
    let applied = cpu::each(cpu::spent().saturating_sub(before), PAGES);
    let before = cpu::spent();
    for notes in (0..NOTES).collect::<Vec<_>>().chunks(100) {
        let notes = notes.to_vec();
        write(&store, move |rows| notes.into_iter().try_for_each(|company| rows.note_renamed(page_id(company))));
    }
    let noted = cpu::each(cpu::spent().saturating_sub(before), NOTES);
    println!(
        "\na new page, 100 in a transaction: {applied:.1} us CPU; a note, likewise: {noted:.2} us CPU, {:.2} %",
        noted * 100.0 / applied
    );
}

fn sighting(company: usize, now: DateTime<Utc>) -> Sighting {
    Sighting {
        page: PageId::from_uuid(Uuid::from_u128(
            (company as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835),
        )),
        source: DataSourceId::from_uuid(Uuid::from_u128(1)),
        standing: Standing::Listed,
        last_edited_time: now,
        observed_at: now,
        view: View::Page,
        url: None,
        values: values(company, "Thistledown Freight Ltd"),
    }
}

/// Asks by name, or without one.
fn ask(lookup: &Lookup<SqliteStore>, name: Option<&str>) -> Verdict {
    let company =
        Company { name: name.map(str::to_owned), domain: Some("nobody.example".to_owned()), ..Company::default() };
    lookup.answer_blocking(&[Question::Company(Box::new(company))], None).unwrap().remove(0).unwrap()
}

/// Times questions, each in a view of its own, and compares what they find with what every name, compared one by one, gives.
fn timed(lookup: &Lookup<SqliteStore>, names: &[String], scanned: usize, rng: &mut Rng) {
    let comparable: Vec<ComparableName> = names.iter().filter_map(|name| ComparableName::of(name)).collect();
    let all: Vec<Likeness<'_>> = comparable.iter().map(Likeness::new).collect();
    let (mut wall, mut spent, mut scans) = (Vec::new(), Vec::new(), Vec::new());
    let (mut asked, mut met, mut others, mut strangers, mut disturbed) = (0, 0, 0, 0, 0);
    let (mut expected, mut found) = (0, 0);
    while wall.len() < QUESTIONS {
        let company = rng.usize(..names.len());
        let way = Perturbation::ALL[rng.usize(..Perturbation::ALL.len())];
        let Some(written) = way.of(&names[company], rng) else { continue };
        let is_stranger = wall.len() % 4 == 0;
        let name = if is_stranger { companies::name(rng) } else { written };
        let (began, before) = (Instant::now(), thread_cpu());
        let possible = ask(lookup, Some(&name)).possible;
        wall.push(began.elapsed());
        spent.push(thread_cpu().saturating_sub(before));
        if is_stranger {
            (strangers, disturbed) = (strangers + 1, disturbed + u32::from(!possible.is_empty()));
        } else {
            let is_met = possible.iter().any(|possible| possible.page == page_id(company));
            (asked, met, others) = (asked + 1, met + u32::from(is_met), others + possible.len() - usize::from(is_met));
        }
        if scans.len() < scanned {
            let before = thread_cpu();
            let best = scan(&all, &ComparableName::of(&name).unwrap());
            scans.push(thread_cpu().saturating_sub(before));
            expected += best.len();
            found += best.iter().filter(|page| possible.iter().any(|possible| possible.page == **page)).count();
        }
    }
    println!("\na question that no key answers, {QUESTIONS} of them, each in a read transaction of its own");
    for (what, times) in [("time", &mut wall), ("CPU", &mut spent), ("floor: every name compared, CPU", &mut scans)] {
        times.sort();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        println!("  {what:<32} median {:.2} ms, p99 {:.2} ms", at(0.5), at(0.99));
    }
    println!("  of the best five of that floor, {found} of {expected} are found");
    println!("  {asked} companies asked for by another writing: {met} offered, beside {others} others");
    println!("  {strangers} invented companies that are not there: {disturbed} get an offer");
}

fn scan(all: &[Likeness<'_>], name: &ComparableName) -> Vec<PageId> {
    let likeness = Likeness::new(name);
    let mut best: Vec<(f64, PageId)> =
        all.iter().enumerate().map(|(company, other)| (likeness.to(other), page_id(company))).collect();
    best.retain(|(score, _)| *score >= SCORE_MIN);
    best.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    best.into_iter().take(OFFERED_MAX).map(|(_, page)| page).collect()
}

/// Returns what this thread has spent, to the nanosecond: other programs on the machine do not disturb it.
fn thread_cpu() -> Duration {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

/// Returns the memory of this process that is in use, in MiB.
fn resident() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}
