//! Other firewalls on this host. dockfw never opens what they close.

use std::fs;

use super::programs::said;

/// Firewalls that drop by default.
const FIREWALLS: [&str; 2] = ["firewalld", "ufw"];
/// Where firewalld is configured (firewalld.conf(5)).
const FIREWALLD_CONF: &str = "/etc/firewalld/firewalld.conf";

/// Those that are running, as far as systemd knows.
pub(crate) fn running() -> Vec<&'static str> {
    let is_active = |firewall: &str| {
        said("systemctl", &["is-active", firewall]).is_some_and(|said| said.trim() == "active")
    };
    FIREWALLS.into_iter().filter(|firewall| is_active(firewall)).collect()
}

/// What they mean for the policy, in words.
pub(crate) fn notes() -> Vec<String> {
    let running = running();
    let mut notes: Vec<_> = running
        .iter()
        .map(|firewall| {
            format!("{firewall} is running: what it drops stays dropped, for trusted sources too")
        })
        .collect();
    let conf = fs::read_to_string(FIREWALLD_CONF).unwrap_or_default();
    if running.contains(&"firewalld") && is_strict(&conf) {
        notes.push("firewalld's StrictForwardPorts is on: it rejects published ports that it has no forward-port for".into());
    }
    notes
}

fn is_strict(conf: &str) -> bool {
    let mut values = conf.lines().filter_map(|line| line.trim().strip_prefix("StrictForwardPorts="));
    values
        .next_back()
        .is_some_and(|value| ["yes", "true"].contains(&value.trim().to_ascii_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_forward_ports_is_read() {
        assert!(is_strict("# x\nStrictForwardPorts=yes\n"));
        assert!(!is_strict("#StrictForwardPorts=yes\nStrictForwardPorts=no\n"));
        assert!(!is_strict(""));
    }
}
