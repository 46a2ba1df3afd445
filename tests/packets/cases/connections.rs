//! Connections at random, between everybody and everything: what `explain` says of each is what comes of it. Also for networks of each
//! gateway mode that the Docker at hand has, for internal ones, and for those whose containers may not reach one another.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dockfw_lab::{Container, Dice, Netns, Network, Outcome, PROTOS, Proto, SEED, Service, probe_all, seed};
use serde_json::Value;

use super::SOURCES;
use super::explained::{explain, gets_through};
use crate::fixture::{PacketFixture, Setting};

/// How many connections are tried.
const CONNECTIONS: usize = 200;
/// How long each waits for its answer. They begin at once, and a busy machine is not through with all of them in the usual time.
const PATIENCE: Duration = Duration::from_secs(3);

const RULES: &str = r#"
[[allow]]
name  = "opened"
ports = ["22/tcp", "8443/tcp", "8443/udp", "9170-9173/tcp", "9171/udp"]

[[allow]]
name  = "own"
from  = ["192.0.2.20", "2001:db8:1::20"]
ports = ["80/tcp", "81/udp", "81/tcp"]
to    = "container"

[[allow]]
name  = "inside"
from  = ["containers"]
ports = ["9000/tcp", "8080/udp", "9170/tcp"]
"#;

/// Options of a network, and the first major version of Docker that has them.
const NETWORKS: [(&str, &[&str], u32); 5] = [
    (
        "unprotected",
        &[
            "--opt=com.docker.network.bridge.gateway_mode_ipv4=nat-unprotected",
            "--opt=com.docker.network.bridge.gateway_mode_ipv6=nat-unprotected",
        ],
        28,
    ),
    (
        "routed",
        &[
            "--opt=com.docker.network.bridge.gateway_mode_ipv4=routed",
            "--opt=com.docker.network.bridge.gateway_mode_ipv6=routed",
        ],
        28,
    ),
    (
        "isolated",
        &[
            "--internal",
            "--opt=com.docker.network.bridge.gateway_mode_ipv4=isolated",
            "--opt=com.docker.network.bridge.gateway_mode_ipv6=isolated",
        ],
        28,
    ),
    ("internal", &["--internal"], 0),
    ("estranged", &["--opt=com.docker.network.bridge.enable_icc=false"], 0),
];

/// Those of them that lead nowhere.
const CLOSED: [&str; 2] = ["isolated", "internal"];

/// Who connects: the addresses, and the interface of the host's that packets come in by.
struct Client {
    netns: Netns,
    addresses: Vec<IpAddr>,
    interface: String,
}

/// A connection that is tried.
struct Attempt<'a> {
    client: &'a Client,
    from: IpAddr,
    to: SocketAddr,
    proto: Proto,
}

/// The networks and containers that this case adds.
struct Added {
    networks: Vec<Network>,
    containers: Vec<Container>,
    _services: Vec<Service>,
}

pub(super) fn explained_at_random(fixture: &PacketFixture<'_>, setting: Setting) -> Result<()> {
    let seed = seed()?;
    println!("        seed {seed} (to repeat it: {SEED}={seed})");
    let dice = &mut Dice::new(seed);
    let outcome = add(fixture).and_then(|added| {
        let through = compare(fixture, setting, &added, dice, CONNECTIONS)?;
        ensure!(
            (3..CONNECTIONS - 3).contains(&through),
            "{through} came through: too one-sided to tell anything"
        );
        // Some of them close nearly everything.
        each_oddity(fixture, &mut || compare(fixture, setting, &added, dice, CONNECTIONS / 4).map(drop))
    });
    remove(fixture)?;
    outcome.with_context(|| format!("with {SEED}={seed}"))
}

/// What people and options do to Docker's rules: the policy of FORWARD that an older Docker left is DROP, and direct routing is
/// allowed.
const ODDITIES: [(&str, &str); 2] = [
    (
        "iptables -P FORWARD DROP; ip6tables -P FORWARD DROP",
        "iptables -P FORWARD ACCEPT; ip6tables -P FORWARD ACCEPT",
    ),
    (
        "iptables-save -t raw >/run/raw4; ip6tables-save -t raw >/run/raw6
         iptables -t raw -F PREROUTING; ip6tables -t raw -F PREROUTING",
        "iptables-restore -T raw </run/raw4; ip6tables-restore -T raw </run/raw6",
    ),
];

