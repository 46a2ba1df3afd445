//! Which way packets go, as the kernel would decide it.

use std::io;
use std::net::IpAddr;

use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;

use super::netlink::ask;

/// The way to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// Whether the address is one of the host's own.
    pub(crate) is_local: bool,
    /// The index of the interface that packets leave by; `lo` for the host's own addresses.
    pub(crate) interface: u32,
    /// The address that the host would take for its own.
    pub(crate) source: Option<IpAddr>,
}

/// The way to an address, for packets from `source` where one is given. Nothing: there is none.
pub(crate) fn towards(destination: IpAddr, source: Option<IpAddr>) -> io::Result<Option<Route>> {
    let mut request = request(destination);
    if let Some(source) = source.filter(|source| source.is_ipv4() == destination.is_ipv4()) {
        request.header.source_prefix_length = request.header.destination_prefix_length;
        request.attributes.push(RouteAttribute::Source(route_address(source)));
    }
    answer(request)
}

/// The way to an address out by the interface of this index. Nothing: there is none.
pub(crate) fn out_by(destination: IpAddr, interface: u32) -> io::Result<Option<Route>> {
    let mut request = request(destination);
    request.attributes.push(RouteAttribute::Oif(interface));
    answer(request)
}

fn request(destination: IpAddr) -> RouteMessage {
    let mut request = RouteMessage::default();
    let (family, bits) =
        if destination.is_ipv4() { (AddressFamily::Inet, 32) } else { (AddressFamily::Inet6, 128) };
    request.header.address_family = family;
    request.header.destination_prefix_length = bits;
    request.attributes.push(RouteAttribute::Destination(route_address(destination)));
    request
}

fn answer(request: RouteMessage) -> io::Result<Option<Route>> {
    match ask(NETLINK_ROUTE, RouteNetlinkMessage::GetRoute(request)) {
        Ok(RouteNetlinkMessage::NewRoute(answer)) => Ok(route(&answer)),
        Ok(_) => Ok(None),
        Err(error) if is_no_route(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the kernel says of an address without a way to it (`fib_lookup`: no route, `unreachable`, `prohibit`,
/// `blackhole`), or with a source that is none of the host's.
fn is_no_route(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::InvalidInput
    )
}

fn route_address(address: IpAddr) -> RouteAddress {
    match address {
        IpAddr::V4(v4) => RouteAddress::Inet(v4),
        IpAddr::V6(v6) => RouteAddress::Inet6(v6),
    }
}

fn route(answer: &RouteMessage) -> Option<Route> {
    let is_local = matches!(answer.header.kind, RouteType::Local | RouteType::Anycast);
    let mut found = (None, None);
    for attribute in &answer.attributes {
        match attribute {
            RouteAttribute::Oif(index) => found.0 = Some(*index),
            RouteAttribute::PrefSource(RouteAddress::Inet(address)) => found.1 = Some(IpAddr::V4(*address)),
            RouteAttribute::PrefSource(RouteAddress::Inet6(address)) => found.1 = Some(IpAddr::V6(*address)),
            _ => {}
        }
    }
    found.0.map(|interface| Route { is_local, interface, source: found.1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_reaches_itself_by_its_first_interface() {
        // lo is made with each network namespace, before all others.
        let route = towards([127, 0, 0, 1].into(), None).unwrap().unwrap();
        assert!(route.is_local);
        assert_eq!((route.interface, route.source), (1, Some([127, 0, 0, 1].into())));
    }

    #[test]
    fn a_source_that_is_not_the_hosts_leads_nowhere() {
        assert_eq!(towards([127, 0, 0, 1].into(), Some([192, 0, 2, 1].into())).unwrap(), None);
    }
}
