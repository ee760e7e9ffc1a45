//! `export` and `import`: the cache as lines, and back, whole or not at all.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::Stdio,
};

use fastrand::Rng;
use serde_json::Value as Json;
use suppressd::clock::Clock;

use crate::{
    copies::{digest, parts, proven},
    pipeline::{self, connect},
    program::{Program, Said},
};

/// An export of the fixtures, in its lines.
fn lines(program: &Program) -> Vec<String> {
    let said = program.run(&["export"]);
    assert_eq!(said.status, Some(0), "{said:?}");
    said.out.lines().map(str::to_owned).collect()
}

fn import(program: &Program, text: &str, words: &[&str]) -> Said {
    fs::write(program.path("e.jsonl"), text).unwrap();
    program.run(&[&["import", "e.jsonl", "--json"], words].concat())
}

fn joined(lines: &[String]) -> String {
    lines.join("\n") + "\n"
}

fn checks(program: &Program, database: &str, keys: &[String]) -> Vec<(Option<i32>, Json)> {
    let ask = |key: &String| {
        let said = program.run(&["--db-path", database, "check", key, "--json"]);
        (said.status, said.json().get("matched").unwrap().clone())
    };
    keys.iter().map(ask).collect()
}

#[test]
fn what_was_exported_is_imported_elsewhere_and_behaves_the_same() {
    let program = proven();
    // Rows that others wrote suppress, too, whatever they hold.
    program.sql(
        "INSERT INTO suppression_cache (canonical_key, notion_page_id, status, company_name, cached_at, expires_at, metadata) \
         VALUES ('domain:of-others.com', x'00ff', 7.5, 3, '2026', '2099-01-13T12:00:00+00:00', '[not JSON')",
    );
    let good = digest(&program, &program.database());
    for words in [&["export", "plain.jsonl"][..], &["export", "packed.jsonl", "--zstd"]] {
        let said = program.run(words);
        assert_eq!(said.status, Some(0), "{said:?}");
        assert!(said.out.contains(&good), "{said:?}");
        let said = program.run(&["--db-path", &format!("{}.db", words.len()), "import", words[1]]);
        assert_eq!(said.status, Some(0), "{said:?}");
        assert!(said.out.contains(&good), "{said:?}");
        assert_eq!(digest(&program, &program.path(&format!("{}.db", words.len()))), good);
    }
    let kinds = |path: &Path| {
        let sql = "SELECT typeof(notion_page_id) || typeof(status) || typeof(company_name) FROM suppression_cache \
                   WHERE canonical_key = 'domain:of-others.com'";
        connect(path).query_row(sql, [], |row| row.get::<_, String>(0)).unwrap()
    };
    assert_eq!(kinds(&program.path("2.db")), kinds(&program.database()));
    for path in [program.path("2.db"), program.database()] {
        connect(&path)
            .execute_batch("DELETE FROM suppression_cache WHERE canonical_key = 'domain:of-others.com'")
            .unwrap();
    }
    let rows = pipeline::rows(&program.path("2.db"));
    assert_eq!(rows, pipeline::rows(&program.database()));
    let keys: Vec<_> = rows.iter().map(|row| row.key.clone()).step_by(4).collect();
    assert_eq!(checks(&program, "2.db", &keys), checks(&program, "cache.db", &keys));
    let said = program.run(&["--db-path", "2.db", "check", "nobody-knows-them.com"]);
    assert_eq!(said.status, Some(3), "what came after the export is not known: {said:?}");
}

#[test]
fn who_reads_only_the_beginning_of_an_export_is_no_error() {
    let program = proven();
    program.sql(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) \
         INSERT INTO suppression_cache (canonical_key, notion_page_id, status, cached_at, expires_at) \
         SELECT 'domain:' || i, 'x', 'Met', '', '' FROM n",
    );
    let mut child = program.command(&["export"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("suppressd-export"), "{first}");
    let said: Said = child.wait_with_output().unwrap().into();
    assert_eq!((said.status, said.err.as_str()), (Some(0), ""));
}

#[test]
fn the_order_of_the_lines_does_not_matter() {
    let program = proven();
    let lines = lines(&program);
    let good = digest(&program, &program.database());
    for seed in 0..4 {
        let mut shuffled = lines.clone();
        let last = shuffled.len() - 1;
        Rng::with_seed(seed).shuffle(&mut shuffled[1..last]);
        let database = format!("{seed}.db");
        let said = import(&program, &joined(&shuffled), &["--db-path", &database]);
        assert_eq!(said.status, Some(0), "seed {seed}: {said:?}");
        assert_eq!(said.json()["digest"], good, "seed {seed}");
        assert_eq!(digest(&program, &program.path(&database)), good, "seed {seed}");
    }
}

