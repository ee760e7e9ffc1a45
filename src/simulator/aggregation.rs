//! How Notion makes one event of several: per entity, within a short window, down to what is left of them («EV»).

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    model::event::EventKind,
    simulator::event::{Detail, Entity, Event},
};

/// Aggregates `told`, which is in the order of its making.
///
/// Returns the events that are left, and those whose window began after `open_since` and is therefore still open.
pub(crate) fn aggregate(
    told: Vec<Event>,
    window: Duration,
    open_since: Option<DateTime<Utc>>,
) -> (Vec<Event>, Vec<Event>) {
    let window = TimeDelta::from_std(window).unwrap_or(TimeDelta::MAX);
    let mut groups: Vec<Vec<Event>> = Vec::new();
    let mut latest: HashMap<Entity, usize> = HashMap::new();
    for event in told {
        let group = latest.get(&event.entity).and_then(|at| groups.get_mut(*at));
        match group {
            Some(group) if group.first().is_some_and(|first| event.at - first.at <= window) => group.push(event),
            _ => {
                latest.insert(event.entity, groups.len());
                groups.push(vec![event]);
            }
        }
    }
    let is_open = |group: &Vec<Event>| match (group.first(), open_since) {
        (Some(first), Some(since)) => first.at > since,
        _ => false,
    };
    let (open, closed): (Vec<_>, Vec<_>) = groups.into_iter().partition(is_open);
    (closed.into_iter().flat_map(collapse).collect(), open.into_iter().flatten().collect())
}

/// What a group of events of one entity comes to.
fn collapse(group: Vec<Event>) -> Vec<Event> {
    let (mut left, mut passed): (Vec<Event>, Vec<Event>) = (Vec::new(), Vec::new());
    for event in group {
        if !is_aggregated(&event.kind) {
            passed.push(event);
        } else if let Some(undone) = left.iter().position(|earlier| undoes(&event.kind, &earlier.kind)) {
            // It ends where it began. A page that came and went within the window was never there.
            let undone = left.remove(undone);
            if is_creation(&undone.kind) {
                left.clear();
            }
        } else if let Some(same) = left.iter_mut().find(|earlier| earlier.kind == event.kind) {
            merge(same, event);
        } else {
            left.push(event);
        }
    }
    // Whoever hears of the creation or the end of a thing reads it whole, or not at all.
    let whole = left.iter().position(|event| is_creation(&event.kind) || is_deletion(&event.kind));
    if let Some(at) = whole {
        left = vec![left.swap_remove(at)];
    }
    passed.extend(left);
    passed
}

/// Takes what a later event of the same kind says into an earlier one.
fn merge(earlier: &mut Event, later: Event) {
    earlier.at = later.at;
    earlier.parent = later.parent;
    match (&mut earlier.detail, later.detail) {
        (Detail::Properties(ids), Detail::Properties(more)) => add_new(ids, more),
        (Detail::Blocks(ids), Detail::Blocks(more)) => add_new(ids, more),
        (Detail::Schema(changes), Detail::Schema(more)) => add_new(changes, more),
        _ => (),
    }
}

fn add_new<T: PartialEq>(known: &mut Vec<T>, more: Vec<T>) {
    for item in more {
        if !known.contains(&item) {
            known.push(item);
        }
    }
}

/// Locks are told one by one.
const fn is_aggregated(kind: &EventKind) -> bool {
    !matches!(kind, EventKind::PageLocked | EventKind::PageUnlocked)
}

const fn is_creation(kind: &EventKind) -> bool {
    matches!(kind, EventKind::PageCreated | EventKind::DataSourceCreated)
}

const fn is_deletion(kind: &EventKind) -> bool {
    matches!(kind, EventKind::PageDeleted | EventKind::DataSourceDeleted)
}

const fn undoes(later: &EventKind, earlier: &EventKind) -> bool {
    matches!(
        (earlier, later),
        (EventKind::PageDeleted, EventKind::PageUndeleted)
            | (EventKind::PageUndeleted | EventKind::PageCreated, EventKind::PageDeleted)
            | (EventKind::DataSourceDeleted, EventKind::DataSourceUndeleted)
            | (EventKind::DataSourceUndeleted | EventKind::DataSourceCreated, EventKind::DataSourceDeleted)
    )
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{model::id::PageId, simulator::event::Parent};

    const CREATED: EventKind = EventKind::PageCreated;
    const EDITED: EventKind = EventKind::PagePropertiesUpdated;
    const DELETED: EventKind = EventKind::PageDeleted;
    const RESTORED: EventKind = EventKind::PageUndeleted;

    fn event(second: i64, kind: EventKind, property: &str) -> Event {
        let page = PageId::from_uuid(Uuid::from_u128(1));
        let detail = if kind == EDITED { Detail::Properties(vec![property.to_owned()]) } else { Detail::None };
        let at = DateTime::from_timestamp(1_000_000 + second, 0).unwrap();
        let id = Uuid::from_u128(1 + u128::try_from(second).unwrap());
        Event { id, kind, at, entity: Entity::Page(page), parent: Parent::Page(page), detail }
    }

    #[track_caller]
    fn check(kinds: &[EventKind], expected: &[EventKind]) {
        let told = (0..).zip(kinds).map(|(second, kind)| event(second, kind.clone(), "a")).collect();
        let (left, open) = aggregate(told, Duration::from_mins(1), None);
        assert_eq!(left.into_iter().map(|event| event.kind).collect::<Vec<_>>(), expected);
        assert_eq!(open, []);
    }

    #[test]
    fn what_ends_where_it_began_is_not_told() {
        check(&[DELETED, RESTORED], &[]);
        check(&[RESTORED, DELETED], &[]);
        check(&[CREATED, DELETED], &[]);
        check(&[CREATED, EDITED, DELETED], &[]);
        check(&[DELETED, RESTORED, DELETED], &[DELETED]);
    }

    #[test]
    fn the_most_meaningful_event_is_left() {
        check(&[CREATED, EDITED, EDITED], &[CREATED]);
        check(&[EDITED, DELETED], &[DELETED]);
        check(&[DELETED, RESTORED, EDITED], &[EDITED]);
        check(&[RESTORED, EDITED], &[RESTORED, EDITED]);
    }

    #[test]
    fn locks_are_told_one_by_one() {
        check(&[EventKind::PageLocked, EventKind::PageUnlocked], &[EventKind::PageLocked, EventKind::PageUnlocked]);
    }

    #[test]
    fn edits_become_one_that_names_every_property() {
        let told = vec![event(0, EDITED, "a"), event(1, EDITED, "b"), event(2, EDITED, "a")];
        let (left, _) = aggregate(told, Duration::from_mins(1), None);
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].detail, Detail::Properties(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(left[0].at, event(2, EDITED, "a").at);
    }

    #[test]
    fn a_window_ends() {
        let told = vec![event(0, EDITED, "a"), event(60, EDITED, "b"), event(61, EDITED, "c")];
        let (left, _) = aggregate(told, Duration::from_mins(1), None);
        assert_eq!(left.len(), 2);
    }

    #[test]
    fn an_open_window_stays_open() {
        let told = vec![event(0, EDITED, "a"), event(100, EDITED, "b")];
        let (left, open) = aggregate(told, Duration::from_mins(1), Some(event(50, EDITED, "").at));
        assert_eq!((left.len(), open.len()), (1, 1));
    }
}
