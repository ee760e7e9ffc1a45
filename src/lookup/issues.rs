//! What a person should mend in the CRM: one reading of all pages, a block at a time, and exact counts.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

pub use crate::lookup::issue::{Issue, IssueKind, IssuePage, NoPlace, Place, UnknownKind, Unreadable};
use crate::{
    derive::{self, Rules, winner},
    lookup::{
        Lookup,
        claims::{self, Claims},
        ground::Ground,
        table::{Status, Table},
    },
    model::{
        entry::CachedPage,
        id::DataSourceId,
        key::{Key, Prefix},
        page::Role,
    },
    store::{ListedRow, Rows, Store, StoreError},
};

/// A key that as many pages hold is crowded: it is probably not a key of one company.
pub const CROWD: u64 = 5;

/// More than any number of pages.
pub(super) const ANY_NUMBER: u64 = 1 << 62;

/// As many pages are read at once.
const BLOCK: u32 = 500;

/// As many pages of one key are listed.
const PAGES_MAX: usize = 20;

/// As many texts of one page are listed.
const TEXTS_MAX: usize = 20;

/// What a person should mend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Issues {
    /// When this was answered.
    pub at: DateTime<Utc>,
    /// How many issues there are of each kind that was asked for, listed here or not.
    pub counts: BTreeMap<IssueKind, u64>,
    /// The issues, kind by kind, as many as were asked for.
    pub issues: Vec<Issue>,
    /// What to ask for the issues after these; `None` where these are the last ones.
    pub next: Option<String>,
}

impl<S: Store> Lookup<S> {
    /// Lists issues of some kinds (of all where none is named), from after `after`, at most `limit`, from one
    /// consistent view.
    pub async fn issues(
        &self,
        kinds: BTreeSet<IssueKind>,
        after: Option<Place>,
        limit: u32,
    ) -> Result<Issues, StoreError> {
        let lookup = self.clone();
        self.store
            .read(move |rows| {
                let at = lookup.clock.now();
                let ground = lookup.ground_for(rows, (at, lookup.settings.max_age), &lookup.rules.load())?;
                let mut list = List::new(&kinds, after, limit as usize);
                let tables = tables(rows)?;
                for table in tables.values() {
                    list.settings(table);
                }
                list.keys(rows, &ground, IssueKind::DuplicateKey, 2..CROWD)?;
                list.keys(rows, &ground, IssueKind::CrowdedKey, CROWD..ANY_NUMBER)?;
                list.pages(rows, &tables, &lookup.rules())?;
                Ok(list.into_issues(at))
            })
            .await
    }
}

fn tables(rows: &mut dyn Rows) -> Result<BTreeMap<DataSourceId, Table>, StoreError> {
    Ok(rows.sources()?.iter().map(|stored| (stored.id, Table::of(stored))).collect())
}

/// The issues that are counted, and those of them that are listed: of each kind as many as may be listed at all.
struct List {
    counts: BTreeMap<IssueKind, u64>,
    after: Option<Place>,
    limit: usize,
    found: BTreeMap<IssueKind, Vec<(Place, Issue)>>,
}

impl List {
    fn new(kinds: &BTreeSet<IssueKind>, after: Option<Place>, limit: usize) -> Self {
        let wanted = |kind: &IssueKind| kinds.is_empty() || kinds.contains(kind);
        let counts = IssueKind::ALL.into_iter().filter(wanted).map(|kind| (kind, 0)).collect();
        Self { counts, after, limit, found: BTreeMap::new() }
    }

    fn wants(&self, kind: IssueKind) -> bool {
        self.counts.contains_key(&kind)
    }

    /// Returns how many more of a kind can be listed: one more than is listed shows that there are more.
    fn room(&self, kind: IssueKind) -> usize {
        let is_past = self.after.as_ref().is_some_and(|after| after.kind > kind);
        let has = self.found.get(&kind).map_or(0, Vec::len);
        if is_past || !self.wants(kind) { 0 } else { (self.limit + 1).saturating_sub(has) }
    }

