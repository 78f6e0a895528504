//! What a replay found: tables for people, one object for programs. Both halves always, the evaluated one first.

use super::Half;
use super::guard::{Guarding, Row, Tally};
use super::retrieval::{Arm, chosen};
use super::store::Stored;
use crate::statistics::{Share, round};
use lagdb::Level;
use serde_json::{Value, json};

/// Everything that was measured.
pub(super) struct Report<'a> {
    /// The trials.
    pub(super) stored: &'a Stored,
    /// Ways of finding.
    pub(super) retrieval: Vec<Arm>,
    /// Lessons before actions.
    pub(super) guard: Guarding,
}

impl Report<'_> {
    /// `lagdb.replay/1`.
    pub(super) fn json(&self) -> Value {
        let overhead = &self.stored.overhead;
        json!({
            "schema": "lagdb.replay/1",
            "tuned": self.half(Half::Tuned), "evaluated": self.half(Half::Evaluated),
            "arms": self.retrieval.iter().map(arm).collect::<Vec<_>>(),
            "chosen_arm": chosen(&self.retrieval).map(|arm| arm.name),
            "guard": self.guard.rows.iter().map(row).collect::<Vec<_>>(),
            "guard_level": self.guard.chosen.as_str(), "guard_us_p50": self.guard.micros_p50,
            "lessons": {
                "n": self.guard.contrasted.n, "contrasted": self.guard.contrasted.n_hits,
                "divergence_step_p50": self.guard.divergence_step_p50,
            },
            "recall_ms_p50": round(overhead.recall_ms_p50, 3), "record_ms_p50": round(overhead.record_ms_p50, 3),
            "overhead_ms_p50": round(overhead.total_ms_p50, 3), "overhead_cpu_ms": round(overhead.cpu_ms, 3),
        })
    }

    fn half(&self, half: Half) -> Value {
        let Numbers { n, n_success, n_weak, failures } = self.numbers(half);
        json!({
            "n": n, "success": n_success, "weak_success": n_weak, "failure": failures.n,
            "failure_with_wrong_action": failures.n_hits,
        })
    }

    fn numbers(&self, half: Half) -> Numbers {
        let trials = || self.stored.of(half);
        let failures = *half.of(&self.guard.failures);
        Numbers {
            n: trials().count(),
            n_success: trials().filter(|trial| trial.succeeded()).count(),
            n_weak: trials().filter(|trial| trial.succeeded() && trial.weight() < 1.0).count(),
            failures,
        }
    }

    /// Tables.
    pub(super) fn text(&self) -> String {
        let mut lines =
            vec!["Shares with 95 % intervals of a bootstrap over tasks; the last number is that of tasks.".to_owned()];
        for half in [Half::Evaluated, Half::Tuned] {
            let Numbers { n, n_success, n_weak, failures } = self.numbers(half);
            lines.push(format!(
                "{:<9} {n} trials, {n_success} successes ({n_weak} of them changed nothing and count half), {} failures, {} of \
                 them by a wrong action",
                half.as_str(),
                failures.n,
                failures.n_hits
            ));
        }
        lines.push(String::new());
        lines.push("From the first user message, a success at the same task among the three found:".to_owned());
        lines.push(format!(
            "{:<24}{:<41}{:<41}{:<30}{:<30}{:<41}",
            "", "among successes", "(tuned half)", "more than plain n-grams", "(tuned half)", "among all outcomes"
        ));
        for arm in &self.retrieval {
            let (found, tuned) = (arm.found(Half::Evaluated), arm.found(Half::Tuned));
            let (gained, tuned_gained) = (arm.gained(Half::Evaluated), arm.gained(Half::Tuned));
            let all = arm.found_among_all(Half::Evaluated);
            lines.push(format!("{:<24}{found:<41}{tuned:<41}{gained:<30}{tuned_gained:<30}{all:<41}", arm.name));
        }
        let chosen = chosen(&self.retrieval).map_or("nothing", |arm| arm.name);
        lines.push(format!("Chosen on the tuned half: {chosen}."));
        lines.push(String::new());
        lines.push("A lesson of other trials before an action that can change something (evaluated half):".to_owned());
        lines.push(format!(
            "{:<16}{:<12}{:<41}{:<41}{:<41}{:<41}",
            "lessons",
            "asked by",
            "before what failed",
            "of repeated failures",
            "false: actions",
            "false: changing successes"
        ));
        let is_asked = |row: &&Row| row.halves.iter().any(|tally| tally.fired.n() + tally.alarms.n() > 0);
        lines.extend(self.guard.rows.iter().filter(is_asked).flat_map(|row| self.row_text(row)));
        lines.push(String::new());
        lines.push(self.footnote());
        lines.join("\n")
    }

    fn row_text(&self, row: &Row) -> Vec<String> {
        let [tuned, evaluated] = &row.halves;
        let line = |first: String, second: &str, tally: &Tally| {
            let Tally { fired, fired_on_repeats, alarms, alarmed_trials } = tally;
            format!("{first:<16}{second:<12}{fired:<41}{fired_on_repeats:<41}{alarms:<41}{alarmed_trials:<41}")
        };
        let mut lines = vec![line(row.lessons.to_owned(), row.level.as_str(), evaluated)];
        if row.lessons == "divergence" {
            lines.push(line(String::new(), "  (tuned)", tuned));
        }
        lines
    }

    fn footnote(&self) -> String {
        let Guarding { chosen, micros_p50, contrasted, divergence_step_p50, .. } = &self.guard;
        let overhead = &self.stored.overhead;
        format!(
            "Chosen on the tuned half: {}. {} lessons, {} with a success to compare with; a failure parts from it at step {} \
             (median).\nAsking costs {} us an action; recall {:.2} ms and record {:.2} ms a task, together {:.2} (medians); {:.2} ms of the processor.",
            chosen.as_str(),
            contrasted.n,
            contrasted.n_hits,
            divergence_step_p50,
            micros_p50,
            overhead.recall_ms_p50,
            overhead.record_ms_p50,
            overhead.total_ms_p50,
            overhead.cpu_ms
        )
    }
}

struct Numbers {
    n: usize,
    n_success: usize,
    n_weak: usize,
    failures: Share,
}

fn arm(arm: &Arm) -> Value {
    let found = arm.found(Half::Evaluated);
    json!({
        "name": arm.name, "n": found.n(), "n_tasks": found.n_groups(),
        "success": round(found.value(), 4), "ci95": found.ci95().map(|x| round(x, 4)),
        "tuned": arm.found(Half::Tuned).json(),
        "more_than_plain": arm.gained(Half::Evaluated).json(), "more_than_plain_tuned": arm.gained(Half::Tuned).json(),
        "among_all": arm.found_among_all(Half::Evaluated).json(),
        "among_all_tuned": arm.found_among_all(Half::Tuned).json(),
    })
}

fn row(row: &Row) -> Value {
    let [tuned, evaluated] = &row.halves;
    json!({ "lessons": row.lessons, "level": level(row.level), "evaluated": tally(evaluated), "tuned": tally(tuned) })
}

fn level(level: Level) -> String {
    level.as_str().replace(' ', "_")
}

/// Of no cases there is no share.
fn tally(tally: &Tally) -> Value {
    if tally.fired.n() + tally.alarms.n() == 0 {
        return Value::Null;
    }
    json!({
        "fired": tally.fired.json(), "fired_on_repeats": tally.fired_on_repeats.json(),
        "false_alarms_per_action": tally.alarms.json(), "false_alarms_per_success": tally.alarmed_trials.json(),
    })
}
