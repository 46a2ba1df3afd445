//! Each condition of the common form in iptables' terms.

use std::ops::RangeInclusive;

use dockfw_policy::address::Family;
use dockfw_policy::interface::IfPattern;
use dockfw_policy::ruleset::{Hook, Match, PortField, SetName};
use dockfw_policy::service::{PortRange, Transport};
use ipnetwork::IpNetwork;

use super::row::Part;
use super::{Lowering, interface};

/// How many numbers a `multiport` accepts; a range needs two: XT_MULTI_PORTS (linux/netfilter/xt_multiport.h).
const MULTIPORT_SLOTS: usize = 15;
/// The type that `-m icmp` reads as "any" (libipt_icmp.c).
const ICMP_ANY: u8 = 255;
/// Protocol numbers that ip6tables reads as extension headers, and never matches (is_exthdr, xshared.c).
const EXTENSION_HEADERS: [u8; 4] = [43, 44, 51, 60];
/// Link-local addresses of IPv6.
const LINK_LOCAL: &str = "fe80::/10";
/// Groups (multicast) of IPv6.
const GROUPS6: &str = "ff00::/8";

/// The alternatives of a condition, each a row of parts. Empty: it can't hold in this family.
type Alternatives = Result<Vec<Vec<Part>>, String>;

impl Lowering<'_> {
    /// Returns the alternatives of a match.
    pub(super) fn alternatives(&self, condition: &Match) -> Alternatives {
        Ok(match condition {
            Match::Loopback => vec![vec![Part::base("-i", "lo")]],
            Match::In(name) => self.interfaces("-i", name),
            // The rule has `! -i`, or the chain leads around it.
            Match::NotIn(_) => vec![vec![]],
            Match::Out(name) => self.interfaces("-o", name),
            Match::Crosses(pattern) => {
                vec![["-i", "-o"].map(|option| Part::base(option, &interface(pattern))).into()]
            }
            Match::Source(name) => self.addresses(name, "src"),
            Match::Destination(name) => self.addresses(name, "dst"),
            Match::SourceNetwork(network) => self.network(network, |text| vec![Part::base("-s", text)]),
            Match::DestinationNetwork(network) => self.network(network, |text| vec![Part::base("-d", text)]),
            Match::DialledNetwork(network) => {
                self.network(network, |text| vec![conntrack("--ctorigdst", text)])
            }
            Match::SourceIsOwn => self.own_sources(),
            Match::ReversePathFails => vec![self.reverse_path_fails()],
            Match::BoundFor(hook) => self.bound_for(*hook),
            Match::Established => vec![vec![conntrack("--ctstate", "RELATED,ESTABLISHED")]],
            Match::Translated => vec![vec![conntrack("--ctstate", "DNAT")]],
            Match::Ports { transport, port, ranges } => ports(*transport, *port, ranges),
            Match::Protocol(number) => vec![vec![self.protocol(*number)?]],
            Match::Family(family) => self.only(*family, vec![vec![]]),
            Match::Icmp { family, types } => self.only(*family, icmp(*family, types)?),
            Match::HopLimit { family, limit } => self.only(*family, vec![vec![hop_limit(*family, *limit)]]),
            Match::Opening => vec![opening()],
            Match::NotOpening => not_opening(),
        })
    }

    fn only(&self, family: Family, alternatives: Vec<Vec<Part>>) -> Vec<Vec<Part>> {
        if family == self.family { alternatives } else { vec![] }
    }

    fn interfaces(&self, option: &'static str, name: &SetName) -> Vec<Vec<Part>> {
        let part = |pattern: &IfPattern| match pattern.is_any() {
            true => vec![],
            false => vec![Part::base(option, &interface(pattern))],
        };
        self.patterns(name).iter().map(part).collect()
    }

    fn addresses(&self, name: &SetName, end: &str) -> Vec<Vec<Part>> {
        let own = self.sets.get(name.as_str());
        own.map(|set| vec![Part::of("set", "--match-set", &[&set.name, end])]).into_iter().collect()
    }

    fn network(&self, network: &IpNetwork, parts: impl Fn(&str) -> Vec<Part>) -> Vec<Vec<Part>> {
        let family = if network.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 };
        self.only(family, vec![parts(&network.to_string())])
    }

    /// Returns conditions for the host's own sources. Link-local addresses are asked for by the interface: any router may
    /// have the same one as a bridge of Docker's.
    fn own_sources(&self) -> Vec<Vec<Part>> {
        let local = || Part::of("addrtype", "--src-type", &["LOCAL"]);
        let here = || Part::of("addrtype", "--limit-iface-in", &[]);
        let unicast = || Part::of("pkttype", "--pkt-type", &["unicast"]);
        let to_own = || vec![unicast().not(), Part::of("addrtype", "--dst-type", &["LOCAL"])];
        let sources = match self.family {
            Family::Ipv4 => vec![vec![local()]],
            Family::Ipv6 => vec![
                vec![Part::negated("-s", LINK_LOCAL), local()],
                vec![Part::base("-s", LINK_LOCAL), local(), here()],
            ],
        };
        // The kind of the packet comes first: it is known, and the address has to be looked up.
        let ways = |source: Vec<Part>| [vec![unicast()], to_own()].map(|way| [way, source.clone()].concat());
        sources.into_iter().flat_map(ways).collect()
    }

    /// Returns conditions for a missing route back. A client that asks for an address by DHCP has none yet, and asks
    /// everyone. nftables knows that by itself (nft_fib4_eval, net/ipv4/netfilter/nft_fib_ipv4.c).
    fn reverse_path_fails(&self) -> Vec<Part> {
        let nobody = (self.family == Family::Ipv4).then(|| Part::negated("-s", "0.0.0.0"));
        nobody.into_iter().chain([Part::of("rpfilter", "--invert", &[])]).collect()
    }

    /// Returns conditions for packets to the host, by the kind of the route to their destination. Of IPv6's kinds, a group
    /// is not one of routing's, and has to be asked for alone (match_type6, net/netfilter/xt_addrtype.c).
    fn bound_for(&self, hook: Hook) -> Vec<Vec<Part>> {
        let kinds = |kinds| Part::of("addrtype", "--dst-type", &[kinds]);
        match (hook, self.family) {
            (Hook::Input, Family::Ipv4) => vec![vec![kinds("LOCAL,BROADCAST,MULTICAST")]],
            (Hook::Input, Family::Ipv6) => vec![vec![kinds("LOCAL,ANYCAST")], vec![kinds("MULTICAST")]],
            (_, Family::Ipv4) => vec![vec![kinds("LOCAL,BROADCAST,MULTICAST").not()]],
            (_, Family::Ipv6) => {
                vec![vec![kinds("LOCAL,ANYCAST").not(), Part::negated("-d", GROUPS6)]]
            }
        }
    }

    fn protocol(&self, number: u8) -> Result<Part, String> {
        let is_header = self.family == Family::Ipv6 && EXTENSION_HEADERS.contains(&number);
        match number {
            // To iptables, 0 is every protocol.
            0 => Err("the IP protocol 0".into()),
            _ if is_header => Err(format!("the IP protocol {number} over IPv6")),
            _ => Ok(Part::base("-p", &number.to_string())),
        }
    }
}

