//! What a memory costs a task beside the model: recalling lessons, and consolidating and committing what was learned.
//!
//! The model answers at once and writes three lessons a task, so every commit holds a trajectory, its judgment, the exposures
//! of eight lessons and up to three lessons; 300 tasks about 10 domains, in which lessons come up again and again.
//! `--tasks N` takes another number.

mod report;

use lagdb::agent::{
    Agent, Answer, Distiller, English, Environment, EnvironmentError, Learner, Living, Policy, Scripted, Task, Verifier,
};
use lagdb::{Database, Judgment, Outcome, Step, Strategy};
use report::Row;
use std::sync::Arc;

const N_TASKS: usize = 300;
const N_DOMAINS: usize = 10;
/// Different lessons about a domain.
const N_LESSONS: usize = 12;
/// Tasks at the beginning that are not counted: there is no memory yet.
const N_WARM_UP: usize = 50;

type BenchResult<T> = Result<T, Box<dyn std::error::Error>>;

/// A task that any action solves.
struct Anything(Task);

impl Environment for Anything {
    fn task(&self) -> &Task {
        &self.0
    }

    fn reset(&mut self) -> Result<String, EnvironmentError> {
        Ok(self.0.name.clone())
    }

    fn step(&mut self, _: &str) -> Result<Answer, EnvironmentError> {
        Ok(Answer::end("done"))
    }

    fn verify(&mut self, _: &[Step]) -> Result<Option<Judgment>, EnvironmentError> {
        Ok(Some(Judgment::new(Outcome::Success, "bench")))
    }
}

/// Times in ms, and how many lessons there are in the end.
struct Measured {
    recall: Vec<f64>,
    record: Vec<f64>,
    both: Vec<f64>,
    n_lessons: u64,
}

fn main() -> BenchResult<()> {
    let directory = tempfile::tempdir()?;
    let in_memory = measure(&Database::in_memory()?)?;
    let on_disk = measure(&Database::open(directory.path().join("bench.lagdb"))?)?;
    let row =
        |name: String, goal, lagdb| Row { name, unit: "ms", higher_is_better: false, lagdb, peers: Vec::new(), goal };
    let n = in_memory.n_lessons;
    report::print(&[
        row(format!("recall among {n} lessons, p50"), None, at(&in_memory.recall, 0.5)),
        row("consolidate and commit in memory, p50".to_owned(), None, at(&in_memory.record, 0.5)),
        row("recall and record in memory, p50".to_owned(), Some(2.0), at(&in_memory.both, 0.5)),
        row("recall and record in memory, p99".to_owned(), None, at(&in_memory.both, 0.99)),
        row("recall and record on disk, p50".to_owned(), Some(2.0), at(&on_disk.both, 0.5)),
        row("recall and record on disk, p99".to_owned(), None, at(&on_disk.both, 0.99)),
    ]);
    Ok(())
}

fn measure(database: &Database) -> BenchResult<Measured> {
    let scope = database.scope("bench")?;
    let mut measured = Measured { recall: Vec::new(), record: Vec::new(), both: Vec::new(), n_lessons: 0 };
    for number in 0..n_tasks()? {
        let model = Scripted::new(["acts".to_owned(), lessons(number)]);
        let agent = Agent::new(model.clone(), scope.clone(), Policy::default());
        let distiller = Distiller::new(Arc::new(model), Arc::new(English));
        let learner = Learner::new(agent, Arc::new(Verifier), distiller);
        let domain = domain(number);
        let task = Task::new(format!("task {number}: book {domain} for a customer")).domain(domain);
        let Living::Now(learned) = learner.live(&mut Anything(task), None)? else { continue };
        if number < N_WARM_UP {
            continue;
        }
        let (recall, record) = (learned.recall_time.as_secs_f64() * 1e3, learned.record_time.as_secs_f64() * 1e3);
        measured.recall.push(recall);
        measured.record.push(record);
        measured.both.push(recall + record);
    }
    measured.n_lessons = scope.snapshot()?.len::<Strategy>()?;
    Ok(measured)
}

fn n_tasks() -> BenchResult<usize> {
    let mut args = std::env::args().skip_while(|arg| arg != "--tasks").skip(1);
    Ok(args.next().map_or(Ok(N_TASKS), |n| n.parse())?)
}

fn domain(number: usize) -> String {
    ["flights", "hotels", "trains", "cars", "ferries", "concerts", "tables", "tours", "courts", "rooms"]
        .get(number % N_DOMAINS)
        .map_or_else(String::new, |name| (*name).to_owned())
}

/// Three lessons, of which most were written before.
fn lessons(number: usize) -> String {
    let lesson = |at: usize| {
        let which = (number / N_DOMAINS * 3 + at) % N_LESSONS;
        let (domain, what) = (domain(number), ["prices", "dates", "names", "fees", "seats", "bags"][which % 6]);
        let verb = ["Check", "Confirm"][which / 6];
        format!(
            "title: {verb} {what} of {domain}\ndescription: When {domain} are booked.\ncontent: {verb} the {what}.\n"
        )
    };
    (0..3).map(lesson).collect()
}

/// The time that a share `of` of all lies below.
fn at(times: &[f64], of: f64) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = (of * (sorted.len().saturating_sub(1)) as f64).round() as usize;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}
