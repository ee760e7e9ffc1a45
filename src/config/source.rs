//! Sources: which tables of Notion are read, with which token, and which of their properties say what.

use std::collections::{BTreeMap, BTreeSet};

use secrecy::SecretString;
use toml::{Table, Value};
use uuid::Uuid;

use crate::{
    config::{
        file::{misplaced_secret, unknown},
        layers::{Layers, Noted, list_of, text_of},
        parse,
        problem::{Fault, Origin, Problem},
        secret::Secret,
        settings,
    },
    model::{
        id::{DataSourceId, DatabaseId, TableId},
        page::Role,
    },
};

/// What the source is called that the environment alone describes.
const NAME: &str = "notion";

/// A source, without its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceConfig {
    /// What people call it, in logs and metrics.
    pub name: String,
    /// The table.
    pub table: TableId,
    /// The names of properties that are not called as usual.
    pub properties: BTreeMap<Role, String>,
    /// The statuses that mean «leave alone».
    pub hard_statuses: Vec<String>,
    /// The workspace that it is in, where somebody said so.
    pub workspace: Option<Uuid>,
}

/// A source with the token that opens it.
#[derive(Debug, Clone)]
pub struct SourceAccess {
    /// The source.
    pub source: SourceConfig,
    /// The token of the Notion connection that sees it.
    pub api_key: SecretString,
}

/// A source as it was described. What it lacks is a problem only for those who ask Notion.
#[derive(Debug, Clone)]
pub(crate) struct Described {
    pub(crate) name: String,
    pub(crate) table: Option<TableId>,
    pub(crate) properties: BTreeMap<Role, String>,
    pub(crate) hard_statuses: Vec<String>,
    /// The variable that was named for its token, if one was.
    pub(crate) api_key_env: Option<String>,
    pub(crate) api_key: Secret,
    pub(crate) workspace: Option<Uuid>,
    /// What signs the deliveries of its connection, where that is one of its own.
    pub(crate) signing: Option<Signing>,
}

/// What signs the deliveries of one connection.
#[derive(Debug, Clone)]
pub(crate) struct Signing {
    /// The variable that holds the token.
    pub(crate) variable: String,
    /// The token, and the one before it.
    pub(crate) tokens: [Secret; 2],
}

impl Described {
    /// Returns the source, or that it names no table.
    pub(crate) fn source(&self) -> Result<SourceConfig, Problem> {
        let table = self.table.ok_or_else(|| {
            let mend = "set NOTION_DATABASE_ID to the id or URL of the CRM's database, or name it in `[[source]]`";
            self.problem(Fault::new("names no table", mend))
        })?;
        let (name, properties) = (self.name.clone(), self.properties.clone());
        let (hard_statuses, workspace) = (self.hard_statuses.clone(), self.workspace);
        Ok(SourceConfig { name, table, properties, hard_statuses, workspace })
    }

    /// Returns the token, or that there is none.
    pub(crate) fn api_key(&self) -> Result<SecretString, Problem> {
        self.api_key.get().map_err(Problem::clone)?.cloned().ok_or_else(|| {
            let variable = self.api_key_env.as_deref().unwrap_or("NOTION_API_KEY");
            let mend = format!("set {variable}, or {variable}_FILE to the path of a file that holds it");
            self.problem(Fault::new("has no token", mend))
        })
    }

    fn problem(&self, fault: Fault) -> Problem {
        Problem::new(format!("the source `{}`", self.name), fault)
    }
}

/// Reads every `[[source]]`, or makes one of the environment alone.
pub(crate) fn read<E: Fn(&str) -> Option<String>>(layers: &mut Layers<'_, E>) -> Result<Vec<Described>, Noted> {
    let table = outside_table(layers);
    let api_key = layers.secret(&settings::API_KEY);
    let hard_statuses = layers.list(&settings::HARD_STATUSES, parse::nonblank);
    let described = match layers.file.table.get(settings::SOURCE).cloned() {
        None => Ok(vec![Entry::default()]),
        Some(Value::Array(items)) if items.iter().all(Value::is_table) => {
            let entries = items.iter().enumerate().filter_map(|(at, item)| Some((at, item.as_table()?)));
            entries.map(|(at, entry)| read_entry(layers, at, entry)).collect::<Vec<_>>().into_iter().collect()
        }
        Some(_) => {
            let fault = Fault::new("is not a list of sources", "write `[[source]]`, with two brackets, above each");
            Err(layers.note(layers.file.problem(settings::SOURCE, fault)))
        }
    };
    let (table, hard_statuses, entries): (_, _, Vec<Entry>) = (table?, hard_statuses?, described?);
    let only = entries.len() == 1;
    let sources = entries
        .into_iter()
        .map(|entry| Described {
            name: entry.name.unwrap_or_else(|| NAME.to_owned()),
            // The environment beats the file, but it can only speak of one source.
            table: if only { table.or(entry.table) } else { entry.table.or(table) },
            properties: entry.properties,
            hard_statuses: entry.hard_statuses.unwrap_or_else(|| hard_statuses.clone()),
            api_key: match &entry.api_key_env {
                Some(variable) => layers.secret_named(&[variable]),
                None => api_key.clone(),
            },
            api_key_env: entry.api_key_env,
            workspace: entry.workspace,
            signing: entry.signing_env.map(|variable| Signing {
                tokens: [variable.clone(), format!("{variable}_PREVIOUS")].map(|name| layers.secret_named(&[&name])),
                variable,
            }),
        })
        .collect();
    refuse_twins(layers, sources)
}

