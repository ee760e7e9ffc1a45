//! Rounds that take turns: a piece of work and its floor, one after the other, so that both meet the same machine.

use std::time::Duration;

use tokio::time::Instant;

use crate::cpu;

/// How long and how often is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rounds {
    pairs: usize,
    round: Duration,
}

/// Work to measure: each call does some of it, and returns how many items that was.
pub(crate) struct Work<'a> {
    name: &'a str,
    run: Box<dyn FnMut() -> usize + 'a>,
}

impl<'a> Work<'a> {
    /// Names work for the table.
    pub(crate) fn new(name: &'a str, run: impl FnMut() -> usize + 'a) -> Self {
        Self { name, run: Box::new(run) }
    }

    /// Works for one round; returns the items per second, and the microseconds of the processor that each took.
    fn measure(&mut self, round: Duration) -> (f64, f64) {
        let (begun, before, mut items) = (Instant::now(), cpu::spent(), 0);
        while begun.elapsed() < round {
            items += (self.run)();
        }
        (items as f64 / begun.elapsed().as_secs_f64(), cpu::each(cpu::spent().saturating_sub(before), items))
    }
}

impl Rounds {
    /// Few short rounds with `--quick`, which only show that everything runs.
    pub(crate) fn asked_for() -> Self {
        let quick = std::env::args().any(|argument| argument == "--quick");
        let (pairs, milliseconds) = if quick { (1, 100) } else { (7, 1_000) };
        Self { pairs, round: Duration::from_millis(milliseconds) }
    }

    /// Measures `works` in turns, and shows each beside the first, which is the floor of the others.
    pub(crate) fn compare(self, what: &str, mut works: Vec<Work<'_>>) {
        let mut measured = vec![Vec::new(); works.len()];
        for work in &mut works {
            work.measure(self.round / 4);
        }
        for pair in 0..self.pairs {
            for turn in 0..works.len() {
                let at = (pair + turn) % works.len();
                measured[at].push(works[at].measure(self.round));
            }
        }
        println!("\n{what}");
        for (work, own) in works.iter().zip(&measured) {
            let rates = sorted(own.iter().map(|(rate, _)| *rate));
            let cpu = sorted(own.iter().map(|(_, cpu)| *cpu));
            let ratios = sorted(own.iter().zip(&measured[0]).map(|((own, _), (floor, _))| own / floor));
            println!(
                "  {:<40}{:>9.0}/s [{:.0}-{:.0}]  CPU {:.2} us each  {:.3} of the floor",
                work.name,
                middle(&rates),
                rates[0],
                rates[rates.len() - 1],
                middle(&cpu),
                middle(&ratios)
            );
        }
    }
}

/// Returns figures from the least to the greatest.
pub(crate) fn sorted(figures: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures
}

/// Returns the middle of sorted figures.
pub(crate) fn middle(sorted: &[f64]) -> f64 {
    f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2])
}
