//! Connections of a trusted client, with one thread at both ends of them.
//!
//! A thread may hold sockets of several namespaces, and over a pair of virtual interfaces all that the kernel does for a packet is
//! done by whose call sent it. So everything that a connection costs is spent on one processor, one thing after the other.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};
use dockfw_bench::clock::{Clock, stay_on_one_processor};
use socket2::{Domain, Socket, Type};

use crate::field::{Field, HOST_OF_CLIENT};
use crate::policy::{HOST_MEASURED, PUBLISHED_MEASURED};

/// What a client asks, and what it is answered.
const REQUEST: [u8; 100] = [b'?'; 100];
const ANSWER: [u8; 1000] = [b'!'; 1000];
/// What is written at once on a long connection.
const PIECE: usize = 65_536;

/// What is done over connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// Nothing: each is opened, accepted and closed.
    Open,
    /// One short request is answered on each.
    Request,
    /// Data go over one that stays.
    Stream,
}

/// Where connections end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Host,
    Container,
}

/// What is measured, by the name of its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Measure {
    pub(crate) name: &'static str,
    work: Work,
    place: Place,
}

pub(crate) const NEW_HOST: &str = "new connections, host";
pub(crate) const NEW_CONTAINER: &str = "new connections, container";

/// Those that are repeated with policies of all sizes.
pub(crate) const NEW: [Measure; 2] =
    [measure(NEW_HOST, Work::Open, Place::Host), measure(NEW_CONTAINER, Work::Open, Place::Container)];

/// All of them.
pub(crate) const MEASURES: [Measure; 6] = [
    NEW[0],
    NEW[1],
    measure("short requests, host", Work::Request, Place::Host),
    measure("short requests, container", Work::Request, Place::Container),
    measure("MiB over a connection, host", Work::Stream, Place::Host),
    measure("MiB over a connection, container", Work::Stream, Place::Container),
];

const fn measure(name: &'static str, work: Work, place: Place) -> Measure {
    Measure { name, work, place }
}

/// How many thousands a second.
pub(crate) fn rate(field: &Field<'_>, measure: Measure, period: Duration) -> Result<f64> {
    let (listener, port) = match measure.place {
        Place::Host => (field.listen_on_host()?, HOST_MEASURED),
        Place::Container => (field.listen_in_container()?, PUBLISHED_MEASURED),
    };
    let ends = Ends { listener, to: (HOST_OF_CLIENT, port).into() };
    field.client.run(|| {
        stay_on_one_processor()?;
        ends.rate(measure.work, period)
    })
}

/// A listener, and where it is reached.
struct Ends {
    listener: TcpListener,
    to: SocketAddr,
}

impl Ends {
    fn rate(&self, work: Work, period: Duration) -> Result<f64> {
        let mut stream = if work == Work::Stream { Some(self.connect()?) } else { None };
        let (mut done, clock) = (0.0, Clock::start());
        while clock.on_the_wall() < period {
            done += match &mut stream {
                Some((from, to)) => pass(from, to)?,
                None => self.visit(work)?,
            };
        }
        Ok(done / clock.elapsed().as_secs_f64() / 1000.0)
    }

    fn visit(&self, work: Work) -> Result<f64> {
        let (mut client, mut server) = self.connect()?;
        if work == Work::Request {
            client.write_all(&REQUEST)?;
            server.read_exact(&mut REQUEST.clone())?;
            server.write_all(&ANSWER)?;
            client.read_exact(&mut ANSWER.clone())?;
        }
        Ok(1.0)
    }

    /// A connection, from both of its ends. The client resets it in the end: thousands that wait for late packets would use up the
    /// client's ports.
    fn connect(&self) -> Result<(TcpStream, TcpStream)> {
        let client = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        client.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into())?;
        client.set_linger(Some(Duration::ZERO))?;
        client.connect(&self.to.into()).with_context(|| format!("cannot connect to {}", self.to))?;
        Ok((client.into(), self.listener.accept()?.0))
    }
}

/// Writes as much as the connection takes, and reads it: how many MiB.
fn pass(from: &mut TcpStream, to: &mut TcpStream) -> Result<f64> {
    let mut buffer = [0; PIECE];
    from.set_nonblocking(true)?;
    let written = match from.write(&buffer) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        written => written?,
    };
    let mut left = written;
    while left > 0 {
        left -= to.read(buffer.get_mut(..left.min(PIECE)).unwrap_or_default())?;
    }
    Ok(written as f64 / f64::from(1 << 20))
}
