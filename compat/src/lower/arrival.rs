//! What is decided about packets as they arrive, after connection tracking and before translation and routing: the rules
//! of the first two hooks, in the order in which table mangle asks them. Pure code, on the common form.
//!
//! Packets of live connections meet only what the first hook drops. Whatever else the first two hooks drop, a later one
//! drops as well ([`ruleset`](dockfw_policy::ruleset)). So other packets are asked first for what lets most of them go on
//! to there, and else are dropped: to look up an address in a list, or among the host's, costs as much as five questions
//! for a port.

use std::collections::{BTreeMap, BTreeSet};

use dockfw_policy::address::AddressRange;
use dockfw_policy::ruleset::{Action, AddressList, Hook, Match, Origin, PortField, Rule, Ruleset, SetName};
use dockfw_policy::service::{PortRange, Transport};
use ipnetwork::IpNetwork;

/// The name of the list of those whom rules name. No rule's own list has it: their names have a common beginning.
const NAMED: &str = "named";
/// The longest list that becomes part of that one. Longer ones are asked by themselves, so that memory holds few addresses
/// twice.
const MAX_JOINED: usize = 4096;

/// What is asked of arriving packets.
pub(super) struct Arrival {
    /// The rules for packets of live connections, in order.
    pub(super) live: Vec<Rule>,
    /// The rules for all other packets, in order.
    pub(super) others: Vec<Rule>,
    /// A list that these rules name and the ruleset does not have.
    pub(super) named: Option<AddressList>,
}

impl Arrival {
    /// Returns what is asked under a ruleset.
    pub(super) fn of(ruleset: &Ruleset) -> Self {
        let first = || ruleset.rules(Hook::Prerouting);
        let (repeated, mut others): (Vec<_>, Vec<_>) = first().cloned().partition(is_repeated);
        let passes = |rule: &&Rule| rule.action == Action::Pass;
        let passing = ruleset.rules(Hook::Tracked).take_while(passes);
        let wide = Wide::of(passing.filter(|rule| !is_settled(rule, &others)));
        let (sources, named) = wide.sources(ruleset);
        others.extend(wide.open_ports().into_iter().chain(sources).chain(wide.others));
        others.extend(repeated);
        others.extend(ruleset.rules(Hook::Tracked).skip_while(passes).cloned());
        Self { live: without_last_passing(first().cloned().collect()), others, named }
    }
}

/// Returns whether a later hook does the same to all packets but those of live connections. What is in a packet's header
/// is not repeated there: the later hooks ask connection tracking for the dialled address, and it may not know the packet.
fn is_repeated(rule: &Rule) -> bool {
    let of_header =
        |condition: &Match| matches!(condition, Match::SourceNetwork(_) | Match::DestinationNetwork(_));
    rule.action != Action::Pass && !rule.matches.iter().any(of_header)
}

/// Returns whether no packet gets as far as to a rule that passes, behind these and beside the live connections.
fn is_settled(rule: &Rule, before: &[Rule]) -> bool {
    let same = |other: &Rule| other.action == Action::Pass && other.matches == rule.matches;
    rule.matches == [Match::Established] || before.iter().any(same)
}

/// Returns rules without those at the end that pass: what no rule decides about passes as well.
fn without_last_passing(mut rules: Vec<Rule>) -> Vec<Rule> {
    let used = rules.iter().rposition(|rule| rule.action != Action::Pass).map_or(0, |last| last + 1);
    rules.truncate(used);
    rules
}

/// What passes, and maybe more: the ports that are open to everyone, by any interface or by some; everybody whom a rule
/// names, for whatever; and other rules.
#[derive(Default)]
struct Wide {
    ports: BTreeMap<(Option<SetName>, Transport), BTreeSet<PortRange>>,
    names: BTreeSet<SetName>,
    networks: Vec<IpNetwork>,
    others: Vec<Rule>,
}

