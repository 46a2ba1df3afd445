//! What dockfw knows of xtables: the programs of iptables and ipset, what they print, and what of dockfw is there.
//!
//! The crate stays if the engine `dockfw-compat` is deleted one day: it reports which rules and sets that engine has on
//! a host, and removes them. It puts no policy in force.
//!
//! Pure: [`words`] and [`clauses`] read rules, [`saved`] what programs list. [`names`] and [`ownership`] recognise what
//! is the engine's, [`old`] what its predecessors left. [`jumps`] finds where rules lead, [`mod@removal`] writes what
//! removes them. What acts: `run` runs programs, [`tools`] those of one variant of iptables, [`ipset`] that of sets;
//! [`variants`], [`mod@presence`] and [`mod@remove`] ask and change this host.
#![warn(clippy::print_stderr, clippy::print_stdout)]
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod clauses;
pub mod ipset;
pub mod jumps;
mod kernel;
pub mod names;
pub mod old;
pub mod ownership;
pub mod presence;
pub mod removal;
pub mod remove;
pub mod restore;
mod run;
pub mod saved;
pub mod savers;
pub mod tools;
pub mod variants;
pub mod words;
