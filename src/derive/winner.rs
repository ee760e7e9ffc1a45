//! Who wins a key that several pages claim.

use std::{cmp::Reverse, collections::BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    derive::text,
    model::{
        entry::{CachedPage, Claim},
        page::Role,
    },
};

/// The statuses of companies that are to be left alone. Blanks at the ends and case make no difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub struct HardStatuses(BTreeSet<String>);

impl HardStatuses {
    /// Makes the list of the names that the CRM uses.
    pub fn new<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Self {
        let names = names.into_iter().map(|name| comparable(name.as_ref()));
        Self(names.filter(|name| !name.is_empty()).collect())
    }

    /// Returns whether a company with this status is to be left alone.
    pub fn is_hard(&self, status: &str) -> bool {
        self.0.contains(&comparable(status))
    }

    /// Returns whether the status of a page is one of these; an empty one is not.
    pub fn holds(&self, page: &CachedPage) -> bool {
        page.values.get(Role::Status).is_some_and(|status| self.is_hard(status))
    }
}

impl Default for HardStatuses {
    fn default() -> Self {
        Self::new(["Passed", "Lost"])
    }
}

impl From<Vec<String>> for HardStatuses {
    fn from(names: Vec<String>) -> Self {
        Self::new(names)
    }
}

impl From<HardStatuses> for Vec<String> {
    fn from(statuses: HardStatuses) -> Self {
        statuses.0.into_iter().collect()
    }
}

/// Picks the claim that the entry of a key shows: hard status before soft, then the later edit, then the smaller page id.
///
/// The order in which the claims are given makes no difference. Each source has its own hard statuses, so that the
/// caller says which claims are hard.
pub fn pick(claims: &[Claim], is_hard: impl Fn(&Claim) -> bool) -> Option<&Claim> {
    claims.iter().max_by_key(|claim| {
        (is_hard(claim), claim.page.last_edited_time, Reverse(claim.page.id), Reverse(claim.origin))
    })
}

fn comparable(status: &str) -> String {
    text::lower(&text::clean(status))
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::model::{
        entry::Standing,
        id::{DataSourceId, PageId},
        key::{Key, Origin},
        page::{Value, Values, View},
    };

    fn claim(page: u128, status: &str, edited_minute: i64) -> Claim {
        let mut values = Values::default();
        values.set(Role::Status, Value::text(status));
        let time = DateTime::UNIX_EPOCH + TimeDelta::minutes(edited_minute);
        Claim {
            key: Key::try_from("domain:acme.ai".to_owned()).unwrap(),
            origin: Origin::Website,
            page: CachedPage {
                id: PageId::from_uuid(Uuid::from_u128(page)),
                source: DataSourceId::from_uuid(Uuid::from_u128(1)),
                standing: Standing::Listed,
                last_edited_time: time,
                observed_at: time,
                view: View::Page,
                seen_by: None,
                missing_since: None,
                unfound_since: None,
                url: None,
                values,
            },
        }
    }

    #[test]
    fn hard_statuses_win_then_later_edits_then_smaller_ids() {
        let check = |claims: &[Claim], expected: usize| {
            let hard = HardStatuses::default();
            assert_eq!(pick(claims, |claim| hard.holds(&claim.page)), claims.get(expected));
        };
        check(&[], 0);
        check(&[claim(1, "", 0)], 0);
        check(&[claim(1, "Tracking", 9), claim(2, "passed ", 0)], 1);
        check(&[claim(1, "Lost", 0), claim(2, "Passed", 1)], 1);
        check(&[claim(2, "Tracking", 5), claim(1, "", 5)], 1);
        check(&[claim(1, "Tracking", 5), claim(2, "Tracking", 6)], 1);
    }

    #[test]
    fn statuses_are_compared_without_case_and_blanks() {
        let hard = HardStatuses::new(["Passed", " Do Not Contact ", ""]);
        for status in ["Passed", "PASSED", " passed\n", "do not contact"] {
            assert!(hard.is_hard(status), "{status}");
        }
        for status in ["", "Lost", "Passed on"] {
            assert!(!hard.is_hard(status), "{status}");
        }
        assert_eq!(serde_json::from_str::<HardStatuses>(r#"["LOST","passed"]"#).unwrap(), HardStatuses::default());
    }

    proptest! {
        #[test]
        fn the_order_of_the_claims_does_not_matter(
            claims in prop::collection::vec((0_u128..9, prop::sample::select(vec!["", "Lost", "New"]), 0_i64..3), 1..6)
        ) {
            let claims: Vec<Claim> = claims.into_iter().map(|(page, status, edited)| claim(page, status, edited)).collect();
            let back: Vec<Claim> = claims.iter().rev().cloned().collect();
            let hard = HardStatuses::default();
            let face = |claims: &[Claim]| pick(claims, |claim| hard.holds(&claim.page)).map(|claim| (claim.page.id, claim.page.last_edited_time));
            prop_assert_eq!(face(&claims), face(&back));
        }
    }
}
