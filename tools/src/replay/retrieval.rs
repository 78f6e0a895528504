//! Whether a success at the same task is among the three that are found, for every trial in turn, itself left out.
//!
//! Two questions: among the successes (`search` with `outcome(Success)`, which is what an agent asks), and among all
//! trials, where failures at the same task take places too. Cases are the trials with another success at their task.

use super::embedders::{Embedders, Signal};
use super::store::{N_RECALLED, Stored};
use super::{Half, check_interrupt};
use crate::failure::Failure;
use crate::output::Output;
use crate::statistics::Share;
use lagdb::{Embedding, Id, Outcome, Query, Snapshot, Trajectory};
use std::collections::BTreeMap;

/// Places of each signal that are fused.
const N_FUSED: usize = 20;
/// How fast a place loses worth (Cormack, Clarke and Büttcher, 2009, <https://doi.org/10.1145/1571941.1572114>, have 60
/// for lists of a thousand).
const FUSION: f64 = 10.0;

/// The signal of the second look, and how many trials of any outcome it takes up (Rocchio, 1971, in *The SMART retrieval
/// system*): what they have in common with successes of their task, the first message need not say.
const LOOKED_AGAIN: Signal = Signal::FittedPassages;
const N_TAKEN_UP: usize = 5;

/// One way of finding, measured.
pub(super) struct Arm {
    /// In a few words.
    pub(super) name: &'static str,
    /// Found among the successes, by half.
    pub(super) among_successes: [Share; 2],
    /// Found among all trials, by half.
    pub(super) among_all: [Share; 2],
}

/// All ways, simplest first.
///
/// # Errors
/// When the database cannot be written or read; on Ctrl-C, [`Failure::Interrupted`].
pub(super) fn measure(stored: &Stored, output: Output) -> Result<Vec<Arm>, Failure> {
    let embedders = Embedders::new(&stored.trials)?;
    let mut tx = stored.scope.begin()?;
    for signal in Signal::ALL {
        tx.add_space(&embedders.space(signal))?;
        for (id, trial) in stored.all() {
            tx.embed(id, &embedders.stored(signal, trial)?)?;
        }
    }
    tx.commit()?;
    let snapshot = stored.scope.snapshot()?;
    let bar = output.progress(stored.trials.len() as u64, "searching");
    let names = Signal::ALL.into_iter().map(Signal::name).chain(["second look", "all fused"]);
    let mut arms: Vec<Arm> = names.map(Arm::new).collect();
    for (id, trial) in stored.all() {
        check_interrupt()?;
        bar.inc(1);
        let is_success = |other: Id<Trajectory>| {
            let mut all = stored.all();
            all.any(|(it, other_trial)| {
                it == other && it != id && other_trial.task == trial.task && other_trial.succeeded()
            })
        };
        if !stored.ids.iter().any(|other| is_success(*other)) {
            continue;
        }
        let half = trial.half as usize;
        for outcome in [Some(Outcome::Success), None] {
            let mut lists = Vec::new();
            for signal in Signal::ALL {
                let query = Query::near(embedders.asked(signal, trial)?).exclude(id).limit(N_FUSED);
                lists.push(ranked(&snapshot, &outcome.into_iter().fold(query, Query::outcome))?);
            }
            let fused = fused(&lists);
            let again = second_look(&snapshot, &embedders, &embedders.asked(LOOKED_AGAIN, trial)?, id)?;
            lists.push(ranked(&snapshot, &outcome.into_iter().fold(again, Query::outcome))?);
            lists.push(fused);
            for (arm, list) in arms.iter_mut().zip(&lists) {
                let shares = if outcome.is_some() { &mut arm.among_successes } else { &mut arm.among_all };
                let found = list.iter().take(N_RECALLED).any(|it| is_success(*it));
                shares.iter_mut().skip(half).take(1).for_each(|share| share.add(found));
            }
        }
    }
    bar.finish_and_clear();
    Ok(arms)
}

impl Arm {
    fn new(name: &'static str) -> Self {
        Self { name, among_successes: [Share::default(); 2], among_all: [Share::default(); 2] }
    }

    /// The share among successes in one half.
    pub(super) fn found(&self, half: Half) -> Share {
        self.among_successes.get(half as usize).copied().unwrap_or_default()
    }

    /// The share among all in one half.
    pub(super) fn found_among_all(&self, half: Half) -> Share {
        self.among_all.get(half as usize).copied().unwrap_or_default()
    }
}

fn ranked(snapshot: &Snapshot, query: &Query) -> Result<Vec<Id<Trajectory>>, Failure> {
    Ok(snapshot.search::<Trajectory>(query)?.into_iter().map(|hit| hit.id).collect())
}

/// A query for what is like `asked` and like its nearest, whatever became of them.
fn second_look(
    snapshot: &Snapshot,
    embedders: &Embedders,
    asked: &Embedding,
    left_out: Id<Trajectory>,
) -> Result<Query, Failure> {
    let space = embedders.space(LOOKED_AGAIN);
    let nearest = snapshot.nearest::<Trajectory>(&Query::near(asked.clone()).exclude(left_out).limit(N_TAKEN_UP))?;
    let mut taken_up = vec![0.0; space.dim()];
    for (id, similarity) in nearest.hits {
        if let Some(embedding) = snapshot.embedding_in(id, &space)? {
            taken_up.iter_mut().zip(embedding.as_slice()).for_each(|(sum, x)| *sum += similarity * x);
        }
    }
    let norm = taken_up.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    let both = asked.as_slice().iter().zip(&taken_up).map(|(a, b)| a + b / norm).collect();
    Ok(Query::near(Embedding::new(&space, both)?).exclude(left_out).limit(N_FUSED))
}

/// One list of those that read the first message and are not noise: each place is worth `1 / (10 + place)`.
fn fused(lists: &[Vec<Id<Trajectory>>]) -> Vec<Id<Trajectory>> {
    let mut worth: BTreeMap<Id<Trajectory>, f64> = BTreeMap::new();
    for (signal, list) in Signal::ALL.into_iter().zip(lists) {
        if !matches!(signal, Signal::Random | Signal::TwoMessages) {
            for (place, id) in list.iter().enumerate() {
                *worth.entry(*id).or_insert(0.0) += 1.0 / (FUSION + place as f64);
            }
        }
    }
    let mut fused: Vec<(Id<Trajectory>, f64)> = worth.into_iter().collect();
    fused.sort_by(|a, b| b.1.total_cmp(&a.1));
    fused.into_iter().map(|(id, _)| id).collect()
}
