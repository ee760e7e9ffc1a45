//! The pipeline asks meanwhile, at times for a younger proof; each answer is held against what really was.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::TimeDelta;
use fastrand::Rng;
use suppressd::{
    lookup::{Lookup, Question, Terms},
    model::{
        id::PageId,
        verdict::{Answer, Verdict},
    },
    worker::Worker,
};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::simulation::{disk::Disk, observer::Context, people::People, program::Asker};

/// Who asks in one course.
pub(crate) struct Askers {
    rng: Rng,
    judge: Judge,
    asking: JoinSet<()>,
}

/// What answers are judged by.
#[derive(Clone)]
pub(crate) struct Judge {
    context: Context,
    /// Pages that the connection could not see at some time: no sweep shows them.
    hidden: Arc<Mutex<BTreeSet<PageId>>>,
    /// Whether an answer may show what was before, or not show a value: then the cache cannot know better.
    may_mislead: Arc<AtomicBool>,
    /// Whether the property of Crunchbase slugs was deleted somewhere: the cache keeps what it said.
    crunchbase_gone: Arc<AtomicBool>,
    answers: Arc<Mutex<Answers>>,
}

/// How many answers of each kind were judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Answers {
    pub(crate) suppressed: u64,
    pub(crate) clear: u64,
    pub(crate) stale: u64,
}

impl Askers {
    pub(crate) fn new(seed: u64, judge: Judge) -> Self {
        Self { rng: Rng::with_seed(seed), judge, asking: JoinSet::new() }
    }

    /// Lets somebody ask about a key, and goes on; one at a time, since one process fetches for all who ask.
    pub(crate) fn ask(&mut self, lookup: Lookup<Disk>, worker: Worker<Disk, Asker>) {
        while self.asking.try_join_next().is_some() {}
        if !self.asking.is_empty() {
            return;
        }
        let n = self.rng.u8(..12);
        let key = match self.rng.u8(..4) {
            0 => format!("crunchbase:slug-{n}"),
            1 => format!("pitchbook:pb-{n}"),
            _ => format!("domain:name-{n}.com"),
        };
        let terms = Terms {
            max_age: self.rng.bool().then(|| TimeDelta::seconds(self.rng.i64(1..1_200))),
            wait: Duration::from_millis(if self.rng.bool() { 0 } else { self.rng.u64(..20_000) }),
        };
        let judge = self.judge.clone();
        self.asking.spawn(async move {
            let asked_at = Instant::now();
            let stop = CancellationToken::new();
            let asking = async {
                let answers = lookup.answer(vec![Question::Text(key.clone())], terms).await;
                stop.cancel();
                answers
            };
            let (answers, ()) = tokio::join!(asking, worker.refresh(stop.clone()));
            // A disk that refuses gives no answer.
            let Ok(mut answers) = answers else { return };
            match answers.pop() {
                Some(Ok(verdict)) => judge.judge(&key, &verdict, terms, asked_at.elapsed()),
                other => judge.context.findings.note(format!("{key} has no answer: {other:?}")),
            }
        });
    }

    /// How many answers were judged by now.
    pub(crate) fn answers(&self) -> Answers {
        *self.judge.answers.lock().unwrap()
    }

    /// Ends everybody who asks a program that is killed.
    pub(crate) async fn kill(&mut self) {
        self.asking.shutdown().await;
    }
}

impl Judge {
    pub(crate) fn new(context: Context, people: &People, may_mislead: &Arc<AtomicBool>) -> Self {
        Self {
            context,
            hidden: Arc::clone(&people.hidden),
            may_mislead: Arc::clone(may_mislead),
            crunchbase_gone: Arc::clone(&people.crunchbase_gone),
            answers: Arc::default(),
        }
    }

    fn judge(&self, key: &str, verdict: &Verdict, terms: Terms, waited: Duration) {
        self.count(verdict.verdict);
        let Context { findings, history, clocks, .. } = &self.context;
        // What was young enough when it was asked for does not become too old by being waited for.
        let max_age = terms.max_age.unwrap_or(TimeDelta::days(7)) + TimeDelta::from_std(waited).unwrap();
        let Some(proven_at) = verdict.fresh_as_of else {
            let is_stale = verdict.verdict == Answer::Stale;
            return findings.check(is_stale, || format!("{key} is answered without proof: {verdict:?}"));
        };
        let age = verdict.age_seconds.unwrap_or(u64::MAX).try_into().map_or(TimeDelta::MAX, TimeDelta::seconds);
        let is_young = verdict.verdict == Answer::Stale || age <= max_age;
        findings.check(is_young, || format!("{key} is answered on too old a proof: {verdict:?}"));
        let is_kept = key.starts_with("crunchbase:") && self.crunchbase_gone.load(Ordering::Relaxed);
        if is_kept || self.may_mislead.load(Ordering::Relaxed) {
            return;
        }
        let (history, since) = (history.lock().unwrap(), clocks.earliest_at_notion(proven_at));
        match (verdict.verdict, verdict.matched.as_ref().and_then(|matched| matched.page)) {
            (Answer::Clear, _) => {
                let hidden = self.hidden.lock().unwrap();
                let holder = history.holder_ever_since(key, since).filter(|page| !hidden.contains(page));
                findings.check(holder.is_none(), || {
                    format!("{key} is clear as of {since}, although {holder:?} has held it ever since: {verdict:?}")
                });
            }
            (Answer::Suppressed, Some(page)) => {
                let held = history.versions_since(page, since).iter().any(|version| version.may_hold(key));
                findings.check(held, || {
                    format!("{key} is suppressed as of {since}, although {page} did not hold it: {verdict:?}")
                });
            }
            _ => (),
        }
    }

    fn count(&self, answer: Answer) {
        let mut answers = self.answers.lock().unwrap();
        match answer {
            Answer::Suppressed => answers.suppressed += 1,
            Answer::Clear => answers.clear += 1,
            Answer::Stale => answers.stale += 1,
        }
    }
}
