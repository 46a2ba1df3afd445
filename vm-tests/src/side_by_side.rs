//! Several things at once.

use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::lock;

/// Does the work for all items, for so many at once, and gives what came of it in the items' order.
pub(crate) fn side_by_side<T: Sync, R: Send>(
    jobs: usize,
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let (todo, done) = (Mutex::new(items.iter().enumerate()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..jobs.min(items.len()).max(1) {
            scope.spawn(|| {
                // The lock is not to be held for longer than that.
                let next = || lock(&todo).next();
                while let Some((index, item)) = next() {
                    let result = work(item);
                    lock(&done).push((index, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_order_of_the_items() {
        for jobs in [0, 1, 3, 9] {
            assert_eq!(side_by_side(jobs, &[1, 2, 3, 4], |number| number * 10), [10, 20, 30, 40]);
        }
    }
}
