//! The live rules of others, read: those of nf_tables over netlink, for which no program is needed, and those of iptables as it writes
//! them down. To be walked by [`foreign`](crate::foreign), and said.

use std::collections::BTreeSet;
use std::net::IpAddr;

use dockfw_policy::address::Family;
use dockfw_policy::engine::EngineError;

use super::programs;
use super::saved::{self, Saved};
use crate::foreign::{Table, Tables, iptables};
use crate::nftables::foreign;

/// What `ipset test` ends with where a set has no such element (ipset(8)).
const NOT_THERE: i32 = 1;

/// The rules of others, and what of them could not be read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Others {
    /// The tables.
    pub(crate) tables: Tables,
    /// Why others are missing, in words; empty: none is.
    pub(crate) unreadable: Vec<String>,
}

/// Reads all of them.
pub(crate) fn read() -> Others {
    let (mut tables, mut unreadable) = (Vec::new(), Vec::new());
    // Those that iptables-nft writes down are read from there: its own matches are bytes without a name for anybody else.
    let mut written = BTreeSet::new();
    for saved in saved::everywhere() {
        let is_in_nf_tables = saved.is_in_nf_tables();
        match tables_of(saved) {
            Ok(found) => {
                written.extend(found.iter().filter(|_| is_in_nf_tables).filter_map(name_in_nft));
                tables.extend(found);
            }
            // What it can't write down is read over netlink.
            Err(reason) if is_in_nf_tables => log::debug!("{reason}"),
            Err(reason) => unreadable.push(reason),
        }
    }
    match foreign::read_tables(|name| !written.contains(name)) {
        Ok(found) => tables.extend(found),
        Err(EngineError::Unsupported(reason)) => log::debug!("{reason}"),
        Err(error) => unreadable.push(format!("what others have in nf_tables: {error}")),
    }
    Others { tables: Tables::new(tables), unreadable }
}

/// What a program has written down.
fn tables_of(saved: Saved) -> Result<Vec<Table>, String> {
    let Saved { family, variant, text } = saved;
    let text = text.map_err(|reason| format!("the rules of {variant}: {reason}"))?;
    Ok(iptables::tables(&text, family, &variant))
}

/// What nft calls a table of iptables-nft's.
fn name_in_nft(table: &Table) -> Option<String> {
    let family = if table.family? == Family::Ipv4 { "ip" } else { "ip6" };
    Some(format!("{family} {}", table.of_iptables.as_ref()?))
}

/// Whether a set of ipset has an address, where that can be asked.
pub(crate) fn set_has(set: &str, address: IpAddr) -> Option<bool> {
    match programs::ask("ipset", &["test", set, &address.to_string()])?.status.code()? {
        0 => Some(true),
        NOT_THERE => Some(false),
        _ => None,
    }
}
