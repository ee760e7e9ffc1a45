//! Notion from a folder: recorded page objects answer the fetches, so that events can be replayed without a network.
//!
//! A folder holds JSON files with one object each: pages as `GET /v1/pages/{id}` gives them, and, if at hand, the data
//! source and the database around them. Of a page that is there twice the later edit counts.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value as Json;

use crate::{
    clock::Clock,
    files,
    model::{
        id::{DataSourceId, PageId, TableId},
        page::{Page, Parent, Schema, SchemaProperty, Snapshot, View},
    },
    notion::{
        Notion, NotionError, Priority, Query, QueryPage, Window, page_json, page_json::PageError, schema,
        schema::SchemaError,
    },
};

/// Recorded objects are not larger than this.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Answers from recorded pages. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Recorded {
    pages: Arc<HashMap<PageId, Page>>,
    schemas: Arc<Vec<Schema>>,
    clock: Clock,
}

/// Why a folder cannot stand in for Notion.
#[derive(Debug, thiserror::Error)]
pub enum RecordedError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A file is not JSON.
    #[error("{} is not JSON", path.display())]
    NotJson {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
    /// A file holds something else than a page, a data source or a database.
    #[error("{} holds an {object:?}; a recorded folder holds objects of kind page, data_source and database", path.display())]
    Stray {
        /// The file.
        path: PathBuf,
        /// Its `object`.
        object: String,
    },
    /// A page cannot be read.
    #[error("{} holds a page that cannot be read", path.display())]
    Page {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: PageError,
    },
    /// A data source cannot be read.
    #[error("{} holds a data source that cannot be read", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: SchemaError,
    },
    /// Nothing in the folder is a row of a data source.
    #[error("{} holds no page of a data source", .0.display())]
    Empty(PathBuf),
}

impl Recorded {
    /// Reads a folder.
    pub fn read(folder: &Path, clock: Clock) -> Result<Self, RecordedError> {
        let mut recording = Recording::default();
        for path in json_files(folder)? {
            recording.take(&path)?;
        }
        let schemas = recording.schemas();
        if schemas.is_empty() {
            return Err(RecordedError::Empty(folder.to_owned()));
        }
        Ok(Self { pages: Arc::new(recording.pages), schemas: Arc::new(schemas), clock })
    }

    /// Lists the data sources that are recorded.
    pub fn data_sources(&self) -> impl Iterator<Item = DataSourceId> + '_ {
        self.schemas.iter().map(|schema| schema.data_source)
    }

    fn seen(&self, page: &Page, view: View) -> Snapshot {
        Snapshot { page: page.clone(), observed_at: self.clock.now(), view }
    }
}

impl Notion for Recorded {
    async fn page(&self, id: PageId, _priority: Priority) -> Result<Snapshot, NotionError> {
        self.pages.get(&id).map(|page| self.seen(page, View::Page)).ok_or(NotionError::NotFound)
    }

    async fn schemas(&self, table: TableId, _priority: Priority) -> Result<Vec<Schema>, NotionError> {
        let meant = |schema: &&Schema| match table {
            TableId::DataSource(id) => schema.data_source == id,
            TableId::Database(id) => schema.database == Some(id),
        };
        let schemas: Vec<_> = self.schemas.iter().filter(meant).cloned().collect();
        if schemas.is_empty() { Err(NotionError::NotFound) } else { Ok(schemas) }
    }

    /// Gives all rows at once: nothing that is recorded is large.
    async fn query(&self, query: &Query, _priority: Priority) -> Result<QueryPage, NotionError> {
        let mut rows: Vec<_> = self
            .pages
            .values()
            .filter(|page| page.parent == Parent::DataSource(query.data_source) && !page.in_trash)
            .filter(|page| page.is_archived == query.archived)
            .filter(|page| match query.window {
                Window::Everything => true,
                Window::CreatedSince(at) => page.created_time >= at,
                Window::CreatedUntil { since, until } => {
                    since.is_none_or(|since| page.created_time >= since) && page.created_time <= until
                }
                Window::EditedSince(at) => page.last_edited_time >= at,
            })
            .collect();
        rows.sort_by_key(|page| match query.window {
            Window::EditedSince(_) => (page.last_edited_time, page.id),
            Window::Everything | Window::CreatedSince(_) | Window::CreatedUntil { .. } => (page.created_time, page.id),
        });
        Ok(QueryPage {
            snapshots: rows.into_iter().map(|page| self.seen(page, View::Query)).collect(),
            unread: Vec::new(),
            next_cursor: None,
            capped: false,
        })
    }
}

