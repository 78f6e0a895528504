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

/// Numbers of some tokens as they come: from a projection or a decoder, or as a stored page of f16 has them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Numbers<'a> {
    Single(&'a [f32]),
    /// Little-endian.
    Half(&'a [[u8; 2]]),
}

/// Where rows go in a buffer of `capacity` rows per head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows {
    pub(super) first: usize,
    pub(super) capacity: usize,
}

impl HeadShape {
    /// `[n_tokens, n_heads, head_dim]` to `[n_heads, n_tokens, head_dim]`, turned by `angles` where given.
    pub(super) fn to_head_major(self, x: &[f32], angles: Option<&Angles>) -> Vec<f32> {
        let mut out = vec![0.0; x.len()];
        self.write_rows(x, angles.map(|angles| (angles, 0)), &mut out, Rows { first: 0, capacity: self.n_tokens });
        out
    }

    /// As [`to_head_major`](Self::to_head_major), into rows of a larger `[n_heads, rows.capacity, head_dim]`; beside the angles
    /// stands which of them is the first.
    pub(super) fn write_rows(self, x: &[f32], angles: Option<(&Angles, usize)>, out: &mut [f32], rows: Rows) {
        let d = self.head_dim;
        for token in 0..self.n_tokens {
            for head in 0..self.n_heads {
                let from = (token * self.n_heads + head) * d;
                let to = (head * rows.capacity + rows.first + token) * d;
                let (from, to) = (&x[from..from + d], &mut out[to..to + d]);
                match angles {
                    None => to.copy_from_slice(from),
                    Some((angles, first)) => angles.turn(first + token, from, to),
                }
            }
        }
    }

    /// `[n_heads, n_tokens, head_dim]` to `[n_tokens, n_heads, head_dim]`.
    pub(super) fn to_token_major(self, x: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; x.len()];
        let d = self.head_dim;
        for token in 0..self.n_tokens {
            for head in 0..self.n_heads {
                let (from, to) = ((head * self.n_tokens + token) * d, (token * self.n_heads + head) * d);
                out[to..to + d].copy_from_slice(&x[from..from + d]);
            }
        }
        out
    }
}
