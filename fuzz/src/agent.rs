//! What a model writes when it is asked for lessons, as bytes that nobody chose.

/// Reads bytes as a reply and keeps of it what holds up.
///
/// # Panics
/// When an item is kept that should not be, or is not read again after it was written down.
pub fn agent_items(data: &[u8]) {
    lagdb::fuzzing::agent_items(data);
}
