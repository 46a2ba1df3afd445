//! Rules of Dockers that no release of Debian brings yet. A dockerd that makes no rules runs with these in their place: they are made of
//! what it says of its networks and containers, and laid anew whenever it has changed those.

mod iptables;
mod nftables;

use std::net::IpAddr;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::network::Network;
use crate::port::Port;

pub(crate) use iptables::script;
pub(crate) use nftables::ruleset;

/// Whose rules stand in place of Docker's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Those of Docker 29's nftables backend.
    Nftables,
    /// Those of Docker 29's iptables backend.
    Iptables29,
}

/// A bridge of Docker's, as one family has it.
struct Bridge {
    name: String,
    subnet: String,
    mode: Mode,
    endpoints: Vec<Endpoint>,
}

/// How a network is reached from outside (moby, `com.docker.network.bridge.gateway_mode_ipv4` and `_ipv6`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Nat,
    NatUnprotected,
    Routed,
    /// `isolated`, or a network that is internal.
    Internal,
}

/// A container on a bridge.
struct Endpoint {
    address: IpAddr,
    published: Vec<Published>,
}

/// A port that Docker publishes. Where it is routed, no number of the host's leads there.
struct Published {
    address: IpAddr,
    number: Option<u16>,
    own: Port,
}

impl Bridge {
    /// All endpoints of some bridges with a network's mode in which ports have numbers of the host's.
    fn translated(bridges: &[Self]) -> impl Iterator<Item = (&Self, &Endpoint)> {
        let own = bridges.iter().filter(|bridge| matches!(bridge.mode, Mode::Nat | Mode::NatUnprotected));
        own.flat_map(|bridge| bridge.endpoints.iter().map(move |endpoint| (bridge, endpoint)))
    }
}

/// The bridges of one family. `networks` and `containers` are what `docker inspect` says of them.
fn bridges(networks: &[Value], containers: &[Value], is_v4: bool) -> Result<Vec<Bridge>> {
    networks.iter().filter_map(|network| bridge(network, containers, is_v4).transpose()).collect()
}

/// A network as one family has it, if it does.
fn bridge(network: &Value, containers: &[Value], is_v4: bool) -> Result<Option<Bridge>> {
    let Network { bridge: name, subnet_v4, subnet_v6, .. } = Network::of(network);
    let subnet = if is_v4 { Some(subnet_v4).filter(|subnet| !subnet.is_empty()) } else { subnet_v6 };
    let Some(subnet) = subnet else { return Ok(None) };
    let field = if is_v4 { "IPv4Address" } else { "IPv6Address" };
    let mut endpoints = Vec::new();
    for (id, endpoint) in network["Containers"].as_object().into_iter().flatten() {
        let address = endpoint[field].as_str().unwrap_or_default();
        let Some((address, _)) = address.split_once('/') else { continue };
        let container = containers.iter().find(|container| container["Id"] == id.as_str());
        let published = container.map_or(Ok(Vec::new()), |container| published(container, is_v4))?;
        endpoints.push(Endpoint { address: address.parse()?, published });
    }
    Ok(Some(Bridge { name, subnet, mode: mode(network, is_v4), endpoints }))
}

fn mode(network: &Value, is_v4: bool) -> Mode {
    let option = format!("com.docker.network.bridge.gateway_mode_ipv{}", if is_v4 { 4 } else { 6 });
    match network["Options"].get(option).and_then(Value::as_str) {
        _ if network["Internal"] == true => Mode::Internal,
        Some("isolated") => Mode::Internal,
        Some("routed") => Mode::Routed,
        Some("nat-unprotected") => Mode::NatUnprotected,
        _ => Mode::Nat,
    }
}

/// What a container publishes at addresses of one family.
fn published(container: &Value, is_v4: bool) -> Result<Vec<Published>> {
    let mut found = Vec::new();
    for (own, bindings) in
        container.pointer("/NetworkSettings/Ports").and_then(Value::as_object).into_iter().flatten()
    {
        for binding in bindings.as_array().into_iter().flatten() {
            let text = |key: &str| binding[key].as_str().with_context(|| format!("no {key} in {binding}"));
            let address: IpAddr = text("HostIp")?.parse()?;
            if address.is_ipv4() == is_v4 {
                let number = text("HostPort")?.parse().ok().filter(|number| *number != 0);
                found.push(Published { address, number, own: own.parse()? });
            }
        }
    }
    Ok(found)
}
