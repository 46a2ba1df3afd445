//! The rules of Docker's iptables backend, in the layout of Docker 29 (moby,
//! `daemon/libnetwork/drivers/bridge/internal/iptabler`): without `-i BRIDGE -j RETURN` in table nat, and without chains that keep networks
//! apart.

use anyhow::Result;
use serde_json::Value;

use super::{Bridge, Endpoint, Mode, Published, bridges};

/// What lays the rules, for a shell. Chains of Docker's own are made anew; DOCKER-USER is left as it is.
pub(crate) fn script(networks: &[Value], containers: &[Value]) -> Result<String> {
    let mut script = String::from(JUMPS);
    for (program, is_v4) in [("iptables", true), ("ip6tables", false)] {
        let bridges = bridges(networks, containers, is_v4)?;
        script += &format!(
            "{program}-restore --noflush <<'END'\n{}END\njumps {program}\n",
            tables(&bridges, is_v4)
        );
    }
    Ok(script)
}

/// The jumps from the kernel's own chains. As Docker does when it starts, the one to DOCKER-USER first, and behind it the one to
/// its own rules.
const JUMPS: &str = "
set -e
jumps() {
    loopback=127.0.0.0/8
    [ $1 = iptables ] || loopback=::1/128
    for jump in 'PREROUTING -m addrtype --dst-type LOCAL' \"OUTPUT ! -d $loopback -m addrtype --dst-type LOCAL\"; do
        $1 -t nat -C $jump -j DOCKER 2>/dev/null || $1 -t nat -A $jump -j DOCKER
    done
    $1 -N DOCKER-USER 2>/dev/null || :
    for chain in DOCKER-FORWARD DOCKER-USER; do
        if ! $1 -C FORWARD -j $chain 2>/dev/null; then $1 -I FORWARD -j $chain; fi
    done
}
";

fn tables(bridges: &[Bridge], is_v4: bool) -> String {
    let of_endpoints = |lines: fn(&Bridge, &Endpoint, bool) -> Vec<String>| -> String {
        Bridge::translated(bridges).flat_map(|(bridge, endpoint)| lines(bridge, endpoint, is_v4)).collect()
    };
    let of_bridges = |lines: fn(&Bridge, bool) -> String| -> String {
        bridges.iter().map(|bridge| lines(bridge, is_v4)).collect()
    };
    format!(
        "*raw\n-F PREROUTING\n{raw}COMMIT\n\
         *nat\n:DOCKER - [0:0]\n-F POSTROUTING\n{masquerade}{dnat}COMMIT\n\
         *filter\n:DOCKER - [0:0]\n:DOCKER-BRIDGE - [0:0]\n:DOCKER-CT - [0:0]\n:DOCKER-FORWARD - [0:0]\n:DOCKER-INTERNAL - [0:0]\n\
         -A DOCKER-FORWARD -j DOCKER-CT\n-A DOCKER-FORWARD -j DOCKER-INTERNAL\n-A DOCKER-FORWARD -j DOCKER-BRIDGE\n\
         {chains}COMMIT\n",
        raw = of_endpoints(raw),
        masquerade = of_bridges(masquerade),
        dnat = of_endpoints(dnat),
        chains = of_bridges(chains),
    )
}

fn raw(Bridge { name, mode, .. }: &Bridge, Endpoint { address, .. }: &Endpoint, _: bool) -> Vec<String> {
    let is_closed = *mode == Mode::Nat;
    is_closed.then(|| format!("-A PREROUTING -d {address} ! -i {name} -j DROP\n")).into_iter().collect()
}

fn masquerade(Bridge { name, subnet, mode, .. }: &Bridge, _: bool) -> String {
    match mode {
        Mode::Nat | Mode::NatUnprotected => format!("-A POSTROUTING -s {subnet} ! -o {name} -j MASQUERADE\n"),
        Mode::Routed | Mode::Internal => String::new(),
    }
}

