//! Services: sockets that the lab opens in a namespace, and answers from a thread of its own.
//!
//! Each answers with its name, over both families, and remembers what reached it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Protocol, Socket, Type};

use crate::datagram::DatagramSocket;
use crate::netns::Netns;
use crate::port::{Port, Proto};
use crate::transfer::pattern;
use crate::wait::{respite, wait_until};

/// How a TCP service goes on after it has said its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Closes.
    Name,
    /// Sends a known pattern, slowly, for as long as someone listens.
    Stream,
    /// Gives back what it gets, until the other side closes.
    Echo,
}

/// A piece of the stream, and the pause after it: slow enough to last for a whole test, fast enough to miss soon.
const STREAM_PIECE: usize = 512;
const STREAM_PAUSE: Duration = Duration::from_millis(5);

/// What reached a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Who sent it, as the service saw it.
    pub peer: SocketAddr,
    /// The datagram; empty for a TCP connection.
    pub payload: Vec<u8>,
}

/// A running service. Dropped, it is gone: sockets closed, connections shut.
#[derive(Debug)]
pub struct Service {
    /// Its name, which is its answer.
    pub name: String,
    /// Its port.
    pub port: Port,
    shared: Arc<Shared>,
    stop: UnixStream,
    worker: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    received: Mutex<Vec<Received>>,
    connections: Mutex<Vec<TcpStream>>,
}

impl Netns {
    /// A service that says `name` on `port` (`80/tcp`) of every address of the namespace. Over TCP it closes then,
    /// over UDP it answers each datagram, from the address that the datagram was sent to.
    pub fn serve(&self, port: &str, name: &str) -> Result<Service> {
        self.start_service(port, name, Manner::Name)
    }

    /// A TCP service that sends slowly and without end: for [`download`](Netns::download).
    pub fn serve_stream(&self, port: &str, name: &str) -> Result<Service> {
        self.start_service(port, name, Manner::Stream)
    }

    /// A service that gives back what it gets: for [`converse`](Netns::converse). Over TCP it says its name first.
    pub fn serve_echo(&self, port: &str, name: &str) -> Result<Service> {
        self.start_service(port, name, Manner::Echo)
    }

    fn start_service(&self, port: &str, name: &str, manner: Manner) -> Result<Service> {
        let port: Port = port.parse()?;
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = UnixStream::pair()?;
        let context = || format!("service {name} cannot listen on {port} in {}", self.name());
        let worker = Worker { name: name.to_owned(), manner, shared: shared.clone(), stopped };
        let worker = match port.proto {
            Proto::Tcp => {
                let listeners = self.run(|| both_families(|domain| listen(domain, port.number)));
                let listeners = listeners.with_context(context)?;
                thread::spawn(move || worker.accept(&listeners))
            }
            Proto::Udp => {
                let sockets = self.run(|| both_families(|domain| DatagramSocket::bind(domain, port.number)));
                let sockets = sockets.with_context(context)?;
                thread::spawn(move || worker.reply(&sockets))
            }
        };
        Ok(Service { name: name.to_owned(), port, shared, stop, worker: Some(worker) })
    }
}

