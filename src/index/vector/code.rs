//! Vectors as int8: a quarter of their bytes, and a bound on what that costs.
//!
//! A unit vector `x` is kept as `round(x / scale) + 128` in unsigned bytes, `scale` being its largest number by 127, so
//! that no number is cut off. Rows are padded to a multiple of [`BLOCK`]; padding counts nothing, for a query has zeros
//! there. With `x̂` for what a code stands for, the score of two codes differs from that of the vectors by at most
//! `‖x − x̂‖ + ‖q − q̂‖` and a little more (Cauchy and Schwarz): whoever needs exact answers looks at all that lie
//! within the bound. The upper halves of the bytes alone tell a score to about 0.006 at 384 numbers, enough for a walk to
//! know which way to go.

use super::fine::Fine;
use super::huge;
use super::simd::{BLOCK, Plane, dot_rows, prefetch};
use crate::record::embedding::dot;

/// The byte that stands for zero.
const ZERO: u8 = 128;
/// What a lower half is on the average.
const LOWER_MIDDLE: f32 = 7.5;
/// `Σ query` times this is what all bytes add that stand for zero, less what lower halves add on the average.
const COARSE_ZERO: f32 = ZERO as f32 - LOWER_MIDDLE;

/// The usual error of coarse scores up to which a walk finds as much with a few more in sight: from 128 numbers on.
const WALKABLE_ERROR: f32 = 0.01;

/// Codes side by side, in two planes of `[n, stride]`.
#[derive(Clone, Debug)]
pub(super) struct Codes {
    dim: usize,
    /// The upper halves of all bytes, and the lower ones.
    pub(super) upper: Vec<u8>,
    pub(super) lower: Vec<u8>,
    pub(super) scales: Vec<f32>,
    /// What both leave of each number.
    pub(super) fine: Fine,
    /// The largest `‖x − x̂‖` of all.
    pub(super) error: f32,
    /// The largest `‖x̂ − x̃‖` of all, `x̃` being what the upper halves alone stand for.
    pub(super) coarse_error: f32,
}

/// A query as a code.
#[derive(Clone, Debug, Default)]
pub(super) struct QueryCode {
    numbers: Vec<i8>,
    scale: f32,
    /// `Σ numbers`.
    sum: i32,
    /// `‖q − q̂‖`.
    error: f32,
}

/// How much of a code a score is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Precision {
    /// The upper halves of its bytes.
    Coarse,
    /// All of it.
    Full,
}

/// Bytes per row of `dim` numbers in each of the two planes.
pub(super) fn stride(dim: usize) -> usize {
    dim.next_multiple_of(BLOCK) / 2
}

impl Codes {
    pub(super) fn new(dim: usize) -> Self {
        Self::with_capacity(dim, 0)
    }

    /// No codes, and room for `n`.
    pub(super) fn with_capacity(dim: usize, n: usize) -> Self {
        let plane = || huge::vec(n * stride(dim));
        let (scales, fine) = (Vec::with_capacity(n), Fine::with_capacity(dim, n));
        Self { dim, upper: plane(), lower: plane(), scales, fine, error: 0.0, coarse_error: 0.0 }
    }

    /// Codes that were read; as many rows as scales.
    pub(super) fn from_parts(
        dim: usize,
        [upper, lower]: [Vec<u8>; 2],
        scales: Vec<f32>,
        fine: Fine,
        [error, coarse_error]: [f32; 2],
    ) -> Self {
        debug_assert_eq!(upper.len(), scales.len() * stride(dim), "checked by the reader");
        debug_assert_eq!(upper.len(), lower.len(), "checked by the reader");
        Self { dim, upper, lower, scales, fine, error, coarse_error }
    }

    pub(super) fn dim(&self) -> usize {
        self.dim
    }

    pub(super) fn len(&self) -> usize {
        self.scales.len()
    }

