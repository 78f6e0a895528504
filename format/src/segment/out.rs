//! Where decoded numbers go: as bytes of their own type, or widened to f32.

use crate::{ElementType, FormatError, Result};

/// Room for some numbers.
#[derive(Debug)]
pub enum Out<'a> {
    /// Little-endian bytes of the log's element type.
    Bytes(&'a mut [u8]),
    /// Widened.
    Numbers(&'a mut [f32]),
}

impl<'a> From<&'a mut [u8]> for Out<'a> {
    fn from(bytes: &'a mut [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<&'a mut [f32]> for Out<'a> {
    fn from(numbers: &'a mut [f32]) -> Self {
        Self::Numbers(numbers)
    }
}

impl<'a> Out<'a> {
    /// How many numbers of type `element` fit, the last one perhaps in part.
    pub(crate) fn n_numbers(&self, element: ElementType) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len().div_ceil(element.n_bytes()),
            Self::Numbers(numbers) => numbers.len(),
        }
    }

    /// The first `n_numbers` of it; the rest stays.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when there are not so many.
    pub(crate) fn take(&mut self, n_numbers: usize, element: ElementType) -> Result<Out<'a>> {
        let room = self.n_numbers(element);
        let taken = match self {
            Self::Bytes(bytes) => {
                n_numbers.checked_mul(element.n_bytes()).and_then(|n| bytes.split_off_mut(..n)).map(Out::Bytes)
            }
            Self::Numbers(numbers) => numbers.split_off_mut(..n_numbers).map(Out::Numbers),
        };
        taken.ok_or_else(|| FormatError::invalid("out", format!("{room} numbers left of {n_numbers}")))
    }

    /// Fills it with the numbers whose bytes are `raw`.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] when they are not as many.
    pub(crate) fn fill(self, element: ElementType, raw: &[u8]) -> Result<()> {
        match self {
            Self::Bytes(bytes) if bytes.len() == raw.len() => {
                bytes.copy_from_slice(raw);
                Ok(())
            }
            Self::Bytes(bytes) => Err(FormatError::invalid("out", format!("{} bytes for {}", raw.len(), bytes.len()))),
            Self::Numbers(numbers) => element.decode_f32(raw, numbers),
        }
    }
}
