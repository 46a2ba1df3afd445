//! The right form of a line of a policy that is not TOML, as far as it is clear what was meant.

use super::keys::{self, BOOLEAN, NUMBER, TEXT};

/// The longest line that is worth proposing: a longer one is not copied from a message.
const MAX_LENGTH: usize = 200;

/// Quotes as people and their word processors write them.
const QUOTES: [char; 8] = ['"', '\'', '`', '\u{b4}', '\u{2018}', '\u{2019}', '\u{201c}', '\u{201d}'];

/// Returns the right form of a line with one or more keys, each on a line of its own.
pub(super) fn statement(code: &str) -> Option<String> {
    let code = code.split(" //").next().unwrap_or(code);
    let lines: Option<Vec<String>> = assignments(code).into_iter().map(assignment).collect();
    short(lines?.join("\n"))
}

/// Returns the right form of a table's header.
pub(super) fn header(code: &str) -> Option<String> {
    let name = code.trim_matches(|c: char| "[](){}:".contains(c) || c.is_whitespace());
    keys::top(name)?.header()
}

/// Returns the right form of a line with entries of a list.
pub(super) fn entries(code: &str) -> Option<String> {
    let items = items(code).filter(|items| !items.is_empty())?;
    let end = if code.ends_with(']') { "]" } else { "," };
    short(format!("{}{end}", items.join(", ")))
}

/// Returns a comment in the right form.
pub(super) fn comment(code: &str) -> Option<String> {
    let text =
        code.strip_prefix("//").or_else(|| code.strip_prefix(';')).or_else(|| code.strip_prefix("--"))?;
    short(format!("# {}", text.trim()))
}

fn short(text: String) -> Option<String> {
    (text.len() <= MAX_LENGTH && !text.is_empty()).then_some(text)
}

/// Returns the parts of a line that each begin with a key.
fn assignments(code: &str) -> Vec<&str> {
    let signs = code.match_indices('=').map(|(sign, _)| sign).filter(|sign| !is_quoted(code, *sign));
    let starts = signs.map(|sign| {
        let before = code.get(..sign).unwrap_or("").trim_end_matches(|c: char| c.is_whitespace() || c == '=');
        before.trim_end_matches(is_of_key).len()
    });
    let mut starts: Vec<usize> = starts.skip(1).filter(|start| *start > 0).collect();
    starts.dedup();
    starts.insert(0, 0);
    let ends = starts.iter().skip(1).copied().chain([code.len()]);
    starts.iter().zip(ends).filter_map(|(start, end)| code.get(*start..end)).collect()
}

fn is_quoted(code: &str, position: usize) -> bool {
    let before = code.get(..position).unwrap_or("");
    before.matches('"').count() % 2 == 1 && code.get(position..).is_some_and(|rest| rest.contains('"'))
}

fn is_of_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// Returns one key and its value.
fn assignment(code: &str) -> Option<String> {
    let end = code.find(|c: char| !is_of_key(c)).unwrap_or(code.len());
    let (name, rest) = code.split_at_checked(end)?;
    let rest = rest.trim_start();
    let value = rest.trim_start_matches([':', '+']).trim_start_matches('=');
    let starts_value = |text: &str| text.starts_with(|c: char| c == '[' || QUOTES.contains(&c));
    if !name.is_empty() && (value.len() < rest.len() || starts_value(rest)) {
        return Some(format!("{name} = {}", right_value(name, value.trim())?));
    }
    let (name, value) = code.split_once('=')?;
    let name = name.trim().trim_matches(QUOTES);
    let is_clear = !name.is_empty() && !name.contains(|c: char| c == '\\' || QUOTES.contains(&c));
    is_clear.then(|| Some(format!("\"{name}\" = {}", list(value.trim())?)))?
}

/// Returns the right form of a key's value. A key that no table has is taken for a group's name.
pub(super) fn right_value(name: &str, value: &str) -> Option<String> {
    let key = keys::any(name);
    if value.is_empty() {
        return key.map_or(Some("[]".into()), |key| Some(key.example.split_once("= ")?.1.into()));
    }
    match key.map(|key| key.wanted) {
        Some(TEXT) => text(value),
        Some(BOOLEAN) => boolean(value).map(str::to_owned),
        Some(NUMBER) => number(value),
        _ => list(value),
    }
}