#[test]
fn what_is_cut_off_changed_or_no_export_is_not_imported() {
    let program = proven();
    let lines = lines(&program);
    let before = digest(&program, &program.database());
    let refused = |text: &str, told: &str| {
        import(&program, text, &["--replace"]).fails_with(told);
        assert_eq!(digest(&program, &program.database()), before, "{told}");
        assert_eq!(parts(program.folder()), Vec::<String>::new());
    };
    let whole = joined(&lines);
    let mut rng = Rng::with_seed(7);
    for seed in 0..8 {
        let mut at = rng.usize(1..whole.len());
        while !whole.is_char_boundary(at) {
            at -= 1;
        }
        let said = import(&program, whole.get(..at).unwrap(), &["--replace"]);
        assert_eq!(said.status, Some(2), "cut at {at}, the {seed}th: {said:?}");
    }
    refused(&joined(&lines[..lines.len() - 1]), "was cut off");
    let packed = zstd::encode_all(whole.as_bytes(), 3).unwrap();
    fs::write(program.path("cut.zst"), &packed[..packed.len() - 9]).unwrap();
    program.run(&["import", "cut.zst", "--replace"]).fails_with("was cut off");
    let with = |at: usize, line: &str| {
        let mut lines = lines.clone();
        lines[at] = line.to_owned();
        joined(&lines)
    };
    refused(&with(3, "{\"kind\": \"page\", oops"), "line 4 of e.jsonl: it is not JSON");
    refused(&with(3, "[]"), "line 4 of e.jsonl: it is not a JSON object");
    refused(&with(3, "{\"kind\": \"secret\"}"), "none that this program knows");
    refused(&with(3, "{\"kind\": \"claim\", \"x) VALUES (1); --\": 1}"), "has no");
    refused(&with(3, "{\"kind\": \"claim\", \"canonical_key\": \"a\"}"), "is no row");
    let text = "SQLite is not this\n";
    refused(text, "line 1 of e.jsonl: it is not JSON");
    refused("{\"kind\": \"entry\"}\n", "it is no export");
    refused("", "was cut off");
    refused(&lines[0].replace("\"format\":1", "\"format\":2").replace('}', "}\n"), "use a newer suppressd");
    refused(&format!("{whole}{}\n", lines[1]), "stands behind the last one");
    let entry = lines.iter().position(|line| line.contains("\"kind\":\"entry\"")).unwrap();
    let changed: Json = serde_json::from_str(&lines[entry]).unwrap();
    let changed = changed.to_string().replace(changed["status"].as_str().unwrap(), "Changed");
    refused(&with(entry, &changed), "it was changed or damaged");
    let mut fewer = lines.clone();
    fewer.remove(entry);
    refused(&joined(&fewer), "it was changed or damaged");
    let page = lines.iter().position(|line| line.contains("\"kind\":\"page\"")).unwrap();
    let standing = lines[page].replace("\"standing\":\"listed\"", "\"standing\":\"asleep\"");
    refused(&with(page, &standing), "is no standing");
}

#[test]
fn a_cache_that_is_there_stays_unless_it_is_to_be_replaced_and_keys_that_are_lost_are_told() {
    let program = proven();
    let text = joined(&lines(&program));
    let good = digest(&program, &program.database());
    program.sql(
        "CREATE TABLE signals (n); INSERT INTO signals VALUES (1); \
         INSERT INTO suppression_cache (canonical_key, notion_page_id, status, cached_at, expires_at) VALUES \
           ('domain:of-the-pipeline.com', 'x', 'Sourced', '', '2099-01-13T12:00:00+00:00'), \
           ('domain:told-later.com', (SELECT min(page_id) FROM suppressd_claims), 'Met', '', '2099-01-13T12:00:00+00:00'); \
         INSERT INTO suppressd_claims SELECT 'domain:told-later.com', min(page_id), 'website' FROM suppressd_claims",
    );
    let kept =
        "SELECT id FROM suppression_cache WHERE canonical_key <> 'domain:told-later.com' ORDER BY id DESC LIMIT 1";
    let id = program.number(kept);
    let before = digest(&program, &program.database());
    import(&program, &text, &[]).fails_with("say --replace");
    assert_eq!(digest(&program, &program.database()), before);
    let said = import(&program, &text, &["--replace"]);
    assert_eq!(said.status, Some(0), "{said:?}");
    let said = said.json();
    assert_eq!((said["digest"].as_str(), said["keys_lost"].as_u64()), (Some(good.as_str()), Some(1)));
    assert_eq!(said["keys_lost_list"], serde_json::json!(["domain:told-later.com"]));
    assert_eq!(said["entries_of_others"], 1);
    assert_eq!(program.run(&["check", "told-later.com"]).status, Some(3), "it is not clear");
    assert_eq!(program.run(&["check", "of-the-pipeline.com"]).status, Some(0), "others' rows stay");
    assert_eq!((program.number("SELECT count(*) FROM signals"), program.number(kept)), (1, id));
    assert_eq!(program.number("SELECT count(*) FROM suppressd_sweeps WHERE state = 'asked'"), 1);
}

#[test]
fn what_lies_in_the_future_is_not_imported() {
    let program = proven();
    let lines = lines(&program);
    let before = digest(&program, &program.database());
    let ahead = |minutes: i64| (Clock::system().now() + chrono::TimeDelta::minutes(minutes)).timestamp_micros();
    for (kind, name) in [("page", "last_edited_time"), ("page", "observed_at"), ("source", "watermark")] {
        let at = lines.iter().position(|line| line.contains(&format!("\"kind\":\"{kind}\""))).unwrap();
        let with = |time: Json| {
            let mut lines = lines.clone();
            let mut row: Json = serde_json::from_str(&lines[at]).unwrap();
            row[name] = time;
            lines[at] = row.to_string();
            import(&program, &joined(&lines), &["--replace"])
        };
        // SQLite would make a number of each.
        let (number, real) = (ahead(10), f64::from(2_000_000_000) * 1e6);
        for time in [number.into(), number.to_string().into(), serde_json::json!({"real": real.to_bits()})] {
            let said = with(time);
            said.fails_with(&format!("line {} of e.jsonl: the {name} of this {kind}", at + 1));
        }
        assert_eq!(digest(&program, &program.database()), before, "{name}");
        // Two clocks differ by a little.
        let said = with(ahead(3).into());
        assert!(!said.err.contains("minutes ahead"), "{said:?}");
    }
}
