//! Who knows the answers that the private door gives.

use serde::Serialize;

use crate::{
    lookup::{
        Lookup, LookupError, Question, Terms,
        listing::{ListedDrift, ListedSweep},
        status::Status,
        sweeps::Asked,
    },
    model::{
        sweep::{SweepId, SweepOrder},
        verdict::Verdict,
    },
    store::{EventFilter, Store, StoreError, StoredEvent},
};

/// Who knows the answers.
pub trait Answers: Clone + Send + Sync + 'static {
    /// The state of the cache, for people and machines.
    type Status: Serialize + Send;

    /// Answers whether companies may be pushed, in the order of the questions.
    fn answer(
        &self,
        questions: Vec<Question>,
    ) -> impl Future<Output = Result<Vec<Result<Verdict, NoAnswer>>, StoreError>> + Send;

    /// Says how the cache is.
    fn status(&self) -> impl Future<Output = Result<Self::Status, StoreError>> + Send;

    /// Lists events, newest first.
    fn events(
        &self,
        filter: EventFilter,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<StoredEvent>, StoreError>> + Send;

    /// Lists sweeps, newest first.
    fn sweeps(&self, limit: u32) -> impl Future<Output = Result<Vec<ListedSweep>, StoreError>> + Send;

    /// Returns a sweep with some of the differences that it found.
    fn drift(&self, sweep: SweepId, limit: u32)
    -> impl Future<Output = Result<Option<ListedDrift>, StoreError>> + Send;

    /// Asks for a sweep.
    fn ask_sweep(&self, order: SweepOrder) -> impl Future<Output = Result<Asked, StoreError>> + Send;
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// It cannot be understood; says what is wrong with it.
    #[error("{0}")]
    NotUnderstood(String),
    /// The database does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<LookupError> for NoAnswer {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::Unanswerable(why) => Self::NotUnderstood(why),
            LookupError::Store(error) => Self::Store(error),
        }
    }
}

/// One answer of several: a question that cannot be understood does not spoil the others.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Answered {
    Verdict(Box<Verdict>),
    Not { error: String },
}

impl From<Result<Verdict, NoAnswer>> for Answered {
    fn from(answer: Result<Verdict, NoAnswer>) -> Self {
        match answer {
            Ok(verdict) => Self::Verdict(Box::new(verdict)),
            Err(error) => Self::Not { error: error.to_string() },
        }
    }
}

impl<S: Store> Answers for Lookup<S> {
    type Status = Status;

    async fn answer(&self, questions: Vec<Question>) -> Result<Vec<Result<Verdict, NoAnswer>>, StoreError> {
        let answers = Self::answer(self, questions, Terms::default()).await?;
        Ok(answers.into_iter().map(|answer| answer.map_err(NoAnswer::from)).collect())
    }

    async fn status(&self) -> Result<Status, StoreError> {
        Self::status(self).await
    }

    async fn events(&self, filter: EventFilter, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        Self::events(self, filter, limit).await
    }

    async fn sweeps(&self, limit: u32) -> Result<Vec<ListedSweep>, StoreError> {
        Self::sweeps(self, limit).await
    }

    async fn drift(&self, sweep: SweepId, limit: u32) -> Result<Option<ListedDrift>, StoreError> {
        Self::drift(self, sweep, limit).await
    }

    async fn ask_sweep(&self, order: SweepOrder) -> Result<Asked, StoreError> {
        Self::ask_sweep(self, order).await
    }
}