    /// Counts an issue, and lists it if it has its place there.
    fn add(&mut self, kind: IssueKind, at: &str, issue: impl FnOnce() -> Issue) {
        let Some(count) = self.counts.get_mut(&kind) else { return };
        *count += 1;
        self.list(kind, at, issue);
    }

    fn list(&mut self, kind: IssueKind, at: &str, issue: impl FnOnce() -> Issue) {
        let place = Place { kind, at: at.to_owned() };
        if self.room(kind) > 0 && self.after.as_ref().is_none_or(|after| place > *after) {
            self.found.entry(kind).or_default().push((place, issue()));
        }
    }

    fn settings(&mut self, table: &Table) {
        let (id, title) = (table.id.to_string(), derive::excerpt(&table.title));
        if matches!(table.status, Status::Unmapped) {
            self.add(IssueKind::Settings, &id, || Issue {
                source: Some(table.id),
                ..Issue::new(
                    IssueKind::Settings,
                    format!("no property of the table {title:?} gives the status, so that all its rows say Unknown"),
                    "name the property for `status` in the settings".to_owned(),
                    Vec::new(),
                )
            });
        }
        for hard in &table.hard_unknown {
            self.add(IssueKind::Settings, &format!("{id} {hard}"), || Issue {
                source: Some(table.id),
                ..Issue::new(
                    IssueKind::Settings,
                    format!("the hard status {:?} is no option of the table {title:?}", derive::excerpt(hard)),
                    "correct `hard_statuses` in the settings, or add the option to the table".to_owned(),
                    Vec::new(),
                )
            });
        }
    }

    /// Counts and lists keys that so many pages hold.
    fn keys(
        &mut self,
        rows: &mut dyn Rows,
        ground: &Ground,
        kind: IssueKind,
        pages: std::ops::Range<u64>,
    ) -> Result<(), StoreError> {
        if !self.wants(kind) {
            return Ok(());
        }
        let (duplicates, crowded) = rows.count_contested(CROWD)?;
        self.counts.insert(kind, if kind == IssueKind::CrowdedKey { crowded } else { duplicates });
        let after = self.after.as_ref().filter(|after| after.kind == kind).map(|after| after.at.clone());
        let room = self.room(kind).try_into().unwrap_or(u32::MAX);
        for key in if room == 0 { Vec::new() } else { rows.contested(after.as_deref(), pages, room)? } {
            let row = rows.entry(&key)?;
            let claims = claims::read(rows, ground, &key, claims::holder(row.as_ref()), PAGES_MAX)?;
            let at = key.to_string();
            self.list(kind, &at, || contested(kind, key, claims));
        }
        Ok(())
    }

    /// Reads all pages once, where issues of pages are asked for.
    fn pages(
        &mut self,
        rows: &mut dyn Rows,
        tables: &BTreeMap<DataSourceId, Table>,
        rules: &Rules,
    ) -> Result<(), StoreError> {
        let of_pages = [IssueKind::WithoutKey, IssueKind::UnreadableKey, IssueKind::UnknownStatus, IssueKind::Missing];
        if !of_pages.into_iter().any(|kind| self.wants(kind)) {
            return Ok(());
        }
        let mut after = None;
        loop {
            let block = rows.listed_rows(after, BLOCK)?;
            let Some(last) = block.last() else { return Ok(()) };
            after = Some(last.page.id);
            for row in &block {
                self.page(row, tables.get(&row.page.source), rules);
            }
        }
    }

    fn page(&mut self, ListedRow { page, claims_a_key }: &ListedRow, table: Option<&Table>, rules: &Rules) {
        let at = page.id.to_string();
        if !claims_a_key {
            self.add(IssueKind::WithoutKey, &at, || without_key(page));
        }
        if self.wants(IssueKind::UnreadableKey) {
            let unused = derive::values_candidates(&page.values, rules).unused;
            if !unused.is_empty() {
                self.add(IssueKind::UnreadableKey, &at, || unreadable(page, table, unused));
            }
        }
        if let Some(what) = status(page, table) {
            self.add(IssueKind::UnknownStatus, &at, || {
                let what_to_do = "choose one of the options of the table".to_owned();
                Issue::new(IssueKind::UnknownStatus, what, what_to_do, vec![page.into()])
            });
        }
        if let Some(since) = page.missing_since {
            self.add(IssueKind::Missing, &at, || missing(page, since));
        }
    }