#[derive(Default)]
struct Recording {
    pages: HashMap<PageId, Page>,
    schemas: BTreeMap<DataSourceId, Schema>,
    /// What the pages say of their own properties, for where no data source was recorded.
    shapes: BTreeMap<DataSourceId, BTreeMap<String, SchemaProperty>>,
}

impl Recording {
    fn take(&mut self, path: &Path) -> Result<(), RecordedError> {
        let text = files::open(path)
            .and_then(|file| files::text(file, FILE_BYTES_MAX))
            .map_err(|source| RecordedError::Io { path: path.to_owned(), source })?;
        let json: Json =
            serde_json::from_str(&text).map_err(|source| RecordedError::NotJson { path: path.to_owned(), source })?;
        match json.get("object").and_then(Json::as_str).unwrap_or_default() {
            "page" => self.take_page(&json).map_err(|source| RecordedError::Page { path: path.to_owned(), source }),
            "data_source" => {
                let read =
                    schema::schema(&json).map_err(|source| RecordedError::Schema { path: path.to_owned(), source })?;
                self.schemas.insert(read.data_source, read);
                Ok(())
            }
            // A database only names its data sources, and each of those names its database.
            "database" => Ok(()),
            object => Err(RecordedError::Stray { path: path.to_owned(), object: object.to_owned() }),
        }
    }

    fn take_page(&mut self, json: &Json) -> Result<(), PageError> {
        let page = page_json::page(&json.into())?;
        if let Parent::DataSource(id) = page.parent {
            let shape = self.shapes.entry(id).or_default();
            for property in &page.properties {
                let kind = json
                    .pointer("/properties")
                    .and_then(|all| all.get(&property.name)?.get("type")?.as_str())
                    .unwrap_or_default();
                shape.entry(property.id.clone()).or_insert_with(|| SchemaProperty {
                    id: property.id.clone(),
                    name: property.name.clone(),
                    kind: kind.to_owned(),
                    options: Vec::new(),
                });
            }
        }
        match self.pages.get(&page.id) {
            Some(known) if known.last_edited_time > page.last_edited_time => (),
            _ => drop(self.pages.insert(page.id, page)),
        }
        Ok(())
    }

    /// Returns the recorded data sources; what the pages say of theirs counts only where none was recorded, because
    /// pages of other tables may lie in the folder too.
    fn schemas(&self) -> Vec<Schema> {
        if !self.schemas.is_empty() {
            return self.schemas.values().cloned().collect();
        }
        let inferred = self.shapes.iter().map(|(id, shape)| Schema {
            data_source: *id,
            database: None,
            title: "recorded pages".to_owned(),
            properties: shape.values().cloned().collect(),
            unmapped: Vec::new(),
        });
        inferred.collect()
    }
}

/// Lists the JSON files of a folder, and nothing else that is called so, in the order of their names.
fn json_files(folder: &Path) -> Result<Vec<PathBuf>, RecordedError> {
    let unreadable = |source| RecordedError::Io { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "json") && files::may_be(&path) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn what_is_no_file_is_passed_over_and_what_is_too_large_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("folder.json")).unwrap();
        symlink(path("nowhere"), path("dangling.json")).unwrap();
        symlink("/dev/zero", path("endless.json")).unwrap();
        let read = || Recorded::read(folder.path(), Clock::system()).unwrap_err();
        assert!(matches!(read(), RecordedError::Empty(_)));
        File::create(path("large.json")).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();
        match read() {
            RecordedError::Io { path: found, source } => {
                assert_eq!((found, &*source.to_string()), (path("large.json"), "larger than 16 MiB"));
            }
            other => panic!("{other:?}"),
        }
    }
}