fn each_oddity(fixture: &PacketFixture<'_>, compare: &mut dyn FnMut() -> Result<()>) -> Result<()> {
    for (put, take) in ODDITIES {
        fixture.lab.on_host("sh", &["-ec", put])?;
        let outcome = compare().context(put);
        fixture.lab.on_host("sh", &["-ec", take])?;
        outcome?;
    }
    Ok(())
}

/// Two containers on each network, of which the first publishes its port 80 over both protocols.
fn add(fixture: &PacketFixture<'_>) -> Result<Added> {
    let major = fixture.docker.version()?.first().copied().unwrap_or_default();
    let mut added = Added { networks: vec![], containers: vec![], _services: vec![] };
    let known = NETWORKS.iter().filter(|(.., since)| *since <= major);
    for (number, (name, options, _)) in known.enumerate() {
        let spec = fixture.docker.network(name).ipv6(true);
        added.networks.push(options.iter().fold(spec, |spec, option| spec.argument(option)).create()?);
        let port = 9170 + number;
        let first = fixture.docker.container(&format!("{name}-a")).network(name);
        let first = first.publish(&format!("{port}:80/tcp")).publish(&format!("{port}:80/udp"));
        added.containers.push(first.start()?);
        added.containers.push(fixture.docker.container(&format!("{name}-b")).network(name).start()?);
    }
    for container in &added.containers {
        for port in [80, 81] {
            added._services.push(container.serve(&format!("{port}/tcp"), &container.name)?);
            added._services.push(container.serve(&format!("{port}/udp"), &container.name)?);
        }
    }
    for (client, network) in fixture
        .lab
        .clients()
        .into_iter()
        .flat_map(|client| added.networks.iter().map(move |network| (client, network)))
    {
        client.route(&network.subnet_v4, &fixture.lab.host)?;
        network.subnet_v6.as_deref().map_or(Ok(()), |subnet| client.route(subnet, &fixture.lab.host))?;
    }
    Ok(added)
}

fn remove(fixture: &PacketFixture<'_>) -> Result<()> {
    for (name, ..) in NETWORKS {
        let _ = fixture.docker.cli(&["rm", "--force", &format!("{name}-a"), &format!("{name}-b")]);
        let _ = fixture.docker.cli(&["network", "rm", name]);
    }
    fixture.docker.lay_rules()
}

/// How many came through.
fn compare(
    fixture: &PacketFixture<'_>,
    setting: Setting,
    added: &Added,
    dice: &mut Dice,
    count: usize,
) -> Result<usize> {
    fixture.apply(setting, &format!("{SOURCES}{RULES}"))?;
    let clients = clients(fixture, added)?;
    let places = places(fixture, added);
    let mut attempts = Vec::new();
    while attempts.len() < count {
        let (client, to, proto) =
            (&clients[dice.roll(clients.len())], dice.pick(&places), dice.pick(&PROTOS));
        let from = client.addresses.iter().copied().find(|from| from.is_ipv4() == to.is_ipv4());
        let is_own = client.addresses.contains(&to.ip());
        attempts.extend(from.filter(|_| !is_own).map(|from| Attempt { client, from, to, proto }));
    }
    let probe = |one: &Attempt<'_>| one.client.netns.probe(one.proto, one.to).timeout(PATIENCE);
    let probes: Vec<_> = attempts.iter().map(probe).collect();
    let blind = Blind::of(fixture, added)?;
    let (mut wrong, mut unknown, mut unseen, mut through) = (Vec::new(), 0, 0, 0);
    for ((attempt, probe), outcome) in attempts.iter().zip(&probes).zip(probe_all(&probes)) {
        let explained =
            explain(fixture, setting, attempt.from, &attempt.client.interface, attempt.to, attempt.proto)?;
        let (came, is_let) = (came_through(&outcome), gets_through(&explained));
        if !is_told(&explained) {
            unknown += 1;
        } else if is_let && blind.misses(attempt, &outcome) {
            unseen += 1;
        } else if came != is_let {
            let [verdict, target, ways, others] =
                ["verdict", "target", "ways", "others"].map(|key| &explained[key]);
            wrong.push(format!(
                "{probe}: {outcome}, but explained as {verdict} of {target}, {ways}, {others}"
            ));
        }
        through += usize::from(came);
    }
    println!("        {through} of {count} came through, {unknown} could not be told, {unseen} not be seen");
    ensure!(wrong.is_empty(), "{} of {count} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    ensure!(unknown <= count / 10, "{unknown} could not be told");
    ensure!(unseen <= count / 2, "{unseen} could not be seen");
    Ok(through)
}

/// Whether Docker was told to make none.
fn makes_no_rules(fixture: &PacketFixture<'_>) -> bool {
    fixture.lab.layout().is_none()
        && fixture.lab.on_host("iptables", &["-t", "nat", "-n", "-L", "DOCKER"]).is_err()
}

/// Whether all of it is said to be certain.
fn is_told(explained: &Value) -> bool {
    let others = explained["others"].as_array().map(Vec::as_slice).unwrap_or_default();
    explained["is_certain"] == true && others.iter().all(|one| one["is_certain"] == true)
}

/// Whether a packet came to whoever it was led to, if only to be told that nobody listens.
fn came_through(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Answered(_) | Outcome::Accepted | Outcome::Refused)
}

