//! The learning curve: losses averaged over recent steps, one JSON line every so often.

use super::TrainError;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

/// The share of the newest step in an average.
const NEWEST: f32 = 0.05;

/// A curve being written.
pub(crate) struct Curve {
    file: File,
    began: Instant,
    /// By the name of the loss.
    averages: BTreeMap<&'static str, f32>,
}

impl Curve {
    pub(crate) fn create(path: &Path) -> Result<Self, TrainError> {
        Ok(Self { file: File::create(path)?, began: Instant::now(), averages: BTreeMap::new() })
    }

    /// Takes in one loss of one step.
    pub(crate) fn note(&mut self, name: &'static str, loss: f32) {
        let average = self.averages.entry(name).or_insert(loss);
        *average += NEWEST * (loss - *average);
    }

    /// Writes one line, with `checks` at its end, and returns it.
    pub(crate) fn point(&mut self, step: usize, stage: &str, checks: Map<String, Value>) -> Result<String, TrainError> {
        let mut line = Map::new();
        line.insert("step".into(), json!(step));
        line.insert("stage".into(), json!(stage));
        line.insert("seconds".into(), json!(self.began.elapsed().as_secs()));
        for (name, loss) in &self.averages {
            line.insert((*name).into(), json!((f64::from(*loss) * 1e4).round() / 1e4));
        }
        line.extend(checks);
        let line = Value::Object(line).to_string();
        writeln!(self.file, "{line}")?;
        Ok(line)
    }
}
