//! Which properties are to be added to a table: a plain function of what it has and what is wanted.

use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use crate::{
    lookup::schema::{Found, RoleFit, SourceFit},
    model::page::{Role, Schema},
};

/// What is to be done where an existing property looks like a missing one.
const DECIDE: &str =
    "name the existing one in the settings, or say which are to be added: --only NAME, or --yes for all";

/// What somebody asked for.
#[derive(Debug, Clone, Default)]
pub struct Order {
    /// Whether nothing is to be sent.
    pub dry_run: bool,
    /// Whether a property is to be added though another one looks like it.
    pub yes: bool,
    /// The only properties to be added, by name; empty for all that are missing.
    pub only: Vec<String>,
}

/// A property that is to be added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Added {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What it is for.
    pub role: Role,
}

/// A property that is missing and is not to be added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Left {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Why.
    pub why: String,
}

/// What is to be done with one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) add: Vec<Added>,
    pub(super) left: Vec<Left>,
    /// Why nothing is to be done before a person has decided.
    pub(super) refused: Option<String>,
}

impl Plan {
    /// Decides what a table of this schema, which fits so, lacks.
    pub(super) fn of(fit: &SourceFit, schema: &Schema, order: &Order) -> Self {
        let mut plan = Self { add: Vec::new(), left: Vec::new(), refused: None };
        let missing: Vec<(&RoleFit, &str)> = fit
            .roles
            .iter()
            .filter(|role| role.found == Found::Missing)
            .filter_map(|role| Some((role, role.wanted.as_deref()?.trim())))
            .collect();
        let is_named = |name: &str| order.only.iter().any(|only| same(only, name));
        let unknown: Vec<String> = order
            .only
            .iter()
            .filter(|only| !missing.iter().any(|(_, name)| same(only, name)))
            .map(|only| format!("«{only}»"))
            .collect();
        if !unknown.is_empty() {
            let names: Vec<String> = missing
                .iter()
                .filter(|(role, name)| kind_of(role.role).is_some() && !is_there(schema, name))
                .map(|(_, name)| format!("«{name}»"))
                .collect();
            let names = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
            let unknown = unknown.join(" or ");
            plan.refused =
                Some(format!("nothing is missing that is called {unknown}; missing, and can be added: {names}"));
        }
        let mut doubted = Vec::new();
        for (role, name) in missing {
            let left = |why: &str| Left { name: name.to_owned(), role: role.role, why: why.to_owned() };
            let Some(kind) = kind_of(role.role) else {
                let by_hand = "add it in Notion by hand: its options are your own words";
                plan.left.push(match &role.did_you_mean {
                    Some(near) => {
                        let set = format!("set {} = {near:?} under [source.properties]", role.role.name());
                        left(&format!("«{near}» looks like it: {set}, or {by_hand}"))
                    }
                    None => left(by_hand),
                });
                continue;
            };
            // Whatever the mapping makes of it, a name that is there would be changed instead of added.
            if is_there(schema, name) {
                plan.left.push(left("there is one of this name, which is not changed"));
            } else if !order.only.is_empty() && !is_named(name) {
                plan.left.push(left("it was not named with --only"));
            } else {
                if let (Some(near), false) = (&role.did_you_mean, order.yes || is_named(name)) {
                    doubted.push(format!("«{near}» looks like {name} (set {} = {near:?})", role.role.name()));
                }
                plan.add.push(Added { name: name.to_owned(), kind, role: role.role });
            }
        }
        if !doubted.is_empty() {
            plan.refused.get_or_insert_with(|| format!("{}: {DECIDE}", doubted.join("; ")));
        }
        plan
    }

    /// Writes what is to be sent.
    pub(super) fn body(&self) -> Json {
        let described = |added: &Added| {
            let described = Map::from_iter([(added.kind.to_owned(), json!({}))]);
            (added.name.clone(), Json::Object(described))
        };
        json!({ "properties": self.add.iter().map(described).collect::<Map<_, _>>() })
    }
}

/// Returns the type of a property that is added for a role; `None` for those that people must make themselves.
const fn kind_of(role: Role) -> Option<&'static str> {
    match role {
        Role::CompanyName | Role::Status => None,
        Role::Website | Role::Crunchbase | Role::Pitchbook => Some("url"),
        Role::CanonicalKey | Role::CompaniesHouse | Role::GithubOrg | Role::GithubRepo | Role::Location => {
            Some("rich_text")
        }
    }
}

fn is_there(schema: &Schema, name: &str) -> bool {
    let mut names = schema.properties.iter().map(|property| &property.name).chain(&schema.unmapped);
    names.any(|there| same(there, name))
}

