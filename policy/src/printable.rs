//! Strings that others chose: names of containers and processes, answers of programs.

/// The longest string from others that is shown: names are far shorter.
const LONGEST: usize = 200;

/// Returns a string from others, without characters that a terminal would obey or that change the order of what it
/// shows.
pub fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() && !reorders(*c)).take(LONGEST).collect()
}

/// Marks of writing direction (Unicode Standard Annex 9) and characters without width.
fn reorders(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_seen_is_left() {
        assert_eq!(printable("we\u{1b}[31mb\r\n\u{9b}\u{202e}x\u{7f}"), "we[31mbx");
        assert_eq!(printable("日本"), "日本");
        assert_eq!(printable(&"x".repeat(10_000)).len(), LONGEST);
    }
}
