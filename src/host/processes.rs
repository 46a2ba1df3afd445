//! Who holds a socket: the process, and the container that it runs in.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use dockfw_policy::printable;

/// The length of a container's ID: a SHA-256 in hexadecimal digits.
const IDENTITY: usize = 64;

/// How many ancestors of this process are looked at: more than any login has, and a limit in any case.
const MAX_ANCESTORS: usize = 64;

/// A process that holds a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    /// Its PID.
    pub(crate) pid: u32,
    /// Its name, as `ps -o comm` shows it.
    pub(crate) name: String,
    /// The ID of the container that it runs in, if its control group names one.
    pub(crate) container: Option<String>,
}

/// Returns who holds these sockets, by the sockets' inodes: the first process of each. What can't be read has no
/// holder.
pub(crate) fn holders(mut wanted: BTreeSet<u64>) -> BTreeMap<u64, Holder> {
    let mut found = BTreeMap::new();
    for pid in pids() {
        if wanted.is_empty() {
            break;
        }
        let held: Vec<_> = sockets(pid).filter(|inode| wanted.remove(inode)).collect();
        if !held.is_empty() {
            let holder = holder(pid);
            found.extend(held.into_iter().map(|inode| (inode, holder.clone())));
        }
    }
    found
}

/// Returns all processes, in order: as a rule, the process that opened a socket comes before those that inherited it.
fn pids() -> BTreeSet<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return BTreeSet::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Returns whether the first process is visible, and has this name.
pub(crate) fn is_init(name: &str) -> bool {
    comm(1).trim_end() == name
}

/// Returns whether there is a process whose name begins like this.
pub(crate) fn is_running(name: &str) -> bool {
    pids().into_iter().any(|pid| comm(pid).starts_with(name))
}

/// Returns the other processes that have a lock on a file, by PID, with their names. Empty on kernels that do not
/// report locks (before Linux 4.1).
pub(crate) fn with_lock_on(path: &Path) -> Vec<(u32, String)> {
    let others = pids().into_iter().filter(|pid| *pid != std::process::id());
    others.filter(|pid| has_lock_on(*pid, path)).map(|pid| (pid, printable(comm(pid).trim_end()))).collect()
}

/// The kernel reports the locks of an open file (proc_pid_fdinfo(5)).
fn has_lock_on(pid: u32, path: &Path) -> bool {
    let mut open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    open.any(|entry| {
        let number = entry.file_name();
        let details = Path::new("/proc").join(pid.to_string()).join("fdinfo").join(number);
        fs::read_link(entry.path()).is_ok_and(|target| target == path)
            && fs::read_to_string(details).is_ok_and(|details| details.contains("lock:"))
    })
}

/// Returns whether there is a process in a container.
pub(crate) fn is_any_in_a_container() -> bool {
    pids().into_iter().any(|pid| holder(pid).container.is_some())
}

/// Returns the name of a process, with a newline; empty if it can't be read.
fn comm(pid: u32) -> String {
    let name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    String::from_utf8_lossy(&name).into_owned()
}

/// Returns the processes above this one, nearest first.
pub(crate) fn ancestors() -> impl Iterator<Item = u32> {
    let above = |pid: &u32| parent(&fs::read(format!("/proc/{pid}/stat")).ok()?);
    std::iter::successors(above(&std::process::id()), above).take(MAX_ANCESTORS)
}

/// Returns the parent in a `/proc/PID/stat`: the second field after the name, which may contain anything, even
/// parentheses.
fn parent(stat: &[u8]) -> Option<u32> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let fields = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    fields.split_ascii_whitespace().nth(1)?.parse().ok().filter(|pid| *pid != 0)
}

/// Returns the inodes of the sockets that a process has open.
pub(crate) fn sockets(pid: u32) -> impl Iterator<Item = u64> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    entries.filter_map(|entry| inode(&fs::read_link(entry.path()).ok()?))
}

/// Returns the inode in `socket:[4711]`.
fn inode(link: &Path) -> Option<u64> {
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

fn holder(pid: u32) -> Holder {
    let cgroup = fs::read(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    Holder {
        pid,
        name: printable(comm(pid).trim_end()),
        container: container(&String::from_utf8_lossy(&cgroup)),
    }
}

/// Returns the last container's ID in a `/proc/PID/cgroup`: a part of a path, with what the drivers add around it
/// (`/docker/ID`, `docker-ID.scope`).
fn container(cgroup: &str) -> Option<String> {
    let mut words = cgroup.split(|c: char| !c.is_ascii_hexdigit());
    words.rfind(|word| word.len() == IDENTITY).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn the_holder_of_a_socket_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let link = fs::read_link(format!("/proc/self/fd/{}", listener.as_raw_fd())).unwrap();
        let inode = inode(&link).unwrap();
        let holders = holders([inode].into());
        assert_eq!(holders[&inode].pid, std::process::id());
        assert!(!holders[&inode].name.is_empty());
    }

    #[test]
    fn the_parent_is_found_behind_any_name() {
        assert_eq!(ancestors().next(), Some(std::os::unix::process::parent_id()));
        assert_eq!(parent(b"7 (a) S 1 (b) R 12 7 7 0"), Some(12));
        assert_eq!(parent(b"7 (\xff\n) S 3 4"), Some(3));
        for none in [b"1 (init) S 0 1".as_slice(), b"7 (a", b"", b"7 (a) S x"] {
            assert_eq!(parent(none), None);
        }
    }

    #[test]
    fn only_sockets_have_inodes_here() {
        assert_eq!(inode(Path::new("socket:[4711]")), Some(4711));
        for other in ["pipe:[4711]", "/dev/null", "socket:[x]", "socket:[", ""] {
            assert_eq!(inode(Path::new(other)), None, "{other}");
        }
    }

    #[test]
    fn the_control_group_tells_the_container() {
        let identity = "0123456789abcdef".repeat(4);
        for path in ["/docker/{}", "/system.slice/docker-{}.scope", "/kubepods/x/cri-containerd-{}.scope"] {
            let cgroup = format!("0::{}\n", path.replace("{}", &identity));
            assert_eq!(container(&cgroup), Some(identity.clone()), "{cgroup}");
        }
        assert_eq!(container("0::/system.slice/ssh.service\n"), None);
    }
}
