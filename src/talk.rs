//! What is said on stderr.

use std::fmt::Display;
use std::io::{self, Write};

/// Says a line. Where nobody can hear it (the terminal is gone), there is nobody to tell: unlike `eprintln!` this never
/// ends the program, which may be about to take a policy back.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(io::stderr(), "dockfw: {line}");
}
