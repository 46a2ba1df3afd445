//! Sets of ipset, as `ipset restore` reads and `ipset save` writes them.

use std::collections::BTreeMap;

use dockfw_policy::address::{AddressError, AddressRange};
use dockfw_policy::resolve::advice;
use dockfw_xtables::words::words;

use super::Input;
use super::findings::{Fault, Findings, Place, Placed, quoted};
use super::lines;

/// The types whose elements are addresses and networks, and nothing besides.
const TYPES: [&str; 3] = ["hash:ip", "hash:net", "bitmap:ip"];
/// Options of ipset that do not change the contents of a set.
const SILENT: [&str; 4] = ["-exist", "-!", "-quiet", "-q"];

/// The sets of one file, by name.
#[derive(Debug, Default)]
pub(crate) struct Sets(pub(crate) BTreeMap<String, Set>);

/// One set.
#[derive(Debug)]
pub(crate) struct Set {
    /// Where it is named first.
    pub(crate) place: Place,
    /// What is in it, in order.
    pub(crate) entries: Vec<Placed<AddressRange>>,
    /// Lines that can't be read, and elements without a form in a policy: reported if the set is used.
    problems: Vec<Problem>,
}

#[derive(Debug)]
struct Problem {
    fault: Fault,
    /// Whether the entry can be left out without letting anybody in.
    can_be_left_out: bool,
}

/// Reads a file.
pub(crate) fn read(input: &Input, findings: &mut Findings) -> Sets {
    let mut sets = Sets::default();
    for (place, line) in lines::of(input, findings) {
        let mut words = words(line);
        words.retain(|word| !SILENT.contains(&word.as_str()));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["create", name, kind, options @ ..] => sets.create(name, kind, options, &place),
            ["add", name, element, options @ ..] => sets.set(name, &place).add(element, options, &place),
            ["flush"] => sets.0.values_mut().for_each(Set::flush),
            ["flush", name] => sets.set(name, &place).flush(),
            ["COMMIT" | "quit"] => {}
            _ => findings.unreadable(not_a_line(line, &place)),
        }
    }
    sets
}

fn not_a_line(line: &str, place: &Place) -> Fault {
    let help = "a line is `create SET TYPE`, `add SET ADDRESS` or `flush SET`";
    Fault::new(place, format!("{} is not a line of a set", quoted(line)), help)
}

impl Sets {
    fn set(&mut self, name: &str, place: &Place) -> &mut Set {
        let new = || Set { place: place.clone(), entries: vec![], problems: vec![] };
        self.0.entry(name.into()).or_insert_with(new)
    }

    fn create(&mut self, name: &str, kind: &str, options: &[&str], place: &Place) {
        let set = self.set(name, place);
        if !TYPES.contains(&kind) {
            let what = format!("a set of the type {} holds more than addresses", quoted(kind));
            set.refuse(Fault::new(place, what, format!("sets of {} can be imported", TYPES.join(", "))));
        } else if options.contains(&"netmask") {
            let help = "write the networks that are meant into a set of hash:net";
            set.refuse(Fault::new(place, "with `netmask`, elements are other than they are written", help));
        }
    }
}

impl Set {
    fn flush(&mut self) {
        self.entries.clear();
        self.problems.retain(|problem| !problem.can_be_left_out);
    }

    fn refuse(&mut self, fault: Fault) {
        self.problems.push(Problem { fault, can_be_left_out: false });
    }

    fn leave_out(&mut self, fault: Fault) {
        self.problems.push(Problem { fault, can_be_left_out: true });
    }

    fn add(&mut self, element: &str, options: &[&str], place: &Place) {
        if options.contains(&"nomatch") {
            let help = "a policy has no exceptions: write the networks around it, and remove this line";
            self.refuse(Fault::new(place, format!("{} is an exception (nomatch)", quoted(element)), help));
            return;
        }
        if is_temporary(options) {
            let help =
                "what is let in for a time only would be let in for ever: remove the line, or its timeout";
            self.leave_out(Fault::new(place, format!("{} has a timeout", quoted(element)), help));
            return;
        }
        match range(element) {
            Ok(range) => self.entries.push(Placed::new(range, place)),
            Err(error) => {
                let what = format!("{}: {error}", quoted(element));
                self.leave_out(Fault::new(place, what, advice::address(element, &error)));
            }
        }
    }

    /// Returns the set's entries. Its problems are reported now that they matter.
    pub(crate) fn into_entries(self, findings: &mut Findings) -> Vec<Placed<AddressRange>> {
        for Problem { fault, can_be_left_out } in self.problems {
            if can_be_left_out { findings.unreadable(fault) } else { findings.refuse(fault) }
        }
        self.entries
    }
}

fn is_temporary(options: &[&str]) -> bool {
    let timeout = options.iter().position(|option| *option == "timeout");
    timeout.and_then(|at| options.get(at + 1)).is_some_and(|seconds| *seconds != "0")
}

/// Returns the addresses of an element. ipset uses the network if bits of the host are set.
pub(crate) fn range(element: &str) -> Result<AddressRange, AddressError> {
    match element.parse() {
        Err(AddressError::HostBits { corrected }) => corrected.to_string().parse(),
        result => result,
    }
}
