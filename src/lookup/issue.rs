//! What a person should mend, one thing at a time, and the place of each in the list.

use std::{borrow::Cow, fmt, str::FromStr};

use chrono::{DateTime, Utc};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::{
    derive::{Why, winner::Rule},
    model::{
        entry::{CachedPage, STATUS_UNKNOWN},
        id::{DataSourceId, PageId},
        key::Key,
        page::Role,
    },
};

/// What kind of thing is to be mended. The order is the one in which they are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IssueKind {
    /// The settings name a hard status that the table does not have, or no property of it gives the status.
    Settings,
    /// A few pages hold one key: duplicates, or a key that is not of all of them.
    DuplicateKey,
    /// Five pages or more hold one key: probably a host that many companies share.
    CrowdedKey,
    /// A page gives no key, so that nothing suppresses its company.
    WithoutKey,
    /// A value of a page stands where a key is expected, and gives none.
    UnreadableKey,
    /// The status of a page is empty, or none of the options of its table.
    UnknownStatus,
    /// Notion answers 404 for a page that is a row.
    Missing,
}

impl IssueKind {
    /// Every kind, in the order of the list.
    pub const ALL: [Self; 7] = [
        Self::Settings,
        Self::DuplicateKey,
        Self::CrowdedKey,
        Self::WithoutKey,
        Self::UnreadableKey,
        Self::UnknownStatus,
        Self::Missing,
    ];

    /// Returns the word for people and machines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::DuplicateKey => "duplicate_key",
            Self::CrowdedKey => "crowded_key",
            Self::WithoutKey => "without_key",
            Self::UnreadableKey => "unreadable_key",
            Self::UnknownStatus => "unknown_status",
            Self::Missing => "missing",
        }
    }
}

/// A word that is no kind of issue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no such kind of issue: settings, duplicate_key, crowded_key, without_key, unreadable_key, \
         unknown_status and missing are the kinds"
)]
pub struct UnknownKind;

impl FromStr for IssueKind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or(UnknownKind)
    }
}

/// Something that a person should mend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Issue {
    /// What kind of thing it is.
    pub kind: IssueKind,
    /// What is the matter, in one sentence.
    pub what: String,
    /// What to do, in Notion where nothing else is named.
    pub what_to_do: String,
    /// The pages that it is about: the winner of a key first; of a key that very many pages hold, the first ones.
    pub pages: Vec<IssuePage>,
    /// How many pages it is about.
    pub pages_total: u64,
    /// The key that several pages hold.
    pub key: Option<Key>,
    /// By which rule the first page wins that key.
    pub decided_by: Option<Rule>,
    /// Texts that give no key.
    pub unreadable: Vec<Unreadable>,
    /// The source that it is about.
    pub source: Option<DataSourceId>,
    /// Since when it is so, where that is known.
    pub since: Option<DateTime<Utc>>,
}

impl Issue {
    /// Makes an issue of some pages.
    pub(super) const fn new(kind: IssueKind, what: String, what_to_do: String, pages: Vec<IssuePage>) -> Self {
        Self {
            kind,
            what,
            what_to_do,
            pages_total: pages.len() as u64,
            pages,
            key: None,
            decided_by: None,
            unreadable: Vec::new(),
            source: None,
            since: None,
        }
    }
}

/// A page that an issue is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct IssuePage {
    /// The page.
    pub page: PageId,
    /// Its address.
    pub page_url: Option<String>,
    /// The company's name.
    pub company_name: Option<String>,
    /// The CRM's status, `Unknown` where it is empty.
    pub status: String,
}

impl From<&CachedPage> for IssuePage {
    fn from(page: &CachedPage) -> Self {
        let said = |role| page.values.get(role).map(str::to_owned);
        Self {
            page: page.id,
            page_url: page.url.clone(),
            company_name: said(Role::CompanyName),
            status: said(Role::Status).unwrap_or_else(|| STATUS_UNKNOWN.to_owned()),
        }
    }
}

/// A text that stands where a key is expected, and gives none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Unreadable {
    /// The property in which it stands.
    pub property: String,
    /// Its beginning.
    pub text: String,
    /// Why it gives no key.
    pub why: Why,
}

/// The place of an issue in the list: what comes after it is listed next.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Place {
    pub(super) kind: IssueKind,
    pub(super) at: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.name(), self.at)
    }
}

/// A text that names no place in the list of issues.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no place in the list of issues: take the `next` of an answer")]
pub struct NoPlace;

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let (kind, at) = text.split_once('/').ok_or(NoPlace)?;
        Ok(Self { kind: kind.parse().map_err(|_unknown| NoPlace)?, at: at.to_owned() })
    }
}

impl TryFrom<String> for Place {
    type Error = NoPlace;

    fn try_from(text: String) -> Result<Self, NoPlace> {
        text.parse()
    }
}

impl JsonSchema for Place {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Place".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let kinds = IssueKind::ALL.map(IssueKind::name).join("|");
        json_schema!({"type": "string", "pattern": format!("^({kinds})/"), "examples": ["duplicate_key/domain:acme.ai"]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_read_as_text_is_itself() {
        for kind in IssueKind::ALL {
            for at in ["", "github_repo:a/b:c", "\u{202e}\n"] {
                let place = Place { kind, at: at.to_owned() };
                assert_eq!(place.to_string().parse(), Ok(place));
            }
            assert_eq!(serde_json::json!(kind), kind.name());
        }
        for text in ["", "/", "missing", "lost/a"] {
            assert_eq!(text.parse::<Place>(), Err(NoPlace), "{text}");
        }
    }
}
