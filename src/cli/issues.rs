//! `issues`: what a person should mend in the CRM.

use std::{
    collections::BTreeSet,
    io::{self, IsTerminal as _, Write},
};

use crate::{
    cli::{
        ExitStatus,
        args::mending::IssuesArgs,
        database,
        output::{GOOD, Output, STRONG, Table, counted, plain, short},
    },
    clock::Clock,
    config::Config,
    lookup::{
        Lookup,
        issues::{Issue, IssueKind, IssuePage, Issues},
    },
    store::sqlite::SqliteStore,
};

/// People are shown as many of each kind, unless they ask for more.
const SHOWN: u32 = 20;

/// Machines are given all, this many with one reading of the pages.
const AT_ONCE: u32 = 10_000;

/// What stands above the columns of CSV.
const COLUMNS: [&str; 13] = [
    "kind",
    "key",
    "company_name",
    "status",
    "page",
    "page_url",
    "property",
    "text",
    "what",
    "what_to_do",
    "pages_total",
    "since",
    "source",
];

/// Lists issues.
pub(super) async fn run(args: &IssuesArgs, config: &Config) -> anyhow::Result<ExitStatus> {
    let lookup = database::lookup(config, &Clock::system())?;
    let asked: BTreeSet<IssueKind> =
        if args.kinds.is_empty() { IssueKind::ALL.into() } else { args.kinds.iter().copied().collect() };
    let seen = io::stdout().is_terminal();
    let mut output = if args.csv && !seen { Output::unchanged() } else { Output::stdout() };
    if !args.json && !args.csv {
        let counted = lookup.issues(asked, None, 0).await?;
        tell(&mut output, &lookup, (&counted, args), args.limit.unwrap_or(SHOWN)).await?;
        return Ok(ExitStatus::Success);
    }
    if args.csv {
        output.line(csv_line(COLUMNS.map(str::to_owned))?)?;
    }
    // Kinds that have no limit of their own are listed with one reading of the pages.
    let together =
        if args.limit.is_some() { asked.into_iter().map(|kind| [kind].into()).collect() } else { vec![asked] };
    for kinds in together {
        let mut write = |issue: &Issue| if args.csv { write_csv(&mut output, issue, seen) } else { output.json(issue) };
        let (mut after, mut left) = (None, args.limit.unwrap_or(u32::MAX));
        while left > 0 {
            let some = lookup.issues(kinds.clone(), after, left.min(AT_ONCE)).await?;
            some.issues.iter().try_for_each(&mut write)?;
            left = left.saturating_sub(some.issues.len().try_into().unwrap_or(u32::MAX));
            let Some(next) = some.next else { break };
            after = Some(next.parse()?);
        }
    }
    Ok(ExitStatus::Success)
}

async fn tell<W: Write>(
    output: &mut Output<W>,
    lookup: &Lookup<SqliteStore>,
    (counts, args): (&Issues, &IssuesArgs),
    shown: u32,
) -> anyhow::Result<()> {
    if counts.counts.values().all(|count| *count == 0) {
        if args.kinds.is_empty() {
            output.line(format_args!("{GOOD}nothing{GOOD:#} is to be mended, as far as the cache knows"))?;
        } else {
            let kinds: Vec<&str> = args.kinds.iter().map(|kind| kind.name()).collect();
            output.line(format_args!("{GOOD}none{GOOD:#} of this kind: {}", kinds.join(", ")))?;
        }
        return Ok(());
    }
    for (nth, (kind, count)) in counts.counts.iter().filter(|(_, count)| **count > 0).enumerate() {
        let issues = lookup.issues(BTreeSet::from([*kind]), None, shown).await?.issues;
        if nth > 0 {
            output.line("")?;
        }
        let listed = issues.len() as u64;
        let more = if listed < *count { format!(", the first {listed} of them") } else { String::new() };
        output.line(format_args!("{STRONG}{}{STRONG:#}: {}{more}", kind.name(), told(*kind, *count)))?;
        if let Some(first) = issues.first() {
            output.line(format_args!("what to do: {}", plain(&first.what_to_do)))?;
        }
        output.table(&table(*kind, &issues))?;
    }
    Ok(())
}

