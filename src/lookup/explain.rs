//! Why a key is as it is: its row, who claims it, who wins and why, and every change of it with its cause.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    derive,
    lookup::{
        Lookup, LookupError, Question, candidates,
        claims::{self, Claims},
        ground::Ground,
        history::{self, History},
        listing::ListedEvent,
        possible::Offers,
    },
    model::{
        entry::Standing,
        id::PageId,
        key::{Key, Prefix, Strength},
        page::Role,
        verdict::{Firmness, Verdict},
    },
    nearest::nearest,
    store::{Published, Rows, Store, StoreError},
};

/// A text may hold many keys; as many are explained.
const KEYS_MAX: usize = 32;

/// As many claims on a key are listed.
const CLAIMS_MAX: usize = 100;

/// As many pages that held a key before are listed, the last ones.
const FORMER_MAX: usize = 20;

/// Of as many pages the events that wait are looked for, and as many events of each.
const PENDING_MAX: u32 = 20;

/// A key that somebody may have meant is looked for among as many that begin alike.
const ALIKE_MAX: u32 = 500;

/// So many letters of a key's value are taken for right when it is looked for one that was meant.
const ALIKE_CHARS: usize = 3;

/// Why a question is answered as it is.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Explanation {
    /// What was asked.
    pub asked: String,
    /// When this was answered.
    pub at: DateTime<Utc>,
    /// What `check` answers.
    pub verdict: Verdict,
    /// Each key that the text gives, in order of trust; of very many the first ones.
    pub keys: Vec<ExplainedKey>,
}

/// Why a key is as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ExplainedKey {
    /// The key.
    pub key: Key,
    /// How surely it names one company.
    pub strength: Strength,
    /// The row of `suppression_cache`; `None` where there is none.
    pub row: Option<PublishedRow>,
    /// Who claims it.
    #[serde(flatten)]
    pub claims: Claims,
    /// Pages that held it and do not claim it any more, as far as the history tells.
    pub former: Vec<FormerPage>,
    /// Events about these pages that wait or are parked: the row is as the pages were before.
    pub pending: Vec<ListedEvent>,
    /// How it came to be so.
    #[serde(flatten)]
    pub history: History,
    /// What else a person may want to know.
    pub notes: Vec<String>,
    /// Where nothing is known of the key: one that may have been meant.
    pub nearest: Option<Key>,
}

/// A row of `suppression_cache`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PublishedRow {
    /// The page that it names; `None` where another program wrote the row and named no page.
    pub page: Option<PageId>,
    /// The page's address.
    pub page_url: Option<String>,
    /// The company's name.
    pub company_name: Option<String>,
    /// The status.
    pub status: String,
    /// Whether the status is in the hard list.
    pub firmness: Firmness,
    /// Which door brought the row: `webhook`, `sweep`, `replay` or `lookup`; `other` where another program wrote it.
    pub synced_from: String,
    /// When it was last confirmed in writing; `None` where another program wrote it.
    pub cached_at: Option<DateTime<Utc>>,
    /// When it stops to count, unless it is confirmed before; `None` where that cannot be read.
    pub expires_at: Option<DateTime<Utc>>,
    /// Whether it has expired.
    pub is_expired: bool,
}

/// A page that held a key before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FormerPage {
    /// The page.
    pub page: PageId,
    /// Its address.
    pub page_url: Option<String>,
    /// The company's name, as it was last seen.
    pub company_name: Option<String>,
    /// Where it stands; `None` where nothing is stored of it.
    pub standing: Option<Standing>,
    /// Whether the values that it had when it was last seen would give the key.
    pub would_claim: bool,
    /// Why it does not claim the key.
    pub why: String,
}

impl<S: Store> Lookup<S> {
    /// Explains each key that a text gives, with at most `changes_max` changes of each, from one consistent view.
    pub async fn explain(&self, text: String, changes_max: u32) -> Result<Explanation, LookupError> {
        let lookup = self.clone();
        self.store.read(move |rows| Ok(lookup.explain_from(rows, text, changes_max))).await?
    }

