//! Weights: named tensors from safetensors bytes.
//!
//! Only the safe reader is used: bytes are parsed in memory, never mapped, and a tensor is widened to f32 when the decoder
//! takes it, from the bytes that are there rather than from what a header claims. So a model that is quantized as it is
//! loaded is never in memory as f32.

use super::matrix::Matrix;
use super::precision::WeightPrecision;
use crate::error::{Error, Result};
use candle_core::safetensors::SliceSafetensors;
use lagdb_format::ElementType;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Where a decoder takes its tensors from.
pub(super) trait TensorSource {
    /// The numbers of tensor `name`, which must have `shape`.
    ///
    /// # Errors
    /// [`Error::Model`] naming tensor and file when it is missing, of another shape, or of a type that is not read.
    fn numbers(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>>;

    /// Matrix `name` of `shape`, `[n_out, n_in]`, as `precision` wants it.
    ///
    /// # Errors
    /// As [`numbers`](Self::numbers).
    fn matrix(&mut self, name: &str, shape: [usize; 2], precision: WeightPrecision) -> Result<Taken> {
        Ok(Taken { matrix: Matrix::new(self.numbers(name, &shape)?, shape, precision)?, was: None })
    }
}

/// A matrix as the decoder holds it.
pub(super) struct Taken {
    pub(super) matrix: Matrix,
    /// The quantized type that it was stored in, if it is held in another one.
    pub(super) was: Option<&'static str>,
}

/// The tensors of a model that have not been taken yet.
#[derive(Default)]
pub(super) struct Weights<'a> {
    files: Vec<Cow<'a, [u8]>>,
    stored: BTreeMap<String, Stored>,
    /// The file named when a tensor is in none.
    file: PathBuf,
}

struct Stored {
    path: PathBuf,
    shape: Vec<usize>,
    kind: String,
    /// Its bytes in one of the files.
    file: usize,
    bytes: Range<usize>,
}

impl<'a> Weights<'a> {
    /// No tensors; errors about missing ones name `file`.
    pub(super) fn new(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into(), ..Self::default() }
    }

    /// Adds the tensors of one safetensors file.
    ///
    /// # Errors
    /// [`Error::Model`] when the bytes are damaged or repeat a name.
    pub(super) fn add(&mut self, path: &Path, bytes: impl Into<Cow<'a, [u8]>>) -> Result<()> {
        let bytes = bytes.into();
        let problem = |problem: String| Error::Model { path: path.to_path_buf(), problem };
        let tensors = SliceSafetensors::new(&bytes).map_err(|e| problem(format!("no safetensors: {e}")))?;
        for (name, view) in tensors.tensors() {
            let start = view.data().as_ptr().addr().wrapping_sub(bytes.as_ptr().addr()); // the view is a part of `bytes`
            let bytes = start..start.wrapping_add(view.data().len());
            let (kind, shape) = (view.dtype().to_string(), view.shape().to_vec());
            let stored = Stored { path: path.to_path_buf(), shape, kind, file: self.files.len(), bytes };
            if self.stored.insert(name.clone(), stored).is_some() {
                return Err(problem(format!("tensor {name} is in two files")));
            }
        }
        self.files.push(bytes);
        Ok(())
    }
}

impl TensorSource for Weights<'_> {
    fn numbers(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let Some(stored) = self.stored.remove(name) else {
            return Err(Error::Model { path: self.file.clone(), problem: format!("tensor {name} is missing") });
        };
        let problem = |problem| Error::Model { path: stored.path.clone(), problem };
        if stored.shape != shape {
            let found = &stored.shape;
            return Err(problem(format!("tensor {name} has shape {found:?}, the configuration says {shape:?}")));
        }
        let bytes = self.files.get(stored.file).and_then(|file| file.get(stored.bytes)).unwrap_or_default();
        let kind = stored.kind;
        let numbers = widen(&kind, bytes)
            .map_err(|kind| problem(format!("tensor {name} is of type {kind}; F32, F16 and BF16 are read")))?;
        Ok(numbers)
    }
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
