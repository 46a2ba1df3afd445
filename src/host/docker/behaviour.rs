//! What Docker does to packets, by its version and its backend: one table, each row with its source. If its live rules
//! can be read, those are reported; otherwise this is, and never as certain. What is in force does not depend on it.

use super::Network;
use dockfw_policy::address::Family;

/// What Docker filters with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    /// Chains of iptables.
    Iptables,
    /// Tables of its own in nf_tables.
    Nftables,
}

/// Which containers docker-proxy answers when they dial a published port by an address of the host. They are then
/// subject to the rules for processes of the host. The others are translated, as packets from outside are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proxied {
    /// Containers of all networks.
    All,
    /// Containers of the port's own network.
    OwnNetwork,
}

/// How Docker behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Behaviour {
    /// The first version that behaves like this: major and minor number.
    since: [u32; 2],
    /// With this backend.
    backend: Backend,
    /// Which containers docker-proxy answers.
    pub(crate) proxied: Proxied,
    /// Whether containers' own addresses are closed to the outside, unless their network is set otherwise.
    pub(crate) closes_containers: bool,
    /// Whether a container reaches published ports of other networks by the container's own address only if the outside
    /// does; otherwise not at all.
    pub(crate) keeps_networks_apart: bool,
}

/// The rows, the newest first of each backend.
const TABLE: [Behaviour; 4] = [
    // moby#49981: no `-i BRIDGE -j RETURN` in chain DOCKER of table nat, and no DOCKER-ISOLATION-STAGE chains.
    Behaviour {
        since: [29, 0],
        backend: Backend::Iptables,
        proxied: Proxied::OwnNetwork,
        closes_containers: true,
        keeps_networks_apart: false,
    },
    // moby, daemon/libnetwork/drivers/bridge/internal/nftabler: the first backend of its kind.
    Behaviour {
        since: [29, 0],
        backend: Backend::Nftables,
        proxied: Proxied::OwnNetwork,
        closes_containers: true,
        keeps_networks_apart: false,
    },
    // moby#48724, moby#49325: drops of what is sent straight to a container.
    Behaviour {
        since: [28, 0],
        backend: Backend::Iptables,
        proxied: Proxied::All,
        closes_containers: true,
        keeps_networks_apart: true,
    },
    Behaviour {
        since: [0, 0],
        backend: Backend::Iptables,
        proxied: Proxied::All,
        closes_containers: false,
        keeps_networks_apart: true,
    },
];

impl Behaviour {
    /// Returns the behaviour of a version; nothing for one that does not report its number.
    pub(crate) fn of(version: &[u32], backend: Backend) -> Option<Self> {
        let [major, minor, ..] = version else { return None };
        let is_it = |row: &&Self| row.backend == backend && row.since <= [*major, *minor];
        TABLE.iter().find(is_it).copied()
    }

    /// Returns why packets sent directly to a container of a network are dropped, from outside or from another network, as
    /// far as that is Docker's doing. `is_published`: whether the container is known to publish the port.
    pub(crate) fn why_closed(
        self,
        network: &Network,
        family: Family,
        from_a_network: bool,
        is_published: bool,
    ) -> Option<&'static str> {
        if network.is_internal {
            return Some("the network is internal: nothing comes in from elsewhere");
        }
        if from_a_network && self.keeps_networks_apart {
            return Some("this Docker keeps its networks apart from one another");
        }
        match network.gateway_mode(family).unwrap_or(NAT) {
            // moby#47871, moby#48594.
            ROUTED if is_published => None,
            NAT_UNPROTECTED => None,
            // Docker lists no port of the host for what such a network publishes, and shows it in no other way in its list.
            ROUTED if self.closes_containers => Some(
                "this Docker drops what is sent straight to a container's address, but for published ports, and does not list those of \
                 routed networks",
            ),
            _ if self.closes_containers => {
                Some("this Docker drops what is sent straight to a container's address")
            }
            _ => None,
        }
    }
}

/// Gateway modes (moby, daemon/libnetwork/drivers/bridge): how a network is reached from outside.
const NAT: &str = "nat";
const NAT_UNPROTECTED: &str = "nat-unprotected";
const ROUTED: &str = "routed";

#[cfg(test)]
mod tests {
    use super::super::Driver;
    use super::*;

    fn of(version: &[u32], backend: Backend) -> Behaviour {
        Behaviour::of(version, backend).unwrap()
    }

    #[test]
    fn docker_29_leaves_to_its_proxy_the_ports_own_network_alone() {
        let proxied = |version: &[u32]| of(version, Backend::Iptables).proxied;
        assert_eq!([proxied(&[20, 10, 24]), proxied(&[28, 5, 2])], [Proxied::All; 2]);
        assert_eq!([proxied(&[29, 0, 0]), proxied(&[30, 1])], [Proxied::OwnNetwork; 2]);
        assert_eq!(of(&[29, 7, 2], Backend::Nftables).proxied, Proxied::OwnNetwork);
    }

    #[test]
    fn a_docker_that_does_not_say_its_version_is_not_known() {
        assert_eq!(
            [Behaviour::of(&[], Backend::Iptables), Behaviour::of(&[29], Backend::Iptables)],
            [None; 2]
        );
        assert_eq!(Behaviour::of(&[28, 5], Backend::Nftables), None, "it has no such backend");
    }

    #[test]
    fn who_reaches_a_container_depends_on_version_and_mode() {
        let network = |mode: Option<&str>, is_internal| Network {
            name: "app".into(),
            driver: Driver::Bridge("br-1".into()),
            is_internal,
            subnets: vec![],
            gateway_modes: [mode.map(str::to_owned), None],
            trusted_interfaces: vec![],
        };
        let is_open = |version: &[u32], mode, from_a_network, is_published| {
            let behaviour = of(version, Backend::Iptables);
            behaviour.why_closed(&network(mode, false), Family::Ipv4, from_a_network, is_published).is_none()
        };
        assert!(is_open(&[20, 10], None, false, false) && !is_open(&[20, 10], None, true, true));
        assert!(!is_open(&[28, 5], None, false, true) && !is_open(&[28, 5], Some("routed"), true, true));
        assert!(
            is_open(&[29, 0], Some("routed"), true, true) && !is_open(&[29, 0], Some("routed"), true, false)
        );
        assert!(
            is_open(&[29, 0], Some("nat-unprotected"), true, false)
                && !is_open(&[29, 0], Some("nat"), true, true)
        );
        let routed = network(Some("routed"), false);
        let why = of(&[29, 0], Backend::Iptables).why_closed(&routed, Family::Ipv4, false, false).unwrap();
        assert!(why.contains("but for published ports"), "{why}");
        let internal = of(&[29, 0], Backend::Nftables);
        assert!(internal.why_closed(&network(Some("routed"), true), Family::Ipv4, false, true).is_some());
    }
}
