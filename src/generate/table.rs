//! Products with a table of `Q8_0` that is held as it is stored: an embedding that is the output projection too.

use super::parallel;
use super::simd::{Target, dot_blocks};
use super::tensor;
use candle_core::{Result, Tensor};

/// Rows of the table that a thread multiplies at once.
const PART_ROWS: usize = 4096;
/// Rows of the table that stay near while all rows of `x` pass.
const NEAR_ROWS: usize = 16;

/// `x · Wᵀ` of the `blocks` of W, `[n_out, n_in]`: `[n_tokens, n_in]` to `[n_tokens, n_out]`. `x` is not rounded.
pub(super) fn times(blocks: &[u8], [n_out, n_in]: [usize; 2], x: &Tensor) -> Result<Tensor> {
    let (n_tokens, row_bytes) = (x.dim(0)?, blocks.len() / n_out.max(1));
    let products = tensor::read(x, |x| {
        let parts = parallel::each(n_out.div_ceil(PART_ROWS), n_tokens * n_out * n_in, |_: &mut (), part| {
            let rows = part * PART_ROWS..n_out.min((part + 1) * PART_ROWS);
            let blocks = &blocks[rows.start * row_bytes..rows.end * row_bytes];
            let mut products = vec![0.0; n_tokens * rows.len()];
            for (i, blocks) in blocks.chunks(NEAR_ROWS * row_bytes).enumerate() {
                for (token, x) in x.chunks_exact(n_in).enumerate() {
                    let first = token * rows.len() + i * NEAR_ROWS;
                    dot_blocks(Target::best(), x, blocks, &mut products[first..first + blocks.len() / row_bytes]);
                }
            }
            products
        });
        let of_token = |token: usize| {
            parts.iter().flat_map(move |part| &part[part.len() / n_tokens * token..][..part.len() / n_tokens])
        };
        (0..n_tokens).flat_map(of_token).copied().collect()
    })?;
    tensor::own(products, (n_tokens, n_out))
}
