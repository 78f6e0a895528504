//! Computing attached tokens again, in their rows: what they see now and did not see when they were captured.
//!
//! Rows are computed layer by layer like any others and see every row before them; their keys and values replace those of the
//! log. CacheBlend's choice needs no second pass: it falls after the first layers, and only the chosen go on.

use super::super::Session;
use super::policy::Recompute;
use crate::error::Result;
use candle_core::{Device, Tensor};
use std::ops::Range;

/// Layers after which it shows which tokens deviate.
const PROBE_LAYERS: usize = 2;

impl Session {
    /// Computes what `recompute` names of these logs' rows again; how many rows.
    pub(super) fn recompute(&mut self, recompute: Recompute, logs: &[Range<usize>]) -> Result<usize> {
        let mut logs = logs.to_vec();
        logs.sort_unstable_by_key(|rows| rows.start);
        let first = |k: usize| {
            logs.iter().flat_map(move |rows| rows.start..rows.end.min(rows.start.saturating_add(k))).collect()
        };
        let (rows, share): (Vec<usize>, _) = match recompute {
            Recompute::Nothing => return Ok(0),
            Recompute::FirstTokens(k) => (first(k), None),
            Recompute::MostDeviating(share) => (first(usize::MAX), Some(share)),
        };
        if rows.is_empty() || share == Some(0.0) {
            return Ok(0);
        }
        let ids: Vec<u32> = rows.iter().map(|&row| self.ids[row]).collect();
        let hidden = self.generator.decoder().embedded(&ids)?;
        let n_layers = self.generator.config().layers.len();
        let Some(share) = share else {
            self.advance(hidden, &rows, 0..n_layers)?;
            return Ok(rows.len());
        };
        let probed = PROBE_LAYERS.min(n_layers);
        let before = self.values_of(probed - 1, &rows)?;
        let hidden = self.advance(hidden, &rows, 0..probed)?;
        let after = self.values_of(probed - 1, &rows)?;
        let chosen = most_different(&before, &after, rows.len(), share);
        let places = Tensor::from_vec(chosen.iter().map(|&i| i as u32).collect(), chosen.len(), &Device::Cpu)?;
        let rows: Vec<usize> = chosen.iter().map(|&i| rows[i]).collect();
        self.advance(hidden.index_select(&places, 0)?, &rows, probed..n_layers)?;
        Ok(rows.len())
    }

    /// Takes the hidden states of committed rows through some layers, chunk by chunk.
    fn advance(&mut self, hidden: Tensor, rows: &[usize], layers: Range<usize>) -> Result<Tensor> {
        let (generator, chunk) = (self.generator.clone(), self.chunk_size());
        let mut advanced = Vec::new();
        for (number, rows) in rows.chunks(chunk).enumerate() {
            let step = generator.decoder().step(self.cache.positions(), rows.to_vec(), &self.cache);
            let hidden = hidden.narrow(0, number * chunk, rows.len())?.contiguous()?;
            let next = generator.decoder().advance(hidden, &step, layers.clone(), &mut self.cache, |_| ())?;
            advanced.push(next);
        }
        Ok(Tensor::cat(&advanced, 0)?)
    }
}

/// The rows that changed most, as many as `share` of all, in their order.
fn most_different(before: &[f32], after: &[f32], n_rows: usize, share: f32) -> Vec<usize> {
    let width = before.len() / n_rows;
    let distance = |(before, after): (&[f32], &[f32])| -> f32 {
        before.iter().zip(after).map(|(before, after)| (before - after).powi(2)).sum()
    };
    let distances: Vec<f32> = before.chunks_exact(width).zip(after.chunks_exact(width)).map(distance).collect();
    let mut order: Vec<usize> = (0..n_rows).collect();
    order.sort_by(|&a, &b| distances[b].total_cmp(&distances[a]));
    order.truncate(((n_rows as f32 * share).ceil() as usize).max(1));
    order.sort_unstable();
    order
}

#[cfg(test)]
mod tests {
    use super::most_different;

    #[test]
    fn the_most_different_rows_stay_in_their_order() {
        let before = [0.0; 8];
        let after = [0.0, 3.0, 0.0, 0.0, 9.0, 0.0, 1.0, 0.0];
        assert_eq!(most_different(&before, &after, 4, 0.5), [0, 2]);
        assert_eq!(most_different(&before, &after, 4, 0.01), [2]);
        assert_eq!(most_different(&before, &after, 4, 1.0), [0, 1, 2, 3]);
    }
}
