//! The scenarios, in the order in which a row goes through them: each finds the machine as the one before leaves it, with
//! the policy of [`POLICY`](crate::bench::POLICY) in force from the installation on.

mod boots;
mod packages;
mod programs;
mod restarts;

use anyhow::Result;

use crate::bench::{Bench, Verdict};

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
    pub(crate) run: fn(&mut Bench) -> Result<Verdict>,
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
        name: "docker",
        statements: "S2 S3 S11",
        about: "the same through a restart of Docker",
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
        name: "broken policy",
        statements: "S12",
        about: "a boot with a policy file that can't be read: the policy that was confirmed last is in force and the unit fails; \
                where there is none, the fail-safe with SSH alone",
        short: false,
        run: boots::broken_policy,
    },
    Scenario {
        name: "packets",
        statements: "S1-S16",
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
