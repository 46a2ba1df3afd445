//! Programs and files of the host. Both belong to others: a program may hang, print without end or fail, and a file may be a pipe that
//! nobody writes to. None of that keeps dockfw: whatever is asked here has a limit, and what went wrong is told by name.
#![warn(clippy::print_stderr, clippy::print_stdout)]
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod files;
pub mod programs;
mod signals;
