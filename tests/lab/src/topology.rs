//! The lab's network: a host and four clients on one segment, and what a test adds to it.
//!
//! ```text
//!   trusted .10   untrusted .20   office .30   blocked .40        192.0.2.0/24, 2001:db8:1::/64
//!        |             |              |             |
//!   -----+-------------+------ switch .254 ---------+------------ (a bridge in a namespace of its own)
//!                      |
//!                 eth0 .1 (and .2)  host  --- docker0, br-...
//! ```

use std::ffi::OsString;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::choice::docker_version;
use crate::layouts::Layout;
use crate::machine::Machine;
use crate::mounts::Substitute;
use crate::netns::Netns;
use crate::programs::Variant;
use crate::roots::Root;
use crate::userland::Userland;
use crate::wait::wait_until;

/// The host's second address: for ports published on a chosen address.
pub const SECOND_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// The host's second IPv6 address.
pub const SECOND_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 2);

/// A router that leads nowhere, so that the host has a default route as hosts do: without one, `rp_filter` would
/// drop every forged source before a firewall could be proved to.
const ROUTER: u8 = 254;

/// How a lab is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabOptions {
    /// Which `iptables` the programs on the host find.
    pub variant: Variant,
    /// The program under test.
    pub dockfw: Option<PathBuf>,
    /// What the host's programs are taken from, dockerd among them; this machine by default.
    pub root: Option<Root>,
    /// Docker makes no rules of its own: these stand in their place. Those of its nftables backend need a root whose nft knows them.
    pub layout: Option<Layout>,
}

impl LabOptions {
    /// The major version of the Docker that it would run; nothing where that can't be told.
    #[must_use]
    pub fn docker_major(&self) -> Option<u32> {
        let version = docker_version(self.root.as_ref()).ok()?;
        version.split('.').next()?.parse().ok()
    }
}

/// The machines of the lab. Dropped, they are gone.
#[derive(Debug)]
pub struct Lab {
    /// Where Docker and the firewall run.
    pub host: Machine,
    /// 192.0.2.10, 2001:db8:1::10.
    pub trusted: Machine,
    /// 192.0.2.20, 2001:db8:1::20.
    pub untrusted: Machine,
    /// 192.0.2.30, 2001:db8:1::30.
    pub office: Machine,
    /// 192.0.2.40, 2001:db8:1::40.
    pub blocked: Machine,
    options: LabOptions,
    userland: Userland,
    /// The program under test as it is started.
    dockfw: Vec<PathBuf>,
    segments: AtomicU8,
    _nft: Option<Substitute>,
    switch: Netns,
}

impl Lab {
    /// Makes the namespaces and joins them. Only within [`contain`](crate::contain()).
    pub fn raise(options: LabOptions) -> Result<Self> {
        let switch = Netns::create("switch")?;
        let (v4, v6) = addresses(1, ROUTER);
        switch.ip(&[
            "link add lan type bridge mcast_snooping 0",
            &format!("address add {v4}/24 dev lan"),
            &format!("address add {v6}/64 dev lan nodad"),
            "link set lan up",
        ])?;
        let host = join(&switch, "host", 1)?;
        prepare_host(&host)?;
        let userland = Userland::raise(options.root.as_ref(), &options.variant)?;
        // An nft as old as Debian 12's (1.0.6) dies on whatever it is asked once Docker's tables are there.
        let nft = (options.layout == Some(Layout::Nftables)).then(|| userland.lend("nft")).transpose()?;
        Ok(Self {
            host,
            trusted: join(&switch, "trusted", 10)?,
            untrusted: join(&switch, "untrusted", 20)?,
            office: join(&switch, "office", 30)?,
            blocked: join(&switch, "blocked", 40)?,
            dockfw: options.dockfw.as_ref().map_or(Ok(Vec::new()), |program| userland.bring(program))?,
            userland,
            options,
            segments: AtomicU8::new(1),
            _nft: nft,
            switch,
        })
    }

    /// Another host on the switch, 192.0.2.LAST and 2001:db8:1::LAST, with files, programs' state and a Docker of its own. The
    /// clients are the same. Not with a root of another release.
    pub fn another_host(&self, name: &str, last: u8) -> Result<Self> {
        let host = join(&self.switch, name, last)?;
        forward_and_route(&host)?;
        Ok(Self {
            host,
            trusted: self.trusted.clone(),
            untrusted: self.untrusted.clone(),
            office: self.office.clone(),
            blocked: self.blocked.clone(),
            dockfw: self.dockfw.clone(),
            userland: self.userland.apart(name)?,
            options: self.options.clone(),
            segments: AtomicU8::new(1),
            _nft: None,
            switch: self.switch.clone(),
        })
    }

