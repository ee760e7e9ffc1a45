//! The names of all companies in memory, just as fresh as the view of the rows that a question is answered from.
//!
//! Whoever writes a page notes in a log where its name changes or whether it is a row. The index stands at a place of that
//! log. The cases, where a question sees the log up to its own place:
//!
//! 1. nothing is in memory: it is built from the rows;
//! 2. the question sees the same place: nothing is to do;
//! 3. it sees a later one: the pages noted in between are read;
//! 4. it sees an earlier one, since another question with a later view was faster: the pages noted in between are read from
//!    its own view, and that counts;
//! 5. its log does not hold the place where the index stands, or another page there: notes were forgotten, or the file is
//!    another one. It is built anew.

mod index;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use crate::{
    derive::{ComparableName, Likeness},
    lookup::names::index::Index,
    model::{
        entry::{CachedPage, Standing},
        id::PageId,
        page::Role,
    },
    store::{Renaming, Rows, StoreError},
};

/// Names that one question of the database brings while the index is built.
const READ_AT_ONCE: u32 = 1000;

/// Where more was noted, it is faster to build the index anew than to read the pages one by one.
const CATCH_UP_MAX: u32 = 20_000;

/// As many notes are remembered for questions whose view is older than the index.
const REMEMBERED_MAX: usize = 4096;

/// The index, shared by everybody who asks. Built when it is first needed.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    shared: Arc<RwLock<Option<State>>>,
}

#[derive(Debug)]
struct State {
    index: Index,
    /// The last note that is followed; `None` where there was none.
    stands_at: Option<Note>,
    /// The last notes that were followed, and that one.
    remembered: VecDeque<Note>,
}

type Note = (Renaming, PageId);

/// The names as one view of the rows has them.
pub(super) struct NamesAt<'a> {
    state: RwLockReadGuard<'a, Option<State>>,
    /// Names that the index has otherwise than the view.
    otherwise: BTreeMap<PageId, Option<ComparableName>>,
}

impl Names {
    /// Brings the index to what `rows` see, and keeps it there until the answer is dropped.
    pub(super) fn at(&self, rows: &mut dyn Rows) -> Result<NamesAt<'_>, StoreError> {
        let view = rows.last_renamed()?;
        let state = self.shared.read().unwrap_or_else(PoisonError::into_inner);
        let ahead = state.as_ref().and_then(|state| state.ahead_of(view));
        let (state, ahead) = if let Some(ahead) = ahead {
            (state, ahead)
        } else {
            drop(state);
            let mut state = self.shared.write().unwrap_or_else(PoisonError::into_inner);
            // Somebody else may have been faster.
            let ahead = state.as_ref().and_then(|state| state.ahead_of(view));
            if ahead.is_none() {
                State::bring_to(&mut state, view, rows)?;
            }
            (RwLockWriteGuard::downgrade(state), ahead.unwrap_or_default())
        };
        let otherwise = ahead.into_iter().map(|page| Ok((page, name_of(rows.page(page)?.as_ref()))));
        Ok(NamesAt { otherwise: otherwise.collect::<Result<_, StoreError>>()?, state })
    }
}

impl NamesAt<'_> {
    /// Returns the pages whose names score `least` or more, the best first, at most `limit`.
    pub(super) fn like(&self, name: &ComparableName, least: f64, limit: usize) -> Vec<(f64, PageId)> {
        let mut found = self.state.as_ref().map(|state| state.index.like(name, least)).unwrap_or_default();
        found.retain(|(_, page)| !self.otherwise.contains_key(page));
        let likeness = Likeness::new(name);
        let others = self.otherwise.iter().filter_map(|(page, other)| Some((other.as_ref()?, *page)));
        found.extend(others.map(|(other, page)| (likeness.to(&Likeness::new(other)), page)).filter(|it| it.0 >= least));
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        found.truncate(limit);
        found
    }
}

impl State {
    /// Returns the pages that were noted after `view`; `None` where it is not known how the view stands to the index, or
    /// where the index is behind.
    fn ahead_of(&self, view: Option<Note>) -> Option<BTreeSet<PageId>> {
        if self.stands_at == view {
            return Some(BTreeSet::new());
        }
        let at = self.remembered.iter().rposition(|note| Some(*note) == view)?;
        Some(self.remembered.iter().skip(at + 1).map(|(_, page)| *page).collect())
    }

    fn bring_to(state: &mut Option<Self>, view: Option<Note>, rows: &mut dyn Rows) -> Result<(), StoreError> {
        // Should a read fail, the index would be neither here nor there: it is put back only where none did.
        if let Some(mut known) = state.take()
            && let Some(notes) = known.notes_since(rows)?
        {
            known.follow(notes, rows)?;
            *state = Some(known);
            return Ok(());
        }
        *state = Some(Self { index: built(rows)?, stands_at: view, remembered: view.into_iter().collect() });
        Ok(())
    }

