//! A storage that can be written to without being changed: writes go to a copy of the blocks they touch.
//!
//! redb repairs what it checks; a check must not touch the only copy.

use super::BLOCK_BYTES;
use redb::StorageBackend;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Another storage, and what was written since.
#[derive(Debug)]
pub(crate) struct Overlay<B> {
    below: B,
    changed: Mutex<Changed>,
}

#[derive(Debug)]
struct Changed {
    len: u64,
    /// How much of the storage below still shows; a truncation hides the rest for good.
    visible: u64,
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl<B: StorageBackend> Overlay<B> {
    pub(crate) fn new(below: B) -> io::Result<Self> {
        let len = below.len()?;
        Ok(Self { below, changed: Mutex::new(Changed { len, visible: len, blocks: BTreeMap::new() }) })
    }

    fn changed(&self) -> MutexGuard<'_, Changed> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The block as it stands in the storage below, zeros beyond its end.
    fn block_below(&self, number: u64, visible: u64) -> io::Result<Vec<u8>> {
        let start = number * BLOCK_BYTES;
        let n_bytes = visible.saturating_sub(start).min(BLOCK_BYTES) as usize;
        let mut block = vec![0; BLOCK_BYTES as usize];
        match block.get_mut(..n_bytes) {
            Some(head) if n_bytes > 0 => self.below.read(start, head)?,
            _ => {}
        }
        Ok(block)
    }

    /// Calls `visit` with each block that `offset..offset + len` touches: its number, and the range inside it.
    fn blocks(
        offset: u64,
        len: usize,
        mut visit: impl FnMut(u64, std::ops::Range<usize>) -> io::Result<()>,
    ) -> io::Result<()> {
        let end = offset.checked_add(len as u64).ok_or(io::ErrorKind::InvalidInput)?;
        let mut at = offset;
        while at < end {
            let (number, from) = (at / BLOCK_BYTES, at % BLOCK_BYTES);
            let to = BLOCK_BYTES.min(from + (end - at));
            visit(number, from as usize..to as usize)?;
            at += to - from;
        }
        Ok(())
    }
}

impl<B: StorageBackend> StorageBackend for Overlay<B> {
    fn len(&self) -> io::Result<u64> {
        Ok(self.changed().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let changed = self.changed();
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > changed.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut rest = out;
        Self::blocks(offset, rest.len(), |number, range| {
            let (head, tail) = std::mem::take(&mut rest).split_at_mut(range.len());
            rest = tail;
            match changed.blocks.get(&number) {
                Some(block) => head.copy_from_slice(block.get(range).unwrap_or_default()),
                None => {
                    let block = self.block_below(number, changed.visible)?;
                    head.copy_from_slice(block.get(range).unwrap_or_default());
                }
            }
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut changed = self.changed();
        if len < changed.len {
            let number = len / BLOCK_BYTES;
            let mut edge = match changed.blocks.remove(&number) {
                Some(block) => block,
                None => self.block_below(number, changed.visible)?,
            };
            if let Some(beyond) = edge.get_mut((len % BLOCK_BYTES) as usize..) {
                beyond.fill(0);
            }
            changed.visible = changed.visible.min(len);
            changed.blocks.retain(|block, _| *block < number);
            changed.blocks.insert(number, edge);
        }
        changed.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut changed = self.changed();
        let visible = changed.visible;
        let mut rest = data;
        Self::blocks(offset, data.len(), |number, range| {
            let (head, tail) = rest.split_at(range.len());
            rest = tail;
            let block = match changed.blocks.entry(number) {
                Entry::Occupied(block) => block.into_mut(),
                Entry::Vacant(place) => place.insert(self.block_below(number, visible)?),
            };
            if let Some(target) = block.get_mut(range) {
                target.copy_from_slice(head);
            }
            Ok(())
        })?;
        changed.len = changed.len.max(offset + data.len() as u64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CatalogFile, Checked, Strictness};
    use super::*;
    use crate::medium::{Medium, MemoryMedium};

    const BLOCK: usize = BLOCK_BYTES as usize;

    /// A copy in memory of a plain file could not grow: nothing of the file shows beyond its end, and the read of that
    /// nothing failed with "the file is shorter than it says". And what was written beyond the end and cut off came back
    /// when the copy grew again.
    #[test]
    fn a_copy_grows_beyond_what_it_is_a_copy_of() {
        let medium = MemoryMedium::new();
        let plain = medium.create("plain").unwrap();
        plain.write_at(0, &[7; 2 * BLOCK]).unwrap();
        let checked = Checked::create(medium.create("checked").unwrap());
        checked.set_len(2 * BLOCK_BYTES).unwrap();
        checked.write(0, &[7; 320]).unwrap();
        checked.write(BLOCK_BYTES, &[7; BLOCK]).unwrap();
        checked.sync_data().unwrap();
        let reopened = Checked::open(medium.open("checked").unwrap(), Strictness::Fail).unwrap();
        for below in [CatalogFile::Plain(plain), CatalogFile::Checked(Box::new(reopened))] {
            let copy = Overlay::new(below).unwrap();
            copy.set_len(6 * BLOCK_BYTES).unwrap();
            copy.write(4 * BLOCK_BYTES, &[9; BLOCK]).unwrap();
            copy.write(7 * BLOCK_BYTES, &[8; BLOCK]).unwrap();
            assert_eq!(copy.len().unwrap(), 8 * BLOCK_BYTES);
            let block = |n: u64| {
                let mut out = vec![1; BLOCK];
                copy.read(n * BLOCK_BYTES, &mut out).unwrap();
                out[BLOCK - 1]
            };
            assert_eq!([1, 2, 3, 4, 5, 6, 7].map(block), [7, 0, 0, 9, 0, 0, 8]);
            copy.set_len(5 * BLOCK_BYTES).unwrap();
            copy.set_len(8 * BLOCK_BYTES).unwrap();
            assert_eq!([1, 4, 7].map(block), [7, 9, 0]);
        }
    }
}