/// Docker leaves to docker-proxy what comes from the container's own bridge, or from link-local addresses.
fn dnat(Bridge { name, .. }: &Bridge, endpoint: &Endpoint, is_v4: bool) -> Vec<String> {
    let skip = if is_v4 { "" } else { "! -s fe80::/10 " };
    let rule = |Published { address, number, own }: &Published| {
        let number = (*number)?;
        let at = if address.is_unspecified() { String::new() } else { format!("-d {address} ") };
        let to = std::net::SocketAddr::new(endpoint.address, own.number);
        Some(format!(
            "-A DOCKER {skip}{at}! -i {name} -p {proto} -m {proto} --dport {number} -j DNAT --to-destination {to}\n",
            proto = own.proto
        ))
    };
    endpoint.published.iter().filter_map(rule).collect()
}

/// What table filter has of a bridge.
fn chains(Bridge { name, subnet, mode, endpoints }: &Bridge, is_v4: bool) -> String {
    if *mode == Mode::Internal {
        return format!(
            "-A DOCKER-INTERNAL ! -s {subnet} -o {name} -j DROP\n-A DOCKER-INTERNAL ! -d {subnet} -i {name} -j DROP\n\
             -A DOCKER-FORWARD -i {name} -o {name} -j ACCEPT\n"
        );
    }
    let port = |address: &std::net::IpAddr, own: &crate::port::Port| {
        let crate::port::Port { number, proto } = own;
        format!(
            "-A DOCKER -d {address} ! -i {name} -o {name} -p {proto} -m {proto} --dport {number} -j ACCEPT\n"
        )
    };
    let ports = endpoints.iter().flat_map(|Endpoint { address, published }| {
        published.iter().map(move |published| port(address, &published.own))
    });
    let mut ports: Vec<_> = if *mode == Mode::NatUnprotected { vec![] } else { ports.collect() };
    ports.dedup();
    let icmp = match (mode, is_v4) {
        (Mode::Routed, true) => format!("-A DOCKER -o {name} -p icmp -j ACCEPT\n"),
        (Mode::Routed, false) => format!("-A DOCKER -o {name} -p ipv6-icmp -j ACCEPT\n"),
        _ => String::new(),
    };
    let rest = if *mode == Mode::NatUnprotected { "ACCEPT" } else { "DROP" };
    format!(
        "{ports}{icmp}-A DOCKER ! -i {name} -o {name} -j {rest}\n-A DOCKER-BRIDGE -o {name} -j DOCKER\n\
         -A DOCKER-CT -o {name} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A DOCKER-FORWARD -i {name} -j ACCEPT\n",
        ports = ports.concat()
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn networks_have_the_rules_of_their_modes() {
        let network = |mode: &str| {
            json!({"Name": "app", "Id": "529990f5e1e6aaaa", "IPAM": {"Config": [{"Subnet": "172.19.0.0/16"}]},
            "Options": {"com.docker.network.bridge.gateway_mode_ipv4": mode},
            "Containers": {"c1": {"IPv4Address": "172.19.0.2/16", "IPv6Address": ""}}})
        };
        let container = json!({"Id": "c1", "NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8081"}]}}});
        let script = |mode: &str| script(&[network(mode)], std::slice::from_ref(&container)).unwrap();
        let nat = script("nat");
        assert!(nat.contains("-A DOCKER ! -i br-529990f5e1e6 -p tcp -m tcp --dport 8081 -j DNAT --to-destination 172.19.0.2:80"), "{nat}");
        assert!(
            nat.contains("-A PREROUTING -d 172.19.0.2 ! -i br-529990f5e1e6 -j DROP")
                && !nat.contains("RETURN"),
            "{nat}"
        );
        let routed = script("routed");
        assert!(
            !routed.contains("DNAT") && !routed.contains("-d 172.19.0.2 ! -i br-529990f5e1e6 -j DROP"),
            "{routed}"
        );
        assert!(
            routed.contains("--dport 80 -j ACCEPT") && routed.contains("-o br-529990f5e1e6 -j DROP"),
            "{routed}"
        );
        assert!(script("nat-unprotected").contains("! -i br-529990f5e1e6 -o br-529990f5e1e6 -j ACCEPT"));
        assert!(
            script("isolated").contains("-A DOCKER-INTERNAL ! -s 172.19.0.0/16 -o br-529990f5e1e6 -j DROP")
        );
    }
}
