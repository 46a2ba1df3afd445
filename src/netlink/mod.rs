//! Netlink, the way in which the kernel is asked: one kind of socket for each of its buses, one way to write messages, and one
//! to read them.
//!
//! `mnl` opens, binds and reads the sockets ([`socket`]). What they bring is taken apart here, with every length checked
//! ([`message`], [`attributes`]). What is asked of a bus lies in a file of its own: [`netfilter`], [`route`], [`sock_diag`].
//! Nothing here knows what the answers are for.

pub(crate) mod attributes;
pub(crate) mod message;
pub(crate) mod netfilter;
pub(crate) mod route;
pub(crate) mod sock_diag;
mod socket;
pub(crate) mod uapi;
