//! Deriving every entry anew, where rules or settings are not those of the last time. Notion is not asked.
//!
//! That takes seconds where pages are many, and questions are answered all the while, by this process and by others.
//! So that no answer is more lenient than both the settings before and those after would have it:
//!
//! 1. Before anything else, one transaction notes in the fact `derived_by` that entries are not all of one kind now, and
//!    adds the new hard statuses of each source to those that are stored ([`begin`]).
//! 2. Only then do the new rules and statuses count for what is applied ([`Cache::adopt`]). What is applied reads them
//!    within its transaction, and there is one writer: nothing that follows new rules comes before the note.
//! 3. Page by page the entries follow.
//! 4. One transaction notes by which rules they all are derived now, and stores the new hard statuses alone.
//!
//! **Rules decide whether there is a row.** A question is answered by the keys that the rules of the asker give, whenever
//! he took them. In one view of the rows, a row that is not there is proof only if `derived_by` names these very rules
//! ([`derived_by`]): from step 1 to step 4, and for an asker with other rules, such as a command with other settings, an
//! absence is `stale` and never `clear`. A row that is there suppresses, whichever rules made it. So the order in which
//! lookups and entries get new rules makes no difference.
//!
//! **Hard statuses decide who wins a key and how firm the answer is**, and never whether there is a row. Let A win a key
//! before, and B after. While the row is A, the answer is hard if A is so before or after; if it is only so after,
//! then B is hard after as well, or B would not win. While the row is B, the same holds the other way round. So in between the
//! answer is as hard as it was before or as hard as it will be, and never softer than both.
//!
//! A process that dies in between leaves the note, and whoever works next begins anew.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::{
    cache::Cache,
    derive::{Rules, winner::HardStatuses},
    model::{
        entry::{Cause, Door},
        id::{DataSourceId, PageId},
    },
    store::{Rows, Store, StoreError, StoredSource},
};

/// Pages that are derived anew in one transaction: a few milliseconds of the writer.
const REDERIVED_AT_ONCE: u32 = 50;

/// The fact that says by which rules and hard statuses the entries were derived.
const DERIVED_BY: &str = "derived_by";

/// What stands in that fact while they are derived anew, instead of what is not the same before and after.
const BEING_DERIVED: &str = "being-derived";

/// What entries are derived by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derivation {
    /// How values become keys.
    pub rules: Rules,
    /// Which statuses of which source are hard.
    pub hard: BTreeMap<DataSourceId, HardStatuses>,
}

impl Derivation {
    fn fingerprint(&self) -> String {
        format!("{} {:?}", self.rules.fingerprint(), self.hard)
    }

    /// Returns whether the entries are derived by this, and the stored sources say so.
    fn holds(&self, rows: &mut dyn Rows) -> Result<bool, StoreError> {
        if rows.fact(DERIVED_BY)?.as_ref() != Some(&self.fingerprint()) {
            return Ok(false);
        }
        let sources = rows.sources()?;
        let mut kept = sources.iter().filter(|stored| stored.retired_at.is_none());
        Ok(kept.all(|stored| self.hard.get(&stored.id).is_none_or(|hard| stored_hard(stored) == *hard)))
    }

    /// Stores what `becomes` makes of the stored hard statuses of each source and of those of this.
    fn store_hard(
        &self,
        rows: &mut dyn Rows,
        becomes: impl Fn(HardStatuses, &HardStatuses) -> HardStatuses,
    ) -> Result<(), StoreError> {
        for stored in rows.sources()?.into_iter().filter(|stored| stored.retired_at.is_none()) {
            let Some(hard) = self.hard.get(&stored.id) else { continue };
            let before = stored_hard(&stored);
            let after = becomes(before.clone(), hard);
            if after != before {
                rows.put_source(&StoredSource { hard: text(&after), ..stored })?;
            }
        }
        Ok(())
    }
}

/// Returns whether all entries are derived by the rules of this fingerprint: only then is a row that is not there a proof.
///
/// Where nothing is known of it, nothing was ever derived by other rules.
pub fn derived_by(rows: &mut dyn Rows, rules: &str) -> Result<bool, StoreError> {
    Ok(rows.fact(DERIVED_BY)?.is_none_or(|noted| of_rules(&noted) == rules))
}

