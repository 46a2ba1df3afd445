//! What a case takes of the system that not every system has.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

/// Only there with br_netfilter (Documentation/networking/ip-sysctl.rst).
const BRIDGED: &str = "/proc/sys/net/bridge/bridge-nf-call-iptables";

/// Something that a kernel may lack.
#[derive(Clone, Copy)]
pub(crate) enum Need {
    /// nf_tables: for the native engine, or for a table by which the case sees packets behind all filters.
    NfTables,
    /// The tables of iptables-nft and those of iptables-legacy.
    BothVariants,
    /// Tables of nftables with an owner (`NFT_TABLE_F_OWNER` in linux/netfilter/nf_tables.h).
    TableOwners,
    /// Bridged frames that pass iptables (br_netfilter, which newer Dockers do not load).
    BridgeNetfilter,
}

impl Need {
    /// Why it is not met here, if it is not.
    pub(crate) fn lack(self) -> Option<&'static str> {
        let (is_met, reason) = match self {
            Self::NfTables => (has_nf_tables(), "this kernel has no nf_tables"),
            Self::BothVariants => (has_both_variants(), "this kernel has tables for one iptables alone"),
            Self::TableOwners => (running_kernel() >= (5, 12), "no table has an owner before Linux 5.12"),
            Self::BridgeNetfilter => (Path::new(BRIDGED).exists(), "br_netfilter is not loaded"),
        };
        (!is_met).then_some(reason)
    }
}

/// Panics where nft itself can't run: that says nothing about the kernel.
fn has_nf_tables() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| match exit_code(&["nft", "list", "tables"]) {
        Some(0) => true,
        // Beyond these are the codes of those that could not start it.
        Some(1..126) => false,
        other => panic!("nft does not run here, exit code {other:?}"),
    })
}

fn has_both_variants() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    let has = |iptables| exit_code(&[iptables, "-t", "nat", "-S"]) == Some(0);
    *HAS.get_or_init(|| has("iptables-nft") && has("iptables-legacy"))
}

/// In a network namespace of its own, for iptables-legacy makes the table that it is to show.
fn exit_code(command: &[&str]) -> Option<i32> {
    Command::new("unshare").arg("--net").args(command).output().ok()?.status.code()
}

/// The major and the minor number; zeros where they can't be told.
fn running_kernel() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}
