//! The schema of a simulated data source: which properties there are, of what type, and under what id.

use std::sync::Arc;

use fastrand::Rng;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::model::page::Role;

/// The id of a property as Notion keeps it: a few printable characters, of which many need encoding.
pub type PropertyId = Arc<str>;

/// The id that every title property has, whatever its name («PVAL»).
pub const TITLE_ID: &str = "title";

/// What Notion leaves as it is when it writes a property id; the same as JavaScript's `encodeURIComponent`.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// The colours of options, given out in turn.
const COLOURS: [&str; 6] = ["default", "blue", "yellow", "green", "red", "purple"];

/// The columns of a CRM as the simulator lays them out.
const CRM: [(&str, Kind, Option<Role>); 17] = [
    ("Company Name", Kind::Title, Some(Role::CompanyName)),
    ("Website", Kind::Url, Some(Role::Website)),
    ("Status", Kind::Status, Some(Role::Status)),
    ("Canonical Key", Kind::RichText, Some(Role::CanonicalKey)),
    ("Location", Kind::RichText, Some(Role::Location)),
    ("Companies House Number", Kind::RichText, Some(Role::CompaniesHouse)),
    ("Crunchbase", Kind::Url, Some(Role::Crunchbase)),
    ("PitchBook", Kind::Url, Some(Role::Pitchbook)),
    ("GitHub Org", Kind::RichText, Some(Role::GithubOrg)),
    ("GitHub Repo", Kind::RichText, Some(Role::GithubRepo)),
    ("Contact", Kind::Email, None),
    ("Sector", Kind::Select, None),
    ("Employees", Kind::Number, None),
    ("Deals", Kind::Relation, None),
    ("Deal Count", Kind::Rollup, None),
    ("Headline", Kind::Formula, None),
    ("Added", Kind::CreatedTime, None),
];

/// The statuses of the simulated CRM, each with the group that Notion sorts it into.
const STATUSES: [(&str, &str); 7] = [
    ("Sourced", "To-do"),
    ("Contacted", "In progress"),
    ("Meeting", "In progress"),
    ("Diligence", "In progress"),
    ("Passed", "Complete"),
    ("Lost", "Complete"),
    ("Portfolio", "Complete"),
];

/// The sectors of the simulated CRM.
const SECTORS: [&str; 4] = ["Climate", "Developer tools", "Health", "Robotics"];

/// The type of a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The page's title.
    Title,
    /// Text with formatting, in segments.
    RichText,
    /// A web address.
    Url,
    /// A mail address.
    Email,
    /// A number.
    Number,
    /// One of several options.
    Select,
    /// One of several options, which are grouped.
    Status,
    /// References to other pages.
    Relation,
    /// A figure over a relation.
    Rollup,
    /// A computed value.
    Formula,
    /// When the page was created.
    CreatedTime,
}

impl Kind {
    const ALL: [Self; 11] = [
        Self::Title,
        Self::RichText,
        Self::Url,
        Self::Email,
        Self::Number,
        Self::Select,
        Self::Status,
        Self::Relation,
        Self::Rollup,
        Self::Formula,
        Self::CreatedTime,
    ];

    /// Returns Notion's name of the type.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Title => "title",
            Self::RichText => "rich_text",
            Self::Url => "url",
            Self::Email => "email",
            Self::Number => "number",
            Self::Select => "select",
            Self::Status => "status",
            Self::Relation => "relation",
            Self::Rollup => "rollup",
            Self::Formula => "formula",
            Self::CreatedTime => "created_time",
        }
    }

    /// Reads Notion's name of a type.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Returns whether values of this type are one of the property's options.
    pub const fn has_options(self) -> bool {
        matches!(self, Self::Select | Self::Status)
    }
}

/// One option of a select or status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Its id, which survives a rename; not always a UUID.
    pub id: Arc<str>,
    /// Its present name.
    pub name: String,
    /// Its colour.
    pub colour: &'static str,
    /// The group that it is in; empty for a select.
    pub group: &'static str,
}

/// One property of a data source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// Its id, which survives a rename.
    pub id: PropertyId,
    /// Its present name.
    pub name: String,
    /// Its type.
    pub kind: Kind,
    /// What it is for in this CRM, if the cache depends on it; survives a rename as the id does.
    pub role: Option<Role>,
    /// Its options, for a select or status.
    pub choices: Vec<Choice>,
}

impl Property {
    /// Makes a property with an id of its own; its name says what it is for, as to people who look for a column.
    pub fn new(rng: &mut Rng, name: &str, kind: Kind) -> Self {
        let id = if kind == Kind::Title { TITLE_ID.into() } else { short_id(rng) };
        let role = CRM.iter().find(|(known, ..)| *known == name).and_then(|(_, _, role)| *role);
        Self { id, name: name.to_owned(), kind, role, choices: Vec::new() }
    }

