//! Pictures of text: what a terminal shows, as SVG.

/// The width of a character and the height of a line, in the units of the picture.
const CHARACTER: f32 = 7.225;
const LINE: usize = 17;
const FONT: usize = 12;
const MARGIN: usize = 16;

/// Words that say how it went, with their colours.
const COLOURS: [(&str, &str); 3] = [("reached", "#e3b341"), ("closed", "#56d364"), ("right", "#8b949e")];

/// Draws lines of text.
pub(crate) fn svg(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let columns = lines.iter().map(|line| line.chars().count()).max().unwrap_or_default();
    #[allow(clippy::cast_precision_loss, reason = "a line is short")]
    let width = (columns as f32 * CHARACTER).ceil() + 2.0 * MARGIN as f32;
    let height = lines.len() * LINE + 2 * MARGIN;
    let drawn: String = lines.iter().enumerate().map(|(number, line)| text_line(number, line)).collect();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#161b22\"/>\n\
         <g font-family=\"ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace\" \
         font-size=\"{FONT}\" fill=\"#c9d1d9\">\n{drawn}</g>\n</svg>\n"
    )
}

/// The length is given, so that columns stay in place whatever font the reader has.
fn text_line(number: usize, line: &str) -> String {
    if line.trim().is_empty() {
        return String::new();
    }
    let y = MARGIN + (number + 1) * LINE - 4;
    #[allow(clippy::cast_precision_loss, reason = "a line is short")]
    let length = line.chars().count() as f32 * CHARACTER;
    let weight = if line.starts_with("$ ") { " font-weight=\"bold\" fill=\"#f0f6fc\"" } else { "" };
    format!(
        "<text x=\"{MARGIN}\" y=\"{y}\" textLength=\"{length:.1}\" xml:space=\"preserve\"{weight}>{}</text>\n",
        coloured(&escaped(line))
    )
}

fn escaped(line: &str) -> String {
    line.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Colours words between spaces, as columns of a table have them.
fn coloured(line: &str) -> String {
    let mut words =
        line.split(' ').map(|word| match COLOURS.iter().find(|(coloured, _)| *coloured == word) {
            Some((_, colour)) => format!("<tspan fill=\"{colour}\">{word}</tspan>"),
            None => word.to_owned(),
        });
    let first = words.next().unwrap_or_default();
    words.fold(first, |line, word| line + " " + &word)
}
