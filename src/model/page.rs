//! A page as Notion showed it, and the few of its values that the cache depends on.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::id::{DataSourceId, DatabaseId, PageId};

/// A page as fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// What was shown.
    pub page: Page,
    /// The instant **before** the request for it was sent: whatever happened later may be missing.
    pub observed_at: DateTime<Utc>,
    /// Where it was read.
    pub view: View,
}

/// Where a page was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum View {
    /// The live page itself.
    Page,
    /// A query: an index that can trail the live page.
    Query,
}

/// What a page object of Notion says, with every property read to a [`Value`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The page's id.
    pub id: PageId,
    /// Where it stands now.
    pub parent: Parent,
    /// When it was created, floored to the minute by Notion; never moves.
    pub created_time: DateTime<Utc>,
    /// When it was last edited, floored to the minute by Notion: equal times do not mean equal content.
    pub last_edited_time: DateTime<Utc>,
    /// Whether it is in the trash (`in_trash`, or its older alias `archived`).
    pub in_trash: bool,
    /// Whether it is archived (`is_archived`): hidden from views and from plain queries, but still a row.
    pub is_archived: bool,
    /// Its address, for people to click; never parsed.
    pub url: Option<String>,
    /// Its properties.
    pub properties: Vec<Property>,
}

/// Where a page stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parent {
    /// It is a row of this data source.
    DataSource(DataSourceId),
    /// It is a row of this database (answers of API version 2022-06-28).
    Database(DatabaseId),
    /// It is not a row: it stands under a page, a block, an agent or the workspace, and says so. A parent that is
    /// anything else is unreadable, never this.
    Elsewhere,
}

/// One property of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// Its id, percent-decoded; survives a rename.
    pub id: String,
    /// Its present name.
    pub name: String,
    /// Its value.
    pub value: Value,
}

/// The value of a property, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// It says this; never blank, trimmed at the ends.
    Text(String),
    /// It is known to be empty.
    Empty,
    /// Notion did not or could not say (`unsupported`, missing, a type that gives no text). Not the same as empty.
    Unavailable,
}

impl Value {
    /// Makes a text value, or [`Value::Empty`] where nothing but blanks is left.
    pub fn text(text: &str) -> Self {
        match text.trim() {
            "" => Self::Empty,
            text => Self::Text(text.to_owned()),
        }
    }
}

/// What a property of the CRM is for. The order is the order in which keys are claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The company's name: the title property by default.
    CompanyName,
    /// The CRM's status of the company.
    Status,
    /// Keys that people wrote down themselves.
    CanonicalKey,
    /// The company's website.
    Website,
    /// The number at Companies House.
    CompaniesHouse,
    /// The Crunchbase slug or address.
    Crunchbase,
    /// The `PitchBook` id or address.
    Pitchbook,
    /// The organisation at GitHub.
    GithubOrg,
    /// A repository at GitHub.
    GithubRepo,
    /// Where the company is.
    Location,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 10] = [
        Self::CompanyName,
        Self::Status,
        Self::CanonicalKey,
        Self::Website,
        Self::CompaniesHouse,
        Self::Crunchbase,
        Self::Pitchbook,
        Self::GithubOrg,
        Self::GithubRepo,
        Self::Location,
    ];

    /// Returns the name used in settings, in stored values and for people: `company_name`, `status`, ….
    pub const fn name(self) -> &'static str {
        match self {
            Self::CompanyName => "company_name",
            Self::Status => "status",
            Self::CanonicalKey => "canonical_key",
            Self::Website => "website",
            Self::CompaniesHouse => "companies_house",
            Self::Crunchbase => "crunchbase",
            Self::Pitchbook => "pitchbook",
            Self::GithubOrg => "github_org",
            Self::GithubRepo => "github_repo",
            Self::Location => "location",
        }
    }
}

/// The mapped values of one page: a text, a known emptiness (`None`), or no entry where Notion could not say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Values(BTreeMap<Role, Option<String>>);

impl Values {
    /// Sets what Notion said of `role`; [`Value::Unavailable`] leaves it unsaid.
    pub fn set(&mut self, role: Role, value: Value) {
        match value {
            Value::Text(text) => drop(self.0.insert(role, Some(text))),
            Value::Empty => drop(self.0.insert(role, None)),
            Value::Unavailable => drop(self.0.remove(&role)),
        }
    }

    /// Returns the text of `role`, if it has one.
    pub fn get(&self, role: Role) -> Option<&str> {
        self.0.get(&role)?.as_deref()
    }

    /// Returns whether Notion said anything of `role`, be it that it is empty.
    pub fn says(&self, role: Role) -> bool {
        self.0.contains_key(&role)
    }

    /// Takes over from `earlier` what these values leave unsaid, so that a value Notion cannot show stays what it was.
    pub fn carry_forward(&mut self, earlier: &Self) {
        for (role, value) in &earlier.0 {
            self.0.entry(*role).or_insert_with(|| value.clone());
        }
    }

    /// Lists the roles of which both say something, and not the same.
    pub fn differing(&self, other: &Self) -> Vec<Role> {
        let differs =
            |(role, value): (&Role, &_)| other.0.get(role).is_some_and(|other| other != value).then_some(*role);
        self.0.iter().filter_map(differs).collect()
    }
}

/// The schema of a data source: what its properties are called and of what type they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// The data source.
    pub data_source: DataSourceId,
    /// The database that holds it, when Notion says it.
    pub database: Option<DatabaseId>,
    /// The data source's title, for people.
    pub title: String,
    /// Its properties.
    pub properties: Vec<SchemaProperty>,
    /// The names of properties that cannot be mapped, as they show no id or no type. They are there all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmapped: Vec<String>,
}

/// One property of a schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaProperty {
    /// Its id, percent-decoded.
    pub id: String,
    /// Its present name.
    pub name: String,
    /// Notion's name of its type: `title`, `rich_text`, `url`, `select`, `status`, ….
    pub kind: String,
    /// The option names of a select, multi-select or status, in Notion's order; empty for other types.
    pub options: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_notion_cannot_show_stays_what_it_was() {
        let mut earlier = Values::default();
        earlier.set(Role::Website, Value::text("acme.ai"));
        earlier.set(Role::Location, Value::text("Leeds"));
        let mut now = Values::default();
        now.set(Role::Website, Value::Unavailable);
        now.set(Role::Location, Value::Empty);
        now.carry_forward(&earlier);
        assert_eq!(now.get(Role::Website), Some("acme.ai"));
        assert_eq!(now.get(Role::Location), None);
    }

    #[test]
    fn values_differ_where_both_say_something_else() {
        let of = |values: &[(Role, Value)]| {
            let mut all = Values::default();
            for (role, value) in values {
                all.set(*role, value.clone());
            }
            all
        };
        let earlier = of(&[
            (Role::Website, Value::text("acme.ai")),
            (Role::Status, Value::Empty),
            (Role::Location, Value::text("Leeds")),
            (Role::Crunchbase, Value::text("acme")),
        ]);
        let now = of(&[
            (Role::Website, Value::text("acme.com")),
            (Role::Status, Value::text("Passed")),
            (Role::Location, Value::text("Leeds")),
            (Role::Pitchbook, Value::text("1-2")),
        ]);
        assert_eq!(now.differing(&earlier), [Role::Status, Role::Website]);
        assert_eq!(earlier.differing(&earlier), []);
    }

    #[test]
    fn blank_text_is_empty() {
        assert_eq!(Value::text(" \n"), Value::Empty);
        assert_eq!(Value::text(" a "), Value::Text("a".to_owned()));
    }
}
