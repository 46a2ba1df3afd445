//! Circles between modules of one parent.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Module, Source};

/// What each child of one parent uses of the others, each with all that is in it.
type Neighbours = BTreeMap<String, BTreeSet<String>>;

/// Every use that is part of a circle.
pub(crate) fn among_neighbours(source: &Source) -> Vec<String> {
    let mut parents = BTreeMap::<Module, Neighbours>::new();
    for (from, to) in source.uses() {
        let common = from.iter().zip(&to).take_while(|(from, to)| from == to).count();
        if let (Some(from_child), Some(to_child)) = (from.get(common), to.get(common)) {
            let neighbours = parents.entry(from[..common].to_vec()).or_default();
            neighbours.entry(from_child.clone()).or_default().insert(to_child.clone());
        }
    }
    parents.iter().flat_map(|(parent, neighbours)| circles(parent, neighbours)).collect()
}

fn circles(parent: &Module, neighbours: &Neighbours) -> Vec<String> {
    let parent = if parent.is_empty() { "the crate".to_owned() } else { parent.join("::") };
    let uses = neighbours.iter().flat_map(|(from, all)| all.iter().map(move |to| (from, to)));
    let on_one = uses.filter(|(from, to)| reached(neighbours, to).contains(from));
    on_one.map(|(from, to)| format!("{parent}: {from} uses {to}")).collect()
}

fn reached<'a>(neighbours: &'a Neighbours, from: &str) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&String> = neighbours.get(from).into_iter().flatten().collect();
    while let Some(name) = next.pop() {
        if reached.insert(name) {
            next.extend(neighbours.get(name).into_iter().flatten());
        }
    }
    reached
}