    /// The clients, all of them.
    #[must_use]
    pub fn clients(&self) -> [&Machine; 4] {
        [&self.trusted, &self.untrusted, &self.office, &self.blocked]
    }

    /// `PATH` on the host: the links to the chosen iptables first.
    #[must_use]
    pub fn path(&self) -> &OsString {
        self.userland.path()
    }

    pub(crate) fn userland(&self) -> &Userland {
        &self.userland
    }

    /// Whether the rules of Docker's nftables backend stand in place of Docker's own.
    #[must_use]
    pub fn docker_is_on_nftables(&self) -> bool {
        self.options.layout == Some(Layout::Nftables)
    }

    /// Whose rules stand in place of Docker's own, if some do.
    #[must_use]
    pub fn layout(&self) -> Option<Layout> {
        self.options.layout
    }

    /// Which iptables that is.
    #[must_use]
    pub fn variant(&self) -> &Variant {
        &self.options.variant
    }

    /// Runs the program under test on the host.
    pub fn dockfw(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = self.dockfw_command(arguments)?;
        command.output().with_context(|| format!("cannot start {command:?}"))
    }

    /// The command that [`dockfw`](Self::dockfw) runs.
    pub fn dockfw_command(&self, arguments: &[&str]) -> Result<Command> {
        let (program, words) = self.dockfw.split_first().context("the lab was not told where dockfw is")?;
        let mut command = self.command(program);
        command.args(words).args(arguments);
        Ok(command)
    }

