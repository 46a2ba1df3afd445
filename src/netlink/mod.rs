//! Netlink, by which the kernel is asked: one kind of socket for each of its buses, one way to write messages, and one
//! to read them.
//!
//! `mnl` opens, binds and reads the sockets ([`socket`]). What they receive is decoded here, with every length checked
//! ([`message`], [`attributes`]). The questions to a bus lie in a file of their own: [`netfilter`], [`route`],
//! [`sock_diag`]. Nothing here knows what the answers are for.

pub(crate) mod attributes;
pub(crate) mod message;
pub(crate) mod netfilter;
pub(crate) mod route;
pub(crate) mod sock_diag;
mod socket;
pub(crate) mod uapi;
