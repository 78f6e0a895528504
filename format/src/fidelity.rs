//! Fidelity: how near attending to a KV log comes to computing its tokens again.

use crate::{ElementType, KvRead};
use std::fmt;

/// How near attending to a log comes to computing its tokens again, at best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fidelity {
    /// The keys and values are those that computing the tokens here would give.
    ///
    /// Every number is what was computed (stored as f32, by lossless encodings), the log's tokens are all that there
    /// were from position 0 on, and they stand at their positions again.
    Exact,
    /// As [`Exact`](Self::Exact), but the tokens stand at other positions than those at which they were computed: RoPE
    /// turns the keys there without loss, and what the tokens saw, nothing before them, is unchanged.
    Repositioned,
    /// Something is missing: numbers were rounded when they were captured or by their encoding, or the tokens were
    /// computed after others that the log does not have (it begins behind position 0, is a selection, or its heads keep
    /// tokens of their own).
    Approximate,
}

impl Fidelity {
    /// Of a log whose tokens are attached in the order of their positions, from `first_position` on without gaps.
    pub fn of(log: &dyn KvRead, first_position: u32) -> Self {
        let mut positions = log.positions().to_vec();
        positions.sort_unstable();
        let is_whole = positions.iter().copied().eq(0..positions.len() as u32) && log.heads().is_none();
        let is_lossless = !log.is_approximate() && log.element() == ElementType::F32;
        match (is_whole && is_lossless, first_position) {
            (false, _) => Self::Approximate,
            (true, 0) => Self::Exact,
            (true, _) => Self::Repositioned,
        }
    }

    /// The word used on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Repositioned => "repositioned",
            Self::Approximate => "approximate",
        }
    }
}

impl fmt::Display for Fidelity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
