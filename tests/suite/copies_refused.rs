//! What `backup`, `restore`, `export` and `import` leave alone or refuse: others' files, strange files, and what stood beside.

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
};

use crate::{
    copies::{digest, parts, proven},
    pipeline::connect,
    program::Program,
};

/// A program with a backup `b.db` of its database.
fn backed_up() -> Program {
    let program = proven();
    assert_eq!(program.run(&["backup", "b.db"]).status, Some(0));
    program
}

/// Says that it was refused, and that the file is what it was.
fn untouched(program: &Program, words: &[&str], file: &str, told: &str) {
    let before = fs::read(program.path(file)).unwrap();
    program.run(words).fails_with(told);
    assert!(fs::read(program.path(file)).unwrap() == before, "{words:?} changed {file}");
    assert_eq!(parts(program.folder()), Vec::<String>::new(), "{words:?}");
}

#[test]
fn a_wal_that_outlived_its_database_is_not_played_into_the_restored_one() {
    let program = backed_up();
    let (database, wal) = (program.database(), program.path("cache.db-wal"));
    let good = digest(&program, &database);
    let other = connect(&database);
    other
        .execute_batch(
            "PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; \
             UPDATE suppression_cache SET status = 'of the WAL'; DELETE FROM suppressd_claims",
        )
        .unwrap();
    let left = fs::read(&wal).unwrap();
    assert!(!left.is_empty());
    drop(other);
    fs::remove_file(&database).unwrap();
    fs::write(&wal, &left).unwrap();
    for suffix in ["journal", "shm"] {
        fs::write(program.path(&format!("cache.db-{suffix}")), suffix).unwrap();
    }
    let said = program.run(&["restore", "b.db", "--json"]);
    assert_eq!(said.status, Some(0), "{said:?}");
    let names = fs::read_dir(program.folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let aside: Vec<String> = names.filter(|name| name.contains(".before-restore-")).collect();
    for suffix in ["-wal", "-journal", "-shm"] {
        assert!(!program.path(&format!("cache.db{suffix}")).exists(), "{suffix}");
        assert_eq!(aside.iter().filter(|name| name.ends_with(suffix)).count(), 1, "{aside:?}");
    }
    let aside = aside.iter().find(|name| name.ends_with("-wal")).unwrap();
    assert!(fs::read(program.path(aside)).unwrap() == left, "it is kept as it was");
    assert_eq!(digest(&program, &database), good);
    assert_eq!(program.run(&["check", "nobody-knows-them.com"]).status, Some(3), "it could have been told");
}

#[test]
fn a_second_restore_does_not_go_over_somebody_who_only_has_the_restored_file_open() {
    let program = backed_up();
    assert_eq!(program.run(&["restore", "b.db"]).status, Some(0));
    let idle = connect(&program.database());
    let rows: i64 = idle.query_row("SELECT count(*) FROM suppression_cache", [], |row| row.get(0)).unwrap();
    assert!(rows > 0);
    untouched(&program, &["restore", "b.db"], "cache.db", "another program has");
    drop(idle);
    assert_eq!(program.run(&["restore", "b.db"]).status, Some(0));
}

#[test]
fn a_backup_goes_over_an_earlier_copy_only() {
    let program = backed_up();
    connect(&program.path("signals.db"))
        .execute_batch("CREATE TABLE signals (n); INSERT INTO signals VALUES (1)")
        .unwrap();
    untouched(&program, &["backup", "signals.db"], "signals.db", "no earlier copy");
    let pack = |from: &str, to: &str| {
        fs::write(program.path(to), zstd::encode_all(&*fs::read(program.path(from)).unwrap(), 1).unwrap()).unwrap();
    };
    pack("signals.db", "signals.zst");
    untouched(&program, &["backup", "signals.zst", "--zstd"], "signals.zst", "no earlier copy");
    fs::write(program.path("notes.zst"), zstd::encode_all(&b"notes"[..], 1).unwrap()).unwrap();
    untouched(&program, &["backup", "notes.zst"], "notes.zst", "no earlier copy");
    assert_eq!(program.run(&["export", "e.jsonl"]).status, Some(0));
    untouched(&program, &["backup", "e.jsonl"], "e.jsonl", "no earlier copy");
    // A pipeline whose file holds a cache, too.
    fs::copy(program.path("b.db"), program.path("shared.db")).unwrap();
    connect(&program.path("shared.db")).execute_batch("CREATE TABLE signals (n)").unwrap();
    pack("shared.db", "shared.zst");
    untouched(
        &program,
        &["backup", "shared.db"],
        "shared.db",
        "holds tables that the database has none of (`signals`)",
    );
    untouched(&program, &["backup", "shared.zst"], "shared.zst", "(`signals`)");
    // What may go.
    fs::write(program.path("empty"), "").unwrap();
    pack("b.db", "b.zst");
    for to in ["b.db", "b.zst", "empty"] {
        let said = program.run(&["backup", to]);
        assert_eq!(said.status, Some(0), "{to}: {said:?}");
        assert_eq!(digest(&program, &program.path(to)), digest(&program, &program.database()));
    }
    program.sql("CREATE TABLE signals (n)");
    assert_eq!(program.run(&["backup", "shared.db"]).status, Some(0), "the database has that table now");
}

#[test]
fn an_export_goes_over_an_earlier_export_only() {
    let program = backed_up();
    let bytes = fs::read(program.path("b.db")).unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(program.path(name), bytes).unwrap();
    write("packed.db", &zstd::encode_all(&*bytes, 1).unwrap());
    write("token", b"secret_of_somebody");
    write("x.toml", b"[notion]\n");
    write("x.json", b"{\"kind\": \"page\"}\n");
    write("cut.zst", &[0x28, 0xb5, 0x2f, 0xfd, 1]);
    for name in ["b.db", "packed.db", "token", "x.toml", "x.json", "cut.zst"] {
        untouched(&program, &["export", name], name, "no earlier export");
    }
    write("e.jsonl", b"");
    for words in [&["export", "e.jsonl"][..], &["export", "e.jsonl", "--zstd"], &["export", "e.jsonl"]] {
        let said = program.run(words);
        assert_eq!(said.status, Some(0), "{words:?}: {said:?}");
    }
    assert!(fs::read(program.path("e.jsonl")).unwrap().starts_with(b"{\""));
}

#[test]
fn a_folder_of_backups_of_several_databases_is_kept_for_each_by_itself() {
    let program = proven();
    fs::create_dir(program.path("backups")).unwrap();
    fs::copy(program.database(), program.path("other.db")).unwrap();
    for database in ["cache.db", "other.db", "cache.db", "other.db"] {
        let said = program.run(&["--db-path", database, "backup", "backups", "--keep", "1"]);
        assert_eq!(said.status, Some(0), "{said:?}");
    }
    let mut names: Vec<String> = fs::read_dir(program.path("backups"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .map(|name| name.split('-').next().unwrap().to_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["cache", "other"]);
}

#[test]
fn a_database_that_lacks_a_table_or_column_of_ours_is_not_said_to_be_backed_up() {
    for (sql, told) in [
        ("DROP TABLE suppressd_inbox", "its table `suppressd_inbox` is missing"),
        ("DROP TABLE suppression_cache", "its table `suppression_cache` is missing"),
        (
            "ALTER TABLE suppressd_sources DROP COLUMN retired_at",
            "the column `retired_at` of its table `suppressd_sources`",
        ),
    ] {
        let program = backed_up();
        connect(&program.path("b.db")).execute_batch(sql).unwrap();
        untouched(&program, &["restore", "b.db"], "cache.db", told);
        program.sql(sql);
        program.run(&["backup", "new.db"]).fails_with(told);
        assert!(!program.path("new.db").exists());
    }
}

/// Packs a beginning and a great many zeros.
fn bomb(beginning: &[u8]) -> Vec<u8> {
    zstd::encode_all(beginning.chain(io::repeat(0).take(1 << 28)), 1).unwrap()
}

#[test]
fn what_unpacks_to_more_than_its_database_is_not_unpacked_to_its_end() {
    let program = backed_up();
    let whole = fs::read(program.path("b.db")).unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(program.path(name), bytes).unwrap();
    write("bomb.zst", &bomb(&whole));
    untouched(&program, &["restore", "bomb.zst"], "cache.db", &format!("it goes on behind the {} bytes", whole.len()));
    write("zeros.zst", &bomb(b""));
    untouched(&program, &["restore", "zeros.zst"], "cache.db", "zeros.zst is no backup");
    // A limit on the size of files would end whoever unpacks them all the same.
    let limit = whole.len().div_ceil(512) + 64;
    for name in ["bomb.zst", "zeros.zst"] {
        let plain = program.command(&["restore", name]);
        let said = std::process::Command::new("sh")
            .args(["-c", &format!("ulimit -f {limit}; exec \"$@\""), "sh"])
            .arg(plain.get_program())
            .args(plain.get_args())
            .envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .current_dir(program.folder())
            .output()
            .unwrap();
        assert_eq!(said.status.code(), Some(2), "{name}: {said:?}");
    }
}

#[test]
fn what_was_given_is_named_and_the_command_that_takes_it() {
    let program = backed_up();
    let pack = |from: &Path, to: &Path| fs::write(to, zstd::encode_all(&*fs::read(from).unwrap(), 1).unwrap()).unwrap();
    fs::copy(program.path("b.db"), program.path("newer.db")).unwrap();
    connect(&program.path("newer.db"))
        .execute_batch("INSERT INTO suppressd_migrations VALUES (99, 'later', '')")
        .unwrap();
    connect(&program.path("foreign.db")).execute_batch("CREATE TABLE suppression_cache (n)").unwrap();
    connect(&program.path("none.db")).execute_batch("CREATE TABLE signals (n)").unwrap();
    for name in ["newer", "foreign", "none"] {
        let (plain, packed) = (format!("{name}.db"), format!("{name}.zst"));
        pack(&program.path(&plain), &program.path(&packed));
        for name in [plain, packed] {
            let said = program.run(&["restore", &name]);
            said.fails_with(&name);
            assert!(!said.err.contains("part-"), "{said:?}");
        }
    }
    assert_eq!(program.run(&["export", "e.zst", "--zstd"]).status, Some(0));
    program.run(&["restore", "e.zst"]).fails_with("e.zst is an export, not a backup: `suppressd import");
    pack(&program.path("b.db"), &program.path("b.zst"));
    for name in ["b.db", "b.zst"] {
        program.run(&["import", name]).fails_with(&format!("{name} is a backup, not an export: `suppressd restore`"));
    }
}