    pub(super) fn upper(&self) -> Plane<'_> {
        Plane { bytes: &self.upper, stride: stride(self.dim) }
    }

    pub(super) fn lower(&self) -> Plane<'_> {
        Plane { bytes: &self.lower, stride: stride(self.dim) }
    }

    /// Whether the row `node` is the row `other_node` of `other`.
    pub(super) fn is_same_row(&self, node: u32, other: &Self, other_node: u32) -> bool {
        self.upper().row(node) == other.upper().row(other_node)
            && self.lower().row(node) == other.lower().row(other_node)
            && self.scales.get(node as usize) == other.scales.get(other_node as usize)
            && self.fine.row(node) == other.fine.row(other_node)
    }

    /// Adds a vector of `dim` numbers.
    pub(super) fn push(&mut self, vector: &[f32]) {
        let (scale, mut numbers) = (scale_of(vector), Vec::with_capacity(vector.len()));
        let error = quantize(vector, scale, &mut numbers);
        for block in numbers.chunks(BLOCK) {
            let byte = |at: usize| block.get(at).map_or(ZERO, |number| (*number as u8) ^ ZERO);
            for (first, second) in (0..BLOCK / 2).map(|j| (byte(j), byte(j + BLOCK / 2))) {
                self.upper.push(first >> 4 | second & 0xf0);
                self.lower.push(first & 15 | second << 4);
            }
        }
        let from_middle = |number: &i8| (f32::from((*number as u8 ^ ZERO) & 15) - LOWER_MIDDLE).powi(2);
        let coarse_error = scale * numbers.iter().map(from_middle).sum::<f32>().sqrt();
        self.scales.push(scale);
        self.fine.push(vector, scale, &numbers);
        self.error = self.error.max(error);
        self.coarse_error = self.coarse_error.max(coarse_error);
    }

    /// Adds a row of codes of the same dimension.
    pub(super) fn push_row(&mut self, from: &Self, node: u32) {
        debug_assert_eq!(self.dim, from.dim, "codes are kept by space");
        self.upper.extend_from_slice(from.upper().row(node));
        self.lower.extend_from_slice(from.lower().row(node));
        self.scales.extend(from.scales.get(node as usize));
        self.fine.push_row(&from.fine, node);
        self.error = self.error.max(from.error);
        self.coarse_error = self.coarse_error.max(from.coarse_error);
    }

    /// The row `node` as a query, put into `query`.
    pub(super) fn row_as_query(&self, node: u32, query: &mut QueryCode) {
        query.numbers.clear();
        let (upper, lower) = (self.upper().row(node).as_chunks::<{ BLOCK / 2 }>(), self.lower().row(node));
        for (upper, lower) in upper.0.iter().zip(lower.as_chunks::<{ BLOCK / 2 }>().0) {
            let pairs = || upper.iter().zip(lower);
            query.numbers.extend(pairs().map(|(upper, lower)| ((upper << 4 | lower & 15) ^ ZERO) as i8));
            query.numbers.extend(pairs().map(|(upper, lower)| ((upper & 0xf0 | lower >> 4) ^ ZERO) as i8));
        }
        query.scale = self.scales.get(node as usize).copied().unwrap_or_default();
        query.sum = sum(&query.numbers);
    }

    /// Sets `scores` to the cosines of `query` and the rows `nodes`, as far as codes tell.
    pub(super) fn score(&self, query: &QueryCode, nodes: &[u32], precision: Precision, scores: &mut Scores) {
        self.score_rows(query, nodes, precision, false, scores);
    }

    /// The same for rows that were [fetched ahead](Self::prefetch).
    pub(super) fn score_coming(&self, query: &QueryCode, nodes: &[u32], precision: Precision, scores: &mut Scores) {
        self.score_rows(query, nodes, precision, true, scores);
    }

    fn score_rows(
        &self,
        query: &QueryCode,
        nodes: &[u32],
        precision: Precision,
        are_coming: bool,
        scores: &mut Scores,
    ) {
        dot_rows(&query.numbers, self.upper(), nodes, are_coming, &mut scores.dots);
        scores.cosines.clear();
        let scale = |node: &u32| self.scales.get(*node as usize).copied().unwrap_or_default() * query.scale;
        if precision == Precision::Coarse {
            let zero = COARSE_ZERO * query.sum as f32;
            let cosine = |(dot, node): (&i32, &u32)| (16.0 * *dot as f32 - zero) * scale(node);
            scores.cosines.extend(scores.dots.iter().zip(nodes).map(cosine));
            return;
        }
        dot_rows(&query.numbers, self.lower(), nodes, are_coming, &mut scores.low_dots);
        let zero = i32::from(ZERO) * query.sum;
        let cosine = |((dot, low), node): ((&i32, &i32), &u32)| (16 * dot + low - zero) as f32 * scale(node);
        scores.cosines.extend(scores.dots.iter().zip(&scores.low_dots).zip(nodes).map(cosine));
    }

    /// The cosine of the unit vector `near` and the row `node` as nearly as this knows it; `None` when the row is damaged.
    pub(super) fn fine_score(&self, near: &[f32], node: u32, scratch: &mut FineScratch) -> Option<f32> {
        let FineScratch { code, vector } = scratch;
        let left = self.fine.row(node)?;
        self.row_as_query(node, code);
        let step = code.scale / 256.0;
        vector.clear();
        let number = |(code, left): (&i8, &u8)| (i32::from(*code) * 256 + i32::from(*left as i8)) as f32 * step;
        vector.extend(code.numbers.iter().zip(left).map(number));
        Some(dot(near, vector))
    }

    /// Tells the processor that these rows are compared soon.
    pub(super) fn prefetch(&self, nodes: &[u32], precision: Precision) {
        for node in nodes {
            prefetch(self.upper().row(*node));
            if precision == Precision::Full {
                prefetch(self.lower().row(*node));
            }
            prefetch(self.scales.get(*node as usize..).and_then(|rest| rest.get(..1)).unwrap_or_default());
        }
    }

    /// How far a full score may be from that of the vectors, to be on the safe side.
    pub(super) fn bound(&self, query: &QueryCode) -> f32 {
        // ‖x̂‖ ≤ 1 + ‖x − x̂‖; the last term is for the rounding of f32.
        self.error + query.error * (1.0 + self.error) + 1e-5
    }

    /// What a walk needs to know its way: the upper halves, where the errors of many numbers cancel out.
    pub(super) fn of_walks(&self) -> Precision {
        let usual_error = self.coarse_error / (self.dim as f32).sqrt();
        if usual_error <= WALKABLE_ERROR { Precision::Coarse } else { Precision::Full }
    }

    /// How far a coarse score may be from that of the vectors, to be on the safe side.
    pub(super) fn coarse_bound(&self, query: &QueryCode) -> f32 {
        self.bound(query) + self.coarse_error * (1.0 + query.error)
    }

    /// How far a full score hardly ever is from that of the vectors: the errors point in all directions, so that one
    /// number of `dim` counts, not their sum; four times its usual size.
    pub(super) fn usual_bound(&self, query: &QueryCode) -> f32 {
        4.0 * (self.error.powi(2) + query.error.powi(2)).sqrt() / (self.dim as f32).sqrt()
    }

    /// Bytes held.
    pub(super) fn n_bytes(&self) -> usize {
        self.upper.capacity() + self.lower.capacity() + self.scales.capacity() * 4 + self.fine.n_bytes()
    }
}

