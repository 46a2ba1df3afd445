//! dockfw.toml(5), from the same source as docs/policy.md.

use clap_mangen::roff::{Inline, Roff, bold, roman};
use dockfw_policy::reference::{self, Block, Key, SECTIONS, Section};

/// Returns the page, in roff.
pub(super) fn page() -> Vec<u8> {
    let mut roff = Roff::new();
    roff.control("TH", ["dockfw.toml", "5", "", super::SOURCE, "File Formats"]);
    roff.control("SH", ["NAME"]).text([roman("dockfw.toml - the policy of dockfw")]);
    for section in &SECTIONS {
        roff.control("SH", [heading(section).as_str()]);
        section.blocks.iter().for_each(|block| write_block(&mut roff, *block));
        section.keys().for_each(|key| write_key(&mut roff, key));
    }
    roff.control("SH", ["SEE ALSO"]).text([
        bold("dockfw"),
        roman("(8), "),
        bold("dockfw-check"),
        roman("(8)"),
    ]);
    roff.to_roff().into_bytes()
}

/// Returns a heading in capitals, as in the manual (man-pages(7)), except what is typed.
fn heading(section: &Section) -> String {
    let Some(heading) = section.heading else { return "DESCRIPTION".into() };
    let parts = heading.split('`').enumerate();
    parts.map(|(index, part)| if index % 2 == 0 { part.to_uppercase() } else { part.to_owned() }).collect()
}

fn write_block(roff: &mut Roff, block: Block) {
    match block {
        Block::Text(paragraph) => {
            roff.control("PP", []).text(inlines(paragraph));
        }
        Block::Example(lines) => {
            roff.control("PP", []).control("nf", []);
            for line in lines.lines() {
                roff.text([roman(line)]);
            }
            roff.control("fi", []);
        }
        Block::Table(rows) => write_table(roff, rows),
    }
}

/// Writes each row by itself, under its first cell: terminals are narrow.
fn write_table(roff: &mut Roff, rows: &[&[&str]]) {
    let Some(([corner, columns @ ..], rows)) = rows.split_first() else { return };
    for (head, cells) in rows.iter().filter_map(|row| row.split_first()) {
        roff.control("TP", []).text([bold(format!("{corner} {head}"))]);
        let cells = columns.iter().zip(cells).map(|(column, cell)| format!("{column}: {cell}"));
        roff.text(inlines(&(cells.collect::<Vec<_>>().join("; ") + ".")));
    }
}

fn write_key(roff: &mut Roff, key: &Key) {
    let mut head = vec![bold(reference::label(key))];
    head.extend(key.default.map(|default| roman(format!(" (default: {default})"))));
    roff.control("TP", []).text(head).text(inlines(key.meaning));
}

/// Returns a string with `code` in it, which becomes bold.
fn inlines(markdown: &str) -> Vec<Inline> {
    let parts = markdown.split('`').enumerate();
    parts
        .map(|(index, part)| {
            let part = part.replace('\n', " ");
            if index % 2 == 0 { roman(part) } else { bold(part) }
        })
        .collect()
}
