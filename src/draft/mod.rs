//! A starting policy for this host, as text: what an operator would write first, and what else runs here as comments.
//!
//! Pure: facts of this host go in, and the text of a policy file comes out. It loads without warnings, and so does each
//! text in which one suggestion is uncommented. Names that others chose are only in comments, and can't end one.

mod document;
mod interfaces;
mod ports;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use dockfw_policy::address::AddressRange;
use dockfw_policy::policy::Policy;
use dockfw_policy::service::Transport;
use dockfw_policy::{FilesInMemory, Loaded, Rejected, Strictness, load};

use crate::exposure::{Exposed, Facts};
use crate::host::links::Link;
use crate::host::session::{Origin, Session};
use crate::safety::usage::{DHCP, Usage, without_dhcp};
use document::{Entry, comment, list};
use interfaces::Classes;

/// What is known of the host.
pub(crate) struct Host<'a> {
    /// Where the operator is connected from.
    pub(crate) origin: &'a Origin,
    /// The ports of SSH.
    pub(crate) ssh: &'a BTreeSet<u16>,
    /// What answers here.
    pub(crate) exposed: &'a [Exposed],
    /// What this host is and runs.
    pub(crate) facts: &'a Facts,
    /// What is in use, as seen under the policy of [`bare`].
    pub(crate) usage: &'a Usage,
    /// The other nodes of the Swarm, as far as they are known; nothing if this host is in none.
    pub(crate) peers: Option<&'a BTreeSet<IpAddr>>,
    /// What else filters here, each in a sentence.
    pub(crate) others: &'a [String],
}

/// What the file begins with.
const HEAD: &str = "\
# The policy of dockfw for this host, begun by `dockfw init`. See dockfw.toml(5).
#
#   1. remove the `# ` before what is to be open, and the lines that are not to be
#   2. dockfw check                  is it right, and what does this host make of it?
#   3. dockfw apply --confirm 60s    in force; rolled back unless you confirm it
#   4. systemctl enable dockfw       in force from the next boot on
#
# Files conf.d/*.toml beside this one are added to it.
";

/// A rule for some sources alone (RFC 5737 keeps the network for examples).
const RULE_FOR_SOME: &str = "
# What some reach: a rule with `from`.
#
# [[allow]]
# name  = \"database for the office\"
# from  = [\"198.51.100.0/24\"]
# ports = [\"5432/tcp\"]
";

/// Returns a policy that says nothing but which interfaces are Docker's. What is in use on a host is found under it.
pub(crate) fn bare(facts: &Facts) -> Result<Policy, Rejected> {
    policy(&Classes::of_docker(&facts.links, &facts.networks).text())
}

/// Returns the starting policy.
pub(crate) fn write(host: &Host<'_>) -> Result<String, Rejected> {
    let Facts { links, networks, .. } = host.facts;
    let classes = Classes::of(&bare(host.facts)?, links, networks, host.usage);
    let interfaces = classes.text();
    let services = services(&policy(&interfaces)?, host, &classes);
    let parts = [
        HEAD.to_owned(),
        others(host.others),
        trusted(host, &classes),
        ports::text(host.exposed, host.ssh, host.peers.is_some()),
        RULE_FOR_SOME.to_owned(),
        services,
        host.peers.map(swarm).unwrap_or_default(),
        interfaces,
    ];
    Ok(parts.concat())
}

/// Returns a policy that sorts interfaces, and says no more.
fn policy(interfaces: &str) -> Result<Policy, Rejected> {
    // An empty policy is refused.
    let files = FilesInMemory::new([("dockfw.toml", format!("blocked = []\n{interfaces}"))]);
    load(Path::new("dockfw.toml"), &files, Strictness::Strict).map(|Loaded { policy, .. }| policy)
}

fn others(others: &[String]) -> String {
    let lines = others.iter().map(|other| format!("# - {}\n", comment(other)));
    let lines = lines.collect::<String>();
    if lines.is_empty() { lines } else { format!("#\n# What else filters on this host:\n{lines}") }
}

