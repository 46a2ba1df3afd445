//! The cgroups that runc makes below dockerd's `--cgroup-parent`: the one thing of a lab that outlives its processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use crate::wait::wait_until;

/// Labs' cgroups are called this, followed by the process id of the outer process.
pub(crate) const PREFIX: &str = "dockfw-lab-";

/// The kernel frees a cgroup a moment after its last process has gone.
const FREED: Duration = Duration::from_secs(5);

/// Every cgroup called `name`, in every hierarchy: with version 1 there are several, and which directory runc
/// starts from differs between them.
pub(crate) fn find(matches: &dyn Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(Path::new("/sys/fs/cgroup"), &mut |directory| {
        let hit = directory.file_name().and_then(|name| name.to_str()).is_some_and(matches);
        if hit {
            found.push(directory.to_owned());
        }
        !hit
    });
    found
}

pub(crate) fn remove(name: &str) -> Result<()> {
    wait_until(FREED, &format!("for cgroups {name} to be removable"), || {
        let left = find(&|found| found == name);
        left.iter().for_each(|directory| remove_tree(directory));
        left.iter().all(|directory| !directory.exists()).then_some(())
    })
}

/// Removes what labs left behind whose outer process was killed. Best effort: a living one's cannot be removed.
pub(crate) fn sweep_stale() {
    let is_stale = |name: &str| {
        name.strip_prefix(PREFIX).is_some_and(|pid| !Path::new("/proc").join(pid).join("stat").exists())
    };
    find(&is_stale).iter().for_each(|directory| remove_tree(directory));
}

/// Children first; what is still in use stays, and [`remove`] looks again.
fn remove_tree(directory: &Path) {
    subdirectories(directory).iter().for_each(|child| remove_tree(child));
    let _ = fs::remove_dir(directory);
}

fn walk(directory: &Path, descend: &mut dyn FnMut(&Path) -> bool) {
    for child in subdirectories(directory) {
        if descend(&child) {
            walk(&child, descend);
        }
    }
}

fn subdirectories(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}
