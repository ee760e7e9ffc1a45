//! Where a source is parted, so that several windows of it can be read side by side.

use chrono::{DateTime, Utc};

use crate::{
    model::id::DataSourceId,
    store::{Rows, StoreError},
};

/// Sources with fewer pages than this are read in one window: a few requests need no company.
const PAGES_MIN: u64 = 1_000;

/// Creation times that are kept to part a source by: enough for windows of nearly the same size.
const KEPT_MAX: usize = 512;

/// Rows that were created from `since` on and until `until`, as far as these are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) since: Option<DateTime<Utc>>,
    pub(super) until: Option<DateTime<Utc>>,
}

impl Span {
    /// All rows.
    pub(super) const WHOLE: Self = Self { since: None, until: None };
}

/// Parts a source at `seams` into at most `windows` spans. Neighbours share the minute of their seam.
pub(super) fn parted(seams: &[DateTime<Utc>], pages: u64, windows: usize) -> Vec<Span> {
    if pages < PAGES_MIN || windows < 2 || seams.is_empty() {
        return vec![Span::WHOLE];
    }
    let step = |nth: usize| seams.get(nth * seams.len() / windows).copied();
    let mut cuts: Vec<_> = (1..windows).filter_map(step).collect();
    cuts.dedup();
    let starts = std::iter::once(None).chain(cuts.iter().copied().map(Some));
    let ends = cuts.iter().copied().map(Some).chain(std::iter::once(None));
    starts.zip(ends).map(|(since, until)| Span { since, until }).collect()
}

/// Creation times of a source, thinned out evenly so that they never are many.
#[derive(Debug)]
pub(super) struct Seams {
    kept: Vec<DateTime<Utc>>,
    every: u64,
    seen: u64,
}

impl Default for Seams {
    fn default() -> Self {
        Self { kept: Vec::new(), every: 1, seen: 0 }
    }
}

impl Seams {
    /// Takes the creation time of one more row.
    pub(super) fn add(&mut self, created: DateTime<Utc>) {
        self.seen += 1;
        if !self.seen.is_multiple_of(self.every) {
            return;
        }
        if self.kept.len() >= KEPT_MAX {
            self.kept.sort_unstable();
            self.kept = self.kept.iter().copied().skip(1).step_by(2).collect();
            self.every *= 2;
        }
        self.kept.push(created);
    }

    /// Stores what was learnt, for the next sweep.
    pub(super) fn store(mut self, rows: &mut dyn Rows, source: DataSourceId) -> Result<(), StoreError> {
        self.kept.sort_unstable();
        match serde_json::to_string(&self.kept) {
            Ok(json) => rows.put_fact(&fact(source), &json),
            Err(_unwritable) => Ok(()),
        }
    }
}

/// Reads what the last complete sweep learnt; nothing where there was none.
pub(super) fn recalled(rows: &mut dyn Rows, source: DataSourceId) -> Result<Vec<DateTime<Utc>>, StoreError> {
    Ok(rows.fact(&fact(source))?.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default())
}

fn fact(source: DataSourceId) -> String {
    format!("seams of {source}")
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minute)
    }

    #[test]
    fn a_source_is_parted_where_its_rows_are() {
        let mut seams = Seams::default();
        for row in 0..40_000 {
            // Three quarters of the rows came in the last tenth of the time.
            seams.add(at(if row < 10_000 { row } else { 90_000 + row / 3 }));
        }
        assert!(seams.kept.len() <= KEPT_MAX);
        seams.kept.sort_unstable();
        let spans = parted(&seams.kept, 40_000, 4);
        assert_eq!(spans.len(), 4);
        assert_eq!((spans[0].since, spans[3].until), (None, None));
        assert!(spans.windows(2).all(|pair| pair[0].until == pair[1].since && pair[0].until.is_some()));
        let rows_of = |span: &Span| {
            let created = (0..40_000).map(|row| at(if row < 10_000 { row } else { 90_000 + row / 3 }));
            created
                .filter(|at| span.since.is_none_or(|since| *at >= since) && span.until.is_none_or(|until| *at <= until))
                .count()
        };
        assert!(spans.iter().all(|span| (8_000..12_000).contains(&rows_of(span))), "{spans:?}");
    }

    #[test]
    fn small_and_unknown_sources_are_read_in_one_window() {
        assert_eq!(parted(&[at(1), at(2)], 999, 4), [Span::WHOLE]);
        assert_eq!(parted(&[], 100_000, 4), [Span::WHOLE]);
        assert_eq!(parted(&[at(1)], 100_000, 1), [Span::WHOLE]);
        assert_eq!(parted(&[at(1); 9], 100_000, 4).len(), 2, "no window of one minute alone");
    }
}
