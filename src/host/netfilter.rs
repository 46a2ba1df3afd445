//! What others have in netfilter that bears on what dockfw promises: chains that drop by default, and rules that take
//! packets out of connection tracking. From nf_tables over netlink, and from what iptables writes down of itself.

use std::collections::BTreeSet;
use std::fs;

use dockfw_policy::address::Family;
use dockfw_policy::ruleset::Hook;
use nix::libc;

use super::programs::said;
use crate::nftables::foreign;
use crate::text::printable;

/// The programs that write iptables' rules down. None of them is told a table, which would create it.
const SAVERS: [(&str, Family); 6] = [
    ("iptables-save", Family::Ipv4),
    ("ip6tables-save", Family::Ipv6),
    ("iptables-nft-save", Family::Ipv4),
    ("ip6tables-nft-save", Family::Ipv6),
    ("iptables-legacy-save", Family::Ipv4),
    ("ip6tables-legacy-save", Family::Ipv6),
];
/// The ways in which a rule of iptables takes packets out of connection tracking (iptables-extensions(8)).
const NOTRACK: [&str; 2] = [" -j NOTRACK", " --notrack"];

/// What others have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Others {
    /// Chains that drop what none of their rules accepts.
    pub(crate) dropping: BTreeSet<Dropping>,
    /// The tables that take packets out of connection tracking, in words.
    pub(crate) untracking: BTreeSet<String>,
}

/// A chain that drops what none of its rules accepts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Dropping {
    /// Its hook.
    pub(crate) hook: Hook,
    /// Its name.
    pub(crate) chain: String,
    /// Its table, in words.
    pub(crate) table: String,
    /// Its family, where it is iptables' own.
    pub(crate) of_iptables: Option<Family>,
}

/// Reads it. What can't be read, for want of privileges or of programs, is not there.
pub(crate) fn read() -> Others {
    let mut others = in_nf_tables();
    for (program, family) in SAVERS {
        let text = said(program, &[]).unwrap_or_default();
        others.add_saved(family, &text);
    }
    others
}

fn in_nf_tables() -> Others {
    let foreign = foreign::read().unwrap_or_else(|error| {
        log::debug!("what others have in nf_tables can't be read: {error}");
        foreign::Foreign::default()
    });
    let dropping = foreign.dropping.into_iter().filter_map(|chain| {
        Some(Dropping {
            hook: hook_of(chain.hook)?,
            of_iptables: match chain.table.as_str() {
                "ip filter" => Some(Family::Ipv4),
                "ip6 filter" => Some(Family::Ipv6),
                _ => None,
            },
            table: format!("table {}", chain.table),
            chain: chain.chain,
        })
    });
    let untracking = foreign.untracking.into_iter().map(|table| format!("table {table}"));
    Others { dropping: dropping.collect(), untracking: untracking.collect() }
}

/// The hooks at which others may close what a policy opens.
fn hook_of(number: u32) -> Option<Hook> {
    match number.cast_signed() {
        libc::NF_INET_PRE_ROUTING => Some(Hook::Prerouting),
        libc::NF_INET_LOCAL_IN => Some(Hook::Input),
        libc::NF_INET_FORWARD => Some(Hook::Forward),
        _ => None,
    }
}

impl Others {
    /// Adds what a saved ruleset has to tell that is not known yet: what lies in nf_tables is listed by netlink too.
    fn add_saved(&mut self, family: Family, text: &str) {
        let program = if family == Family::Ipv4 { "iptables" } else { "ip6tables" };
        let mut table = "";
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('*') {
                table = name;
            }
            let place = || format!("table {} of {program}", printable(table));
            if NOTRACK.iter().any(|end| line.starts_with("-A ") && line.contains(end)) {
                self.untracking.insert(place());
            }
            let is_known = |hook| {
                self.dropping.iter().any(|known| (known.hook, known.of_iptables) == (hook, Some(family)))
            };
            if let Some((hook, chain)) = dropping_chain(table, line).filter(|(hook, _)| !is_known(*hook)) {
                let of_iptables = Some(family);
                self.dropping.insert(Dropping { hook, chain: chain.into(), table: place(), of_iptables });
            }
        }
    }
}

/// The chain whose policy a line says to be DROP.
fn dropping_chain<'a>(table: &str, line: &'a str) -> Option<(Hook, &'a str)> {
    let (chain, rest) = line.strip_prefix(':')?.split_once(' ')?;
    let hook = match (table, chain) {
        ("filter", "INPUT") => Hook::Input,
        ("filter", "FORWARD") => Hook::Forward,
        _ => return None,
    };
    rest.starts_with("DROP ").then_some((hook, chain))
}

/// How an interface checks that a source could be answered by it (`rp_filter`, Documentation/networking/ip-sysctl.rst): 0
/// not at all, 1 strictly, 2 loosely. The greater one of its own and of that for all counts.
pub(crate) fn reverse_path_filter(interface: &str) -> Option<u8> {
    let of = |name: &str| {
        let text = fs::read_to_string(format!("/proc/sys/net/ipv4/conf/{name}/rp_filter")).ok()?;
        text.trim().parse::<u8>().ok()
    };
    Some(of("all")?.max(of(interface)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEGACY: &str = "# Generated by iptables-save v1.8.9 on Sun Nov 22\n*raw\n:PREROUTING ACCEPT [0:0]\n\
        -A PREROUTING -p udp -m udp --dport 53 -j CT --notrack\nCOMMIT\n*filter\n:INPUT DROP [0:0]\n\
        :FORWARD ACCEPT [0:0]\n:FORWARD2 DROP [0:0]\n-A INPUT -m comment --comment \" -j NOTRACKED\" -j ACCEPT\nCOMMIT\n";

    #[test]
    fn a_saved_ruleset_tells_who_drops_and_who_untracks() {
        let mut others = Others::default();
        others.add_saved(Family::Ipv4, LEGACY);
        let chains: Vec<_> = others.dropping.iter().map(|one| (one.hook, one.chain.as_str())).collect();
        assert_eq!(chains, [(Hook::Input, "INPUT")]);
        assert!(others.untracking.contains("table raw of iptables"), "{others:?}");
    }

    #[test]
    fn a_chain_that_netlink_told_of_is_not_told_twice() {
        let chain = Dropping {
            hook: Hook::Input,
            chain: "INPUT".into(),
            table: "table ip filter".into(),
            of_iptables: Some(Family::Ipv4),
        };
        let mut others = Others { dropping: [chain].into(), ..Others::default() };
        others.add_saved(Family::Ipv4, LEGACY);
        assert_eq!(others.dropping.len(), 1, "{others:?}");
        others.add_saved(Family::Ipv6, LEGACY);
        assert_eq!(others.dropping.len(), 2, "{others:?}");
    }

    #[test]
    fn nonsense_is_nothing() {
        let mut others = Others::default();
        for text in ["", "*", ":", ":INPUT", "*filter\n:INPUT DROP", "-A"] {
            others.add_saved(Family::Ipv4, text);
        }
        assert_eq!(others, Others::default());
    }
}
