//! The small common form of a policy: sets, and for each hook an ordered list of rules.
//!
//! Every engine lowers this form, and nothing else decides what a policy does to a packet. A packet meets the hooks in
//! the order of [`Hook`]; in each, the first rule that matches and passes or drops ends the hook. A packet that no rule
//! decides about passes. To pass means that dockfw does not object: others on the host may still drop it.
//!
//! While a policy is replaced, a packet may meet one hook under the policy before and the next one under the new. So no
//! hook relies on what an earlier one drops: each hook that can let a new connection in has every reason to keep it
//! out.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::{Deref, RangeInclusive};

use ipnetwork::IpNetwork;
use serde::{Serialize, Serializer};

use crate::address::{AddressRange, AddressSet, Family};
use crate::interface::IfPattern;
use crate::policy::{Place, Rate};
use crate::service::{PortRange, Transport};

/// A compiled policy; by default, one under which nothing of dockfw objects to anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ruleset {
    /// The sets of addresses that rules name.
    pub addresses: AddressLists,
    /// The sets of interfaces that rules name.
    pub interfaces: Vec<InterfaceList>,
    /// The rules of each hook, in the order in which packets meet the hooks.
    pub hooks: Vec<HookRules>,
}

/// A named set of addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AddressList {
    /// The name that rules use.
    pub name: SetName,
    /// What the set is, in words.
    pub comment: String,
    /// The addresses; never empty.
    pub addresses: AddressSet,
}

/// Sets of addresses, found by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressLists {
    lists: Vec<AddressList>,
    places: HashMap<SetName, usize>,
}

impl AddressLists {
    /// Returns the set of this name.
    pub fn named(&self, name: &SetName) -> Option<&AddressList> {
        self.places.get(name).and_then(|place| self.lists.get(*place))
    }
}

impl FromIterator<AddressList> for AddressLists {
    fn from_iter<I: IntoIterator<Item = AddressList>>(lists: I) -> Self {
        let lists: Vec<_> = lists.into_iter().collect();
        let places = lists.iter().enumerate().map(|(place, list)| (list.name.clone(), place)).collect();
        Self { lists, places }
    }
}

impl Deref for AddressLists {
    type Target = [AddressList];

    fn deref(&self) -> &[AddressList] {
        &self.lists
    }
}

impl Serialize for AddressLists {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.lists.serialize(serializer)
    }
}

/// A named set of interfaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InterfaceList {
    /// The name that rules use.
    pub name: SetName,
    /// The patterns; never empty.
    pub patterns: Vec<IfPattern>,
    /// Whether only kernel bridges are meant, whatever else matches the patterns.
    pub bridges_only: bool,
}

/// The name of a set or counter: `[a-z0-9_]`, unique among its kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetName(Cow<'static, str>);

impl SetName {
    /// The longest name, so that an ipset (31 bytes) has room for what its engine adds.
    pub const MAX: usize = 24;

    /// Returns the name, or nothing if `name` is none.
    pub fn new(name: impl Into<String>) -> Option<Self> {
        let name = name.into();
        let fits = (1..=Self::MAX).contains(&name.len());
        let plain =
            name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        (fits && plain).then_some(Self(name.into()))
    }

    /// Returns a name that is part of the program.
    pub(crate) const fn fixed(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }

    /// Returns the name as a string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for SetName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for SetName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Where rules are hooked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Hook {
    /// Before connection tracking, address translation and routing.
    Prerouting,
    /// After connection tracking, before address translation and routing.
    Tracked,
    /// Packets for the host itself.
    Input,
    /// Packets that the host forwards.
    Forward,
}

impl Hook {
    /// Returns the hook's name, as nftables has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prerouting | Self::Tracked => "prerouting",
            Self::Input => "input",
            Self::Forward => "forward",
        }
    }
}

impl std::fmt::Display for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The rules of one hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HookRules {
    /// The hook.
    pub hook: Hook,
    /// The rules, in order.
    pub rules: Vec<Rule>,
}

/// One rule: if all of `matches` hold, `action` is taken and counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// What must hold; nothing: every packet.
    pub matches: Vec<Match>,
    /// What is done.
    pub action: Action,
    /// The counter that is increased, if the rule has one. Rules may share it.
    pub counter: Option<SetName>,
    /// The part of the policy that the rule comes from.
    pub origin: Origin,
}

/// The part of a policy that a rule or set comes from, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// What it is, as in `allow "web"` or `trusted`.
    pub what: String,
    /// Where it was written, unless it is part of every policy.
    pub place: Option<Place>,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)?;
        self.place.as_ref().map_or(Ok(()), |place| write!(f, " at {place}"))
    }
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// No objection: the rest of this hook is skipped.
    Pass,
    /// The packet is gone.
    Drop,
    /// A line in the kernel's log, with a limited rate; the next rule goes on.
    Log {
        /// The line's beginning.
        prefix: String,
        /// How often.
        rate: Rate,
    },
}

