//! Probes: does a service answer, who is it, and if not, how does it not?

use std::fmt;
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::netns::Netns;
use crate::port::Proto;
use crate::wait::patience;

/// How long a probe waits for an answer. Answers take below a millisecond on virtual links, and TCP's first
/// retransmission, which would double the packets that a test reasons about, comes after a second.
pub const TIMEOUT: Duration = Duration::from_millis(400);

/// The ports of UDP clients, each with its share of those that Linux itself chooses from (net.ipv4.ip_local_port_range).
/// Knocks are so many that they are through their share within seconds: apart, they leave the probes theirs, which lasts for
/// longer than any flow is remembered.
static PROBES: Ports = Ports::new(32_768..52_768);
static KNOCKS: Ports = Ports::new(52_768..61_000);

/// What came of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The service said its name.
    Answered(String),
    /// The connection was accepted, but no name came: docker-proxy without a backend, dockerd's idle listeners.
    Accepted,
    /// A TCP reset, or ICMP port unreachable: the packet came through, and nobody listens.
    Refused,
    /// Another ICMP error.
    Unreachable,
    /// Nothing at all, which is what a drop looks like.
    Silent,
    /// The probe never left: a fault of the test (no route, not our address).
    Unsent(String),
}

impl Outcome {
    /// Whether the service called `name` answered.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        matches!(self, Self::Answered(answer) if answer == name)
    }

    /// Whether nothing came back, as after a drop.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        *self == Self::Silent
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(name) => write!(f, "answered by {name}"),
            Self::Accepted => f.write_str("accepted without a word"),
            Self::Refused => f.write_str("refused"),
            Self::Unreachable => f.write_str("unreachable"),
            Self::Silent => f.write_str("silent"),
            Self::Unsent(why) => write!(f, "not sent: {why}"),
        }
    }
}

/// A probe that can be run, alone or with others.
#[derive(Clone, Debug)]
pub struct Probe {
    from: Netns,
    proto: Proto,
    to: SocketAddr,
    source: Option<SocketAddr>,
    ports: &'static Ports,
    timeout: Duration,
    payload: String,
}

impl Probe {
    /// Where it goes.
    #[must_use]
    pub fn to(&self) -> SocketAddr {
        self.to
    }

    /// From a namespace to a service.
    #[must_use]
    pub fn new(from: &Netns, proto: Proto, to: impl Into<SocketAddr>) -> Self {
        let payload = "probe".to_owned();
        Self {
            from: from.clone(),
            proto,
            to: to.into(),
            source: None,
            ports: &PROBES,
            timeout: TIMEOUT,
            payload,
        }
    }

    /// One of very many, which hardly waits for an answer.
    pub(crate) fn knock(from: &Netns, proto: Proto, on: impl Into<SocketAddr>) -> Self {
        Self { ports: &KNOCKS, timeout: Duration::from_millis(20), ..Self::new(from, proto, on) }
    }

    /// From this address of the namespace, and any port.
    #[must_use]
    pub fn source(self, address: impl Into<IpAddr>) -> Self {
        self.source_port(SocketAddr::new(address.into(), 0))
    }

    /// From this address and port of the namespace.
    #[must_use]
    pub fn source_port(mut self, address: impl Into<SocketAddr>) -> Self {
        self.source = Some(address.into());
        self
    }

    /// Gives up after this long.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// What a UDP probe carries, by which the service's record shows that it arrived.
    #[must_use]
    pub fn payload(mut self, payload: &str) -> Self {
        payload.clone_into(&mut self.payload);
        self
    }

    /// Sends it and waits.
    #[must_use]
    pub fn run(&self) -> Outcome {
        self.from.run(|| self.run_here())
    }

    /// In the calling thread, which is in the namespace already.
    pub(crate) fn run_here(&self) -> Outcome {
        let result = match self.proto {
            Proto::Tcp => self.tcp(),
            Proto::Udp => self.udp(),
        };
        result.unwrap_or_else(|error| self.judge(&error))
    }

    fn tcp(&self) -> io::Result<Outcome> {
        let stream = self.connect()?;
        let mut name = String::new();
        // However it ends, the connection was accepted; only a name makes it an answer.
        let _ = BufReader::new(stream).read_line(&mut name);
        Ok(if name.is_empty() { Outcome::Accepted } else { Outcome::Answered(name.trim_end().to_owned()) })
    }

