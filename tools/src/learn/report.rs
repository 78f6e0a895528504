//! What a run found: one row an arm with its interval over streams, and the differences that the arms are there for.
//!
//! Streams are the unit: an interval is that of Student's t over the means of streams. Arms of one seed share world and
//! tasks, so differences are taken seed by seed.

use super::arm::{Arm, Mind};
use super::stream::{Stream, StreamKey};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A mean over streams and half its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// Student's t times the standard error; infinite of one stream, which says nothing about others.
    pub half: f64,
}

/// All streams of a run, by arm.
pub struct Report {
    seeds: Vec<u64>,
    arms: Vec<(Arm, Vec<Stream>)>,
}

/// What is compared: the name of the difference, its two arms, and over which part of the stream.
const DIFFERENCES: [(&str, &str, Part); 20] = [
    ("irrelevant_items", "none", Part::LastThird),
    ("successes", "none", Part::LastThird),
    ("avoid_only_failures", "successes", Part::LastThird),
    ("successes_and_failures", "avoid_only_failures", Part::LastThird),
    ("symbolic", "successes_and_failures", Part::LastThird),
    ("true_labels", "successes_and_failures", Part::LastThird),
    ("noisy_labels_30", "successes_and_failures", Part::LastThird),
    ("poisoned", "successes_and_failures", Part::LastThird),
    ("successes_and_failures_with_credit", "successes_and_failures", Part::LastThird),
    ("successes_with_credit", "successes", Part::LastThird),
    ("noisy_labels_30_with_credit", "noisy_labels_30", Part::LastThird),
    ("poisoned_with_credit", "poisoned", Part::LastThird),
    ("poisoned_successes_with_credit", "poisoned_successes", Part::LastThird),
    ("playbook_with_credit", "playbook", Part::LastThird),
    ("wrong_playbook_with_credit", "wrong_playbook", Part::LastThird),
    ("wrong_playbook_and_failures_with_credit", "wrong_playbook_and_failures", Part::LastThird),
    ("matts_parallel_3", "matts_parallel_1", Part::Whole),
    ("matts_by_difficulty_5", "matts_parallel_3", Part::Whole),
    ("equal_budget", "matts_parallel_3", Part::LastThird),
    ("equal_budget", "matts_by_difficulty_5", Part::LastThird),
];

/// A part of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    FirstThird,
    LastThird,
    Whole,
}

impl Part {
    fn of(self, tasks: &[u8]) -> f64 {
        let third = tasks.len().div_ceil(3);
        let part = match self {
            Self::FirstThird => &tasks[..third],
            Self::LastThird => &tasks[tasks.len() - third..],
            Self::Whole => tasks,
        };
        part.iter().map(|done| f64::from(*done)).sum::<f64>() / part.len().max(1) as f64
    }

    fn name(self) -> &'static str {
        match self {
            Self::FirstThird => "first_third",
            Self::LastThird => "last_third",
            Self::Whole => "whole",
        }
    }
}

impl Mean {
    /// Of one number a stream.
    pub fn of(numbers: &[f64]) -> Self {
        let n = numbers.len().max(1) as f64;
        let mean = numbers.iter().sum::<f64>() / n;
        let variance = numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
        let half = match numbers.len() {
            0 | 1 => f64::INFINITY,
            n_streams => student(n_streams - 1) * (variance / n).sqrt(),
        };
        Self { mean, half }
    }

    fn ci95(self) -> [f64; 2] {
        [round(self.mean - self.half), round(self.mean + self.half)]
    }

    fn percent(self) -> String {
        if self.half.is_infinite() {
            return format!("{:.1} ± ?", 100.0 * self.mean);
        }
        format!("{:.1} ± {:.1}", 100.0 * self.mean, 100.0 * self.half)
    }
}

/// The 97.5 % quantile of Student's t; beyond 30 degrees of freedom within 0.001.
fn student(degrees: usize) -> f64 {
    const FIRST: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
        2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
    ];
    let beyond = 1.96 + 2.39 / degrees as f64;
    degrees.checked_sub(1).and_then(|at| FIRST.get(at)).copied().unwrap_or(beyond)
}

