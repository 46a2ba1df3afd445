//! Differences as a diff: what apply would add behind a `+`, what it would remove behind a `-`, and what it would
//! replace behind a `~`.

use dockfw_policy::difference::{Difference, DifferenceKind, Elements};

use crate::output;

/// Returns differences in nftables' or iptables' words if the operator asks for more, and otherwise how many there are.
pub(super) fn shown(differences: &[Difference], verbose: u8) -> String {
    match (verbose, differences.len()) {
        (0, 1) => "1 rule or set differs; to see it: dockfw diff -v".into(),
        (0, count) => format!("{count} rules and sets differ; to see them: dockfw diff -v"),
        _ => text(differences),
    }
}

/// Returns differences as they are written to stdout: in colour if that is a terminal.
pub(super) fn text(differences: &[Difference]) -> String {
    let colour = output::stdout_has_colours();
    let lines = differences.iter().flat_map(lines);
    let shown = lines.map(|line| if colour { coloured(&line) } else { line });
    shown.collect::<Vec<_>>().join("\n")
}

/// Returns a difference as lines, the details indented below it.
fn lines(difference: &Difference) -> Vec<String> {
    let sign = match difference.kind {
        DifferenceKind::Missing => '+',
        DifferenceKind::Foreign | DifferenceKind::Leftover => '-',
        DifferenceKind::Changed => '~',
    };
    let left_over = if difference.kind == DifferenceKind::Leftover { " (left over)" } else { "" };
    let head = format!("{sign} {}{}{left_over}", difference.what(), difference.sum());
    let elements = difference.elements.as_ref();
    let names = |side: Option<&Elements>| side.map(|side| side.names.clone()).unwrap_or_default();
    let removed = names(elements.and_then(|elements| elements.removed.as_ref()));
    let added = names(elements.and_then(|elements| elements.added.as_ref()));
    let behind = |sign: &'static str| move |text: &String| format!("    {sign} {text}");
    let gone = difference.live.iter().chain(&removed).map(behind("-"));
    let new = difference.wanted.iter().chain(&added).map(behind("+"));
    [head].into_iter().chain(gone).chain(new).collect()
}

/// Returns a line in the colours that `diff` and `git` use for it (ECMA-48, SGR 31, 32 and 33).
fn coloured(line: &str) -> String {
    let colour = match line.trim_start().chars().next() {
        Some('+') => 32,
        Some('-') => 31,
        _ => 33,
    };
    format!("\u{1b}[{colour}m{line}\u{1b}[0m")
}

#[cfg(test)]
mod tests {
    use dockfw_policy::difference::Part;
    use dockfw_policy::difference::compare::elements;

    use super::*;

    #[test]
    fn elements_stand_below_their_set() {
        let part = Part::Set { set: Some("trusted".into()), name: "x".into(), holds: Some("IPv4 addresses") };
        let mut set = Difference::new(DifferenceKind::Changed, part);
        set.elements = Some(elements([1, 2], [2, 3], |number| format!("192.0.2.{number}")));
        let expected = ["~ set trusted (IPv4 addresses): +1 -1 of 2", "    - 192.0.2.1", "    + 192.0.2.3"];
        assert_eq!(lines(&set), expected);
        assert_eq!(coloured(expected[1]), "\u{1b}[31m    - 192.0.2.1\u{1b}[0m");
    }

    #[test]
    fn what_has_no_effect_says_so() {
        let part = Part::Set { set: None, name: "dockfw4-a-0123456789".into(), holds: None };
        let set = Difference::new(DifferenceKind::Leftover, part);
        assert_eq!(lines(&set), ["- set dockfw4-a-0123456789 (left over)"]);
    }
}