/// Reads the table that the environment or the section `[notion]` names.
fn outside_table<E: Fn(&str) -> Option<String>>(layers: &mut Layers<'_, E>) -> Result<Option<TableId>, Noted> {
    let database = layers.optional_text(&settings::DATABASE_ID, parse::table_id);
    let data_source = layers.optional_text(&settings::DATA_SOURCE_ID, parse::table_id);
    Ok(table_of(database?, data_source?))
}

/// Takes the data source where both are given: it is the narrower word.
fn table_of(database: Option<Uuid>, data_source: Option<Uuid>) -> Option<TableId> {
    let data_source = data_source.map(|id| TableId::DataSource(DataSourceId::from_uuid(id)));
    data_source.or_else(|| database.map(|id| TableId::Database(DatabaseId::from_uuid(id))))
}

/// What one `[[source]]` says.
#[derive(Debug, Default)]
struct Entry {
    name: Option<String>,
    table: Option<TableId>,
    properties: BTreeMap<Role, String>,
    hard_statuses: Option<Vec<String>>,
    api_key_env: Option<String>,
    signing_env: Option<String>,
    workspace: Option<Uuid>,
}

const ENTRY_KEYS: [&str; 8] = [
    "name",
    "database_id",
    "data_source_id",
    "workspace_id",
    "api_key_env",
    "verification_token_env",
    "properties",
    "hard_statuses",
];

fn read_entry<E: Fn(&str) -> Option<String>>(
    layers: &mut Layers<'_, E>,
    at: usize,
    table: &Table,
) -> Result<Entry, Noted> {
    let mut reader = EntryReader { layers, number: at + 1, table };
    reader.refuse_strays();
    let name = reader.value("name", |value| parse::source_name(&text_of(value)?));
    let database = reader.value("database_id", |value| parse::table_id(&text_of(value)?));
    let data_source = reader.value("data_source_id", |value| parse::table_id(&text_of(value)?));
    let api_key_env = reader.value("api_key_env", |value| parse::variable_name(&text_of(value)?));
    let signing_env = reader.value("verification_token_env", |value| parse::variable_name(&text_of(value)?));
    let workspace = reader.value("workspace_id", |value| parse::table_id(&text_of(value)?));
    let hard_statuses =
        reader.value("hard_statuses", |value| list_of(value)?.iter().map(|text| parse::nonblank(text)).collect());
    let properties = reader.properties();
    let name =
        name?.map_or_else(|| Err(reader.note("name", Fault::new("is missing", "give the source a name"))), Ok)?;
    Ok(Entry {
        name: Some(name),
        table: table_of(database?, data_source?),
        properties: properties?,
        hard_statuses: hard_statuses?,
        api_key_env: api_key_env?,
        // The variable that is meant where none is named.
        signing_env: signing_env?.filter(|name| !settings::VERIFICATION_TOKEN.variables.contains(&name.as_str())),
        workspace: workspace?,
    })
}

/// Reads one `[[source]]` and notes what is wrong with it.
struct EntryReader<'r, 'l, E> {
    layers: &'r mut Layers<'l, E>,
    number: usize,
    table: &'r Table,
}

impl<E: Fn(&str) -> Option<String>> EntryReader<'_, '_, E> {
    fn refuse_strays(&mut self) {
        for key in self.table.keys().filter(|key| !ENTRY_KEYS.contains(&key.as_str())) {
            let _noted = self.note(
                key,
                match key.as_str() {
                    "api_key" | "token" => misplaced_secret("NOTION_API_KEY"),
                    "verification_token" => misplaced_secret("NOTION_VERIFICATION_TOKEN"),
                    _ => unknown(key, ENTRY_KEYS),
                },
            );
        }
    }

    fn value<T>(&mut self, key: &str, read: impl Fn(&Value) -> Result<T, Fault>) -> Result<Option<T>, Noted> {
        let Some(value) = self.table.get(key) else { return Ok(None) };
        read(value).map(Some).map_err(|fault| self.note(key, fault))
    }

    fn properties(&mut self) -> Result<BTreeMap<Role, String>, Noted> {
        let Some(value) = self.table.get("properties") else { return Ok(BTreeMap::new()) };
        let Some(properties) = value.as_table() else {
            return Err(self.note("properties", Fault::new("is not a table", "write `[source.properties]` above it")));
        };
        let read = properties.iter().map(|(name, value)| {
            let key = format!("properties.{name}");
            let role = Role::ALL.into_iter().find(|role| role.name() == name);
            let role = role.ok_or_else(|| self.note(&key, unknown(name, Role::ALL.map(Role::name))))?;
            let property = text_of(value).and_then(|text| parse::nonblank(&text));
            Ok((role, property.map_err(|fault| self.note(&key, fault))?))
        });
        read.collect::<Vec<_>>().into_iter().collect()
    }

    fn note(&mut self, key: &str, fault: Fault) -> Noted {
        let place = format!("{}.{key}", settings::SOURCE);
        let place = Origin::File(self.layers.file.path.clone()).place(&place);
        self.layers.note(Problem::new(format!("{place} (source {})", self.number), fault))
    }
}

/// Refuses two sources of one name or of one table.
fn refuse_twins<E: Fn(&str) -> Option<String>>(
    layers: &mut Layers<'_, E>,
    sources: Vec<Described>,
) -> Result<Vec<Described>, Noted> {
    let (mut names, mut tables, mut result) = (BTreeSet::new(), BTreeSet::new(), Ok(()));
    for source in &sources {
        if !names.insert(&source.name) {
            result = Err(layers.note(source.problem(Fault::new("is there twice", "give every source its own name"))));
        }
        if source.table.is_some_and(|table| !tables.insert(table)) {
            let fault = Fault::new("has the table of another source", "name every table once");
            result = Err(layers.note(source.problem(fault)));
        }
    }
    result.map(|()| sources)
}
