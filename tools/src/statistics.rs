//! Shares and means with their intervals, medians, rounding: what every measurement here reports with.

use crate::world::Rng;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Times that groups are drawn anew for an interval.
const N_RESAMPLES: usize = 2_000;
/// Seed of the drawing: a report printed twice is the same.
const SEED: u64 = 0x1a9d_b0b0;

/// How often something happened, out of how many cases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Cases in which it did.
    pub n_hits: usize,
    /// All cases.
    pub n: usize,
}

impl Share {
    /// Counts one more case.
    pub fn add(&mut self, hit: bool) {
        self.n += 1;
        self.n_hits += usize::from(hit);
    }

    /// The share; 0 of no cases.
    pub fn value(self) -> f64 {
        self.n_hits as f64 / self.n.max(1) as f64
    }
}

/// A mean over cases of which some belong together: trials share a task and its wording, actions a trial.
///
/// Its interval is that of a bootstrap over *groups* (Davison and Hinkley, 1997, §3.8, <https://doi.org/10.1017/CBO9780511802843>):
/// cases of one group are drawn together, so four trials of a task count as about one and not as four.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Clustered {
    groups: BTreeMap<String, (f64, usize)>,
    is_difference: bool,
}

impl Clustered {
    /// Of differences of shares, -1 to 1; without it, of numbers between 0 and 1.
    pub fn of_differences() -> Self {
        Self { is_difference: true, ..Self::default() }
    }

    /// Counts one more case.
    pub fn add(&mut self, group: &str, value: f64) {
        let (sum, n) = self.groups.entry(group.to_owned()).or_insert((0.0, 0));
        *sum += value;
        *n += 1;
    }

    /// Counts one more case in which something happened, or not.
    pub fn add_hit(&mut self, group: &str, hit: bool) {
        self.add(group, f64::from(u8::from(hit)));
    }

    /// All cases.
    pub fn n(&self) -> usize {
        self.groups.values().map(|(_, n)| n).sum()
    }

    /// Groups of cases.
    pub fn n_groups(&self) -> usize {
        self.groups.len()
    }

    /// The mean; 0 of no cases.
    pub fn value(&self) -> f64 {
        self.sum() / self.n().max(1) as f64
    }

    /// The 95 % interval: percentiles over drawings of as many groups, with replacement and a fixed seed. Where all cases
    /// agree a drawing says nothing; then it is Wilson's, each group one case.
    pub fn ci95(&self) -> [f64; 2] {
        let least = if self.is_difference { -1.0 } else { 0.0 };
        let groups: Vec<(f64, usize)> = self.groups.values().copied().collect();
        let mean = |sum: f64, n: usize| sum / n.max(1) as f64;
        let first = groups.first().map_or(0.0, |(sum, n)| mean(*sum, *n));
        if groups.iter().all(|(sum, n)| (mean(*sum, *n) - first).abs() < 1e-12) {
            let [_, width] = wilson(0, groups.len());
            return [(first - width).max(least), (first + width).min(1.0)];
        }
        let mut rng = Rng::new(SEED);
        let mut means: Vec<f64> = (0..N_RESAMPLES)
            .map(|_| {
                let drawn = (0..groups.len()).filter_map(|_| groups.get(rng.below(groups.len())));
                let (sum, n) = drawn.fold((0.0, 0), |(sum, n), (more_sum, more_n)| (sum + more_sum, n + more_n));
                mean(sum, n)
            })
            .collect();
        means.sort_by(f64::total_cmp);
        let at = |share: f64| means.get((share * (N_RESAMPLES - 1) as f64).round() as usize).copied().unwrap_or(first);
        [at(0.025), at(0.975)]
    }

    /// `{"n", "n_tasks", "share", "ci95"}`.
    pub fn json(&self) -> Value {
        json!({
            "n": self.n(), "n_tasks": self.n_groups(), "share": round(self.value(), 4),
            "ci95": self.ci95().map(|x| round(x, 4)),
        })
    }

    fn sum(&self) -> f64 {
        // From 0.0, because the sum of nothing is -0.0.
        self.groups.values().fold(0.0, |sum, (more, _)| sum + more)
    }
}

