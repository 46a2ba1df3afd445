//! The manual: a page for the program and one for each subcommand, from the same source as the help texts, and one for
//! the policy file.

mod examples;
mod policy;

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::cli::{Cli, EXIT_CODES};

/// The section of programs for administrators (man-pages(7)).
const SECTION: &str = "8";
/// The footer of each page.
const SOURCE: &str = concat!("dockfw ", env!("CARGO_PKG_VERSION"));
/// The header of each page.
const MANUAL: &str = "System Administration";

/// A page.
pub(crate) struct Page {
    /// Its file: `dockfw-apply.8`.
    pub(crate) file: String,
    /// In roff, for `man -l`.
    pub(crate) text: Vec<u8>,
}

impl Page {
    /// Returns its name, by which `man` finds it: `dockfw-apply`.
    pub(crate) fn name(&self) -> &str {
        self.file.rsplit_once('.').map_or(&self.file, |(name, _)| name)
    }
}

/// Returns all pages, the program's own first.
pub(crate) fn pages() -> std::io::Result<Vec<Page>> {
    let program = command();
    let verbs: Vec<Command> = program.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned().collect();
    let names = |verbs: &[Command]| verbs.iter().map(name).collect::<Vec<_>>();
    let mut pages = vec![program_page(program, &names(&verbs))?];
    for verb in verbs {
        pages.push(verb_page(verb)?);
    }
    pages.push(Page { file: "dockfw.toml.5".into(), text: policy::page() });
    Ok(pages)
}

/// Returns the command line, for those who describe it.
pub(crate) fn command() -> Command {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    command
}

fn name(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

fn program_page(program: Command, verbs: &[String]) -> std::io::Result<Page> {
    let file = format!("{}.{SECTION}", name(&program));
    let man = man(program.subcommand_help_heading("COMMANDS").subcommand_value_name("command"));
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_subcommands_section(&mut text)?;
    man.render_options_section(&mut text)?;
    exit_status().to_writer(&mut text)?;
    files().to_writer(&mut text)?;
    examples::of_program().to_writer(&mut text)?;
    see_also(verbs.iter().map(String::as_str)).to_writer(&mut text)?;
    Ok(Page { file, text })
}

fn verb_page(verb: Command) -> std::io::Result<Page> {
    let file = format!("{}.{SECTION}", name(&verb));
    let examples = examples::of_verb(verb.get_name());
    let man = man(verb);
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    examples.to_writer(&mut text)?;
    see_also(["dockfw"].into_iter()).to_writer(&mut text)?;
    Ok(Page { file, text })
}

fn man(command: Command) -> Man {
    Man::new(command).section(SECTION).source(SOURCE).manual(MANUAL)
}

/// Returns the exit codes, as `--help` lists them below a heading of their own.
fn exit_status() -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in EXIT_CODES.lines().skip(1).filter_map(|line| line.trim().split_once("  ")) {
        roff.control("TP", []).text([bold(code)]).text([roman(meaning)]);
    }
    roff
}

fn files() -> Roff {
    const FILES: [(&str, &str); 4] = [
        ("/etc/dockfw/dockfw.toml", "The policy."),
        ("/etc/dockfw/conf.d/*.toml", "What is added to it."),
        ("/var/lib/dockfw", "The policies that were applied, so that there is a way back to them."),
        ("/run/dockfw/lock", "Held by the dockfw that is changing something."),
    ];
    let mut roff = Roff::new();
    roff.control("SH", ["FILES"]);
    for (path, what) in FILES {
        roff.control("TP", []).text([bold(path)]).text([roman(what)]);
    }
    roff
}

/// Returns references to pages of the same section.
fn see_also<'a>(pages: impl Iterator<Item = &'a str>) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    let mut words = Vec::new();
    for page in pages {
        words.extend([bold(page), roman(format!("({SECTION}), "))]);
    }
    words.extend([bold("dockfw.toml"), roman("(5)")]);
    roff.text(words);
    roff
}

/// Returns the page of this name, or of the subcommand of this name.
pub(crate) fn find<'a>(pages: &'a [Page], asked: &str) -> Option<&'a Page> {
    let of_verb = |page: &Page| page.name().strip_prefix("dockfw-").is_some_and(|verb| asked == verb);
    pages.iter().find(|page| asked == page.name() || of_verb(page))
}
