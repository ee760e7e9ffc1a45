//! Who wins a key that several pages claim, and by which rule.

use std::{cmp::Ordering, collections::BTreeSet};

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    derive::text,
    model::{
        entry::{CachedPage, Claim},
        id::PageId,
        key::Origin,
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

    /// Returns the list of both.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.0.extend(other.0.iter().cloned());
        self
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

/// What decides between two claims on a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// A page that complete sweeps find stands before one that they do not find.
    Found,
    /// A hard status stands before a soft one.
    HardStatus,
    /// The page that was edited later stands before the other one.
    LaterEdit,
    /// The page with the smaller id stands before the other one.
    SmallerPageId,
}

impl Rule {
    /// Every rule, in the order in which they are asked: the first one that sees a difference decides.
    pub const ALL: [Self; 4] = [Self::Found, Self::HardStatus, Self::LaterEdit, Self::SmallerPageId];

    /// Returns the name for machines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::HardStatus => "hard_status",
            Self::LaterEdit => "later_edit",
            Self::SmallerPageId => "smaller_page_id",
        }
    }
}

/// How a claim stands among those on the same key: the greatest one wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rank {
    contends: bool,
    is_hard: bool,
    last_edited_time: DateTime<Utc>,
    page: PageId,
    origin: Origin,
}

impl Rank {
    /// Ranks a claim that contends for its key. Each source has its own hard statuses, so that the caller says whether
    /// it is hard.
    pub const fn of(claim: &Claim, is_hard: bool) -> Self {
        let CachedPage { id: page, last_edited_time, .. } = claim.page;
        Self { contends: true, is_hard, last_edited_time, page, origin: claim.origin }
    }

    /// Returns the rank of the same claim where it contends for its key only if `contends` ([`contends`]).
    #[must_use]
    pub const fn if_it(self, contends: bool) -> Self {
        Self { contends, ..self }
    }

    /// Returns the rule that decides between two ranks: the first one that sees a difference.
    pub fn decided_by(&self, other: &Self) -> Option<Rule> {
        Rule::ALL.into_iter().find(|rule| self.by(*rule, other).is_ne())
    }

    /// Compares by one rule alone.
    fn by(&self, rule: Rule, other: &Self) -> Ordering {
        match rule {
            Rule::Found => self.contends.cmp(&other.contends),
            Rule::HardStatus => self.is_hard.cmp(&other.is_hard),
            Rule::LaterEdit => self.last_edited_time.cmp(&other.last_edited_time),
            // A page has one claim on a key; the origin only makes the order of any claims a total one.
            Rule::SmallerPageId => (other.page, other.origin).cmp(&(self.page, self.origin)),
        }
    }
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> Ordering {
        self.decided_by(other).map_or(Ordering::Equal, |rule| self.by(rule, other))
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Returns whether the claim of a page contends for its key.
///
/// A page that complete sweeps do not find holds its key until its row is due (then it is `holder`). After that, a page
/// that they do find has it, where there is one (`any_found`).
pub fn contends(page: &CachedPage, any_found: bool, holder: Option<PageId>) -> bool {
    !any_found || page.unfound_since.is_none() || Some(page.id) == holder
}

/// Picks the claim that the entry of a key shows, of those that contend for it.
///
/// Hard status before soft, then the later edit, then the smaller page id. The order in which the claims are given makes
/// no difference.
pub fn pick(claims: &[Claim], is_hard: impl Fn(&Claim) -> bool) -> Option<&Claim> {
    claims.iter().max_by_key(|claim| Rank::of(claim, is_hard(claim)))
}

/// Brings a status to the form in which statuses are compared: blanks at the ends and case make no difference.
pub fn comparable(status: &str) -> String {
    text::lower(&text::clean(status))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::model::{
        entry::Standing,
        id::DataSourceId,
        key::Key,
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
    fn a_page_that_sweeps_do_not_find_contends_only_where_none_is_found_or_its_row_is_not_due() {
        let found = claim(1, "", 0).page;
        let lost = CachedPage { unfound_since: Some(DateTime::UNIX_EPOCH), ..claim(2, "", 0).page };
        for (page, any_found, holder, expected) in [
            (&found, true, None, true),
            (&found, true, Some(lost.id), true),
            (&lost, true, None, false),
            (&lost, true, Some(found.id), false),
            (&lost, true, Some(lost.id), true),
            (&lost, false, None, true),
        ] {
            assert_eq!(contends(page, any_found, holder), expected, "{page:?} {any_found} {holder:?}");
        }
    }

    #[test]
    fn rules_are_stored_by_their_names() {
        for rule in Rule::ALL {
            assert_eq!(serde_json::json!(rule), rule.name());
        }
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

        /// The reason is checked against the fields themselves, by other code than the one that picks.
        #[test]
        fn the_reason_names_a_rule_that_alone_decides_for_the_winner(
            claims in prop::collection::btree_map(0_u128..9, (prop::sample::select(vec!["", "Lost", "New"]), 0_i64..3, any::<bool>()), 1..6)
        ) {
            let claims: Vec<(Claim, bool)> = claims.into_iter().map(|(page, (status, edited, contends))| (claim(page, status, edited), contends)).collect();
            let rank = |(claim, contends): &(Claim, bool)| Rank::of(claim, claim.page.values.get(Role::Status) == Some("Lost")).if_it(*contends);
            let winner = claims.iter().max_by_key(|claim| rank(claim)).unwrap();
            for other in claims.iter().filter(|other| other.0.page.id != winner.0.page.id) {
                let (w, o) = (&winner.0.page, &other.0.page);
                let is_lost = |page: &CachedPage| page.values.get(Role::Status) == Some("Lost");
                let equal = [winner.1 == other.1, is_lost(w) == is_lost(o), w.last_edited_time == o.last_edited_time, false];
                let (rule, decides) = match rank(winner).decided_by(&rank(other)).unwrap() {
                    Rule::Found => (0, winner.1 && !other.1),
                    Rule::HardStatus => (1, is_lost(w) && !is_lost(o)),
                    Rule::LaterEdit => (2, w.last_edited_time > o.last_edited_time),
                    Rule::SmallerPageId => (3, w.id < o.id),
                };
                prop_assert!(decides && equal[..rule].iter().all(|equal| *equal) && !equal[rule], "{:?} {:?}", winner, other);
            }
        }
    }
}
