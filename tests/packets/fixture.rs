//! The host that the cases share: its containers and services, and how a case puts a policy in force.
//!
//! | port of the host | what answers |
//! |---|---|
//! | 22, 3000, 9000 | processes of the host: `ssh`, `behind`, `private` |
//! | 8090 | a container on the host's network: `hostnet` |
//! | 8080 | `web` on docker0, by its port 80 |
//! | 8443 | `same` on docker0, by the same number |
//! | 7000-7002 | `range` on the network `app`, by the same numbers |
//! | 8081, at the host's second address only | `chosen` on `app`, by its port 80 |
//! | 8082 | `v4only` on the IPv4-only network `plain`, by its port 80; over IPv6 docker-proxy answers for it |
//! | 8083 | `second` on the network `other`, by its port 80 |
//! | 2222, 8444 | free for a process of the host and for `live` on the network `alone`, by the same number |
//! | none | `quiet` on `app`, at its port 80 |
//!
//! Every service answers over TCP and UDP. Clients know the way to containers' own addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Child, Output, Stdio};

use anyhow::{Context, Result, ensure};
use dockfw_lab::{
    Container, ContainerSpec, Docker, DockerOptions, Engine, Lab, LabOptions, Machine, Netns, Network,
    SECOND_V4, SECOND_V6, Service,
};

use crate::bare::Bare;
use crate::expect::Expectations;
use crate::need::Need;

/// Where the policy lies; the lab has an `/etc/dockfw` of its own.
const POLICY: &str = "/etc/dockfw/dockfw.toml";

/// What each case is run with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// The engine.
    pub(crate) engine: Engine,
    /// `[engine] prefilter`.
    pub(crate) prefilter: bool,
}

impl Setting {
    /// All of them, engine by engine. What the compat engine drops early, random packets show.
    pub(crate) const ALL: [Self; 3] = [
        Self { engine: Engine::Native, prefilter: true },
        Self { engine: Engine::Native, prefilter: false },
        Self { engine: Engine::Compat, prefilter: true },
    ];
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.engine, self.prefilter) {
            (Engine::Native, true) => "native",
            (Engine::Native, false) => "native-without-prefilter",
            (Engine::Compat, _) => "compat",
        })
    }
}

/// The host with everything on it.
pub(crate) struct PacketFixture<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) docker: &'a Docker<'a>,
    pub(crate) web: Container,
    pub(crate) same: Container,
    pub(crate) range: Container,
    pub(crate) quiet: Container,
    pub(crate) v4only: Container,
    pub(crate) second: Container,
    pub(crate) live: Container,
    /// How a policy fared that was put in force before Docker had ever started.
    pub(crate) applied_before_docker: Result<()>,
    bare: Bare,
    _services: Vec<Service>,
}

/// How Docker is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Daemon {
    /// As most have it.
    Usual,
    /// With `userland-proxy` off: containers are translated to where they are (hairpin).
    WithoutProxy,
    /// With `iptables` and `ip6tables` off: docker-proxy answers everyone.
    WithoutRules,
}

impl Daemon {
    fn options(self) -> DockerOptions {
        let usual = DockerOptions::default();
        match self {
            Self::Usual => usual,
            Self::WithoutProxy => DockerOptions { userland_proxy: false, ..usual },
            Self::WithoutRules => {
                let off = ["iptables", "ip6tables"].map(|key| (key.to_owned(), false.into()));
                DockerOptions { config: off.into_iter().collect(), ..usual }
            }
        }
    }
}

/// What a fixture is raised with: its machines, the engine that is in force before Docker starts, and how Docker starts.
pub(crate) type Kind = (LabOptions, Engine, Daemon);

