//! Bitmaps that a transaction changes, as sets and not as bytes: the records of one transaction change the same few rows,
//! which would be parsed and written anew for each of them.
//!
//! A set becomes bytes, in the layer of the transaction, before anything reads its row, and when the transaction ends.

use super::layer::Layer;
use super::{Key, Table, value};
use roaring::RoaringBitmap;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// In which form a bitmap is in its row.
pub(crate) const BITMAP_SCHEMA: u16 = 1;

/// The sets of one transaction, by the keys of their rows.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    sets: Mutex<BTreeMap<Key, Chunk>>,
}

#[derive(Debug)]
struct Chunk {
    ids: RoaringBitmap,
    /// Whether the layer has these ids.
    is_written: bool,
}

impl Chunks {
    fn sets(&self) -> MutexGuard<'_, BTreeMap<Key, Chunk>> {
        self.sets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `look` says of a set that is here.
    pub(super) fn look<T>(&self, key: &Key, look: impl FnOnce(&RoaringBitmap) -> T) -> Option<T> {
        self.sets().get(key).map(|chunk| look(&chunk.ids))
    }

    /// Does `change`, which says whether it changed anything, to a set that is here; whether it is.
    pub(super) fn change(&self, key: &Key, change: impl FnOnce(&mut RoaringBitmap) -> bool) -> bool {
        let mut sets = self.sets();
        let Some(chunk) = sets.get_mut(key) else { return false };
        chunk.is_written &= !change(&mut chunk.ids);
        true
    }

    /// Takes a set in as its row has it.
    pub(super) fn keep(&self, key: Key, ids: RoaringBitmap) {
        self.sets().insert(key, Chunk { ids, is_written: true });
    }

    /// Its row is written otherwise.
    pub(super) fn forget(&self, key: &Key) {
        self.sets().remove(key);
    }

    /// Writes those under keys that begin with `prefix` into the layer.
    pub(super) fn write_under(&self, prefix: &Key, layer: &mut Layer) {
        let mut sets = self.sets();
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let under = sets.range_mut::<Key, _>(from).take_while(|(key, _)| key.as_bytes().starts_with(prefix.as_bytes()));
        for (key, chunk) in under.filter(|(_, chunk)| !chunk.is_written) {
            layer.set(Table::Bitmaps, key.clone(), sealed(key, &chunk.ids));
            chunk.is_written = true;
        }
    }
}

/// The value of a row; none for an empty set, which has no row.
fn sealed(key: &Key, ids: &RoaringBitmap) -> Option<Vec<u8>> {
    let bytes = bitmap_bytes(ids);
    (!ids.is_empty()).then(|| value::seal(Table::Bitmaps, key.as_bytes(), BITMAP_SCHEMA, &bytes))
}

/// A bitmap as its row holds it.
pub(crate) fn bitmap_bytes(ids: &RoaringBitmap) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ids.serialized_size());
    // Writing into memory cannot fail.
    if let Err(error) = ids.serialize_into(&mut bytes) {
        tracing::error!(%error, "a bitmap was not written");
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_written_once_it_changed_and_before_its_row_is_read() {
        let (chunks, mut layer) = (Chunks::default(), Layer::default());
        let (a, b) = (Key::of(&[1, 1]), Key::of(&[2, 1]));
        assert!(!chunks.change(&a, |ids| ids.insert(3)), "it is not here");
        [&a, &b].into_iter().for_each(|key| chunks.keep(key.clone(), RoaringBitmap::new()));
        assert!(chunks.change(&a, |ids| ids.insert(3)) && chunks.change(&b, |ids| ids.insert(4)));
        assert_eq!(chunks.look(&a, |ids| ids.contains(3)), Some(true));
        chunks.write_under(&Key::of(&[1]), &mut layer);
        assert!(layer.get(Table::Bitmaps, &a).is_some() && layer.get(Table::Bitmaps, &b).is_none());
        layer.set(Table::Bitmaps, a.clone(), None);
        chunks.write_under(&Key::all(), &mut layer);
        assert_eq!(layer.get(Table::Bitmaps, &a), Some(&None), "it did not change since");
        assert!(chunks.change(&b, |ids| ids.remove(4)));
        chunks.write_under(&Key::all(), &mut layer);
        assert_eq!(layer.get(Table::Bitmaps, &b), Some(&None), "an empty set has no row");
    }
}
