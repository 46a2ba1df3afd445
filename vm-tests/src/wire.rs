//! The virtual network of a machine: its cable, and two clients on the same segment, whom it trusts and whom it does not.
//!
//! ```text
//!   trusted .10     untrusted .20        192.0.2.0/24, 2001:db8:1::/64
//!        |               |
//!   -----+--- switch ----+-----
//!               |
//!        eth0 .1 of the machine (a tap interface of the switch)
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Result;
use dockfw_lab::Netns;

/// The machine's addresses; its `guest/setup` has them too.
pub(crate) const HOST: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1))];
/// The trusted client's.
pub(crate) const TRUSTED: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x10))];
/// The untrusted client's.
pub(crate) const UNTRUSTED: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 20)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x20))];
/// The machine's hardware address.
pub(crate) const HARDWARE_ADDRESS: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
/// The clients' interface, and what the machine's cable is called.
pub(crate) const INTERFACE: &str = "eth0";
pub(crate) const TAP: &str = "machine";

/// The namespaces. Dropped, they are gone.
#[derive(Debug)]
pub(crate) struct Wire {
    /// Where the machine's cable is.
    pub(crate) switch: Netns,
    /// The trusted client.
    pub(crate) trusted: Netns,
    /// The untrusted client.
    pub(crate) untrusted: Netns,
}

impl Wire {
    /// Makes them; `name` keeps those of several machines apart.
    pub(crate) fn raise(name: &str) -> Result<Self> {
        let switch = Netns::create(&format!("{name}-switch"))?;
        switch.ip(&[
            "link add lan type bridge mcast_snooping 0",
            "link set lan up",
            &format!("tuntap add dev {TAP} mode tap"),
            &format!("link set {TAP} master lan up"),
        ])?;
        let trusted = client(&switch, &format!("{name}-trusted"), TRUSTED)?;
        let untrusted = client(&switch, &format!("{name}-untrusted"), UNTRUSTED)?;
        // For the resets with which its kernel turns down what containers answer; they would repeat it for minutes.
        untrusted.ip(&[&format!("route add 172.17.0.0/16 via {}", HOST[0])])?;
        Ok(Self { switch, trusted, untrusted })
    }
}

fn client(switch: &Netns, name: &str, [v4, v6]: [IpAddr; 2]) -> Result<Netns> {
    let netns = Netns::create(name)?;
    let port = if v4 == TRUSTED[0] { "trusted" } else { "untrusted" };
    netns.ip(&[
        &format!("link add {INTERFACE} type veth peer name {port} netns {}", switch.name()),
        &format!("address add {v4}/24 dev {INTERFACE}"),
        &format!("address add {v6}/64 dev {INTERFACE} nodad"),
        &format!("link set {INTERFACE} up"),
    ])?;
    switch.ip(&[&format!("link set {port} master lan up")])?;
    Ok(netns)
}

/// A port at both addresses of the machine.
pub(crate) fn at(port: u16) -> [SocketAddr; 2] {
    HOST.map(|address| SocketAddr::new(address, port))
}