impl Service {
    /// All that arrived so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        lock(&self.shared.received).clone()
    }

    /// Forgets what arrived.
    pub fn forget(&self) {
        lock(&self.shared.received).clear();
    }

    /// Whether a datagram with this payload arrived.
    #[must_use]
    pub fn heard(&self, payload: &str) -> bool {
        lock(&self.shared.received).iter().any(|received| received.payload == payload.as_bytes())
    }

    /// Waits until something arrives that `wanted` accepts.
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&Received) -> bool) -> Result<Received> {
        let what = format!("for service {} to receive {what}", self.name);
        wait_until(Duration::from_secs(2), &what, || self.received().into_iter().find(&wanted))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.stop.shutdown(Shutdown::Both);
        // Its sockets are closed when it ends: the next service may want the port.
        let _ = self.worker.take().map(JoinHandle::join);
        for connection in lock(&self.shared.connections).iter() {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

/// What a service's thread works with.
struct Worker {
    name: String,
    manner: Manner,
    shared: Arc<Shared>,
    stopped: UnixStream,
}

impl Worker {
    fn accept(&self, listeners: &[TcpListener]) {
        while let Some(ready) = wait_for_any(listeners, &self.stopped) {
            for (stream, peer) in ready.into_iter().filter_map(|listener| listener.accept().ok()) {
                lock(&self.shared.received).push(Received { peer, payload: Vec::new() });
                self.welcome(stream);
            }
        }
    }

    fn welcome(&self, mut stream: TcpStream) {
        // Errors are the client's: it has gone away.
        let greeted = stream.set_nonblocking(false).and_then(|()| writeln!(stream, "{}", self.name));
        if greeted.is_err() || self.manner == Manner::Name {
            return;
        }
        let Ok(kept) = stream.try_clone() else { return };
        lock(&self.shared.connections).push(kept);
        let manner = self.manner;
        thread::spawn(move || match manner {
            Manner::Stream => send_pattern(stream),
            _ => echo(stream),
        });
    }

    fn reply(&self, sockets: &[DatagramSocket]) {
        while let Some(ready) = wait_for_any(sockets, &self.stopped) {
            for socket in ready {
                // An ICMP error of an earlier reply: nothing to read this time.
                let Ok(datagram) = socket.receive() else { continue };
                let echo = self.manner == Manner::Echo;
                let answer = if echo { datagram.payload.clone() } else { self.name.clone().into_bytes() };
                lock(&self.shared.received)
                    .push(Received { peer: datagram.peer_address(), payload: datagram.payload.clone() });
                let _ = socket.reply(&datagram, &answer);
            }
        }
    }
}

fn send_pattern(mut stream: TcpStream) {
    let mut position = 0;
    while stream.write_all(&pattern(position, STREAM_PIECE)).is_ok() {
        position += STREAM_PIECE as u64;
        thread::sleep(STREAM_PAUSE + respite());
    }
}

fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(length) = stream.read(&mut buffer) {
        let Some(piece) = buffer.get(..length).filter(|piece| !piece.is_empty()) else { return };
        if stream.write_all(piece).is_err() {
            return;
        }
    }
}

/// The sockets that have something, or nothing once the service was dropped.
fn wait_for_any<'sockets, S: AsFd>(sockets: &'sockets [S], stopped: &UnixStream) -> Option<Vec<&'sockets S>> {
    let fds = sockets.iter().map(S::as_fd).chain([stopped.as_fd()]);
    let mut fds: Vec<PollFd<'_>> = fds.map(|fd: BorrowedFd<'_>| PollFd::new(fd, PollFlags::POLLIN)).collect();
    poll(&mut fds, PollTimeout::NONE).ok()?;
    let (stop, fds) = fds.split_last()?;
    if stop.any() != Some(false) {
        return None;
    }
    Some(sockets.iter().zip(fds).filter(|(_, fd)| fd.any() == Some(true)).map(|(socket, _)| socket).collect())
}

/// A socket for each family. Two, for a dual-stack socket would show IPv4 peers as mapped addresses.
fn both_families<S>(open: impl Fn(Domain) -> io::Result<S>) -> io::Result<Vec<S>> {
    let v4 = open(Domain::IPV4)?;
    match open(Domain::IPV6) {
        Ok(v6) => Ok(vec![v4, v6]),
        // A kernel without IPv6.
        Err(error) if error.raw_os_error() == Some(nix::libc::EAFNOSUPPORT) => Ok(vec![v4]),
        Err(error) => Err(error),
    }
}

fn listen(domain: Domain, port: u16) -> io::Result<TcpListener> {
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    // Connections of a test before, in TIME_WAIT, would hold the port.
    socket.set_reuse_address(true)?;
    bind_any(&socket, domain, port)?;
    socket.listen(128)?;
    // A client that gives up between poll and accept must not hang the service.
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

pub(crate) fn bind_any(socket: &Socket, domain: Domain, port: u16) -> io::Result<()> {
    let any: SocketAddr = if domain == Domain::IPV6 {
        socket.set_only_v6(true)?;
        (std::net::Ipv6Addr::UNSPECIFIED, port).into()
    } else {
        (std::net::Ipv4Addr::UNSPECIFIED, port).into()
    };
    socket.bind(&any.into())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread of a service panics with a lock")
}
