//! The keys that a company's identifiers give, as every door shows them.

use std::{cmp::Reverse, collections::HashSet};

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    derive::{self, Derived, Rules},
    model::{
        key::{Candidate, Key, Origin, Strength},
        verdict::Company,
    },
};

/// The keys under which a lookup would search.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Keys {
    /// The keys, in order of trust.
    pub keys: Vec<ListedKey>,
    /// What gives no key, and why.
    pub unusable: Vec<String>,
}

/// A key for machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ListedKey {
    /// The key.
    pub key: Key,
    /// How surely it names one company.
    pub strength: Strength,
    /// How far it is trusted among the keys of a company; more is better.
    pub trust: u8,
    /// What gave it.
    pub origin: Origin,
}

impl From<&Candidate> for ListedKey {
    fn from(candidate: &Candidate) -> Self {
        let prefix = candidate.key.prefix();
        Self {
            key: candidate.key.clone(),
            strength: prefix.strength(),
            trust: prefix.trust(),
            origin: candidate.origin,
        }
    }
}

/// Returns the keys of all values, each by itself, and of a company, with what gives none.
pub fn keys(values: &[String], company: &Company, rules: &Rules) -> Keys {
    let mut derived: Vec<Derived> = values.iter().map(|value| derive::text_candidates(value, rules)).collect();
    if *company != Company::default() {
        derived.push(derive::company_candidates(company, rules));
    }
    let (mut keys, mut known) = (Keys::default(), HashSet::new());
    for one in &derived {
        let new = one.candidates.iter().filter(|candidate| known.insert(candidate.key.as_str()));
        keys.keys.extend(new.map(ListedKey::from));
        keys.unusable.extend(one.unused.iter().map(ToString::to_string));
    }
    // Each value has its own in order of trust; among equals they stay as the values stand.
    keys.keys.sort_by_key(|key| Reverse(key.trust));
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_all_come_once_in_order_of_trust_with_what_gives_none() {
        let values = ["github.com/acme".to_owned(), "acme.ai".to_owned(), "www.acme.ai".to_owned(), "?".to_owned()];
        let company = Company { companies_house: Some("1234567".to_owned()), ..Company::default() };
        let found = keys(&values, &company, &Rules::default());
        let shown: Vec<_> = found.keys.iter().map(|key| (key.key.as_str(), key.trust)).collect();
        assert_eq!(
            shown,
            [
                ("domain:acme.ai", 100),
                ("companies_house:1234567", 95),
                ("companies_house:01234567", 95),
                ("github_org:acme", 50)
            ]
        );
        assert_eq!(found.unusable.len(), 1, "{found:?}");
    }
}
