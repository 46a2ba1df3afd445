//! `dockfw import`

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use dockfw_import::{Fault, Imported, Input, MAX_SIZE, Options, Written};
use dockfw_policy::{Files, FilesInMemory, Loaded, Strictness, load};
use dockfw_xtables::old;

use crate::cli::Import;
use crate::exit::{Exit, Stop};
use crate::files::{Disk, write_new};
use crate::message::Message;
use crate::output::{self, diagnostics, note, result, write};

/// The name of the policy file.
const POLICY: &str = "dockfw.toml";

/// Writes a policy for what the rules before dockfw let in.
pub(crate) fn run(options: &Import) -> anyhow::Result<Exit> {
    let inputs = if options.live { live()? } else { read(&options.files)? };
    let how = Options { lenient: options.lenient, files: options.output.is_some() };
    let imported = dockfw_import::import(&inputs, how);
    let Imported { written, document, notes } = imported.map_err(|findings| {
        findings.faults.iter().map(mistake).for_each(output::error);
        let message = match findings.omitted {
            0 => Message::new("nothing was imported"),
            more => Message::new(format!("nothing was imported; {more} more mistakes are not shown")),
        };
        let help = findings
            .lenience_helps
            .then_some("to leave out lines that can't be read, add the option: --lenient");
        Stop::new(Exit::Usage, help.into_iter().fold(message, Message::help))
    })?;
    must_load(&written)?;
    match &options.output {
        Some(directory) => write_to(directory, &written)?,
        None if options.json => result(serde_json::to_string_pretty(&document)?),
        None => write(&written.policy),
    }
    notes.iter().for_each(note);
    Ok(Exit::Done)
}

fn mistake(fault: &Fault) -> Message {
    Message::new(format!("{}: {}", fault.place, fault.what)).help(&fault.help)
}

fn read(paths: &[PathBuf]) -> anyhow::Result<Vec<Input>> {
    paths.iter().map(|path| read_one(path)).collect()
}

fn read_one(path: &Path) -> anyhow::Result<Input> {
    let name = path.display().to_string();
    let stop = |message: Message| Stop::new(Exit::Usage, message);
    let unreadable = |error| stop(Message::new(format!("can't read {name}: {error}")));
    let bytes = Disk.read(path, MAX_SIZE + 1).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_SIZE {
        let message = Message::new(format!("{name} has more than {} MiB", MAX_SIZE >> 20));
        return Err(stop(message.help("split it")).into());
    }
    Ok(Input { name, bytes })
}

/// Reads the rules and the sets of this host.
fn live() -> anyhow::Result<Vec<Input>> {
    let (rules, sets) = old::live()?;
    let rules = rules.into_iter().filter(|(_, text)| text.contains("! --match-set "));
    let rules =
        rules.map(|(variant, text)| Input { name: format!("iptables-{variant}-save"), bytes: text.into() });
    let rules: Vec<_> = rules.collect();
    if rules.is_empty() {
        let message = Message::new("the old layout is not in force here: no rule of this host uses a set")
            .help("to import its files instead: dockfw import FILE...");
        return Err(Stop::new(Exit::Failed, message).into());
    }
    let sets = (!sets.trim().is_empty()).then(|| Input { name: "ipset save".into(), bytes: sets.into() });
    Ok(rules.into_iter().chain(sets).collect())
}

/// Loads the policy as `apply` would.
fn must_load(written: &Written) -> anyhow::Result<()> {
    let lists = written.lists.iter().map(|(name, text)| (PathBuf::from(name), text.clone().into_bytes()));
    let policy = (PathBuf::from(POLICY), written.policy.clone().into_bytes());
    let files = FilesInMemory::new(lists.chain([policy]));
    match load(Path::new(POLICY), &files, Strictness::Strict) {
        Ok(Loaded { warnings, .. }) if warnings.is_empty() => Ok(()),
        Ok(Loaded { warnings, .. }) => {
            diagnostics(warnings.render(false));
            Ok(())
        }
        Err(rejected) => Err(anyhow!("the imported policy is not valid; nothing was written\n{rejected}")),
    }
}

/// Writes the files, none of which may exist. The policy comes last, so that it never names a list that is missing.
fn write_to(directory: &Path, written: &Written) -> anyhow::Result<()> {
    let policy = (POLICY.to_owned(), written.policy.clone());
    let files: Vec<_> = written.lists.iter().cloned().chain([policy]).collect();
    for (name, _) in &files {
        let path = directory.join(name);
        if path.symlink_metadata().is_ok() {
            let message = Message::new(format!("{} exists already; nothing was written", path.display()))
                .help(
                    "move it away, or write into another directory: dockfw import --output DIRECTORY FILE...",
                );
            return Err(Stop::new(Exit::Failed, message).into());
        }
    }
    for (name, text) in &files {
        let path = directory.join(name);
        write_new(&path, text).with_context(|| format!("can't write {}", path.display()))?;
        note(format_args!("wrote {}", path.display()));
    }
    Ok(())
}
