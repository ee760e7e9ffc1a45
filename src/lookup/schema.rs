//! How the properties of each source fit what the cache needs of them, for whoever mends the CRM or the settings.
//!
//! The judgement is a plain function of a schema, the wanted names and the hard statuses. Whether the schema was read
//! from Notion a moment ago, or is the one that was stored last, stands beside it.

mod fit;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

pub use crate::lookup::schema::fit::{Found, Missing, PropertyFit, ReadFrom, RoleFit, SourceFit, StatusFit};
use crate::{
    derive::{
        mapping::{self, Mapping, Names, Note},
        winner::HardStatuses,
    },
    lookup::Lookup,
    model::{
        id::TableId,
        page::{Role, Schema, SchemaProperty},
    },
    nearest::nearest,
    sources::{SourceSettings, filter::Basis},
    store::{Store, StoreError, StoredSource},
};

/// The sources of the settings, and what Notion showed of them.
#[derive(Debug, Clone)]
pub struct Sight {
    /// The sources; empty where the settings name none, and then what is stored is all that there is.
    pub sources: Vec<SourceSettings>,
    /// Their schemas in the same order, each or why it could not be read; or why Notion was not asked at all.
    pub live: Result<Vec<Result<Schema, String>>, String>,
}

/// How the sources fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SchemaReport {
    /// Whether every source can be read as it should: no source has a problem.
    pub valid: bool,
    /// Why Notion was not asked, so that this rests on what was stored; null where it was asked.
    pub not_live: Option<String>,
    /// Each source.
    pub sources: Vec<SourceFit>,
}

impl<S: Store> Lookup<S> {
    /// Says how the sources fit, by what Notion showed, else by what is stored.
    pub async fn schema_report(&self, sight: Sight) -> Result<SchemaReport, StoreError> {
        let now = self.clock.now();
        let stored = self.store().read(|rows| rows.sources()).await?;
        Ok(report(&sight, &stored, now))
    }
}

/// Says how the sources fit, by what Notion showed, else by what is stored.
pub fn report(sight: &Sight, stored: &[StoredSource], now: DateTime<Utc>) -> SchemaReport {
    let current = || stored.iter().filter(|source| source.retired_at.is_none());
    let sources: Vec<SourceFit> = if sight.sources.is_empty() {
        current().map(|stored| source_fit(None, None, Some(stored), now)).collect()
    } else {
        let of = |(nth, source): (usize, &SourceSettings)| {
            let live = sight.live.as_ref().ok().and_then(|schemas| schemas.get(nth));
            // A database can have had another data source before.
            let stored = current().filter(|stored| is_of(stored, source)).max_by_key(|stored| stored.resolved_at);
            source_fit(Some(source), live, stored, now)
        };
        sight.sources.iter().enumerate().map(of).collect()
    };
    let valid = !sources.is_empty() && sources.iter().all(|source| source.problems.is_empty());
    SchemaReport { valid, not_live: sight.live.as_ref().err().cloned(), sources }
}

fn is_of(stored: &StoredSource, source: &SourceSettings) -> bool {
    match source.table {
        TableId::DataSource(id) => stored.id == id,
        TableId::Database(id) => stored.database == Some(id),
    }
}

fn source_fit(
    settings: Option<&SourceSettings>,
    live: Option<&Result<Schema, String>>,
    stored: Option<&StoredSource>,
    now: DateTime<Utc>,
) -> SourceFit {
    let earlier: Option<Mapping> = stored.and_then(|stored| serde_json::from_str(&stored.mapping).ok());
    let kept: Option<Schema> = stored.and_then(|stored| serde_json::from_str(&stored.schema).ok());
    let (schema, read_from, read_at) = match (live, kept, stored) {
        (Some(Ok(schema)), ..) => (Some(schema.clone()), Some(ReadFrom::Notion), Some(now)),
        (_, Some(schema), Some(stored)) => (Some(schema), Some(ReadFrom::Stored), Some(stored.resolved_at)),
        _ => (None, None, None),
    };
    let mut fit = SourceFit {
        name: settings.map_or_else(
            || stored.map(|stored| stored.id.to_string()).unwrap_or_default(),
            |settings| settings.name.clone(),
        ),
        data_source: schema.as_ref().map(|schema| schema.data_source.to_string()),
        title: schema.as_ref().map(|schema| schema.title.clone()),
        read_from,
        read_at,
        age_seconds: read_at.map(|at| (now - at).num_seconds().max(0).unsigned_abs()),
        roles: Vec::new(),
        statuses: Vec::new(),
        hard_without_option: Vec::new(),
        problems: Vec::new(),
        hints: Vec::new(),
    };
    if let Some(Err(why)) = live {
        fit.problems.push(format!("Notion does not show its schema: {why}"));
    }
    let Some(schema) = schema else {
        if fit.problems.is_empty() {
            fit.problems.push("its schema was never read: let `suppressd serve` or `reconcile` read it".to_owned());
        }
        return fit;
    };
    let hard = match (settings, stored) {
        (Some(settings), _) => settings.hard.clone(),
        (None, Some(stored)) => serde_json::from_str(&stored.hard).unwrap_or_default(),
        (None, None) => HardStatuses::default(),
    };
    judge(&mut fit, &schema, (settings.map(|settings| &settings.names), earlier.as_ref()), &hard);
    fit
}

