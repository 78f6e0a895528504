//! llama.cpp by llama-cpp-python, as a child process that measures its own CPU time; without it every figure is NaN.

use crate::report::Absent;
use lagdb_peers::BenchResult;
use lagdb_peers::python::Python;
use serde_json::{Value, json};
use std::path::Path;

/// The peer, where it is installed.
pub(crate) struct Llama {
    python: Option<Python>,
    pub(crate) absent: Vec<Absent>,
}

/// What computing some tokens took, and the likeliest token after them.
pub(crate) struct Computed {
    pub(crate) cpu_s: f64,
    pub(crate) wall_s: f64,
    pub(crate) likeliest: Option<u32>,
}

impl Llama {
    /// Starts it, or says how to get it.
    pub(crate) fn start() -> Self {
        match Python::start("llama_generate.py") {
            Ok(python) if python.absent.is_empty() => Self { python: Some(python), absent: Vec::new() },
            Ok(python) => {
                let absent = python.absent.iter().map(|(peer, get)| Absent { peer: peer.clone(), get: get.clone() });
                Self { absent: absent.collect(), python: None }
            }
            Err(error) => {
                let get = format!("set LAGDB_PEERS_PYTHON to a Python 3 interpreter ({error})");
                Self { python: None, absent: vec![Absent { peer: "llama.cpp".to_owned(), get }] }
            }
        }
    }

    /// Loads a model, to be computed by so many threads.
    pub(crate) fn load(&mut self, file: &Path, n_threads: usize) -> BenchResult<()> {
        self.ask(&json!({ "load": file, "threads": n_threads })).map(drop)
    }

    /// Lets the model go.
    pub(crate) fn unload(&mut self) -> BenchResult<()> {
        self.ask(&json!({ "unload": true })).map(drop)
    }

    /// Keeps the first `n_past` tokens of the sequence, computes those that are missing, and then `ids` in one batch, or
    /// one by one; CPU and wall seconds of the last step, and the likeliest token after it.
    pub(crate) fn compute(&mut self, past: &[u32], ids: &[u32], one_by_one: bool) -> BenchResult<Computed> {
        let answer = self.ask(&json!({ "past": past, "ids": ids, "one_by_one": one_by_one }))?;
        let seconds = |name: &str| answer[name].as_f64().unwrap_or(f64::NAN);
        let likeliest = answer["likeliest"].as_u64().map(|id| id as u32);
        Ok(Computed { cpu_s: seconds("s"), wall_s: seconds("wall_s"), likeliest })
    }

    /// Restores the state of the sequence as it is after `past`; CPU seconds.
    pub(crate) fn restore(&mut self, past: &[u32]) -> BenchResult<f64> {
        Ok(self.ask(&json!({ "restore": past }))?["s"].as_f64().unwrap_or(f64::NAN))
    }

    /// The most memory its process ever held, in MiB.
    pub(crate) fn memory(&mut self) -> BenchResult<f64> {
        Ok(self.ask(&json!({ "memory": true }))?["mib"].as_f64().unwrap_or(f64::NAN))
    }

    fn ask(&mut self, request: &Value) -> BenchResult<Value> {
        self.python.as_mut().map_or(Ok(Value::Null), |python| python.ask(request))
    }
}
