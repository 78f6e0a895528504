//! A Python peer: a script of `python/` that runs as a child process and answers one line for one line.
//!
//! It measures its own CPU seconds, so that neither the pipe nor the interpreter's start counts. Its first line says
//! which of its peers are installed: `{"ready": ["blosc2"], "absent": {"zipnn": "pip install zipnn"}}`. The
//! interpreter is `LAGDB_PEERS_PYTHON`, or `python3`.

use crate::BenchResult;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A running script.
pub struct Python {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// Names of the peers that are installed.
    pub ready: Vec<String>,
    /// The others, each with the command that installs it.
    pub absent: BTreeMap<String, String>,
}

impl Python {
    /// Starts `script`, a file of `python/`, with one thread for every library that asks.
    ///
    /// # Errors
    /// When there is no interpreter or the script does not begin with its peers.
    pub fn start(script: &str) -> BenchResult<Self> {
        let interpreter = std::env::var("LAGDB_PEERS_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let mut command = Command::new(interpreter);
        for variable in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLOSC_NTHREADS"] {
            command.env(variable, "1");
        }
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(script));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let requests = child.stdin.take().ok_or("the child has no standard input")?;
        let answers = BufReader::new(child.stdout.take().ok_or("the child has no standard output")?);
        let mut python = Self { child, requests, answers, ready: Vec::new(), absent: BTreeMap::new() };
        let first = python.answer()?;
        python.ready = serde_json::from_value(first["ready"].clone())?;
        python.absent = serde_json::from_value(first["absent"].clone())?;
        Ok(python)
    }

    /// Sends one request and waits for its answer.
    ///
    /// # Errors
    /// When the script has ended, or says `{"error": ...}`.
    pub fn ask(&mut self, request: &Value) -> BenchResult<Value> {
        writeln!(self.requests, "{request}")?;
        self.requests.flush()?;
        self.answer()
    }

    fn answer(&mut self) -> BenchResult<Value> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err(format!("the Python peer ended: {}", self.child.wait()?).into());
        }
        let answer: Value = serde_json::from_str(&line)?;
        match answer.get("error") {
            Some(error) => Err(format!("the Python peer failed: {error}").into()),
            None => Ok(answer),
        }
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
