//! What else on this host an operator should know of, and what to do about it.

use std::collections::{BTreeMap, BTreeSet};

use dockfw_policy::policy::Policy;
use dockfw_policy::ruleset::Hook;

use super::fits;
use crate::exposure::{Facts, beside_the_host};
use crate::host::docker::Driver;
use crate::host::netfilter::{Dropping, Others};

/// What is known of the host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host<'a> {
    /// What it is and runs.
    pub(crate) facts: &'a Facts,
    /// What others have in netfilter.
    pub(crate) others: &'a Others,
    /// Whether Docker filters with nftables itself.
    pub(crate) docker_uses_nftables: bool,
    /// The variants of iptables that have chains of Docker's.
    pub(crate) docker_chains: &'a [&'static str],
    /// How interfaces check sources (`rp_filter`), by their names.
    pub(crate) reverse_path: &'a BTreeMap<String, u8>,
}

/// All of it, in words.
pub(crate) fn notes(policy: &Policy, host: Host<'_>) -> Vec<String> {
    let beside = beside_the_host(host.facts).map(|one| format!("{}: {}", one.what, one.why));
    uncovered_bridges(policy, host.facts)
        .chain(beside)
        .chain(on_the_hosts_network(host.facts))
        .chain(host.others.dropping.iter().filter_map(|chain| closed_by_others(chain, host)))
        .chain(split_brain(host.docker_chains))
        .chain(untracked(host.others))
        .chain(unchecked_sources(policy, host))
        .collect()
}

/// Networks whose bridge the policy does not take for Docker's.
fn uncovered_bridges(policy: &Policy, facts: &Facts) -> impl Iterator<Item = String> {
    facts.networks.iter().filter_map(|network| match &network.driver {
        Driver::Bridge(name) if !fits(&policy.interfaces.docker, name) => Some(format!(
            "the network {} is on the bridge {name}, which nothing in [interfaces] docker fits: its containers are \
             filtered like strangers, and nobody reaches their published ports; add \"{name}\" there",
            network.name
        )),
        _ => None,
    })
}

/// Containers on the host's network are processes of the host.
fn on_the_hosts_network(facts: &Facts) -> impl Iterator<Item = String> {
    let own = facts.containers.iter().filter(|container| container.on_host_network);
    own.filter_map(|container| {
        let held = facts.listeners.iter().filter(|listener| {
            let holder = listener.holder.as_ref().and_then(|holder| holder.container.as_deref());
            holder == Some(container.id.as_str()) && !listener.address.is_loopback()
        });
        let ports: BTreeSet<_> = held.map(|listener| (listener.port, listener.transport.name())).collect();
        let ports: Vec<_> = ports.iter().map(|(port, transport)| format!("{port}/{transport}")).collect();
        (!ports.is_empty()).then(|| {
            format!(
                "container {} is on the host's network and listens on {}: rules open that as a process of the host, \
                 not as a published port",
                container.name,
                ports.join(", ")
            )
        })
    })
}

/// Whoever drops by default closes what the policy opens.
fn closed_by_others(chain: &Dropping, host: Host<'_>) -> Option<String> {
    let Dropping { hook, chain: name, table, of_iptables } = chain;
    let what = format!("chain {name} of {table} drops by default");
    match (hook, of_iptables.is_some(), host.docker_uses_nftables) {
        // Docker's own doing, whose rules accept what it publishes.
        (Hook::Forward, true, false) => None,
        (Hook::Forward, true, true) => Some(format!(
            "{what}, and Docker, which uses nftables now, has no rules there any more that accept what it publishes: \
             set the policy to ACCEPT"
        )),
        (Hook::Forward, false, _) => Some(format!(
            "{what}: published ports stay closed that it does not accept, for trusted sources too; accept them there"
        )),
        (Hook::Prerouting | Hook::Input, ..) => Some(format!(
            "{what}: what it does not accept stays closed, for trusted sources too; accept it there as well"
        )),
    }
}

/// Docker looks after one variant; what it left in the other one still judges packets.
fn split_brain(variants: &[&str]) -> Option<String> {
    let [_, .., other] = variants else { return None };
    Some(format!(
        "Docker's chains are in iptables-{}: it looks after one of them alone, and packets meet both; restart the host, \
         or take out those that iptables-{other}-save shows if they are the stale ones",
        variants.join(" and iptables-")
    ))
}

/// Packets that are not tracked are never part of a known connection, nor of a translated one.
fn untracked(others: &Others) -> Option<String> {
    let tables: Vec<_> = others.untracking.iter().map(String::as_str).collect();
    (!tables.is_empty()).then(|| {
        format!(
            "{} takes packets out of connection tracking (notrack): answers to what this host asks are dropped there, and \
             rules open nothing, for both need it; trust the sources, or let those packets be tracked",
            tables.join(", ")
        )
    })
}

