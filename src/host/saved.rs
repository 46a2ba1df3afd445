//! What iptables writes down of its rules, as text. No program is told a table, which would create it.

use dockfw_compat::savers;
use dockfw_policy::address::Family;
use dockfw_system::programs::at_once;

use super::programs::{said, said_by};

/// All rules of every variant that is there.
pub(super) fn everywhere() -> impl Iterator<Item = (Family, String)> {
    let programs = Family::BOTH
        .into_iter()
        .flat_map(|family| savers(family).into_iter().map(move |program| (family, program)));
    at_once(programs, |(family, program)| Some((family, said_by(&program, &[])?))).into_iter().flatten()
}

/// All rules of a family, by the iptables that Docker finds as well.
pub(super) fn where_docker_looks(family: Family) -> Option<String> {
    said(if family == Family::Ipv4 { "iptables-save" } else { "ip6tables-save" }, &[])
}
