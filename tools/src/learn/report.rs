//! What a run found: one row an arm with its interval over streams, and the differences that the arms are there for.
//!
//! Streams are the unit: an interval is that of Student's t over the means of streams. Arms of one seed share world,
//! tasks and dice, so differences are taken seed by seed.

use super::arm::Arm;
use super::budget::{Budget, SCALED};
use super::mean::{Mean, round};
use super::settings::{Credit, Logs, Memory, Mind, Tries};
use super::stream::{Judged, Stream, StreamKey, Written};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// All streams of a run, by arm.
pub struct Report {
    seeds: Vec<u64>,
    arms: Vec<(Arm, Vec<Stream>)>,
}

/// What is compared: the name of the difference, its two arms, and over which part of the stream.
const DIFFERENCES: [(&str, &str, Part); 39] = [
    ("irrelevant_items", "none", Part::LastThird),
    ("successes", "none", Part::LastThird),
    ("avoid_only_failures", "successes", Part::LastThird),
    ("successes_and_failures", "avoid_only_failures", Part::LastThird),
    ("symbolic", "successes_and_failures", Part::LastThird),
    ("kv_logs", "none", Part::LastThird),
    ("kv_logs", "successes", Part::LastThird),
    ("kv_logs", "kv_logs_as_text", Part::LastThird),
    ("kv_logs_of_another_stream", "none", Part::LastThird),
    ("kv_logs_and_failures", "kv_logs", Part::LastThird),
    ("kv_logs_and_failures", "failures", Part::LastThird),
    ("kv_logs_and_failures", "successes_and_failures", Part::LastThird),
    ("kv_logs_and_strategies", "kv_logs", Part::LastThird),
    ("kv_logs_and_strategies", "successes_and_failures", Part::LastThird),
    ("kv_logs_and_failures_sequential_3", "kv_logs_sequential_3", Part::LastThird),
    ("kv_logs_and_failures_sequential_3", "failures_sequential_3", Part::LastThird),
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
    ("contradictions_kept", "successes_and_failures", Part::LastThird),
    ("defaults", "successes_and_failures", Part::LastThird),
    ("defaults_guarded", "defaults", Part::LastThird),
    ("defaults", "defaults_of_8", Part::LastThird),
    ("defaults_unweighted", "defaults", Part::LastThird),
    ("matts_parallel_3", "matts_parallel_1", Part::Whole),
    ("matts_parallel_5", "matts_parallel_3", Part::Whole),
    ("symbolic_parallel_3_joint", "symbolic_parallel_3", Part::Whole),
    ("matts_by_difficulty_5", "matts_parallel_3", Part::Whole),
    ("matts_sequential_3", "matts_sequential_1", Part::Whole),
    ("matts_sequential_5", "matts_sequential_3", Part::Whole),
    ("matts_sequential_3", "matts_sequential_3_no_memory", Part::Whole),
];

/// A part of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    FirstThird,
    LastThird,
    Whole,
}