impl Report {
    /// Of these arms; streams of others are not looked at.
    pub fn new(arms: &[Arm], seeds: &[u64], streams: &BTreeMap<StreamKey, Stream>) -> Self {
        let of = |arm: &Arm| {
            let key = |seed: &u64| StreamKey { arm: arm.name.to_owned(), seed: *seed };
            seeds.iter().filter_map(|seed| streams.get(&key(seed)).cloned()).collect::<Vec<_>>()
        };
        let arms = arms.iter().map(|arm| (*arm, of(arm))).filter(|(_, streams)| !streams.is_empty()).collect();
        Self { seeds: seeds.to_vec(), arms }
    }

    /// The streams of an arm.
    pub fn streams(&self, arm: &str) -> Option<&[Stream]> {
        self.arms.iter().find(|(of, _)| of.name == arm).map(|(_, streams)| streams.as_slice())
    }

    /// The JSON object `lagdb.learn/1`.
    pub fn json(&self) -> Value {
        let arms: Vec<Value> = self.arms.iter().map(|(arm, streams)| row_json(arm, streams)).collect();
        let differences: Vec<Value> = self.differences().into_iter().map(|(of, from, part, mean)| {
            json!({"of": of, "from": from, "part": part.name(), "mean": round(mean.mean), "ci95": mean.ci95()})
        }).collect();
        let judged = self.sum(|stream| stream.judge.n);
        let written = self.sum(|stream| stream.writer.n);
        json!({
            "schema": "lagdb.learn/1",
            "env": "demo",
            "seeds": self.seeds,
            "arms": arms,
            "differences": differences,
            "judge": {
                "n": judged,
                "accuracy": share(self.sum(|stream| stream.judge.n_right), judged),
                "precision": share(self.sum(|s| s.judge.n_true_success), self.sum(|s| s.judge.n_success)),
                "abstained": self.sum(|stream| stream.judge.n_abstained),
            },
            "writer": {
                "n": written,
                "valid": self.sum(|stream| stream.writer.n_valid),
                "true": self.sum(|stream| stream.writer.n_true),
            },
            "overhead_ms_p50": self.overhead_ms_p50().map(|ms| (ms * 1e3).round() / 1e3),
        })
    }

    /// The tables, for people.
    pub fn text(&self) -> String {
        let mut lines = vec![
            format!("{} streams an arm; success in %, ± 95 % interval over streams", self.seeds.len()),
            format!(
                "{:<42} {:>13} {:>13} {:>13} {:>13} {:>6} {:>6} {:>11}",
                "arm", "first third", "last third", "mean", "1st attempt", "steps", "items", "suppressed"
            ),
        ];
        lines.extend(self.arms.iter().map(|(arm, streams)| row_text(arm, streams)));
        lines.push("\ndifferences, seed by seed, in points".to_owned());
        for (of, from, part, mean) in self.differences() {
            lines.push(format!("  {of} - {from} ({}): {}", part.name().replace('_', " "), mean.percent()));
        }
        let (judged, written) = (self.sum(|stream| stream.judge.n), self.sum(|stream| stream.writer.n));
        lines.push(format!(
            "\nown verdicts: {:.1} % of {judged} right; items written: {:.2} % of {written} readable, {:.1} % true",
            100.0 * share(self.sum(|stream| stream.judge.n_right), judged),
            100.0 * share(self.sum(|stream| stream.writer.n_valid), written),
            100.0 * share(self.sum(|stream| stream.writer.n_true), written),
        ));
        if let Some(ms) = self.overhead_ms_p50() {
            lines.push(format!("recall and remember: {ms:.2} ms a task (median, without the model)"));
        }
        lines.join("\n")
    }

    fn differences(&self) -> Vec<(&'static str, &'static str, Part, Mean)> {
        let difference = |(of, from, part): &(&'static str, &'static str, Part)| {
            let (of_streams, from_streams) = (self.streams(of)?, self.streams(from)?);
            let other = |seed| from_streams.iter().find(|stream| stream.key.seed == seed);
            let pairs = of_streams.iter().filter_map(|stream| Some((stream, other(stream.key.seed)?)));
            let numbers: Vec<f64> = pairs.map(|(a, b)| part.of(&a.success) - part.of(&b.success)).collect();
            Some((*of, *from, *part, Mean::of(&numbers)))
        };
        DIFFERENCES.iter().filter_map(difference).collect()
    }