impl Wide {
    fn of<'a>(rules: impl Iterator<Item = &'a Rule>) -> Self {
        let mut wide = Self::default();
        for rule in rules {
            match open_to_everyone(&rule.matches) {
                Some((by, transport, ranges)) => {
                    wide.ports.entry((by.cloned(), transport)).or_default().extend(ranges);
                }
                None => match rule.matches.iter().find_map(source) {
                    Some(Named::List(name)) => wide.names.extend([name.clone()]),
                    Some(Named::Network(network)) => wide.networks.push(network),
                    None => wide.others.push(rule.clone()),
                },
            }
        }
        wide
    }

    /// Returns rules for the ports. They are still as they were dialled, and the header has them.
    fn open_ports(&self) -> Vec<Rule> {
        let open = |((by, transport), ranges): (&(Option<SetName>, Transport), &BTreeSet<PortRange>)| {
            let ranges = ranges.iter().copied().collect();
            let ports = Match::Ports { transport: *transport, port: PortField::Destination, ranges };
            pass(by.iter().cloned().map(Match::In).chain([ports]).collect(), "open to everyone")
        };
        self.ports.iter().map(open).collect()
    }

    /// Returns rules for the sources, and the list that some of them are joined in.
    fn sources(&self, ruleset: &Ruleset) -> (Vec<Rule>, Option<AddressList>) {
        let lists = self.names.iter().filter_map(|name| ruleset.address_list(name));
        let (short, long): (Vec<_>, Vec<_>) = lists.partition(|list| list.addresses.len() <= MAX_JOINED);
        let (alone, named) = match (short.as_slice(), self.networks.as_slice()) {
            ([] | [_], []) => (short, None),
            (several, networks) => (vec![], joined(several, networks)),
        };
        let names = alone.into_iter().chain(named.as_ref()).chain(long).map(|list| list.name.clone());
        let rules = names.map(|name| pass(vec![Match::Source(name)], "named by a rule")).collect();
        (rules, named)
    }
}

/// Returns the ports that a rule opens to everyone, and by which list of interfaces if it names one.
fn open_to_everyone(matches: &[Match]) -> Option<(Option<&SetName>, Transport, &[PortRange])> {
    let (by, ports) = match matches {
        [ports] => (None, ports),
        [Match::In(by), ports] | [ports, Match::In(by)] => (Some(by), ports),
        _ => return None,
    };
    match ports {
        Match::Ports { transport, port: PortField::Dialled, ranges } => Some((by, *transport, ranges)),
        _ => None,
    }
}

/// Whom a rule names.
enum Named<'a> {
    List(&'a SetName),
    Network(IpNetwork),
}

fn source(condition: &Match) -> Option<Named<'_>> {
    match condition {
        Match::Source(name) => Some(Named::List(name)),
        Match::SourceNetwork(network) => Some(Named::Network(*network)),
        _ => None,
    }
}

fn joined(lists: &[&AddressList], networks: &[IpNetwork]) -> Option<AddressList> {
    let networks = networks.iter().map(|network| AddressRange::network_of(network.ip(), network.prefix()));
    let addresses = lists.iter().flat_map(|list| list.addresses.ranges()).chain(networks).collect();
    let comment = "everybody whom a rule names".into();
    SetName::new(NAMED).map(|name| AddressList { name, comment, addresses })
}