fn hop_limit(family: Family, limit: u8) -> Part {
    let (module, option) = match family {
        Family::Ipv4 => ("ttl", "--ttl-eq"),
        Family::Ipv6 => ("hl", "--hl-eq"),
    };
    Part::of(module, option, &[&limit.to_string()])
}

fn conntrack(option: &'static str, value: &str) -> Part {
    Part::of("conntrack", option, &[value])
}

fn ports(transport: Transport, port: PortField, ranges: &[PortRange]) -> Vec<Vec<Part>> {
    let protocol = Part::base("-p", transport.name());
    let with = |part: Part| vec![protocol.clone(), part];
    match port {
        PortField::Dialled => dialled(ranges).map(with).collect(),
        PortField::Destination => multiport("--dports", ranges).map(with).collect(),
        PortField::Source => multiport("--sports", ranges).map(with).collect(),
    }
}

fn dialled(ranges: &[PortRange]) -> impl Iterator<Item = Part> + '_ {
    ranges.iter().map(|range| conntrack("--ctorigdstport", &ports_text(*range)))
}

fn multiport<'a>(option: &'static str, ranges: &'a [PortRange]) -> impl Iterator<Item = Part> + 'a {
    let mut groups: Vec<(usize, Vec<String>)> = Vec::new();
    for range in ranges {
        let slots = if range.is_single() { 1 } else { 2 };
        match groups.last_mut().filter(|(taken, _)| taken + slots <= MULTIPORT_SLOTS) {
            Some((taken, group)) => {
                *taken += slots;
                group.push(ports_text(*range));
            }
            None => groups.push((slots, vec![ports_text(*range)])),
        }
    }
    groups.into_iter().map(move |(_, group)| Part::of("multiport", option, &[&group.join(",")]))
}

fn ports_text(range: PortRange) -> String {
    if range.is_single() { range.first().to_string() } else { format!("{}:{}", range.first(), range.last()) }
}

/// Returns one rule per type: neither match knows ranges.
fn icmp(family: Family, types: &RangeInclusive<u8>) -> Alternatives {
    if family == Family::Ipv4 && types.contains(&ICMP_ANY) {
        return Err(format!("the ICMP type {ICMP_ANY}"));
    }
    let (protocol, module, option) = match family {
        Family::Ipv4 => ("icmp", "icmp", "--icmp-type"),
        Family::Ipv6 => ("ipv6-icmp", "icmp6", "--icmpv6-type"),
    };
    let parts = |kind: u8| vec![Part::base("-p", protocol), Part::of(module, option, &[&kind.to_string()])];
    Ok(types.clone().map(parts).collect())
}

fn opening() -> Vec<Part> {
    vec![Part::base("-p", "tcp"), opening_flags()]
}

fn not_opening() -> Vec<Vec<Part>> {
    vec![vec![Part::negated("-p", "tcp")], vec![Part::base("-p", "tcp"), opening_flags().not()]]
}

fn opening_flags() -> Part {
    Part::of("tcp", "--tcp-flags", &["FIN,SYN,RST,ACK", "SYN"])
}
