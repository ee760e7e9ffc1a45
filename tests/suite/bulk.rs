//! `check --input`: tables of companies, answered row by row in their own form.

use std::{
    fs,
    io::{self, Write},
    process::Stdio,
};

use chrono::{DateTime, TimeDelta};
use serde_json::{Value as Json, json};
use suppressd::{
    cli::check::bulk::{Bulk, Ended, Stopped, Tally, Told},
    clock::Clock,
    derive::Rules,
    lookup::{Lookup, LookupSettings},
    store::sqlite::SqliteStore,
};
use tempfile::TempDir;

use crate::program::{Program, Said};

const HELD: &str = "stonecrop-energy.example";

/// The fixtures, as if a sweep had just proven them.
fn program() -> Program {
    let program = Program::with_fixtures();
    let now = Clock::system().now().timestamp_micros();
    program.sql(&format!("UPDATE suppressd_sources SET watermark = {now}"));
    program
}

fn check(program: &Program, table: impl AsRef<[u8]>, words: &[&str]) -> Said {
    fs::write(program.path("input"), table).unwrap();
    let words: Vec<&str> = ["check", "--input", "input"].iter().chain(words).copied().collect();
    program.run(&words)
}

fn records(said: &Said) -> Vec<csv::StringRecord> {
    csv::Reader::from_reader(said.out.as_bytes()).records().map(Result::unwrap).collect()
}

#[test]
fn every_row_of_a_table_comes_back_with_its_verdict() {
    let table = format!("id,Company Name,Web Site,note\n1,,https://www.{HELD}/x,\"a, b\"\n2,Nobody At All,,c\n3,,,d\n");
    let said = check(&program(), table.replace("Web Site", "Website"), &[]);
    assert_eq!(said.status, Some(0), "{said:?}");
    assert!(
        said.err.starts_with(
            "columns: name = \"Company Name\", website = \"Website\"; not used: \"id\", \"note\"\n\
             3 rows: 1 suppressed (1 hard), 1 clear, 0 stale, 1 without an answer, in "
        ),
        "{said:?}"
    );
    assert!(said.out.starts_with("id,Company Name,Website,note,suppressd_verdict,suppressd_reason,"), "{said:?}");
    let records = records(&said);
    let column = |name: &str, row: usize| {
        let head = csv::Reader::from_reader(said.out.as_bytes()).headers().unwrap().clone();
        records[row][head.iter().position(|column| column == name).unwrap()].to_owned()
    };
    let all = |name| (0..3).map(|row| column(name, row)).collect::<Vec<_>>();
    assert_eq!(all("note"), ["a, b", "c", "d"]);
    assert_eq!(all("suppressd_verdict"), ["suppressed", "clear", "error"]);
    assert_eq!(all("suppressd_firmness"), ["hard", "", ""]);
    assert_eq!(all("suppressd_matched_key"), [&format!("domain:{HELD}"), "", ""]);
    assert_eq!(all("suppressd_company"), ["Stonecrop Energy", "", ""]);
    assert_eq!(all("suppressd_rests_on"), ["sweep", "sweep", ""]);
    assert!(column("suppressd_error", 2).starts_with("nothing in the question gives a key"), "{said:?}");
}

#[test]
fn each_line_of_json_gets_the_verdict_that_the_command_gives() {
    let program = program();
    let lines = format!("{{\"key\":\"{HELD}\",\"n\":1.50}}\n{{\"key\":\"???\"}}\n{{\"domain\":\"acme.ai\"}}\n");
    let said = check(&program, &lines, &[]);
    assert_eq!(said.status, Some(0), "{said:?}");
    assert!(said.out.starts_with(&format!("{{\"key\":\"{HELD}\",\"n\":1.50,\"suppressd\":{{\"verdict\":")), "{said:?}");
    let plain = program.run(&["check", "--json", HELD, "???", "--domain", "acme.ai"]).json_lines();
    for (bulk, mut plain) in said.json_lines().into_iter().zip(plain) {
        let mut bulk = bulk["suppressd"].clone();
        plain.as_object_mut().unwrap().remove("asked");
        if plain["error"].is_null() {
            plain.as_object_mut().unwrap().remove("error");
        }
        for verdict in [&mut bulk, &mut plain] {
            // Both were asked at their own instant.
            verdict.as_object_mut().unwrap().remove("age_seconds");
        }
        assert_eq!(bulk, plain);
    }
    let again = check(&program, &said.out, &["--input-format", "jsonl"]);
    let without_age = |said: &Said| {
        let mut lines = said.json_lines();
        for line in &mut lines {
            line["suppressd"].as_object_mut().unwrap().remove("age_seconds");
        }
        lines
    };
    assert_eq!(without_age(&again), without_age(&said), "an earlier answer is replaced");
}

