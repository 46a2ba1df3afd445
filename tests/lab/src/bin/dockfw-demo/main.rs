//! The demonstration: a real Docker host in namespaces of its own, and what a stranger reaches on it before and after
//! `dockfw apply` with the example policy.
//!
//! Every cell of the table is a connection that was tried, and every row says what it should have come to. The exit
//! code is 0 only where all of them did, and where `dockfw remove` then left the host as it had been.

mod fixture;
mod table;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use dockfw_lab::{Docker, DockerOptions, Lab, LabOptions, Programs, Variant, contain};

use fixture::{DemoFixture, Question, Seen};

/// The policy that is shown, as it lies in the repository.
const POLICY: &str = include_str!("../../../../../examples/dockfw.toml");
/// Where dockfw looks for it; `/etc` is the lab's own.
const POLICY_FILE: &str = "/etc/dockfw/dockfw.toml";

fn main() -> ExitCode {
    match prepare().and_then(|dockfw| demonstrate(&dockfw)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("dockfw-demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Finds the program to be shown, and shuts us in: the machine's own network is never touched.
fn prepare() -> Result<PathBuf> {
    let argument = env::args_os().nth(1).context("usage: dockfw-demo PATH-OF-DOCKFW")?;
    let dockfw = fs::canonicalize(&argument)
        .with_context(|| format!("no program at {}", Path::new(&argument).display()))?;
    contain().context("the demonstration can't run here; it needs root to make namespaces")?;
    Ok(dockfw)
}

/// Shows it all; whether all was as it should be.
fn demonstrate(dockfw: &Path) -> Result<bool> {
    let variant = variant()?;
    say("raising a host and its clients in network namespaces");
    let lab = Lab::raise(LabOptions { variant, dockfw: Some(dockfw.to_owned()), ..LabOptions::default() })?;
    say("starting a real dockerd on the host");
    let docker = Docker::start(&lab, DockerOptions::default())?;
    // Docker's own default would hide, over IPv6, what dockfw decides of containers' own addresses.
    lab.accept_forwarding()?;
    say("starting containers on docker0 and on two user-defined networks");
    let fixture = DemoFixture::set(&lab, &docker)?;
    play(&lab, &fixture)
}

/// As on most hosts where it is there, or else whatever iptables this machine has.
fn variant() -> Result<Variant> {
    if Programs::check(&Variant::Nft).is_ok() {
        return Ok(Variant::Nft);
    }
    Programs::check(&Variant::Native).context("a program is missing (./dev demo installs what it needs)")?;
    Ok(Variant::Native)
}

fn play(lab: &Lab, fixture: &DemoFixture) -> Result<bool> {
    let questions = fixture.questions();
    let tables = tables(lab)?;
    say("asking who reaches what");
    let before = fixture.ask(&questions)?;
    let live = fixture.open_connections()?;
    say("dockfw apply");
    apply(lab)?;
    say("asking again");
    let after = fixture.ask(&questions)?;
    println!("{}", table::render(&questions, &before, &after, table::Style::of_stdout()));
    let mut all_right = questions.iter().zip(&after).all(|(question, seen)| question.is_right(seen));
    all_right &=
        verdict("connections of the outsider's to 5432, opened before the apply: still up", live.are_up());
    all_right &= show_status(lab)?;
    say("dockfw remove");
    dockfw(lab, &["remove"])?;
    let is_as_before =
        tables == self::tables(lab)? && is_same(&questions, &before, &fixture.ask(&questions)?);
    all_right &= verdict("after `dockfw remove`, everything is as it was before", is_as_before);
    println!("{}", if all_right { "\nAll as expected." } else { "\nNOT all as expected." });
    Ok(all_right)
}

fn is_same(questions: &[Question], before: &[[Seen; 2]], again: &[[Seen; 2]]) -> bool {
    for (question, (before, again)) in questions.iter().zip(before.iter().zip(again)) {
        if before != again {
            println!("  {}, {}: {before:?} before and {again:?} now", question.port, question.words);
        }
    }
    before == again
}

fn verdict(what: &str, is_right: bool) -> bool {
    println!("{} {what}", table::verdict(is_right, table::Style::of_stdout()));
    is_right
}

fn apply(lab: &Lab) -> Result<()> {
    fs::create_dir_all("/etc/dockfw")?;
    fs::write(POLICY_FILE, POLICY)?;
    dockfw(lab, &["apply", "--backend", "auto"]).map(drop)
}

/// What `dockfw status` says, without what never counted anything.
fn show_status(lab: &Lab) -> Result<bool> {
    let output = lab.dockfw(&["status"])?;
    let text = String::from_utf8_lossy(&output.stdout);
    println!("$ dockfw status");
    text.lines().filter(|line| is_telling(line)).for_each(|line| println!("  {line}"));
    Ok(verdict("`dockfw status` says that the policy is in force", output.status.success()))
}

/// Counters of packets that were seen, and all that is no counter and no set.
fn is_telling(line: &str) -> bool {
    let words: Vec<_> = line.split_whitespace().collect();
    match words.as_slice() {
        [_, count, "packets", ..] => *count != "0",
        [.., "elements"] => false,
        _ => true,
    }
}

/// The nftables tables of the host: what `remove` must leave as they were.
fn tables(lab: &Lab) -> Result<String> {
    lab.on_host("nft", &["list", "tables"])
}

/// Runs dockfw on the host, which must work.
fn dockfw(lab: &Lab, arguments: &[&str]) -> Result<String> {
    let output = lab.dockfw(arguments)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "dockfw {}: {}\n{said}", arguments.join(" "), output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Progress, apart from what is shown.
fn say(what: &str) {
    eprintln!("demo: {what} ...");
}
