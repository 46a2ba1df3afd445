//! Writes the old layout as a policy, with the origin of each part.

use std::fmt::{Display, Write};

use dockfw_policy::service::Service;

use super::Input;
use super::findings::Placed;
use super::layout::{BRIDGES, Layout};
use super::lines::shown_name;

/// The number of addresses from which on a list has a file of its own, if files are allowed.
const LONG: usize = 100;
/// The longest remark in a list's line, of which a policy reads at most 256 bytes.
const MAX_REMARK: usize = 120;

/// The names of the rules.
pub(crate) const ON_HOST: &str = "open on the host";
pub(crate) const IN_CONTAINERS: &str = "open in containers";
pub(crate) const CONTAINERS_TO_HOST: &str = "containers to the host";
/// What the last of them opens.
pub(crate) const ALL_PORTS: [&str; 2] = ["1-65535/tcp", "1-65535/udp"];

/// A policy as strings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The policy file.
    pub policy: String,
    /// The lists that it names, by their names in its directory.
    pub lists: Vec<(String, String)>,
}

/// Writes a policy.
pub(crate) fn write(inputs: &[Input], layout: &Layout, files: bool) -> Written {
    let mut text = Text::default();
    text.head(inputs, layout);
    let mut lists = Vec::new();
    let mut addresses = |text: &mut Text, key: &str, list: &str, entries: &[Placed<_>]| {
        if files && entries.len() >= LONG {
            lists.push((format!("lists/{list}.txt"), list_file(entries)));
            text.line(format_args!("{key} = [\"file:lists/{list}.txt\"]"));
        } else {
            text.list(key, entries);
        }
    };
    text.line("\n# Who reaches everything.");
    addresses(&mut text, "trusted", "trusted", &layout.trusted);
    if !layout.blocked.is_empty() {
        text.line("\n# From here nothing comes in, live connections included.");
        addresses(&mut text, "blocked", "blocked", &layout.blocked);
    }
    text.rules(layout);
    text.interfaces(layout);
    if layout.echo_trusted {
        text.line("\n# ICMP was not open to everyone.\n[icmp]\necho = \"trusted\"");
    }
    Written { policy: text.0, lists }
}

/// Returns a file of addresses, one per line.
fn list_file<T: Display>(entries: &[Placed<T>]) -> String {
    let mut text = String::new();
    for entry in entries {
        let remark: String = entry.place.to_string().chars().take(MAX_REMARK).collect();
        // Writing to a String does not fail.
        let _ = writeln!(text, "{}  # {remark}", entry.value);
    }
    text
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, line: impl Display) {
        // Writing to a String does not fail.
        let _ = writeln!(self.0, "{line}");
    }

    fn head(&mut self, inputs: &[Input], layout: &Layout) {
        self.line("# What the rules before dockfw let in, as `dockfw import` read it from");
        inputs.iter().for_each(|input| self.line(format_args!("#   {}", shown_name(input))));
        if !layout.changes.is_empty() {
            self.line("#\n# What changes:");
            layout.changes.iter().for_each(|change| self.line(format_args!("# - {change}")));
        }
    }

    /// Writes `key = [...]`, one value per line, with its origin.
    fn list<T: Display>(&mut self, key: &str, entries: &[Placed<T>]) {
        if entries.is_empty() {
            self.line(format_args!("{key} = []"));
            return;
        }
        self.line(format_args!("{key} = ["));
        for entry in entries {
            self.line(format_args!("    \"{}\",  # {}", entry.value, entry.place));
        }
        self.line("]");
    }

    fn rules(&mut self, layout: &Layout) {
        self.rule("\n# Processes of the host that everyone reaches.", ON_HOST, &layout.host, "host");
        let comment = "\n# Containers' own ports that everyone reaches, as the rules in DOCKER-USER saw them: behind `-p 8080:80`, 80.";
        self.rule(comment, IN_CONTAINERS, &layout.containers, "container");
        if let Some(place) = &layout.open_to_containers {
            self.line(format_args!(
                "\n# Containers reached everything on the host, because only some interfaces were filtered ({}).\n\
                 # Take this rule out if they need nothing there.\n\
                 [[allow]]\nname  = \"{CONTAINERS_TO_HOST}\"\nfrom  = [\"containers\"]\n\
                 ports = {ALL_PORTS:?}\nto    = \"host\"",
                place
            ));
        }
    }

    fn rule(&mut self, comment: &str, name: &str, services: &[Placed<Service>], to: &str) {
        if services.is_empty() {
            return;
        }
        self.line(comment);
        self.line(format_args!("[[allow]]\nname  = \"{name}\""));
        self.list("ports", services);
        self.line(format_args!("to    = \"{to}\""));
    }

    fn interfaces(&mut self, layout: &Layout) {
        if layout.filtered.is_empty() && layout.bridges.is_empty() {
            return;
        }
        self.line("\n[interfaces]");
        if !layout.filtered.is_empty() {
            self.list("filtered", &layout.filtered);
        }
        if !layout.bridges.is_empty() {
            self.line("docker = [");
            BRIDGES.iter().for_each(|bridge| self.line(format_args!("    \"{bridge}\",")));
            for bridge in &layout.bridges {
                self.line(format_args!("    \"{}\",  # {}", bridge.value, bridge.place));
            }
            self.line("]");
        }
    }
}
