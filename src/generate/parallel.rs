//! Work in independent parts, such as KV heads, on the threads on which candle computes its products.
//!
//! The pool is candle's: between two products its threads wait for the next one, and threads of our own would take the
//! processors from them. With one thread everything runs where it is called from.

use candle_core::utils::barrier_pool;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Multiplications up to which other threads are not called: about a tenth of a millisecond, in which a thread that sleeps, or
/// whose processor is busy with something else, has hardly come.
const SMALL: usize = 1 << 20;
/// Parts for each thread where there is a choice: one that is held up leaves its parts to the others.
const PARTS: usize = 3;

thread_local! {
    static IS_INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// What `of` makes of each of `n` parts, in their order, `n_products` multiplications in all. A thread keeps its `S` from one
/// part to the next.
///
/// The pool does one thing at a time: a part that has parts of its own, or computes a product of candle's, would wait for itself.
pub(super) fn each<S: Default, T: Send + Sync>(
    n: usize,
    n_products: usize,
    of: impl Fn(&mut S, usize) -> T + Sync,
) -> Vec<T> {
    if n_products <= SMALL || n < 2 {
        let mut own = S::default();
        return (0..n).map(|part| of(&mut own, part)).collect();
    }
    debug_assert!(!IS_INSIDE.get(), "a part has no parts");
    let made: Vec<OnceLock<T>> = (0..n).map(|_| OnceLock::new()).collect();
    let next = AtomicUsize::new(0);
    let panicked = Mutex::new(None);
    barrier_pool().execute(|_| {
        IS_INSIDE.set(true);
        // The pool must not see a panic: it would be of no use to any session of the process.
        let done = catch_unwind(AssertUnwindSafe(|| {
            let mut own = S::default();
            while let Some((part, place)) = next_of(&made, &next) {
                place.get_or_init(|| of(&mut own, part));
            }
        }));
        IS_INSIDE.set(false);
        if let Err(panic) = done {
            panicked.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
        }
    });
    if let Some(panic) = panicked.into_inner().unwrap_or_else(PoisonError::into_inner) {
        resume_unwind(panic);
    }
    made.into_iter().filter_map(OnceLock::into_inner).collect()
}

/// A part that no thread has taken yet.
fn next_of<'a, T>(made: &'a [OnceLock<T>], next: &AtomicUsize) -> Option<(usize, &'a OnceLock<T>)> {
    let part = next.fetch_add(1, Ordering::Relaxed);
    made.get(part).map(|place| (part, place))
}

/// Into how many parts each of `n` is best cut, at most `most`.
pub(super) fn cuts(n: usize, n_products: usize, most: usize) -> usize {
    if n_products <= SMALL {
        return 1;
    }
    match barrier_pool().n_workers() {
        0 => 1,
        n_workers => (PARTS * (n_workers + 1)).div_ceil(n.max(1)).clamp(1, most.max(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::{SMALL, cuts, each};

    #[test]
    fn parts_come_in_their_order() {
        for n_products in [0, SMALL + 1] {
            for n in [0, 1, 2, 100] {
                let squares = each(n, n_products, |calls: &mut usize, part| {
                    *calls += 1;
                    assert!(*calls <= n);
                    part * part
                });
                assert_eq!(squares, (0..n).map(|part| part * part).collect::<Vec<_>>());
            }
            assert!((1..=5).contains(&cuts(8, n_products, 5)));
            assert_eq!(cuts(8, n_products, 0), 1);
        }
    }

    /// candle's pool is for the whole process and does not survive a panic: one session's fault was every session's.
    #[test]
    fn a_panic_in_a_part_is_its_callers_only() {
        for _ in 0..3 {
            let panics = || each(40, SMALL + 1, |_: &mut (), part| assert_ne!(part, 17, "a part's own fault"));
            assert!(std::panic::catch_unwind(panics).is_err());
            assert_eq!(each(40, SMALL + 1, |_: &mut (), part| part).len(), 40);
        }
    }
}
