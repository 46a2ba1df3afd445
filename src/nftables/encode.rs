//! Statements as the kernel's expressions, in the order and form in which `nft` writes them.

use std::ffi::CStr;
use std::ops::RangeInclusive;

use dockfw_policy::address::Family;
use dockfw_policy::interface::IfPattern;
use dockfw_policy::nft::{Direction, End, Ports, Statement};
use dockfw_policy::policy::Rate;
use dockfw_policy::ruleset::PortField;
use dockfw_policy::service::{PortRange, Transport};
use ipnetwork::IpNetwork;
use nix::libc;

use crate::ffi::{BuildError, Expression, Value};
use crate::netlink::uapi;

/// The register that every expression loads into and compares: `NFT_REG_1`.
const REGISTER: Value<'_> = Value::Number(libc::NFT_REG_1 as u32);
/// How many packets a limit lets through at once: nft's default.
const BURST: u32 = 5;
/// The width of an interface's name or kind in a register: `IFNAMSIZ` (linux/if.h).
pub(crate) const NAME_WIDTH: usize = 16;

/// `IPPROTO_ICMP` and `IPPROTO_ICMPV6`.
const ICMP: u8 = libc::IPPROTO_ICMP as u8;
const ICMPV6: u8 = libc::IPPROTO_ICMPV6 as u8;
/// Where the flags are in a TCP header (RFC 9293, 3.1), and the flags that define a segment's purpose.
const TCP_FLAGS_OFFSET: u32 = 13;
const TCP_SYN: u8 = 0x02;
const TCP_FIN_SYN_RST_ACK: u8 = 0x01 | TCP_SYN | 0x04 | 0x10;

/// Returns the expressions of a rule with these statements.
pub(crate) fn expressions(statements: &[Statement]) -> Result<Vec<Expression>, BuildError> {
    let mut encoder = Encoder::default();
    statements.iter().try_for_each(|statement| encoder.statement(statement))?;
    Ok(encoder.expressions)
}

/// A rule in the making. What was checked once (the network or transport protocol) holds for the rest.
#[derive(Default)]
struct Encoder {
    expressions: Vec<Expression>,
    family: Option<Family>,
    protocol: Option<u8>,
}

type Done = Result<(), BuildError>;

impl Encoder {
    fn statement(&mut self, statement: &Statement) -> Done {
        match statement {
            Statement::InterfaceName { direction, pattern } => self.interface_name(*direction, pattern),
            Statement::InterfaceIn { direction, set, negated } => {
                self.meta(name_key(*direction))?;
                self.lookup(set, *negated)
            }
            Statement::Bridge(direction) => {
                self.meta(kind_key(*direction))?;
                self.equal(&padded("bridge"))
            }
            Statement::Address { end, network } => self.address(*end, *network),
            Statement::DialledAddress(network) => self.dialled_address(*network),
            Statement::AddressIn { end, family, set } => {
                self.family(*family)?;
                let (offset, length) = address_place(*family, *end);
                self.payload(libc::NFT_PAYLOAD_NETWORK_HEADER, offset, length)?;
                self.lookup(set, false)
            }
            Statement::Family(family) => self.family(*family),
            Statement::Protocol(number) => self.protocol(*number),
            Statement::Icmp { family, types } => self.icmp(*family, types),
            Statement::Port { transport, field, ports } => {
                self.port_field(*transport, *field)?;
                match ports {
                    Ports::Set(set) => self.lookup(set, false),
                    Ports::Range(range) => self.port_range(*range),
                }
            }
            Statement::Dispatch { transport, field, map } => {
                self.port_field(*transport, *field)?;
                self.dispatch(map)
            }
            Statement::NotTcp => {
                self.meta(libc::NFT_META_L4PROTO as u32)?;
                self.compare(libc::NFT_CMP_NEQ, &[Transport::Tcp.number()])
            }
            Statement::Opening { negated } => self.opening(*negated),
            Statement::Unicast { negated } => self.unicast(*negated),
            Statement::IsLocal(end) => self.address_type(*end, libc::RTN_LOCAL, false),
            Statement::IsElsewhere { negated } => {
                self.address_type(End::Destination, libc::RTN_UNICAST, *negated)
            }
            Statement::ReversePathFails => self.reverse_path_fails(),
            Statement::HopLimit { family, limit } => self.hop_limit(*family, *limit),
            Statement::Established => {
                self.conntrack_bits(libc::NFT_CT_STATE as u32, uapi::CT_ESTABLISHED_OR_RELATED)
            }
            Statement::Translated => self.conntrack_bits(libc::NFT_CT_STATUS as u32, uapi::IPS_DST_NAT),
            Statement::Limit(rate) => self.limit(*rate),
            Statement::Log(prefix) => self.log(prefix),
            Statement::Counter(name) => self.counter(name.as_str()),
            Statement::Accept => self.verdict(libc::NF_ACCEPT, None),
            Statement::Drop => self.verdict(libc::NF_DROP, None),
            Statement::Jump(chain) => self.verdict(libc::NFT_JUMP, Some(chain)),
            Statement::Return => self.verdict(libc::NFT_RETURN, None),
        }
    }

