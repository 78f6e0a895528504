//! Merging: many small segments of like size become one, so that a database of many small commits has few files.
//!
//! Segments are of like size when their sizes lie between the same powers of [`CLASS`]. What was merged is of a larger
//! class, so each KV log is copied once per class, a few times in all (size-tiered compaction, as in O'Neil et al., *The
//! Log-Structured Merge-Tree*, 1996, and its successors).

use crate::SegmentId;
use std::collections::{BTreeMap, BTreeSet};

/// How much larger the segments of one class are than those of the class below.
const CLASS: u64 = 16;

/// The smallest class of which there are `n` or more, the oldest of it up to `full_bytes`.
pub(super) fn of_like_size(
    sizes: impl IntoIterator<Item = (SegmentId, u64)>,
    n: usize,
    full_bytes: u64,
) -> BTreeSet<SegmentId> {
    let mut classes: BTreeMap<u32, Vec<(SegmentId, u64)>> = BTreeMap::new();
    // Twice the size of one would be too much.
    for (id, n_bytes) in sizes.into_iter().filter(|(_, n_bytes)| *n_bytes <= full_bytes / 2) {
        classes.entry(n_bytes.max(1).ilog(CLASS)).or_default().push((id, n_bytes));
    }
    let Some(mut class) = classes.into_values().find(|class| class.len() >= n.max(2)) else { return BTreeSet::new() };
    class.sort_unstable();
    let mut total = 0_u64;
    let fits = |(_, n_bytes): &(SegmentId, u64)| {
        total = total.saturating_add(*n_bytes);
        total <= full_bytes
    };
    class.into_iter().take_while(fits).map(|(id, _)| id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(sizes: &[u64], n: usize, full_bytes: u64) -> Vec<u64> {
        let sizes = sizes.iter().zip(1..).map(|(size, id)| (SegmentId::from_u64(id), *size));
        of_like_size(sizes, n, full_bytes).into_iter().map(|id| id.as_u64()).collect()
    }

    #[test]
    fn only_like_sizes_and_never_beyond_a_full_segment() {
        assert_eq!(merged(&[300, 5000, 310, 320], 3, 1 << 20), [1, 3, 4]);
        assert_eq!(merged(&[300, 5000, 310], 3, 1 << 20), [0; 0], "too few");
        assert_eq!(merged(&[300, 310, 320, 330], 2, 1000), [1, 2, 3], "a full segment at most");
        assert_eq!(merged(&[600, 700, 800], 2, 1000), [0; 0], "two of them are more than one");
        assert_eq!(merged(&[0, 0], 0, 1000), [1, 2]);
    }

    /// With one segment a commit, a byte is copied as often as there are classes, and few segments are left.
    #[test]
    fn a_life_of_small_commits_copies_each_byte_a_few_times() {
        let (mut sizes, mut next, mut copied) = (BTreeMap::new(), 0_u64, 0_u64);
        for _ in 0..10_000 {
            next += 1;
            sizes.insert(SegmentId::from_u64(next), 8_000_u64);
            loop {
                let merged = of_like_size(sizes.iter().map(|(id, size)| (*id, *size)), 16, 256 << 20);
                if merged.is_empty() {
                    break;
                }
                let total = merged.iter().filter_map(|id| sizes.remove(id)).sum::<u64>();
                next += 1;
                sizes.insert(SegmentId::from_u64(next), total);
                copied += total;
            }
        }
        assert_eq!(sizes.values().sum::<u64>(), 80_000_000);
        assert!(sizes.len() < 64, "{} segments", sizes.len());
        assert!(copied < 4 * 80_000_000, "{copied} bytes copied");
    }
}
