//! Who sends: sources at random, most of them those that policies treat differently. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dockfw_lab::Dice;
use dockfw_policy::address::{Address, Range};

use crate::epochs::{Mask, only};
use crate::policies::{BLOCKED, BLOCKED_NETWORKS, TRUSTED, TRUSTED_NETWORKS};
use crate::verdicts::{Policies, Source};

/// In no list (RFC 5737, RFC 3849).
pub(crate) const STRANGERS: [&str; 2] = ["198.51.100.7", "2001:db8:4000::7"];
/// How many sources of each family there are at a time.
const POOL: usize = 48;

/// The sources of a moment, of each family.
pub(crate) struct Sources<'a> {
    policies: &'a Policies,
    /// For each policy those that few others treat so, of each family.
    peculiar: Vec<[Vec<Source>; 2]>,
    pool: [Vec<Source>; 2],
    /// Those that every policy trusts.
    pub(crate) trusted: [Source; 2],
}

impl<'a> Sources<'a> {
    /// `peculiar` are, for each policy, those that few others treat so.
    pub(crate) fn new(policies: &'a Policies, peculiar: &[&[IpAddr]], dice: &mut Dice) -> Self {
        let of_family = |some: &[IpAddr], v4: bool| {
            some.iter().filter(|one| one.is_ipv4() == v4).map(|one| policies.source(*one)).collect()
        };
        let peculiar = peculiar.iter().map(|some| [of_family(some, true), of_family(some, false)]).collect();
        let trusted = TRUSTED.map(|address| policies.source(parsed(address)));
        let mut sources = Self { policies, peculiar, pool: [vec![], vec![]], trusted };
        for v in [0, 1] {
            sources.pool[v] = (0..POOL).map(|_| sources.draw(dice, v)).collect();
        }
        sources
    }

    /// Puts a new one of each family in the place of an old one.
    pub(crate) fn refresh(&mut self, dice: &mut Dice) {
        for v in [0, 1] {
            let new = self.draw(dice, v);
            self.pool[v][dice.roll(POOL)] = new;
        }
    }

    /// One of a family: half of the time one that is peculiar to a policy which may be in force.
    pub(crate) fn pick(&self, dice: &mut Dice, v: usize, candidates: Mask) -> Source {
        let policies = (0..self.peculiar.len()).filter(|policy| candidates & only(*policy) != 0);
        let peculiar: Vec<_> =
            policies.map(|policy| &self.peculiar[policy][v]).filter(|some| !some.is_empty()).collect();
        if peculiar.is_empty() || dice.one_in(2) {
            return self.pool[v][dice.roll(POOL)];
        }
        let peculiar = dice.pick(&peculiar);
        dice.pick(peculiar)
    }

    fn draw(&self, dice: &mut Dice, v: usize) -> Source {
        let address = match dice.roll(10) {
            0 => parsed(TRUSTED[v]),
            1 => parsed(BLOCKED[v]),
            2 => parsed(STRANGERS[v]),
            3 | 4 => of_network(TRUSTED_NETWORKS[v], dice),
            5 | 6 => of_network(BLOCKED_NETWORKS[v], dice),
            _ => self.listed(dice, v),
        };
        self.policies.source(address)
    }

    /// One that is in some list, at an edge of it or beside one.
    fn listed(&self, dice: &mut Dice, v: usize) -> IpAddr {
        let ruleset = &self.policies.rulesets[dice.roll(self.policies.rulesets.len())];
        let list = &ruleset.addresses[dice.roll(ruleset.addresses.len())].addresses;
        let found =
            if v == 0 { within::<Ipv4Addr>(list.v4(), dice) } else { within::<Ipv6Addr>(list.v6(), dice) };
        found.unwrap_or_else(|| parsed(STRANGERS[v]))
    }
}

fn within<A: Address>(ranges: &[Range<A>], dice: &mut Dice) -> Option<IpAddr> {
    let range = ranges.get(dice.roll(ranges.len().max(1)))?;
    let (first, last) = (range.first().to_number(), range.last().to_number());
    let number = match dice.roll(6) {
        0 => first,
        1 => last,
        2 => first - 1,
        3 => last + 1,
        _ => first + dice.roll(1 << 20) as u128 % (last - first + 1),
    };
    Some(A::from_number(number).into())
}

/// Any host of a network, by its last digits.
fn of_network(network: &str, dice: &mut Dice) -> IpAddr {
    match parsed(network.split('/').next().unwrap_or_default()) {
        IpAddr::V4(v4) => Ipv4Addr::from(u32::from(v4) + 1 + dice.roll(254) as u32).into(),
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) + 1 + dice.roll(1 << 20) as u128).into(),
    }
}

pub(crate) fn parsed(address: &str) -> IpAddr {
    address.parse().expect("an address")
}
