//! The policies that are applied in turn, made from a seed: pure.
//!
//! Each is unlike the others in one way at least: in its rules alone, in a few of many entries, in its interfaces, in its size. The
//! first two hold nothing but single hosts, and no source but the trusted ones gets in under either; a packet that meets one hook
//! under the one and the next hook under the other may.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use dockfw_lab::{Dice, Engine};
use dockfw_policy::compile::compile;
use dockfw_policy::ruleset::Ruleset;
use dockfw_policy::{FilesInMemory, Strictness, load};

use crate::lists::{List, Region, joined};

/// Trusted under every policy, one of each family: the source of beacons.
pub(crate) const TRUSTED: [&str; 2] = ["10.112.0.5", "2001:db8:2000::5"];
/// Blocked wherever anything is.
pub(crate) const BLOCKED: [&str; 2] = ["10.240.0.5", "2001:db8:3000::5"];
/// Trusted wherever there are networks.
pub(crate) const TRUSTED_NETWORKS: [&str; 2] = ["10.113.0.0/24", "2001:db8:2001::/64"];
/// Blocked wherever there are networks.
pub(crate) const BLOCKED_NETWORKS: [&str; 2] = ["10.241.0.0/24", "2001:db8:3001::/64"];

/// Ports of processes of the host.
pub(crate) const HOST_PORTS: [u16; 8] = [7000, 7001, 7002, 7003, 7004, 7005, 7006, 7007];
/// The published port, and the container's own port that it leads to.
pub(crate) const PUBLISHED: (u16, u16) = (8080, 80);
/// The container's own ports, for direct routing.
pub(crate) const DIRECT_PORTS: [u16; 4] = [80, 9000, 9001, 9002];

/// A policy as it is written down.
pub(crate) struct Written {
    /// What sets it apart; its directory is called so.
    pub(crate) name: &'static str,
    /// How often it is chosen, against the others.
    pub(crate) weight: usize,
    /// Its files.
    files: HashMap<PathBuf, String>,
    /// The main one.
    path: String,
    /// Sources that it treats otherwise than most policies.
    pub(crate) peculiar: Vec<IpAddr>,
}

