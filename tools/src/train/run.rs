//! One training run, from a seed to a folder of files.
//!
//! The folder gets the checkpoint, `curve.jsonl` (one line every 25 steps) and `evaluation.json`.

use super::batch::{Arm, Batch};
use super::checkpoint;
use super::evaluate::{Cell, Counts, evaluate, table_cells};
use super::loss::losses;
use super::model::Model;
use super::optimizer::Optimizer;
use super::recipe::{Recipe, SIZES};
use crate::world::{Exhausted, Kind, Rng, Through};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

const CURVE_EVERY: usize = 25;
const CHECK_EVERY: usize = 250;
/// The checks during a run look at cases of this seed, the evaluation at its end at those of the others.
const CHECK_SEED: u64 = 777;
const EVALUATION_SEEDS: [u64; 3] = [101, 202, 303];
const CASES_A_SEED: usize = 70;

/// What to train and where to put it.
#[derive(Clone, Debug)]
pub struct TrainOptions {
    /// Everything random in the run comes from this.
    pub seed: u64,
    /// The folder for the results; made if missing.
    pub out: PathBuf,
    /// Train the control, which never sees a KV log.
    pub plain: bool,
}

/// Why a run stopped.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A tensor operation failed.
    #[error("the model could not be run")]
    Tensor(#[from] candle_core::Error),
    /// A file could not be written.
    #[error("a result could not be written")]
    Io(#[from] std::io::Error),
    /// A result could not be put into JSON.
    #[error("a result could not be put into JSON")]
    Json(#[from] serde_json::Error),
    /// The recipe asks for tasks larger than a world.
    #[error("the recipe asks for too large tasks")]
    World(#[from] Exhausted),
}

/// Trains a model and writes its files; `progress` is told, now and then, how it goes.
///
/// # Errors
///
/// [`TrainError`] if a file cannot be written.
pub fn train(options: &TrainOptions, mut progress: impl FnMut(&str)) -> Result<(), TrainError> {
    std::fs::create_dir_all(&options.out)?;
    let recipe = Recipe::new(options.plain);
    let mut rng = Rng::new(options.seed);
    let model = super::preset::fresh(SIZES, &mut rng)?;
    let mut optimizer = Optimizer::new(&model)?;
    let mut curve = Curve::new(options)?;
    for step in 0..recipe.n_steps() {
        let stage = recipe.stage(step);
        let plan = stage.plan(&mut rng);
        let batch = Batch::draw(&plan, &mut rng)?;
        let losses = losses(&model, &batch, plan.arm)?;
        let grads = losses.total(stage.write_weight)?.backward()?;
        optimizer.step(&grads, recipe.rates(step))?;
        curve.note(plan.arm.name(), losses.follow_up.to_scalar()?);
        curve.note("write", losses.write.to_scalar()?);
        if let Some(source) = losses.source {
            curve.note("source", source.to_scalar()?);
        }
        let last = step + 1 == recipe.n_steps();
        if step % CURVE_EVERY == 0 || last {
            let checks = if step % CHECK_EVERY == 0 || last {
                check(&model)?
            } else {
                Map::new()
            };
            progress(&curve.point(step, stage.name, checks)?);
        }
        if step % CHECK_EVERY == 0 {
            checkpoint::save(&model, &options.out)?;
        }
    }
    checkpoint::save(&model, &options.out)?;
    let table = evaluation(&model)?;
    for row in &table {
        progress(&row.to_string());
    }
    let mut text = table
        .iter()
        .map(Value::to_string)
        .collect::<Vec<_>>()
        .join(",\n");
    text = format!("[\n{text}\n]\n");
    Ok(std::fs::write(options.out.join("evaluation.json"), text)?)
}

/// Losses, averaged over recent steps, by name; and the file they go to.
struct Curve {
    file: std::fs::File,
    began: Instant,
    averages: BTreeMap<&'static str, f32>,
}

impl Curve {
    fn new(options: &TrainOptions) -> Result<Self, TrainError> {
        let file = std::fs::File::create(options.out.join("curve.jsonl"))?;
        Ok(Self {
            file,
            began: Instant::now(),
            averages: BTreeMap::new(),
        })
    }

    fn note(&mut self, name: &'static str, loss: f32) {
        let average = self.averages.entry(name).or_insert(loss);
        *average += 0.05 * (loss - *average);
    }

    /// Writes one line and returns it.
    fn point(
        &mut self,
        step: usize,
        stage: &str,
        checks: Map<String, Value>,
    ) -> Result<String, TrainError> {
        let mut line = Map::new();
        line.insert("step".into(), json!(step));
        line.insert("stage".into(), json!(stage));
        line.insert("seconds".into(), json!(self.began.elapsed().as_secs()));
        let rounded = |x: f32| (f64::from(x) * 1e4).round() / 1e4;
        line.extend(
            self.averages
                .iter()
                .map(|(name, loss)| ((*name).to_owned(), json!(rounded(*loss)))),
        );
        line.extend(checks);
        let line = Value::Object(line).to_string();
        writeln!(self.file, "{line}")?;
        Ok(line)
    }
}

/// The share of unspelled facts recalled from KV logs, on cases that the evaluation does not use.
fn check(model: &Model) -> Result<Map<String, Value>, TrainError> {
    let mut checks = Map::new();
    for (name, n_logs) in [
        ("unspelled_kv_1", 1),
        ("unspelled_kv_4", 4),
        ("unspelled_kv_8", 8),
    ] {
        let cell = Cell {
            kind: Kind::Unspelled,
            through: Through::Bridge,
            arm: Arm::Kv,
            n_logs,
            relevant: true,
        };
        let counts = evaluate(model, cell, CHECK_SEED, 64)?;
        checks.insert(
            name.into(),
            json!(counts.correct as f64 / counts.n() as f64),
        );
    }
    Ok(checks)
}

fn evaluation(model: &Model) -> Result<Vec<Value>, TrainError> {
    let row = |cell: Cell| {
        let mut sum = Counts::default();
        let mut by_seed = Vec::new();
        for seed in EVALUATION_SEEDS {
            let counts = evaluate(model, cell, seed, CASES_A_SEED)?;
            by_seed.push(counts.correct);
            sum.add(counts);
        }
        Ok(json!({
            "kind": format!("{:?}", cell.kind).to_lowercase(),
            "through": if cell.through == Through::Bridge { "bridge" } else { "same" },
            "arm": cell.arm.name(),
            "logs": cell.n_logs,
            "relevant": cell.relevant,
            "correct": sum.correct,
            "lookup": sum.lookup,
            "wrong": sum.wrong,
            "correct_by_seed": by_seed,
        }))
    };
    table_cells().into_iter().map(row).collect()
}
