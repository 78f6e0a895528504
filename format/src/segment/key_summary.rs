//! Key summaries: what can be said of a page's keys without decoding it, per KV head.
//!
//! Mean, minimum and maximum of every channel, and for every RoPE pair `(i, i + head_dim / 2)` the largest norm that a key
//! has in it. The last bounds every score that a query can reach, wherever the query and the keys stand:
//!
//! RoPE turns each pair of a vector by an angle of its own, so it keeps the norm of each pair. A score is the sum over
//! pairs of the inner products of the turned pairs of query and key, and by Cauchy and Schwarz
//! `q·k = Σ ⟨R q_p, R' k_p⟩ ≤ Σ ‖R q_p‖ ‖R' k_p‖ = Σ ‖q_p‖ ‖k_p‖ ≤ Σ ‖q_p‖ max ‖k_p‖`.
//!
//! Rounding never lowers it. Norms are computed in f64 over the keys as a reader decodes them, and rounded up to f16; the
//! sum is computed in f64 and made larger by `head_dim 2⁻²¹` of itself. That is more than attention in f32 may err: a
//! sum of `n` products errs by at most about `n 2⁻²⁴ Σ |q_i k_i|`, and `Σ |q_i k_i| ≤ Σ ‖q_p‖ ‖k_p‖`; turning both vectors
//! in f32 adds a few `2⁻²⁴` of the same sum.
//!
//! Tang et al., *Quest*, 2024, <https://arxiv.org/abs/2406.10774>, bound scores by minimum and maximum, of keys after
//! RoPE; those of keys before RoPE bound only a query at the key's own position. Where all keys have one position, a query
//! that is turned by its distance to them is such a query: then the lower of the two bounds holds, and the mean of the keys
//! says how much the page weighs at least, since by Jensen's inequality `Σ exp(s_i) ≥ n exp(Σ s_i / n)`.

use super::layout::Fields;
use crate::encoding::{Decoder, PageError, PageShape};
use crate::simd::{self, BoundSums, Target};
use crate::{ElementType, Encoding, Result};
use half::f16;

/// What is known of the keys of one KV head in one page.
#[derive(Clone, Debug, PartialEq)]
pub struct KeySummary {
    /// Mean of each channel, `[head_dim]`; to the nearest f16.
    pub mean: Vec<f32>,
    /// No key has less in this channel, `[head_dim]`.
    pub min: Vec<f32>,
    /// No key has more in this channel, `[head_dim]`.
    pub max: Vec<f32>,
    /// No key has a larger norm in this RoPE pair, `[head_dim / 2]`.
    pub pair_norm: Vec<f32>,
}

/// What can be said of the scores of a page whose keys stand where the query stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoresInPlace {
    /// No score is above it.
    pub bound: f32,
    /// The mean of the scores is not below it.
    pub mean: f32,
}

/// Bytes of one summary.
pub(crate) fn n_bytes(head_dim: u32) -> usize {
    let head_dim = head_dim as usize;
    2 * (3 * head_dim + head_dim / 2)
}

impl KeySummary {
    /// The summary of `keys`, `[n_tokens, n_heads, head_dim]`, of which `head` is taken.
    pub(crate) fn of(keys: &[f32], n_heads: usize, head: usize, head_dim: usize) -> Self {
        let rows = || keys.chunks_exact(head_dim).skip(head).step_by(n_heads);
        let half = head_dim / 2;
        let (mut sum, mut min, mut max) =
            (vec![0.0; head_dim], vec![f32::INFINITY; head_dim], vec![f32::NEG_INFINITY; head_dim]);
        let mut norm = vec![0.0_f64; half];
        for row in rows() {
            for (((x, sum), min), max) in row.iter().zip(&mut sum).zip(&mut min).zip(&mut max) {
                *sum += f64::from(*x);
                // A number that is none is below and above everything.
                *min = if x.is_nan() { f32::NEG_INFINITY } else { min.min(*x) };
                *max = if x.is_nan() { f32::INFINITY } else { max.max(*x) };
            }
            let (first, second) = row.split_at(half);
            for ((a, b), norm) in first.iter().zip(second).zip(&mut norm) {
                let found = f64::from(*a).hypot(f64::from(*b));
                *norm = if found.is_nan() { f64::INFINITY } else { norm.max(found) };
            }
        }
        let n_rows = rows().count().max(1) as f64;
        Self {
            mean: sum.iter().map(|sum| f16::from_f64(sum / n_rows).to_f32()).collect(),
            min: min.iter().map(|x| -round_up(-f64::from(*x))).collect(),
            max: max.iter().map(|x| round_up(f64::from(*x))).collect(),
            // `hypot` errs by less than an ulp of f64.
            pair_norm: norm.iter().map(|norm| round_up(norm.next_up())).collect(),
        }
    }

