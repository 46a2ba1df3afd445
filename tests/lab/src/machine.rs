//! A machine of the lab: a network namespace with the addresses that others reach it by.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Deref;

use anyhow::Result;

use crate::netns::Netns;

/// A network namespace with an address of each family on one interface. Probes are methods of [`Netns`], to which
/// it dereferences.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Its network namespace.
    pub netns: Netns,
    /// The interface that carries the addresses.
    pub interface: String,
    /// Its IPv4 address.
    pub v4: Ipv4Addr,
    /// Its IPv6 address.
    pub v6: Ipv6Addr,
}

impl Machine {
    /// Both addresses, for tests that go through the families.
    #[must_use]
    pub fn addresses(&self) -> [IpAddr; 2] {
        [self.v4.into(), self.v6.into()]
    }

    /// `port` at both addresses.
    #[must_use]
    pub fn at(&self, port: u16) -> [SocketAddr; 2] {
        self.addresses().map(|address| SocketAddr::new(address, port))
    }

    /// Routes `network` (of either family) through `gateway`'s address: direct routing to containers, say.
    pub fn route(&self, network: &str, gateway: &Machine) -> Result<()> {
        let via = if network.contains(':') { IpAddr::from(gateway.v6) } else { IpAddr::from(gateway.v4) };
        self.netns.ip(&[&format!("route replace {network} via {via}")])
    }

    /// Gives the machine one more address on its interface, e.g. `203.0.113.5/32`.
    pub fn add_address(&self, address: &str) -> Result<()> {
        let nodad = if address.contains(':') { " nodad" } else { "" };
        self.netns.ip(&[&format!("address add {address} dev {}{nodad}", self.interface)])
    }
}

impl Deref for Machine {
    type Target = Netns;

    fn deref(&self) -> &Netns {
        &self.netns
    }
}
