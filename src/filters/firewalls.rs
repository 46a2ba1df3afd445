//! Other firewalls on this host. dockfw never opens what they close.

use std::path::Path;

use dockfw_system::files;

use crate::host::programs::ask;
use crate::message::Message;

/// Firewalls that drop by default.
const FIREWALLS: [&str; 2] = ["firewalld", "ufw"];
/// Where firewalld is configured (firewalld.conf(5)).
const FIREWALLD_CONF: &str = "/etc/firewalld/firewalld.conf";

/// Where firewalld keeps its direct rules (firewalld.direct(5)).
const DIRECT_RULES: &str = "/etc/firewalld/direct.xml";

/// Where ufw keeps whether it is on (ufw(8)).
const UFW_CONF: &str = "/etc/ufw/ufw.conf";

/// How much of these files is read: people write them by hand.
const MAX_SIZE: u64 = 1 << 20;

/// Returns those that are running, as far as systemd knows. The unit of ufw is active even if ufw is off.
pub(crate) fn running() -> Vec<&'static str> {
    let is_active = |firewall: &str| {
        ask("systemctl", &["is-active", firewall]).is_some_and(|answer| answer.status.success())
    };
    let is_on = |firewall: &str| firewall != "ufw" || is_ufw_on(&read(UFW_CONF));
    FIREWALLS.into_iter().filter(|firewall| is_active(firewall) && is_on(firewall)).collect()
}

fn read(path: &str) -> String {
    files::read_text(Path::new(path), MAX_SIZE).unwrap_or_default()
}

/// Returns whether ufw is on: its `ufw enable` writes `yes`, and whoever edits the file may use quotes.
fn is_ufw_on(conf: &str) -> bool {
    setting(conf, "ENABLED").is_some_and(|value| value.trim_matches(['"', '\'']) == "yes")
}

/// Returns what they mean for the policy.
pub(crate) fn notes() -> Vec<Message> {
    let running = running();
    let mut notes: Vec<_> = running
        .iter()
        .map(|firewall| {
            Message::new(format!("{firewall} is running too"))
                .meaning("what it drops stays dropped, from trusted sources too")
        })
        .collect();
    if running.contains(&"firewalld") {
        notes.extend(of_firewalld(&read(FIREWALLD_CONF), &read(DIRECT_RULES)));
    }
    notes
}

/// Returns what its files mean.
fn of_firewalld(conf: &str, direct: &str) -> Vec<Message> {
    let strict = Message::new("firewalld's StrictForwardPorts is on")
        .meaning("it rejects published ports for which it has no forward-port");
    let flushes = Message::new("firewalld has direct rules, or uses iptables")
        .meaning(
            "when it reloads, it flushes all tables of iptables: Docker's chains, and those of dockfw's iptables engine",
        )
        .help("run `dockfw apply` after each reload; or replace the direct rules with firewalld's policies");
    let is_strict =
        setting(conf, "StrictForwardPorts").is_some_and(|value| ["yes", "true"].contains(&value.as_str()));
    let on_iptables = setting(conf, "FirewallBackend").is_some_and(|value| value == "iptables");
    [is_strict.then_some(strict), (on_iptables || has_rules(direct)).then_some(flushes)]
        .into_iter()
        .flatten()
        .collect()
}

/// Returns a setting's last value, in lower case.
fn setting(conf: &str, name: &str) -> Option<String> {
    let mut values = conf.lines().filter_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='));
    values.next_back().map(|value| value.trim().to_ascii_lowercase())
}

/// Returns whether there are any of the elements of firewalld.direct(5).
fn has_rules(direct: &str) -> bool {
    ["<chain ", "<rule ", "<passthrough "].iter().any(|element| direct.contains(element))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_forward_ports_is_read() {
        let is_strict = |conf| !of_firewalld(conf, "").is_empty();
        assert!(is_strict("# x\nStrictForwardPorts=yes\n"));
        assert!(!is_strict("#StrictForwardPorts=yes\nStrictForwardPorts=no\n"));
        assert!(!is_strict(""));
    }

    #[test]
    fn ufw_that_is_off_is_not_running() {
        for conf in ["ENABLED=yes\nLOGLEVEL=low\n", "ENABLED=no\nENABLED=\"yes\"\n", " ENABLED=YES\n"] {
            assert!(is_ufw_on(conf), "{conf}");
        }
        for conf in ["ENABLED=no\n", "# ENABLED=yes\n", "ENABLED=yes\nENABLED=no\n", ""] {
            assert!(!is_ufw_on(conf), "{conf}");
        }
    }

    #[test]
    fn what_makes_firewalld_empty_all_tables_is_read() {
        let rule = "<direct>\n  <rule priority=\"0\" table=\"filter\" ipv=\"ipv4\" chain=\"INPUT\">-j DROP</rule>\n</direct>";
        let notes = of_firewalld("", rule);
        assert!(notes.len() == 1 && notes[0].what().contains("direct rules"), "{notes:?}");
        assert_eq!(of_firewalld("FirewallBackend=iptables\n", "").len(), 1);
        assert_eq!(of_firewalld("FirewallBackend=nftables\n", "<direct>\n</direct>"), []);
    }
}