#[test]
fn a_row_that_cannot_be_read_says_so_and_the_others_go_on() {
    let program = program();
    let said = check(&program, format!("key,n\n{HELD},1\nacme.ai\nacme.de,3,x\nacme.fr,4\n"), &[]);
    said.fails_with("error: 1 row could not be read\nnext: suppressd_error");
    assert!(
        said.err.contains("4 rows: 1 suppressed (1 hard), 2 clear, 0 stale, 0 without an answer, 1 unreadable, in")
    );
    let verdicts: Vec<_> = records(&said).iter().map(|row| row[2].to_owned()).collect();
    assert_eq!(verdicts, ["suppressed", "clear", "error", "clear"]);
    assert!(said.out.contains("line 4: this row has 3 cells, and the header 2 columns"), "{said:?}");

    let said = check(&program, format!("{{\"key\":\"{HELD}\"}}\n[]\n{{\"key\":\"acme.ai\"}}\n"), &[]);
    said.fails_with("error: 1 row could not be read");
    let lines = said.json_lines();
    assert_eq!((lines.len(), &lines[1]["unreadable"]), (3, &json!("[]")));
    assert_eq!(lines[1]["suppressd"], json!({"error": "line 2: this is a list, not an object a line"}));
    assert_eq!(lines[2]["suppressd"]["verdict"], "clear");

    let said = check(&program, format!("key,n\n{HELD},1\nacme.ai,\"2\nacme.de,3\n"), &[]);
    said.fails_with("because line 3: a quote opens in this row and is never closed");
    assert!(said.err.contains("next: mend the file"), "{said:?}");
    assert_eq!(records(&said).len(), 1);
}

#[test]
fn a_file_that_cannot_be_answered_is_refused_with_what_to_do() {
    let program = program();
    for (table, told) in [
        (&b"id,colour\n1,red\n"[..], "no column of the header says anything of a company (id, colour)"),
        (b"{\"id\":1}\n", "no member of the first object says anything of a company (id)"),
        (b"", "there is nothing in it"),
        (b"\xff\xfek\0e\0y\0\n\0", "UTF-16, as «Unicode Text» is: save it as «CSV UTF-8 (comma delimited)»"),
        (b"name\nM\xfcller\n", "line 2: this row is not UTF-8: save the file as «CSV UTF-8 (comma delimited)»"),
        (b"PK\x03\x04", "this is a workbook"),
        (b"\x1f\x8b\x08", "zcat FILE"),
        (b"[\n  {\"key\": \"acme.ai\"}\n]\n", "jq -c '.[]' FILE | suppressd check --input -"),
        (b"{\n  \"key\": \"acme.ai\"\n}\n", "jq -c . FILE | suppressd check --input -"),
    ] {
        let said = check(&program, table, &[]);
        said.fails_with(told);
        assert!(said.err.contains("next: mend the file"), "{said:?}");
        assert_eq!(records(&said).len(), 0, "{told}");
    }
    let folder = program.run(&["check", "--input", "."]);
    folder.fails_with("error: . was not answered to its end");
    assert!(!folder.err.contains("mend the file"), "{folder:?}");
    assert_eq!(check(&program, "", &["--input-format", "jsonl"]).status, Some(0), "no rows are no error");
    program.run(&["check", "--input", "nowhere.csv"]).fails_with("cannot open nowhere.csv");
}

