//! Blocks of a quantized matrix, given back once candle holds the matrix packed.
//!
//! Where candle has kernels for it, it lays the blocks of a matrix in tiles at the first product, multiplies from the tiles
//! from then on, and keeps the blocks too: the same numbers twice. So candle reads blocks through [`Blocks`] here, which see
//! what for. A product that asked where they lie, and had them multiply nothing, packed them; then they are dropped.
//!
//! A table whose rows are read has to keep its blocks. One of `Q8_0` is multiplied as they lie, so it is held once too: our
//! kernel takes little longer for one row than candle's tiles, and `x` is not rounded first.
//!
//! `Q6_K` on x86-64 has tiles for two rows and more, and one row is multiplied from the blocks: a prompt left both. Such a matrix is
//! held as tiles alone, 1.5 of the bytes of its blocks where both took 2.5, and one row is multiplied beside a row of zeros, which
//! takes no longer (with AVX-512; prompts from the blocks alone take 4.5 times as long as from tiles). An output projection, which
//! multiplies one row however long the prompt is, stays as blocks.
//!
//! candle reads through the address that it was given, and only while it borrows the [`QTensor`]. Blocks are dropped with the
//! tensor borrowed exclusively, so no such address is in use; whoever asks later gets as many zeros, which live as long as the
//! tensor, and the product that asked is an error.

use super::table;
use candle_core::quantized::{GgmlDType, QStorage, QTensor, QuantizedType};
use candle_core::{CpuStorage, DType, Device, Error, Result, Tensor};
use half::f16;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard};

/// A matrix of quantized numbers, `[n_out, n_in]`.
#[derive(Debug)]
pub(super) struct Quantized {
    tensor: QTensor,
    blocks: Arc<Blocks>,
    held: HeldAs,
}

/// What products are made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HeldAs {
    /// Blocks, and what candle makes of them.
    Blocks,
    /// candle's tiles, which multiply so many rows or more.
    Tiles { least_rows: usize },
    /// Blocks of a table, as they lie.
    Table,
}

impl Quantized {
    /// The matrix of these blocks, row after row.
    pub(super) fn new(blocks: Box<dyn QuantizedType>, shape: [usize; 2]) -> Result<Self> {
        let blocks = Arc::new(Blocks::new(blocks));
        let tensor = QTensor::new(QStorage::Cpu(Box::new(Reader(blocks.clone()))), (shape[0], shape[1]))?;
        Ok(Self { tensor, blocks, held: HeldAs::Blocks })
    }

    /// Has candle pack it, if candle does that for products of up to `most_rows` rows, and drops the blocks unless rows or bytes
    /// will be read from them.
    ///
    /// It stays as it is where candle packs nothing, or packs anew for many rows: then products need the blocks again.
    pub(super) fn pack(&mut self, keeps_blocks: bool, most_rows: usize) -> Result<()> {
        let n_in = self.tensor.shape().dims2()?.1;
        if self.held != HeldAs::Blocks {
            return Ok(());
        }
        if keeps_blocks && self.dtype() == GgmlDType::Q8_0 {
            self.held = HeldAs::Table;
        } else if let Some(least_rows) = least_packed(self.dtype())?.filter(|least| *least <= most_rows)
            && self.packs_at(least_rows, n_in)?
        {
            self.held = HeldAs::Tiles { least_rows };
            if !keeps_blocks {
                self.blocks.release();
            }
        }
        Ok(())
    }

    /// Whether a product of `m` rows asks where the blocks lie, and has them multiply nothing.
    fn packs_at(&self, m: usize, n_in: usize) -> Result<bool> {
        let before = self.blocks.n_asked.load(Ordering::Relaxed);
        self.times(&Tensor::zeros((m, n_in), DType::F32, &Device::Cpu)?)?;
        let asked = self.blocks.n_asked.load(Ordering::Relaxed) > before;
        Ok(asked && !self.blocks.multiplied.load(Ordering::Relaxed))
    }

    /// `x · Wᵀ`: `[n_tokens, n_in]` to `[n_tokens, n_out]`.
    pub(super) fn times(&self, x: &Tensor) -> Result<Tensor> {
        let n_rows = x.dim(0)?;
        let product = match self.held {
            HeldAs::Table => table::times(&self.tensor.data()?, self.tensor.shape().dims2()?.into(), x)?,
            HeldAs::Tiles { least_rows } if n_rows < least_rows => {
                let x = x.pad_with_zeros(0, 0, least_rows - n_rows)?;
                x.apply_op1_no_bwd(&self.tensor)?.narrow(0, 0, n_rows)?
            }
            HeldAs::Blocks | HeldAs::Tiles { .. } => x.apply_op1_no_bwd(&self.tensor)?,
        };
        self.blocks.check()?;
        Ok(product)
    }

