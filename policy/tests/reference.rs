//! The reference of the policy file: that what is committed of it is current, and that it is true.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fmt::Write;
use std::{env, fs};

use dockfw_policy::reference::{Block, Key, SECTIONS, markdown};

use common::Memory;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/policy.md");
const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");
const HOSTS_DOCUMENT: &str = include_str!("../../docs/hosts.md");
const RECIPES_DOCUMENT: &str = include_str!("../../docs/recipes.md");

#[test]
fn the_document_is_current() {
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(DOCUMENT, markdown()).unwrap();
    }
    let committed = fs::read_to_string(DOCUMENT).unwrap();
    assert!(
        committed == markdown(),
        "docs/policy.md: UPDATE_DOCS=1 cargo test -p dockfw-policy --test reference"
    );
}

/// A policy with these keys typed.
fn typed<'a>(keys: impl Iterator<Item = (&'a Key, &'a str)>) -> String {
    let mut policy = String::new();
    for (key, value) in keys {
        let table = key.table().map(|table| format!("{table}.")).unwrap_or_default();
        writeln!(policy, "{table}{} = {value}", key.name()).unwrap();
    }
    policy
}

#[test]
fn the_defaults_are_what_is_meant_without_them() {
    let keys: Vec<&Key> = SECTIONS.iter().flat_map(|section| section.keys()).collect();
    let with_defaults = typed(keys.iter().filter_map(|key| Some((*key, key.default?))));
    assert_eq!(with_defaults.lines().count(), 14, "{with_defaults}");
    assert_eq!(Memory::main(with_defaults).policy(), Memory::main("blocked = []").policy());
}

#[test]
fn the_examples_are_policies() {
    let blocks = SECTIONS.iter().flat_map(|section| section.blocks);
    for block in blocks {
        if let Block::Example(text) = block {
            Memory::of(&[("dockfw.toml", *text), ("lists/vpn.txt", "192.0.2.1\n")]).policy();
        }
    }
}

#[test]
fn the_policies_of_whole_hosts_have_nothing_to_be_said_of_them() {
    assert_eq!(documented("hosts", HOSTS_DOCUMENT), 7);
}

#[test]
fn the_recipes_have_nothing_to_be_said_of_them() {
    assert_eq!(documented("recipes", RECIPES_DOCUMENT), 5);
}

/// Loads the policies in a directory of examples, each of which a document names. Returns how many there are.
fn documented(directory: &str, document: &str) -> usize {
    let files = fs::read_dir(format!("{EXAMPLES}/{directory}")).unwrap().map(|entry| entry.unwrap().path());
    let mut count = 0;
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let policy = Memory::main(fs::read(&file).unwrap());
        assert_eq!(policy.warnings(), "", "{name}");
        assert!(
            document.contains(&format!("(../examples/{directory}/{name})")),
            "docs/{directory}.md has no {name}"
        );
        count += 1;
    }
    count
}
