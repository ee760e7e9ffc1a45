//! The demonstration, from outside: it shows the program at work, judges it, and leaves nothing behind.

use crate::program::{Program, until};

#[test]
fn the_report_for_machines_finds_no_difference() {
    let program = Program::new();
    let said = program.run(&["demo", "--for", "2s", "--seed", "7", "--json"]);
    assert_eq!(said.status, Some(0), "{said:?}");
    let report = said.json();
    assert_eq!((&report["settled"], report["differences"].as_array().unwrap().len()), (&true.into(), 0), "{report}");
    assert!(report["fetches_of_a_page_at_once"].as_u64().unwrap() <= 1, "{report}");
    assert!(report["changes_made"].as_u64().unwrap() >= 1, "{report}");
    assert!(report["rows"].as_u64().unwrap() > 0, "{report}");
    assert_eq!(program.temporary(), [""; 0], "its folder is gone");
    assert!(!program.database().exists(), "it has a database of its own");
}

#[test]
fn people_see_what_happens_and_at_the_end_the_comparison() {
    let program = Program::new();
    let said = program.run(&["demo", "--for", "1s", "--seed", "7", "--pages", "10"]);
    assert_eq!(said.status, Some(0), "{said:?}");
    let lines: Vec<_> = said.out.lines().collect();
    assert!(lines.iter().any(|line| line.contains("swept: 10 pages in")), "{said:?}");
    assert!(lines.iter().any(|line| line.contains("  CRM  ")), "{said:?}");
    let last = lines.last().unwrap();
    assert!(last.starts_with("the cache equals the workspace: "), "{last}");
    assert_eq!(said.err, "", "its log is off");
}

#[test]
fn a_signal_ends_it_early_with_the_summary() {
    for signal in ["INT", "TERM"] {
        let program = Program::new();
        let running = program.start(&["demo", "--for", "1m", "--pages", "5"]);
        running.until("  CRM  ");
        assert_eq!(program.temporary().len(), 1);
        running.signal(signal);
        let (status, said) = running.end();
        assert_eq!(status, Some(0), "{said}");
        assert!(said.contains("the cache equals the workspace"), "{said}");
        until("its folder is gone", || program.temporary().is_empty());
    }
}

#[test]
fn a_database_of_ones_own_is_refused() {
    let said = Program::new().run(&["demo", "--for", "1s", "--db-path", "signals.db"]);
    said.fails_with("error: `demo` takes no --db-path\nnext: leave it out: its database lies in a folder of its own");
}

#[test]
fn durations_without_a_unit_are_refused() {
    Program::new().run(&["demo", "--for", "20"]).fails_with("write a whole number and its unit");
}
