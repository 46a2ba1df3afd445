//! Syntax errors: the line that is likely to be wrong, which often comes before the place at which the parser stops.

use std::ops::Range;

use toml::de::{DeTable, Error};

use super::{keys, repair};
use crate::diagnostic::{Diagnostic, FileId, Span};

/// What to do if the line's right form is not clear.
const ADVICE: &str =
    "write each value in quotes, and lists in brackets: [\"203.0.113.7\", \"198.51.100.0/24\"]";

const UNREADABLE: &str = "the line can't be read";

/// A line without its indentation and comment.
#[derive(Clone, Copy)]
struct Line<'t> {
    start: usize,
    code: &'t str,
}

impl Line<'_> {
    fn range(&self) -> Range<usize> {
        self.start..self.start + self.code.len()
    }
}

/// A line that is likely to be wrong.
struct Fault {
    range: Range<usize>,
    cause: &'static str,
    /// What would be right.
    right: Option<String>,
}

/// Returns the diagnostic about the first syntax error of a file.
pub(super) fn diagnose(file: FileId, text: &str, error: &Error) -> Diagnostic {
    let at = |range: Range<usize>| Span { file, start: range.start, end: range.end };
    if let Some(single) = single_brackets(text) {
        return single_allow(at(single.range()), &others(text, single));
    }
    let found = error.span().unwrap_or(0..0);
    match first_fault(text).filter(|fault| is_likely(text, fault, found.start)) {
        Some(Fault { range, cause, right }) => {
            let is_header = text.get(range.clone()).is_some_and(|code| code.starts_with('['));
            let advice = if is_header {
                format!("write a table's name between the brackets, as in [interfaces]\n{}", tables())
            } else {
                ADVICE.into()
            };
            let help = right.map_or(advice, |right| right_form(&right));
            Diagnostic::new(format!("not TOML: {cause}")).at(at(range)).help(help)
        }
        None => as_parsed(error.message(), at(found)),
    }
}

fn tables() -> String {
    format!("the tables of a policy: {}", keys::headers())
}

fn right_form(right: &str) -> String {
    if right.contains('\n') { format!("write:\n{right}") } else { format!("write {right}") }
}

/// Returns the diagnostic for `[allow]`, which is to be written as `[[allow]]` there and in other lines.
pub(super) fn single_allow(span: Span, others: &[usize]) -> Diagnostic {
    let lines: Vec<String> = others.iter().take(10).map(ToString::to_string).collect();
    let help = match lines.as_slice() {
        [] => "write [[allow]]".into(),
        [one] => format!("write [[allow]] here and in line {one}"),
        [first @ .., last] => format!("write [[allow]] here and in lines {} and {last}", first.join(", ")),
    };
    Diagnostic::new("a rule begins with double brackets").at(span).help(help)
}

/// Returns the first `[allow]`. There may be only one such table, and people write one for each rule.
fn single_brackets(text: &str) -> Option<Line<'_>> {
    lines(text).find(is_single)
}

fn is_single(line: &Line<'_>) -> bool {
    line.code == "[allow]"
}

/// Returns the numbers of the lines with further ones.
fn others(text: &str, first: Line<'_>) -> Vec<usize> {
    let further = lines(text).filter(|line| is_single(line) && line.start > first.start);
    further.map(|line| text.get(..line.start).unwrap_or("").matches('\n').count() + 1).collect()
}

/// Returns whether a fault explains the error that the parser found: it is not behind that, and its right form leads the
/// parser further.
fn is_likely(text: &str, fault: &Fault, found: usize) -> bool {
    let Some(right) = &fault.right else { return fault.range.start <= found };
    let mut repaired = text.to_owned();
    repaired.replace_range(fault.range.clone(), right);
    match DeTable::parse(&repaired) {
        Ok(_) => true,
        Err(error) => error.span().is_some_and(|span| span.start >= fault.range.start + right.len()),
    }
}

/// Returns the parser's own words.
fn as_parsed(message: &str, span: Span) -> Diagnostic {
    let (message, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    let help = match (message, expected) {
        ("duplicate key", _) => "remove this one, and move what it holds to the first".into(),
        (_, "" | "nothing") | ("string values must be quoted", _) => ADVICE.into(),
        (_, expected) => format!("here should be {expected}"),
    };
    Diagnostic::new(format!("not TOML: {message}")).at(span).help(help)
}

/// Returns the first line that is wrong by itself, or after which a list is not closed. Strings of several lines are
/// not understood: no key wants any.
fn first_fault(text: &str) -> Option<Fault> {
    if text.contains("\"\"\"") || text.contains("'''") {
        return None;
    }
    let mut list: Option<List<'_>> = None;
    for line in lines(text).filter(|line| !line.code.is_empty()) {
        match &mut list {
            None if is_toml(line.code) => {}
            None if opens_list(line.code) => list = Some(List { first: line, last: line }),
            None => return Some(of_statement(line)),
            Some(open) if is_statement(line.code) => return Some(open.unclosed()),
            Some(open) => match open.add(line) {
                Ok(true) => list = None,
                Ok(false) => {}
                Err(fault) => return Some(fault),
            },
        }
    }
    list.map(|list| list.unclosed())
}

/// A list that is not closed yet.
struct List<'t> {
    first: Line<'t>,
    /// The last line with something in it.
    last: Line<'t>,
}

