//! Tests against the kernel, each in a network namespace of its own, on both variants of iptables.

mod apply;
mod first_layout;
mod old;
mod others;

use std::path::Path;
use std::process::{Command, Stdio};

use dockfw_policy::compile::{EarlyDrop, compile_with};
use dockfw_policy::{FilesInMemory, Strictness, load};
use nix::sched::{CloneFlags, unshare};

use dockfw_policy::address::Family;
use dockfw_policy::engine::Presence;
use dockfw_xtables::clauses::Protocols;
use dockfw_xtables::savers::base_name;
use dockfw_xtables::tools::{Tools, Variant};

use super::*;

/// Returns the ruleset of a policy.
fn ruleset(policy: &str) -> Ruleset {
    let files = FilesInMemory::new([("/dockfw.toml", policy)]);
    let loaded = load(Path::new("/dockfw.toml"), &files, Strictness::Forced);
    let policy = loaded.unwrap_or_else(|rejected| panic!("{rejected}")).policy;
    compile_with(&policy, EarlyDrop::Tracked)
}

fn wanted(policy: &str) -> Wanted {
    lower(&ruleset(policy)).unwrap()
}

/// A policy with a bit of everything.
const FULL: &str = include_str!("../../../../tests/golden/everything/dockfw.toml");

fn full() -> Wanted {
    // The list is in a file beside it.
    wanted(&FULL.replace("\"file:vpn.txt\"", "\"192.0.2.64/26\""))
}

/// Returns a policy that trusts one address of each family, and this one.
fn trusting(address: &str) -> Wanted {
    wanted(&format!("trusted = [\"192.0.2.10\", \"2001:db8::10\", \"{address}\"]"))
}

/// The engine's host, with the programs of one variant.
struct EngineFixture {
    host: Host,
}

impl EngineFixture {
    fn of(variant: Variant) -> Self {
        let tools =
            |variant: Variant| Tools::find(variant, &format!("-{}", variant.name())).expect("both variants");
        let protocols = Protocols::parse(&std::fs::read_to_string("/etc/protocols").unwrap_or_default());
        let host = Host {
            variants: Variants {
                used: tools(variant),
                other: Some(tools(variant.other())),
                is_docker_in_both: false,
            },
            protocols,
            ipset: Ipset::find(),
            unfit: None,
        };
        Self { host }
    }

    fn apply(&self, wanted: &Wanted) -> Vec<String> {
        texts(&apply(&self.host, wanted).expect("applied"))
    }

    fn remove(&self) -> Result<bool, EngineError> {
        remove(&self.host.variants, self.host.ipset.as_ref())
    }

    fn differences(&self, wanted: &Wanted) -> Vec<String> {
        texts(&read(&self.host, wanted).expect("read").differences)
    }

    /// Does only some steps of an apply, like an apply that is killed.
    fn apply_partly(&self, wanted: &Wanted, steps: usize) {
        let plan = plan(&self.host.read().unwrap(), wanted, &self.host.protocols);
        carry_out(&self.host, &plan, &Step::ALL[..steps]).expect("carried out");
    }

    fn family(&self, family: Family, arguments: &str) {
        let base = base_name(family);
        sh(&format!("{base}-{} {arguments}", self.host.tools().variant.name()));
    }

    /// Returns the rules of a chain of table filter, in IPv4.
    fn chain(&self, chain: &str) -> Vec<String> {
        let rules = sh(&format!("iptables-{}-save -t filter", self.host.tools().variant.name()));
        let prefix = format!("-A {chain} ");
        rules.lines().filter_map(|line| line.strip_prefix(&prefix)).map(str::to_owned).collect()
    }

    /// Returns everything on the host, except counters, empty tables and the seeds of sets' hashes.
    fn everything(&self) -> String {
        let name = self.host.tools().variant.name();
        let text = sh(&format!("iptables-{name}-save; ip6tables-{name}-save; ipset save"));
        let is_said =
            |line: &&str| !line.starts_with(['#', '*']) && !line.contains(" ACCEPT [") && *line != "COMMIT";
        let lines =
            text.lines().filter(is_said).map(|line| line.split(" initval").next().unwrap_or_default());
        lines.map(|line| line.split(" [").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
    }
}

/// Runs a test for each variant, in a network namespace of its own: in a thread that ends with it.
fn on_both(test: fn(&EngineFixture)) {
    for variant in [Variant::Nft, Variant::Legacy] {
        let thread = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
            test(&EngineFixture::of(variant));
        });
        if let Err(panic) = thread.join() {
            eprintln!("on iptables-{}", variant.name());
            std::panic::resume_unwind(panic);
        }
    }
}

/// Returns differences in words.
fn texts(differences: &[Difference]) -> Vec<String> {
    differences.iter().map(ToString::to_string).collect()
}

/// Runs a script in the namespace of the thread.
fn sh(script: &str) -> String {
    let output = Command::new("sh").args(["-ec", script]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Creates what Docker 20.10 creates in table filter in IPv4.
fn like_docker(fixture: &EngineFixture) {
    for rule in ["-N DOCKER", "-N DOCKER-USER", "-A DOCKER-USER -j RETURN", "-A FORWARD -j DOCKER-USER"] {
        fixture.family(Family::Ipv4, rule);
    }
    fixture.family(Family::Ipv4, "-A FORWARD -o docker0 -j DOCKER");
    fixture.family(Family::Ipv4, "-A FORWARD -i docker0 ! -o docker0 -j ACCEPT");
}
