//! The measuring phase: every follow-up under every arm, read from the reopened database.

use super::live::exhausted;
use super::table::LiveTable;
use super::tasks::{FollowUpTask, N_LOGS, words};
use super::{Arm, Options, Stream, agent};
use crate::failure::Failure;
use crate::interrupt;
use crate::output::Output;
use crate::parallel;
use crate::world::{FollowUp, Kind, Through, Word};
use lagdb::agent::{Agent, Attempt, Environment, Judge, Verifier};
use lagdb::generate::Generator;
use lagdb::{Database, Id, Outcome, Trajectory};
use std::time::Instant;

/// What the agent did before anything was looked up for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It gave the right answer.
    Correct,
    /// It asked for a fact.
    Lookup,
    /// It gave a wrong answer, or none.
    Wrong,
}

/// One follow-up under one arm.
#[derive(Clone, Debug)]
pub struct Case {
    /// What the agent was given of its past.
    pub arm: Arm,
    /// Where the needed fact can be found.
    pub kind: Kind,
    /// Trajectories asked of the search.
    pub n_logs: usize,
    /// Seed of the stream.
    pub seed: u64,
    /// First act.
    pub verdict: Verdict,
    /// Whether the answer was right in the end, look-ups included.
    pub solved: bool,
    /// Whether the search found the trajectory the question is about.
    pub recalled: bool,
    /// 1 + look-ups.
    pub steps: usize,
    /// Prompt tokens computed, over all steps.
    pub prefill_tokens: usize,
    /// Searching and reading what is recalled, in ms.
    pub recall_ms: f64,
    /// From the start, recalling and attaching included, to the first generated token, in ms.
    pub ttft_ms: f64,
}

/// Solves every follow-up of every stream under every arm.
///
/// # Errors
/// When the database or the model fails, or on Ctrl-C.
pub(super) fn measure(
    options: &Options,
    generator: &Generator,
    database: &Database,
    streams: &[Stream],
    output: Output,
) -> Result<Vec<Case>, Failure> {
    let table = LiveTable::new(output, streams.len());
    let cases = parallel::map(options.n_threads(), streams, |stream| {
        let agent = agent(options, generator, database.scope(&stream.scope)?, None);
        let cases = measure_stream(&agent, stream)?;
        table.add(&cases);
        Ok(cases)
    })?;
    table.finish();
    Ok(cases.concat())
}

fn measure_stream(agent: &Agent, stream: &Stream) -> Result<Vec<Case>, Failure> {
    let mut world = stream.world.clone();
    let mut cases = Vec::new();
    for (i, n_logs) in N_LOGS.into_iter().enumerate() {
        for (j, kind) in Kind::ALL.into_iter().enumerate() {
            let (which, through) = turn(i * Kind::ALL.len() + j, stream.index, stream.sources.len());
            let (source, id) = &stream.sources[which];
            let follow_up = world.follow_up(source, kind, through).map_err(exhausted)?;
            for arm in Arm::ALL {
                if interrupt::requested() {
                    return Err(Failure::Interrupted("what was committed stays".to_owned()));
                }
                let case = solve(agent, &follow_up, arm, n_logs, *id)?;
                cases.push(Case { seed: stream.seed, ..case });
            }
        }
    }
    Ok(cases)
}

/// Which source task a cell's follow-up asks about in the stream `index`, and through whom.
///
/// From stream to stream every cell goes round all source tasks, old and recent alike; after each round it asks the
/// other way.
fn turn(cell: usize, index: usize, n_sources: usize) -> (usize, Through) {
    let round = index / n_sources + cell;
    let through = if round.is_multiple_of(2) { Through::Bridge } else { Through::SamePerson };
    ((cell + index) % n_sources, through)
}

/// Solves one follow-up about the trajectory `relevant`.
fn solve(
    agent: &Agent,
    follow_up: &FollowUp,
    arm: Arm,
    n_logs: usize,
    relevant: Id<Trajectory>,
) -> Result<Case, Failure> {
    let mut environment = FollowUpTask::new(follow_up);
    let exclude = if arm == Arm::KvOfAnotherTask { vec![relevant] } else { Vec::new() };
    let start = Instant::now();
    let recollection = agent.recall(environment.task(), arm.recall(), n_logs, &exclude)?;
    let recall_time = start.elapsed();
    let attempt = agent.solve(&mut environment, &recollection)?;
    let outcome = Verifier.judge(&mut environment, &attempt)?.outcome;
    Ok(Case {
        arm,
        kind: follow_up.kind,
        n_logs,
        seed: 0,
        verdict: verdict(&attempt, outcome),
        solved: outcome == Outcome::Success,
        recalled: recollection.hits.iter().any(|(id, _)| *id == relevant),
        steps: attempt.n_actions(),
        prefill_tokens: attempt.prefill_tokens,
        recall_ms: recall_time.as_secs_f64() * 1e3,
        ttft_ms: (recall_time + attempt.time_to_first_token).as_secs_f64() * 1e3,
    })
}

fn verdict(attempt: &Attempt, outcome: Outcome) -> Verdict {
    let first_act = attempt.steps.first().map(|step| words(&step.action)).unwrap_or_default();
    match (first_act.last(), outcome) {
        (Some(&Word::LOOKUP), _) => Verdict::Lookup,
        (_, Outcome::Success) => Verdict::Correct,
        _ => Verdict::Wrong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Cells once asked about one source task each and one way per seed, so that seeds and ways were confounded.
    #[test]
    fn every_cell_asks_about_every_source_in_both_ways() {
        for cell in 0..N_LOGS.len() * Kind::ALL.len() {
            let asked: BTreeSet<(usize, bool)> = (0..18)
                .map(|index| turn(cell, index, 9))
                .map(|(which, through)| (which, through == Through::Bridge))
                .collect();
            assert_eq!(asked.len(), 18, "cell {cell}");
        }
    }
}
