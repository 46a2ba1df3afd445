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
    /// Named network namespaces, whoever made them.
    pub namespaces: BTreeSet<String>,
    /// Mounts in this program's view, whoever made them.
    pub mounts: BTreeSet<String>,
    /// The machine's files in places that Docker and dockfw use, whoever made them.
    pub files: BTreeSet<String>,
}

/// Directories that dockerd, containerd and dockfw write to.
const PLACES: [&str; 9] = [
    "/etc",
    "/etc/docker",
    "/etc/dockfw",
    "/opt",
    "/opt/containerd",
    "/run",
    "/run/lock",
    "/var/lib",
    "/var/lib/docker",
];

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
            namespaces: names_in("/run/netns").collect(),
            mounts: mounts.lines().map(str::to_owned).collect(),
            files: PLACES.iter().flat_map(|place| names_in(place)).collect(),
        }
    }
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
