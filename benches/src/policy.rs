//! What is put in force: the same policy for each contender, in its own language.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The ports of the field. Those for everyone are open in every policy. Containers have the ports that they are published as: the
/// old role opens a container's own port.
pub(crate) const HOST: u16 = 7001;
pub(crate) const HOST_OPEN: u16 = 7002;
pub(crate) const HOST_MEASURED: u16 = 7003;
pub(crate) const PUBLISHED: u16 = 8080;
pub(crate) const PUBLISHED_OPEN: u16 = 8081;
pub(crate) const PUBLISHED_MEASURED: u16 = 8082;
pub(crate) const CLOSED: u16 = 9;
/// The first of the ports that scoped rules open, each its own.
const SCOPED: u32 = 10_000;

/// Addresses of which no policy trusts any (RFC 2544).
pub(crate) const UNTRUSTED: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
pub(crate) const UNTRUSTED_NETWORK: &str = "198.18.0.0/15";
/// The client of all measures of trusted connections.
pub(crate) const TRUSTED: Ipv4Addr = Ipv4Addr::new(10, 99, 2, 20);

/// In what scoped rules differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spread {
    /// Each has ports of its own.
    Ports,
    /// All of them are for the flooded ports, each for sources of its own.
    Sources,
}

/// How large a policy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// How many networks are trusted.
    pub(crate) trusted: u32,
    /// How many rules let some source reach some port.
    pub(crate) rules: u32,
    pub(crate) spread: Spread,
}

/// What entries of a list are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Hosts,
    Networks,
    /// One half of each.
    Mixed,
}

impl Size {
    /// The policy, which trusts what is in the file `trusted`.
    pub(crate) fn policy(self) -> String {
        let mut text = format!(
            "trusted = [\"{TRUSTED}\", \"file:trusted\"]\n\n\
             [[allow]]\nname = \"open\"\nports = [\"{HOST_OPEN}/tcp\", \"{PUBLISHED_OPEN}/tcp\"]\n"
        );
        for number in 0..self.rules {
            // Writing to a string can't fail.
            let _ = write!(text, "\n[[allow]]\nname = \"scoped-{number}\"\n{}", self.scoped(number));
        }
        text
    }

    /// Who may reach what by a scoped rule. Nobody who floods is among them.
    fn scoped(self, number: u32) -> String {
        let [_, high, middle, low] = number.to_be_bytes();
        let own = [SCOPED + number];
        let flooded = [HOST, PUBLISHED].map(u32::from);
        let ports = if self.spread == Spread::Ports { &own[..] } else { &flooded };
        let ports =
            ports.iter().flat_map(|port| ["tcp", "udp"].map(|transport| format!("\"{port}/{transport}\"")));
        format!(
            "from = [\"100.{}.{middle}.{low}\"]\nports = [{}]\n",
            64 + high,
            ports.collect::<Vec<_>>().join(", ")
        )
    }

    /// The networks that are trusted.
    pub(crate) fn trusted(self) -> Vec<String> {
        entries(self.trusted, Shape::Networks)
    }

    /// The rules of the Ansible role before dockfw, for iptables-restore. It has no scoped rules.
    pub(crate) fn role_rules() -> String {
        include_str!("../role.rules")
            .replace("HOST_OPEN", &HOST_OPEN.to_string())
            .replace("PUBLISHED_OPEN", &PUBLISHED_OPEN.to_string())
    }

    /// Its set, for ipset.
    pub(crate) fn role_set(self) -> String {
        ipset("ip_allow", &[vec![TRUSTED.to_string()], self.trusted()].concat(), "inet")
    }
}

/// A set with these entries, as commands for ipset.
pub(crate) fn ipset(name: &str, entries: &[String], family: &str) -> String {
    // Its default of 65,536 is the least.
    let most = entries.len().max(65_536);
    let mut commands = format!("create {name} hash:net family {family} maxelem {most}\n");
    for entry in entries {
        let _ = writeln!(commands, "add {name} {entry}");
    }
    commands
}

/// Addresses up to 192.0.0.0, each entry in a slot of its own, in order.
pub(crate) fn entries(number: u32, shape: Shape) -> Vec<String> {
    const FIRST: u32 = 0x0100_0000;
    const LAST: u32 = 0xc000_0000;
    let slot = ((LAST - FIRST) / number.max(1)) & !0xff;
    let entry = |index: u32| {
        let start = Ipv4Addr::from_bits(FIRST + index * slot);
        length(shape, index).map_or_else(|| start.to_string(), |less| format!("{start}/{}", 24 + less))
    };
    (0..number).map(entry).collect()
}

/// The same of IPv6, from 2400:: on, in networks of 64 to 57 bits.
pub(crate) fn entries_v6(number: u32, shape: Shape) -> Vec<String> {
    const FIRST: u128 = 0x2400 << 112;
    let entry = |index: u32| {
        let start = Ipv6Addr::from_bits(FIRST + (u128::from(index) << 72));
        length(shape, index).map_or_else(|| start.to_string(), |less| format!("{start}/{}", 57 + less))
    };
    (0..number).map(entry).collect()
}

/// By how many bits an entry is shorter than the largest network; nothing for a host.
fn length(shape: Shape, index: u32) -> Option<u32> {
    let is_host = match shape {
        Shape::Hosts => true,
        Shape::Networks => false,
        Shape::Mixed => index.is_multiple_of(2),
    };
    (!is_host).then_some(index / 2 % 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_what_was_asked_for() {
        assert_eq!(entries(3, Shape::Hosts), ["1.0.0.0", "64.170.170.0", "128.85.84.0"]);
        assert_eq!(entries(3, Shape::Mixed), ["1.0.0.0", "64.170.170.0/24", "128.85.84.0"]);
        assert_eq!(entries_v6(2, Shape::Networks), ["2400::/57", "2400:0:0:100::/57"]);
        assert_eq!(entries(1_000_000, Shape::Networks).len(), 1_000_000);
    }

    #[test]
    fn scoped_rules_differ_in_ports_or_in_sources() {
        let size = |spread| Size { trusted: 0, rules: 5000, spread };
        let [ports, sources] = [Spread::Ports, Spread::Sources].map(|spread| size(spread).scoped(4999));
        assert_eq!(ports, "from = [\"100.64.19.135\"]\nports = [\"14999/tcp\", \"14999/udp\"]\n");
        assert!(sources.contains("\"7001/tcp\", \"7001/udp\", \"8080/tcp\", \"8080/udp\""), "{sources}");
        assert_eq!(size(Spread::Ports).policy().matches("[[allow]]").count(), 5001);
    }

    #[test]
    fn the_roles_rules_name_ports() {
        let rules = Size::role_rules();
        assert!(rules.contains("--dports 7002 ") && !rules.contains("OPEN"), "{rules}");
    }
}
