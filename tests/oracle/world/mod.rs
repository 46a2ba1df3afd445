//! The host that policies are applied on, with an outside on two interfaces and a container on Docker's bridge.
//!
//! ```text
//!   beyond wan0 ---- wan0            docker0 ---- container, its port 80 published as 8080
//!                        \          /
//!                         the host
//!                        /
//!   beyond lan0 ---- lan0
//! ```
//!
//! Each line is a pair of virtual interfaces and nothing else, so that a packet waits in one queue alone on its way into the host:
//! that of the processor that sent it.

mod bare;
mod docker;

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use dockfw_lab::{Netns, Sender, run_with_input};
use dockfw_policy::walk::Interface;
use nix::ifaddrs::getifaddrs;

use crate::settings::{Engine, WorldKind};

pub(crate) use bare::obstacle as bare_obstacle;

/// Where packets out of containers go, one destination of each family (RFC 5737, RFC 3849). Behind `wan0`; nobody has them.
pub(crate) const ELSEWHERE: [&str; 2] = ["203.0.113.9", "2001:db8:ffff::9"];
/// The networks that they are in.
const ELSEWHERE_NETWORKS: [&str; 2] = ["203.0.113.0/24", "2001:db8:ffff::/48"];

/// How many rules that never hold each packet is compared with between the hooks where policies decide: as on a host that has many,
/// and so that a packet is there for long enough to be met by a change.
const BETWEEN: usize = 400;
/// A protocol that nobody uses (RFC 3692).
const UNUSED: u8 = 253;

/// How long connection tracking remembers the only packet of a connection: the shortest time that there is.
const TIMEOUTS: [&str; 4] =
    ["udp_timeout", "tcp_timeout_syn_sent", "tcp_timeout_close", "udp_timeout_stream"];

/// A network namespace at the other end of one of the host's interfaces.
pub(crate) struct Place {
    pub(crate) netns: Netns,
    pub(crate) interface: String,
    /// Of IPv4 and of IPv6.
    pub(crate) addresses: [IpAddr; 2],
}

/// An interface of the host, and who is at its other end.
pub(crate) struct Link {
    pub(crate) interface: String,
    pub(crate) is_bridge: bool,
    /// The host's own addresses there, of IPv4 and of IPv6.
    pub(crate) host: [IpAddr; 2],
    pub(crate) far: Place,
}

/// The number of `docker0` among the links.
pub(crate) const DOCKER: usize = 2;

/// The host.
pub(crate) struct World {
    pub(crate) host: Netns,
    /// `wan0`, `lan0` and `docker0`.
    pub(crate) links: [Link; 3],
    program: PathBuf,
    path: OsString,
}

/// Raises a world, does something with it, and takes it down.
pub(crate) fn with<T>(
    kind: WorldKind,
    engine: Engine,
    program: &Path,
    work: impl FnOnce(&World) -> Result<T>,
) -> Result<T> {
    match kind {
        WorldKind::Docker => docker::with(engine, program, work),
        WorldKind::Bare => bare::with(engine, program, work),
    }
}

impl World {
    /// Makes ready for the flood: any source is believed, connection tracking forgets at once, nobody is asked for a hardware
    /// address, and all answers end in the container.
    fn prepare(&self) -> Result<()> {
        for scope in ["all", "default", "wan0", "lan0", "docker0"] {
            self.host.set_sysctl(&format!("net.ipv4.conf.{scope}.rp_filter"), "0")?;
        }
        for timeout in TIMEOUTS {
            self.host.set_sysctl(&format!("net.netfilter.nf_conntrack_{timeout}"), "1")?;
        }
        self.links.iter().try_for_each(|link| self.know(link))?;
        self.lead_back()
    }

    /// Tells the host who has the addresses at the other end of a link.
    fn know(&self, link: &Link) -> Result<()> {
        let hardware = text_of(link.far.hardware_address()?);
        let neighbour = |address| {
            format!("neighbour replace {address} lladdr {hardware} dev {} nud permanent", link.interface)
        };
        let [v4, v6] = link.far.addresses.map(neighbour);
        self.host.ip(&[&v4, &v6])
    }

    /// Routes what containers send to the outside, and all else to the container, which passes nothing on: no answer reaches who is
    /// said to have asked, and whatever source the container sends with is one that belongs to its network.
    fn lead_back(&self) -> Result<()> {
        for forwarding in ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"] {
            self.container().netns.set_sysctl(forwarding, "0")?;
        }
        for (network, router) in ELSEWHERE_NETWORKS.iter().zip(self.outside().addresses) {
            self.host.ip(&[&format!("route add {network} via {router}")])?;
        }
        let bridge = &self.links[DOCKER].interface;
        for (everyone, container) in ["0.0.0.0/0", "::/0"].iter().zip(self.container().addresses) {
            self.host.ip(&[&format!("route replace {everyone} via {container} dev {bridge}")])?;
        }
        Ok(())
    }

    /// Puts rules between the hooks: behind all that mangles, and in front of input and forward.
    fn lengthen_by_iptables(host: &Netns, path: &OsString) -> Result<()> {
        let rules = format!("-I PREROUTING -p {UNUSED} -j RETURN\n").repeat(BETWEEN);
        for program in ["iptables-restore", "ip6tables-restore"] {
            let mut command = Command::new(program);
            command.arg("--noflush").env("PATH", path);
            host.run(|| run_with_input(&mut command, format!("*nat\n{rules}COMMIT\n").as_bytes()))?;
        }
        Ok(())
    }

    /// The other side of `docker0`.
    pub(crate) fn container(&self) -> &Place {
        &self.links[DOCKER].far
    }

    /// Where packets out of containers come by.
    pub(crate) fn outside(&self) -> &Place {
        &self.links[0].far
    }

    /// The program under test, ready to run on the host; what it says goes into a file.
    pub(crate) fn start(&self, arguments: &[&str], said: &Path) -> Result<Child> {
        let said = std::fs::File::create(said).with_context(|| format!("cannot write {}", said.display()))?;
        let mut command = Command::new("nice");
        // Before the senders, which leave nothing of the processors to others.
        command.args(["-n", "-10"]).arg(&self.program).args(arguments).env("PATH", &self.path);
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
        self.host.run(|| command.spawn()).with_context(|| format!("cannot start {command:?}"))
    }
}

impl Link {
    /// A sender of frames into the host.
    pub(crate) fn sender(&self, host: &Netns) -> Result<Sender> {
        Sender::new(&self.far.netns, &self.far.interface, hardware_address(host, &self.interface)?)
    }

    /// The interface as policies see it. iptables knows interfaces by their names alone.
    pub(crate) fn as_seen_by(&self, engine: Engine) -> Interface {
        Interface { name: self.interface.clone(), is_bridge: self.is_bridge || engine == Engine::Compat }
    }
}

impl Place {
    fn hardware_address(&self) -> Result<[u8; 6]> {
        hardware_address(&self.netns, &self.interface)
    }
}

fn hardware_address(netns: &Netns, interface: &str) -> Result<[u8; 6]> {
    let address = || {
        let mut interfaces = getifaddrs().ok()?.filter(|entry| entry.interface_name == interface);
        interfaces.find_map(|entry| entry.address?.as_link_addr()?.addr())
    };
    netns.run(address).with_context(|| format!("no interface {interface} in {}", netns.name()))
}

fn text_of(hardware: [u8; 6]) -> String {
    hardware.map(|byte| format!("{byte:02x}")).join(":")
}
