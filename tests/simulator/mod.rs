//! The power may go at any moment: what was acknowledged is there afterwards, what was not is there whole or not at all.
//!
//! A simulation lives through whole lives of a database on a disk that loses power (see
//! [`FailingMedium`](lagdb::medium::FailingMedium)): transactions in several scopes, KV logs, deletions, purges,
//! compactions, upkeep, eviction, backups, snapshots that stay, closing and opening, with cuts in all of them and in recovery. Everything
//! follows from a seed, but for how several writers take turns.
//!
//! `SEEDS=17 cargo test --test promises simulator -- --nocapture` does seed 17 again, `SEEDS=0..20000` does many.

mod dice;
mod faults;
mod life;
mod machine;
mod step;
mod world;

use life::{Broken, Report, Simulation};
use std::ops::Range;

/// What the test command runs.
const BOUNDED: Range<u64> = 0..150;

/// The seeds that were asked for, else the bounded share.
fn seeds() -> Range<u64> {
    let Ok(asked) = std::env::var("SEEDS") else { return BOUNDED };
    let number = |text: &str| text.trim().parse::<u64>().expect("SEEDS is a number or a range such as 5..10");
    match asked.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => number(&asked)..number(&asked) + 1,
    }
}

#[test]
fn a_power_cut_anywhere_leaves_one_point_of_history() {
    live_through(seeds(), Simulation::new);
}

/// The same with two to six writers at once: what one was told is durable stays, each other one is there whole or not.
#[test]
fn a_power_cut_among_several_writers() {
    live_through(seeds(), |seed| Simulation::new(seed).with_writers());
}

fn live_through(seeds: Range<u64>, simulation: impl Fn(u64) -> Simulation) {
    let mut total = Report::default();
    for seed in seeds.clone() {
        let mut simulation = simulation(seed);
        let done = simulation.run();
        assert_eq!(done, Ok(()), "seed {seed}; again: SEEDS={seed} cargo test --test promises simulator");
        total = total + simulation.report;
        if seed % 500 == 499 {
            eprintln!("seeds {}..={seed}: {total:?}; lost 0, partial 0, unopenable 0", seeds.start);
        }
    }
    eprintln!("seeds {seeds:?}: {total:?}; lost 0, partial 0, unopenable 0");
    assert!(total.cuts >= 4 * (seeds.end - seeds.start));
}

#[test]
fn the_same_seed_is_the_same_life() {
    let lived = |seed| {
        let mut simulation = Simulation::new(seed);
        simulation.run().unwrap();
        (simulation.report, simulation.log.lines.clone())
    };
    for seed in [3, 4] {
        assert_eq!(lived(seed), lived(seed));
    }
}

/// The control: a simulator that finds nothing on a disk that loses what it says it keeps would find nothing anywhere.
#[test]
fn a_disk_that_lies_about_syncs_is_found_out() {
    let found: Vec<_> = (0..60).filter_map(|seed| Simulation::new(seed).with_lies(3).run().err()).collect();
    let n = |broken| found.iter().filter(|one| **one == broken).count();
    eprintln!(
        "every third sync lies, 60 seeds: {} lost, {} unopenable, {} partial",
        n(Broken::Lost),
        n(Broken::Unopenable),
        n(Broken::Partial)
    );
    assert!(n(Broken::Lost) > 0, "{found:?}");
}

impl std::ops::Add for Report {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            cuts: self.cuts + other.cuts,
            cuts_in_recovery: self.cuts_in_recovery + other.cuts_in_recovery,
            unacknowledged_kept: self.unacknowledged_kept + other.unacknowledged_kept,
            commits: self.commits + other.commits,
            compactions: self.compactions + other.compactions,
            upkeeps: self.upkeeps + other.upkeeps,
            purges: self.purges + other.purges,
            backups: self.backups + other.backups,
            kv_logs_read: self.kv_logs_read + other.kv_logs_read,
        }
    }
}
