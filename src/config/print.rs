//! Shows the settings as they stand: TOML that can be read again, with where each value came from.

use std::fmt::{self, Write as _};

use toml::Value;

use crate::{
    config::{
        layers::Found,
        secret::Secret,
        settings::{self, Kind, SOURCE, Setting},
        source::Described,
    },
    model::id::TableId,
};

/// What is shown of a secret.
const REDACTED: &str = "[redacted]";

/// Writes every setting with its origin, and every source that the file describes.
pub(crate) fn settings(found: &Found, sources: &[Described]) -> String {
    let mut text = String::from("# The settings as they stand, each with where it came from.\n");
    // Writing to a string cannot fail.
    let _infallible = write_settings(&mut text, found).and_then(|()| write_sources(&mut text, sources));
    text
}

/// Writes the table of settings for people: names, defaults, bounds, meanings.
pub fn reference() -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _infallible = settings::ALL.iter().try_for_each(|setting| write_reference(&mut text, setting));
    text
}

fn write_settings(text: &mut String, found: &Found) -> fmt::Result {
    let mut open = None;
    for setting in &settings::ALL {
        let (section, name) = setting.section();
        if section != open {
            open = section;
            writeln!(text, "\n[{}]", section.unwrap_or_default())?;
        }
        match (found.values.get(setting.key), found.secrets.get(setting.key)) {
            (Some((value, origin)), _) => writeln!(text, "{name} = {value}  # {origin}")?,
            (None, Some(secret)) => writeln!(text, "# {name}: {}", shown(secret))?,
            (None, None) => writeln!(text, "# {name}: unset")?,
        }
    }
    Ok(())
}

fn write_sources(text: &mut String, sources: &[Described]) -> fmt::Result {
    for source in sources {
        writeln!(text, "\n[[{SOURCE}]]\nname = {}", quoted(&source.name))?;
        match source.table {
            Some(TableId::Database(id)) => writeln!(text, "database_id = {}", quoted(&id.to_string()))?,
            Some(TableId::DataSource(id)) => writeln!(text, "data_source_id = {}", quoted(&id.to_string()))?,
            None => writeln!(text, "# database_id: unset")?,
        }
        if let Some(variable) = &source.api_key_env {
            writeln!(text, "api_key_env = {}  # {}", quoted(variable), shown(&source.api_key))?;
        }
        if let Some(signing) = &source.signing {
            let [token, previous] = &signing.tokens;
            let variable = quoted(&signing.variable);
            writeln!(text, "verification_token_env = {variable}  # {}; previous {}", shown(token), shown(previous))?;
        }
        if let Some(workspace) = source.workspace {
            writeln!(text, "workspace_id = {}", quoted(&workspace.to_string()))?;
        }
        let statuses = source.hard_statuses.iter().cloned().map(Value::String).collect();
        writeln!(text, "hard_statuses = {}", Value::Array(statuses))?;
        if !source.properties.is_empty() {
            writeln!(text, "[{SOURCE}.properties]")?;
        }
        for (role, property) in &source.properties {
            writeln!(text, "{} = {}", role.name(), quoted(property))?;
        }
    }
    Ok(())
}

fn write_reference(text: &mut String, setting: &Setting) -> fmt::Result {
    let default = match (setting.default, setting.kind) {
        (Some("") | None, _) => String::new(),
        (Some(default), _) => format!(" Default: {default}."),
    };
    let bounds = match setting.kind {
        Kind::Number { min, max } => format!(" From {min} to {max}."),
        Kind::Secret => " Never in the file; also <VARIABLE>_FILE, or a systemd credential.".to_owned(),
        Kind::Text | Kind::List => String::new(),
    };
    let names = setting.variables.iter().copied().chain(setting.flag).collect::<Vec<_>>().join(", ");
    let live = if setting.is_live { " A running serve takes another one on SIGHUP." } else { "" };
    writeln!(text, "  {} [{names}]\n      {}{bounds}{default}{live}", setting.key, setting.doc)
}

fn shown(secret: &Secret) -> String {
    match secret {
        Secret::Unset => "unset".to_owned(),
        Secret::Set { origin, .. } => format!("{REDACTED} ({origin})"),
        Secret::Unusable(problem) => format!("unusable: {problem}"),
    }
}

fn quoted(text: &str) -> Value {
    Value::String(text.to_owned())
}
