//! The network interfaces of this process's namespace, from rtnetlink. (`/sys/class/net` may be another
//! namespace's.)

use std::io;

use dockfw_policy::address::{AddressRange, Range};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;

use super::netlink::dump;

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
    /// Whether it is switched on.
    pub(crate) is_up: bool,
    /// The networks that its addresses are in.
    pub(crate) networks: Vec<AddressRange>,
}

impl Link {
    /// Whether the interface is a kernel bridge.
    pub(crate) fn is_bridge(&self) -> bool {
        self.kind.as_deref() == Some("bridge")
    }
}

/// All interfaces, in the order of their indexes.
pub(crate) fn read() -> io::Result<Vec<Link>> {
    let messages = dump(NETLINK_ROUTE, &RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
    let mut links: Vec<_> = messages.into_iter().filter_map(link).collect();
    for message in dump(NETLINK_ROUTE, &RouteNetlinkMessage::GetAddress(AddressMessage::default()))? {
        let RouteNetlinkMessage::NewAddress(address) = message else { continue };
        let link = links.iter_mut().find(|link| link.index == address.header.index);
        if let (Some(link), Some(network)) = (link, network(&address)) {
            link.networks.push(network);
        }
    }
    links.sort_by_key(|link| link.index);
    Ok(links)
}

fn link(message: RouteNetlinkMessage) -> Option<Link> {
    let RouteNetlinkMessage::NewLink(message) = message else { return None };
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        kind: None,
        controller: None,
        is_up: message.header.flags.contains(LinkFlags::Up),
        networks: Vec::new(),
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Controller(index) => link.controller = Some(index),
            LinkAttribute::LinkInfo(infos) => {
                link.kind = infos.into_iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    Some(link)
}

fn network(message: &AddressMessage) -> Option<AddressRange> {
    let address = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Address(address) => Some(*address),
        _ => None,
    })?;
    Some(match address {
        std::net::IpAddr::V4(address) => {
            AddressRange::V4(Range::network_of(address, message.header.prefix_len))
        }
        std::net::IpAddr::V6(address) => {
            AddressRange::V6(Range::network_of(address, message.header.prefix_len))
        }
    })
}
