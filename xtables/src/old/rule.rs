//! The meaning of one line of the old layout.

use dockfw_policy::service::{PortRange, Service, Transport};
use ipnetwork::Ipv4Network;

use crate::clauses::{Clause, clauses, option};

/// A rule of the old layout. If it passes a packet, it uses ACCEPT in FILTERS and RETURN in DOCKER-USER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OldRule {
    /// Live connections pass.
    Established,
    /// VXLAN that arrived encrypted, from the set.
    EncryptedVxlan,
    /// All ICMP passes.
    Icmp,
    /// Packets from `lo` pass.
    Loopback,
    /// Packets that arrive on a bridge of Docker's pass.
    FromInterface(String),
    /// Packets with a source in a network of Docker's pass, wherever they come from.
    FromNetwork(Ipv4Network),
    /// These ports are open to everyone.
    Open(Vec<Service>),
    /// Packets from sources outside the set are dropped.
    Gate {
        /// The set.
        set: String,
        /// The incoming interface; nothing for every interface. As iptables has it: a `+` at the end stands for anything.
        interface: Option<String>,
    },
    /// Other packets continue.
    Return,
}

/// The conditions of a rule, as far as the old layout has such rules.
#[derive(Default)]
struct Said {
    protocol: Option<String>,
    interface: Option<String>,
    source: Option<String>,
    states: Option<String>,
    ports: Option<String>,
    set: Option<(bool, String)>,
    from_ipsec: bool,
    target: Option<String>,
}

impl OldRule {
    /// Reads the words after the chain's name. Nothing if the old layout has no rule like it.
    pub fn read(words: &[String]) -> Option<Self> {
        let said = Said::read(words)?;
        let passes = matches!(said.target.as_deref(), Some("ACCEPT" | "RETURN"));
        let drops = said.target.as_deref() == Some("DROP");
        match said {
            Said {
                set: Some((true, set)),
                interface,
                protocol: None,
                source: None,
                states: None,
                ports: None,
                ..
            } if drops => Some(Self::Gate { set, interface }),
            Said {
                set: Some((false, _)),
                from_ipsec: true,
                ports: Some(_),
                interface: None,
                source: None,
                ..
            } if passes => Some(Self::EncryptedVxlan),
            Said { set: None, from_ipsec: false, .. } if passes => said.passing(),
            _ => None,
        }
    }

    /// Returns the set that decides who is let in, if this is the rule that asks it.
    pub fn gate(&self) -> Option<&str> {
        match self {
            Self::Gate { set, .. } => Some(set),
            _ => None,
        }
    }
}

impl Said {
    fn read(words: &[String]) -> Option<Self> {
        let mut said = Self::default();
        clauses(words).iter().try_for_each(|clause| said.add(clause))?;
        Some(said)
    }

    /// Returns nothing if the old layout has no rule with such a clause.
    fn add(&mut self, clause: &Clause) -> Option<()> {
        let is_negated = clause.first().is_some_and(|word| word == "!");
        let values = clause.get(1 + usize::from(is_negated)..).unwrap_or_default();
        let place = match (option(clause), values) {
            ("--match-set", [set, direction]) if direction == "src" && self.set.is_none() => {
                self.set = Some((is_negated, set.clone()));
                return Some(());
            }
            _ if is_negated => return None,
            ("-m" | "--comment", [_]) => return Some(()),
            ("--dir", [value]) if value == "in" => return Some(()),
            ("--pol", [value]) if value == "ipsec" => {
                self.from_ipsec = true;
                return Some(());
            }
            ("-p", [_]) => &mut self.protocol,
            ("-i", [_]) => &mut self.interface,
            ("-s", [_]) => &mut self.source,
            ("--state" | "--ctstate", [_]) => &mut self.states,
            ("--dports" | "--dport", [_]) => &mut self.ports,
            ("-j", [_]) => &mut self.target,
            _ => return None,
        };
        let [value] = values else { return None };
        place.is_none().then(|| *place = Some(value.clone()))
    }

    /// Returns a rule that passes, and asks for no set.
    fn passing(self) -> Option<OldRule> {
        let states = self.states.as_deref().map(states);
        match (self.protocol.as_deref(), self.interface, self.source, states.as_deref(), self.ports) {
            (None, None, None, Some(["ESTABLISHED", "RELATED"]), None) => Some(OldRule::Established),
            (Some("icmp" | "1"), None, None, None, None) => Some(OldRule::Icmp),
            (None, Some(name), None, None, None) if name == "lo" => Some(OldRule::Loopback),
            (None, Some(name), None, None, None) => Some(OldRule::FromInterface(name)),
            (None, None, Some(source), None, None) => Some(OldRule::FromNetwork(source.parse().ok()?)),
            (Some(protocol), None, None, None | Some(["NEW"]), Some(ports)) => {
                Some(OldRule::Open(services(protocol, &ports)?))
            }
            (None, None, None, None, None) => Some(OldRule::Return),
            _ => None,
        }
    }
}

