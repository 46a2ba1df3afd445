//! What is said on stderr, and what is written to stdout: all of it goes through here. None of it ever ends the program, as
//! `println!` and `eprintln!` do: it may be about to record a policy, or to take one back.
//!
//! Whoever reads stdout may have heard enough, and close the pipe: that is no error. All else is one (the disk is full), by which the
//! program ends when it has done what it was asked for.
#![allow(clippy::disallowed_methods, reason = "the one place that writes to both")]

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use crate::exit::Exit;

/// Why something did not come to stdout, if so.
static LOST: Mutex<Option<io::Error>> = Mutex::new(None);

/// Says a line. Where nobody can hear it (the terminal is gone), there is nobody to tell.
pub(crate) fn say(line: impl Display) {
    say_as_it_is(format_args!("dockfw: {line}\n"));
}

/// Says a text that needs no name before it: diagnostics that have a form of their own.
pub(crate) fn show(text: impl Display) {
    say_as_it_is(format_args!("{text}\n"));
}

/// Says something just as it is, such as a line that is to be written over.
pub(crate) fn say_as_it_is(text: impl Display) {
    let _ = write!(io::stderr(), "{text}");
}

/// Writes a line to stdout.
pub(crate) fn tell(line: impl Display) {
    write(format!("{line}\n"));
}

/// Writes something to stdout, just as it is.
pub(crate) fn write(text: impl AsRef<[u8]>) {
    let mut stdout = io::stdout().lock();
    note(stdout.write_all(text.as_ref()).and_then(|()| stdout.flush()));
}

fn note(written: io::Result<()>) {
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        LOST.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// Ends talking. Returns how the program ends that would end so if all was heard.
pub(crate) fn end(exit: Exit) -> Exit {
    match LOST.lock().unwrap_or_else(PoisonError::into_inner).take() {
        None => exit,
        Some(error) => {
            say(format_args!("can't write to stdout: {error}; what dockfw was to do is done"));
            Exit::Failed
        }
    }
}

/// Says what clap has to say: what was asked for (`--help`), or what is wrong with the command line.
pub(crate) fn usage(error: &clap::Error) -> Exit {
    let written = error.print();
    if error.use_stderr() {
        return Exit::Usage;
    }
    note(written);
    end(Exit::Done)
}

/// Where what is said goes, to be watched: it tells whether anybody still reads.
pub(crate) fn stderr() -> io::Stderr {
    io::stderr()
}

/// Whether stdout is a terminal.
pub(crate) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether stderr is a terminal.
pub(crate) fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Whether what is written to stdout may have colours (<https://no-color.org>).
pub(crate) fn stdout_has_colours() -> bool {
    stdout_is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Whether what is said may have colours.
pub(crate) fn stderr_has_colours() -> bool {
    stderr_is_terminal() && std::env::var_os("NO_COLOR").is_none()
}
