//! The live phase: the agent solves source tasks, nine a stream, and remembers each in one transaction.

use super::tasks::SourceTaskEnvironment;
use super::{Options, agent};
use crate::failure::Failure;
use crate::interrupt;
use crate::output::Output;
use crate::parallel;
use crate::world::{Exhausted, Pairs, SourceTask, TaskSize, World};
use lagdb::agent::{Agent, Capture, Environment, Judge, Recollection, Verifier};
use lagdb::format::ElementType;
use lagdb::generate::Generator;
use lagdb::{Database, Error, Id, Outcome, Trajectory};
use std::time::{SystemTime, UNIX_EPOCH};

/// Source tasks of a stream: eight to recall, and one more so that the control can recall eight others.
const N_SOURCES: usize = 9;

/// A log is the response and the `think` before it.
const CAPTURE: Capture = Capture { lead_in_tokens: 1, element: ElementType::F16 };

/// One stream: a world of its own, the source tasks lived in it, and what they became in the database.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Name of its scope.
    pub scope: String,
    /// Seed the world was drawn from.
    pub seed: u64,
    /// Which stream of its seed.
    pub index: usize,
    /// The world, for drawing follow-ups.
    pub world: World,
    /// The tasks, with the trajectory of each.
    pub sources: Vec<(SourceTask, Id<Trajectory>)>,
    /// Source tasks that were answered rightly.
    pub n_solved: usize,
}

/// Lives through all streams.
///
/// # Errors
/// When a commit or the model fails, or on Ctrl-C; finished tasks stay committed.
pub(super) fn live(
    options: &Options,
    generator: &Generator,
    database: &Database,
    output: Output,
) -> Result<Vec<Stream>, Failure> {
    let names: Vec<(u64, usize)> =
        options.seeds.iter().flat_map(|seed| (0..options.streams).map(move |i| (*seed, i))).collect();
    let bar = output.progress((names.len() * N_SOURCES) as u64, "living");
    let streams = parallel::map(options.n_threads(), &names, |(seed, index)| {
        let scope = format!("demo/seed-{seed}/stream-{index}");
        let agent = agent(options, generator, database.scope(&scope)?, Some(CAPTURE));
        live_stream(scope, *seed, *index, &agent, &|| bar.inc(1))
    })?;
    bar.finish_and_clear();
    Ok(streams)
}

fn live_stream(scope: String, seed: u64, index: usize, agent: &Agent, tick: &dyn Fn()) -> Result<Stream, Failure> {
    let mut world = World::new(world_seed(seed, index), Pairs::HeldOut);
    let mut stream = Stream { scope, seed, index, world: world.clone(), sources: Vec::new(), n_solved: 0 };
    for i in 0..N_SOURCES {
        if interrupt::requested() {
            return Err(Failure::Interrupted("what was committed stays".to_owned()));
        }
        // Sizes vary: 36 to 60 words of documents.
        let size = TaskSize::new(2 + i % 3, 2 + (i + 1) % 3);
        let source = world.source_task(size).map_err(exhausted)?;
        let (id, solved) = live_task(agent, &source, &world)?;
        stream.n_solved += usize::from(solved);
        stream.sources.push((source, id));
        tick();
    }
    stream.world = world;
    Ok(stream)
}

/// Solves one source task without memory and remembers it, whatever came of it.
fn live_task(agent: &Agent, source: &SourceTask, world: &World) -> Result<(Id<Trajectory>, bool), Failure> {
    let started_at_ms = now_ms();
    let mut environment = SourceTaskEnvironment::new(source, world);
    let attempt = agent.solve(&mut environment, &Recollection::default())?;
    let judgment = Verifier.judge(&mut environment, &attempt)?;
    let id = agent.remember(environment.task(), &attempt, &judgment, started_at_ms)?;
    Ok((id, judgment.outcome == Outcome::Success))
}

/// Streams of different seeds never share a world.
fn world_seed(seed: u64, index: usize) -> u64 {
    seed.wrapping_mul(1_000_003).wrapping_add(index as u64)
}

/// A world that ran out of names.
pub(super) fn exhausted(error: Exhausted) -> Error {
    Error::invalid("world", error)
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
}
