//! Lending layers: another thread writes rows to one while those that came back are computed with.
//!
//! A layer is where it is owned: here, with the thread, or between them in a channel. Layers come back in their order, and only
//! when all their rows are written; whoever needs one waits for it.

use super::{KvCache, LayerCache};
use candle_core::{Error, Result};
use std::sync::mpsc::Receiver;
use std::sync::{Mutex, PoisonError};

/// Layers that are written to by another thread.
#[derive(Debug)]
pub(super) struct Lent {
    arriving: Mutex<Receiver<LayerCache>>,
    /// Rows that each has room for.
    pub(super) capacity: usize,
}

impl KvCache {
    /// Gives all layers away, to be written to elsewhere; they come back through `arriving`, the first first.
    ///
    /// # Errors
    /// When a layer's sizes cannot be told.
    pub(in crate::generate) fn lend(&mut self, arriving: Receiver<LayerCache>) -> Result<Vec<LayerCache>> {
        let capacities = self.layers.iter().map(LayerCache::capacity).collect::<Result<Vec<_>>>()?;
        let capacity = capacities.into_iter().min().unwrap_or(0);
        self.lent = Some(Lent { arriving: Mutex::new(arriving), capacity });
        Ok(std::mem::take(&mut self.layers))
    }

    /// Waits until `layer` is back.
    ///
    /// # Errors
    /// When nobody sends it any more.
    pub(in crate::generate) fn wait_for(&mut self, layer: usize) -> Result<()> {
        while self.layers.len() <= layer {
            let lent = self.lent.as_mut().ok_or_else(lost)?;
            let arriving = lent.arriving.get_mut().unwrap_or_else(PoisonError::into_inner);
            self.layers.push(arriving.recv().map_err(|_| lost())?);
        }
        Ok(())
    }

    /// Takes back what is under way and after that `rest`, the layers that are not.
    pub(in crate::generate) fn take_back(&mut self, rest: Vec<LayerCache>) {
        if let Some(lent) = self.lent.take() {
            let arriving = lent.arriving.into_inner().unwrap_or_else(PoisonError::into_inner);
            self.layers.extend(arriving.try_iter());
        }
        self.layers.extend(rest);
    }
}

/// Only a panic elsewhere takes layers away for good, or a thread that could not write to them.
pub(super) fn lost() -> Error {
    Error::Msg("layers of the KV cache were lent and did not come back".to_owned())
}
