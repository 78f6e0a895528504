//! Whether a success at the same task is among the three that are found, for every trial in turn, itself left out.
//!
//! Two questions: among the successes (`search` with `outcome(Success)`, which is what an agent asks), and among all
//! trials, where failures at the same task take places too. Cases are the trials with another success at their task. The way
//! that is best among successes of the tuned half is the chosen one; the others are reported beside it.

use super::embedders::{Embedders, Signal};
use super::store::{N_RECALLED, Stored};
use super::{Half, check_interrupt};
use crate::failure::Failure;
use crate::output::Output;
use crate::statistics::Clustered;
use lagdb::{Embedding, Id, Outcome, Query, Snapshot, Trajectory};
use std::collections::{BTreeMap, BTreeSet};

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
    /// Whether it may be chosen: it reads the first message and nothing else of who asks.
    is_candidate: bool,
    /// Found among the successes, by half.
    among_successes: [Clustered; 2],
    /// Found among all trials, by half.
    among_all: [Clustered; 2],
    /// Found among the successes, less found by the control, case by case.
    gained: [Clustered; 2],
}

/// What the others are compared with: the simplest that reads what is asked.
pub(super) const CONTROL: Signal = Signal::PlainGrams;

/// The way to choose, as the tuned half shows it; of equals the simplest.
pub(super) fn chosen(arms: &[Arm]) -> Option<&Arm> {
    let candidates = arms.iter().filter(|arm| arm.is_candidate).rev();
    candidates.max_by(|a, b| a.found(Half::Tuned).value().total_cmp(&b.found(Half::Tuned).value()))
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
    let mut arms: Vec<Arm> =
        Signal::ALL.into_iter().map(|signal| Arm::new(signal.name(), is_first_message(signal))).collect();
    arms.extend(["second look", "all fused"].map(|name| Arm::new(name, true)));
    let mut successes: BTreeMap<&str, BTreeSet<Id<Trajectory>>> = BTreeMap::new();
    for (id, trial) in stored.all().filter(|(_, trial)| trial.succeeded()) {
        successes.entry(&trial.task).or_default().insert(id);
    }
    for (id, trial) in stored.all() {
        check_interrupt()?;
        bar.inc(1);
        let Some(of_task) = successes.get(trial.task.as_str()) else { continue };
        let is_success = |other: &Id<Trajectory>| *other != id && of_task.contains(other);
        if !of_task.iter().any(is_success) {
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
            let found: Vec<bool> = lists.iter().map(|list| list.iter().take(N_RECALLED).any(is_success)).collect();
            let control = Signal::ALL.into_iter().zip(&found).any(|(signal, found)| signal == CONTROL && *found);
            for (arm, found) in arms.iter_mut().zip(found) {
                if outcome.is_some() {
                    let gained = f64::from(u8::from(found)) - f64::from(u8::from(control));
                    arm.gained.iter_mut().skip(half).take(1).for_each(|share| share.add(&trial.task, gained));
                }
                let shares = if outcome.is_some() { &mut arm.among_successes } else { &mut arm.among_all };
                shares.iter_mut().skip(half).take(1).for_each(|share| share.add_hit(&trial.task, found));
            }
        }
    }
    bar.finish_and_clear();
    Ok(arms)
}

impl Arm {
    fn new(name: &'static str, is_candidate: bool) -> Self {
        let gained = [Clustered::of_differences(), Clustered::of_differences()];
        Self { name, is_candidate, among_successes: Default::default(), among_all: Default::default(), gained }
    }

    /// The share among successes in one half.
    pub(super) fn found(&self, half: Half) -> &Clustered {
        half.of(&self.among_successes)
    }

    /// The share among successes in one half, less that of the control.
    pub(super) fn gained(&self, half: Half) -> &Clustered {
        half.of(&self.gained)
    }

    /// The share among all in one half.
    pub(super) fn found_among_all(&self, half: Half) -> &Clustered {
        half.of(&self.among_all)
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

/// Whether a signal reads the first message, and nothing else of who asks.
fn is_first_message(signal: Signal) -> bool {
    !matches!(signal, Signal::Random | Signal::TwoMessages)
}

/// One list of those that read the first message and are not noise: each place is worth `1 / (10 + place)`.
fn fused(lists: &[Vec<Id<Trajectory>>]) -> Vec<Id<Trajectory>> {
    let mut worth: BTreeMap<Id<Trajectory>, f64> = BTreeMap::new();
    for (signal, list) in Signal::ALL.into_iter().zip(lists) {
        if is_first_message(signal) {
            for (place, id) in list.iter().enumerate() {
                *worth.entry(*id).or_insert(0.0) += 1.0 / (FUSION + place as f64);
            }
        }
    }
    let mut fused: Vec<(Id<Trajectory>, f64)> = worth.into_iter().collect();
    fused.sort_by(|a, b| b.1.total_cmp(&a.1));
    fused.into_iter().map(|(id, _)| id).collect()
}
