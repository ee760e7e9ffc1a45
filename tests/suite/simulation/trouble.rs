//! What goes wrong beside people's work: at Notion, on the way, on the disk, with the clock.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::TimeDelta;
use fastrand::Rng;
use suppressd::simulator::{faults::Fault, offline::Offline, webhooks::Delivering};

use crate::simulation::{clocks::Clocks, disk::Weather};

/// What can go wrong in one course; drawn once, so that courses differ.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each of these goes wrong or not, whatever the others do")]
pub(crate) struct Kinds {
    /// Answers may show what was before.
    pub(crate) stale: bool,
    /// Our clock is set.
    clock: bool,
    /// The store refuses.
    disk: bool,
    /// The token is refused for a while.
    token: bool,
    /// The program is killed.
    pub(crate) kills: bool,
}

impl Kinds {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let mut may = |of_ten: u8| rng.u8(..10) < of_ten;
        Self { stale: may(3), clock: may(3), disk: may(5), token: may(5), kills: may(7) }
    }
}

/// Makes trouble in one course.
pub(crate) struct Trouble {
    pub(crate) kinds: Kinds,
    pub(crate) rng: Rng,
    pub(crate) notion: Arc<Offline>,
    pub(crate) weather: Arc<Weather>,
    pub(crate) clocks: Clocks,
    /// Whether an answer may show what was before, or not show a value, or ever might.
    pub(crate) may_mislead: Arc<AtomicBool>,
}

impl Trouble {
    /// Changes what goes wrong.
    pub(crate) fn turn(&mut self) {
        let faults = self.notion.faults();
        match self.rng.u8(..10) {
            0..3 => {
                let seed = self.rng.u64(..);
                let chances = self.kinds.faults(&mut self.rng);
                let misleads = chances.iter().any(|(fault, _)| matches!(fault, Fault::Unsupported | Fault::Stale));
                self.may_mislead.fetch_or(misleads, Ordering::Relaxed);
                faults.at_random(seed, chances);
            }
            3..5 => faults.calm(),
            5 if self.kinds.token => faults.refuse_token(),
            6 => faults.heal_token(),
            7 if self.kinds.stale => faults.set_index_lag(Duration::from_secs(self.rng.u64(..60))),
            8 if self.kinds.disk => self.weather.refuse(self.rng.u8(..60)),
            9 if self.kinds.clock => {
                let forward = self.rng.bool();
                let span = TimeDelta::seconds(match self.rng.u8(..4) {
                    0 => self.rng.i64(1..90),
                    1 => self.rng.i64(1..3_600),
                    2 => self.rng.i64(1..86_400),
                    _ => self.rng.i64(1..12 * 86_400),
                });
                self.clocks.turn(if forward { span } else { -span });
            }
            _ => self.weather.refuse(0),
        }
    }

    /// Lets nothing go wrong any more.
    pub(crate) fn end(&self) {
        self.notion.faults().calm();
        self.weather.refuse(0);
    }
}

impl Kinds {
    fn faults(self, rng: &mut Rng) -> Vec<(Fault, f64)> {
        let rate_limited =
            |seconds| Fault::RateLimited { reason: "public_api_request_rate_limit", retry_after: seconds };
        let blocked = Fault::RateLimited { reason: "public_api_request_blocked", retry_after: None };
        let mut all = vec![
            (Fault::Status(409), 0.05),
            (Fault::Status(500), 0.1),
            (Fault::Status(502), 0.05),
            (Fault::Status(503), 0.1),
            (Fault::Status(504), 0.05),
            (Fault::Status(529), 0.05),
            (rate_limited(Some(rng.u64(1..200))), 0.05),
            (rate_limited(None), 0.03),
            (blocked, 0.01),
            (Fault::Edge(403), 0.05),
            (Fault::Edge(502), 0.05),
            (Fault::Truncated, 0.1),
            (Fault::Hang(Duration::from_secs(rng.u64(1..120))), 0.1),
            (Fault::Reset, 0.1),
            (Fault::CursorRefused, 0.1),
            (Fault::Partial, 0.02),
            (Fault::Unsupported, 0.05),
        ];
        if self.stale {
            all.push((Fault::Stale, 0.2));
        }
        // Some of them at a time, and sometimes nearly nothing works.
        all.retain(|_| rng.u8(..3) > 0);
        let factor = rng.choice([0.3, 1.0, 1.0, 3.0]).unwrap();
        all.into_iter().map(|(fault, chance)| (fault, f64::min(chance * factor, 0.9))).collect()
    }
}

/// How Notion delivers in one course.
pub(crate) fn delivering(rng: &mut Rng) -> Delivering {
    let seldom = |rng: &mut Rng, max: u8| if rng.bool() { 0 } else { rng.u8(..max) };
    Delivering {
        kinds: None,
        aggregate: rng.choice([None, Some(Duration::from_secs(5)), Some(Duration::from_mins(1))]).unwrap(),
        lost_percent: seldom(rng, 60),
        doubled_percent: seldom(rng, 50),
        shuffled: rng.bool(),
        delay_max: Duration::from_secs(rng.choice([0, 0, 2, 60, 1_200]).unwrap()),
        backoff: Duration::from_secs(rng.choice([1, 5, 60]).unwrap()),
        timeout: Duration::from_millis(rng.choice([15, 100, 10_000]).unwrap()),
        at_once: rng.usize(1..6),
    }
}
