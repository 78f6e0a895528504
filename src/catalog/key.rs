//! Keys: big-endian numbers one after another, the scope first.
//!
//! Everything that belongs to a scope lies under its number, so that no key of one scope can be built from another's.

use crate::SegmentId;
use std::fmt;

/// Number of a scope; the first part of all its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ScopeId(pub(crate) u32);

/// A key, or the beginning of some keys.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(Vec<u8>);

impl Key {
    /// The beginning of every key.
    pub(crate) fn all() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn state() -> Self {
        Self(b"state".to_vec())
    }

    pub(crate) fn space() -> Self {
        Self(b"space".to_vec())
    }

    /// Row of all embedding spaces, where there is or was more than one.
    pub(crate) fn spaces() -> Self {
        Self(b"spaces".to_vec())
    }

    /// Row that is there while bytes of something purged may still be on disk.
    pub(crate) fn erasing() -> Self {
        Self(b"erasing".to_vec())
    }

    /// Row that counts what was evicted.
    pub(crate) fn evicted() -> Self {
        Self(b"evicted".to_vec())
    }

    /// Row that says which lagdb made what is derived.
    pub(crate) fn derived() -> Self {
        Self(b"derived".to_vec())
    }

    pub(crate) fn scope_name(name: &str) -> Self {
        Self(name.as_bytes().to_vec())
    }

    /// The beginning of every key of a scope.
    pub(crate) fn scope(scope: ScopeId) -> Self {
        Self(scope.0.to_be_bytes().to_vec())
    }

    /// Row of a record, of its KV logs; the beginning of the keys of its judgments.
    pub(crate) fn record(scope: ScopeId, id: u64) -> Self {
        Self::scope(scope).then(&id.to_be_bytes())
    }

    /// Row of a record's embedding in the space of this number.
    pub(crate) fn embedding(scope: ScopeId, id: u64, space: u32) -> Self {
        let key = Self::record(scope, id);
        if space == 0 { key } else { key.then(&space.to_be_bytes()) }
    }

    /// The scope, the record and the number of the space that the key of an embedding is made of.
    pub(crate) fn embedding_of(bytes: &[u8]) -> Option<(ScopeId, u64, u32)> {
        let (scope, id) = Self::record_of(bytes)?;
        match bytes.len() {
            12 => Some((scope, id, 0)),
            16 => Some((scope, id, Self::u32_at(bytes, 12)?)),
            _ => None,
        }
    }

    pub(crate) fn judgment(scope: ScopeId, trajectory: u64, number: u32) -> Self {
        Self::record(scope, trajectory).then(&number.to_be_bytes())
    }

    pub(crate) fn segment(id: SegmentId) -> Self {
        Self(id.as_u64().to_be_bytes().to_vec())
    }

    pub(crate) fn then(mut self, part: &[u8]) -> Self {
        self.0.extend_from_slice(part);
        self
    }

    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The first key that does not begin with this one; `None` when there is no such key.
    pub(crate) fn after_prefix(&self) -> Option<Self> {
        let mut bytes = self.0.clone();
        while let Some(last) = bytes.pop() {
            if last < u8::MAX {
                bytes.push(last + 1);
                return Some(Self(bytes));
            }
        }
        None
    }

    /// The scope and the record that a key of a record begins with.
    pub(crate) fn record_of(bytes: &[u8]) -> Option<(ScopeId, u64)> {
        Some((ScopeId(Self::u32_at(bytes, 0)?), Self::u64_at(bytes, 4)?))
    }

    /// The 8 bytes from `at` on as a number.
    pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
        Some(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
    }

    /// The 4 bytes from `at` on as a number.
    pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
        Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_the_first_key_beyond_it() {
        assert_eq!(Key::of(&[1, 2]).after_prefix(), Some(Key::of(&[1, 3])));
        assert_eq!(Key::of(&[1, 255]).after_prefix(), Some(Key::of(&[2])));
        assert_eq!(Key::of(&[255, 255]).after_prefix(), None);
        assert_eq!(Key::all().after_prefix(), None);
    }

    #[test]
    fn keys_sort_as_their_parts() {
        let key = |scope, id| Key::record(ScopeId(scope), id);
        assert!(key(1, 256) > key(1, 255));
        assert!(key(2, 0) > key(1, u64::MAX));
    }
}
