//! Rules that pass by ports, as a tree of chains.
//!
//! iptables asks one rule after the other. In a tree, a packet meets only the rules for ports near its own: a chain is for
//! a block of ports, and leads to chains for parts of it. A block begins at a multiple of its size, so that one rule more
//! or less changes no chains but those for its own ports.

use std::collections::BTreeMap;

use dockfw_policy::ruleset::{self, Action, Match, PortField};
use dockfw_policy::service::{PortRange, Transport};

use super::chains::Chains;
use super::row::Row;
use super::{Excepting, Inexpressible, Lowering, connection};
use crate::wanted::{Chain, Rule};

/// How many rules of iptables stay a list.
const LIST: usize = 16;
/// How many rules of iptables for one part of a block have no chain of their own.
const FEW: usize = 2;
/// A block has four parts: so a packet meets few chains, and few rules in each that lead on.
const PART_BITS: u32 = 2;

/// What the ports of a rule are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    field: PortField,
    transport: Transport,
}

/// Returns whether a rule passes packets by one of their ports. Such rules may be in any order among themselves.
pub(super) fn passes_by_port(rule: &ruleset::Rule) -> bool {
    kind(rule).is_some()
}

fn kind(rule: &ruleset::Rule) -> Option<Kind> {
    let mut kinds = rule.matches.iter().filter_map(|condition| match condition {
        Match::Ports { transport, port, .. } => Some(Kind { field: *port, transport: *transport }),
        _ => None,
    });
    let kind = kinds.next().filter(|kind| rule.action == Action::Pass && kind.field != PortField::Source);
    kind.filter(|_| kinds.next().is_none())
}

impl Lowering<'_> {
    /// Adds a run of rules that pass by ports: as trees if they are many.
    pub(super) fn add_by_ports(
        &self,
        chains: &mut Chains,
        run: &[Excepting<'_>],
    ) -> Result<(), Inexpressible> {
        let trees = self.trees(run)?;
        let is_in_tree = |rule| trees.iter().any(|(own, _)| kind(rule) == Some(*own));
        for one in run.iter().filter(|one| !is_in_tree(one.rule)) {
            chains.add(self.rows(one, one.excluded.first())?);
        }
        // Packets have one protocol, but both ports: rules for the other one go on behind those for the first.
        for trees in trees.chunk_by(|(one, _), (next, _)| one.field == next.field) {
            let next = chains.next();
            for (kind, entries) in trees {
                let mut tree = Tree { lowering: self, kind: *kind, next: &next, chains: vec![] };
                chains.add(tree.lead(entries.iter().collect()));
                chains.add_whole(tree.chains);
            }
            chains.go_on();
        }
        Ok(())
    }

    /// Returns the rules that become trees, by kind.
    fn trees(&self, run: &[Excepting<'_>]) -> Result<Vec<(Kind, Vec<Entry>)>, Inexpressible> {
        let fields = [PortField::Dialled, PortField::Destination];
        let kinds = fields.map(|field| Transport::ALL.map(|transport| Kind { field, transport }));
        let mut trees = Vec::new();
        for own in kinds.into_iter().flatten() {
            let rules = run.iter().filter(|one| kind(one.rule) == Some(own));
            let entries = rules.map(|one| self.entries(one)).collect::<Result<Vec<_>, _>>()?.concat();
            trees.extend((count(entries.iter()) > LIST).then_some((own, entries)));
        }
        Ok(trees)
    }

    /// Returns the rules of iptables for each range of a rule.
    fn entries(&self, one: &Excepting<'_>) -> Result<Vec<Entry>, Inexpressible> {
        let ranges = one.rule.matches.iter().find_map(|condition| match condition {
            Match::Ports { ranges, .. } => Some(ranges),
            _ => None,
        });
        let entry = |range: &PortRange| {
            let rule = with_range(one.rule, *range);
            let one = Excepting { excluded: one.excluded.clone(), rule: &rule, goes_on: one.goes_on };
            Ok(Entry { range: *range, rules: self.rows(&one, one.excluded.first())? })
        };
        ranges.into_iter().flatten().map(entry).collect()
    }
}

/// Returns a rule for one range of its ports.
fn with_range(rule: &ruleset::Rule, range: PortRange) -> ruleset::Rule {
    let mut rule = rule.clone();
    for condition in &mut rule.matches {
        if let Match::Ports { ranges, .. } = condition {
            *ranges = vec![range];
        }
    }
    rule
}

/// The rules of iptables for one range of ports.
#[derive(Clone)]
struct Entry {
    range: PortRange,
    rules: Vec<Rule>,
}

fn count<'e>(entries: impl Iterator<Item = &'e Entry>) -> usize {
    entries.map(|entry| entry.rules.len()).sum()
}

fn rules<'e>(entries: impl IntoIterator<Item = &'e Entry>) -> Vec<Rule> {
    entries.into_iter().flat_map(|entry| entry.rules.iter().cloned()).collect()
}

