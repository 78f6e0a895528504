//! The seam between candle's tensors and plain slices: products are candle's, everything between them is a loop.
//!
//! Elementwise steps on slices need no thread pool, which costs more than the work at the size of a decode step.

use candle_core::{CpuStorage, Device, Result, Shape, Storage, Tensor};

/// Runs `f` on the numbers of `x`, which must be contiguous f32 on the CPU.
pub(super) fn read<R>(x: &Tensor, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let (storage, layout) = x.storage_and_layout();
    let Some((start, end)) = layout.contiguous_offsets() else {
        candle_core::bail!("a contiguous tensor is needed, found {layout:?}")
    };
    match &*storage {
        Storage::Cpu(CpuStorage::F32(numbers)) => Ok(f(&numbers[start..end])),
        _ => candle_core::bail!("f32 on the CPU is needed, found {:?} on {:?}", x.dtype(), x.device()),
    }
}

/// A tensor of `numbers`, without a copy.
pub(super) fn own(numbers: Vec<f32>, shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::from_vec(numbers, shape.into(), &Device::Cpu)
}
