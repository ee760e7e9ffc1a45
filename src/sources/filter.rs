//! The filter: which edits need no look, because they touch no property that a row depends on.
//!
//! It rests on one assumption: `updated_properties` names every property that an edit touched. It can therefore be used
//! only where each mapped property changes by being edited and not otherwise, and it is put to the test: of what it
//! skips, a sample is looked at all the same, and a sweep sees everything. Whoever finds that a skip was wrong calls
//! [`turn_off`] or [`blame`] in the transaction that shows it, and [`Filter::turn_off`] or [`Filter::reread`] once that is
//! committed; other processes find the fact in the store. The filter of a source stays off until its mapping is another one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock},
};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::{
    derive::mapping::Mapping,
    model::{
        entry::{CachedPage, Standing},
        event::Subject,
        id::{DataSourceId, PageId},
        page::{Role, Schema},
        sighting::Sighting,
    },
    store::{Rows, Store, StoreError},
};

/// The fact under which it is kept how the filter stands.
const RELEVANCE: &str = "relevance";

/// How long after its receipt an event is judged by what its page shows.
///
/// By then another edit of the same minute has been told too: Notion gathers events for about a minute. Judged at once,
/// this one would be blamed for that edit.
pub const JUDGED_AFTER: TimeDelta = TimeDelta::minutes(10);

/// Types whose values change by an edit of the property itself. Any other one, also one that Notion adds later, may
/// follow from another property, from another page, or from the edit as such.
const PLAIN: [&str; 13] = [
    "title",
    "rich_text",
    "url",
    "email",
    "phone_number",
    "select",
    "status",
    "multi_select",
    "number",
    "checkbox",
    "date",
    "files",
    "place",
];

/// Says of an edit whether it needs a look. Clones share what they know; one that was told nothing skips nothing.
#[derive(Debug, Clone, Default)]
pub struct Filter(Arc<RwLock<BTreeMap<DataSourceId, InUse>>>);

#[derive(Debug)]
struct InUse {
    basis: Basis,
    is_on: bool,
}

/// What the filter of a source goes by: its schema, and which of its properties are mapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basis {
    mapped: Mapped,
    /// The ids of those that are not. One that the schema does not show is neither: the schema may be out of date.
    unmapped: BTreeSet<String>,
}

/// The mapped properties, as far as the filter depends on them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Mapped(BTreeMap<Role, MappedProperty>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct MappedProperty {
    id: String,
    kind: String,
    options: Vec<String>,
}

/// How the filter of a source stands, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stands {
    mapped: Mapped,
    /// Since when pages are read in this way: what was read before may differ for that reason alone.
    pub since: DateTime<Utc>,
    /// Why it is not used, if that is so.
    pub unused: Option<String>,
    /// The skip that was wrong, if one was: the filter is off.
    pub wrong: Option<WrongSkip>,
}

/// An event that was skipped, or would have been, though mapped values had changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrongSkip {
    /// When that was found.
    pub found_at: DateTime<Utc>,
    /// The event.
    pub event: String,
    /// Its page.
    pub page: PageId,
    /// What had changed on the page.
    pub changed: Vec<Role>,
}

impl Filter {
    /// Returns whether an edit in `source` that touched `updated` needs no look.
    pub fn skips(&self, source: DataSourceId, updated: &[String]) -> bool {
        let sources = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let unmapped = sources.get(&source).filter(|known| known.is_on).map(|known| &known.basis.unmapped);
        !updated.is_empty() && unmapped.is_some_and(|unmapped| updated.iter().all(|id| unmapped.contains(id)))
    }

    /// A filter that knows one source, as it stands when its schema was read for the first time.
    #[cfg(test)]
    pub(crate) fn on_from_the_start(source: DataSourceId, basis: Basis) -> Self {
        let filter = Self::default();
        let stands = Stands::from_now_on(&basis, DateTime::UNIX_EPOCH);
        filter.know(source, basis, Some(&stands));
        filter
    }

    /// Takes over what is known of a source: what to go by, and how the filter stands.
    pub(super) fn know(&self, source: DataSourceId, basis: Basis, stands: Option<&Stands>) {
        let is_on = stands.is_some_and(|stands| stands.is_on_for(&basis));
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(source, InUse { basis, is_on });
    }

