//! How often a model is right, looks up, or is wrong: per kind of question, arm and number of logs, on held-out pairs.
//!
//! The right response is laid before the model, and its own choice is compared at every word: up to the first
//! difference this is greedy decoding. No difference is *correct*; a first difference where the model chose `lookup` is
//! a *lookup*; any other is *wrong*. For a fact that is nowhere, the response ends in `lookup`, which is then correct.

use super::TrainError;
use super::batch::{Arm, Rows};
use super::loss::memory_of;
use super::model::Model;
use crate::world::{
    Exhausted, FollowUp, Kind, LOG_LEN, MarkedWords, Pairs, Rng, SourceTask, TaskSize, Through, Word, World,
};
use candle_core::D;

/// What is measured in one cell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) kind: Kind,
    pub(crate) through: Through,
    pub(crate) arm: Arm,
    pub(crate) n_logs: usize,
    /// Whether the relevant log is among them; without it, all logs are of other tasks.
    pub(crate) relevant: bool,
}

/// How many cases came out how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) correct: usize,
    pub(crate) lookup: usize,
    pub(crate) wrong: usize,
}

impl Counts {
    pub(crate) fn n(&self) -> usize {
        self.correct + self.lookup + self.wrong
    }

    pub(crate) fn add(&mut self, other: Counts) {
        self.correct += other.correct;
        self.lookup += other.lookup;
        self.wrong += other.wrong;
    }
}

struct Case {
    logs: Vec<SourceTask>,
    follow_up: FollowUp,
}

/// Counts one cell over `n` cases of a seed. The same seed gives the same cases in every arm.
pub(crate) fn evaluate(model: &Model, cell: Cell, seed: u64, n: usize) -> Result<Counts, TrainError> {
    let mut rng = Rng::new(seed);
    let cases: Vec<Case> = (0..n).map(|_| draw_case(cell, &mut rng)).collect::<Result<_, _>>()?;
    let mut counts = Counts::default();
    for some in cases.chunks(32) {
        counts.add(run_cases(model, cell, some)?);
    }
    Ok(counts)
}

fn draw_case(cell: Cell, rng: &mut Rng) -> Result<Case, Exhausted> {
    let mut world = World::with_rng(Rng::new(rng.bits()), Pairs::HeldOut);
    let place = rng.below(cell.n_logs.max(1));
    let about = world.source_task(TaskSize::new(4, 4))?;
    let n_others = cell.n_logs - usize::from(cell.relevant);
    let mut logs = Vec::with_capacity(cell.n_logs);
    for _ in 0..n_others {
        logs.push(world.source_task(TaskSize::new(4, 4))?);
    }
    let follow_up = world.follow_up(&about, cell.kind, cell.through)?;
    if cell.relevant {
        logs.insert(place, about);
    }
    Ok(Case { logs, follow_up })
}

fn run_cases(model: &Model, cell: Cell, cases: &[Case]) -> Result<Counts, TrainError> {
    let rows: Vec<MarkedWords> = cases.iter().map(|case| follow_up_row(cell, case)).collect();
    let rows = Rows::new(rows.iter().map(Vec::as_slice));
    let memory = match cell.arm {
        Arm::Kv => {
            let trajectories = cases.iter().flat_map(|case| &case.logs).map(|log| unmarked(log.trajectory()));
            let trajectories: Vec<MarkedWords> = trajectories.collect();
            let len = trajectories[0].len();
            let pass = model.forward(&Rows::new(trajectories.iter().map(Vec::as_slice)).tokens()?, None)?;
            Some(memory_of(&pass, len - LOG_LEN..len, cases.len())?)
        }
        Arm::None | Arm::Text | Arm::Full => None,
    };
    let pass = model.forward(&rows.tokens()?, memory.as_deref())?;
    let (at, _) = rows.said()?;
    let chosen = model.logits(&pass.hidden.index_select(&at, 0)?)?.argmax(D::Minus1)?.to_vec1::<u32>()?;
    let mut chosen = chosen.into_iter();
    let mut counts = Counts::default();
    for said in rows.said_by_row() {
        let chosen: Vec<u32> = chosen.by_ref().take(said.len()).collect();
        match said.iter().zip(&chosen).find(|(want, got)| want != got) {
            None => counts.correct += 1,
            Some((_, got)) if *got == Word::LOOKUP.id() => counts.lookup += 1,
            Some(_) => counts.wrong += 1,
        }
    }
    Ok(counts)
}

fn follow_up_row(cell: Cell, case: &Case) -> MarkedWords {
    let shown = match cell.arm {
        Arm::Text => case.logs.iter().flat_map(SourceTask::log).collect(),
        Arm::Full => case.logs.iter().flat_map(SourceTask::trajectory).collect(),
        Arm::Kv | Arm::None => Vec::new(),
    };
    let mut row = unmarked([shown, case.follow_up.prompt()].concat());
    let mut response = case.follow_up.response();
    if cell.kind == Kind::Absent {
        response.truncate(4);
        response.push(Word::LOOKUP);
    }
    row.extend(response.into_iter().map(|word| (word, true)));
    row
}

fn unmarked(words: Vec<Word>) -> MarkedWords {
    words.into_iter().map(|word| (word, false)).collect()
}
