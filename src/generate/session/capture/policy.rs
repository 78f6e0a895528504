//! Capture policies: which rows of a session may be kept, how many, and what makes one worth more than another.
//!
//! A policy is a value: a span of rows, a budget, who shares a choice, and an importance. What is kept comes from the live
//! cache, keys before RoPE. What is kept closes up when it is attached: tokens that were dropped leave no gap in the positions.

use super::Selection;

/// What becomes a KV log.
#[derive(Clone, Debug, PartialEq)]
pub struct CapturePolicy {
    /// The rows to choose from.
    pub span: Selection,
    /// How much may be kept.
    pub budget: CaptureBudget,
    /// What makes a row worth keeping.
    pub importance: Importance,
    /// Who chooses.
    pub choice: Choice,
}

/// How much of a span is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CaptureBudget {
    /// All of it.
    #[default]
    Everything,
    /// So many tokens, of each head where heads choose.
    Tokens(usize),
    /// As many tokens as have so many bytes of keys and values, before any encoding.
    Bytes(usize),
}

/// Who chooses what is kept. Heads attend to different tokens, so a budget may buy more where each chooses for itself. All keep
/// as many; dividing a budget among heads as [Ada-KV](https://arxiv.org/abs/2407.11550) does is not offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// All heads of all layers together: one list of tokens.
    #[default]
    Together,
    /// The heads of each layer together: a ragged log.
    PerLayer,
    /// Each KV head of each layer: a ragged log.
    PerHead,
}

/// What makes a row of a KV head worth keeping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Importance {
    /// Being late: the last tokens are kept, as by a sliding window.
    Recent,
    /// The attention it gets from the last so many tokens of the span, each taken with its neighbours up to `pool` tokens
    /// away, as in [SnapKV](https://arxiv.org/abs/2404.14469). These tokens are kept. Costs computing them again.
    SnapKv {
        /// Last tokens that ask.
        window: usize,
        /// Neighbours on each side that share the largest.
        pool: usize,
    },
    /// The attention it gets from all tokens of the span after it, as in [H2O](https://arxiv.org/abs/2306.14048). Costs
    /// computing the span again.
    HeavyHitters,
    /// A small norm of its key: much attention goes to such ([Devoto et al.](https://arxiv.org/abs/2406.11430)).
    KeyNorm,
    /// The attention that it can expect from tokens to come, whose queries are taken to be spread like those of the last so
    /// many tokens, and the norm of its value, as in [expected attention](https://arxiv.org/abs/2510.00636). Costs computing
    /// those tokens again.
    Expected {
        /// Last tokens whose queries are looked at.
        window: usize,
    },
    /// Chance: the control that every other must beat.
    Random {
        /// Whose chance.
        seed: u64,
    },
}

impl CapturePolicy {
    /// Everything in `span`.
    pub fn all(span: Selection) -> Self {
        Self { span, budget: CaptureBudget::Everything, importance: Importance::Recent, choice: Choice::Together }
    }

    /// LAG's: every token of the last response.
    pub fn lag() -> Self {
        Self::all(Selection::LastResponse)
    }
}