    /// Whether it can be said of a page of which `found` is true.
    pub(crate) fn holds(&self, found: &Self) -> bool {
        let each = |a: &[f32], b: &[f32], is: fn(f32, f32) -> bool| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is(*a, *b))
        };
        each(&self.min, &found.min, |stored, found| stored <= found)
            && each(&self.max, &found.max, |stored, found| stored >= found)
            && each(&self.pair_norm, &found.pair_norm, |stored, found| stored >= found)
    }

    /// Bounds both.
    pub(crate) fn widen(&mut self, other: &Self) {
        let to = |all: &mut [f32], found: &[f32], choose: fn(f32, f32) -> f32| {
            all.iter_mut().zip(found).for_each(|(all, found)| *all = choose(*all, *found));
        };
        to(&mut self.min, &other.min, f32::min);
        to(&mut self.max, &other.max, f32::max);
        to(&mut self.pair_norm, &other.pair_norm, f32::max);
        // The last level is the nearest.
        self.mean.copy_from_slice(&other.mean);
    }

    /// No key of the page scores more with `query`, `[head_dim]`, before the scale of attention, whatever the positions
    /// of both.
    pub fn score_bound(&self, query: &[f32]) -> f32 {
        let (first, second) = query.split_at(query.len() / 2);
        let norms = first.iter().zip(second).map(|(a, b)| f64::from(*a).hypot(f64::from(*b)));
        let sum: f64 = norms.zip(&self.pair_norm).map(|(q, k)| q * f64::from(*k)).sum();
        at_least(sum * (1.0 + rounding(query)))
    }

    /// What can be said of the scores with `query`, `[head_dim]`, before the scale of attention, of keys that stand where it
    /// stands: both before RoPE, or the query turned by its distance to all of them.
    ///
    /// Minimum and maximum bound each product. The mean of each channel is off by less than `2⁻⁸` of the largest key there:
    /// the keys that it is the mean of may be rounded to bf16, which is `2⁻⁹` of each, and it is itself rounded to f16, which
    /// is `2⁻¹¹`; rounding scores adds far less than what is left. Below the smallest f16 it is off by `2⁻²⁴`.
    pub fn scores_in_place(&self, query: &[f32]) -> ScoresInPlace {
        let mut sums = BoundSums::default();
        simd::add_bounds(Target::best(), query, &self.min, &self.max, &self.mean, &mut sums);
        let [bound, most, mean, size] = sums.totals();
        let least_mean = mean - most / 256.0 - size * 2.0_f64.powi(-24);
        ScoresInPlace { bound: at_least(bound + rounding(query) * most), mean: -at_least(-least_mean) }
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let numbers = self.mean.iter().chain(&self.min).chain(&self.max).chain(&self.pair_norm);
        out.extend(numbers.flat_map(|x| f16::from_f32(*x).to_le_bytes()));
    }

    pub(crate) fn read(fields: &mut Fields<'_>, head_dim: u32) -> Result<Self> {
        if !head_dim.is_multiple_of(2) {
            // A channel without a pair would be in no norm, and the bound too low.
            return fields.refuse("key summaries", "are of pairs, the head width is odd");
        }
        let mut numbers = |n: usize, field| -> Result<Vec<f32>> {
            let bytes = fields.take(2 * n, field)?;
            Ok(bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect())
        };
        let head_dim = head_dim as usize;
        Ok(Self {
            mean: numbers(head_dim, "key mean")?,
            min: numbers(head_dim, "key minimum")?,
            max: numbers(head_dim, "key maximum")?,
            pair_norm: numbers(head_dim / 2, "key pair norm")?,
        })
    }
}