impl Written {
    /// Its main file.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Writes its files.
    pub(crate) fn put_down(&self) -> Result<()> {
        for (path, text) in &self.files {
            fs::create_dir_all(path.parent().context("a file lies in a directory")?)?;
            fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

/// The policies of a seed, below a directory. `most` is how many entries the longest lists have together.
pub(crate) fn written(directory: &Path, dice: &mut Dice, most: usize) -> Vec<Written> {
    let few = [List::random(dice, Region::Trusted, 12), List::random(dice, Region::Blocked, 12)];
    let some = [List::random(dice, Region::Trusted, 1_000), List::random(dice, Region::Blocked, 1_000)];
    let many = [Region::Trusted, Region::Blocked].map(|region| List::random(dice, region, most / 2));
    let (rules, interfaces) = (rules(dice), "exempt = [\"lan*\"]\nfiltered = [\"wan*\", \"eth*\"]");
    let drafts = [
        Draft { name: "closed to all", weight: 40, ..Draft::default() },
        Draft {
            name: "open, hosts blocked",
            weight: 40,
            blocked: hosts(),
            rules: open_to_all(),
            ..Draft::default()
        },
        Draft::new("few networks", 30, &few, &rules),
        Draft::new("few networks, other rules", 30, &few, &self::rules(dice)),
        Draft::new("a thousand", 30, &some, &rules),
        Draft::new(
            "a thousand, few others",
            30,
            &some.clone().map(|list| list.with_few_others(dice)),
            &rules,
        ),
        Draft::new("many rules", 30, &few, &many_rules(dice)),
        Draft::new("many rules, others", 30, &few, &many_rules(dice)),
        Draft { interfaces, ..Draft::new("lan* is exempt", 25, &few, &self::rules(dice)) },
        Draft { interfaces: "filtered = [\"w*\"]", ..Draft::new("w* is filtered", 25, &few, &rules) },
        Draft::new("many", weight_of_many(most), &many, &rules),
        Draft::new(
            "many, few others",
            weight_of_many(most),
            &many.clone().map(|list| list.with_few_others(dice)),
            &rules,
        ),
    ];
    drafts.into_iter().map(|draft| draft.written(directory, dice)).collect()
}

/// As often as others, unless they are so long that applying them would take up most of a run.
fn weight_of_many(most: usize) -> usize {
    (250_000 / most.max(1)).clamp(1, 25)
}

/// What a policy says, before its lists go into files.
#[derive(Default)]
struct Draft {
    name: &'static str,
    weight: usize,
    trusted: List,
    blocked: List,
    rules: Vec<String>,
    interfaces: &'static str,
    has_networks: bool,
}

impl Draft {
    fn new(name: &'static str, weight: usize, [trusted, blocked]: &[List; 2], rules: &[String]) -> Self {
        let (trusted, blocked, rules) = (trusted.clone(), blocked.clone(), rules.to_vec());
        Self { name, weight, trusted, blocked, rules, interfaces: "", has_networks: true }
    }

    fn written(self, directory: &Path, dice: &mut Dice) -> Written {
        let directory = directory.join(self.name.replace(", ", "-").replace([' ', '*'], "-"));
        let path = directory.join("dockfw.toml");
        let length = 1 + dice.roll(40);
        let from = List::random(dice, Region::Others, length);
        let files = HashMap::from([
            (path.clone(), self.text()),
            (directory.join("trusted.txt"), self.trusted.lines()),
            (directory.join("blocked.txt"), self.blocked.lines()),
            (directory.join("some.txt"), from.lines()),
        ]);
        let from_peculiar = if self.has_networks { from.peculiar } else { vec![] };
        let peculiar = [self.trusted.peculiar, self.blocked.peculiar, from_peculiar].concat();
        let path = path.display().to_string();
        Written { name: self.name, weight: self.weight, files, path, peculiar }
    }

    fn text(&self) -> String {
        let networks =
            |networks: [&'static str; 2]| if self.has_networks { networks.to_vec() } else { vec![] };
        let trusted = [TRUSTED.to_vec(), networks(TRUSTED_NETWORKS), vec!["file:trusted.txt"]].concat();
        let blocked = [BLOCKED.to_vec(), networks(BLOCKED_NETWORKS), vec!["file:blocked.txt"]].concat();
        let lists = format!("trusted = [{}]\nblocked = [{}]\n", joined(&trusted), joined(&blocked));
        [lists, self.rules.concat(), format!("[interfaces]\n{}\n", self.interfaces)].concat()
    }
}

/// Single hosts, of which other policies know nothing.
fn hosts() -> List {
    List::of_hosts(&["10.242.0.5", "10.242.0.7", "2001:db8:3002::5", "2001:db8:3002::7"])
}

/// All ports, for everyone.
fn open_to_all() -> Vec<String> {
    vec![
        rule("everything", "", &["7000-7007/tcp", "7000-7007/udp", "8080/tcp", "8080/udp"], ""),
        rule("containers", "", &["80/tcp", "80/udp", "9000-9002/tcp", "9000-9002/udp"], "container"),
    ]
}

/// Rules at random: for everyone, for some, for containers; ranges of ports and lists of them.
fn rules(dice: &mut Dice) -> Vec<String> {
    let first = HOST_PORTS[dice.roll(5)];
    let range = format!("{first}-{}/{}", first + 1 + dice.roll(2) as u16, protocol(dice));
    let mut single = || format!("{}/{}", dice.pick(&HOST_PORTS), dice.pick(&["tcp", "udp"]));
    let (one, other, third) = (single(), single(), single());
    let direct = format!("{}/{}", dice.pick(&DIRECT_PORTS), protocol(dice));
    let published = format!("{}/{}", PUBLISHED.0, protocol(dice));
    let rules = [
        rule("public", "", &[&range, &one], dice.pick(&["", "host"])),
        rule("some", "\"file:some.txt\"", &[&other, &published, "7006-7007/udp", "7006-7007/tcp"], ""),
        rule("inside", "\"containers\"", &[&third, "7000/udp"], "host"),
        rule("web", "", &[&published], "docker"),
        rule("direct", dice.pick(&["", "\"file:some.txt\""]), &[&direct, "9002/udp"], "container"),
    ];
    rules.into_iter().filter(|_| !dice.one_in(3)).collect()
}

/// So many rules that verdict maps lead to them: for ranges that overlap, open to all and to some.
fn many_rules(dice: &mut Dice) -> Vec<String> {
    let mut ports = |protocol| {
        let first = HOST_PORTS[dice.roll(HOST_PORTS.len())];
        format!("{first}-{}/{protocol}", first + dice.roll(3) as u16)
    };
    let number = |number: usize| {
        let from = if number.is_multiple_of(3) { "" } else { "\"file:some.txt\"" };
        rule(&format!("rule {number}"), from, &[&ports("tcp"), &ports("udp")], "")
    };
    (0..8).map(number).collect()
}

fn protocol(dice: &mut Dice) -> &'static str {
    dice.pick(&["tcp", "udp"])
}

fn rule(name: &str, from: &str, ports: &[&str], to: &str) -> String {
    let from = if from.is_empty() { String::new() } else { format!("from = [{from}]\n") };
    let to = if to.is_empty() { String::new() } else { format!("to = \"{to}\"\n") };
    format!("[[allow]]\nname = \"{name}\"\n{from}ports = [{}]\n{to}", joined(ports))
}

/// What a policy means, as the program compiles it for an engine: the compat engine has no prefilter.
pub(crate) fn compiled(written: &Written, engine: Engine) -> Result<Ruleset> {
    let files = FilesInMemory::new(written.files.clone());
    let loaded = load(Path::new(&written.path), &files, Strictness::Strict);
    let mut policy = loaded.map_err(|rejected| anyhow!("{}: {rejected}", written.name))?.policy;
    policy.engine.prefilter &= engine == Engine::Native;
    Ok(compile(&policy))
}

trials![every_policy_may_be_applied, few_entries_differ];

fn every_policy_may_be_applied() {
    for seed in 0..20 {
        for written in written(Path::new("/policies"), &mut Dice::new(seed), 2_000) {
            let ruleset = compiled(&written, Engine::Native).unwrap();
            let of = |name: &str| ruleset.addresses.iter().find(|list| list.name.as_str() == name).unwrap();
            assert!(TRUSTED.iter().all(|one| of("trusted").addresses.contains(one.parse().unwrap())));
            assert!(TRUSTED.iter().all(|one| !of("blocked").addresses.contains(one.parse().unwrap())));
            assert!(BLOCKED.iter().all(|one| of("blocked").addresses.contains(one.parse().unwrap())));
        }
    }
}

fn few_entries_differ() {
    let written = written(Path::new("/policies"), &mut Dice::new(1), 2_000);
    let lines = |policy: &Written| -> HashSet<String> {
        let files = policy.files.iter().filter(|(path, _)| path.ends_with("trusted.txt"));
        files.flat_map(|(_, text)| text.lines().map(str::to_owned)).collect()
    };
    let pair = written
        .iter()
        .filter(|policy| ["many", "many, few others"].contains(&policy.name))
        .map(lines)
        .collect::<Vec<_>>();
    assert_eq!(pair[0].len(), 1_000);
    assert!((1..20).contains(&pair[0].symmetric_difference(&pair[1]).count()));
}
