//! Whether helpers of connection tracking (FTP, SIP…) may be at work. They expect connections that no rule opens.
//! Before connection tracking has seen those, they look like any other.

use std::fs;
use std::path::Path;

use super::live;

/// The setting that assigns helpers by port, up to Linux 5.x; removed since.
const AUTOMATIC: &str = "/proc/sys/net/netfilter/nf_conntrack_helper";
/// The loaded modules.
const MODULES: &str = "/proc/modules";
/// The modules that are loaded or built in, as far as they have parameters. All helpers except that of PPTP have some.
const KNOWN: &str = "/sys/module";
/// The helpers' modules (net/netfilter/Kconfig); they are only loaded if somebody wants to use them.
const HELPERS: [&str; 10] = [
    "nf_conntrack_amanda",
    "nf_conntrack_ftp",
    "nf_conntrack_h323",
    "nf_conntrack_irc",
    "nf_conntrack_netbios_ns",
    "nf_conntrack_pptp",
    "nf_conntrack_sane",
    "nf_conntrack_sip",
    "nf_conntrack_snmp",
    "nf_conntrack_tftp",
];

/// Returns a sign that helpers are in use, in words, if there is one. The sign must not come and go with connections:
/// otherwise what is in force would differ from what should be while such a connection lives.
pub(crate) fn sign_of_use() -> Option<String> {
    if read(AUTOMATIC).trim() == "1" {
        return Some(format!("{AUTOMATIC} is 1"));
    }
    let loaded = loaded_helper(&read(MODULES)).map(|module| format!("the kernel module {module} is loaded"));
    loaded.or_else(|| if is_any_built_in() { assigned() } else { None })
}

/// Returns whether any helper is built in: then nothing is loaded for the rule that gives connections one.
fn is_any_built_in() -> bool {
    HELPERS.iter().any(|name| Path::new(KNOWN).join(name).exists())
}

fn assigned() -> Option<String> {
    let place = live::read().tables.helping()?;
    Some(format!("{place} [{}]", place.table))
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn loaded_helper(modules: &str) -> Option<&str> {
    let mut names = modules.lines().filter_map(|line| line.split_whitespace().next());
    names.find(|name| HELPERS.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loaded_helper_is_seen() {
        let modules = "nf_conntrack 180224 2 nf_nat, Live 0x0\nnf_conntrack_ftp 24576 0 - Live 0x0\n";
        assert_eq!(loaded_helper(modules), Some("nf_conntrack_ftp"));
        assert_eq!(loaded_helper("nf_conntrack 180224 2 nf_nat, Live 0x0\n"), None);
    }
}