    fn explain_from(&self, rows: &mut dyn Rows, text: String, changes_max: u32) -> Result<Explanation, LookupError> {
        let question = Question::Text(text.clone());
        let in_force = self.rules.load_full();
        let (candidates, unusable) = candidates(&question, &in_force.rules)?;
        let at = self.clock.now();
        let ground = self.ground_for(rows, (at, self.settings.max_age), &in_force)?;
        let mut keys = Vec::new();
        for candidate in candidates.iter().take(KEYS_MAX) {
            keys.push(self.explain_key(rows, &ground, candidate.key.clone(), changes_max)?);
        }
        let mut verdict = Verdict { unusable, ..ground.verdict(rows, candidates)?.verdict };
        Offers::new(&self.names).add(rows, &ground, &question, &mut verdict)?;
        Ok(Explanation { asked: text, at, verdict, keys })
    }

    fn explain_key(
        &self,
        rows: &mut dyn Rows,
        ground: &Ground,
        key: Key,
        changes_max: u32,
    ) -> Result<ExplainedKey, StoreError> {
        let row = rows.entry(&key)?;
        let holder = claims::holder(row.as_ref());
        let claims = claims::read(rows, ground, &key, holder, CLAIMS_MAX)?;
        let history = history::read(rows, &key, holder.is_some(), changes_max)?;
        let row = row.map(|row| published(row, ground, self.clock.now()));
        let former = self.former(rows, &key, row.as_ref(), &history)?;
        let mut explained = ExplainedKey {
            strength: key.prefix().strength(),
            row,
            pending: pending(rows, &claims, &former)?,
            claims,
            former,
            history,
            notes: Vec::new(),
            nearest: None,
            key,
        };
        if explained.is_unknown() {
            explained.nearest = meant(rows, &explained.key)?;
        }
        explained.notes = explained.notes(holder);
        Ok(explained)
    }

    /// Lists pages that the history or the row names, and that do not claim the key.
    fn former(
        &self,
        rows: &mut dyn Rows,
        key: &Key,
        row: Option<&PublishedRow>,
        history: &History,
    ) -> Result<Vec<FormerPage>, StoreError> {
        let faces = history.history.iter().flat_map(|change| [&change.to, &change.from]).flatten();
        let named = row.and_then(|row| row.page).into_iter().chain(faces.map(|face| face.page));
        let (mut seen, mut former) = (BTreeSet::new(), Vec::new());
        for id in named {
            if former.len() == FORMER_MAX || !seen.insert(id) || rows.claims_of(id)?.iter().any(|it| it.key == *key) {
                continue;
            }
            let known = rows.page(id)?;
            let derived = known.as_ref().map(|page| derive::values_candidates(&page.values, &self.rules.load().rules));
            let standing = known.as_ref().map(|page| page.standing);
            former.push(FormerPage {
                page: id,
                page_url: known.as_ref().and_then(|page| page.url.clone()),
                company_name: known.as_ref().and_then(|page| page.values.get(Role::CompanyName)).map(str::to_owned),
                standing,
                would_claim: derived.is_some_and(|derived| derived.candidates.iter().any(|it| it.key == *key)),
                why: gone(standing).to_owned(),
            });
        }
        Ok(former)
    }
}

impl ExplainedKey {
    /// Returns whether nothing is known of the key: no row, no claim, no change.
    pub const fn is_unknown(&self) -> bool {
        self.row.is_none() && self.claims.claims.is_empty() && self.history.history.is_empty()
    }