    /// The products with the same `x`, which candle quantizes once for all of them; `None` where it cannot.
    pub(super) fn times_each(matrices: &[&Self], x: &Tensor) -> Result<Option<Vec<Tensor>>> {
        if matrices.iter().any(|matrix| matrix.held == HeldAs::Table) {
            return Ok(None);
        }
        let tensors: Vec<&QTensor> = matrices.iter().map(|matrix| &matrix.tensor).collect();
        let products = QTensor::gemv_fused_shared_lhs(&tensors, x)?;
        matrices.iter().try_for_each(|matrix| matrix.blocks.check())?;
        Ok(products)
    }

    /// The rows `ids` as numbers, `[ids.len(), n_in]`.
    pub(super) fn rows(&self, ids: &[u32]) -> Result<Tensor> {
        self.tensor.embedding(&Tensor::new(ids, &Device::Cpu)?)
    }

    /// Runs `f` on type, shape and bytes of the blocks.
    pub(super) fn with_bytes<R>(&self, f: impl FnOnce(GgmlDType, [usize; 2], &[u8]) -> R) -> Result<R> {
        if self.blocks.are_gone() {
            return Err(gone());
        }
        Ok(f(self.dtype(), self.tensor.shape().dims2()?.into(), &self.tensor.data()?))
    }

    /// ggml's type of its numbers.
    pub(super) fn dtype(&self) -> GgmlDType {
        self.blocks.dtype
    }

    /// Bytes that hold it: those of its blocks, of its tiles, or of both.
    pub(super) fn n_bytes(&self) -> usize {
        let blocks = if self.blocks.are_gone() { 0 } else { self.blocks.n_bytes };
        let has_tiles = matches!(self.held, HeldAs::Tiles { .. });
        blocks + if has_tiles { tile_bytes(self.blocks.dtype, self.blocks.n_bytes) } else { 0 }
    }
}

/// Bytes of candle's tiles of blocks of `n_bytes`: the same, but on x86-64 those of `Q4_K` hold their scales as f32, and those of
/// `Q6_K` their numbers as bytes too.
fn tile_bytes(dtype: GgmlDType, n_bytes: usize) -> usize {
    match dtype {
        GgmlDType::Q4K if cfg!(target_arch = "x86_64") => n_bytes / 3 * 4,
        GgmlDType::Q6K if cfg!(target_arch = "x86_64") => n_bytes / 21 * 32,
        _ => n_bytes,
    }
}

/// The fewest rows whose product is of tiles, if this machine's products of many rows multiply the same ones; tried with one tile.
///
/// Not so on processors with AMX, where products of 32 rows and more have tiles of their own: a `Q4_K` matrix of a fused
/// product would be packed for nothing.
fn least_packed(dtype: GgmlDType) -> Result<Option<usize>> {
    const TILE: [usize; 2] = [16, 256];
    for least_rows in [1, 2] {
        let tile = Quantized::new(dtype.cpu_zeros(TILE[0] * TILE[1]), TILE)?;
        if tile.packs_at(least_rows, TILE[1])? {
            return Ok((!tile.packs_at(64, TILE[1])?).then_some(least_rows));
        }
    }
    Ok(None)
}

/// Blocks, as long as they are needed.
struct Blocks {
    dtype: GgmlDType,
    n_bytes: usize,
    block_size: usize,
    held: RwLock<Option<Box<dyn QuantizedType>>>,
    /// How often someone asked where they lie.
    n_asked: AtomicUsize,
    /// Whether they multiplied anything themselves.
    multiplied: AtomicBool,
    /// What is there for whoever asks where they lie when they are gone.
    zeros: OnceLock<Vec<u64>>,
}

type Held<'a> = RwLockReadGuard<'a, Option<Box<dyn QuantizedType>>>;

impl Blocks {
    fn new(blocks: Box<dyn QuantizedType>) -> Self {
        Self {
            dtype: blocks.dtype(),
            n_bytes: blocks.storage_size_in_bytes(),
            block_size: blocks.block_size(),
            held: RwLock::new(Some(blocks)),
            n_asked: AtomicUsize::new(0),
            multiplied: AtomicBool::new(false),
            zeros: OnceLock::new(),
        }
    }

    fn held(&self) -> Held<'_> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn are_gone(&self) -> bool {
        self.held().is_none()
    }

    /// Drops them; no address of theirs may be in use.
    fn release(&self) {
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether all that was multiplied were their numbers.
    fn check(&self) -> Result<()> {
        if self.zeros.get().is_some() { Err(gone()) } else { Ok(()) }
    }
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocks").field("dtype", &self.dtype).field("are_gone", &self.are_gone()).finish_non_exhaustive()
    }
}

fn gone() -> Error {
    Error::Msg("the blocks of a packed matrix were given back, and candle asks for them".to_owned())
}