impl QueryCode {
    pub(super) fn new(vector: &[f32]) -> Self {
        let scale = scale_of(vector);
        let mut numbers = Vec::with_capacity(vector.len().next_multiple_of(BLOCK));
        let error = quantize(vector, scale, &mut numbers);
        numbers.resize(vector.len().next_multiple_of(BLOCK), 0);
        let sum = sum(&numbers);
        Self { numbers, scale, sum, error }
    }
}

/// Adds `round(x / scale)` for each number; how far these are from the vector.
fn quantize(vector: &[f32], scale: f32, numbers: &mut Vec<i8>) -> f32 {
    let inverse = scale.recip();
    // Half away from zero, without a call of a library for each.
    numbers.extend(vector.iter().map(|x| (x * inverse + 0.5f32.copysign(*x)) as i32 as i8));
    let mut squares = [0.0f32; 8];
    for (xs, codes) in vector.chunks(8).zip(numbers.chunks(8)) {
        for (square, (x, code)) in squares.iter_mut().zip(xs.iter().zip(codes)) {
            *square += (x - f32::from(*code) * scale).powi(2);
        }
    }
    squares.iter().sum::<f32>().sqrt()
}

fn sum(numbers: &[i8]) -> i32 {
    numbers.iter().map(|number| i32::from(*number)).sum()
}

/// Kept from one call to the next, so that none allocates.
#[derive(Debug, Default)]
pub(super) struct Scores {
    dots: Vec<i32>,
    low_dots: Vec<i32>,
    pub(super) cosines: Vec<f32>,
}

/// Kept from one to the next, as well.
#[derive(Debug, Default)]
pub(super) struct FineScratch {
    code: QueryCode,
    vector: Vec<f32>,
}

/// A unit vector has a number that is not zero; one that was damaged to zeros is left at zeros.
fn scale_of(vector: &[f32]) -> f32 {
    let largest = vector.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
    if largest > 0.0 { largest / 127.0 } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
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
            codes.score(&query, &[0], Precision::Full, &mut scores);
            prop_assert!((scores.cosines[0] - dot(&a, &b)).abs() <= codes.bound(&query));
            // A row is the query that it was made of.
            let (mut row, again) = (QueryCode::default(), QueryCode::new(&a));
            codes.row_as_query(0, &mut row);
            prop_assert_eq!((&row.numbers, row.sum, row.scale), (&again.numbers, again.sum, again.scale));
            // Eight more bits tell it finely: no number is farther off than a step.
            let fine = codes.fine_score(&b, 0, &mut FineScratch::default()).unwrap();
            let farthest = codes.scales[0] / 256.0 * (a.len() as f32).sqrt() + 1e-5;
            prop_assert!((fine - dot(&a, &b)).abs() <= farthest);
            // Half of the bytes tell it roughly.
            codes.score(&query, &[0], Precision::Coarse, &mut scores);
            prop_assert!((scores.cosines[0] - dot(&a, &b)).abs() <= codes.coarse_bound(&query));
        }
    }
}
