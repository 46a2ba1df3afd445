//! The sender of floods: the same few frames again and again, as fast as one processor makes and judges them.
//!
//! Over a pair of virtual interfaces, the kernel judges a frame on the processor that sent it, before the call that sent it
//! returns. So the rate of sending is the rate of judging, sending included. It prints how many frames were judged, and in how
//! many seconds: those in which another process had the processor are left out.
//!
//! It sends only in a network namespace that is called `flood`, from an interface called `flood0`: never into the machine's own
//! network.
#![cfg_attr(
    test,
    allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may fail by panicking")
)]

mod frames;
mod sender;

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use dockfw_bench::clock::stay_on_one_processor;

use frames::{Flood, Kind};

/// Where it sends, and nowhere else.
const NAMESPACE: &str = "/run/netns/flood";
const INTERFACE: &str = "flood0";

#[derive(Parser)]
struct Arguments {
    /// What is sent.
    #[arg(long, value_enum)]
    kind: Kind,
    /// Whom it is for.
    #[arg(long)]
    to: Ipv4Addr,
    /// The port that it is for; ICMP has none.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// From how many addresses it comes.
    #[arg(long, default_value_t = 1)]
    sources: u32,
    /// The first of these addresses.
    #[arg(long)]
    from: Ipv4Addr,
    /// The hardware address at the other end, as in `02:00:00:00:00:01`.
    #[arg(long, value_parser = frames::hardware_address)]
    neighbour: [u8; 6],
    /// How long.
    #[arg(long)]
    milliseconds: u64,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dockfw-flood: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    refuse_other_networks()?;
    let flood = Flood {
        kind: arguments.kind,
        to: arguments.to,
        port: arguments.port,
        from: arguments.from,
        sources: arguments.sources,
        neighbour: arguments.neighbour,
    };
    stay_on_one_processor()?;
    let period = Duration::from_millis(arguments.milliseconds);
    let (judged, seconds) = sender::send(INTERFACE, &flood.frames(), period)?;
    println!("{judged} {seconds}");
    Ok(())
}

/// A namespace that `ip netns` knows by this name was made for it.
fn refuse_other_networks() -> Result<()> {
    let identity = |path: &str| fs::metadata(path).map(|file| (file.dev(), file.ino()));
    let own = identity("/proc/self/ns/net").context("cannot tell the network namespace")?;
    let is_made_for_it = identity(NAMESPACE).is_ok_and(|made| made == own);
    ensure!(is_made_for_it, "this network namespace is not {NAMESPACE}: nothing is sent");
    Ok(())
}
