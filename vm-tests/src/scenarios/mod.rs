//! The scenarios, in the order in which a row goes through them: each finds the machine as the one before leaves it, with
//! the policy of [`POLICY`](crate::fixture::POLICY) in force from the installation on.

mod boots;
mod engines;
mod packages;
mod programs;
mod restarts;

use anyhow::Result;

use crate::fixture::{RowFixture, Verdict};
use crate::must_be_among;

/// A scenario.
pub(crate) struct Scenario {
    /// Its name, which heads its column.
    pub(crate) name: &'static str,
    /// The statements of `docs/security.md` that it proves, if it does.
    pub(crate) statements: &'static str,
    /// What it does.
    pub(crate) about: &'static str,
    /// Whether it is in the short run.
    pub(crate) short: bool,
    /// The scenario itself.
    pub(crate) run: fn(&mut RowFixture) -> Result<Verdict>,
}

/// All of them.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "system",
        statements: "",
        about: "the system is what its row says",
        short: true,
        run: packages::system,
    },
    Scenario {
        name: "install",
        statements: "S1 S2 S3 S6",
        about: "the package installs as a user would do it and filters nothing by that; auto chooses the row's engine; \
                an outsider who reached everything reaches what is open, and a trusted client reaches all",
        short: true,
        run: packages::install,
    },
    Scenario {
        name: "boot",
        statements: "S12",
        about: "no knock is answered from power-on until Docker has brought back its containers",
        short: true,
        run: boots::cold,
    },
    Scenario {
        name: "reboot",
        statements: "S12",
        about: "the same through a reboot, from before the shutdown on",
        short: false,
        run: boots::again,
    },
    Scenario {
        name: "engines",
        statements: "S1 S13",
        about: "a move to the other engine by --backend and back, under knocking; where the system can't have one, dockfw says why, and \
                what is in force stays; without legacy tables, the same of the compat engine on iptables-legacy",
        short: false,
        run: engines::by_name,
    },
    Scenario {
        name: "docker",
        statements: "S2 S3 S11",
        about: "the same through a restart of Docker, which no question starts once it is stopped",
        short: false,
        run: restarts::docker,
    },
    Scenario {
        name: "firewalld",
        statements: "S1 S2",
        about: "the same through a start and a restart of firewalld; where it flushes the engine's rules, the gap until dockfw \
                is back is measured",
        short: false,
        run: restarts::firewalld,
    },
    Scenario {
        name: "iptables",
        statements: "S1 S2",
        about: "the same through restarts of netfilter-persistent (iptables.service on Red Hat's systems), which loads iptables' rules; where that flushes the engine's, \
                the gap is measured",
        short: false,
        run: restarts::iptables,
    },
    Scenario {
        name: "nftables",
        statements: "S1 S2",
        about: "a restart of nftables.service flushes all rules of the host; the gap until dockfw is back is measured",
        short: false,
        run: restarts::nftables,
    },
    Scenario {
        name: "upgrade",
        statements: "S13",
        about: "no knock is answered through an upgrade of the package",
        short: false,
        run: packages::upgrade,
    },
    Scenario {
        name: "broken-policy",
        statements: "S12",
        about: "a boot with a policy file that can't be read: the policy that was confirmed last is in force and the unit fails; \
                where there is none, the fail-safe with SSH alone",
        short: false,
        run: boots::broken_policy,
    },
    Scenario {
        name: "packets",
        statements: "S1-S11 S13 S15 S16",
        about: "the packet tests of the workspace, with the system's kernel, Docker and iptables, and the engine that auto chooses",
        short: true,
        run: programs::packets,
    },
    Scenario {
        name: "swarm",
        statements: "S2 S6 S9 S11 S13",
        about: "the tests of a Swarm of two nodes in namespaces, with the system's kernel and Docker, and the engine that auto \
                chooses: the mesh, mode=host, and networks between the nodes",
        short: false,
        run: programs::swarm,
    },
    Scenario {
        name: "remove",
        statements: "S16",
        about: "after a removal of the package, rules are as they were before, and an outsider reaches everything again",
        short: false,
        run: packages::remove,
    },
];

/// The others find what these leave.
const FIRST: [&str; 2] = ["system", "install"];

/// The named scenarios, after the first ones that each row needs; or without names all, or those of the short run.
pub(crate) fn chosen(names: &[String], short: bool) -> Result<Vec<&'static Scenario>> {
    must_be_among("scenario", names, SCENARIOS.iter().map(|scenario| scenario.name))?;
    let is_named = |name: &str| names.iter().any(|wanted| wanted == name) || FIRST.contains(&name);
    let is_wanted = |scenario: &&Scenario| match names {
        [] => scenario.short || !short,
        _ => is_named(scenario.name),
    };
    Ok(SCENARIOS.iter().filter(is_wanted).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(wanted: &[&str], short: bool) -> Vec<&'static str> {
        let wanted: Vec<_> = wanted.iter().map(|name| (*name).to_owned()).collect();
        chosen(&wanted, short).unwrap().into_iter().map(|scenario| scenario.name).collect()
    }

    #[test]
    fn without_names_all_run_or_the_short_ones() {
        assert_eq!(names(&[], false).len(), SCENARIOS.len());
        assert_eq!(names(&[], true), ["system", "install", "boot", "packets"]);
    }

    #[test]
    fn named_ones_run_after_what_they_need() {
        assert_eq!(names(&["swarm"], false), ["system", "install", "swarm"]);
        assert!(chosen(&["sworm".to_owned()], false).is_err());
    }
}