    /// Turns it off for a source in this process, at once: the fact is in the store already.
    pub fn turn_off(&self, source: DataSourceId, wrong: &WrongSkip) {
        if let Some(known) = self.0.write().unwrap_or_else(PoisonError::into_inner).get_mut(&source) {
            known.is_on = false;
        }
        warn!(
            event.id = %wrong.event, page = %wrong.page,
            "the relevance filter of source {source} was wrong and is off: {}. From now on every edit is looked at; \
             rows whose events were skipped may be out of date until the next sweep", wrong.told()
        );
    }

    /// Learns what a sweep or another process may have found.
    pub async fn reread<S: Store>(&self, store: &S) -> Result<(), StoreError> {
        let all = store.read(|rows| standing(rows)).await?;
        let mut newly_off = Vec::new();
        for (source, known) in self.0.write().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            let stands = all.get(source);
            let was_on =
                std::mem::replace(&mut known.is_on, stands.is_some_and(|stands| stands.is_on_for(&known.basis)));
            newly_off.extend(
                stands.and_then(|stands| stands.wrong.as_ref()).filter(|_| was_on).map(|wrong| (*source, wrong)),
            );
        }
        for (source, wrong) in newly_off {
            self.turn_off(source, wrong);
        }
        Ok(())
    }
}

impl Basis {
    /// Makes what to go by from a schema and its mapping.
    pub fn of(schema: &Schema, mapping: &Mapping) -> Self {
        let with_id = |id: &str| schema.properties.iter().find(|property| property.id == id);
        let mapped: BTreeMap<_, _> = Role::ALL
            .into_iter()
            .filter_map(|role| {
                let id = mapping.get(role)?.id.clone();
                let property = with_id(&id);
                let kind = property.map(|property| property.kind.clone()).unwrap_or_default();
                let options = property.map(|property| property.options.clone()).unwrap_or_default();
                Some((role, MappedProperty { id, kind, options }))
            })
            .collect();
        let is_mapped = |id: &str| mapped.values().any(|property| property.id == id);
        let ids = schema.properties.iter().map(|property| property.id.clone());
        Self { unmapped: ids.filter(|id| !is_mapped(id)).collect(), mapped: Mapped(mapped) }
    }

    /// Says why the filter cannot be used: a mapped property may change although nobody edits it.
    pub fn unused(&self) -> Option<String> {
        let (role, property) = self.mapped.0.iter().find(|(_, property)| !PLAIN.contains(&property.kind.as_str()))?;
        Some(format!("{} is read from a property of type {:?}, which can change unedited", role.name(), property.kind))
    }
}

impl Mapped {
    /// Returns whether both read the same properties, whatever options these offer.
    fn reads_the_same_as(&self, other: &Self) -> bool {
        let bare = |mapped: &Self| -> Vec<_> {
            mapped.0.iter().map(|(role, property)| (*role, property.id.clone(), property.kind.clone())).collect()
        };
        bare(self) == bare(other)
    }
}

impl Stands {
    fn from_now_on(basis: &Basis, now: DateTime<Utc>) -> Self {
        Self { mapped: basis.mapped.clone(), since: now, unused: basis.unused(), wrong: None }
    }

    fn is_on_for(&self, basis: &Basis) -> bool {
        self.wrong.is_none() && self.unused.is_none() && self.mapped.reads_the_same_as(&basis.mapped)
    }
}

impl WrongSkip {
    /// Says what was found, for people.
    pub fn told(&self) -> String {
        let changed: Vec<_> = self.changed.iter().map(|role| role.name()).collect();
        format!("event {} did not say that {} of page {} changed", self.event, changed.join(", "), self.page)
    }
}

/// Returns how the filter of each source stands.
pub fn standing(rows: &mut dyn Rows) -> Result<BTreeMap<DataSourceId, Stands>, StoreError> {
    // What cannot be read is written anew when the schema is read next; until then nothing is skipped.
    Ok(rows.fact(RELEVANCE)?.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default())
}