/// For people: `12/15 = 80.0 % (54.8 to 93.0; 5)`, the last of it the number of groups.
impl std::fmt::Display for Clustered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [low, high] = self.ci95().map(|x| 100.0 * x);
        let percent = 100.0 * self.value();
        f.pad(&match self.is_difference {
            true => format!("{percent:+.1} ({low:+.1} to {high:+.1}; {})", self.n_groups()),
            false => {
                let sum = round(self.sum(), 1);
                format!("{sum}/{} = {percent:.1} % ({low:.1} to {high:.1}; {})", self.n(), self.n_groups())
            }
        })
    }
}

/// Wilson's 95 % interval of a share of `n` cases.
///
/// E. B. Wilson, *Probable inference, the law of succession, and statistical inference*, 1927.
pub fn wilson(n_hits: usize, n: usize) -> [f64; 2] {
    if n == 0 {
        return [0.0, 1.0];
    }
    let (n, share, z) = (n as f64, n_hits as f64 / n as f64, 1.959_964);
    let middle = (share + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    [(middle - half).max(0.0), (middle + half).min(1.0)]
}

/// The median; 0 of no numbers.
pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    match numbers.len() {
        0 => 0.0,
        n if n % 2 == 1 => numbers[n / 2],
        n => (numbers[n / 2 - 1] + numbers[n / 2]) / 2.0,
    }
}

/// `x` with so many digits after the point.
pub fn round(x: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (x * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four trials of a task once counted as four cases, so that an interval over 25 tasks was that of 100: half as wide as
    /// it should have been.
    #[test]
    fn cases_of_one_task_count_about_as_one() {
        let (mut together, mut apart) = (Clustered::default(), Clustered::default());
        for case in 0..100 {
            let hit = (case / 4) % 2 == 0;
            together.add_hit(&format!("task {}", case / 4), hit);
            apart.add_hit(&format!("case {case}"), hit);
        }
        assert_eq!((together.n(), together.n_groups(), together.value()), (100, 25, 0.52));
        let width = |share: &Clustered| {
            let [low, high] = share.ci95();
            high - low
        };
        assert_eq!(together.ci95(), together.clone().ci95(), "the seed is fixed");
        let [low, high] = wilson(13, 25);
        let (by_task, by_case) = (width(&together), width(&apart));
        assert!((by_task - (high - low)).abs() < 0.05, "{by_task} is about that of 13 of 25");
        assert!((1.8..2.3).contains(&(by_task / by_case)), "{by_task} {by_case}");
        assert!(together.to_string().starts_with("52/100 = 52.0 % ("), "{together}");
    }

    /// A bootstrap of cases that all agree is a point, which would claim to know all.
    #[test]
    fn where_all_cases_agree_the_interval_is_not_a_point() {
        let (mut never, mut no_difference) = (Clustered::default(), Clustered::of_differences());
        for case in 0..40 {
            never.add_hit(&format!("task {}", case / 4), false);
            no_difference.add(&format!("task {}", case / 4), 0.0);
        }
        let [low, high] = never.ci95();
        assert!(low == 0.0 && (high - 0.2775).abs() < 1e-3, "that of 0 of 10 tasks: {low} {high}");
        assert_eq!(no_difference.ci95(), [-high, high]);
        assert_eq!(Clustered::default().ci95(), [0.0, 1.0]);
        assert!(Clustered::default().to_string().starts_with("0/0 = 0.0 % ("), "{}", Clustered::default());
    }

    #[test]
    fn wilson_agrees_with_published_values() {
        // 95 % interval of 0 of 10 and of 5 of 10 (Newcombe 1998 gives such tables).
        let [low, high] = wilson(0, 10);
        assert!(low == 0.0 && (high - 0.2775).abs() < 1e-3, "{low} {high}");
        let [low, high] = wilson(5, 10);
        assert!((low - 0.2366).abs() < 1e-3 && (high - 0.7634).abs() < 1e-3, "{low} {high}");
    }

    #[test]
    fn a_share_counts() {
        let mut share = Share::default();
        [true, false, true, true].into_iter().for_each(|hit| share.add(hit));
        assert_eq!((share.n_hits, share.n, share.value()), (3, 4, 0.75));
        assert_eq!(median(vec![3.0, 1.0, 2.0, 10.0]), 2.5);
    }
}
