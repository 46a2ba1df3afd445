//! The descriptor of a netlink socket.

use std::os::fd::{AsRawFd, BorrowedFd};

/// Returns the descriptor of a socket of `mnl`'s, which only exposes it as a number.
pub(crate) fn descriptor(socket: &mnl::Socket) -> BorrowedFd<'_> {
    // SAFETY: the descriptor is open until the socket is dropped or closed, which is impossible while it is borrowed.
    unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) }
}
