//! Whether the judgements themselves are right. Needs no host.

use anyhow::{Result, ensure};

use crate::campaign::sample;
use crate::state::{Ends, State};

/// A check, and what it is about.
type Check = (&'static str, fn() -> Result<()>);

pub(crate) const CHECKS: &[Check] = &[
    ("a mixture within a family is seen", a_mixture_is_seen),
    ("families are judged apart", families_are_judged_apart),
    ("what every policy has may be there alone", constants_may_be_there_alone),
    ("what nothing leads to is no mixture", the_unused_is_no_mixture),
    ("each share has its call", each_share_has_its_call),
];

/// A state in which the filter of each family drops by one mark, and its mangle by another.
fn state(v4: [u8; 2], v6: [u8; 2]) -> Result<State> {
    let mut printed = String::from("=== nftables\n{\"nftables\": []}\n=== ipset\n=== files\n=== records\n");
    for (family, [filter, mangle]) in [("IPv4", v4), ("IPv6", v6)] {
        let table = |name: &str, mark: u8| match mark {
            0 => String::new(),
            mark => format!("*{name}\n:INPUT ACCEPT [0:0]\n-A INPUT -m mark --mark {mark} -j DROP\nCOMMIT\n"),
        };
        let tables = table("filter", filter) + &table("mangle", mangle);
        printed += &format!("=== {family} iptables-nft\n{tables}=== {family} iptables-legacy\n");
    }
    State::read(&printed)
}

/// What is wrong with a state between two policies.
fn wrong(before: [u8; 2], after: [u8; 2], found: &State) -> Result<Vec<String>> {
    let policies = [[1, 1], [2, 2]].map(|marks| state(marks, marks));
    let [one, other] = policies;
    let (before, after) = (state(before, before)?, state(after, after)?);
    Ok(Ends { before: &before, after: &after, policies: [&one?, &other?] }.mixtures(found))
}

fn a_mixture_is_seen() -> Result<()> {
    let found = wrong([1, 1], [2, 2], &state([2, 1], [1, 1])?)?;
    let words = "IPv4: filter of iptables-nft is as after; mangle of iptables-nft is as before;";
    ensure!(found == [words], "{found:?}");
    let found = wrong([1, 1], [2, 2], &state([1, 1], [2, 3])?)?.join("");
    ensure!(found.starts_with("IPv6: ") && found.contains("mangle of iptables-nft is neither"), "{found}");
    ensure!(!wrong([0, 0], [2, 2], &state([0, 2], [0, 0])?)?.is_empty(), "half of a first apply passes");
    Ok(())
}

fn families_are_judged_apart() -> Result<()> {
    let found = wrong([1, 1], [2, 2], &state([1, 1], [2, 2])?)?;
    ensure!(found.is_empty(), "{found:?}");
    Ok(())
}

fn constants_may_be_there_alone() -> Result<()> {
    let [nothing, alone, whole] = [[0, 0], [7, 0], [7, 2]].map(|marks| state(marks, marks));
    let (nothing, alone, whole, other) = (nothing?, alone?, whole?, state([7, 1], [7, 1])?);
    let ends = Ends { before: &nothing, after: &whole, policies: [&whole, &other] };
    ensure!(ends.mixtures(&alone).is_empty() && ends.has_part_of_end(&alone));
    ensure!(!ends.has_part_of_end(&nothing) && !ends.has_part_of_end(&whole));
    ensure!(!ends.mixtures(&other).is_empty(), "the policy of neither end passes");
    Ok(())
}

fn the_unused_is_no_mixture() -> Result<()> {
    let printed = "=== nftables\n{\"nftables\": []}\n=== ipset\ncreate left hash:net family inet\n=== files\n=== records\n\
                   === IPv4 iptables-nft\n=== IPv4 iptables-legacy\n=== IPv6 iptables-nft\n=== IPv6 iptables-legacy\n";
    let found = State::read(printed)?;
    ensure!(found.unused == ["set left".into()].into() && !found.is_as(&State::default()));
    ensure!(wrong([0, 0], [2, 2], &found)?.is_empty());
    Ok(())
}

fn each_share_has_its_call() -> Result<()> {
    for seed in 0..100 {
        let calls = sample(40, 4, seed);
        let shares: Vec<_> = calls.iter().map(|call| (call - 1) / 10).collect();
        ensure!(shares == [0, 1, 2, 3], "seed {seed}: {calls:?}");
    }
    ensure!(sample(40, 4, 1) != sample(40, 4, 2), "the seed does not matter");
    Ok(())
}
