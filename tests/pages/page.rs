//! A page of Markdown, and what is in it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// A page.
pub(crate) struct Page {
    pub(crate) path: PathBuf,
    pub(crate) links: Vec<String>,
    /// The anchors of the headings, as GitHub makes them.
    pub(crate) anchors: BTreeSet<String>,
    /// What is written as a command of dockfw.
    pub(crate) commands: Vec<String>,
    /// Whole policies: blocks of TOML, and what a shell writes into a policy file.
    pub(crate) policies: Vec<String>,
}

impl Page {
    pub(crate) fn read(path: &Path) -> Self {
        let text =
            std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut page = Self {
            path: path.to_owned(),
            links: Vec::new(),
            anchors: BTreeSet::new(),
            commands: Vec::new(),
            policies: Vec::new(),
        };
        page.take(Parser::new_ext(&text, Options::ENABLE_TABLES));
        page
    }

    pub(crate) fn directory(&self) -> &Path {
        self.path.parent().unwrap()
    }

    fn take<'a>(&mut self, events: impl Iterator<Item = Event<'a>>) {
        let (mut heading, mut block) = (None, None);
        for event in events {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    self.links.push(dest_url.into_string());
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => self.add_anchor(&heading.take().unwrap_or_default()),
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) => {
                    block = Some((language.into_string(), String::new()));
                }
                Event::End(TagEnd::CodeBlock) => {
                    block.take().into_iter().for_each(|(language, text)| self.add_block(&language, &text));
                }
                Event::Code(text) => {
                    self.commands.extend(command(&text));
                    heading.iter_mut().for_each(|heading: &mut String| heading.push_str(&text));
                }
                Event::Text(text) => {
                    block.iter_mut().for_each(|(_, block): &mut (String, String)| block.push_str(&text));
                    heading.iter_mut().for_each(|heading| heading.push_str(&text));
                }
                _ => {}
            }
        }
    }

    /// A heading that was there before gets a number.
    fn add_anchor(&mut self, heading: &str) {
        let is_kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        let kept: String = heading.to_lowercase().chars().filter(is_kept).collect();
        let anchor = kept.replace(' ', "-");
        let numbered = (1..).map(|number| format!("{anchor}-{number}"));
        let free = std::iter::once(anchor.clone()).chain(numbered).find(|one| !self.anchors.contains(one));
        self.anchors.extend(free);
    }

    fn add_block(&mut self, language: &str, text: &str) {
        match language {
            "toml" => self.policies.push(text.to_owned()),
            "sh" | "console" => {
                self.commands.extend(text.lines().flat_map(commands_of));
                self.policies.extend(here_document(text));
            }
            _ => {}
        }
    }
}

/// The commands of dockfw in a line of a shell script.
fn commands_of(line: &str) -> Vec<String> {
    let code = line.split(" #").next().unwrap_or_default().trim_start_matches("$ ").replace("2>&1", "");
    code.split(['|', '&', ';', '>', '<', '(', ')', '"']).filter_map(command).collect()
}

/// What begins with the program's name, if it is a command. Synopses and prefixes of log lines are none.
fn command(text: &str) -> Option<String> {
    let text = text.trim().trim_start_matches("sudo ");
    (text.starts_with("dockfw ") && !text.contains(['[', '<', '…', ':'])).then(|| text.to_owned())
}

/// What a shell script writes into the policy file.
fn here_document(script: &str) -> Option<String> {
    let (_, rest) = script.split_once("dockfw.toml <<'EOF'\n")?;
    rest.split_once("EOF\n").map(|(policy, _)| policy.to_owned())
}
