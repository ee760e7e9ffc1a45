//! What every form of a table can do: give rows a batch at a time, and write them with their answers.

use std::io;

use crate::{lookup::Question, model::verdict::Verdict};

/// Rows that are answered together, from one view of the cache.
pub(super) const ROWS_AT_ONCE: usize = 1000;

/// A batch ends sooner where its rows have as many bytes: it is held in memory.
pub(super) const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// A row of a table has at most this many bytes: a quote that is never closed would take in the rest of the file.
pub(super) const ROW_BYTES_MAX: usize = 1024 * 1024;

/// The answer to a row, or why there is none.
pub(super) type Answer = Result<Verdict, NoAnswer>;

/// Why a row has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// It cannot be read.
    Unreadable(String),
    /// It was read, and nothing in it can be asked.
    Unanswerable(String),
}

impl NoAnswer {
    /// Returns why, for people.
    pub(super) fn why(&self) -> &str {
        match self {
            Self::Unreadable(why) | Self::Unanswerable(why) => why,
        }
    }
}

/// Some rows in the order in which they stand.
#[derive(Debug)]
pub(super) struct Batch<R> {
    /// The rows.
    pub(super) rows: R,
    /// Where the file cannot be read on behind them.
    pub(super) broken: Option<Unreadable>,
    /// How many bytes of the file have been read.
    pub(super) bytes_read: u64,
}

/// A form of tables.
pub(super) trait Form: Sync {
    /// Rows as they were read.
    type Rows: Send;

    /// Writes what stands before the first row.
    fn head(&self) -> io::Result<Vec<u8>>;

    /// Returns what each row asks.
    fn questions(&self, rows: &mut Self::Rows) -> Vec<Result<Question, NoAnswer>>;

    /// Writes each row with its answer.
    fn write(&self, rows: &Self::Rows, answers: &[Answer]) -> io::Result<Vec<u8>>;
}

/// Why a file cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// A row is not one.
    #[error("line {line}: {why}")]
    Row {
        /// The line where it begins, counted from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The file is not a table about companies.
    #[error("{0}")]
    Table(String),
    /// The file gives nothing more.
    #[error("reading stopped")]
    Input(#[from] io::Error),
}

impl Unreadable {
    /// Says of a row what is wrong with it.
    pub(super) fn row(line: u64, why: impl Into<String>) -> Self {
        Self::Row { line, why: why.into() }
    }

    /// Says that a row is too long.
    pub(super) fn too_long(line: u64) -> Self {
        Self::row(line, format!("this row has more than {} KiB: is a quote not closed?", ROW_BYTES_MAX / 1024))
    }
}
