//! Keys that several pages hold, each with all its claims.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    lookup::{
        Lookup,
        claims::{self, Claims},
        issues::{ANY_NUMBER, CROWD},
    },
    model::key::{Key, Strength},
    store::{Store, StoreError},
};

/// As many claims on one key are listed.
const CLAIMS_MAX: usize = 100;

/// Keys that several pages hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Conflicts {
    /// How many there are, listed here or not.
    pub total: u64,
    /// How many of them five pages hold or more.
    pub crowded: u64,
    /// They, in the order of the keys, as many as were asked for.
    pub conflicts: Vec<Conflict>,
    /// What to ask for the keys after these; `None` where these are the last ones.
    pub next: Option<String>,
}

/// A key that several pages hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Conflict {
    /// The key.
    pub key: Key,
    /// How surely it names one company.
    pub strength: Strength,
    /// Whether five pages hold it or more: it is probably on a host that many companies share.
    pub is_crowded: bool,
    /// Who claims it.
    #[serde(flatten)]
    pub claims: Claims,
}

impl<S: Store> Lookup<S> {
    /// Lists keys that several pages hold, from after the key `after`, at most `limit`, from one consistent view.
    pub async fn conflicts(&self, after: Option<String>, limit: u32) -> Result<Conflicts, StoreError> {
        let lookup = self.clone();
        self.store
            .read(move |rows| {
                let at = lookup.clock.now();
                let ground = lookup.ground_for(rows, (at, lookup.settings.max_age), &lookup.rules.load())?;
                let (duplicates, crowded) = rows.count_contested(CROWD)?;
                let mut keys = rows.contested(after.as_deref(), 2..ANY_NUMBER, limit.saturating_add(1))?;
                let has_more = keys.len() > limit as usize;
                keys.truncate(limit as usize);
                let next = keys.last().filter(|_| has_more).map(Key::to_string);
                let mut conflicts = Vec::with_capacity(keys.len());
                for key in keys {
                    let row = rows.entry(&key)?;
                    let claims = claims::read(rows, &ground, &key, claims::holder(row.as_ref()), CLAIMS_MAX)?;
                    let (strength, is_crowded) = (key.prefix().strength(), claims.pages >= CROWD);
                    conflicts.push(Conflict { key, strength, is_crowded, claims });
                }
                Ok(Conflicts { total: duplicates + crowded, crowded, conflicts, next })
            })
            .await
    }
}
