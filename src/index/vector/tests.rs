//! The index against the plain comparison of all, with graphs and without, whole and damaged.

use super::best::Scored;
use super::*;
use crate::medium::MemoryMedium;
use crate::record::embedding::dot;
use proptest::prelude::*;
use std::sync::atomic::AtomicUsize;

const DIM: usize = 24;
const KEY: VectorKey = VectorKey { scope: 1, kind: 1, space: 1, dim: DIM as u32 };

/// Stored vectors, and how many were fetched.
struct Stored {
    vectors: BTreeMap<u32, Vec<u8>>,
    n_fetched: AtomicUsize,
}

impl Source for Stored {
    fn fetch(&self, wanted: &RoaringBitmap, scan: &mut ExactScan) -> Result<()> {
        self.n_fetched.fetch_add(wanted.len() as usize, Ordering::Relaxed);
        wanted
            .iter()
            .filter_map(|id| self.vectors.get_key_value(&id))
            .try_for_each(|(id, stored)| scan.add(*id, stored))?;
        scan.require(wanted)
    }

    fn read(&self, documents: &[u32], visit: &mut dyn FnMut(u32, Option<&[u8]>) -> bool) -> Result<()> {
        documents.iter().all(|id| visit(*id, self.vectors.get(id).map(Vec::as_slice)));
        Ok(())
    }
}

/// A number that looks like chance.
fn chance(seed: u64) -> u64 {
    let x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A unit vector near to one of 20 centres.
fn vector(seed: u64) -> Vec<f32> {
    let number = |seed: u64| (chance(seed) >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
    let centre = chance(seed) % 20;
    let mut numbers: Vec<f32> =
        (0..DIM as u64).map(|i| number(centre * 1000 + i) + 0.6 * number(seed * 1_000_003 + i)).collect();
    let norm = numbers.iter().map(|x| x * x).sum::<f32>().sqrt();
    numbers.iter_mut().for_each(|x| *x /= norm);
    numbers
}

fn stored(n: u32) -> Stored {
    let bytes = |id: u32| vector(u64::from(id)).iter().flat_map(|x| x.to_le_bytes()).collect();
    Stored { vectors: (1..=n).map(|id| (id, bytes(id))).collect(), n_fetched: AtomicUsize::new(0) }
}

fn all(stored: &Stored) -> Arc<RoaringBitmap> {
    Arc::new(stored.vectors.keys().copied().collect())
}

/// What comparing every candidate gives.
fn expected(stored: &Stored, search: &Search<'_>) -> Vec<Scored> {
    let score = |id: u32| dot(search.near, &scan::numbers(&stored.vectors[&id]));
    let mut scored: Vec<_> = search.candidates.iter().map(|id| Scored { document: id, score: score(id) }).collect();
    scored.retain(|scored| scored.score >= search.floor);
    scored.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.document.cmp(&b.document)));
    scored.truncate(search.limit);
    scored
}

fn index(medium: &MemoryMedium, graph_from: usize) -> VectorIndex {
    bounded(medium, graph_from, usize::MAX)
}

fn bounded(medium: &MemoryMedium, graph_from: usize, memory_bytes: usize) -> VectorIndex {
    VectorIndex::new(Arc::new(medium.clone()), Bounds { graph_from, memory_bytes, is_writing: true })
}

/// A walk's scores are made of 16 bits a number.
fn is_same(found: &Scored, expected: &Scored) -> bool {
    found.document == expected.document && (found.score - expected.score).abs() < 1e-4
}