    /// Over the streams that the language model lived.
    fn sum(&self, of: impl Fn(&Stream) -> u64) -> u64 {
        let lived = self.arms.iter().filter(|(arm, _)| arm.mind == Mind::Model);
        lived.flat_map(|(_, streams)| streams).map(of).sum()
    }

    /// Over the arms that remember.
    fn overhead_ms_p50(&self) -> Option<f64> {
        let remembering = self.arms.iter().filter(|(arm, _)| arm.memory != super::arm::Memory::Nothing);
        let mut all: Vec<f32> = remembering
            .flat_map(|(_, streams)| streams)
            .flat_map(|stream| stream.overhead_ms.iter().copied())
            .collect();
        all.sort_by(f32::total_cmp);
        all.get(all.len() / 2).copied().map(f64::from)
    }
}

fn part(streams: &[Stream], part: Part) -> Mean {
    Mean::of(&streams.iter().map(|stream| part.of(&stream.success)).collect::<Vec<_>>())
}

fn over(streams: &[Stream], of: impl Fn(&Stream) -> f64) -> Mean {
    Mean::of(&streams.iter().map(of).collect::<Vec<_>>())
}

fn steps_a_task(stream: &Stream) -> f64 {
    f64::from(stream.steps.iter().sum::<u32>()) / stream.steps.len().max(1) as f64
}

fn row_json(arm: &Arm, streams: &[Stream]) -> Value {
    let (whole, last) = (part(streams, Part::Whole), part(streams, Part::LastThird));
    let first_attempt = over(streams, |stream| Part::Whole.of(&stream.first_success));
    let first_attempt_last = over(streams, |stream| Part::LastThird.of(&stream.first_success));
    json!({
        "name": arm.name,
        "n": streams.len(),
        "success": round(whole.mean),
        "ci95": whole.ci95(),
        "success_first_third": round(part(streams, Part::FirstThird).mean),
        "success_last_third": round(last.mean),
        "ci95_last_third": last.ci95(),
        "first_attempt": round(first_attempt.mean),
        "first_attempt_last_third": round(first_attempt_last.mean),
        "steps": round(over(streams, steps_a_task).mean),
        "tasks": streams.first().map_or(0, |stream| stream.success.len()),
        "items_live": round(over(streams, |stream| stream.items_live as f64).mean),
        "suppressed": {
            "wrong": streams.iter().map(|stream| stream.suppressed[0]).sum::<u64>(),
            "right": streams.iter().map(|stream| stream.suppressed[1]).sum::<u64>(),
        },
    })
}

fn row_text(arm: &Arm, streams: &[Stream]) -> String {
    let suppressed = |i: usize| streams.iter().map(|stream| stream.suppressed[i]).sum::<u64>();
    format!(
        "{:<42} {:>13} {:>13} {:>13} {:>13} {:>6.2} {:>6.0} {:>11}",
        arm.name,
        part(streams, Part::FirstThird).percent(),
        part(streams, Part::LastThird).percent(),
        part(streams, Part::Whole).percent(),
        over(streams, |stream| Part::Whole.of(&stream.first_success)).percent(),
        over(streams, steps_a_task).mean,
        over(streams, |stream| stream.items_live as f64).mean,
        if arm.credit { format!("{} / {}", suppressed(0), suppressed(1)) } else { String::new() },
    )
}

fn share(k: u64, n: u64) -> f64 {
    round(k as f64 / n.max(1) as f64)
}

fn round(x: f64) -> f64 {
    (x * 1e4).round() / 1e4
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five streams were given the interval of a thousand.
    #[test]
    fn few_streams_have_wide_intervals() {
        let five = Mean::of(&[0.1, 0.2, 0.3, 0.4, 0.5]);
        assert!((five.half - 2.776 * 0.5_f64.sqrt() / 10.0).abs() < 1e-9, "{five:?}");
        assert!(Mean::of(&[0.5]).half.is_infinite());
        assert_eq!(Mean::of(&[0.5]).percent(), "50.0 ± ?");
        assert!((student(40) - 2.021).abs() < 2e-3 && (student(120) - 1.980).abs() < 1e-3);
    }
}
