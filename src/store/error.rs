//! Why the database did not do what was asked.

use std::error::Error as StdError;

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Too much waits to be written: try again later.
    #[error("too many events wait to be written")]
    Full,
    /// The database was written by a newer version of the program.
    #[error("the database {path} has schema version {found}, this program knows {known}: use a newer suppressd")]
    Newer {
        /// The file.
        path: String,
        /// The version that it has.
        found: u32,
        /// The newest version that this program knows.
        known: u32,
    },
    /// The file is older than this program, or is not one of suppressd's, and was opened for reading only.
    #[error(
        "{path} holds no cache of this version: start `suppressd serve` with it once, or name another file with --db-path"
    )]
    Unprepared {
        /// The file.
        path: String,
    },
    /// The published table is there, but is not the one that was agreed.
    #[error("{path} has a table `{table}` that is not suppressd's ({problem}): name another file with --db-path")]
    Foreign {
        /// The file.
        path: String,
        /// The table.
        table: String,
        /// What is different.
        problem: String,
    },
    /// A row does not say what it should.
    #[error("the row {row} of `{table}` has an unreadable {column}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// Its key.
        row: String,
    },
    /// The database cannot be used now.
    #[error("the database cannot be used ({doing})")]
    Unavailable {
        /// What was being done.
        doing: &'static str,
        /// What the adapter says.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
}
