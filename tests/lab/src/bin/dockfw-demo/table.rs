//! The table, as text.

use std::env;
use std::io::{self, IsTerminal};

use crate::fixture::{Question, Seen, Who};

/// How text is set off from the rest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    is_coloured: bool,
}

const BOLD: &str = "1";
const RED: &str = "1;31";
const GREEN: &str = "32";
/// Open and closed are no judgement, and so neither red nor green.
const YELLOW: &str = "33";
const CYAN: &str = "36";

/// The longest cell is `accepted`.
const CELL: usize = 8;
/// The longest port is `11211/tcp`.
const PORT: usize = 9;
/// The longest words of a row.
const WORDS: usize = 47;

impl Style {
    /// Colour on a terminal, unless the user wants none (no-color.org).
    pub(crate) fn of_stdout() -> Self {
        let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { is_coloured: io::stdout().is_terminal() && !unwanted }
    }

    fn paint(self, colour: &str, text: &str) -> String {
        if self.is_coloured { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// All rows under their headings.
pub(crate) fn render(
    questions: &[Question],
    before: &[[Seen; 2]],
    after: &[[Seen; 2]],
    style: Style,
) -> String {
    let mut text = format!("\n{}\n{}\n", legend(), style.paint(BOLD, heads().trim_end()));
    let mut asker = None;
    for (question, (before, after)) in questions.iter().zip(before.iter().zip(after)) {
        if asker.replace(question.who) != Some(question.who) {
            text += &format!("{}\n", style.paint(BOLD, heading(question.who)));
        }
        text += &row(question, before, after, style);
    }
    text
}

fn legend() -> &'static str {
    "Each cell is a connection that was tried. reached: the service answered. closed: nothing came back.\n"
}

fn heads() -> String {
    let cells = cells(["IPv4", "IPv6"].map(|family| format!("{family:<CELL$}")));
    let before = format!("{:<width$}", "BEFORE", width = cells.len());
    let indent = " ".repeat(PORT + WORDS + 4);
    format!("{indent}  {before}  AFTER dockfw apply\n{indent}  {cells}  {cells}  EXPECTED")
}

fn heading(who: Who) -> &'static str {
    match who {
        Who::Outsider => "An outsider (192.0.2.20, 2001:db8:1::20), to",
        Who::Trusted => "A trusted client (192.0.2.10, 2001:db8:1::10), to",
        Who::Container => "A container, to",
    }
}

fn row(question: &Question, before: &[Seen; 2], after: &[Seen; 2], style: Style) -> String {
    let Question { port, words, expected, .. } = question;
    let verdict = verdict(question.is_right(after), style);
    let [before, after] = [before, after].map(|pair| cells(pair.each_ref().map(|seen| cell(seen, style))));
    let expected = cell(expected, style);
    format!("  {:<PORT$}  {words:<WORDS$}  {before}  {after}  {expected}  {verdict}\n", port.to_string())
}

/// `right` or `WRONG`.
pub(crate) fn verdict(is_right: bool, style: Style) -> String {
    if is_right { style.paint(GREEN, "right") } else { style.paint(RED, "WRONG") }
}

fn cells(pair: [String; 2]) -> String {
    pair.join(" ")
}

fn cell(seen: &Seen, style: Style) -> String {
    let (colour, word) = match seen {
        Seen::Reached => (YELLOW, "reached"),
        Seen::Closed => (CYAN, "closed"),
        Seen::Odd(word) => (RED, word.as_str()),
    };
    style.paint(colour, &format!("{word:<CELL$}"))
}
