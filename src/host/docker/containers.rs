//! Running containers and the ports that they publish.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dockfw_policy::printable;
use dockfw_policy::service::{PortRange, Service, Transport};
use serde::Deserialize;

/// A running container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Container {
    /// Its ID: 64 hexadecimal digits.
    pub(crate) id: String,
    /// Its name.
    pub(crate) name: String,
    /// Whether it has the host's network instead of one of its own.
    pub(crate) on_host_network: bool,
    /// Its addresses, with the name of the network that each is in.
    pub(crate) addresses: Vec<(String, IpAddr)>,
    /// The ports that it publishes.
    pub(crate) published: Vec<Published>,
}

/// A port that Docker publishes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Published {
    /// The protocol.
    pub(crate) transport: Transport,
    /// The number that clients dial.
    pub(crate) port: u16,
    /// The address of the host that clients dial. An unspecified one stands for every address of its family.
    pub(crate) address: IpAddr,
    /// The container's own port.
    pub(crate) container_port: u16,
    /// The container's name; the service's name for a port of Swarm's routing mesh; empty if it is unknown.
    pub(crate) container: String,
    /// The container's addresses of this family, if they are known. For one without, docker-proxy answers.
    pub(crate) targets: Vec<IpAddr>,
    /// Whether Swarm's routing mesh publishes it, on every node.
    pub(crate) is_meshed: bool,
}

impl Published {
    /// Returns the number that clients dial, as a policy names it; port 0 is no port.
    pub(crate) fn service(&self) -> Option<Service> {
        Some(Service::Ports(self.transport, PortRange::single(self.port)?))
    }
}

/// A container, as Docker lists it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Answer {
    #[serde(default)]
    id: String,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    ports: Option<Vec<Port>>,
    host_config: Option<HostConfig>,
    network_settings: Option<NetworkSettings>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Port {
    #[serde(rename = "IP")]
    address: Option<String>,
    #[serde(default)]
    private_port: u16,
    public_port: Option<u16>,
    #[serde(rename = "Type")]
    transport: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfig {
    #[serde(default)]
    network_mode: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkSettings {
    #[serde(default)]
    networks: Option<BTreeMap<String, Endpoint>>,
}

#[derive(Deserialize)]
struct Endpoint {
    #[serde(rename = "IPAddress", default)]
    v4: String,
    #[serde(rename = "GlobalIPv6Address", default)]
    v6: String,
}

impl From<Answer> for Container {
    fn from(answer: Answer) -> Self {
        let name = answer.names.first().map_or("", |name| name.trim_start_matches('/'));
        let networks = answer.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
        let mut container = Self {
            id: printable(&answer.id),
            name: printable(name),
            on_host_network: answer.host_config.is_some_and(|config| config.network_mode == "host"),
            addresses: networks.iter().flat_map(|(name, endpoint)| addresses(name, endpoint)).collect(),
            published: Vec::new(),
        };
        let ports = answer.ports.unwrap_or_default();
        container.published = ports.iter().flat_map(|port| published(port, &container)).collect();
        container
    }
}

fn addresses(network: &str, endpoint: &Endpoint) -> impl Iterator<Item = (String, IpAddr)> {
    let network = printable(network);
    [&endpoint.v4, &endpoint.v6]
        .map(|text| text.parse().ok())
        .into_iter()
        .flatten()
        .map(move |address| (network.clone(), address))
}

/// Docker lists a port that it publishes on all addresses once per family. A port without an address is on all of both.
fn published(port: &Port, container: &Container) -> Vec<Published> {
    let transport = Transport::ALL.into_iter().find(|transport| transport.name() == port.transport);
    let (Some(transport), Some(number)) = (transport, port.public_port.filter(|number| *number != 0)) else {
        return Vec::new();
    };
    let addresses: Vec<IpAddr> = match port.address.as_deref().unwrap_or_default() {
        "" => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
        text => text.parse().into_iter().collect(),
    };
    let published = |address: IpAddr| Published {
        transport,
        port: number,
        address,
        container_port: port.private_port,
        container: container.name.clone(),
        targets: targets(container, address),
        is_meshed: false,
    };
    addresses.into_iter().map(published).collect()
}

/// Docker translates to an address of the same family.
fn targets(container: &Container, address: IpAddr) -> Vec<IpAddr> {
    let own = container.addresses.iter().map(|(_, own)| *own);
    own.filter(|own| own.is_ipv4() == address.is_ipv4()).collect()
}

/// Returns each published port once.
pub(crate) fn published_by(containers: &[Container]) -> Vec<Published> {
    let mut published: Vec<_> =
        containers.iter().flat_map(|container| &container.published).cloned().collect();
    published.sort();
    published.dedup();
    published
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(json: &str) -> Container {
        serde_json::from_str::<Answer>(json).unwrap().into()
    }

    #[test]
    fn the_published_ports_are_read_and_names_made_printable() {
        let web = container(
            r#"{"Id":"ab","Names":["/we\u001b[31mb"],"Ports":[
                {"IP":"0.0.0.0","PrivatePort":80,"PublicPort":8080,"Type":"tcp"},
                {"IP":"::","PrivatePort":80,"PublicPort":8080,"Type":"tcp"},
                {"PrivatePort":443,"Type":"tcp"}],
                "NetworkSettings":{"Networks":{"bridge":{"IPAddress":"172.17.0.2","GlobalIPv6Address":""}}}}"#,
        );
        let published = published_by(&[web]);
        assert_eq!(published.len(), 2);
        assert_eq!(published[0].container, "we[31mb");
        assert_eq!(published[0].service().unwrap().to_string(), "8080/tcp");
        assert_eq!((published[0].container_port, published[0].address), (80, Ipv4Addr::UNSPECIFIED.into()));
        assert_eq!(published[0].targets, [IpAddr::from([172, 17, 0, 2])]);
        assert_eq!(published[1].address, IpAddr::from(Ipv6Addr::UNSPECIFIED));
        assert_eq!(published[1].targets, [] as [IpAddr; 0], "docker-proxy answers");
    }

    #[test]
    fn a_container_on_the_hosts_network_is_told() {
        assert!(container(r#"{"Names":["/a"],"HostConfig":{"NetworkMode":"host"}}"#).on_host_network);
        assert!(
            !container(r#"{"Names":[],"Ports":null,"NetworkSettings":{"Networks":null}}"#).on_host_network
        );
    }

    #[test]
    fn what_is_no_port_is_left_out() {
        let odd = container(
            r#"{"Names":["/a"],"Ports":[{"PrivatePort":1,"PublicPort":0,"Type":"tcp"},
                {"PrivatePort":1,"PublicPort":2,"Type":"dccp"},
                {"IP":"nowhere","PrivatePort":1,"PublicPort":2,"Type":"udp"}]}"#,
        );
        assert_eq!(odd.published, []);
    }
}
