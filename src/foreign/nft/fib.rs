//! What routing reports of a packet's addresses (net/ipv4/netfilter/nft_fib_ipv4.c, net/ipv6/netfilter/nft_fib_ipv6.c).

use std::net::IpAddr;

use super::super::{Answer, View};
use super::packet::interface_name;
use super::registers::Bytes;
use crate::host::routes::AddressType;
use crate::netlink::attributes::Attributes;
use crate::netlink::uapi::expression::fib;

/// `enum nft_fib_result`.
const INDEX: u32 = 1;
const NAME: u32 = 2;
const TYPE: u32 = 3;
/// `enum nft_fib_flags`.
const SOURCE: u32 = 1 << 0;
const DESTINATION: u32 = 1 << 1;
const MARK: u32 = 1 << 2;
const INCOMING: u32 = 1 << 3;
const PRESENT: u32 = 1 << 5;
const WAY_BACK: u32 = SOURCE | INCOMING;
/// The length of the longest value that is loaded like this.
const LONGEST: usize = 16;

/// A question to routing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fib {
    result: u32,
    flags: u32,
}

impl Fib {
    /// Returns the question in an expression's attributes.
    pub(super) fn decoded(data: Attributes<'_>) -> Option<Self> {
        Some(Self { result: data.number(fib::RESULT)?, flags: data.number(fib::FLAGS)? })
    }

    /// Returns what it loads.
    pub(super) fn load(self, view: &View<'_>) -> Bytes {
        let known = match self.result {
            TYPE => self.address_type(view).map(|kind| Bytes::known(&u32::from(kind as u8).to_ne_bytes())),
            INDEX | NAME => self.interface(view),
            _ => None,
        };
        known.unwrap_or_else(|| Bytes::unknown(LONGEST))
    }

    /// Returns the type of an address for the host, or for the incoming interface.
    fn address_type(self, view: &View<'_>) -> Option<AddressType> {
        let address = match self.flags & !INCOMING {
            SOURCE => view.packet.source,
            DESTINATION => Some(view.destination()),
            _ => return None,
        };
        // A sender elsewhere has an address of its own.
        let Some(address) = address else { return Some(AddressType::Unicast) };
        let to_host = view.address_type(address)?;
        if self.flags & INCOMING == 0 { Some(to_host) } else { to_interface(view, address, to_host) }
    }

    /// Returns the interface by which an answer would leave, or whether there is one.
    fn interface(self, view: &View<'_>) -> Option<Bytes> {
        let is_of_way_back = self.flags & !(PRESENT | MARK) == WAY_BACK;
        // Routes may depend on marks.
        let is_by_mark = self.flags & MARK != 0 && view.mark() != Some(0);
        if !is_of_way_back || is_by_mark || view.comes_by_the_way_back() != Answer::Yes {
            return None;
        }
        let incoming = view.packet.incoming;
        Some(match self.result {
            _ if self.flags & PRESENT != 0 => Bytes::known(&[1]),
            NAME => interface_name(&incoming.name),
            _ => Bytes::known(&incoming.index.to_ne_bytes()),
        })
    }
}

/// Returns the type of an address for the incoming interface. The host's own is somebody else's for all interfaces that
/// do not have it.
fn to_interface(view: &View<'_>, address: IpAddr, to_host: AddressType) -> Option<AddressType> {
    let incoming = view.packet.incoming;
    match to_host {
        AddressType::Local if incoming.addresses.contains(&address) => Some(AddressType::Local),
        AddressType::Local => view.packet.host.holder(address).map(|_| AddressType::Unicast),
        AddressType::Broadcast => {
            let is_of_all = matches!(address, IpAddr::V4(v4) if v4.is_broadcast() || v4.is_unspecified());
            let is_there = is_of_all || incoming.networks.iter().any(|network| network.contains(address));
            is_there.then_some(AddressType::Broadcast)
        }
        AddressType::Unicast | AddressType::Anycast | AddressType::Multicast => Some(to_host),
    }
}