/// A tree in the making.
struct Tree<'a> {
    lowering: &'a Lowering<'a>,
    kind: Kind,
    /// The chain for what no rule of the tree decides about.
    next: &'a str,
    chains: Vec<Chain>,
}

impl Tree<'_> {
    /// Returns rules that lead to these entries, or the entries' own rules if they are few.
    fn lead(&mut self, entries: Vec<&Entry>) -> Vec<Rule> {
        let count = count(entries.iter().copied());
        if count <= FEW {
            return rules(entries);
        }
        let block = Block::around(&entries);
        let mut own = if count <= LIST { rules(entries) } else { self.parts(block, entries) };
        own.push(connection(&["-g", self.next]));
        let name = self.name(block);
        let lead = self.lead_to(block, &name);
        self.chains.push(Chain { name, rules: own });
        lead
    }

    /// Returns the rules of a chain with parts. Those for ports of several parts come first.
    fn parts(&mut self, block: Block, entries: Vec<&Entry>) -> Vec<Rule> {
        let mut parts: BTreeMap<_, Vec<&Entry>> = BTreeMap::new();
        for entry in entries {
            parts.entry(block.part_of(entry.range)).or_default().push(entry);
        }
        let several = rules(parts.remove(&None).unwrap_or_default());
        parts.into_values().fold(several, |own, part| [own, self.lead(part)].concat())
    }

    /// Returns the name of the chain for a block. The longest has 28 bytes, which is the most that iptables accepts.
    fn name(&self, block: Block) -> String {
        let letter = match self.kind.transport {
            Transport::Tcp => 'T',
            Transport::Udp => 'U',
            Transport::Sctp => 'S',
        };
        let ports = block.ports();
        format!("{}-{letter}{}-{}", self.next, ports.first(), ports.last())
    }

    fn lead_to(&self, block: Block, name: &str) -> Vec<Rule> {
        let Kind { field, transport } = self.kind;
        let ports = Match::Ports { transport, port: field, ranges: vec![block.ports()] };
        let alternatives = self.lowering.alternatives(&ports).unwrap_or_default();
        let rows = alternatives.iter().filter_map(|parts| Row::default().with(parts).ok().flatten());
        let words = |row: Row| [row.words(), vec!["-g".into(), name.into()]].concat();
        rows.map(|row| Rule { words: words(row), origin: None }).collect()
    }
}

/// As many ports as a power of two, from a multiple of that on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    number: u32,
    bits: u32,
}

impl Block {
    /// Returns the smallest block that holds the ports of all entries.
    fn around(entries: &[&Entry]) -> Self {
        let first = entries.iter().map(|entry| entry.range.first()).min().unwrap_or_default();
        let last = entries.iter().map(|entry| entry.range.last()).max().unwrap_or_default();
        let of = |bits| (u32::from(first) >> bits, u32::from(last) >> bits);
        let sizes = (0..=u16::BITS).step_by(PART_BITS as usize);
        let bits = sizes.take_while(|bits| of(*bits).0 != of(*bits).1).count() as u32 * PART_BITS;
        Self { number: of(bits).0, bits }
    }

    /// Returns the part of the block that holds a range.
    fn part_of(self, range: PortRange) -> Option<u32> {
        let bits = self.bits.checked_sub(PART_BITS)?;
        let [first, last] = [range.first(), range.last()].map(|port| u32::from(port) >> bits);
        (first == last).then_some(first)
    }

    /// Returns its ports, without 0, which nobody can dial.
    fn ports(self) -> PortRange {
        let first = self.number << self.bits;
        let last = first + (1 << self.bits) - 1;
        let range = u16::try_from(first.max(1)).ok().zip(u16::try_from(last).ok());
        range.and_then(|(first, last)| PortRange::new(first, last)).unwrap_or(PortRange::ALL)
    }
}

#[cfg(test)]
mod tests {
    use dockfw_policy::address::Family;
    use dockfw_policy::ruleset::{HookRules, Origin, Ruleset};
    use proptest::prelude::*;

    use super::*;

    const KINDS: [Kind; 3] = [
        Kind { field: PortField::Dialled, transport: Transport::Tcp },
        Kind { field: PortField::Dialled, transport: Transport::Udp },
        Kind { field: PortField::Destination, transport: Transport::Tcp },
    ];

    fn rule(kind: Kind, (first, last): (u16, u16)) -> ruleset::Rule {
        let ranges = vec![PortRange::new(first, last).unwrap()];
        let matches = vec![Match::Ports { transport: kind.transport, port: kind.field, ranges }];
        let origin = Origin { what: format!("{kind:?} {first}-{last}"), place: None };
        ruleset::Rule { matches, action: Action::Pass, counter: None, origin }
    }

