//! dockfw.

fn main() {}
