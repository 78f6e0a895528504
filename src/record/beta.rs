//! The Beta distribution: what is believed of a rate after some successes and failures.
//!
//! The regularised incomplete beta function by its continued fraction (DLMF 8.17.22, <https://dlmf.nist.gov/8.17.v>),
//! evaluated with Lentz's algorithm; quantiles by Newton's method between bounds that it cannot leave, with a bisection where
//! it would. Results are good to about ten digits for the parameters that counting gives (1 to 10⁹).

use std::f64::consts::PI;

/// The most steps to a quantile: bisection alone would take these to halve `[0, 1]` down to the precision of f64.
const N_STEPS: usize = 60;
/// A step of this share of where it leads to is the last.
const LAST_STEP: f64 = 1e-13;

/// Beta(`a`, `b`), both positive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beta {
    a: f64,
    b: f64,
}

impl Beta {
    /// What is believed after `successes` and `failures`, which may be parts of one, if before nothing was known
    /// (Bayes and Laplace: every rate equally likely).
    pub(crate) fn after(successes: f64, failures: f64) -> Self {
        Self { a: 1.0 + successes, b: 1.0 + failures }
    }

    /// The expected rate.
    pub fn mean(&self) -> f64 {
        self.a / (self.a + self.b)
    }

    /// How likely the rate is at most `x`.
    pub fn cdf(&self, x: f64) -> f64 {
        self.below(x, self.log_norm())
    }

    /// The rate that the true one is below with probability `p`, 0 to 1.
    pub fn quantile(&self, p: f64) -> f64 {
        let log_norm = self.log_norm();
        let (mut low, mut high, mut x) = (0.0, 1.0, self.mean());
        for _ in 0..N_STEPS {
            let too_much = self.below(x, log_norm) - p;
            if too_much < 0.0 {
                low = x
            } else {
                high = x
            }
            let log_density = log_norm + (self.a - 1.0) * x.ln() + (self.b - 1.0) * (-x).ln_1p();
            let newton = x - too_much / log_density.exp();
            let next = if newton > low && newton < high { newton } else { 0.5 * (low + high) };
            if (next - x).abs() <= LAST_STEP * next {
                return next;
            }
            x = next;
        }
        x
    }

    fn below(&self, x: f64, log_norm: f64) -> f64 {
        if x <= 0.0 {
            0.0
        } else if x >= 1.0 {
            1.0
        } else if x < (self.a + 1.0) / (self.a + self.b + 2.0) {
            self.tail(x, log_norm)
        } else {
            1.0 - Self { a: self.b, b: self.a }.tail(1.0 - x, log_norm)
        }
    }

    /// The lower tail; its fraction converges quickly where `x` is below the mean.
    fn tail(&self, x: f64, log_norm: f64) -> f64 {
        let Self { a, b } = *self;
        let log_front = log_norm + a * x.ln() + b * (-x).ln_1p();
        log_front.exp() / a / continued_fraction(a, b, x)
    }

    /// The logarithm of what the density is scaled by, `1 / B(a, b)`.
    fn log_norm(&self) -> f64 {
        ln_gamma(self.a + self.b) - ln_gamma(self.a) - ln_gamma(self.b)
    }
}

/// The denominator `1 + d1 / (1 + d2 / (1 + …))`.
fn continued_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away_from_zero = |y: f64| if y.abs() < TINY { TINY } else { y };
    // Lentz: the fraction is a product of ratios c * d; it needs about the square root of the larger parameter.
    let n_terms = 200 + 4 * a.max(b).sqrt() as usize;
    let (mut fraction, mut c, mut d) = (1.0f64, 1.0f64, 0.0f64);
    for n in 1..=n_terms {
        let m = (n / 2) as f64;
        let term = if n % 2 == 0 {
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m))
        } else {
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
        };
        d = 1.0 / away_from_zero(1.0 + term * d);
        c = away_from_zero(1.0 + term / c);
        fraction *= c * d;
        if (c * d - 1.0).abs() < 1e-15 {
            break;
        }
    }
    fraction
}

/// The logarithm of the gamma function of `x` ≥ 1: Stirling's series, for small `x` after raising it.
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut raised) = (x, 1.0);
    while x < 12.0 {
        raised *= x;
        x += 1.0;
    }
    let series = [1.0 / 12.0, -1.0 / 360.0, 1.0 / 1260.0, -1.0 / 1680.0, 1.0 / 1188.0];
    let square = x * x;
    let correction = series.iter().rev().fold(0.0, |sum, term| sum / square + term) / x;
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * PI).ln() + correction - f64::ln(raised)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_logarithm_of_factorials() {
        let mut factorial = 1.0f64;
        for n in 1..30u32 {
            assert!((ln_gamma(f64::from(n)) - factorial.ln()).abs() < 1e-11 * factorial.ln().max(1.0), "{n}");
            factorial *= f64::from(n);
        }
    }

    /// Where the distribution has a closed form: Beta(a, 1) is `x^a`, Beta(1, b) is `1 - (1 - x)^b`, and for whole
    /// numbers the tail of a binomial distribution.
    #[test]
    fn closed_forms() {
        for x in [0.01, 0.2, 0.5, 0.7, 0.99] {
            for n in [1.0, 2.0, 7.0, 40.0] {
                assert!((Beta { a: n, b: 1.0 }.cdf(x) - x.powf(n)).abs() < 1e-12);
                assert!((Beta { a: 1.0, b: n }.cdf(x) - (1.0 - (1.0 - x).powf(n))).abs() < 1e-12);
            }
            let tail: f64 = (3..=7)
                .map(|k| [35.0, 35.0, 21.0, 7.0, 1.0][k - 3] * x.powi(k as i32) * (1.0 - x).powi(7 - k as i32))
                .sum();
            assert!((Beta { a: 3.0, b: 5.0 }.cdf(x) - tail).abs() < 1e-12, "{x}");
        }
    }

    proptest! {
        #[test]
        fn a_quantile_is_where_the_probability_is_reached(
            successes in 0.0..5000.0f64, failures in 0.0..5000.0f64, p in 0.001..0.999f64,
        ) {
            let beta = Beta::after(successes, failures);
            let x = beta.quantile(p);
            prop_assert!((0.0..=1.0).contains(&x));
            prop_assert!((beta.cdf(x) - p).abs() < 1e-8, "{beta:?} {p} {x}");
        }

        #[test]
        fn swapping_successes_and_failures_mirrors_it(a in 0.0..300.0f64, b in 0.0..300.0f64, x in 0.0..1.0f64) {
            prop_assert!((Beta::after(a, b).cdf(x) - (1.0 - Beta::after(b, a).cdf(1.0 - x))).abs() < 1e-10);
        }
    }

    #[test]
    fn large_counts_are_narrow_and_right() {
        let beta = Beta::after(9e8, 1e8);
        assert!((beta.quantile(0.5) - 0.9).abs() < 1e-6);
        assert!((beta.quantile(0.975) - 0.9 - 1.96 * (0.09f64 / 1e9).sqrt()).abs() < 1e-7);
    }
}
