//! Batches on several threads, and their answers in the order of the rows.
//!
//! The calling thread reads; workers ask and put the answers into the form of the table; one more thread writes. The
//! workers are served in turn and asked in turn, and that is what keeps the order. All channels are bounded, so that
//! memory is, and whoever fails drops its end of them, so that the others stop.

use std::{
    io::{self, ErrorKind, Write},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};

use chrono::TimeDelta;

use crate::{
    cli::check::bulk::form::{Answer, Batch, Form, NoAnswer, Unreadable},
    lookup::{Lookup, LookupError},
    model::verdict::{self, Firmness},
    store::{Store, StoreError},
};

/// More threads than this are of no use: reading and writing are done by one each.
const WORKERS_MAX: usize = 8;

/// Batches that wait for each worker, and answers that wait to be written.
const WAITING_MAX: usize = 1;

/// What came of all rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rows that are to be left alone.
    pub hard: u64,
    /// Rows that are in the pipeline.
    pub soft: u64,
    /// Rows that may be pushed.
    pub clear: u64,
    /// Rows of which too little is known.
    pub stale: u64,
    /// Rows that give no key.
    pub unanswered: u64,
    /// Rows that could not be read.
    pub unreadable: u64,
    /// Bytes that were read for them.
    pub bytes_read: u64,
}

/// How a run ended that nothing stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All is written.
    Complete,
    /// Nobody reads the answers any more.
    ReaderGone,
}

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// The rest of the input cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The cache does not answer.
    #[error("the cache does not answer")]
    Store(#[from] StoreError),
    /// Nothing more can be written.
    #[error("the answers cannot be written")]
    Output(#[source] io::Error),
}

/// A batch that is ready to be written.
struct Ready {
    text: Vec<u8>,
    tally: Tally,
    broken: Option<Unreadable>,
}

/// How a run is made.
#[derive(Debug)]
pub(super) struct Run<'a, S, F> {
    /// Who answers.
    pub(super) lookup: &'a Lookup<S>,
    /// A proof that is older than this makes an answer stale; `None` stands for what the settings say.
    pub(super) max_age: Option<TimeDelta>,
    /// The form of the table.
    pub(super) form: &'a F,
}

/// As many workers as there are processors.
fn workers() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(WORKERS_MAX)
}

impl Tally {
    /// Returns how many rows there were.
    pub const fn rows(&self) -> u64 {
        self.hard + self.soft + self.clear + self.stale + self.unanswered + self.unreadable
    }

    fn count(&mut self, answer: &Answer) {
        let counter = match answer {
            Err(NoAnswer::Unreadable(_)) => &mut self.unreadable,
            Err(NoAnswer::Unanswerable(_)) => &mut self.unanswered,
            Ok(verdict) => match (verdict.verdict, verdict.matched.as_ref().map(|matched| matched.firmness)) {
                (verdict::Answer::Clear, _) => &mut self.clear,
                (verdict::Answer::Stale, _) => &mut self.stale,
                (verdict::Answer::Suppressed, Some(Firmness::Hard)) => &mut self.hard,
                (verdict::Answer::Suppressed, _) => &mut self.soft,
            },
        };
        *counter += 1;
    }

    fn add(&mut self, other: &Self) {
        self.hard += other.hard;
        self.soft += other.soft;
        self.clear += other.clear;
        self.stale += other.stale;
        self.unanswered += other.unanswered;
        self.unreadable += other.unreadable;
        self.bytes_read = other.bytes_read;
    }
}

impl<S: Store, F: Form> Run<'_, S, F> {
    /// Answers all batches and writes them to `output`, telling `progress` after each. What was answered before a run
    /// stopped is written. That the reader of the output has gone ends a run without an error.
    pub(super) fn answer(
        &self,
        batches: impl Iterator<Item = Batch<F::Rows>>,
        output: &mut (impl Write + Send),
        progress: &mut (impl FnMut(&Tally) + Send),
    ) -> (Tally, Result<Ended, Stopped>) {
        thread::scope(|scope| {
            let (mut to_workers, mut from_workers) = (Vec::new(), Vec::new());
            for _ in 0..workers() {
                let (batches, waiting) = sync_channel(WAITING_MAX);
                let (answers, ready) = sync_channel(WAITING_MAX);
                scope.spawn(move || self.work(&waiting, &answers));
                to_workers.push(batches);
                from_workers.push(ready);
            }
            let writing = scope.spawn(move || {
                let mut total = Tally::default();
                let ended = self.write(&from_workers, output, &mut total, progress);
                (total, ended)
            });
            for (batch, worker) in batches.zip(to_workers.iter().cycle()) {
                // A worker is gone only where the run has stopped.
                if worker.send(batch).is_err() {
                    break;
                }
            }
            drop(to_workers);
            writing.join().unwrap_or_else(|panicked| std::panic::resume_unwind(panicked))
        })
    }

    fn work(&self, waiting: &Receiver<Batch<F::Rows>>, answers: &SyncSender<Result<Ready, Stopped>>) {
        for batch in waiting {
            let ready = self.ready(batch);
            if answers.send(ready).is_err() {
                break;
            }
        }
    }

    fn ready(&self, mut batch: Batch<F::Rows>) -> Result<Ready, Stopped> {
        let asked = self.form.questions(&mut batch.rows);
        let mut questions = Vec::with_capacity(asked.len());
        let unasked: Vec<Option<NoAnswer>> =
            asked.into_iter().map(|asked| asked.map(|question| questions.push(question)).err()).collect();
        let mut answers = self.lookup.answer_blocking(&questions, self.max_age)?.into_iter();
        let mut tally = Tally { bytes_read: batch.bytes_read, ..Tally::default() };
        let mut all = Vec::with_capacity(unasked.len());
        for unasked in unasked {
            let answer = match unasked {
                Some(none) => Err(none),
                None => match answers.next() {
                    Some(Ok(verdict)) => Ok(verdict),
                    Some(Err(LookupError::Unanswerable(why))) => Err(NoAnswer::Unanswerable(why)),
                    Some(Err(LookupError::Store(error))) => return Err(error.into()),
                    None => break,
                },
            };
            tally.count(&answer);
            all.push(answer);
        }
        let text = self.form.write(&batch.rows, &all).map_err(Stopped::Output)?;
        Ok(Ready { text, tally, broken: batch.broken })
    }

    fn write(
        &self,
        workers: &[Receiver<Result<Ready, Stopped>>],
        output: &mut impl Write,
        total: &mut Tally,
        progress: &mut impl FnMut(&Tally),
    ) -> Result<Ended, Stopped> {
        let mut write = |text: &[u8]| match output.write_all(text).and_then(|()| output.flush()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(Stopped::Output(error)),
        };
        let head = self.form.head().map_err(Stopped::Output)?;
        if !write(&head)? {
            return Ok(Ended::ReaderGone);
        }
        for ready in workers.iter().cycle().map_while(|worker| worker.recv().ok()) {
            let Ready { text, tally, broken } = ready?;
            if !write(&text)? {
                return Ok(Ended::ReaderGone);
            }
            total.add(&tally);
            progress(total);
            if let Some(broken) = broken {
                return Err(broken.into());
            }
        }
        Ok(Ended::Complete)
    }
}
