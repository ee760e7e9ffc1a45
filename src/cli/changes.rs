//! `changes`: what changed in the cache, and following it.

use std::io::{self, Write};

use tokio::select;
use tokio_util::sync::CancellationToken;

use crate::{
    cli::{
        ExitStatus,
        args::following::ChangesArgs,
        database,
        output::{Output, STRONG, Table, plain},
    },
    clock::Clock,
    config::Config,
    lookup::{
        Lookup,
        changes::{Changes, ChangesError, LISTED_MAX, ListedChange, Position},
        followers::Followers,
    },
    model::entry::{Door, Face},
    store::sqlite::SqliteStore,
};

/// Lists changes, and goes on with those that come where that is asked for.
pub(super) async fn run(args: &ChangesArgs, config: &Config) -> anyhow::Result<ExitStatus> {
    let lookup = database::lookup(config, &Clock::system())?;
    let mut output = Output::stdout();
    let listed = list(&mut output, &lookup, args).await?;
    if !args.follow {
        if listed.changes.is_empty() && !args.json {
            output.line(match args.after {
                Some(after) => format!("nothing has changed since change {after}"),
                None => "nothing has changed yet".to_owned(),
            })?;
        }
        return Ok(ExitStatus::Success);
    }
    let followers = Followers::new(CancellationToken::new());
    select! {
        done = follow(&mut output, &lookup, &followers, (listed.end(), args.json)) => done,
        () = followers.clone().watch(lookup.store().clone()) => Ok(ExitStatus::Success),
        stop = tokio::signal::ctrl_c() => Ok(stop.map(|()| ExitStatus::Success)?),
    }
}

/// Writes as many changes as are asked for; returns the last ones that were read.
async fn list<W: Write>(
    output: &mut Output<W>,
    lookup: &Lookup<SqliteStore>,
    args: &ChangesArgs,
) -> anyhow::Result<Changes> {
    let mut position = Position { after: args.after, feed: None };
    if args.after.is_none() {
        let now = lookup.changes(Position::default(), 1).await?;
        position.after = Some(now.newest.saturating_sub(args.limit.into()).max(now.oldest.saturating_sub(1)));
    }
    let mut left = args.limit;
    let mut table = Table::new(["CHANGE", "WHEN", "KEY", "FROM", "TO", "CAUSE"]);
    let read = loop {
        let read = lookup.changes(position, left.min(LISTED_MAX)).await?;
        if args.json {
            write(output, &read, true)?;
        } else {
            read.changes.iter().map(cells).for_each(|cells| table.row(cells));
        }
        left = left.saturating_sub(u32::try_from(read.changes.len()).unwrap_or(left));
        if left == 0 || read.seq == read.newest || read.changes.is_empty() {
            break read;
        }
        position = read.end();
    };
    if left < args.limit && !args.json {
        output.table(&table)?;
    }
    Ok(read)
}

/// Writes whatever comes.
async fn follow<W: Write>(
    output: &mut Output<W>,
    lookup: &Lookup<SqliteStore>,
    followers: &Followers,
    (mut position, json): (Position, bool),
) -> anyhow::Result<ExitStatus> {
    let mut follower = followers.sit()?;
    loop {
        if output.is_unread() {
            return Ok(ExitStatus::Success);
        }
        let read = following(lookup, position).await?;
        write(output, &read, json)?;
        position = read.end();
        if read.changes.is_empty() {
            follower.wait(read.seq).await;
        }
    }
}

/// Reads what comes after `position`. Another name says that what a copy holds is to be read anew: whoever only looks on goes
/// on where he stands, or, where that is nowhere any more, with what comes.
async fn following(lookup: &Lookup<SqliteStore>, position: Position) -> Result<Changes, ChangesError> {
    let here = Position { feed: None, ..position };
    let mut read = lookup.changes(position, LISTED_MAX).await;
    for position in [here, Position::default()] {
        if !matches!(read, Err(ChangesError::Gone(_))) {
            break;
        }
        read = lookup.changes(position, LISTED_MAX).await;
    }
    read
}

fn write<W: Write>(output: &mut Output<W>, read: &Changes, json: bool) -> io::Result<()> {
    read.changes.iter().try_for_each(|change| if json { output.json(change) } else { output.line(line(change)) })
}

fn line(change: &ListedChange) -> String {
    let [seq, when, key, from, to, cause] = cells(change).map(|cell| plain(&cell).into_owned());
    format!("{seq}  {when}  {STRONG}{key}{STRONG:#}  {from} -> {to}  ({cause})")
}

/// Writes what each column says of a change.
fn cells(change: &ListedChange) -> [String; 6] {
    let ListedChange { seq, changed_at, key, from, to, entry: _, cause } = change;
    let cause = match cause.door {
        // The rules have no name that a person knows.
        Door::Settings => Door::Settings.name().to_owned(),
        door => format!("{} {}", door.name(), cause.id),
    };
    let when = changed_at.format("%Y-%m-%d %H:%M:%S UTC").to_string();
    [seq.to_string(), when, key.to_string(), face(from.as_ref()), face(to.as_ref()), cause]
}

fn face(face: Option<&Face>) -> String {
    face.map_or_else(
        || "no row".to_owned(),
        |face| format!("{}, {}", face.company_name.as_deref().unwrap_or("a company without a name"), face.status),
    )
}
