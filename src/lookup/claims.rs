//! The claims on one key, best first, and in words why the first one wins.

use std::cmp::Reverse;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    derive::{
        self,
        winner::{self, Rank, Rule},
    },
    lookup::ground::Ground,
    model::{
        entry::{Claim, Door, STATUS_UNKNOWN},
        id::PageId,
        key::{Key, Origin},
        page::Role,
        verdict::Firmness,
    },
    store::{Published, Rows, StoreError},
};

/// As many claims are read at once: any number of pages may claim a key.
const BLOCK: u32 = 500;

/// Who claims a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Claims {
    /// How many pages claim it.
    pub pages: u64,
    /// The page that wins it; `None` where none claims it.
    pub winner: Option<PageId>,
    /// What decides between the winner and the next claim; `None` where there is no next one.
    pub decided_by: Option<Rule>,
    /// The same in words; `None` where no page claims it.
    pub why: Option<String>,
    /// The claims, best first: the next one takes the key when the winner goes. Of a key that very many pages claim,
    /// the first ones.
    pub claims: Vec<ListedClaim>,
}

/// A claim on a key: what its page said when it was last seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ListedClaim {
    /// The page.
    pub page: PageId,
    /// Its address.
    pub page_url: Option<String>,
    /// The company's name.
    pub company_name: Option<String>,
    /// The CRM's status, `Unknown` where it is empty.
    pub status: String,
    /// Whether its status is in the hard list.
    pub firmness: Firmness,
    /// Which property gave the key.
    pub origin: Origin,
    /// When the page was last edited, to the minute.
    pub last_edited_time: DateTime<Utc>,
    /// When the page was last seen so: sweeps that found it unchanged since are not noted here.
    pub seen_at: DateTime<Utc>,
    /// Which door brought that sighting; `None` where an older version stored it.
    pub seen_by: Option<Door>,
    /// Since when Notion has answered 404 for the page, if it does.
    pub missing_since: Option<DateTime<Utc>>,
    /// Since when complete sweeps do not find the page, if they do not: its row is left to expire.
    pub unfound_since: Option<DateTime<Utc>>,
    /// By which rule it stands behind the winner; `None` for the winner itself.
    pub loses_by: Option<Rule>,
}

/// Returns the page that a row of ours names: it may hold its key although complete sweeps do not find it.
pub(super) fn holder(row: Option<&Published>) -> Option<PageId> {
    match row {
        Some(Published::Entry(row)) => Some(row.page),
        Some(Published::Foreign { .. }) | None => None,
    }
}

/// Reads the best claims on a key, at most `claims_max` of them.
pub(super) fn read(
    rows: &mut dyn Rows,
    ground: &Ground,
    key: &Key,
    holder: Option<PageId>,
    claims_max: usize,
) -> Result<Claims, StoreError> {
    let count = rows.count_claims_on(key)?;
    let rank = |claim: &Claim| {
        let contends = winner::contends(&claim.page, count.found > 0, holder);
        Rank::of(claim, ground.is_hard(&claim.page)).if_it(contends)
    };
    let (mut best, mut after) = (Vec::new(), None);
    loop {
        let block = rows.some_claims_on(key, after, BLOCK)?;
        let Some(last) = block.last() else { break };
        after = Some(last.page.id);
        best.extend(block.into_iter().map(|claim| (rank(&claim), claim)));
        best.sort_by_key(|(rank, _)| Reverse(*rank));
        best.truncate(claims_max.max(2));
    }
    let why = match best.as_slice() {
        [] => None,
        [_] => Some("no other page claims the key".to_owned()),
        [first, next, ..] => Some(why(first, next)),
    };
    let winner = best.first().map(|(rank, _)| *rank);
    let decided_by = winner.and_then(|winner| best.get(1).and_then(|(next, _)| winner.decided_by(next)));
    best.truncate(claims_max);
    Ok(Claims {
        pages: count.total,
        winner: best.first().map(|(_, claim)| claim.page.id),
        decided_by,
        why,
        claims: best
            .into_iter()
            .map(|(rank, claim)| listed(ground, claim, winner.and_then(|winner| winner.decided_by(&rank))))
            .collect(),
    })
}

fn listed(ground: &Ground, claim: Claim, loses_by: Option<Rule>) -> ListedClaim {
    let Claim { key: _, origin, page } = claim;
    ListedClaim {
        page: page.id,
        company_name: page.values.get(Role::CompanyName).map(str::to_owned),
        status: page.values.get(Role::Status).unwrap_or(STATUS_UNKNOWN).to_owned(),
        firmness: if ground.is_hard(&page) { Firmness::Hard } else { Firmness::Soft },
        origin,
        last_edited_time: page.last_edited_time,
        seen_at: page.observed_at,
        seen_by: page.seen_by,
        missing_since: page.missing_since,
        unfound_since: page.unfound_since,
        page_url: page.url,
        loses_by,
    }
}

/// Says why the first of two claims stands before the next one.
fn why((rank, first): &(Rank, Claim), (next_rank, next): &(Rank, Claim)) -> String {
    let status = |claim: &Claim| derive::excerpt(claim.page.values.get(Role::Status).unwrap_or(STATUS_UNKNOWN));
    let edited = |claim: &Claim| claim.page.last_edited_time.format("%Y-%m-%d %H:%M UTC");
    match rank.decided_by(next_rank) {
        Some(Rule::Found) => "complete sweeps find its page, and not that of the next claim".to_owned(),
        Some(Rule::HardStatus) => {
            format!("hard status before soft: its page is {:?}, the next one {:?}", status(first), status(next))
        }
        Some(Rule::LaterEdit) => {
            format!("its page was edited later: {}, the next one {}", edited(first), edited(next))
        }
        Some(Rule::SmallerPageId) | None => {
            "both statuses are alike hard or soft and both were edited in the same minute: the smaller id wins"
                .to_owned()
        }
    }
}
