//! The network interfaces of this process's namespace, from rtnetlink. (`/sys/class/net` may be another
//! namespace's.)

use std::io;
use std::net::IpAddr;

use dockfw_policy::address::AddressRange;
use nix::libc;

use super::routes;
use crate::netlink::attributes::{Attribute, Attributes};
use crate::netlink::route::{Message, dump, number};

/// The size of `struct ifinfomsg` (linux/rtnetlink.h), before the attributes of an interface.
const LINK_HEAD: usize = 16;
/// The size of `struct ifaddrmsg` (linux/if_addr.h), before the attributes of an address.
const ADDRESS_HEAD: usize = 8;

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// Its index.
    pub(crate) index: u32,
    /// Its name.
    pub(crate) name: String,
    /// Its kind as the kernel calls it, as in `bridge` or `veth`; real hardware has none.
    pub(crate) kind: Option<String>,
    /// The index of the bridge or bond that it is a port of.
    pub(crate) controller: Option<u32>,
    /// Whether it is up.
    pub(crate) is_up: bool,
    /// Its addresses.
    pub(crate) addresses: Vec<IpAddr>,
    /// The networks that its addresses are in.
    pub(crate) networks: Vec<AddressRange>,
    /// Whether a default route leads out by it.
    pub(crate) has_default_route: bool,
}

impl Link {
    /// Returns whether the interface is a kernel bridge.
    pub(crate) fn is_bridge(&self) -> bool {
        self.kind.as_deref() == Some("bridge")
    }

    /// Returns whether the interface leads from the host to itself.
    pub(crate) fn is_loopback(&self) -> bool {
        self.name == "lo"
    }

    /// Returns whether packets of others come in by the interface. Those of a port come in by its bridge or bond.
    pub(crate) fn is_way_in(&self) -> bool {
        !self.is_loopback() && self.controller.is_none()
    }
}

/// Returns all interfaces, in the order of their indexes.
pub(crate) fn read() -> io::Result<Vec<Link>> {
    let mut links: Vec<_> = all(libc::RTM_GETLINK, LINK_HEAD)?.iter().filter_map(link).collect();
    for message in all(libc::RTM_GETADDR, ADDRESS_HEAD)? {
        let Some(Assigned { index, address, network }) = assigned(&message) else { continue };
        if let Some(link) = links.iter_mut().find(|link| link.index == index) {
            link.addresses.push(address);
            link.networks.push(network);
        }
    }
    let ways_out = routes::by_default()?;
    links.iter_mut().for_each(|link| link.has_default_route = ways_out.contains(&link.index));
    links.sort_by_key(|link| link.index);
    Ok(links)
}

fn all(kind: u16, head: usize) -> io::Result<Vec<Message>> {
    dump(&Message::asking(kind, vec![0; head]))
}

/// Returns an interface. Nothing if its name is not UTF-8, which the kernel accepts: a policy can't name it.
fn link(message: &Message) -> Option<Link> {
    let (head, attributes) = (&message.head, message.attributes());
    let kind = Attributes(attributes.value(libc::IFLA_LINKINFO)).find(libc::IFLA_INFO_KIND);
    Some(Link {
        index: number(head.get(4..8)?)?,
        name: text(attributes.find(libc::IFLA_IFNAME)?),
        kind: kind.map(text),
        controller: number(attributes.value(libc::IFLA_MASTER)),
        is_up: number(head.get(8..12)?)? & libc::IFF_UP as u32 != 0,
        addresses: Vec::new(),
        networks: Vec::new(),
        has_default_route: false,
    })
}

/// An address, the network that it is in, and the index of its interface.
struct Assigned {
    index: u32,
    address: IpAddr,
    network: AddressRange,
}

/// Decodes an address. On a point-to-point link, `IFA_ADDRESS` is the other end's, and `IFA_LOCAL` the host's own.
fn assigned(message: &Message) -> Option<Assigned> {
    let [_, prefix, _, _, index @ ..] = message.head.as_slice() else { return None };
    let attributes = message.attributes();
    let other = attributes.find(libc::IFA_ADDRESS)?.address()?;
    let own = attributes.find(libc::IFA_LOCAL).and_then(|own| own.address());
    let network = AddressRange::network_of(other, *prefix);
    Some(Assigned { index: number(index)?, address: own.unwrap_or(other), network })
}

fn text(attribute: Attribute<'_>) -> String {
    String::from_utf8_lossy(attribute.text()).into_owned()
}
