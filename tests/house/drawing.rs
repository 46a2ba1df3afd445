//! The table of rooms in docs/architecture.md.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The line above the table.
const HEADING: &str = "| room | for what | uses | pure |";

/// What only rooms that act may use: files, processes, sockets, the clock, the kernel.
pub(crate) const ACTING: [&str; 16] = [
    "dockfw_system::files",
    "dockfw_system::programs",
    "mnl::",
    "nix::fcntl",
    "nix::mount",
    "nix::poll",
    "nix::sched",
    "nix::sys",
    "nix::unistd",
    "std::env::",
    "std::fs",
    "std::io::std",
    "std::net::Tcp",
    "std::net::Udp",
    "std::os::unix::net",
    "std::process",
];

/// A room of the program.
pub(crate) struct Room {
    pub(crate) name: String,
    pub(crate) uses: BTreeSet<String>,
    pub(crate) is_pure: bool,
}

/// The rooms, from the ground upwards.
pub(crate) fn read(document: &Path) -> Vec<Room> {
    let text = fs::read_to_string(document).unwrap();
    let (_, rest) = text.split_once(HEADING).unwrap_or_else(|| panic!("no table {HEADING:?}"));
    let rows = rest.lines().skip(2).take_while(|line| line.starts_with('|'));
    let rooms: Vec<_> = rows.map(room).collect();
    assert!(rooms.len() > 5, "only {} rooms", rooms.len());
    rooms
}

fn room(row: &str) -> Room {
    let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
    let [name, _, uses, pure] = cells[..] else { panic!("not four cells: {row}") };
    let name = name.trim_matches('`').to_owned();
    let uses = uses.split(',').map(|name| name.trim().trim_matches('`').to_owned());
    Room { name, uses: uses.filter(|name| !name.is_empty()).collect(), is_pure: pure == "yes" }
}