    /// Returns the notes behind the place where the index stands; `None` where that is not in the log, or where they are many.
    fn notes_since(&self, rows: &mut dyn Rows) -> Result<Option<Vec<Note>>, StoreError> {
        let from = self.stands_at.map_or(FIRST, |(seq, _)| seq);
        let mut notes = rows.renamed(from, CATCH_UP_MAX)?;
        let is_joined = match self.stands_at {
            Some(note) => notes.first() == Some(&note),
            None => notes.first().is_some_and(|(seq, _)| *seq == FIRST),
        };
        if !is_joined || notes.len() >= CATCH_UP_MAX as usize {
            return Ok(None);
        }
        if self.stands_at.is_some() {
            notes.remove(0);
        }
        Ok(Some(notes))
    }

    fn follow(&mut self, notes: Vec<Note>, rows: &mut dyn Rows) -> Result<(), StoreError> {
        for page in notes.iter().map(|(_, page)| *page).collect::<BTreeSet<_>>() {
            self.index.set(page, name_of(rows.page(page)?.as_ref()));
        }
        self.stands_at = notes.last().copied().or(self.stands_at);
        self.remembered.extend(notes);
        self.remembered.drain(..self.remembered.len().saturating_sub(REMEMBERED_MAX));
        Ok(())
    }
}

/// The place of the first note of all.
const FIRST: Renaming = Renaming(1);

fn built(rows: &mut dyn Rows) -> Result<Index, StoreError> {
    let (mut index, mut after) = (Index::default(), None);
    loop {
        let names = rows.names(after, READ_AT_ONCE)?;
        let Some((last, _)) = names.last() else { return Ok(index) };
        after = Some(*last);
        for (page, name) in names {
            index.set(page, ComparableName::of(&name));
        }
    }
}

/// Returns the name by which a page is found.
fn name_of(page: Option<&CachedPage>) -> Option<ComparableName> {
    let page = page.filter(|page| page.standing == Standing::Listed)?;
    ComparableName::of(page.values.get(Role::CompanyName)?)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;
    use crate::{
        model::{
            id::DataSourceId,
            page::{Value, Values, View},
        },
        store::{Store as _, sqlite::SqliteStore},
    };

    fn page(n: u128, name: &str) -> CachedPage {
        let mut values = Values::default();
        values.set(Role::CompanyName, Value::text(name));
        CachedPage {
            id: PageId::from_uuid(Uuid::from_u128(n)),
            source: DataSourceId::from_uuid(Uuid::nil()),
            standing: Standing::Listed,
            last_edited_time: DateTime::UNIX_EPOCH,
            observed_at: DateTime::UNIX_EPOCH,
            view: View::Page,
            seen_by: None,
            missing_since: None,
            unfound_since: None,
            url: None,
            values,
        }
    }

    /// Writes a page from a thread of its own, while the caller has a view of the rows.
    fn write(store: &SqliteStore, page: CachedPage) {
        let store = store.clone();
        let writing = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(store.write(move |rows| {
                rows.put_page(&page)?;
                rows.note_renamed(page.id)
            }))
        });
        writing.join().unwrap().unwrap();
    }

    fn found(names: &Names, rows: &mut dyn Rows, name: &str) -> Vec<u128> {
        let at = names.at(rows).unwrap();
        let found = at.like(&ComparableName::of(name).unwrap(), 0.8, 5);
        found.into_iter().map(|(_, page)| page.uuid().as_u128()).collect()
    }

    #[test]
    fn a_question_with_an_older_view_answers_from_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("cache.db"), 1, DateTime::UNIX_EPOCH).unwrap();
        let names = Names::default();
        write(&store, page(1, "Acme Robotics"));
        let older = store.read_blocking(|rows| {
            assert_eq!(found(&names, rows, "Acme Robotics"), [1]);
            write(&store, page(1, "Kestrel Parcel"));
            write(&store, page(2, "Acme Robotics"));
            let newer = store.read_blocking(|rows| {
                Ok((found(&names, rows, "Kestrel Parcel"), found(&names, rows, "Acme Robotics")))
            })?;
            assert_eq!(newer, (vec![1], vec![2]));
            Ok((found(&names, rows, "Kestrel Parcel"), found(&names, rows, "Acme Robotics")))
        });
        assert_eq!(older.unwrap(), (vec![], vec![1]));
        let newer = store.read_blocking(|rows| Ok(found(&names, rows, "Kestrel Parcel")));
        assert_eq!(newer.unwrap(), [1], "the index itself did not go back");
    }
}
