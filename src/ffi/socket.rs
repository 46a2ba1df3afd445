//! The descriptor of a netlink socket.

use std::os::fd::{AsRawFd, BorrowedFd};

/// The descriptor of a socket of `mnl`'s, which hands it out as a number alone.
pub(crate) fn descriptor(socket: &mnl::Socket) -> BorrowedFd<'_> {
    // SAFETY: the descriptor is open until the socket is dropped or closed, which can't be while it is borrowed.
    unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) }
}