#[test]
fn what_was_understood_of_the_columns_is_told() {
    let program = program();
    let table = format!("Deal,Landing,Mail\nNobody At All,{HELD},a@acme.ai\n");
    let said = check(&program, table.replace("Deal", "Company"), &[]);
    assert!(
        said.err.starts_with(
            "columns: name = \"Company\"; not used: \"Landing\", \"Mail\"\nwarning: these rows are asked by name"
        ),
        "{said:?}"
    );
    assert_eq!(records(&said)[0][3], *"clear");

    let said = check(&program, &table, &["--column", "landing=website", "--column", "Deal=name"]);
    assert!(
        said.err.starts_with("columns: name = \"Deal\", website = \"Landing\"; not used: \"Mail\"\n1 row"),
        "{said:?}"
    );
    assert_eq!(records(&said)[0][3], *"suppressed");

    check(&program, &table, &["--column", "Firma=name"])
        .fails_with("there is no column \"Firma\": the header has Deal, Landing, Mail");
    check(&program, &table, &["--column", "Mail=email"]).fails_with("\"email\" is none of key, domain, website,");

    let lines = format!("{{\"company\":{{\"name\":\"Nobody\",\"website\":\"{HELD}\"}},\"id\":7}}\n");
    let said = check(&program, &lines, &[]);
    assert_eq!(said.json_lines()[0]["suppressd"]["verdict"], "suppressed");
    assert!(
        said.err.starts_with("members: name = \"company.name\", website = \"company.website\"; not used: \"id\"\n"),
        "{said:?}"
    );
    check(&program, &lines, &["--column", "url=website"])
        .fails_with("no object has a member \"url\": there are company.name");
}

#[test]
fn a_company_of_which_not_all_is_looked_for_is_not_clear() {
    let hosts: Vec<String> = (0..256).map(|n| format!("nobody{n}.example")).chain([HELD.to_owned()]).collect();
    let said = check(&program(), json!({"website": hosts}).to_string(), &[]);
    assert_eq!(said.status, Some(0), "{said:?}");
    let told = said.json()["suppressd"]["error"].as_str().unwrap().to_owned();
    assert!(told.contains(HELD) && told.contains("fewer keys"), "{told}");
    let said = check(&program(), json!({"website": hosts.get(1..)}).to_string(), &[]);
    assert_eq!(said.json()["suppressd"]["verdict"], "suppressed", "{said:?}");
}

#[test]
fn what_contradicts_a_file_is_refused() {
    let program = program();
    for words in [
        &["--json"][..],
        &["acme.ai"],
        &["--name", "Acme"],
        &["--input-format", "xml"],
        &["--max-age", "1h", "--wait", "1s"],
    ] {
        let said = check(&program, "key\nacme.ai\n", words);
        assert_eq!((said.status, said.out.as_str()), (Some(2), ""), "{words:?} {said:?}");
    }
    assert_eq!(program.run(&["check", "--input-format", "csv", "acme.ai"]).status, Some(2));
    check(&program, "key\nacme.ai\n", &["--json"]).fails_with("--input answers in the form of the file");
    let help = program.run(&["check", "--help"]).out;
    for told in ["suppressd_verdict", "--input", "companies house number", "Exit status with --input"] {
        assert!(help.contains(told), "{told}");
    }
}

#[test]
fn an_age_counts_for_every_row() {
    let program = program();
    let proven = (Clock::system().now() - TimeDelta::hours(2)).timestamp_micros();
    program.sql(&format!(
        "UPDATE suppressd_sources SET watermark = {proven}; UPDATE suppressd_pages SET observed_at = {proven}"
    ));
    let said = check(&program, format!("key\n{HELD}\nacme.ai\n"), &["--max-age", "1h"]);
    assert_eq!(records(&said).iter().map(|row| row[1].to_owned()).collect::<Vec<_>>(), ["stale", "stale"], "{said:?}");
}