    /// Returns the id as it stands in answers and events: percent-encoded («PVAL»).
    pub fn encoded_id(&self) -> String {
        encoded(&self.id)
    }

    /// Returns the id of the option called `name`, and whether it had to be added first.
    pub fn choose(&mut self, rng: &mut Rng, name: &str) -> (Arc<str>, bool) {
        if let Some(choice) = self.choices.iter().find(|choice| choice.name == name) {
            return (Arc::clone(&choice.id), false);
        }
        let group = if self.kind == Kind::Status { "To-do" } else { "" };
        (self.add_choice(rng, name, group), true)
    }

    fn add_choice(&mut self, rng: &mut Rng, name: &str, group: &'static str) -> Arc<str> {
        let colour = COLOURS.iter().cycle().nth(self.choices.len()).copied().unwrap_or("default");
        let id = short_id(rng);
        self.choices.push(Choice { id: Arc::clone(&id), name: name.to_owned(), colour, group });
        id
    }
}

/// The properties of one data source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// In the order of their creation; the title is always among them.
    pub properties: Vec<Property>,
}

impl Schema {
    /// Lays out a CRM whose status is of the type `status`.
    pub(crate) fn crm(rng: &mut Rng, status: Kind) -> Self {
        let properties = CRM.iter().map(|(name, kind, role)| {
            let kind = if *role == Some(Role::Status) { status } else { *kind };
            let mut property = Property::new(rng, name, kind);
            match (role, kind) {
                (Some(Role::Status), _) => STATUSES.iter().for_each(|(name, group)| {
                    property.add_choice(rng, name, if kind == Kind::Status { group } else { "" });
                }),
                // The example of «PVAL»: it shows as `f%5C%5C%3Ap`.
                (Some(Role::Website), _) => property.id = r"f\\:p".into(),
                (None, Kind::Select) => SECTORS.iter().for_each(|name| drop(property.add_choice(rng, name, ""))),
                _ => (),
            }
            property
        });
        Self { properties: properties.collect() }
    }

    /// Lays out what a page has that is not a row: its title alone («PAGE»).
    pub(crate) fn plain() -> Self {
        let title = Property {
            id: TITLE_ID.into(),
            name: TITLE_ID.to_owned(),
            kind: Kind::Title,
            role: Some(Role::CompanyName),
            choices: Vec::new(),
        };
        Self { properties: vec![title] }
    }

    /// Returns the property that is called `name` now.
    pub fn named(&self, name: &str) -> Option<&Property> {
        self.properties.iter().find(|property| property.name == name)
    }

    /// Returns the property that plays `role`.
    pub fn playing(&self, role: Role) -> Option<&Property> {
        self.properties.iter().find(|property| property.role == Some(role))
    }

    pub(crate) fn named_mut(&mut self, name: &str) -> Option<&mut Property> {
        self.properties.iter_mut().find(|property| property.name == name)
    }

    pub(crate) fn with_id_mut(&mut self, id: &str) -> Option<&mut Property> {
        self.properties.iter_mut().find(|property| &*property.id == id)
    }
}

/// Writes a property id as Notion does, percent-encoded.
pub fn encoded(id: &str) -> String {
    utf8_percent_encode(id, ENCODED).to_string()
}

/// Invents an id of four printable characters, such as `XGe@` or `bDf[`.
fn short_id(rng: &mut Rng) -> Arc<str> {
    (0..4).map(|_| rng.char('!'..='~')).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_as_in_the_documentation() {
        for (id, written) in [(r"f\\:p", "f%5C%5C%3Ap"), ("XGe@", "XGe%40"), ("bDf[", "bDf%5B"), ("DbAu", "DbAu")] {
            assert_eq!(encoded(id), written);
        }
    }

    #[test]
    fn the_title_is_called_title_inside_and_every_other_id_is_its_own() {
        let schema = Schema::crm(&mut Rng::with_seed(1), Kind::Status);
        assert_eq!(&*schema.playing(Role::CompanyName).unwrap().id, "title");
        let mut ids: Vec<_> = schema.properties.iter().map(|property| Arc::clone(&property.id)).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), CRM.len());
    }

    #[test]
    fn every_role_has_a_property() {
        let schema = Schema::crm(&mut Rng::with_seed(1), Kind::Select);
        for role in Role::ALL {
            assert!(schema.playing(role).is_some(), "{role:?}");
        }
        assert_eq!(schema.named("Status").map(|status| status.kind), Some(Kind::Select));
    }

    #[test]
    fn an_unknown_option_is_added_once() {
        let mut rng = Rng::with_seed(1);
        let mut status = Schema::crm(&mut rng, Kind::Status).playing(Role::Status).unwrap().clone();
        let (id, added) = status.choose(&mut rng, "Snoozed");
        assert!(added);
        assert_eq!(status.choose(&mut rng, "Snoozed"), (id, false));
        assert!(!status.choose(&mut rng, "Passed").1);
    }
}
