//! What goes to stderr and to stdout: all of it goes through here. None of it ever ends the program, as
//! `println!` and `eprintln!` do: it may be about to record a policy, or to take one back.
//!
//! Whoever reads stdout may have heard enough, and close the pipe: that is no error. All else is one (the disk is full), by which the
//! program ends when it has done what it was asked for.
#![allow(clippy::disallowed_methods, reason = "the one place that writes to both")]

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use crate::exit::Exit;
use crate::message::Message;

/// The colours that policy diagnostics have too (ECMA-48, SGR).
const RED: &str = "\x1b[1;91m";
const YELLOW: &str = "\x1b[1;33m";
const GREEN: &str = "\x1b[1;92m";
const PLAIN: &str = "\x1b[0m";

/// Why something did not come to stdout, if so.
static LOST: Mutex<Option<io::Error>> = Mutex::new(None);

/// Why the program could not do what it was asked for.
pub(crate) fn error(message: impl Display) {
    headed("error", RED, message);
}

/// What was done, and wants the operator to act all the same.
pub(crate) fn warning(message: impl Display) {
    headed("warning", YELLOW, message);
}

/// What is worth knowing.
pub(crate) fn note(message: impl Display) {
    headed("note", GREEN, message);
}

fn headed(heading: &str, colour: &str, message: impl Display) {
    if stderr_has_colours() {
        say(format_args!("{colour}{heading}{PLAIN}: {message}\n"));
    } else {
        say(format_args!("{heading}: {message}\n"));
    }
}

/// Diagnostics of a policy, which have headings of their own.
pub(crate) fn diagnostics(text: impl AsRef<str>) {
    say(format_args!("{}\n", text.as_ref().trim_end()));
}

/// Something just as it is, such as a line that is to be written over. If nobody can read it (the terminal is gone), there is
/// nobody to tell.
pub(crate) fn say(text: impl Display) {
    let _ = write!(io::stderr(), "{text}");
}

/// Writes a line to stdout.
pub(crate) fn result(line: impl Display) {
    write(format!("{line}\n"));
}

/// Writes something to stdout, just as it is.
pub(crate) fn write(text: impl AsRef<[u8]>) {
    let mut stdout = io::stdout().lock();
    keep_loss(stdout.write_all(text.as_ref()).and_then(|()| stdout.flush()));
}

fn keep_loss(written: io::Result<()>) {
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
        Some(lost) => {
            error(
                Message::new(format!("can't write to stdout: {lost}"))
                    .meaning("dockfw has done what it was asked to do"),
            );
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
    keep_loss(written);
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
