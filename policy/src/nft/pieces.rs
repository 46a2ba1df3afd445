//! Overlapping lists of ranges, cut into pieces about which the same lists are.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::service::PortRange;

/// Ranges without overlaps, each with the lists that cover it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pieces {
    /// The pieces in order, each with the number of its cover.
    pub(super) ranges: Vec<(PortRange, usize)>,
    /// The covers, each once: the numbers of the lists, in order.
    pub(super) covers: Vec<Vec<usize>>,
}

/// Cuts lists of ranges into pieces. Nothing if the covers of all pieces would together be longer than `limit`: many
/// wide ranges that overlap each other.
pub(super) fn pieces<'a>(lists: impl Iterator<Item = &'a [PortRange]>, limit: usize) -> Option<Pieces> {
    let mut known: HashMap<Vec<usize>, usize> = HashMap::new();
    let (mut pieces, mut covering, mut length) = (Pieces::default(), BTreeSet::new(), 0);
    let edges = edges(lists);
    for ((first, edge), next) in edges.iter().zip(edges.keys().skip(1)) {
        covering.retain(|list| !edge.ends.contains(list));
        covering.extend(&edge.starts);
        let Some(range) = range(*first, *next).filter(|_| !covering.is_empty()) else { continue };
        let cover: Vec<usize> = covering.iter().copied().collect();
        let number = *known.entry(cover).or_insert_with_key(|cover| {
            length += cover.len();
            pieces.covers.push(cover.clone());
            pieces.covers.len() - 1
        });
        if length > limit {
            return None;
        }
        pieces.ranges.push((range, number));
    }
    Some(pieces)
}

/// The lists of which a range begins at a port, and those of which one ended before it.
#[derive(Default)]
struct Edge {
    starts: Vec<usize>,
    ends: Vec<usize>,
}

/// Returns where ranges begin, and where they have ended; the highest port has an end behind it.
fn edges<'a>(lists: impl Iterator<Item = &'a [PortRange]>) -> BTreeMap<u32, Edge> {
    let mut edges: BTreeMap<u32, Edge> = BTreeMap::new();
    for (number, list) in lists.enumerate() {
        for range in list {
            edges.entry(range.first().into()).or_default().starts.push(number);
            edges.entry(u32::from(range.last()) + 1).or_default().ends.push(number);
        }
    }
    edges
}

/// Returns the ports from `first` to the one before `next`.
fn range(first: u32, next: u32) -> Option<PortRange> {
    PortRange::new(first.try_into().ok()?, next.checked_sub(1)?.try_into().ok()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(lists: &[&str]) -> Vec<String> {
        let lists: Vec<Vec<_>> = lists.iter().map(|list| list.split(' ').map(parsed).collect()).collect();
        let pieces = pieces(lists.iter().map(Vec::as_slice), 100).unwrap();
        let named = |(range, cover): &(PortRange, usize)| format!("{range} {:?}", pieces.covers[*cover]);
        pieces.ranges.iter().map(named).collect()
    }

    fn parsed(text: &str) -> PortRange {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        PortRange::new(first.parse().unwrap(), last.parse().unwrap()).unwrap()
    }

    #[test]
    fn ranges_are_cut_at_each_others_ends() {
        assert_eq!(cut(&["80", "443"]), ["80 [0]", "443 [1]"]);
        assert_eq!(cut(&["10-20", "15-30"]), ["10-14 [0]", "15-20 [0, 1]", "21-30 [1]"]);
        assert_eq!(cut(&["10-30", "20"]), ["10-19 [0]", "20 [0, 1]", "21-30 [0]"]);
        assert_eq!(cut(&["10-20", "21-30"]), ["10-20 [0]", "21-30 [1]"]);
        assert_eq!(cut(&["1-65535", "65535"]), ["1-65534 [0]", "65535 [0, 1]"]);
        assert_eq!(cut(&["80 443 8000-8010"]), ["80 [0]", "443 [0]", "8000-8010 [0]"]);
    }

    #[test]
    fn pieces_about_which_the_same_lists_are_share_a_cover() {
        let lists = [&[parsed("1-100")][..], &[parsed("10"), parsed("20")]];
        assert_eq!(pieces(lists.into_iter(), 3).unwrap().covers, [vec![0], vec![0, 1]]);
        assert_eq!(pieces(lists.into_iter(), 2), None);
    }

    fn lists() -> impl Strategy<Value = Vec<Vec<PortRange>>> {
        let range =
            (1..40u16, 0..12u16).prop_map(|(first, more)| PortRange::new(first, first + more).unwrap());
        prop::collection::vec(prop::collection::vec(range, 1..2), 0..12)
    }

    proptest! {
        #[test]
        fn a_port_is_in_the_piece_that_its_lists_cover(lists in lists(), port in 1..60u16) {
            let pieces = pieces(lists.iter().map(Vec::as_slice), usize::MAX).unwrap();
            let covering = |list: &Vec<PortRange>| list.iter().any(|range| range.contains(port));
            let expected: Vec<_> = (0..lists.len()).filter(|number| covering(&lists[*number])).collect();
            let found: Vec<_> = pieces.ranges.iter().filter(|(range, _)| range.contains(port)).collect();
            prop_assert!(found.len() <= 1 && pieces.ranges.is_sorted());
            let cover = found.first().map(|(_, cover)| pieces.covers[*cover].clone()).unwrap_or_default();
            prop_assert_eq!(cover, expected);
        }
    }
}
