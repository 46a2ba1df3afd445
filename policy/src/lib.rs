//! The meaning of a dockfw policy. Pure code: no sockets, processes, clock or files of its own.
//!
//! A policy always goes through three forms: [`config::Config`] is what was typed, [`policy::Policy`] is what it means,
//! and [`ruleset::Ruleset`] is the small common form that every engine lowers.
#![forbid(unsafe_code)]
#![warn(clippy::print_stderr, clippy::print_stdout)]
#![cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]

pub mod address;
pub mod compile;
pub mod config;
pub mod diagnostic;
pub mod difference;
pub mod digest;
pub mod engine;
mod engine_name;
mod files;
pub mod interface;
mod lists;
pub mod load;
pub mod nft;
pub mod policy;
mod printable;
pub mod reference;
pub mod resolve;
pub mod reverse_path;
pub mod ruleset;
pub mod service;
mod suggest;
mod text;
pub mod walk;

pub use files::{Files, FilesInMemory, Strictness};
pub use lists::Lists;
pub use load::{Loaded, Rejected, lists, load};
pub use printable::printable;
