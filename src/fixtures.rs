//! Policies read from strings, and hosts that are only described. Only for tests of pure code: `main.rs` has this module
//! in them alone.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::net::IpAddr;
use std::path::Path;

use dockfw_policy::address::AddressRange;
use dockfw_policy::policy::Policy;
use dockfw_policy::{FilesInMemory, Strictness, load};

use crate::host::docker::{Driver, Network};
use crate::host::links::Link;

pub(crate) fn policy(text: &str) -> Policy {
    let files = FilesInMemory::new([("dockfw.toml", text)]);
    let loaded = load(Path::new("dockfw.toml"), &files, Strictness::Strict);
    loaded.unwrap_or_else(|rejected| panic!("{rejected}")).policy
}

/// Returns an interface that is up, with its index before its name: `link(3, "eth0", "")` is hardware.
pub(crate) fn link(index: u32, name: &str, kind: &str) -> Link {
    let kind = (!kind.is_empty()).then(|| kind.to_owned());
    Link {
        index,
        name: name.to_owned(),
        kind,
        controller: None,
        is_up: true,
        addresses: Vec::new(),
        networks: Vec::new(),
        has_default_route: false,
    }
}

/// Returns the same as a port of a bridge.
pub(crate) fn port(index: u32, name: &str, kind: &str, bridge: u32) -> Link {
    Link { controller: Some(bridge), ..link(index, name, kind) }
}

pub(crate) fn with_networks(link: Link, networks: &[&str]) -> Link {
    let networks: Vec<_> = networks.iter().map(|network| network.parse::<AddressRange>().unwrap()).collect();
    // The first address of each network is the host's.
    let addresses = networks.iter().map(|network| first_host(*network)).collect();
    Link { addresses, networks, ..link }
}

fn first_host(network: AddressRange) -> IpAddr {
    match network {
        AddressRange::V4(network) => (u32::from(network.first()) + 1).to_be_bytes().into(),
        AddressRange::V6(network) => (u128::from(network.first()) + 1).to_be_bytes().into(),
    }
}

/// Returns what every Docker host has: `lo`, a network card, and Docker's bridges with containers on them.
pub(crate) fn docker_host() -> Vec<Link> {
    vec![
        link(1, "lo", ""),
        with_networks(link(2, "eth0", ""), &["192.0.2.0/24", "2001:db8:1::/64"]),
        with_networks(link(3, "docker0", "bridge"), &["172.17.0.0/16", "fd00:d0c::/64"]),
        with_networks(link(4, "br-4f5e6d7c8b9a", "bridge"), &["172.18.0.0/16"]),
        port(5, "veth1a2b3c4", "veth", 3),
        port(6, "veth5d6e7f8", "veth", 4),
        link(7, "docker_gwbridge", "bridge"),
    ]
}

/// Returns a network of Docker's on a bridge.
pub(crate) fn network(name: &str, bridge: &str) -> Network {
    Network {
        name: name.into(),
        driver: Driver::Bridge(bridge.into()),
        is_internal: false,
        subnets: vec![],
        gateway_modes: [None, None],
        trusted_interfaces: vec![],
    }
}
