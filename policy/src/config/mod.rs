//! What was typed: the policy files as they are, each value with its place, without look-ups and defaults.
//!
//! All files are read into one [`Config`]. Lists add up; a scalar that two files set is an error that names both.

mod file;
pub(crate) mod keys;
mod read;
mod repair;
mod syntax;
mod values;

use std::collections::BTreeMap;

pub(crate) use file::{Findings, decode};

use crate::diagnostic::{Span, Spanned};

/// The policy files, as typed.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// `trusted`.
    pub trusted: Option<List>,
    /// `blocked`.
    pub blocked: Option<List>,
    /// `[groups]`, by name.
    pub groups: BTreeMap<String, Group>,
    /// The `[[allow]]`s, in the order of the files.
    pub allow: Vec<Allow>,
    /// `[interfaces]`.
    pub interfaces: Interfaces,
    /// `[icmp]`.
    pub icmp: Icmp,
    /// `[swarm]`.
    pub swarm: Swarm,
    /// `[log]`.
    pub log: Log,
    /// `[engine]`.
    pub engine: Engine,
    /// Whether any key was typed at all.
    pub is_typed: bool,
    /// Whether a part of what was typed could not be understood: what seems to be missing may be that part.
    pub is_incomplete: bool,
}

/// A list of strings.
#[derive(Clone, Debug)]
pub struct List {
    /// Where the list is; if several files add to it, where it is in the first.
    pub span: Span,
    /// The entries that are strings.
    pub entries: Vec<Spanned<String>>,
    /// Whether nothing was typed between the brackets, not even something that is not a string.
    pub is_blank: bool,
}

/// One of `[groups]`.
#[derive(Clone, Debug)]
pub struct Group {
    /// Where its name is.
    pub span: Span,
    /// Its addresses; nothing if something else was typed, which has been reported.
    pub entries: Option<List>,
}

/// One `[[allow]]`. Missing required keys have been reported.
#[derive(Clone, Debug)]
pub struct Allow {
    /// Where it starts.
    pub span: Span,
    /// `name`.
    pub name: Option<Spanned<String>>,
    /// `from`.
    pub from: Option<List>,
    /// `in`.
    pub incoming: Option<List>,
    /// `ports`.
    pub ports: Option<List>,
    /// `to`.
    pub to: Option<Spanned<String>>,
    /// `only`.
    pub only: Option<Spanned<bool>>,
}

/// `[interfaces]`.
#[derive(Clone, Debug, Default)]
pub struct Interfaces {
    /// `filtered`.
    pub filtered: Option<List>,
    /// `exempt`.
    pub exempt: Option<List>,
    /// `docker`.
    pub docker: Option<List>,
    /// `inside`.
    pub inside: Option<List>,
    /// `crossing`.
    pub crossing: Option<List>,
}

/// `[icmp]`.
#[derive(Clone, Debug, Default)]
pub struct Icmp {
    /// `echo`.
    pub echo: Option<Spanned<String>>,
}

/// `[swarm]`.
#[derive(Clone, Debug, Default)]
pub struct Swarm {
    /// `peers`.
    pub peers: Option<List>,
    /// `data_path_port`.
    pub data_path_port: Option<Spanned<i64>>,
}

/// `[log]`.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// `drops`.
    pub drops: Option<Spanned<bool>>,
    /// `rate`.
    pub rate: Option<Spanned<String>>,
}

/// `[engine]`.
#[derive(Clone, Debug, Default)]
pub struct Engine {
    /// `backend`.
    pub backend: Option<Spanned<String>>,
    /// `prefilter`.
    pub prefilter: Option<Spanned<bool>>,
}
