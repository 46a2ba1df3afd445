//! What is said on stderr, and what is written to stdout. None of it ever ends the program, as `println!` and
//! `eprintln!` do: it may be about to record a policy, or to take one back.

use std::fmt::Display;
use std::io::{self, Write};

/// Says a line. Where nobody can hear it (the terminal is gone), there is nobody to tell.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(io::stderr(), "dockfw: {line}");
}

/// Says a text that needs no name before it: diagnostics that have a form of their own.
pub(crate) fn show(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Writes to stdout, in a line of its own, what a verb has changed. That nobody reads it does not undo the change, and is
/// no failure of the verb.
pub(crate) fn tell(line: impl Display) {
    if let Err(error) = writeln!(io::stdout(), "{line}") {
        log::info!("can't write to stdout: {error}");
    }
}

/// Writes to stdout what a verb was asked for and changes nothing to find out, with a newline behind it. Whoever reads
/// may have heard enough; all else is an error.
pub(crate) fn answer(text: impl Display) -> io::Result<()> {
    write(&format!("{text}\n"))
}

/// The same, just as it is.
pub(crate) fn write(text: &str) -> io::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
