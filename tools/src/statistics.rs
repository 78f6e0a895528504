//! Shares with their intervals, medians, rounding: what every measurement here reports with.

use serde_json::{Value, json};

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

    /// Wilson's 95 % interval.
    pub fn ci95(self) -> [f64; 2] {
        wilson(self.n_hits, self.n)
    }

    /// `{"n", "share", "ci95"}`.
    pub fn json(self) -> Value {
        json!({ "n": self.n, "share": round(self.value(), 4), "ci95": self.ci95().map(|x| round(x, 4)) })
    }
}

/// For people: `12/15 = 80.0 % (54.8 to 93.0)`.
impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [low, high] = self.ci95().map(|x| 100.0 * x);
        f.pad(&format!("{}/{} = {:.1} % ({low:.1} to {high:.1})", self.n_hits, self.n, 100.0 * self.value()))
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

    #[test]
    fn wilson_agrees_with_published_values() {
        // 95 % interval of 0 of 10 and of 5 of 10 (Newcombe 1998 gives such tables).
        let [low, high] = wilson(0, 10);
        assert!(low == 0.0 && (high - 0.2775).abs() < 1e-3, "{low} {high}");
        let [low, high] = wilson(5, 10);
        assert!((low - 0.2366).abs() < 1e-3 && (high - 0.7634).abs() < 1e-3, "{low} {high}");
    }

    #[test]
    fn a_share_counts_and_reads() {
        let mut share = Share::default();
        [true, false, true, true].into_iter().for_each(|hit| share.add(hit));
        assert_eq!((share.n_hits, share.n, share.value()), (3, 4, 0.75));
        assert!(share.to_string().starts_with("3/4 = 75.0 % ("));
        assert_eq!(median(vec![3.0, 1.0, 2.0, 10.0]), 2.5);
    }
}
