//! `backup`, `restore`, `export`, `import`, `digest`: copies of the database.

use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    app::copies::{
        self, OtherTable,
        backup::{self, BackedUp, BackupOrder},
        export,
        import::{self, Imported, OldCache},
        restore::{self, Others, Restored},
    },
    cli::{
        ExitStatus,
        args::copies::{BackupArgs, DigestArgs, ExportArgs, ImportArgs, RestoreArgs},
        database,
        output::{Output, STRONG, WARNING, counted, plain},
        times::relative,
    },
    clock::Clock,
    config::Config,
    model::contents::Contents,
};

/// What happens next, after a copy has become the database.
const NEXT: &str = "the next `suppressd serve` or `reconcile` sweeps at once; until then nothing is said to be clear";

/// Makes a backup.
pub(super) fn backup(args: &BackupArgs, config: &Config) -> anyhow::Result<ExitStatus> {
    database::is_there(&config.db_path)?;
    let order = BackupOrder { to: args.to.clone(), zstd: args.zstd, keep: args.keep };
    let bar = ProgressBar::no_length().with_style(ProgressStyle::with_template("{bar:40} {pos} of {len} pages")?);
    let made = backup::run(config, &order, &Clock::system(), |copied| {
        bar.set_length(copied.of);
        bar.set_position(copied.done);
    });
    bar.finish_and_clear();
    let made = made?;
    let mut output = Output::stdout();
    if args.json {
        output.json(&made)?;
        return Ok(ExitStatus::Success);
    }
    let BackedUp { path, bytes, contents, other_tables, removed, copy_as_well, not_noted, .. } = &made;
    output.line(format_args!("backup    {STRONG}{}{STRONG:#}, {bytes} bytes, checked", shown(path)))?;
    tell(&mut output, contents)?;
    if !other_tables.is_empty() {
        output.line(format_args!("others    {} of other programs are in it, too", listed(other_tables)))?;
    }
    for path in removed {
        output.line(format_args!("removed   {}", shown(path)))?;
    }
    for path in copy_as_well {
        output.line(format_args!("not in it {}: copy it as well, it is a secret", shown(path)))?;
    }
    if let Some(why) = not_noted {
        output.line(format_args!(
            "{WARNING}not noted{WARNING:#} in the database, so that `status` does not tell of it: {}",
            plain(why)
        ))?;
    }
    Ok(ExitStatus::Success)
}

/// Restores a backup.
pub(super) async fn restore(args: &RestoreArgs, config: &Config) -> anyhow::Result<ExitStatus> {
    let others = if args.force { Others::AreReplaced } else { Others::Stay };
    let clock = Clock::system();
    let restored = restore::run(config, &args.file, others, &clock).await?;
    let mut output = Output::stdout();
    if args.json {
        output.json(&restored)?;
        return Ok(ExitStatus::Success);
    }
    let Restored { database, contents, put_aside, newest_event_at, replaced_tables, other_tables, .. } = &restored;
    output.line(format_args!("restored  {STRONG}{}{STRONG:#}", shown(database)))?;
    tell(&mut output, contents)?;
    if let Some(path) = put_aside {
        output.line(format_args!("put aside {}", shown(path)))?;
    }
    if !replaced_tables.is_empty() {
        output.line(format_args!("{WARNING}replaced{WARNING:#}  {}", listed(replaced_tables)))?;
    }
    if !other_tables.is_empty() {
        output.line(format_args!("others    {} came with the backup", listed(other_tables)))?;
    }
    let newest = newest_event_at.map_or_else(|| "none".to_owned(), |at| format!("{at}, {}", relative(at, clock.now())));
    output.line(format_args!("events    the newest one is from {newest}; what was told later is not in it"))?;
    output.line(format_args!("next      {NEXT}"))?;
    Ok(ExitStatus::Success)
}

/// Writes an export.
pub(super) fn export(args: &ExportArgs, config: &Config) -> anyhow::Result<ExitStatus> {
    database::is_there(&config.db_path)?;
    let file = args.file.as_deref().filter(|file| *file != Path::new("-"));
    let exported = export::run(config, file, args.zstd, &Clock::system())?;
    if let Some(path) = &exported.path {
        let mut output = Output::stdout();
        output.line(format_args!("exported  {STRONG}{}{STRONG:#}", shown(path)))?;
        tell(&mut output, &exported.contents)?;
    }
    Ok(ExitStatus::Success)
}

/// Takes an export.
pub(super) async fn import(args: &ImportArgs, config: &Config) -> anyhow::Result<ExitStatus> {
    let file = Some(args.file.as_path()).filter(|file| *file != Path::new("-"));
    let old = if args.replace { OldCache::IsReplaced } else { OldCache::Stays };
    let imported = import::run(config, file, old, &Clock::system()).await?;
    let mut output = Output::stdout();
    if args.json {
        output.json(&imported)?;
        return Ok(ExitStatus::Success);
    }
    let Imported { contents, entries_of_others, keys_lost, keys_lost_list } = &imported;
    output.line(format_args!("imported  {STRONG}{}{STRONG:#}", shown(&config.db_path)))?;
    tell(&mut output, contents)?;
    if *entries_of_others > 0 {
        output.line(format_args!("others    {} of other programs stay", counted(*entries_of_others, "row")))?;
    }
    if *keys_lost > 0 {
        output.line(format_args!(
            "{WARNING}lost{WARNING:#}      {} had a row and have none now: {}{}",
            counted(*keys_lost, "key"),
            plain(&keys_lost_list.join(", ")),
            if *keys_lost > keys_lost_list.len() as u64 { ", …" } else { "" },
        ))?;
    }
    output.line(format_args!("next      {NEXT}"))?;
    Ok(ExitStatus::Success)
}

/// Prints the digest.
pub(super) fn digest(args: &DigestArgs, config: &Config) -> anyhow::Result<ExitStatus> {
    database::is_there(&config.db_path)?;
    let contents = copies::digest(config)?;
    let mut output = Output::stdout();
    if args.json {
        output.json(&contents)?;
    } else {
        tell(&mut output, &contents)?;
    }
    Ok(ExitStatus::Success)
}

fn tell<W: std::io::Write>(output: &mut Output<W>, contents: &Contents) -> std::io::Result<()> {
    let Contents { digest, entries, claims, pages } = contents;
    output.line(format_args!(
        "holds     {}, {}, {}",
        counted(*entries, "row"),
        counted(*claims, "claim"),
        counted(*pages, "page")
    ))?;
    output.line(format_args!("digest    {digest}"))
}

fn listed(tables: &[OtherTable]) -> String {
    let tables = tables.iter().map(|other| format!("`{}` ({})", plain(&other.table), counted(other.rows, "row")));
    tables.collect::<Vec<_>>().join(", ")
}

fn shown(path: &Path) -> String {
    plain(&path.display().to_string()).into_owned()
}
