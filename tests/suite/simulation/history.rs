//! Every page as it really was, version by version, with its keys by rules of this test's own.
//!
//! The companies of a course are drawn so simple that a few lines tell their keys: nothing here asks `derive`.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use suppressd::{
    model::{
        id::{DataSourceId, PageId},
        page::{Role, Values},
    },
    simulator::{Home, truth::TruthPage, workspace::Workspace},
};

/// A page as it was from one instant until its next version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    /// Since when, by Notion's clock.
    pub(crate) since: DateTime<Utc>,
    /// Its last edit, to the minute.
    pub(crate) edited: DateTime<Utc>,
    /// Where it was.
    pub(crate) place: Place,
    /// The keys that its values give, whether it was a row or not.
    pub(crate) keys: BTreeSet<String>,
    /// The keys of its name, which it has where Notion cannot show the others.
    weak: BTreeSet<String>,
    /// Its status, as a row would say it.
    pub(crate) status: String,
    /// Its name.
    pub(crate) name: Option<String>,
}

/// Where a page was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It was a row of a source that is watched.
    Row,
    /// It was in the trash.
    Trash,
    /// It stood elsewhere.
    Elsewhere,
    /// It was gone.
    Purged,
}

impl Version {
    /// Whether a row of `key` was right then.
    pub(crate) fn holds(&self, key: &str) -> bool {
        self.place == Place::Row && self.keys.contains(key)
    }

    /// Whether a row of this key can come from it, or from the part of it that Notion could show.
    pub(crate) fn may_hold(&self, key: &str) -> bool {
        self.keys.contains(key) || self.weak.contains(key)
    }

    /// Whether a row of this status can come from it, likewise. Whatever is shown late has its option by the present name.
    pub(crate) fn may_have(&self, said: &str) -> bool {
        let option = |name: &str| if name == "Call" { "Meeting".to_owned() } else { name.to_owned() };
        option(said) == option(&self.status) || said == status(None)
    }
}

/// The history of all pages.
#[derive(Debug, Default)]
pub(crate) struct History {
    watched: Vec<DataSourceId>,
    pages: BTreeMap<PageId, Vec<Version>>,
}

impl History {
    /// Begins to write down what stands in these sources.
    pub(crate) fn of_sources(watched: Vec<DataSourceId>) -> Self {
        Self { watched, pages: BTreeMap::new() }
    }

    /// The sources that are watched.
    pub(crate) fn watched(&self) -> &[DataSourceId] {
        &self.watched
    }

    /// The versions of a page, oldest first.
    pub(crate) fn versions(&self, page: PageId) -> &[Version] {
        self.pages.get(&page).map_or(&[], Vec::as_slice)
    }

    /// The versions that were the live one at `since` or later.
    pub(crate) fn versions_since(&self, page: PageId, since: DateTime<Utc>) -> &[Version] {
        let versions = self.versions(page);
        let first = versions.iter().rposition(|version| version.since <= since).unwrap_or(0);
        versions.get(first..).unwrap_or_default()
    }

    /// A page that has held `key` since `since` without a break, if there is one.
    pub(crate) fn holder_ever_since(&self, key: &str, since: DateTime<Utc>) -> Option<PageId> {
        let holds = |page: &PageId| {
            let versions = self.versions_since(*page, since);
            let was_there = versions.first().is_some_and(|version| version.since <= since);
            was_there && versions.iter().all(|version| version.holds(key))
        };
        self.pages.keys().copied().find(holds)
    }

    /// Writes down how a page is now, if that is new.
    pub(crate) fn note(&mut self, workspace: &Workspace, page: PageId) {
        let now = workspace.clock().now();
        let versions = self.pages.entry(page).or_default();
        let next = match (workspace.truth(page), versions.last()) {
            (Some(truth), _) => version(&truth, &self.watched, now),
            (None, Some(last)) => Version { since: now, place: Place::Purged, ..last.clone() },
            (None, None) => return,
        };
        let same = versions.last().is_some_and(|last| Version { since: last.since, ..next.clone() } == *last);
        if !same {
            versions.push(next);
        }
    }
}

fn version(truth: &TruthPage, watched: &[DataSourceId], now: DateTime<Utc>) -> Version {
    let is_row = matches!(truth.home, Home::DataSource(id) if watched.contains(&id));
    Version {
        since: now,
        edited: truth.last_edited,
        place: match (truth.in_trash, is_row) {
            (true, _) => Place::Trash,
            (false, true) => Place::Row,
            (false, false) => Place::Elsewhere,
        },
        keys: keys(&Said::of(&truth.values)),
        weak: keys(&Said { website: None, crunchbase: None, written: None, ..Said::of(&truth.values) }),
        status: status(truth.values.get(Role::Status)),
        name: truth.values.get(Role::CompanyName).map(str::to_owned),
    }
}

/// What a row says of a status.
pub(crate) fn status(status: Option<&str>) -> String {
    status.unwrap_or("Unknown").to_owned()
}

/// What the keys of a company come from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said {
    pub(crate) name: Option<String>,
    pub(crate) location: Option<String>,
    pub(crate) website: Option<String>,
    pub(crate) crunchbase: Option<String>,
    pub(crate) written: Option<String>,
}

impl Said {
    /// What the values say.
    pub(crate) fn of(values: &Values) -> Self {
        let said = |role| values.get(role).map(str::to_owned);
        Self {
            name: said(Role::CompanyName),
            location: said(Role::Location),
            website: said(Role::Website),
            crunchbase: said(Role::Crunchbase),
            written: said(Role::CanonicalKey),
        }
    }
}

/// The keys of a company of this test: `https://…` and slugs that stand for themselves, else the name.
pub(crate) fn keys(said: &Said) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    keys.extend(
        said.website.iter().filter_map(|website| Some(format!("domain:{}", website.strip_prefix("https://")?))),
    );
    keys.extend(said.crunchbase.iter().map(|slug| format!("crunchbase:{slug}")));
    keys.extend(said.written.iter().flat_map(|written| written.lines()).map(str::to_owned));
    let slug = |text: &String| text.to_lowercase().replace(' ', "-");
    if let (true, Some(name)) = (keys.is_empty(), said.name.as_ref().map(slug)) {
        keys.extend(said.location.as_ref().map(|location| format!("name_loc:{name}|{}", slug(location))));
        keys.insert(format!("name_loc:{name}"));
    }
    keys
}
