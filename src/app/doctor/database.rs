//! The database file: whether it is ours and sound, and how it is kept.

use std::path::Path;

use chrono::{DateTime, Utc};

use crate::{
    app::doctor::{
        check::{Check, Group},
        known::Known,
    },
    causes::told,
    config::Config,
    duration,
    store::sqlite::{Examination, SqliteStore},
};

const GROUP: Group = Group::Database;

/// `serve` brings the WAL home long before this; somebody keeps it from that.
const WAL_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// As many tables of other programs are named.
const TABLES_NAMED_MAX: usize = 6;

/// Looks at the file.
pub(super) async fn checks(config: &Config, thorough: bool) -> Vec<Check> {
    let path = config.db_path.clone();
    let shown = path.display().to_string();
    match path.try_exists() {
        Ok(true) => (),
        Ok(false) => {
            let found = format!("there is none at {shown} yet");
            return vec![GROUP.warning(
                "file",
                found,
                "let `suppressd serve` or `reconcile` make it, or set --db-path",
            )];
        }
        Err(error) => {
            let fix = "may this user look into its folder? --db-path names another file";
            return vec![GROUP.failed("file", format!("{shown} cannot be looked at: {error}"), fix)];
        }
    }
    let examined = {
        let path = path.clone();
        tokio::task::spawn_blocking(move || SqliteStore::examine(&path, thorough)).await
    };
    let examination = match examined {
        Ok(Ok(examination)) => examination,
        Ok(Err(error)) => {
            let fix = "is it suppressd's or the pipeline's, and may this user read it? Else restore a copy of it";
            return vec![GROUP.failed("file", format!("{shown}: {}", told(&error)), fix)];
        }
        Err(died) => return vec![GROUP.failed("file", format!("{shown}: {died}"), "try again")],
    };
    let mut checks = vec![version_check(&shown, &examination)];
    checks.extend(integrity_checks(&examination, thorough));
    checks.push(journal_check(&path, &examination.journal_mode));
    checks.push(others_check(&examination.tables_of_others));
    checks
}

fn version_check(shown: &str, examination: &Examination) -> Check {
    let (found, known) = examination.version;
    if let Err(foreign) = &examination.published {
        return GROUP.failed("file", told(foreign), "name another file with --db-path");
    }
    match found {
        0 => GROUP.warning(
            "file",
            format!("{shown} has none of suppressd's tables yet"),
            "is it the right file? `suppressd serve` or `reconcile` adds them, and changes nothing else in it",
        ),
        _ if found > known => GROUP.failed(
            "file",
            format!("{shown} has schema version {found}, and this program knows {known}"),
            "use the newer suppressd that wrote it",
        ),
        _ if found < known => GROUP.warning(
            "file",
            format!("{shown} has schema version {found}, and this program makes it {known}"),
            "start `suppressd serve` or `reconcile` of this version once",
        ),
        _ => GROUP.well("file", format!("{shown}, schema version {found}")),
    }
}

fn integrity_checks(examination: &Examination, thorough: bool) -> Vec<Check> {
    let fix = "stop what uses it, keep a copy of it, and restore your last good copy; then `suppressd reconcile`";
    let mut checks = Vec::new();
    checks.push(if examination.damage.is_empty() {
        GROUP.well("integrity", if thorough { "sound, indexes too" } else { "sound; --thorough looks closer" })
    } else {
        GROUP.failed("integrity", format!("damaged: {}", examination.damage.join("; ")), fix)
    });
    match &examination.broken {
        Some(broken) if broken.is_empty() => checks.push(GROUP.well("rows", "they agree with each other")),
        Some(broken) => checks.push(GROUP.warning(
            "rows",
            broken.join("; "),
            "another program changed them, or a settings change was not taken over yet: `suppressd reconcile` mends it",
        )),
        None if thorough => checks.push(GROUP.skipped("rows", "they are of another version")),
        None => (),
    }
    checks
}

fn journal_check(path: &Path, mode: &str) -> Check {
    if mode != "wal" {
        return GROUP.warning(
            "journal",
            format!("in mode {mode}: reads and writes wait for each other"),
            "start suppressd while no other program has the file open",
        );
    }
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    let bytes = std::fs::metadata(Path::new(&wal)).map_or(0, |file| file.len());
    let found = format!("WAL of {} MiB", bytes.div_ceil(1024 * 1024));
    if bytes > WAL_BYTES_MAX {
        return GROUP.warning(
            "journal",
            format!("{found}: somebody keeps it from being brought home"),
            "look for a program that reads this file in one transaction for ever",
        );
    }
    GROUP.well("journal", found)
}

fn others_check(tables: &[String]) -> Check {
    let named = tables.iter().take(TABLES_NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match tables.len() {
        0 => GROUP.well("other tables", "none: the file is suppressd's alone"),
        count if count > TABLES_NAMED_MAX => {
            GROUP.well("other tables", format!("{count} of another program, left alone: {named}, …"))
        }
        count => GROUP.well("other tables", format!("{count} of another program, left alone: {named}")),
    }
}

/// Looks at when the rows were proven last.
pub(super) fn sweep_check(known: &Result<Known, String>, config: &Config, now: DateTime<Utc>) -> Check {
    let name = "last sweep";
    let status = match known {
        Ok(known) => &known.status,
        Err(why) => return GROUP.skipped(name, why),
    };
    let Some(at) = status.last_complete_sweep_at else {
        let found = "no complete sweep yet: nothing is `clear` before one";
        return GROUP.warning(name, found, "`suppressd reconcile`, or wait for the one that `serve` begins with");
    };
    let age = (now - at).num_seconds().max(0).unsigned_abs();
    let found = format!("the last complete one began {} ago", duration::told(age));
    if age > config.max_age.as_secs() {
        let fix = "`suppressd reconcile`; `suppressd sweeps` says what went wrong with the others";
        return GROUP.warning(name, format!("{found}: what is not listed is `stale`"), fix);
    }
    GROUP.well(name, format!("{found}; {} rows of {} pages", status.cache.entries, status.cache.pages))
}