/// Writes how many issues there are of a kind, in words.
fn told(kind: IssueKind, count: u64) -> String {
    match kind {
        IssueKind::Settings => counted(count, "setting") + " that the table does not know",
        IssueKind::DuplicateKey => counted(count, "key") + " held by several pages",
        IssueKind::CrowdedKey => counted(count, "key") + " held by five pages or more",
        IssueKind::WithoutKey => counted(count, "page") + " without a key",
        IssueKind::UnreadableKey => counted(count, "page") + " with values that give no key",
        IssueKind::UnknownStatus => counted(count, "page") + " with an unknown status",
        IssueKind::Missing => counted(count, "page") + " for which Notion answers 404",
    }
}

fn table(kind: IssueKind, issues: &[Issue]) -> Table {
    match kind {
        IssueKind::Settings => {
            let mut table = Table::new(["WHAT"]);
            for issue in issues {
                table.row([&issue.what]);
            }
            table
        }
        IssueKind::DuplicateKey | IssueKind::CrowdedKey => {
            let mut table = Table::new(["KEY", "PAGES", "COMPANY", "STATUS", "PAGE"]);
            for issue in issues {
                let key = issue.key.as_ref().map(|key| short(key.as_str())).unwrap_or_default();
                let mut first = [key, issue.pages_total.to_string()];
                for page in &issue.pages {
                    let [key, total] = std::mem::take(&mut first);
                    table.row([key, total, company(page), short(&page.status), link(page)]);
                }
            }
            table
        }
        IssueKind::WithoutKey | IssueKind::UnreadableKey | IssueKind::UnknownStatus | IssueKind::Missing => {
            let mut table = Table::new(["COMPANY", "WHAT", "PAGE"]);
            for (issue, page) in issues.iter().flat_map(|issue| issue.pages.iter().map(move |page| (issue, page))) {
                table.row([company(page), issue.what.clone(), link(page)]);
            }
            table
        }
    }
}

fn company(page: &IssuePage) -> String {
    page.company_name.as_deref().map(short).unwrap_or_default()
}

fn link(page: &IssuePage) -> String {
    page.page_url.clone().unwrap_or_else(|| page.page.to_string())
}

/// Writes an issue as rows: one for each page, and for each text where the issue is about texts. On a terminal, `seen`,
/// what that would obey is replaced.
fn write_csv<W: Write>(output: &mut Output<W>, issue: &Issue, seen: bool) -> io::Result<()> {
    let pages: Vec<_> = if issue.pages.is_empty() { vec![None] } else { issue.pages.iter().map(Some).collect() };
    let texts: Vec<_> =
        if issue.unreadable.is_empty() { vec![None] } else { issue.unreadable.iter().map(Some).collect() };
    for (page, text) in pages.iter().flat_map(|page| texts.iter().map(move |text| (page, text))) {
        let fields = [
            issue.kind.name().to_owned(),
            issue.key.as_ref().map(ToString::to_string).unwrap_or_default(),
            page.and_then(|page| page.company_name.clone()).unwrap_or_default(),
            page.map(|page| page.status.clone()).unwrap_or_default(),
            page.map(|page| page.page.to_string()).unwrap_or_default(),
            page.and_then(|page| page.page_url.clone()).unwrap_or_default(),
            text.map(|text| text.property.clone()).unwrap_or_default(),
            text.map(|text| text.text.clone()).unwrap_or_default(),
            issue.what.clone(),
            issue.what_to_do.clone(),
            issue.pages_total.to_string(),
            issue.since.map(|since| since.to_rfc3339()).unwrap_or_default(),
            issue.source.map(|source| source.to_string()).unwrap_or_default(),
        ];
        output.line(csv_line(if seen { fields.map(|field| plain(&field).into_owned()) } else { fields })?)?;
    }
    Ok(())
}

/// Writes one record without the end of its line.
fn csv_line<const N: usize>(fields: [String; N]) -> io::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(fields)?;
    let record = writer.into_inner().map_err(|e| io::Error::other(e.to_string()))?;
    let record = String::from_utf8(record).map_err(io::Error::other)?;
    Ok(record.trim_end_matches('\n').to_owned())
}
