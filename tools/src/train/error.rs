//! Why a training run stopped.

use crate::world::Exhausted;

/// Why a run stopped.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A tensor operation failed, or a tensor file could not be read or written.
    #[error("the model could not be run, read or written")]
    Tensor(#[from] candle_core::Error),
    /// A file could not be written.
    #[error("a result could not be written")]
    Io(#[from] std::io::Error),
    /// A result could not be put into JSON.
    #[error("a result could not be put into JSON")]
    Json(#[from] serde_json::Error),
    /// The recipe asks for tasks larger than a world.
    #[error("the recipe asks for too large tasks")]
    World(#[from] Exhausted),
    /// The checkpoint lacks a weight.
    #[error("the checkpoint has no weight named {0}")]
    Missing(String),
}
