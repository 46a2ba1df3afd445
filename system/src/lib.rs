//! Programs and files of the host. Both belong to others: a program may hang, print without end or fail, and a file may
//! be a pipe without a writer. None of that stops dockfw: every question here has a limit, and every failure is named.
#![warn(clippy::print_stderr, clippy::print_stdout)]
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod files;
pub mod programs;
mod signals;
