//! What is on the host, and the questions that are asked of it.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};
use dockfw_lab::{
    Body, Container, ContainerSpec, Conversation, Docker, Lab, Machine, Netns, Network, Outcome, Packet,
    Port, Probe, Proto, Service, TIMEOUT, probe_all, wait_until,
};

/// What came of a question over one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The service answered, or got what was meant for it.
    Reached,
    /// Nothing came back.
    Closed,
    /// Anything else, in a word.
    Odd(String),
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// A machine that the policy does not know.
    Outsider,
    /// The machine in the policy's `trusted`.
    Trusted,
    /// A container on docker0.
    Container,
}

/// A row: something that is tried over IPv4 and IPv6.
pub(crate) struct Question {
    pub(crate) who: Who,
    pub(crate) port: Port,
    /// What is behind the port, and why it should come out as it should.
    pub(crate) words: String,
    /// What must come of it once the policy is in force.
    pub(crate) expected: Seen,
    means: Means,
}

enum Means {
    /// Probes of the service of this name.
    Probes(Box<[Probe; 2]>, &'static str),
    /// Datagrams to the host's port 9000 with these sources.
    Forged([IpAddr; 2]),
}

impl Question {
    /// Whether this is what must come of it once the policy is in force.
    pub(crate) fn is_right(&self, seen: &[Seen; 2]) -> bool {
        seen.iter().all(|seen| *seen == self.expected)
    }
}

/// The host with everything on it.
pub(crate) struct DemoFixture<'a> {
    lab: &'a Lab,
    web: Container,
    db: Container,
    /// The host's 9000/udp, which remembers what reached it.
    private: Service,
    _services: Vec<Service>,
    /// How often questions were asked.
    rounds: Cell<u16>,
}

/// Connections that were opened while everything was reached.
pub(crate) struct Live([Conversation; 2]);

impl Live {
    /// Whether each still carries words both ways.
    pub(crate) fn are_up(mut self) -> bool {
        self.0.iter_mut().all(|conversation| conversation.say("still here").is_ok())
    }
}

/// Ports of the host that the questions are about: what answers, in words, whether the policy opens it to everyone.
const ON_HOST: [(Port, &str, &str, bool); 10] = [
    (tcp(22), "ssh", "ssh, a process of the host: opened", true),
    (tcp(80), "web", "published by a web server: opened", true),
    (tcp(443), "web", "published by a web server: opened", true),
    (udp(443), "web", "published by a web server: opened", true),
    (tcp(8080), "web", "published by a web server, not opened", false),
    (tcp(5432), "db", "published by a database, not opened", false),
    (tcp(11211), "cache", "published, on an IPv4-only network, not opened", false),
    (udp(11211), "cache", "published, on an IPv4-only network, not opened", false),
    (tcp(9000), "private", "a process of the host, not opened", false),
    (udp(9000), "private", "a process of the host, not opened", false),
];

impl<'a> DemoFixture<'a> {
    /// Starts all that is to be on the host.
    pub(crate) fn set(lab: &'a Lab, docker: &Docker<'_>) -> Result<Self> {
        let backend = docker.network("backend").ipv6(true).create()?;
        let plain = docker.network("plain").create()?;
        let [web, db, cache] = start(docker)?;
        for client in [&lab.trusted, &lab.untrusted] {
            for network in [&docker.inspect_network("bridge")?, &backend, &plain] {
                route(client, network, &lab.host)?;
            }
        }
        let mut services = vec![db.serve_echo("5432/tcp", "db")?];
        for (netns, ports, name) in [
            (&lab.host.netns, &[tcp(22)][..], "ssh"),
            (&lab.host.netns, &[tcp(9000)], "private"),
            (&web.netns, &[tcp(80), tcp(443), udp(443)], "web"),
            (&cache.netns, &[tcp(11211), udp(11211)], "cache"),
            (&lab.untrusted.netns, &[tcp(80), udp(53)], "outside"),
        ] {
            for port in ports {
                services.push(netns.serve(&port.to_string(), name)?);
            }
        }
        let private = lab.host.serve("9000/udp", "private")?;
        Ok(Self { lab, web, db, private, _services: services, rounds: Cell::new(0) })
    }

    /// All rows, in their order.
    pub(crate) fn questions(&self) -> Vec<Question> {
        let mut questions = self.of_client(Who::Outsider);
        questions.push(self.forged());
        questions.extend(self.of_client(Who::Trusted));
        questions.extend(self.of_container());
        questions
    }

    /// What a client outside asks of the host's ports, and of containers' own addresses.
    fn of_client(&self, who: Who) -> Vec<Question> {
        let is_trusted = who == Who::Trusted;
        let client = if is_trusted { &self.lab.trusted } else { &self.lab.untrusted };
        let on_host = ON_HOST.iter().map(|(port, name, words, is_open)| {
            question(who, client, (*port, self.lab.host.addresses(), name), words, is_trusted || *is_open)
        });
        let (db, web) = (own_addresses(&self.db), own_addresses(&self.web));
        let direct = [
            question(
                who,
                client,
                (tcp(5432), db, "db"),
                "the database's own address, by direct routing",
                is_trusted,
            ),
            question(
                who,
                client,
                (udp(443), web, "web"),
                "the web server's own address, by direct routing",
                is_trusted,
            ),
        ];
        on_host.chain(direct).collect()
    }

