//! The network interfaces of this process's namespace, from rtnetlink. (`/sys/class/net` may be another
//! namespace's.)

use std::io;

use dockfw_policy::address::{AddressRange, Range};
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// More than the kernel ever puts into one datagram of a dump (NLMSG_GOODSIZE, at most 32 KiB).
const BUFFER: usize = 64 * 1024;
/// How often an interrupted dump is begun anew before that is an error.
const ATTEMPTS: usize = 10;

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
    let messages = dump(&RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
    let mut links: Vec<_> = messages.into_iter().filter_map(link).collect();
    for message in dump(&RouteNetlinkMessage::GetAddress(AddressMessage::default()))? {
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

/// All answers to a request; begun anew where the kernel's tables changed under it.
fn dump(request: &RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
    for _ in 0..ATTEMPTS {
        if let Some(messages) = try_dump(request.clone())? {
            return Ok(messages);
        }
    }
    Err(io::Error::other("the interfaces kept changing while they were read"))
}

fn try_dump(request: RouteNetlinkMessage) -> io::Result<Option<Vec<RouteNetlinkMessage>>> {
    let socket = Socket::new(NETLINK_ROUTE)?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_DUMP | NLM_F_REQUEST;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    receive(&socket)
}

/// The messages up to the end of the dump, or nothing where it was interrupted.
fn receive(socket: &Socket) -> io::Result<Option<Vec<RouteNetlinkMessage>>> {
    let mut messages = Vec::new();
    let mut is_whole = true;
    let mut buffer = vec![0; BUFFER];
    loop {
        let size = socket.recv(&mut buffer.as_mut_slice(), 0)?;
        let mut rest = buffer.get(..size).unwrap_or_default();
        while !rest.is_empty() {
            let message =
                NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).map_err(io::Error::other)?;
            is_whole &= message.header.flags & NLM_F_DUMP_INTR == 0;
            rest = rest.get(padded(message.header.length)..).unwrap_or_default();
            match message.payload {
                NetlinkPayload::InnerMessage(inner) => messages.push(inner),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::Done(_) => return Ok(is_whole.then_some(messages)),
                _ => {}
            }
        }
    }
}

/// The length of a message with what aligns the next one (NLMSG_ALIGN, linux/netlink.h); never 0.
fn padded(length: u32) -> usize {
    (length as usize).max(1).next_multiple_of(4)
}
