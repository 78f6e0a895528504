//! Numbers to eight-bit codes, and codes to packed halves: the number of the cell of its group's range a number lies in.

use super::compiled;

/// Numbers that a processor handles at once, at most.
const LANES: usize = 16;

compiled! {
    /// Codes of whole rows; `low` and `step` are one per channel.
    fn shrink_by_channel(numbers: &[f32], low: &[f32], step: &[f32], codes: &mut [u8]) {
        let width = low.len().max(1);
        let inverse: Vec<f32> = step.iter().map(|step| inverse(*step)).collect();
        for (numbers, codes) in numbers.chunks_exact(width).zip(codes.chunks_exact_mut(width)) {
            for (((code, x), low), inverse) in codes.iter_mut().zip(numbers).zip(low).zip(&inverse) {
                *code = cell((x - low) * inverse);
            }
        }
    }
}

compiled! {
    /// Codes of whole heads; `low` and `step` are one per `group` numbers of a head.
    fn shrink_by_token(numbers: &[f32], head_dim: usize, group: usize, low: &[f32], step: &[f32], codes: &mut [u8]) {
        let (mut low, mut step) = (low.iter(), step.iter());
        for (numbers, codes) in numbers.chunks_exact(head_dim.max(1)).zip(codes.chunks_exact_mut(head_dim.max(1))) {
            for (numbers, codes) in numbers.chunks(group.max(1)).zip(codes.chunks_mut(group.max(1))) {
                let (Some(low), Some(step)) = (low.next(), step.next()) else { return };
                let inverse = inverse(*step);
                for (code, x) in codes.iter_mut().zip(numbers) {
                    *code = cell((x - low) * inverse);
                }
            }
        }
    }
}

/// A range without width has one cell.
#[inline(always)]
fn inverse(step: f32) -> f32 {
    if step > 0.0 { (1.0 / step).min(f32::MAX) } else { 0.0 }
}

/// The whole part, kept inside the range, which rounding may leave a little. Adding 2^23 leaves it in the lowest bits, and
/// rounds a number on the border of two cells into either.
#[inline(always)]
fn cell(x: f32) -> u8 {
    let x = if x > 0.5 { x } else { 0.5 };
    let x = if x < 255.5 { x } else { 255.5 };
    (x - 0.5 + 8_388_608.0).to_bits() as u8
}

compiled! {
    /// The least and the largest number of each channel of whole rows, where they are beyond `low` and `high`.
    fn extremes_by_channel(rows: &[f32], low: &mut [f32], high: &mut [f32]) {
        for row in rows.chunks_exact(low.len().max(1)) {
            for ((x, low), high) in row.iter().zip(low.iter_mut()).zip(high.iter_mut()) {
                *low = if *x < *low { *x } else { *low };
                *high = if *x > *high { *x } else { *high };
            }
        }
    }
}

compiled! {
    /// The least and the largest of every `group` numbers of a head.
    fn extremes_by_token(heads: &[f32], head_dim: usize, group: usize, low: &mut [f32], high: &mut [f32]) {
        let groups = heads.chunks_exact(head_dim.max(1)).flat_map(|head| head.chunks(group.max(1)));
        for ((numbers, low), high) in groups.zip(low).zip(high) {
            let (mut lows, mut highs) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
            let (blocks, rest) = numbers.as_chunks::<LANES>();
            for block in blocks {
                for ((x, low), high) in block.iter().zip(&mut lows).zip(&mut highs) {
                    *low = if *x < *low { *x } else { *low };
                    *high = if *x > *high { *x } else { *high };
                }
            }
            let least = |least: f32, x: &f32| if *x < least { *x } else { least };
            let most = |most: f32, x: &f32| if *x > most { *x } else { most };
            *low = lows.iter().chain(rest).fold(f32::INFINITY, least);
            *high = highs.iter().chain(rest).fold(f32::NEG_INFINITY, most);
        }
    }
}

compiled! {
    /// Adds to `sums` the squares of the differences and of the exact numbers, and keeps the largest difference. Sums of
    /// every eighth number are kept apart, so that adding up is fast and its order the same on every machine.
    fn add_differences(exact: &[f32], found: &[f32], sums: &mut DifferenceSums) {
        let mut found_blocks = found.chunks(8);
        for exact in exact.chunks(8) {
            let (mut a, mut b) = ([0.0_f32; 8], [0.0_f32; 8]);
            let Some(found) = found_blocks.next() else { return };
            match (exact.first_chunk::<8>(), found.first_chunk::<8>()) {
                (Some(exact), Some(found)) => (a, b) = (*exact, *found),
                _ => {
                    a.iter_mut().zip(exact).for_each(|(a, x)| *a = *x);
                    b.iter_mut().zip(found).for_each(|(b, x)| *b = *x);
                }
            }
            for i in 0..8 {
                let difference = (a[i] - b[i]).abs();
                sums.differences[i] += f64::from(difference) * f64::from(difference);
                sums.squares[i] += f64::from(a[i]) * f64::from(a[i]);
                sums.largest[i] = if difference > sums.largest[i] { difference } else { sums.largest[i] };
            }
        }
    }
}

/// Sums of [`add_differences`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DifferenceSums {
    pub(crate) differences: [f64; 8],
    pub(crate) squares: [f64; 8],
    pub(crate) largest: [f32; 8],
}

/// Appends four bits of every code, packed by head as `expand` reads them.
pub(crate) fn pack_halves(codes: &[u8], head_dim: usize, half: impl Fn(u8) -> u8, out: &mut Vec<u8>) {
    for head in codes.chunks_exact(head_dim.max(1)) {
        let (low, high) = head.split_at(head_dim.div_ceil(2));
        let start = out.len();
        out.extend(low.iter().map(|code| half(*code)));
        for (byte, code) in out.iter_mut().skip(start).zip(high) {
            *byte |= half(*code) << 4;
        }
    }
}
