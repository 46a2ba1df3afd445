//! The rules of Docker's nftables backend, in the layout of Docker 29 (moby,
//! `daemon/libnetwork/drivers/bridge/internal/nftabler`).
//!
//! They stand for a Docker that has this backend, which no release of Debian brings yet: a dockerd that makes no rules
//! runs with these in their place. They are made of what it says of its networks and containers, and loaded anew
//! whenever it has changed those.

use std::fmt::Write;
use std::net::IpAddr;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::network::Network;
use crate::port::Port;

/// The maps from bridges to chains, and what the chains of each are called.
const MAPS: [&str; 4] =
    ["filter-forward-in", "filter-forward-out", "nat-postrouting-in", "nat-postrouting-out"];

/// A bridge of Docker's, as one family has it.
struct Bridge {
    name: String,
    subnet: String,
    endpoints: Vec<Endpoint>,
}

/// A container on a bridge.
struct Endpoint {
    address: IpAddr,
    published: Vec<Published>,
}

/// A port that Docker publishes.
struct Published {
    address: IpAddr,
    number: u16,
    own: Port,
}

/// Both tables, in place of those that are there. `networks` and `containers` are what `docker inspect` says of them.
pub(crate) fn ruleset(networks: &[Value], containers: &[Value]) -> Result<String> {
    let mut text = String::new();
    for (family, is_v4) in [("ip", true), ("ip6", false)] {
        let bridges = networks.iter().filter_map(|network| bridge(network, containers, is_v4).transpose());
        let bridges: Vec<Bridge> = bridges.collect::<Result<_>>()?;
        write!(text, "table {family} docker-bridges\ndelete table {family} docker-bridges\n")?;
        write!(text, "table {family} docker-bridges {{\n{}}}\n", table(family, &bridges))?;
    }
    Ok(text)
}

/// A network as one family has it, if it does.
fn bridge(network: &Value, containers: &[Value], is_v4: bool) -> Result<Option<Bridge>> {
    let Network { bridge: name, subnet_v4, subnet_v6, .. } = Network::of(network);
    let subnet = if is_v4 { Some(subnet_v4).filter(|subnet| !subnet.is_empty()) } else { subnet_v6 };
    let Some(subnet) = subnet else { return Ok(None) };
    let field = if is_v4 { "IPv4Address" } else { "IPv6Address" };
    let mut endpoints = Vec::new();
    for (id, endpoint) in network["Containers"].as_object().into_iter().flatten() {
        let address = endpoint[field].as_str().unwrap_or_default();
        let Some((address, _)) = address.split_once('/') else { continue };
        let container = containers.iter().find(|container| container["Id"] == id.as_str());
        let published = container.map_or(Ok(Vec::new()), |container| published(container, is_v4))?;
        endpoints.push(Endpoint { address: address.parse()?, published });
    }
    Ok(Some(Bridge { name, subnet, endpoints }))
}

/// What a container publishes at addresses of one family.
fn published(container: &Value, is_v4: bool) -> Result<Vec<Published>> {
    let mut found = Vec::new();
    for (own, bindings) in
        container.pointer("/NetworkSettings/Ports").and_then(Value::as_object).into_iter().flatten()
    {
        for binding in bindings.as_array().into_iter().flatten() {
            let text = |key: &str| binding[key].as_str().with_context(|| format!("no {key} in {binding}"));
            let address: IpAddr = text("HostIp")?.parse()?;
            if address.is_ipv4() == is_v4 {
                found.push(Published { address, number: text("HostPort")?.parse()?, own: own.parse()? });
            }
        }
    }
    Ok(found)
}

fn table(family: &str, bridges: &[Bridge]) -> String {
    let loopback = if family == "ip" { "127.0.0.0/8" } else { "::1" };
    let ports = |lines: fn(&str, &Bridge, &Endpoint) -> Vec<String>| -> String {
        let endpoints =
            bridges.iter().flat_map(|bridge| bridge.endpoints.iter().map(move |one| (bridge, one)));
        endpoints.flat_map(|(bridge, endpoint)| lines(family, bridge, endpoint)).collect()
    };
    format!(
        "{maps}\
         chain filter-FORWARD {{ type filter hook forward priority filter; policy accept;
             oifname vmap @filter-forward-in-jumps
             iifname vmap @filter-forward-out-jumps
         }}
         chain nat-OUTPUT {{ type nat hook output priority dstnat; policy accept;
             {family} daddr != {loopback} fib daddr type local counter jump nat-prerouting-and-output
         }}
         chain nat-POSTROUTING {{ type nat hook postrouting priority srcnat; policy accept;
             iifname vmap @nat-postrouting-out-jumps
             oifname vmap @nat-postrouting-in-jumps
         }}
         chain nat-PREROUTING {{ type nat hook prerouting priority dstnat; policy accept;
             fib daddr type local counter jump nat-prerouting-and-output
         }}
         chain nat-prerouting-and-output {{
         {dnat}}}
         chain raw-PREROUTING {{ type filter hook prerouting priority raw; policy accept;
         {raw}}}\n\
         {chains}",
        maps = MAPS.map(|map| jumps(map, bridges)).concat(),
        dnat = ports(dnat),
        raw = ports(raw),
        chains = bridges.iter().map(|bridge| chains(family, bridge)).collect::<String>(),
    )
}

