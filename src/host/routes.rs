//! Routes, as the kernel would choose them.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use nix::libc;

use crate::netlink::route::{Message, ask, dump, number};

/// The size of `struct rtmsg` (linux/rtnetlink.h), before the attributes of a route.
const HEAD: usize = 12;

/// The size of `struct rtnexthop` (linux/rtnetlink.h).
const NEXT_HOP: usize = 8;

/// The type of an address for the host (`RTN_*`, linux/rtnetlink.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum AddressType {
    /// Somebody else's.
    Unicast = libc::RTN_UNICAST,
    /// Its own.
    Local = libc::RTN_LOCAL,
    /// Every host's on a link.
    Broadcast = libc::RTN_BROADCAST,
    /// The host's and that of others.
    Anycast = libc::RTN_ANYCAST,
    /// A group's.
    Multicast = libc::RTN_MULTICAST,
}

/// The route to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// The type of the address.
    pub(crate) leads_to: AddressType,
    /// The index of the interface that packets leave by; `lo` for the host's own addresses.
    pub(crate) interface: u32,
    /// The source address that the host would choose.
    pub(crate) source: Option<IpAddr>,
}

impl Route {
    /// Returns whether packets on it are for the host itself: to an address of its own, to a group or to everyone.
    pub(crate) fn is_local(self) -> bool {
        self.leads_to != AddressType::Unicast
    }
}

/// Returns the route to an address, for packets from `source` if one is given. Nothing: there is none.
pub(crate) fn towards(destination: IpAddr, source: Option<IpAddr>) -> io::Result<Option<Route>> {
    let source = source.filter(|source| source.is_ipv4() == destination.is_ipv4());
    answer(question(destination, source))
}

/// Returns the route to an address out by the interface of this index. Nothing: there is none.
pub(crate) fn out_by(destination: IpAddr, interface: u32) -> io::Result<Option<Route>> {
    answer(question(destination, None).with(libc::RTA_OIF, &interface.to_ne_bytes()))
}

/// Returns the interfaces out by which default routes lead, of both families and of all tables.
pub(crate) fn by_default() -> io::Result<BTreeSet<u32>> {
    Ok(all()?.iter().flat_map(ways_out_by_default).collect())
}

/// Returns the routers that default routes lead to, of both families and of all tables.
pub(crate) fn routers() -> io::Result<BTreeSet<IpAddr>> {
    let routes = all()?;
    let gateway = |route: &Message| {
        let gateway = route.attributes().find(libc::RTA_GATEWAY).filter(|_| is_default(&route.head))?;
        gateway.address()
    };
    Ok(routes.iter().filter_map(gateway).collect())
}

/// Returns all routes.
fn all() -> io::Result<Vec<Message>> {
    let mut routes = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let mut head = vec![family as u8];
        head.resize(HEAD, 0);
        routes.extend(dump(&Message::asking(libc::RTM_GETROUTE, head))?);
    }
    Ok(routes)
}

/// Returns whether a route leads everywhere, by its rtm_dst_len and its rtm_type.
fn is_default(head: &[u8]) -> bool {
    head.get(1) == Some(&0) && head.get(7) == Some(&libc::RTN_UNICAST)
}

/// Returns the interfaces of a route, if it leads everywhere: the one that it names, or those of its next hops.
fn ways_out_by_default(route: &Message) -> Vec<u32> {
    if !is_default(&route.head) {
        return vec![];
    }
    let attributes = route.attributes();
    let several = next_hops(attributes.value(libc::RTA_MULTIPATH));
    number(attributes.value(libc::RTA_OIF)).into_iter().chain(several).collect()
}

/// Returns the interfaces of a list of `struct rtnexthop` (linux/rtnetlink.h).
fn next_hops(mut bytes: &[u8]) -> Vec<u32> {
    let mut interfaces = Vec::new();
    while let Some((head, _)) = bytes.split_at_checked(NEXT_HOP) {
        let length = head.get(..2).and_then(|length| length.try_into().ok()).map(u16::from_ne_bytes);
        interfaces.extend(head.get(4..).and_then(number));
        // Aligned to four bytes (RTNH_ALIGNTO).
        let Some(length) = length.map(|length| usize::from(length).next_multiple_of(4)) else { break };
        let Some(rest) = bytes.get(length.max(NEXT_HOP)..) else { break };
        bytes = rest;
    }
    interfaces
}

fn question(destination: IpAddr, source: Option<IpAddr>) -> Message {
    let (family, bits) = if destination.is_ipv4() { (libc::AF_INET, 32) } else { (libc::AF_INET6, 128) };
    // rtm_family, rtm_dst_len, rtm_src_len; the rest is 0.
    let mut head = vec![family as u8, bits, if source.is_some() { bits } else { 0 }];
    head.resize(HEAD, 0);
    let question = Message::asking(libc::RTM_GETROUTE, head).with(libc::RTA_DST, &octets(destination));
    match source {
        Some(source) => question.with(libc::RTA_SRC, &octets(source)),
        None => question,
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn answer(question: Message) -> io::Result<Option<Route>> {
    match ask(&question) {
        Ok(answer) => Ok(route(&answer)),
        Err(error) if is_no_route(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns whether the kernel reports that there is no route to an address (`fib_lookup`: no route, `unreachable`,
/// `prohibit`, `blackhole`), or that the source is none of the host's.
fn is_no_route(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::InvalidInput
    )
}

fn route(answer: &Message) -> Option<Route> {
    let attributes = answer.attributes();
    // rtm_type.
    let leads_to = match *answer.head.get(7)? {
        libc::RTN_LOCAL => AddressType::Local,
        libc::RTN_BROADCAST => AddressType::Broadcast,
        libc::RTN_ANYCAST => AddressType::Anycast,
        libc::RTN_MULTICAST => AddressType::Multicast,
        _ => AddressType::Unicast,
    };
    Some(Route {
        leads_to,
        interface: number(attributes.value(libc::RTA_OIF))?,
        source: attributes.find(libc::RTA_PREFSRC).and_then(|source| source.address()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_reaches_itself_by_its_first_interface() {
        // lo is created with each network namespace, before all others.
        let route = towards([127, 0, 0, 1].into(), None).unwrap().unwrap();
        assert!(route.is_local());
        assert_eq!((route.interface, route.source), (1, Some([127, 0, 0, 1].into())));
    }

    #[test]
    fn routes_with_several_ways_have_several_interfaces() {
        let hop = |interface: u32| [&[8, 0, 0, 0][..], &interface.to_ne_bytes()].concat();
        assert_eq!(next_hops(&[hop(2), hop(7)].concat()), [2, 7]);
        assert_eq!(next_hops(&hop(2)[..7]), [0; 0]);
        assert_eq!(next_hops(&[vec![0; 8], vec![0xff; 5]].concat()), [0]);
    }

    #[test]
    fn a_source_that_is_not_the_hosts_leads_nowhere() {
        assert_eq!(towards([127, 0, 0, 1].into(), Some([192, 0, 2, 1].into())).unwrap(), None);
    }
}
