//! The words of a rule, and the line that they form.

/// Returns the words of a line. Quotes hold a word together, and a backslash within them protects the next character.
pub fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' if quoted => word.get_or_insert_default().extend(characters.next()),
            ' ' | '\t' if !quoted => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Returns words as one line, each in quotes if it needs them.
pub fn line(words: &[String]) -> String {
    let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
    words.join(" ")
}

/// Returns a rule as a line of `iptables-save`.
pub fn rule_line(chain: &str, words: &[String]) -> String {
    format!("-A {chain} {}", line(words))
}

fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!-_./:,+@".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.into();
    }
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_quoted_reads_back(text in "[^\"\\\\\n]{1,40}") {
            let line = line(&["-A".into(), text.clone()]);
            prop_assert_eq!(words(&line), ["-A".to_owned(), text]);
        }
    }
}
