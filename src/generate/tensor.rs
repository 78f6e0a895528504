//! The seam between candle's tensors and plain slices: products are candle's, everything between them is a loop.
//!
//! Elementwise steps on slices need no thread pool, which costs more than the work at the size of a decode step.

use candle_core::{CpuStorage, Device, InplaceOp1, Layout, Result, Shape, Storage, Tensor};

/// Runs `f` on the numbers of `x`, which must be contiguous f32 on the CPU.
pub(super) fn read<R>(x: &Tensor, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    with_storage(x, |numbers, layout| match layout.contiguous_offsets() {
        Some((start, end)) => Ok(f(&numbers[start..end])),
        None => candle_core::bail!("a contiguous tensor is needed, found {layout:?}"),
    })
}

/// Runs `f` on the matrices of `x`, `[n_batches, n_rows, n_columns]` or one matrix, which may be a view of the first
/// rows of larger ones.
pub(super) fn read_matrices<R>(x: &Tensor, f: impl FnOnce(&[&[f32]]) -> R) -> Result<R> {
    with_storage(x, |numbers, layout| {
        let (dims, strides, start) = (layout.dims(), layout.stride(), layout.start_offset());
        let (n_batches, stride, rows, row) = match (dims, strides) {
            (&[rows, columns], &[row, 1]) if row == columns => (1, 0, rows, row),
            (&[n_batches, rows, columns], &[stride, row, 1]) if row == columns => (n_batches, stride, rows, row),
            _ => candle_core::bail!("matrices of contiguous rows are needed, found {layout:?}"),
        };
        let matrix = |i: usize| &numbers[start + i * stride..start + i * stride + rows * row];
        Ok(f(&(0..n_batches).map(matrix).collect::<Vec<_>>()))
    })
}

fn with_storage<R>(x: &Tensor, f: impl FnOnce(&[f32], &Layout) -> Result<R>) -> Result<R> {
    let (storage, layout) = x.storage_and_layout();
    match &*storage {
        Storage::Cpu(CpuStorage::F32(numbers)) => f(numbers, layout),
        _ => candle_core::bail!("f32 on the CPU is needed, found {:?} on {:?}", x.dtype(), x.device()),
    }
}

/// Runs `f` on the numbers of `x`, a whole contiguous f32 tensor on the CPU, and changes them in place.
///
/// Clones and views of `x` change with it, so this is for buffers that have one owner.
pub(super) fn change(x: &Tensor, f: &dyn Fn(&mut [f32])) -> Result<()> {
    x.inplace_op1(&Change(f))
}

struct Change<'a>(&'a dyn Fn(&mut [f32]));

impl InplaceOp1 for Change<'_> {
    fn name(&self) -> &'static str {
        "change"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        match (storage, layout.contiguous_offsets()) {
            (CpuStorage::F32(numbers), Some((start, end))) => (self.0)(&mut numbers[start..end]),
            _ => candle_core::bail!("a contiguous f32 tensor is needed, found {layout:?}"),
        }
        Ok(())
    }
}

/// A tensor of `numbers`, without a copy.
pub(super) fn own(numbers: Vec<f32>, shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::from_vec(numbers, shape.into(), &Device::Cpu)
}