fn judge(fit: &mut SourceFit, schema: &Schema, names: (Option<&Names>, Option<&Mapping>), hard: &HardStatuses) {
    let (wanted, earlier) = names;
    let mapping = match (wanted, earlier) {
        (None, Some(earlier)) => earlier.clone(),
        (names, earlier) => match mapping::resolve(schema, &names.cloned().unwrap_or_default(), earlier) {
            Ok(resolved) => resolved.mapping,
            Err(no_title) => {
                fit.problems.push(no_title.to_string());
                return;
            }
        },
    };
    let is_used = |property: &SchemaProperty| {
        Role::ALL.iter().any(|role| mapping.get(*role).is_some_and(|mapped| mapped.id == property.id))
    };
    let unused: Vec<&SchemaProperty> = schema.properties.iter().filter(|property| !is_used(property)).collect();
    for role in Role::ALL {
        let wanted = wanted.map(|names| names.get(role)).filter(|name| !name.is_empty());
        let mapped = mapping.get(role);
        let property = mapped.and_then(|mapped| schema.properties.iter().find(|property| property.id == mapped.id));
        fit.roles.push(role_fit(role, wanted, property, &unused));
    }
    tell_of_roles(fit, &unused);
    let status = mapping.get(Role::Status).map(|mapped| &mapped.id);
    if let Some(status) = schema.properties.iter().find(|property| Some(&property.id) == status) {
        tell_of_statuses(fit, status, hard);
    }
    if let Some(why) = Basis::of(schema, &mapping).unused() {
        fit.hints.push(format!("every edit is looked at, whatever it touched: {why}"));
    }
}

fn role_fit(
    role: Role,
    wanted: Option<&str>,
    property: Option<&SchemaProperty>,
    unused: &[&SchemaProperty],
) -> RoleFit {
    let is_named = |property: &SchemaProperty| wanted.is_none_or(|wanted| same(&property.name, wanted));
    let found = match property {
        None if wanted.is_none() => Found::Off,
        None => Found::Missing,
        Some(property) if is_named(property) => Found::ByName,
        Some(property) if role == Role::CompanyName && property.kind == "title" => Found::AsTitle,
        Some(_) => Found::ById,
    };
    RoleFit {
        role,
        wanted: wanted.map(str::to_owned),
        found,
        property: property.map(|property| PropertyFit {
            id: property.id.clone(),
            name: property.name.clone(),
            kind: property.kind.clone(),
        }),
        fits: property.map(|property| mapping::gives_text(&property.kind, role)),
        did_you_mean: wanted.filter(|_| found == Found::Missing).and_then(|wanted| {
            let unused = || unused.iter().map(|property| property.name.as_str());
            // What has the usual name is meant as likely as what has nearly the wanted one.
            near(wanted, unused()).or_else(|| near(mapping::default_name(role), unused()))
        }),
    }
}

fn tell_of_roles(fit: &mut SourceFit, unused: &[&SchemaProperty]) {
    for role in &fit.roles {
        let (name, wanted) = (role.role.name(), role.wanted.as_deref().unwrap_or_default());
        match (role.found, &role.property, role.fits) {
            (_, Some(property), Some(false)) => fit.problems.push(format!(
                "{name} is read from {:?}, whose type {} gives no text: {name} stays empty",
                property.name, property.kind
            )),
            (Found::ById, Some(property), _) => {
                let (wanted, name) = (wanted.to_owned(), property.name.clone());
                fit.hints.push(Note::KnownById { role: role.role, wanted, name }.to_string());
            }
            (Found::Missing, ..) => {
                let near = role.did_you_mean.as_ref();
                let meant = near.map(|near| format!("; is it {near:?}?")).unwrap_or_default();
                fit.hints.push(format!("no property is named {wanted:?}: {name} stays empty{meant}"));
            }
            _ => (),
        }
    }
    let plays = |role: Role| fit.roles.iter().any(|fit| fit.role == role && fit.fits == Some(true));
    if ![Role::CanonicalKey, Role::Website, Role::CompaniesHouse, Role::Crunchbase, Role::Pitchbook]
        .into_iter()
        .any(plays)
    {
        fit.problems.push("no property gives a strong key: companies are known by their names at best".to_owned());
    }
    if !plays(Role::Status) {
        fit.problems.push("no property gives the status: every company counts as soft".to_owned());
    }
    let addresses: Vec<_> = unused.iter().filter(|property| property.kind == "url").collect();
    if let (false, [address]) = (plays(Role::Website), addresses.as_slice()) {
        fit.hints.push(format!("{:?} is an address that nothing is read from: is it the website?", address.name));
    }
}

