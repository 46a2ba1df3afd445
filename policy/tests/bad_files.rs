//! Files that can't be read, or are no text, or are too big: said with the place, and never shown in full.

#![allow(clippy::unwrap_used)]

mod common;

use std::io;
use std::path::{Path, PathBuf};

use common::Memory;
use dockfw_policy::{Files, Strictness, load};

const POLICY: &str = "blocked = [\"file:list.txt\"]\n";

/// A policy whose list is `list`.
fn with_list(list: &[u8]) -> Memory {
    Memory::of(&[("dockfw.toml", POLICY.as_bytes()), ("list.txt", list)])
}

fn assert_shows(shown: &str, parts: &[&str]) {
    for part in parts {
        assert!(shown.contains(part), "{part:?} not in\n{shown}");
    }
    assert!(shown.len() < 1500, "{} bytes", shown.len());
    assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
}

#[test]
fn a_missing_main_file() {
    let shown = Memory::default().errors();
    assert_shows(&shown, &["can't read /etc/dockfw/dockfw.toml", "write the policy there"]);
}

#[test]
fn a_directory_in_conf_d_and_one_instead_of_a_list() {
    let files =
        Memory::of(&[("dockfw.toml", "blocked = [\"file:lists/\"]"), ("conf.d/a.toml/", ""), ("lists/", "")]);
    let shown = files.errors();
    assert_shows(&shown, &["can't read /etc/dockfw/conf.d/a.toml", "is a directory", "name a file"]);
    assert_shows(&shown, &["can't read /etc/dockfw/lists/", "/etc/dockfw/dockfw.toml:1:12"]);
}

#[test]
fn an_unreadable_list_is_shown_where_it_is_named() {
    let shown = Memory::main(POLICY).errors();
    assert_shows(
        &shown,
        &["can't read /etc/dockfw/list.txt", "/etc/dockfw/dockfw.toml:1:12", "file:list.txt"],
    );
    assert_shows(&shown, &["paths start from the directory of the policy file"]);
}

#[test]
fn lists_name_their_bad_lines() {
    let list = b"10.0.0.1 # good\r\n\n  10.0.0.7/24\noffice\n70000\n\x1b[31m\n10.0.0.\xff\n";
    let shown = Memory::of(&[("dockfw.toml", POLICY.as_bytes()), ("list.txt", list)]).load().err().unwrap();
    let errors = shown.errors;
    let places: Vec<_> = errors
        .diagnostics()
        .iter()
        .map(|error| errors.sources().locate(error.span.unwrap()))
        .map(|location| format!("{}:{}:{}", location.file, location.line, location.column))
        .collect();
    let expected = ["3:3", "4:1", "5:1", "6:1", "7:8"].map(|place| format!("/etc/dockfw/list.txt:{place}"));
    assert_eq!(places, expected);
    let text = errors.render(false);
    for part in
        ["\"10.0.0.0/24\" for the network", "a control character", "byte 0x1b", "not UTF-8", "byte 0xff"]
    {
        assert!(text.contains(part), "{part:?} not in\n{text}");
    }
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn a_policy_that_is_not_utf_8_or_holds_control_characters() {
    let shown = Memory::main(b"# caf\xe9\ntrusted = []\n").errors();
    assert_shows(&shown, &["not UTF-8", "/etc/dockfw/dockfw.toml:1:6", "save the file as UTF-8"]);
    let shown = Memory::main(b"trusted = []\n# \x00\x1b[2J\n").errors();
    assert_shows(&shown, &["a control character", "/etc/dockfw/dockfw.toml:2:3", "remove it"]);
}

#[test]
fn a_line_of_10_mb() {
    let long = "1".repeat(10_000_000);
    let shown = Memory::main(format!("blocked = []\n# {long}")).errors();
    let parts = [
        "10000002 bytes; a line of a policy may have 65536",
        "/etc/dockfw/dockfw.toml:2:1",
        "file:lists/vpn.txt",
    ];
    assert_shows(&shown, &parts);
    let shown = with_list(format!("10.0.0.1\n{long}").as_bytes()).errors();
    let parts =
        ["10000000 bytes; a line of a list may have 256", "/etc/dockfw/list.txt:2:1", "network per line"];
    assert_shows(&shown, &parts);
}

#[test]
fn a_line_of_a_list_that_is_a_little_too_long() {
    let comment = "x".repeat(256 - "10.0.0.1 #".len());
    assert!(with_list(format!("10.0.0.1 #{comment}\n").as_bytes()).load().is_ok());
    let shown = with_list(format!("10.0.0.1 #{comment}x\n").as_bytes()).errors();
    assert_shows(&shown, &["257 bytes; a line of a list may have 256", "/etc/dockfw/list.txt:1:1"]);
}

#[test]
fn a_long_line_that_is_allowed_is_shown_in_part() {
    let entries = "\"10.0.0.1\", ".repeat(2500);
    let shown = Memory::main(format!("blocked = [{entries}\"x\", {entries}]")).errors();
    assert_shows(&shown, &["/etc/dockfw/dockfw.toml:1:30012", "\"x\", \"10.0.0.1\""]);
}

/// A policy with a list that has as many bytes as anyone asks for.
struct Endless;

impl Files for Endless {
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let is_list = path.ends_with("list.txt");
        Ok(if is_list { vec![0; usize::try_from(limit).unwrap()] } else { POLICY.into() })
    }

    fn list(&self, _: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }
}

#[test]
fn files_that_are_too_big() {
    let policy = "#\n".repeat(8 * 1024 * 1024 + 1);
    assert_shows(&Memory::main(policy).errors(), &["/etc/dockfw/dockfw.toml has more than 16 MiB", "file:"]);
    let shown =
        load(Path::new("/etc/dockfw/dockfw.toml"), &Endless, Strictness::Strict).err().unwrap().to_string();
    assert_shows(
        &shown,
        &["list.txt has more than 256 MiB", "/etc/dockfw/dockfw.toml:1:12", "split the list"],
    );
}

#[test]
fn a_bad_list_of_a_million_lines_stays_readable() {
    let shown = with_list("10.0.0.1/8\n".repeat(1_000_000).as_bytes()).errors();
    assert!(shown.ends_with("and 999900 more errors") && shown.len() < 100_000, "{} bytes", shown.len());
}

#[test]
fn a_big_policy_full_of_syntax_errors_stays_readable() {
    let shown = Memory::main("= ] [\n".repeat(2_000_000)).errors();
    assert!(shown.len() < 2000, "{shown}");
}
