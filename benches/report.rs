//! What every bench prints: one row per measurement, with `--json` one object `lagdb.bench/1`.
//!
//! Figures are medians of several rounds; lagdb and its peers take turns inside a round, so that a noisy machine
//! disturbs both. Where a peer is ahead, the report says so under `lost`; a peer that is not on this machine has no
//! figure, and `absent` says how to get it.

#![allow(dead_code, reason = "every bench includes this file and none uses all of it")]

use cpu_time::ProcessTime;
use serde_json::{Map, Value, json};
use std::time::Instant;

/// One measurement beside its peers.
pub(crate) struct Row {
    /// What was measured, and at which size.
    pub name: String,
    /// Unit of all figures of the row.
    pub unit: &'static str,
    /// Whether more is better.
    pub higher_is_better: bool,
    /// lagdb's figure.
    pub lagdb: f64,
    /// What it is compared with; NaN where the peer is absent.
    pub peers: Vec<(&'static str, f64)>,
    /// The figure to reach, if one was set.
    pub goal: Option<f64>,
}

impl Row {
    /// Whether the goal is reached; `None` where there is none.
    fn met(&self) -> Option<bool> {
        self.goal.map(|goal| if self.higher_is_better { self.lagdb >= goal } else { self.lagdb <= goal })
    }

    /// The peers that are ahead.
    fn winners(&self) -> impl Iterator<Item = &'static str> {
        let ahead = |figure: f64| if self.higher_is_better { figure > self.lagdb } else { figure < self.lagdb };
        self.peers.iter().filter(move |(_, figure)| ahead(*figure)).map(|(name, _)| *name)
    }

    fn json(&self) -> Value {
        let peers: Map<String, Value> = self.peers.iter().map(|(name, x)| ((*name).to_owned(), json!(x))).collect();
        let better = if self.higher_is_better { "higher" } else { "lower" };
        json!({
            "name": self.name, "unit": self.unit, "better": better, "lagdb": self.lagdb, "peers": peers,
            "goal": self.goal, "met": self.met(),
        })
    }

    fn text(&self) -> String {
        let figure = |x: f64| if x.is_nan() { "absent".to_owned() } else { format!("{x:.4}") };
        let peers: String = self.peers.iter().map(|(name, x)| format!("  {name} {}", figure(*x))).collect();
        let goal = self.goal.map_or_else(String::new, |goal| {
            format!("  goal {goal}: {}", if self.met() == Some(true) { "met" } else { "NOT met" })
        });
        format!("{:<52} {:>12.4} {:<10}{peers}{goal}", self.name, self.lagdb, self.unit)
    }
}

/// A peer that is not on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Absent {
    /// Its name in the rows.
    pub peer: String,
    /// The command that gets it.
    pub get: String,
}

/// Prints the rows, as JSON if the command line says so.
pub(crate) fn print(rows: &[Row]) {
    print_with(rows, &[]);
}

/// Prints the rows and which peers are missing in them.
#[allow(clippy::print_stdout, reason = "a bench reports on standard output")]
pub(crate) fn print_with(rows: &[Row], absent: &[Absent]) {
    let lost = rows.iter().map(|row| (row, row.winners().collect::<Vec<_>>())).filter(|(_, peers)| !peers.is_empty());
    if std::env::args().any(|arg| arg == "--json") {
        let lost: Vec<Value> = lost.map(|(row, peers)| json!({ "name": row.name, "ahead": peers })).collect();
        let absent: Vec<Value> = absent.iter().map(|it| json!({ "peer": it.peer, "get": it.get })).collect();
        let rows: Vec<Value> = rows.iter().map(Row::json).collect();
        println!("{}", json!({ "schema": "lagdb.bench/1", "rows": rows, "lost": lost, "absent": absent }));
        return;
    }
    rows.iter().for_each(|row| println!("{}", row.text()));
    lost.for_each(|(row, peers)| println!("ahead in {}: {}", row.name, peers.join(", ")));
    absent.iter().for_each(|it| println!("absent: {}; {}", it.peer, it.get));
}

/// Whether this part of a bench is to run: the command line names it, or names none.
pub(crate) fn is_wanted(part: &str) -> bool {
    let mut named = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).peekable();
    named.peek().is_none() || named.any(|arg| arg == part)
}

/// The middle one.
pub(crate) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Runs `work` once; wall seconds.
pub(crate) fn wall<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let result = work();
    (start.elapsed().as_secs_f64(), result)
}

/// Runs `work` once; CPU seconds of the whole process.
pub(crate) fn cpu<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = ProcessTime::now();
    let result = work();
    (start.elapsed().as_secs_f64(), result)
}

/// The most memory this process ever held; NaN where the system does not tell.
pub(crate) fn memory() -> Row {
    Row {
        name: "most memory held".to_owned(),
        unit: "MiB",
        higher_is_better: false,
        lagdb: peak_memory_mib().unwrap_or(f64::NAN),
        peers: Vec::new(),
        goal: None,
    }
}

fn peak_memory_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}
