//! From the rules of the old layout (the Ansible role `iptables_docker`, and its manual method) to a policy.
//!
//! Pure: strings in, a policy out, or everything that is wrong with the strings. `kind` recognises an input, `sets`,
//! `rules` and `variables` read one each, `layout` holds what they found, and `policy` writes it, or `document` for
//! scripts. What was open by mistake is closed, and reported. What can't be carried over is reported; if that would let
//! in somebody whom the old rules dropped, it is an error.
#![forbid(unsafe_code)]
#![warn(clippy::print_stderr, clippy::print_stdout)]
#![cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]

mod document;
mod findings;
mod kind;
mod layout;
mod lines;
mod policy;
mod rules;
mod sets;
#[cfg(test)]
mod tests;
mod variables;

use kind::Kind;
use layout::Layout;
use rules::Rules;
use sets::Sets;
use variables::Variables;

pub use document::Document;
pub use findings::{Fault, Findings, Place};
pub use policy::Written;

/// The biggest file that is read: the variables or the set of the biggest list have fewer bytes.
pub const MAX_SIZE: u64 = 64 * 1024 * 1024;

/// A file to import.
#[derive(Clone, Debug)]
pub struct Input {
    /// Where it comes from, as the operator named it.
    pub name: String,
    /// The contents.
    pub bytes: Vec<u8>,
}

/// What to do with it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Leaves out lines that can't be read.
    pub lenient: bool,
    /// Writes long lists into files of their own.
    pub files: bool,
}

/// A policy, and the notes about it.
#[derive(Debug)]
pub struct Imported {
    /// The policy.
    pub written: Written,
    /// The same for scripts.
    pub document: Document,
    /// What was not carried over, and what changes.
    pub notes: Vec<String>,
}

/// Everything that was read.
#[derive(Debug, Default)]
struct Read {
    sets: Vec<Sets>,
    rules: Vec<Rules>,
    variables: Vec<Variables>,
}

/// Makes a policy from the inputs, or returns what is wrong with them.
pub fn import(inputs: &[Input], options: Options) -> Result<Imported, Findings> {
    let mut findings = Findings::new(options.lenient);
    let mut read = Read::default();
    for input in inputs {
        read.add(input, &mut findings);
    }
    let layout = Layout::of(read, &mut findings);
    if !findings.faults.is_empty() {
        return Err(findings);
    }
    let written = policy::write(inputs, &layout, options.files);
    let notes = layout.changes.iter().cloned().chain(findings.into_notes()).collect();
    Ok(Imported { written, document: Document::of(&layout), notes })
}

impl Read {
    fn add(&mut self, input: &Input, findings: &mut Findings) {
        match kind::of(&input.bytes) {
            Ok(Kind::Sets) => self.sets.push(sets::read(input, findings)),
            Ok(Kind::Rules) => self.rules.extend(rules::read(input, findings)),
            Ok(Kind::Variables) => self.variables.extend(variables::read(input, findings)),
            Err(unknown) => findings.refuse(unknown.fault(input)),
        }
    }
}
