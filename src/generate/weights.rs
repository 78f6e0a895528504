//! Weights: named tensors of safetensors files.
//!
//! A file is read tensor by tensor, as the decoder takes them, and never mapped; of a tensor the bytes that are there are widened
//! to f32, not those that a header claims. So of a model that is quantized as it is loaded one tensor at a time is in memory as it
//! is stored and as f32.

use super::matrix::Matrix;
use super::precision::WeightPrecision;
use crate::error::{Error, Result};
use lagdb_format::ElementType;
use safetensors::tensor::Metadata;
use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The most bytes of a file's header, as the library has it.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// What weights can be read from.
pub(super) trait Source: Read + Seek {}
impl<R: Read + Seek> Source for R {}

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
    files: Vec<Box<dyn Source + 'a>>,
    stored: BTreeMap<String, Stored>,
    /// The file named when a tensor is in none.
    file: PathBuf,
}

struct Stored {
    path: PathBuf,
    shape: Vec<usize>,
    kind: String,
    /// Its bytes in one of the files, which are there.
    file: usize,
    bytes: Range<u64>,
}

impl<'a> Weights<'a> {
    /// No tensors; errors about missing ones name `file`.
    pub(super) fn new(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into(), ..Self::default() }
    }

    /// Adds the tensors of one safetensors file.
    ///
    /// # Errors
    /// [`Error::Model`] when the bytes are damaged or repeat a name; [`Error::Io`] when they cannot be read.
    pub(super) fn add(&mut self, path: &Path, mut source: impl Source + 'a) -> Result<()> {
        let problem = |problem: String| Error::Model { path: path.to_path_buf(), problem };
        let header = header(&mut source).map_err(|source| Error::io("read", path, source))?;
        let (start, tensors) = header.map_err(|why| problem(format!("no safetensors: {why}")))?;
        for (name, info) in tensors.tensors() {
            let (first, end) = info.data_offsets;
            let bytes = start + first as u64..start + end as u64;
            let (kind, shape) = (info.dtype.to_string(), info.shape.clone());
            let stored = Stored { path: path.to_path_buf(), shape, kind, file: self.files.len(), bytes };
            if self.stored.insert(name.clone(), stored).is_some() {
                return Err(problem(format!("tensor {name} is in two files")));
            }
        }
        self.files.push(Box::new(source));
        Ok(())
    }
}

/// Where the numbers of a file begin and what they are, or what is wrong: as many bytes follow the header as it says.
fn header(source: &mut impl Source) -> std::io::Result<std::result::Result<(u64, Metadata), String>> {
    let n_bytes = source.seek(SeekFrom::End(0))?;
    let mut length = [0; 8];
    if n_bytes < length.len() as u64 {
        return Ok(Err(format!("{n_bytes} bytes")));
    }
    source.rewind()?;
    source.read_exact(&mut length)?;
    let n = u64::from_le_bytes(length);
    if n > MAX_HEADER_BYTES.min(n_bytes - length.len() as u64) {
        return Ok(Err(format!("a header of {n} bytes")));
    }
    let mut header = vec![0; n as usize];
    source.read_exact(&mut header)?;
    let start = length.len() as u64 + n;
    Ok(match serde_json::from_slice::<Metadata>(&header) {
        Err(error) => Err(error.to_string()),
        Ok(tensors) if tensors.data_len() as u64 != n_bytes - start => {
            Err(format!("{} bytes of numbers, the header says {}", n_bytes - start, tensors.data_len()))
        }
        Ok(tensors) => Ok((start, tensors)),
    })
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
        let Stored { file, bytes, kind, .. } = &stored;
        let mut data = vec![0; (bytes.end - bytes.start) as usize];
        if let Some(file) = self.files.get_mut(*file) {
            let read = file.seek(SeekFrom::Start(bytes.start)).and_then(|_| file.read_exact(&mut data));
            read.map_err(|source| Error::io("read", &stored.path, source))?;
        }
        widen(kind, &data)
            .map_err(|kind| problem(format!("tensor {name} is of type {kind}; F32, F16 and BF16 are read")))
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
