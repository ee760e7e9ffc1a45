//! Applying what Notion showed: the only code that writes pages, claims and entries.
//!
//! Webhook, sweep and replay all end in [`Cache::apply`], within a transaction of the caller, so that an event is
//! settled in the very commit that holds what it brought about. The order of things:
//!
//! 1. is the sighting newer than what was applied ([`order`])?
//! 2. the page, its values carried forward where Notion could not say them;
//! 3. its claims;
//! 4. for every key that it claims or claimed: who wins, and does the published row say so ([`publish`])?

mod current;
mod expiry;
mod order;
mod publish;
mod rederive;
mod renamed;

pub use crate::cache::{
    current::Current,
    expiry::LetGo,
    rederive::{Derivation, derived_by},
};

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock},
};

use arc_swap::ArcSwap;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Mutex;

use crate::{
    cache::order::Order,
    derive::{self, Rules, winner::HardStatuses},
    model::{
        entry::{CachedPage, Cause, Change, Claim, Door, Standing},
        id::DataSourceId,
        key::{Candidate, Key, Strength},
        page::View,
        sighting::{Absence, Sighting},
    },
    store::{Rows, StoreError},
};

/// What the rules of the cache depend on.
#[derive(Debug, Clone)]
pub struct CacheSettings {
    /// How long an entry counts after it was confirmed.
    pub ttl: TimeDelta,
    /// How far the index behind queries may trail the live page.
    pub index_lag: TimeDelta,
    /// How values become keys, until others are adopted.
    pub rules: Rules,
}

/// Applies sightings. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cache {
    settings: Arc<CacheSettings>,
    rules: Arc<ArcSwap<Rules>>,
    hard: Arc<RwLock<BTreeMap<DataSourceId, HardStatuses>>>,
    /// Held by whoever derives entries anew.
    deriving: Arc<Mutex<()>>,
}

/// What became of a sighting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Applied {
    /// The cache did not know the page.
    Inserted,
    /// The page, its claims or an entry changed.
    Updated,
    /// Nothing changed; entries that were getting old are renewed.
    Unchanged,
    /// The page is no longer a row, and that is proven: its claims went.
    Removed,
    /// What was applied before is newer: nothing changed.
    Stale,
    /// A query shows something else than the page did a moment ago: the page itself must decide.
    Doubtful,
    /// Notion answers 404, which proves nothing: the entries stay.
    Missing,
}

impl Applied {
    /// Returns the word for logs and figures.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inserted => "inserted",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Removed => "removed",
            Self::Stale => "stale",
            Self::Doubtful => "doubtful",
            Self::Missing => "missing",
        }
    }
}

/// What became of a sighting, and which entries changed by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What became of it.
    pub applied: Applied,
    /// How strong the best key of the page is; `None` where it holds none, or where nothing was applied.
    pub strength: Option<Strength>,
    /// The entries that changed.
    pub changes: Vec<Change>,
}

impl From<Applied> for Outcome {
    fn from(applied: Applied) -> Self {
        Self { applied, strength: None, changes: Vec::new() }
    }
}

impl Cache {
    /// Makes a cache that follows `settings`.
    pub fn new(settings: CacheSettings) -> Self {
        let rules = Arc::new(ArcSwap::from_pointee(settings.rules.clone()));
        Self { settings: Arc::new(settings), rules, hard: Arc::default(), deriving: Arc::default() }
    }

    /// Returns the same cache with another TTL.
    #[must_use]
    pub fn with_ttl(&self, ttl: TimeDelta) -> Self {
        Self { settings: Arc::new(CacheSettings { ttl, ..(*self.settings).clone() }), ..self.clone() }
    }

    /// Learns which statuses of a source are hard.
    pub fn learn(&self, source: DataSourceId, hard: HardStatuses) {
        self.learn_from(|| [(source, hard)]);
    }