/// Notes by what a source is read from now on. Another mapping turns the filter on again.
pub(super) fn learn(
    rows: &mut dyn Rows,
    source: DataSourceId,
    basis: &Basis,
    now: DateTime<Utc>,
) -> Result<Stands, StoreError> {
    let mut all = standing(rows)?;
    let mut stands = Stands::from_now_on(basis, now);
    // Where only the options changed, values may have changed with them, but a wrong skip was still a wrong skip.
    if let Some(earlier) = all.remove(&source).filter(|earlier| earlier.mapped.reads_the_same_as(&basis.mapped)) {
        if earlier.mapped == basis.mapped {
            stands.since = earlier.since;
        }
        stands.wrong = earlier.wrong;
    }
    all.insert(source, stands.clone());
    keep(rows, &all)?;
    Ok(stands)
}

/// Turns the filter of a source off, because it was wrong. Returns whether it was on.
pub fn turn_off(rows: &mut dyn Rows, source: DataSourceId, wrong: WrongSkip) -> Result<bool, StoreError> {
    let mut all = standing(rows)?;
    let Some(stands) = all.get_mut(&source).filter(|stands| stands.wrong.is_none() && stands.unused.is_none()) else {
        return Ok(false);
    };
    stands.wrong = Some(wrong);
    keep(rows, &all)?;
    Ok(true)
}

/// Lists what a skipped event should have said: the mapped values in which a row differs from what is known of it.
///
/// Empty where something else explains the difference: the page was read by another mapping, came or went, or was
/// edited after the minute of the event. The caller knows that no other event about the page is still to be looked at.
pub fn untold(
    rows: &mut dyn Rows,
    event_at: DateTime<Utc>,
    known: &CachedPage,
    sighting: &Sighting,
) -> Result<Vec<Role>, StoreError> {
    let is_row = [known.standing, sighting.standing] == [Standing::Listed; 2] && known.source == sighting.source;
    let edits = known.last_edited_time..=event_at;
    if !is_row || !edits.contains(&sighting.last_edited_time) {
        return Ok(Vec::new());
    }
    let mut changed = sighting.values.differing(&known.values);
    if !changed.is_empty() {
        let is_read_alike = |stands: &Stands| stands.since <= known.observed_at;
        if !standing(rows)?.get(&sighting.source).is_some_and(is_read_alike) {
            changed.clear();
        }
    }
    Ok(changed)
}

/// Turns the filter off if a page that a sweep found changed was skipped for that: nobody else was to look at it.
///
/// `known` is the page as it was before the sighting was applied.
pub fn blame(
    rows: &mut dyn Rows,
    known: &CachedPage,
    sighting: &Sighting,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let skipped = rows.newest_skipped(known.id, known.observed_at)?;
    let Some(skipped) = skipped.filter(|skipped| now - skipped.received_at >= JUDGED_AFTER) else { return Ok(false) };
    if rows.newest_waiting(Subject::Page(known.id))?.is_some() {
        return Ok(false);
    }
    let changed = untold(rows, skipped.occurred_at, known, sighting)?;
    if changed.is_empty() {
        return Ok(false);
    }
    turn_off(rows, sighting.source, WrongSkip { found_at: now, event: skipped.event_id, page: known.id, changed })
}