/// How many of what is expected was found, of how many.
fn recall(
    index: &VectorIndex,
    stored: &Stored,
    candidates: &RoaringBitmap,
    queries: std::ops::Range<u64>,
) -> (usize, usize) {
    let live = all(stored);
    let candidates = if *candidates == *live { &live } else { candidates };
    let (mut n_found, mut n_expected) = (0, 0);
    for seed in queries {
        let near = vector(seed);
        let search =
            Search { near: &near, as_of: CommitId::from_u64(1), live: &live, candidates, limit: 10, floor: -1.0 };
        let found = index.nearest(KEY, &search, stored, true).unwrap();
        let expected = expected(stored, &search);
        assert!(found.best.iter().all(|scored| candidates.contains(scored.document)));
        let is_found = |scored: &&Scored| found.best.iter().any(|found| is_same(found, scored));
        n_found += expected.iter().filter(is_found).count();
        n_expected += expected.len();
    }
    (n_found, n_expected)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn comparing_all_is_exact(
        n in 1u32..400, limit in 0usize..20, floor in -1.0f32..0.9, seed in any::<u32>(), modulus in 1u32..5,
    ) {
        let stored = stored(n);
        let near = vector(u64::from(seed));
        let live = all(&stored);
        let candidates = live.iter().filter(|id| id % modulus == 0).collect();
        let search = Search { near: &near, as_of: CommitId::from_u64(1), live: &live, candidates: &candidates, limit, floor };
        let found = index(&MemoryMedium::new(), usize::MAX).nearest(KEY, &search, &stored, true).unwrap();
        prop_assert_eq!(found.best, expected(&stored, &search));
        prop_assert_eq!(found.plan.route, Route::Scan);
    }

    #[test]
    fn no_bytes_are_believed_that_do_not_give_themselves_again(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        fuzz(&bytes);
    }
}

/// A transaction fetched vectors, a snapshot on another thread absorbed the same ones meanwhile, and the transaction
/// offered them twice: of a limit of two hits, one was a repetition.
#[test]
fn what_another_thread_absorbs_meanwhile_is_offered_once() {
    struct Meanwhile<'a>(&'a VectorIndex, &'a Search<'a>, &'a Stored);
    impl Source for Meanwhile<'_> {
        fn fetch(&self, wanted: &RoaringBitmap, scan: &mut ExactScan) -> Result<()> {
            self.0.nearest(KEY, self.1, self.2, true)?;
            self.2.fetch(wanted, scan)
        }

        fn read(&self, documents: &[u32], visit: &mut dyn FnMut(u32, Option<&[u8]>) -> bool) -> Result<()> {
            self.2.read(documents, visit)
        }
    }
    let (stored, index) = (stored(3), index(&MemoryMedium::new(), usize::MAX));
    let (near, live) = (vector(2), all(&stored));
    let search =
        Search { near: &near, as_of: CommitId::from_u64(1), live: &live, candidates: &live, limit: 2, floor: -1.0 };
    let found = index.nearest(KEY, &search, &Meanwhile(&index, &search, &stored), false).unwrap();
    assert_eq!(found.best, expected(&stored, &search));
}

#[test]
fn what_is_fetched_is_kept_if_there_is_room_and_the_answers_are_the_same_if_not() {
    let stored = stored(300);
    for (memory_bytes, n_fetched) in [(usize::MAX, 300), (10_000, 600)] {
        stored.n_fetched.store(0, Ordering::Relaxed);
        let index = bounded(&MemoryMedium::new(), usize::MAX, memory_bytes);
        assert_eq!(recall(&index, &stored, &all(&stored), 1000..1002), (20, 20));
        assert_eq!(stored.n_fetched.load(Ordering::Relaxed), n_fetched);
        assert!(index.stats().bytes <= memory_bytes as u64);
    }
}

const MANY: u32 = 6000;

