//! `metrics`: how it stands as series for Prometheus, for those who run no `serve`.

use std::{
    ffi::OsString,
    fs::{self, File, Metadata, OpenOptions, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::anyhow;
use rustix::fs::OFlags;

use crate::{
    app::gauges,
    cli::{ExitStatus, args::watching::MetricsArgs, database, failure::NextStep, output::Output},
    clock::Clock,
    config::Config,
    files, metrics,
};

/// Everybody may read it: whoever collects it is another user.
const MODE: u32 = 0o644;

/// What a file of series begins with; nothing else is written over.
const BEGINNING: &[u8] = b"# HELP suppressd_";

/// What the names of the database and of the files that SQLite keeps beside it end with.
const OF_THE_DATABASE: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// Prints the series, or writes them into a file.
pub(super) async fn run(args: &MetricsArgs, config: &Config) -> anyhow::Result<ExitStatus> {
    database::is_there(&config.db_path)?;
    let target = args.output.as_ref().map(|path| target(path, &config.db_path)).transpose()?;
    let seen = gauges::state(config, &Clock::system()).await;
    let families: Vec<_> = seen.reading.into_families().collect();
    let text = metrics::text(&families);
    match &target {
        Some(path) => write(path, &text).map_err(|error| unwritable(path, error))?,
        None => Output::stdout().line(text.trim_end())?,
    }
    match seen.unread {
        None => Ok(ExitStatus::Success),
        Some(why) => Err(anyhow!("{} cannot be read: {why}", config.db_path.display())
            .context(NextStep("is it suppressd's database or the pipeline's, and may you read it and its folder?"))),
    }
}

/// Returns the file that is to be written, where links have been followed; or why it is not written over.
fn target(path: &Path, database: &Path) -> anyhow::Result<PathBuf> {
    let refused = |why: &str| {
        anyhow!("{} is not written over: {why}", path.display())
            .context(NextStep("name a file that is not there yet, or one that this command wrote"))
    };
    let real = match fs::canonicalize(path) {
        Ok(real) => real,
        Err(_) if fs::symlink_metadata(path).is_ok() => return Err(refused("it is a link that leads nowhere")),
        Err(error) => {
            let Some(name) = path.file_name() else { return Err(unwritable(path, error)) };
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let folder = fs::canonicalize(parent.unwrap_or_else(|| Path::new(".")));
            folder.map_err(|error| unwritable(path, error))?.join(name)
        }
    };
    let found = fs::metadata(&real).ok();
    let database = fs::canonicalize(database).unwrap_or_else(|_| database.to_owned());
    let is_of_the_database = OF_THE_DATABASE.iter().any(|end| {
        let mut name: OsString = database.clone().into();
        name.push(end);
        let (name, found) = (PathBuf::from(name), found.as_ref());
        real == name || found.is_some_and(|found| fs::metadata(&name).is_ok_and(|other| is_same(found, &other)))
    });
    match found {
        _ if is_of_the_database => Err(refused("it belongs to the database")),
        Some(found) if !found.is_file() => Err(refused("it is no regular file")),
        Some(found) if found.len() > 0 && !has_series(&real).map_err(|error| unwritable(path, error))? => {
            Err(refused("it holds something else than series of suppressd"))
        }
        _ => Ok(real),
    }
}

fn has_series(path: &Path) -> io::Result<bool> {
    let mut beginning = Vec::new();
    files::open(path)?.take(BEGINNING.len() as u64).read_to_end(&mut beginning)?;
    Ok(beginning == BEGINNING)
}

fn unwritable(path: &Path, error: io::Error) -> anyhow::Error {
    let told = anyhow::Error::new(error).context(format!("cannot write {}", path.display()));
    told.context(NextStep("may you write into its folder, and is there room?"))
}

/// Writes a file whole or not at all. What a run leaves beside it that is killed, the next one writes over.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut name = OsString::from(".suppressd-");
    name.push(path.file_name().unwrap_or_default());
    // Its name does not end as those of files that are collected.
    name.push(".tmp");
    let beside = path.with_file_name(name);
    let mut file = own(&beside)?;
    let written = file
        .set_len(0)
        .and_then(|()| file.write_all(text.as_bytes()))
        .and_then(|()| file.set_permissions(Permissions::from_mode(MODE)))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _it_tells_enough = fs::remove_file(&beside);
    }
    written
}

/// Opens a file for this process alone: who writes at the same time waits for its turn. A link is not followed, and a
/// pipe not waited for.
fn own(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    loop {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(MODE).custom_flags(flags).open(path)?;
        file.lock()?;
        let ours = file.metadata()?;
        if !ours.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "what lies beside it is no regular file"));
        }
        // Who had the turn before has given the file its name.
        match fs::symlink_metadata(path) {
            Ok(there) if is_same(&ours, &there) => return Ok(file),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(_) | Err(_) => (),
        }
    }
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}
