//! The rules of Docker's nftables backend, in the layout of Docker 29 (moby,
//! `daemon/libnetwork/drivers/bridge/internal/nftabler`).

use std::fmt::Write;

use anyhow::Result;
use serde_json::Value;

use super::{Bridge, Endpoint, Mode, Published, bridges};

/// The maps from bridges to chains, and what the chains of each are called.
const MAPS: [&str; 4] =
    ["filter-forward-in", "filter-forward-out", "nat-postrouting-in", "nat-postrouting-out"];

/// Both tables, in place of those that are there. `networks` and `containers` are what `docker inspect` says of them.
pub(crate) fn ruleset(networks: &[Value], containers: &[Value]) -> Result<String> {
    let mut text = String::new();
    for (family, is_v4) in [("ip", true), ("ip6", false)] {
        let bridges = bridges(networks, containers, is_v4)?;
        write!(text, "table {family} docker-bridges\ndelete table {family} docker-bridges\n")?;
        write!(text, "table {family} docker-bridges {{\n{}}}\n", table(family, &bridges))?;
    }
    Ok(text)
}

fn table(family: &str, bridges: &[Bridge]) -> String {
    let loopback = if family == "ip" { "127.0.0.0/8" } else { "::1" };
    let ports = |lines: fn(&str, &Bridge, &Endpoint) -> Vec<String>| -> String {
        Bridge::translated(bridges).flat_map(|(bridge, endpoint)| lines(family, bridge, endpoint)).collect()
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
        let number = (*number)?;
        let at = if address.is_unspecified() { String::new() } else { format!("{family} daddr {address} ") };
        let to = std::net::SocketAddr::new(endpoint.address, own.number);
        Some(format!(
            "iifname != \"{name}\" {skip}{at}{} dport {number} counter dnat to {to} comment \"DNAT\"\n",
            own.proto
        ))
    };
    endpoint.published.iter().filter_map(rule).collect()
}

fn raw(family: &str, Bridge { name, mode, .. }: &Bridge, Endpoint { address, .. }: &Endpoint) -> Vec<String> {
    if *mode != Mode::Nat {
        return vec![];
    }
    let rule = format!(
        "{family} daddr {address} iifname != \"{name}\" counter drop comment \"DROP DIRECT ACCESS\"\n"
    );
    vec![rule]
}

/// The chains of one bridge.
fn chains(family: &str, Bridge { name, subnet, mode, endpoints }: &Bridge) -> String {
    if *mode == Mode::Internal {
        return internal(family, name, subnet);
    }
    let mut ports: Vec<_> = endpoints
        .iter()
        .flat_map(|Endpoint { address, published }| {
            published.iter().map(move |Published { own, .. }| {
                format!("{family} daddr {address} {} dport {} counter accept\n", own.proto, own.number)
            })
        })
        .collect();
    ports.dedup();
    if *mode == Mode::Routed {
        let icmp = if family == "ip" { "icmp" } else { "ipv6-icmp" };
        ports.insert(0, format!("meta l4proto {icmp} counter accept\n"));
    }
    let rest = match mode {
        Mode::NatUnprotected => "counter accept comment \"UNPROTECTED\"",
        _ => "counter drop comment \"UNPUBLISHED PORT DROP\"",
    };
    let masquerade = match mode {
        Mode::Routed => String::new(),
        _ => {
            format!("oifname != \"{name}\" {family} saddr {subnet} counter masquerade comment \"MASQUERADE\"")
        }
    };
    format!(
        "chain filter-forward-in__{name} {{
             ct state established,related counter accept
             iifname \"{name}\" counter accept comment \"ICC\"
         {}    {rest}
         }}
         chain filter-forward-out__{name} {{
             ct state established,related counter accept
             counter accept comment \"OUTGOING\"
         }}
         chain nat-postrouting-in__{name} {{
         }}
         chain nat-postrouting-out__{name} {{
             {masquerade}
         }}\n",
        ports.concat()
    )
}

/// Nothing comes in from elsewhere, and nothing goes out.
fn internal(family: &str, name: &str, subnet: &str) -> String {
    format!(
        "chain filter-forward-in__{name} {{
             {family} saddr != {subnet} counter drop comment \"INTERNAL NETWORK INGRESS\"
             iifname \"{name}\" counter accept comment \"ICC\"
         }}
         chain filter-forward-out__{name} {{
             {family} daddr != {subnet} counter drop comment \"INTERNAL NETWORK EGRESS\"
         }}
         chain nat-postrouting-in__{name} {{
         }}
         chain nat-postrouting-out__{name} {{
         }}\n"
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
