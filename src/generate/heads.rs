//! Token-major and head-major: the two orders in which keys and values lie.
//!
//! Projections and KV logs are token-major, `[n_tokens, n_heads, head_dim]`: a token's numbers are together. The KV
//! cache and every attention product are head-major, `[n_heads, n_tokens, head_dim]`: a head's keys are one matrix.
//! Turning keys by RoPE is part of the copy, since each number is touched once anyway.

use super::rope::Angles;

/// Sizes of a list of heads.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadShape {
    pub(super) n_tokens: usize,
    pub(super) n_heads: usize,
    pub(super) head_dim: usize,
}

impl HeadShape {
    /// `[n_tokens, n_heads, head_dim]` to `[n_heads, n_tokens, head_dim]`, turned by `angles` where given.
    pub(super) fn to_head_major(self, x: &[f32], angles: Option<&Angles>) -> Vec<f32> {
        let mut out = vec![0.0; x.len()];
        let d = self.head_dim;
        match angles {
            None => self.each(|_, from, to| out[to..to + d].copy_from_slice(&x[from..from + d])),
            Some(angles) => self.each(|token, from, to| angles.turn(token, &x[from..from + d], &mut out[to..to + d])),
        }
        out
    }

    /// `[n_heads, n_tokens, head_dim]` to `[n_tokens, n_heads, head_dim]`.
    pub(super) fn to_token_major(self, x: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; x.len()];
        let d = self.head_dim;
        self.each(|_, to, from| out[to..to + d].copy_from_slice(&x[from..from + d]));
        out
    }

    /// Calls `copy(token, token_major_start, head_major_start)` for every head of every token.
    fn each(&self, mut copy: impl FnMut(usize, usize, usize)) {
        let Self { n_tokens, n_heads, head_dim } = *self;
        for token in 0..n_tokens {
            for head in 0..n_heads {
                copy(token, (token * n_heads + head) * head_dim, (head * n_tokens + token) * head_dim);
            }
        }
    }
}