#[test]
fn a_graph_finds_what_comparing_finds() {
    let (stored, medium) = (stored(MANY), MemoryMedium::new());
    let live = all(&stored);
    let built = index(&medium, 1000);
    recall(&built, &stored, &live, 1_000_000..1_000_001);
    built.wait();
    assert_eq!((built.stats().built, built.stats().in_graphs), (1, u64::from(MANY)));
    // Read from its file by the next open, which fetches nothing.
    drop(built);
    let index = index(&medium, 1000);
    stored.n_fetched.store(0, Ordering::Relaxed);
    let near = vector(9);
    let some: RoaringBitmap = live.iter().filter(|id| id % 3 != 0).collect();
    for (candidates, route) in [(&*live, Route::Walk), (&some, Route::Walk)] {
        let search =
            Search { near: &near, as_of: CommitId::from_u64(1), live: &live, candidates, limit: 10, floor: -1.0 };
        assert_eq!(index.nearest(KEY, &search, &stored, true).unwrap().plan.route, route);
        let (found, expected) = recall(&index, &stored, candidates, 1_000_000..1_000_100);
        assert!(found * 100 >= expected * 98, "{found} of {expected} by {route:?}");
    }
    assert_eq!(stored.n_fetched.load(Ordering::Relaxed), 0);
    // A filter that leaves what is elsewhere: the plan falls back to comparing, and that is exact.
    let near = vector(7);
    let far: RoaringBitmap = live.iter().filter(|id| dot(&near, &scan::numbers(&stored.vectors[id])) < 0.3).collect();
    let search =
        Search { near: &near, as_of: CommitId::from_u64(1), live: &live, candidates: &far, limit: 10, floor: -1.0 };
    let found = index.nearest(KEY, &search, &stored, true).unwrap();
    assert_eq!((found.plan.route, found.plan.why), (Route::Scan, Why::FilterIsElsewhere), "{}", found.plan);
    assert_eq!(found.best, expected(&stored, &search));
}

/// A generation over 1,000 vectors and the medium that it lies on.
fn with_generation() -> (Stored, MemoryMedium, String) {
    let (stored, medium) = (stored(1000), MemoryMedium::new());
    let index = index(&medium, 500);
    recall(&index, &stored, &all(&stored), 5..6);
    index.wait();
    let name = medium.dump().into_keys().next().unwrap();
    (stored, medium, name)
}

#[test]
fn a_file_that_is_damaged_cut_off_or_another_ones_is_discarded_and_nothing_else_changes() {
    let (stored, medium, name) = with_generation();
    let bytes = medium.dump().remove(&name).unwrap();
    let sound = index(&medium, 500);
    recall(&sound, &stored, &all(&stored), 5..6);
    assert_eq!((sound.stats().in_graphs, sound.stats().discarded), (1000, 0));

    let flips = (0..bytes.len() * 8).step_by(9973).map(|bit| {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        damaged
    });
    let cuts = (0..bytes.len()).step_by(4001).map(|len| bytes[..len].to_vec());
    let longer = std::iter::once([bytes.as_slice(), &[0]].concat());
    for damaged in flips.chain(cuts).chain(longer) {
        let medium = MemoryMedium::from_dump([(name.clone(), damaged)].into());
        let index = index(&medium, usize::MAX);
        assert_eq!(recall(&index, &stored, &all(&stored), 5..6), (10, 10));
        assert_eq!((index.stats().in_graphs, index.stats().discarded), (0, 1));
        assert!(medium.dump().is_empty(), "it is unlinked");
    }

    // The same documents with other vectors, as after a restore: the file is of another database.
    let mut other = stored;
    let newest = other.vectors.remove(&1).unwrap();
    other.vectors.insert(1000, newest);
    let index = index(&MemoryMedium::from_dump([(name, bytes)].into()), usize::MAX);
    recall(&index, &other, &all(&other), 5..6);
    assert_eq!(index.stats().discarded, 1);
}

#[test]
fn what_is_deleted_goes_with_the_next_graph_and_an_older_snapshot_still_finds_it() {
    let (mut stored, medium, _) = with_generation();
    let before = all(&stored);
    let index = index(&medium, 500);
    let deleted: Vec<_> = (1..=400).filter_map(|id| stored.vectors.remove_entry(&id)).collect();
    let live = all(&stored);
    assert_eq!(recall(&index, &stored, &live, 5..20), (150, 150));
    index.wait();
    assert_eq!(index.stats().in_graphs, 600);
    stored.vectors.extend(deleted);
    let near = vector(3);
    let search =
        Search { near: &near, as_of: CommitId::from_u64(1), live: &live, candidates: &before, limit: 10, floor: -1.0 };
    assert_eq!(index.nearest(KEY, &search, &stored, true).unwrap().best, expected(&stored, &search));
}

