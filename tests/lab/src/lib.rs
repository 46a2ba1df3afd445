//! A real Docker host in a network namespace, with real clients beside it.
//!
//! A test program calls [`contain()`] first, then raises a [`Lab`], starts [`Docker`] in it, opens services with
//! [`Netns::serve`] and asks clients whether they reach them. Nothing of the machine's own network, Docker or file
//! system is touched, and all is gone when the program ends, however it ends.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use dockfw_lab::{Docker, DockerOptions, Lab, LabOptions, Proto, contain, probe_all};
//!
//! contain()?; // first of all: from here on we are alone
//! let lab = Lab::raise(LabOptions { dockfw: Some("/usr/sbin/dockfw".into()), ..LabOptions::default() })?;
//! let docker = Docker::start(&lab, DockerOptions::default())?;
//! let front = docker.network("front").ipv6(true).create()?;
//! let web = docker.container("web").network(&front.name).publish("8080:80/tcp").start()?;
//! let service = web.serve("80/tcp", "web")?;
//!
//! std::fs::create_dir_all("/etc/dockfw")?; // the lab's own /etc
//! std::fs::write("/etc/dockfw/dockfw.toml", "trusted = [\"192.0.2.10\", \"2001:db8:1::10\"]\n")?;
//! let before = lab.trusted.tcp((lab.host.v4, 8080));
//! assert!(before.is("web"), "{before}");
//! assert!(lab.dockfw(&["apply"])?.status.success());
//!
//! let closed = lab.host.at(8080).map(|to| lab.untrusted.probe(Proto::Tcp, to));
//! for (probe, outcome) in closed.iter().zip(probe_all(&closed)) {
//!     assert!(outcome.is_silent(), "{probe}: {outcome}");
//! }
//! assert!(service.received().iter().all(|one| one.peer.ip() == lab.trusted.v4));
//! # Ok(())
//! # }
//! ```

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "test code: a fault of the lab itself has nobody to handle it"
)]
#![cfg_attr(
    test,
    allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may fail by panicking")
)]

mod call;
mod capture;
mod cgroups;
mod choice;
mod contain;
mod container;
mod datagram;
mod dice;
mod docker;
mod engine;
mod group;
mod inforce;
mod layouts;
mod leftovers;
mod machine;
mod mounts;
mod netns;
mod network;
mod observer;
mod packet;
mod port;
mod probe;
mod programs;
mod roots;
mod run;
mod sender;
mod service;
mod silence;
mod sniffer;
mod sshd;
mod topology;
mod trace;
mod transfer;
mod uplink;
mod userland;
mod wait;
mod witness;

pub use call::Call;
pub use capture::Capture;
pub use choice::Choice;
pub use contain::{contain, lab_name};
pub use container::{Container, ContainerSpec};
pub use dice::{Dice, SEED, seed};
pub use docker::{Docker, DockerOptions};
pub use engine::Engine;
pub use inforce::{Parts, Rules, Tree, ipsets, nftables, xtables};
pub use layouts::Layout;
pub use leftovers::Leftovers;
pub use machine::Machine;
pub use mounts::{WORK, keep_apart, layer};
pub use netns::Netns;
pub use network::{Network, NetworkSpec};
pub use observer::{Observed, Observer};
pub use packet::{Body, Packet, TcpFlags};
pub use port::{PROTOS, Port, Proto};
pub use probe::{Outcome, Probe, TIMEOUT, probe_all};
pub use programs::busybox;
pub use programs::{Programs, Variant};
pub use roots::{Root, cache_directory, debian_mirror};
pub use run::{run, run_with_input};
pub use sender::Sender;
pub use service::{Received, Service};
pub use silence::Silence;
pub use sniffer::{Heard, Sniffer};
pub use sshd::{Sshd, knock};
pub use topology::{Lab, LabOptions, SECOND_V4, SECOND_V6};
pub use trace::{Counted, Dies, Traced, Trap};
pub use transfer::{Conversation, Knocker, Transfer};
pub use userland::libraries;
pub use wait::{patience, respite, wait_until};
pub use witness::{Hook, Survivor, Witness};
