//! Copies that are interrupted: killed at any moment, or stopped by the disk at any byte.
//!
//! Each case is drawn from a seed, which a failure names. A limit on the size of files stops the program at the write that
//! passes it, by a signal that kills it or by an error; a kill comes whenever the machine is so far.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use fastrand::Rng;

use crate::{
    copies::{digest, is_whole, parts, proven},
    pipeline,
    program::Program,
};

/// Cases in every run of the tests.
const CASES: u64 = 30;

/// What ends the program before its time.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// It is killed after so many microseconds.
    Kill(u64),
    /// A write beyond so many blocks of 512 bytes kills it.
    Limit(u64),
    /// The same write fails.
    Full(u64),
}

/// A database that is to be replaced, and what is to take its place, in every form.
struct Stage {
    program: Program,
    old: String,
    new: String,
    keys: Vec<String>,
}

impl Stage {
    fn new() -> Self {
        let program = proven();
        // Large enough for a copy to take its time.
        program.sql(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500) \
             INSERT INTO suppressd_inbox (event_id, kind, occurred_at, received_at, door, state, body) \
             SELECT 'body ' || i, 'page.created', 0, 0, 'webhook', 'settled', randomblob(1000) FROM n",
        );
        for words in [&["backup", "new.db"][..], &["backup", "new.zst", "--zstd"], &["export", "new.jsonl"]] {
            assert_eq!(program.run(words).status, Some(0));
        }
        let new = digest(&program, &program.database());
        // What is there differs from what is to come.
        program.sql("UPDATE suppression_cache SET status = 'Met' WHERE id % 2 = 0");
        assert_eq!(program.run(&["backup", "old.db"]).status, Some(0));
        let old = digest(&program, &program.database());
        assert_ne!(old, new);
        let keys = pipeline::rows(&program.database()).into_iter().map(|row| row.key).collect();
        Self { program, old, new, keys }
    }

    /// Interrupts one command; returns whether it came to its end all the same.
    fn check(&self, seed: u64) -> bool {
        let (program, mut rng) = (&self.program, Rng::with_seed(seed));
        for name in ["work.db", "work.db-wal", "work.db-shm"] {
            let _it_may_not_be_there = fs::remove_file(program.path(name));
        }
        for name in ["target.db", "work.db"] {
            fs::copy(program.path("old.db"), program.path(name)).unwrap();
        }
        let (words, target): (&[&str], _) = match rng.u8(0..5) {
            0 => (&["backup", "target.db"], "target.db"),
            1 => (&["--db-path", "new.db", "backup", "target.db"], "target.db"),
            2 => (&["--db-path", "work.db", "restore", "new.db"], "work.db"),
            3 => (&["--db-path", "work.db", "restore", "new.zst"], "work.db"),
            _ => (&["--db-path", "work.db", "import", "new.jsonl", "--replace"], "work.db"),
        };
        let fault = match rng.u8(0..3) {
            0 => Fault::Kill(rng.u64(0..120_000)),
            1 => Fault::Limit(rng.u64(0..5_000)),
            _ => Fault::Full(rng.u64(0..5_000)),
        };
        let is_done = meets(program, words, fault);
        let case = format!("seed {seed}: {fault:?} of {words:?}");
        let target = program.path(target);
        assert!(is_whole(&target), "{case}");
        let found = digest(program, &target);
        assert!(found == self.old || found == self.new, "{case}: neither the old nor the new one is there");
        let expected = program.path(if found == self.old { "old.db" } else { "new.db" });
        let key = rng.choice(&self.keys).unwrap();
        assert_eq!(verdict(program, &target, key), verdict(program, &expected, key), "{case}: {key}");
        // Who comes next clears up, and succeeds.
        assert_eq!(program.run(&["backup", "next.db"]).status, Some(0), "{case}");
        assert_eq!(parts(program.folder()), Vec::<String>::new(), "{case}");
        for entry in fs::read_dir(program.folder()).unwrap() {
            let path = entry.unwrap().path();
            if path.to_str().unwrap().contains("before-restore") {
                assert_eq!(digest(program, &path), self.old, "{case}");
                fs::remove_file(path).unwrap();
            }
        }
        is_done
    }
}

#[test]
fn whatever_interrupts_a_copy_what_was_there_stays_whole() {
    let stage = Stage::new();
    let done = (0..CASES).filter(|seed| stage.check(*seed)).count() as u64;
    assert!(done > 0 && CASES - done > CASES / 4, "{done} of {CASES} came to their end");
}

/// Runs it until its fault; returns whether it succeeded all the same.
fn meets(program: &Program, words: &[&str], fault: Fault) -> bool {
    let (limit, answer) = match fault {
        Fault::Kill(_) => ("unlimited".to_owned(), "-"),
        Fault::Limit(blocks) => (blocks.to_string(), "-"),
        Fault::Full(blocks) => (blocks.to_string(), "''"),
    };
    let plain = program.command(words);
    let binary = plain.get_program().to_owned();
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("ulimit -c 0; ulimit -f {limit}; trap {answer} XFSZ; exec \"$@\""), "sh"])
        .arg(binary)
        .args(plain.get_args())
        .env_clear()
        .envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env("PATH", "/usr/bin:/bin")
        .current_dir(program.folder())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    if let Fault::Kill(after) = fault {
        wait(Duration::from_micros(after));
        let _it_may_have_ended = child.kill();
    }
    child.wait().unwrap().success()
}

#[expect(clippy::disallowed_methods, reason = "the moment of a kill is one of real time, whatever it comes to")]
fn wait(span: Duration) {
    std::thread::sleep(span);
}

/// The answer of a copy of the file, with what it rests on.
fn verdict(program: &Program, database: &Path, key: &str) -> (Option<i32>, String) {
    let said = program.run(&["--db-path", database.to_str().unwrap(), "check", key, "--json"]);
    let json = said.json();
    let told = ["/verdict", "/matched/status"].map(|place| json.pointer(place).map(ToString::to_string));
    (said.status, format!("{told:?}"))
}
