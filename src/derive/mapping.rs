//! Which property of a data source plays which role, found by name and kept by id.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::model::{
    id::DataSourceId,
    page::{Page, Role, Schema, SchemaProperty, Value, Values},
};

/// The property names to look for. In settings only those that differ need to be given; an empty one maps nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<Role, String>", into = "BTreeMap<Role, String>")]
pub struct Names(BTreeMap<Role, String>);

impl Names {
    /// Returns the wanted name of a role; empty where nothing is to be mapped.
    pub fn get(&self, role: Role) -> &str {
        self.0.get(&role).map_or("", |name| name.trim())
    }
}

impl Default for Names {
    fn default() -> Self {
        Self(Role::ALL.into_iter().map(|role| (role, default_name(role).to_owned())).collect())
    }
}

impl From<BTreeMap<Role, String>> for Names {
    fn from(given: BTreeMap<Role, String>) -> Self {
        let mut names = Self::default();
        names.0.extend(given);
        names
    }
}

impl From<Names> for BTreeMap<Role, String> {
    fn from(names: Names) -> Self {
        names.0
    }
}

/// Returns the name that a property of this role has where the settings say nothing.
pub(crate) const fn default_name(role: Role) -> &'static str {
    match role {
        Role::CompanyName => "Company Name",
        Role::Status => "Status",
        Role::CanonicalKey => "Canonical Key",
        Role::Website => "Website",
        Role::CompaniesHouse => "Companies House Number",
        Role::Crunchbase => "Crunchbase",
        Role::Pitchbook => "PitchBook",
        Role::GithubOrg => "GitHub Org",
        Role::GithubRepo => "GitHub Repo",
        Role::Location => "Location",
    }
}

/// The properties that play the roles.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mapping(BTreeMap<Role, MappedProperty>);

/// A property that plays a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappedProperty {
    /// Its id, percent-decoded; survives a rename («PVAL»).
    pub id: String,
    /// Its name when the mapping was resolved, for people.
    pub name: String,
}

impl Mapping {
    /// Returns the property that plays a role, if one does.
    pub fn get(&self, role: Role) -> Option<&MappedProperty> {
        self.0.get(&role)
    }

    /// Lists the roles that give keys and of which a page does not say anything, though some property plays them.
    pub fn unsaid(&self, values: &Values) -> Vec<Role> {
        let gives_keys = |role: &Role| !matches!(role, Role::Status | Role::Location);
        self.0.keys().copied().filter(gives_keys).filter(|role| !values.says(*role)).collect()
    }

    /// Picks the mapped values of a page. What the page does not show is left unsaid, which is not the same as empty.
    pub fn values(&self, page: &Page) -> Values {
        let mut values = Values::default();
        for (role, mapped) in &self.0 {
            let property = page.properties.iter().find(|property| property.id == mapped.id);
            values.set(*role, property.map_or(Value::Unavailable, |property| property.value.clone()));
        }
        values
    }

    /// Says of the roles that no property plays that they are empty: for a page that comes out of another source, whose
    /// values are no longer its own.
    pub fn empty_unmapped(&self, values: &mut Values) {
        for role in Role::ALL.into_iter().filter(|role| self.get(*role).is_none()) {
            values.set(role, Value::Empty);
        }
    }
}

/// A mapping, and what a person may want to know of how it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The mapping.
    pub mapping: Mapping,
    /// What did not go by name.
    pub notes: Vec<Note>,
}

