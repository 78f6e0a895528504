//! An equal budget: what single tries do with as many steps as attempts scaled up have spent.
//!
//! The stream of single tries is longer, and is cut, seed by seed, where its steps reach those of the other stream. So both
//! have met the environment equally often; the one has more tasks behind it, the other more attempts at each.

use super::mean::{Mean, round};
use super::report::Part;
use super::stream::Stream;
use serde_json::{Value, json};

/// The arms that are compared.
pub(super) const SCALED: [&str; 5] =
    ["matts_parallel_3", "matts_parallel_5", "matts_by_difficulty_5", "matts_sequential_3", "matts_sequential_5"];

/// One arm beside single tries; means over seeds, rates over the last third of each stream.
pub(super) struct Budget {
    scaled: &'static str,
    /// Steps of a stream, scaled and single; the single ones are fewer where that stream was too short.
    steps: [f64; 2],
    /// Tasks of a stream of single tries within these steps.
    n_tasks: f64,
    /// The rate of the attempts that count, and of first attempts.
    best: Mean,
    first: Mean,
    single: Mean,
    /// The same over whole streams: of the attempts that count, and of single tries.
    whole: [Mean; 2],
    single_minus_best: Mean,
    single_minus_first: Mean,
}

impl Budget {
    /// Of the seeds that both have; `None` if there are none.
    pub(super) fn of(name: &'static str, scaled: &[Stream], single: &[Stream]) -> Option<Self> {
        let other = |seed| single.iter().find(|stream| stream.key.seed == seed);
        let pairs: Vec<(&Stream, &Stream)> =
            scaled.iter().filter_map(|stream| Some((stream, other(stream.key.seed)?))).collect();
        if pairs.is_empty() {
            return None;
        }
        let cut: Vec<usize> = pairs.iter().map(|(scaled, single)| n_within(single, total(scaled))).collect();
        let rates = |of: &dyn Fn(&Stream, &Stream, usize) -> f64| {
            let numbers = pairs.iter().zip(&cut).map(|((scaled, single), n)| of(scaled, single, *n));
            Mean::of(&numbers.collect::<Vec<f64>>())
        };
        let best = |scaled: &Stream| Part::LastThird.of(&scaled.success);
        let first = |scaled: &Stream| Part::LastThird.of(&scaled.first_success);
        let alone = |single: &Stream, n: usize| Part::LastThird.of(single.success.get(..n).unwrap_or_default());
        let spent = |single: &Stream, n: usize| single.steps.iter().take(n).map(|steps| f64::from(*steps)).sum::<f64>();
        Some(Self {
            scaled: name,
            steps: [rates(&|scaled, _, _| total(scaled) as f64).mean, rates(&|_, single, n| spent(single, n)).mean],
            n_tasks: rates(&|_, _, n| n as f64).mean,
            best: rates(&|scaled, _, _| best(scaled)),
            first: rates(&|scaled, _, _| first(scaled)),
            single: rates(&|_, single, n| alone(single, n)),
            whole: [
                rates(&|scaled, _, _| Part::Whole.of(&scaled.success)),
                rates(&|_, single, n| Part::Whole.of(single.success.get(..n).unwrap_or_default())),
            ],
            single_minus_best: rates(&|scaled, single, n| alone(single, n) - best(scaled)),
            single_minus_first: rates(&|scaled, single, n| alone(single, n) - first(scaled)),
        })
    }

    pub(super) fn json(&self) -> Value {
        let mean = |mean: Mean| json!({ "mean": round(mean.mean), "ci95": mean.ci95() });
        json!({
            "of": self.scaled,
            "steps": self.steps.map(round),
            "tasks": round(self.n_tasks),
            "best": mean(self.best),
            "first": mean(self.first),
            "single": mean(self.single),
            "best_whole": mean(self.whole[0]),
            "single_whole": mean(self.whole[1]),
            "single_minus_best": mean(self.single_minus_best),
            "single_minus_first": mean(self.single_minus_first),
        })
    }

    pub(super) fn text(&self) -> String {
        format!(
            "  {:<24} {:.0} steps: best {}, first {}; single {} over {:.0} tasks in {:.0} steps; single - best {}, single - first {}",
            self.scaled,
            self.steps[0],
            self.best.percent(),
            self.first.percent(),
            self.single.percent(),
            self.n_tasks,
            self.steps[1],
            self.single_minus_best.percent(),
            self.single_minus_first.percent(),
        )
    }
}

fn total(stream: &Stream) -> u32 {
    stream.steps.iter().sum()
}

/// How many tasks of a stream take at most so many steps together; at least one.
fn n_within(stream: &Stream, budget: u32) -> usize {
    let mut spent = 0;
    let within = stream.steps.iter().take_while(|steps| {
        spent += **steps;
        spent <= budget
    });
    within.count().max(1)
}

#[cfg(test)]
mod tests {
    use super::super::stream::StreamKey;
    use super::*;

    fn stream(seed: u64, steps: &[u32], success: &[u8]) -> Stream {
        let key = StreamKey { arm: "arm".to_owned(), seed };
        let (steps, success) = (steps.to_vec(), success.to_vec());
        Stream { steps, first_success: success.clone(), success, ..Stream::new(key, String::new()) }
    }

    #[test]
    fn single_tries_are_cut_where_their_steps_are_spent() {
        let scaled = [stream(1, &[4, 4, 4], &[0, 0, 1])];
        let single = [stream(1, &[2, 2, 2, 2, 2, 2, 2, 2], &[0, 0, 0, 0, 0, 1, 1, 1])];
        let budget = Budget::of("matts_parallel_3", &scaled, &single).expect("a seed of both");
        assert_eq!((budget.n_tasks, budget.steps), (6.0, [12.0, 12.0]));
        assert_eq!(budget.single.mean, 0.5, "tasks 5 and 6 of 6");
        assert!(Budget::of("matts_parallel_3", &scaled, &[stream(2, &[1], &[1])]).is_none());
    }
}
