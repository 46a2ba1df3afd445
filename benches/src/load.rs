//! How fast policies are loaded, beside `nft -f` and `ipset restore` of the same entries.

use std::ffi::OsString;
use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};

use crate::cost::{Cost, Step, apart};
use crate::effort::{Effort, in_turn};
use crate::files::Files;
use crate::firewall::Programs;
use crate::grid::Grid;
use crate::policy::{Shape, Size, Spread, entries, entries_v6, ipset};
use crate::say;
use crate::statistics::count;

pub(crate) const NFT: &str = "nft -f";
pub(crate) const IPSET: &str = "ipset restore";
pub(crate) const WALL: &str = "Loading: time";
pub(crate) const MEMORY: &str = "Loading: memory";

/// The headings and units of the parts of a cost.
const TITLES: [(&str, &str); 4] = [
    (WALL, "Milliseconds"),
    ("Loading: time in the program", "Milliseconds"),
    ("Loading: time in the kernel", "Milliseconds"),
    (MEMORY, "MiB at most"),
];

/// What is loaded, and by how many entries its weight is told.
struct Case {
    row: String,
    weight: u32,
    policy: String,
    entries: Vec<String>,
    /// For ipset, which has one list and no rules.
    family: Option<&'static str>,
}

/// With what loading is measured.
pub(crate) struct Loads<'a> {
    pub(crate) programs: &'a Programs,
    pub(crate) effort: Effort,
    /// Where files may lie.
    pub(crate) directory: &'a Path,
    /// Where programs find ipset and iptables.
    pub(crate) path: OsString,
}

impl Loads<'_> {
    /// All cases, one contender after the other.
    pub(crate) fn load(&self) -> Result<Vec<Grid>> {
        let mut grids = TITLES.map(|(title, unit)| Grid::new(title, unit, &[NFT, IPSET]));
        for case in self.cases() {
            say(&case.row);
            let contenders = self.contenders(&case)?;
            for round in 0..self.effort.loads(case.weight) {
                for (column, command) in in_turn(&contenders, round) {
                    self.take(&mut grids, &case.row, column, command);
                }
            }
        }
        Ok(grids.into())
    }

    /// A contender that fails, as one does whose set is too large, has no figure; the others go on.
    fn take(&self, grids: &mut [Grid], row: &str, column: &str, command: &[String]) {
        match self.cost(command) {
            Ok(cost) => {
                grids.iter_mut().zip(cost.parts()).for_each(|(grid, part)| grid.add(row, column, part))
            }
            Err(error) => say(&format!("{row}, {column}: failed: {error:#}")),
        }
    }

    fn cost(&self, command: &[String]) -> Result<Cost> {
        let steps = [Step { command: command.to_vec(), is_measured: true }];
        apart(&self.path, &steps)?.first().copied().context("no cost")
    }

    /// One after the other: all lists together would take a machine's memory.
    fn cases(&self) -> impl Iterator<Item = Case> {
        let Effort { group: hosts, entries, .. } = self.effort;
        let lists = entries.iter().flat_map(|length| lists(*length));
        let groups = [1, 20].into_iter().map(move |rules| group(hosts, rules));
        let rules = self.effort.most_rules();
        lists.chain(groups).chain(std::iter::once_with(move || many_rules(rules)))
    }

    fn contenders(&self, case: &Case) -> Result<Vec<(String, Vec<String>)>> {
        let files = Files::write(self.directory.join("load"), &case.policy, &[("trusted", &case.entries)])?;
        let mut contenders = vec![(NFT.to_owned(), files.nft(&self.programs.dockfw)?)];
        if let Some(family) = case.family {
            contenders
                .push((IPSET.to_owned(), files.ipset("ipset", &ipset("trusted", &case.entries, family))?));
        }
        let engines = self.programs.engines().into_iter();
        contenders.extend(engines.map(|dockfw| (dockfw.name.clone(), files.apply(&dockfw))));
        Ok(contenders)
    }
}

/// A tenth of the longest list: of this length, networks are enough to see how time grows.
pub(crate) const GROWTH: u32 = 100_000;

/// Lists of so many entries, all of them trusted.
fn lists(length: u32) -> Vec<Case> {
    let case = |shape: &str, entries, family| Case {
        row: list_row(length, shape),
        weight: length,
        policy: "trusted = [\"file:trusted\"]\n".to_owned(),
        entries,
        family: Some(family),
    };
    let networks = case(NETWORKS, entries(length, Shape::Networks), "inet");
    if length == GROWTH {
        return vec![networks];
    }
    vec![
        networks,
        case("hosts", entries(length, Shape::Hosts), "inet"),
        case("hosts and networks", entries(length, Shape::Mixed), "inet"),
        case("IPv6 networks", entries_v6(length, Shape::Networks), "inet6"),
    ]
}

/// The name of the row of a policy with so many rules, each for a port of its own.
pub(crate) fn rules_row(rules: u32) -> String {
    format!("{} rules", count(rules))
}

pub(crate) const NETWORKS: &str = "networks";

/// The name of the row of a list.
pub(crate) fn list_row(length: u32, shape: &str) -> String {
    format!("{} {shape}", count(length))
}

/// Rules, each for a port of its own.
fn many_rules(rules: u32) -> Case {
    let size = Size { trusted: 1000, rules, spread: Spread::Ports };
    let (policy, entries) = (size.policy(), size.trusted());
    Case { row: rules_row(rules), weight: rules, policy, entries, family: None }
}

/// A group of so many hosts, and rules that name it.
fn group(hosts: u32, rules: u32) -> Case {
    let mut policy = "[groups]\nmany = [\"file:trusted\"]\n".to_owned();
    for rule in 0..rules {
        // Writing to a string can't fail.
        let _ = write!(
            policy,
            "\n[[allow]]\nname = \"rule-{rule}\"\nfrom = [\"many\"]\nports = [\"{}/tcp\"]\n",
            10_000 + rule
        );
    }
    let entries = entries(hosts, Shape::Hosts);
    Case { row: group_row(hosts, rules), weight: hosts, policy, entries, family: None }
}

/// The name of the row of a group.
pub(crate) fn group_row(hosts: u32, rules: u32) -> String {
    format!("a group of {} hosts, named by {rules} rules", count(hosts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_names_the_group() {
        let case = group(10, 20);
        assert_eq!(case.policy.matches("from = [\"many\"]").count(), 20);
        assert_eq!((case.entries.len(), case.row.as_str()), (10, "a group of 10 hosts, named by 20 rules"));
    }
}