    fn of_container(&self) -> [Question; 3] {
        let (outside, host) = (self.lab.untrusted.addresses(), self.lab.host.addresses());
        let ask = |to, words, is_reached| question(Who::Container, &self.web, to, words, is_reached);
        [
            ask((tcp(80), outside, "outside"), "a server on the outside", true),
            ask((udp(53), outside, "outside"), "a server on the outside", true),
            ask((tcp(9000), host, "private"), "a process of its host, not opened", false),
        ]
    }

    fn forged(&self) -> Question {
        let means = Means::Forged(own_addresses(&self.web));
        let words = "a host process, in a container's forged name".into();
        Question { who: Who::Outsider, port: udp(9000), words, expected: Seen::Closed, means }
    }

    /// Tries everything, over IPv4 and IPv6.
    pub(crate) fn ask(&self, questions: &[Question]) -> Result<Vec<[Seen; 2]>> {
        self.rounds.set(self.rounds.get() + 1);
        let probes = questions.iter().flat_map(|question| match &question.means {
            Means::Probes(probes, _) => probes.as_slice(),
            Means::Forged(_) => &[],
        });
        let mut outcomes = probe_all(&probes.cloned().collect::<Vec<_>>()).into_iter();
        let mut judge = |name: &str| {
            outcomes.next().map(|outcome| seen(&outcome, name)).context("a probe without outcome")
        };
        questions
            .iter()
            .map(|question| match question.means {
                Means::Probes(_, name) => Ok([judge(name)?, judge(name)?]),
                Means::Forged([v4, v6]) => Ok([self.forge(v4)?, self.forge(v6)?]),
            })
            .collect()
    }

    /// Sends a datagram to the host's port 9000 in the name of another, and looks whether it got there.
    fn forge(&self, source: IpAddr) -> Result<Seen> {
        let round = self.rounds.get();
        let destination: IpAddr =
            if source.is_ipv4() { self.lab.host.v4.into() } else { self.lab.host.v6.into() };
        let payload = format!("forged {round} {source}");
        // From another port in each round: to connection tracking the rounds must be strangers.
        let body = Body::Udp { from: 40000 + round, to: 9000, payload: payload.clone().into_bytes() };
        self.lab.untrusted.send_forged(&self.lab.host, &Packet::of(source, destination, round, body))?;
        let arrived =
            wait_until(TIMEOUT, "for a forged datagram", || self.private.heard(&payload).then_some(()));
        Ok(if arrived.is_ok() { Seen::Reached } else { Seen::Closed })
    }

    /// Opens a connection of the outsider's to the database over each family.
    pub(crate) fn open_connections(&self) -> Result<Live> {
        let [v4, v6] = self.lab.host.at(5432).map(|to| self.lab.untrusted.converse(Proto::Tcp, to));
        let mut live = Live([v4?, v6?]);
        live.0.iter_mut().try_for_each(|conversation| conversation.say("hello"))?;
        Ok(live)
    }
}

fn question(
    who: Who,
    from: &Netns,
    (port, addresses, name): (Port, [IpAddr; 2], &'static str),
    words: &str,
    is_reached: bool,
) -> Question {
    let probes = addresses.map(|address| from.probe(port.proto, SocketAddr::new(address, port.number)));
    let expected = if is_reached { Seen::Reached } else { Seen::Closed };
    Question { who, port, words: words.to_owned(), expected, means: Means::Probes(Box::new(probes), name) }
}

const fn tcp(number: u16) -> Port {
    Port { number, proto: Proto::Tcp }
}

const fn udp(number: u16) -> Port {
    Port { number, proto: Proto::Udp }
}

/// `web` on docker0, `db` on a network with both families, `cache` on one without IPv6: there docker-proxy answers for
/// it over IPv6.
fn start(docker: &Docker<'_>) -> Result<[Container; 3]> {
    let publish = |spec: ContainerSpec<'_>, ports: &[&str]| -> Result<Container> {
        ports.iter().fold(spec, |spec, port| spec.publish(port)).start()
    };
    Ok([
        publish(docker.container("web"), &["80:80/tcp", "443:443/tcp", "443:443/udp", "8080:80/tcp"])?,
        publish(docker.container("db").network("backend"), &["5432:5432/tcp"])?,
        publish(docker.container("cache").network("plain"), &["11211:11211/tcp", "11211:11211/udp"])?,
    ])
}

/// Shows a client the way to containers' own addresses, as a neighbour could choose it.
fn route(client: &Machine, network: &Network, host: &Machine) -> Result<()> {
    client.route(&network.subnet_v4, host)?;
    network.subnet_v6.as_deref().map_or(Ok(()), |subnet| client.route(subnet, host))
}

fn own_addresses(container: &Container) -> [IpAddr; 2] {
    [container.v4().into(), container.v6().into()]
}

fn seen(outcome: &Outcome, name: &str) -> Seen {
    match outcome {
        outcome if outcome.is(name) => Seen::Reached,
        Outcome::Silent => Seen::Closed,
        Outcome::Answered(_) => Seen::Odd("misled".into()),
        Outcome::Accepted => Seen::Odd("accepted".into()),
        Outcome::Refused => Seen::Odd("refused".into()),
        Outcome::Unreachable => Seen::Odd("rejected".into()),
        Outcome::Unsent(_) => Seen::Odd("not sent".into()),
    }
}