impl Part {
    pub(super) fn of(self, tasks: &[u8]) -> f64 {
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
        let (of, judged, written) = self.model_of_the_report();
        json!({
            "schema": "lagdb.learn/1",
            "env": "demo",
            "seeds": self.seeds,
            "arms": arms,
            "differences": differences,
            "equal_budgets": self.budgets().iter().map(Budget::json).collect::<Vec<_>>(),
            "judge": {
                "of": of,
                "n": judged.n,
                "accuracy": share(judged.n_right, judged.n),
                "precision": share(judged.n_true_success, judged.n_success),
                "abstained": judged.n_abstained,
            },
            "writer": { "of": of, "n": written.n, "valid": written.n_valid, "true": written.n_true },
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
        let differences = self.differences();
        lines.push(format!(
            "\ndifferences, seed by seed, in points ({} of them: about one interval in twenty misses by luck)",
            differences.len()
        ));
        for (of, from, part, mean) in differences {
            lines.push(format!("  {of} - {from} ({}): {}", part.name().replace('_', " "), mean.percent()));
        }
        let budgets = self.budgets();
        if !budgets.is_empty() {
            lines.push("\nas many steps spent on single tries (equal_budget), last third, seed by seed".to_owned());
            lines.extend(budgets.iter().map(Budget::text));
        }
        let (of, judged, written) = self.model_of_the_report();
        lines.push(format!(
            "\n{of}: {:.1} % of {} own verdicts right; {:.2} % of {} items written readable, {:.1} % true",
            100.0 * share(judged.n_right, judged.n),
            judged.n,
            100.0 * share(written.n_valid, written.n),
            written.n,
            100.0 * share(written.n_true, written.n),
        ));
        if let Some(ms) = self.overhead_ms_p50() {
            lines.push(format!("recall and remember: {ms:.2} ms a task (median, in memory, without the model)"));
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

    /// Single tries beside attempts scaled up, each pair on the same steps.
    fn budgets(&self) -> Vec<Budget> {
        let Some(single) = self.streams("equal_budget") else { return Vec::new() };
        let of = |name: &&'static str| Budget::of(name, self.streams(name)?, single);
        SCALED.iter().filter_map(of).collect()
    }

    /// The verdicts and items of the arm that the others are compared with; without it, of all that the model lived.
    fn model_of_the_report(&self) -> (&'static str, Judged, Written) {
        const NAMED: &str = "successes_and_failures";
        let named = self.streams(NAMED).is_some();
        let lived = self.arms.iter().filter(|(arm, _)| arm.mind == Mind::Model && (!named || arm.name == NAMED));
        let (mut judged, mut written) = (Judged::default(), Written::default());
        for stream in lived.flat_map(|(_, streams)| streams) {
            judged.add(stream.judge);
            written.add(stream.writer);
        }
        (if named { NAMED } else { "all arms" }, judged, written)
    }

    /// Over the arms that remember and try once; it grows with a stream, so long ones are left out.
    fn overhead_ms_p50(&self) -> Option<f64> {
        let remembers = |arm: &Arm| arm.memory != Memory::Nothing || arm.logs != Logs::None;
        let is_counted = |arm: &Arm| remembers(arm) && arm.tries == Tries::Parallel(1) && arm.length == 1;
        let remembering = self.arms.iter().filter(|(arm, _)| is_counted(arm));
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
        "attached_tokens": round(over(streams, |stream| stream.attached_tokens as f64 / stream.steps.len().max(1) as f64).mean),
        "items_live": round(over(streams, |stream| stream.items_live as f64).mean),
        "judge": rate_json(streams, |stream| (stream.judge.n_right, stream.judge.n), "accuracy"),
        "writer": rate_json(streams, |stream| (stream.writer.n_true, stream.writer.n), "true"),
        "suppressed": {
            "wrong": streams.iter().map(|stream| stream.suppressed[0]).sum::<u64>(),
            "right": streams.iter().map(|stream| stream.suppressed[1]).sum::<u64>(),
        },
    })
}

/// A rate, as the mean over those streams in which there was anything to count.
fn rate_json(streams: &[Stream], of: impl Fn(&Stream) -> (u64, u64), name: &str) -> Value {
    let counts: Vec<(u64, u64)> = streams.iter().map(of).filter(|(_, n)| *n > 0).collect();
    let n: u64 = counts.iter().map(|(_, n)| n).sum();
    if n == 0 {
        return json!({ "n": 0 });
    }
    let mean = Mean::of(&counts.iter().map(|(k, n)| *k as f64 / *n as f64).collect::<Vec<_>>());
    json!({ "n": n, name: round(mean.mean), "ci95": mean.ci95() })
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
        if arm.credit != Credit::Off { format!("{} / {}", suppressed(0), suppressed(1)) } else { String::new() },
    )
}

fn share(k: u64, n: u64) -> f64 {
    round(k as f64 / n.max(1) as f64)
}