/// One condition on a packet.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Match {
    /// It arrived on `lo`.
    Loopback,
    /// It arrived on an interface of this list.
    In(SetName),
    /// It arrived on an interface that is not of this list.
    NotIn(SetName),
    /// It leaves by an interface of this list.
    Out(SetName),
    /// It arrives on and leaves by interfaces that match this pattern. If the pattern is a name, that is one interface:
    /// routed or not, the packet stays there.
    Crosses(IfPattern),
    /// Its source is in this set.
    Source(SetName),
    /// Its destination is in this set.
    Destination(SetName),
    /// Its source is in this network.
    SourceNetwork(IpNetwork),
    /// Its destination is in this network.
    DestinationNetwork(IpNetwork),
    /// The address that the client dialled is in this network: the destination of its connection's first packet, before any
    /// translation.
    DialledNetwork(IpNetwork),
    /// Its source is an address of the host itself, and it is none of the host's own packets to a group or to everyone,
    /// which come back to it: it was sent to the host alone, or its destination is an address of the host, too.
    SourceIsOwn,
    /// The host has no route back to its source by the interface that it arrived on. The host's routing decides that, not a
    /// list.
    ReversePathFails,
    /// Routing is going to take it to this hook: its destination is an address of the host, a group or everyone, or none of
    /// these.
    BoundFor(Hook),
    /// It belongs to a known connection, or is an error or helper's packet about one.
    Established,
    /// Its connection's destination was translated.
    Translated,
    /// Its port is one of these.
    Ports {
        /// The protocol that the port is of.
        transport: Transport,
        /// Which port.
        port: PortField,
        /// The ranges, sorted; never empty.
        ranges: Vec<PortRange>,
    },
    /// It is of this IP protocol.
    Protocol(u8),
    /// It is of this family.
    Family(Family),
    /// It is ICMP of this family, of one of these types.
    Icmp {
        /// ICMP or ICMPv6.
        family: Family,
        /// The types.
        types: RangeInclusive<u8>,
    },
    /// Its hop limit (IPv6) or time to live (IPv4) is this, as it is at the hook: a routed packet has lost one.
    HopLimit {
        /// IPv4 or IPv6.
        family: Family,
        /// The number.
        limit: u8,
    },
    /// It is a TCP segment that opens a connection.
    Opening,
    /// It is anything but a TCP segment that opens a connection.
    NotOpening,
}

/// Which port of a packet is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PortField {
    /// The source port in its header.
    Source,
    /// The destination port in its header, after translation if there was any.
    Destination,
    /// The number that the client dialled: the destination port of its connection's first packet, before
    /// any translation.
    Dialled,
}

impl Ruleset {
    /// Returns the rules of a hook, in order.
    pub fn rules(&self, hook: Hook) -> impl Iterator<Item = &Rule> {
        let own = self.hooks.iter().filter(move |rules| rules.hook == hook);
        own.flat_map(|rules| &rules.rules)
    }

    /// Returns the set of addresses of this name.
    pub fn address_list(&self, name: &SetName) -> Option<&AddressList> {
        self.addresses.named(name)
    }

    /// Returns all sets of addresses that rules ask for a source in. Sources in the same of them are the same to all rules.
    pub fn source_sets(&self) -> impl Iterator<Item = AddressSet> + '_ {
        let matches = self.hooks.iter().flat_map(|hook| &hook.rules).flat_map(|rule| &rule.matches);
        let networks: BTreeSet<_> = matches
            .filter_map(|condition| match condition {
                Match::SourceNetwork(network) => {
                    Some(AddressRange::network_of(network.ip(), network.prefix()))
                }
                _ => None,
            })
            .collect();
        let networks = networks.into_iter().map(|network| [network].into_iter().collect());
        self.addresses.iter().map(|list| list.addresses.clone()).chain(networks)
    }

    /// Returns the set of interfaces of this name.
    pub fn interface_list(&self, name: &SetName) -> Option<&InterfaceList> {
        self.interfaces.iter().find(|list| list.name == *name)
    }

    /// Returns the names of all counters, each once, in the order of first use.
    pub fn counters(&self) -> Vec<&SetName> {
        let all = self.hooks.iter().flat_map(|hook| &hook.rules).filter_map(|rule| rule.counter.as_ref());
        let mut seen = HashSet::new();
        all.filter(|name| seen.insert(*name)).collect()
    }
}