fn tell_of_statuses(fit: &mut SourceFit, status: &SchemaProperty, hard: &HardStatuses) {
    let option = |name: &String| StatusFit { hard: hard.is_hard(name), name: name.clone() };
    fit.statuses = status.options.iter().map(option).collect();
    if status.options.is_empty() {
        fit.hints.push(format!("{:?} offers no options, so that a hard status cannot be looked for", status.name));
        return;
    }
    let listed: Vec<String> = hard.clone().into();
    let missing = listed.into_iter().filter(|name| !status.options.iter().any(|option| same(option, name)));
    fit.hard_without_option = missing
        .map(|name| Missing { did_you_mean: near(&name, status.options.iter().map(String::as_str)), name })
        .collect();
    for missing in &fit.hard_without_option {
        let near = missing.did_you_mean.as_ref();
        let meant = near.map(|near| format!("; is it {near:?}?")).unwrap_or_default();
        fit.hints.push(format!("the hard status {:?} is no option of {:?}{meant}", missing.name, status.name));
    }
    if !fit.statuses.iter().any(|status| status.hard) {
        let problem = format!("no option of {:?} is a hard status: no company is ever left alone", status.name);
        fit.problems.push(problem);
    }
}

fn same(name: &str, wanted: &str) -> bool {
    name.trim().to_lowercase() == wanted.trim().to_lowercase()
}

