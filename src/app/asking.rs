//! Answers on terms: with a younger proof, where the cache has none and Notion may be asked.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    app::{
        AppError, Asking, housekeeping, lookup, lookup_over,
        rights::{self, Turn},
        store, worker_settings,
    },
    causes::told,
    clock::Clock,
    config::Config,
    inbox::Inbox,
    lookup::{LookupError, Question, Terms},
    model::verdict::{Answer, Verdict},
    store::{Exclusive, sqlite::SqliteStore},
    worker::Worker,
};

/// The answers, in the order of the questions.
pub type Answers = Vec<Result<Verdict, LookupError>>;

const NO_NOTION: &str = "its page was not fetched, because the settings do not say how to ask Notion: `suppressd config \
                         print --help` lists them";
const UNWRITABLE: &str = "its page was not fetched, because what it shows cannot be written";
const FAILED: &str = "its page was not fetched";
const BUSY: &str = "its page was not fetched, because another suppressd command works on the database";

/// Answers questions from the database of `config`. Where `terms` leave time for it, a page whose proof is too old is
/// fetched: by the `serve` that runs on the database, else by this process.
pub async fn answer(
    config: &Config,
    questions: Vec<Question>,
    terms: Terms,
    clock: &Clock,
) -> Result<Answers, AppError> {
    let known = lookup(config, clock)?.answer(questions.clone(), Terms { wait: Duration::ZERO, ..terms }).await?;
    if terms.wait.is_zero() || !known.iter().flatten().any(could_be_younger) {
        return Ok(known);
    }
    let store = match store(config, clock) {
        Ok(store) => store,
        Err(error) => return Ok(because(known, &format!("{UNWRITABLE}: {}", told(&error)))),
    };
    Ok(match younger(config, store, questions, terms, clock).await {
        Ok(Ok(answers)) => answers,
        Ok(Err(why)) => because(known, why),
        // What is known is an answer all the same.
        Err(error) => because(known, &format!("{FAILED}: {}", told(&error))),
    })
}

/// Answers with younger proofs where they can be had, or says why Notion was not asked.
async fn younger(
    config: &Config,
    store: SqliteStore,
    questions: Vec<Question>,
    terms: Terms,
    clock: &Clock,
) -> Result<Result<Answers, &'static str>, AppError> {
    let until = Instant::now() + terms.wait.min(Terms::WAIT_MAX);
    loop {
        let left = Terms { wait: until - Instant::now(), ..terms };
        match rights::turn(&store)? {
            Turn::Served => return Ok(Ok(lookup_over(store, config, clock)?.answer(questions, left).await?)),
            Turn::Ours(_) if config.notion().is_err() => return Ok(Err(NO_NOTION)),
            Turn::Ours(right) => {
                return fetch_and_answer(config, &store, right, (questions, left), clock).await.map(Ok);
            }
            Turn::Busy if left.wait.is_zero() => return Ok(Err(BUSY)),
            Turn::Busy => tokio::time::sleep(rights::ROUND.min(left.wait)).await,
        }
    }
}

async fn fetch_and_answer(
    config: &Config,
    store: &SqliteStore,
    right: Exclusive,
    (questions, terms): (Vec<Question>, Terms),
    clock: &Clock,
) -> Result<Answers, AppError> {
    let Asking { sources, cache, budgets, metrics } = Asking::prepare(config, store, clock).await?;
    let parts = (clock.clone(), metrics);
    let worker = Worker::new(Inbox::new(store.clone()), sources, cache, parts, worker_settings(config));
    let stop = CancellationToken::new();
    let lookup = lookup_over(store.clone(), config, clock)?;
    let asking = async {
        let answers = lookup.answer(questions, terms).await;
        stop.cancel();
        answers
    };
    let (answers, ()) = tokio::join!(asking, worker.refresh(stop.clone()));
    housekeeping::keep_budgets(store, &budgets).await?;
    drop(right);
    Ok(answers?)
}

/// Returns whether a fetch of its page might make an answer another one.
fn could_be_younger(verdict: &Verdict) -> bool {
    verdict.verdict == Answer::Stale && verdict.matched.as_ref().is_some_and(|matched| matched.page.is_some())
}

/// Adds to the answers that stay stale why nothing was fetched for them.
fn because(mut answers: Answers, why: &str) -> Answers {
    for verdict in answers.iter_mut().flatten().filter(|verdict| could_be_younger(verdict)) {
        verdict.reason = format!("{}; {why}", verdict.reason);
    }
    answers
}
