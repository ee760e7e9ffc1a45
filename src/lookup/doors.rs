//! Answers at the doors of a running `serve`, counted.

use tokio::time::Instant;

use crate::{
    lookup::{Lookup, LookupError, Question, Terms},
    metrics::{
        Metrics,
        label::{LookupDoor, Part, Said},
    },
    model::verdict::{Answer, Verdict},
    store::{Store, StoreError},
};

impl<S: Store> Lookup<S> {
    /// As [`Lookup::answer`], and counts what was answered at `door` and how long that took.
    pub async fn answer_at(
        &self,
        (door, metrics): (LookupDoor, &Metrics),
        questions: Vec<Question>,
        terms: Terms,
    ) -> Result<Vec<Result<Verdict, LookupError>>, StoreError> {
        let (began, asked) = (Instant::now(), questions.len() as u64);
        let answers = self.answer(questions, terms).await;
        metrics.lookup.observe(door, began.elapsed());
        if let Ok(answers) = &answers {
            for answer in answers {
                metrics.lookups.count(door, said(answer));
            }
        } else {
            metrics.lookups.add(door, Said::Error, asked);
            metrics.errors.count(Part::Lookup);
        }
        answers
    }
}

const fn said(answer: &Result<Verdict, LookupError>) -> Said {
    match answer {
        Ok(Verdict { verdict: Answer::Suppressed, .. }) => Said::Suppressed,
        Ok(Verdict { verdict: Answer::Clear, .. }) => Said::Clear,
        Ok(Verdict { verdict: Answer::Stale, .. }) => Said::Stale,
        Err(_) => Said::Error,
    }
}
