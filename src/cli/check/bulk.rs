//! `check --input`: may these be pushed? A file of companies, answered row by row.

mod added;
mod beginning;
mod columns;
mod csv_form;
mod form;
mod json_form;
mod members;
mod pipeline;
mod understood;

use std::{
    fs::File,
    io::{self, BufReader, Cursor, IsTerminal as _, Read, Write},
    path::Path,
};

use anyhow::{Context as _, anyhow};
use chrono::TimeDelta;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

pub use crate::cli::check::bulk::{
    form::Unreadable,
    pipeline::{Ended, Stopped, Tally},
    understood::Understood,
};
use crate::{
    cli::{
        ExitStatus,
        args::bulk::{ColumnIs, InputFormat},
        check::bulk::{columns::Meaning, json_form::JsonForm, pipeline::Run},
        failure::NextStep,
        output::{WARNING, counted},
    },
    lookup::Lookup,
    store::Store,
};

const MEND: &str = "mend the file there and run it again; `suppressd check --help` says what it may hold";

const READ_ERRORS: &str = "suppressd_error (in JSON: suppressd.error) says of each why; the others are answered";

const NAMES_ALONE: &str = "these rows are asked by name alone: clear then only says that no page without other keys has this \
     name; better have a column with websites or numbers, or say which one is, as in --column \"HEADER=website\"";

/// How a file is asked about.
#[derive(Debug, Clone, Default)]
pub struct Bulk {
    /// The form of the file; `None` to tell it by how the file begins.
    pub format: Option<InputFormat>,
    /// A proof that is older than this makes an answer stale; `None` stands for what the settings say.
    pub max_age: Option<TimeDelta>,
    /// What columns are to be taken for, whatever their names.
    pub columns: Vec<ColumnIs>,
}

/// What is told of a run while it goes on.
#[derive(Debug)]
pub enum Told<'a> {
    /// What was understood of the columns: of CSV before the first row, of JSON lines when all are read.
    Understood(&'a Understood),
    /// A batch was written: what came of all rows so far.
    Written(&'a Tally),
}

impl Bulk {
    /// Answers every row of `input` and writes it to `output`, telling `told` how it goes.
    ///
    /// Returns what came of the rows that were written, also where the run stopped early. That the reader of the output
    /// has gone is no error.
    pub fn answer<S: Store>(
        self,
        lookup: &Lookup<S>,
        input: impl Read,
        output: &mut (impl Write + Send),
        told: &mut (impl FnMut(Told<'_>) + Send),
    ) -> (Tally, Result<Ended, Stopped>) {
        self.run(lookup, input, output, told).unwrap_or_else(|why| (Tally::default(), Err(why.into())))
    }

    fn run<S: Store>(
        self,
        lookup: &Lookup<S>,
        input: impl Read,
        output: &mut (impl Write + Send),
        told: &mut (impl FnMut(Told<'_>) + Send),
    ) -> Result<(Tally, Result<Ended, Stopped>), Unreadable> {
        let Self { format, max_age, columns } = self;
        let meaning = Meaning::new(columns);
        let mut input = BufReader::new(input);
        let beginning = beginning::read(&mut input)?;
        beginning::refuse_others(&beginning)?;
        if format.unwrap_or_else(|| beginning::format(&beginning)) == InputFormat::Csv {
            let (form, batches) = csv_form::open(&beginning, input, &meaning)?;
            told(Told::Understood(&form.understood()));
            let run = Run { lookup, max_age, form: &form };
            return Ok(run.answer(batches, output, &mut |tally| told(Told::Written(tally))));
        }
        json_form::recognise(&String::from_utf8_lossy(&beginning), &meaning)?;
        let form = JsonForm::new(meaning);
        let batches = json_form::open(Cursor::new(beginning).chain(input));
        let run = Run { lookup, max_age, form: &form };
        let (tally, ended) = run.answer(batches, output, &mut |tally| told(Told::Written(tally)));
        told(Told::Understood(&form.understood()));
        let ended = match ended {
            Ok(Ended::Complete) => form.all_met().map(|()| Ended::Complete).map_err(Stopped::from),
            ended => ended,
        };
        Ok((tally, ended))
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
    let mut show = |told: Told<'_>| match told {
        Told::Understood(understood) => bar.suspend(|| tell(understood)),
        Told::Written(tally) => {
            bar.set_position(tally.bytes_read);
            bar.set_message(counted(tally.rows(), "row"));
        }
    };
    let (tally, ended) = bulk.answer(lookup, input, &mut io::stdout(), &mut show);
    bar.finish_and_clear();
    // Whoever does not read to the end wants no summary of it.
    if matches!(ended, Ok(Ended::ReaderGone)) {
        return Ok(ExitStatus::Success);
    }
    let told = summary(&tally, begun.elapsed().as_secs_f64());
    let _nobody_reads = writeln!(anstream::stderr(), "{told}");
    let Err(stopped) = ended else {
        return match tally.unreadable {
            0 => Ok(ExitStatus::Success),
            rows => Err(anyhow!("{} could not be read", counted(rows, "row")).context(NextStep(READ_ERRORS))),
        };
    };
    let is_mendable = matches!(stopped, Stopped::Unreadable(Unreadable::Row { .. } | Unreadable::Table(_)));
    let error = anyhow::Error::new(stopped).context(told_where(path));
    Err(if is_mendable { error.context(NextStep(MEND)) } else { error })
}

/// Tells on stderr what was understood of the columns.
fn tell(understood: &Understood) {
    let mut stderr = anstream::stderr();
    let _nobody_reads = writeln!(stderr, "{understood}");
    if understood.is_names_alone() {
        let _nobody_reads = writeln!(stderr, "{WARNING}warning:{WARNING:#} {NAMES_ALONE}");
    }
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
    let Tally { hard, soft, clear, stale, unanswered, unreadable, bytes_read: _ } = tally;
    let unreadable = if *unreadable == 0 { String::new() } else { format!(", {unreadable} unreadable") };
    format!(
        "{}: {} suppressed ({hard} hard), {clear} clear, {stale} stale, {unanswered} without an answer{unreadable}, in {seconds:.1} s",
        counted(tally.rows(), "row"),
        hard + soft
    )
}