fn trusted(host: &Host<'_>, classes: &Classes) -> String {
    let mut entries: Vec<_> = operator(host.origin, &host.facts.links).into_iter().collect();
    let near = host.facts.links.iter().filter(|link| classes.is_filtered(link) && link.is_up);
    entries.extend(near.flat_map(|link| {
        let networks = link.networks.iter().filter(|network| is_private(network));
        networks.map(move |network| Entry::off(network, format!("the network of {}", link.name)))
    }));
    if entries.is_empty() {
        entries.push(Entry::off("203.0.113.7", "your own address"));
    }
    format!(
        "\n# Who reaches everything: every process of the host, every port that Docker publishes.\n{}\n\
         # Who reaches nothing.\nblocked = []\n",
        list("trusted", entries)
    )
}

/// Returns the operator's address, if it is one that a policy can name.
fn operator(origin: &Origin, links: &[Link]) -> Option<Entry> {
    let (Origin::Live(Session { client, .. }) | Origin::Gone(Session { client, .. })) = origin else {
        return None;
    };
    let address = client.ip();
    let is_own = links.iter().any(|link| link.addresses.contains(&address));
    if address.is_loopback() || address.is_unspecified() || is_own {
        return None;
    }
    Some(match origin {
        Origin::Live(_) => Entry::on(address, "you are connected from here"),
        Origin::Gone(_) | Origin::None | Origin::Unknown(_) => {
            Entry::off(address, "SSH_CONNECTION names it, but that connection is gone")
        }
    })
}

/// Returns whether a network is one that only its own machines route to (RFC 1918, RFC 4193).
fn is_private(network: &AddressRange) -> bool {
    match network {
        AddressRange::V4(network) => network.first().is_private(),
        AddressRange::V6(network) => network.first().is_unique_local(),
    }
}

fn swarm(peers: &BTreeSet<IpAddr>) -> String {
    let mut entries: Vec<_> = peers.iter().map(|peer| Entry::on(peer, "")).collect();
    if entries.is_empty() {
        entries.push(Entry::off("198.51.100.2", "the address of another node"));
    }
    format!(
        "\n# The other nodes of the Swarm: what nodes need of one another is open to them.\n[swarm]\n{}",
        list("peers", entries)
    )
}

/// Returns rules for what this host does for networks of its own, and would do no more.
fn services(policy: &Policy, host: &Host<'_>, classes: &Classes) -> String {
    let cut_off = without_dhcp(policy, &host.facts.links, host.usage);
    let is_of_inside = |link: &Link| policy.interfaces.is_inside(&link.name);
    let mut ports = Vec::new();
    if cut_off.iter().any(|(link, _)| is_of_inside(link)) {
        ports.push(DHCP.to_owned());
    }
    if classes.has_inside() {
        let dns = host.facts.listeners.iter().filter(|one| one.port == DNS && !one.address.is_loopback());
        let transports: BTreeSet<Transport> = dns.map(|one| one.transport).collect();
        ports.extend(transports.iter().map(|transport| format!("\"{DNS}/{}\"", transport.name())));
    }
    let of_inside =
        (!ports.is_empty()).then(|| rule("DHCP and DNS of inside networks", "\"inside\"", &ports.join(", ")));
    let of_others = cut_off.iter().filter(|(link, _)| !is_of_inside(link));
    let of_others = of_others.enumerate().map(|(index, (link, from))| {
        let number = if index == 0 { String::new() } else { format!(" {}", index + 1) };
        format!("\n# On {}:{}", comment(&link.name), rule(&format!("DHCP{number}"), from, DHCP))
    });
    of_inside.into_iter().chain(of_others).collect()
}

/// The port of DNS (RFC 1035, 4.2).
const DNS: u16 = 53;

fn rule(name: &str, from: &str, ports: &str) -> String {
    format!("\n[[allow]]\nname  = \"{name}\"\nfrom  = [{from}]\nports = [{ports}]\nto    = \"host\"\n")
}
