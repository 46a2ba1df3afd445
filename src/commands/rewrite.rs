//! Writes the text of a recorded policy into its files again.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::sources_on_disk;
use crate::files;
use crate::output::result;
use crate::records::{Record, Sources};

/// The directory of files that are added to a policy, beside its main file.
const ADDED: &str = "conf.d";

/// What is to be done with a file.
#[derive(Debug, PartialEq, Eq)]
enum Step<'a> {
    /// It gets these contents.
    Write(&'a Path, &'a [u8]),
    /// It goes: the recorded policy has no such file.
    PutAside(PathBuf),
}

/// Puts the files of a policy in their places, and keeps beside them what was there. Reports each step.
pub(super) fn write(record: &Record, sources: &Sources) -> anyhow::Result<()> {
    let steps = steps(record, sources, &sources_on_disk(&record.config));
    if steps.is_empty() {
        result(format_args!("{} contains the policy in force already", record.config.display()));
    }
    steps.iter().try_for_each(carry_out)?;
    let digest = sources_on_disk(&record.config).seal()?;
    ensure!(
        digest.digest() == record.digest,
        "{} is written, but another program has changed the files of the policy meanwhile",
        record.config.display()
    );
    Ok(())
}

/// Compares what is recorded with what would be read now.
fn steps<'a>(record: &Record, sources: &'a Sources, now: &Sources) -> Vec<Step<'a>> {
    let added = record.config.parent().map(|directory| directory.join(ADDED));
    let is_added = |path: &Path| path.parent().is_some() && path.parent() == added.as_deref();
    let gone = now.files().filter(|(path, _)| is_added(path) && sources.file(path).is_none());
    let gone = gone.map(|(path, _)| Step::PutAside(path.to_owned()));
    let changed = sources.files().filter(|(path, bytes)| now.file(path) != Some(*bytes));
    changed.map(|(path, bytes)| Step::Write(path, bytes)).chain(gone).collect()
}

fn carry_out(step: &Step<'_>) -> anyhow::Result<()> {
    match step {
        Step::Write(path, bytes) => {
            let kept = files::replace_and_keep(path, bytes)
                .with_context(|| format!("can't write {}", path.display()))?;
            let kept = kept.map(|kept| format!("; what was there is kept as {}", kept.display()));
            result(format_args!("wrote {}{}", path.display(), kept.unwrap_or_default()));
        }
        Step::PutAside(path) => {
            let kept = files::put_aside(path).with_context(|| format!("can't rename {}", path.display()))?;
            result(format_args!("renamed {} to {}", path.display(), kept.display()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use dockfw_policy::Files;
    use dockfw_policy::engine::EngineName;

    use super::*;
    use crate::files::Disk;
    use crate::records::Recorder;

    /// Returns the files of a directory as sources.
    fn sources(directory: &Path, files: &[(&str, &str)]) -> Sources {
        let recorder = Recorder::new(&Disk);
        for (name, text) in files {
            let path = directory.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            recorder.read(&path, 1000).unwrap();
        }
        recorder.into_sources()
    }

    #[test]
    fn only_what_differs_is_written_and_only_what_is_added_goes() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let recorded = sources(directory, &[("dockfw.toml", "a"), ("conf.d/1.toml", "b"), ("list.txt", "c")]);
        let now = sources(
            directory,
            &[("dockfw.toml", "x"), ("conf.d/1.toml", "b"), ("conf.d/2.toml", "y"), ("other.txt", "z")],
        );
        let record = Record {
            id: String::new(),
            config: directory.join("dockfw.toml"),
            digest: String::new(),
            engine: EngineName::Nftables,
            force: false,
            applied_at: 0,
        };
        let [main, list, added] =
            ["dockfw.toml", "list.txt", "conf.d/2.toml"].map(|name| directory.join(name));
        let expected = [Step::Write(&main, b"a"), Step::Write(&list, b"c"), Step::PutAside(added)];
        assert_eq!(steps(&record, &recorded, &now), expected);
        assert_eq!(steps(&record, &recorded, &recorded), []);
    }
}
