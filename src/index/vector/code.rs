//! Vectors as int8: a quarter of their bytes, and a bound on what that costs.
//!
//! A unit vector `x` is kept as `round(x / scale) + 128` in unsigned bytes, `scale` being its largest number by 127, so
//! that no number is cut off. Rows are padded to a multiple of [`LANES`]; padding counts nothing, for a query has zeros
//! there. With `x̂` for what a code stands for, the score of two codes differs from that of the vectors by at most
//! `‖x − x̂‖ + ‖q − q̂‖` and a little more (Cauchy and Schwarz): whoever needs exact answers looks at all that lie
//! within the bound.

use super::simd::{LANES, Rows, dot_rows};

/// The byte that stands for zero.
pub(super) const ZERO: u8 = 128;

/// Codes side by side, `[n, stride]`.
#[derive(Clone, Debug)]
pub(super) struct Codes {
    dim: usize,
    pub(super) bytes: Vec<u8>,
    pub(super) scales: Vec<f32>,
    /// The largest `‖x − x̂‖` of all.
    pub(super) error: f32,
}

/// A query as a code.
#[derive(Clone, Debug)]
pub(super) struct QueryCode {
    pub(super) numbers: Vec<i8>,
    pub(super) scale: f32,
    /// `128 · Σ numbers`.
    pub(super) bias: i32,
    /// `‖q − q̂‖`.
    pub(super) error: f32,
}

/// Bytes per row of `dim` numbers.
pub(super) fn stride(dim: usize) -> usize {
    dim.next_multiple_of(LANES)
}

impl Codes {
    pub(super) fn new(dim: usize) -> Self {
        Self { dim, bytes: Vec::new(), scales: Vec::new(), error: 0.0 }
    }

    /// Codes that were read; as many rows as scales.
    pub(super) fn from_parts(dim: usize, bytes: Vec<u8>, scales: Vec<f32>, error: f32) -> Self {
        debug_assert_eq!(bytes.len(), scales.len() * stride(dim), "checked by the reader");
        Self { dim, bytes, scales, error }
    }

    pub(super) fn dim(&self) -> usize {
        self.dim
    }

    pub(super) fn len(&self) -> usize {
        self.scales.len()
    }

    pub(super) fn rows(&self) -> Rows<'_> {
        Rows { bytes: &self.bytes, stride: stride(self.dim) }
    }

    /// Adds a vector of `dim` numbers.
    pub(super) fn push(&mut self, vector: &[f32]) {
        let scale = scale_of(vector);
        let mut error = 0.0f32;
        for x in vector {
            let code = (x / scale).round();
            error += (x - code * scale).powi(2);
            self.bytes.push((code as i16 + i16::from(ZERO)) as u8);
        }
        self.bytes.resize((self.scales.len() + 1) * stride(self.dim), ZERO);
        self.scales.push(scale);
        self.error = self.error.max(error.sqrt());
    }

    /// Adds a row of codes of the same dimension.
    pub(super) fn push_row(&mut self, from: &Self, node: u32) {
        debug_assert_eq!(self.dim, from.dim, "codes are kept by space");
        self.bytes.extend_from_slice(from.rows().row(node));
        self.scales.extend(from.scales.get(node as usize));
        self.error = self.error.max(from.error);
    }

    /// Sets `scores` to the cosines of `query` and the rows `nodes`, as far as codes tell.
    pub(super) fn score(&self, query: &QueryCode, nodes: &[u32], scores: &mut Scores) {
        dot_rows(&query.numbers, self.rows(), nodes, &mut scores.dots);
        scores.cosines.clear();
        let cosine = |(dot, node): (&i32, &u32)| {
            let scale = self.scales.get(*node as usize).copied().unwrap_or_default();
            (dot - query.bias) as f32 * scale * query.scale
        };
        scores.cosines.extend(scores.dots.iter().zip(nodes).map(cosine));
    }

    /// How far a score may be from that of the vectors, to be on the safe side.
    pub(super) fn bound(&self, query: &QueryCode) -> f32 {
        // ‖x̂‖ ≤ 1 + ‖x − x̂‖; the last term is for the rounding of f32.
        self.error + query.error * (1.0 + self.error) + 1e-5
    }

    /// How far a score hardly ever is from that of the vectors: the errors point in all directions, so that one number
    /// of `dim` counts, not their sum; four times its usual size.
    pub(super) fn usual_bound(&self, query: &QueryCode) -> f32 {
        4.0 * (self.error.powi(2) + query.error.powi(2)).sqrt() / (self.dim as f32).sqrt()
    }

    /// Bytes held.
    pub(super) fn n_bytes(&self) -> usize {
        self.bytes.capacity() + self.scales.capacity() * 4
    }
}

impl QueryCode {
    pub(super) fn new(vector: &[f32]) -> Self {
        let scale = scale_of(vector);
        let mut numbers: Vec<i8> = vector.iter().map(|x| (x / scale).round() as i8).collect();
        let error = vector.iter().zip(&numbers).map(|(x, code)| (x - f32::from(*code) * scale).powi(2)).sum::<f32>();
        numbers.resize(stride(vector.len()), 0);
        let bias = bias_of(&numbers);
        Self { numbers, scale, bias, error: error.sqrt() }
    }
}

/// `128 · Σ numbers`.
pub(super) fn bias_of(numbers: &[i8]) -> i32 {
    i32::from(ZERO) * numbers.iter().map(|x| i32::from(*x)).sum::<i32>()
}

/// Kept from one call to the next, so that none allocates.
#[derive(Debug, Default)]
pub(super) struct Scores {
    dots: Vec<i32>,
    pub(super) cosines: Vec<f32>,
}

/// A unit vector has a number that is not zero; one that was damaged to zeros is left at zeros.
fn scale_of(vector: &[f32]) -> f32 {
    let largest = vector.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
    if largest > 0.0 { largest / 127.0 } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::embedding::dot;
    use proptest::prelude::*;

    fn unit(numbers: Vec<f32>) -> Option<Vec<f32>> {
        let norm = numbers.iter().map(|x| x * x).sum::<f32>().sqrt();
        (norm > 1e-3).then(|| numbers.iter().map(|x| x / norm).collect())
    }

    proptest! {
        #[test]
        fn a_score_is_within_its_bound(
            (a, b) in (1usize..200).prop_flat_map(|dim| {
                let numbers = || proptest::collection::vec(-1.0f32..1.0, dim);
                (numbers(), numbers())
            }),
        ) {
            let (Some(a), Some(b)) = (unit(a), unit(b)) else { return Ok(()) };
            let mut codes = Codes::new(a.len());
            codes.push(&a);
            let query = QueryCode::new(&b);
            let mut scores = Scores::default();
            codes.score(&query, &[0], &mut scores);
            prop_assert!((scores.cosines[0] - dot(&a, &b)).abs() <= codes.bound(&query));
        }
    }
}
