//! Published ports as the live rules of address translation have them: where they lead to, and which there are when Docker
//! itself does not say, because it is stopped, and its containers live on, or because it is a Swarm's worker.
//!
//! Docker's rules are no interface: what is read here is shown, and decides nothing.

use std::net::{IpAddr, SocketAddr};

use dockfw_policy::address::Family;
use dockfw_policy::service::Transport;
use serde::Deserialize;

use super::docker::{self, Published};
use super::saved;

/// Docker's chain for published ports, in any variant of iptables.
const DOCKER: &str = "DOCKER";
/// Its chain for those of Swarm's mesh.
const MESH: &str = "DOCKER-INGRESS";

/// All published ports that rules translate, each once, or nothing where no rules can be read.
pub(crate) fn published() -> Option<Vec<Published>> {
    let mut saved = saved::everywhere().peekable();
    let is_readable = saved.peek().is_some();
    let mut published: Vec<_> = saved.flat_map(|(family, text)| translated(&text, family)).collect();
    published.extend(Family::BOTH.into_iter().flat_map(in_dockers_own_table));
    published.sort();
    published.dedup();
    (is_readable || !published.is_empty()).then_some(published)
}

fn translated(text: &str, family: Family) -> Vec<Published> {
    text.lines().filter_map(|line| translated_by(line, unspecified(family))).collect()
}

/// The address that stands for all of a family.
fn unspecified(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "0.0.0.0",
        Family::Ipv6 => "::",
    }
}

/// The published port that a line of `iptables-save` translates, if it does.
fn translated_by(line: &str, unspecified: &str) -> Option<Published> {
    let words: Vec<_> = line.split_whitespace().collect();
    let after = |option: &str| {
        let position = words.iter().position(|word| *word == option)?;
        words.get(position.checked_add(1)?).copied()
    };
    let chain = after("-A").filter(|chain| [DOCKER, MESH].contains(chain))?;
    let target: SocketAddr = after("--to-destination")?.parse().ok()?;
    let address = after("-d").map_or(unspecified, |network| network.split('/').next().unwrap_or(network));
    Some(Published {
        transport: transport(after("-p")?)?,
        port: after("--dport")?.parse().ok()?,
        address: address.parse().ok()?,
        container_port: target.port(),
        container: String::new(),
        targets: vec![target.ip()],
        is_meshed: chain == MESH,
    })
}

fn transport(name: &str) -> Option<Transport> {
    Transport::ALL.into_iter().find(|transport| transport.name() == name)
}

/// What Docker's nftables backend has.
fn in_dockers_own_table(family: Family) -> Vec<Published> {
    let text = docker::chain(family, "nat-prerouting-and-output").unwrap_or_default();
    let listing: Listing = serde_json::from_str(&text).unwrap_or_default();
    let rules = listing.nftables.iter().filter_map(|entry| entry.rule.as_ref());
    rules.filter_map(|rule| rule.published(unspecified(family))).collect()
}

/// A listing of nft's (libnftables-json(5)): of all of it, what matters here.
#[derive(Default, Deserialize)]
struct Listing {
    nftables: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    rule: Option<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    #[serde(default)]
    expr: Vec<Expression>,
}

#[derive(Deserialize)]
struct Expression {
    #[serde(rename = "match")]
    matches: Option<Comparison>,
    dnat: Option<Translation>,
}

#[derive(Deserialize)]
struct Comparison {
    left: serde_json::Value,
    right: serde_json::Value,
}

#[derive(Deserialize)]
struct Translation {
    addr: serde_json::Value,
    port: Option<u16>,
}

