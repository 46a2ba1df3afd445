//! The program as an operator uses it: what it says, how it exits, and that it changes nothing where it should not.
//!
//! Whatever touches the kernel runs in a network namespace of its own, with a `/run` and a `/var/lib` of its own for the
//! lock and the records; what needs root for that is ignored unless it is asked for, as `./dev test` does for root.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod boots;
mod callers;
mod damage;
mod diff;
mod explain;
mod fixture;
mod hangs;
mod host;
mod import;
mod init;
mod kernel;
mod locks;
mod messages;
mod moves;
mod old_kernels;
mod output;
mod policies;
mod privileges;
mod rollbacks;
mod running;
mod schema;
mod status;
mod takeover;
mod trials;
mod unfit;
mod units;
mod without_compat;