fn keep(rows: &mut dyn Rows, all: &BTreeMap<DataSourceId, Stands>) -> Result<(), StoreError> {
    // Plain data with ids for names: this is always written.
    serde_json::to_string(all).map_or(Ok(()), |json| rows.put_fact(RELEVANCE, &json))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        derive::mapping::{self, Names},
        model::{
            entry::Door,
            page::{SchemaProperty, Value, Values, View},
        },
        store::{Appended, Disposition, NewEvent, sqlite::SqliteStore},
    };

    const SOURCE: DataSourceId = DataSourceId::from_uuid(Uuid::from_u128(1));

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minute)
    }

    /// What to go by where these are the properties beside the title: id, name, type, and one option.
    fn basis(properties: &[[&str; 4]]) -> Basis {
        let property = |[id, name, kind, option]: &[&str; 4]| SchemaProperty {
            id: (*id).to_owned(),
            name: (*name).to_owned(),
            kind: (*kind).to_owned(),
            options: vec![(*option).to_owned()],
        };
        let all = [["title", "Company Name", "title", ""]];
        let properties = all.iter().chain(properties).map(property).collect();
        let schema =
            Schema { data_source: SOURCE, database: None, title: String::new(), properties, unmapped: Vec::new() };
        Basis::of(&schema, &mapping::resolve(&schema, &Names::default(), None).unwrap().mapping)
    }

    fn wrong() -> WrongSkip {
        let page = PageId::from_uuid(Uuid::from_u128(7));
        WrongSkip { found_at: at(1), event: "e1".to_owned(), page, changed: vec![Role::Status, Role::Website] }
    }

    /// Runs `check` over the rows of an empty database.
    async fn over_rows(check: impl FnOnce(&mut dyn Rows) + Send + 'static) {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("cache.db"), 1, at(0)).unwrap();
        let done = store.write(move |rows| {
            check(rows);
            Ok(())
        });
        done.await.unwrap();
    }

    #[tokio::test]
    async fn it_stays_off_until_other_properties_are_read() {
        over_rows(|rows| {
            let before = basis(&[["s", "Status", "status", "Lost"], ["n", "Notes", "rich_text", ""]]);
            assert!(!turn_off(rows, SOURCE, wrong()).unwrap(), "it was never on");
            assert!(learn(rows, SOURCE, &before, at(0)).unwrap().is_on_for(&before));
            assert!(turn_off(rows, SOURCE, wrong()).unwrap());
            assert!(!turn_off(rows, SOURCE, WrongSkip { event: "e2".to_owned(), ..wrong() }).unwrap());
            let same = learn(rows, SOURCE, &before, at(5)).unwrap();
            assert_eq!((same.wrong, same.since), (Some(wrong()), at(0)));

            let option = basis(&[["s", "Status", "status", "Gone"], ["n", "Renamed", "rich_text", ""]]);
            let offered = learn(rows, SOURCE, &option, at(6)).unwrap();
            assert_eq!((offered.wrong, offered.since), (Some(wrong()), at(6)), "values may have changed by that");

            for other in [[["t", "Status", "status", "Gone"]], [["s", "Status", "select", "Gone"]]].map(|p| basis(&p)) {
                assert!(learn(rows, SOURCE, &other, at(7)).unwrap().is_on_for(&other), "{other:?}");
                assert!(turn_off(rows, SOURCE, wrong()).unwrap());
            }
        })
        .await;
    }

    #[tokio::test]
    async fn where_it_cannot_be_used_it_is_neither_on_nor_off() {
        over_rows(|rows| {
            let computed = basis(&[["s", "Status", "formula", ""]]);
            let stands = learn(rows, SOURCE, &computed, at(0)).unwrap();
            assert_eq!(
                stands.unused.as_deref(),
                Some("status is read from a property of type \"formula\", which can change unedited")
            );
            assert!(!stands.is_on_for(&computed));
            assert!(!turn_off(rows, SOURCE, wrong()).unwrap());
        })
        .await;
    }

    #[tokio::test]
    async fn a_fact_that_cannot_be_read_skips_nothing_until_the_schema_is_read() {
        over_rows(|rows| {
            rows.put_fact(RELEVANCE, "{\"of another version\": 1}").unwrap();
            assert_eq!(standing(rows).unwrap(), BTreeMap::new());
            let basis = basis(&[]);
            assert!(learn(rows, SOURCE, &basis, at(0)).unwrap().is_on_for(&basis));
        })
        .await;
    }

    #[test]
    fn a_wrong_skip_is_told_with_what_it_kept_back() {
        let page = wrong().page;
        let told = format!("event e1 did not say that status, website of page {page} changed");
        assert_eq!(wrong().told(), told);
    }

    fn website(text: &str) -> Values {
        let mut values = Values::default();
        values.set(Role::Website, Value::text(text));
        values
    }

    /// A page as it was seen in minute 2.
    fn known(text: &str) -> CachedPage {
        CachedPage {
            id: wrong().page,
            source: SOURCE,
            standing: Standing::Listed,
            last_edited_time: at(2),
            observed_at: at(2),
            view: View::Page,
            seen_by: None,
            missing_since: None,
            unfound_since: None,
            url: None,
            values: website(text),
        }
    }

    /// The page as it is seen in minute 20, after an edit in minute 4.
    fn sighting(text: &str) -> Sighting {
        Sighting {
            page: wrong().page,
            source: SOURCE,
            standing: Standing::Listed,
            last_edited_time: at(4),
            observed_at: at(20),
            view: View::Page,
            url: Some("elsewhere".to_owned()),
            values: website(text),
        }
    }

    /// A page that was seen in minute 2 with a website, and then again, edited and read otherwise.
    #[tokio::test]
    async fn a_difference_counts_where_nothing_but_the_event_can_explain_it() {
        over_rows(|rows| {
            learn(rows, SOURCE, &basis(&[["w", "Website", "url", ""]]), at(1)).unwrap();
            let (known, sighting) = (known("acme.com"), sighting("acme.ai"));
            let event_at = at(4) + TimeDelta::seconds(30);
            let mut check = |known: &CachedPage, sighting: &Sighting, expected: &[Role], why| {
                assert_eq!(untold(rows, event_at, known, sighting).unwrap(), expected, "{why}");
            };
            check(&known, &sighting, &[Role::Website], "edited in the minute of the event");
            let same = Sighting { values: website("acme.com"), ..sighting.clone() };
            check(&known, &same, &[], "only the date and the address differ");
            let unsaid = Sighting { values: Values::default(), ..sighting.clone() };
            check(&known, &unsaid, &[], "what Notion cannot say has not changed");
            let later = Sighting { last_edited_time: at(5), ..sighting.clone() };
            check(&known, &later, &[], "edited later, of which another event tells");
            let stale = Sighting { last_edited_time: at(1), ..sighting.clone() };
            check(&known, &stale, &[], "older than what is known");
            let trashed = Sighting { standing: Standing::Trashed, ..sighting.clone() };
            check(&known, &trashed, &[], "another event tells of the trash");
            let came = CachedPage { standing: Standing::MovedOut, ..known.clone() };
            check(&came, &sighting, &[], "another event tells of the move");
            let old = CachedPage { observed_at: at(0), ..known.clone() };
            check(&old, &sighting, &[], "it was read by another mapping");
        })
        .await;
    }

    #[tokio::test]
    async fn a_sweep_blames_a_skip_that_nobody_was_to_make_good() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("cache.db"), 1, at(0)).unwrap();
        let event = |id: &str, minute, disposition| NewEvent {
            event_id: id.to_owned(),
            kind: "page.properties_updated".to_owned(),
            subject: Some(Subject::Page(wrong().page)),
            occurred_at: at(minute),
            received_at: at(minute),
            door: Door::Webhook,
            disposition,
            body: Vec::new(),
        };
        let found = |text: &'static str, now| {
            store.write(move |rows| {
                let blamed = blame(rows, &known("acme.com"), &sighting(text), at(now))?;
                let wrong = standing(rows)?.get(&SOURCE).and_then(|stands| stands.wrong.clone());
                Ok((blamed, wrong.map(|wrong| (wrong.event, wrong.changed))))
            })
        };
        let prepared = store.write(|rows| {
            learn(rows, SOURCE, &basis(&[["w", "Website", "url", ""]]), at(1))?;
            rows.put_page(&known("acme.com"))
        });
        prepared.await.unwrap();
        assert_eq!(found("acme.ai", 20).await.unwrap(), (false, None), "nothing was skipped");
        let skip = Disposition::Skip { source: SOURCE, sampled_at: None };
        assert!(matches!(store.append(event("e1", 4, skip)).await, Ok(Appended::Skipped(_))));
        assert_eq!(found("acme.ai", 13).await.unwrap(), (false, None), "another event may be on its way");
        assert_eq!(found("acme.com", 20).await.unwrap(), (false, None), "it kept nothing back");
        let Appended::Waiting(seq) = store.append(event("e2", 4, Disposition::Look)).await.unwrap() else {
            panic!("it is to be looked at")
        };
        assert_eq!(found("acme.ai", 20).await.unwrap(), (false, None), "the other event is to be looked at");
        store.write(move |rows| rows.settle(Subject::Page(wrong().page), seq)).await.unwrap();
        let expected = Some(("e1".to_owned(), vec![Role::Website]));
        assert_eq!(found("acme.ai", 20).await.unwrap(), (true, expected));
    }
}