/// Something that a person may want to know of a mapping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "note", rename_all = "snake_case")]
pub enum Note {
    /// No property plays the role.
    NotFound {
        /// The role.
        role: Role,
        /// The name that was looked for.
        wanted: String,
    },
    /// No property has the wanted name, and the one that played the role before goes on. Whether it was renamed in Notion, or
    /// the name in the settings, nobody can know.
    KnownById {
        /// The role.
        role: Role,
        /// The name that was looked for.
        wanted: String,
        /// Its present name.
        name: String,
    },
    /// The title property stands in for the company's name.
    Title {
        /// The name that was looked for.
        wanted: String,
        /// The title's name.
        name: String,
    },
    /// The property is of a type that gives no text for the role.
    NoText {
        /// The role.
        role: Role,
        /// Its name.
        name: String,
        /// Notion's name of its type.
        kind: String,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { role, wanted } => {
                write!(f, "no property is named {wanted:?}: {} stays empty", role.name())
            }
            Self::KnownById { role, wanted, name } => {
                let role = role.name();
                write!(
                    f,
                    "no property is named {wanted:?}; {role} is read on from {name:?}, known by its id: set the name to {name:?}"
                )
            }
            Self::Title { wanted, name } => {
                write!(f, "no property is named {wanted:?}: the title {name:?} is taken for the company's name")
            }
            Self::NoText { role, name, kind } => {
                write!(f, "{name:?} is of type {kind}, which gives no text: {} stays empty", role.name())
            }
        }
    }
}

/// A schema that cannot be mapped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "data source {data_source} ({title:?}) shows no title property: name the right data source, and share it whole"
)]
pub struct NoTitle {
    /// The data source.
    pub data_source: DataSourceId,
    /// Its title.
    pub title: String,
}

/// Finds the property of every role: by its name, then by the id that `previous` knows; the company's name is at last the
/// title, whatever its name. Only the title must exist.
pub fn resolve(schema: &Schema, names: &Names, previous: Option<&Mapping>) -> Result<Resolved, NoTitle> {
    let Some(title) = schema.properties.iter().find(|property| property.kind == "title") else {
        return Err(NoTitle { data_source: schema.data_source, title: schema.title.clone() });
    };
    let mut resolved = Resolved { mapping: Mapping::default(), notes: Vec::new() };
    for role in Role::ALL {
        let (wanted, is_name) = (names.get(role), role == Role::CompanyName);
        if wanted.is_empty() && !is_name {
            continue;
        }
        let known = previous.and_then(|mapping| mapping.get(role));
        let property = if let Some(property) = named(schema, wanted) {
            property
        } else if is_name {
            let property = known.and_then(|known| with_id(schema, &known.id)).unwrap_or(title);
            if !wanted.is_empty() {
                resolved.notes.push(found_otherwise(role, wanted, property));
            }
            property
        } else if let Some(property) = known.and_then(|known| with_id(schema, &known.id)) {
            resolved.notes.push(found_otherwise(role, wanted, property));
            property
        } else {
            resolved.notes.push(Note::NotFound { role, wanted: wanted.to_owned() });
            continue;
        };
        if !gives_text(&property.kind, role) {
            let (name, kind) = (property.name.clone(), property.kind.clone());
            resolved.notes.push(Note::NoText { role, name, kind });
        }
        let mapped = MappedProperty { id: property.id.clone(), name: property.name.clone() };
        resolved.mapping.0.insert(role, mapped);
    }
    Ok(resolved)
}

/// Finds a property by its exact name, else by the same name in other case.
fn named<'a>(schema: &'a Schema, wanted: &str) -> Option<&'a SchemaProperty> {
    let same = |property: &&SchemaProperty| property.name.trim().to_lowercase() == wanted.to_lowercase();
    let exact = schema.properties.iter().find(|property| property.name.trim() == wanted);
    exact.or_else(|| schema.properties.iter().find(same)).filter(|_| !wanted.is_empty())
}

fn with_id<'a>(schema: &'a Schema, id: &str) -> Option<&'a SchemaProperty> {
    schema.properties.iter().find(|property| property.id == id)
}

fn found_otherwise(role: Role, wanted: &str, property: &SchemaProperty) -> Note {
    let (wanted, name) = (wanted.to_owned(), property.name.clone());
    match property.kind.as_str() {
        "title" if role == Role::CompanyName => Note::Title { wanted, name },
        _ => Note::KnownById { role, wanted, name },
    }
}