    fn push(&mut self, name: &CStr, attributes: &[(crate::ffi::Key<Expression>, Value<'_>)]) -> Done {
        self.expressions.push(Expression::new(name, attributes)?);
        Ok(())
    }

    fn meta(&mut self, key: u32) -> Done {
        self.push(c"meta", &[(Expression::META_KEY, Value::Number(key)), (Expression::META_DREG, REGISTER)])
    }

    fn compare(&mut self, operation: i32, value: &[u8]) -> Done {
        self.push(
            c"cmp",
            &[
                (Expression::CMP_SREG, REGISTER),
                (Expression::CMP_OP, Value::Number(operation as u32)),
                (Expression::CMP_DATA, Value::Bytes(value)),
            ],
        )
    }

    fn equal(&mut self, value: &[u8]) -> Done {
        self.compare(libc::NFT_CMP_EQ, value)
    }

    /// Compares with both ends of a range, which both are in network byte order.
    fn within(&mut self, first: &[u8], last: &[u8]) -> Done {
        if first == last {
            return self.equal(first);
        }
        self.compare(libc::NFT_CMP_GTE, first)?;
        self.compare(libc::NFT_CMP_LTE, last)
    }

    fn lookup(&mut self, set: &str, negated: bool) -> Done {
        let mut attributes =
            vec![(Expression::LOOKUP_SREG, REGISTER), (Expression::LOOKUP_SET, Value::Text(set))];
        if negated {
            attributes.push((Expression::LOOKUP_FLAGS, Value::Number(libc::NFT_LOOKUP_F_INV as u32)));
        }
        self.push(c"lookup", &attributes)
    }

    fn payload(&mut self, base: i32, offset: u32, length: u32) -> Done {
        self.push(
            c"payload",
            &[
                (Expression::PAYLOAD_DREG, REGISTER),
                (Expression::PAYLOAD_BASE, Value::Number(base as u32)),
                (Expression::PAYLOAD_OFFSET, Value::Number(offset)),
                (Expression::PAYLOAD_LEN, Value::Number(length)),
            ],
        )
    }

    fn mask(&mut self, mask: &[u8]) -> Done {
        self.push(
            c"bitwise",
            &[
                (Expression::BITWISE_SREG, REGISTER),
                (Expression::BITWISE_DREG, REGISTER),
                (Expression::BITWISE_LEN, Value::Number(mask.len() as u32)),
                (Expression::BITWISE_MASK, Value::Bytes(mask)),
                (Expression::BITWISE_XOR, Value::Bytes(&vec![0; mask.len()])),
            ],
        )
    }

    /// Checks the network protocol, unless that was done.
    fn family(&mut self, family: Family) -> Done {
        if self.family.replace(family) == Some(family) {
            return Ok(());
        }
        let protocol = match family {
            Family::Ipv4 => libc::NFPROTO_IPV4,
            Family::Ipv6 => libc::NFPROTO_IPV6,
        };
        self.meta(libc::NFT_META_NFPROTO as u32)?;
        self.equal(&[protocol as u8])
    }

    /// Checks the transport protocol, unless that was done.
    fn protocol(&mut self, number: u8) -> Done {
        if self.protocol.replace(number) == Some(number) {
            return Ok(());
        }
        self.meta(libc::NFT_META_L4PROTO as u32)?;
        self.equal(&[number])
    }

    /// Compares an interface's name. A prefix is compared without the zeros that end its name, so that it matches whatever
    /// follows.
    fn interface_name(&mut self, direction: Direction, pattern: &IfPattern) -> Done {
        // Every packet has an incoming interface at our hooks: `*` needs no check.
        if pattern.is_any() {
            return Ok(());
        }
        self.meta(name_key(direction))?;
        match pattern {
            IfPattern::Name(name) => self.equal(&padded(name)),
            IfPattern::Prefix(prefix) => self.equal(prefix.as_bytes()),
        }
    }

    /// Compares an address. If the prefix ends with a byte, only the bytes before are loaded, as `nft` does.
    fn address(&mut self, end: End, network: IpNetwork) -> Done {
        let (family, octets, mask) = parts(network);
        self.family(family)?;
        let (offset, length) = address_place(family, end);
        let bytes = usize::from(network.prefix() / 8);
        if network.prefix() != 0 && network.prefix().is_multiple_of(8) {
            self.payload(libc::NFT_PAYLOAD_NETWORK_HEADER, offset, bytes as u32)?;
            return self.equal(octets.get(..bytes).unwrap_or_default());
        }
        self.payload(libc::NFT_PAYLOAD_NETWORK_HEADER, offset, length)?;
        self.mask(&mask)?;
        self.equal(&octets)
    }

    /// Compares the destination address of the connection's first packet, before translation. An address of another family
    /// does not exist.
    fn dialled_address(&mut self, network: IpNetwork) -> Done {
        let (family, octets, mask) = parts(network);
        self.original(match family {
            Family::Ipv4 => libc::NFT_CT_DST_IP,
            Family::Ipv6 => libc::NFT_CT_DST_IP6,
        })?;
        if usize::from(network.prefix()) != octets.len() * 8 {
            self.mask(&mask)?;
        }
        self.equal(&octets)
    }

    fn icmp(&mut self, family: Family, types: &RangeInclusive<u8>) -> Done {
        self.family(family)?;
        self.protocol(if family == Family::Ipv4 { ICMP } else { ICMPV6 })?;
        self.payload(libc::NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1)?;
        self.within(&[*types.start()], &[*types.end()])
    }

    fn port_field(&mut self, transport: Transport, field: PortField) -> Done {
        self.protocol(transport.number())?;
        match field {
            PortField::Source => self.payload(libc::NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2),
            PortField::Destination => self.payload(libc::NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2),
            PortField::Dialled => self.original(libc::NFT_CT_PROTO_DST),
        }
    }

    /// Does what the map says.
    fn dispatch(&mut self, map: &str) -> Done {
        self.push(
            c"lookup",
            &[
                (Expression::LOOKUP_SREG, REGISTER),
                (Expression::LOOKUP_DREG, Value::Number(libc::NFT_REG_VERDICT as u32)),
                (Expression::LOOKUP_SET, Value::Text(map)),
            ],
        )
    }

    fn port_range(&mut self, range: PortRange) -> Done {
        self.within(&range.first().to_be_bytes(), &range.last().to_be_bytes())
    }

    /// Loads a field of the connection's first packet, as it was before translation.
    fn original(&mut self, key: i32) -> Done {
        self.push(
            c"ct",
            &[
                (Expression::CT_KEY, Value::Number(key as u32)),
                (Expression::CT_DREG, REGISTER),
                // IP_CT_DIR_ORIGINAL (linux/netfilter/nf_conntrack_tuple_common.h)
                (Expression::CT_DIR, Value::Byte(0)),
            ],
        )
    }

    fn opening(&mut self, negated: bool) -> Done {
        self.protocol(Transport::Tcp.number())?;
        self.payload(libc::NFT_PAYLOAD_TRANSPORT_HEADER, TCP_FLAGS_OFFSET, 1)?;
        self.mask(&[TCP_FIN_SYN_RST_ACK])?;
        self.compare(equality(negated), &[TCP_SYN])
    }

    fn unicast(&mut self, negated: bool) -> Done {
        self.meta(libc::NFT_META_PKTTYPE as u32)?;
        self.compare(equality(negated), &[libc::PACKET_HOST])
    }

    fn hop_limit(&mut self, family: Family, limit: u8) -> Done {
        self.family(family)?;
        // Where it is in its network header (RFC 791, 3.1 and RFC 8200, 3).
        let offset = if family == Family::Ipv4 { 8 } else { 7 };
        self.payload(libc::NFT_PAYLOAD_NETWORK_HEADER, offset, 1)?;
        self.equal(&[limit])
    }

    fn fib(&mut self, result: u32, flags: u32) -> Done {
        self.push(
            c"fib",
            &[
                (Expression::FIB_DREG, REGISTER),
                (Expression::FIB_RESULT, Value::Number(result)),
                (Expression::FIB_FLAGS, Value::Number(flags)),
            ],
        )
    }

    /// Compares the kind of route that leads to an address (linux/rtnetlink.h).
    fn address_type(&mut self, end: End, kind: libc::c_uchar, negated: bool) -> Done {
        let flags = if end == End::Source { uapi::NFTA_FIB_F_SADDR } else { uapi::NFTA_FIB_F_DADDR };
        self.fib(uapi::NFT_FIB_RESULT_ADDRTYPE, flags)?;
        self.compare(equality(negated), &u32::from(kind).to_ne_bytes())
    }

    fn reverse_path_fails(&mut self) -> Done {
        let flags = uapi::NFTA_FIB_F_SADDR | uapi::NFTA_FIB_F_IIF | uapi::NFTA_FIB_F_PRESENT;
        self.fib(uapi::NFT_FIB_RESULT_OIF, flags)?;
        // The whole register, as nft does it: older kernels store the answer in all of it, newer ones in its first byte.
        self.equal(&[0; 4])
    }

    /// Checks whether any of `bits` is set in a field of conntrack's.
    fn conntrack_bits(&mut self, key: u32, bits: u32) -> Done {
        self.push(c"ct", &[(Expression::CT_KEY, Value::Number(key)), (Expression::CT_DREG, REGISTER)])?;
        self.mask(&bits.to_ne_bytes())?;
        self.compare(libc::NFT_CMP_NEQ, &[0; 4])
    }

    fn limit(&mut self, rate: Rate) -> Done {
        self.push(
            c"limit",
            &[
                (Expression::LIMIT_RATE, Value::Long(rate.count().into())),
                (Expression::LIMIT_UNIT, Value::Long(rate.unit().seconds().into())),
                (Expression::LIMIT_BURST, Value::Number(BURST)),
                (Expression::LIMIT_TYPE, Value::Number(libc::NFT_LIMIT_PKTS as u32)),
                (Expression::LIMIT_FLAGS, Value::Number(0)),
            ],
        )
    }

    fn log(&mut self, prefix: &str) -> Done {
        self.push(
            c"log",
            &[
                (Expression::LOG_PREFIX, Value::Text(prefix)),
                (Expression::LOG_LEVEL, Value::Number(uapi::NFT_LOGLEVEL_INFO)),
            ],
        )
    }

    fn counter(&mut self, name: &str) -> Done {
        self.push(
            c"objref",
            &[
                (Expression::OBJREF_TYPE, Value::Number(uapi::object::COUNTER)),
                (Expression::OBJREF_NAME, Value::Text(name)),
            ],
        )
    }

    fn verdict(&mut self, verdict: i32, chain: Option<&str>) -> Done {
        let mut attributes = vec![
            (Expression::IMMEDIATE_DREG, Value::Number(libc::NFT_REG_VERDICT as u32)),
            (Expression::IMMEDIATE_VERDICT, Value::Number(verdict.cast_unsigned())),
        ];
        attributes.extend(chain.map(|chain| (Expression::IMMEDIATE_CHAIN, Value::Text(chain))));
        self.push(c"immediate", &attributes)
    }
}

fn equality(negated: bool) -> i32 {
    if negated { libc::NFT_CMP_NEQ } else { libc::NFT_CMP_EQ }
}

fn name_key(direction: Direction) -> u32 {
    match direction {
        Direction::In => libc::NFT_META_IIFNAME as u32,
        Direction::Out => libc::NFT_META_OIFNAME as u32,
    }
}

fn kind_key(direction: Direction) -> u32 {
    match direction {
        Direction::In => uapi::NFT_META_IIFKIND,
        Direction::Out => uapi::NFT_META_OIFKIND,
    }
}

/// Returns a network's family, address and mask.
fn parts(network: IpNetwork) -> (Family, Vec<u8>, Vec<u8>) {
    match network {
        IpNetwork::V4(v4) => (Family::Ipv4, v4.network().octets().to_vec(), v4.mask().octets().to_vec()),
        IpNetwork::V6(v6) => (Family::Ipv6, v6.network().octets().to_vec(), v6.mask().octets().to_vec()),
    }
}

/// Returns where an address is in its network header, and its length (RFC 791, 3.1 and RFC 8200, 3).
fn address_place(family: Family, end: End) -> (u32, u32) {
    match (family, end) {
        (Family::Ipv4, End::Source) => (12, 4),
        (Family::Ipv4, End::Destination) => (16, 4),
        (Family::Ipv6, End::Source) => (8, 16),
        (Family::Ipv6, End::Destination) => (24, 16),
    }
}

/// Returns a name as the kernel loads it: with zeros up to its full width.
pub(crate) fn padded(name: &str) -> [u8; NAME_WIDTH] {
    let mut bytes = [0; NAME_WIDTH];
    bytes.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
    bytes
}
