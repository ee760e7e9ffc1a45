//! What the rows must say in the end: decided here from the truth of the workspace, and not by the program's code.

use std::{cmp::Reverse, collections::BTreeMap};

use chrono::{DateTime, Utc};
use rusqlite::Connection;
use serde_json::Value as Json;
use suppressd::{
    model::{
        id::{DataSourceId, PageId},
        page::Role,
    },
    simulator::{truth::TruthPage, workspace::Workspace},
};

use crate::simulation::{
    findings::Findings,
    history::{History, Place, Said, keys, status},
    observer::Row,
};

/// What a row says: page, status and name.
pub(crate) type Face = (PageId, String, Option<String>);

/// What decides between two pages: hard before soft, then the later edit, then the smaller id.
type Rank = (bool, DateTime<Utc>, Reverse<PageId>);

/// A page as the cache keeps it.
#[derive(Debug)]
struct Kept {
    standing: String,
    edited: DateTime<Utc>,
    mapped: Json,
}

/// What the model starts from.
pub(crate) struct Model<'a> {
    pub(crate) workspace: &'a Workspace,
    pub(crate) history: &'a History,
    pub(crate) findings: &'a Findings,
    /// Where the Crunchbase property was deleted: what pages said of it, Notion shows to nobody any more.
    pub(crate) crunchbase_deleted_in: &'a [DataSourceId],
}

impl Model<'_> {
    /// The rows that must be there. The file is asked only for what the truth no longer tells: the last seen value of a
    /// deleted property, and the pages that are gone without proof. Both must once have been true.
    pub(crate) fn expected(&self, file: &Connection) -> BTreeMap<String, Face> {
        let kept = kept(file);
        let mut claims: BTreeMap<String, Vec<(Rank, Face)>> = BTreeMap::new();
        let mut claim = |said: &Said, edited, page, said_status: Option<&str>| {
            let rank = (matches!(said_status, Some("Passed" | "Lost")), edited, Reverse(page));
            for key in keys(said) {
                let face = (page, status(said_status), said.name.clone());
                claims.entry(key).or_default().push((rank, face));
            }
        };
        for source in self.history.watched() {
            for row in self.workspace.rows(*source).into_iter().filter(|row| !row.in_trash) {
                let said = self.said(*source, &row, kept.get(&row.id));
                claim(&said, row.last_edited, row.id, row.values.get(Role::Status));
            }
        }
        for (page, kept) in kept.iter().filter(|(page, kept)| self.is_phantom(**page, kept)) {
            claim(&kept.said(), kept.edited, *page, kept.text(Role::Status));
        }
        let winners = claims.into_iter().map(|(key, mut claims)| {
            claims.sort_by_key(|(rank, _)| *rank);
            (key, claims.pop().unwrap().1)
        });
        winners.collect()
    }

    fn said(&self, source: DataSourceId, row: &TruthPage, kept: Option<&Kept>) -> Said {
        let mut said = Said::of(&row.values);
        if self.crunchbase_deleted_in.contains(&source) {
            said.crunchbase = kept.and_then(|kept| kept.text(Role::Crunchbase)).map(str::to_owned);
            let key = said.crunchbase.as_ref().map(|slug| format!("crunchbase:{slug}"));
            let once_true = key
                .as_ref()
                .is_none_or(|key| self.history.versions(row.id).iter().any(|version| version.keys.contains(key)));
            self.findings.check(once_true, || format!("{} never said {key:?}", row.id));
        }
        said
    }

    /// A page that was purged stays as it was last seen, unless its end is proven.
    fn is_phantom(&self, page: PageId, kept: &Kept) -> bool {
        self.is_gone(page) && kept.standing == "listed"
    }

    fn is_gone(&self, page: PageId) -> bool {
        self.history.versions(page).last().is_some_and(|version| version.place == Place::Purged)
    }

    /// Compares, and writes down every difference. At `now` no row may have expired whose page can be seen.
    pub(crate) fn compare(&self, file: &Connection, rows: &BTreeMap<String, Row>, now: DateTime<Utc>) {
        let expected = self.expected(file);
        for (key, face) in &expected {
            let found = rows.get(key).map(|row| (row.page, row.status.clone(), row.name.clone()));
            self.findings.check(found.as_ref() == Some(face), || {
                format!("{key} should say {face:?} and says {found:?}: {:?}", self.history.versions(face.0))
            });
        }
        for (key, row) in rows.iter().filter(|(key, _)| !expected.contains_key(*key)) {
            let versions = self.history.versions(row.page);
            self.findings.note(format!("{key} should not be there and says {row:?}: {versions:?}"));
        }
        for (key, row) in rows.iter().filter(|(_, row)| row.expires_at <= now && !self.is_gone(row.page)) {
            self.findings.note(format!("{key} has expired in the end: {row:?}"));
        }
    }
}

impl Kept {
    fn text(&self, role: Role) -> Option<&str> {
        self.mapped.get(role.name())?.as_str()
    }

    fn said(&self) -> Said {
        let text = |role| self.text(role).map(str::to_owned);
        Said {
            name: text(Role::CompanyName),
            location: text(Role::Location),
            website: text(Role::Website),
            crunchbase: text(Role::Crunchbase),
            written: text(Role::CanonicalKey),
        }
    }
}

fn kept(file: &Connection) -> BTreeMap<PageId, Kept> {
    let mut all = file.prepare("SELECT page_id, standing, last_edited_time, mapped FROM suppressd_pages").unwrap();
    let pages = all.query_map([], |row| {
        let page: String = row.get(0)?;
        let mapped: String = row.get(3)?;
        let edited = DateTime::from_timestamp_micros(row.get(2)?).unwrap();
        let kept = Kept { standing: row.get(1)?, edited, mapped: serde_json::from_str(&mapped).unwrap() };
        Ok((page.parse().unwrap(), kept))
    });
    pages.unwrap().collect::<Result<_, _>>().unwrap()
}