fn same(name: &str, other: &str) -> bool {
    name.trim().to_lowercase() == other.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use uuid::Uuid;

    use super::*;
    use crate::{
        clock::Clock,
        derive::{
            mapping::{Names, gives_text},
            winner::HardStatuses,
        },
        lookup::schema::{Sight, report},
        model::{
            id::{DataSourceId, TableId},
            page::SchemaProperty,
        },
        sources::SourceSettings,
    };

    fn plan(properties: &[(&str, &str)], order: &Order) -> Plan {
        planned(properties, Names::default(), order)
    }

    fn planned(properties: &[(&str, &str)], names: Names, order: &Order) -> Plan {
        let id = DataSourceId::from_uuid(Uuid::nil());
        let property = |(name, kind): &(&str, &str)| SchemaProperty {
            id: (*name).to_owned(),
            name: (*name).to_owned(),
            kind: (*kind).to_owned(),
            options: Vec::new(),
        };
        let schema = Schema {
            data_source: id,
            database: None,
            title: String::new(),
            properties: properties.iter().filter(|(_, kind)| !kind.is_empty()).map(property).collect(),
            unmapped: properties
                .iter()
                .filter(|(_, kind)| kind.is_empty())
                .map(|(name, _)| (*name).to_owned())
                .collect(),
        };
        let source = SourceSettings {
            name: "crm".to_owned(),
            table: TableId::DataSource(id),
            names,
            hard: HardStatuses::default(),
        };
        let sight = Sight { sources: vec![source], live: Ok(vec![Ok(schema.clone())]) };
        Plan::of(&report(&sight, &[], Clock::system().now()).sources[0], &schema, order)
    }

    fn names(plan: &Plan) -> Vec<&str> {
        plan.add.iter().map(|added| added.name.as_str()).collect()
    }

    const BARE: [(&str, &str); 4] =
        [("Name", "title"), ("Status", "status"), ("Website", "url"), ("Location", "rich_text")];

    #[test]
    fn what_is_missing_is_added_with_a_type_that_gives_text() {
        let plan = plan(&BARE, &Order::default());
        assert_eq!(plan.refused, None);
        let all = ["Canonical Key", "Companies House Number", "Crunchbase", "PitchBook", "GitHub Org", "GitHub Repo"];
        assert_eq!(names(&plan), all);
        assert!(plan.add.iter().all(|added| gives_text(added.kind, added.role)), "{plan:?}");
        assert_eq!(plan.body()["properties"]["Canonical Key"], json!({"rich_text": {}}));
        assert_eq!(plan.body()["properties"]["Crunchbase"], json!({"url": {}}));
    }

    #[test]
    fn what_looks_like_a_missing_one_must_be_decided_by_a_person() {
        let table = [("Name", "title"), ("Status", "status"), ("Web site", "url")];
        let refused = plan(&table, &Order::default()).refused.unwrap();
        assert!(refused.contains("«Web site» looks like Website (set website = \"Web site\")"), "{refused}");
        let yes = plan(&table, &Order { yes: true, ..Order::default() });
        assert!(yes.refused.is_none() && names(&yes).contains(&"Website"));
        let only = plan(&table, &Order { only: vec!["website".to_owned()], ..Order::default() });
        assert_eq!((only.refused.as_ref(), names(&only)), (None, vec!["Website"]));
        assert_eq!(only.left.len(), 7, "{only:?}");
        let other = plan(&table, &Order { only: vec!["Crunchbase".to_owned()], ..Order::default() });
        assert_eq!((other.refused.as_ref(), names(&other)), (None, vec!["Crunchbase"]), "nobody asked for Website");
        let unknown = plan(&table, &Order { only: vec!["Colour".to_owned()], ..Order::default() });
        let refused = unknown.refused.unwrap();
        assert!(
            refused.contains("called «Colour»; missing, and can be added: «Canonical Key», «Website», "),
            "{refused}"
        );
        assert!(!refused.contains("«Company Name»") && !refused.contains("--yes"), "{refused}");
    }

    #[test]
    fn the_status_is_never_added_and_what_is_there_never_touched() {
        let table = [("Name", "title"), ("website", "files"), ("Canonical Key", "rich_text"), ("crunchbase", "")];
        let plan = plan(&table, &Order { yes: true, ..Order::default() });
        let kept = ["Website", "Status", "Canonical Key", "Crunchbase"];
        assert!(!names(&plan).iter().any(|name| kept.contains(name)), "{plan:?}");
        assert!(plan.left.iter().any(|left| left.role == Role::Status && left.why.contains("by hand")), "{plan:?}");
        let plan = self::plan(&[("Name", "title"), ("Statuz", "status")], &Order::default());
        let why = &plan.left.iter().find(|left| left.role == Role::Status).unwrap().why;
        assert!(why.contains("«Statuz» looks like it: set status = \"Statuz\""), "{why}");
    }

    #[test]
    fn a_property_of_the_usual_name_is_doubted_too() {
        let names = BTreeMap::from([(Role::Crunchbase, "CB".to_owned()), (Role::Website, "Web page".to_owned())]);
        let table = [("Name", "title"), ("Status", "status"), ("Crunchbase", "url"), ("Website", "url")];
        let refused = planned(&table, names.into(), &Order::default()).refused.unwrap();
        for words in
            ["«Crunchbase» looks like CB (set crunchbase = \"Crunchbase\")", "«Website» looks like Web page", "--yes"]
        {
            assert!(refused.contains(words), "{refused}");
        }
    }
}