    /// A command on the host, with the host's root file system and `PATH`.
    #[must_use]
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        self.userland.command(&self.host, program)
    }

    /// Runs a program on the host with the host's `PATH`: `iptables` is the chosen one.
    pub fn on_host(&self, program: &str, arguments: &[&str]) -> Result<String> {
        crate::run(self.command(program).args(arguments))
    }

    /// Sets the policy of FORWARD to ACCEPT in both families, as on a host that forwards for other reasons. dockerd
    /// before 28.0 sets it to DROP for IPv6 at each start: a test of a drop of ours would prove Docker's.
    pub fn accept_forwarding(&self) -> Result<()> {
        for iptables in ["iptables", "ip6tables"] {
            self.on_host(iptables, &["-P", "FORWARD", "ACCEPT"])?;
        }
        Ok(())
    }

    /// Gives the host one more outside segment, on an interface called `name` (a veth, whatever it is called), and a
    /// machine there: 10.99.N.20 and 2001:db8:N::20, the host being .1.
    pub fn outside_segment(&self, name: &str) -> Result<Machine> {
        let segment = self.next_segment();
        let machine = attach(&self.host, name, &format!("beyond-{name}"), segment, 20)?;
        address_host(&self.host, name, segment)?;
        Ok(machine)
    }

    /// Gives the host a bridge called `name` that is not Docker's, with `machines` machines on ports of it:
    /// 10.99.N.20, .21 and so on, the host itself being .1.
    pub fn bridge(&self, name: &str, machines: u8) -> Result<Vec<Machine>> {
        let segment = self.next_segment();
        self.host.ip(&[&format!("link add {name} type bridge mcast_snooping 0")])?;
        address_host(&self.host, name, segment)?;
        (0..machines)
            .map(|index| {
                let port = format!("{name}p{index}");
                let machine = attach(&self.host, &port, &format!("{name}-{index}"), segment, 20 + index)?;
                self.enslave(&port, name)?;
                Ok(machine)
            })
            .collect()
    }

    /// Makes an interface of the host a port of a bridge, and waits until it forwards: a new link's carrier is told to
    /// the bridge some time after the link is up.
    pub fn enslave(&self, port: &str, bridge: &str) -> Result<()> {
        self.host.ip(&[&format!("link set {bridge} up"), &format!("link set {port} master {bridge} up")])?;
        let forwards = || {
            let shown = self.host.shell(&format!("bridge link show dev {port}")).unwrap_or_default();
            shown.contains("state forwarding").then_some(())
        };
        wait_until(Duration::from_secs(5), &format!("for {port} to forward"), forwards)
    }

    fn next_segment(&self) -> u8 {
        self.segments.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Segment 1 is the lab's own; the others are made by tests.
fn addresses(segment: u8, last: u8) -> (Ipv4Addr, Ipv6Addr) {
    // The same digits in both families, so that 20 is ::20 and a reader need not convert.
    let digits = u16::from_str_radix(&last.to_string(), 16).unwrap_or_default();
    let v6 = Ipv6Addr::new(0x2001, 0xdb8, segment.into(), 0, 0, 0, 0, digits);
    match segment {
        1 => (Ipv4Addr::new(192, 0, 2, last), v6),
        _ => (Ipv4Addr::new(10, 99, segment, last), v6),
    }
}

/// A machine on the switch, by an interface `eth0`.
fn join(switch: &Netns, name: &str, last: u8) -> Result<Machine> {
    let port = format!("to-{name}");
    let machine = attach(switch, &port, name, 1, last)?;
    switch.ip(&[&format!("link set {port} master lan up")])?;
    Ok(machine)
}

/// A new machine whose `eth0` is the other end of `port` in `at`.
fn attach(at: &Netns, port: &str, name: &str, segment: u8, last: u8) -> Result<Machine> {
    let netns = Netns::create(name)?;
    // Duplicate address detection would keep addresses unusable for a second or two.
    netns.set_sysctl("net.ipv6.conf.all.accept_dad", "0")?;
    netns.set_sysctl("net.ipv6.conf.default.accept_dad", "0")?;
    let (v4, v6) = addresses(segment, last);
    // The kernel takes a namespace's links down some time after the namespace has lost its name.
    let is_free = || at.shell(&format!("ip link show dev {port}")).is_err().then_some(());
    wait_until(Duration::from_secs(5), &format!("for an earlier {port} to go"), is_free)?;
    netns.ip(&[
        &format!("link add eth0 type veth peer name {port} netns {}", at.name()),
        &format!("address add {v4}/24 dev eth0"),
        &format!("address add {v6}/64 dev eth0 nodad"),
        "link set eth0 up",
    ])?;
    at.ip(&[&format!("link set {port} up")])?;
    // The kernel drops what is sent before it has noticed that the other end is up, some time after that.
    let is_up = |end: &Netns, link: &str| {
        end.shell(&format!("ip link show dev {link}")).is_ok_and(|shown| shown.contains("state UP"))
    };
    let are_up = || (is_up(&netns, "eth0") && is_up(at, port)).then_some(());
    wait_until(Duration::from_secs(5), &format!("for {port} to be up"), are_up)?;
    Ok(Machine { netns, interface: "eth0".to_owned(), v4, v6 })
}

fn address_host(host: &Netns, interface: &str, segment: u8) -> Result<()> {
    let (v4, v6) = addresses(segment, 1);
    host.ip(&[
        &format!("address add {v4}/24 dev {interface}"),
        &format!("address add {v6}/64 dev {interface} nodad"),
        &format!("link set {interface} up"),
    ])
}

fn prepare_host(host: &Machine) -> Result<()> {
    add_second_addresses(host, "eth0")?;
    forward_and_route(host)
}

/// Gives the host its second address of each family.
pub(crate) fn add_second_addresses(host: &Netns, interface: &str) -> Result<()> {
    host.ip(&[
        &format!("address add {SECOND_V4}/24 dev {interface}"),
        // Not preferred, so that answers without a source of their own (docker-proxy's over UDP) come from the first.
        &format!("address add {SECOND_V6}/64 dev {interface} nodad preferred_lft 0"),
    ])
}

fn forward_and_route(host: &Machine) -> Result<()> {
    // As systemd sets it; 0, the kernel's own, would hide what a source address is checked for on real hosts.
    for scope in ["all", "default", "eth0"] {
        host.set_sysctl(&format!("net.ipv4.conf.{scope}.rp_filter"), "2")?;
    }
    // Not left to dockerd: where it turns IPv4 forwarding on itself, it also sets the policy of FORWARD to DROP, and
    // a test of our drops would prove Docker's.
    host.set_sysctl("net.ipv4.ip_forward", "1")?;
    host.set_sysctl("net.ipv6.conf.all.forwarding", "1")?;
    route_outwards(host)
}

/// Gives the host its default routes.
pub(crate) fn route_outwards(host: &Netns) -> Result<()> {
    let (router4, router6) = addresses(1, ROUTER);
    host.ip(&[&format!("route add default via {router4}"), &format!("route add ::/0 via {router6}")])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_end_in_the_same_digits() {
        let (v4, v6) = addresses(1, 20);
        assert_eq!((v4.to_string().as_str(), v6.to_string().as_str()), ("192.0.2.20", "2001:db8:1::20"));
        let (v4, v6) = addresses(3, 1);
        assert_eq!((v4.to_string().as_str(), v6.to_string().as_str()), ("10.99.3.1", "2001:db8:3::1"));
    }
}
