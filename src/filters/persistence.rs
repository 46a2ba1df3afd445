//! Services that restore the rules of the old layout at boot: those that its roles and manuals used for that.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use dockfw_system::files;

use crate::host::programs::ask;
use crate::message::Message;

/// A service, and the files that it loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Service {
    unit: &'static str,
    files: &'static [&'static str],
}

/// The services of iptables-services and ipset-service on CentOS and RHEL, and of iptables-persistent and
/// ipset-persistent on Debian and Ubuntu.
const SERVICES: [Service; 3] = [
    Service { unit: "iptables.service", files: &["/etc/sysconfig/iptables"] },
    Service {
        unit: "ipset.service",
        files: &["/etc/sysconfig/ipset", "/etc/sysconfig/ipset.d/ip_allow.set"],
    },
    Service {
        unit: "netfilter-persistent.service",
        files: &["/etc/iptables/rules.v4", "/etc/iptables/ipsets"],
    },
];

/// How much of a file is read: the set of the biggest list has fewer bytes.
const MAX_SIZE: u64 = 64 * 1024 * 1024;

/// A service that is enabled and loads the old layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Persistent {
    /// The unit of systemd.
    pub(crate) unit: &'static str,
    /// The file with the old layout in it.
    pub(crate) file: &'static str,
}

/// Returns the services of this host that would restore the old layout.
pub(crate) fn find() -> Vec<Persistent> {
    let loading = SERVICES.iter().filter_map(|service| {
        let file = service.files.iter().find(|file| holds_old_layout(Path::new(file)))?;
        Some(Persistent { unit: service.unit, file })
    });
    loading.filter(|found| is_enabled(found.unit)).collect()
}

/// Returns what they mean.
pub(crate) fn notes() -> Vec<Message> {
    let notes = find().into_iter().map(|Persistent { unit, file }| {
        Message::new(format!("{unit} will load the old rules at the next boot, from {file}"))
            .meaning("if you stop it, it may flush tables or sets that are in use")
            .help(format!("to disable it, without stopping it: systemctl disable {unit}"))
    });
    notes.collect()
}

/// Returns whether a unit is enabled. If systemd can't be asked, it counts as enabled, to be on the safe side.
fn is_enabled(unit: &str) -> bool {
    ask("systemctl", &["is-enabled", unit])
        .is_none_or(|answer| answer.status.success() && answer.stdout.trim() == "enabled")
}

fn holds_old_layout(path: &Path) -> bool {
    let Ok(file) = files::open(path) else { return false };
    let lines = BufReader::new(file.take(MAX_SIZE)).split(b'\n').map_while(Result::ok);
    lines.into_iter().any(|line| is_of_old_layout(&String::from_utf8_lossy(&line)))
}

/// Returns whether a line creates the set `ip_allow`, or a rule that asks it.
fn is_of_old_layout(line: &str) -> bool {
    let words: Vec<_> = line.split_whitespace().collect();
    let makes_set = words.first() == Some(&"create") && words.contains(&dockfw_xtables::old::SET);
    let asks_set = words.windows(2).any(|pair| pair == ["--match-set", dockfw_xtables::old::SET]);
    makes_set || (asks_set && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_old_layout_are_told_from_others() {
        for line in [
            "create -exist ip_allow hash:ip family inet hashsize 1024 maxelem 65536",
            "create ip_allow hash:ip",
            "-A FILTERS -m set ! --match-set ip_allow src -j DROP",
            "[3:180] -A DOCKER-USER -i eth0 -m set ! --match-set ip_allow src -j DROP\r",
        ] {
            assert!(is_of_old_layout(line), "{line}");
        }
        for line in ["create f2b hash:ip", "#-A X -m set --match-set ip_allow src -j DROP", "ip_allow", ""] {
            assert!(!is_of_old_layout(line), "{line}");
        }
    }
}
