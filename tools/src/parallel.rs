//! A map over a slice on a few threads, in order, that stops at the first failure.

use crate::failure::Failure;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Applies `work` to every item on `n_threads` threads; results come in the order of `items`.
///
/// # Errors
/// The first failure; items not begun by then are not worked on.
pub(crate) fn map<T: Sync, R: Send>(
    n_threads: usize,
    items: &[T],
    work: impl Fn(&T) -> Result<R, Failure> + Sync,
) -> Result<Vec<R>, Failure> {
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let results: Vec<Mutex<Option<Result<R, Failure>>>> = items.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..n_threads.clamp(1, items.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    let (Some(item), Some(slot)) = (items.get(i), results.get(i)) else { break };
                    if failed.load(Ordering::Relaxed) {
                        break;
                    }
                    let result = work(item);
                    failed.fetch_or(result.is_err(), Ordering::Relaxed);
                    if let Ok(mut slot) = slot.lock() {
                        *slot = Some(result);
                    }
                }
            });
        }
    });
    let finished = results.into_iter().filter_map(|slot| slot.into_inner().ok().flatten());
    finished.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_the_order_of_the_items() {
        let items: Vec<u64> = (0..100).collect();
        let squares = map(3, &items, |x| Ok(x * x)).expect("no failure");
        assert_eq!(squares, items.iter().map(|x| x * x).collect::<Vec<_>>());
    }

    #[test]
    fn the_first_failure_is_the_result() {
        let result =
            map(2, &[1, 2, 3], |x| if *x == 2 { Err(Failure::ProblemsFound("two".to_owned())) } else { Ok(*x) });
        assert!(matches!(result, Err(Failure::ProblemsFound(_))));
    }
}