#[test]
fn what_is_cleared_leaves_no_file() {
    let (stored, medium, _) = with_generation();
    let index = index(&medium, 500);
    recall(&index, &stored, &all(&stored), 5..6);
    index.clear(CommitId::from_u64(1)).unwrap();
    assert!(medium.dump().is_empty());
    assert_eq!(index.stats().vectors, 0);
}

#[test]
fn the_same_vectors_give_the_same_bytes() {
    let (_, medium, _) = with_generation();
    let (_, again, _) = with_generation();
    assert_eq!(medium.dump(), again.dump());
}

#[test]
fn a_commit_from_before_an_erasing_answers_and_leaves_no_file() {
    let (stored, medium, _) = with_generation();
    let index = index(&medium, 500);
    recall(&index, &stored, &all(&stored), 5..6);
    index.clear(CommitId::from_u64(2)).unwrap();
    assert_eq!(recall(&index, &stored, &all(&stored), 5..6), (10, 10));
    index.wait();
    assert!(medium.dump().is_empty());
    assert_eq!((index.stats().built, index.stats().in_graphs), (0, 0));
}

/// A search on a snapshot from before a purge could begin a build between the forgetting and the unlinking: its file, with
/// what was purged, came after the unlinking and stayed.
#[test]
fn a_build_from_before_an_erasing_writes_no_file() {
    let (stored, medium) = (stored(1000), MemoryMedium::new());
    let index = index(&medium, 500);
    let mut vectors = ExactScan::new(DIM);
    stored.fetch(&all(&stored), &mut vectors).unwrap();
    let space = index.space(KEY);
    index.keeper.erase_before(CommitId::from_u64(2));
    assert_eq!(index.keeper.work(&space, vectors.clone(), CommitId::from_u64(1)), keeper::End::Stopped);
    assert!(medium.dump().is_empty());
    assert_eq!(index.keeper.work(&space, vectors, CommitId::from_u64(2)), keeper::End::Built);
    assert_eq!(medium.dump().len(), 1);
}

/// Who has an embedding was remembered of every scope that was ever searched.
#[test]
fn what_is_remembered_of_scopes_is_bounded() {
    let index = index(&MemoryMedium::new(), usize::MAX);
    let live = Arc::new(RoaringBitmap::from_iter(0..100u32));
    for scope in 0..1000 {
        let load = || Ok(Embedded { n_records: 100, live: live.clone() });
        index.embedded((scope, 1, 0), CommitId::from_u64(1), load).unwrap();
    }
    assert!(locked(&index.embedded).len() <= MOST_EMBEDDED);
    assert!(index.stats().bytes >= live.serialized_size() as u64);
}

#[test]
fn a_graph_in_a_mapped_file_answers_and_a_damaged_row_is_read_from_the_catalog() {
    let (stored, directory) = (stored(1000), tempfile::tempdir().unwrap());
    let medium = crate::medium::FileMedium::new(directory.path());
    medium.create_dirs(&[INDEX]).unwrap();
    let bounds = Bounds { graph_from: 500, memory_bytes: usize::MAX, is_writing: true };
    let open = || VectorIndex::new(Arc::new(medium.clone()), bounds);
    let index = open();
    recall(&index, &stored, &all(&stored), 5..6);
    index.wait();
    assert_eq!(recall(&index, &stored, &all(&stored), 5..15), (100, 100));
    drop(index);
    // Damage after the digest was checked: here, under a digest of the damage, and not in the rows that a load looks at.
    let path = directory.path().join(INDEX).join(&medium.list(INDEX).unwrap()[0]);
    let mut bytes = std::fs::read(&path).unwrap();
    let (end, stride) = (bytes.len() - 32, fine::stride(DIM));
    let rows = end - 1000 * stride;
    (0..960).filter(|node| node % 31 != 0).for_each(|node| bytes[rows + node * stride] ^= 1);
    let digest = blake3::hash(&bytes[..end]);
    bytes[end..].copy_from_slice(digest.as_bytes());
    std::fs::write(&path, bytes).unwrap();
    let index = open();
    assert_eq!(recall(&index, &stored, &all(&stored), 5..15), (100, 100));
    assert_eq!((index.stats().in_graphs, index.stats().discarded), (1000, 0));
}
