//! `explain`: why a key is as it is.

use std::io::{self, Write};

use chrono::{DateTime, Utc};

use crate::{
    cli::{
        ExitStatus,
        args::mending::ExplainArgs,
        check, database,
        output::{Output, STRONG, Table, WARNING, counted, plain, short},
        times::{instant, relative},
    },
    clock::Clock,
    config::Config,
    lookup::{
        claims::ListedClaim,
        explain::{ExplainedKey, Explanation, FormerPage, PublishedRow},
        history::ListedChange,
        listing::ListedEvent,
    },
    model::{entry::Face, verdict::Firmness},
};

/// Explains the keys that a value gives.
pub(super) async fn run(args: &ExplainArgs, config: &Config) -> anyhow::Result<ExitStatus> {
    let lookup = database::lookup(config, &Clock::system())?;
    let explained = lookup.explain(args.value.clone(), args.limit).await?;
    let mut output = Output::stdout();
    if args.json {
        output.json(&explained)?;
    } else {
        tell(&mut output, &explained)?;
    }
    Ok(ExitStatus::Success)
}

fn tell<W: Write>(output: &mut Output<W>, explained: &Explanation) -> io::Result<()> {
    let (verdict, now) = (&explained.verdict, explained.at);
    let style = check::style(verdict.verdict);
    let (asked, reason) = (short(&explained.asked), plain(&verdict.reason));
    output.line(format_args!("{asked}: {style}{}{style:#}: {reason}", verdict.verdict.name()))?;
    for key in &explained.keys {
        output.line("")?;
        tell_key(output, key, now)?;
    }
    Ok(())
}

fn tell_key<W: Write>(output: &mut Output<W>, key: &ExplainedKey, now: DateTime<Utc>) -> io::Result<()> {
    output.line(format_args!("{STRONG}{}{STRONG:#} ({})", plain(key.key.as_str()), key.strength.name()))?;
    if let Some(row) = &key.row {
        output.line(format_args!("  row     {}", row_told(row, now)))?;
        if let Some(url) = &row.page_url {
            output.line(format_args!("  page    {}", plain(url)))?;
        }
    }
    if let Some(why) = &key.claims.why {
        output.line(format_args!("  winner  {}", plain(why)))?;
    }
    for note in &key.notes {
        output.line(format_args!("  {WARNING}note{WARNING:#}    {}", plain(note)))?;
    }
    if !key.claims.claims.is_empty() {
        let listed = key.claims.claims.len() as u64;
        let more = if listed < key.claims.pages { format!(", the first {listed} of them") } else { String::new() };
        output.line(format_args!("\n{}{more}:", counted(key.claims.pages, "claim")))?;
        output.table(&claims(&key.claims.claims, now))?;
    }
    if !key.former.is_empty() {
        output.line("\nPages that held it before:")?;
        output.table(&former(&key.former))?;
    }
    if !key.pending.is_empty() {
        output.line("\nEvents that may yet change it:")?;
        output.table(&pending(&key.pending, now))?;
    }
    let history = &key.history;
    if !history.history.is_empty() {
        output.line("\nChanges, newest first:")?;
        output.table(&changes(&history.history))?;
        if history.has_older {
            output.line("older changes are known: ask for more with --limit")?;
        }
    }
    match history.nothing_known_before {
        Some(before) => output.line(format_args!("nothing is known before {}", instant(before, now))),
        None => Ok(()),
    }
}

fn row_told(row: &PublishedRow, now: DateTime<Utc>) -> String {
    let company = row.company_name.as_deref().map_or_else(|| "a company without a name".to_owned(), short);
    let by = if row.synced_from == "other" { "another program".to_owned() } else { short(&row.synced_from) };
    let until = match row.expires_at {
        Some(at) if row.is_expired => format!("expired {}", instant(at, now)),
        Some(at) => format!("counts until {}", instant(at, now)),
        None => "its expiry cannot be read".to_owned(),
    };
    format!("{company}, {} ({}), brought by {by}, {until}", short(&row.status), firmness(row.firmness))
}

fn claims(claims: &[ListedClaim], now: DateTime<Utc>) -> Table {
    let mut table = Table::new(["COMPANY", "STATUS", "", "GIVEN BY", "EDITED", "SEEN", "LOSES BY", "PAGE"]);
    for claim in claims {
        let by = claim.seen_by.map(|door| format!(" by {}", door.name())).unwrap_or_default();
        let mut seen = format!("{}{by}", relative(claim.seen_at, now));
        if let Some(since) = claim.missing_since {
            seen = format!("{seen}; 404 since {}", day(since));
        }
        if let Some(since) = claim.unfound_since {
            seen = format!("{seen}; not found since {}", day(since));
        }
        table.row([
            claim.company_name.as_deref().map(short).unwrap_or_default(),
            short(&claim.status),
            firmness(claim.firmness).to_owned(),
            claim.origin.name().to_owned(),
            minute(claim.last_edited_time),
            seen,
            claim.loses_by.map(|rule| rule.name().to_owned()).unwrap_or_default(),
            claim.page_url.clone().unwrap_or_else(|| claim.page.to_string()),
        ]);
    }
    table
}

fn former(former: &[FormerPage]) -> Table {
    let mut table = Table::new(["COMPANY", "WHY IT DOES NOT HOLD IT NOW", "PAGE"]);
    for page in former {
        table.row([
            page.company_name.as_deref().map(short).unwrap_or_default(),
            page.why.clone(),
            page.page_url.clone().unwrap_or_else(|| page.page.to_string()),
        ]);
    }
    table
}

fn pending(events: &[ListedEvent], now: DateTime<Utc>) -> Table {
    let mut table = Table::new(["EVENT", "RECEIVED", "KIND", "STATE", "TRIES", "REASON"]);
    for event in events {
        table.row([
            event.event_id.clone(),
            relative(event.received_at, now),
            event.kind.clone(),
            event.state.to_owned(),
            event.attempts.to_string(),
            event.reason.as_deref().map(short).unwrap_or_default(),
        ]);
    }
    table
}

fn changes(changes: &[ListedChange]) -> Table {
    let mut table = Table::new(["WHEN", "FROM", "TO", "CAUSE"]);
    for change in changes {
        let moves = change.from.as_ref().map(|face| face.page) != change.to.as_ref().map(|face| face.page);
        let told =
            |face: &Option<Face>| face.as_ref().map_or_else(|| "no row".to_owned(), |face| face_told(face, moves));
        let when = change.changed_at.format("%Y-%m-%d %H:%M:%S UTC").to_string();
        table.row([when, told(&change.from), told(&change.to), change.cause.told.clone()]);
    }
    table
}

fn face_told(face: &Face, names_page: bool) -> String {
    let company = face.company_name.as_deref().map_or_else(|| "without a name".to_owned(), short);
    let page = if names_page { format!(" (page {})", face.page) } else { String::new() };
    format!("{company}: {}{page}", short(&face.status))
}

const fn firmness(firmness: Firmness) -> &'static str {
    match firmness {
        Firmness::Hard => "hard",
        Firmness::Soft => "soft",
    }
}

fn minute(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M").to_string()
}

fn day(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d").to_string()
}
