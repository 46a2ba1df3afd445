//! What the kernel reports of its tables and sets without a program: asking a program may load a module.

use std::path::Path;

use dockfw_policy::address::Family;

/// Returns the families that the kernel has: IPv6 may be disabled at boot.
pub(crate) fn families() -> Vec<Family> {
    let has = |family: &Family| *family == Family::Ipv4 || proc_net().join("if_inet6").exists();
    Family::BOTH.into_iter().filter(has).collect()
}

/// Returns whether the kernel may have tables of iptables-legacy. If the kernel reports none, there is nothing to list.
pub(crate) fn may_have_legacy_tables(family: Family) -> bool {
    let names = match family {
        Family::Ipv4 => "ip_tables_names",
        Family::Ipv6 => "ip6_tables_names",
    };
    match std::fs::read_to_string(proc_net().join(names)) {
        Ok(names) => !names.trim().is_empty(),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

/// Returns where the kernel reports on the thread's network namespace; before Linux 3.17, on the process's.
fn proc_net() -> &'static Path {
    let of_thread = Path::new("/proc/thread-self/net");
    if of_thread.exists() { of_thread } else { Path::new("/proc/net") }
}

/// Returns whether the kernel may have sets. The module has a parameter (`max_sets`,
/// net/netfilter/ipset/ip_set_core.c), and so its place there, even if it is built in.
pub(crate) fn may_have_sets() -> bool {
    let modules = Path::new("/sys/module");
    modules.join("ip_set").exists() || !modules.exists()
}