impl Cache {
    /// Derives every entry anew from the stored values where rules or settings are not those of the last time.
    ///
    /// Returns the number of entries that changed.
    pub async fn rederive<S: Store>(&self, store: &S, now: DateTime<Utc>) -> Result<u64, StoreError> {
        let _alone = self.deriving.lock().await;
        let mut entries = 0;
        loop {
            let aim = self.derivation();
            let (wanted, noted) = (aim.clone(), aim.clone());
            if store.read(move |rows| wanted.holds(rows)).await? {
                return Ok(entries);
            }
            store.write(move |rows| begin(rows, &noted)).await?;
            let mut after = None;
            loop {
                let cache = self.clone();
                let (last, changed) = store.write(move |rows| cache.rederive_some(rows, after, now)).await?;
                entries += changed;
                let Some(last) = last else { break };
                after = Some(last);
            }
            let cache = self.clone();
            store.write(move |rows| cache.end(rows, &aim)).await?;
        }
    }

    /// Takes other rules and hard statuses as soon as it is noted that not all entries follow them yet: then `switch` is called,
    /// which is to see to it that sources and lookups have them as well. [`Cache::rederive`] does the rest.
    ///
    /// `works` says, while nobody derives, whether this process works on the entries and knows its sources. Where it does
    /// not, there is nothing to be noted: before it begins to work it derives them.
    pub async fn adopt<S: Store>(
        &self,
        store: &S,
        aim: Derivation,
        works: impl FnOnce() -> bool,
        switch: impl FnOnce(),
    ) -> Result<(), StoreError> {
        let _alone = self.deriving.lock().await;
        if works() {
            let noted = aim.clone();
            store.write(move |rows| if noted.holds(rows)? { Ok(()) } else { begin(rows, &noted) }).await?;
        }
        let Derivation { rules, hard } = aim;
        self.rules.store(rules.into());
        switch();
        self.learn_from(|| hard);
        Ok(())
    }

    /// Returns what entries are derived by now.
    pub fn derivation(&self) -> Derivation {
        let hard = self.hard.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        Derivation { rules: (**self.rules.load()).clone(), hard }
    }

    fn rederive_some(
        &self,
        rows: &mut dyn Rows,
        after: Option<PageId>,
        now: DateTime<Utc>,
    ) -> Result<(Option<PageId>, u64), StoreError> {
        let cause = Cause { door: Door::Settings, id: self.derivation().fingerprint() };
        let pages = rows.pages(after, REDERIVED_AT_ONCE)?;
        let mut changes = 0;
        for page in &pages {
            changes += self.settle_claims(rows, page, &cause, now)?.1.len() as u64;
        }
        Ok((pages.last().map(|page| page.id), changes))
    }

    /// Notes that all entries follow `aim`, unless it was learnt meanwhile that others are to be followed.
    fn end(&self, rows: &mut dyn Rows, aim: &Derivation) -> Result<(), StoreError> {
        if self.derivation() != *aim {
            return Ok(());
        }
        aim.store_hard(rows, |_, hard| hard.clone())?;
        rows.put_fact(DERIVED_BY, &aim.fingerprint())
    }
}

/// Notes that not all entries follow `aim` yet.
fn begin(rows: &mut dyn Rows, aim: &Derivation) -> Result<(), StoreError> {
    aim.store_hard(rows, HardStatuses::and)?;
    let rules = aim.rules.fingerprint();
    // Where only statuses change, every row stays a row.
    let same_rules = rows.fact(DERIVED_BY)?.is_some_and(|noted| of_rules(&noted) == rules);
    let noted = if same_rules { format!("{rules} {BEING_DERIVED}") } else { BEING_DERIVED.to_owned() };
    rows.put_fact(DERIVED_BY, &noted)
}

fn of_rules(noted: &str) -> &str {
    noted.split(' ').next().unwrap_or_default()
}

/// What cannot be read is replaced by what is right.
fn stored_hard(stored: &StoredSource) -> HardStatuses {
    serde_json::from_str(&stored.hard).unwrap_or_else(|_unreadable| HardStatuses::new::<&str>([]))
}

fn text(hard: &HardStatuses) -> String {
    serde_json::json!(hard).to_string()
}
