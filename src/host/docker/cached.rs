//! An answer that is cached for a moment.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an answer is valid: long enough that all questions of one command get the same answer, and no longer.
const COUNTS_FOR: Duration = Duration::from_secs(5);

/// The last answer, and when it was given.
pub(super) struct Cached<T>(Mutex<Option<(Instant, Arc<T>)>>);

impl<T> Cached<T> {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Returns the answer that is valid `now`, or a new one. A missing answer is not cached.
    pub(super) fn get(&self, now: Instant, ask: impl FnOnce() -> Option<T>) -> Option<Arc<T>> {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cached.as_ref().is_none_or(|(given, _)| now.duration_since(*given) >= COUNTS_FOR) {
            *cached = ask().map(|answer| (now, Arc::new(answer)));
        }
        cached.as_ref().map(|(_, answer)| Arc::clone(answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_for_a_moment() {
        let cached = Cached::new();
        let start = Instant::now();
        let mut answers = [Some("28.5"), None, Some("29.1")].into_iter();
        let mut at = |seconds| {
            cached.get(start + Duration::from_secs(seconds), || answers.next().flatten()).map(|it| *it)
        };
        assert_eq!([0, 4].map(&mut at), [Some("28.5"); 2]);
        // Docker goes away, and comes back as another version.
        assert_eq!([5, 6, 7].map(at), [None, Some("29.1"), Some("29.1")]);
    }
}