/// How candle reads blocks.
struct Reader(Arc<Blocks>);

impl Reader {
    fn read<R>(&self, f: impl FnOnce(&dyn QuantizedType) -> Result<R>) -> Result<R> {
        match self.0.held().as_deref() {
            Some(blocks) => f(blocks),
            None => Err(gone()),
        }
    }
}

impl QuantizedType for Reader {
    fn dtype(&self) -> GgmlDType {
        self.0.dtype
    }

    fn matmul_t(&self, mkn: (usize, usize, usize), lhs: &[f32], dst: &mut [f32]) -> Result<()> {
        self.0.multiplied.store(true, Ordering::Relaxed);
        self.read(|blocks| blocks.matmul_t(mkn, lhs, dst))
    }

    fn matmul_t_f16(&self, mkn: (usize, usize, usize), lhs: &[f16], dst: &mut [f16]) -> Result<()> {
        self.0.multiplied.store(true, Ordering::Relaxed);
        self.read(|blocks| blocks.matmul_t_f16(mkn, lhs, dst))
    }

    fn embedding(&self, ids: &[u32], rows: usize, hidden: usize) -> Result<CpuStorage> {
        self.read(|blocks| blocks.embedding(ids, rows, hidden))
    }

    fn dequantize(&self, elem_count: usize) -> Result<CpuStorage> {
        self.read(|blocks| blocks.dequantize(elem_count))
    }

    fn storage_size_in_bytes(&self) -> usize {
        self.0.n_bytes
    }

    fn as_ptr(&self) -> *const u8 {
        self.0.n_asked.fetch_add(1, Ordering::Relaxed);
        match self.0.held().as_deref() {
            Some(blocks) => blocks.as_ptr(),
            None => self.0.zeros.get_or_init(|| vec![0; self.0.n_bytes.div_ceil(8)]).as_ptr().cast(),
        }
    }

    fn block_size(&self) -> usize {
        self.0.block_size
    }

    // candle fills only blocks that it made itself.
    fn from_float(&mut self, _: &[f32]) {}

    fn from_float_imatrix(&mut self, _: &[f32], _: &[f32], _: usize) {}