    fn chains(rules: &[ruleset::Rule]) -> Vec<Chain> {
        let ruleset = Ruleset {
            addresses: std::iter::empty().collect(),
            interfaces: vec![],
            hooks: vec![] as Vec<HookRules>,
        };
        let lowering = Lowering::of(&ruleset, Family::Ipv4, &[]);
        lowering.chain("DOCKFW-USER", &lowering.excepting(rules.iter())).unwrap()
    }

    fn of_ports(ports: impl IntoIterator<Item = u16>) -> Vec<ruleset::Rule> {
        ports.into_iter().map(|port| rule(KINDS[0], (port, port))).collect()
    }

    /// Walks the chains as a packet does whose ports are all this one. Returns how many rules it meets, and whether one of
    /// them lets it through.
    fn walk(chains: &[Chain], transport: Transport, port: u16) -> (usize, bool) {
        let named = |name: &str| chains.iter().find(|chain| chain.name == name).unwrap().rules.as_slice();
        let mut rest = named("DOCKFW-USER");
        let mut met = 0;
        while let [rule, others @ ..] = rest {
            met += 1;
            rest = match (matches(rule, transport, port), rule.words.last().unwrap().as_str()) {
                (true, "RETURN") => return (met, true),
                (true, chain) => named(chain),
                (false, _) => others,
            };
        }
        (met, false)
    }

    fn matches(rule: &Rule, transport: Transport, port: u16) -> bool {
        let value = |option: &str| {
            let at = rule.words.iter().position(|word| word == option)?;
            rule.words.get(at + 1)
        };
        let ports = value("--ctorigdstport").or_else(|| value("--dports"));
        let has_port = ports.is_none_or(|ports| {
            let (first, last) = ports.split_once(':').unwrap_or((ports, ports));
            (first.parse().unwrap()..=last.parse().unwrap()).contains(&port)
        });
        value("-p").is_none_or(|protocol| protocol == transport.name()) && has_port
    }

    #[test]
    fn a_few_rules_stay_a_list_in_their_order() {
        let rules = of_ports((0..LIST as u16).map(|number| 1 + number * 79 % 1000));
        let [chain] = chains(&rules).try_into().unwrap();
        let origins = chain.rules.iter().map(|rule| rule.origin.clone().unwrap());
        assert!(origins.eq(rules.iter().map(|rule| rule.origin.clone())));
    }

    #[test]
    fn a_packet_meets_few_of_many_rules() {
        for ports in [(1..=1000).collect::<Vec<u16>>(), (0..1000).map(|number| 1 + number * 65).collect()] {
            let chains = chains(&of_ports(ports.clone()));
            let of_policy = chains.iter().flat_map(|chain| &chain.rules).filter(|rule| rule.origin.is_some());
            assert_eq!(of_policy.count(), ports.len(), "each is there once");
            for port in ports {
                let (met, is_let_through) = walk(&chains, Transport::Tcp, port);
                assert!(is_let_through && met <= 40, "port {port} meets {met}");
            }
        }
    }

    #[test]
    fn one_rule_more_changes_the_chains_of_its_ports_alone() {
        let before = chains(&of_ports((1..=900).map(|number| number * 72)));
        let after = chains(&of_ports((1..=900).map(|number| number * 72).chain([12_345])));
        let changed = after.iter().filter(|chain| !before.contains(chain));
        let names: Vec<_> = changed.map(|chain| chain.name.as_str()).collect();
        assert_eq!(names, ["DOCKFW-USER-2-T12288-13311"]);
    }

    #[test]
    fn the_longest_name_fits() {
        let rules = [KINDS.as_slice(); 9].concat().into_iter().cycle().take(300);
        let chains = chains(&rules.map(|kind| rule(kind, (65_534, 65_535))).collect::<Vec<_>>());
        assert!(chains.iter().any(|chain| chain.name == "DOCKFW-USER-2-T65532-65535"), "{chains:?}");
        assert!(chains.iter().all(|chain| chain.name.len() <= 28));
    }

    proptest! {
        #[test]
        fn a_tree_lets_through_what_its_rules_do(
            rules in prop::collection::vec((prop::sample::select(&KINDS[..]), 1..2000u16, 0..300u16, any::<bool>()), 0..120),
            ports in prop::collection::vec(0..2500u16, 40),
        ) {
            let range = |(kind, first, more, is_single): (Kind, u16, u16, bool)| {
                (kind, (first, if is_single { first } else { first + more }))
            };
            let rules: Vec<_> = rules.into_iter().map(range).collect();
            let chains = chains(&rules.iter().map(|(kind, range)| rule(*kind, *range)).collect::<Vec<_>>());
            for (transport, port) in Transport::ALL.into_iter().flat_map(|own| ports.iter().map(move |port| (own, *port))) {
                let is_for = |(kind, (first, last)): &(Kind, (u16, u16))| {
                    kind.transport == transport && (*first..=*last).contains(&port)
                };
                let expected = rules.iter().any(is_for);
                prop_assert_eq!(walk(&chains, transport, port).1, expected, "{:?} {}", transport, port);
            }
        }
    }
}
