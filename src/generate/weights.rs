//! Weights: named tensors from safetensors bytes, widened to f32, each with a digest of what was stored.
//!
//! Only the safe reader is used: bytes are parsed in memory, never mapped. A tensor is allocated from the length of
//! the bytes that are there, not from what a header claims. Digests cover name, type, shape and bytes of the tensors
//! the decoder takes, so neither sharding nor tensors it ignores change a fingerprint.

use crate::error::{Error, Result};
use candle_core::safetensors::SliceSafetensors;
use lagdb_format::{Digest, ElementType};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where a decoder takes its tensors from.
pub(super) trait TensorSource {
    /// The numbers of tensor `name`, which must have `shape`.
    ///
    /// # Errors
    /// [`Error::Model`] naming tensor and file when it is missing, of another shape, or of a type that is not read.
    fn numbers(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>>;
}

/// The tensors of a model that have not been taken yet.
#[derive(Default)]
pub(super) struct Weights {
    stored: BTreeMap<String, Stored>,
    taken: BTreeMap<String, Digest>,
    /// The file named when a tensor is in none.
    file: PathBuf,
}

struct Stored {
    file: PathBuf,
    shape: Vec<usize>,
    digest: Digest,
    /// The numbers, or the name of a type that is not read.
    numbers: std::result::Result<Vec<f32>, String>,
}

impl Weights {
    /// No tensors; errors about missing ones name `file`.
    pub(super) fn new(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into(), ..Self::default() }
    }

    /// Adds the tensors of one safetensors file.
    ///
    /// # Errors
    /// [`Error::Model`] when the bytes are damaged or repeat a name.
    pub(super) fn add(&mut self, file: &Path, bytes: &[u8]) -> Result<()> {
        let problem = |problem: String| Error::Model { path: file.to_path_buf(), problem };
        let tensors = SliceSafetensors::new(bytes).map_err(|e| problem(format!("no safetensors: {e}")))?;
        for (name, view) in tensors.tensors() {
            let kind = view.dtype().to_string();
            let digest = tensor_digest(&name, &kind, view.shape(), view.data());
            let numbers = widen(&kind, view.data());
            let stored = Stored { file: file.to_path_buf(), shape: view.shape().to_vec(), digest, numbers };
            if self.stored.insert(name.clone(), stored).is_some() {
                return Err(problem(format!("tensor {name} is in two files")));
            }
        }
        Ok(())
    }

    /// One digest over all tensors taken so far, in the order of their names.
    pub(super) fn digest(&self) -> Digest {
        let parts: Vec<&[u8]> = self.taken.values().map(|digest| digest.0.as_slice()).collect();
        Digest::of("lagdb model weights v1", &parts)
    }
}

impl TensorSource for Weights {
    fn numbers(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let Some(stored) = self.stored.remove(name) else {
            return Err(Error::Model { path: self.file.clone(), problem: format!("tensor {name} is missing") });
        };
        let problem = |problem| Error::Model { path: stored.file.clone(), problem };
        if stored.shape != shape {
            let found = &stored.shape;
            return Err(problem(format!("tensor {name} has shape {found:?}, the configuration says {shape:?}")));
        }
        let numbers = stored
            .numbers
            .map_err(|kind| problem(format!("tensor {name} is of type {kind}; F32, F16 and BF16 are read")))?;
        self.taken.insert(name.to_owned(), stored.digest);
        Ok(numbers)
    }
}

/// Digest of one tensor as it is stored.
fn tensor_digest(name: &str, kind: &str, shape: &[usize], data: &[u8]) -> Digest {
    let shape: Vec<u8> = shape.iter().flat_map(|&n| (n as u64).to_le_bytes()).collect();
    Digest::of("lagdb model tensor v1", &[name.as_bytes(), kind.as_bytes(), &shape, data])
}

/// The numbers as f32, or the name of the type when it is not one of the three that are read.
fn widen(kind: &str, data: &[u8]) -> std::result::Result<Vec<f32>, String> {
    let element = match kind {
        "F32" => ElementType::F32,
        "F16" => ElementType::F16,
        "BF16" => ElementType::Bf16,
        other => return Err(other.to_owned()),
    };
    let mut numbers = vec![0.0; data.len() / element.n_bytes()];
    element.decode_f32(data, &mut numbers).map_err(|e| e.to_string())?;
    Ok(numbers)
}