/// Raises the fixture, does something with it, and takes it down.
pub(crate) fn with((options, engine, daemon): Kind, work: impl FnOnce(&PacketFixture<'_>)) -> Result<()> {
    let lab = Lab::raise(options)?;
    apply(&lab, engine, EARLY_POLICY)?;
    let docker = Docker::start(&lab, daemon.options())?;
    lab.accept_forwarding()?;
    let fixture = PacketFixture::raise(&lab, &docker)?;
    work(&fixture);
    Ok(())
}

/// What is in force before Docker starts for the first time.
const EARLY_POLICY: &str = r#"
trusted = ["192.0.2.10", "2001:db8:1::10"]

[[allow]]
name  = "same"
ports = ["8443/tcp", "8443/udp"]
to    = "docker"
"#;

/// Serves on the host and on its clients.
fn serve_outside(lab: &Lab) -> Result<Vec<Service>> {
    let mut services = Vec::new();
    for (machine, port, name) in [
        (&lab.host, 22, "ssh"),
        (&lab.host, 3000, "behind"),
        (&lab.host, 9000, "private"),
        (&lab.trusted, 80, "trusted"),
        (&lab.untrusted, 80, "untrusted"),
    ] {
        serve(&mut services, &machine.netns, &[port], name)?;
    }
    Ok(services)
}

impl<'a> PacketFixture<'a> {
    fn raise(lab: &'a Lab, docker: &'a Docker<'a>) -> Result<Self> {
        let app = docker.network("app").ipv6(true).create()?;
        let plain = docker.network("plain").create()?;
        let other = docker.network("other").ipv6(true).create()?;
        docker.network("alone").ipv6(true).create()?;
        // One after the other, so that it always is the same ports that get no IPv6 rules: `ip6tables-legacy -C` of
        // 1.8.9 takes the first port of a bridge for any other. docker-proxy answers for those.
        let started: Vec<_> =
            containers(docker).into_iter().map(ContainerSpec::start).collect::<Result<_>>()?;
        let [web, same, range, chosen, quiet, v4only, second, hostnet, live] =
            <[Container; 9]>::try_from(started).ok().context("nine containers were asked for")?;
        let bridge = docker.inspect_network("bridge")?;
        for client in lab.clients() {
            for network in [&bridge, &app, &plain, &other] {
                route(client, network, &lab.host)?;
            }
        }
        let mut services = serve_outside(lab)?;
        for (container, ports, name) in [
            (&hostnet, &[8090_u16][..], "hostnet"),
            (&web, &[80], "web"),
            (&same, &[8443], "same"),
            (&range, &[7000, 7001, 7002], "range"),
            (&chosen, &[80], "chosen"),
            (&quiet, &[80], "quiet"),
            (&v4only, &[80], "v4only"),
            (&second, &[80], "second"),
        ] {
            serve(&mut services, &container.netns, ports, name)?;
        }
        let mut fixture = Self {
            lab,
            docker,
            web,
            same,
            range,
            quiet,
            v4only,
            second,
            live,
            applied_before_docker: Ok(()),
            bare: Bare::default(),
            _services: services,
        };
        fixture.applied_before_docker = fixture.early_policy_holds();
        fixture.remove()?;
        let own = at(&fixture.quiet.addresses, 80);
        fixture.bare = Bare::measure(&lab.untrusted, own, fixture.at(8082)[1])?;
        Ok(fixture)
    }

    fn early_policy_holds(&self) -> Result<()> {
        let mut expect = Expectations::default();
        expect.answers(&self.lab.untrusted, self.at(8443), "same").answers(
            &self.lab.trusted,
            self.at(8080),
            "web",
        );
        expect
            .silent(&self.lab.untrusted, self.at(8080))
            .silent(&self.lab.untrusted, at(&self.web.addresses, 80));
        expect.verify()
    }

    /// A port at both addresses of the host.
    pub(crate) fn at(&self, port: u16) -> [SocketAddr; 2] {
        self.lab.host.at(port)
    }

    /// A port at both of the host's second addresses.
    pub(crate) fn at_second(&self, port: u16) -> [SocketAddr; 2] {
        [SocketAddr::new(SECOND_V4.into(), port), SocketAddr::new(SECOND_V6.into(), port)]
    }

    /// Where what is published at a port answers if dockfw lets it: at both addresses, if Docker does its part.
    pub(crate) fn published_at(&self, port: u16) -> Vec<SocketAddr> {
        let is_there = |at: &SocketAddr| port != 8082 || at.is_ipv4() || self.bare.proxy_over_v6;
        self.at(port).into_iter().filter(is_there).collect()
    }

    /// Whether Docker lets outsiders reach containers' own addresses.
    pub(crate) fn docker_lets_direct_routing(&self) -> bool {
        self.bare.direct_routing
    }

    /// Expects the service of this name to answer at a container's own addresses, if Docker lets it.
    pub(crate) fn direct(&self, expect: &mut Expectations, from: &Netns, to: Vec<SocketAddr>, name: &str) {
        if self.docker_lets_direct_routing() {
            expect.answers(from, to, name);
        } else {
            expect.silent(from, to);
        }
    }

    /// The host, by its addresses on a machine's segment.
    pub(crate) fn on_segment_of(&self, machine: &Machine) -> Machine {
        let [a, b, c, _] = machine.v4.octets();
        let mut segments = machine.v6.segments();
        segments[7] = 1;
        let host = &self.lab.host;
        let interface = self.interface_at([a, b, c, 1].into());
        Machine { netns: host.netns.clone(), interface, v4: [a, b, c, 1].into(), v6: segments.into() }
    }

    /// The host's interface that has an address.
    fn interface_at(&self, address: Ipv4Addr) -> String {
        let listed =
            self.lab.host.shell(&format!("ip -oneline address show to {address}")).unwrap_or_default();
        listed.split_whitespace().nth(1).unwrap_or_default().to_owned()
    }

    /// Leads all of a machine's traffic through the host.
    pub(crate) fn route_all(&self, machine: &Machine) -> Result<()> {
        let host = self.on_segment_of(machine);
        machine.ip(&[
            &format!("route replace default via {}", host.v4),
            &format!("route replace default via {}", host.v6),
        ])
    }

    /// Translates destinations in front of Docker, over TCP and UDP, as someone else may: an IPv4 and an IPv6 one each. Where
    /// Docker is on iptables it stands in the same chain; a chain of iptables would come behind Docker's of nftables.
    pub(crate) fn translate(&self, from: [SocketAddr; 2], to: [SocketAddr; 2]) -> Result<()> {
        let translations = ["ip", "ip6"].into_iter().zip(from).zip(to);
        let on_nftables = self.lab.docker_is_on_nftables();
        for ((family, from), to) in translations {
            let (address, port) = (from.ip(), from.port());
            if on_nftables {
                self.lab.host.nft(&format!(
                    "table {family} operator {{ chain prerouting {{ type nat hook prerouting priority dstnat - 10;
                       {family} daddr {address} tcp dport {port} dnat to {to}
                       {family} daddr {address} udp dport {port} dnat to {to}
                     }}
                     }}"
                ))?;
            } else {
                let rule = format!("-d {address} --dport {port} -j DNAT --to-destination {to}");
                self.on_nat(family, &format!("-I PREROUTING -p tcp {rule}"))?;
                self.on_nat(family, &format!("-I PREROUTING -p udp {rule}"))?;
            }
        }
        Ok(())
    }

    /// Takes out what [`translate`](Self::translate) put there.
    pub(crate) fn end_translation(&self) -> Result<()> {
        for family in ["ip", "ip6"] {
            if self.lab.docker_is_on_nftables() {
                self.lab.host.nft(&format!("delete table {family} operator"))?;
            } else {
                // By their places: ip6tables-legacy 1.8.9 takes rules for others that differ in their ports.
                self.on_nat(family, "-D PREROUTING 1")?;
                self.on_nat(family, "-D PREROUTING 1")?;
            }
        }
        Ok(())
    }

    /// Changes the table nat of a family by its iptables.
    fn on_nat(&self, family: &str, change: &str) -> Result<()> {
        let words: Vec<_> = ["-t", "nat"].into_iter().chain(change.split(' ')).collect();
        self.lab.on_host(&format!("{family}tables"), &words).map(drop)
    }

    /// All rules and sets of the host, of dockfw and of others, without their counters.
    pub(crate) fn rules(&self) -> Result<String> {
        // Not `nft list ruleset`: nft can't write down all that iptables-nft puts there.
        let mut text = self.lab.on_host("sh", &["-c", "iptables-save; ip6tables-save; ipset save"])?;
        if Need::NfTables.lack().is_none() {
            // By this machine's nft: one older than 0.9.9, on the host, knows no owner of a table.
            let script = "set -e; tables=$(nft list tables); echo \"$tables\"
                          case $tables in *'table inet dockfw'*) nft --stateless --handle list table inet dockfw ;; esac";
            text += &self.lab.host.shell(script)?;
        }
        // An empty table says nothing, and those of iptables stay once they were looked at.
        let is_empty = |line: &&str| {
            line.starts_with(['#', '*'])
                || ["table ip ", "table ip6 "].iter().any(|start| line.starts_with(start))
                || *line == "COMMIT"
                || line.starts_with(':') && line.contains(" ACCEPT ")
        };
        let lines = text.lines().filter(|line| !is_empty(line));
        let lines = lines.map(|line| line.split_once(" [").map_or(line, |(rule, _)| rule));
        Ok(lines.collect::<Vec<_>>().join("\n"))
    }

    /// Takes dockfw out.
    pub(crate) fn remove(&self) -> Result<()> {
        let output = self.lab.dockfw(&["remove"])?;
        ensure!(output.status.success(), "dockfw remove: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Starts to put a policy in force.
    pub(crate) fn spawn_apply(&self, setting: Setting, policy: &str) -> Result<Child> {
        write(&with_engine(setting, policy))?;
        let mut command = self.lab.dockfw_command(&arguments(setting.engine, &[]))?;
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Ok(command.spawn()?)
    }

    /// Puts a policy in force, which must work.
    pub(crate) fn apply(&self, setting: Setting, policy: &str) -> Result<Output> {
        apply(self.lab, setting.engine, &with_engine(setting, policy))
    }

    /// Tries to put a policy in force, and tells what came of it.
    pub(crate) fn try_apply(&self, setting: Setting, policy: &str, options: &[&str]) -> Result<Output> {
        try_apply(self.lab, setting.engine, &with_engine(setting, policy), options)
    }
}

pub(crate) fn with_engine(setting: Setting, policy: &str) -> String {
    format!("{policy}\n[engine]\nprefilter = {}\n", setting.prefilter)
}

fn apply(lab: &Lab, engine: Engine, policy: &str) -> Result<Output> {
    let output = try_apply(lab, engine, policy, &[])?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "dockfw apply: {}\n{said}", output.status);
    Ok(output)
}

