//! Keys before RoPE of the tokens computed here, kept for capture.
//!
//! Each forward pass leaves the tensors that its projections made; they are never written again, so forks share them.
//! Storing them costs less accuracy than turning the cached keys back.

use crate::generate::tensor;
use candle_core::{Result, Tensor};
use std::ops::Range;

/// The keys of each forward pass, in order of rows.
#[derive(Clone, Debug, Default)]
pub(super) struct RawKeys(Vec<Pass>);

#[derive(Clone, Debug)]
struct Pass {
    rows: Range<usize>,
    /// Per layer, `[rows.len(), n_kv_heads * head_dim]`.
    layers: Vec<Tensor>,
}

impl RawKeys {
    /// Keeps the keys of `rows`, one tensor per layer.
    pub(super) fn push(&mut self, rows: Range<usize>, layers: Vec<Tensor>) {
        self.0.push(Pass { rows, layers });
    }

    /// Forgets the rows from `n_rows` on, which begin a pass.
    pub(super) fn truncate(&mut self, n_rows: usize) {
        self.0.truncate(self.0.partition_point(|pass| pass.rows.start < n_rows));
    }

    /// The keys of `rows` at `layer`, `[rows.len(), n_kv_heads * head_dim]`; rows that were attached are left out.
    pub(super) fn read(&self, layer: usize, rows: &Range<usize>) -> Result<Vec<f32>> {
        let mut keys = Vec::new();
        let first = self.0.partition_point(|pass| pass.rows.end <= rows.start);
        for pass in self.0[first..].iter().take_while(|pass| pass.rows.start < rows.end) {
            let wanted = rows.start.max(pass.rows.start)..rows.end.min(pass.rows.end);
            let keys_of = pass.layers[layer].narrow(0, wanted.start - pass.rows.start, wanted.len())?;
            tensor::read(&keys_of, |numbers| keys.extend_from_slice(numbers))?;
        }
        Ok(keys)
    }
}
