//! Lists and comments of a policy file.

use std::fmt::Display;

use dockfw_policy::printable;

/// The longest comment behind an entry: longer names say no more.
const LONGEST: usize = 80;

/// An entry of a list, with the words behind it.
pub(super) struct Entry {
    value: String,
    remark: String,
    is_on: bool,
}

impl Entry {
    /// Returns an entry that holds. Its value is not a name that others chose.
    pub(super) fn on(value: impl Display, remark: impl Into<String>) -> Self {
        Self { value: value.to_string(), remark: remark.into(), is_on: true }
    }

    /// Returns an entry that is commented out.
    pub(super) fn off(value: impl Display, remark: impl Into<String>) -> Self {
        Self { is_on: false, ..Self::on(value, remark) }
    }

    fn code(&self) -> String {
        format!("{}\"{}\",", if self.is_on { "" } else { "# " }, self.value)
    }
}

/// Returns a list, an entry a line, with the comments below one another.
pub(super) fn list(key: &str, entries: Vec<Entry>) -> String {
    let width = entries.iter().map(|entry| entry.code().chars().count()).max().unwrap_or(0);
    let lines = entries.iter().map(|entry| line(entry, width));
    format!("{key} = [\n{}]\n", lines.collect::<String>())
}

fn line(entry: &Entry, width: usize) -> String {
    let code = entry.code();
    if entry.remark.is_empty() {
        return format!("    {code}\n");
    }
    format!("    {code:<width$}  # {}\n", comment(&entry.remark))
}

/// Returns a string that is safe in a comment: in one line, and of bounded length. TOML ends a comment at a newline, and
/// allows no control characters in it (TOML 1.0, "Comment").
pub(super) fn comment(text: &str) -> String {
    let shown = printable(text);
    if shown.chars().count() <= LONGEST {
        return shown;
    }
    shown.chars().take(LONGEST).chain(['…']).collect()
}
