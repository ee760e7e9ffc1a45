//! What is counted of the questions to Notion.

use std::time::Duration;

use crate::{
    metrics::label::{Endpoint, FetchedBy, Part},
    notion::{NotionError, Priority, client::Client},
};

impl<T> Client<T> {
    /// Counts a request and its answer, if one came.
    pub(super) fn count_request(&self, endpoint: Endpoint, status: Option<u16>, took: Duration) {
        self.metrics.notion_requests.count(endpoint, status);
        self.metrics.notion_request.observe(endpoint, took);
    }

    /// Counts what came of a question.
    pub(super) fn count_outcome(&self, priority: Priority, error: Option<&NotionError>) {
        if priority == Priority::Sweep {
            self.metrics.sweep_questions.count();
            self.metrics.sweep_questions_failed.add(u64::from(error.is_some_and(is_failure)));
        }
        if error.is_some_and(is_error) {
            self.metrics.errors.count(Part::Notion);
        }
    }

    /// Counts pages that were given, to whoever looks at one, to a query about many, or to a sweep.
    pub(super) fn count_pages(&self, by: FetchedBy, priority: Priority, pages: usize) {
        let by = if priority == Priority::Sweep { FetchedBy::Sweep } else { by };
        self.metrics.notion_pages_fetched.add(by, pages as u64);
    }
}

/// Returns whether an error is a fault, and not the answer that there is no such object.
const fn is_failure(error: &NotionError) -> bool {
    !matches!(error, NotionError::NotFound)
}

/// Returns whether somebody may want to look into it: a rate limit and a cursor that is too old are a matter of course.
const fn is_error(error: &NotionError) -> bool {
    !matches!(error, NotionError::NotFound | NotionError::RateLimited { .. } | NotionError::CursorRefused)
}
