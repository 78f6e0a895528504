//! A mean over streams with its interval: Student's t, since streams are few.

/// A mean over streams and half its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// Student's t times the standard error; infinite of one stream, which says nothing about others.
    pub half: f64,
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

    pub(super) fn ci95(self) -> [f64; 2] {
        [round(self.mean - self.half), round(self.mean + self.half)]
    }

    pub(super) fn percent(self) -> String {
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

pub(super) fn round(x: f64) -> f64 {
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
