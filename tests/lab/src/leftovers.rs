//! What a lab could leave on the machine, for the test that it leaves nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::cgroups;
use crate::contain::MARKER;

/// What belongs to one lab, or could, as the machine sees it from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Processes of the lab: by their environment, or by their cgroup for those in containers.
    pub processes: BTreeSet<String>,
    /// Cgroups of the lab.
    pub cgroups: BTreeSet<String>,
    /// The machine's named network namespaces that are called as the lab's are.
    pub namespaces: BTreeSet<String>,
    /// Mounts in this program's view in places that a lab mounts on.
    pub mounts: BTreeSet<String>,
    /// The machine's files that Docker, iptables or dockfw could have written.
    pub files: BTreeSet<String>,
}

/// Directories that dockerd, containerd, iptables and dockfw write to.
const PLACES: [&str; 7] = ["/etc", "/etc/docker", "/opt", "/run", "/run/lock", "/var/lib", "/var/lib/docker"];

/// What is theirs there. Nothing else is looked at, for the machine has a life of its own meanwhile.
const WORDS: [&str; 5] = ["docker", "dockfw", "containerd", "xtables", "overlay"];

impl Leftovers {
    /// Looks for what the lab has whose outer process has (or had) this id.
    #[must_use]
    pub fn of(outer: u32) -> Self {
        let name = format!("{}{outer}", cgroups::PREFIX);
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        Self {
            processes: processes(outer, &name),
            cgroups: cgroups::find(&|found| found == name)
                .iter()
                .map(|path| path.display().to_string())
                .collect(),
            namespaces: names_in("/run/netns").filter(|path| is_lab_name(path)).collect(),
            mounts: mounts.lines().filter(|line| is_theirs(line)).map(str::to_owned).collect(),
            files: PLACES.iter().flat_map(|place| names_in(place)).filter(|path| is_theirs(path)).collect(),
        }
    }
}

fn is_theirs(text: &str) -> bool {
    WORDS.iter().any(|word| text.contains(word))
}

fn is_lab_name(path: &str) -> bool {
    let names = ["switch", "host", "trusted", "untrusted", "office", "blocked"];
    names.iter().any(|name| path.strip_prefix("/run/netns/") == Some(name))
}

fn names_in(directory: &str) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path().display().to_string())
}

fn processes(outer: u32, cgroup: &str) -> BTreeSet<String> {
    let is_ours = |pid: &str| {
        let directory = Path::new("/proc").join(pid);
        let environment = fs::read(directory.join("environ")).unwrap_or_default();
        let membership = fs::read_to_string(directory.join("cgroup")).unwrap_or_default();
        let mut variables = environment.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        let markers = [format!("{MARKER}=init:{outer}"), format!("{MARKER}=inner:{outer}")];
        variables.any(|variable| markers.iter().any(|marker| *marker == variable))
            || membership.contains(cgroup)
    };
    let entries = names_in("/proc").filter_map(|path| path.strip_prefix("/proc/").map(str::to_owned));
    entries.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()) && is_ours(name)).collect()
}
