//! `dockfw show`

use std::path::Path;

use anyhow::Context;
use dockfw_policy::Strictness;
use dockfw_policy::compile::compile;
use dockfw_policy::engine::EngineError;
use dockfw_policy::nft::{self, Features};

use super::{last, load};
use crate::cli::{Format, Show};
use crate::engines::listing_of_iptables;
use crate::exit::{Exit, Stop};
use crate::host::capabilities;
use crate::message::Message;
use crate::output::{stdout_is_terminal, write};
use crate::records::{Record, Sources, Store};

/// Prints the compiled policy, or the text of one that was applied.
pub(crate) fn run(config: &Path, options: &Show) -> anyhow::Result<Exit> {
    if options.in_force || options.confirmed {
        return show_recorded(options);
    }
    // A policy that is only shown shuts nobody out.
    let policy = load(config, Strictness::Confirmed)?;
    let text = match options.format {
        Format::Nft => nft::lower(&compile(&policy), Features::ALL).to_string(),
        Format::Iptables => listing_of_iptables(&policy)?,
        Format::Json => serde_json::to_string_pretty(&compile(&policy))? + "\n",
    };
    write(text);
    Ok(Exit::Done)
}

fn show_recorded(options: &Show) -> anyhow::Result<Exit> {
    if !capabilities::has_net_admin() {
        return Err(EngineError::NotPermitted.into());
    }
    let store = Store::of_host();
    let state = store.read()?;
    let record = if options.confirmed { state.confirmed.as_ref() } else { state.in_force() };
    let record = record.ok_or_else(|| nothing_recorded(options))?;
    let sources = store.sources(record).context("the policy is recorded, but its text can't be read")?;
    if options.in_force {
        // By the records: others may have changed the rules.
        last::report();
    }
    write(text(record, &sources, stdout_is_terminal()));
    Ok(Exit::Done)
}

fn nothing_recorded(options: &Show) -> Stop {
    let what =
        if options.confirmed { "no policy is confirmed" } else { "the policy in force is not recorded" };
    Stop::new(Exit::Failed, Message::new(what).help("to see what is in force: dockfw status"))
}

/// Returns the files of a policy, the main one first. Several have headings, which are comments in each of them.
fn text(record: &Record, sources: &Sources, to_terminal: bool) -> Vec<u8> {
    let is_main = |path: &Path| path == record.config;
    let mut files: Vec<_> = sources.files().collect();
    files.sort_by_key(|(path, _)| !is_main(path));
    let has_headings = files.len() > 1;
    let mut text = Vec::new();
    for (path, bytes) in files {
        if has_headings {
            text.extend(format!("# ---- {}\n", path.display()).into_bytes());
        }
        text.extend(bytes);
        if !bytes.is_empty() && !bytes.ends_with(b"\n") {
            text.push(b'\n');
        }
    }
    if to_terminal { harmless(text) } else { text }
}

/// Returns the same without characters that control a terminal: lists may be those of others.
fn harmless(text: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8_lossy(&text);
    let text = text.replace(|c: char| c.is_control() && !matches!(c, '\n' | '\t'), "?");
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_nothing_that_controls_it() {
        assert_eq!(harmless(b"a\tb\n\x1b[31mc\x07\r\n".to_vec()), b"a\tb\n?[31mc??\n");
    }
}
