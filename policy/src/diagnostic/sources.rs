//! The files that were read, for as long as something may have to be reported about them.

use std::path::{Path, PathBuf};

use super::Span;

/// One file of [`Sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(usize);

/// The files read so far: whole policy files, and single lines of those that are too big to keep.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<Source>,
}

#[derive(Clone, Debug)]
struct Source {
    path: PathBuf,
    text: String,
    /// The number of the string's first line in its file.
    first_line: usize,
    /// Where each line starts. Policy files have at most 16 MiB, so that 32 bits are plenty.
    starts: Vec<u32>,
}

/// A place in a file, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The file, as it was named when it was read.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

/// A line of a file, and the part of it that a span is about, in bytes of the line.
pub(super) struct Line<'a> {
    pub(super) text: &'a str,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Sources {
    /// Adds a whole file.
    pub fn add(&mut self, path: &Path, text: String) -> FileId {
        self.push(Source { path: path.into(), starts: line_starts(&text), text, first_line: 1 })
    }

    /// Adds one line of a file.
    pub(crate) fn add_line(&mut self, path: &Path, number: usize, text: String) -> FileId {
        self.push(Source { path: path.into(), starts: vec![0], text, first_line: number })
    }

    fn push(&mut self, source: Source) -> FileId {
        self.files.push(source);
        FileId(self.files.len() - 1)
    }

    fn get(&self, file: FileId) -> Option<&Source> {
        self.files.get(file.0)
    }

    /// Returns the contents of a file; empty if the file is none of these.
    pub fn text(&self, file: FileId) -> &str {
        self.get(file).map_or("", |source| &source.text)
    }

    /// Returns the directory that a file lies in.
    pub fn directory(&self, file: FileId) -> &Path {
        self.get(file).and_then(|source| source.path.parent()).unwrap_or(Path::new(""))
    }

    /// Returns where a span starts.
    pub fn locate(&self, span: Span) -> Location {
        let Some(source) = self.get(span.file) else {
            return Location { file: String::new(), line: 1, column: 1 };
        };
        let (index, start) = source.line_at(span.start);
        let before = source.text.get(start..span.start).unwrap_or("");
        Location {
            file: source.path.display().to_string(),
            line: source.first_line + index,
            column: before.chars().count() + 1,
        }
    }

    /// Returns the line that a span starts in.
    pub(super) fn line(&self, span: Span) -> Line<'_> {
        let Some(source) = self.get(span.file) else { return Line { text: "", start: 0, end: 0 } };
        let (_, start) = source.line_at(span.start);
        let rest = source.text.get(start..).unwrap_or("");
        let text = rest.split('\n').next().unwrap_or("");
        let text = text.strip_suffix('\r').unwrap_or(text);
        let within = |position: usize| position.saturating_sub(start).min(text.len());
        Line { text, start: within(span.start), end: within(span.end.max(span.start)) }
    }
}

impl Source {
    /// Returns the index and the start of the line that contains a byte.
    fn line_at(&self, position: usize) -> (usize, usize) {
        let after = self.starts.partition_point(|start| *start as usize <= position);
        let index = after.saturating_sub(1);
        (index, self.starts.get(index).map_or(0, |start| *start as usize))
    }
}

fn line_starts(text: &str) -> Vec<u32> {
    let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
    std::iter::once(0).chain(ends.map(|(position, _)| position as u32 + 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one_and_in_characters() {
        let mut sources = Sources::default();
        let file = sources.add(Path::new("a/b.toml"), "one\nz\u{fc}ri = 5\r\n".into());
        let at = |start: usize| {
            let location = sources.locate(Span { file, start, end: start });
            (location.line, location.column)
        };
        assert_eq!((at(0), at(3), at(4), at(10), at(15)), ((1, 1), (1, 4), (2, 1), (2, 6), (3, 1)));
        assert_eq!(at(99), (3, 1));
        assert_eq!(sources.directory(file), Path::new("a"));
        let line = sources.line(Span { file, start: 12, end: 99 });
        assert_eq!((line.text, line.start, line.end), ("z\u{fc}ri = 5", 8, 9));
    }

    #[test]
    fn a_single_line_knows_its_number() {
        let mut sources = Sources::default();
        let file = sources.add_line(Path::new("vpn.txt"), 7, "10.0.0.1/8".into());
        let location = sources.locate(Span { file, start: 3, end: 4 });
        assert_eq!(location, Location { file: "vpn.txt".into(), line: 7, column: 4 });
    }
}
