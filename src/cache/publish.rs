//! One key, its winner, and the published row.

use chrono::{DateTime, Utc};

use crate::{
    cache::Cache,
    derive::{self, winner},
    model::{
        entry::{Cause, Change, Claim, Door, Entry, Face, Metadata},
        id::PageId,
        key::Key,
    },
    store::{Published, Rows, StoreError},
};

/// What made somebody look at a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct News<'a> {
    /// The page that was seen, and is confirmed by that.
    pub(super) page: PageId,
    /// Why it was looked at.
    pub(super) cause: &'a Cause,
    /// The time of the look.
    pub(super) now: DateTime<Utc>,
}

/// What is to become of the published row of a key.
#[derive(Debug)]
pub(super) enum Plan {
    /// It is as it should be.
    Leave,
    /// It says the right thing, and is to count for longer.
    Renew(Box<Entry>),
    /// It is to say something else than it did.
    Put { entry: Box<Entry>, before: Option<Face> },
    /// Nobody claims it any more.
    Withdraw { before: Option<Face> },
    /// Nobody claims it any more, and the row is another program's by now: it stays, and what was told of it is taken back.
    Disown,
}

/// Decides what is to become of the published row of `key`, so that it says what the winning claim says.
///
/// A row that says it already is left alone, and renewed only if its winner was just seen and less than half of its
/// time is left, or more than it should ever have had: the TTL or the clock was set. Rows are compared even where the
/// page did not change: somebody else may have written over them.
pub(super) fn plan(cache: &Cache, rows: &mut dyn Rows, key: &Key, news: &News<'_>) -> Result<Plan, StoreError> {
    let mut claims = rows.claims_on(key)?;
    let row = rows.entry(key)?;
    let any_found = claims.iter().any(|claim| claim.page.unfound_since.is_none());
    let holder = row.as_ref().and_then(|row| counting(row, cache, news.now));
    claims.retain(|claim| winner::contends(&claim.page, any_found, holder));
    let winner = winner::pick(&claims, |claim| cache.is_hard(claim));
    Ok(plan_for(cache, winner, row, news))
}

/// As [`plan`], where the winning claim and the row are known.
pub(super) fn plan_for(cache: &Cache, winner: Option<&Claim>, row: Option<Published>, news: &News<'_>) -> Plan {
    let Some(winner) = winner else {
        return match row {
            // Somebody else wrote it about another page.
            Some(Published::Foreign { page, .. }) if page.parse() != Ok(news.page) => Plan::Disown,
            // Somebody else took it away.
            None => Plan::Disown,
            Some(row) => Plan::Withdraw { before: face(&row) },
        };
    };
    let entry = derive::entry(winner, synced_from(news.cause.door), news.now, cache.settings.ttl);
    match row {
        Some(Published::Entry(row)) if says_the_same(&row, &entry) => {
            let left = row.expires_at - news.now;
            let is_due = left * 2 < cache.settings.ttl || left > cache.settings.ttl;
            if is_due && winner.page.id == news.page && news.cause.door != Door::Settings {
                let Entry { cached_at, expires_at, .. } = entry;
                Plan::Renew(Box::new(Entry { cached_at, expires_at, ..*row }))
            } else {
                Plan::Leave
            }
        }
        row => Plan::Put { entry: Box::new(entry), before: row.as_ref().and_then(face) },
    }
}

/// Returns the page of a row that has at least half of its time left.
fn counting(row: &Published, cache: &Cache, now: DateTime<Utc>) -> Option<PageId> {
    match row {
        Published::Entry(row) if (row.expires_at - now) * 2 >= cache.settings.ttl => Some(row.page),
        Published::Entry(_) | Published::Foreign { .. } => None,
    }
}

/// Carries out what is to become of the row of `key`; returns the change that people would see.
pub(super) fn settle(
    cache: &Cache,
    rows: &mut dyn Rows,
    key: &Key,
    news: &News<'_>,
) -> Result<Option<Change>, StoreError> {
    match plan(cache, rows, key, news)? {
        Plan::Leave => Ok(None),
        Plan::Renew(entry) => rows.put_entry(&entry).map(|()| None),
        Plan::Put { entry, before } => {
            rows.put_entry(&entry)?;
            record(rows, key, before, Some(entry.face()), news)
        }
        Plan::Withdraw { before } => {
            rows.delete_entry(key)?;
            record(rows, key, before, None, news)
        }
        Plan::Disown => record(rows, key, None, None, news),
    }
}

/// Adds to the history what is now published of `key`; returns the change that people would see in the rows.
///
/// What another program did to a row is in no history, so that a row may say already what it is to say while whoever
/// follows the changes was last told something else: then that is told too.
fn record(
    rows: &mut dyn Rows,
    key: &Key,
    from: Option<Face>,
    to: Option<Face>,
    news: &News<'_>,
) -> Result<Option<Change>, StoreError> {
    let change = |from, to| Change { changed_at: news.now, key: key.clone(), from, to, cause: news.cause.clone() };
    if from != to {
        let change = change(from, to);
        rows.record_change(&change)?;
        // A page that moved to another source, or has another address, is a change for followers alone.
        let is_seen = seen(change.from.as_ref()) != seen(change.to.as_ref());
        return Ok(is_seen.then_some(change));
    }
    match rows.told(key)? {
        Some(told) if told == to => (),
        // What was told is forgotten. Only that there is no entry any more is said to be safe.
        None if to.is_some() => (),
        told => rows.record_change(&change(told.flatten(), to))?,
    }
    Ok(None)
}

/// Returns what people see in a row.
fn seen(face: Option<&Face>) -> Option<(PageId, &str, Option<&str>)> {
    face.map(|face| (face.page, face.status.as_str(), face.company_name.as_deref()))
}

fn face(row: &Published) -> Option<Face> {
    match row {
        Published::Entry(entry) => Some(entry.face()),
        Published::Foreign { .. } => None,
    }
}

/// Compares all but the dates of the row and the door by which it came.
fn says_the_same(row: &Entry, entry: &Entry) -> bool {
    let Entry { key, page, status, company_name, cached_at: _, expires_at: _, metadata } = row;
    let Metadata { website, synced_from: _, source, key_origin, key_strength, last_edited_time, page_url } = metadata;
    let other = &entry.metadata;
    (key, page, status, company_name) == (&entry.key, &entry.page, &entry.status, &entry.company_name)
        && (website, source, page_url) == (&other.website, &other.source, &other.page_url)
        && (key_origin, key_strength) == (&other.key_origin, &other.key_strength)
        && last_edited_time == &other.last_edited_time
}

/// Settings bring no news of their own: they read again what was stored.
const fn synced_from(door: Door) -> &'static str {
    match door {
        Door::Settings => Door::Replay.name(),
        door @ (Door::Webhook | Door::Sweep | Door::Replay | Door::Lookup) => door.name(),
    }
}
