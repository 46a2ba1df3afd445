//! This host's part in a Swarm, the other nodes, and the ports of the routing mesh.

use std::net::{IpAddr, Ipv4Addr};

use dockfw_policy::printable;
use dockfw_policy::service::Transport;
use serde::Deserialize;

use super::Published;

/// Whether this host is in a Swarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Membership {
    /// It is in none.
    None,
    /// It is a node of one.
    Node(Swarm),
}

/// This host's part in a Swarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Swarm {
    /// The address by which the other nodes reach this one.
    pub(crate) address: Option<IpAddr>,
    /// Whether it is a manager, and knows the other nodes.
    pub(crate) is_manager: bool,
    /// The managers' addresses, this node's own among them if it is one: every node knows them.
    pub(crate) managers: Vec<IpAddr>,
}

/// A node of the Swarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// Its host's name.
    pub(crate) name: String,
    /// The address that it last connected from. A manager may see itself as an unspecified one.
    pub(crate) address: Option<IpAddr>,
}

/// What Docker reports of itself in a Swarm.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Answer {
    #[serde(default)]
    local_node_state: String,
    #[serde(default)]
    node_addr: String,
    #[serde(default)]
    control_available: bool,
    #[serde(default)]
    remote_managers: Option<Vec<Manager>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Manager {
    #[serde(default)]
    addr: String,
}

impl Answer {
    /// Returns the part in the Swarm, if there is one.
    pub(super) fn active(&self) -> Option<Swarm> {
        let managers = self.remote_managers.as_deref().unwrap_or_default();
        (self.local_node_state == "active").then(|| Swarm {
            address: self.node_addr.parse().ok(),
            is_manager: self.control_available,
            managers: managers.iter().filter_map(|manager| host(&manager.addr)).collect(),
        })
    }
}

/// Returns the address in `192.0.2.1:2377` or `[2001:db8::1]:2377`.
fn host(text: &str) -> Option<IpAddr> {
    text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip())
}

/// A node, as a manager lists it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NodeAnswer {
    description: Option<Description>,
    status: Option<Status>,
    manager_status: Option<Manager>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Description {
    #[serde(default)]
    hostname: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Status {
    #[serde(default)]
    addr: String,
}

impl From<NodeAnswer> for Node {
    fn from(answer: NodeAnswer) -> Self {
        let seen = answer.status.and_then(|status| status.addr.parse().ok());
        let seen = seen.filter(|address: &IpAddr| !address.is_unspecified());
        Self {
            name: printable(&answer.description.map(|description| description.hostname).unwrap_or_default()),
            address: seen.or_else(|| host(&answer.manager_status?.addr)),
        }
    }
}

/// A service, as a manager lists it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Service {
    spec: Option<Spec>,
    endpoint: Option<Endpoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Spec {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Endpoint {
    #[serde(default)]
    ports: Option<Vec<Port>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Port {
    #[serde(default)]
    protocol: String,
    #[serde(default)]
    target_port: u16,
    #[serde(default)]
    published_port: u16,
    #[serde(default)]
    publish_mode: String,
}

/// Returns the ports that the routing mesh publishes for a service. Those of `mode=host` are a container's, and listed
/// as such.
pub(super) fn published_by(service: &Service) -> impl Iterator<Item = Published> + '_ {
    let name = printable(service.spec.as_ref().map_or("", |spec| &spec.name));
    let ports = service.endpoint.as_ref().and_then(|endpoint| endpoint.ports.as_ref());
    let meshed =
        ports.into_iter().flatten().filter(|port| port.publish_mode != "host" && port.published_port != 0);
    meshed.filter_map(move |port| {
        Some(Published {
            transport: Transport::ALL.into_iter().find(|transport| transport.name() == port.protocol)?,
            port: port.published_port,
            // The routing mesh has IPv4 alone; over IPv6 dockerd listens, and answers nothing.
            address: Ipv4Addr::UNSPECIFIED.into(),
            container_port: port.target_port,
            container: name.clone(),
            targets: Vec::new(),
            is_meshed: true,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_knows_the_managers() {
        let answer: Answer = serde_json::from_str(
            r#"{"LocalNodeState":"active","NodeAddr":"192.0.2.1","ControlAvailable":true,
                "RemoteManagers":[{"NodeID":"a","Addr":"192.0.2.1:2377"},{"Addr":"[2001:db8::2]:2377"},{"Addr":"x"}]}"#,
        )
        .unwrap();
        let swarm = answer.active().unwrap();
        assert!(swarm.is_manager && swarm.address == Some([192, 0, 2, 1].into()));
        assert_eq!(swarm.managers, ["192.0.2.1".parse::<IpAddr>().unwrap(), "2001:db8::2".parse().unwrap()]);
        let inactive: Answer =
            serde_json::from_str(r#"{"LocalNodeState":"inactive","RemoteManagers":null}"#).unwrap();
        assert_eq!(inactive.active(), None);
    }

    #[test]
    fn nodes_have_the_address_that_they_come_from() {
        let node = |json: &str| Node::from(serde_json::from_str::<NodeAnswer>(json).unwrap());
        let worker =
            node(r#"{"Description":{"Hostname":"b\u0007"},"Status":{"State":"ready","Addr":"192.0.2.2"}}"#);
        assert_eq!(worker, Node { name: "b".into(), address: Some([192, 0, 2, 2].into()) });
        let manager = node(r#"{"Status":{"Addr":"0.0.0.0"},"ManagerStatus":{"Addr":"192.0.2.1:2377"}}"#);
        assert_eq!(manager.address, Some([192, 0, 2, 1].into()));
        assert_eq!(node("{}").address, None);
    }

    #[test]
    fn only_ports_of_the_mesh_are_the_services_own() {
        let service: Service = serde_json::from_str(
            r#"{"Spec":{"Name":"web"},"Endpoint":{"Ports":[
                {"Protocol":"tcp","TargetPort":80,"PublishedPort":8080,"PublishMode":"ingress"},
                {"Protocol":"tcp","TargetPort":80,"PublishedPort":8081,"PublishMode":"host"}]}}"#,
        )
        .unwrap();
        let published: Vec<_> = published_by(&service).collect();
        assert_eq!(published.len(), 1);
        assert!(published[0].is_meshed && published[0].port == 8080 && published[0].container == "web");
    }
}
