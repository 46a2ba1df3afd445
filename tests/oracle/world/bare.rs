//! A host with what Docker would have made, made by hand: for kernels and systems that have no Docker.
//!
//! It takes `ip`, and `nft` or iptables-legacy; neither control groups nor a process namespace.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use dockfw_lab::{Netns, Variant, keep_apart, run, run_with_input};

use super::{BETWEEN, Link, Place, UNUSED, World};
use crate::policies::PUBLISHED;
use crate::settings::Engine;

/// Puts this process into mounts of its own; the first thing of all. Why it can't, if it can't.
pub(crate) fn obstacle() -> Option<String> {
    keep_apart().err().map(|error| format!("{error:#}"))
}

/// Raises it.
pub(super) fn with<T>(engine: Engine, program: &Path, work: impl FnOnce(&World) -> Result<T>) -> Result<T> {
    let path = search_path()?;
    let host = Netns::create("host")?;
    host.set_sysctl("net.ipv4.ip_forward", "1")?;
    host.set_sysctl("net.ipv6.conf.all.forwarding", "1")?;
    // Duplicate address detection would keep addresses unusable for a second or two.
    host.set_sysctl("net.ipv6.conf.all.accept_dad", "0")?;
    host.set_sysctl("net.ipv6.conf.default.accept_dad", "0")?;
    let links = [
        link(&host, "wan0", ["10.99.2.1", "2001:db8:2::1"], ["10.99.2.20", "2001:db8:2::20"])?,
        link(&host, "lan0", ["10.99.3.1", "2001:db8:3::1"], ["10.99.3.20", "2001:db8:3::20"])?,
        bridge(&host)?,
    ];
    publish(&host, &path, engine, links[2].far.addresses)?;
    let world = World { host, links, program: program.to_owned(), path };
    world.prepare()?;
    work(&world)
}

/// Where dockfw finds an `iptables`: the one over xtables, where there are several.
fn search_path() -> Result<OsString> {
    Variant::Legacy.search_path().or_else(|_| Variant::Native.search_path())
}

fn link(host: &Netns, interface: &str, own: [&str; 2], far: [&str; 2]) -> Result<Link> {
    let far = place(host, &format!("beyond-{interface}"), interface, far)?;
    address(host, interface, own)?;
    Ok(Link { interface: interface.to_owned(), is_bridge: false, host: parsed(own)?, far })
}

/// `docker0`, with a container on it.
fn bridge(host: &Netns) -> Result<Link> {
    let own = ["172.17.0.1", "fd00:d0c::1"];
    let container = ["172.17.0.2", "fd00:d0c::2"];
    // With an address of its own, or it would be that of its port, and another one without.
    host.ip(&["link add docker0 address 02:42:ac:11:00:01 type bridge"])?;
    let far = place(host, "container", "veth0", container)?;
    host.ip(&["link set veth0 master docker0"])?;
    address(host, "docker0", own)?;
    for router in own {
        far.netns.ip(&[&format!("route add default via {router}")])?;
    }
    Ok(Link { interface: "docker0".to_owned(), is_bridge: true, host: parsed(own)?, far })
}

/// A namespace whose `eth0` is the other end of an interface of the host.
fn place(host: &Netns, name: &str, interface: &str, addresses: [&str; 2]) -> Result<Place> {
    let netns = Netns::create(name)?;
    netns.set_sysctl("net.ipv6.conf.default.accept_dad", "0")?;
    let peer = host.path().display();
    netns.ip(&[&format!("link add eth0 type veth peer name {interface} netns {peer}")])?;
    address(&netns, "eth0", addresses)?;
    host.ip(&[&format!("link set {interface} up")])?;
    Ok(Place { netns, interface: "eth0".to_owned(), addresses: parsed(addresses)? })
}

fn address(netns: &Netns, interface: &str, [v4, v6]: [&str; 2]) -> Result<()> {
    netns.ip(&[
        &format!("address add {v4}/24 dev {interface}"),
        &format!("address add {v6}/64 dev {interface} nodad"),
        &format!("link set {interface} up"),
    ])
}

fn parsed(addresses: [&str; 2]) -> Result<[IpAddr; 2]> {
    let [v4, v6] = addresses;
    Ok([v4.parse()?, v6.parse()?])
}

/// Publishes the container's port, as Docker does: by nftables, or by iptables-legacy where the kernel has no nftables. Not by
/// both: before Linux 4.18 only one of them can translate.
fn publish(host: &Netns, path: &OsString, engine: Engine, to: [IpAddr; 2]) -> Result<()> {
    let by_nft = || publish_by_nft(host, to);
    let by_iptables = || publish_by_iptables(host, path, to);
    match engine {
        Engine::Native => by_nft().or_else(|error| by_iptables().context(error)),
        Engine::Compat => by_iptables().or_else(|error| by_nft().context(error)),
    }
}

fn publish_by_nft(host: &Netns, to: [IpAddr; 2]) -> Result<()> {
    let (port, own) = PUBLISHED;
    let [v4, v6] = to;
    let between = format!("meta l4proto {UNUSED} return\n").repeat(BETWEEN);
    let text: String = [("ip", v4.to_string()), ("ip6", format!("[{v6}]"))]
        .map(|(family, to)| {
            format!(
                "table {family} published {{ chain prerouting {{ type nat hook prerouting priority -100;
                   iifname != \"docker0\" tcp dport {port} dnat to {to}:{own}
                   iifname != \"docker0\" udp dport {port} dnat to {to}:{own}
                 }}
                 chain between {{ type filter hook prerouting priority -90; {between} }}
                 chain postrouting {{ type nat hook postrouting priority 100; }}
                 }}\n"
            )
        })
        .concat();
    host.run(|| run_with_input(Command::new("nft").args(["-f", "-"]), text.as_bytes())).map(drop)
}

fn publish_by_iptables(host: &Netns, path: &OsString, to: [IpAddr; 2]) -> Result<()> {
    let (port, own) = PUBLISHED;
    let [v4, v6] = to;
    for (program, to) in [("iptables", v4.to_string()), ("ip6tables", format!("[{v6}]"))] {
        for protocol in ["tcp", "udp"] {
            let rule = format!(
                "-t nat -A PREROUTING ! -i docker0 -p {protocol} --dport {port} -j DNAT --to-destination {to}:{own}"
            );
            let mut command = Command::new(program);
            command.args(rule.split(' ')).env("PATH", path);
            host.run(|| run(&mut command))?;
        }
    }
    World::lengthen_by_iptables(host, path)
}