    /// Learns which statuses of some sources are hard.
    ///
    /// They are asked for while nobody else teaches: what was asked for earlier never replaces what came later.
    pub fn learn_from<I>(&self, known: impl FnOnce() -> I)
    where
        I: IntoIterator<Item = (DataSourceId, HardStatuses)>,
    {
        let mut hard = self.hard.write().unwrap_or_else(PoisonError::into_inner);
        hard.extend(known());
    }

    /// Returns the settings.
    pub fn settings(&self) -> &CacheSettings {
        &self.settings
    }

    /// Applies a sighting within the transaction of `rows`.
    pub fn apply(
        &self,
        rows: &mut dyn Rows,
        sighting: &Sighting,
        cause: &Cause,
        now: DateTime<Utc>,
    ) -> Result<Outcome, StoreError> {
        let earlier = rows.page(sighting.page)?;
        let page = sighting.following(earlier.as_ref(), cause.door, self.settings.index_lag);
        match order::judge(earlier.as_ref(), &page, sighting, self.settings.index_lag, now) {
            // What is known is newer. But somebody else may have written over the rows that say it.
            Order::Older => {
                let keys = rows.claims_of(page.id)?.into_iter().map(|claim| claim.key).collect();
                let changes = self.settle_keys(rows, keys, &publish::News { page: page.id, cause, now })?;
                return Ok(Outcome { applied: Applied::Stale, strength: None, changes });
            }
            Order::Doubtful => return Ok(Applied::Doubtful.into()),
            Order::Newer => (),
        }
        let same = earlier.as_ref().is_some_and(|earlier| earlier.says_the_same_as(&page));
        // An unchanged page is written only where an event paid for the write, which dates the live page for good, or
        // where its date lies in what is now the future.
        if !same
            || sighting.view == View::Page
            || earlier.as_ref().is_some_and(|it| order::is_to_come(it.observed_at, now))
        {
            renamed::put(rows, earlier.as_ref(), &page)?;
        }
        let (strength, changes) = self.settle_claims(rows, &page, cause, now)?;
        let applied = match (&earlier, page.standing) {
            _ if same && changes.is_empty() => Applied::Unchanged,
            (_, standing) if standing != Standing::Listed => Applied::Removed,
            (None, _) => Applied::Inserted,
            (Some(_), _) => Applied::Updated,
        };
        Ok(Outcome { applied, strength, changes })
    }

    /// Notes that Notion answered 404 for a page. Gone and unshared look alike, so that the entries stay.
    pub fn miss(&self, rows: &mut dyn Rows, absence: Absence, now: DateTime<Utc>) -> Result<Outcome, StoreError> {
        let Some(mut known) = rows.page(absence.page)? else { return Ok(Applied::Missing.into()) };
        if is_newer(&known, absence.observed_at, now) {
            return Ok(Applied::Stale.into());
        }
        // Of a page that is no row any more, nothing is missed.
        if known.standing != Standing::Listed {
            return Ok(Applied::Unchanged.into());
        }
        if known.missing_since.is_none() {
            known.missing_since = Some(now);
            known.observed_at = known.observed_at.min(absence.observed_at);
            rows.put_page(&known)?;
        }
        Ok(Applied::Missing.into())
    }

    /// Applies the proof that a page is gone: Notion said `page.deleted`, and then 404.
    pub fn bury(
        &self,
        rows: &mut dyn Rows,
        absence: Absence,
        cause: &Cause,
        now: DateTime<Utc>,
    ) -> Result<Outcome, StoreError> {
        let Absence { page, observed_at } = absence;
        let Some(known) = rows.page(page)? else { return Ok(Applied::Missing.into()) };
        if is_newer(&known, observed_at, now) {
            return Ok(Applied::Stale.into());
        }
        let gone = CachedPage {
            standing: Standing::Gone,
            observed_at,
            view: View::Page,
            seen_by: Some(cause.door),
            missing_since: None,
            unfound_since: None,
            ..known.clone()
        };
        renamed::put(rows, Some(&known), &gone)?;
        let (strength, changes) = self.settle_claims(rows, &gone, cause, now)?;
        Ok(Outcome { applied: Applied::Removed, strength, changes })
    }

