//! Reads the published rows after every commit, as another program would, and holds them against the history.
//!
//! What must never happen: a key that was suppressed turns absent, or passes to another page, although nothing that
//! really was justifies it; and a row says what never was.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
};

use chrono::{DateTime, Utc};
use rusqlite::Connection;
use suppressd::model::id::PageId;

use crate::{
    pipeline::connect,
    simulation::{
        clocks::Clocks,
        findings::Findings,
        history::{History, Place, Version},
        line::Shown,
        news::News,
    },
};

/// A published row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) page: PageId,
    pub(crate) status: String,
    pub(crate) name: Option<String>,
    pub(crate) expires_at: DateTime<Utc>,
}

/// What is known of a page when its row is looked at.
#[derive(Debug, Clone, Copy)]
struct Proven {
    observed_at: DateTime<Utc>,
    edited: DateTime<Utc>,
}

/// Who watches. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Watch(Arc<Mutex<Observer>>);

#[derive(Debug)]
struct Observer {
    connection: Option<Connection>,
    /// The published rows in one text: mostly it is the same as after the last commit, and there is nothing to judge.
    said: String,
    rows: BTreeMap<String, Row>,
    /// The pages in one text, read only where a key is gone.
    proven: String,
    context: Context,
    removals: usize,
}

/// What the observer judges by.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) findings: Findings,
    pub(crate) history: Arc<Mutex<History>>,
    pub(crate) clocks: Clocks,
    pub(crate) shown: Shown,
    pub(crate) news: News,
    /// Whether an answer may show what was before: a read that is stale, or an index that trails.
    pub(crate) may_be_stale: bool,
}

impl Watch {
    pub(crate) fn new(context: Context) -> Self {
        let (said, proven, rows) = (String::new(), String::new(), BTreeMap::new());
        Self(Arc::new(Mutex::new(Observer { connection: None, said, rows, proven, context, removals: 0 })))
    }

    /// Turns to this file: it holds what the last one held.
    pub(crate) fn turn_to(&self, file: &Path) {
        self.0.lock().unwrap().connection = Some(connect(file));
    }

    /// Lets go of the file.
    pub(crate) fn let_go(&self) {
        self.0.lock().unwrap().connection = None;
    }

    /// Looks at all rows.
    pub(crate) fn look(&self) {
        self.0.lock().unwrap().look();
    }

    /// How many keys have turned absent.
    pub(crate) fn removals(&self) -> usize {
        self.0.lock().unwrap().removals
    }
}

impl Observer {
    fn look(&mut self) {
        let Some(connection) = &self.connection else { return };
        let proven = text(connection, PROVEN);
        let said = text(connection, SAID);
        if said != self.said {
            let rows = rows(connection);
            self.judge(&rows);
            (self.said, self.rows) = (said, rows);
        }
        self.proven = proven;
    }

    fn judge(&mut self, rows: &BTreeMap<String, Row>) {
        let now = self.context.clocks.ours.now();
        for (key, before) in &self.rows {
            // Another page with a better claim may take it: that row is judged by itself.
            if !rows.contains_key(key) && before.expires_at > now {
                self.removals += 1;
                self.judge_removal(key, before);
            }
        }
        for (key, after) in rows {
            if self.rows.get(key) != Some(after) {
                self.judge_row(key, after);
            }
        }
    }

    /// A key left its page: was the page really without it since it was last proven?
    fn judge_removal(&self, key: &str, before: &Row) {
        let context = &self.context;
        let history = context.history.lock().unwrap();
        let Some(proven) = proven(&self.proven, before.page) else {
            return context.findings.note(format!("{key} of {} was published without a page", before.page));
        };
        let since = context.clocks.earliest_at_notion(proven.observed_at);
        let candidates = if context.may_be_stale {
            // Within the minute of its last edit nothing tells an older version from a newer one.
            history.versions(before.page)
        } else {
            history.versions_since(before.page, since)
        };
        let mut without = candidates.iter().filter(|version| version.edited >= proven.edited && !version.holds(key));
        let Some(first) = without.next() else {
            let versions = history.versions(before.page);
            let at = context.clocks.notion.now();
            return context.findings.note(format!(
                "at {at} {key} turned absent, although {} held it ever since {since}: {versions:?}",
                before.page
            ));
        };
        let only_gone = |version: &Version| matches!(version.place, Place::Trash | Place::Purged);
        if only_gone(first) && without.all(only_gone) {
            let seen_in_trash = context.shown.last(before.page).is_some_and(|shown| shown >= first.since);
            let told = context.news.deletion_told(before.page);
            context.findings.check(seen_in_trash || told || context.may_be_stale, || {
                format!("{key} of {} turned absent on a 404 alone", before.page)
            });
        }
    }

    /// A row is new, or says something new: did the page ever say so?
    fn judge_row(&self, key: &str, row: &Row) {
        let context = &self.context;
        let history = context.history.lock().unwrap();
        let versions = history.versions(row.page);
        // Where Notion could not show a value, it is that of another version.
        let said = versions.iter().any(|version| version.may_hold(key))
            && versions.iter().any(|version| version.may_have(&row.status))
            && versions.iter().any(|version| version.name == row.name);
        context.findings.check(said, || format!("{key} says {row:?}, which never was: {versions:?}"));
    }
}

/// Reads all rows.
pub(crate) fn rows(connection: &Connection) -> BTreeMap<String, Row> {
    let mut all = connection
        .prepare_cached("SELECT canonical_key, notion_page_id, status, company_name, expires_at FROM suppression_cache")
        .unwrap();
    let rows = all.query_map([], |row| {
        Ok((
            row.get(0)?,
            Row {
                page: row.get_ref(1)?.as_str()?.parse().unwrap(),
                status: row.get(2)?,
                name: row.get(3)?,
                expires_at: row.get_ref(4)?.as_str()?.parse().unwrap(),
            },
        ))
    });
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

const SAID: &str = "SELECT group_concat(canonical_key || notion_page_id || status || coalesce(company_name, '') || \
                    expires_at) FROM suppression_cache";

const PROVEN: &str = "SELECT group_concat(page_id || ' ' || observed_at || ' ' || last_edited_time, char(10)) \
                      FROM suppressd_pages WHERE standing = 'listed'";

fn text(connection: &Connection, question: &str) -> String {
    let mut question = connection.prepare_cached(question).unwrap();
    question.query_row([], |row| row.get::<_, Option<String>>(0)).unwrap().unwrap_or_default()
}

/// Finds a page in the text of all.
fn proven(all: &str, page: PageId) -> Option<Proven> {
    let line = all.lines().find_map(|line| line.strip_prefix(&format!("{page} ")))?;
    let (observed_at, edited) = line.split_once(' ')?;
    let time = |micros: &str| DateTime::from_timestamp_micros(micros.parse().unwrap()).unwrap();
    Some(Proven { observed_at: time(observed_at), edited: time(edited) })
}
