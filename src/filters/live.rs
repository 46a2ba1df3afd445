//! The live rules of others, read: those of nf_tables over netlink, without a program, and those of iptables as it
//! writes them. [`foreign`](crate::foreign) walks them, and they are reported.

use std::collections::BTreeSet;
use std::net::IpAddr;

use dockfw_policy::address::Family;
use dockfw_policy::engine::EngineError;

use super::nf_tables;
use super::saved::{self, Saved};
use crate::foreign::{Table, Tables, listing};
use crate::host::programs;

/// What `ipset test` prints if a set has no such element (`ipset_cmd`, lib/ipset.c): it exits with 1 then, as it does
/// after all errors.
const NOT_THERE: &str = " is NOT in set ";
/// The types of sets that hold addresses and nothing besides. For a list of sets, ipset would take an address for the
/// name of a set.
const OF_ADDRESSES: [&str; 3] = ["hash:ip", "hash:net", "bitmap:ip"];

/// The rules of others, and what of them could not be read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Others {
    /// The tables.
    pub(crate) tables: Tables,
    /// Why others are missing, in words; empty if none is.
    pub(crate) unreadable: Vec<String>,
    /// Chains at hooks that are not walked.
    pub(crate) unseen: BTreeSet<String>,
}

impl Others {
    /// Returns whether what is known of them is complete.
    pub(crate) fn is_whole(&self) -> bool {
        self.unreadable.is_empty() && self.unseen.is_empty()
    }
}

/// Reads all of them.
pub(crate) fn read() -> Others {
    let (mut tables, mut unreadable) = (Vec::new(), Vec::new());
    // Those that iptables-nft lists are read from its listing: its own matches are bytes that only it can interpret.
    let mut written = BTreeSet::new();
    for saved in saved::everywhere() {
        let is_in_nf_tables = saved.is_in_nf_tables();
        match tables_of(saved) {
            Ok(found) => {
                written.extend(found.iter().filter(|_| is_in_nf_tables).filter_map(name_in_nft));
                tables.extend(found);
            }
            // What it can't list is read over netlink.
            Err(reason) if is_in_nf_tables => log::debug!("{reason}"),
            Err(reason) => unreadable.push(reason),
        }
    }
    let in_nf_tables = nf_tables::read_tables(|name| !written.contains(name));
    let mut unseen = BTreeSet::new();
    match in_nf_tables.and_then(|found| Ok((found, nf_tables::unseen()?))) {
        Ok((found, chains)) => {
            tables.extend(found);
            unseen = chains;
        }
        Err(EngineError::Unsupported(reason)) => log::debug!("{reason}"),
        Err(error) => unreadable.push(format!("what others have in nf_tables: {error}")),
    }
    Others { tables: Tables::new(tables), unreadable, unseen }
}

/// Returns the tables in a program's listing.
fn tables_of(saved: Saved) -> Result<Vec<Table>, String> {
    let Saved { family, variant, text } = saved;
    let text = text.map_err(|reason| format!("the rules of {variant}: {reason}"))?;
    Ok(listing::tables(&text, family, &variant))
}

/// Returns what nft calls a table of iptables-nft's.
fn name_in_nft(table: &Table) -> Option<String> {
    let family = if table.family? == Family::Ipv4 { "ip" } else { "ip6" };
    Some(format!("{family} {}", table.of_iptables.as_ref()?))
}

/// Returns whether a set of ipset has an address, if that can be asked.
pub(crate) fn set_has(set: &str, address: IpAddr) -> Option<bool> {
    let about = programs::said("ipset", &["list", "-terse", set])?;
    let kind = about.lines().find_map(|line| line.strip_prefix("Type: "))?;
    if !OF_ADDRESSES.contains(&kind.trim_end()) {
        return None;
    }
    let answer = programs::ask("ipset", &["test", set, &address.to_string()])?;
    let is_not_there = || answer.stderr.contains(NOT_THERE).then_some(false);
    answer.status.success().then_some(true).or_else(is_not_there)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};

    use super::*;
    use crate::nftables::tests::in_namespace;

    fn run(command: &str) {
        let output = Command::new("sh").args(["-ec", command]).output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }

    #[test]
    #[ignore = "needs root"]
    fn a_set_that_can_not_be_asked_for_an_address_has_not_surely_none() {
        in_namespace(|| {
            run("ipset create bans hash:net; ipset add bans 192.0.2.0/24
                 ipset create lists list:set; ipset add lists bans; ipset create ports bitmap:port range 0-100; ipset create v6 hash:ip family inet6");
            let has = |set: &str, address: &str| set_has(set, address.parse().unwrap());
            assert_eq!([has("bans", "192.0.2.9"), has("bans", "198.51.100.9")], [Some(true), Some(false)]);
            for set in ["lists", "ports", "v6", "none"] {
                assert_eq!(has(set, "192.0.2.9"), None, "{set}");
            }
        });
    }

    /// For example, if a container on the host's network has its own.
    #[test]
    #[ignore = "needs root"]
    fn tables_of_iptables_legacy_that_no_program_lists_are_said() {
        in_namespace(|| {
            let legacy = Path::new("/usr/sbin/iptables-legacy-save").canonicalize().expect("iptables-legacy");
            unshare(CloneFlags::CLONE_NEWNS).unwrap();
            let none = None::<&str>;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
            run("iptables-legacy -t nat -A PREROUTING -j ACCEPT");
            assert_eq!(read().unreadable, [""; 0]);
            mount(Some("/dev/null"), &legacy, none, MsFlags::MS_BIND, none).unwrap();
            let unreadable = read().unreadable;
            let [said] = &unreadable[..] else { panic!("{unreadable:?}") };
            assert!(said.starts_with("the rules of iptables-legacy: the kernel may have some"), "{said}");
        });
    }
}