#[test]
fn rows_come_from_stdin_and_a_reader_that_has_gone_is_no_error() {
    let program = program();
    let mut child = program
        .command(&["check", "--input", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Nobody reads what it writes.
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    // It may end before it has read all of this.
    let _gone = (0..50_000).try_for_each(|n| writeln!(stdin, "{}", if n == 0 { "key" } else { HELD }));
    drop(stdin);
    let said: Said = child.wait_with_output().unwrap().into();
    assert_eq!(said.status, Some(0), "{said:?}");
    assert_eq!(said.err, "columns: key = \"key\"\n", "nobody wants a summary of what was not read");
}

/// A lookup over an empty cache.
fn lookup(folder: &TempDir) -> Lookup<SqliteStore> {
    let clock = Clock::following_tokio(DateTime::UNIX_EPOCH + TimeDelta::days(20_000));
    let store = SqliteStore::open(&folder.path().join("cache.db"), 1, clock.now()).unwrap();
    let settings = LookupSettings { max_age: TimeDelta::days(7), rules: Rules::default(), tables: Vec::new() };
    Lookup::new(store, clock, settings)
}

fn answer(table: &str, output: &mut (impl Write + Send)) -> (Tally, Result<Ended, Stopped>, Vec<u64>) {
    let folder = tempfile::tempdir().unwrap();
    let mut told = Vec::new();
    let mut progress = |news: Told<'_>| {
        if let Told::Written(tally) = news {
            told.push(tally.rows());
        }
    };
    let (tally, ended) = Bulk::default().answer(&lookup(&folder), table.as_bytes(), output, &mut progress);
    (tally, ended, told)
}

#[tokio::test]
async fn rows_keep_their_order_over_many_batches_and_threads() {
    let rows = 12_345_u64;
    let lines = (0..rows).map(|n| format!("{{\"n\":{n},\"key\":\"a{n}.example\"}}\n"));
    let table = lines.collect::<Vec<_>>().concat();
    let mut written = Vec::new();
    let (tally, ended, told) = answer(&table, &mut written);
    ended.unwrap();
    assert_eq!((tally.rows(), tally.stale, tally.bytes_read), (rows, rows, table.len() as u64));
    assert_eq!((told.len(), told.is_sorted(), told.last()), (13, true, Some(&rows)));
    let lines = String::from_utf8(written).unwrap();
    for (n, line) in lines.lines().enumerate() {
        let object: Json = serde_json::from_str(line).unwrap();
        assert_eq!(object["n"], json!(n));
        assert_eq!(object["suppressd"]["candidates"][0]["key"], format!("domain:a{n}.example"));
    }
    assert_eq!(lines.lines().count() as u64, rows);
}

/// Takes so many writes, then fails.
struct Failing(usize, io::ErrorKind);

impl Write for Failing {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(self.1.into());
        }
        self.0 -= 1;
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn an_output_that_fails_ends_the_run_with_what_was_written() {
    let table = format!("key\n{}", "acme.ai\n".repeat(20_000));
    let (tally, ended, _) = answer(&table, &mut Failing(3, io::ErrorKind::StorageFull));
    assert!(matches!(ended, Err(Stopped::Output(_))), "{ended:?}");
    assert_eq!(tally.rows(), 2_000, "the header and two batches");
    let (tally, ended, _) = answer(&table, &mut Failing(0, io::ErrorKind::BrokenPipe));
    assert_eq!((ended.unwrap(), tally.rows()), (Ended::ReaderGone, 0));
}

#[tokio::test]
async fn a_cache_that_does_not_answer_ends_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let lookup = lookup(&folder);
    let other: rusqlite::Connection = crate::pipeline::connect(&folder.path().join("cache.db"));
    other.execute_batch("DROP TABLE suppressd_sources").unwrap();
    let (tally, ended) =
        Bulk::default().answer(&lookup, &b"key\nacme.ai\n"[..], &mut Vec::new(), &mut |_: Told<'_>| ());
    assert!(matches!(ended, Err(Stopped::Store(_))), "{ended:?}");
    assert_eq!(tally, Tally::default());
}
