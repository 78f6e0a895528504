//! The rows of a KV log in another order.

use super::{KvLayer, KvLog};
use crate::{HeadTokens, KvRead};

impl KvLog {
    /// The same log whose token `i` is the old token `order[i]`.
    pub(super) fn reordered(self, order: &[usize]) -> Self {
        let geometry = self.fingerprint.geometry;
        let of = |numbers: &[u32]| order.iter().filter_map(|&token| numbers.get(token).copied()).collect::<Vec<_>>();
        let (token_ids, positions) = (of(&self.token_ids), of(&self.positions));
        let heads = self.heads.as_ref().map(|old| {
            let old_token = |token: u32| order.get(token as usize).map_or(u32::MAX, |&old| old as u32);
            HeadTokens::new(geometry, old.n_tokens(), |layer, head, token| old.keeps(layer, head, old_token(token)))
        });
        let layers = match (&self.heads, &heads) {
            (Some(old), Some(new)) => {
                let rows = |layer| ragged_order(old, new, order, layer, geometry.n_kv_heads);
                let row_bytes = geometry.head_dim as usize * self.element.n_bytes();
                (0..).zip(&self.layers).map(|(layer, columns)| columns.rows(row_bytes, &rows(layer))).collect()
            }
            _ => {
                let row_bytes = geometry.row_width() * self.element.n_bytes();
                self.layers.iter().map(|columns| columns.rows(row_bytes, order)).collect()
            }
        };
        Self { token_ids, positions, heads, layers, ..self }
    }

    /// The same log of one set for all, whose heads keep every token.
    pub(super) fn without_sets(self) -> Self {
        let (n_tokens, n_heads) = (self.n_tokens(), self.fingerprint.geometry.n_kv_heads as usize);
        let order: Vec<usize> =
            (0..n_tokens).flat_map(|token| (0..n_heads).map(move |head| head * n_tokens + token)).collect();
        let row_bytes = self.fingerprint.geometry.head_dim as usize * self.element.n_bytes();
        let layers = self.layers.iter().map(|columns| columns.rows(row_bytes, &order)).collect();
        Self { heads: None, layers, ..self }
    }
}

/// For each row of a layer of `new`, head after head, which row of `old` it was.
fn ragged_order(old: &HeadTokens, new: &HeadTokens, order: &[usize], layer: u32, n_heads: u32) -> Vec<usize> {
    let mut rows = Vec::new();
    let mut first = 0;
    for head in 0..n_heads {
        let mut row_of = vec![0; order.len()];
        old.tokens_of(layer, head).zip(first..).for_each(|(token, row)| row_of[token as usize] = row);
        rows.extend(new.tokens_of(layer, head).map(|token| row_of[order[token as usize]]));
        first = rows.len();
    }
    rows
}

impl KvLayer {
    /// These rows of `row_bytes` of both columns.
    fn rows(&self, row_bytes: usize, rows: &[usize]) -> Self {
        let of = |column: &[u8]| {
            let row = |&row: &usize| column.get(row * row_bytes..(row + 1) * row_bytes).unwrap_or_default();
            rows.iter().flat_map(row).copied().collect()
        };
        Self { keys: of(&self.keys), values: of(&self.values) }
    }
}