/// Returns whether values of a type can say something in a role. A type that Notion added later may.
pub fn gives_text(kind: &str, role: Role) -> bool {
    match kind {
        "place" => role == Role::Location,
        "files" | "people" | "relation" | "button" | "checkbox" | "date" | "verification" | "created_by"
        | "last_edited_by" | "created_time" | "last_edited_time" => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;
    use crate::model::{
        id::PageId,
        page::{Parent, Property},
    };

    fn schema(properties: &[(&str, &str, &str)]) -> Schema {
        let property = |&(id, name, kind): &(&str, &str, &str)| SchemaProperty {
            id: id.to_owned(),
            name: name.to_owned(),
            kind: kind.to_owned(),
            options: Vec::new(),
        };
        Schema {
            data_source: DataSourceId::from_uuid(Uuid::from_u128(1)),
            database: None,
            title: "CRM".to_owned(),
            properties: properties.iter().map(property).collect(),
            unmapped: Vec::new(),
        }
    }

    fn ids(mapping: &Mapping) -> Vec<(Role, &str)> {
        mapping.0.iter().map(|(role, property)| (*role, property.id.as_str())).collect()
    }

    fn notes_besides_not_found(resolved: Resolved) -> Vec<Note> {
        resolved.notes.into_iter().filter(|note| !matches!(note, Note::NotFound { .. })).collect()
    }

    #[test]
    fn the_default_names_find_every_role() {
        let schema = schema(&[
            ("title", "Company Name", "title"),
            ("a", "Website", "url"),
            ("b", "Status", "status"),
            ("c", "Canonical Key", "rich_text"),
            ("d", "Location", "place"),
            ("e", "Companies House Number", "rich_text"),
            ("f", "Crunchbase", "url"),
            ("g", "PitchBook", "url"),
            ("h", "GitHub Org", "rich_text"),
            ("i", "GitHub Repo", "formula"),
        ]);
        let resolved = resolve(&schema, &Names::default(), None).unwrap();
        assert_eq!(resolved.notes, []);
        assert_eq!(
            ids(&resolved.mapping),
            [
                (Role::CompanyName, "title"),
                (Role::Status, "b"),
                (Role::CanonicalKey, "c"),
                (Role::Website, "a"),
                (Role::CompaniesHouse, "e"),
                (Role::Crunchbase, "f"),
                (Role::Pitchbook, "g"),
                (Role::GithubOrg, "h"),
                (Role::GithubRepo, "i"),
                (Role::Location, "d"),
            ]
        );
        let json = serde_json::to_string(&resolved.mapping).unwrap();
        assert_eq!(serde_json::from_str::<Mapping>(&json).unwrap(), resolved.mapping);
    }

    #[test]
    fn only_the_title_must_exist() {
        let resolved = resolve(&schema(&[("title", "Firma", "title")]), &Names::default(), None).unwrap();
        assert_eq!(ids(&resolved.mapping), [(Role::CompanyName, "title")]);
        assert_eq!(resolved.notes.len(), Role::ALL.len());
        let title = Note::Title { wanted: "Company Name".to_owned(), name: "Firma".to_owned() };
        assert_eq!(notes_besides_not_found(resolved), [title]);

        let problem = resolve(&schema(&[("a", "Website", "url")]), &Names::default(), None).unwrap_err();
        assert_eq!(problem.title, "CRM");
    }

    #[test]
    fn an_exact_name_goes_before_another_case() {
        let check = |properties: &[(&str, &str, &str)], expected| {
            let mut all = vec![("title", "Name", "title")];
            all.extend(properties);
            let resolved = resolve(&schema(&all), &Names::default(), None).unwrap();
            assert_eq!(resolved.mapping.get(Role::Website).map(|mapped| mapped.id.as_str()), expected);
        };
        check(&[("a", " WEBSITE ", "url")], Some("a"));
        check(&[("a", "website", "url"), ("b", "Website", "url")], Some("b"));
        check(&[("a", "Website 2", "url")], None);
    }

    #[test]
    fn a_renamed_property_keeps_its_role_until_another_takes_the_name() {
        let names = Names::default();
        let before = resolve(&schema(&[("title", "Name", "title"), ("a", "Website", "url")]), &names, None).unwrap();

        let renamed = schema(&[("title", "Firma", "title"), ("a", "Homepage", "url")]);
        let after = resolve(&renamed, &names, Some(&before.mapping)).unwrap();
        assert_eq!(after.mapping.get(Role::Website).unwrap().name, "Homepage");
        let note = Note::KnownById { role: Role::Website, wanted: "Website".to_owned(), name: "Homepage".to_owned() };
        assert!(after.notes.contains(&note), "{:?}", after.notes);
        assert!(after.notes.iter().all(|note| !matches!(note, Note::KnownById { role: Role::CompanyName, .. })));

        let taken = schema(&[("title", "Firma", "title"), ("a", "Homepage", "url"), ("b", "Website", "url")]);
        let later = resolve(&taken, &names, Some(&after.mapping)).unwrap();
        assert_eq!(later.mapping.get(Role::Website).unwrap().id, "b");

        let gone = resolve(&schema(&[("title", "Firma", "title")]), &names, Some(&after.mapping)).unwrap();
        assert_eq!(gone.mapping.get(Role::Website), None);
    }

    #[test]
    fn types_without_text_are_noted() {
        let schema = schema(&[("title", "Company Name", "title"), ("a", "Status", "files"), ("b", "Website", "place")]);
        let no_text =
            |role, name: &str, kind: &str| Note::NoText { role, name: name.to_owned(), kind: kind.to_owned() };
        assert_eq!(
            notes_besides_not_found(resolve(&schema, &Names::default(), None).unwrap()),
            [no_text(Role::Status, "Status", "files"), no_text(Role::Website, "Website", "place"),]
        );
    }

    #[test]
    fn settings_name_only_what_differs_and_an_empty_name_maps_nothing() {
        let names: Names = serde_json::from_str(r#"{"website":"Homepage","status":""}"#).unwrap();
        let schema = schema(&[("title", "Company Name", "title"), ("a", "Homepage", "url"), ("b", "Status", "status")]);
        let resolved = resolve(&schema, &names, None).unwrap();
        assert_eq!(ids(&resolved.mapping), [(Role::CompanyName, "title"), (Role::Website, "a")]);
        assert!(!resolved.notes.iter().any(|note| matches!(note, Note::NotFound { role: Role::Status, .. })));
        assert!(serde_json::from_str::<Names>(r#"{"web":"Homepage"}"#).is_err());
    }

    #[test]
    fn values_are_picked_by_id_and_what_is_not_shown_is_left_unsaid() {
        let crm =
            schema(&[("title", "Company Name", "title"), ("a:b", "Website", "url"), ("c", "Location", "rich_text")]);
        let mapping = resolve(&crm, &Names::default(), None).unwrap().mapping;
        let property = |id: &str, name: &str, value| Property { id: id.to_owned(), name: name.to_owned(), value };
        let page = Page {
            id: PageId::from_uuid(Uuid::from_u128(5)),
            parent: Parent::Elsewhere,
            created_time: DateTime::UNIX_EPOCH,
            last_edited_time: DateTime::UNIX_EPOCH,
            in_trash: false,
            is_archived: false,
            url: None,
            properties: vec![
                property("x", "Website", Value::text("wrong.example")),
                property("a:b", "Homepage", Value::text("acme.ai")),
                property("title", "Company Name", Value::Empty),
            ],
        };
        let mut values = mapping.values(&page);
        assert_eq!(values.get(Role::Website), Some("acme.ai"));
        let mut earlier = Values::default();
        earlier.set(Role::Location, Value::text("Leeds"));
        earlier.set(Role::CompanyName, Value::text("Acme"));
        values.carry_forward(&earlier);
        assert_eq!(values.get(Role::Location), Some("Leeds"));
        assert_eq!(values.get(Role::CompanyName), None);
    }
}