fn try_apply(lab: &Lab, engine: Engine, policy: &str, options: &[&str]) -> Result<Output> {
    write(policy)?;
    lab.dockfw(&arguments(engine, options))
}

/// The command under test.
fn arguments<'a>(engine: Engine, options: &[&'a str]) -> Vec<&'a str> {
    [&["apply", "--backend", engine.backend()], options].concat()
}

fn write(policy: &str) -> Result<()> {
    std::fs::create_dir_all("/etc/dockfw")?;
    Ok(std::fs::write(POLICY, policy)?)
}

fn containers<'a>(docker: &'a Docker<'_>) -> [ContainerSpec<'a>; 9] {
    let both = |spec: ContainerSpec<'a>, ports: &str| {
        spec.publish(&format!("{ports}/tcp")).publish(&format!("{ports}/udp"))
    };
    let chosen = docker.container("chosen").network("app");
    let chosen = both(chosen, &format!("{SECOND_V4}:8081:80"));
    [
        both(docker.container("web"), "8080:80"),
        both(docker.container("same"), "8443:8443"),
        both(docker.container("range").network("app"), "7000-7002:7000-7002"),
        both(chosen, &format!("[{SECOND_V6}]:8081:80")),
        docker.container("quiet").network("app"),
        both(docker.container("v4only").network("plain"), "8082:80"),
        both(docker.container("second").network("other"), "8083:80"),
        docker.container("hostnet").network("host"),
        both(docker.container("live").network("alone"), "8444:8444"),
    ]
}

fn serve(services: &mut Vec<Service>, netns: &Netns, ports: &[u16], name: &str) -> Result<()> {
    for port in ports {
        services.push(netns.serve(&format!("{port}/tcp"), name)?);
        services.push(netns.serve(&format!("{port}/udp"), name)?);
    }
    Ok(())
}

fn route(client: &Machine, network: &Network, host: &Machine) -> Result<()> {
    client.route(&network.subnet_v4, host)?;
    network.subnet_v6.as_deref().map_or(Ok(()), |subnet| client.route(subnet, host))
}

/// A port at each of some addresses.
pub(crate) fn at(addresses: &[IpAddr], port: u16) -> Vec<SocketAddr> {
    addresses.iter().map(|address| SocketAddr::new(*address, port)).collect()
}
