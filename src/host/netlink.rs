//! Questions over netlink. A dump is what the kernel has of one kind, whole or not at all.

use std::fmt;
use std::io;

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable,
};
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;

use crate::nftables::socket::{limit, read_error};

/// More than the kernel ever puts into one datagram of a dump (NLMSG_GOODSIZE, at most 32 KiB).
const BUFFER: usize = 64 * 1024;
/// How often an interrupted dump is begun anew before that is an error.
const ATTEMPTS: usize = 10;

/// All answers of the kernel's `protocol` to a request; begun anew where its tables changed under it.
pub(crate) fn dump<M>(protocol: isize, request: &M) -> io::Result<Vec<M>>
where
    M: NetlinkSerializable + NetlinkDeserializable + Clone + fmt::Debug,
    NetlinkPayload<M>: From<M>,
{
    for _ in 0..ATTEMPTS {
        if let Some(messages) = try_dump(protocol, request.clone())? {
            return Ok(messages);
        }
    }
    Err(io::Error::other("what was read kept changing"))
}

fn try_dump<M>(protocol: isize, request: M) -> io::Result<Option<Vec<M>>>
where
    M: NetlinkSerializable + NetlinkDeserializable + fmt::Debug,
    NetlinkPayload<M>: From<M>,
{
    receive(&send(protocol, request, NLM_F_DUMP | NLM_F_REQUEST)?)
}

/// The answer of the kernel's `protocol` to a question that has one.
pub(crate) fn ask<M>(protocol: isize, request: M) -> io::Result<M>
where
    M: NetlinkSerializable + NetlinkDeserializable + fmt::Debug,
    NetlinkPayload<M>: From<M>,
{
    let socket = send(protocol, request, NLM_F_REQUEST)?;
    let mut buffer = vec![0; BUFFER];
    match NetlinkMessage::<M>::deserialize(read(&socket, &mut buffer)?).map_err(io::Error::other)?.payload {
        NetlinkPayload::InnerMessage(inner) => Ok(inner),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        _ => Err(io::Error::other("no answer")),
    }
}

fn send<M>(protocol: isize, request: M, flags: u16) -> io::Result<Socket>
where
    M: NetlinkSerializable + fmt::Debug,
    NetlinkPayload<M>: From<M>,
{
    let socket = Socket::new(protocol)?;
    socket.connect(&SocketAddr::new(0, 0))?;
    limit(&socket)?;
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    Ok(socket)
}

/// The messages up to the end of the dump, or nothing where it was interrupted.
fn receive<M>(socket: &Socket) -> io::Result<Option<Vec<M>>>
where
    M: NetlinkDeserializable + fmt::Debug,
{
    let mut messages = Vec::new();
    let mut is_whole = true;
    let mut buffer = vec![0; BUFFER];
    loop {
        let mut rest = read(socket, &mut buffer)?;
        while !rest.is_empty() {
            let message = NetlinkMessage::<M>::deserialize(rest).map_err(io::Error::other)?;
            is_whole &= message.header.flags & NLM_F_DUMP_INTR == 0;
            rest = rest.get(padded(message.header.length)..).unwrap_or_default();
            match message.payload {
                NetlinkPayload::InnerMessage(inner) => messages.push(inner),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                // Also a dump that failed half way ends so, or one of something that the kernel does not have.
                NetlinkPayload::Done(done) if done.code < 0 => {
                    return Err(io::Error::from_raw_os_error(done.code.saturating_neg()));
                }
                NetlinkPayload::Done(_) => return Ok(is_whole.then_some(messages)),
                _ => {}
            }
        }
    }
}

/// One datagram.
fn read<'a>(socket: &Socket, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
    let size = socket.recv(&mut &mut *buffer, 0).map_err(|error| match error.raw_os_error() {
        Some(number) => read_error(Errno::from_raw(number)),
        None => error,
    })?;
    Ok(buffer.get(..size).unwrap_or_default())
}

/// The length of a message with what aligns the next one (NLMSG_ALIGN, linux/netlink.h); never 0.
fn padded(length: u32) -> usize {
    (length as usize).max(1).next_multiple_of(4)
}