fn pass(matches: Vec<Match>, what: &str) -> Rule {
    let origin = Origin { what: what.into(), place: None };
    Rule { matches, action: Action::Pass, counter: None, origin }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::path::Path as FilePath;

    use dockfw_policy::compile::{EarlyDrop, compile_with};
    use dockfw_policy::reverse_path::before_translation;
    use dockfw_policy::ruleset::HookRules;
    use dockfw_policy::walk::{Connection, Interface, Packet, Path, Payload, Sender, Translation, verdict};
    use dockfw_policy::{FilesInMemory, Strictness, load};
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    const EVERYTHING: &str = include_str!("../../../tests/golden/everything/dockfw.toml");
    const NETWORKS: &str = include_str!("../../../tests/golden/networks/dockfw.toml");
    const OWN_PORTS: &str = include_str!("../../../tests/golden/container-ports/dockfw.toml");

    const INTERFACES: &[&str] =
        &["lo", "eth0", "enp1s0", "wg0", "docker0", "br-1", "virbr0", "vmbr0", "other"];

    fn ruleset(policy: &str, early_drop: EarlyDrop) -> Ruleset {
        let policy = policy.replace("\"file:vpn.txt\"", "\"192.0.2.64/26\"");
        let files = FilesInMemory::new([("/dockfw.toml", policy.as_str())]);
        let loaded = load(FilePath::new("/dockfw.toml"), &files, Strictness::Forced);
        let policy = loaded.unwrap_or_else(|rejected| panic!("{rejected}")).policy;
        before_translation(compile_with(&policy, early_drop))
    }

    /// The same with what arriving packets are asked in the place of the first two hooks.
    fn arranged(ruleset: &Ruleset, connection: Connection) -> Ruleset {
        let Arrival { live, others, named } = Arrival::of(ruleset);
        let mut arranged = ruleset.clone();
        arranged.addresses = arranged.addresses.iter().cloned().chain(named).collect();
        arranged.hooks.retain(|rules| !matches!(rules.hook, Hook::Prerouting | Hook::Tracked));
        let (hook, rules) = match connection {
            Connection::Live => (Hook::Prerouting, live),
            _ => (Hook::Tracked, others),
        };
        arranged.hooks.push(HookRules { hook, rules });
        arranged
    }

    fn path() -> impl Strategy<Value = Path> {
        let interface = || {
            select(INTERFACES).prop_map(|name| Interface {
                name: name.into(),
                is_bridge: ["docker0", "br-1", "virbr0", "vmbr0"].contains(&name),
            })
        };
        let port = || select(vec![22, 53, 67, 68, 80, 443, 2377, 4789, 4790, 5432, 7946, 9100, 51_820]);
        let transport = select(&Transport::ALL[..]);
        let ports =
            (transport, port(), port(), any::<bool>()).prop_map(|(transport, source, destination, opens)| {
                Payload::Ports { transport, source, destination, opens }
            });
        let other = prop_oneof![
            select(vec![0, 3, 8, 128, 130, 135, 143]).prop_map(Payload::Icmp),
            select(vec![2, 47, 50]).prop_map(Payload::Other)
        ];
        let destination =
            select(vec!["198.51.100.1", "127.0.0.1", "224.0.0.22", "2001:db8::1", "::1", "fe80::7"]);
        let connection = select(vec![Connection::New, Connection::Live, Connection::None]);
        let ways = (interface(), proptest::option::of(interface()), proptest::option::of(port()));
        (destination, prop_oneof![4 => ports, 1 => other], connection, ways).prop_map(
            |(destination, payload, connection, (incoming, outgoing, translated))| {
                let destination: IpAddr = destination.parse().unwrap();
                let container = if destination.is_ipv4() { "172.17.0.2" } else { "fd00:d0c::2" };
                let address = container.parse().unwrap();
                let translated = translated.map(|port| Translation { address, port });
                Path { destination, payload, hop_limit: 255, translated, incoming, outgoing, connection }
            },
        )
    }

    /// Of each list one address or more, and some that no list has.
    fn senders(ruleset: &Ruleset, path: &Path) -> Vec<Sender> {
        let first = |list: &AddressList| {
            let v4 = list.addresses.v4().iter().map(|range| IpAddr::from(range.first()));
            let v6 = list.addresses.v6().iter().map(|range| IpAddr::from(range.first()));
            v4.take(2).chain(v6.take(2)).collect::<Vec<_>>()
        };
        let strangers =
            ["203.0.113.77", "127.0.0.9", "2001:db8:ffff::1", "::1"].map(|one| one.parse().unwrap());
        let addresses = ruleset.addresses.iter().flat_map(first).chain(strangers);
        let addresses = addresses.filter(|one| one.is_ipv4() == path.destination.is_ipv4());
        let flags = [(false, false), (true, false), (false, true)];
        let with_flags = |address| {
            flags.map(|(is_own, reverse_path_fails)| Sender { address, is_own, reverse_path_fails })
        };
        addresses.flat_map(with_flags).collect()
    }

    proptest! {
        /// What comes in by `lo` is never forwarded.
        #[test]
        fn the_order_in_which_arriving_packets_are_asked_changes_no_verdict(
            policy in select(vec![EVERYTHING, NETWORKS, OWN_PORTS]),
            early_drop in select(vec![EarlyDrop::Nothing, EarlyDrop::Tracked]),
            path in path(),
        ) {
            prop_assume!(path.incoming.name != "lo" || path.outgoing.is_none());
            let whole = ruleset(policy, early_drop);
            let arranged = arranged(&whole, path.connection);
            for sender in senders(&whole, &path) {
                let packet = Packet { sender, path: path.clone() };
                prop_assert_eq!(verdict(&arranged, &packet), verdict(&whole, &packet), "{:?}", sender);
            }
        }
    }

    #[test]
    fn long_lists_are_asked_alone_and_short_ones_at_once() {
        let list = |count: u32| {
            (0..count).map(|n| format!("\"10.{}.{}.0/32\"", n / 256, n % 256)).collect::<Vec<_>>().join(",\n")
        };
        let asked = |trusted: &str, others: &[&str]| {
            let allow = |from: &&str| {
                format!("[[allow]]\nname = \"{}\"\nports = [\"80/tcp\"]\nfrom = [{from}]\n", from.len())
            };
            let rules: String = others.iter().map(allow).collect();
            let arrival =
                Arrival::of(&ruleset(&format!("trusted = [{trusted}]\n{rules}"), EarlyDrop::Tracked));
            let named = arrival.others.iter().flat_map(|rule| &rule.matches).filter_map(|one| match one {
                Match::Source(name) => Some(name.to_string()),
                _ => None,
            });
            named.collect::<Vec<_>>()
        };
        assert_eq!(asked("\"192.0.2.1\"", &[]), ["trusted"]);
        assert_eq!(asked("\"192.0.2.1\"", &["\"192.0.2.2\"", "\"192.0.2.33\""]), ["named"]);
        let long = list(MAX_JOINED as u32 + 1);
        assert_eq!(asked(&long, &["\"192.0.2.2\"", "\"192.0.2.33\""]), ["named", "trusted"]);
    }
}