fn text(value: &str) -> Option<String> {
    let is_around = |c: char| QUOTES.contains(&c) || "[],;".contains(c) || c.is_whitespace();
    let inner = value.trim_matches(is_around);
    let is_clear = !inner.is_empty() && !inner.contains(|c: char| c == '\\' || QUOTES.contains(&c));
    is_clear.then(|| format!("\"{inner}\""))
}

fn boolean(value: &str) -> Option<&'static str> {
    match value.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some("true"),
        "false" | "no" | "off" | "0" => Some("false"),
        _ => None,
    }
}

fn number(value: &str) -> Option<String> {
    let digits = value.trim_matches(|c: char| !c.is_ascii_digit()).trim_start_matches('0');
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.to_owned())
}

fn list(value: &str) -> Option<String> {
    Some(format!("[{}]", items(value)?.join(", ")))
}

/// Returns the entries of a list, each in quotes; nothing if a character is in none and between none.
fn items(value: &str) -> Option<Vec<String>> {
    let value = value.replace(" - ", "-");
    let mut items = Vec::new();
    let mut rest = value.as_str();
    while let Some(first) = rest.chars().next() {
        let bare = rest.find(|c: char| !is_of_entry(c)).unwrap_or(rest.len());
        let length = if let Some(whole) = whole_string(rest) {
            items.push(format!("\"{whole}\""));
            whole.len() + 2
        } else if bare > 0 {
            items.push(format!("\"{}\"", rest.get(..bare)?));
            bare
        } else if first.is_whitespace() || ",;[](){}".contains(first) || QUOTES.contains(&first) {
            first.len_utf8()
        } else {
            return None;
        };
        rest = rest.get(length..)?;
    }
    Some(items)
}

fn is_of_entry(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._:/-*@".contains(c)
}

/// Returns the string that a text begins with, if its quotes are in pairs.
fn whole_string(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (inner, after) = text.get(1..)?.split_once(quote)?;
    let is_entry = !inner.is_empty() && !inner.contains(|c: char| ",[]\\".contains(c) || QUOTES.contains(&c));
    let ends = after.chars().next().is_none_or(|c| c.is_whitespace() || ",;])}".contains(c) || c == quote);
    (is_entry && ends && inner.trim() == inner).then_some(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_is_written_in_full() {
        for (typed, right) in [
            ("trusted = [10.0.0.1, 2001:db8::/32]", r#"trusted = ["10.0.0.1", "2001:db8::/32"]"#),
            (r#"trusted = ["10.0.0.1, "10.0.0.2"]"#, r#"trusted = ["10.0.0.1", "10.0.0.2"]"#),
            (r#"trusted = ["10.0.0.1", "10.0.0.2]"#, r#"trusted = ["10.0.0.1", "10.0.0.2"]"#),
            (r#"trusted = ["my office", 10.0.0.1]"#, r#"trusted = ["my office", "10.0.0.1"]"#),
            ("trusted: [\u{201c}10.0.0.1\u{201d}]", r#"trusted = ["10.0.0.1"]"#),
            (r#"trusted = ["10.0.0.1"], blocked = []"#, "trusted = [\"10.0.0.1\"]\nblocked = []"),
            (r#"name = web server" ports = [80/tcp]"#, "name = \"web server\"\nports = [\"80/tcp\"]"),
            ("my group = [10.0.0.1]", r#""my group" = ["10.0.0.1"]"#),
            ("drops = Yes", "drops = true"),
            ("data_path_port = 04789", "data_path_port = 4789"),
            ("ports =", r#"ports = ["80/tcp", "443/tcp"]"#),
        ] {
            assert_eq!(statement(typed).as_deref(), Some(right), "{typed}");
        }
        assert_eq!(entries(r#""10.0.0.1, 10.0.0.2]"#).as_deref(), Some(r#""10.0.0.1", "10.0.0.2"]"#));
        assert_eq!(
            (header("[allow]]").as_deref(), header("log]").as_deref()),
            (Some("[[allow]]"), Some("[log]"))
        );
        assert_eq!(comment("// the office").as_deref(), Some("# the office"));
    }

    #[test]
    fn what_is_not_clear_is_not_guessed() {
        for typed in ["hello", "trusted = <10.0.0.1>", "name = a\"b\"c", "= ] ["] {
            assert_eq!(statement(typed), None, "{typed}");
        }
        assert_eq!(header("[nonsense"), None);
        assert_eq!(statement(&format!("trusted = [{}]", "10.0.0.1, ".repeat(50))), None);
    }
}
