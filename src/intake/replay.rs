//! Stored events, given again: files and folders of bodies, or what the inbox itself kept.
//!
//! They go through the door that HTTP uses, signature included, so that what is replayed is judged as what is
//! delivered. Only one thing differs: an event that is known waits once more instead of being a duplicate.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read as _},
    path::{Path, PathBuf},
};

use crate::{
    files,
    intake::{Intake, Receipt},
    model::entry::Door,
    notion::signature::{VerificationToken, sign},
    store::{EventFilter, Seq, Store, StoreError},
};

/// Bodies that are read from the inbox at once.
const BODIES_AT_ONCE: u32 = 500;

/// What is larger than this is not an event.
const EVENT_BYTES_MAX: u64 = 1024 * 1024;

/// The one thing besides files that can be named: what was piped in is one body.
const STDIN: &str = "/dev/stdin";

/// Why a replay broke off. What was accepted before stays accepted.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A file or folder cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A file or line is too large to be an event.
    #[error("{0} is larger than 1 MiB, which no event is")]
    TooLarge(String),
    /// There is nothing to replay.
    #[error("no .json or .jsonl file in {}", .0.display())]
    Nothing(PathBuf),
    /// The inbox cannot be read.
    #[error("cannot read the inbox")]
    Inbox(#[from] StoreError),
    /// The door did not take a body.
    #[error("the inbox did not take {name}: what came before it was taken")]
    NotTaken {
        /// The file, or the place in the inbox.
        name: String,
    },
}

/// What became of the bodies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Replayed {
    /// Events that were new.
    pub accepted: u64,
    /// Events that were known, and wait once more.
    pub reopened: u64,
    /// New events that ask for nothing.
    pub ignored: u64,
    /// New bodies that could not be read as an event.
    pub unreadable: u64,
    /// Bodies that were kept before, and ask for nothing or cannot be read.
    pub unchanged: u64,
}

/// Gives stored bodies to an intake.
#[derive(Debug)]
pub struct Replay<S> {
    intake: Intake<S>,
    token: VerificationToken,
    done: Replayed,
}

impl<S: Store> Replay<S> {
    /// Replays through `intake`, which must know `token`.
    pub fn new(intake: Intake<S>, token: VerificationToken) -> Self {
        Self { intake, token, done: Replayed::default() }
    }

    /// Replays files in their order. A `.jsonl` file holds a body a line.
    pub async fn files(&mut self, files: &[PathBuf]) -> Result<(), ReplayError> {
        for file in files {
            self.file(file).await?;
        }
        Ok(())
    }

    /// Replays every body that `store` has kept by now, in the order in which they came.
    ///
    /// What is given again gets a new place at the end, so that the end is looked up before.
    pub async fn inbox(&mut self, store: &S) -> Result<(), ReplayError> {
        let newest = store.read(|rows| rows.events(EventFilter::All, 1)).await?;
        let Some(end) = newest.first().map(|newest| newest.seq) else { return Ok(()) };
        let mut after = Seq(0);
        while after < end {
            let bodies = store.read(move |rows| rows.bodies(after, BODIES_AT_ONCE)).await?;
            let Some((last, _)) = bodies.last() else { return Ok(()) };
            after = *last;
            for (seq, body) in bodies.into_iter().take_while(|(seq, _)| *seq <= end) {
                self.give(&body, || format!("event {} of the inbox", seq.0)).await?;
            }
        }
        Ok(())
    }

    /// Returns what became of the bodies so far.
    pub const fn done(&self) -> Replayed {
        self.done
    }

    async fn file(&mut self, path: &Path) -> Result<(), ReplayError> {
        let unreadable = |source| ReplayError::Io { path: path.to_owned(), source };
        let file = if path == Path::new(STDIN) { fs::File::open(path) } else { files::open(path) };
        let file = file.map_err(unreadable)?;
        if is(path, "jsonl") {
            return self.lines(path, BufReader::new(file)).await;
        }
        let body = files::bytes(file, EVENT_BYTES_MAX).map_err(|error| match error.kind() {
            io::ErrorKind::FileTooLarge => ReplayError::TooLarge(path.display().to_string()),
            _ => unreadable(error),
        })?;
        self.give(&body, || path.display().to_string()).await
    }

    /// Reads line by line, because a file of many events may be large. Whether a line is text is for the intake.
    async fn lines(&mut self, path: &Path, mut file: impl BufRead) -> Result<(), ReplayError> {
        for number in 1_u64.. {
            let name = || format!("{}:{number}", path.display());
            let mut line = Vec::new();
            let read = file.by_ref().take(EVENT_BYTES_MAX + 1).read_until(b'\n', &mut line);
            if read.map_err(|source| ReplayError::Io { path: path.to_owned(), source })? == 0 {
                break;
            }
            let body = line.strip_suffix(b"\n").unwrap_or(&line);
            if body.len() as u64 > EVENT_BYTES_MAX {
                return Err(ReplayError::TooLarge(name()));
            }
            let body = body.strip_suffix(b"\r").unwrap_or(body);
            if !body.trim_ascii().is_empty() {
                self.give(body, name).await?;
            }
        }
        Ok(())
    }

    async fn give(&mut self, body: &[u8], name: impl FnOnce() -> String) -> Result<(), ReplayError> {
        let signature = sign(body, &self.token);
        match self.intake.receive(body, Some(&signature), Door::Replay).await {
            Receipt::Accepted => self.done.accepted += 1,
            Receipt::Reopened => self.done.reopened += 1,
            Receipt::Ignored | Receipt::Skipped | Receipt::Handshake(_) => self.done.ignored += 1,
            Receipt::Duplicate => self.done.unchanged += 1,
            Receipt::Unreadable => self.done.unreadable += 1,
            Receipt::Refused | Receipt::NotDurable => return Err(ReplayError::NotTaken { name: name() }),
        }
        Ok(())
    }
}

/// Lists the files at some paths, those of a folder in the order of their names. A path without any is an error.
pub fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, ReplayError> {
    let mut all = Vec::new();
    for path in paths {
        let files = files_under(path)?;
        if files.is_empty() {
            return Err(ReplayError::Nothing(path.clone()));
        }
        all.extend(files);
    }
    Ok(all)
}

/// Lists the files at a path: itself, or what is in the folder.
fn files_under(path: &Path) -> Result<Vec<PathBuf>, ReplayError> {
    let unreadable = |source| ReplayError::Io { path: path.to_owned(), source };
    if !fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if (is(&path, "json") || is(&path, "jsonl")) && files::may_be(&path) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn is(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}
