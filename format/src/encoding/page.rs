//! What an encoding knows of a page, and what it answers about it: shape and measured error.

use crate::simd::{self, DifferenceSums, Target};
use crate::{ElementType, FormatError, Part, Result};

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

    /// How far `found` is from `exact`; both are finite and as long as each other.
    pub(crate) fn between(exact: &[f32], found: &[f32]) -> Self {
        let mut sums = DifferenceSums::default();
        simd::add_differences(Target::best(), exact, found, &mut sums);
        let (differences, squares): (f64, f64) = (sums.differences.iter().sum(), sums.squares.iter().sum());
        let relative = if squares > 0.0 { (differences / squares).sqrt() } else { 0.0 };
        Self { relative_l2: relative as f32, max: sums.largest.into_iter().fold(0.0, f32::max) }
    }
}