    /// A TCP connection with the probe's time-out on reads.
    pub(crate) fn connect(&self) -> io::Result<TcpStream> {
        let socket = self.socket(Type::STREAM, Protocol::TCP)?;
        socket.connect_timeout(&self.to.into(), self.timeout * patience())?;
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(self.timeout * patience()))?;
        Ok(stream)
    }

    fn udp(&self) -> io::Result<Outcome> {
        let socket = self.connect_udp()?;
        socket.send(self.payload.as_bytes())?;
        let mut buffer = [0; 2048];
        let length = socket.recv(&mut buffer)?;
        Ok(Outcome::Answered(String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned()))
    }

    /// A connected UDP socket, which hears ICMP errors and takes answers from nobody else.
    pub(crate) fn connect_udp(&self) -> io::Result<UdpSocket> {
        let socket = self.socket(Type::DGRAM, Protocol::UDP)?;
        socket.connect(&self.to.into())?;
        let socket = UdpSocket::from(socket);
        socket.set_read_timeout(Some(self.timeout * patience()))?;
        Ok(socket)
    }

    fn socket(&self, kind: Type, protocol: Protocol) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(self.to), kind, Some(protocol))?;
        let any = if self.to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        match self.source.unwrap_or(SocketAddr::new(any, 0)) {
            source if source.port() != 0 => {
                socket.set_reuse_address(true)?;
                socket.bind(&source.into())?;
            }
            source if kind == Type::DGRAM => self.ports.bind_to_fresh(&socket, source.ip())?,
            source => socket.bind(&source.into())?,
        }
        Ok(socket)
    }

    fn judge(&self, error: &io::Error) -> Outcome {
        match error.kind() {
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Outcome::Silent,
            ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => Outcome::Refused,
            // IPv6 says "administratively prohibited" as a lack of permission.
            ErrorKind::HostUnreachable | ErrorKind::PermissionDenied => Outcome::Unreachable,
            _ => Outcome::Unsent(error.to_string()),
        }
    }
}

/// Ports that are taken in turn.
#[derive(Debug)]
struct Ports {
    range: Range<u16>,
    taken: AtomicUsize,
}

impl Ports {
    const fn new(range: Range<u16>) -> Self {
        Self { range, taken: AtomicUsize::new(0) }
    }

    /// Binds to a port that nobody had for as long as can be. Connection tracking remembers a UDP flow for up to two minutes:
    /// one more from the same port would be the same flow, and pass where no new one does.
    fn bind_to_fresh(&self, socket: &Socket, address: IpAddr) -> io::Result<()> {
        for _ in self.range.clone() {
            let step = self.taken.fetch_add(1, Ordering::Relaxed) % self.range.len();
            let port = self.range.start + u16::try_from(step).unwrap_or_default();
            match socket.bind(&SocketAddr::new(address, port).into()) {
                Err(error) if error.kind() == ErrorKind::AddrInUse => {}
                result => return result,
            }
        }
        Err(ErrorKind::AddrInUse.into())
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {} over {}", self.from.name(), self.to, self.proto)
    }
}

impl Netns {
    /// Asks a TCP service for its name.
    #[must_use]
    pub fn tcp(&self, to: impl Into<SocketAddr>) -> Outcome {
        Probe::new(self, Proto::Tcp, to).run()
    }

    /// Asks a UDP service for its name.
    #[must_use]
    pub fn udp(&self, to: impl Into<SocketAddr>) -> Outcome {
        Probe::new(self, Proto::Udp, to).run()
    }

    /// A probe from here, to be refined or run with others.
    #[must_use]
    pub fn probe(&self, proto: Proto, to: impl Into<SocketAddr>) -> Probe {
        Probe::new(self, proto, to)
    }
}

/// Runs probes at once, so that many silent ones take no longer than one, and gives their outcomes in order.
#[must_use]
pub fn probe_all(probes: &[Probe]) -> Vec<Outcome> {
    let run = |probe: &Probe| {
        probe.from.enter();
        probe.run_here()
    };
    thread::scope(|scope| {
        let running: Vec<_> = probes.iter().map(|probe| scope.spawn(move || run(probe))).collect();
        running.into_iter().map(|probe| probe.join().expect("a probe does not panic")).collect()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn port(ports: &Ports) -> u16 {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        ports.bind_to_fresh(&socket, Ipv4Addr::LOCALHOST.into()).unwrap();
        socket.local_addr().unwrap().as_socket().unwrap().port()
    }

    #[test]
    fn no_two_probes_over_udp_are_one_flow() {
        assert_eq!((0..1000).map(|_| port(&PROBES)).collect::<BTreeSet<_>>().len(), 1000);
    }

    #[test]
    fn knocks_use_up_no_port_of_a_probe() {
        let knocks: BTreeSet<_> = (0..KNOCKS.range.len()).map(|_| port(&KNOCKS)).collect();
        assert!(knocks.iter().all(|port| !PROBES.range.contains(port)));
    }
}
