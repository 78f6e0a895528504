//! What an encoding knows of a page, and what it answers about it: shape and measured error.

use crate::simd::{self, DifferenceSums, Target};
use crate::{ElementType, Encoding, FormatError, Part, Result};

/// What an encoding knows of a page: `[n_tokens, n_kv_heads, head_dim]` numbers of one element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageShape {
    /// Type of the numbers.
    pub element: ElementType,
    /// Keys, which differ most from channel to channel, or values, which differ most from token to token.
    pub part: Part,
    /// Tokens in the page.
    pub n_tokens: u32,
    /// Heads in the page.
    pub n_kv_heads: u32,
    /// Numbers per head.
    pub head_dim: u32,
}

impl PageShape {
    /// Numbers of one token: `n_kv_heads * head_dim`.
    pub fn row_width(&self) -> usize {
        self.n_kv_heads as usize * self.head_dim as usize
    }

    /// The numbers in `n_bytes` bytes of the page.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when the shape has another length.
    pub(crate) fn check_bytes(&self, n_bytes: usize) -> Result<usize> {
        let n_numbers = (self.n_tokens as usize).checked_mul(self.row_width());
        match n_numbers {
            Some(n) if n > 0 && n.checked_mul(self.element.n_bytes()) == Some(n_bytes) => Ok(n),
            _ => Err(FormatError::invalid("page", format!("{n_bytes} bytes of {self:?}"))),
        }
    }
}

/// How far the numbers that a decoder gives back, as f32, are from those that were encoded. Bytes of the element type are
/// rounded to it, which at most doubles both: what was encoded is of that type, so rounding moves a number no further than it
/// was off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PageError {
    /// Euclidean norm of the differences over that of the numbers; 0 when there is no difference.
    pub relative_l2: f32,
    /// Largest difference, in the units of the numbers.
    pub max: f32,
}

impl PageError {
    /// Bit for bit the same.
    pub const NONE: Self = Self { relative_l2: 0.0, max: 0.0 };

    /// How far `found` is from `exact`; both are finite and as long as each other. Never less than that, and
    /// [`NONE`](Self::NONE) only when every bit is the same: a lost sign of zero is the smallest error there is.
    pub(crate) fn between(exact: &[f32], found: &[f32]) -> Self {
        let mut sums = DifferenceSums::default();
        simd::add_differences(Target::best(), exact, found, &mut sums);
        let (differences, squares): (f64, f64) = (sums.differences.iter().sum(), sums.squares.iter().sum());
        let relative = if squares > 0.0 { (differences / squares).sqrt() } else { 0.0 };
        let max = sums.largest.into_iter().fold(0.0, f32::max);
        let is_same = || exact.iter().zip(found).all(|(a, b)| a.to_bits() == b.to_bits());
        let max = if max == 0.0 && !is_same() { f32::from_bits(1) } else { max };
        Self { relative_l2: rounded_up(relative), max }
    }

    /// Whether a page of this encoding can be so far off.
    pub(crate) fn is_possible(&self, encoding: Encoding) -> bool {
        let is_size = |error: f32| error.is_finite() && error >= 0.0;
        *self == Self::NONE || (!encoding.is_lossless() && is_size(self.relative_l2) && is_size(self.max))
    }
}

/// The smallest f32 that is not below `x`.
fn rounded_up(x: f64) -> f32 {
    let nearest = x as f32;
    if f64::from(nearest) < x { nearest.next_up() } else { nearest }
}
