//! Sends frames, many with each call.

use std::fs;
use std::io::IoSlice;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dockfw_bench::clock::Clock;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, ControlMessage, LinkAddr, MsgFlags, MultiHeaders, SockFlag, SockType, bind, sendmmsg,
    socket,
};

/// Frames of one call: enough that the call's own cost is little.
const BATCH: usize = 128;

/// Sends the frames in turn for so long, and returns how many of them were judged, and in how many seconds.
pub(crate) fn send(interface: &str, frames: &[Vec<u8>], period: Duration) -> Result<(u64, f64)> {
    let socket = open(interface)?;
    let messages: Vec<_> = frames.iter().map(|frame| [IoSlice::new(frame)]).collect();
    let mut headers = MultiHeaders::preallocate(BATCH, None);
    let (mut sent, dropped, clock) = (0, dropped()?, Clock::start());
    while clock.on_the_wall() < period {
        for batch in messages.chunks(BATCH) {
            sent += send_batch(&socket, &mut headers, batch)?;
        }
    }
    let seconds = clock.elapsed().as_secs_f64();
    let dropped = self::dropped()?.saturating_sub(dropped);
    Ok((sent.saturating_sub(dropped), seconds))
}

/// To whom is what the socket is bound to.
fn send_batch<'a>(
    socket: &OwnedFd,
    headers: &'a mut MultiHeaders<LinkAddr>,
    batch: &'a [[IoSlice<'a>; 1]],
) -> Result<u64> {
    const NOBODY: [Option<LinkAddr>; BATCH] = [None; BATCH];
    let nothing: [ControlMessage<'a>; 0] = [];
    let sent = sendmmsg(socket.as_raw_fd(), headers, batch, NOBODY, nothing, MsgFlags::empty())?.count();
    ensure!(sent == batch.len(), "sent {sent} of {} frames", batch.len());
    Ok(sent as u64)
}

/// Without a protocol: the socket is to send, and hears nothing.
fn open(interface: &str) -> Result<OwnedFd> {
    let address = link_address(interface)?;
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)
        .context("cannot open a packet socket")?;
    bind(socket.as_raw_fd(), &address).with_context(|| format!("cannot bind to {interface}"))?;
    Ok(socket)
}

fn link_address(interface: &str) -> Result<LinkAddr> {
    let found = getifaddrs()?.filter(|entry| entry.interface_name == interface);
    let mut links = found.filter_map(|entry| entry.address?.as_link_addr().copied());
    links.next().with_context(|| format!("no interface {interface} in this namespace: nothing is sent"))
}

/// How many packets all processors have dropped because more waited than may.
fn dropped() -> Result<u64> {
    let path = "/proc/net/softnet_stat";
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    Ok(text.lines().filter_map(second).sum())
}

/// The second of a line's hexadecimal numbers (net/core/net-procfs.c, `softnet_seq_show`).
fn second(line: &str) -> Option<u64> {
    u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_read() {
        assert_eq!(second("0002a1f3 0000001f 00000003 00000000"), Some(31));
        assert_eq!(second(""), None);
    }
}
