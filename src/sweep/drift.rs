//! In which way the cache was different where a sweep changed it.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    cache::Applied,
    model::{
        entry::{CachedPage, Change, Standing},
        sighting::Sighting,
        sweep::{Drift, DriftKind, Told},
    },
};

/// Notion tells the minute of an edit.
const MINUTE: TimeDelta = TimeDelta::minutes(1);

/// Returns the difference that a sighting brought to light, if people would see one in the rows: what it changed there.
pub(super) fn found(
    earlier: Option<&CachedPage>,
    sighting: &Sighting,
    (applied, changes): (Applied, &[Change]),
    (now, proven_before): (DateTime<Utc>, Option<DateTime<Utc>>),
) -> Option<Drift> {
    let first = changes.first()?;
    let came = changes.iter().any(|change| change.from.is_none());
    let went = changes.iter().any(|change| change.to.is_none());
    let was_listed = earlier.is_some_and(|earlier| earlier.standing == Standing::Listed);
    let kind = match (applied, came, went) {
        (Applied::Removed, ..) => DriftKind::ShouldHaveGone,
        (_, true, false) if !was_listed => DriftKind::MissingRow,
        // A page that is as it was, without its row: somebody else took that away or wrote over it.
        (_, true, false) if same_values(earlier, sighting) => DriftKind::MissingRow,
        (_, true, _) | (_, _, true) => DriftKind::KeyChanged,
        (_, false, false) => DriftKind::StaleRow,
    };
    // What an event told before the last proof, that proof has shown. Where it did not, it told something else.
    let proven_at = earlier.map(|earlier| earlier.observed_at).filter(|at| *at <= now).unwrap_or_default();
    let since = match kind {
        // Whether the trash counts as an edit is not known.
        DriftKind::ShouldHaveGone => proven_at,
        DriftKind::MissingRow | DriftKind::StaleRow | DriftKind::KeyChanged => proven_at.max(sighting.last_edited_time),
    };
    let key = Some(first.key.as_str().to_owned());
    let told = untold(earlier, sighting, kind, proven_before);
    Some(Drift { page: sighting.page, kind, key, since, found_at: now, told, class: told.class() })
}

/// Says whether an event should have told a difference, in case that none did.
///
/// What cannot be known counts as something that should have been told: an edit within the minute in which the page was
/// seen last does not show in its time.
fn untold(
    earlier: Option<&CachedPage>,
    sighting: &Sighting,
    kind: DriftKind,
    proven_before: Option<DateTime<Utc>>,
) -> Told {
    // A complete sweep saw every page as the cache has it.
    let seen_at = earlier.map(|earlier| earlier.observed_at).max(proven_before);
    let minute_after = sighting.last_edited_time.checked_add_signed(MINUTE).unwrap_or(sighting.last_edited_time);
    match earlier {
        _ if kind == DriftKind::ShouldHaveGone => Told::Never,
        Some(earlier) if earlier.standing != Standing::Listed => Told::Never,
        Some(_) if same_values(earlier, sighting) => Told::Rewritten,
        Some(earlier) if earlier.last_edited_time == sighting.last_edited_time && seen_at >= Some(minute_after) => {
            Told::Unedited
        }
        None if seen_at >= Some(minute_after) => Told::Uncovered,
        Some(_) | None => Told::Never,
    }
}

fn same_values(earlier: Option<&CachedPage>, sighting: &Sighting) -> bool {
    earlier.is_some_and(|earlier| {
        let mut values = sighting.values.clone();
        values.carry_forward(&earlier.values);
        earlier.values == values
    })
}
