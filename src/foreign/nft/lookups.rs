//! Which parts of a packet a rule looks up in its sets.

use std::collections::BTreeMap;

use dockfw_policy::address::Family;
use nix::libc;

use super::decode::{Expression, Load};
use super::registers::offset;

/// A field of a packet that distinguishes doors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::foreign) enum Field {
    /// The port that is dialled.
    Port,
    /// The address that is dialled.
    Address(Family),
}

/// A field that a set is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::foreign) struct Lookup<'a> {
    /// The set's name.
    pub(in crate::foreign) set: &'a str,
    /// The field.
    pub(in crate::foreign) field: Field,
    /// The field's offset in the keys.
    pub(in crate::foreign) at: usize,
}

/// Returns what these expressions ask the sets for. A field that is changed before (by a mask, for example) does not
/// count.
pub(super) fn lookups(expressions: &[Expression]) -> Vec<Lookup<'_>> {
    let (mut loaded, mut lookups) = (BTreeMap::new(), Vec::new());
    for expression in expressions {
        match expression {
            Expression::Load { what, register, length } => {
                let at = offset(*register);
                loaded.retain(|place, _| !(at..at.saturating_add(*length)).contains(place));
                loaded.extend(field(*what, *length).map(|(field, within)| (at + within, field)));
            }
            Expression::Mask { to, .. } | Expression::Swap { to, .. } => drop(loaded.remove(&offset(*to))),
            Expression::Value { register, .. } => drop(loaded.remove(&offset(*register))),
            Expression::Lookup { set, register, to, .. } => {
                let begin = offset(*register);
                let behind = loaded.range(begin..);
                lookups.extend(behind.map(|(place, field)| Lookup { set, field: *field, at: place - begin }));
                to.filter(|to| *to != 0).map(|to| loaded.remove(&offset(to)));
            }
            _ => {}
        }
    }
    lookups
}

/// Returns the field that is loaded, and its offset in what is loaded: in the headers of IPv4 (RFC 791), of IPv6 (RFC
/// 8200), and of all transport protocols that have ports.
fn field(what: Load, length: usize) -> Option<(Field, usize)> {
    const NETWORK: u32 = libc::NFT_PAYLOAD_NETWORK_HEADER as u32;
    const TRANSPORT: u32 = libc::NFT_PAYLOAD_TRANSPORT_HEADER as u32;
    const DIALLED_PORT: u32 = libc::NFT_CT_PROTO_DST as u32;
    match what {
        Load::Ct(DIALLED_PORT) => Some((Field::Port, 0)),
        Load::Payload { base: TRANSPORT, offset: at @ 0..=2 } if at.saturating_add(length) >= 4 => {
            Some((Field::Port, 2 - at))
        }
        Load::Payload { base: NETWORK, offset: 16 } if length == 4 => Some((Field::Address(Family::Ipv4), 0)),
        Load::Payload { base: NETWORK, offset: 24 } if length == 16 => {
            Some((Field::Address(Family::Ipv6), 0))
        }
        Load::Ct(_) | Load::Payload { .. } | Load::Meta(_) | Load::Fib(_) | Load::Unknown => None,
    }
}
