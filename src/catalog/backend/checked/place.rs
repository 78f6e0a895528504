//! Where blocks, their checksums and the heads lie in the file, and how long that makes it.

use super::BLOCK_BYTES;
use std::io;
use std::ops::Range;

pub(super) const N_HEADS: u64 = 2;
/// Blocks of a group, and crcs in its first block.
const GROUP_BLOCKS: u64 = 1024;

/// Neighbouring blocks of one group.
pub(super) struct Run {
    pub(super) group: u64,
    /// Numbers within the group.
    first: u64,
    n: u64,
}

impl Run {
    pub(super) fn range(&self) -> Range<usize> {
        self.first as usize..(self.first + self.n) as usize
    }

    pub(super) fn blocks(&self) -> Range<u64> {
        let first = 1 + self.group * GROUP_BLOCKS + self.first;
        first..first + self.n
    }

    pub(super) fn offset(&self) -> u64 {
        group_offset(self.group) + (1 + self.first) * BLOCK_BYTES
    }

    pub(super) fn n_bytes(&self) -> usize {
        (self.n * BLOCK_BYTES) as usize
    }
}

/// The blocks of `offset..offset + len`, group by group.
pub(super) fn runs(offset: u64, len: usize) -> io::Result<impl Iterator<Item = Run>> {
    let (first, n) = (offset / BLOCK_BYTES, len as u64 / BLOCK_BYTES);
    if first == 0 || !offset.is_multiple_of(BLOCK_BYTES) || !(len as u64).is_multiple_of(BLOCK_BYTES) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let (mut next, end) = (first - 1, first - 1 + n);
    Ok(std::iter::from_fn(move || {
        let (group, first) = (next / GROUP_BLOCKS, next % GROUP_BLOCKS);
        let n = (GROUP_BLOCKS - first).min(end - next);
        next += n;
        (n > 0).then_some(Run { group, first, n })
    }))
}

pub(super) fn head_offset(number: u64) -> u64 {
    number * BLOCK_BYTES
}

pub(super) fn group_offset(group: u64) -> u64 {
    (N_HEADS + group * (1 + GROUP_BLOCKS)) * BLOCK_BYTES
}

pub(super) fn block_offset(block: u64) -> u64 {
    let index = block.saturating_sub(1);
    group_offset(index / GROUP_BLOCKS) + (1 + index % GROUP_BLOCKS) * BLOCK_BYTES
}

/// Bytes of the file when redb has `len`.
pub(super) fn physical_len(len: u64) -> u64 {
    match (len / BLOCK_BYTES).checked_sub(1) {
        None => 0,
        Some(n) => (N_HEADS + n + n.div_ceil(GROUP_BLOCKS)) * BLOCK_BYTES,
    }
}

/// Bytes that redb has when the file has `len`.
pub(super) fn logical_len(len: u64) -> Option<u64> {
    let Some(n) = (len / BLOCK_BYTES).checked_sub(N_HEADS) else { return (len == 0).then_some(0) };
    let logical = (1 + n - n.div_ceil(1 + GROUP_BLOCKS)) * BLOCK_BYTES;
    (physical_len(logical) == len).then_some(logical)
}

/// Groups of the file when redb has `len`.
pub(super) fn n_groups(len: u64) -> u64 {
    (len / BLOCK_BYTES).saturating_sub(1).div_ceil(GROUP_BLOCKS)
}