/// Interfaces of the outside by which any source address is believed.
fn unchecked_sources(policy: &Policy, host: Host<'_>) -> Option<String> {
    let interfaces = &policy.interfaces;
    let outside = host.facts.links.iter().filter(|link| {
        let is_of_others = fits(&interfaces.docker, &link.name) || fits(&interfaces.exempt, &link.name);
        link.is_up && link.name != "lo" && link.controller.is_none() && !is_of_others
    });
    let unchecked = outside.filter(|link| host.reverse_path.get(&link.name) == Some(&0));
    let names: Vec<_> = unchecked.map(|link| link.name.as_str()).collect();
    let first = names.first()?;
    Some(format!(
        "rp_filter is off for {}: forged source addresses, trusted ones among them, are taken for what they say; set \
         net.ipv4.conf.{first}.rp_filter to 1 (2 believes every source that there is any way to)",
        names.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{docker_host, link, policy};
    use super::*;
    use crate::host::docker::{Container, Network};
    use crate::host::listeners::Listener;
    use crate::host::processes::Holder;
    use dockfw_policy::address::Family;
    use dockfw_policy::service::Transport;

    /// What is said of a host with these facts.
    fn said(facts: &Facts, others: &Others, nftables: bool, off: &[&str]) -> Vec<String> {
        let reverse_path = facts.links.iter().map(|link| {
            let value = if off.contains(&link.name.as_str()) { 0 } else { 2 };
            (link.name.clone(), value)
        });
        let reverse_path = reverse_path.collect();
        let host = Host {
            facts,
            others,
            docker_uses_nftables: nftables,
            docker_chains: &[],
            reverse_path: &reverse_path,
        };
        notes(&policy("trusted = [\"192.0.2.10\"]\n[interfaces]\nexempt = [\"wg*\"]"), host)
    }

    fn usual() -> Facts {
        Facts { links: docker_host(), ..Facts::default() }
    }

    fn network(name: &str, driver: Driver) -> Network {
        Network {
            name: name.into(),
            driver,
            is_internal: false,
            subnets: vec![],
            gateway_modes: [None, None],
            trusted_interfaces: vec![],
        }
    }

    fn dropping(hook: Hook, is_of_iptables: bool) -> Others {
        let of_iptables = is_of_iptables.then_some(Family::Ipv4);
        let chain = Dropping { hook, chain: "c".into(), table: "table t".into(), of_iptables };
        Others { dropping: [chain].into(), ..Others::default() }
    }

    #[test]
    fn there_is_nothing_to_say_of_a_plain_docker_host() {
        for nftables in [false, true] {
            assert_eq!(said(&usual(), &Others::default(), nftables, &["lo", "docker0"]), [""; 0]);
        }
    }

    #[test]
    fn a_bridge_that_no_pattern_fits_is_named_with_the_line_to_write() {
        let bridge = |name: &str| Driver::Bridge(name.into());
        let networks = vec![network("bridge", bridge("docker0")), network("shop", bridge("shop0"))];
        let notes = said(&Facts { networks, ..usual() }, &Others::default(), false, &[]);
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(
            notes[0].contains("network shop is on the bridge shop0") && notes[0].contains("add \"shop0\"")
        );
    }

    #[test]
    fn a_container_on_the_hosts_network_is_named_with_its_ports() {
        let container = Container {
            id: "ab".repeat(32),
            name: "exporter".into(),
            on_host_network: true,
            addresses: vec![],
            published: vec![],
        };
        let listener = |address: &str, container: &Container| Listener {
            transport: Transport::Tcp,
            address: address.parse().unwrap(),
            port: 9100,
            takes_ipv4: false,
            interface: None,
            holder: Some(Holder { pid: 1, name: "x".into(), container: Some(container.id.clone()) }),
        };
        let with = |addresses: &[&str]| Facts {
            listeners: addresses.iter().map(|address| listener(address, &container)).collect(),
            containers: vec![container.clone()],
            ..usual()
        };
        let notes = said(&with(&["0.0.0.0", "::"]), &Others::default(), false, &[]);
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].contains("container exporter") && notes[0].contains("listens on 9100/tcp:"));
        assert_eq!(said(&with(&["127.0.0.1"]), &Others::default(), false, &[]), [""; 0]);
    }

    #[test]
    fn who_drops_by_default_is_named_unless_docker_expects_it() {
        let of = |hook, is_of_iptables, nftables| {
            said(&usual(), &dropping(hook, is_of_iptables), nftables, &[]).len()
        };
        assert_eq!([of(Hook::Input, true, false), of(Hook::Input, false, true)], [1, 1]);
        assert_eq!([of(Hook::Forward, true, false), of(Hook::Forward, true, true)], [0, 1]);
        assert_eq!(of(Hook::Forward, false, false), 1);
    }

    #[test]
    fn a_forward_policy_left_over_says_what_to_do() {
        let notes = said(&usual(), &dropping(Hook::Forward, true), true, &[]);
        assert!(
            notes[0].contains("chain c of table t drops by default")
                && notes[0].contains("set the policy to ACCEPT")
        );
    }

    #[test]
    fn chains_of_dockers_in_both_variants_are_named() {
        assert_eq!([split_brain(&[]), split_brain(&["nft"])], [None, None]);
        assert!(split_brain(&["nft", "legacy"]).unwrap().contains("in iptables-nft and iptables-legacy:"));
    }

    #[test]
    fn untracked_packets_are_named_by_their_table() {
        let others = Others { untracking: ["table raw of iptables".into()].into(), ..Others::default() };
        let notes = said(&usual(), &others, false, &[]);
        assert!(notes[0].starts_with("table raw of iptables takes packets out"), "{notes:?}");
    }

    #[test]
    fn interfaces_of_the_outside_that_believe_any_source_are_named() {
        let mut facts = usual();
        facts.links.push(link(8, "wg0", "wireguard"));
        let notes = said(&facts, &Others::default(), false, &["eth0", "docker0", "lo", "wg0", "veth1a2b3c4"]);
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].contains("off for eth0:") && notes[0].contains("net.ipv4.conf.eth0.rp_filter"));
    }
}
