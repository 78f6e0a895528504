//! How much a model keeps per token: layers, KV heads and head width.

/// The shape of one token's keys (or values): `[n_layers, n_kv_heads, head_dim]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KvGeometry {
    /// Decoder layers.
    pub n_layers: u32,
    /// Key/value heads per layer (fewer than query heads under grouped-query attention).
    pub n_kv_heads: u32,
    /// Numbers per head.
    pub head_dim: u32,
}

impl KvGeometry {
    /// Numbers in the keys (or in the values) of one token at one layer: `n_kv_heads * head_dim`.
    pub fn row_width(&self) -> usize {
        self.n_kv_heads as usize * self.head_dim as usize
    }
}