impl<'t> List<'t> {
    /// Adds a line. Returns whether the list ends there.
    fn add(&mut self, line: Line<'t>) -> Result<bool, Fault> {
        if !line.code.starts_with(']') && !self.last.code.ends_with([',', '[']) {
            let right = format!("{},", self.last.code);
            return Err(Fault { range: self.last.range(), cause: "a comma is missing", right: Some(right) });
        }
        self.last = line;
        match (is_toml(&format!("x = [{}", line.code)), is_toml(&format!("x = [{}]", line.code))) {
            (true, _) => Ok(true),
            (false, true) => Ok(false),
            (false, false) => {
                Err(Fault { range: line.range(), cause: cause(line.code), right: repair::entries(line.code) })
            }
        }
    }

    fn unclosed(&self) -> Fault {
        let is_one_line = self.first.start == self.last.start;
        let code = self.last.code;
        let right =
            if is_one_line { format!("{}]", code.trim_end_matches(',')) } else { format!("{code}\n]") };
        Fault { range: self.last.range(), cause: "`]` is missing", right: Some(right) }
    }
}

fn of_statement(line: Line<'_>) -> Fault {
    let Line { code, .. } = line;
    let (cause, right) = if let Some(comment) = repair::comment(code) {
        ("a comment begins with #", Some(comment))
    } else if let Some(header) = repair::header(code) {
        ("a bracket of a table is missing", Some(header))
    } else {
        let right = repair::statement(code);
        let has_quotes = right.as_ref().is_none_or(|right| right.contains('"'));
        (if has_quotes { cause(code) } else { UNREADABLE }, right)
    };
    Fault { range: line.range(), cause, right }
}

/// Returns what is likely to be wrong in a line of keys or entries.
fn cause(code: &str) -> &'static str {
    let count = |c: char| code.matches(c).count();
    if code.contains(|c| matches!(c, '`' | '\u{b4}' | '\u{2018}'..='\u{201d}')) {
        "quotes must be straight ones"
    } else if count('"') % 2 == 1 || count('\'') % 2 == 1 {
        "a quote is missing"
    } else if count('[') > count(']') {
        "`]` is missing"
    } else if count('[') < count(']') {
        "`[` is missing"
    } else if code.starts_with('[') {
        "no table has this name"
    } else if count('=') == 0 {
        "`=` is missing"
    } else if code.ends_with('=') {
        "a value is missing"
    } else if count('"') + count('\'') == 0 {
        "a value in need of quotes has none"
    } else {
        UNREADABLE
    }
}

fn is_toml(text: &str) -> bool {
    DeTable::parse(text).is_ok()
}

/// Returns whether a line begins a list that goes on in the next one.
fn opens_list(code: &str) -> bool {
    !code.starts_with('[') && is_toml(&format!("{code}]"))
}

/// Returns whether a line can't belong to a list.
fn is_statement(code: &str) -> bool {
    let is_header = code.starts_with('[') && keys::top(code.trim_matches(['[', ']'])).is_some();
    let key = code.split_once('=').map_or("", |(key, _)| key.trim());
    is_header
        || !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let mut next = 0;
    text.split('\n').map(move |line| {
        let code = without_comment(line).trim_end();
        let start = next + (code.len() - code.trim_start().len());
        next += line.len() + 1;
        Line { start, code: code.trim_start() }
    })
}

/// Returns a line without its comment: from a `#` on that is not in quotes. In quotes that are not closed, a space comes
/// before it.
fn without_comment(line: &str) -> &str {
    let mut quote: Option<(usize, char)> = None;
    for (position, c) in line.char_indices() {
        match quote {
            None if c == '#' => return line.get(..position).unwrap_or(line),
            None if matches!(c, '"' | '\'') => quote = Some((position, c)),
            Some((_, open)) if c == open => quote = None,
            _ => {}
        }
    }
    let comment = quote.and_then(|(start, _)| Some(start + line.get(start..)?.find(" #")?));
    comment.and_then(|end| line.get(..end)).unwrap_or(line)
}