/// What the test made of which no answer can be seen, though nobody drops the packet: silence there tells nothing.
struct Blind<'a> {
    added: &'a Added,
    /// The ports that docker-proxy holds over UDP, each with the bridge of its container, and whether that has no IPv6.
    held: Vec<(u16, String, bool)>,
    /// Whether it holds them for containers of all networks: up to Docker 28, and where Docker makes no rules.
    is_held_for_all: bool,
    makes_no_rules: bool,
}

impl<'a> Blind<'a> {
    fn of(fixture: &PacketFixture<'_>, added: &'a Added) -> Result<Self> {
        let sockets = fixture.lab.on_host("cat", &["/proc/net/udp", "/proc/net/udp6"])?;
        let bridge = |network| Ok::<_, anyhow::Error>(fixture.docker.inspect_network(network)?.bridge);
        let mut held = vec![(8080, bridge("bridge")?, false), (8443, bridge("bridge")?, false)];
        held.extend([(8082, bridge("plain")?, true), (8083, bridge("other")?, false)]);
        held.extend(
            (9170..).zip(&added.networks).map(|(port, network)| (port, network.bridge.clone(), false)),
        );
        held.retain(|(port, ..)| sockets.contains(&format!(":{port:04X} ")));
        let makes_no_rules = makes_no_rules(fixture);
        let has_rules_of_29 =
            fixture.lab.layout().is_some() || fixture.docker.version()?.first() >= Some(&29);
        let is_held_for_all = makes_no_rules || !has_rules_of_29;
        Ok(Self { added, held, is_held_for_all, makes_no_rules })
    }

    fn misses(&self, attempt: &Attempt<'_>, outcome: &Outcome) -> bool {
        match outcome {
            // That a router knows no way looks as if the client had none.
            Outcome::Unsent(_) => self.leads_nowhere(attempt) || self.leads_away(attempt),
            Outcome::Silent | Outcome::Unreachable => {
                self.is_answered_from_elsewhere(attempt)
                    || self.has_no_neighbour(attempt)
                    || self.has_no_way_back(attempt)
                    || self.leads_away(attempt)
            }
            Outcome::Answered(_) | Outcome::Accepted | Outcome::Refused => false,
        }
    }

    /// Whether docker-proxy is asked over UDP from a container. It answers from whichever address the route suggests,
    /// which is not the one that was asked.
    fn is_answered_from_elsewhere(&self, attempt: &Attempt<'_>) -> bool {
        let (to, from) = (attempt.to, &attempt.client.interface);
        let is_it = |(port, bridge, has_no_v6): &(u16, String, bool)| {
            *port == to.port() && (self.is_held_for_all || bridge == from || *has_no_v6 && to.is_ipv6())
        };
        let is_at_host = !self.places().any(|(_, address)| address == to.ip());
        attempt.proto == Proto::Udp && from != "eth0" && is_at_host && self.held.iter().any(is_it)
    }

