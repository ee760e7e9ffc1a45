//! The properties and statuses of each source, one line each.

use crate::{
    app::doctor::check::{Check, Group, State},
    lookup::schema::{Found, PropertyFit, RoleFit, SchemaReport, SourceFit},
    model::page::Role,
};

const GROUP: Group = Group::Schema;

/// The roles that give strong keys: one of them must be played.
const STRONG: [Role; 5] = [Role::CanonicalKey, Role::Website, Role::CompaniesHouse, Role::Crunchbase, Role::Pitchbook];

/// Tells what the report says.
pub(super) fn checks(report: &SchemaReport) -> Vec<Check> {
    if report.sources.is_empty() {
        return vec![GROUP.skipped("sources", "no source is known")];
    }
    let several = report.sources.len() > 1;
    let mut checks: Vec<Check> =
        report.sources.iter().flat_map(|fit| of_source(fit, several, report.not_live.as_deref())).collect();
    if let (Some(why), true) = (&report.not_live, report.sources.iter().any(|fit| !fit.roles.is_empty())) {
        checks.insert(0, GROUP.skipped("properties", format!("{why}: they are judged as they were read last")));
    }
    checks
}

fn of_source(fit: &SourceFit, several: bool, not_live: Option<&str>) -> Vec<Check> {
    let name = |what: &str| if several { format!("{}: {what}", fit.name) } else { what.to_owned() };
    if fit.roles.is_empty() {
        let why = fit.problems.first().map_or("its schema is not known", String::as_str);
        let why = not_live.map_or_else(|| why.to_owned(), |not_live| format!("{not_live}; {why}"));
        return vec![GROUP.skipped(name("properties"), why)];
    }
    let mut checks: Vec<Check> = fit.roles.iter().map(|role| role_check(name(role.role.name()), role)).collect();
    if !fit.roles.iter().any(|role| STRONG.contains(&role.role) && role.fits == Some(true)) {
        checks.push(GROUP.failed(
            name("strong keys"),
            "no property gives a strong key: companies are known by their names at best",
            "name the property of the website under [source.properties], or let `suppressd schema repair` add one",
        ));
    }
    checks.extend(status_checks(fit, &name("hard statuses")));
    // Whatever else the report finds must not be lost because nobody here has words for it.
    if !fit.problems.is_empty() && checks.iter().all(|check| check.state != State::Failed) {
        checks.extend(
            fit.problems
                .iter()
                .map(|problem| GROUP.failed(name("properties"), problem, "`suppressd schema validate` tells more")),
        );
    }
    checks
}

fn role_check(name: String, fit: &RoleFit) -> Check {
    let key = fit.role.name();
    let wanted = fit.wanted.as_deref().unwrap_or_default();
    let named = |property: &PropertyFit| format!("«{}» ({})", property.name, property.kind);
    match (&fit.property, fit.found) {
        (Some(property), _) if fit.fits == Some(false) => GROUP.failed(
            name,
            format!("{} gives no text, so that it stays empty", named(property)),
            format!("change its type in Notion, or name another property: {key} = \"…\" under [source.properties]"),
        ),
        (Some(property), Found::ById) => GROUP.warning(
            name,
            format!("no property is named {wanted:?}; {key} is read on from {}, known by its id", named(property)),
            format!("set {key} = {:?} under [source.properties]", property.name),
        ),
        (Some(property), _) => GROUP.well(name, named(property)),
        (None, _) => missing_check(name, fit, wanted),
    }
}

fn missing_check(name: String, fit: &RoleFit, wanted: &str) -> Check {
    let key = fit.role.name();
    let found = format!("there is no property {wanted:?}");
    match &fit.did_you_mean {
        Some(near) if fit.role == Role::Status => GROUP.failed(
            name,
            format!("{found}, so that every company counts as soft; «{near}» looks like it"),
            format!("set {key} = {near:?} under [source.properties]"),
        ),
        Some(near) => GROUP.warning(
            name,
            format!("{found}; «{near}» looks like it"),
            format!("set {key} = {near:?} under [source.properties]"),
        ),
        None if fit.role == Role::Status => GROUP.failed(
            name,
            format!("{found}, so that every company counts as soft"),
            format!("name the one that says it: {key} = \"…\" under [source.properties]"),
        ),
        None => GROUP.skipped(name, format!("{found}, and nothing is read from it")),
    }
}

fn status_checks(fit: &SourceFit, name: &str) -> Vec<Check> {
    if !fit.roles.iter().any(|role| role.role == Role::Status && role.fits == Some(true)) {
        return vec![GROUP.skipped(name, "no property gives the status")];
    }
    if fit.statuses.is_empty() {
        return vec![GROUP.skipped(name, "the status offers no options to compare with")];
    }
    let quoted = |names: Vec<&str>| names.iter().map(|name| format!("«{name}»")).collect::<Vec<_>>().join(", ");
    let hard: Vec<&str> = fit.statuses.iter().filter(|status| status.hard).map(|status| status.name.as_str()).collect();
    let mut checks: Vec<Check> = Vec::new();
    if hard.is_empty() {
        let offered = quoted(fit.statuses.iter().map(|status| status.name.as_str()).collect());
        let found =
            format!("none is an option of the status, so that no company is ever left alone; it offers {offered}");
        checks.push(GROUP.failed(name, found, "set hard_statuses to those that mean «leave alone»"));
    } else {
        checks.push(GROUP.well(name, format!("{} of the options mean «leave alone»", quoted(hard))));
    }
    for missing in &fit.hard_without_option {
        let (looks, fix) = match &missing.did_you_mean {
            Some(near) => (format!("; «{near}» looks like it"), format!("write {near:?} in hard_statuses")),
            None => (String::new(), "take it out of hard_statuses, or add the option in Notion".to_owned()),
        };
        checks.push(GROUP.warning(name, format!("«{}» is no option of the status{looks}", missing.name), fix));
    }
    checks
}
