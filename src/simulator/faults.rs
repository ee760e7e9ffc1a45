//! What goes wrong on purpose: scripted for the next requests, by chance from a seed, or until it is healed.
//!
//! Chance does not depend on the order in which requests happen to arrive: each request draws from the seed, from what
//! it asks for, and from how often that was asked before. The same seed therefore gives the same faults, run for run.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::TimeDelta;
use fastrand::Rng;
use uuid::Uuid;

use crate::{
    model::id::PageId,
    simulator::{
        question::Endpoint,
        shape::{Blemish, Refusal},
    },
};

/// One thing that goes wrong with one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// An error of Notion's own: 403, 409, 429, 500, 502, 503, 504 or 529, with the body that belongs to it.
    Status(u16),
    /// A 429 in detail.
    RateLimited {
        /// Such as `public_api_space_request_rate_limit`, or `public_api_request_blocked`.
        reason: &'static str,
        /// In seconds; `None` leaves both header and additional data out, as was seen in 2024.
        retry_after: Option<u64>,
    },
    /// An HTML page of the proxy before Notion, with this status.
    Edge(u16),
    /// A 200 whose JSON ends in the middle.
    Truncated,
    /// No answer for so long; then the connection is closed.
    Hang(Duration),
    /// The connection is reset without an answer.
    Reset,
    /// A page as it was before its last change.
    Stale,
    /// A cursor that is no longer taken.
    CursorRefused,
    /// A page object of nothing but its id; in a query, every row.
    Partial,
    /// Values that are `unsupported`: unavailable, which is not the same as empty.
    Unsupported,
}

/// Which requests a scripted fault is meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Any to which the fault can happen.
    Any,
    /// Those to one endpoint.
    Endpoint(Endpoint),
    /// Fetches of one page.
    Page(PageId),
}

/// A request as far as it matters to faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Asked {
    pub(crate) endpoint: Endpoint,
    pub(crate) subject: Option<Uuid>,
    pub(crate) goes_on: bool,
}

/// The plan of faults. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<Plan>>);

#[derive(Debug, Default)]
struct Plan {
    scripts: Vec<Script>,
    chances: Option<Chances>,
    made: HashMap<Endpoint, u64>,
    index_lag: Duration,
    clock_skew: TimeDelta,
    token_refused: bool,
}

#[derive(Debug)]
struct Script {
    target: Target,
    left: u32,
    fault: Fault,
}

#[derive(Debug)]
struct Chances {
    seed: u64,
    of: Vec<(Fault, f64)>,
    asked: HashMap<Asked, u64>,
}

impl Faults {
    /// Lets `fault` happen to the next `n` requests to which it can happen.
    pub fn next(&self, n: u32, fault: Fault) {
        self.next_of(Target::Any, n, fault);
    }

    /// Lets `fault` happen to the next `n` requests of `target`. Scripts are used up in the order of their making.
    pub fn next_of(&self, target: Target, n: u32, fault: Fault) {
        self.lock().scripts.push(Script { target, left: n, fault });
    }

    /// Lets each fault happen with its own probability, from 0 to 1, to every request to which it can happen.
    pub fn at_random(&self, seed: u64, of: impl IntoIterator<Item = (Fault, f64)>) {
        self.lock().chances = Some(Chances { seed, of: of.into_iter().collect(), asked: HashMap::new() });
    }

    /// Lets the index of queries trail the live pages by `lag`.
    pub fn set_index_lag(&self, lag: Duration) {
        self.lock().index_lag = lag;
    }

    /// Lets the clock of Notion, as answers tell it, be ahead by `skew`, or behind.
    pub fn set_clock_skew(&self, skew: TimeDelta) {
        self.lock().clock_skew = skew;
    }

    /// Refuses the token until it is healed.
    pub fn refuse_token(&self) {
        self.lock().token_refused = true;
    }

    /// Takes the token again.
    pub fn heal_token(&self) {
        self.lock().token_refused = false;
    }

    /// Lets nothing go wrong any more.
    pub fn calm(&self) {
        let mut plan = self.lock();
        *plan = Plan { made: std::mem::take(&mut plan.made), ..Plan::default() };
    }

    /// Returns how many faults have happened to one endpoint.
    pub fn made(&self, endpoint: Endpoint) -> u64 {
        self.lock().made.get(&endpoint).copied().unwrap_or_default()
    }

    pub(crate) fn index_lag(&self) -> Duration {
        self.lock().index_lag
    }

    pub(crate) fn clock_skew(&self) -> TimeDelta {
        self.lock().clock_skew
    }

    pub(crate) fn token_refused(&self) -> bool {
        self.lock().token_refused
    }

    /// Decides what goes wrong with a request, if anything does: scripts first, then chance.
    pub(crate) fn pick(&self, asked: Asked) -> Option<Fault> {
        let mut plan = self.lock();
        let fault = plan.scripted(asked).or_else(|| plan.chances.as_mut()?.draw(asked))?;
        *plan.made.entry(asked.endpoint).or_default() += 1;
        Some(fault)
    }