    /// Whether the client is on a network that leads nowhere.
    fn leads_nowhere(&self, attempt: &Attempt<'_>) -> bool {
        let mut closed = self.added.networks.iter().filter(|network| CLOSED.contains(&network.name.as_str()));
        closed.any(|network| network.bridge == attempt.client.interface)
    }

    /// Whether the host passes it on to its router, which leads nowhere: it has no route to isolated networks.
    fn leads_away(&self, attempt: &Attempt<'_>) -> bool {
        let network = self.network_at(attempt.to.ip());
        network.is_some_and(|one| one.name == "isolated" && one.bridge != attempt.client.interface)
    }

    /// Whether it leads to an internal network from elsewhere, where Docker's rules don't drop it before. Nothing there has a way to
    /// answer.
    fn has_no_way_back(&self, attempt: &Attempt<'_>) -> bool {
        let network = self.network_at(attempt.to.ip());
        self.makes_no_rules
            && network.is_some_and(|one| one.name == "internal" && one.bridge != attempt.client.interface)
    }

    /// Whether it stays on an internal network, over IPv6: Docker drops all there that is not sent to an address of the network, and so
    /// the question who has one.
    fn has_no_neighbour(&self, attempt: &Attempt<'_>) -> bool {
        let network = self.network_at(attempt.to.ip());
        let is_inside =
            |one: &Network| CLOSED.contains(&one.name.as_str()) && one.bridge == attempt.client.interface;
        attempt.to.is_ipv6() && network.is_some_and(is_inside)
    }

    /// The network of a container of this case's that has an address.
    fn network_at(&self, address: IpAddr) -> Option<&Network> {
        self.places().find(|(_, own)| *own == address).map(|(network, _)| network)
    }

    fn places(&self) -> impl Iterator<Item = (&Network, IpAddr)> {
        let pairs = self.added.networks.iter().zip(self.added.containers.chunks(2));
        pairs.flat_map(|(network, pair)| {
            pair.iter().flat_map(move |one| one.addresses.iter().map(move |address| (network, *address)))
        })
    }
}

fn clients(fixture: &PacketFixture<'_>, added: &Added) -> Result<Vec<Client>> {
    let outside = [&fixture.lab.trusted, &fixture.lab.untrusted, &fixture.lab.office].map(|machine| Client {
        netns: machine.netns.clone(),
        addresses: machine.addresses().to_vec(),
        interface: "eth0".into(),
    });
    let mut clients = Vec::from(outside);
    let inside = |container: &Container, interface: String| Client {
        netns: container.netns.clone(),
        addresses: container.addresses.clone(),
        interface,
    };
    for (container, network) in
        [(&fixture.web, "bridge"), (&fixture.quiet, "app"), (&fixture.v4only, "plain")]
    {
        clients.push(inside(container, fixture.docker.inspect_network(network)?.bridge));
    }
    for (pair, network) in added.containers.chunks(2).zip(&added.networks) {
        clients.extend(pair.iter().map(|container| inside(container, network.bridge.clone())));
    }
    Ok(clients)
}

/// What is dialled: ports of the host, open ones and others, and ports of containers by their own addresses.
fn places(fixture: &PacketFixture<'_>, added: &Added) -> Vec<SocketAddr> {
    let of_host = [22, 9000, 8080, 8443, 8082, 8083, 9170, 9171, 9172, 9173, 9174, 9999];
    let at_host = of_host.iter().flat_map(|port| fixture.at(*port));
    let known = [&fixture.web, &fixture.same, &fixture.quiet, &fixture.v4only, &fixture.second];
    let own = known.into_iter().chain(&added.containers);
    let at_containers = own.flat_map(|container| {
        container.addresses.iter().flat_map(|address| [80, 81].map(|port| SocketAddr::new(*address, port)))
    });
    at_host.chain(at_containers).collect()
}
