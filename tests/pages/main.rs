//! What the pages tell the reader to do works: links lead somewhere, commands exist, and policies are valid.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod page;
mod picture;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use dockfw_policy::{FilesInMemory, Strictness, load};

use page::Page;

/// The pages that have commands and policies to try.
fn pages() -> Vec<Page> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directories = ["", "docs", "ansible/dockfw", "vm-tests", "tests/old-layout"];
    let files = directories.iter().flat_map(|directory| std::fs::read_dir(root.join(directory)).unwrap());
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    paths.sort();
    paths.iter().map(|path| Page::read(path)).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let mut dead = Vec::new();
    let mut count = 0;
    for page in &pages {
        for link in page.links.iter().filter(|link| !link.contains("://") && !link.starts_with("mailto:")) {
            count += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.path.clone() } else { page.directory().join(file) };
            if !target.exists() || !(anchor.is_empty() || Page::read(&target).anchors.contains(anchor)) {
                dead.push(format!("{}: {link}", page.path.display()));
            }
        }
    }
    assert!(count > 50, "only {count} links were found");
    assert!(dead.is_empty(), "dead links:\n{}", dead.join("\n"));
}

/// Runs the command as written, with `--help` behind it: then its options are read, and nothing is done.
fn helped(command: &str) -> Output {
    let words: Vec<&str> = command.split_whitespace().skip(1).collect();
    Command::new(env!("CARGO_BIN_EXE_dockfw")).args(words).arg("--help").output().unwrap()
}

#[test]
fn every_command_exists() {
    let pages = pages();
    let mut wrong = Vec::new();
    let mut count = 0;
    for page in &pages {
        for command in &page.commands {
            count += 1;
            let output = helped(command);
            if !output.status.success() {
                let stderr = String::from_utf8_lossy(&output.stderr);
                wrong.push(format!("{}: `{command}`: {stderr}", page.path.display()));
            }
        }
    }
    assert!(count > 50, "only {count} commands were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_policy_is_valid() {
    let pages = pages();
    let policies: Vec<_> =
        pages.iter().flat_map(|page| page.policies.iter().map(move |policy| (page, policy))).collect();
    assert!(policies.len() > 1, "only {} policies were found", policies.len());
    for (page, policy) in policies {
        let main = PathBuf::from("/etc/dockfw/dockfw.toml");
        let lists = lists(policy).map(|list| (main.with_file_name(list), "192.0.2.7\n".to_owned()));
        let files = FilesInMemory::new([(main.clone(), policy.clone())].into_iter().chain(lists));
        if let Err(rejected) = load(&main, &files, Strictness::Strict) {
            panic!("{}:\n{policy}\n{rejected}", page.path.display());
        }
    }
}

/// The files that a policy names.
fn lists(policy: &str) -> impl Iterator<Item = &str> {
    policy.split("\"file:").skip(1).filter_map(|rest| rest.split('"').next())
}

#[test]
fn pictures_are_drawn_from_their_texts() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pictures");
    let files = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
    let texts = files.filter(|path| path.extension().is_some_and(|extension| extension == "txt"));
    let mut count = 0;
    for text in texts {
        count += 1;
        let (drawn, svg) =
            (picture::svg(&std::fs::read_to_string(&text).unwrap()), text.with_extension("svg"));
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&svg, &drawn).unwrap();
        }
        let there = std::fs::read_to_string(&svg).unwrap_or_default();
        assert!(
            there == drawn,
            "{} is not of its text: UPDATE_DOCS=1 cargo test --test pages",
            svg.display()
        );
    }
    assert!(count > 0, "no picture was found");
}
