//! A real Docker host in a network namespace, with real clients beside it.
//!
//! A test program calls [`contain`] first, then raises a [`Lab`], starts [`Docker`] in it, opens services with
//! [`Netns::serve`] and asks clients whether they reach them. Nothing of the machine's own network, Docker or file
//! system is touched, and all is gone when the program ends, however it ends.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "test code: a fault of the lab itself has nobody to handle it"
)]
#![cfg_attr(
    test,
    allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may fail by panicking")
)]

mod cgroups;
mod contain;
mod container;
mod datagram;
mod docker;
mod leftovers;
mod machine;
mod mounts;
mod netns;
mod network;
mod packet;
mod port;
mod probe;
mod programs;
mod run;
mod sender;
mod service;
mod topology;
mod transfer;
mod wait;
mod witness;

pub use contain::{contain, lab_name};
pub use container::{Container, ContainerSpec};
pub use docker::{Docker, DockerOptions};
pub use leftovers::Leftovers;
pub use machine::Machine;
pub use mounts::WORK;
pub use netns::Netns;
pub use network::{Network, NetworkSpec};
pub use packet::{Body, Packet, TcpFlags};
pub use port::{PROTOS, Port, Proto};
pub use probe::{Outcome, Probe, TIMEOUT, probe_all};
pub use programs::{Programs, Variant};
pub use run::{run, run_with_input};
pub use sender::Sender;
pub use service::{Received, Service};
pub use topology::{Lab, LabOptions, SECOND_V4, SECOND_V6};
pub use transfer::{Conversation, Knocker, Transfer};
pub use wait::{patience, wait_until};
pub use witness::{Hook, Survivor, Witness};
