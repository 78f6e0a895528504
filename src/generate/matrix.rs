//! A weight matrix, held once: f32, or quantized numbers that candle's kernels multiply as they are.
//!
//! Activations stay f32; against a quantized matrix candle quantizes each row of them to 8 bits first. A row can also be
//! read back as numbers, so that one table serves as embedding and as output projection.

use super::blocks::Quantized;
use super::fingerprint::little_endian;
use super::precision::WeightPrecision;
use super::product;
use super::tensor;
use candle_core::quantized::{GgmlDType, QuantizedType};
use candle_core::{Result, Tensor};
use std::sync::Arc;

/// `[n_out, n_in]`. Clones share the numbers.
#[derive(Clone, Debug)]
pub(super) enum Matrix {
    /// f32.
    Float(Tensor),
    /// Blocks along each row.
    Quantized(Arc<Quantized>),
}

/// What a matrix is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A table: its rows are read.
    Rows,
    /// It multiplies.
    Products,
    /// It multiplies one row at a time, but where all logits of a text are asked for: an output projection.
    Head,
    /// Its rows are read too: an embedding that is the output projection.
    RowsAndHead,
}

impl Matrix {
    /// The matrix of `numbers`, quantized as `precision` asks where its rows allow it.
    pub(super) fn new(numbers: Vec<f32>, shape: [usize; 2], precision: WeightPrecision) -> Result<Self> {
        match precision.of_rows(shape[1]) {
            None | Some(GgmlDType::F32) => Ok(Self::Float(tensor::own(numbers, shape.as_slice())?)),
            Some(dtype) => {
                let mut blocks = dtype.cpu_zeros(numbers.len());
                blocks.from_float(&numbers);
                Self::of_blocks(blocks, shape)
            }
        }
    }

    /// The matrix of `blocks`, row after row.
    pub(super) fn of_blocks(blocks: Box<dyn QuantizedType>, shape: [usize; 2]) -> Result<Self> {
        Ok(Self::Quantized(Arc::new(Quantized::new(blocks, shape)?)))
    }

    /// Says what it is for: quantized numbers that only multiply are held as the kernels want them and not twice. Afterwards
    /// rows and bytes are there for a table only.
    pub(super) fn settle(&mut self, purpose: Purpose) -> Result<()> {
        match self {
            Self::Quantized(matrix) if purpose != Purpose::Rows => match Arc::get_mut(matrix) {
                Some(matrix) => {
                    let most_rows = if purpose == Purpose::Products { usize::MAX } else { 1 };
                    matrix.pack(purpose == Purpose::RowsAndHead, most_rows)
                }
                None => Ok(()), // its clones may be for something else
            },
            _ => Ok(()),
        }
    }

    /// `x · Wᵀ`: `[n_tokens, n_in]` to `[n_tokens, n_out]`.
    pub(super) fn times(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Float(weight) => product::with_rows(x, weight),
            Self::Quantized(weight) => weight.times(x),
        }
    }

    /// The same `x` times each of `matrices`; where candle can, `x` is quantized once for all of them.
    pub(super) fn times_each<const N: usize>(matrices: [&Self; N], x: &Tensor) -> Result<[Tensor; N]> {
        let quantized = matrices.map(|matrix| match matrix {
            Self::Float(_) => None,
            Self::Quantized(weight) => Some(weight.as_ref()),
        });
        if let Some(quantized) = quantized.into_iter().collect::<Option<Vec<_>>>()
            && let Some(products) = Quantized::times_each(&quantized, x)?
            && let Ok(products) = products.try_into()
        {
            return Ok(products);
        }
        let products = matrices.iter().map(|matrix| matrix.times(x)).collect::<Result<Vec<_>>>()?;
        products.try_into().map_err(|_| candle_core::Error::Msg("a product for each matrix".to_owned()))
    }

    /// The rows `ids` as numbers, `[ids.len(), n_in]`.
    pub(super) fn rows(&self, ids: &[u32]) -> Result<Tensor> {
        match self {
            Self::Float(table) => {
                let width = table.dim(1)?;
                let row = |table: &[f32], id: u32| table[id as usize * width..(id as usize + 1) * width].to_vec();
                let rows = tensor::read(table, |table| ids.iter().flat_map(|&id| row(table, id)).collect())?;
                tensor::own(rows, (ids.len(), width))
            }
            Self::Quantized(table) => table.rows(ids),
        }
    }

    /// Runs `f` on type, shape and bytes of the numbers.
    pub(super) fn with_bytes<R>(&self, f: impl FnOnce(GgmlDType, [usize; 2], &[u8]) -> R) -> Result<R> {
        match self {
            Self::Float(weight) => {
                let shape = weight.dims2()?.into();
                tensor::read(weight, |numbers| f(GgmlDType::F32, shape, &little_endian(numbers)))
            }
            Self::Quantized(weight) => weight.with_bytes(f),
        }
    }

    /// ggml's type of its numbers.
    pub(super) fn dtype(&self) -> GgmlDType {
        match self {
            Self::Float(_) => GgmlDType::F32,
            Self::Quantized(weight) => weight.dtype(),
        }
    }

    /// Bytes that hold it.
    pub(super) fn n_bytes(&self) -> usize {
        match self {
            Self::Float(weight) => 4 * weight.elem_count(),
            Self::Quantized(weight) => weight.n_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Matrix, WeightPrecision};
    use crate::generate::tensor;
    use candle_core::quantized::GgmlDType;

    fn numbers(n: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect()
    }

    #[test]
    fn products_and_rows_are_those_of_the_floats() {
        let (n_out, n_in) = (32, 256);
        let x = tensor::own(numbers(3 * n_in), (3, n_in)).unwrap();
        let exact = Matrix::new(numbers(n_out * n_in), [n_out, n_in], WeightPrecision::F32).unwrap();
        let expected = exact.times(&x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (precision, dtype, product_error, row_error) in
            [(WeightPrecision::Q8_0, GgmlDType::Q8_0, 0.3, 0.005), (WeightPrecision::Q4K, GgmlDType::Q4K, 2.0, 0.08)]
        {
            let matrix = Matrix::new(numbers(n_out * n_in), [n_out, n_in], precision).unwrap();
            assert_eq!(matrix.dtype(), dtype);
            let [one, two] = Matrix::times_each([&matrix, &matrix], &x).unwrap();
            for products in [matrix.times(&x).unwrap(), one, two] {
                let products = products.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                let error = products.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(error < product_error, "{precision:?}: {error}");
            }
            let (rows, exact) = (matrix.rows(&[31, 0]).unwrap(), exact.rows(&[31, 0]).unwrap());
            let error = (rows - exact).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(error < row_error, "{precision:?}: {error}");
        }
    }

    #[test]
    fn rows_of_no_whole_blocks_take_the_next_better_type() {
        let held_as = |n_in, precision| Matrix::new(numbers(16 * n_in), [16, n_in], precision).unwrap().dtype();
        assert_eq!(held_as(96, WeightPrecision::Q4K), GgmlDType::Q8_0);
        assert_eq!(held_as(40, WeightPrecision::Q4K), GgmlDType::F32);
        assert_eq!(held_as(40, WeightPrecision::Q8_0), GgmlDType::F32);
        assert_eq!(held_as(256, WeightPrecision::AsStored), GgmlDType::F32);
    }
}