impl Rule {
    fn published(&self, unspecified: &str) -> Option<Published> {
        let to = self.expr.iter().find_map(|expression| expression.dnat.as_ref())?;
        let comparisons = || self.expr.iter().filter_map(|expression| expression.matches.as_ref());
        let field = |comparison: &Comparison, part: &str| {
            Some(comparison.left.get("payload")?.get(part)?.as_str()?.to_owned())
        };
        let of =
            |name: &str| comparisons().find(|comparison| field(comparison, "field").as_deref() == Some(name));
        let dialled = of("dport")?;
        let port = dialled.right.as_u64().and_then(|port| u16::try_from(port).ok())?;
        let address = of("daddr").and_then(|comparison| comparison.right.as_str()).unwrap_or(unspecified);
        let target: IpAddr = to.addr.as_str()?.parse().ok()?;
        Some(Published {
            transport: transport(&field(dialled, "protocol")?)?,
            port,
            address: address.parse().ok()?,
            container_port: to.port.unwrap_or(port),
            container: String::new(),
            targets: vec![target],
            is_meshed: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(published: &Published) -> String {
        let Published { transport, port, address, container_port, targets, is_meshed, .. } = published;
        format!("{port}/{} at {address} to {targets:?}:{container_port} {is_meshed}", transport.name())
    }

    fn of_line(line: &str, unspecified: &str) -> Option<String> {
        translated_by(line, unspecified).as_ref().map(shown)
    }

    #[test]
    fn lines_of_iptables_save_are_read() {
        let web = "-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80";
        assert_eq!(of_line(web, "0.0.0.0").unwrap(), "8080/tcp at 0.0.0.0 to [172.17.0.2]:80 false");
        let chosen = "-A DOCKER -d 192.0.2.2/32 ! -i br-1 -p udp -m udp --dport 53 -j DNAT --to-destination 172.18.0.2:53";
        assert_eq!(of_line(chosen, "0.0.0.0").unwrap(), "53/udp at 192.0.2.2 to [172.18.0.2]:53 false");
        let mesh = "-A DOCKER-INGRESS -p tcp -m tcp --dport 8081 -j DNAT --to-destination 172.18.0.2:8081";
        assert_eq!(of_line(mesh, "0.0.0.0").unwrap(), "8081/tcp at 0.0.0.0 to [172.18.0.2]:8081 true");
        let v6 = "-A DOCKER ! -s fe80::/10 ! -i docker0 -p tcp -m tcp --dport 80 -j DNAT --to-destination [fd00::2]:80";
        assert_eq!(of_line(v6, "::").unwrap(), "80/tcp at :: to [fd00::2]:80 false");
    }

    #[test]
    fn rules_of_others_and_nonsense_are_not() {
        for line in [
            "",
            "-A DOCKER",
            "-A DOCKER -i docker0 -j RETURN",
            "-A PREROUTING -p tcp -m tcp --dport 80 -j DNAT --to-destination 172.17.0.2:80",
            "-A DOCKER -p tcp -m tcp --dport 99999 -j DNAT --to-destination 172.17.0.2:80",
            "-A DOCKER -p tcp -m tcp --dport 80 -j DNAT --to-destination",
            "-A DOCKER -p icmp --dport 80 -j DNAT --to-destination 172.17.0.2:80",
        ] {
            assert_eq!(of_line(line, "0.0.0.0"), None, "{line}");
        }
    }

    #[test]
    fn dockers_own_table_is_read_as_json() {
        let text = r#"{"nftables":[{"metainfo":{"version":"1.0.6"}},{"chain":{"family":"ip"}},{"rule":{"expr":[
            {"match":{"op":"!=","left":{"meta":{"key":"iifname"}},"right":"docker0"}},
            {"match":{"op":"==","left":{"payload":{"protocol":"ip","field":"daddr"}},"right":"192.0.2.2"}},
            {"match":{"op":"==","left":{"payload":{"protocol":"tcp","field":"dport"}},"right":8080}},
            {"counter":{"packets":5,"bytes":240}},{"dnat":{"addr":"172.17.0.2","port":80}}]}},
            {"rule":{"expr":[{"jump":{"target":"x"}}]}}]}"#;
        let listing: Listing = serde_json::from_str(text).unwrap();
        let published: Vec<_> =
            listing.nftables.iter().filter_map(|entry| entry.rule.as_ref()?.published("0.0.0.0")).collect();
        assert_eq!(
            published.iter().map(shown).collect::<Vec<_>>(),
            ["8080/tcp at 192.0.2.2 to [172.17.0.2]:80 false"]
        );
    }
}