    fn size(&self) -> usize {
        self.0.n_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::{GgmlDType, HeldAs, Quantized, least_packed};
    use crate::generate::tensor;
    use candle_core::Tensor;

    fn numbers(n: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect()
    }

    fn matrix(dtype: GgmlDType, [n_out, n_in]: [usize; 2]) -> Quantized {
        let mut blocks = dtype.cpu_zeros(n_out * n_in);
        blocks.from_float(&numbers(n_out * n_in));
        Quantized::new(blocks, [n_out, n_in]).unwrap()
    }

    fn bits(x: &Tensor) -> Vec<u32> {
        x.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
    }

    /// Products of one row and of many, alone and together with another matrix.
    fn products(matrix: &Quantized, n_in: usize) -> Vec<Vec<u32>> {
        let x = |m: usize| tensor::own(numbers(m * n_in), (m, n_in)).unwrap();
        let alone = [2, 5, 31, 32, 33, 64].map(|m| bits(&matrix.times(&x(m)).unwrap()));
        let together = [1, 32].map(|m| Quantized::times_each(&[matrix, matrix], &x(m)).unwrap());
        let together = together.into_iter().flatten().flatten().map(|product| bits(&product));
        alone.into_iter().chain(together).collect()
    }

    /// Whatever this machine has tiles for, every product has the same bits as before, and bytes are counted where they are.
    #[test]
    fn products_are_the_same_without_blocks() {
        for (dtype, shape) in [
            (GgmlDType::Q8_0, [48, 512]),
            (GgmlDType::Q4K, [48, 512]),
            (GgmlDType::Q6K, [48, 512]),
            (GgmlDType::Q5_0, [48, 512]),
            (GgmlDType::Q8_0, [40, 512]),
            (GgmlDType::Q8_0, [48, 96]),
        ] {
            let (before, mut packed) = (matrix(dtype, shape), matrix(dtype, shape));
            packed.pack(false, usize::MAX).unwrap();
            // One row from tiles for two is the first of two.
            let row =
                |m: usize| tensor::own(numbers(shape[1]), (1, shape[1])).unwrap().pad_with_zeros(0, 0, m - 1).unwrap();
            let least_rows = if let HeldAs::Tiles { least_rows } = packed.held { least_rows } else { 1 };
            let expected = before.times(&row(least_rows)).unwrap().narrow(0, 0, 1).unwrap();
            assert_eq!(bits(&packed.times(&row(1)).unwrap()), bits(&expected), "{dtype:?} {shape:?}");
            assert_eq!(products(&packed, shape[1]), products(&before, shape[1]), "{dtype:?} {shape:?}");
            let of_blocks = shape[0] * shape[1] / dtype.block_size() * dtype.type_size();
            if packed.blocks.are_gone() {
                assert!(packed.rows(&[0]).is_err() && packed.with_bytes(|_, _, bytes| bytes.len()).is_err());
                assert!((of_blocks..of_blocks * 8 / 5).contains(&packed.n_bytes()), "tiles are counted");
            } else {
                assert_eq!(bits(&packed.rows(&[7, 0]).unwrap()), bits(&before.rows(&[7, 0]).unwrap()));
                assert_eq!(packed.n_bytes(), of_blocks, "{dtype:?}: nothing was packed");
            }
        }
    }

    /// A table of Q8_0 is held once, and multiplied with numbers that are not rounded first; others are held twice where candle
    /// packs them.
    #[test]
    fn a_table_keeps_its_blocks() {
        for (dtype, shape) in [(GgmlDType::Q8_0, [48, 512]), (GgmlDType::Q8_0, [9001, 96]), (GgmlDType::Q4K, [48, 512])]
        {
            let (before, mut table) = (matrix(dtype, shape), matrix(dtype, shape));
            table.pack(true, 1).unwrap();
            assert!(!table.blocks.are_gone());
            let last = shape[0] as u32 - 1;
            assert_eq!(bits(&table.rows(&[last, 3]).unwrap()), bits(&before.rows(&[last, 3]).unwrap()));
            let held = if matches!(table.held, HeldAs::Tiles { .. }) { 2 } else { 1 };
            assert!(table.n_bytes() >= held * before.n_bytes(), "tiles and blocks are counted");
            if dtype == GgmlDType::Q4K {
                assert_eq!(products(&table, shape[1]), products(&before, shape[1]));
                continue;
            }
            assert!(table.held == HeldAs::Table && table.n_bytes() == before.n_bytes(), "held once");
            let all: Vec<u32> = (0..=last).collect();
            let exact = before.rows(&all).unwrap();
            for m in [1, 3] {
                let x = tensor::own(numbers(m * shape[1]), (m, shape[1])).unwrap();
                let (found, expected) = (table.times(&x).unwrap(), x.matmul(&exact.t().unwrap()).unwrap());
                assert_eq!(found.dims(), [m, shape[0]]);
                let error = (found - expected).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
                assert!(error < 1e-4, "{shape:?} {m}: {error}");
                assert!(Quantized::times_each(&[&table], &x).unwrap().is_none());
            }
        }
    }

    /// `Q6_K` was held twice after a prompt on machines whose tiles are for two rows and more: as tiles now, but where one row is
    /// all that is multiplied.
    #[test]
    fn a_matrix_with_tiles_for_two_rows_is_held_once() {
        for (most_rows, keeps_blocks) in [(usize::MAX, false), (1, false), (1, true)] {
            let (before, mut packed) = (matrix(GgmlDType::Q6K, [48, 512]), matrix(GgmlDType::Q6K, [48, 512]));
            packed.pack(keeps_blocks, most_rows).unwrap();
            let has_tiles = least_packed(GgmlDType::Q6K).unwrap().is_some_and(|least| least <= most_rows);
            assert_eq!(matches!(packed.held, HeldAs::Tiles { .. }), has_tiles);
            assert_eq!(packed.blocks.are_gone(), has_tiles && !keeps_blocks);
            for m in [1, 3] {
                let x = tensor::own(numbers(m * 512), (m, 512)).unwrap();
                let (found, expected) = (packed.times(&x).unwrap(), before.times(&x).unwrap());
                assert_eq!(found.dims(), [m, 48]);
                let error = (found - expected).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
                assert!(error < 1e-3, "{most_rows} {m}: {error}");
            }
        }
    }

    /// Of a type that is not packed the blocks multiply, so they stay; on every machine.
    #[test]
    fn blocks_that_multiply_stay() {
        assert_eq!(least_packed(GgmlDType::Q5_0).unwrap(), None);
        let mut matrix = matrix(GgmlDType::Q5_0, [48, 512]);
        matrix.pack(false, usize::MAX).unwrap();
        assert!(!matrix.blocks.are_gone() && matrix.held == HeldAs::Blocks);
    }

    /// What a later version of candle might do: ask for blocks that are gone. That is an error, not a product of zeros.
    #[test]
    fn asking_for_blocks_that_are_gone_is_an_error() {
        for dtype in [GgmlDType::Q8_0, GgmlDType::Q5_0] {
            let matrix = matrix(dtype, [16, 256]);
            matrix.blocks.release();
            let x = tensor::own(numbers(256), (1, 256)).unwrap();
            assert!(matrix.times(&x).is_err(), "{dtype:?}");
            let together = Quantized::times_each(&[&matrix], &x);
            assert!(!matches!(together, Ok(Some(_))), "{dtype:?}");
            assert!(matrix.rows(&[0]).is_err());
        }
    }
}