    /// Says what does not follow from the rows by itself.
    fn notes(&self, holder: Option<PageId>) -> Vec<String> {
        let mut notes = Vec::new();
        if self.is_unknown() {
            notes.push(
                "no page of the CRM claims it, no row is published under it, and no change of one is known".to_owned(),
            );
            notes.push(match &self.nearest {
                Some(key) => format!("a key that is like it is claimed: ask for {key} if that was meant"),
                None => "pages claim the keys that their values give: `suppressd keys VALUE` shows those of a value"
                    .to_owned(),
            });
            return notes;
        }
        match (&self.row, self.claims.winner) {
            (Some(_), None) if holder.is_none() => {
                notes.push("another program wrote the row, and no page claims the key: it is left alone".to_owned());
            }
            (Some(_), Some(_)) if holder.is_none() => {
                notes.push(
                    "another program wrote the row: it is replaced when a page that claims the key is looked at"
                        .to_owned(),
                );
            }
            (Some(_), None) => {
                notes.push("no page claims the key: a complete sweep deletes the row once it has expired".to_owned());
            }
            (Some(_), winner) if winner != holder => {
                notes.push(
                    "the row names another page than the winner: it follows when one of them is looked at".to_owned(),
                );
            }
            (None, Some(_)) => {
                notes.push("there is no row, although a page claims the key: a sweep publishes it".to_owned());
            }
            _ => (),
        }
        if self.row.as_ref().is_some_and(|row| row.is_expired) {
            notes.push("the row has expired without being confirmed: run `suppressd reconcile`".to_owned());
        }
        if !self.pending.is_empty() {
            notes
                .push("events about its pages wait or are parked: the row is as the pages were before them".to_owned());
        }
        notes
    }
}

fn published(row: Published, ground: &Ground, now: DateTime<Utc>) -> PublishedRow {
    match row {
        Published::Entry(row) => PublishedRow {
            firmness: ground.firmness(Some(row.metadata.source), &row.status),
            page: Some(row.page),
            page_url: row.metadata.page_url,
            company_name: row.company_name,
            status: row.status,
            synced_from: row.metadata.synced_from,
            cached_at: Some(row.cached_at),
            expires_at: Some(row.expires_at),
            is_expired: row.expires_at <= now,
        },
        Published::Foreign { page, status, company_name, expires_at } => PublishedRow {
            firmness: ground.firmness(None, &status),
            page: page.parse().ok(),
            page_url: None,
            company_name,
            status,
            synced_from: "other".to_owned(),
            cached_at: None,
            expires_at,
            is_expired: expires_at.is_none_or(|at| at <= now),
        },
    }
}

fn pending(rows: &mut dyn Rows, claims: &Claims, former: &[FormerPage]) -> Result<Vec<ListedEvent>, StoreError> {
    let claiming = claims.claims.iter().map(|claim| claim.page);
    let pages = claiming.take(PENDING_MAX as usize).chain(former.iter().map(|page| page.page));
    let mut pending = Vec::new();
    for page in pages {
        pending.extend(rows.pending_about(page, PENDING_MAX)?.iter().map(ListedEvent::from));
    }
    Ok(pending)
}

const fn gone(standing: Option<Standing>) -> &'static str {
    match standing {
        Some(Standing::Listed) => "it is a row of the CRM, and its values do not give the key any more",
        Some(Standing::Trashed) => "it was seen in the trash",
        Some(Standing::MovedOut) => "it was seen outside of the table",
        Some(Standing::Gone) => "Notion said that it was deleted, and then answered 404",
        Some(Standing::Lost) => "complete sweeps did not find it for as long as its rows counted",
        None => "nothing is stored of it",
    }
}

/// Returns a claimed key that somebody may have meant: the same name under another suffix, or one that is spelt nearly so.
fn meant(rows: &mut dyn Rows, key: &Key) -> Result<Option<Key>, StoreError> {
    let prefix = key.prefix();
    let start: String = key.value().chars().take(ALIKE_CHARS).collect();
    let from = format!("{}:{start}", prefix.name());
    let alike = rows.claimed_between(&from, &format!("{from}{}", char::MAX), ALIKE_MAX)?;
    let label = |key: &Key| key.value().split('.').next().map(str::to_owned);
    if prefix == Prefix::Domain
        && let Some(same) = alike.iter().find(|other| label(other) == label(key))
    {
        return Ok(Some(same.clone()));
    }
    let meant = nearest(key.value(), alike.iter().map(Key::value)).map(str::to_owned);
    Ok(meant.and_then(|value| Key::new(&prefix, &value)))
}
