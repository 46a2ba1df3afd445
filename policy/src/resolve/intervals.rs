//! Intervals, found by what lies in them.

/// Intervals, each with a number. Half of them come before the one in the middle, and so on: a balanced tree.
pub(super) struct Intervals<T> {
    /// Sorted by their first values.
    sorted: Vec<(T, T, usize)>,
    /// For each of them, as the root of a tree, the last value in that tree.
    reach: Vec<T>,
}

impl<T: Copy + Ord> Intervals<T> {
    /// Returns these intervals, which include both ends.
    pub(super) fn of(mut intervals: Vec<(T, T, usize)>) -> Self {
        intervals.sort_unstable();
        let mut reach: Vec<T> = intervals.iter().map(|(_, last, _)| *last).collect();
        fill(&mut reach);
        Self { sorted: intervals, reach }
    }

    /// Returns the numbers of all intervals around a value, unless they are more than `most`.
    pub(super) fn around(&self, value: T, most: usize) -> Option<Vec<usize>> {
        let mut found = Vec::new();
        let mut open = vec![(0, self.sorted.len())];
        while let Some((start, end)) = open.pop() {
            let middle = start + (end - start) / 2;
            let (Some((first, last, number)), Some(reach)) =
                (self.sorted.get(middle), self.reach.get(middle))
            else {
                continue;
            };
            if start == end || *reach < value {
                continue;
            }
            open.push((start, middle));
            if *first <= value {
                open.push((middle + 1, end));
                found.extend((*last >= value).then_some(*number));
            }
            if found.len() > most {
                return None;
            }
        }
        Some(found)
    }
}

/// Raises each value to the highest of the tree of which it is the root. Returns that of all.
fn fill<T: Copy + Ord>(reach: &mut [T]) -> Option<T> {
    let (before, rest) = reach.split_at_mut(reach.len() / 2);
    let (own, after) = rest.split_first_mut()?;
    *own = [fill(before), fill(after)].into_iter().flatten().fold(*own, T::max);
    Some(*own)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn all_intervals_around_a_value_are_found(
            ends in proptest::collection::vec((0_u8..40, 0_u8..40), 0..30),
            value in 0_u8..40,
        ) {
            let intervals: Vec<_> =
                ends.into_iter().enumerate().map(|(number, (a, b))| (a.min(b), a.max(b), number)).collect();
            let is_around = |(first, last, _): &&(u8, u8, usize)| (*first..=*last).contains(&value);
            let expected: Vec<_> = intervals.iter().filter(is_around).map(|(.., number)| *number).collect();
            let found = |most| {
                let mut found = Intervals::of(intervals.clone()).around(value, most)?;
                found.sort_unstable();
                Some(found)
            };
            prop_assert_eq!(found(expected.len()), Some(expected.clone()));
            prop_assert_eq!(found(expected.len().saturating_sub(1)).is_some(), expected.is_empty());
        }
    }
}