    fn into_issues(self, at: DateTime<Utc>) -> Issues {
        let mut found: Vec<_> = self.found.into_values().flatten().collect();
        let has_more = found.len() > self.limit;
        found.truncate(self.limit);
        let next = found.last().filter(|_| has_more).map(|(place, _)| place.to_string());
        Issues { at, counts: self.counts, issues: found.into_iter().map(|(_, issue)| issue).collect(), next }
    }
}

fn contested(kind: IssueKind, key: Key, claims: Claims) -> Issue {
    let pages = claims.claims.into_iter().map(|claim| IssuePage {
        page: claim.page,
        page_url: claim.page_url,
        company_name: claim.company_name,
        status: claim.status,
    });
    let why = claims.why.unwrap_or_default();
    let (what, what_to_do) = match (kind, key.prefix()) {
        (IssueKind::CrowdedKey, Prefix::Domain) => (
            format!("{} pages hold {key}: probably a host that many companies share", claims.pages),
            "give each page the company's own website; where the host is nobody's own, add it to `shared_hosts` in the \
             settings"
                .to_owned(),
        ),
        (IssueKind::CrowdedKey, _) => (
            format!("{} pages hold {key}: probably not all of them are this company", claims.pages),
            "merge the pages that are one company, and correct the value on the others".to_owned(),
        ),
        _ => (
            format!("{} pages hold {key}; the first one wins: {why}", claims.pages),
            "merge the pages if they are one company; else correct the value on those that it is not of".to_owned(),
        ),
    };
    Issue {
        pages_total: claims.pages,
        key: Some(key),
        decided_by: claims.decided_by,
        ..Issue::new(kind, what, what_to_do, pages.collect())
    }
}

fn without_key(page: &CachedPage) -> Issue {
    Issue::new(
        IssueKind::WithoutKey,
        "it gives no key, so that nothing suppresses this company".to_owned(),
        "fill in a website, a registry number or a canonical key; at least a name".to_owned(),
        vec![page.into()],
    )
}

fn unreadable(page: &CachedPage, table: Option<&Table>, unused: Vec<derive::Unused>) -> Issue {
    let property = |role: Role| table.map_or_else(|| role.name(), |table| table.property(role));
    let first = unused.first().map(|first| format!("{:?} in {:?} {}", first.text, property(first.role), first.why));
    let more = match unused.len() {
        0 | 1 => String::new(),
        count => format!(", and {} more", count - 1),
    };
    let texts = unused.into_iter().take(TEXTS_MAX).map(|unused| {
        let property = derive::excerpt(property(unused.role));
        Unreadable { property, text: unused.text, why: unused.why }
    });
    let what = format!("{}{more}", first.unwrap_or_default());
    let what_to_do = "correct the value, or empty it".to_owned();
    Issue { unreadable: texts.collect(), ..Issue::new(IssueKind::UnreadableKey, what, what_to_do, vec![page.into()]) }
}

/// Says what is wrong with the status of a page. Where no property gives it, that is an issue of the settings.
fn status(page: &CachedPage, table: Option<&Table>) -> Option<String> {
    match (page.values.get(Role::Status), table.map(|table| &table.status)) {
        (_, Some(Status::Unmapped)) => None,
        (None, _) => Some("its status is empty, so that its rows say Unknown".to_owned()),
        (Some(status), Some(Status::Options(options))) if !options.contains(&winner::comparable(status)) => {
            Some(format!("its status {:?} is none of the options of the table", derive::excerpt(status)))
        }
        (Some(_), _) => None,
    }
}

fn missing(page: &CachedPage, since: DateTime<Utc>) -> Issue {
    let told = since.format("%Y-%m-%d %H:%M:%S UTC");
    Issue {
        since: Some(since),
        ..Issue::new(
            IssueKind::Missing,
            format!("Notion has answered 404 for it since {told}, which does not say whether it is gone or not shared"),
            "share the page with the connection again, or delete it for good; then run `suppressd reconcile`"
                .to_owned(),
            vec![page.into()],
        )
    }
}
