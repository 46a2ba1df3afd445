use std::path::Path;

use super::*;

fn rendered(text: &str, spot: std::ops::Range<usize>) -> String {
    let mut sources = Sources::default();
    let file = sources.add(Path::new("dockfw.toml"), text.into());
    let span = Span { file, start: spot.start, end: spot.end };
    let mut diagnostics = Diagnostics::default();
    diagnostics.push(Diagnostic::new("message").at(span).label("label").help("help").note("note", span));
    Report::errors(sources, diagnostics).render(false)
}

#[test]
fn a_diagnostic_shows_its_place_its_line_and_the_help() {
    let expected = "\
error: message
 --> dockfw.toml:2:5
  |
2 | b = 2
  |     ^ label
  |
  = help: help
note: note
 --> dockfw.toml:2:5
  |
2 | b = 2
  |     ^

";
    assert_eq!(rendered("a = 1\nb = 2\n", 10..11), expected);
}

#[test]
fn of_a_giant_line_only_the_surroundings_are_shown() {
    let line = format!("{}SPOT{}", "<".repeat(30_000), ">".repeat(30_000));
    let text = rendered(&line, 30_000..30_004);
    assert!(text.contains("dockfw.toml:1:30001"), "{text}");
    assert!(text.contains("<<SPOT>>") && text.len() < 1000, "{text}");
}

#[test]
fn a_giant_spot_is_cut() {
    let text = rendered(&"x".repeat(1_000_000), 0..1_000_000);
    assert!(text.lines().all(|line| line.len() < 140), "{text}");
}

#[test]
fn nothing_that_steers_a_terminal_is_shown() {
    let text = rendered("a = \"\u{1b}[31m\u{7}\u{202e}\u{9b}\"\r", 4..10);
    assert!(text.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}'), "{text:?}");
    assert_eq!(quoted("\u{1b}]0;x\n"), "`\u{fffd}]0;x\u{fffd}`");
}

#[test]
fn colour_only_adds_to_the_text() {
    let mut diagnostics = Diagnostics::default();
    diagnostics.push(Diagnostic::new("message"));
    let report = Report::errors(Sources::default(), diagnostics);
    assert_eq!(report.render(false), "error: message\n\n");
    assert!(report.render(true).contains('\u{1b}'));
}
