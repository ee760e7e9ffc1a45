//! Arguments of the commands that make copies and take them: `backup`, `restore`, `export`, `import`, `digest`.

use std::path::PathBuf;

use clap::ValueHint;

/// Makes a copy of the database, also while `serve` and other programs write.
///
/// The copy is the state of one instant. It is made beside its place, checked (every page, the schema, and with --zstd
/// that it unpacks), synced, and only then takes its place: whatever happens meanwhile, an earlier copy stays whole. Only
/// its owner can read it. Tables of other programs in the same file are in it, too.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
In a folder the name says of what and when, in UTC: that of suppressd.db is
suppressd-20261122T031500Z.db. --keep removes only files with such names of the
same database, and only once the new one is safe. Databases of the same file
name need folders of their own. A file that is there is overwritten only if it
is empty or an earlier copy, and holds no tables that the database has none of.

Not in it: the settings, and the verification token that a handshake stored in
a file of its own. Copy both as well.

With --json one object: at, path, bytes, schema_version, digest, entries,
claims, pages, other_tables (table, rows), removed, copy_as_well, not_noted.

Examples:
  suppressd backup suppressd-backup.db
  suppressd backup /var/backups/suppressd --zstd --keep 14
  suppressd --db-path signals.db backup before-update.db

Exit status: 0 made and checked; 2 an error, and nothing was overwritten.")]
pub struct BackupArgs {
    /// The file to make, or a folder that gets a file of a new name.
    #[arg(value_name = "FILE|DIRECTORY", value_hint = ValueHint::AnyPath)]
    pub to: PathBuf,
    /// Compress it with zstd.
    #[arg(long)]
    pub zstd: bool,
    /// Keep this many backups in the folder, the new one among them, and remove the oldest beyond.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep: Option<u32>,
    /// Answer with one object of JSON.
    #[arg(long)]
    pub json: bool,
}

/// Puts a backup in the place of the database.
///
/// The backup is checked first. The old database is put aside, with its name and «.before-restore-» and the time behind
/// it, and the new one takes its place at once. Refuses while a suppressd or another program works on the database.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
FILE is what `backup` made; whether it is compressed is seen by itself. One of
an older suppressd is brought up to date, one of a newer is refused.

What was told after the backup is not in it. So the next `serve` (or
`reconcile`) sweeps at once, and until that is complete nothing is said to be
clear: what has no row is stale. Rows count as before, as old as they are. Who
follows the changes is told to begin anew.

Where the database is the pipeline's own, its tables would become those of the
backup, too: that is refused, and which tables, unless --force is said. To
carry over the cache alone, use `export` and `import`.

With --json one object: database, digest, entries, claims, pages,
schema_version, put_aside, newest_event_at, replaced_tables, other_tables.

Examples:
  systemctl stop suppressd
  suppressd restore /var/backups/suppressd/suppressd-20261122T031500Z.db.zst
  systemctl start suppressd

Where the database is gone, what SQLite left beside it (-wal, -journal, -shm) is
put aside all the same.

Exit status: 0 restored; 2 an error, and the database is what it was.")]
pub struct RestoreArgs {
    /// The backup.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Replace tables of other programs, too, or a database that cannot be read.
    #[arg(long)]
    pub force: bool,
    /// Answer with one object of JSON.
    #[arg(long)]
    pub json: bool,
}

/// Writes the cache as lines of JSON, also while `serve` writes.
///
/// The state of one instant: the sources, the pages with the values that keys are made of, their claims, and the
/// published rows, one object a line. The first line says what the file is, the last one its digest, which `import`
/// checks. Events and history are not in it.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
A file that is there is overwritten only if it is empty or an earlier export.

Examples:
  suppressd export cache.jsonl.zst --zstd
  suppressd export | jq -r 'select(.kind == \"entry\") | .canonical_key'

Exit status: 0 written; 2 an error, and a file that was there is what it was.")]
pub struct ExportArgs {
    /// The file to make; - or nothing for stdout.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// Compress it with zstd.
    #[arg(long)]
    pub zstd: bool,
}

/// Makes the lines of an export the cache of the database.
///
/// All of it or nothing: rows are taken over in one transaction, after the whole file was read and its digest checked.
/// Other tables of the database, and rows that other programs published, stay as they are. Refuses while a suppressd
/// works on the database.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
A cache that is there already stays, unless --replace is said. Two caches are
never merged: what one of them has proven to be gone the other would bring
back. Keys that had a row and have none afterwards are told.

As after a restore the next `serve` (or `reconcile`) sweeps at once, and until
that is complete nothing is said to be clear.

With --json one object: digest, entries, claims, pages, entries_of_others,
keys_lost, keys_lost_list (at most 20).

Examples:
  suppressd --db-path new.db import cache.jsonl.zst
  ssh old suppressd export | suppressd import - --replace

Exit status: 0 imported; 2 an error, and the cache is what it was.")]
pub struct ImportArgs {
    /// The export, compressed or not; - for stdin.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Replace the cache that is there.
    #[arg(long)]
    pub replace: bool,
    /// Answer with one object of JSON.
    #[arg(long)]
    pub json: bool,
}

/// Prints the digest of what the cache says.
///
/// Two databases with the same digest say the same: the same keys with the same pages, statuses, names and origins, the
/// same claims, the same pages with the same values. When and by which event or sweep anything was seen or confirmed
/// does not count, nor do events, history and pages that are in the trash.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
`backup`, `restore`, `export` and `import` print the same digest. A copy that was
restored elsewhere and swept once has the digest of its original, if nothing
changed meanwhile. Only a page that Notion deleted for good after the copy stays
there until it expires: a sweep is no proof of that.

Examples:
  suppressd digest
  suppressd --db-path restored.db digest --json

Exit status: 0 printed; 2 an error.")]
pub struct DigestArgs {
    /// Answer with one object of JSON: digest, entries, claims, pages.
    #[arg(long)]
    pub json: bool,
}