    fn lock(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plan {
    fn scripted(&mut self, asked: Asked) -> Option<Fault> {
        let script = self.scripts.iter_mut().find(|script| script.target.meets(asked) && script.fault.suits(asked))?;
        script.left = script.left.saturating_sub(1);
        let fault = script.fault.clone();
        self.scripts.retain(|script| script.left > 0);
        Some(fault)
    }
}

impl Chances {
    fn draw(&mut self, asked: Asked) -> Option<Fault> {
        let before = self.asked.entry(asked).or_default();
        *before += 1;
        let mut hasher = DefaultHasher::new();
        (self.seed, asked, *before).hash(&mut hasher);
        let mut rng = Rng::with_seed(hasher.finish());
        // Every chance is drawn, so that one more kind of fault leaves the others where they were.
        let drawn: Vec<_> = self.of.iter().filter(|(_, chance)| rng.f64() < *chance).collect();
        drawn.into_iter().map(|(fault, _)| fault).find(|fault| fault.suits(asked)).cloned()
    }
}

impl Target {
    fn meets(self, asked: Asked) -> bool {
        match self {
            Self::Any => true,
            Self::Endpoint(endpoint) => asked.endpoint == endpoint,
            Self::Page(page) => asked.endpoint == Endpoint::Page && asked.subject == Some(page.uuid()),
        }
    }
}

impl Fault {
    /// Returns whether this can happen to such a request at all.
    fn suits(&self, asked: Asked) -> bool {
        match self {
            Self::Stale => asked.endpoint == Endpoint::Page,
            Self::Partial | Self::Unsupported => matches!(asked.endpoint, Endpoint::Page | Endpoint::Query),
            Self::CursorRefused => asked.endpoint == Endpoint::Query && asked.goes_on,
            Self::Status(_)
            | Self::RateLimited { .. }
            | Self::Edge(_)
            | Self::Truncated
            | Self::Hang(_)
            | Self::Reset => true,
        }
    }

    /// Returns what a page object lacks under this fault.
    pub(crate) const fn blemish(&self) -> Option<Blemish> {
        match self {
            Self::Partial => Some(Blemish::Partial),
            Self::Unsupported => Some(Blemish::Unsupported),
            _ => None,
        }
    }
}

/// Refuses a request because too many came.
pub(crate) fn rate_limited(reason: &str, retry_after: Option<u64>) -> Refusal {
    let message = "You have been rate limited. Please try again in a few minutes.";
    let refusal = Refusal::new(429, "rate_limited", message);
    match retry_after {
        None => refusal,
        Some(seconds) => refusal.with("rate_limit_reason", reason).after(seconds),
    }
}

/// Returns the error that Notion gives with a status («ERR», «LIM»).
pub(crate) fn error_of(status: u16, asked: Asked) -> Refusal {
    match status {
        403 => Refusal::new(403, "restricted_resource", "Insufficient permissions for this endpoint."),
        409 => Refusal::new(409, "conflict_error", "Conflict occurred while saving. Please try again."),
        429 => rate_limited("public_api_request_rate_limit", Some(1)),
        502 => Refusal::new(502, "bad_gateway", "Bad gateway."),
        503 => {
            let refusal = Refusal::new(503, "service_unavailable", "Notion is unavailable, please try again later.");
            if asked.endpoint == Endpoint::Query {
                let guidance = ["Retry with exponential backoff", "Use a smaller page_size", "Narrow the filter"];
                refusal.with("endpoint_name", "query_data_source").with("retry_guidance", guidance.as_slice())
            } else {
                refusal
            }
        }
        504 => Refusal::new(504, "gateway_timeout", "The request took too long to complete."),
        529 => Refusal::new(529, "service_overload", "Notion is overloaded, please try again later.").after(1),
        other => Refusal::new(other, "internal_server_error", "Unexpected error occurred."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetch(n: u128) -> Asked {
        Asked { endpoint: Endpoint::Page, subject: Some(Uuid::from_u128(n)), goes_on: false }
    }

    #[test]
    fn a_script_happens_as_often_as_it_says_and_only_to_its_target() {
        let faults = Faults::default();
        faults.next_of(Target::Page(PageId::from_uuid(Uuid::from_u128(1))), 2, Fault::Reset);
        assert_eq!(faults.pick(fetch(2)), None);
        assert_eq!(faults.pick(fetch(1)), Some(Fault::Reset));
        assert_eq!(faults.pick(fetch(1)), Some(Fault::Reset));
        assert_eq!(faults.pick(fetch(1)), None);
        assert_eq!(faults.made(Endpoint::Page), 2);
    }

    #[test]
    fn a_fault_waits_for_a_request_to_which_it_can_happen() {
        let faults = Faults::default();
        faults.next(1, Fault::CursorRefused);
        let query = |goes_on| Asked { endpoint: Endpoint::Query, subject: None, goes_on };
        assert_eq!(faults.pick(fetch(1)), None);
        assert_eq!(faults.pick(query(false)), None);
        assert_eq!(faults.pick(query(true)), Some(Fault::CursorRefused));
    }

    #[test]
    fn chance_is_the_same_for_a_seed_in_whatever_order_requests_come() {
        let draw = |seed, order: &mut dyn Iterator<Item = u128>| {
            let faults = Faults::default();
            faults.at_random(seed, [(Fault::Status(500), 0.2), (Fault::Stale, 0.2)]);
            let mut drawn: Vec<_> = order.map(|n| (n, faults.pick(fetch(n)))).collect();
            drawn.sort_by_key(|(n, _)| *n);
            drawn
        };
        let forth = draw(7, &mut (0..200));
        assert_eq!(forth, draw(7, &mut (0..200).rev()));
        assert_ne!(forth, draw(8, &mut (0..200)));
        let faulty = forth.iter().filter(|(_, fault)| fault.is_some()).count();
        assert!((40..110).contains(&faulty), "{faulty} of 200");
    }

    #[test]
    fn calm_ends_everything() {
        let faults = Faults::default();
        faults.next(9, Fault::Reset);
        faults.refuse_token();
        faults.set_index_lag(Duration::from_secs(9));
        faults.calm();
        assert_eq!((faults.pick(fetch(1)), faults.token_refused(), faults.index_lag()), (None, false, Duration::ZERO));
    }
}