    /// Writes the claims of `page`, and publishes the winner of every key that it claims or claimed.
    fn settle_claims(
        &self,
        rows: &mut dyn Rows,
        page: &CachedPage,
        cause: &Cause,
        now: DateTime<Utc>,
    ) -> Result<(Option<Strength>, Vec<Change>), StoreError> {
        let claims = match page.standing {
            Standing::Listed => derive::values_candidates(&page.values, &self.rules.load()).candidates,
            Standing::Trashed | Standing::MovedOut | Standing::Gone | Standing::Lost => Vec::new(),
        };
        let before = rows.claims_of(page.id)?;
        if !same_claims(&before, &claims) {
            rows.put_claims(page.id, &claims)?;
        }
        let strength = best(&claims);
        let keys: BTreeSet<_> = before.into_iter().chain(claims).map(|claim| claim.key).collect();
        let changes = self.settle_keys(rows, keys, &publish::News { page: page.id, cause, now })?;
        Ok((strength, changes))
    }

    fn settle_keys(
        &self,
        rows: &mut dyn Rows,
        keys: BTreeSet<Key>,
        news: &publish::News<'_>,
    ) -> Result<Vec<Change>, StoreError> {
        let mut changes = Vec::new();
        for key in keys {
            changes.extend(publish::settle(self, rows, &key, news)?);
        }
        Ok(changes)
    }

    /// Returns whether the status of a claim's page is in the hard list of its source.
    fn is_hard(&self, claim: &Claim) -> bool {
        let hard = self.hard.read().unwrap_or_else(PoisonError::into_inner);
        hard.get(&claim.page.source).is_some_and(|hard| hard.holds(&claim.page))
    }
}

impl Sighting {
    /// Returns the page as it would be stored after this sighting.
    fn following(&self, earlier: Option<&CachedPage>, seen_by: Door, index_lag: TimeDelta) -> CachedPage {
        let mut values = self.values.clone();
        if let Some(earlier) = earlier {
            values.carry_forward(&earlier.values);
        }
        CachedPage {
            id: self.page,
            source: self.source,
            standing: self.standing,
            last_edited_time: self.last_edited_time,
            observed_at: match self.view {
                View::Page => self.observed_at,
                View::Query => self.observed_at - index_lag,
            },
            view: self.view,
            seen_by: Some(seen_by),
            missing_since: None,
            unfound_since: None,
            url: self.url.clone(),
            values,
        }
    }
}

impl CachedPage {
    /// Returns whether both say the same of the page, whenever and wherever they were seen.
    fn says_the_same_as(&self, other: &Self) -> bool {
        let Self {
            id,
            source,
            standing,
            last_edited_time,
            observed_at: _,
            view: _,
            seen_by: _,
            missing_since,
            unfound_since,
            url,
            values,
        } = self;
        (id, source, standing, last_edited_time) == (&other.id, &other.source, &other.standing, &other.last_edited_time)
            && (missing_since, unfound_since) == (&other.missing_since, &other.unfound_since)
            && (url, values) == (&other.url, &other.values)
    }
}

/// Returns whether a page was seen after `than`. What was seen in what is now the future orders nothing.
fn is_newer(known: &CachedPage, than: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    known.observed_at > than && !order::is_to_come(known.observed_at, now)
}

/// Returns how strong the best of some keys is.
fn best(claims: &[Candidate]) -> Option<Strength> {
    claims.iter().map(|claim| claim.key.prefix().strength()).max()
}

fn same_claims(before: &[Candidate], after: &[Candidate]) -> bool {
    let by_key = |claims: &[Candidate]| -> BTreeSet<_> {
        claims.iter().map(|claim| (claim.key.clone(), claim.origin)).collect()
    };
    by_key(before) == by_key(after)
}
