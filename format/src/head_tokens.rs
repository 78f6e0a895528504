//! Ragged token sets: which tokens of a KV log each KV head of each layer keeps.
//!
//! Heads attend to different tokens, so a budget is spent better when each head keeps its own
//! ([Ada-KV](https://arxiv.org/abs/2407.11550)). The tokens of the log are the union; each set is one bit per token of it.
//! The rows of a head stand in the order of the log's tokens.

use crate::KvGeometry;

/// The tokens of each layer and KV head: one bit per layer, head and token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadTokens {
    n_kv_heads: u32,
    n_tokens: u32,
    /// `[n_layers, n_kv_heads, set_bytes]`; bit `i % 8` of byte `i / 8` is token `i`.
    bits: Vec<u8>,
    /// `[n_layers, n_kv_heads]`: bits set.
    counts: Vec<u32>,
}

impl HeadTokens {
    /// The sets of a log of `n_tokens`: `keeps(layer, head, token)` says whether the token is in it.
    pub fn new(geometry: KvGeometry, n_tokens: u32, mut keeps: impl FnMut(u32, u32, u32) -> bool) -> Self {
        let mut bits = Vec::new();
        for layer in 0..geometry.n_layers {
            for head in 0..geometry.n_kv_heads {
                let mut set = vec![0; set_bytes(n_tokens)];
                for (byte, first) in set.iter_mut().zip((0..n_tokens).step_by(8)) {
                    let n_bits = 8.min(n_tokens - first);
                    *byte = (0..n_bits).fold(0, |byte, i| byte | u8::from(keeps(layer, head, first + i)) << i);
                }
                bits.extend(set);
            }
        }
        let sets = Self::counted(geometry.n_kv_heads, n_tokens, bits);
        // Sets of no tokens take no bytes and are there all the same.
        let n_sets = geometry.n_layers as usize * geometry.n_kv_heads as usize;
        if n_tokens == 0 { Self { counts: vec![0; n_sets], ..sets } } else { sets }
    }

    /// The sets whose bits are `bits`, as a segment has them; answers what is wrong with them.
    pub(crate) fn from_bits(geometry: KvGeometry, n_tokens: u32, bits: &[u8]) -> Result<Self, &'static str> {
        let n_sets = (geometry.n_layers as usize).checked_mul(geometry.n_kv_heads as usize);
        let set_bytes = set_bytes(n_tokens);
        // Sets of no bytes would be as many as anyone claims.
        if set_bytes == 0 || n_sets.and_then(|n| n.checked_mul(set_bytes)) != Some(bits.len()) {
            return Err("do not have one bit per layer, head and token");
        }
        let unused = match n_tokens % 8 {
            0 => 0,
            used => !0_u8 << used,
        };
        if bits.chunks_exact(set_bytes).any(|set| set.last().is_some_and(|last| last & unused != 0)) {
            return Err("have bits behind the last token");
        }
        Ok(Self::counted(geometry.n_kv_heads, n_tokens, bits.to_vec()))
    }

    fn counted(n_kv_heads: u32, n_tokens: u32, bits: Vec<u8>) -> Self {
        let sets = bits.chunks_exact(set_bytes(n_tokens).max(1));
        let counts = sets.map(|set| set.iter().map(|byte| byte.count_ones()).sum()).collect();
        Self { n_kv_heads, n_tokens, bits, counts }
    }

    /// The bits, as a segment has them.
    pub(crate) fn bits(&self) -> &[u8] {
        &self.bits
    }

    /// Tokens of the log: the union.
    pub fn n_tokens(&self) -> u32 {
        self.n_tokens
    }

    /// Tokens that `head` of `layer` keeps; 0 where there is no such head.
    pub fn n_tokens_of(&self, layer: u32, head: u32) -> u32 {
        self.counts_of(layer).get(head as usize).copied().unwrap_or_default()
    }

    /// Tokens kept by all heads of `layer` together.
    pub fn n_rows_of(&self, layer: u32) -> u64 {
        self.counts_of(layer).iter().map(|count| u64::from(*count)).sum()
    }

    /// Tokens kept by all heads of all layers together.
    pub fn n_rows(&self) -> u64 {
        self.counts.iter().map(|count| u64::from(*count)).sum()
    }

    /// Whether `head` of `layer` keeps `token`.
    pub fn keeps(&self, layer: u32, head: u32, token: u32) -> bool {
        self.set(layer, head).get(token as usize / 8).is_some_and(|byte| byte >> (token % 8) & 1 == 1)
    }

    /// The tokens that `head` of `layer` keeps, as numbers of tokens of the log, going up.
    pub fn tokens_of(&self, layer: u32, head: u32) -> impl Iterator<Item = u32> + '_ {
        let set = self.set(layer, head).iter().zip(0..);
        set.flat_map(|(byte, i)| (0..8).filter(move |bit| byte >> bit & 1 == 1).map(move |bit| i * 8 + bit))
    }

    /// The same sets of the first `n_tokens` tokens alone.
    pub(crate) fn first(&self, geometry: KvGeometry, n_tokens: u32) -> Self {
        Self::new(geometry, n_tokens.min(self.n_tokens), |layer, head, token| self.keeps(layer, head, token))
    }

    /// Whether there is a set for each layer and head of this geometry.
    pub(crate) fn fits(&self, geometry: KvGeometry) -> bool {
        self.n_kv_heads == geometry.n_kv_heads
            && self.counts.len() as u64 == u64::from(geometry.n_layers) * u64::from(geometry.n_kv_heads)
    }

    fn counts_of(&self, layer: u32) -> &[u32] {
        let n_heads = self.n_kv_heads as usize;
        let start = (layer as usize).saturating_mul(n_heads);
        self.counts.get(start..start.saturating_add(n_heads)).unwrap_or_default()
    }

    fn set(&self, layer: u32, head: u32) -> &[u8] {
        if head >= self.n_kv_heads {
            return &[];
        }
        let n_bytes = set_bytes(self.n_tokens);
        let number = (layer as usize).saturating_mul(self.n_kv_heads as usize).saturating_add(head as usize);
        let start = number.saturating_mul(n_bytes);
        self.bits.get(start..start.saturating_add(n_bytes)).unwrap_or_default()
    }
}

/// Bytes of one set.
fn set_bytes(n_tokens: u32) -> usize {
    n_tokens.div_ceil(8) as usize
}
