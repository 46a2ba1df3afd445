//! The house is built as docs/architecture.md draws it: which room may use which, and that nothing goes round in circles.
//!
//! Read off the source: `use` and paths, without what is for tests alone.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod circles;
mod drawing;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use drawing::Room;
use source::Source;

/// The crates, each by the directory of its source.
const CRATES: [&str; 6] = ["src", "policy/src", "system/src", "xtables/src", "compat/src", "import/src"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn program() -> Source {
    Source::read(&root().join("src"))
}

/// What each room of the program uses, by what it imports.
fn used(source: &Source) -> BTreeMap<String, BTreeSet<String>> {
    let rooms = source.modules().filter_map(|module| Some((module.first()?.clone(), BTreeSet::new())));
    let mut used: BTreeMap<String, BTreeSet<String>> = rooms.collect();
    for (from, to) in source.uses() {
        if let ([from, ..], [to, ..]) = (from.as_slice(), to.as_slice()) {
            let others = used.entry(from.clone()).or_default();
            if from != to {
                others.insert(to.clone());
            }
        }
    }
    used
}

#[test]
fn rooms_use_what_is_drawn_and_nothing_else() {
    let rooms = drawing::read(&root().join("docs/architecture.md"));
    let used = used(&program());
    let drawn: BTreeMap<_, _> = rooms.iter().map(|room| (room.name.clone(), room.uses.clone())).collect();
    for (room, uses) in &used {
        let allowed = drawn.get(room).unwrap_or_else(|| panic!("room `{room}` is not drawn"));
        let more: Vec<_> = uses.difference(allowed).collect();
        assert!(more.is_empty(), "`{room}` uses {more:?}, which is not drawn");
    }
    for (room, uses) in &drawn {
        let Some(really) = used.get(room) else { panic!("room `{room}` is drawn, but not built") };
        let less: Vec<_> = uses.difference(really).collect();
        assert!(less.is_empty(), "`{room}` does not use {less:?}, which is drawn");
    }
}

#[test]
fn rooms_use_only_what_is_below_them() {
    let rooms = drawing::read(&root().join("docs/architecture.md"));
    let mut below = BTreeSet::new();
    for Room { name, uses, .. } in rooms {
        let up: Vec<_> = uses.difference(&below).collect();
        assert!(up.is_empty(), "`{name}` uses {up:?}, which is not drawn below it");
        below.insert(name);
    }
}

/// Rooms that are drawn as pure run nothing, read nothing and have no clock.
#[test]
fn pure_rooms_act_on_nothing() {
    let source = program();
    let rooms = drawing::read(&root().join("docs/architecture.md"));
    for room in rooms.iter().filter(|room| room.is_pure) {
        for (file, path) in source.foreign_paths(&room.name) {
            let acts = drawing::ACTING.iter().any(|acting| path.starts_with(acting));
            assert!(!acts, "{} uses {path}, but `{}` is drawn as pure", file.display(), room.name);
        }
    }
}

/// Neighbours are modules of one parent. A parent may use its children, and they what is written down in it.
#[test]
fn no_neighbours_use_each_other_in_a_circle() {
    let of = |directory| (directory, circles::among_neighbours(&Source::read(&root().join(directory))));
    let found: Vec<_> = CRATES.into_iter().map(of).filter(|(_, found)| !found.is_empty()).collect();
    assert!(found.is_empty(), "{found:#?}");
}

/// The source has to be found, or nothing would be tested.
#[test]
fn the_source_is_read() {
    for directory in CRATES {
        let source = Source::read(&root().join(directory));
        assert!(source.modules().count() > 3 && !source.uses().is_empty(), "{directory}");
    }
    let files: Vec<PathBuf> = program().foreign_paths("commands").into_iter().map(|(file, _)| file).collect();
    assert!(!files.is_empty());
}