/// What can be said of a stored page of keys, per KV head in it.
///
/// What is decoded, not what was encoded, is what attention compares with: of every level that may be read, as f32 and
/// rounded to the element type.
///
/// # Errors
/// [`FormatError::Corrupt`](crate::FormatError) when the page does not decode.
pub(crate) fn of_page(
    decoder: &mut Decoder,
    shape: PageShape,
    levels: &[(Encoding, &[u8])],
    errors: &[PageError],
) -> Result<Vec<KeySummary>> {
    let (n_heads, head_dim) = (shape.n_kv_heads as usize, shape.head_dim as usize);
    let mut numbers = vec![0.0; shape.n_tokens as usize * n_heads * head_dim];
    let mut summaries: Vec<KeySummary> = Vec::new();
    let mut include = |numbers: &[f32]| {
        let found = (0..n_heads).map(|head| KeySummary::of(numbers, n_heads, head, head_dim));
        if summaries.is_empty() {
            summaries.extend(found);
        } else {
            summaries.iter_mut().zip(found).for_each(|(known, found)| known.widen(&found));
        }
    };
    for (n_levels, error) in (1..=levels.len()).zip(errors) {
        decoder.decode_levels_f32(shape, levels.get(..n_levels).unwrap_or_default(), &mut numbers)?;
        include(&numbers);
        if *error != PageError::NONE && shape.element != ElementType::F32 {
            let mut raw = vec![0; numbers.len() * shape.element.n_bytes()];
            shape.element.round_f32(&numbers, &mut raw)?;
            shape.element.decode_f32(&raw, &mut numbers)?;
            include(&numbers);
        }
    }
    Ok(summaries)
}

/// What attention in f32 may err, as a share of the sum of the products' sizes.
fn rounding(query: &[f32]) -> f64 {
    query.len() as f64 * f64::from(f32::EPSILON) * 4.0
}

/// The smallest f32 that is not below `bound`; infinity when that is no number.
fn at_least(bound: f64) -> f32 {
    let rounded = bound as f32;
    if bound.is_nan() {
        f32::INFINITY
    } else if f64::from(rounded) < bound {
        rounded.next_up()
    } else {
        rounded
    }
}

/// The smallest f16 that is not below `x`, as f32.
fn round_up(x: f64) -> f32 {
    let nearest = f16::from_f64(x);
    if nearest.to_f64() >= x || nearest.is_nan() {
        return nearest.to_f32();
    }
    let bits = nearest.to_bits();
    // Away from zero above it, towards it below; the largest finite one goes to infinity.
    let next = if nearest.is_sign_negative() && bits != 0x8000 { bits - 1 } else { (bits & 0x7fff) + 1 };
    f16::from_bits(next).to_f32()
}

#[cfg(test)]
mod tests {
    use super::round_up;
    use half::f16;

    #[test]
    fn rounding_up_never_goes_down_and_never_far() {
        for bits in 0..=u16::MAX {
            let x = f16::from_bits(bits);
            if x.is_nan() {
                continue;
            }
            assert_eq!(f64::from(round_up(x.to_f64())), x.to_f64(), "{x} is an f16");
            for x in [x.to_f64().next_up(), x.to_f64().next_down()] {
                let up = f64::from(round_up(x));
                assert!(up >= x, "{x} to {up}");
                let below = f16::from_f64(up);
                let below = if below.to_f64() > 0.0 { below.to_bits() - 1 } else { (below.to_bits() | 0x8000) + 1 };
                assert!(up == x || f16::from_bits(below).to_f64() < x || up == 0.0, "{x} to {up} and not further");
            }
        }
    }
}
