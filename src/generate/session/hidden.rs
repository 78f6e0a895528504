//! Hidden states: what the decoder makes of tokens before it asks which comes next.

use super::Session;
use crate::error::Result;
use crate::generate::tensor;

impl Session {
    /// Computes `ids` after what is there and returns the hidden states of each after the last norm, `[ids.len(),
    /// hidden_size]`.
    ///
    /// # Errors
    /// As [`feed`](Self::feed).
    pub fn feed_for_hidden(&mut self, ids: &[u32]) -> Result<Vec<f32>> {
        self.or_as_it_was(|session| {
            session.compute(|_| Ok(()))?;
            session.push(ids)?;
            let mut states = Vec::with_capacity(ids.len() * session.generator.config().hidden_size);
            session.compute(|hidden| Ok(tensor::read(hidden, |hidden| states.extend_from_slice(hidden))?))?;
            Ok(states)
        })
    }
}
