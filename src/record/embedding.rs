//! Embeddings: unit vectors of one embedding space, checked and normalised once, when they are made.
//!
//! The name of a space says which model made its vectors, version included: vectors of two spaces cannot be compared,
//! and asking is [`Error::SpaceMismatch`].

use super::limits;
use crate::{Error, Result};
use std::fmt;
use std::sync::Arc;

/// Which model made an embedding, and how long its vectors are.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EmbeddingSpace {
    name: Arc<str>,
    dim: u32,
}

impl EmbeddingSpace {
    /// The space of the model `name` (version included) with vectors of `dim` numbers.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the name is no name or `dim` is 0 or above [`limits::EMBEDDING_DIM`].
    pub fn new(name: impl Into<String>, dim: usize) -> Result<Self> {
        let name = name.into();
        limits::check_name("embedding space", &name)?;
        match u32::try_from(dim) {
            Ok(n) if n > 0 && dim <= limits::EMBEDDING_DIM => Ok(Self { name: name.into(), dim: n }),
            _ => Err(Error::invalid("embedding dim", format!("{dim}; 1 to {} are allowed", limits::EMBEDDING_DIM))),
        }
    }

    /// A space that lagdb itself defines.
    pub(crate) fn fixed(name: &'static str, dim: u32) -> Self {
        Self { name: name.into(), dim }
    }

    /// The model, version included.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Numbers per vector.
    pub fn dim(&self) -> usize {
        self.dim as usize
    }

    /// Says that `self` was found where `expected` is needed.
    ///
    /// # Errors
    /// [`Error::SpaceMismatch`] when the two differ.
    pub fn require(&self, expected: &Self) -> Result<()> {
        if self == expected {
            return Ok(());
        }
        Err(Error::SpaceMismatch { found: self.to_string(), expected: expected.to_string() })
    }
}

impl fmt::Display for EmbeddingSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (dim {})", self.name, self.dim)
    }
}

impl fmt::Debug for EmbeddingSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EmbeddingSpace({self})")
    }
}

/// A unit vector of one space.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    space: EmbeddingSpace,
    unit: Vec<f32>,
}

impl Embedding {
    /// The direction of `numbers`.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a number is not finite, all are zero, or their count is not the dimension of `space`.
    pub fn new(space: &EmbeddingSpace, mut numbers: Vec<f32>) -> Result<Self> {
        if numbers.len() != space.dim() {
            return Err(Error::invalid("embedding", format!("{} numbers in {space}", numbers.len())));
        }
        if let Some(x) = numbers.iter().find(|x| !x.is_finite()) {
            return Err(Error::invalid("embedding", format!("{x} is not finite")));
        }
        let norm = numbers.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        if norm == 0.0 {
            return Err(Error::invalid("embedding", "all numbers are zero"));
        }
        numbers.iter_mut().for_each(|x| *x = (f64::from(*x) / norm) as f32);
        Ok(Self { space: space.clone(), unit: numbers })
    }

    /// A vector that was normalised before it was stored.
    pub(crate) fn from_stored(space: &EmbeddingSpace, unit: Vec<f32>) -> Self {
        Self { space: space.clone(), unit }
    }

    /// The space.
    pub fn space(&self) -> &EmbeddingSpace {
        &self.space
    }

    /// The unit vector, `[dim]`.
    pub fn as_slice(&self) -> &[f32] {
        &self.unit
    }

    /// Cosine of the angle between the two, -1 to 1.
    ///
    /// # Errors
    /// [`Error::SpaceMismatch`] when they are of different spaces.
    pub fn similarity(&self, other: &Self) -> Result<f32> {
        other.space.require(&self.space)?;
        Ok(dot(&self.unit, &other.unit))
    }
}

/// Dot product in a fixed order of summation, so that the same vectors give the same score everywhere.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a8, a_rest) = a.as_chunks::<8>();
    let (b8, b_rest) = b.as_chunks::<8>();
    let mut lanes = [0.0f32; 8];
    for (x, y) in a8.iter().zip(b8) {
        for (lane, (p, q)) in lanes.iter_mut().zip(x.iter().zip(y)) {
            *lane += p * q;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(p, q)| p * q).sum();
    lanes.iter().sum::<f32>() + rest
}
