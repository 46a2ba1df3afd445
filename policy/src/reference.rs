//! The reference of the policy file: what `docs/policy.md` and dockfw.toml(5) are written from.

use std::fmt::Write;

pub use crate::config::keys::{Key, Table};

use crate::config::keys::{ALLOW, ENGINE, ICMP, INTERFACES, LOG, SWARM, TOP};

/// A part of it.
#[derive(Debug)]
pub struct Section {
    /// Its heading, in Markdown; none for the first.
    pub heading: Option<&'static str>,
    /// What is said before the keys.
    pub blocks: &'static [Block],
    /// The keys that it describes, by their tables. Keys without a meaning are left out.
    pub tables: &'static [&'static Table],
}

/// What is said in a section.
#[derive(Clone, Copy, Debug)]
pub enum Block {
    /// A paragraph, in Markdown that has nothing but `code` in it.
    Text(&'static str),
    /// Lines of a policy file.
    Example(&'static str),
    /// Rows of cells, with `code` in them; the first has the headings, and its first cell that of the rows' own.
    Table(&'static [&'static [&'static str]]),
}

impl Section {
    /// The keys that it describes.
    pub fn keys(&self) -> impl Iterator<Item = &'static Key> {
        self.tables.iter().flat_map(|table| table.keys).filter(|key| !key.meaning.is_empty())
    }
}

/// All sections.
pub static SECTIONS: [Section; 6] = [
    Section {
        heading: None,
        blocks: &[
            Block::Text(
                "\
dockfw reads `/etc/dockfw/dockfw.toml` (`--config` names another) and merges `conf.d/*.toml` beside it in the order of their names: lists add
up; a single value that is set twice is an error. Unknown keys are errors. `dockfw check` finds all mistakes at once.",
            ),
            Block::Example(
                r#"trusted = ["203.0.113.7", "198.51.100.0/24", "2001:db8:10::/48", "office"]
blocked = []

[groups]
office = ["192.0.2.0/24", "file:lists/vpn.txt"]

[[allow]]
name  = "ssh"
ports = ["22/tcp"]
to    = "host""#,
            ),
        ],
        tables: &[],
    },
    Section {
        heading: Some("Addresses"),
        blocks: &[Block::Text(
            "\
`trusted`, `blocked`, groups, `from` and `peers` are lists of: single addresses, networks (`198.51.100.0/24`,
`198.51.100.0/255.255.255.0`), ranges (`192.0.2.1-192.0.2.9`, `192.0.2.1-9`), names of groups, and `file:PATH`. Duplicates and overlaps
are merged. A network with host bits set is an error, and so are addresses with leading zeros, which some programs read as octal numbers.
A group or file is loaded once, however many rules name it.",
        ), Block::Text(
            "\
A list file has one address, network or range a line; its path is relative to the file that names it. What is behind a `#` or a `;` is a
comment, a number behind an address is left out, and a line may be a JSON object with a `cidr`, as in Spamhaus's lists. A line that can't be
read is an error. Of what others publish, nobody here can mend a line: with `feed:PATH` in place of `file:PATH`, lines that can't be read are
skipped and counted. Only `blocked` takes a feed, and one of which most lines can't be read is an error.",
        )],
        tables: &[&TOP],
    },
    Section { heading: Some("`[[allow]]`: who may reach what"), blocks: &[], tables: &[&ALLOW] },
    Section {
        heading: Some("`[interfaces]`"),
        blocks: &[Block::Text(
            "\
An interface belongs to the first class that fits: `lo`, Docker's, exempt, inside, crossing, filtered. A `*` at the end of a pattern stands
for anything. Only patterns of `filtered` may take in what is of another class: to have `wg*` inside and `wg0` exempt is an error. A bridge with a VRF counts by both names: name the VRF's interface too.",
        )],
        tables: &[&INTERFACES],
    },
    Section { heading: Some("Which way is open"), blocks: WAYS, tables: &[] },
    Section { heading: Some("The rest"), blocks: &[], tables: &[&ICMP, &SWARM, &LOG, &ENGINE] },
];

/// From where to where, by class of interface.
const WAYS: &[Block] = &[
    Block::Text(
        "\
`yes`: dockfw has no objection. `rule`: from `trusted`, or as an `[[allow]]` says; the text behind it is the `to` that opens it. Blocked sources
get through none of them but those marked with a star. A crossing interface is like a filtered one, but for frames that only cross it.",
    ),
    Block::Table(&[
        &["from", "the host", "a published port", "a container", "the same inside network", "another one", "the outside"],
        &["Docker's bridges", "rule `host`, `from = [\"containers\"]`", "yes*", "yes*", "yes*", "yes*", "yes*"],
        &["an inside network", "rule `host`, `from = [\"inside\"]`", "rule `docker`", "rule `container`", "yes*", "rule `forward`", "yes*"],
        &["an exempt interface", "yes", "yes", "yes", "yes", "yes", "yes"],
        &["a filtered interface", "rule `host`", "rule `docker`", "rule `container`", "rule `forward`", "rule `forward`", "rule `forward`"],
    ]),
    Block::Text(
        "\
A published port that docker-proxy answers, a process of the host, is the host to containers. dockfw can't tell it from
other processes: a rule `docker` opens its ports at those too. `to = \"forward\"` covers what an operator or
another program translates (`DNAT` to a virtual machine, a port that Podman publishes) and what is only routed; the number is the one that was
dialled.",
    ),
];

/// How a key is named in the reference: `[icmp] echo`.
#[must_use]
pub fn label(key: &Key) -> String {
    match key.table() {
        Some(table) => format!("[{table}] {}", key.name()),
        None if key.is_table() => format!("[{}]", key.name()),
        None => key.name().to_owned(),
    }
}

/// Where whole policies are to be found.
const WHOLE_POLICIES: &str = "\
[hosts.md](hosts.md) has whole policies: for a Proxmox host, a router, Podman beside Docker, a node of a tailnet, mailcow, Home
Assistant, and k3s beside Docker. This page has the keys.";

/// The whole of `docs/policy.md`.
#[must_use]
pub fn markdown() -> String {
    let mut text = format!("# The policy file\n\n{WHOLE_POLICIES}\n");
    for section in &SECTIONS {
        if let Some(heading) = section.heading {
            write_into(&mut text, format_args!("\n## {heading}\n"));
        }
        for block in section.blocks {
            match block {
                Block::Text(paragraph) => write_into(&mut text, format_args!("\n{paragraph}\n")),
                Block::Example(lines) => write_into(&mut text, format_args!("\n```toml\n{lines}\n```\n")),
                Block::Table(rows) => write_rows(&mut text, rows),
            }
        }
        write_keys(&mut text, section);
    }
    text
}

fn write_rows(text: &mut String, rows: &[&[&str]]) {
    text.push('\n');
    for (index, row) in rows.iter().enumerate() {
        write_into(text, format_args!("| {} |\n", row.join(" | ")));
        if index == 0 {
            write_into(text, format_args!("|{}\n", "---|".repeat(row.len())));
        }
    }
}

/// A table with a line for each key.
fn write_keys(text: &mut String, section: &Section) {
    let mut keys = section.keys().peekable();
    if keys.peek().is_none() {
        return;
    }
    text.push_str("\n| key | default | meaning |\n|---|---|---|\n");
    for key in keys {
        let default = key.default.map(|default| format!("`{default}`")).unwrap_or_default();
        write_into(text, format_args!("| `{}` | {default} | {} |\n", label(key), key.meaning));
    }
}

fn write_into(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a `String` can't fail.
    let _ = text.write_fmt(arguments);
}
