//! The numbers a model computes with: as they are stored, or quantized when it is loaded.
//!
//! Only matrices are quantized, the embedding table among them; norms and biases stay f32. A block of numbers lies along a
//! row, so a row whose width is no multiple of the block cannot be quantized like that: the matrix then takes the next
//! better type, and [`WeightsInfo::fallbacks`] says so. A GGUF tensor that is quantized already becomes another type only
//! where one is asked for, and [`WeightsInfo::requantized`] says so.

use candle_core::quantized::GgmlDType;
use std::fmt;

/// How the matrices of a model are held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WeightPrecision {
    /// Floats are computed in f32; the quantized tensors of a GGUF file stay as they are.
    #[default]
    AsStored,
    /// f32, the reference: what the others are measured against.
    F32,
    /// ggml's `Q8_0`: 32 numbers of 8 bits share one f16 scale, 8.5 bits a number. Rows of no multiple of 32 stay f32.
    Q8_0,
    /// ggml's `Q4_K`: 256 numbers of 4 bits in 8 groups with scale and minimum, 4.5 bits a number. Rows of no multiple of
    /// 256 become `Q8_0`.
    Q4K,
}

/// How a model is loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// What its matrices become. Part of the fingerprint: a KV log never reaches a model that computes with other numbers.
    pub precision: WeightPrecision,
}

/// What was loaded, and as what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WeightsInfo {
    /// All numbers of the model, a table that is embedding and output projection counted once.
    pub n_parameters: usize,
    /// Bytes that hold them. Where candle has kernels for tiles (`Q8_0`, `Q4_K` and `Q6_K` on x86-64 and AArch64) a matrix is held
    /// as tiles only. A table that is embedding and output projection is held as it is stored where it is `Q8_0` or, on x86-64,
    /// `Q6_K`, others as both. `Q6_K` output projections on x86-64, and `Q4_K` where the processor has AMX, are held as
    /// blocks, to which the first product of many rows adds tiles that are not counted.
    pub n_bytes: usize,
    /// The matrices by type of number, the type with most bytes first.
    pub types: Vec<TypeShare>,
    /// The matrices that could not become what was asked for.
    pub fallbacks: Vec<Fallback>,
    /// The matrices that were stored quantized and are held as another type: what the first one lost stays lost, and the
    /// second loses more where it is coarser.
    pub requantized: Vec<Requantized>,
}

/// The matrices of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeShare {
    /// ggml's name of the type.
    pub name: &'static str,
    /// How many matrices.
    pub n_matrices: usize,
    /// Bytes that hold them.
    pub n_bytes: usize,
}

/// A matrix that became something else than asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// Its name.
    pub tensor: String,
    /// Width of its rows.
    pub n_in: usize,
    /// ggml's name of the type it has.
    pub name: &'static str,
}

/// A matrix that was stored quantized and is held as another type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requantized {
    /// Its name.
    pub tensor: String,
    /// ggml's name of the type in which it is stored.
    pub was: &'static str,
    /// ggml's name of the type it has.
    pub name: &'static str,
}

impl WeightPrecision {
    /// What a matrix with rows of `n_in` numbers becomes; `None` leaves it as it is stored.
    pub(super) fn of_rows(self, n_in: usize) -> Option<GgmlDType> {
        let fits = |dtype: GgmlDType| n_in.is_multiple_of(dtype.block_size()).then_some(dtype);
        match self {
            Self::AsStored => None,
            Self::F32 => Some(GgmlDType::F32),
            Self::Q8_0 => fits(GgmlDType::Q8_0).or(Some(GgmlDType::F32)),
            Self::Q4K => fits(GgmlDType::Q4K).or(fits(GgmlDType::Q8_0)).or(Some(GgmlDType::F32)),
        }
    }

    /// What was asked for, where rows of `n_in` numbers cannot have it.
    pub(super) fn misses(self, n_in: usize) -> bool {
        let asked = match self {
            Self::AsStored | Self::F32 => return false,
            Self::Q8_0 => GgmlDType::Q8_0,
            Self::Q4K => GgmlDType::Q4K,
        };
        self.of_rows(n_in) != Some(asked)
    }
}

impl WeightsInfo {
    /// Counts numbers that stay f32.
    pub(super) fn add_numbers(&mut self, n: usize) {
        self.n_parameters += n;
        self.n_bytes += 4 * n;
    }

    /// Counts a matrix of `n_parameters` numbers.
    pub(super) fn add_matrix(&mut self, dtype: GgmlDType, n_parameters: usize, n_bytes: usize) {
        self.n_parameters += n_parameters;
        self.n_bytes += n_bytes;
        let name = type_name(dtype);
        match self.types.iter_mut().find(|share| share.name == name) {
            Some(share) => (share.n_matrices, share.n_bytes) = (share.n_matrices + 1, share.n_bytes + n_bytes),
            None => self.types.push(TypeShare { name, n_matrices: 1, n_bytes }),
        }
        self.types.sort_by_key(|share| std::cmp::Reverse(share.n_bytes));
    }
}

impl fmt::Display for WeightsInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} M parameters in {:.1} MB", self.n_parameters as f64 / 1e6, self.n_bytes as f64 / 1e6)?;
        for share in &self.types {
            write!(f, ", {} {}", share.n_matrices, share.name)?;
        }
        let fallbacks = self.fallbacks.iter().map(|found| (&found.tensor, (found.name, found.n_in)));
        for (n, first, (name, n_in)) in counted(fallbacks) {
            write!(f, "; {n} matrices ({first} …) are {name}: rows of {n_in} are no whole blocks")?;
        }
        let requantized = self.requantized.iter().map(|found| (&found.tensor, (found.was, found.name)));
        for (n, first, (was, name)) in counted(requantized) {
            write!(f, "; {n} matrices ({first} …) were {was} and are {name}")?;
        }
        Ok(())
    }
}

/// How many there are of each kind, with the first of them.
fn counted<'a, K: PartialEq>(found: impl Iterator<Item = (&'a String, K)>) -> Vec<(usize, &'a String, K)> {
    let mut kinds: Vec<(usize, &String, K)> = Vec::new();
    for (tensor, kind) in found {
        match kinds.iter_mut().find(|(.., of)| *of == kind) {
            Some((n, ..)) => *n += 1,
            None => kinds.push((1, tensor, kind)),
        }
    }
    kinds
}

/// ggml's name of a type of number.
pub(super) fn type_name(dtype: GgmlDType) -> &'static str {
    match dtype {
        GgmlDType::F32 => "F32",
        GgmlDType::F16 => "F16",
        GgmlDType::BF16 => "BF16",
        GgmlDType::Q4_0 => "Q4_0",
        GgmlDType::Q4_1 => "Q4_1",
        GgmlDType::Q5_0 => "Q5_0",
        GgmlDType::Q5_1 => "Q5_1",
        GgmlDType::Q8_0 => "Q8_0",
        GgmlDType::Q8_1 => "Q8_1",
        GgmlDType::Q2K => "Q2_K",
        GgmlDType::Q3K => "Q3_K",
        GgmlDType::Q4K => "Q4_K",
        GgmlDType::Q5K => "Q5_K",
        GgmlDType::Q6K => "Q6_K",
        GgmlDType::Q8K => "Q8_K",
    }
}
