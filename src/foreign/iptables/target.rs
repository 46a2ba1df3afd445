//! What a rule of iptables does: iptables-extensions(8), "TARGET EXTENSIONS".

use std::net::IpAddr;

use dockfw_policy::walk::Translation;
use ipnetwork::IpNetwork;

use super::{Verdict, View, translation};

/// Targets after which the next rule decides, whatever they do besides.
const HARMLESS: [&str; 24] = [
    "AUDIT",
    "CHECKSUM",
    "CLASSIFY",
    "CONNSECMARK",
    "CT",
    "DSCP",
    "ECN",
    "HL",
    "HMARK",
    "IDLETIMER",
    "LED",
    "LOG",
    "NFLOG",
    "RATEEST",
    "SECMARK",
    "SET",
    "TCPMSS",
    "TCPOPTSTRIP",
    "TEE",
    "TOS",
    "TRACE",
    "TTL",
    "ULOG",
    "NETFLOW",
];
/// Targets that give a packet a mark.
const MARKS: [&str; 3] = ["MARK", "CONNMARK", "HMARK"];
/// Targets that can't be in a chain of incoming packets.
const OUTWARD: [&str; 2] = ["MASQUERADE", "SNAT"];

/// The target of a rule.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// A verdict.
    Verdict(Verdict),
    /// A mark, after which the next rule decides.
    Mark,
    /// Connection tracking skips the packet, and the next rule decides.
    Untrack,
    /// Another destination: addresses and ports from the first to the last, or as they were.
    Destination { addresses: Option<[IpAddr; 2]>, ports: Option<[u16; 2]> },
    /// The interface's own address, and ports from the first to the last, or as they were.
    Redirect { ports: Option<[u16; 2]> },
    /// A destination that is unknown here.
    Somewhere,
    /// The same host in another network.
    Network(IpNetwork),
    /// The rules of another chain.
    Chain { name: String, is_goto: bool },
}

impl Target {
    /// Returns the target in the words from `-j` or `-g` on.
    pub(super) fn parse(words: &[&str]) -> Self {
        let option = |name: &str| {
            let at = words.iter().position(|word| *word == name)?;
            words.get(at.checked_add(1)?).copied()
        };
        let (how, name) = match words {
            [how, name, ..] => (*how, *name),
            _ => return Self::Verdict(Verdict::Continue),
        };
        match name {
            "ACCEPT" => Self::Verdict(Verdict::Accept),
            "DROP" | "REJECT" | "TARPIT" => Self::Verdict(Verdict::Drop),
            "RETURN" => Self::Verdict(Verdict::Return),
            "NOTRACK" => Self::Untrack,
            "CT" if words.contains(&"--notrack") => Self::Untrack,
            name if MARKS.contains(&name) => Self::Mark,
            name if HARMLESS.contains(&name) || OUTWARD.contains(&name) => Self::Verdict(Verdict::Continue),
            "DNAT" => option("--to-destination").and_then(destination).unwrap_or(Self::Somewhere),
            "REDIRECT" => match option("--to-ports").map(ports) {
                Some(None) => Self::Somewhere,
                ports => Self::Redirect { ports: ports.flatten() },
            },
            "NETMAP" => {
                let network = option("--to").and_then(|to| to.parse().ok());
                network.map_or(Self::Somewhere, Self::Network)
            }
            // It may also be a target that is unknown here: there is no chain of that name then.
            name => Self::Chain { name: name.into(), is_goto: how == "-g" },
        }
    }

    /// Returns whether it gives packets a mark.
    pub(super) fn marks(&self) -> bool {
        matches!(self, Self::Mark)
    }

    /// Returns whether it leads packets elsewhere.
    pub(super) fn translates(&self) -> bool {
        matches!(self, Self::Destination { .. } | Self::Redirect { .. } | Self::Somewhere | Self::Network(_))
    }

    /// Returns what becomes of a packet: one of these.
    pub(super) fn verdicts(&self, view: &View<'_>) -> Vec<Verdict> {
        match self {
            Self::Verdict(verdict) => vec![verdict.clone()],
            Self::Mark | Self::Untrack => vec![Verdict::Continue],
            Self::Chain { name, is_goto: false } => vec![Verdict::Jump(name.clone())],
            Self::Chain { name, is_goto: true } => vec![Verdict::Goto(name.clone())],
            Self::Destination { addresses, ports } => translation::between(
                addresses.unwrap_or([view.destination(); 2]),
                ports.unwrap_or([view.port().unwrap_or_default(); 2]),
            ),
            Self::Redirect { ports } => translation::redirected(view, *ports),
            Self::Somewhere => vec![Verdict::TranslateSomewhere],
            Self::Network(network) => vec![Verdict::Translate(Translation {
                address: moved(view.destination(), *network),
                port: view.port().unwrap_or_default(),
            })],
        }
    }
}

/// Returns the same host in another network.
fn moved(address: IpAddr, network: IpNetwork) -> IpAddr {
    match (address, network.network(), network.mask()) {
        (IpAddr::V4(own), IpAddr::V4(to), IpAddr::V4(mask)) => {
            IpAddr::V4((own.to_bits() & !mask.to_bits() | to.to_bits()).into())
        }
        (IpAddr::V6(own), IpAddr::V6(to), IpAddr::V6(mask)) => {
            IpAddr::V6((own.to_bits() & !mask.to_bits() | to.to_bits()).into())
        }
        _ => address,
    }
}

/// Parses `172.17.0.2:80`, `[fd00::2]:80`, `10.0.0.1-10.0.0.9:1000-1010`, `:80` and similar forms.
fn destination(text: &str) -> Option<Target> {
    let (addresses, behind) = match text.strip_prefix('[') {
        Some(rest) => {
            let (addresses, behind) = rest.split_once(']')?;
            (addresses, behind.strip_prefix(':'))
        }
        // An IPv6 address without brackets has no port behind it.
        None if text.matches(':').count() > 1 => (text, None),
        None => text.split_once(':').map_or((text, None), |(addresses, port)| (addresses, Some(port))),
    };
    let ports = behind.map(|behind| ports(behind).ok_or(())).transpose().ok()?;
    let addresses = if addresses.is_empty() { None } else { Some(ends(addresses)?) };
    Some(Target::Destination { addresses, ports })
}

/// Parses `80`, `1000-1010`; not `1000-1010/2000`, which shifts ports.
fn ports(text: &str) -> Option<[u16; 2]> {
    ends(text)
}

fn ends<T: std::str::FromStr + Copy>(text: &str) -> Option<[T; 2]> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some([first.parse().ok()?, last.parse().ok()?])
}