/// The map that leads from a bridge to its chain.
fn jumps(map: &str, bridges: &[Bridge]) -> String {
    let elements = bridges.iter().map(|Bridge { name, .. }| format!("\"{name}\" : jump {map}__{name}"));
    let elements: Vec<_> = elements.collect();
    let elements =
        if elements.is_empty() { String::new() } else { format!("elements = {{ {} }}", elements.join(", ")) };
    format!("map {map}-jumps {{ type ifname : verdict\n{elements}\n}}\n")
}

/// Docker leaves to docker-proxy what comes from the container's own bridge, or from link-local addresses.
fn dnat(family: &str, bridge: &Bridge, endpoint: &Endpoint) -> Vec<String> {
    let Bridge { name, .. } = bridge;
    let skip = if family == "ip6" { "ip6 saddr != fe80::/10 " } else { "" };
    let rule = |Published { address, number, own }: &Published| {
        let at = if address.is_unspecified() { String::new() } else { format!("{family} daddr {address} ") };
        let to = std::net::SocketAddr::new(endpoint.address, own.number);
        format!(
            "iifname != \"{name}\" {skip}{at}{} dport {number} counter dnat to {to} comment \"DNAT\"\n",
            own.proto
        )
    };
    endpoint.published.iter().map(rule).collect()
}

fn raw(family: &str, Bridge { name, .. }: &Bridge, Endpoint { address, .. }: &Endpoint) -> Vec<String> {
    let rule = format!(
        "{family} daddr {address} iifname != \"{name}\" counter drop comment \"DROP DIRECT ACCESS\"\n"
    );
    vec![rule]
}

/// The chains of one bridge.
fn chains(family: &str, Bridge { name, subnet, endpoints }: &Bridge) -> String {
    let mut ports: Vec<_> = endpoints
        .iter()
        .flat_map(|Endpoint { address, published }| {
            published.iter().map(move |Published { own, .. }| {
                format!("{family} daddr {address} {} dport {} counter accept\n", own.proto, own.number)
            })
        })
        .collect();
    ports.dedup();
    format!(
        "chain filter-forward-in__{name} {{
             ct state established,related counter accept
             iifname \"{name}\" counter accept comment \"ICC\"
         {}    counter drop comment \"UNPUBLISHED PORT DROP\"
         }}
         chain filter-forward-out__{name} {{
             ct state established,related counter accept
             counter accept comment \"OUTGOING\"
         }}
         chain nat-postrouting-in__{name} {{
         }}
         chain nat-postrouting-out__{name} {{
             oifname != \"{name}\" {family} saddr {subnet} counter masquerade comment \"MASQUERADE\"
         }}\n",
        ports.concat()
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_published_port_is_translated_where_the_container_has_an_address() {
        let network = json!({"Name": "app", "Id": "529990f5e1e6aaaa", "IPAM": {"Config": [{"Subnet": "172.19.0.0/16"}]},
            "Containers": {"c1": {"IPv4Address": "172.19.0.2/16", "IPv6Address": ""}}});
        let container = json!({"Id": "c1", "NetworkSettings": {"Ports": {"443/udp": null, "80/tcp": [
            {"HostIp": "192.0.2.2", "HostPort": "8081"}, {"HostIp": "::", "HostPort": "8081"}]}}});
        let text = ruleset(&[network], &[container]).unwrap();
        let dnat =
            "iifname != \"br-529990f5e1e6\" ip daddr 192.0.2.2 tcp dport 8081 counter dnat to 172.19.0.2:80";
        assert!(text.contains(dnat), "{text}");
        assert!(text.contains("\"br-529990f5e1e6\" : jump nat-postrouting-out__br-529990f5e1e6"), "{text}");
        let (_, v6) = text.split_once("table ip6 docker-bridges {").unwrap();
        assert!(!v6.contains("dnat to") && !v6.contains("elements"), "{v6}");
    }
}
