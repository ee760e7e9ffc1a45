//! `export`: the cache as lines of JSON, of one instant, with a digest at the end.

use std::{
    cell::RefCell,
    fs::File,
    io::{self, BufRead as _, BufReader, BufWriter, Read as _, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::{
    app::{
        AppError,
        copies::{
            CopyError,
            form::{Form, plain},
            part::{self, Part},
            real,
        },
    },
    clock::Clock,
    config::Config,
    model::contents::Contents,
    store::sqlite::{self, KIND, View},
};

/// The form of these lines. Who meets a later one refuses it.
pub const FORMAT: u64 = 1;

/// What the first line is.
pub(super) const HEADER: &str = "suppressd-export";

/// What the last line is.
pub(super) const END: &str = "end";

/// No first line is longer.
const HEADER_BYTES_MAX: u64 = 64 * 1024;

/// How much zstd tries.
const LEVEL: i32 = 3;

/// The last line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct End {
    /// Its kind.
    pub(super) kind: String,
    /// What all lines come to.
    #[serde(flatten)]
    pub(super) contents: Contents,
    /// The sources among them.
    pub(super) sources: u64,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// The file; `None` where it went to stdout.
    pub path: Option<PathBuf>,
    /// What it says.
    #[serde(flatten)]
    pub contents: Contents,
}

/// Writes everything to `to`, which takes its place once it is whole; without it to stdout.
pub fn run(config: &Config, to: Option<&Path>, zstd: bool, clock: &Clock) -> Result<Exported, AppError> {
    let Some(to) = to else {
        let contents = packed(config, WhileRead(Some(io::stdout().lock())), zstd, clock)?;
        return Ok(Exported { path: None, contents });
    };
    let to = real(to);
    if real(&config.db_path) == to {
        return Err(CopyError::Itself(to).into());
    }
    if to.exists() && !(to.is_file() && may_go(&to).map_err(CopyError::io("read", &to))?) {
        return Err(CopyError::NotAnExport(to).into());
    }
    let part = Part::beside(&to)?;
    let (path, file): (PathBuf, File) = part.create("export")?;
    let contents = packed(config, file, zstd, clock)?;
    part::place(&path, &to)?;
    Ok(Exported { path: Some(to), contents })
}

/// Returns whether a file may be overwritten: it is empty, or an earlier export.
fn may_go(path: &Path) -> io::Result<bool> {
    if Form::of_file(path)? == Form::Empty {
        return Ok(true);
    }
    let mut line = Vec::new();
    let source = plain(Box::new(crate::files::open(path)?))?;
    // What cannot be unpacked is none of ours.
    let is_read = BufReader::new(source.take(HEADER_BYTES_MAX)).read_until(b'\n', &mut line).is_ok();
    let header: Option<Json> = serde_json::from_slice(&line).ok().filter(|_| is_read);
    Ok(header.is_some_and(|header| header.get(KIND).and_then(Json::as_str) == Some(HEADER)))
}

fn packed(config: &Config, into: impl Write, zstd: bool, clock: &Clock) -> Result<Contents, CopyError> {
    let unwritten = || CopyError::io("export", &config.db_path);
    let into = BufWriter::new(into);
    if !zstd {
        return written(config, into, clock).and_then(|(contents, mut into)| {
            into.flush().map_err(unwritten())?;
            Ok(contents)
        });
    }
    let mut packer = zstd::Encoder::new(into, LEVEL).map_err(unwritten())?;
    packer.include_checksum(true).map_err(unwritten())?;
    let (contents, packer) = written(config, packer, clock)?;
    packer.finish().and_then(|mut into| into.flush()).map_err(unwritten())?;
    Ok(contents)
}

fn written<W: Write>(config: &Config, into: W, clock: &Clock) -> Result<(Contents, W), CopyError> {
    let into = RefCell::new(into);
    let line = |json: &Json| writeln!(into.borrow_mut(), "{json}");
    let header = |view: &View| line(&header(view, clock));
    let view = sqlite::write_lines(&config.db_path, header, line).map_err(CopyError::unusable(&config.db_path))?;
    let end = End { kind: END.to_owned(), contents: view.contents.clone(), sources: view.sources };
    let end = serde_json::to_value(&end).map_err(io::Error::from);
    end.and_then(|end| line(&end)).map_err(CopyError::io("export", &config.db_path))?;
    Ok((view.contents, into.into_inner()))
}

fn header(view: &View, clock: &Clock) -> Json {
    let Contents { digest: _, entries, claims, pages } = &view.contents;
    json!({
        KIND: HEADER,
        "format": FORMAT,
        "program": concat!("suppressd ", env!("CARGO_PKG_VERSION")),
        "exported_at": clock.now(),
        "feed": view.feed,
        "entries": entries,
        "claims": claims,
        "pages": pages,
        "sources": view.sources,
    })
}

/// Writes as long as somebody reads; that he has gone (`| head`) is no error.
struct WhileRead<W>(Option<W>);

impl<W: Write> WhileRead<W> {
    fn unless_gone<T>(&mut self, done: T, write: impl FnOnce(&mut W) -> io::Result<T>) -> io::Result<T> {
        let Some(writer) = &mut self.0 else { return Ok(done) };
        match write(writer) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.0 = None;
                Ok(done)
            }
            written => written,
        }
    }
}

impl<W: Write> Write for WhileRead<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.unless_gone(bytes.len(), |writer| writer.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.unless_gone((), Write::flush)
    }
}
