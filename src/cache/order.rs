//! Which of two sightings of a page is the newer one.
//!
//! `last_edited_time` is floored to the minute, so it orders edits of different minutes only. Within a minute the
//! instant of the look decides. A query answers from an index that can trail the live page, so what it shows counts
//! as seen `index_lag` earlier. The cases, with what was applied before as A and the sighting as B:
//!
//! 1. nothing was applied: B is newer;
//! 2. B was edited in an earlier minute than A: B is older, however late it was seen;
//! 3. B was edited in a later minute: B is newer, even from a lagging index, because an index invents no edits;
//! 4. same minute, B seen at or after A: B is newer;
//! 5. same minute, B seen before A: B is older. But where a query was in truth asked after A and shows something
//!    else, the difference may be a lagging index **or** an edit of that minute which A missed: only the page decides;
//! 6. A was edited a year or more from now: no edit can ever be later, so that its date orders nothing. With a clock
//!    that was set back by less, dates of edits are those of Notion's clock and go on ordering; with one that is a year
//!    behind, Notion's certificate is not valid, and it cannot be asked at all;
//! 7. same minute, and A was seen in what is now the future: the clock was set back since, and the date of A orders
//!    nothing. B is newer, since it comes later.

use chrono::{DateTime, TimeDelta, Utc};

use crate::model::{entry::CachedPage, page::View, sighting::Sighting};

/// Whoever looked while `now` was on its way to the database is ahead of it by less than this.
const AHEAD_MAX: TimeDelta = TimeDelta::minutes(1);

/// An edit that lies further ahead never happened.
const EDITED_AHEAD_MAX: TimeDelta = TimeDelta::days(366);

/// Returns whether a look lies in the future, because the clock was set back since: its date orders nothing.
pub(super) fn is_to_come(observed_at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    observed_at - now > AHEAD_MAX
}

/// What a sighting is to what was applied before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Newer,
    Older,
    Doubtful,
}

/// Judges `sighting`, which would be stored as `page`, against what was applied before.
pub(super) fn judge(
    earlier: Option<&CachedPage>,
    page: &CachedPage,
    sighting: &Sighting,
    index_lag: TimeDelta,
    now: DateTime<Utc>,
) -> Order {
    let Some(earlier) = earlier else { return Order::Newer };
    let edits = page.last_edited_time.cmp(&earlier.last_edited_time);
    let looks = page.observed_at.cmp(&earlier.observed_at);
    if earlier.last_edited_time - now > EDITED_AHEAD_MAX {
        return Order::Newer;
    }
    match edits.then(looks) {
        _ if edits.is_eq() && is_to_come(earlier.observed_at, now) => Order::Newer,
        std::cmp::Ordering::Greater | std::cmp::Ordering::Equal => Order::Newer,
        std::cmp::Ordering::Less if edits.is_lt() => Order::Older,
        std::cmp::Ordering::Less => {
            let asked_after = sighting.view == View::Query && page.observed_at + index_lag >= earlier.observed_at;
            if asked_after && !earlier.says_the_same_as(page) { Order::Doubtful } else { Order::Older }
        }
    }
}