fn states(text: &str) -> Vec<&str> {
    let mut states: Vec<_> = text.split(',').collect();
    states.sort_unstable();
    states
}

/// Parses ports as `multiport` has them: `80,443,8000:8010`.
fn services(protocol: &str, ports: &str) -> Option<Vec<Service>> {
    let is_meant =
        |transport: &Transport| protocol == transport.name() || protocol.parse() == Ok(transport.number());
    let transport = Transport::ALL.into_iter().find(is_meant)?;
    ports.split(',').map(|ports| Some(Service::Ports(transport, range(ports)?))).collect()
}

fn range(text: &str) -> Option<PortRange> {
    let (first, last) = text.split_once(':').unwrap_or((text, text));
    PortRange::new(first.parse().ok()?, last.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::words::words;

    fn read(text: &str) -> Option<OldRule> {
        OldRule::read(&words(text))
    }

    fn gate(interface: Option<&str>) -> Option<OldRule> {
        Some(OldRule::Gate { set: "ip_allow".into(), interface: interface.map(str::to_owned) })
    }

    #[test]
    fn each_line_of_the_old_layout_is_read() {
        let open =
            |ports: &[&str]| Some(OldRule::Open(ports.iter().map(|port| port.parse().unwrap()).collect()));
        for (text, expected) in [
            ("-m state --state RELATED,ESTABLISHED -j RETURN", Some(OldRule::Established)),
            ("-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT", Some(OldRule::Established)),
            ("-i docker_gwbridge -j RETURN", Some(OldRule::FromInterface("docker_gwbridge".into()))),
            ("-s 172.18.0.0/16 -j RETURN", Some(OldRule::FromNetwork("172.18.0.0/16".parse().unwrap()))),
            (
                "-p tcp -m tcp -m multiport --dports 8000,9000:9010 -j RETURN",
                open(&["8000/tcp", "9000-9010/tcp"]),
            ),
            ("-p udp -m udp --dport 53 -j RETURN", open(&["53/udp"])),
            ("-p tcp -m state --state NEW -m tcp -m multiport --dports 22 -j ACCEPT", open(&["22/tcp"])),
            ("-m set ! --match-set ip_allow src -j DROP", gate(None)),
            ("-i eth+ -m set ! --match-set ip_allow src -j DROP", gate(Some("eth+"))),
            (
                "-p udp -m policy --dir in --pol ipsec -m udp --dport 4789 -m set --match-set ip_allow src -j RETURN",
                Some(OldRule::EncryptedVxlan),
            ),
            ("-p icmp -j ACCEPT", Some(OldRule::Icmp)),
            ("-i lo -j ACCEPT", Some(OldRule::Loopback)),
            ("-j RETURN", Some(OldRule::Return)),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn what_only_resembles_a_line_of_the_old_layout_is_none() {
        for text in [
            "-m set --match-set ip_allow src -j DROP",
            "-m set ! --match-set ip_allow dst -j DROP",
            "-m set ! --match-set ip_allow src -j REJECT",
            "-m set ! --match-set ip_allow src -p tcp -j DROP",
            "-m set ! --match-set a src -m set ! --match-set b src -j DROP",
            "! -i docker0 -j RETURN",
            "-i docker0 -o eth0 -j RETURN",
            "-s 172.18.0.0/16 -i eth0 -j RETURN",
            "-s 192.0.2.1 -j DROP",
            "-p tcp -m tcp -m multiport --sports 22 -j ACCEPT",
            "-p tcp -m multiport --dports 22,x -j ACCEPT",
            "-p tcp --syn -m multiport --dports 22 -j ACCEPT",
            "-p icmp -m icmp --icmp-type 8 -j ACCEPT",
            "-m state --state NEW -j ACCEPT",
            "-j f2b-sshd",
            "-g RETURN",
            "",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_reading_panic(
            text in "(-[a-z] |--[a-z]{3,6} |--match-set |--dports |! |ip_allow |src |ACCEPT|DROP|[0-9:,./]{1,9} |\\PC){0,30}"
        ) {
            OldRule::read(&words(&text));
        }
    }
}
