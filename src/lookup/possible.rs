//! Companies of the CRM whose name is like the one that was asked for. They are offered, and decide nothing.

use crate::{
    derive::ComparableName,
    lookup::{
        Question,
        ground::Ground,
        names::{Names, NamesAt},
    },
    model::{
        entry::STATUS_UNKNOWN,
        page::Role,
        verdict::{Possible, Verdict},
    },
    store::{Rows, StoreError},
};

/// Names that score less are not offered.
///
/// `benches/README.md` has what each threshold finds and what it misses: a lower one
/// offers other companies for half a percent more of the right ones, a higher one misses names that differ by a word such as
/// «Group».
pub const SCORE_MIN: f64 = 0.85;

/// As many are offered.
pub const OFFERED_MAX: usize = 5;

/// Offers possible matches for the questions of one view.
pub(super) struct Offers<'a> {
    names: &'a Names,
    /// Brought to the view by the first question that needs it.
    at: Option<NamesAt<'a>>,
}

impl<'a> Offers<'a> {
    pub(super) const fn new(names: &'a Names) -> Self {
        Self { names, at: None }
    }

    /// Adds the companies of the CRM with a similar name, where no key met a row.
    pub(super) fn add(
        &mut self,
        rows: &mut dyn Rows,
        ground: &Ground,
        question: &Question,
        verdict: &mut Verdict,
    ) -> Result<(), StoreError> {
        let Some(name) = name(question).filter(|_| verdict.matched.is_none()) else { return Ok(()) };
        let at = match &mut self.at {
            Some(at) => at,
            none => none.insert(self.names.at(rows)?),
        };
        for (score, page) in at.like(&name, SCORE_MIN, OFFERED_MAX) {
            let Some(page) = rows.page(page)? else { continue };
            let said = |role| page.values.get(role).map(str::to_owned);
            let Some(company_name) = said(Role::CompanyName) else { continue };
            let status = said(Role::Status).unwrap_or_else(|| STATUS_UNKNOWN.to_owned());
            verdict.possible.push(Possible {
                page: page.id,
                page_url: page.url.clone(),
                company_name,
                firmness: ground.firmness(Some(page.source), &status),
                status,
                score: (score * 1000.0).round() / 1000.0,
            });
        }
        let told = match verdict.possible.len() {
            0 => return Ok(()),
            1 => "one company of the CRM has a similar name".to_owned(),
            count => format!("{count} companies of the CRM have a similar name"),
        };
        verdict.reason = format!("{}; {told}", verdict.reason);
        Ok(())
    }
}

/// Returns the name that a question gives. A typed `name_loc:` key is made of one, and names the company by it.
pub(super) fn name(question: &Question) -> Option<ComparableName> {
    match question {
        Question::Company(company) => ComparableName::of(company.name.as_deref()?),
        Question::Text(text) => {
            let (prefix, value) = text.trim().split_once(':')?;
            let name = value.split('|').next().filter(|_| prefix.trim().eq_ignore_ascii_case("name_loc"))?;
            ComparableName::of(name)
        }
    }
}
