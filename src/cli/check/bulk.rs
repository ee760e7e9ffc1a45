//! `check --input`: may these be pushed? A file of companies, answered row by row.

mod added;
mod columns;
mod csv_form;
mod form;
mod json_form;
mod pipeline;

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Cursor, IsTerminal as _, Read, Write},
    path::Path,
};

use anyhow::Context as _;
use chrono::TimeDelta;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

pub use crate::cli::check::bulk::{
    form::Unreadable,
    pipeline::{Stopped, Tally},
};
use crate::{
    cli::{
        ExitStatus,
        args::bulk::InputFormat,
        check::bulk::{csv_form::BYTE_ORDER_MARK, form::ROW_BYTES_MAX, json_form::JsonForm, pipeline::Run},
        failure::NextStep,
        output::counted,
    },
    lookup::Lookup,
    store::Store,
};

const MEND: &str = "mend the file there and run it again; `suppressd check --help` says what it may hold";

/// How a file is asked about.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bulk {
    /// The form of the file; `None` to tell it by how the file begins.
    pub format: Option<InputFormat>,
    /// A proof that is older than this makes an answer stale; `None` stands for what the settings say.
    pub max_age: Option<TimeDelta>,
}

impl Bulk {
    /// Answers every row of `input` and writes it to `output`, telling `progress` after each batch.
    ///
    /// Returns what came of the rows that were written, also where the run stopped early. That the reader of the output
    /// has gone is no error.
    pub fn answer<S: Store>(
        self,
        lookup: &Lookup<S>,
        input: impl Read,
        output: &mut (impl Write + Send),
        progress: &mut (impl FnMut(&Tally) + Send),
    ) -> (Tally, Result<(), Stopped>) {
        let mut input = BufReader::new(input);
        let beginning = match beginning(&mut input) {
            Ok(beginning) => beginning,
            Err(error) => return (Tally::default(), Err(Unreadable::Input(error).into())),
        };
        let refused = |why: Unreadable| (Tally::default(), Err(why.into()));
        if self.format.unwrap_or_else(|| format(&beginning)) == InputFormat::Jsonl {
            if let Err(why) = json_form::recognise(&String::from_utf8_lossy(&beginning)) {
                return refused(why);
            }
            let batches = json_form::open(Cursor::new(beginning).chain(input));
            return Run { lookup, max_age: self.max_age, form: &JsonForm }.answer(batches, output, progress);
        }
        match csv_form::open(&beginning, input) {
            Ok((form, batches)) => Run { lookup, max_age: self.max_age, form: &form }.answer(batches, output, progress),
            Err(why) => refused(why),
        }
    }
}

/// Reads the first line that is not blank, and whatever comes along with it.
fn beginning(input: &mut BufReader<impl Read>) -> io::Result<Vec<u8>> {
    let mut beginning = Vec::new();
    while beginning.len() <= ROW_BYTES_MAX {
        let more = input.fill_buf()?;
        let read = more.len();
        if read == 0 {
            break;
        }
        beginning.extend_from_slice(more);
        input.consume(read);
        if beginning.trim_ascii_start().contains(&b'\n') {
            break;
        }
    }
    Ok(beginning)
}

/// An object of JSON begins with a brace, and a list with a bracket: that it is no object is told then.
fn format(beginning: &[u8]) -> InputFormat {
    let text = beginning.strip_prefix(BYTE_ORDER_MARK.as_bytes()).unwrap_or(beginning);
    match text.trim_ascii_start() {
        [b'{' | b'[', ..] => InputFormat::Jsonl,
        _ => InputFormat::Csv,
    }
}

/// Runs the command: from `path` to stdout, and says on stderr how it goes.
pub(super) fn run<S: Store>(path: &Path, bulk: Bulk, lookup: &Lookup<S>) -> anyhow::Result<ExitStatus> {
    let begun = Instant::now();
    let (input, size): (Box<dyn Read>, _) = if path == Path::new("-") {
        (Box::new(io::stdin().lock()), None)
    } else {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        // A pipe has a name, too, and no size.
        let size = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|found| found.len());
        (Box::new(file), size)
    };
    let bar = bar(size)?;
    let mut show = |tally: &Tally| {
        bar.set_position(tally.bytes_read);
        bar.set_message(counted(tally.rows(), "row"));
    };
    let (tally, ended) = bulk.answer(lookup, input, &mut io::stdout(), &mut show);
    bar.finish_and_clear();
    let told = summary(&tally, begun.elapsed().as_secs_f64());
    let _nobody_reads = writeln!(anstream::stderr(), "{told}");
    let Err(stopped) = ended else { return Ok(ExitStatus::Success) };
    let is_mendable = matches!(stopped, Stopped::Unreadable(_));
    let error = anyhow::Error::new(stopped).context(told_where(path));
    Err(if is_mendable { error.context(NextStep(MEND)) } else { error })
}

fn told_where(path: &Path) -> String {
    let name = if path == Path::new("-") { "stdin".into() } else { path.display().to_string() };
    format!("{name} was not answered to its end")
}

/// Nobody sees a bar in a file, and where the answers go to the same terminal, they show how it goes.
fn bar(size: Option<u64>) -> anyhow::Result<ProgressBar> {
    if io::stdout().is_terminal() {
        return Ok(ProgressBar::hidden());
    }
    Ok(match size {
        Some(size) => ProgressBar::new(size)
            .with_style(ProgressStyle::with_template("{bar:30} {percent}% {msg}, about {eta} left")?),
        None => ProgressBar::new_spinner().with_style(ProgressStyle::with_template("{spinner} {msg}")?),
    })
}

fn summary(tally: &Tally, seconds: f64) -> String {
    let Tally { hard, soft, clear, stale, unanswered, bytes_read: _ } = tally;
    format!(
        "{}: {} suppressed ({hard} hard), {clear} clear, {stale} stale, {unanswered} without an answer, in {seconds:.1} s",
        counted(tally.rows(), "row"),
        hard + soft
    )
}
