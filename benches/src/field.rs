//! Where packets are measured: a real Docker host, one who floods it, and one whom it trusts.
//!
//! ```text
//!   flood0 ---- wan0          docker0 ---- containers: flooded, open, measured
//!                    \      /
//!                    the host
//!                    /
//!   client ---- lan0
//! ```
//!
//! Each line on the left is a pair of virtual interfaces and nothing else. What comes back to who floods is dropped at once.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};

use anyhow::Result;
use dockfw_lab::{Container, Docker, DockerOptions, Lab, LabOptions, Machine, Netns, Variant};

use crate::policy::{
    HOST, HOST_MEASURED, HOST_OPEN, PUBLISHED, PUBLISHED_MEASURED, PUBLISHED_OPEN, TRUSTED, UNTRUSTED_NETWORK,
};

/// Who floods; its program sends in a namespace of this name only, and from an interface of this name.
const FLOOD: &str = "flood";
const FLOOD_INTERFACE: &str = "flood0";
/// The host's end of that.
pub(crate) const FLOODED: &str = "wan0";
/// The hardware addresses of the pair that leads from there to the host.
const FAR: &str = "02:00:00:00:00:02";
pub(crate) const NEAR: &str = "02:00:00:00:00:01";
/// The host there.
pub(crate) const HOST_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 99, 1, 1);
const FAR_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 99, 1, 20);
/// The host where the client is.
pub(crate) const HOST_OF_CLIENT: Ipv4Addr = Ipv4Addr::new(10, 99, 2, 1);

/// The host, and who is around it.
pub(crate) struct Field<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) docker: &'a Docker<'a>,
    pub(crate) flood: Netns,
    pub(crate) client: Netns,
    /// Its port takes connections from the client alone.
    pub(crate) measured: Container,
    _flooded: Vec<(Container, TcpListener, UdpSocket)>,
    _host: (Vec<TcpListener>, UdpSocket),
}

/// Raises it, does something with it, and takes it down. On iptables-legacy: so the contenders that have no rules of nftables meet
/// none at all.
pub(crate) fn with<T>(work: impl FnOnce(&Field<'_>) -> Result<T>) -> Result<T> {
    let lab = Lab::raise(LabOptions { variant: Variant::Legacy, ..LabOptions::default() })?;
    let docker = Docker::start(&lab, DockerOptions { userland_proxy: false, ..DockerOptions::default() })?;
    lab.accept_forwarding()?;
    work(&Field::new(&lab, &docker)?)
}

impl<'a> Field<'a> {
    fn new(lab: &'a Lab, docker: &'a Docker<'a>) -> Result<Self> {
        let flood = flooding_end(&lab.host)?;
        let client = trusted_end(&lab.host)?;
        for setting in SETTINGS {
            lab.host.set_sysctl(setting.0, setting.1)?;
        }
        let published = |name, port: u16| {
            let both = ["tcp", "udp"].map(|transport| format!("{port}:{port}/{transport}"));
            let container =
                both.iter().fold(docker.container(name), |spec, port| spec.publish(port)).start()?;
            container.set_sysctl("net.ipv4.tcp_syncookies", "2")?;
            anyhow::Ok(container)
        };
        let flooded = [("flooded", PUBLISHED), ("open", PUBLISHED_OPEN)].map(|(name, port)| {
            let container = published(name, port)?;
            let (listener, socket) = (listen(&container, port)?, hear(&container, port)?);
            anyhow::Ok((container, listener, socket))
        });
        Ok(Self {
            lab,
            docker,
            flood,
            client,
            measured: published("measured", PUBLISHED_MEASURED)?,
            _flooded: flooded.into_iter().collect::<Result<_>>()?,
            _host: (
                [HOST, HOST_OPEN].into_iter().map(|port| listen(&lab.host, port)).collect::<Result<_>>()?,
                hear(&lab.host, HOST)?,
            ),
        })
    }

    /// Makes connection tracking forget all.
    pub(crate) fn forget(&self) -> Result<()> {
        self.lab.on_host("conntrack", &["--flush"]).map(drop)
    }

    /// Listens for the client on the host.
    pub(crate) fn listen_on_host(&self) -> Result<TcpListener> {
        listen(&self.lab.host, HOST_MEASURED)
    }

    /// Listens for the client in a container.
    pub(crate) fn listen_in_container(&self) -> Result<TcpListener> {
        listen(&self.measured, PUBLISHED_MEASURED)
    }
}

/// Answers to floods are cookies from the first on, or they would depend on how many there were before, and ICMP errors are as few as
/// on any host, where the lab has all of them.
const SETTINGS: [(&str, &str); 2] = [("net.ipv4.tcp_syncookies", "2"), ("net.ipv4.icmp_ratemask", "6168")];

fn flooding_end(host: &Machine) -> Result<Netns> {
    let flood = Netns::create(FLOOD)?;
    let name = flood.name();
    host.ip(&[
        &format!(
            "link add {FLOODED} address {NEAR} type veth peer name {FLOOD_INTERFACE} netns {name} address {FAR}"
        ),
        &format!("address add {HOST_ADDRESS}/24 dev {FLOODED}"),
        &format!("link set {FLOODED} up"),
        &format!("neighbour add {FAR_ADDRESS} lladdr {FAR} dev {FLOODED} nud permanent"),
    ])?;
    flood.ip(&[&format!("link set {FLOOD_INTERFACE} up")])?;
    host.ip(&[&format!("route add {UNTRUSTED_NETWORK} via {FAR_ADDRESS} dev {FLOODED}")])?;
    drop_at(&flood, FLOOD_INTERFACE)?;
    Ok(flood)
}

fn trusted_end(host: &Machine) -> Result<Netns> {
    let client = Netns::create("client")?;
    host.ip(&[
        &format!("link add lan0 type veth peer name eth0 netns {}", client.name()),
        &format!("address add {HOST_OF_CLIENT}/24 dev lan0"),
        "link set lan0 up",
    ])?;
    client.ip(&[&format!("address add {TRUSTED}/24 dev eth0"), "link set eth0 up"])?;
    Ok(client)
}

/// Drops all that comes in by an interface, as early as nftables can.
pub(crate) fn drop_at(netns: &Netns, interface: &str) -> Result<()> {
    netns.nft(&format!(
        "table netdev dropped {{
           chain everything {{ type filter hook ingress device {interface} priority -500; policy drop; }}
         }}\n"
    ))
}

fn listen(netns: &Netns, port: u16) -> Result<TcpListener> {
    Ok(netns.run(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)))?)
}

/// A socket that nobody reads, which is full after a moment.
fn hear(netns: &Netns, port: u16) -> Result<UdpSocket> {
    Ok(netns.run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)))?)
}
