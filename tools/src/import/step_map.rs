//! Which step each message of a recorded conversation became.

/// For every message, the index of the step that holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepMap(Vec<u32>);

impl StepMap {
    /// Steps given one by one: message `i` is step `i`.
    pub fn identity(n_steps: usize) -> Self {
        Self((0..n_steps as u32).collect())
    }

    /// Adds the next message, which became part of `step`.
    pub fn push(&mut self, step: usize) {
        self.0.push(u32::try_from(step).unwrap_or(u32::MAX));
    }

    /// The steps that hold messages `first..=last`; `None` when there are no such messages.
    pub fn steps(&self, first: u32, last: u32) -> Option<(u32, u32)> {
        (first <= last).then_some(())?;
        Some((*self.0.get(first as usize)?, *self.0.get(last as usize)?))
    }
}