/// Finds the name that may be meant, whatever its case.
fn near<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let names: Vec<(String, &str)> = names.map(|name| (name.trim().to_lowercase(), name)).collect();
    let wanted = wanted.trim().to_lowercase();
    let found = nearest(&wanted, names.iter().map(|(lower, _)| lower.as_str()))?;
    names.iter().find(|(lower, _)| lower == found).map(|(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::model::id::DataSourceId;

    fn now() -> DateTime<Utc> {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn schema(properties: &[(&str, &str, &[&str])]) -> Schema {
        let property = |&(name, kind, options): &(&str, &str, &[&str])| SchemaProperty {
            id: format!("id-{name}"),
            name: name.to_owned(),
            kind: kind.to_owned(),
            options: options.iter().map(|&option| option.to_owned()).collect(),
        };
        Schema {
            data_source: DataSourceId::from_uuid(Uuid::from_u128(1)),
            database: None,
            title: "CRM".to_owned(),
            properties: properties.iter().map(property).collect(),
            unmapped: Vec::new(),
        }
    }

    fn settings() -> SourceSettings {
        SourceSettings {
            name: "crm".to_owned(),
            table: TableId::DataSource(DataSourceId::from_uuid(Uuid::from_u128(1))),
            names: Names::default(),
            hard: HardStatuses::default(),
        }
    }

    fn stored(schema: &Schema, names: &Names) -> StoredSource {
        let mapping = mapping::resolve(schema, names, None).unwrap().mapping;
        StoredSource {
            id: schema.data_source,
            name: None,
            database: None,
            schema: serde_json::to_string(schema).unwrap(),
            mapping: serde_json::to_string(&mapping).unwrap(),
            hard: serde_json::to_string(&HardStatuses::default()).unwrap(),
            resolved_at: now() - chrono::TimeDelta::hours(2),
            watermark: None,
            retired_at: None,
        }
    }

    fn live(schema: Schema) -> SourceFit {
        let sight = Sight { sources: vec![settings()], live: Ok(vec![Ok(schema)]) };
        report(&sight, &[], now()).sources.remove(0)
    }

    const GOOD: &[(&str, &str, &[&str])] = &[
        ("Company Name", "title", &[]),
        ("Status", "status", &["Met", "Passed", "Lost"]),
        ("Website", "url", &[]),
        ("Canonical Key", "rich_text", &[]),
        ("Companies House Number", "rich_text", &[]),
        ("Crunchbase", "url", &[]),
        ("PitchBook", "url", &[]),
        ("GitHub Org", "rich_text", &[]),
        ("GitHub Repo", "rich_text", &[]),
        ("Location", "place", &[]),
    ];

    #[test]
    fn a_schema_that_fits_has_neither_problems_nor_hints() {
        let sight = Sight { sources: vec![settings()], live: Ok(vec![Ok(schema(GOOD))]) };
        let report = report(&sight, &[], now());
        assert!(report.valid && report.not_live.is_none(), "{report:?}");
        let source = &report.sources[0];
        assert_eq!((source.problems.len(), source.hints.len(), source.roles.len()), (0, 0, 10), "{source:?}");
        assert!(source.roles.iter().all(|role| role.found == Found::ByName && role.fits == Some(true)));
        assert_eq!((source.read_from, source.age_seconds), (Some(ReadFrom::Notion), Some(0)));
        let hard: Vec<_> = source.statuses.iter().map(|status| (status.name.as_str(), status.hard)).collect();
        assert_eq!(hard, [("Met", false), ("Passed", true), ("Lost", true)]);
    }

    #[test]
    fn a_slip_in_a_name_is_answered_with_what_may_be_meant() {
        let mut properties = GOOD.to_vec();
        properties[2] = ("Web site", "url", &[]);
        properties[1] = ("Status", "status", &["Met", "Pased", "Lost"]);
        let source = live(schema(&properties));
        let website = source.roles.iter().find(|role| role.role == Role::Website).unwrap();
        assert_eq!((website.found, website.did_you_mean.as_deref()), (Found::Missing, Some("Web site")));
        let passed = Missing { name: "passed".to_owned(), did_you_mean: Some("Pased".to_owned()) };
        assert_eq!(source.hard_without_option, [passed]);
        assert!(source.problems.is_empty(), "the key and one hard status are there: {source:?}");
        assert!(source.hints.iter().any(|hint| hint.contains("is it the website?")), "{source:?}");
    }

    #[test]
    fn what_makes_rows_wrong_is_a_problem() {
        let said = |schema: Schema| live(schema).problems.join("\n");
        assert!(said(schema(&GOOD[1..])).contains("no title"));
        assert!(said(schema(&GOOD[..2])).contains("no property gives a strong key"));
        let with = |nth: usize, property: (&'static str, &'static str, &'static [&'static str])| {
            let mut properties = GOOD.to_vec();
            properties[nth] = property;
            said(schema(&properties))
        };
        assert!(with(2, ("Website", "files", &[])).contains("type files gives no text"));
        assert!(with(1, ("Stage", "status", &["Passed"])).contains("every company counts as soft"));
        assert!(with(1, ("Status", "select", &["Met"])).contains("no option of \"Status\" is a hard status"));
    }

    #[test]
    fn a_property_that_changes_unedited_is_told() {
        let mut properties = GOOD.to_vec();
        properties[2] = ("Website", "formula", &[]);
        let source = live(schema(&properties));
        assert!(source.problems.is_empty() && source.hints[0].contains("every edit is looked at"), "{source:?}");
    }

    #[test]
    fn a_renamed_property_is_known_by_the_id_that_is_stored() {
        let before = stored(&schema(GOOD), &Names::default());
        let mut now_named = schema(GOOD);
        now_named.properties[2].name = "Homepage".to_owned();
        let sight = Sight { sources: vec![settings()], live: Ok(vec![Ok(now_named)]) };
        let source = &report(&sight, &[before], now()).sources[0];
        let website = source.roles.iter().find(|role| role.role == Role::Website).unwrap();
        assert_eq!((website.found, website.fits), (Found::ById, Some(true)));
        let told = "no property is named \"Website\"; website is read on from \"Homepage\", known by its id: set the name to \"Homepage\"";
        assert_eq!(source.hints[0], told);
    }

    #[test]
    fn without_notion_the_stored_schema_is_judged_and_its_age_told() {
        let stored = stored(&schema(GOOD), &Names::default());
        let not_asked = Err("no token".to_owned());
        for sources in [vec![settings()], Vec::new()] {
            let sight = Sight { sources, live: not_asked.clone() };
            let report = report(&sight, std::slice::from_ref(&stored), now());
            assert_eq!((report.valid, report.not_live.as_deref()), (true, Some("no token")));
            let source = &report.sources[0];
            assert_eq!((source.read_from, source.age_seconds), (Some(ReadFrom::Stored), Some(7200)));
            assert_eq!((source.roles.len(), source.statuses.len()), (10, 3));
        }
    }

    #[test]
    fn a_source_that_nobody_has_read_is_a_problem_and_so_is_one_that_notion_does_not_show() {
        let never = Sight { sources: vec![settings()], live: Err("no token".to_owned()) };
        assert!(report(&never, &[], now()).sources[0].problems[0].contains("never read"));
        let refused = Sight { sources: vec![settings()], live: Ok(vec![Err("not shared".to_owned())]) };
        let stored = stored(&schema(GOOD), &Names::default());
        let report_ = report(&refused, &[stored], now());
        assert!(!report_.valid && report_.sources[0].problems[0].contains("not shared"), "{report_:?}");
        assert_eq!(report_.sources[0].read_from, Some(ReadFrom::Stored));
        let nothing = Sight { sources: Vec::new(), live: Err("no token".to_owned()) };
        assert!(!report(&nothing, &[], now()).valid, "nothing was found to be right");
    }
}
